/* Passwords and secrets, which need not stand in arguments. */
#include <fcntl.h>
#include <string.h>
#include "base/fd.h"
#include "base/mem.h"
#include "cli/ask.h"
#include "cli/convert.h"
#include "cli/verb.h"

#define VALUE_MAX (1 << 20)

static struct err *password_change(struct xe *x)
{
    const char *old = arg_get(&x->args, "old"), *new = arg_get(&x->args, "new");
    bool remote = *x->session; /* on the local socket nobody asks for the old one */

    if (!old && remote)
        TRY(ask_secret(x, "Old password", &old));
    if (!new)
        TRY(ask_new_secret(x, "New password", &new));
    return CALL(x, NULL, "session.change_password", S(old ? old : ""), S(new));
}

/* All of the file but the end of its last line. */
static struct err *read_value(struct xe *x, const char *file, const char **ret)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, VALUE_MAX);
    TRY(file_read(AT_FDCWD, strcmp(file, "-") == 0 ? "/dev/stdin" : file, &b));
    if (b.len && b.p[b.len - 1] == '\n')
        b.len--;
    *ret = arena_strndup(x->arena, b.len ? b.p : "", b.len);
    mem_wipe(b.p, b.len);
    return NULL;
}

static struct err *secret_create(struct xe *x)
{
    const char *value = arg_get(&x->args, "value"), *file = arg_get(&x->args, "value-file");
    struct value secret;

    if (value && file)
        return usage("say value= or value-file=, not both");
    if (file)
        TRY(read_value(x, file, &value));
    else if (!value)
        TRY(ask_new_secret(x, "Value", &value));
    struct value pairs[] = { S("value"), S(value), S("other_config"), convert_map_args(x, "other-config") };
    TRY(CALL(x, &secret, "secret.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    return say_uuid(x, C_secret, secret.s);
}

const struct verb secret_verbs[] = {
    { "user-password-change", password_change, "", "old,new", NULL,
        "Changes the password of the user who asks: asks for the old and the new one, or reads them as two lines. As "
        "arguments, old= and new=, others on this machine see them." },
    { "secret-create", secret_create, "", "value,value-file,other-config:", NULL,
        "Keeps a secret: value=, the contents of value-file=, or what is asked for. Prints its uuid." },
    { 0 },
};
