#include "core/fixture_test.h"
#include <stdarg.h>
#include <string.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/map.h"
#include "core/call.h"
#include "gen/ipc_core.h"
#include "gen/ipc_host.h"
#include "gen/ipc_machine.h"
#include "gen/ipc_net.h"
#include "gen/ipc_storage.h"
#include "gen/ipc_vmevents.h"

/* host */

static struct err *on_inventory(struct ipc_call *c, struct host_inventory_req *req, struct host_inventory_rep *rep)
{
    static const char *const cpu_keys[] = { "cpu_count", "socket_count", "vendor", "speed", "modelname", "family",
        "model", "stepping", "flags", "features_hvm", "features_hvm_host", "features_pv", "features_pv_host" };
    struct value *cpu = arena_new_array(c->arena, 2 * ARRAY_LEN(cpu_keys), struct value);
    struct value *capability = arena_new_array(c->arena, 1, struct value);
    struct value *cpus = arena_new_array(c->arena, 4, struct value), *one = arena_new_array(c->arena, 4, struct value);
    struct value info = value_map(NULL, 0);

    (void)req;
    for (size_t i = 0; i < ARRAY_LEN(cpu_keys); i++) {
        cpu[2 * i] = value_str(cpu_keys[i]);
        cpu[2 * i + 1] = value_str("1");
    }
    one[0] = value_str("number");
    one[1] = value_int(0);
    one[2] = value_str("speed");
    one[3] = value_int(2000);
    for (size_t i = 0; i < 4; i++)
        cpus[i] = value_map(one, 2);
    capability[0] = value_str("hvm-3.0-x86_64");
    info = value_map_with(c->arena, &info, value_str("hostname"), value_str("h1"));
    info = value_map_with(c->arena, &info, value_str("memory_total"), value_int(64LL << 30));
    info = value_map_with(c->arena, &info, value_str("memory_free"), value_int(60LL << 30));
    info = value_map_with(c->arena, &info, value_str("cpu_info"), value_map(cpu, ARRAY_LEN(cpu_keys)));
    info = value_map_with(c->arena, &info, value_str("cpus"), value_set(cpus, 4));
    info = value_map_with(c->arena, &info, value_str("capabilities"), value_set(capability, 1));
    rep->info = info;
    return NULL;
}

static struct err *on_vm_list(struct ipc_call *c, struct host_vm_list_req *req, struct host_vm_list_rep *rep)
{
    struct fixture *f = c->ctx;
    const char *uuid;
    void *guest;

    (void)req;
    rep->vms = arena_new_array(c->arena, map_len(f->guests) + 1, struct vm_state);
    for (size_t it = 0; map_next(f->guests, &it, &uuid, &guest);)
        rep->vms[rep->n_vms++] = *(struct vm_state *)guest;
    return NULL;
}

static struct vm_state *guest_new(struct fixture *f, const struct vm_plan *p)
{
    struct vm_state *s = arena_new_of(f->arena, struct vm_state);

    *s = (struct vm_state){
        .vm = arena_strdup(f->arena, p->vm), .ref = arena_strdup(f->arena, p->ref), .domid = p->domid
    };
    s->devices = arena_new_array(f->arena, p->n_disks + p->n_nics + 1, struct vm_device);
    for (size_t i = 0; i < p->n_disks; i++)
        s->devices[s->n_devices++] = (struct vm_device){ .ref = arena_strdup(f->arena, p->disks[i].vbd),
            .name = arena_strdup(f->arena, p->disks[i].device) };
    for (size_t i = 0; i < p->n_nics; i++)
        s->devices[s->n_devices++] = (struct vm_device){ .ref = arena_strdup(f->arena, p->nics[i].vif), .name = "" };
    return s;
}

static struct err *on_vm_start(struct ipc_call *c, struct host_vm_start_req *req, struct host_vm_start_rep *rep)
{
    struct fixture *f = c->ctx;

    fiber_sleep(10000); /* a start takes time, so others can come between */
    if (f->fail_start)
        return err_new(MOVE(f->fail_start), NULL, 0);
    f->n_starts++;
    struct vm_state *s = guest_new(f, &req->plan);
    s->power = req->plan.paused ? "Paused" : "Running";
    map_put(f->guests, req->plan.vm, s);
    rep->state = *s;
    if (f->balloon) {
        rep->state.memory = f->balloon * 2;
        s->memory = f->balloon;
        CHECK_OK(vmevents_changed(
            f->host_far, &(struct vmevents_changed_req){ .vm = s->vm, .what = "memory", .detail = "", .state = *s }));
    }
    return NULL;
}

