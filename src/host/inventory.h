#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"

/*
 * What this machine is, read from /proc, /sys and /etc. The answer is a map:
 *
 *   hostname            string
 *   machine_id          string, a UUID that stays the same over restarts (DMI's, else /etc/machine-id); "" if none
 *   kernel              string, release ("6.1.0-18-amd64")
 *   arch                string ("x86_64")
 *   os_name, os_version string, of the distribution (os-release NAME and VERSION_ID)
 *   cpu_info            map of strings with the keys of XenAPI's host.cpu_info: cpu_count, socket_count,
 *                       threads_per_core, nr_nodes, vendor, speed (MHz), modelname, family, model, stepping, flags,
 *                       features_hvm, features_hvm_host, features_pv, features_pv_host
 *   cpus                set of maps { number: int, speed: int MHz }, one per logical CPU
 *   memory_total        int, bytes
 *   memory_free         int, bytes available without swapping
 *   bios_strings        map of strings with the keys of host.bios_strings
 *   boot_time           int, wall clock seconds since 1970
 *   start_time          int, the same for this host process
 *   iommu               bool
 *   pci                 set of maps, as host/pci.h has them
 *   hypervisor          string: "qemu", "sim", "xen"
 *   hypervisor_version  string
 *   accelerator         string: "kvm", "tcg", "sim", "xen"
 *   accelerator_detail  string: why no better one is used; "" if there is nothing to say
 *   uefi                bool: firmware for UEFI guests is there
 *   vcpus_max           int: per guest
 *   overhead            int: bytes that a guest costs besides its memory;
 *   overhead_vcpu, overhead_screen  more for each vCPU, and with a screen
 *   capabilities        set of strings as host.capabilities ("hvm-3.0-x86_32", "hvm-3.0-x86_64", ...)
 *   capabilities_missing set of strings: walls between guests that this host cannot build ("cell-uid",
 *                       "cell-namespaces", "cell-cgroup")
 *
 * Reading is bounded and never fails for a missing file: its value is then empty or 0.
 */
struct inventory_hyper { /* what the hypervisor's probe said */
    const char *name;
    const char *version;
    const char *accelerator;
    const char *detail;
    bool uefi;
    uint32_t vcpus_max;
    const char *const *capabilities; /* n_capabilities of them, for host.capabilities */
    size_t n_capabilities;
    uint64_t overhead, overhead_vcpu, overhead_screen;
};

struct inventory_source {
    const char *root;                    /* "" for the real tree, else a folder that holds proc/, sys/, etc/ */
    const struct inventory_hyper *hyper; /* NULL: none */
    const char *const *walls_missing;
    size_t n_walls_missing;
    uint64_t start_time_s;
};

/* Values point into the arena. */
struct err *inventory_read(struct arena *a, const struct inventory_source *source, struct value *ret_info) MUST_CHECK;
