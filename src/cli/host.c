/* Hosts. */
#include <fcntl.h>
#include <string.h>
#include "base/fd.h"
#include "base/mem.h"
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
    const char *text = arg_get(&x->args, "network-uuid"), *network = REF_NULL;

    if (text)
        TRY(xe_find(x, C_network, text, &network));
    return RUN(x, NULL, "host.evacuate", S(r->ref), S(network));
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

/* A certificate or a list of revoked ones, under a name of its own or the file's. */
static struct err *install_in_pool(struct xe *x, const char *method)
{
    const char *text, *name = arg_get(&x->args, "name"), *file = arg_get(&x->args, "filename");

    TRY(read_pem(x, "filename", true, &text));
    if (!name)
        name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    return RUN(x, NULL, method, S(name), S(text));
}

static struct err *pool_install_ca(struct xe *x)
{
    return install_in_pool(x, "pool.install_ca_certificate");
}

static struct err *pool_install_crl(struct xe *x)
{
    return install_in_pool(x, "pool.crl_install");
}

/* For who stands before the machine with a certificate that nobody takes: no session knows the host then. */
static struct err *emergency_certificate(struct xe *x)
{
    return CALL0(x, NULL, "host.emergency_reset_server_certificate");
}

static struct err *cpu_info_one(struct xe *x, const struct rec *r)
{
    struct value info;

    TRY(xe_field(x, C_host, r->ref, "cpu_info", &info));
    say_map(x, &info);
    return NULL;
}

static struct err *cpu_features_one(struct xe *x, const struct rec *r)
{
    struct value info;

    TRY(xe_field(x, C_host, r->ref, "cpu_info", &info));
    say("%s", value_map_str(&info, "features"));
    return NULL;
}

static struct err *license_one(struct xe *x, const struct rec *r)
{
    struct value params;

    TRY(xe_field(x, C_host, r->ref, "license_params", &params));
    say_map(x, &params);
    return NULL;
}

static struct err *editions_one(struct xe *x, const struct rec *r)
{
    struct value all;

    TRY(xe_field(x, C_host, r->ref, "editions", &all));
    for (size_t i = 0; all.kind == V_SET && i < all.n; i++)
        say("%s", all.items[i].s);
    return NULL;
}

static struct err *destroy_one(struct xe *x, const struct rec *r)
{
    TRY(confirm(x));
    return CALL(x, NULL, "host.destroy", S(r->ref));
}

static struct err *host_cpu_info(struct xe *x)
{
    return each(x, "host", cpu_info_one);
}

static struct err *host_cpu_features(struct xe *x)
{
    return each(x, "host", cpu_features_one);
}

static struct err *host_license_view(struct xe *x)
{
    return each(x, "host", license_one);
}

static struct err *host_editions(struct xe *x)
{
    return each(x, "host", editions_one);
}

static struct err *host_forget(struct xe *x)
{
    const char *unused;

    TRY(arg_need(&x->args, "uuid", &unused));
    return each(x, "host", destroy_one);
}

const struct verb host_verbs[] = {
    { "host-enable", host_enable, "", "", "host", "Lets VMs start on hosts again. " SELECT_NOTE },
    { "host-disable", host_disable, "", "", "host", "No new VM starts on the host until it is enabled. " SELECT_NOTE },
    { "host-reboot", host_reboot, "", "", "host", "Reboots disabled hosts without VMs. " SELECT_NOTE },
    { "host-shutdown", host_shutdown, "", "", "host", "Shuts disabled hosts without VMs down. " SELECT_NOTE },
    { "host-evacuate", host_evacuate, "", "network-uuid", "host",
        "Moves the VMs of hosts elsewhere, perhaps over another network. " SELECT_NOTE },
    { "host-dmesg", host_dmesg, "", "", "host", "Shows the hypervisor's messages. " SELECT_NOTE },
    { "host-server-certificate-install", host_install_certificate, "certificate,private-key", "certificate-chain",
        "host", "Shows another certificate at the door of a host; all three are files. " SELECT_NOTE },
    { "host-install-server-certificate", host_install_certificate, "certificate,private-key", "certificate-chain",
        "host", "The same as host-server-certificate-install. " SELECT_NOTE },
    { "pool-install-ca-certificate", pool_install_ca, "filename", "name", NULL,
        "Keeps the certificate of an authority, under the name of its file if no name is given." },
    { "pool-certificate-install", pool_install_ca, "filename", "name", NULL,
        "The same as pool-install-ca-certificate." },
    { "pool-crl-install", pool_install_crl, "filename", "name", NULL,
        "Keeps a list of certificates that an authority has revoked." },
    { "host-emergency-reset-server-certificate", emergency_certificate, "", "", NULL,
        "Makes this host a new certificate that it signs itself." },
    { "host-cpu-info", host_cpu_info, "", "uuid", "host", "Shows the physical CPUs. " SELECT_NOTE },
    { "host-get-cpu-features", host_cpu_features, "", "uuid", "host",
        "Shows the features of the CPUs as hexadecimal words. " SELECT_NOTE },
    { "host-license-view", host_license_view, "", "host-uuid", "host", "Shows what the licence says. " SELECT_NOTE },
    { "host-all-editions", host_editions, "", "", "host", "Shows which editions there are. " SELECT_NOTE },
    { "host-forget", host_forget, "uuid", "force", "host",
        "Removes a host that is gone for good; asks first, unless force=true." },
    { 0 },
};
