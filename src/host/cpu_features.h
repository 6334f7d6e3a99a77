#pragma once
struct arena;

/*
 * This machine's CPU features as XenAPI writes them: 32-bit words in the order
 * of Xen's feature set (1d 1c e1d e1c Da1 7b0 7c0 e7d e8b 7d0 7a1), hexadecimal,
 * joined by "-". Empty where there is no cpuid instruction.
 */
const char *cpu_features(struct arena *a);
