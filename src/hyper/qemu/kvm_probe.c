#include "hyper/qemu/kvm_probe.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"

#define STEPS 10000
#define GOOD_ENOUGH_NS (3 * 1000 * 1000)

static bool cpu_has_virtualization(void)
{
    struct buf b;
    bool found = false;
    static const char *const flags[] = { " vmx", " svm" };

    buf_init(&b, 1024 * 1024);
    err_ignore(file_read(AT_FDCWD, "/proc/cpuinfo", &b), "no cpuinfo, or more of it than 1 MiB: what was read counts");
    for (size_t i = 0; b.p && i < 2; i++) {
        const char *p = strstr(b.p, flags[i]);

        found |= p && (p[4] == ' ' || p[4] == '\n');
    }
    buf_done(&b);
    return found;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The signal only makes KVM_RUN return. It is the probe's own timer, gone before the probe ends. */
static void on_alarm(int signo)
{
    (void)signo;
}

static uint64_t run_once(int vcpu, struct kvm_run *run)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rip = 0, .rflags = 2 };
    uint64_t start = now_ns();

    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        return UINT64_MAX;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        return UINT64_MAX;
    while (ioctl(vcpu, KVM_RUN, 0) < 0) {
        if (errno != EINTR && errno != EAGAIN)
            return UINT64_MAX;
        if (now_ns() - start > 10 * (uint64_t)GOOD_ENOUGH_NS)
            return UINT64_MAX;
    }
    return run->exit_reason == KVM_EXIT_HLT ? now_ns() - start : UINT64_MAX;
}

static uint64_t best_of_three(int vcpu, struct kvm_run *run)
{
    struct sigaction sa = { .sa_handler = on_alarm }, old_sa;
    struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
    struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
    sigset_t alarm_set, old_set;
    uint64_t best = UINT64_MAX;
    timer_t timer;

    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    if (sigaction(SIGALRM, &sa, &old_sa) < 0 || timer_create(CLOCK_MONOTONIC, &ev, &timer) < 0)
        return UINT64_MAX;
    pthread_sigmask(SIG_UNBLOCK, &alarm_set, &old_set);
    timer_settime(timer, 0, &every, NULL);
    for (int i = 0; i < 3; i++) {
        uint64_t ns = run_once(vcpu, run);

        best = ns < best ? ns : best;
    }
    timer_delete(timer);
    pthread_sigmask(SIG_SETMASK, &old_set, NULL);
    sigaction(SIGALRM, &old_sa, NULL);
    return best;
}

static bool loop_is_fast(int kvm)
{
    static const uint8_t code[] = { 0x66, 0xb9, STEPS & 0xff, STEPS >> 8, 0, 0, /* mov ecx, STEPS */
        0x66, 0x49, 0x75, 0xfc, 0xf4 };                                         /* again: dec ecx; jnz again; hlt */
    AUTO(fd_drop) int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    AUTO(fd_drop) int vcpu = -1;
    int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    uint64_t ns = UINT64_MAX;

    if (vm < 0 || run_size <= 0)
        return false;
    uint8_t *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return false;
    struct kvm_userspace_memory_region region = { .memory_size = 4096, .userspace_addr = (uintptr_t)mem };

    memcpy(mem, code, sizeof(code));
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0 && (vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) >= 0) {
        struct kvm_run *run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

        if (run != MAP_FAILED) {
            ns = best_of_three(vcpu, run);
            munmap(run, (size_t)run_size);
        }
    }
    munmap(mem, 4096);
    return ns < GOOD_ENOUGH_NS;
}

static const char *why_not(void)
{
    AUTO(fd_drop) int kvm = -1;

    if (!cpu_has_virtualization())
        return "the CPU offers neither vmx nor svm";
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return "/dev/kvm cannot be opened";
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != 12)
        return "/dev/kvm speaks another version";
    if (!loop_is_fast(kvm))
        return "/dev/kvm only emulates";
    return NULL;
}

bool kvm_works(char *ret_why_not, size_t size)
{
    static bool asked;
    static const char *reason;

    if (!asked)
        reason = why_not();
    asked = true;
    snprintf(ret_why_not, size, "%s", reason ? reason : "");
    return !reason;
}
