#pragma once
/*
 * The GNU C extensions that the project uses, named once.
 */

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define RETURNS_NONNULL __attribute__((returns_nonnull))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* AUTO(x_drop) struct x *p = NULL; frees p at the end of the scope. Not `auto`: gcc 12 has that for C2x only. */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Takes the value out of an owning variable and leaves NULL (or 0) behind. */
#define MOVE(p)                       \
    __extension__({                   \
        __typeof__(p) move_tmp = (p); \
        (p) = (__typeof__(p))0;       \
        move_tmp;                     \
    })

/* Defines x_drop(struct x **): frees and sets to NULL. x_free(NULL) must be fine. */
#define DEFINE_DROP(name)                                  \
    static inline UNUSED void name##_drop(struct name **p) \
    {                                                      \
        name##_free(*p);                                   \
        *p = NULL;                                         \
    }

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))
