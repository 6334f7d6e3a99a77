/* The default templates (semantics.md 20): a table, and what each family adds to it. */
#include <string.h>
#include "base/mem.h"
#include "core/host.h"
#include "core/memory.h"
#include "core/ops.h"

enum family { LINUX, WINDOWS, PV, OTHER };
enum firmware { BIOS, UEFI, NONE };

static const struct template
{
    const char *label, *reference_label, *uuid;
    enum family family;
    enum firmware firmware;
    const char *order; /* boot order */
    const char *extra; /* further other_config and platform keys: "k=v k=v" */
    int64_t min_mib, max_mib;
    int64_t disk_gib; /* 0: none */
    int64_t vcpus_max;
    bool disk_bootable;
}
templates[] = {
    /* clang-format off */
    { "AlmaLinux 10", "alma-10", "7921d301-2bf2-4cf2-ba9a-612f16f04e65", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "AlmaLinux 8", "alma-8", "77e57ea5-5688-4628-9e8e-235365518919", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "AlmaLinux 9", "alma-9", "6ff2c2f1-92af-4396-b117-a9cc2cc76aa4", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "CentOS 6 (32-bit)", "centos-6-32bit", "0a21ac1d-b18f-469e-9fe7-8bb9d0291574", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 16384, 8, 32, true },
    { "CentOS 6 (64-bit)", "centos-6-64bit", "15828343-5b0d-4b86-a2da-56278c3b8c68", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 131072, 8, 32, true },
    { "CentOS 7", "centos-7", "11fd3dc9-96cc-49af-b091-a2ca7e94c589", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 32, true },
    { "CentOS 8", "centos-8", "4b6425be-728a-4a2c-8333-0aef209a348b", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 32, true },
    { "CentOS Stream 10", "centos-10", "203103c5-f257-4ef6-ac59-f3e7184c8b1b", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "CentOS Stream 9", "centos-9", "a3d70e4d-c5ac-4dfb-999b-30a0a7efe546", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 64, true },
    { "CoreOS", "coreos", "094706dd-5d22-4830-99b7-c710769c9dcc", LINUX, BIOS, "cdn", "", 2048, 524288, 8, 32, true },
    { "Debian Bookworm 12", "debian-12", "07d91aaa-43f7-430a-bf84-0edb6714df0f", LINUX, UEFI, "cdn", "", 1024, 1572864, 10, 64, true },
    { "Debian Bullseye 11", "debian-11", "acfeecf4-4007-412b-8f13-6d61a6aee5bd", LINUX, BIOS, "cdn", "", 512, 1572864, 10, 64, true },
    { "Debian Buster 10", "debian-10", "bac315b4-66fd-4488-82f5-9808e927b4b9", LINUX, BIOS, "cdn", "", 512, 1572864, 10, 32, true },
    { "Debian Jessie 8.0", "debian-8", "79abf1d8-4b61-4fc3-aafa-58b0ccae48d3", LINUX, BIOS, "cdn", "", 128, 1572864, 8, 32, true },
    { "Debian Stretch 9.0", "debian-9", "381ebb02-96d5-11e7-92b9-b8ca3a97c5fc", LINUX, BIOS, "cdn", "", 256, 1572864, 10, 32, true },
    { "Gooroom Platform 2.0", "gooroom-2", "9340090e-90ca-11ea-ab10-2e858157d830", LINUX, BIOS, "cdn", "", 1024, 1572864, 10, 64, true },
    { "NeoKylin Linux Server 6 (64-bit)", "kylin-server-6-64bit", "7279a78a-4756-4fc3-99f0-3e7694c0318f", PV, NONE, "", "install-distro=rhlike rhel6=true install-arch=amd64", 512, 131072, 8, 32, true },
    { "NeoKylin Linux Server 7", "kylin-server-7", "7279a78a-4756-4fc3-99f0-3e7694c0319e", LINUX, BIOS, "cdn", "", 1024, 1572864, 10, 32, true },
    { "Oracle Enterprise Linux 5 (32-bit)", "oel-5-32bit", "3a332616-7410-4dc7-8d57-c12f5291c34b", PV, NONE, "", "install-distro=rhlike rhel5=true", 512, 65536, 8, 32, true },
    { "Oracle Enterprise Linux 5 (64-bit)", "oel-5-64bit", "b124ba5e-d512-4ef7-9827-e90a06f43a5c", PV, NONE, "", "install-distro=rhlike rhel5=true", 512, 131072, 8, 32, true },
    { "Oracle Enterprise Linux 6 (32-bit)", "oel-6-32bit", "71a59bef-0db4-4dd2-8f98-059dcbdab951", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 16384, 8, 32, true },
    { "Oracle Enterprise Linux 6 (64-bit)", "oel-6-64bit", "28583880-aa0c-4a6b-ad96-8d71571ac505", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 131072, 8, 32, true },
    { "Oracle Linux 7", "oel-7", "f873abe0-b138-4995-8f6f-498b423d234d", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 32, true },
    { "Oracle Linux 8", "oel-8", "6959dfe8-534c-4c58-8a8c-3c3792293543", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "Other install media", "other-install-media", "552bce37-51b2-445d-84f2-5f33fa112d7e", OTHER, BIOS, "cd", "", 128, 131072, 0, 64, true },
    { "Red Hat Enterprise Linux 10", "rhel-10", "7375046a-c05e-435b-9f04-5314a64e6a5e", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "Red Hat Enterprise Linux 5 (32-bit)", "rhel-5-32bit", "e9881b99-9cbd-425a-9127-356c8d83a4ab", PV, NONE, "", "install-distro=rhlike rhel5=true", 512, 16384, 8, 32, true },
    { "Red Hat Enterprise Linux 5 (64-bit)", "rhel-5-64bit", "29792b3c-bb92-45ce-aae6-8e10bf864640", PV, NONE, "", "install-distro=rhlike rhel5=true", 512, 131072, 8, 32, true },
    { "Red Hat Enterprise Linux 6 (32-bit)", "rhel-6-32bit", "62230644-0b4a-4a81-83b6-c6e354c06ef3", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 16384, 8, 32, true },
    { "Red Hat Enterprise Linux 6 (64-bit)", "rhel-6-64bit", "b3427a33-41a9-49a8-9819-bfda075dc672", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 131072, 8, 32, true },
    { "Red Hat Enterprise Linux 7", "rhel-7", "03d30863-86a2-428e-94c8-88ddfcb8cd29", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 32, true },
    { "Red Hat Enterprise Linux 8", "rhel-8", "612863ed-900d-456d-b4b7-38b70915fd1f", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "Red Hat Enterprise Linux 9", "rhel-9", "6c91b878-5095-421e-a914-224b3bb1088c", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "Rocky Linux 8", "rocky-8", "6ce77bf9-ab30-4a1a-a757-011b52d89997", LINUX, UEFI, "cdn", "", 2048, 1572864, 10, 64, true },
    { "Rocky Linux 9", "rocky-9", "1a647cf9-99c1-4e9c-b3b4-6b9989c530be", LINUX, UEFI, "cdn", "", 2048, 1572864, 15, 64, true },
    { "SUSE Linux Enterprise 15 (64-bit)", "sle-15-64bit", "b5915805-d800-459d-826a-322dc9cf07e2", LINUX, UEFI, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 64, true },
    { "SUSE Linux Enterprise Desktop 11 SP3 (64-bit)", "sled-11-sp3-64bit", "ebc94c1c-2532-4765-b2e1-b72db794b6a0", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Desktop 12 (64-bit)", "sled-12-64bit", "89a9ab32-39a2-47db-8f11-25be020a16cf", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Desktop 12 SP1 (64-bit)", "sled-12-sp1-64bit", "14b3465d-d3d8-4bde-8a2e-a1a011b14e1e", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Desktop 12 SP2 (64-bit)", "sled-12-sp2-64bit", "a2c2f832-97bc-11e7-92b9-b8ca3a97c5fc", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Desktop 12 SP3 (64-bit)", "sled-12-sp3-64bit", "dda40663-76e5-45dd-a644-7eb0bed6a1f7", LINUX, BIOS, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 32, true },
    { "SUSE Linux Enterprise Desktop 12 SP4 (64-bit)", "sled-12-sp4-64bit", "847f7f36-6da8-487d-940d-f0f06939a1b6", LINUX, BIOS, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 32, true },
    { "SUSE Linux Enterprise Server 11 SP3 (32-bit)", "sles-11-sp3-32bit", "2e46fb99-1688-452e-bf46-47f7530b16ee", PV, NONE, "", "install-distro=sleslike install-arch=i386", 512, 16384, 8, 32, true },
    { "SUSE Linux Enterprise Server 11 SP3 (64-bit)", "sles-11-sp3-64bit", "f28fd4f5-a234-4b79-9a6f-de91fefd68d6", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Server 11 SP4 (32-bit)", "sles-11-sp4-32bit", "405768ce-f8a1-4b3d-9410-8b1d4395e1b4", PV, NONE, "", "install-distro=sleslike install-arch=i386", 512, 16384, 8, 32, true },
    { "SUSE Linux Enterprise Server 11 SP4 (64-bit)", "sles-11-sp4-64bit", "7006c141-2ba0-4ff8-aa4b-66d67b545043", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 (64-bit)", "sles-12-64bit", "1282055a-055b-43c2-bc4d-0d5a22b6b619", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 SP1 (64-bit)", "sles-12-sp1-64bit", "57d86822-8e9f-42aa-a096-081e4ee37f4c", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 SP2 (64-bit)", "sles-12-sp2-64bit", "1d504a36-96dd-11e7-92b9-b8ca3a97c5fc", PV, NONE, "", "install-distro=sleslike install-arch=x86_64", 512, 131072, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 SP3 (64-bit)", "sles-12-sp3-64bit", "47fb0ec8-a0d5-46b8-a995-5455bf845bc7", LINUX, BIOS, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 SP4 (64-bit)", "sles-12-sp4-64bit", "c060fa00-8c96-4eb8-bcc9-772daaa01885", LINUX, BIOS, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 32, true },
    { "SUSE Linux Enterprise Server 12 SP5 (64-bit)", "sles-12-sp5-64bit", "110ecfa7-0fe4-4b35-a247-0b0141a738ba", LINUX, BIOS, "cdn", "install-arch=x86_64", 1024, 1572864, 8, 64, true },
    { "Scientific Linux 6 (32-bit)", "sl-6-32bit", "57477bad-68b9-433c-bff5-bc026a1b5b30", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 16384, 8, 32, true },
    { "Scientific Linux 6 (64-bit)", "sl-6-64bit", "50ea05dd-db33-41e4-ab69-47a1e7d4b978", PV, NONE, "", "install-distro=rhlike rhel6=true", 512, 131072, 8, 32, true },
    { "Scientific Linux 7", "sl-7", "4b116889-af64-42af-ba86-75dcb3cb7828", LINUX, BIOS, "cdn", "", 2048, 1572864, 10, 32, true },
    { "Ubuntu Bionic Beaver 18.04", "ubuntu-18.04", "74ae424d-a1d3-4d96-9827-d1d60a4c7511", LINUX, BIOS, "cdn", "", 512, 1572864, 10, 32, true },
    { "Ubuntu Focal Fossa 20.04", "ubuntu-20.04", "2cf37285-57bc-4633-a24f-0c6c825dda66", LINUX, BIOS, "cdn", "", 512, 1572864, 10, 32, true },
    { "Ubuntu Jammy Jellyfish 22.04", "ubuntu-22.04", "df1a0e64-3799-482b-aa9f-1ed713c7dac5", LINUX, UEFI, "cdn", "", 1024, 1572864, 10, 64, true },
    { "Ubuntu Noble Numbat 24.04", "ubuntu-24.04", "ff1f3e17-84d9-4d72-962d-571c4ceb527b", LINUX, UEFI, "cdn", "", 1024, 1572864, 10, 64, true },
    { "Ubuntu Xenial Xerus 16.04", "ubuntu-16.04", "e9763585-f70a-4526-bfcb-822064742e9f", LINUX, BIOS, "cdn", "", 512, 1572864, 10, 32, true },
    { "Windows 10 (32-bit)", "windows-10-32bit", "9caee571-3b07-4673-940d-1d687b2818d6", WINDOWS, BIOS, "dc", "acpi_laptop_slate=1", 1024, 4096, 32, 32, false },
    { "Windows 10 (64-bit)", "windows-10-64bit", "7774689b-4ca1-4dea-8545-dddd6b64c17f", WINDOWS, UEFI, "cd", "acpi_laptop_slate=1", 2048, 1572864, 32, 64, false },
    { "Windows 11", "windows-11", "1f8728f9-6354-4a68-adc3-222c34f2bb94", WINDOWS, UEFI, "cd", "acpi_laptop_slate=1 vtpm=true", 4096, 1572864, 64, 64, false },
    { "Windows 8.1 (32-bit)", "windows-8-32bit", "4383f051-cc9e-48d5-99e9-8fa2e979e2d0", WINDOWS, BIOS, "dc", "", 1024, 4096, 24, 32, false },
    { "Windows 8.1 (64-bit)", "windows-8-64bit", "11c46476-bd5c-4d75-9cf0-57fe55343ba3", WINDOWS, BIOS, "dc", "", 2048, 524288, 24, 32, false },
    { "Windows Server 2012 (64-bit)", "windows-server-2012-64bit", "83af4ddb-e029-48ff-ba7a-11a23ff99caa", WINDOWS, BIOS, "dc", "", 1024, 1572864, 32, 32, false },
    { "Windows Server 2012 R2 (64-bit)", "windows-server-2012-r2-64bit", "17a818b5-20a6-4d34-a7ef-320da9ef4c14", WINDOWS, BIOS, "dc", "", 1024, 1572864, 32, 32, false },
    { "Windows Server 2016 (64-bit)", "windows-server-2016-64bit", "c15fab79-6cce-4e1f-916f-a64b98ff9e7d", WINDOWS, UEFI, "cd", "", 1024, 1572864, 32, 64, false },
    { "Windows Server 2019 (64-bit)", "windows-server-2019-64bit", "d986ea98-09fa-4e9a-9ee6-e6c78119496f", WINDOWS, UEFI, "cd", "", 1024, 1572864, 32, 64, false },
    { "Windows Server 2022 (64-bit)", "windows-server-2022-64bit", "1c33af1c-e919-418c-ad45-85d7d6fb604a", WINDOWS, UEFI, "cd", "", 1024, 1572864, 32, 64, false },
    { "Windows Server 2025", "windows-server-2025", "905ab443-e415-4d52-bfef-e14b147eac4e", WINDOWS, UEFI, "cd", "", 2048, 1572864, 64, 64, false },
    /* clang-format on */
};

#define MIB (1024LL * 1024)
#define GIB (1024 * MIB)
#define PAIRS_MAX 32

struct pairs {
    struct value v[2 * PAIRS_MAX];
    size_t n;
};

static void put(struct pairs *p, const char *key, const char *v)
{
    if (p->n == PAIRS_MAX)
        return;
    p->v[2 * p->n] = value_str(key);
    p->v[2 * p->n + 1] = value_str(v);
    p->n++;
}

/* "k=v k=v" */
static void put_all(struct arena *a, struct pairs *p, const char *text)
{
    struct str rest = str_of(text), item, key, v;

    while (rest.len) {
        if (!str_cut(rest, ' ', &item, &rest))
            rest.len = 0;
        if (str_cut(item, '=', &key, &v))
            put(p, arena_strndup(a, key.p, key.len), arena_strndup(a, v.p, v.len));
    }
}

static struct value platform_of(struct arena *a, const struct template *t)
{
    struct pairs *p = arena_new_of(a, struct pairs);

    put_all(a, p, "nx=true acpi=1 apic=true pae=true hpet=true");
    if (t->family == LINUX)
        put_all(a, p, "vga=std videoram=8 viridian=false device_id=0001");
    if (t->family == WINDOWS)
        put_all(a, p,
            "vga=std videoram=8 viridian=true viridian_time_ref_count=true viridian_reference_tsc=true "
            "viridian_apic_assist=true "
            "viridian_crash_ctl=true viridian_stimer=true device_id=0002 cores-per-socket=2");
    if (t->family == OTHER)
        put_all(a, p, "vga=std videoram=8 viridian=true");
    if (t->firmware == BIOS)
        put_all(a, p, "device-model=qemu-upstream-compat secureboot=false");
    if (t->firmware == UEFI)
        put_all(a, p, "device-model=qemu-upstream-uefi secureboot=auto");
    if (t->family == WINDOWS)
        put_all(a, p, t->extra); /* acpi_laptop_slate, vtpm */
    return value_map(p->v, p->n);
}

static struct value other_config_of(struct arena *a, const struct template *t)
{
    struct pairs *p = arena_new_of(a, struct pairs);

    put(p, "default_template", "true");
    put(p, "linux_template", t->family == LINUX || t->family == PV ? "true" : "false");
    put(p, "install-methods", t->family == PV ? "cdrom,nfs,http,ftp" : "cdrom");
    if (t->disk_gib)
        put(p, "disks",
            arena_printf(a,
                "<provision><disk device=\"0\" size=\"%lld\" sr=\"\" bootable=\"%s\" type=\"system\"/></provision>",
                (long long)(t->disk_gib * GIB), t->disk_bootable ? "true" : "false"));
    if (t->family != WINDOWS)
        put_all(a, p, t->extra);
    return value_map(p->v, p->n);
}

static const char *recommendations(struct arena *a, const struct template *t)
{
    return arena_printf(a,
        "<restrictions><restriction field=\"memory-static-min\" min=\"%lld\"/><restriction field=\"memory-static-max\" "
        "max=\"%lld\"/>"
        "<restriction field=\"vcpus-max\" max=\"%lld\"/><restriction field=\"has-vendor-device\" value=\"%s\"/>"
        "<restriction field=\"supports-bios\" value=\"%s\"/><restriction field=\"supports-uefi\" value=\"%s\"/>"
        "<restriction field=\"supports-secure-boot\" value=\"%s\"/><restriction property=\"number-of-vbds\" "
        "max=\"255\"/>"
        "<restriction property=\"number-of-vifs\" max=\"7\"/></restrictions>",
        (long long)(t->min_mib * MIB), (long long)(t->max_mib * MIB), (long long)t->vcpus_max,
        t->family == WINDOWS ? "true" : "false", t->firmware == NONE ? "no" : "yes", t->firmware == UEFI ? "yes" : "no",
        t->firmware == UEFI ? "yes" : "no");
}

static const char *pv_args(const struct template *t)
{
    if (t->family != PV)
        return "";
    if (strstr(t->extra, "install-distro=rhlike"))
        return "graphical utf8";
    return strstr(t->reference_label, "-12") ? "console=hvc0 xencons=hvc" : "console=ttyS0 xencons=ttyS";
}

static void create(const struct core *c, struct arena *a, struct tx *tx, const struct template *t)
{
    bool pv = t->family == PV;
    int64_t vcpus = t->family == WINDOWS ? 2 : 1, min = t->min_mib * MIB;
    const struct memory_size size = { 2 * min, vcpus, true };
    struct pairs *boot = arena_new_of(a, struct pairs);

    if (*t->order)
        put(boot, "order", t->order);
    if (!pv)
        put(boot, "firmware", t->firmware == UEFI ? "uefi" : "bios");
    const struct tx_field fields[] = {
        { F_VM_uuid, value_str(t->uuid) },
        { F_VM_name_label, value_str(t->label) },
        { F_VM_reference_label, value_str(t->reference_label) },
        { F_VM_user_version, value_int(1) },
        { F_VM_is_a_template, value_bool(true) },
        { F_VM_is_default_template, value_bool(true) },
        { F_VM_power_state, value_str("Halted") },
        { F_VM_memory_static_min, value_int(min) },
        { F_VM_memory_dynamic_min, value_int(2 * min) },
        { F_VM_memory_dynamic_max, value_int(2 * min) },
        { F_VM_memory_static_max, value_int(2 * min) },
        { F_VM_memory_target, value_int(2 * min) },
        { F_VM_memory_overhead, value_int(memory_overhead(c, &size)) },
        { F_VM_VCPUs_max, value_int(vcpus) },
        { F_VM_VCPUs_at_startup, value_int(vcpus) },
        { F_VM_actions_after_shutdown, value_str("destroy") },
        { F_VM_actions_after_reboot, value_str("restart") },
        { F_VM_actions_after_crash, value_str("restart") },
        { F_VM_HVM_shadow_multiplier, value_float(1.0) },
        { F_VM_HVM_boot_policy, value_str(pv ? "" : "BIOS order") },
        { F_VM_HVM_boot_params, value_map(boot->v, boot->n) },
        { F_VM_PV_bootloader, value_str(pv ? "eliloader" : "") },
        { F_VM_PV_args, value_str(pv_args(t)) },
        { F_VM_domain_type, value_str(pv ? "pv_in_pvh" : "hvm") },
        { F_VM_platform, platform_of(a, t) },
        { F_VM_other_config, other_config_of(a, t) },
        { F_VM_recommendations, value_str(recommendations(a, t)) },
        { F_VM_has_vendor_device, value_bool(t->family == WINDOWS) },
        { F_VM_generation_id, value_str(t->family == WINDOWS ? "0:0" : "") },
        { F_VM_domid, value_int(-1) },
    };
    tx_create(tx, C_VM, NULL, fields, ARRAY_LEN(fields));
}

struct err *bootstrap_templates(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct tx *tx = tx_begin(c->store);

    for (size_t i = 0; i < ARRAY_LEN(templates); i++)
        if (!store_by_uuid(c->store, C_VM, templates[i].uuid))
            create(c, a, tx, &templates[i]);
    TRY(tx_commit(tx));
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
        const struct row *vm = store_by_uuid(c->store, C_VM, templates[i].uuid);
        if (vm)
            ops_refresh_vm(c, arena_strdup(a, row_ref(vm)));
    }
    return NULL;
}
