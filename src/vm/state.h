#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * The life of one VM, as a table: which states there are, which moves are
 * allowed, and what each looks like from outside.
 *
 *     HALTED -> STARTING -> RUNNING <-> PAUSED
 *                  |          | ^ \
 *                  v          v |  v
 *               HALTED   STOPPING  CRASHED     (ENDING from anywhere but HALTED)
 *                        REBOOTING, SUSPENDING -> ENDING -> SUSPENDED
 */
enum vm_life {
    VM_HALTED,
    VM_STARTING,
    VM_RUNNING,
    VM_PAUSED,
    VM_STOPPING,  /* asked to shut down */
    VM_REBOOTING, /* asked to shut down, to be started again */
    VM_CRASHED,   /* preserved after a panic, standing still */
    VM_SUSPENDING,
    VM_SUSPENDED, /* there is an image of it, and no guest */
    VM_ENDING,
    VM_N_LIVES,
};

#define VM_IN(life) (1u << (life))
#define VM_ALIVE                                                                                           \
    (VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED) | VM_IN(VM_STOPPING) | VM_IN(VM_REBOOTING) | VM_IN(VM_CRASHED) | \
        VM_IN(VM_SUSPENDING))

bool vm_may_move(enum vm_life from, enum vm_life to);
const char *vm_life_name(enum vm_life l);
const char *vm_life_power(enum vm_life l); /* XenAPI's power_state: "Running", "Paused", "Suspended", "Halted" */
bool vm_life_has_guest(enum vm_life l);    /* the invariant: exactly then there is a guest object */
