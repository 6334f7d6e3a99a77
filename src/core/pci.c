/* PCI: the devices of the host's bus, as its inventory tells them (semantics.md 16). */
#include "core/pci.h"
#include <string.h>

static const struct row *known(const struct row *host, const char *pci_id)
{
    for (size_t i = 0; host && i < row_n_related(host, F_host_PCIs); i++) {
        const struct row *pci = row_related(host, F_host_PCIs, i);

        if (strcmp(row_str(pci, F_PCI_pci_id), pci_id) == 0)
            return pci;
    }
    return NULL;
}

static bool is_told(const struct value *devices, const char *pci_id)
{
    for (size_t i = 0; i < devices->n; i++)
        if (strcmp(value_map_str(&devices->items[i], "pci_id"), pci_id) == 0)
            return true;
    return false;
}

/* Another one may be at the same place after a restart: it is the place that other objects know. */
static const char *take(
    struct core *c, struct arena *a, struct tx *t, const struct row *host, const struct value *device)
{
    static const char *const told[] = { "class_id", "class_name", "vendor_id", "vendor_name", "device_id",
        "device_name", "pci_id", "subsystem_vendor_id", "subsystem_vendor_name", "subsystem_device_id",
        "subsystem_device_name", "driver_name" };
    const struct row *pci = known(host, value_map_str(device, "pci_id"));
    const struct tx_field first[] = { { F_PCI_host, value_str(c->host_ref) } };
    const char *ref = arena_strdup(a, pci ? row_ref(pci) : tx_create(t, C_PCI, NULL, first, ARRAY_LEN(first)));

    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        tx_set(t, ref, model_field_find(C_PCI, told[i]), value_str(value_map_str(device, told[i])));
    return ref;
}

/* Functions of one slot can only go to a guest together. "0000:00:1f.2" */
static bool same_slot(const char *x, const char *y)
{
    const char *dot = strrchr(x, '.');
    size_t n = dot ? (size_t)(dot - x) + 1 : 0;

    return n && strncmp(x, y, n) == 0;
}

void pci_take(struct core *c, struct arena *a, struct tx *t, const struct value *devices)
{
    const struct row *host = store_find_of(c->store, C_host, c->host_ref);
    const char **refs = arena_new_array(a, (size_t)devices->n + 1, const char *);

    for (size_t i = 0; host && i < row_n_related(host, F_host_PCIs); i++) {
        const struct row *pci = row_related(host, F_host_PCIs, i);

        if (!is_told(devices, row_str(pci, F_PCI_pci_id)))
            tx_destroy(t, row_ref(pci));
    }
    for (size_t i = 0; i < devices->n; i++)
        refs[i] = take(c, a, t, host, &devices->items[i]);
    for (size_t i = 0; i < devices->n; i++) {
        const char *id = value_map_str(&devices->items[i], "pci_id");
        struct value *others = arena_new_array(a, devices->n, struct value);
        size_t n = 0;

        for (size_t k = 0; k < devices->n; k++)
            if (k != i && same_slot(id, value_map_str(&devices->items[k], "pci_id")))
                others[n++] = value_str(refs[k]);
        tx_set(t, refs[i], F_PCI_dependencies, value_set(others, n));
    }
}

/* Nothing hides a device from the host yet. */
static struct err *get_dom0_access_status(
    struct call *c, const struct PCI_get_dom0_access_status_args *a, struct value *ret)
{
    const struct row *pci = NULL;

    TRY(call_row(c, C_PCI, a->self, &pci));
    *ret = value_str("enabled");
    return NULL;
}

void pci_register(struct api_handlers *h)
{
    h->PCI_get_dom0_access_status = get_dom0_access_status;
}
