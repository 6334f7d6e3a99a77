#pragma once
/*
 * Force-included before every source file: calls that cannot be bounded, that
 * hide errors, or that start a shell do not compile. Their headers come first,
 * because a poisoned name may not even be declared.
 */
#ifndef __ASSEMBLER__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>
#pragma GCC poison strcpy strcat sprintf vsprintf atoi atol strtok gets system popen
#endif
