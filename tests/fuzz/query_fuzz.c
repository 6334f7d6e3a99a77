#include <string.h>
#include "base/arena.h"
#include "base/err.h"
#include "gen/model.h"
#include "model/query.h"

/* Query expressions come from clients. Whatever parses must also run. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct value get(void *arg UNUSED, const struct field *f)
{
    return f->dflt ? *f->dflt : type_empty(f->type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct query *q = NULL;
    struct err *e = query_parse(a, C_VM, arena_strndup(a, (const char *)data, size), &q);

    if (e)
        err_ignore(e, "most inputs are no expressions");
    else
        query_match(q, get, NULL);
    return 0;
}
