#include "model/model.h"
#include <string.h>
#include <strings.h>
#include "gen/model.h"

size_t model_n_classes(void)
{
    return CLASS_COUNT;
}

const struct model_class *model_class(size_t id)
{
    return id < CLASS_COUNT ? &model_classes[id] : NULL;
}

/* The generator sorts classes by name without regard to case. */
const struct model_class *model_class_find_nocase(const char *name)
{
    size_t lo = 0, hi = CLASS_COUNT;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int cmp = strcasecmp(name, model_classes[mid].name);

        if (!cmp)
            return &model_classes[mid];
        if (cmp < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const struct model_class *model_class_find(const char *name)
{
    const struct model_class *c = model_class_find_nocase(name);

    return c && !strcmp(c->name, name) ? c : NULL;
}

const struct field *model_field_find(const struct model_class *c, const char *name)
{
    for (size_t i = 0; i < c->n_fields; i++)
        if (!strcmp(c->fields[i]->name, name) || !strcmp(c->fields[i]->db_name, name))
            return c->fields[i];
    return NULL;
}

size_t model_n_msgs(void)
{
    return MSG_COUNT;
}

const struct msg *model_msg(size_t id)
{
    return id < MSG_COUNT ? &model_msgs[id] : NULL;
}

/* strcmp() that reads a dot as an underscore: VM.start and VM_start are one message. */
static int spelling_cmp(const char *a, const char *b)
{
    for (;; a++, b++) {
        unsigned char x = *a == '.' ? '_' : (unsigned char)*a;
        unsigned char y = *b == '.' ? '_' : (unsigned char)*b;

        if (x != y)
            return x < y ? -1 : 1;
        if (!x)
            return 0;
    }
}

const struct msg *model_msg_find(const char *name)
{
    size_t lo = 0, hi = MSG_COUNT;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct msg *m = &model_msgs[model_msgs_by_name[mid]];
        int cmp = spelling_cmp(name, m->name);

        if (!cmp) /* a dot only where it belongs */
            return !strchr(name, '.') || !strcmp(name, m->name) ? m : NULL;
        if (cmp < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const char *role_name(enum role r)
{
    return r < ROLE_COUNT ? model_role_names[r] : "";
}

bool role_find(const char *name, enum role *ret_role)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (strcmp(model_role_names[r], name) != 0)
            continue;
        *ret_role = (enum role)r;
        return true;
    }
    return false;
}

bool enum_has(const struct model_enum *e, const char *value, const char **ret_canonical)
{
    const char *found = NULL;

    for (size_t i = 0; i < e->n_values; i++) {
        if (!strcmp(e->values[i], value)) {
            found = e->values[i];
            break;
        }
        if (!found && !strcasecmp(e->values[i], value))
            found = e->values[i];
    }
    if (found && ret_canonical)
        *ret_canonical = found;
    return found != NULL;
}
