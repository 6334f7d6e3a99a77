/*
 * BIOS start: this sector at 0x7c00, the rest behind it. A CD's El Torito entry
 * loads all of it at once; from a disk only this sector is there, so it reads
 * the rest itself. IMAGE_SECTORS comes from the linker script.
 */
    .code16
    .section .boot, "ax"
    .globl boot_start
boot_start:
    cli
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    movl $how_cd, how
    cmpl $0x65746e67, loaded    /* all there already? */
    je 2f
    movl $how_disk, how
    movw $packet, %si
    movb $0x42, %ah
    int $0x13
    jc failed
2:  movw $0x3, %ax              /* text mode, 80x25 */
    int $0x10
    inb $0x92, %al              /* A20 */
    orb $2, %al
    andb $0xfe, %al
    outb %al, $0x92
    cli
    lgdt gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $0x08, $start32
failed:
    hlt
    jmp failed

    .code32
start32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x90000, %esp
    movl $bss_start, %edi       /* no loader clears it for us */
    movl $bss_end, %ecx
    subl %edi, %ecx
    xorl %eax, %eax
    rep stosb
    pushl $0
    pushl $1
    pushl how
    call guest_main

    .balign 4
how: .long 0
packet:
    .byte 16, 0
    .word image_sectors
    .word 0x7e00, 0
    .quad 1
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word 23
    .long gdt
how_cd: .asciz "cd"
how_disk: .asciz "disk"
    .org 446
    .byte 0x80, 0, 2, 0, 0x83, 0, 16, 0 /* one active partition, for firmware that wants to see one */
    .long 1, 31
    .org 510
    .word 0xaa55

    .section .tail, "a"
loaded: .long 0x65746e67
    .section .note.GNU-stack, "", @progbits
