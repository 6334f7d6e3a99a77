/* PVH start: 32-bit protected mode, flat segments, no paging, no stack. The note tells the loader where. */
    .section .note, "a", @note
    .long 4, 4, 18              /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh_start

    .code32
    .section .text.start, "ax"
    .globl pvh_start
pvh_start:
    cli
    lgdt gdtr
    ljmp $0x08, $1f
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $stack_top, %esp
    movl 24(%ebx), %eax         /* cmdline_paddr of struct hvm_start_info (Xen, public/arch-x86/hvm/start_info.h) */
    pushl %eax
    pushl $0
    pushl $how
    call guest_main

    .section .rodata
how: .asciz "pvh"
    .balign 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word 23
    .long gdt

    .bss
    .balign 16
    .skip 4096
stack_top:
    .section .note.GNU-stack, "", @progbits
