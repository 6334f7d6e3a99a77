#pragma once
#include <stdbool.h>
#include "base/compiler.h"

#define UUID_LEN 36 /* text, lower case, without the NUL */

/* RFC 4122 version 4, from the kernel's random numbers. */
void uuid_make(char ret_text[UUID_LEN + 1]);
bool uuid_valid(const char *text);
void random_bytes(void *p, unsigned len);
