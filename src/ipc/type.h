#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * The codec of messages between our processes. A generated table describes a C
 * struct field by field; one piece of code walks it in every direction, so
 * there is one parser to trust and to fuzz.
 *
 * On the wire, little-endian, without padding: a bool is one byte 0 or 1, a
 * string u32 length + bytes + NUL (UTF-8, no NUL inside), bytes u32 length +
 * bytes, a descriptor one byte (1: the next of those that ride along, 0: none),
 * a list u32 count + items. The encoder refuses what the decoder would refuse,
 * so a bad string fails its call and not the connection.
 *
 * As a descriptor 0 stands for none like -1 does: a zeroed struct is empty, and
 * nobody passes on his standard input by forgetting a field.
 */
enum ipc_kind {
    IPC_BOOL,
    IPC_U8,
    IPC_U32,
    IPC_U64,
    IPC_I64,
    IPC_F64,
    IPC_STRING, /* const char * */
    IPC_BYTES,  /* struct str */
    IPC_VALUE,  /* struct value */
    IPC_FD,     /* int */
    IPC_STRUCT,
};

struct ipc_field {
    const char *name;
    enum ipc_kind kind;
    bool list;                   /* T *x; size_t n_x; */
    uint8_t since;               /* the form of what is kept (below) with which it came, from 1 */
    size_t at;                   /* offsets in the C struct */
    size_t n_at;                 /* of a list */
    const struct ipc_type *type; /* of IPC_STRUCT */
};

struct ipc_type {
    const char *name;
    size_t size;
    size_t min_wire; /* least bytes on the wire, of any form: bounds the lengths of lists */
    size_t n_fields;
    const struct ipc_field *fields;
};

#define IPC_FDS_MAX 64 /* per message */
struct ipc_fds {
    int fd[IPC_FDS_MAX];
    size_t n;
};
void ipc_fds_close(struct ipc_fds *fds);

/* Appends x to b. The descriptors are collected, borrowed, in fds; with fds NULL they encode as none. */
struct err *ipc_encode(struct buf *b, struct ipc_fds *fds, const struct ipc_type *t, const void *x) MUST_CHECK;

/*
 * Reads all of `in`, and all of fds, into *ret. Strings and bytes point into
 * `in`, the rest into the arena; descriptors move to *ret on success only.
 */
struct err *ipc_decode(
    struct arena *a, struct str in, struct ipc_fds *fds, const struct ipc_type *t, void *ret) MUST_CHECK;

/*
 * What outlives its process, in a file or an image, is read by another build.
 * It tells its form: the highest `since` in the type when it was written. A
 * field that is younger comes back empty; a form that this build does not know
 * is refused, since what it says would be lost. Form 1 may lack the mark.
 *
 *     0           4     8
 *     0xffffffff  form  fields, as on the wire without descriptors
 */
struct err *ipc_keep(struct buf *b, const struct ipc_type *t, const void *x) MUST_CHECK;
struct err *ipc_recall(struct arena *a, struct str in, const struct ipc_type *t, void *ret) MUST_CHECK;
uint32_t ipc_form(const struct ipc_type *t);

/* Copies `from` whole into the arena, to live past its call; the descriptors move. */
void ipc_take(struct arena *a, const struct ipc_type *t, void *from, void *ret);
/* Closes every descriptor in x and leaves -1. */
void ipc_close_fds(const struct ipc_type *t, void *x);
