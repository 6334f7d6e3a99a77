#pragma once
#include "core/call.h"

/* Makes the host's PCI objects what its inventory says (host/pci.h): new ones, changed ones, gone ones. */
void pci_take(struct core *c, struct arena *a, struct tx *t, const struct value *devices);
