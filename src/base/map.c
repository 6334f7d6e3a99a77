/*
 * Entries lie in an array in the order of insertion, an open-addressed table
 * of their indexes beside it. So a walk has an order that does not depend on
 * the seed: a simulated run replays.
 */
#include "base/map.h"
#include <pthread.h>
#include <string.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/uuid.h"

#define SLOT_EMPTY 0u
#define SLOT_GONE UINT32_MAX

struct entry {
    char *key; /* owned; NULL: removed */
    void *value;
    uint64_t hash;
};

struct map {
    struct entry *entries;
    uint32_t n_entries; /* with the removed ones */
    uint32_t len;
    uint32_t *slots;  /* entry index + 1, SLOT_EMPTY or SLOT_GONE */
    uint32_t n_slots; /* power of two, 0 at first */
};

static struct {
    pthread_once_t once;
    uint64_t k[2];
} seed = { .once = PTHREAD_ONCE_INIT };

static void make_seed(void)
{
    random_bytes(seed.k, sizeof(seed.k));
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3: Aumasson and Bernstein, in the variant that hash tables use. */
uint64_t hash_bytes(const void *p, size_t len)
{
    const char *at = p;
    uint64_t last = (uint64_t)len << 56, m;
    uint64_t v[4];

    pthread_once(&seed.once, make_seed);
    v[0] = seed.k[0] ^ 0x736f6d6570736575;
    v[1] = seed.k[1] ^ 0x646f72616e646f6d;
    v[2] = seed.k[0] ^ 0x6c7967656e657261;
    v[3] = seed.k[1] ^ 0x7465646279746573;
    for (; len >= 8; len -= 8, at += 8) {
        m = le64_get(at);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)(unsigned char)at[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
    return mem_new(struct map);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_entries; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->slots);
    free(m);
}

size_t map_len(const struct map *m)
{
    return m->len;
}

static uint32_t *slot_find(const struct map *m, const char *key, uint64_t hash)
{
    if (!m->n_slots)
        return NULL;
    for (uint32_t i = (uint32_t)hash & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
        uint32_t s = m->slots[i];

        if (s == SLOT_EMPTY)
            return NULL;
        if (s == SLOT_GONE)
            continue;
        if (m->entries[s - 1].hash == hash && strcmp(m->entries[s - 1].key, key) == 0)
            return &m->slots[i];
    }
}

static void slot_fill(struct map *m, uint32_t index)
{
    uint32_t i = (uint32_t)m->entries[index].hash & (m->n_slots - 1);

    while (m->slots[i] != SLOT_EMPTY)
        i = (i + 1) & (m->n_slots - 1);
    m->slots[i] = index + 1;
}

/* Drops removed entries and makes room for as many again; entries fill at most half of the slots. */
static void rebuild(struct map *m)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_entries; i++)
        if (m->entries[i].key)
            m->entries[n++] = m->entries[i];
    m->n_entries = n;
    m->n_slots = 16;
    while (m->n_slots / 4 < n + 1)
        m->n_slots *= 2;
    free(m->slots);
    m->slots = mem_new_array(m->n_slots, uint32_t);
    m->entries = mem_realloc(m->entries, m->n_slots / 2 * sizeof(struct entry));
    for (uint32_t i = 0; i < n; i++)
        slot_fill(m, i);
}

void *map_get(const struct map *m, const char *key)
{
    uint32_t *slot = slot_find(m, key, hash_bytes(key, strlen(key)));

    return slot ? m->entries[*slot - 1].value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
    uint64_t hash = hash_bytes(key, strlen(key));
    uint32_t *slot = slot_find(m, key, hash);

    if (slot) {
        void *old = m->entries[*slot - 1].value;

        m->entries[*slot - 1].value = value;
        return old;
    }
    if (m->n_entries >= m->n_slots / 2)
        rebuild(m);
    m->entries[m->n_entries] = (struct entry){ mem_strdup(key), value, hash };
    slot_fill(m, m->n_entries++);
    m->len++;
    return NULL;
}

void *map_remove(struct map *m, const char *key)
{
    uint32_t *slot = slot_find(m, key, hash_bytes(key, strlen(key)));
    struct entry *e;

    if (!slot)
        return NULL;
    e = &m->entries[*slot - 1];
    *slot = SLOT_GONE;
    free(e->key);
    e->key = NULL;
    m->len--;
    return e->value;
}

bool map_next(const struct map *m, size_t *it, const char **ret_key, void **ret_value)
{
    while (*it < m->n_entries) {
        const struct entry *e = &m->entries[(*it)++];

        if (!e->key)
            continue;
        if (ret_key)
            *ret_key = e->key;
        if (ret_value)
            *ret_value = e->value;
        return true;
    }
    return false;
}
