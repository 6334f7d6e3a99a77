#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"
#include "store/dump.h"

/*
 * /pool/xmldbdump: the database as one text (store/dump.h), and back.
 *
 * GET tells what is durable at one moment. PUT reads the whole text first; then
 * one commit makes the database what it says, or nothing has changed, and the
 * core starts anew on it, which brings it in line with the guests that run. It
 * is followed by a task, as imports are. With dry_run=true it only reads.
 */
struct err *backup_dump(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;
/* Is that a database of ours? */
struct err *backup_check(const struct dump *d) MUST_CHECK;
/* After a dump was restored. */
void backup_adopt(struct core *c);
struct err *backup_restore(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;
