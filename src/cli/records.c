#include "cli/records.h"
#include <string.h>

/* What a noun without class of its own means, and what lists show. */
static const struct {
    const char *name, *class, *where, *params;
} known[] = {
    { "template", "VM", "is-a-template=true,is-a-snapshot=false", "uuid,name-label,name-description" },
    { "snapshot", "VM", "is-a-snapshot=true",
        "uuid,name-label,name-description,snapshot-of,snapshot-time,is-vmss-snapshot" },
    { "drtask", "DR_task", "", "" },
    { "appliance", "VM_appliance", "", "" },
    { "update", "Pool_update", "", "" },
    { "patch", "Pool_patch", "", "" }, /* so far those that are no class's own name */
#define N_EXTRA 6
    { "vm", "VM", "is-a-template=false", "uuid,name-label,power-state" },
    { "host-cpu", "host_cpu", "", "uuid,number,vendor,speed,utilisation" },
    { "host", "host", "", "uuid,name-label,name-description" },
    { "pool", "pool", "", "uuid,name-label,name-description,master,default-SR" },
    { "pif", "PIF", "", "uuid,device,VLAN,currently-attached,network-uuid" },
    { "bond", "Bond", "", "uuid,master,slaves" },
    { "vlan", "VLAN", "", "uuid,tagged-PIF,untagged-PIF,tag" },
    { "vif", "VIF", "", "uuid,device,vm-uuid,network-uuid" },
    { "network", "network", "", "uuid,name-label,name-description,bridge" },
    { "console", "console", "", "uuid,vm-uuid,vm-name-label,protocol,location" },
    { "vdi", "VDI", "", "uuid,name-label,name-description,sr-uuid,virtual-size,sharable,read-only" },
    { "vbd", "VBD", "", "uuid,vm-uuid,vm-name-label,vdi-uuid,empty,device" },
    { "sm", "SM", "", "uuid,type,name-label,name-description,vendor,copyright,configuration" },
    { "sr", "SR", "", "uuid,name-label,name-description,host,type,content-type" },
    { "pbd", "PBD", "", "uuid,host-uuid,sr-uuid,device-config,currently-attached" },
    { "task", "task", "", "uuid,name-label,name-description,status,progress" },
    { "subject", "subject", "", "uuid,subject-identifier,other-config,roles" },
    { "role", "role", "", "uuid,name,description" },
    { "secret", "secret", "", "uuid" },
    { "message", "message", "", "uuid,name,priority,class,obj-uuid,timestamp,body" },
    { "pgpu", "PGPU", "", "uuid,vendor-name,device-name,gpu-group-uuid" },
    { "vgpu", "VGPU", "", "uuid,vm-uuid,device,gpu-group-uuid" },
    { "vtpm", "VTPM", "", "uuid,vm,is_unique,is_protected" },
    { "gpu-group", "GPU_group", "", "uuid,name-label,name-description" },
    { "vgpu-type", "VGPU_type", "", "uuid,vendor-name,model-name,max-resolution-x,max-resolution-y,max-heads" },
    { "pusb", "PUSB", "", "uuid,path,product-id,product-desc,vendor-id,vendor-desc,serial,version,description,speed" },
    { "usb-group", "USB_group", "", "uuid,name-label,name-description" },
    { "vusb", "VUSB", "", "uuid,vm-uuid,usb-group-uuid" },
    { "tunnel", "tunnel", "", "uuid,transport-PIF,access-PIF,status" },
    { "certificate", "Certificate", "", "uuid,type,name,host,not-before,not-after,fingerprint" },
    { "repository", "Repository", "",
        "uuid,name-label,name-description,binary-url,source-url,update,hash,up-to-date,gpgkey-path" },
    { "feature", "Feature", "", "uuid,name-label,name-description,enabled,experimental,version,host-uuid" },
    { "host-crashdump", "host_crashdump", "", "uuid,timestamp,size" },
};

size_t noun_extra(const struct noun **ret)
{
    static struct noun list[N_EXTRA];

    for (size_t i = 0; i < N_EXTRA; i++)
        list[i] =
            (struct noun){ known[i].name, model_class_find_nocase(known[i].class), known[i].where, known[i].params };
    *ret = list;
    return N_EXTRA;
}

