/*
 * Devices that come and go. Each add undoes itself on failure; each remove asks
 * the guest, waits for its DEVICE_DELETED, then takes the rest apart. What is
 * plugged in is QEMU's to know: nothing is remembered here, so a process that
 * has just attached plugs like the one before it.
 */
#include <stdio.h>
#include "base/str.h"
#include "gen/errors.h"
#include "gen/ipc_vm.h"
#include "hyper/qemu/private.h"

#define PORTS_MAX 128

/* For taking apart: what is not there need not be removed, and the next step is tried anyway. */
static void try_call(struct qemu *q, const char *command, json_t *args)
{
    err_ignore(qemu_call(q, command, args, -1, NULL), "taking apart: it may not be there");
}

/* ---- slots ---- */

static struct err *port_is_free(struct qemu *q, const char *port, bool *ret_free)
{
    AUTO(json_drop) json_t *list = NULL;
    json_t *entry;
    size_t i;

    TRY(qemu_call(
        q, "qom-list", json_pack("{s:o}", "path", json_sprintf("/machine/peripheral/%s/%s", port, port)), -1, &list));
    *ret_free = true;
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));

        if (name && cstr_starts(name, "child["))
            *ret_free = false;
    }
    return NULL;
}

static struct err *find_port(struct qemu *q, char ret_port[QEMU_ID_SIZE])
{
    for (int i = 0; i < PORTS_MAX; i++) {
        char port[QEMU_ID_SIZE];
        bool is_free = false;

        snprintf(port, sizeof(port), "rp%d", i);
        struct err *e = port_is_free(q, port, &is_free);
        if (qmp_refused(e)) {
            err_ignore(e, "there are no more ports");
            break;
        }
        TRY(e);
        if (is_free) {
            memcpy(ret_port, port, sizeof(port));
            return NULL;
        }
    }
    return err_operation_not_allowed("no free PCI slot in this VM until its next start");
}

static bool was_unplugged(const struct qemu *q, unsigned since, const char *id)
{
    for (unsigned i = since; i < q->n_unplugged; i++)
        if (cstr_eq(q->unplugged[i % N_UNPLUGGED], id))
            return true;
    return false;
}

/* Asks the guest to let go and waits for it. *ret_done false: it did not in time. */
static struct err *unplug(struct qemu *q, const char *id, uint64_t deadline_us, bool *ret_done)
{
    unsigned since = q->n_unplugged;
    struct err *e = qemu_call(q, "device_del", json_pack("{s:s}", "id", id), -1, NULL);

    if (qmp_refused(e) && strstr(err_param(e, 0), "not found")) {
        err_ignore(e, "the guest let go while nobody looked");
        *ret_done = true;
        return NULL;
    }
    if (qmp_refused(e) && strstr(err_param(e, 0), "in the process of unplug"))
        err_ignore(e, "asked before, and it still may");
    else
        TRY(e);
    while (!q->gone && !was_unplugged(q, since, id))
        if (!waitq_wait(&q->change, deadline_us))
            break;
    *ret_done = q->gone || was_unplugged(q, since, id);
    return NULL;
}

/* ---- disks ---- */

struct err *qemu_lease_pass(struct qemu *q, const struct vm_disk *d)
{
    char id[QEMU_ID_SIZE];

    if (!qemu_has_fd(d->lease))
        return NULL;
    qemu_disk_id(id, d);
    return qemu_call(q, "getfd", json_pack("{s:o}", "fdname", json_sprintf("lease-%s", id)), d->lease, NULL);
}

/* Descriptor sets by their note: their numbers differ between cold and hot plugged disks. */
static void forget_fdsets(struct qemu *q, const char *id)
{
    AUTO(json_drop) json_t *sets = NULL;
    json_t *set, *fd;
    size_t i, k;

    err_ignore(qemu_call(q, "query-fdsets", NULL, -1, &sets), "then nothing is found");
    json_array_foreach(sets, i, set)
    {
        json_array_foreach(json_object_get(set, "fds"), k, fd)
        {
            const char *note = json_string_value(json_object_get(fd, "opaque"));

            if (note && cstr_eq(note, id))
                try_call(q, "remove-fd", json_pack("{s:O}", "fdset-id", json_object_get(set, "fdset-id")));
        }
    }
}

