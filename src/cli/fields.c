#include "cli/fields.h"
#include <ctype.h>
#include <string.h>
#include "cli/asked.h"

#define FIELD_NAME_MAX 80

/* Names that do not follow from the model's. */
static const struct {
    const char *class, *field, *name;
} renamed[] = {
    { "VM", "domid", "dom-id" },
    { "VM", "consoles", "console-uuids" },
    { "VM", "suspend_VDI", "suspend-VDI-uuid" },
    { "VM", "suspend_SR", "suspend-SR-uuid" },
    { "VM", "last_booted_record", "last-boot-record" },
    { "VM", "VTPMs", "vtpms" },
    { "VTPM", "VM", "vm" },
    { "VTPM", "is_unique", "is_unique" },
    { "VTPM", "is_protected", "is_protected" },
    { "VGPU", "type", "type-uuid" },
    { "VGPU", "extra_args", "extra_args" },
    { "GPU_group", "VGPUs", "VGPU-uuids" },
    { "GPU_group", "PGPUs", "PGPU-uuids" },
    { "USB_group", "VUSBs", "VUSB-uuids" },
    { "USB_group", "PUSBs", "PUSB-uuids" },
    { "Certificate", "host", "host" },
    { "Cluster_host", "cluster", "cluster" },
    { "Cluster_host", "PIF", "PIF" },
    { "Cluster_host", "host", "host" },
    { "Pool_patch", "pool_update", "update" },
    { "VDI", "VBDs", "vbd-uuids" },
    { "VDI", "crash_dumps", "crashdump-uuids" },
    { "network", "VIFs", "VIF-uuids" },
    { "network", "PIFs", "PIF-uuids" },
    { "PIF", "ip_configuration_mode", "IP-configuration-mode" },
    { "PIF", "ipv6_configuration_mode", "IPv6-configuration-mode" },
    { "PIF", "ipv6_gateway", "IPv6-gateway" },
    { "PIF", "VLAN_master_of", "vlan-master-of" },
    { "PIF", "VLAN_slave_of", "vlan-slave-of" },
    { "host", "suspend_image_sr", "suspend-image-sr-uuid" },
    { "host", "crash_dump_sr", "crash-dump-sr-uuid" },
    { "host", "guest_VCPUs_params", "guest_VCPUs_params" },
    { "host", "control_domain", "control-domain-uuid" },
    { "host", "resident_VMs", "resident-vms" },
    { "host", "iscsi_iqn", "iscsi_iqn" },
    { "message", "cls", "class" },
    { "role", "name_label", "name" },
    { "role", "name_description", "description" },
};

/* Fields shown with an object though they are another's. */
static const struct {
    const char *class, *via, *field, *name;
} hops[] = {
    { "VM", "metrics", "memory_actual", "memory-actual" },
    { "VM", "metrics", "VCPUs_number", "VCPUs-number" },
    { "VM", "metrics", "start_time", "start-time" },
    { "VM", "metrics", "install_time", "install-time" },
    { "VM", "metrics", "hvm", "hvm" },
    { "VM", "metrics", "nomigrate", "nomigrate" },
    { "VM", "metrics", "nested_virt", "nested-virt" },
    { "VM", "metrics", "current_domain_type", "current-domain-type" },
    { "VM", "guest_metrics", "os_version", "os-version" },
    { "VM", "guest_metrics", "PV_drivers_version", "PV-drivers-version" },
    { "VM", "guest_metrics", "PV_drivers_up_to_date", "PV-drivers-up-to-date" },
    { "VM", "guest_metrics", "PV_drivers_detected", "PV-drivers-detected" },
    { "VM", "guest_metrics", "can_use_hotplug_vbd", "can-use-hotplug-vbd" },
    { "VM", "guest_metrics", "can_use_hotplug_vif", "can-use-hotplug-vif" },
    { "VM", "guest_metrics", "memory", "memory" },
    { "VM", "guest_metrics", "disks", "disks" },
    { "VM", "guest_metrics", "networks", "networks" },
    { "VM", "guest_metrics", "other", "other" },
    { "VM", "guest_metrics", "live", "live" },
    { "VM", "guest_metrics", "last_updated", "guest-metrics-last-updated" },
    { "host", "metrics", "memory_total", "memory-total" },
    { "host", "metrics", "memory_free", "memory-free" },
    { "host", "metrics", "live", "host-metrics-live" },
    { "PIF", "metrics", "carrier", "carrier" },
    { "PIF", "metrics", "vendor_id", "vendor-id" },
    { "PIF", "metrics", "vendor_name", "vendor-name" },
    { "PIF", "metrics", "device_id", "device-id" },
    { "PIF", "metrics", "device_name", "device-name" },
    { "PIF", "metrics", "speed", "speed" },
    { "PIF", "metrics", "duplex", "duplex" },
    { "PIF", "metrics", "pci_bus_path", "pci-bus-path" },
    { "PGPU", "PCI", "vendor_name", "vendor-name" },
    { "PGPU", "PCI", "device_name", "device-name" },
    { "PGPU", "PCI", "pci_id", "pci-id" },
    { "VGPU", "type", "model_name", "type-model-name" },
    { "VGPU", "PCI", "pci_id", "pci" },
};

