#pragma once
#include "core/call.h"
#include "core/upload.h"

/*
 * Blobs: bytes of clients beside objects. The content is a file of the core's
 * own folder, named by the blob's uuid; the row says how long it is and since
 * when. The file is the truth: an upload goes to a file of its own, which takes
 * the name once all of it is on the disk, and a start makes the rows say what
 * the files are, after a killed core as after a restored database.
 */
struct blobs;

struct blobs *blobs_new(const char *dir); /* NULL: none are kept */
void blobs_free(struct blobs *b);

/* What a killed core left goes; rows say what is there. [waits] */
struct err *blob_catch_up(struct core *c) MUST_CHECK;

/* An object goes, and with it the blobs that its field names, in its own transaction; what blob_forget() has to know
 * once that is durable, in the arena. */
struct value blob_drop(
    struct core *c, struct tx *t, struct arena *a, const struct row *owner, const struct field *blobs);
void blob_forget(struct core *c, const struct value *gone);

/* core/blob_http.c: /blob. Does it ask for the content of a public one? Then nobody need log in. */
bool blob_is_open(struct core *c, const struct core_http_req *req);
struct err *blob_download(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;
struct err *blob_upload(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;

/* The folder of the files, -1 when none may be kept (pool.disable_binary_storage). */
int blob_folder(const struct core *c);
