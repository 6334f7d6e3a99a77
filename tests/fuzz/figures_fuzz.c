#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "metric/export.h"
#include "metric/history.h"

/* Files of figures may be torn or worse. Whatever is read must also take updates, be told and be written again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksum keeps nearly every input out: once as it is, once with the checksum that it should have. */
static char *repaired(const uint8_t *data, size_t size)
{
    const char *body = memchr(data, '\n', size);
    char *copy = mem_dup(data, size);
    size_t start = body ? (size_t)(body + 1 - (const char *)data) : size;
    uint64_t h = 0xcbf29ce484222325u;

    if (size < start + 8)
        return copy;
    for (size_t i = start; i < size - 8; i++)
        h = (h ^ data[i]) * 0x100000001b3u;
    memcpy(copy + size - 8, &h, 8);
    return copy;
}

static void use(struct str in)
{
    AUTO(history_drop) struct history *h = NULL;
    AUTO(sink_done) struct sink s;
    AUTO(buf_done) struct buf b;
    struct readings now = { 0 };
    struct reading r = { .kind = K_MEMORY, .raw = 5 };
    struct err *e = history_parse("vm", "22222222-2222-4222-8222-222222222222", in, &h);

    sink_init(&s);
    buf_init(&b, RRD_ENCODED_MAX);
    if (e) {
        err_ignore(e, "most inputs are no files");
        return;
    }
    vec_push(&now, r);
    history_update(h, rrd_last_update(h->rrd) + 7000000, &now);
    struct export_object o = { "vm", h->uuid, h->rrd };
    struct export_query q = { .start = -600, .cfs = 7 };
    if (rrd_n_archives(h->rrd) && rrd_archive(h->rrd, 0).rows < 1000)
        export_updates(&s, &q, &o, 1);
    rrd_encode(h->rrd, &b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(mem_drop) char *copy = repaired(data, size);

    use((struct str){ (const char *)data, size });
    use((struct str){ copy, size });
    return 0;
}
