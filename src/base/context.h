#pragma once
#include <stddef.h>

/*
 * Switching stacks. Not swapcontext(): it saves the signal mask with a system
 * call per switch, and no fiber of ours changes the mask. It remains for
 * machines without a context_swap() of their own in context.S.
 */
#if defined(__x86_64__) || defined(__aarch64__)
#define CONTEXT_ASM 1
struct context {
    void *sp;
};
#else
#define CONTEXT_ASM 0
#include <ucontext.h>
struct context {
    ucontext_t uc;
};
#endif

/* The first switch to c calls fn() on that stack; fn must never return. */
void context_init(struct context *c, void *stack, size_t size, void (*fn)(void));
void context_switch(struct context *from, struct context *to);
