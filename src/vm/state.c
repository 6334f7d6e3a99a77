#include "vm/state.h"
#include <assert.h>

static const struct {
    const char *name, *power;
    unsigned to; /* allowed moves */
    bool guest;
} lives[VM_N_LIVES] = {
    [VM_HALTED] = { "halted", "Halted",
        VM_IN(VM_STARTING) | VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED) | VM_IN(VM_CRASHED) | VM_IN(VM_SUSPENDED), false },
    [VM_STARTING] = { "starting", "Halted", VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED) | VM_IN(VM_HALTED), false },
    [VM_RUNNING] = { "running", "Running",
        VM_IN(VM_PAUSED) | VM_IN(VM_STOPPING) | VM_IN(VM_REBOOTING) | VM_IN(VM_CRASHED) | VM_IN(VM_SUSPENDING) |
            VM_IN(VM_ENDING),
        true },
    [VM_PAUSED] = { "paused", "Paused", VM_IN(VM_RUNNING) | VM_IN(VM_CRASHED) | VM_IN(VM_ENDING), true },
    [VM_STOPPING] = { "stopping", "Running", VM_IN(VM_RUNNING) | VM_IN(VM_ENDING), true },
    [VM_REBOOTING] = { "rebooting", "Running", VM_IN(VM_RUNNING) | VM_IN(VM_ENDING), true },
    [VM_CRASHED] = { "crashed", "Paused", VM_IN(VM_RUNNING) | VM_IN(VM_ENDING), true },
    [VM_SUSPENDING] = { "suspending", "Running", VM_IN(VM_RUNNING) | VM_IN(VM_ENDING), true },
    [VM_SUSPENDED] = { "suspended", "Suspended", VM_IN(VM_HALTED), false },
    [VM_ENDING] = { "ending", "Running", VM_IN(VM_HALTED) | VM_IN(VM_RUNNING) | VM_IN(VM_SUSPENDED), true },
};

bool vm_may_move(enum vm_life from, enum vm_life to)
{
    assert(from < VM_N_LIVES && to < VM_N_LIVES);
    return lives[from].to & VM_IN(to);
}

const char *vm_life_name(enum vm_life l)
{
    return lives[l].name;
}

const char *vm_life_power(enum vm_life l)
{
    return lives[l].power;
}

bool vm_life_has_guest(enum vm_life l)
{
    return lives[l].guest;
}
