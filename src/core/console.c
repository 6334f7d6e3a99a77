#include "core/console.h"
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "core/http.h"
#include "core/rbac.h"
#include "gen/ipc_host.h"

#define PICTURE_MS 30000

/* `ref` or `uuid` names a console, or a VM: then its rfb console. */
static const struct row *find(struct core *c, const struct value *query, const char **ret_protocol)
{
    const char *ref = value_map_str(query, "ref"), *uuid = value_map_str(query, "uuid");
    const struct row *console =
        *ref ? store_find_of(c->store, C_console, ref) : store_by_uuid(c->store, C_console, uuid);
    const struct row *vm = *ref ? store_find_of(c->store, C_VM, ref) : store_by_uuid(c->store, C_VM, uuid);

    *ret_protocol = "rfb";
    if (console) {
        *ret_protocol = row_str(console, F_console_protocol);
        return row_follow(c->store, console, F_console_VM);
    }
    return vm;
}

static bool has_console(const struct row *vm, const char *protocol)
{
    for (size_t i = 0; i < row_n_related(vm, F_VM_consoles); i++)
        if (strcmp(row_str(row_related(vm, F_VM_consoles, i), F_console_protocol), protocol) == 0)
            return true;
    return false;
}

/* Open consoles: stream id -> uuid of the VM. */

static const char *key_of(char key[24], uint64_t stream_id)
{
    snprintf(key, 24, "%llu", (unsigned long long)stream_id);
    return key;
}

void console_stream_done(struct core *c, uint64_t stream_id)
{
    char key[24];

    free(map_remove(c->consoles, key_of(key, stream_id)));
}

void console_forget_all(struct core *c)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(c->consoles, &it, &key, &v);)
        free(v);
    map_free(c->consoles);
    c->consoles = map_new();
}

/* With pool.limit_console_sessions: one for each VM, and none by WebSocket. */
static bool may_open(struct core *c, const char *uuid, bool websocket)
{
    const char *key;
    void *v;

    if (!row_bool(core_pool_row(c), F_pool_limit_console_sessions))
        return true;
    for (size_t it = 0; map_next(c->consoles, &it, &key, &v);)
        if (strcmp(v, uuid) == 0)
            return false;
    return !websocket;
}

/* The VM whose console is asked for, if it has such a one now. NULL: rep says why not. */
static struct err *open_vm(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep, const char **ret_protocol, const char **ret_uuid)
{
    const char *protocol = "rfb";
    const struct row *vm = find(c, &req->query, &protocol);

    if (!vm)
        return err_internal("no VM or console of that name");
    if (row_bool(vm, F_VM_is_control_domain)) {
        TRY(rbac_check_role(who, ROLE_POOL_ADMIN, "http/connect_host_console"));
        return err_not_implemented("consoles of the control domain");
    }
    if (strcmp(row_str(vm, F_VM_power_state), "Running") != 0 && strcmp(row_str(vm, F_VM_power_state), "Paused") != 0)
        return err_vm_bad_power_state(row_ref(vm), "running", "halted");
    if (!has_console(vm, protocol))
        return http_refuse(a, rep, 404, "Not Found", "The VM has no such console");
    *ret_uuid = arena_strdup(a, row_str(vm, F_VM_uuid));
    *ret_protocol = arena_strdup(a, protocol);
    return NULL;
}

struct err *console_open(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    const char *protocol = NULL, *uuid = NULL;
    struct ipc_peer *host = NULL;
    struct host_console_rep console = { 0 };

    TRY(open_vm(c, a, req, who, rep, &protocol, &uuid));
    if (!uuid)
        return NULL;
    if (!may_open(c, uuid, req->websocket)) {
        rep->status = 503;
        rep->reason = "Connection Limit Exceeded";
        return NULL;
    }
    int64_t idle = row_int(core_pool_row(c), F_pool_vm_console_idle_timeout);
    rep->idle_timeout_s = idle > 0 && idle < UINT32_MAX ? (uint32_t)idle : 0;
    uint64_t id = ++c->next_stream;
    char key[24];
    key_of(key, id);
    free(map_put(c->consoles, key, mem_strdup(uuid))); /* before anybody else can come between */
    struct err *e = core_need_host(c, &host);
    if (!e)
        e = host_console(host, a, &(struct host_console_req){ .vm = uuid, .protocol = protocol }, &console);
    if (e) {
        free(map_remove(c->consoles, key));
        return e;
    }
    rep->status = 200;
    rep->stream = console.stream;
    rep->direction = 3;
    rep->stream_id = id;
    return NULL;
}

struct err *console_picture(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct host_picture_rep picture = { .jpeg = -1 };
    const char *protocol = NULL, *uuid = NULL;
    struct ipc_peer *host = NULL;

    TRY(open_vm(c, a, req, who, rep, &protocol, &uuid));
    if (!uuid)
        return NULL;
    if (strcmp(protocol, "rfb") != 0)
        return http_refuse(a, rep, 404, "Not Found", "A serial line has no picture");
    TRY(core_need_host(c, &host));
    TRY(host_picture(host, a, &(struct host_picture_req){ .vm = uuid, .timeout_ms = PICTURE_MS }, &picture));
    return http_hand_over(a, rep, "image/jpeg", (struct str){ "", 0 }, picture.jpeg);
}
