#include "daemons/lib/config.h"
#include <fcntl.h>
#include "base/fd.h"
#include "base/mem.h"

#define CONFIG_MAX (64 * 1024)

static const struct setting {
    const char *key;
    size_t offset;
    enum { TEXT, PATH, PORT } type;
    const char *initial;
    const char *choices; /* of TEXT: blank separated; NULL: anything */
} settings[] = {
    { "state_dir", offsetof(struct config, state_dir), PATH, "/var/lib/runnymede", NULL },
    { "run_dir", offsetof(struct config, run_dir), PATH, "/run/runnymede", NULL },
    { "listen", offsetof(struct config, listen), TEXT, "0.0.0.0 [::]", NULL },
    { "http_port", offsetof(struct config, http_port), PORT, "80", NULL },
    { "https_port", offsetof(struct config, https_port), PORT, "443", NULL },
    { "hypervisor", offsetof(struct config, hypervisor), TEXT, "qemu", "qemu sim" },
    { "auth", offsetof(struct config, auth), TEXT, "pam", NULL },
    { "net", offsetof(struct config, net), TEXT, "", "linux private sim" },
    { "novnc_dir", offsetof(struct config, novnc_dir), PATH, "/usr/share/novnc", NULL },
    { "web_dir", offsetof(struct config, web_dir), PATH, "", NULL },
    { "users", offsetof(struct config, users), TEXT, "system", "system none" },
    { "power", offsetof(struct config, power), TEXT, "no", NULL },
    { "machine", offsetof(struct config, machine), TEXT, "no", NULL },
    { "log_level", offsetof(struct config, log_level), TEXT, "info", "debug info warn error" },
    { "log_dir", offsetof(struct config, log_dir), TEXT, "", NULL },
    { "bin_dir", offsetof(struct config, bin_dir), PATH, "", NULL },
};

static char **text_of(struct config *c, const struct setting *s)
{
    return (char **)(void *)((char *)c + s->offset);
}

static int *port_of(struct config *c, const struct setting *s)
{
    return (int *)(void *)((char *)c + s->offset);
}

void config_init(struct config *c)
{
    *c = (struct config){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        uint64_t n = 0;
        if (settings[i].type == PORT && str_to_u64(str_of(settings[i].initial), &n))
            *port_of(c, &settings[i]) = (int)n;
        else
            *text_of(c, &settings[i]) = mem_strdup(settings[i].initial);
    }
}

void config_done(struct config *c)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (settings[i].type != PORT)
            free(*text_of(c, &settings[i]));
    *c = (struct config){ 0 };
}

static bool among(const char *choices, struct str value)
{
    struct str rest = str_of(choices), word;

    while (rest.len) {
        str_cut(rest, ' ', &word, &rest);
        if (str_eq(word, value))
            return true;
    }
    return false;
}

struct err *config_set(struct config *c, struct str key, struct str value)
{
    const struct setting *s = NULL;
    uint64_t port;

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (str_eq_c(key, settings[i].key))
            s = &settings[i];
    if (!s)
        return err_internal("unknown setting %.*s", (int)key.len, key.p);
    if (s->type == PORT) {
        if (str_eq_c(value, "any")) {
            *port_of(c, s) = CONFIG_PORT_ANY;
            return NULL;
        }
        if (!str_to_u64(value, &port) || port > 65535)
            return err_internal("%s is no port: %.*s", s->key, (int)value.len, value.p);
        *port_of(c, s) = (int)port;
        return NULL;
    }
    if (memchr(value.p ? value.p : "", 0, value.len) || (s->choices && !among(s->choices, value)))
        return err_internal("%s cannot be %.*s", s->key, (int)value.len, value.p);
    if (s->type == PATH && value.len && value.p[0] != '/')
        return err_internal("%s must begin with /", s->key);
    free(*text_of(c, s));
    *text_of(c, s) = mem_printf("%.*s", (int)value.len, value.len ? value.p : "");
    return NULL;
}

struct err *config_parse(struct config *c, struct str text)
{
    struct str line, key, value, comment;

    for (unsigned n = 1; text.len; n++) {
        str_cut(text, '\n', &line, &text);
        str_cut(line, '#', &line, &comment);
        line = str_trim(line);
        if (!line.len)
            continue;
        if (!str_cut(line, '=', &key, &value))
            return err_internal("line %u: no `key = value`", n);
        struct err *e = config_set(c, str_trim(key), str_trim(value));
        if (e)
            return err_note(e, "line %u", n);
    }
    return NULL;
}

struct err *config_load(struct config *c, const char *path)
{
    AUTO(buf_done) struct buf b = { 0 };

    buf_init(&b, CONFIG_MAX);
    TRY(file_read(AT_FDCWD, path, &b));
    struct err *e = config_parse(c, buf_str(&b));
    return e ? err_note(e, "%s", path) : NULL;
}

struct err *config_check(struct config *c)
{
    if (!cstr_eq(c->auth, "pam") && !cstr_starts(c->auth, "file:/"))
        return err_internal("auth must be pam or file:/PATH");
    if (cstr_empty(c->state_dir) || cstr_empty(c->run_dir))
        return err_internal("state_dir and run_dir must not be empty");
    if (cstr_empty(c->net))
        TRY(config_set(c, STR("net"), cstr_eq(c->hypervisor, "sim") ? STR("sim") : STR("linux")));
    if (cstr_empty(c->log_dir)) {
        free(c->log_dir);
        c->log_dir = mem_printf("%s/log", c->state_dir);
    }
    if (!cstr_eq(c->power, "no") && !cstr_eq(c->power, "yes") && c->power[0] != '/')
        return err_internal("power must be no, yes or the path of a program");
    if (!cstr_eq(c->machine, "no") && !cstr_eq(c->machine, "yes") && c->machine[0] != '/')
        return err_internal("machine must be no, yes or the path of a folder");
    if (!cstr_eq(c->log_dir, "-") && c->log_dir[0] != '/')
        return err_internal("log_dir must begin with /");
    return NULL;
}
