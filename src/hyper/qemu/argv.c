#include "hyper/qemu/argv.h"
#include <inttypes.h>
#include <string.h>
#include "base/str.h"
#include "base/value.h"
#include "base/vec.h"
#include "gen/ipc_vm.h"
#include "hyper/qemu/devices.h"

#define FIRST_FD 10      /* numbers in the child count up from here */
#define PORTS_PER_SLOT 8 /* functions of one PCI slot */
#define FIRST_SLOT 0x10
#define PORTS_MAX ((0x1f - FIRST_SLOT) * PORTS_PER_SLOT)
#define CDS_MAX 6
#define MIB ((uint64_t)1024 * 1024)
#define FIRMWARE_UEFI "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define FIRMWARE_SECURE "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"

struct builder {
    struct arena *a;
    const struct qemu_setup *setup;
    const struct vm_plan *plan;
    VEC(const char *) args;
    VEC(struct proc_fd) fds;
    bool port_taken[PORTS_MAX], cd_taken[CDS_MAX];
    bool ide; /* there is a controller for it */
};

static void add(struct builder *b, const char *option, const char *value)
{
    vec_push(&b->args, option);
    if (value)
        vec_push(&b->args, value);
}

#define addf(b, option, ...) add((b), (option), arena_printf((b)->a, __VA_ARGS__))

static void add_json(struct builder *b, const char *option, json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT);

    add(b, option, text ? arena_strdup(b->a, text) : "{}"); /* NULL only for text that is no UTF-8: ipc checked it */
    free(text);
    json_decref(j);
}

/* The number under which the child will have fd. */
static int inherit(struct builder *b, int fd)
{
    struct proc_fd f = { fd, FIRST_FD + (int)b->fds.len };

    vec_push(&b->fds, f);
    return f.target;
}

/* QEMU's option text: a comma in a value is doubled; control characters have no business there. */
static const char *escaped(struct arena *a, const char *s)
{
    char *out = arena_alloc(a, strlen(s) * 2 + 1);
    char *p = out;

    for (; *s; s++) {
        if (*s == ',')
            *p++ = ',';
        *p++ = *s;
        if ((unsigned char)*s < 0x20)
            p[-1] = ' ';
    }
    return out;
}

static const char *prefix(const struct builder *b)
{
    return b->setup->prefix ? b->setup->prefix : "";
}

/* The place that the plan names (counted from 1), or the next free one; false if there is none. */
static bool place(bool *taken, size_t n, uint32_t wanted, size_t *ret)
{
    if (wanted) {
        *ret = wanted - 1;
        return wanted <= n;
    }
    for (*ret = 0; *ret < n && taken[*ret];)
        ++*ret;
    if (*ret < n)
        taken[*ret] = true;
    return *ret < n;
}

static void reserve(bool *taken, size_t n, uint32_t wanted)
{
    if (wanted && wanted <= n)
        taken[wanted - 1] = true;
}

static void reserve_places(struct builder *b)
{
    const struct vm_plan *p = b->plan;

    for (size_t i = 0; i < p->n_disks; i++)
        if (qemu_disk_on_ide(&p->disks[i]))
            b->ide = true;
        else if (p->disks[i].cd)
            reserve(b->cd_taken, CDS_MAX, p->disks[i].port);
        else
            reserve(b->port_taken, PORTS_MAX, p->disks[i].port);
    for (size_t i = 0; i < p->n_nics; i++)
        reserve(b->port_taken, PORTS_MAX, p->nics[i].port);
}

/* ---- the machine ---- */

/* Shared, so that a disk process can serve the guest's rings (vhost-user). host: the first and only one, or -1. */
static void add_memory(struct builder *b, const char *id, uint64_t mib, const uint32_t *host, size_t n_host)
{
    const char *nodes = "";

    for (size_t i = 0; i < n_host; i++)
        nodes = arena_printf(b->a, "%s,host-nodes=%u", nodes, host[i]);
    addf(b, "-object", "memory-backend-memfd,id=%s,size=%" PRIu64 ",share=on,reserve=off%s%s", id, mib * MIB, nodes,
        n_host ? ",policy=preferred" : "");
}