static void delete_node(struct qemu *q, const char *id, const char *suffix)
{
    try_call(q, "blockdev-del", json_pack("{s:o}", "node-name", json_sprintf("%s%s", id, suffix)));
}

/* Everything of a disk but its device. */
static void forget_disk(struct qemu *q, const struct vm_disk *d)
{
    char id[QEMU_ID_SIZE];

    qemu_disk_id(id, d);
    if (!d->cd) {
        delete_node(q, id, "");
        delete_node(q, id, "-null");
    }
    delete_node(q, id, "-fmt");
    delete_node(q, id, "-file");
    if (!d->cd)
        try_call(q, "object-del", json_pack("{s:o}", "id", json_sprintf("%s-limit", id)));
    forget_fdsets(q, id);
    if (qemu_has_fd(d->lease) || d->vdi[0])
        try_call(q, "closefd", json_pack("{s:o}", "fdname", json_sprintf("lease-%s", id)));
}

/* Image and lease into QEMU, and the nodes up to the format on top. */
static struct err *add_image(struct qemu *q, const struct vm_disk *d)
{
    AUTO(json_drop) json_t *set = NULL;
    char id[QEMU_ID_SIZE];

    qemu_disk_id(id, d);
    TRY(qemu_call(q, "add-fd", json_pack("{s:s}", "opaque", id), d->image, &set));
    TRY(qemu_lease_pass(q, d));
    TRY(qemu_call(
        q, "blockdev-add", qemu_disk_file_node(d, json_integer_value(json_object_get(set, "fdset-id"))), -1, NULL));
    return qemu_call(q, "blockdev-add", qemu_disk_format_node(d), -1, NULL);
}

static struct err *add_disk(struct qemu *q, const struct vm_disk *d)
{
    char port[QEMU_ID_SIZE];

    TRY(find_port(q, port));
    TRY(add_image(q, d));
    TRY(qemu_call(q, "object-add", qemu_disk_limit_object(d), -1, NULL));
    TRY(qemu_call(q, "blockdev-add", qemu_disk_filter_node(d), -1, NULL));
    return qemu_call(q, "device_add", qemu_disk_device(d, port, -1), -1, NULL);
}

/* Before anything is added: undoing a failed add must not take apart what was there already. */
static struct err *check_absent(struct qemu *q, const char *id)
{
    struct err *e =
        qemu_call(q, "qom-list", json_pack("{s:o}", "path", json_sprintf("/machine/peripheral/%s", id)), -1, NULL);

    if (!e)
        return err_device_already_exists(id);
    if (!qmp_refused(e))
        return e;
    err_ignore(e, "absent, as it should be");
    return NULL;
}

struct err *qemu_disk_add(struct hyper_guest *g, const struct vm_disk *d)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];
    struct err *e;

    if (d->cd || qemu_disk_on_ide(d))
        return err_operation_not_allowed("CD drives and IDE disks cannot be plugged into a running VM");
    if (!qemu_has_fd(d->image) || d->position < 0 || d->position > QEMU_POSITION_MAX)
        return err_internal("disk without image, or at a wrong position");
    qemu_disk_id(id, d);
    TRY(check_absent(q, id));
    e = add_disk(q, d);
    if (e)
        forget_disk(q, d);
    return e;
}

/* The device stays, since the guest holds it, but reads and writes nothing any more: its image is free. */
static struct err *starve_disk(struct qemu *q, const struct vm_disk *d)
{
    char id[QEMU_ID_SIZE], limit[QEMU_ID_SIZE + 8], null[QEMU_ID_SIZE + 8];

    qemu_disk_id(id, d);
    snprintf(limit, sizeof(limit), "%s-limit", id);
    snprintf(null, sizeof(null), "%s-null", id);
    TRY(qemu_call(q, "blockdev-add",
        json_pack("{s:s, s:s, s:I, s:b}", "driver", "null-co", "node-name", null, "size", (json_int_t)d->size,
            "read-only", d->read_only),
        -1, NULL));
    return qemu_call(q, "blockdev-reopen",
        json_pack("{s:[{s:s, s:s, s:s, s:s, s:b}]}", "options", "driver", "throttle", "node-name", id, "throttle-group",
            limit, "file", null, "read-only", d->read_only),
        -1, NULL);
}

