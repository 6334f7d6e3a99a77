/* One sample: what the kernel and the core tell, into the histories. */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "metric/proc.h"
#include "metric/room.h"

#define MIB 1048576.0
#define HOUR_TICKS 720 /* between two looks for files of what is gone */
#define GONE_MAX 20000

/* ---- one VM ---- */

/* Traffic of the VMs on one SR, by the first eight characters of its uuid. */
struct sr_load {
    char name[9];
    double read, write, read_ops, write_ops;
};

struct round {
    struct metric *m;
    uint64_t t_us;
    struct map *taps; /* VM uuid -> struct taps, owned */
    VEC(struct sr_load) srs;
};

struct taps {
    VEC(struct {
        int64_t position;
        char device[16];
    })
    each;
};

static void on_tap(void *ctx, const char *vm, int64_t position, const char *device)
{
    struct round *r = ctx;
    struct taps *t = map_get(r->taps, vm);

    if (!t) {
        t = mem_new(struct taps);
        map_put(r->taps, vm, t);
    }
    vec_reserve(&t->each, t->each.len + 1);
    t->each.p[t->each.len].position = position;
    snprintf(t->each.p[t->each.len++].device, 16, "%s", device);
}

static void read_vcpus(struct metric *m, const struct sample_vm *vm, struct readings *to)
{
    const struct stats_guest *g = &vm->guest;
    size_t n = g->n_cpu_us ? g->n_cpu_us : g->n_threads;
    double sum = 0;
    char number[24];

    for (size_t i = 0; i < n; i++) {
        double s = g->n_cpu_us ? (double)g->cpu_us[i] / 1e6 : proc_thread_s(m->proc_root, g->pid, g->threads[i]);
        snprintf(number, sizeof(number), "%zu", i);
        if (!isnan(s))
            reading_add(to, K_CPU, number, s);
        sum += s;
    }
    if (!n && g->pid && vm->vcpus) { /* its vCPUs are not known: the whole process then */
        sum = proc_process_s(m->proc_root, g->pid);
        n = vm->vcpus;
    }
    if (n && !isnan(sum))
        reading_add(to, K_CPU_USAGE, "", sum / (double)n);
}

static void read_nics(struct round *r, const struct sample_vm *vm, struct readings *to)
{
    const char *root = r->m->proc_root;
    const struct taps *t = map_get(r->taps, vm->guest.vm);
    char number[24];

    for (size_t i = 0; i < vm->guest.n_nics; i++) {
        snprintf(number, sizeof(number), "%lld", (long long)vm->guest.nics[i].position);
        reading_add(to, K_VIF_RX, number, (double)vm->guest.nics[i].rx);
        reading_add(to, K_VIF_TX, number, (double)vm->guest.nics[i].tx);
    }
    for (size_t i = 0; t && i < t->each.len; i++) { /* what the host sends on a tap, the guest receives */
        const char *device = t->each.p[i].device;
        snprintf(number, sizeof(number), "%lld", (long long)t->each.p[i].position);
        reading_add(to, K_VIF_RX, number, proc_net_counter(root, device, "tx_bytes"));
        reading_add(to, K_VIF_TX, number, proc_net_counter(root, device, "rx_bytes"));
        reading_add(to, K_VIF_RX_ERRORS, number, proc_net_counter(root, device, "tx_errors"));
        reading_add(to, K_VIF_TX_ERRORS, number, proc_net_counter(root, device, "rx_errors"));
    }
}

static void add_ratio(struct readings *to, enum kind_id kind, const char *instance, uint64_t ns, uint64_t n)
{
    reading_add(to, kind, instance, (double)ns / 1000);
    to->p[to->len - 1].by = (double)n;
}

