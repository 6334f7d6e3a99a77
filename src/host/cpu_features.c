#include "host/cpu_features.h"
#include <stdint.h>
#include "base/arena.h"
#include "base/compiler.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint32_t word(uint32_t leaf, uint32_t subleaf, char reg)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;

    if (!__get_cpuid_count(leaf, subleaf, &a, &b, &c, &d))
        return 0; /* beyond the highest leaf */
    return reg == 'a' ? a : reg == 'b' ? b : reg == 'c' ? c : d;
}

const char *cpu_features(struct arena *a)
{
    uint32_t w[] = { word(1, 0, 'd'), word(1, 0, 'c'), word(0x80000001, 0, 'd'), word(0x80000001, 0, 'c'),
        word(0xd, 1, 'a'), word(7, 0, 'b'), word(7, 0, 'c'), word(0x80000007, 0, 'd'), word(0x80000008, 0, 'b'),
        word(7, 0, 'd'), word(7, 1, 'a') };
    char *text = arena_printf(a, "%08x", w[0]);

    for (unsigned i = 1; i < ARRAY_LEN(w); i++)
        text = arena_printf(a, "%s-%08x", text, w[i]);
    return text;
}
#else
const char *cpu_features(struct arena *a)
{
    (void)a;
    return "";
}
#endif
