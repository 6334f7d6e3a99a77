/* What both ways to start share: the timer's interrupt. */
    .code32
    .text
    .globl timer_entry
timer_entry:
    pushl %eax
    incl ticks
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

    .bss
    .globl ticks
    .balign 4
ticks:
    .skip 4
    .section .note.GNU-stack, "", @progbits