static struct err *on_vm_op(struct ipc_call *c, struct host_vm_op_req *req, struct host_vm_op_rep *rep)
{
    struct fixture *f = c->ctx;
    struct vm_state *s = map_get(f->guests, req->vm);

    if (!s)
        return err_internal("no such guest");
    fiber_sleep(10000);
    s->power = strcmp(req->op, "pause") == 0 ? "Paused" : "Running";
    if (strcmp(req->op, "shutdown") == 0 || strcmp(req->op, "destroy") == 0) {
        s->power = "Halted";
        map_remove(f->guests, req->vm);
    }
    rep->state = *s;
    return NULL;
}

static struct err *on_auth(struct ipc_call *c, struct host_auth_req *req, struct host_auth_rep *rep)
{
    struct fixture *f = c->ctx;

    f->auth.most = ++f->auth.now > f->auth.most ? f->auth.now : f->auth.most;
    if (f->auth.us)
        fiber_sleep(f->auth.us);
    f->auth.now--;
    rep->ok = strcmp(req->password, "right") == 0;
    rep->superuser = strcmp(req->user, "root") == 0;
    rep->reason = rep->ok ? "" : "wrong password";
    return NULL;
}

static struct err *on_auth_change(
    struct ipc_call *c, struct host_auth_change_req *req, struct host_auth_change_rep *rep)
{
    (void)c;
    rep->known = strcmp(req->user, "root") == 0 && strcmp(req->old, "right") == 0;
    rep->ok = rep->known && *req->password;
    rep->reason = rep->ok ? "" : "no such password";
    return NULL;
}

static struct err *on_console(struct ipc_call *c, struct host_console_req *req, struct host_console_rep *rep)
{
    (void)c;
    (void)req;
    return fd_memfd("console", "", 0, &rep->stream);
}

static const struct host_ops host_fake = { .inventory = on_inventory,
    .vm_list = on_vm_list,
    .vm_start = on_vm_start,
    .vm_op = on_vm_op,
    .auth = on_auth,
    .auth_change = on_auth_change,
    .console = on_console };

static struct err *on_facts(struct ipc_call *c, struct machine_facts_req *req, struct machine_facts_rep *rep)
{
    (void)c;
    (void)req;
    *rep = (struct machine_facts_rep){ .hostname = "h1", .timezone = "UTC" };
    return NULL;
}

static const struct machine_ops machine_fake = { .facts = on_facts };

/* storage */

static struct err *on_drivers(struct ipc_call *c, struct storage_drivers_req *req, struct storage_drivers_rep *rep)
{
    static const char *const features[] = { "SR_CREATE", "SR_ATTACH", "SR_SCAN", "VDI_CREATE", "VDI_DELETE",
        "VDI_RESIZE" };
    static struct storage_driver drivers[2] = {
        { .type = "dir", .name = "dir", .description = "", .vendor = "", .version = "1", .content_type = "user" },
        { .type = "iso", .name = "iso", .description = "", .vendor = "", .version = "1", .content_type = "iso" }
    };

    (void)c;
    (void)req;
    for (size_t i = 0; i < 2; i++) {
        drivers[i].features = (const char **)(uintptr_t)features;
        drivers[i].n_features = i ? 3 : ARRAY_LEN(features);
    }
    rep->drivers = drivers;
    rep->n_drivers = 2;
    return NULL;
}

static struct err *ok_attach(struct ipc_call *c, struct storage_sr_attach_req *req)
{
    (void)c;
    (void)req;
    return NULL;
}

static struct err *on_scan(struct ipc_call *c, struct storage_sr_scan_req *req, struct storage_sr_scan_rep *rep)
{
    (void)c;
    (void)req;
    rep->stat.size = 1ULL << 40;
    return NULL;
}

static struct err *on_stat(struct ipc_call *c, struct storage_sr_stat_req *req, struct storage_sr_stat_rep *rep)
{
    (void)c;
    (void)req;
    rep->stat.size = 1ULL << 40;
    return NULL;
}

