#include "metric/kind.h"
#include <math.h>
#include <stdio.h>

#define ANY 0, INFINITY
#define GAUGE RRD_GAUGE
#define DERIVE RRD_DERIVE

/* Columns as in the struct. */
/* clang-format off */
const struct kind kinds[KINDS_N] = {
    [K_CPU] = { "cpu", "", "cpu", "cpu_usage_ratio", "(fraction)", "Use of a CPU", 0, 1.05, DERIVE, true, false },
    [K_CPU_AVG] = { "cpu_avg", "", NULL, "cpu_avg_ratio", "(fraction)", "Mean use of all CPUs", 0, 1.05, DERIVE, true, false },
    [K_LOADAVG] = { "loadavg", "", NULL, "load1", "(fraction)", "Load average of the host over one minute", ANY, GAUGE, true, false },
    [K_HOSTLOAD] = { "hostload", "", NULL, "load_ratio", "(fraction)", "Running and runnable threads per CPU", ANY, GAUGE, true, false },
    [K_RUNNING_VCPUS] = { "running_vcpus", "", NULL, "running_vcpus", "count", "vCPUs of running VMs", ANY, GAUGE, true, false },
    [K_RUNNING_DOMAINS] = { "running_domains", "", NULL, "running_domains", "count", "Running VMs", ANY, GAUGE, true, false },
    [K_MEMORY_TOTAL_KIB] = { "memory_total_kib", "", NULL, "memory_total_kibibytes", "KiB", "Memory of the host", ANY, GAUGE, true, false },
    [K_MEMORY_FREE_KIB] = { "memory_free_kib", "", NULL, "memory_free_kibibytes", "KiB", "Memory of the host that is available", ANY, GAUGE, true, false },
    [K_PIF_RX] = { "pif_", "_rx", "pif", "pif_receive_bytes_per_second", "B/s", "Bytes per second received on an interface", ANY, DERIVE, true, false },
    [K_PIF_TX] = { "pif_", "_tx", "pif", "pif_transmit_bytes_per_second", "B/s", "Bytes per second sent on an interface", ANY, DERIVE, true, false },
    [K_PIF_RX_ERRORS] = { "pif_", "_rx_errors", "pif", "pif_receive_errors_per_second", "err/s", "Receive errors of an interface", ANY, DERIVE, false, false },
    [K_PIF_TX_ERRORS] = { "pif_", "_tx_errors", "pif", "pif_transmit_errors_per_second", "err/s", "Transmit errors of an interface", ANY, DERIVE, false, false },
    [K_PIF_AGGR_RX] = { "pif_aggr_rx", "", NULL, "pif_aggr_receive_bytes_per_second", "B/s", "Bytes per second received on all interfaces", ANY, DERIVE, true, false },
    [K_PIF_AGGR_TX] = { "pif_aggr_tx", "", NULL, "pif_aggr_transmit_bytes_per_second", "B/s", "Bytes per second sent on all interfaces", ANY, DERIVE, true, false },
    [K_SESSIONS] = { "pool_session_count", "", NULL, "pool_sessions", "sessions", "Sessions of the pool", ANY, GAUGE, true, false },
    [K_TASKS] = { "pool_task_count", "", NULL, "pool_tasks", "tasks", "Tasks of the pool", ANY, GAUGE, true, false },
    [K_SR_READ] = { "io_throughput_read_", "", "sr", "sr_read_mebibytes_per_second", "MiB/s", "Read from an SR by VMs", ANY, GAUGE, true, false },
    [K_SR_WRITE] = { "io_throughput_write_", "", "sr", "sr_write_mebibytes_per_second", "MiB/s", "Written to an SR by VMs", ANY, GAUGE, true, false },
    [K_SR_TOTAL] = { "io_throughput_total_", "", "sr", "sr_mebibytes_per_second", "MiB/s", "All input and output of VMs on an SR", ANY, GAUGE, true, false },
    [K_SR_IOPS_READ] = { "iops_read_", "", "sr", "sr_read_requests_per_second", "requests/s", "Read requests of VMs on an SR", ANY, GAUGE, true, false },
    [K_SR_IOPS_WRITE] = { "iops_write_", "", "sr", "sr_write_requests_per_second", "requests/s", "Write requests of VMs on an SR", ANY, GAUGE, true, false },
    [K_SR_IOPS_TOTAL] = { "iops_total_", "", "sr", "sr_requests_per_second", "requests/s", "All requests of VMs on an SR", ANY, GAUGE, true, false },
    [K_CPU_USAGE] = { "cpu_usage", "", NULL, "cpu_usage_mean_ratio", "(fraction)", "Mean use of all vCPUs", 0, 1.05, DERIVE, true, false },
    [K_MEMORY] = { "memory", "", NULL, "memory_bytes", "B", "Memory of the VM", ANY, GAUGE, true, false },
    [K_MEMORY_TARGET] = { "memory_target", "", NULL, "memory_target_bytes", "B", "Memory that the balloon is to leave the VM", ANY, GAUGE, true, false },
    [K_MEMORY_INTERNAL_FREE] = { "memory_internal_free", "", NULL, "memory_internal_free_kibibytes", "KiB", "Memory that the guest says it could use", ANY, GAUGE, true, false },
    [K_VIF_RX] = { "vif_", "_rx", "vif", "vif_receive_bytes_per_second", "B/s", "Bytes per second received by the VM", ANY, DERIVE, true, false },
    [K_VIF_TX] = { "vif_", "_tx", "vif", "vif_transmit_bytes_per_second", "B/s", "Bytes per second sent by the VM", ANY, DERIVE, true, false },
    [K_VIF_RX_ERRORS] = { "vif_", "_rx_errors", "vif", "vif_receive_errors_per_second", "err/s", "Errors on the way to the VM", ANY, DERIVE, false, false },
    [K_VIF_TX_ERRORS] = { "vif_", "_tx_errors", "vif", "vif_transmit_errors_per_second", "err/s", "Errors on the way from the VM", ANY, DERIVE, false, false },
    [K_VBD_READ] = { "vbd_", "_read", "vbd", "vbd_read_bytes_per_second", "B/s", "Bytes per second read from a disk", ANY, DERIVE, true, false },
    [K_VBD_WRITE] = { "vbd_", "_write", "vbd", "vbd_write_bytes_per_second", "B/s", "Bytes per second written to a disk", ANY, DERIVE, true, false },
    [K_VBD_READ_LATENCY] = { "vbd_", "_read_latency", "vbd", "vbd_read_latency_microseconds", "μs", "Time that a read takes", ANY, GAUGE, true, true },
    [K_VBD_WRITE_LATENCY] = { "vbd_", "_write_latency", "vbd", "vbd_write_latency_microseconds", "μs", "Time that a write takes", ANY, GAUGE, true, true },
    [K_VBD_IOPS_READ] = { "vbd_", "_iops_read", "vbd", "vbd_read_requests_per_second", "requests/s", "Read requests per second", ANY, DERIVE, true, false },
    [K_VBD_IOPS_WRITE] = { "vbd_", "_iops_write", "vbd", "vbd_write_requests_per_second", "requests/s", "Write requests per second", ANY, DERIVE, true, false },
    [K_VBD_IOPS_TOTAL] = { "vbd_", "_iops_total", "vbd", "vbd_requests_per_second", "requests/s", "All requests per second", ANY, DERIVE, true, false },
    [K_VBD_MIB_READ] = { "vbd_", "_io_throughput_read", "vbd", "vbd_read_mebibytes_per_second", "MiB/s", "Read from a disk", ANY, DERIVE, true, false },
    [K_VBD_MIB_WRITE] = { "vbd_", "_io_throughput_write", "vbd", "vbd_write_mebibytes_per_second", "MiB/s", "Written to a disk", ANY, DERIVE, true, false },
    [K_VBD_MIB_TOTAL] = { "vbd_", "_io_throughput_total", "vbd", "vbd_mebibytes_per_second", "MiB/s", "All input and output of a disk", ANY, DERIVE, true, false },
    [K_PHYSICAL_SIZE] = { "physical_size", "", NULL, "physical_size_bytes", "B", "Size of the SR", ANY, GAUGE, true, false },
    [K_PHYSICAL_UTILISATION] = { "physical_utilisation", "", NULL, "physical_utilisation_bytes", "B", "Space in use on the SR", ANY, GAUGE, true, false },
    [K_VIRTUAL_ALLOCATION] = { "virtual_allocation", "", NULL, "virtual_allocation_bytes", "B", "Sizes of all disks on the SR together", ANY, GAUGE, true, false },
};
/* clang-format on */

void reading_name(const struct reading *r, char ret_name[RRD_NAME_MAX + 1])
{
    const struct kind *k = &kinds[r->kind];

    if (snprintf(ret_name, RRD_NAME_MAX + 1, "%s%s%s", k->before, r->instance, k->after) > RRD_NAME_MAX)
        ret_name[RRD_NAME_MAX] = 0;
}