bool noun_find(struct arena *a, const char *name, struct noun *ret)
{
    char *class = arena_strdup(a, name);
    const struct model_class *c;

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *ret = (struct noun){ known[i].name, model_class_find_nocase(known[i].class), known[i].where,
                known[i].params };
            return ret->class != NULL;
        }
    for (char *p = class; *p; p++)
        *p = (char)(*p == '-' ? '_' : *p);
    c = model_class_find_nocase(class);
    *ret = (struct noun){ arena_strdup(a, name), c, "", "" };
    return c != NULL;
}

/* Filters */

struct filter {
    const struct xe_field *field;
    const char *key; /* of a map; "contains" of a set */
    const char *value;
    bool differs, any_case;
};

struct filters {
    struct xe_field *fields;
    size_t n_fields;
    struct filter *list;
    size_t n;
};

static struct err *filter_make(
    struct xe *x, const struct noun *noun, struct filters *f, const char *name, const char *value)
{
    size_t len = strlen(name);
    bool differs = len > 1 && name[len - 1] == '/'; /* power-state/=halted: the word was split at '=' */
    const char *key = NULL;
    const struct xe_field *field =
        xe_field_split(x->arena, f->fields, f->n_fields, differs ? arena_strndup(x->arena, name, len - 1) : name, &key);

    if (!field)
        return usage("Unknown parameter '%s': see 'xe %s-list params=all' for the fields", name, noun->name);
    f->list[f->n++] = (struct filter){
        .field = field,
        .key = key,
        .value = value,
        .differs = differs,
        .any_case = strcmp(field->name, "MAC") == 0,
    };
    return NULL;
}

/* What the noun itself demands, where the user says nothing of the same field. */
static struct err *filter_defaults(struct xe *x, const struct noun *noun, struct filters *f)
{
    size_t n_given = f->n;
    const char **pieces;
    size_t n = comma_split(x->arena, noun->where, &pieces);
    struct str name, value;

    for (size_t i = 0; i < n; i++) {
        bool given = false;

        str_cut(str_of(pieces[i]), '=', &name, &value);
        for (size_t k = 0; k < n_given; k++)
            given = given || str_eq_c(name, f->list[k].field->name) || strcmp(f->list[k].field->name, "uuid") == 0;
        if (!given)
            TRY(filter_make(
                x, noun, f, arena_strndup(x->arena, name.p, name.len), arena_strndup(x->arena, value.p, value.len)));
    }
    return NULL;
}

static struct err *filters_make(struct xe *x, const struct noun *noun, struct filters *ret)
{
    struct filters f = { 0 };

    f.n_fields = xe_fields(x->arena, noun->class, &f.fields);
    f.list = arena_new_array(x->arena, x->args.n + 4, struct filter);
    for (size_t i = 0; i < x->args.n; i++)
        if (!x->args.list[i].used)
            TRY(filter_make(x, noun, &f, x->args.list[i].name, x->args.list[i].value));
    TRY(filter_defaults(x, noun, &f));
    *ret = f;
    return NULL;
}

static bool text_matches(const struct filter *f, const char *text)
{
    return f->any_case ? str_eq_nocase(str_of(text), str_of(f->value)) : strcmp(text, f->value) == 0;
}

static bool part_matches(struct xe *x, const struct filter *f, const struct value *record)
{
    const struct value *v = xe_field_value(x, f->field, record);
    const struct type *t = f->field->hop ? f->field->hop->type : f->field->field ? f->field->field->type : NULL;

    if (!v || !t)
        return false;
    if (v->kind == V_MAP && t->elem)
        v = value_map_get(v, f->key), t = t->elem;
    else if (v->kind == V_SET && strcmp(f->key, "contains") == 0) {
        for (size_t i = 0; i < v->n; i++)
            if (text_matches(f, xe_value_text(x, t->elem, &v->items[i], "; ")))
                return true;
        return false;
    }
    return v && text_matches(f, xe_value_text(x, t, v, "; "));
}

