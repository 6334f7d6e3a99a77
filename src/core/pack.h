#pragma once
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/*
 * A backup as a stream of bytes: a tar of plain files, compressed with zstd.
 * The last one, SHA256SUMS, has a line for each of the others, in their order,
 * as sha256sum(1) writes it: what lacks it was cut short, what differs from it
 * is damaged. All of it blocks: on a worker.
 */
#define PACK_NAME_MAX 200
#define PACK_FILES_MAX 100000
#define PACK_SUMS "SHA256SUMS"

struct pack;
struct pack *pack_new(int fd); /* borrowed */
void pack_free(struct pack *p);
DEFINE_DROP(pack)
struct err *pack_file(struct pack *p, const char *name, int fd, int64_t size, int64_t mtime_s) MUST_CHECK;
struct err *pack_text(struct pack *p, const char *name, struct str text, int64_t mtime_s) MUST_CHECK;
struct err *pack_end(struct pack *p) MUST_CHECK; /* the sums, and all is written */

/* What is done with the files of one, in their order. Nothing may be believed before all is read. */
struct unpack {
    struct err *(*begin)(void *arg, const char *name, int64_t size, int64_t mtime_s); /* not for the sums */
    struct err *(*data)(void *arg, struct str bytes);
    struct err *(*end)(void *arg);
    void *arg;
};
/* fd: a file, from its begin. RESTORE_SCRIPT_FAILED [text] for what is no such stream. */
struct err *unpack(int fd, const struct unpack *u) MUST_CHECK;
