#include "daemons/auth/passwd.h"
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define FILE_MAX (256 * 1024)
#define GROUPS_MAX 256

static bool same(const char *x, const char *y)
{
    size_t n = strlen(x);
    unsigned char differ = n != strlen(y);

    for (size_t i = 0; !differ && i < n; i++)
        differ |= (unsigned char)(x[i] ^ y[i]);
    return !differ;
}

static bool hash_matches(const char *hash, const char *password)
{
    AUTO(mem_drop) struct crypt_data *data = mem_new(struct crypt_data);
    const char *made = crypt_r(password, hash, data);
    bool match = made && made[0] != '*' && same(made, hash);

    mem_wipe(data, sizeof(*data));
    return match;
}

static void groups_parse(struct arena *a, struct str text, struct verdict *v)
{
    const char **groups = arena_new_array(a, GROUPS_MAX, const char *);
    struct str group;

    while (text.len && v->n_groups < GROUPS_MAX) {
        str_cut(text, ',', &group, &text);
        group = str_trim(group);
        if (group.len)
            groups[v->n_groups++] = arena_strndup(a, group.p, group.len);
    }
    v->groups = groups;
}

struct err *passwd_check(struct arena *a, const char *path, const char *user, const char *password, struct verdict *ret)
{
    /* yescrypt of a random text that nobody kept: same cost as a real entry. */
    const char *hash = "$y$j9T$0Zr6CkDyF9ytuVnHFXjPk0$1ipKyhlWlhfHGcUIAGpNBQmwG6dlhEBXyAdYp1oYGs8";
    AUTO(buf_done) struct buf b = { 0 };
    struct verdict v = { .reason = "wrong user or password" };
    bool found = false, first = true;
    struct str rest, line, name, field;

    buf_init(&b, FILE_MAX);
    TRY(file_read(AT_FDCWD, path, &b));
    rest = buf_str(&b);
    while (rest.len && !found) {
        str_cut(rest, '\n', &line, &rest);
        line = str_trim(line);
        if (!line.len || line.p[0] == '#' || !str_cut(line, ':', &name, &line))
            continue;
        if (str_eq_c(name, user)) {
            found = true;
            v.superuser = first || cstr_eq(user, "root");
            str_cut(line, ':', &field, &line);
            hash = arena_strndup(a, field.p, field.len);
            groups_parse(a, line, &v);
        }
        first = false;
    }
    v.ok = hash_matches(hash, password) && found;
    if (!v.ok)
        v = (struct verdict){ .reason = v.reason };
    *ret = v;
    return NULL;
}

struct err *passwd_hash(struct arena *a, const char *password, const char **ret_hash)
{
    AUTO(mem_drop) struct crypt_data *data = mem_new(struct crypt_data);
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *hash;

    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof(salt)))
        return err_errno(errno, "make a salt");
    hash = crypt_r(password, salt, data);
    if (!hash || hash[0] == '*')
        return err_errno(errno, "hash the password");
    *ret_hash = arena_strdup(a, hash);
    mem_wipe(data, sizeof(*data));
    return NULL;
}

const char *passwd_refused(const char *password)
{
    if (!*password)
        return "the password is empty";
    return strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE ? "the password is too long" : NULL;
}

/* The text with the first line of that user saying the new hash. */
static void rehash(struct buf *to, struct str text, const char *user, const char *hash)
{
    bool done = false;
    struct str line, name, rest;

    while (text.len) {
        str_cut(text, '\n', &line, &text);
        if (!done && str_cut(str_trim(line), ':', &name, &rest) && str_eq_c(name, user)) {
            done = true;
            buf_printf(to, "%s:%s", user, hash);
            if (str_cut(rest, ':', &name, &rest))
                buf_printf(to, ":%.*s", (int)rest.len, rest.p);
        } else {
            buf_add(to, line.p, line.len);
        }
        buf_add_char(to, '\n');
    }
}

/* The folder's lock is held: nobody else of us writes. */
static struct err *rewrite(struct arena *a, int dir, const char *file, const char *user, const char *password)
{
    AUTO(buf_done) struct buf in = { 0 };
    AUTO(buf_done) struct buf out = { 0 };
    const char *hash = NULL;
    struct stat st;

    buf_init(&in, FILE_MAX);
    buf_init(&out, FILE_MAX);
    TRY(file_read(dir, file, &in));
    if (fstatat(dir, file, &st, 0) < 0)
        return err_errno(errno, "look at the file of passwords");
    TRY(passwd_hash(a, password, &hash));
    rehash(&out, buf_str(&in), user, hash);
    if (out.overflow)
        return err_internal("the file of passwords is too large");
    return file_write_atomic(dir, file, out.p, out.len, st.st_mode & 07777);
}

struct err *passwd_change(struct arena *a, const char *path, const char *user, const char *old, const char *password,
    struct verdict *ret, const char **ret_refused)
{
    AUTO(mem_drop) char *real = realpath(path, NULL); /* a link stays one */
    AUTO(fd_drop) int dir = -1;

    if (!real)
        return err_errno(errno, "find the file of passwords");
    dir = open(dirname(arena_strdup(a, real)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || flock(dir, LOCK_EX) < 0)
        return err_errno(errno, "lock the folder of the file of passwords");
    TRY(passwd_check(a, real, user, old, ret));
    if (ret->ok && !ret->superuser)
        *ret = (struct verdict){ .reason = "not a superuser" };
    *ret_refused = passwd_refused(password);
    if (!ret->ok || *ret_refused)
        return NULL;
    return rewrite(a, dir, basename(arena_strdup(a, real)), user, password);
}
