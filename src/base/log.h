#pragma once
#include <stdint.h>
#include "base/compiler.h"
#include "base/err.h"

/*
 * One line per event on stderr (systemd's journal, or the supervisor's file):
 *     2026-01-31T09:05:00.123Z core warn disk process died vm=… task=…
 * The text is constant, values are fields, secrets have no formatter.
 * base, proto, model, image and store do not log; whoever handles an error does, once.
 */
enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

struct log_field {
    const char *key;
    const char *text; /* used when not NULL */
    int64_t number;
};

#define F(key, text) ((struct log_field){ (key), (text) ? (text) : "-", 0 })
#define FI(key, number) ((struct log_field){ (key), NULL, (int64_t)(number) })

void log_init(const char *program, enum log_level min);
void log_write(enum log_level level, const char *text, const struct log_field *fields, unsigned n);

#define log_fields_(level, text, ...)                                                  \
    log_write((level), (text), (const struct log_field[]){ { 0 }, ##__VA_ARGS__ } + 1, \
        sizeof((struct log_field[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct log_field) - 1)
#define log_debug(text, ...) log_fields_(LOG_DEBUG_, text, ##__VA_ARGS__)
#define log_info(text, ...) log_fields_(LOG_INFO_, text, ##__VA_ARGS__)
#define log_warn(text, ...) log_fields_(LOG_WARN_, text, ##__VA_ARGS__)
#define log_error(text, ...) log_fields_(LOG_ERROR_, text, ##__VA_ARGS__)

/* Logs e as field "error" and frees it. NULL is nothing to log. */
void log_err(enum log_level level, const char *text, struct err *e);
