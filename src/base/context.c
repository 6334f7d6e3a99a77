#include "base/context.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if CONTEXT_ASM

/* In context.S. Pushes what a call must preserve, stores the stack pointer, and pops the same from another stack. */
void context_swap(void **save_sp, void *load_sp);
extern const char context_entry[];

#ifdef __x86_64__
enum { FRAME_WORDS = 8, FN_WORD = 1, RETURN_WORD = 7 }; /* mxcsr+x87, rbx, rbp, r12..r15, return address */
#else
enum { FRAME_WORDS = 20, FN_WORD = 0, RETURN_WORD = 11 }; /* x19..x30, d8..d15 */
#endif

void context_init(struct context *c, void *stack, size_t size, void (*fn)(void))
{
    uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
    uintptr_t *frame = (uintptr_t *)top - FRAME_WORDS;

    memset(frame, 0, FRAME_WORDS * sizeof(*frame));
#ifdef __x86_64__
    uint32_t mxcsr = 0x1f80;
    uint16_t x87 = 0x037f;
    memcpy((char *)frame, &mxcsr, sizeof(mxcsr));
    memcpy((char *)frame + 4, &x87, sizeof(x87));
#endif
    frame[FN_WORD] = (uintptr_t)fn;
    frame[RETURN_WORD] = (uintptr_t)context_entry;
    c->sp = frame;
}

void context_switch(struct context *from, struct context *to)
{
    context_swap(&from->sp, to->sp);
}

#else

void context_init(struct context *c, void *stack, size_t size, void (*fn)(void))
{
    if (getcontext(&c->uc) < 0)
        abort();
    c->uc.uc_stack.ss_sp = stack;
    c->uc.uc_stack.ss_size = size;
    c->uc.uc_link = NULL;
    makecontext(&c->uc, fn, 0);
}

void context_switch(struct context *from, struct context *to)
{
    if (swapcontext(&from->uc, &to->uc) < 0)
        abort();
}

#endif