static bool matches(struct xe *x, const struct filters *f, const struct rec *r)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct filter *one = &f->list[i];
        bool same = one->key ? part_matches(x, one, r->record)
                             : text_matches(one, xe_field_text(x, one->field, r->ref, r->record, true));

        if (same == one->differs)
            return false;
    }
    return true;
}

struct err *records_match(struct xe *x, const struct noun *noun, const struct rec *r, bool *ret)
{
    struct filters f;

    TRY(filters_make(x, noun, &f));
    *ret = matches(x, &f, r);
    return NULL;
}

static int by_name(const void *pa, const void *pb)
{
    const struct rec *a = pa, *b = pb;
    int order = strcmp(value_map_str(a->record, "name_label"), value_map_str(b->record, "name_label"));

    return order ? order : strcmp(value_map_str(a->record, "uuid"), value_map_str(b->record, "uuid"));
}

/* One object asked for by its uuid need not have all of them read. */
static struct err *read_records(struct xe *x, const struct noun *noun, const struct filters *f, struct value *ret)
{
    struct value found, *pair;

    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->list[i].field->name, "uuid") != 0 || f->list[i].differs)
            continue;
        struct err *e =
            CALL(x, &found, arena_printf(x->arena, "%s.get_by_uuid", noun->class->name), S(f->list[i].value));
        if (e && !err_is(e, "UUID_INVALID"))
            return e;
        *ret = value_map(NULL, 0);
        if (e) {
            err_ignore(e, "nothing matches");
            return NULL;
        }
        pair = arena_new_array(x->arena, 2, struct value);
        pair[0] = found;
        TRY(xe_record(x, noun->class, found.s, &pair[1]));
        *ret = value_map(pair, 1);
        return NULL;
    }
    return CALL0(x, ret, arena_printf(x->arena, "%s.get_all_records", noun->class->name));
}

struct err *records_select(struct xe *x, const struct noun *noun, struct rec **ret, size_t *ret_n)
{
    struct filters f;
    struct value all;
    struct rec *list;
    size_t n = 0;

    TRY(filters_make(x, noun, &f));
    TRY(read_records(x, noun, &f, &all));
    if (all.kind != V_MAP)
        return usage("the server's answer holds no records");
    list = arena_new_array(x->arena, all.n + 1UL, struct rec);
    for (size_t i = 0; i < all.n; i++)
        map_put(x->records, all.items[2 * i].s, (void *)(uintptr_t)&all.items[2 * i + 1]);
    for (size_t i = 0; i < all.n; i++) {
        list[n] = (struct rec){ all.items[2 * i].s, &all.items[2 * i + 1] };
        n += matches(x, &f, &list[n]);
    }
    qsort(list, n, sizeof(*list), by_name);
    *ret = list;
    *ret_n = n;
    return NULL;
}

/* Picking */

static struct err *pick_named(struct xe *x, const struct noun *noun, const char *text, struct rec **ret, size_t *ret_n)
{
    struct rec *r = arena_new_of(x->arena, struct rec);
    struct value *record = arena_new_of(x->arena, struct value);

    TRY(no_argument_left(x));
    TRY(xe_find(x, noun->class, text, &r->ref));
    if (strcmp(r->ref, REF_NULL) == 0)
        return usage("no %s is named", noun->name);
    TRY(xe_record(x, noun->class, r->ref, record));
    r->record = record;
    *ret = r;
    *ret_n = 1;
    return NULL;
}

struct err *records_pick(struct xe *x, const struct noun *noun, struct rec **ret, size_t *ret_n)
{
    const char *names =
        arena_printf(x->arena, "uuid,%s,%s-uuid,%s-name,%s-id", noun->name, noun->name, noun->name, noun->name);
    const char *text = arg_any(&x->args, names);
    bool multiple = false;
    struct rec *list = NULL;
    size_t n = 0;

