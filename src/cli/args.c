#include "cli/args.h"
#include <string.h>
#include "base/str.h"
#include "cli/fail.h"

#define ARGS_MAX 1024

/* Where the server is */

static bool setting(struct arena *a, struct args *args, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } known[] = {
        { "server", &args->server },
        { "port", &args->port },
        { "username", &args->user },
        { "password", &args->password },
        { "passwordfile", &args->password_file },
        { "socket", &args->socket },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(name, known[i].name) == 0) {
            *known[i].to = arena_strdup(a, value);
            return true;
        }
    if (strcmp(name, "nossl") == 0)
        return bool_parse(value, &args->plain);
    if (strcmp(name, "debug") == 0)
        return bool_parse(value, &args->debug);
    return strcmp(name, "version") == 0; /* of other implementations' files */
}

static struct err *pair(struct arena *a, struct args *args, struct str text, const char *where)
{
    struct str name, value;

    text = str_trim(text);
    if (!text.len || text.p[0] == '#')
        return NULL;
    if (!str_cut(text, '=', &name, &value))
        return usage("%s: \"%.*s\" is no NAME=VALUE", where, (int)text.len, text.p);
    const char *n = arena_strndup(a, name.p, name.len), *v = arena_strndup(a, value.p, value.len);
    return setting(a, args, n, v) ? NULL : usage("%s: unknown setting \"%s\"", where, n);
}

static struct err *read_rc(struct arena *a, struct args *args, const char *text)
{
    struct str rest = str_of(text), line;

    for (bool more = rest.len > 0; more;) {
        more = str_cut(rest, '\n', &line, &rest);
        TRY(pair(a, args, line, "~/.xe"));
    }
    return NULL;
}

static struct err *read_extra(struct arena *a, struct args *args, const char *text)
{
    const char **pieces;
    size_t n = comma_split(a, text ? text : "", &pieces);

    for (size_t i = 0; i < n; i++)
        TRY(pair(a, args, str_of(pieces[i]), "XE_EXTRA_ARGS"));
    return NULL;
}

/* The command line */

struct reader {
    struct arena *a;
    struct args *args;
    int argc, at;
    char **argv;
};

static struct err *option(struct reader *r, const char *name, bool secret)
{
    const char *word = r->argv[r->at];

    if (++r->at >= r->argc)
        return usage("%s wants a value", word);
    setting(r->a, r->args, name, r->argv[r->at]);
    if (secret)
        memset(r->argv[r->at], '*', strlen(r->argv[r->at]));
    return NULL;
}

static void add(struct reader *r, const char *name, const char *value)
{
    r->args->list[r->args->n++] = (struct arg){ .name = name, .value = value };
}

static struct err *flag(struct reader *r, const char *word)
{
    struct str name, value;

    if (strcmp(word, "nossl") == 0)
        r->args->plain = true;
    else if (strcmp(word, "minimal") == 0)
        r->args->minimal = true;
    else if (strcmp(word, "help") == 0)
        r->args->help = true;
    else if (strcmp(word, "version") == 0)
        r->args->version = true;
    else if (strcmp(word, "debug") == 0)
        r->args->debug = true;
    else if (strcmp(word, "debug-on-fail") == 0 || strcmp(word, "trace") == 0)
        r->args->debug_on_fail = true;
    else if (strcmp(word, "socket") == 0)
        return option(r, "socket", false);
    else if (str_cut(str_of(word), '=', &name, &value))
        add(r, arena_strndup(r->a, name.p, name.len), arena_strndup(r->a, value.p, value.len));
    else
        add(r, arena_strdup(r->a, word), "true");
    return NULL;
}

static struct err *short_option(struct reader *r, const char *word)
{
    static const struct {
        const char *word, *setting;
    } known[] = { { "-s", "server" }, { "-p", "port" }, { "-u", "username" }, { "-pwf", "passwordfile" } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(word, known[i].word) == 0)
            return option(r, known[i].setting, false);
    if (strcmp(word, "-pw") == 0)
        return option(r, "password", true);
    if (strcmp(word, "-h") == 0)
        r->args->help = true;
    else
        return usage("unknown option %s", word);
    return NULL;
}

static bool secret_name(const char *name)
{
    return strstr(name, "password") || strcmp(name, "value") == 0 || strcmp(name, "old") == 0 ||
        strcmp(name, "new") == 0;
}

