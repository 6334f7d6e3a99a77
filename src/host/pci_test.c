#include "host/pci.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "test.h"

static void make_dirs(char *path, size_t from)
{
    for (char *p = path + from; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(path, 0700);
    }
}

static void put(const char *root, const char *file, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", root, file);
    make_dirs(path, strlen(root) + 1);
    CHECK_OK(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600));
}

static const char *machine(void)
{
    const char *root = test_tmpdir_path();
    char path[512];

    put(root, "sys/bus/pci/devices/0000:00:03.0/class", "0x020000\n");
    put(root, "sys/bus/pci/devices/0000:00:03.0/vendor", "0x8086\n");
    put(root, "sys/bus/pci/devices/0000:00:03.0/device", "0x100e\n");
    put(root, "sys/bus/pci/devices/0000:00:03.0/subsystem_vendor", "0x1af4\n");
    put(root, "sys/bus/pci/devices/0000:00:03.0/subsystem_device", "0x1100\n");
    snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:00:03.0/driver", root);
    CHECK(symlink("../../../../bus/pci/drivers/e1000", path) == 0);
    put(root, "sys/bus/pci/devices/0000:00:02.0/class", "0x038000\n");
    put(root, "sys/bus/pci/devices/0000:00:02.0/vendor", "0x1234\n");
    put(root, "sys/bus/pci/devices/0000:00:02.0/device", "0x1111\n");
    put(root, "sys/bus/pci/devices/0000:00:04.0/class", "nonsense\n");
    return root;
}

TEST(devices_are_told_in_order_with_ids_and_driver)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value all = pci_list(a, machine());
    const struct value *screen = &all.items[0], *nic = &all.items[1];

    CHECK_INT(all.n, 2);
    CHECK_STR(value_map_str(screen, "pci_id"), "0000:00:02.0");
    CHECK_STR(value_map_str(screen, "class_id"), "0380");
    CHECK_STR(value_map_str(screen, "subsystem_vendor_id"), "");
    CHECK_STR(value_map_str(screen, "driver_name"), "");
    CHECK_STR(value_map_str(nic, "vendor_id"), "8086");
    CHECK_STR(value_map_str(nic, "subsystem_device_id"), "1100");
    CHECK_STR(value_map_str(nic, "driver_name"), "e1000");
    CHECK_STR(value_map_str(nic, "vendor_name"), "");
    CHECK_INT(pci_list(a, "/nowhere").n, 0);
}

TEST(names_come_from_the_list_of_ids)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const char *root = machine();

    put(root, "usr/share/misc/pci.ids",
        "# a comment\n"
        "1af4  Red Hat, Inc.\n\t1100  not this one\n"
        "8086  Intel Corporation\n# in between\n\n\t100e  82540EM\n\t\t1af4 1100  QEMU Virtual Machine\n\t\t1af4 1101  "
        "another\n"
        "C 02  Network controller\n\t00  Ethernet controller\n\t\t01  no such thing\n"
        "C 03  Display controller\n\t00  VGA\n"
        "garbage\n\t100e  of nobody\n");
    struct value all = pci_list(a, root);
    const struct value *screen = &all.items[0], *nic = &all.items[1];

    CHECK_STR(value_map_str(nic, "class_name"), "Ethernet controller");
    CHECK_STR(value_map_str(nic, "vendor_name"), "Intel Corporation");
    CHECK_STR(value_map_str(nic, "device_name"), "82540EM");
    CHECK_STR(value_map_str(nic, "subsystem_vendor_name"), "Red Hat, Inc.");
    CHECK_STR(value_map_str(nic, "subsystem_device_name"), "QEMU Virtual Machine");
    CHECK_STR(value_map_str(screen, "class_name"), "Display controller");
    CHECK_STR(value_map_str(screen, "vendor_name"), "");
}