static const char *renamed_find(const struct field *f)
{
    for (size_t i = 0; i < ARRAY_LEN(renamed); i++)
        if (str_eq_nocase(str_of(f->class->name), str_of(renamed[i].class)) && strcmp(f->name, renamed[i].field) == 0)
            return renamed[i].name;
    return NULL;
}

static const char *dashed(struct arena *a, const struct field *f)
{
    char *name = arena_strdup(a, f->name);

    if (renamed_find(f))
        return renamed_find(f);
    if (cstr_starts(name, "qos_") || strcmp(name, "cpu_info") == 0 || strcmp(f->class->name, "task") == 0) {
        if (cstr_starts(name, "name_") || strcmp(name, "other_config") == 0 || strcmp(name, "resident_on") == 0)
            *strchr(name, '_') = '-';
        return name; /* these kept the API's spelling */
    }
    for (char *p = name; *p; p++)
        *p = (char)(*p == '_' ? '-' : *p);
    return name;
}

/* VBD.VM, VIF.network: a field called after the class it points at is shown as uuid and as name. */
static bool named_after_class(const struct field *f)
{
    return f->type->kind == TYPE_REF && str_eq_nocase(str_of(f->name), str_of(f->type->of->name));
}

static size_t add_field(struct arena *a, const struct field *f, struct xe_field *to)
{
    char *class;

    if (!named_after_class(f) || renamed_find(f)) {
        to[0] = (struct xe_field){ .name = dashed(a, f), .field = f };
        return 1;
    }
    class = arena_strdup(a, f->type->of->lower);
    for (char *p = class; *p; p++)
        *p = (char)(*p == '_' ? '-' : *p);
    to[0] = (struct xe_field){ .name = arena_printf(a, "%s-uuid", class), .field = f };
    if (!f->type->of->name_label)
        return 1;
    to[1] = (struct xe_field){ .name = arena_printf(a, "%s-name-label", class), .field = f, .as_name = true };
    return 2;
}

static bool is_metrics(const struct field *f)
{
    return f->type->kind == TYPE_REF && strstr(f->type->of->name, "_metrics");
}

static int rank_of(const struct field *f)
{
    return f == f->class->uuid ? 0 : cstr_starts(f->name, "name_") ? 1 : 2;
}

size_t xe_fields(struct arena *a, const struct model_class *c, struct xe_field **ret)
{
    struct xe_field *list = arena_new_array(a, c->n_fields * 2UL + ARRAY_LEN(hops) + ASKED_MAX, struct xe_field);
    size_t n = 0;

    for (int rank = 0; rank < 3; rank++) /* what names the object comes first */
        for (size_t i = 0; i < c->n_fields; i++)
            if (rank_of(c->fields[i]) == rank && !is_metrics(c->fields[i]) &&
                !asked_instead(c, dashed(a, c->fields[i])))
                n += add_field(a, c->fields[i], list + n);
    for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
        const struct field *via = strcmp(hops[i].class, c->name) == 0 ? model_field_find(c, hops[i].via) : NULL;
        const struct field *hop = via ? model_field_find(via->type->of, hops[i].field) : NULL;

        if (hop)
            list[n++] = (struct xe_field){ .name = hops[i].name, .field = via, .hop = hop };
    }
    n += asked_fields(c, list + n);
    *ret = list;
    return n;
}