static struct err *plain_word(struct reader *r, char *word)
{
    struct str name, value;

    if (str_cut(str_of(word), '=', &name, &value)) {
        add(r, arena_strndup(r->a, name.p, name.len), arena_strndup(r->a, value.p, value.len));
        if (secret_name(r->args->list[r->args->n - 1].name))
            memset(word + name.len + 1, '*', value.len);
    } else if (!r->args->verb) {
        r->args->verb = arena_strdup(r->a, word);
    } else if (strcmp(r->args->verb, "help") == 0) {
        r->args->words[r->args->n_words++] = arena_strdup(r->a, word);
    } else {
        return usage("\"%s\" is no NAME=VALUE", word);
    }
    return NULL;
}

static struct err *read_line(struct reader *r)
{
    for (; r->at < r->argc; r->at++) {
        char *word = r->argv[r->at];

        if (word[0] == '-' && word[1] == '-' && word[2])
            TRY(flag(r, word + 2));
        else if (word[0] == '-' && word[1])
            TRY(short_option(r, word));
        else
            TRY(plain_word(r, word));
    }
    return NULL;
}

struct err *args_parse(struct arena *a, int argc, char **argv, const char *rc_text, const char *extra, struct args *ret)
{
    struct args args = { 0 };
    struct reader r = { .a = a, .args = &args, .argc = argc, .at = 1, .argv = argv };

    if (argc > ARGS_MAX)
        return usage("more than %d arguments", ARGS_MAX);
    args.list = arena_new_array(a, (size_t)argc + 1, struct arg);
    args.words = arena_new_array(a, (size_t)argc + 1, const char *);
    TRY(read_rc(a, &args, rc_text));
    TRY(read_extra(a, &args, extra));
    TRY(read_line(&r));
    *ret = args;
    return NULL;
}

/* Asking */

const char *arg_get(struct args *a, const char *name)
{
    const char *found = NULL;

    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->list[i].name, name) == 0) {
            a->list[i].used = true;
            found = a->list[i].value;
        }
    return found;
}

struct err *arg_need(struct args *a, const char *name, const char **ret)
{
    const char *value = arg_get(a, name);

    if (!value)
        return usage("Required parameter not found: %s", name);
    *ret = value;
    return NULL;
}

const char *arg_any(struct args *a, const char *names)
{
    struct str rest = str_of(names), name;
    const char *found = NULL;

    for (bool more = true; more;) {
        more = str_cut(rest, ',', &name, &rest);
        for (size_t i = 0; i < a->n; i++)
            if (str_eq_c(name, a->list[i].name)) {
                a->list[i].used = true;
                if (!found)
                    found = a->list[i].value;
            }
    }
    return found;
}

bool args_left(const struct args *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (!a->list[i].used)
            return true;
    return false;
}

bool bool_parse(const char *text, bool *ret)
{
    static const char *const yes[] = { "true", "t", "yes", "y", "1" }, *const no[] = { "false", "f", "no", "n", "0" };

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (str_eq_nocase(str_of(text), str_of(yes[i])) || str_eq_nocase(str_of(text), str_of(no[i]))) {
            *ret = str_eq_nocase(str_of(text), str_of(yes[i]));
            return true;
        }
    return false;
}

struct err *arg_bool(struct args *a, const char *name, bool dflt, bool *ret)
{
    const char *text = arg_get(a, name);
    bool value = dflt;

    if (text && !bool_parse(text, &value))
        return usage("Failed to parse parameter '%s': expecting true or false", name);
    *ret = value;
    return NULL;
}

size_t comma_split(struct arena *a, const char *text, const char ***ret)
{
    size_t n = 0, len = strlen(text), at = 0;
    const char **pieces = arena_new_array(a, len + 1, const char *);
    char *piece = arena_alloc(a, len + 1);

    *ret = pieces;
    if (!len)
        return 0;
    for (size_t i = 0; i <= len; i++) {
        if (text[i] == '\\' && (text[i + 1] == ',' || text[i + 1] == '\\')) {
            piece[at++] = text[++i];
        } else if (text[i] == ',' || !text[i]) {
            pieces[n++] = arena_strndup(a, piece, at);
            at = 0;
        } else {
            piece[at++] = text[i];
        }
    }
    return n;
}