/* The part of n things that the first i of all nodes have. */
static uint64_t first(uint64_t n, uint32_t i, uint32_t nodes)
{
    return n * i / nodes;
}

/* Memory and vCPUs in equal parts; sockets stay whole while there is one for each. Host nodes are dealt out in turn. */
static void add_nodes(struct builder *b, uint64_t mib, uint32_t vcpus, uint32_t cores)
{
    const struct vm_plan *p = b->plan;
    uint32_t unit = vcpus / cores >= p->nodes ? cores : 1;

    addf(b, "-m", "%" PRIu64, mib);
    for (uint32_t i = 0; i < p->nodes; i++) {
        const char *id = arena_printf(b->a, "ram%u", i);
        const uint32_t *host = p->n_host_nodes ? &p->host_nodes[i % p->n_host_nodes] : NULL;

        add_memory(b, id, first(mib, i + 1, p->nodes) - first(mib, i, p->nodes), host, host != NULL);
        addf(b, "-numa", "node,nodeid=%u,cpus=%" PRIu64 "-%" PRIu64 ",memdev=%s", i,
            unit * first(vcpus / unit, i, p->nodes), unit * first(vcpus / unit, i + 1, p->nodes) - 1, id);
    }
}

static void add_machine(struct builder *b)
{
    const struct vm_plan *p = b->plan;
    bool uefi = cstr_eq(p->firmware, "uefi"), numa = p->nodes > 1;
    uint32_t max = p->vcpus_max > p->vcpus ? p->vcpus_max : p->vcpus;
    uint32_t cores = p->cores_per_socket && max % p->cores_per_socket == 0 ? p->cores_per_socket : 1;
    uint64_t mib = (p->memory + MIB - 1) / MIB;

    if (numa)
        add_nodes(b, mib, max, cores);
    else
        add_memory(b, "ram", mib, p->host_nodes, p->n_host_nodes);
    addf(b, "-machine", "pc-q35-7.2%s,vmport=off,smm=%s,dump-guest-core=off%s", numa ? "" : ",memory-backend=ram",
        p->secure_boot ? "on" : "off", uefi ? ",pflash0=fw-code,pflash1=fw-vars" : "");
    add(b, "-accel", b->setup->kvm ? "kvm" : "tcg,tb-size=32");
    add(b, "-cpu", b->setup->kvm ? "host" : "max");
    addf(b, "-smp", "cpus=%u,maxcpus=%u,sockets=%u,cores=%u,threads=1", p->vcpus, max, max / cores, cores);

    addf(b, "-name", "guest=%s", escaped(b->a, p->name));
    add(b, "-uuid", p->vm);
    add(b, "-rtc", "base=utc");
    add(b, "-boot", "strict=on");
}

static void add_firmware(struct builder *b)
{
    const struct vm_plan *p = b->plan;

    if (cstr_eq(p->firmware, "uefi")) {
        addf(b, "-blockdev", "driver=file,node-name=fw-code,filename=%s,read-only=on",
            p->secure_boot ? FIRMWARE_SECURE : FIRMWARE_UEFI);
        if (p->secure_boot) { /* its variables are changed in system management mode alone, which S3 would leave open */
            add(b, "-global", "driver=cfi.pflash01,property=secure,value=on");
            add(b, "-global", "ICH9-LPC.disable_s3=1");
        }
        addf(b, "-blockdev", "driver=file,node-name=fw-vars,filename=%s" QEMU_VARS_FILE, prefix(b));
    } else if (cstr_eq(p->firmware, "direct")) {
        add(b, "-bios", "qboot.rom"); /* 40 ms less than SeaBIOS on the way to the kernel */
        addf(b, "-kernel", "/proc/self/fd/%d", inherit(b, b->setup->kernel_fd));
        if (qemu_has_fd(b->setup->initrd_fd))
            addf(b, "-initrd", "/proc/self/fd/%d", inherit(b, b->setup->initrd_fd));
        if (!cstr_empty(p->cmdline))
            add(b, "-append", p->cmdline);
    }
}

