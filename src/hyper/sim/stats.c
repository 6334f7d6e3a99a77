#include "hyper/sim/stats.h"
#include <math.h>
#include <string.h>
#include "gen/ipc_stats.h"
#include "gen/ipc_vm.h"

#define REQUEST 16384 /* bytes */
#define REQUEST_NS 120000

/* A number between 0 and 1 that belongs to this VM and this purpose. */
static double share(const char *uuid, unsigned purpose)
{
    uint64_t h = 0xcbf29ce484222325u + purpose * 0x9e3779b97f4a7c15u;

    for (; *uuid; uuid++)
        h = (h ^ (uint8_t)*uuid) * 0x100000001b3u;
    return (double)(h >> 40) / (double)(1 << 24);
}

/* What has gone by until t seconds, at a rate that swings between 0.2 and 1.8 of its mean. */
static double gone_by(const char *uuid, unsigned purpose, double t, double mean)
{
    double period = 120 + 1800 * share(uuid, purpose + 1), turn = 2 * M_PI / period;

    return mean * (t + 0.8 / turn * (1 - cos(turn * t + 6 * share(uuid, purpose + 2))));
}

void sim_stats_at(uint64_t wall_us, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret)
{
    double t = (double)wall_us / 1e6;

    ret->cpu_us = arena_new_array(a, plan->vcpus + 1u, uint64_t);
    for (; ret->n_cpu_us < plan->vcpus; ret->n_cpu_us++) {
        unsigned purpose = 1000 + 8 * (unsigned)ret->n_cpu_us;
        double mean = 0.02 + 0.4 * share(plan->vm, purpose);
        ret->cpu_us[ret->n_cpu_us] = (uint64_t)(gone_by(plan->vm, purpose, t, mean) * 1e6);
    }
    ret->disks = arena_new_array(a, plan->n_disks + 1, struct stats_disk);
    for (size_t i = 0; i < plan->n_disks; i++) {
        const struct vm_disk *d = &plan->disks[i];
        unsigned purpose = 100000 + 16 * (unsigned)i;
        bool idle = d->cd || !*d->vdi;
        uint64_t reads = idle ? 0 : (uint64_t)gone_by(plan->vm, purpose, t, 20 * share(plan->vm, purpose));
        uint64_t writes = idle ? 0 : (uint64_t)gone_by(plan->vm, purpose + 8, t, 10 * share(plan->vm, purpose + 8));

        ret->disks[ret->n_disks++] = (struct stats_disk){ .device = arena_strdup(a, d->device),
            .sr = arena_strdup(a, d->sr),
            .read_bytes = reads * REQUEST,
            .write_bytes = writes * REQUEST,
            .read_ops = reads,
            .write_ops = writes,
            .read_ns = reads * REQUEST_NS,
            .write_ns = writes * 2 * REQUEST_NS };
    }
    ret->memory_free = plan->memory_target / 4;
    ret->nics = arena_new_array(a, plan->n_nics + 1, struct stats_nic);
    for (size_t i = 0; i < plan->n_nics; i++) {
        unsigned purpose = 200000 + 16 * (unsigned)i;

        ret->nics[ret->n_nics++] = (struct stats_nic){ .position = plan->nics[i].position,
            .rx = (uint64_t)gone_by(plan->vm, purpose, t, 40000 * share(plan->vm, purpose)),
            .tx = (uint64_t)gone_by(plan->vm, purpose + 8, t, 20000 * share(plan->vm, purpose + 8)) };
    }
}
