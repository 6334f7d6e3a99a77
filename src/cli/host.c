/* Hosts. */
#include <fcntl.h>
#include <string.h>
#include "base/fd.h"
#include "base/mem.h"
#include "cli/transfer.h"
#include "cli/verb.h"

#define PEM_MAX (256 * 1024)
#define SELECT_NOTE "Hosts are named by host=UUID|NAME, uuid= or filters; where there is only one, it is meant."

static struct err *enable_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "host.enable", S(r->ref));
}

static struct err *disable_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "host.disable", S(r->ref));
}

static struct err *reboot_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "host.reboot", S(r->ref));
}

static struct err *shutdown_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "host.shutdown", S(r->ref));
}

static struct err *evacuate_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "host.evacuate", S(r->ref));
}

static struct err *dmesg_one(struct xe *x, const struct rec *r)
{
    struct value text;

    TRY(CALL(x, &text, "host.dmesg", S(r->ref)));
    say("%s", text.kind == V_STRING ? text.s : "");
    return NULL;
}

static struct err *host_enable(struct xe *x)
{
    return each(x, "host", enable_one);
}

static struct err *host_disable(struct xe *x)
{
    return each(x, "host", disable_one);
}

static struct err *host_reboot(struct xe *x)
{
    return each(x, "host", reboot_one);
}

static struct err *host_shutdown(struct xe *x)
{
    return each(x, "host", shutdown_one);
}

static struct err *host_evacuate(struct xe *x)
{
    return each(x, "host", evacuate_one);
}

static struct err *host_dmesg(struct xe *x)
{
    return each(x, "host", dmesg_one);
}

/* Of the host that answers; a bar would need to know how much there will be. */
static struct err *host_get_system_status(struct xe *x)
{
    const char *file, *entries = arg_get(&x->args, "entries"), *output = arg_get(&x->args, "output");
    const char *pairs[] = { "entries", entries ? entries : "", "output", output ? output : "tar" };

    TRY(arg_need(&x->args, "filename", &file));
    return transfer_download(x, "/system-status", pairs, 2, file, -1, "Status report of a host");
}

static struct err *host_logs_download(struct xe *x)
{
    const char *file;

    TRY(arg_need(&x->args, "filename", &file));
    return transfer_download(x, "/host_logs_download", NULL, 0, file, -1, "Logs of a host");
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
    return transfer_download(x, "/host_backup", NULL, 0, file, -1, "Backup of a host");
}

static struct err *host_restore(struct xe *x)
{
    const char *file, *dry_run = arg_get(&x->args, "dry-run");
    const char *pairs[] = { "dry_run", dry_run ? dry_run : "false" };

    TRY(arg_need(&x->args, "file-name", &file));
    return transfer_upload(x, "/host_restore", pairs, 1, file, "Restore of a host");
}

/* Keys and certificates come from files: an argument is there for every user of the machine to read. */
static struct err *read_pem(struct xe *x, const char *name, bool needed, const char **ret_text)
{
    const char *file = arg_get(&x->args, name);
    AUTO(buf_done) struct buf b;

    buf_init(&b, PEM_MAX);
    *ret_text = "";
    if (needed)
        TRY(arg_need(&x->args, name, &file));
    if (!file)
        return NULL;
    TRY(file_read(AT_FDCWD, file, &b));
    *ret_text = arena_strndup(x->arena, b.len ? b.p : "", b.len);
    mem_wipe(b.p, b.len);
    return NULL;
}

static struct err *install_one(struct xe *x, const struct rec *r)
{
    const char *certificate, *key, *chain;

    TRY(read_pem(x, "certificate", true, &certificate));
    TRY(read_pem(x, "private-key", true, &key));
    TRY(read_pem(x, "certificate-chain", false, &chain));
    return RUN(x, NULL, "host.install_server_certificate", S(r->ref), S(certificate), S(key), S(chain));
}

static struct err *host_install_certificate(struct xe *x)
{
    return each(x, "host", install_one);
}

static struct err *pool_install_ca(struct xe *x)
{
    const char *text, *name = arg_get(&x->args, "name"), *file = arg_get(&x->args, "filename");

    TRY(read_pem(x, "filename", true, &text));
    if (!name)
        name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    return RUN(x, NULL, "pool.install_ca_certificate", S(name), S(text));
}

const struct verb host_verbs[] = {
    { "host-enable", host_enable, "", "", "host", "Lets VMs start on hosts again. " SELECT_NOTE },
    { "host-disable", host_disable, "", "", "host", "No new VM starts on the host until it is enabled. " SELECT_NOTE },
    { "host-reboot", host_reboot, "", "", "host", "Reboots disabled hosts without VMs. " SELECT_NOTE },
    { "host-shutdown", host_shutdown, "", "", "host", "Shuts disabled hosts without VMs down. " SELECT_NOTE },
    { "host-evacuate", host_evacuate, "", "", "host", "Moves the VMs of hosts elsewhere. " SELECT_NOTE },
    { "host-dmesg", host_dmesg, "", "", "host", "Shows the hypervisor's messages. " SELECT_NOTE },
    { "host-server-certificate-install", host_install_certificate, "certificate,private-key", "certificate-chain",
        "host", "Shows another certificate at the door of a host; all three are files. " SELECT_NOTE },
    { "host-install-server-certificate", host_install_certificate, "certificate,private-key", "certificate-chain",
        "host", "The same as host-server-certificate-install. " SELECT_NOTE },
    { "pool-install-ca-certificate", pool_install_ca, "filename", "name", NULL,
        "Keeps the certificate of an authority, under the name of its file if no name is given." },
    { "host-get-system-status", host_get_system_status, "filename", "entries,output", NULL,
        "Fetches logs and state of the host as a tar (or tar.gz, tar.bz2), without secrets." },
    { "pool-dump-database", pool_dump_database, "file-name", "", NULL, "Fetches the database as one XML file." },
    { "pool-restore-database", pool_restore_database, "file-name", "dry-run", NULL,
        "Makes the database what such a file says; with dry-run=true only reads it. Sessions go on, and so do guests "
        "that the file knows." },
    { "host-backup", host_backup, "file-name", "", NULL,
        "Fetches all that the host that answers keeps, as a tar.zst: the database, blobs, certificates that it "
        "trusts." },
    { "host-restore", host_restore, "file-name", "dry-run", NULL,
        "Makes the host what such a file says; with dry-run=true only reads it. Sessions go on, and so do guests that "
        "the file knows." },
    { "host-logs-download", host_logs_download, "filename", "", NULL, "Fetches the logs of the host as a tar.gz." },
    { 0 },
};