/* VM.bios_strings -> SMBIOS types 0, 1, 2 and 3. */
static void add_smbios(struct builder *b)
{
    static const struct {
        const char *key, *type, *field;
    } table[] = {
        { "bios-vendor", "0", "vendor" },
        { "bios-version", "0", "version" },
        { "system-manufacturer", "1", "manufacturer" },
        { "system-product-name", "1", "product" },
        { "system-version", "1", "version" },
        { "system-serial-number", "1", "serial" },
        { "baseboard-manufacturer", "2", "manufacturer" },
        { "baseboard-product-name", "2", "product" },
        { "baseboard-version", "2", "version" },
        { "baseboard-serial-number", "2", "serial" },
        { "enclosure-asset-tag", "3", "asset" },
    };
    const char *line = NULL, *type = "";

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *v = b->plan->bios_strings.kind == V_MAP ? value_map_str(&b->plan->bios_strings, table[i].key) : "";

        if (cstr_empty(v))
            continue;
        if (!cstr_eq(type, table[i].type)) {
            if (line)
                add(b, "-smbios", line);
            type = table[i].type;
            line = arena_printf(b->a, "type=%s", type);
        }
        line = arena_printf(b->a, "%s,%s=%.200s", line, table[i].field, escaped(b->a, v));
    }
    if (line)
        add(b, "-smbios", line);
}

