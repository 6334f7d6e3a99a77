#include "metric/alarm.h"
#include <math.h>
#include <string.h>
#include "base/map.h"
#include "base/mem.h"

struct state {
    uint64_t since_us, quiet_until_us;
    double sum;
    unsigned n; /* samples across the level in a row */
    bool fed;
};

struct alarms {
    struct map *states; /* "kind uuid name" -> struct state, owned */
};

struct alarms *alarms_new(void)
{
    struct alarms *a = mem_new(struct alarms);

    a->states = map_new();
    return a;
}

void alarms_free(struct alarms *a)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(a->states, &it, &key, &v);)
        free(v);
    map_free(a->states);
    free(a);
}

/* Names that stand for more than one source. */
static const struct {
    const char *name;
    enum kind_id kinds[4];
    size_t n;
} sums[] = {
    { "cpu_usage", { K_CPU_USAGE, K_CPU_AVG }, 2 }, /* of a VM, of a host: an object has one of them */
    { "network_usage", { K_VIF_RX, K_VIF_TX, K_PIF_AGGR_RX, K_PIF_AGGR_TX }, 4 },
    { "disk_usage", { K_VBD_READ, K_VBD_WRITE }, 2 },
};

static double sum_of(const struct history *h, const enum kind_id *ids, size_t n)
{
    double sum = NAN;

    for (size_t i = 0; i < h->now.len; i++)
        for (size_t k = 0; k < n; k++)
            if (h->now.p[i].kind == ids[k] && !isnan(h->now.p[i].value))
                sum = isnan(sum) ? h->now.p[i].value : sum + h->now.p[i].value;
    return sum;
}

/* Part of the host's memory that is in use. */
static double memory_used(const struct history *h)
{
    const struct reading *total = history_find(h, "memory_total_kib"), *left = history_find(h, "memory_free_kib");

    return total && left && total->value > 0 ? 1 - left->value / total->value : NAN;
}

double alarms_value(const struct history *h, const char *name)
{
    const struct reading *r = NULL;

    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        if (strcmp(sums[i].name, name) == 0)
            return sum_of(h, sums[i].kinds, sums[i].n);
    if (strcmp(name, "mem_usage") == 0)
        return memory_used(h);
    r = history_find(h, name);
    return r ? r->value : NAN;
}

static struct state *state_of(struct alarms *a, const struct sample_watch *w)
{
    AUTO(mem_drop) char *key = mem_printf("%s %s %s", w->kind, w->uuid, w->name);
    struct state *s = map_get(a->states, key);

    if (!s) {
        s = mem_new(struct state);
        map_put(a->states, key, s);
    }
    return s;
}

bool alarms_feed(struct alarms *a, const struct sample_watch *w, double value, uint64_t now_us, double *ret_mean)
{
    struct state *s = state_of(a, w);

    s->fed = true;
    if (isnan(value) || now_us < s->quiet_until_us || !(w->low ? value < w->level : value > w->level)) {
        s->n = 0;
        return false;
    }
    if (s->n++ == 0) {
        s->since_us = now_us;
        s->sum = 0;
    }
    s->sum += value;
    if (now_us - s->since_us < (uint64_t)w->period_s * 1000000)
        return false;
    *ret_mean = s->sum / s->n;
    s->n = 0;
    s->quiet_until_us = now_us + (uint64_t)w->inhibit_s * 1000000;
    return true;
}

void alarms_sweep(struct alarms *a)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(a->states, &it, &key, &v);) {
        struct state *s = v;
        if (!s->fed) {
            map_remove(a->states, key);
            free(s);
        } else {
            s->fed = false;
        }
    }
}
