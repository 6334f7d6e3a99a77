/* other_config:perfmon, which clients write: what is understood is sound, and is understood again from its own text. */
#include <stdint.h>
#include "base/mem.h"
#include "core/alarm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct alarm_variable v[ALARM_VARIABLES_MAX], again[ALARM_VARIABLES_MAX];
    char *text = mem_alloc(len + 1);

    memcpy(text, data, len);
    size_t n = alarm_parse(a, text, v);
    if (n > ALARM_VARIABLES_MAX)
        abort();
    for (size_t i = 0; i < n; i++) {
        if (!*v[i].name || v[i].level - v[i].level != 0)
            abort();
        if (strlen(v[i].xml) < 16000 && (alarm_parse(a, v[i].xml, again) != 1 || strcmp(again[0].name, v[i].name) != 0))
            abort();
    }
    free(text);
    return 0;
}
