#include "base/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"

#define LINE_MAX_ 4000 /* below PIPE_BUF: lines of several processes do not mix */

static struct {
    const char *program;
    enum log_level min;
} logger = { "runnymede", LOG_INFO_ };

void log_init(const char *program, enum log_level min)
{
    logger.program = program;
    logger.min = min;
}

static bool is_plain(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '\\' || *s == 0x7f)
            return false;
    return true;
}

/* A value may come from outside: it must not be able to end the line or pretend to be another field. */
static void add_value(struct buf *b, const char *s)
{
    if (is_plain(s)) {
        buf_add_c(b, s);
        return;
    }
    buf_add_char(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_add_c(b, "\\n");
        else if (c < ' ' || c == 0x7f)
            buf_printf(b, "\\x%02x", c);
        else
            buf_add_char(b, (char)c);
    }
    buf_add_char(b, '"');
}

static void add_time(struct buf *b)
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
        tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

void log_write(enum log_level level, const char *text, const struct log_field *fields, unsigned n)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    AUTO(buf_done) struct buf b;
    int saved = errno;
    ssize_t done;

    buf_init(&b, LINE_MAX_);
    if (level < logger.min)
        return;
    add_time(&b);
    buf_printf(&b, " %s %s %s", logger.program, names[level], text);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(&b, " %s=", fields[i].key);
        if (fields[i].text)
            add_value(&b, fields[i].text);
        else
            buf_printf(&b, "%" PRId64, fields[i].number);
    }
    if (b.overflow) {
        b.overflow = false;
        b.max += 8;
        buf_add_c(&b, " (cut)");
    }
    b.max++;
    buf_add_char(&b, '\n');
    do
        done = write(STDERR_FILENO, b.p, b.len);
    while (done < 0 && errno == EINTR);
    errno = saved; /* a log that cannot be written must not stop the work, and there is nobody to tell */
}

void log_err(enum log_level level, const char *text, struct err *e)
{
    if (!e)
        return;
    log_write(level, text, (const struct log_field[]){ F("error", err_text(e)) }, 1);
    err_free(e);
}