static struct err *on_vdi_create(
    struct ipc_call *c, struct storage_vdi_create_req *req, struct storage_vdi_create_rep *rep)
{
    (void)c;
    rep->vdi = (struct storage_vdi){ .uuid = req->uuid,
        .location = req->uuid,
        .name = req->name,
        .size = req->size,
        .type = req->type,
        .format = "qcow2" };
    return NULL;
}

static struct err *on_vdi_destroy(struct ipc_call *c, struct storage_vdi_destroy_req *req)
{
    struct fixture *f = c->ctx;

    if (!f->n_destroy_failures)
        return NULL;
    f->n_destroy_failures--;
    return err_internal("somebody still holds %s", req->uuid);
}

static const struct storage_ops storage_fake = { .drivers = on_drivers,
    .sr_attach = ok_attach,
    .sr_scan = on_scan,
    .sr_stat = on_stat,
    .vdi_create = on_vdi_create,
    .vdi_destroy = on_vdi_destroy };

/* net */

static struct err *on_net_scan(struct ipc_call *c, struct net_scan_req *req, struct net_scan_rep *rep)
{
    static struct net_nic nic = { .device = "eth0",
        .mac = "02:00:00:00:00:01",
        .mtu = 1500,
        .up = true,
        .carrier = true,
        .speed = 1000,
        .duplex = true,
        .ip = "192.0.2.1",
        .netmask = "255.255.255.0",
        .gateway = "",
        .dns = "",
        .gateway6 = "",
        .vendor = "",
        .product = "",
        .pci = "",
        .bridge = "",
        .physical = true };

    (void)c;
    (void)req;
    rep->nics = &nic;
    rep->n_nics = 1;
    return NULL;
}

static struct err *on_bridge_down(struct ipc_call *c, struct net_bridge_down_req *req)
{
    struct fixture *f = c->ctx;

    f->bridge_down = arena_strdup(f->arena, req->bridge);
    return NULL;
}

static struct err *on_bridge_up(struct ipc_call *c, struct net_bridge_up_req *req)
{
    struct fixture *f = c->ctx;

    f->network = req->network;
    f->network.bridge = arena_strdup(f->arena, req->network.bridge);
    f->network.uplink = arena_strdup(f->arena, req->network.uplink);
    if (!f->n_bridge_failures)
        return NULL;
    f->n_bridge_failures--;
    return err_internal("the bridge is up");
}

static struct err *stuck(struct fixture *f)
{
    if (!f->cable.n_failures)
        return NULL;
    f->cable.n_failures--;
    return err_internal("the cable is stuck");
}

static struct err *on_tap_lock(struct ipc_call *c, struct net_tap_lock_req *req)
{
    struct fixture *f = c->ctx;

    f->cable.vm = arena_strdup(f->arena, req->vm);
    f->cable.position = req->position;
    f->cable.kbps = req->lock.kbps;
    return stuck(f);
}

static struct err *on_tap_move(struct ipc_call *c, struct net_tap_move_req *req)
{
    struct fixture *f = c->ctx;

    f->cable.vm = arena_strdup(f->arena, req->vm);
    f->cable.bridge = arena_strdup(f->arena, req->network.bridge);
    f->cable.position = req->position;
    f->cable.kbps = req->lock.kbps;
    return stuck(f);
}

static const struct net_ops net_fake = { .scan = on_net_scan,
    .bridge_up = on_bridge_up,
    .bridge_down = on_bridge_down,
    .tap_lock = on_tap_lock,
    .tap_move = on_tap_move };

/* the whole */

void fixture_init(struct fixture *f, struct loop *l)
{
    *f = (struct fixture){ .loop = l, .guests = map_new(), .arena = arena_new() };
    f->config = (struct core_config){ .product_version = "1.0",
        .address = "",
        .sr_dir = "/sr",
        .iso_dir = "/iso",
        .hypervisor = "sim",
        .https_port = 443,
        .auth_delay_us = 5000000 };
    CHECK_OK(store_open(l, NULL, NULL, &f->store));
    f->core = core_new(l, f->store, &f->config);
    ipc_pair(l, &f->host, &f->host_far);
    ipc_pair(l, &f->storage, &f->storage_far);
    ipc_pair(l, &f->net, &f->net_far);
    ipc_pair(l, &f->gate, &f->gate_core);
    ipc_serve(f->host_far, &host_service, &host_fake, f);
    ipc_serve(f->host_far, &machine_service, &machine_fake, f);
    ipc_serve(f->storage_far, &storage_service, &storage_fake, f);
    ipc_serve(f->net_far, &net_service, &net_fake, f);
    core_mount_events(f->core, f->host);
    core_set_host(f->core, f->host);
    core_set_storage(f->core, f->storage);
    core_set_net(f->core, f->net);
    core_mount(f->core, f->gate_core);
    CHECK_OK(core_start(f->core, clock_now(l) + 1000000));
    f->session = fixture_result(f, fixture_call(f, "", "session.login_with_password", "root", "right", NULL));
}