struct err *qemu_disk_remove(struct hyper_guest *g, const struct vm_disk *d, bool force, uint64_t deadline_us)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];
    bool done = false;

    if (d->cd || qemu_disk_on_ide(d))
        return err_operation_not_allowed("CD drives and IDE disks cannot be unplugged from a running VM");
    qemu_disk_id(id, d);
    TRY(unplug(q, id, deadline_us, &done));
    if (!done && !force)
        return err_device_detach_timeout("VBD", d->vbd);
    if (!done)
        TRY(starve_disk(q, d));
    if (!q->gone)
        forget_disk(q, d);
    return NULL;
}

struct err *qemu_media(struct hyper_guest *g, const struct vm_disk *cd)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];
    struct err *e = NULL;

    if (!cd->cd)
        return err_operation_not_allowed("only CD drives have removable media");
    qemu_disk_id(id, cd);
    TRY(qemu_call(q, "blockdev-open-tray", json_pack("{s:s, s:b}", "id", id, "force", true), -1, NULL));
    TRY(qemu_call(q, "blockdev-remove-medium", json_pack("{s:s}", "id", id), -1, NULL));
    forget_disk(q, cd);
    try_call(q, "closefd", json_pack("{s:o}", "fdname", json_sprintf("lease-%s", id)));
    if (qemu_disk_has_medium(cd)) {
        e = add_image(q, cd);
        if (!e)
            e = qemu_call(q, "blockdev-insert-medium",
                json_pack("{s:s, s:o}", "id", id, "node-name", json_sprintf("%s-fmt", id)), -1, NULL);
        if (e)
            forget_disk(q, cd);
    }
    return err_first(e, qemu_call(q, "blockdev-close-tray", json_pack("{s:s}", "id", id), -1, NULL));
}

/* ---- NICs ---- */

struct err *qemu_link_set(struct qemu *q, const struct vm_nic *n, bool up)
{
    return qemu_call(q, "set_link",
        json_pack("{s:o, s:b}", "name", json_sprintf("nic%lld", (long long)n->position), "up", up), -1, NULL);
}

static void forget_nic(struct qemu *q, const struct vm_nic *n)
{
    try_call(q, "netdev_del", json_pack("{s:o}", "id", json_sprintf("net%lld", (long long)n->position)));
    try_call(q, "closefd", json_pack("{s:o}", "fdname", json_sprintf("tap%lld", (long long)n->position)));
}

static struct err *add_nic(struct qemu *q, const struct vm_nic *n)
{
    char port[QEMU_ID_SIZE], tap[QEMU_ID_SIZE];
    bool has_tap = qemu_has_fd(n->tap);

    snprintf(tap, sizeof(tap), "tap%lld", (long long)n->position);
    TRY(find_port(q, port));
    if (has_tap) {
        TRY(qemu_call(q, "getfd", json_pack("{s:s}", "fdname", tap), n->tap, NULL));
        TRY(qemu_call(q, "netdev_add", qemu_nic_netdev(n, tap), -1, NULL));
    }
    TRY(qemu_call(q, "device_add", qemu_nic_device(n, port, -1, false), -1, NULL));
    return has_tap ? NULL : qemu_link_set(q, n, false);
}

struct err *qemu_nic_add(struct hyper_guest *g, const struct vm_nic *n)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];
    struct err *e;

    if (n->position < 0 || n->position > QEMU_POSITION_MAX)
        return err_internal("NIC at a wrong position");
    qemu_nic_id(id, n);
    TRY(check_absent(q, id));
    e = add_nic(q, n);
    if (e)
        forget_nic(q, n);
    return e;
}

struct err *qemu_nic_remove(struct hyper_guest *g, const struct vm_nic *n, bool force, uint64_t deadline_us)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];
    bool done = false;

    qemu_nic_id(id, n);
    TRY(unplug(q, id, deadline_us, &done));
    if (!done && !force)
        return err_device_detach_timeout("VIF", n->vif);
    if (!q->gone)
        forget_nic(q, n); /* a device that is still there is left with its cable cut */
    return NULL;
}
