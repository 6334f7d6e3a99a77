#pragma once
#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * The image of a suspended VM: a raw disk that says by itself whether there is
 * a guest in it. Where it lies and what the database says of it, others know;
 * whether memory is lost when a process or the machine dies, only this decides:
 *
 *     open    being written: the guest is not in it
 *     whole   the guest is in it, and nowhere else
 *     used    the guest runs on, or did: what is in it must never run again
 *
 *     0      16     24          4096             1 MiB
 *     magic  state  plan's size plan, encoded    what the hypervisor wrote
 *
 * The plan is what the guest was built from, with the places of its devices.
 * All calls wait for the medium; fd is borrowed, and its offset is left at the
 * hypervisor's part.
 */
struct vm_plan;

enum vm_image_state { VM_IMAGE_NONE, VM_IMAGE_OPEN, VM_IMAGE_WHOLE, VM_IMAGE_USED };

/* Space besides the guest's memory: the head, devices' state and video memory, and a header for each page. */
#define VM_IMAGE_OVERHEAD (96UL * 1024 * 1024)

struct err *vm_image_begin(int fd, const struct vm_plan *plan) MUST_CHECK; /* [waits] */
struct err *vm_image_mark(int fd, enum vm_image_state state) MUST_CHECK;   /* [waits] durable */
enum vm_image_state vm_image_state(int fd);                                /* NONE: it is no image */
struct err *vm_image_plan(int fd, struct arena *a, struct vm_plan *ret_plan) MUST_CHECK;
