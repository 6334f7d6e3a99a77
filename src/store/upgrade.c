#include "store/upgrade.h"
#include "base/str.h"

/* The schema this program writes. Raise the minor number with any step below. */
static const struct upgrade_plan current = { .major = 1, .minor = 0, .steps = NULL, .n_steps = 0 };

const struct upgrade_plan *upgrade_plan_current(void)
{
    return &current;
}

static bool before(int major, int minor, const struct upgrade_step *s)
{
    return major < s->major || (major == s->major && minor < s->minor);
}

struct err *upgrade_run(
    const struct upgrade_plan *p, int from_major, int from_minor, struct arena *a, struct upgrade_row *row)
{
    for (size_t i = 0; i < p->n_steps && row->class; i++) {
        const struct upgrade_step *s = &p->steps[i];

        if (before(from_major, from_minor, s) && (!s->class || cstr_eq(s->class, row->class)))
            TRY(s->run(a, row));
    }
    return NULL;
}
