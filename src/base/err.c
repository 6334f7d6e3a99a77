#include "base/err.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

#define TRACE_MAX 16

struct err {
    char *code;
    char **params; /* each owned */
    size_t n_params;
    int errnum;
    char *note; /* outermost first: "start vm: open disk" */
    struct {
        const char *file; /* string literals of TRY */
        int line;
    } trace[TRACE_MAX];
    size_t n_trace;
    size_t n_trace_lost;
    char *text; /* made by err_text(), dropped at each change */
};

struct err *err_new(const char *code, const char *const *params, size_t n_params)
{
    struct err *e = mem_new(struct err);

    assert(code);
    e->code = mem_strdup(code);
    e->n_params = n_params;
    if (n_params)
        e->params = mem_new_array(n_params, char *);
    for (size_t i = 0; i < n_params; i++)
        e->params[i] = mem_strdup(params[i] ? params[i] : "");
    return e;
}

static char *vformat(const char *fmt, va_list ap) PRINTF(1, 0);
static char *vformat(const char *fmt, va_list ap)
{
    char *s = NULL;

    return vasprintf(&s, fmt, ap) < 0 ? mem_strdup("") : s;
}

struct err *err_internal(const char *fmt, ...)
{
    AUTO(mem_drop) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = vformat(fmt, ap);
    va_end(ap);
    return err_new("INTERNAL_ERROR", (const char *const[]){ text }, 1);
}

struct err *err_errno(int errnum, const char *fmt, ...)
{
    AUTO(mem_drop) char *what = NULL;
    char buf[128];
    va_list ap;
    struct err *e;

    va_start(ap, fmt);
    what = vformat(fmt, ap);
    va_end(ap);
    e = err_internal("%s: %s", what, strerror_r(errnum, buf, sizeof(buf)));
    e->errnum = errnum;
    return e;
}

const char *err_code(const struct err *e)
{
    return e ? e->code : NULL;
}

size_t err_n_params(const struct err *e)
{
    return e ? e->n_params : 0;
}

const char *err_param(const struct err *e, size_t i)
{
    return e && i < e->n_params ? e->params[i] : NULL;
}

int err_errno_get(const struct err *e)
{
    return e ? e->errnum : 0;
}

void err_errno_set(struct err *e, int errnum)
{
    e->errnum = errnum;
}

int err_is(const struct err *e, const char *code)
{
    return e && strcmp(e->code, code) == 0;
}

static void write_text(const struct err *e, FILE *f)
{
    fputs(e->code, f);
    fputs(" [", f);
    for (size_t i = 0; i < e->n_params; i++)
        fprintf(f, "%s%s", i ? ", " : "", e->params[i]);
    fputc(']', f);
    if (e->note)
        fprintf(f, " (%s)", e->note);
    for (size_t i = 0; i < e->n_trace; i++)
        fprintf(f, "%s%s:%d", i ? " < " : " at ", e->trace[i].file, e->trace[i].line);
    if (e->n_trace_lost)
        fprintf(f, " < %zu more", e->n_trace_lost);
}

const char *err_text(struct err *e)
{
    size_t len = 0;
    FILE *f;

    if (!e)
        return "no error";
    if (e->text)
        return e->text;
    f = open_memstream(&e->text, &len);
    if (!f)
        return e->code;
    write_text(e, f);
    fclose(f);
    return e->text ? e->text : e->code;
}

static void changed(struct err *e)
{
    free(e->text);
    e->text = NULL;
}

struct err *err_note(struct err *e, const char *fmt, ...)
{
    char *outer;
    va_list ap;

    if (!e)
        return NULL;
    changed(e);
    va_start(ap, fmt);
    outer = vformat(fmt, ap);
    va_end(ap);
    if (e->note) {
        char *joined = mem_printf("%s: %s", outer, e->note);

        free(outer);
        free(e->note);
        outer = joined;
    }
    e->note = outer;
    return e;
}

struct err *err_trace(struct err *e, const char *file, int line)
{
    changed(e);
    while (strncmp(file, "../", 3) == 0) /* how far the build folder is away says nothing */
        file += 3;
    if (e->n_trace == TRACE_MAX) {
        e->n_trace_lost++;
        return e;
    }
    e->trace[e->n_trace].file = file;
    e->trace[e->n_trace++].line = line;
    return e;
}

void err_free(struct err *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->n_params; i++)
        free(e->params[i]);
    free(e->params);
    free(e->code);
    free(e->note);
    free(e->text);
    free(e);
}

void err_ignore(struct err *e, const char *why)
{
    (void)why;
    err_free(e);
}

struct err *err_first(struct err *first, struct err *second)
{
    if (!first)
        return second;
    err_free(second);
    return first;
}
