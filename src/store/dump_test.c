#include "store/dump.h"
#include <sys/mman.h>
#include <unistd.h>
#include <stdlib.h>
#include "base/fd.h"
#include "gen/model.h"
#include "test.h"

#define HEAD "<database><manifest><pair key=\"schema_major_vsn\" value=\"1\"/></manifest>"
#define NASTY "a<b>&\"c\" 'd' \\e\n\tf (g) \xc3\xa9"

static char *dumped(const struct store *s)
{
    AUTO(fd_drop) int fd = memfd_create("dump", MFD_CLOEXEC);
    struct buf b;

    buf_init(&b, 64 * 1024 * 1024);
    CHECK_OK(dump_write(s, fd));
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK_OK(fd_read_all(fd, &b));
    return b.p;
}

static struct err *feed(struct dump *d, const char *text)
{
    return dump_feed(d, str_of(text), true);
}

static void fill(struct store *s)
{
    struct value other[] = { value_str("k'1"), value_str(NASTY), value_str("k2"), value_str("") };
    struct value tags[] = { value_str("it's"), value_str("two words") };
    const struct tx_field vm[] = { { F_VM_name_label, value_str(NASTY) },
        { F_VM_memory_static_max, value_int(1LL << 40) }, { F_VM_HVM_shadow_multiplier, value_float(1.1) },
        { F_VM_is_a_template, value_bool(true) }, { F_VM_other_config, value_map(other, 2) },
        { F_VM_tags, value_set(tags, 2) } };
    const struct tx_field vbd[] = { { F_VBD_VM, value_str("OpaqueRef:vm") }, { F_VBD_userdevice, value_str("0") } };
    struct tx *t = tx_begin(s);

    tx_create(t, C_VM, "OpaqueRef:vm", vm, ARRAY_LEN(vm));
    tx_create(t, C_VBD, "OpaqueRef:vbd", vbd, ARRAY_LEN(vbd));
    CHECK_OK(tx_commit(t));
}

TEST_FIBER(what_was_dumped_comes_back)
{
    AUTO(dump_drop) struct dump *d = dump_new();
    struct store *s, *other;

    CHECK_OK(store_open(loop, NULL, NULL, &s));
    CHECK_OK(store_open(loop, NULL, NULL, &other));
    fill(s);
    char *text = dumped(s);
    CHECK_OK(feed(d, text));
    CHECK_INT(dump_count(d, C_VM), 1);
    struct tx *t = tx_begin(other); /* what goes, and what stays under another name */
    tx_create(t, C_VM, "OpaqueRef:vm",
        (const struct tx_field[]){ { F_VM_name_label, value_str("old") }, { F_VM_domid, value_int(7) } }, 2);
    tx_create(t, C_VM, "OpaqueRef:later", NULL, 0);
    tx_create(
        t, C_VBD, "OpaqueRef:later-vbd", (const struct tx_field[]){ { F_VBD_VM, value_str("OpaqueRef:later") } }, 1);
    tx_create(t, C_session, "OpaqueRef:session", NULL, 0);
    CHECK_OK(tx_commit(t));
    CHECK_OK(dump_restore(d, other));
    char *again = dumped(other);
    const char *from = strstr(text, "<table"), *to = strstr(again, "<table");
    CHECK(from && to);
    CHECK_STR(to ? to : "", from ? from : "-");
    const struct row *vm = store_find_of(other, C_VM, "OpaqueRef:vm");
    CHECK(vm && row_n_related(vm, F_VM_VBDs) == 1);
    CHECK_STR(row_map_str(vm, F_VM_other_config, "k'1"), NASTY);
    CHECK(!store_find(other, "OpaqueRef:later") && !store_find(other, "OpaqueRef:later-vbd"));
    CHECK(store_find(other, "OpaqueRef:session"));
    free(text);
    free(again);
    store_close(s);
    store_close(other);
}

TEST(what_is_no_dump_is_refused)
{
    static const char *const bad[] = { "", "<database>", "not xml", "<database></database><database/>",
        "<database><table name=\"VM\"/></database>", "<!DOCTYPE x []>" HEAD "</database>",
        HEAD "<table name=\"VM\"><row uuid=\"1\"/></table></database>",
        HEAD "<table name=\"VM\"><row ref=\"r\" memory__static_max=\"many\"/></table></database>",
        HEAD "<table name=\"VM\"><row ref=\"r\" tags=\"('a'\"/></table></database>",
        HEAD "<table name=\"VM\"><row ref=\"r\" other_config=\"(('a'))\"/></table></database>",
        HEAD "<table name=\"VM\"><row ref=\"r\"><row ref=\"s\"/></row></table></database>", HEAD "<row/></database>" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(dump_drop) struct dump *d = dump_new();
        struct err *e = feed(d, bad[i]);

        if (!e)
            printf("taken: %s\n", bad[i]);
        CHECK_ERR(e, "INTERNAL_ERROR");
    }
    AUTO(dump_drop) struct dump *later = dump_new();
    CHECK_ERR(feed(later, "<database><manifest><pair key=\"schema_major_vsn\" value=\"99\"/></manifest></database>"),
        "RESTORE_INCOMPATIBLE_VERSION");
}

TEST(what_is_unknown_is_left_out)
{
    AUTO(dump_drop) struct dump *d = dump_new();

    CHECK_OK(feed(d,
        HEAD "<table name=\"spaceship\"><row ref=\"r\" warp=\"9\"/></table>"
             "<table name=\"VM\"><row ref=\"v\" warp=\"9\" name__label=\"x\"/></table></database>"));
    CHECK_INT(dump_count(d, C_VM), 1);
}
