/*
 * void context_swap(void **save_sp, void *load_sp)
 * context_entry: where a new stack begins; calls the function left in the first saved register.
 */
#if defined(__x86_64__)

    .text
    .globl context_swap
    .hidden context_swap
    .type context_swap, @function
    .p2align 4
context_swap:
    .cfi_startproc
    endbr64
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %rbp
    pushq %rbx
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %rbx
    popq %rbp
    popq %r12
    popq %r13
    popq %r14
    popq %r15
    ret
    .cfi_endproc
    .size context_swap, . - context_swap

    .globl context_entry
    .hidden context_entry
    .type context_entry, @function
    .p2align 4
context_entry:
    .cfi_startproc
    .cfi_undefined rip /* the end of a backtrace */
    endbr64
    call *%rbx
    ud2
    .cfi_endproc
    .size context_entry, . - context_entry

#elif defined(__aarch64__)

    .text
    .globl context_swap
    .hidden context_swap
    .type context_swap, %function
    .p2align 4
context_swap:
    .cfi_startproc
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .cfi_endproc
    .size context_swap, . - context_swap

    .globl context_entry
    .hidden context_entry
    .type context_entry, %function
    .p2align 4
context_entry:
    .cfi_startproc
    .cfi_undefined x30
    blr x19
    brk #1
    .cfi_endproc
    .size context_entry, . - context_entry

#endif

    .section .note.GNU-stack, "", %progbits
