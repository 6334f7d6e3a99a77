#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/value.h"

/*
 * What an agent's answers mean, in the words of VM_guest_metrics. Pure: values
 * in, values out. An answer may be anything at all, so what does not fit is
 * passed over, texts lose control characters and have a maximum, lists too, and
 * addresses are read and written anew.
 */
struct vm_nic;
struct vm_report;

/* Nothing said yet. */
void report_init(struct vm_report *r);

/* guest-info: its version and what it can do. report_can(): is this command there and enabled? */
void report_info(struct arena *a, const struct value *answer, struct vm_report *r);
bool report_can(const struct value *info, const char *command);

void report_os(struct arena *a, const struct value *answer, struct vm_report *r);   /* guest-get-osinfo */
void report_name(struct arena *a, const struct value *answer, struct vm_report *r); /* guest-get-host-name */

/* guest-network-get-interfaces; a NIC is known by its MAC. */
void report_networks(
    struct arena *a, const struct value *answer, const struct vm_nic *nics, size_t n_nics, struct vm_report *r);