    TRY(arg_bool(&x->args, "multiple", false, &multiple));
    if (text)
        return pick_named(x, noun, text, ret, ret_n);
    TRY(records_select(x, noun, &list, &n));
    if (!n)
        return usage("No matching %s found", noun->name);
    if (n > 1 && !multiple)
        return usage(
            "%zu of class %s match: name one with %s=UUID, or say --multiple", n, noun->class->name, noun->name);
    *ret = list;
    *ret_n = n;
    return NULL;
}

struct err *records_pick_one(struct xe *x, const struct noun *noun, struct rec *ret)
{
    struct rec *list = NULL;
    size_t n = 0;

    TRY(records_pick(x, noun, &list, &n));
    if (n != 1)
        return usage("%zu objects match, but this can be done with one only", n);
    *ret = list[0];
    return NULL;
}

/* Printing */

/* "all" or a list of names to fields. */
static struct err *choose(struct xe *x, const struct noun *noun, const char *params, const struct xe_field *fields,
    size_t n_fields, const struct xe_field ***ret, size_t *ret_n)
{
    const char **names;
    size_t n = comma_split(x->arena, params, &names);
    const struct xe_field **chosen;

    chosen = arena_new_array(x->arena, n + n_fields, const struct xe_field *);
    if (strcmp(params, "all") == 0) {
        for (size_t i = 0; i < n_fields; i++)
            chosen[i] = &fields[i];
        *ret = chosen;
        *ret_n = n_fields;
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        chosen[i] = xe_field_find(fields, n_fields, names[i]);
        if (!chosen[i])
            return usage("Unknown parameter '%s': see 'xe %s-list params=all' for the fields", names[i], noun->name);
    }
    *ret = chosen;
    *ret_n = n;
    return NULL;
}

static const char *usual_params(struct xe *x, const struct noun *noun, const struct xe_field *fields, size_t n_fields)
{
    const char *params = "";

    if (*noun->params)
        return noun->params;
    for (size_t i = 0; i < n_fields; i++)
        if (strcmp(fields[i].name, "uuid") == 0 || cstr_starts(fields[i].name, "name-") ||
            (fields[i].field && !fields[i].as_name && fields[i].field->type->kind == TYPE_REF))
            params = arena_printf(x->arena, "%s%s%s", params, *params ? "," : "", fields[i].name);
    return params;
}

static struct err *print_all(
    struct xe *x, const struct noun *noun, const char *params, const struct rec *list, size_t n, bool full)
{
    struct xe_field *fields;
    const struct xe_field **chosen = NULL;
    size_t n_fields = xe_fields(x->arena, noun->class, &fields), n_chosen = 0;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1UL << 30);
    if (!params)
        params = usual_params(x, noun, fields, n_fields);
    TRY(choose(x, noun, params, fields, n_fields, &chosen, &n_chosen));
    struct cell *cells = arena_new_array(x->arena, n_chosen + 1, struct cell);
    for (size_t i = 0; i < n; i++) {
        if (x->args.minimal && n_chosen) {
            print_minimal(&b, xe_field_text(x, chosen[0], list[i].ref, list[i].record, full), i == 0);
            continue;
        }
        for (size_t k = 0; k < n_chosen; k++)
            cells[k] = (struct cell){
                .name = arena_printf(x->arena, "%s (%s)", chosen[k]->name, xe_field_mode(x->arena, chosen[k])),
                .value = xe_field_text(x, chosen[k], list[i].ref, list[i].record, full),
            };
        print_cells(&b, cells, n_chosen);
    }
    if (x->args.minimal)
        buf_add_char(&b, '\n');
    print_out(&b);
    return NULL;
}

struct err *records_print(struct xe *x, const struct noun *noun, const char *params, const struct rec *list, size_t n)
{
    return print_all(x, noun, params, list, n, false);
}

struct err *records_print_full(
    struct xe *x, const struct noun *noun, const char *params, const struct rec *list, size_t n)
{
    return print_all(x, noun, params, list, n, true);
}

struct err *no_argument_left(struct xe *x)
{
    for (size_t i = 0; i < x->args.n; i++)
        if (!x->args.list[i].used)
            return usage("Unknown parameter '%s': see 'xe help %s'", x->args.list[i].name, x->args.verb);
    return NULL;
}
