#pragma once
#include "base/err.h"

/*
 * What the host itself does with IPv6 on an interface; kernels without IPv6 do
 * nothing, which is success. All of it is settings of the network namespace
 * (the kernel's Documentation/networking/ip-sysctl.rst).
 */

/* Nothing at all: no address, and no router there is believed, since any guest may claim to be one. */
struct err *ipv6_off(const char *interface) MUST_CHECK;
/* The addresses that it is given, and no others: no router is believed. */
struct err *ipv6_own(const char *interface) MUST_CHECK;
/* As on any interface of this machine; does nothing where it was never off. */
struct err *ipv6_on(const char *interface) MUST_CHECK;

/* Forwards IPv6. Interfaces that believe their routers go on to do so, which they would not by themselves. */
struct err *ipv6_forward(void) MUST_CHECK;
