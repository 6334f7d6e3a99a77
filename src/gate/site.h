#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/str.h"

/*
 * Static files, all in memory: the gate lives in an empty root. A landing
 * page and /console.html of our own, Debian's noVNC under /novnc/, and if
 * there is one, a web interface at the root.
 */
struct site;

struct site_file {
    const char *type;
    struct str bytes;
};

#define SITE_FILES_MAX 4096
#define SITE_BYTES_MAX ((size_t)64 << 20)

struct site *site_new(void);
void site_free(struct site *s); /* NULL is fine */
DEFINE_DROP(site)

/* Every regular file below dir becomes prefix + its path; an index.html also the folder's own path. */
struct err *site_load(struct site *s, const char *dir, const char *prefix) MUST_CHECK;
/* The pages of our own, where no loaded file is in their place. Call last. */
void site_finish(struct site *s);

const struct site_file *site_find(const struct site *s, const char *path); /* NULL: no such file */
