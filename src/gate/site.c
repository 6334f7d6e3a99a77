#include "gate/site.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/pages.h"

#define DEPTH_MAX 16

struct site {
    struct map *files;
    size_t n_bytes;
};

struct loaded {
    struct site_file file;
    char *memory; /* owned; NULL for our own pages */
};

struct site *site_new(void)
{
    struct site *s = mem_new(struct site);

    s->files = map_new();
    return s;
}

void site_free(struct site *s)
{
    const char *path;
    void *v;

    if (!s)
        return;
    for (size_t it = 0; map_next(s->files, &it, &path, &v);) {
        free(((struct loaded *)v)->memory);
        free(v);
    }
    map_free(s->files);
    free(s);
}

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {
        { ".html", "text/html; charset=utf-8" },
        { ".js", "text/javascript" },
        { ".mjs", "text/javascript" },
        { ".css", "text/css" },
        { ".json", "application/json" },
        { ".svg", "image/svg+xml" },
        { ".png", "image/png" },
        { ".ico", "image/x-icon" },
        { ".woff", "font/woff" },
        { ".woff2", "font/woff2" },
        { ".ttf", "font/ttf" },
        { ".mp3", "audio/mpeg" },
        { ".oga", "audio/ogg" },
        { ".wasm", "application/wasm" },
        { ".txt", "text/plain; charset=utf-8" },
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_ends(str_of(name), str_of(types[i][0])))
            return types[i][1];
    return "application/octet-stream";
}

static void add(struct site *s, const char *path, const char *type, struct str bytes, char *memory)
{
    struct loaded *l = mem_new(struct loaded), *old;

    l->file = (struct site_file){ .type = type, .bytes = bytes };
    l->memory = memory;
    old = map_put(s->files, path, l);
    if (old)
        free(old->memory);
    free(old);
}

static struct err *load_file(struct site *s, int dir, const char *name, const char *path)
{
    struct buf b;
    struct err *e;
    char *memory;
    size_t len;

    if (map_len(s->files) >= SITE_FILES_MAX)
        return err_internal("more than %d files", SITE_FILES_MAX);
    buf_init(&b, SITE_BYTES_MAX - s->n_bytes);
    e = file_read(dir, name, &b);
    if (!e && b.overflow)
        e = err_internal("files are too large together");
    if (e) {
        buf_done(&b);
        return e;
    }
    memory = buf_steal(&b, &len);
    s->n_bytes += len;
    add(s, path, type_of(name), (struct str){ memory, len }, memory);
    return NULL;
}

static struct err *load_dir(struct site *s, int parent, const char *name, const char *prefix, int depth);

static struct err *load_entry(struct site *s, int dir, const char *name, const char *prefix, int depth)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s", prefix, name);
    struct stat st;

    if (fstatat(dir, name, &st, 0) < 0) /* links count as what they lead to; Debian's packages are full of them */
        return NULL;
    if (S_ISDIR(st.st_mode))
        return load_dir(s, dir, name, path, depth + 1);
    if (!S_ISREG(st.st_mode))
        return NULL;
    TRY(load_file(s, dir, name, path));
    if (cstr_eq(name, "index.html")) {
        AUTO(mem_drop) char *folder = mem_printf("%s/", prefix);

        TRY(load_file(s, dir, name, folder));
    }
    return NULL;
}

static void dir_drop(DIR **d)
{
    if (*d)
        closedir(*d);
}

static struct err *load_dir(struct site *s, int parent, const char *name, const char *prefix, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(dir_drop) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d || depth > DEPTH_MAX)
        return err_errno(d ? ELOOP : errno, "read folder %s", name);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.')
            TRY(load_entry(s, dirfd(d), entry->d_name, prefix, depth));
    return NULL;
}

struct err *site_load(struct site *s, const char *dir, const char *prefix)
{
    return load_dir(s, AT_FDCWD, dir, prefix, 0);
}

static void add_page(struct site *s, const char *path, const unsigned char *bytes, size_t len)
{
    if (!map_get(s->files, path))
        add(s, path, type_of(".html"), (struct str){ (const char *)bytes, len }, NULL);
}

void site_finish(struct site *s)
{
    add_page(s, "/", page_index, sizeof(page_index));
    if (map_get(s->files, "/novnc/core/rfb.js"))
        add_page(s, "/console.html", page_console, sizeof(page_console));
    else
        add_page(s, "/console.html", page_no_novnc, sizeof(page_no_novnc));
}

const struct site_file *site_find(const struct site *s, const char *path)
{
    struct loaded *l = map_get(s->files, path);

    return l ? &l->file : NULL;
}