/* "VCPUs_max" and "vcpus-max" are the same. */
static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (tolower((unsigned char)(*a == '_' ? '-' : *a)) != tolower((unsigned char)(*b == '_' ? '-' : *b)))
            return false;
    return *a == *b;
}

const struct xe_field *xe_field_find(const struct xe_field *fields, size_t n, const char *name)
{
    char longer[FIELD_NAME_MAX];

    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    for (size_t i = 0; i < n; i++)
        if (same_name(fields[i].name, name) ||
            (fields[i].field && !fields[i].hop && !fields[i].as_name && same_name(fields[i].field->name, name)))
            return &fields[i];
    for (size_t i = 0; i < n; i++) {
        snprintf(longer, sizeof(longer), "%s-uuid", fields[i].name);
        if (fields[i].field && fields[i].field->type->kind == TYPE_REF && same_name(longer, name))
            return &fields[i];
    }
    return NULL;
}

const struct xe_field *xe_field_split(
    struct arena *a, const struct xe_field *fields, size_t n, const char *name, const char **ret_key)
{
    const char *colon = strchr(name, ':');
    const struct xe_field *best = NULL;
    size_t best_len = 0;

    *ret_key = colon ? colon + 1 : NULL;
    best = xe_field_find(fields, n, colon ? arena_strndup(a, name, (size_t)(colon - name)) : name);
    if (best || colon)
        return best;
    for (size_t i = 0; i < n; i++) { /* other-config-KEY, as it was once written */
        size_t len = strlen(fields[i].name);
        enum type_kind kind = xe_field_type(&fields[i])->kind;

        if ((kind != TYPE_MAP && kind != TYPE_SET) || len < best_len || !cstr_starts(name, fields[i].name) ||
            name[len] != '-')
            continue;
        best = &fields[i];
        best_len = len;
        *ret_key = name + len + 1;
    }
    return best;
}

/* Modes */

const struct msg *xe_setter(const struct xe_field *f, const char *verb)
{
    char name[160];
    const struct msg *m;

    if (f->asked && f->asked->setter && strcmp(verb, "set") == 0)
        return model_msg_find(f->asked->setter);
    if (!f->field || f->hop || f->as_name)
        return NULL;
    snprintf(name, sizeof(name), "%s.%s_%s", f->field->class->name, verb, f->field->name);
    m = model_msg_find(name);
    return m && !m->removed && !m->pool_internal && m->role != ROLE_LOCAL_ROOT ? m : NULL;
}

const struct type *xe_field_type(const struct xe_field *f)
{
    return f->asked ? asked_type(f->asked) : f->hop ? f->hop->type : f->field->type;
}

bool xe_writable(const struct xe_field *f)
{
    switch (xe_field_type(f)->kind) {
    case TYPE_MAP:
        return xe_setter(f, "add_to") || xe_setter(f, "set");
    case TYPE_SET:
        return xe_setter(f, "add") || xe_setter(f, "set");
    default:
        return xe_setter(f, "set") != NULL;
    }
}

const char *xe_field_mode(struct arena *a, const struct xe_field *f)
{
    enum type_kind kind = xe_field_type(f)->kind;

    return arena_printf(a, "%c%s", kind == TYPE_MAP ? 'M' : kind == TYPE_SET ? 'S' : ' ', xe_writable(f) ? "RW" : "RO");
}

/* Text */

static const char *ref_text(struct xe *x, const struct model_class *c, const char *ref, bool as_name)
{
    const struct value *record = xe_known(x, c, ref);

    if (!record)
        return FIELD_NOT_THERE;
    if (strcmp(c->name, "role") == 0)
        as_name = true;
    return value_map_str(record, as_name && c->name_label ? c->name_label->name : "uuid");
}

static const char *enum_text(struct xe *x, const struct type *t, const char *text)
{
    char *lower;

    if (strcmp(t->en->name, "vm_power_state") != 0)
        return text;
    lower = arena_strdup(x->arena, text);
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return lower;
}

static void add_piece(struct xe *x, struct buf *b, const struct type *t, const struct value *v, const char *between)
{
    buf_add_c(b, b->len ? between : "");
    buf_add_c(b, xe_value_text(x, t, v, between));
}

