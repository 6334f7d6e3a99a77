/*
 * The smallest guest that behaves: it says that it is up (serial line, and the
 * text screen when a BIOS made one), powers itself off when the ACPI button is
 * pressed, lets go of unplugged PCI devices, and obeys single letters on its
 * serial line:
 *     r  resets itself          s  powers itself off
 *     p  panics (pvpanic)       h  ignores the power button and unplug requests from now on
 *     ?  says its tick count    c  counts: says how often it was asked to
 *     t  says whether its TPM remembers that this was asked before
 *     anything else is echoed
 * and it says so when it meets an NMI, and which code came from its keyboard.
 *
 * 32-bit protected mode, no paging, one interrupt: the timer, 50 times a
 * second, so it idles in hlt. With "quiet" on its command line it is ACPI's
 * instead: nothing wakes it but the power button, so a thousand of them take no
 * CPU; it does not look at the serial line then. Started as a PVH kernel
 * (pvh.S) or by a BIOS from disk or CD (boot.S).
 */
#include "tpm.h"

enum {
    COM1 = 0x3f8,
    PM1_STS = 0x600, /* where this guest puts ICH9's power management block */
    PM1_EN = 0x602,
    PM1_CNT = 0x604,
    POWER_BUTTON = 1 << 8,
    PVPANIC = 0x505,
    KEYBOARD = 0x60,
    KEYBOARD_STATUS = 0x64,
    PCI_HOTPLUG = 0xcc0, /* QEMU's ACPI PCI hotplug block on q35 */
    HOTPLUG_DOWN = 4,
    HOTPLUG_EJECT = 8,
    HOTPLUG_SELECT = 16,
    HOTPLUG_BUSES = 64,
    TIMER_HZ = 50,
};

/* clang-format off */
static void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static void out16(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static void out32(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static u8 in8(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static u16 in16(u16 port) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static u32 in32(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
/* clang-format on */

extern u8 timer_entry[], acpi_entry[], nmi_entry[]; /* in entry.S */
extern volatile u32 ticks, nmis;

static u16 *screen; /* NULL when there is no text mode */
static u32 screen_at;

static void put(char c)
{
    while (!(in8(COM1 + 5) & 0x20))
        ;
    out8(COM1, (u8)c);
    if (!screen)
        return;
    if (c == '\n')
        screen_at = (screen_at / 80 + 1) * 80;
    else if (c != '\r')
        screen[screen_at++] = (u16)(0x1f00 | (u8)c);
    if (screen_at >= 80 * 25)
        screen_at = 0;
}

static void say(const char *s)
{
    while (*s)
        put(*s++);
}

static void say_number(u32 n)
{
    char digits[11];
    int i = 10;

    digits[i] = 0;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    say(digits + i);
}

static void pci_write(u32 devfn, u32 reg, u32 v)
{
    out32(0xcf8, 0x80000000u | devfn << 8 | reg);
    out32(0xcfc, v);
}

static struct {
    u32 lo, hi;
} idt[42];

static void gate(u32 vector, const u8 *entry)
{
    u16 cs;

    __asm__ volatile("movw %%cs, %0" : "=r"(cs));
    idt[vector].lo = (u32)cs << 16 | ((u32)entry & 0xffff);
    idt[vector].hi = ((u32)entry & 0xffff0000) | 0x8e00;
}

static void interrupts_start(int quiet)
{
    struct {
        u16 limit;
        u32 base;
    } __attribute__((packed)) idtr = { sizeof(idt) - 1, (u32)idt };

    gate(32, timer_entry);
    gate(41, acpi_entry);
    gate(2, nmi_entry);
    __asm__ volatile("lidt %0" : : "m"(idtr));

    /* Local APIC on, its LINT0 from the old controllers: qboot leaves that closed. */
    *(volatile u32 *)0xfee000f0 = 0x1ff;
    *(volatile u32 *)0xfee00350 = 0x700;
    *(volatile u32 *)0xfee00360 = 0x400; /* and its LINT1 as the NMI */
    out8(0x20, 0x11);                    /* interrupt controllers: vectors 32 and 40 */
    out8(0xa0, 0x11);
    out8(0x21, 32);
    out8(0xa1, 40);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, quiet ? 0xfb : 0xfe); /* only the way to the second one, or only the timer */
    out8(0xa1, quiet ? 0xfd : 0xff);
    out8(0x43, quiet ? 0x30 : 0x34); /* one shot that is never loaded, or periodic */
    if (!quiet) {
        out8(0x40, (1193182 / TIMER_HZ) & 0xff);
        out8(0x40, (1193182 / TIMER_HZ) >> 8);
    }
    __asm__ volatile("sti");
}

static void acpi_start(void)
{
    pci_write(0x1f << 3, 0x40, PM1_STS | 1); /* a firmware usually did this already */
    pci_write(0x1f << 3, 0x44, 0x80);
    out16(PM1_STS, 0xffff);
    out16(PM1_EN, POWER_BUTTON);
    out16(PM1_CNT, (u16)(in16(PM1_CNT) | 1));
}

static void power_off(void)
{
    say("guest powers off\r\n");
    out16(PM1_CNT, 0x2000);
}

static void unplug_devices(void)
{
    for (u32 bus = 0; bus < HOTPLUG_BUSES; bus++) {
        out32(PCI_HOTPLUG + HOTPLUG_SELECT, bus);
        u32 down = in32(PCI_HOTPLUG + HOTPLUG_DOWN);

        if (down)
            out32(PCI_HOTPLUG + HOTPLUG_EJECT, down);
    }
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

void guest_main(const char *how, int has_screen, const char *cmdline);
void guest_main(const char *how, int has_screen, const char *cmdline)
{
    int deaf = 0;
    u32 count = 0;

    if (has_screen) {
        screen = (u16 *)0xb8000;
        for (int i = 0; i < 80 * 25; i++)
            screen[i] = 0x1f20;
    }
    acpi_start();
    interrupts_start(cmdline && same(cmdline, "quiet"));
    say("runnymede guest up (");
    say(how);
    say(")\r\n");

    for (;;) {
        __asm__ volatile("hlt");
        if (nmis) {
            nmis = 0;
            say("guest met an nmi\r\n");
        }
        if (in8(KEYBOARD_STATUS) & 1) {
            say("key code ");
            say_number(in8(KEYBOARD));
            say("\r\n");
        }
        if (!deaf && (in16(PM1_STS) & POWER_BUTTON)) {
            out16(PM1_STS, POWER_BUTTON);
            power_off();
        }
        if (!deaf && ticks % 5 == 0)
            unplug_devices();
        while (in8(COM1 + 5) & 1) {
            char c = (char)in8(COM1);

            if (c == 'r') {
                say("guest resets\r\n");
                out8(0xcf9, 0x02);
                out8(0xcf9, 0x06);
            } else if (c == 's') {
                power_off();
            } else if (c == 'p') {
                say("guest panics\r\n");
                out8(PVPANIC, 1);
            } else if (c == 'h') {
                deaf = 1;
                say("guest is deaf\r\n");
            } else if (c == 'c') {
                say("count ");
                say_number(++count);
                say("\r\n");
            } else if (c == 't') {
                enum tpm_answer a = tpm_define();

                say(a == TPM_DEFINED ? "tpm is new\r\n" : a == TPM_HAD_IT ? "tpm remembers\r\n" : "tpm is missing\r\n");
            } else if (c == '?') {
                say_number(ticks);
                say(" ticks\r\n");
            } else {
                put(c);
            }
        }
    }
}
