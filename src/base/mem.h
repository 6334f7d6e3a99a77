#pragma once
#include <stddef.h>
#include <stdlib.h>
#include "base/compiler.h"

/*
 * Heap memory of the control plane. Nothing here returns NULL: out of memory
 * ends the process, which starts again from the store. So every size that an
 * outsider chooses is bounded before it gets here.
 */

void *mem_alloc(size_t size);                 /* zeroed; size 0 gives a unique pointer */
void *mem_alloc_array(size_t n, size_t size); /* zeroed; overflow ends the process */
void *mem_realloc(void *p, size_t size);      /* the grown part is not zeroed */
void *mem_dup(const void *p, size_t size);
char *mem_strdup(const char *s); /* NULL stays NULL */
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))
#define mem_new_array(n, type) ((type *)mem_alloc_array((n), sizeof(type)))

/* AUTO(mem_drop) char *s: frees what s points to. */
void mem_drop(void *pp);

/* Overwrites memory that held a secret; the compiler may not remove it. */
void mem_wipe(void *p, size_t size);