void fixture_done(struct fixture *f)
{
    struct ipc_peer *peers[] = { f->gate, f->gate_core, f->host, f->host_far, f->storage, f->storage_far, f->net,
        f->net_far };

    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        ipc_close(peers[i]);
    for (int i = 0; i < 3000 && (i == 0 || fiber_count(f->loop) > 1); i++) /* what was under way notices and ends */
        fiber_sleep(1000);
    core_free(f->core);
    store_close(f->store);
    map_free(f->guests);
    arena_free(f->arena);
}

const char *fixture_call_values(
    struct fixture *f, const char *session, const char *method, const struct value *args, size_t n, bool async)
{
    const struct msg *m = model_msg_find(method);
    struct core_call_req req = { .envelope = ENVELOPE_JSONRPC2,
        .id = "1",
        .msg = m ? m->id : 0,
        .async = async,
        .session = session,
        .client = "192.0.2.9",
        .user_agent = "",
        .task_id = "",
        .subtask_of = "",
        .http_config = value_map(NULL, 0) };
    struct core_call_rep rep = { .body_fd = -1 };
    struct value *checked = arena_new_array(f->arena, m ? m->n_params + 1u : 1, struct value);

    CHECK(m);
    struct err *e = msg_check_args(f->arena, m, args, n, checked);
    if (e) {
        struct buf b;
        buf_init(&b, 65536);
        wire_error(&b, ENVELOPE_JSONRPC2, STR("1"), e);
        err_free(e);
        char *text = arena_strndup(f->arena, b.p, b.len);
        buf_done(&b);
        return text;
    }
    req.args = value_set(checked, m->n_params);
    CHECK_OK(core_call(f->gate, f->arena, &req, &rep));
    if (rep.body_fd > 0) {
        struct buf b;
        buf_init(&b, 64 << 20);
        CHECK_OK(fd_read_all(rep.body_fd, &b));
        fd_drop(&rep.body_fd);
        char *text = arena_strndup(f->arena, b.p, b.len);
        buf_done(&b);
        return text;
    }
    return arena_strndup(f->arena, rep.body.p, rep.body.len);
}

const char *fixture_call(struct fixture *f, const char *session, const char *method, ...)
{
    struct value args[16];
    size_t n = 0;
    va_list ap;

    va_start(ap, method);
    for (const char *s; (s = va_arg(ap, const char *)) && n < ARRAY_LEN(args);) {
        int64_t i = 0;
        if (s[0] == '#' && str_to_i64(str_of(s + 1), &i))
            args[n++] = value_int(i);
        else if (s[0] == '?')
            args[n++] = value_bool(s[1] == 't');
        else
            args[n++] = value_str(s);
    }
    va_end(ap);
    return fixture_call_values(f, session, method, args, n, false);
}

const char *fixture_result(struct fixture *f, const char *body)
{
    const char *p = strstr(body, "\"result\":\"");
    const char *end = p ? strchr(p + 10, '"') : NULL;

    CHECK(p && end);
    return p && end ? arena_strndup(f->arena, p + 10, (size_t)(end - p - 10)) : "";
}

void fixture_guest_changed(struct fixture *f, const char *vm_ref, const char *what, const char *power)
{
    const struct row *vm = store_find(f->store, vm_ref);
    const char *uuid = arena_strdup(f->arena, row_str(vm, F_VM_uuid));
    struct vmevents_changed_req req = {
        .vm = uuid, .what = what, .detail = "", .state = { .vm = uuid, .ref = vm_ref, .power = power, .domid = 5 }
    };

    if (strcmp(power, "Halted") == 0)
        map_remove(f->guests, uuid);
    CHECK_OK(vmevents_changed(f->host_far, &req));
    fiber_sleep(1000);
}