static void read_disks(const struct sample_vm *vm, struct readings *to)
{
    for (size_t i = 0; i < vm->guest.n_disks; i++) {
        const struct stats_disk *d = &vm->guest.disks[i];
        double read = (double)d->read_bytes, write = (double)d->write_bytes;

        reading_add(to, K_VBD_READ, d->device, read);
        reading_add(to, K_VBD_WRITE, d->device, write);
        add_ratio(to, K_VBD_READ_LATENCY, d->device, d->read_ns, d->read_ops);
        add_ratio(to, K_VBD_WRITE_LATENCY, d->device, d->write_ns, d->write_ops);
        reading_add(to, K_VBD_IOPS_READ, d->device, (double)d->read_ops);
        reading_add(to, K_VBD_IOPS_WRITE, d->device, (double)d->write_ops);
        reading_add(to, K_VBD_IOPS_TOTAL, d->device, (double)d->read_ops + (double)d->write_ops);
        reading_add(to, K_VBD_MIB_READ, d->device, read / MIB);
        reading_add(to, K_VBD_MIB_WRITE, d->device, write / MIB);
        reading_add(to, K_VBD_MIB_TOTAL, d->device, (read + write) / MIB);
    }
}

static struct sr_load *load_of(struct round *r, const char *sr)
{
    struct sr_load made = { 0 };

    snprintf(made.name, sizeof(made.name), "%.8s", sr);
    for (size_t i = 0; i < r->srs.len; i++)
        if (strcmp(r->srs.p[i].name, made.name) == 0)
            return &r->srs.p[i];
    vec_push(&r->srs, made);
    return &r->srs.p[r->srs.len - 1];
}

static double rate(const struct history *h, enum kind_id kind, const char *instance)
{
    for (size_t i = 0; i < h->now.len; i++)
        if (h->now.p[i].kind == kind && strcmp(h->now.p[i].instance, instance) == 0)
            return isnan(h->now.p[i].value) ? 0 : h->now.p[i].value;
    return 0;
}

/* An SR's figures are the sums of rates: VMs come and go, so a sum of their counters would fall. */
static void load_srs(struct round *r, const struct history *h, const struct sample_vm *vm)
{
    for (size_t i = 0; i < vm->guest.n_disks; i++) {
        const struct stats_disk *d = &vm->guest.disks[i];
        if (!*d->sr)
            continue;
        struct sr_load *l = load_of(r, d->sr);
        l->read += rate(h, K_VBD_READ, d->device);
        l->write += rate(h, K_VBD_WRITE, d->device);
        l->read_ops += rate(h, K_VBD_IOPS_READ, d->device);
        l->write_ops += rate(h, K_VBD_IOPS_WRITE, d->device);
    }
}

/* ---- histories that come and go ---- */

static struct history *come(struct metric *m, const char *kind, const char *uuid, const char *label, bool min_max)
{
    char key[64];
    struct history *h = NULL;

    snprintf(key, sizeof(key), "%s-%s", kind, uuid);
    h = map_get(m->all, key);
    if (!h) {
        struct err *e = history_load(m->dir, kind, uuid, &h);
        if (e) {
            log_warn("figures are lost and begin anew", F("kind", kind), F("uuid", uuid), F("error", err_text(e)));
            err_free(e);
        }
        if (!h)
            h = history_new(kind, uuid, min_max);
        h->saved_us = clock_now(m->loop);
        map_put(m->all, key, h);
    }
    if (strcmp(h->label, label) != 0) {
        free(h->label);
        h->label = mem_strdup(label);
    }
    h->seen = true;
    return h;
}

static void save(struct metric *m, struct history *h)
{
    struct err *e = history_save(h, m->dir);

    if (e) {
        log_warn(
            "cannot keep figures, tried again later", F("kind", h->kind), F("uuid", h->uuid), F("error", err_text(e)));
        err_free(e);
    }
    h->saved_us = clock_now(m->loop);
}

/* Those not seen go into their files; of the others, those whose turn it is are written. */
static void go(struct metric *m, bool vms_known, uint64_t save_us)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(m->all, &it, &key, &v);) {
        struct history *h = v;
        bool leaves = !h->seen && (vms_known || strcmp(h->kind, "vm") != 0) && strcmp(h->kind, "host") != 0;

        if (leaves || clock_now(m->loop) - h->saved_us >= save_us)
            save(m, h);
        h->seen = false;
        if (leaves) {
            map_remove(m->all, key);
            history_free(h);
        }
    }
}