static void add_talk(struct builder *b)
{
    addf(b, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", inherit(b, b->setup->qmp_fd));
    add(b, "-mon", "chardev=qmp,mode=control");
    addf(b, "-chardev", "socket,id=tools,fd=%d,server=on,wait=off", inherit(b, b->setup->tools_fd));
    add(b, "-mon", "chardev=tools,mode=control");
    addf(b, "-chardev", "socket,id=serial0,fd=%d,server=on,wait=off", inherit(b, b->setup->serial_fd));
    add(b, "-device", "isa-serial,chardev=serial0");
    /* without an id there would be no word of who opens the port */
    addf(b, "-chardev", "socket,id=" QEMU_AGENT_ID ",fd=%d,server=on,wait=off", inherit(b, b->setup->agent_fd));
    add(b, "-device", "virtio-serial-pci,id=vserial,bus=pcie.0,addr=4,max_ports=2");
    add(b, "-device",
        "virtserialport,id=" QEMU_AGENT_ID ",bus=vserial.0,nr=1,chardev=" QEMU_AGENT_ID ",name=org.qemu.guest_agent.0");
    addf(b, "-vnc", "unix:%s" QEMU_VNC_FILE, prefix(b));
    /* by descriptor: what is in it may be secret, and arguments are not */
    if (qemu_has_fd(b->setup->data_fd))
        addf(b, "-fw_cfg", "name=" QEMU_DATA_NAME ",file=/proc/self/fd/%d", inherit(b, b->setup->data_fd));
}

void qemu_guest_data(struct buf *b, const struct vm_plan *plan)
{
    const struct value *data = &plan->guest_data;

    for (size_t i = 0; data->kind == V_MAP && i < data->n; i++) {
        buf_printf(b, "%s=", data->items[2 * i].s);
        for (const char *p = data->items[2 * i + 1].s; *p; p++)
            if (*p == '\\' || *p == '\n')
                buf_add_c(b, *p == '\n' ? "\\n" : "\\\\");
            else
                buf_add_char(b, *p);
        buf_add_char(b, '\n');
    }
}

static bool platform_is(const struct builder *b, const char *key, const char *value)
{
    return b->plan->platform.kind == V_MAP && cstr_eq(value_map_str(&b->plan->platform, key), value);
}

static void add_fixtures(struct builder *b)
{
    size_t n = b->plan->n_nics + QEMU_HOTPLUG_PORTS;

    for (size_t i = 0; i < b->plan->n_disks; i++)
        n += !b->plan->disks[i].cd && !qemu_disk_on_ide(&b->plan->disks[i]);
    n = b->plan->ports ? b->plan->ports : n;
    for (size_t i = 0; i < n && i < PORTS_MAX; i++)
        addf(b, "-device", "pcie-root-port,id=rp%zu,bus=pcie.0,chassis=%zu,slot=%zu,addr=%zx.%zu,multifunction=on", i,
            i + 1, i + 1, FIRST_SLOT + i / PORTS_PER_SLOT, i % PORTS_PER_SLOT);

    if (!platform_is(b, "vga", "none"))
        add(b, "-device", "VGA,id=vga,bus=pcie.0,addr=1");
    if (!platform_is(b, "usb", "false")) {
        add(b, "-device", "qemu-xhci,id=usb,bus=pcie.0,addr=2");
        add(b, "-device", "usb-tablet,bus=usb.0"); /* an absolute pointer, or VNC's and the guest's drift apart */
    }
    add(b, "-object", "rng-random,id=rng,filename=/dev/urandom");
    add(b, "-device", "virtio-rng-pci,rng=rng,bus=pcie.0,addr=3,romfile=");
    /* pages that the guest does not use are the host's again, wished for or not */
    if (b->plan->memory_target)
        add(b, "-device",
            "virtio-balloon-pci,id=" QEMU_BALLOON_ID ",bus=pcie.0,addr=5,free-page-reporting=on,"
            "guest-stats-polling-interval=10");
    /* qboot stops at the table that tells the guest where the id lies */
    if (!cstr_empty(b->plan->generation_id) && !cstr_eq(b->plan->firmware, "direct"))
        addf(b, "-device", "vmgenid,guid=%s", escaped(b->a, b->plan->generation_id));
    add(b, "-device", "pvpanic");
    if (b->ide)
        add(b, "-device", "piix3-ide,id=pata,bus=pcie.0,addr=6");
    if (qemu_has_fd(b->setup->tpm_fd)) {
        addf(b, "-chardev", "socket,id=tpm,fd=%d", inherit(b, b->setup->tpm_fd));
        add(b, "-tpmdev", "emulator,id=tpm,chardev=tpm");
        add(b, "-device", "tpm-crb,tpmdev=tpm");
    }
}

/* ---- disks and NICs ---- */

struct boot_order {
    const char *letters;
    int next[256]; /* per letter */
};

/* Each letter has its own hundred: "dc" puts all CDs before all disks. */
static void boot_order_init(struct boot_order *o, const char *letters)
{
    int rank = 0;

    memset(o, 0, sizeof(*o));
    o->letters = cstr_empty(letters) ? "cd" : letters;
    for (const char *l = o->letters; *l && rank < 8; l++)
        if (!o->next[(unsigned char)*l])
            o->next[(unsigned char)*l] = 1 + 300 * rank++;
}

static int boot_index(struct boot_order *o, char letter)
{
    int *next = &o->next[(unsigned char)letter];

    return *next ? (*next)++ : -1;
}

static struct err *bus_of(struct builder *b, const struct vm_disk *d, const char **ret)
{
    bool ide = qemu_disk_on_ide(d);
    size_t at = (size_t)d->position / 2;

    if (!d->cd && !qemu_disk_has_medium(d))
        return err_internal("disk %lld: no image", (long long)d->position);
    if (ide && d->position >= QEMU_IDE_PLACES)
        return err_internal("disk %lld: an IDE controller has four places", (long long)d->position);
    if (!ide && d->cd && !place(b->cd_taken, CDS_MAX, d->port, &at))
        return err_internal("a guest has at most 6 CD drives");
    if (!ide && !d->cd && !place(b->port_taken, PORTS_MAX, d->port, &at))
        return err_internal("disk %lld: no port left", (long long)d->position);
    *ret = arena_printf(b->a, ide ? "pata.%zu" : d->cd ? "ide.%zu" : "rp%zu", at);
    return NULL;
}

static struct err *add_disk(struct builder *b, const struct vm_disk *d, struct boot_order *o)
{
    const char *bus = NULL;

    if (d->position < 0 || d->position > QEMU_POSITION_MAX)
        return err_internal("no room for disk position %lld", (long long)d->position);
    TRY(bus_of(b, d, &bus));

    if (qemu_disk_has_medium(d)) {
        char id[QEMU_ID_SIZE];

        qemu_disk_id(id, d);
        addf(b, "-add-fd", "fd=%d,set=%lld,opaque=%s", inherit(b, d->image), (long long)d->position, id);
        add_json(b, "-blockdev", qemu_disk_file_node(d, d->position));
        add_json(b, "-blockdev", qemu_disk_format_node(d));
    }
    if (!d->cd) {
        add_json(b, "-object", qemu_disk_limit_object(d));
        add_json(b, "-blockdev", qemu_disk_filter_node(d));
    }
    add_json(b, "-device", qemu_disk_device(d, bus, boot_index(o, d->cd ? 'd' : 'c')));
    return NULL;
}

static struct err *add_nic(struct builder *b, const struct vm_nic *n, struct boot_order *o)
{
    bool boot_rom = strchr(o->letters, 'n') != NULL && !n->hot;
    size_t at = 0;

    if (n->position < 0 || n->position > QEMU_POSITION_MAX || !place(b->port_taken, PORTS_MAX, n->port, &at))
        return err_internal("no room for NIC position %lld", (long long)n->position);
    if (qemu_has_fd(n->tap))
        addf(b, "-netdev", "tap,id=net%lld,fd=%d", (long long)n->position, inherit(b, n->tap));
    add_json(b, "-device", qemu_nic_device(n, arena_printf(b->a, "rp%zu", at), boot_index(o, 'n'), boot_rom));
    return NULL;
}

static struct err *add_devices(struct builder *b)
{
    struct boot_order o;

    boot_order_init(&o, b->plan->boot_order);
    /* bootable disks first among their kind */
    for (int bootable = 1; bootable >= 0; bootable--)
        for (size_t i = 0; i < b->plan->n_disks; i++)
            if (b->plan->disks[i].bootable == bootable)
                TRY(add_disk(b, &b->plan->disks[i], &o));
    for (size_t i = 0; i < b->plan->n_nics; i++)
        TRY(add_nic(b, &b->plan->nics[i], &o));
    return NULL;
}

/* ---- */

static void builder_done(struct builder *b)
{
    vec_done(&b->args);
    vec_done(&b->fds);
}

struct err *qemu_argv_build(
    struct arena *a, const struct qemu_setup *setup, const struct vm_plan *plan, struct qemu_argv *ret_argv)
{
    AUTO(builder_done) struct builder b = { .a = a, .setup = setup, .plan = plan };
    bool no_reboot = cstr_eq(plan->on_reboot, "destroy");

    add(&b, setup->binary, NULL);
    add(&b, "-nodefaults", NULL);
    add(&b, "-no-user-config", NULL);
    add(&b, "-S", NULL);
    if (setup->incoming)
        add(&b, "-incoming", "defer");
    add(&b, "-display", "none");
    add(&b, "-msg", "timestamp=on");
    add(&b, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    addf(&b, "-action", "reboot=%s,shutdown=pause,panic=pause", no_reboot ? "shutdown" : "reset");
    reserve_places(&b);
    add_machine(&b);
    add_firmware(&b);
    add_smbios(&b);
    add_talk(&b);
    add_fixtures(&b);
    TRY(add_devices(&b));

    vec_push(&b.args, NULL);
    *ret_argv = (struct qemu_argv){
        .argv = arena_dup(a, b.args.p, b.args.len * sizeof(*b.args.p)),
        .fds = arena_dup(a, b.fds.p, b.fds.len * sizeof(*b.fds.p)),
        .n_fds = b.fds.len,
    };
    return NULL;
}
