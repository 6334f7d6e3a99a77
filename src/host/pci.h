#pragma once
#include "base/arena.h"
#include "base/value.h"

/*
 * The PCI devices of this machine, from /sys/bus/pci: a set of maps of texts,
 *
 *   pci_id                                      "0000:00:1f.2"
 *   class_id, vendor_id, device_id              four hexadecimal digits; class_id is class and subclass
 *   subsystem_vendor_id, subsystem_device_id    the same; "" where there is none
 *   driver_name                                 of the kernel's driver; "" if none has it
 *   class_name, vendor_name, device_name, subsystem_vendor_name, subsystem_device_name
 *                                               from pci.ids, where that is installed; "" what it does not know
 *
 * in the order of pci_id. Never fails: what cannot be read is left out.
 */
#define PCI_MAX 1024 /* devices */

struct value pci_list(struct arena *a, const char *root); /* root: "" for the real tree */
