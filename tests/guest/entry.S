/* What both ways to start share: the interrupts of the timer and of ACPI (behind the second controller), and the NMI. */
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

    .globl acpi_entry
acpi_entry:
    pushl %eax
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
    popl %eax
    iret

    .globl nmi_entry
nmi_entry:
    incl nmis
    iret

    .bss
    .globl ticks, nmis
    .balign 4
ticks:
    .skip 4
nmis:
    .skip 4
    .section .note.GNU-stack, "", @progbits