/* ---- the round ---- */

static void take_vm(struct round *r, const struct sample_vm *vm, bool min_max)
{
    struct readings now = { 0 };
    struct history *h = come(r->m, "vm", vm->guest.vm, vm->name, min_max);

    read_vcpus(r->m, vm, &now);
    reading_add(&now, K_MEMORY, "", (double)vm->memory);
    reading_add(&now, K_MEMORY_TARGET, "", (double)vm->memory_target);
    if (vm->guest.memory_free)
        reading_add(&now, K_MEMORY_INTERNAL_FREE, "", (double)vm->guest.memory_free / 1024);
    read_nics(r, vm, &now);
    read_disks(vm, &now);
    history_update(h, r->t_us, &now);
    load_srs(r, h, vm);
}

static void take_sr(struct round *r, const struct sample_sr *sr)
{
    struct readings now = { 0 };
    struct history *h = come(r->m, "sr", sr->uuid, sr->name, false);

    reading_add(&now, K_PHYSICAL_SIZE, "", (double)sr->size);
    reading_add(&now, K_PHYSICAL_UTILISATION, "", (double)sr->used);
    reading_add(&now, K_VIRTUAL_ALLOCATION, "", (double)sr->allocated);
    history_update(h, r->t_us, &now);
}

static void read_srs(const struct round *r, struct readings *to)
{
    for (size_t i = 0; i < r->srs.len; i++) {
        const struct sr_load *l = &r->srs.p[i];
        reading_add(to, K_SR_READ, l->name, l->read / MIB);
        reading_add(to, K_SR_WRITE, l->name, l->write / MIB);
        reading_add(to, K_SR_TOTAL, l->name, (l->read + l->write) / MIB);
        reading_add(to, K_SR_IOPS_READ, l->name, l->read_ops);
        reading_add(to, K_SR_IOPS_WRITE, l->name, l->write_ops);
        reading_add(to, K_SR_IOPS_TOTAL, l->name, l->read_ops + l->write_ops);
    }
}

static void read_from_core(const struct round *r, const struct sample_take_rep *rep, struct readings *to)
{
    double sums[2] = { 0 }, vcpus = 0, running = 0;

    for (size_t i = 0; i < rep->n_pifs; i++)
        proc_read_pif(r->m->proc_root, rep->pifs[i], to, sums);
    if (rep->n_pifs) {
        reading_add(to, K_PIF_AGGR_RX, "", sums[0]);
        reading_add(to, K_PIF_AGGR_TX, "", sums[1]);
    }
    reading_add(to, K_SESSIONS, "", (double)rep->sessions);
    reading_add(to, K_TASKS, "", (double)rep->tasks);
    if (!rep->vms_known)
        return;
    for (size_t i = 0; i < rep->n_vms; i++) {
        running += rep->vms[i].running;
        vcpus += rep->vms[i].running ? rep->vms[i].vcpus : 0;
    }
    reading_add(to, K_RUNNING_VCPUS, "", vcpus);
    reading_add(to, K_RUNNING_DOMAINS, "", running);
    read_srs(r, to);
}

static void take_host(struct round *r, const struct sample_take_rep *rep, const uint64_t memory[2])
{
    struct readings now = { 0 };
    struct history *h = NULL;

    if (rep)
        snprintf(r->m->host, sizeof(r->m->host), "%s", rep->host);
    if (!*r->m->host)
        return;
    h = come(r->m, "host", r->m->host, "", false);
    if (rep && strcmp(h->label, rep->host_name) != 0) {
        free(h->label);
        h->label = mem_strdup(rep->host_name);
    }
    proc_read_cpus(r->m->proc_root, &now);
    proc_read_load(r->m->proc_root, &now);
    reading_add(&now, K_MEMORY_TOTAL_KIB, "", (double)memory[0]);
    reading_add(&now, K_MEMORY_FREE_KIB, "", (double)memory[1]);
    if (rep)
        read_from_core(r, rep, &now);
    history_update(h, r->t_us, &now);
}

