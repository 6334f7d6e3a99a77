#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "store/store.h"

/*
 * The durable part of the archive as one XML text (protocol.md section 14),
 * for backups:
 *
 *     <database>
 *     <manifest><pair key="schema_major_vsn" value="5"/>...</manifest>
 *     <table name="VM">
 *     <row ref="OpaqueRef:.." uuid=".." name__label=".."/>
 *     </table>
 *     </database>
 *
 * Fields have their names of queries. A set is ('a' 'b'), a map (('k' 'v')),
 * with \\ and \' inside the quotes; what stands in sets of maps nests. Tables
 * and fields that this version does not know are left out when read; fields
 * that are missing have their defaults.
 */
#define DUMP_SIZE_MAX (1024ULL * 1024 * 1024)
#define DUMP_ROWS_MAX (4UL * 1024 * 1024)

/* Into a file in memory or on a disk: all rows as they are at this moment. */
struct err *dump_write(const struct store *s, int fd) MUST_CHECK;

struct dump;
struct dump *dump_new(void);
void dump_free(struct dump *d);
DEFINE_DROP(dump)
/* The next bytes of a text; last: there are no more. RESTORE_INCOMPATIBLE_VERSION if it was written by a later schema,
 * INTERNAL_ERROR with the line for anything else that is wrong. */
struct err *dump_feed(struct dump *d, struct str bytes, bool last) MUST_CHECK;
size_t dump_count(const struct dump *d, const struct model_class *c);

/* Makes the durable part of the store what the dump says, in one transaction. [waits] until it is durable */
struct err *dump_restore(const struct dump *d, struct store *s) MUST_CHECK;
