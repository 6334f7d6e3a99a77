#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * Raw disks over HTTP (protocol.md section 13). The bytes go between the gate
 * and the storage service; what is here begins them, follows them in a task of
 * the client's or of its own, and ends that. Only format=raw is built.
 *
 * An import of fewer bytes than the disk has leaves the rest as it was. One
 * that announced more than that, as clients do that know no length, may end
 * early; any other that ends before its Content-Length has failed.
 */
struct err *transfer_export(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;
struct err *transfer_import(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;

/* The gate's relay has ended. */
void transfer_stream_done(struct core *c, uint64_t stream_id, uint64_t bytes, bool complete);