static const char *many_text(struct xe *x, const struct type *t, const struct value *v, const char *between)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64UL << 20);
    for (size_t i = 0; i < v->n; i++) {
        if (t->kind == TYPE_SET) {
            add_piece(x, &b, t->elem, &v->items[i], between);
            continue;
        }
        add_piece(x, &b, t->key, &v->items[2 * i], between);
        buf_add_c(&b, ": ");
        buf_add_c(&b, xe_value_text(x, t->elem, &v->items[2 * i + 1], between));
    }
    return b.len ? arena_strndup(x->arena, b.p, b.len) : "";
}

static const char *number_text(struct xe *x, const struct type *t, const struct value *v)
{
    if (t->kind == TYPE_FLOAT || v->kind == V_FLOAT)
        return arena_printf(x->arena, "%.3f", v->kind == V_FLOAT ? v->f : (double)v->i);
    return arena_printf(x->arena, "%lld", (long long)v->i);
}

const char *xe_value_text(struct xe *x, const struct type *t, const struct value *v, const char *between)
{
    switch (v->kind) {
    case V_BOOL:
        return v->b ? "true" : "false";
    case V_INT:
    case V_FLOAT:
        return number_text(x, t, v);
    case V_STRING:
        if (t->kind == TYPE_REF)
            return ref_text(x, t->of, v->s, false);
        return t->kind == TYPE_ENUM ? enum_text(x, t, v->s) : v->s;
    case V_DATETIME:
        return v->s;
    case V_SET:
    case V_MAP:
        if (t->kind == TYPE_RECORD && v->kind == V_MAP) {
            static const struct type string = { .kind = TYPE_STRING },
                                     map = { .kind = TYPE_MAP, .key = &string, .elem = &string };
            return many_text(x, &map, v, between);
        }
        return (t->kind == TYPE_SET) == (v->kind == V_SET) && t->elem ? many_text(x, t, v, between) : "";
    default:
        return "";
    }
}

const struct value *xe_field_value(struct xe *x, const struct xe_field *f, const struct value *record)
{
    const struct value *v = f->field ? value_map_get(record, f->field->name) : NULL;

    if (!v || !f->hop)
        return v;
    record = v->kind == V_STRING ? xe_known(x, f->field->type->of, v->s) : NULL;
    return record ? value_map_get(record, f->hop->name) : NULL;
}

/* A wire's speed and manner, in words. */
static const char *wire_text(struct xe *x, const struct xe_field *f, const struct value *record, const struct value *v)
{
    const struct value *metrics = xe_known(x, C_PIF_metrics, value_map_str(record, "metrics"));
    const struct value *carrier = metrics ? value_map_get(metrics, "carrier") : NULL;

    if (f->hop == F_PIF_metrics_speed)
        return arena_printf(x->arena, "%lld Mbit/s", (long long)v->i);
    return v->b ? "full" : carrier && carrier->b ? "half" : "unknown";
}

const char *xe_field_text(
    struct xe *x, const struct xe_field *f, const char *ref, const struct value *record, bool full)
{
    const struct value *v;
    const struct type *t;

    if (f->asked)
        return full || f->asked->cheap ? asked_text(x, f->asked, ref, record) : "<expensive field>";
    v = xe_field_value(x, f, record);
    if (!v)
        return FIELD_NOT_THERE;
    t = xe_field_type(f);
    if (f->hop == F_PIF_metrics_speed || f->hop == F_PIF_metrics_duplex)
        return wire_text(x, f, record, v);
    if (f->as_name && f->field == F_VBD_VDI && value_map_get(record, "empty") && value_map_get(record, "empty")->b)
        return "<EMPTY>";
    if (f->as_name)
        return ref_text(x, t->of, v->kind == V_STRING ? v->s : "", true);
    if (t->kind == TYPE_MAP && strcmp(f->field->name, "current_operations") == 0) {
        struct value *ops = arena_new_array(x->arena, v->n, struct value), set;
        const struct type type = { .kind = TYPE_SET, .elem = t->elem };

        for (size_t i = 0; i < v->n; i++)
            ops[i] = v->items[2 * i + 1]; /* which, not by whose task */
        set = value_set(ops, v->n);
        return xe_value_text(x, &type, &set, "; ");
    }
    return xe_value_text(x, t, v, strcmp(f->name, "tags") == 0 ? ", " : "; ");
}
