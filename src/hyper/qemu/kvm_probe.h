#pragma once
#include <stdbool.h>
#include <stddef.h>

/*
 * Is there hardware virtualization, really? Some machines have a /dev/kvm that
 * opens but emulates: an operating system would never finish booting on it, and
 * QEMU's `-accel kvm -accel tcg` would choose it. So a guest of 10,000
 * real-mode loop steps is timed: a CPU needs 10 us, an emulator over 20 ms.
 *
 * The answer holds for the life of the process; asked once.
 */
bool kvm_works(char *ret_why_not, size_t size);
