/* Files of the host and the pool: logs, reports, backups, the database. */
#include <time.h>
#include "cli/transfer.h"
#include "cli/verb.h"

#define HOST "uuid,host,host-uuid"

/* The handlers are the answering host's: who names another one is told. */
static struct err *this_host(struct xe *x)
{
    const char *text = arg_any(&x->args, HOST), *ref;

    return text ? xe_find(x, C_host, text, &ref) : NULL;
}

/* Of the host that answers; a bar would need to know how much there will be. */
static struct err *host_get_system_status(struct xe *x)
{
    const char *file, *entries = arg_get(&x->args, "entries"), *output = arg_get(&x->args, "output");
    const char *pairs[] = { "entries", entries ? entries : "", "output", output ? output : "tar" };

    TRY(arg_need(&x->args, "filename", &file));
    TRY(this_host(x));
    return transfer_download(x, "/system-status", pairs, 2, file, -1, "Status report of a host");
}

/* The time is in the name of a file that the user does not name. */
static struct err *host_logs_download(struct xe *x)
{
    const char *file = arg_any(&x->args, "file-name,filename");
    char name[48];
    time_t now = time(NULL);
    struct tm tm;

    TRY(this_host(x));
    strftime(name, sizeof(name), "logs-%Y-%m-%dT%H%M%SZ.tar.gz", gmtime_r(&now, &tm));
    if (!file)
        say("%s", file = name);
    return transfer_download(x, "/host_logs_download", NULL, 0, file, -1, "Logs of a host");
}

static struct err *audit_log_get(struct xe *x)
{
    const char *file, *since = arg_get(&x->args, "since");
    const char *pairs[] = { "since", since };

    TRY(arg_need(&x->args, "filename", &file));
    return transfer_download(x, "/audit_log", pairs, since ? 1 : 0, file, -1, "Audit log of the pool");
}

static struct err *pool_dump_database(struct xe *x)
{
    const char *file;

    TRY(arg_need(&x->args, "file-name", &file));
    return transfer_download(x, "/pool/xmldbdump", NULL, 0, file, -1, "Dump of the database");
}

static struct err *pool_restore_database(struct xe *x)
{
    const char *file, *dry_run = arg_get(&x->args, "dry-run");
    const char *pairs[] = { "dry_run", dry_run ? dry_run : "false" };

    TRY(arg_need(&x->args, "file-name", &file));
    return transfer_upload(x, "/pool/xmldbdump", pairs, 1, file, "Restore of the database");
}

static struct err *host_backup(struct xe *x)
{
    const char *file;

    TRY(arg_need(&x->args, "file-name", &file));
    TRY(this_host(x));
    return transfer_download(x, "/host_backup", NULL, 0, file, -1, "Backup of a host");
}

static struct err *host_restore(struct xe *x)
{
    const char *file, *dry_run = arg_get(&x->args, "dry-run");
    const char *pairs[] = { "dry_run", dry_run ? dry_run : "false" };

    TRY(arg_need(&x->args, "file-name", &file));
    TRY(this_host(x));
    return transfer_upload(x, "/host_restore", pairs, 1, file, "Restore of a host");
}

const struct verb host_file_verbs[] = {
    { "host-get-system-status", host_get_system_status, "filename", "entries,output," HOST, NULL,
        "Fetches logs and state of the host as a tar (or tar.gz, tar.bz2), without secrets." },
    { "pool-dump-database", pool_dump_database, "file-name", "", NULL, "Fetches the database as one XML file." },
    { "pool-restore-database", pool_restore_database, "file-name", "dry-run", NULL,
        "Makes the database what such a file says; with dry-run=true only reads it. Sessions go on, and so do guests "
        "that the file knows." },
    { "host-backup", host_backup, "file-name", HOST, NULL,
        "Fetches all that the host that answers keeps, as a tar.zst: the database, blobs, certificates that it "
        "trusts." },
    { "host-restore", host_restore, "file-name", "dry-run," HOST, NULL,
        "Makes the host what such a file says; with dry-run=true only reads it. Sessions go on, and so do guests that "
        "the file knows." },
    { "host-logs-download", host_logs_download, "", "file-name,filename," HOST, NULL,
        "Fetches the logs of the host as a tar.gz, into a file with the time in its name if none is given." },
    { "audit-log-get", audit_log_get, "filename", "since", NULL,
        "Fetches the audit log, perhaps only since=2026-01-31T09:05:00Z." },
    { 0 },
};
