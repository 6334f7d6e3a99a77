#pragma once
#include "base/err.h"
#include "base/vec.h"
#include "metric/kind.h"

struct readings {
    struct reading *p;
    size_t len, size;
};

/*
 * One object's figures: its archives, its latest readings, and which sources
 * somebody chose to record or not. Kept in one file of a folder, named
 * <kind>-<uuid>, replaced as a whole. It is not forced to the disk: a file
 * torn by a loss of power is found out by its checksum, and figures are worth no wait.
 */
struct history {
    char kind[8];
    char uuid[40];
    char *label;         /* the object's name; owned */
    struct rrd *rrd;     /* owned */
    struct readings now; /* owned; the latest */
    uint64_t read_us;    /* when they were read */
    VEC(char *) off;     /* owned: standard sources that are not to be recorded */
    uint64_t saved_us;   /* loop's clock */
    bool seen;           /* in the tick under way */
};

struct history *history_new(const char *kind, const char *uuid, bool min_max);
void history_free(struct history *h);
DEFINE_DROP(history)

/* Takes over what was read at t (microseconds since 1970); the readings move. */
void history_update(struct history *h, uint64_t t_us, struct readings *now);

/* The latest reading of that name, NULL if there is none. */
const struct reading *history_find(const struct history *h, const char *name);
bool history_is_recorded(const struct history *h, const char *name);
/* False when there is no such source. */
bool history_record(struct history *h, const char *name);
bool history_forget(struct history *h, const char *name);

/* The folder's files. A file that does not exist gives NULL without an error. */
struct err *history_save(const struct history *h, int dir_fd) MUST_CHECK;
struct err *history_load(int dir_fd, const char *kind, const char *uuid, struct history **ret_history) MUST_CHECK;
bool history_file_name(const char *name, char ret_kind[8], char ret_uuid[40]); /* "vm-UUID" taken apart */
struct err *history_parse(const char *kind, const char *uuid, struct str in, struct history **ret_history) MUST_CHECK;