static void free_taps(struct map *taps)
{
    const char *vm;
    void *v;

    for (size_t it = 0; map_next(taps, &it, &vm, &v);) {
        struct taps *t = v;
        vec_done(&t->each);
        free(t);
    }
    map_free(taps);
}

static struct err *ask_core(struct metric *m, struct arena *a, const uint64_t memory[2], struct sample_take_rep *rep)
{
    struct sample_take_req req = { .memory_total = memory[0], .memory_free = memory[1] };
    struct ipc_peer *core = m->core ? ipc_ref(m->core) : NULL;

    if (!core)
        return err_internal("no core is there");
    struct err *e = sample_take(core, a, &req, rep);
    ipc_unref(core);
    return e;
}

static size_t list_files(struct metric *m, struct arena *a, const char **names, size_t max)
{
    int fd = openat(m->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    char kind[8], uuid[40];
    size_t n = 0;

    if (!d) {
        fd_drop(&fd);
        return 0;
    }
    for (struct dirent *e; n < max && (e = readdir(d));)
        if (history_file_name(e->d_name, kind, uuid))
            names[n++] = arena_strdup(a, e->d_name);
    closedir(d);
    return n;
}

/* Files of what was destroyed. */
static void clean(struct metric *m, struct arena *a)
{
    const char **names = arena_new_array(a, GONE_MAX, const char *);
    struct sample_gone_req req = { .objects = names, .n_objects = list_files(m, a, names, GONE_MAX) };
    struct sample_gone_rep rep = { 0 };
    struct ipc_peer *core = m->core ? ipc_ref(m->core) : NULL;
    struct err *e = core ? sample_gone(core, a, &req, &rep) : NULL;
    char kind[8], uuid[40];

    ipc_unref(core);
    if (e)
        err_ignore(e, "asked again in an hour");
    for (size_t i = 0; i < rep.n_gone; i++)
        if (history_file_name(rep.gone[i], kind, uuid) && !map_get(m->all, rep.gone[i]))
            unlinkat(m->dir, rep.gone[i], 0);
}

/* Told once: without a core there is nobody to raise an alert, and the figure will be across its level again. */
static void watch(struct metric *m, const struct sample_take_rep *rep)
{
    struct ipc_peer *core = m->core ? ipc_ref(m->core) : NULL;

    for (size_t i = 0; i < rep->n_watches; i++) {
        const struct sample_watch *w = &rep->watches[i];
        const struct history *h = metric_find(m, w->kind, w->uuid);
        struct sample_crossed_req told = { .kind = w->kind, .uuid = w->uuid, .name = w->name };

        if (alarms_feed(m->alarms, w, h ? alarms_value(h, w->name) : NAN, clock_now(m->loop), &told.value) && core)
            err_ignore(sample_crossed(core, &told), "it went away");
    }
    alarms_sweep(m->alarms);
    ipc_unref(core);
}

void metric_tick(struct metric *m)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct round r = { .m = m, .t_us = clock_wall(m->loop), .taps = map_new() };
    struct sample_take_rep rep = { 0 };
    uint64_t memory[2];

    proc_read_memory(memory, m->proc_root);
    struct err *e = ask_core(m, a, memory, &rep);
    if (e)
        err_ignore(e, "the host's own figures go on, the rest has a gap");
    bool told = !e, vms_known = told && rep.vms_known;
    if (vms_known && rep.n_vms)
        proc_each_tap(m->proc_root, on_tap, &r);
    for (size_t i = 0; vms_known && i < rep.n_vms; i++)
        take_vm(&r, &rep.vms[i], rep.min_max);
    for (size_t i = 0; told && i < rep.n_srs; i++)
        take_sr(&r, &rep.srs[i]);
    take_host(&r, told ? &rep : NULL, memory);
    if (vms_known)
        watch(m, &rep);
    if (told)
        go(m, vms_known, m->config.save_us);
    if (told && m->n_ticks++ % HOUR_TICKS == 0)
        clean(m, a);
    free_taps(r.taps);
    vec_done(&r.srs);
}

void metric_save(struct metric *m)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(m->all, &it, &key, &v);)
        save(m, v);
}
