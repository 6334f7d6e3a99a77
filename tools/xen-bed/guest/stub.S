/*
 * A PVH guest of a few bytes: says its command line on Xen's debug port, then
 * does what the first letter wishes: o(ff), r(eboot), c(rash); else it blocks
 * for ever. Entered in 32-bit protected mode, flat, ebx at hvm_start_info.
 * Calls the hypervisor with vmmcall: for hosts with SVM, as QEMU emulates it.
 */
    .section .note, "a", @note
    .long 4, 4, 18              /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .globl start
start:
    movl $stack_top, %esp
    movl 24(%ebx), %ebp         /* hvm_start_info.cmdline_paddr */
    movl $hello, %esi
    call say
    movl %ebp, %esi
    call say
    movl $newline, %esi
    call say

    movb (%ebp), %al
    xorl %edx, %edx             /* SHUTDOWN_poweroff */
    cmpb $'o', %al
    je end
    incl %edx                   /* SHUTDOWN_reboot */
    cmpb $'r', %al
    je end
    movl $3, %edx               /* SHUTDOWN_crash */
    cmpb $'c', %al
    je end
block:
    movl $1, %ebx               /* SCHEDOP_block */
    xorl %ecx, %ecx
    call sched_op
    jmp block
end:
    movl %edx, reason
    movl $2, %ebx               /* SCHEDOP_shutdown */
    movl $reason, %ecx
    call sched_op
    jmp block

sched_op:
    movl $29, %eax              /* __HYPERVISOR_sched_op */
    vmmcall
    ret

say:
    movw $0xe9, %dx
1:  cmpb $0, (%esi)
    je 2f
    outsb
    jmp 1b
2:  ret

    .section .rodata
hello: .asciz "stub guest up: "
newline: .asciz "\n"

    .bss
    .balign 16
reason: .skip 4
    .skip 1020
stack_top:
    .section .note.GNU-stack, "", @progbits
