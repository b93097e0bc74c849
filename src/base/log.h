/*
 * The log: one lower-case sentence a line, variables as fields with the unit in their names.
 *
 *     log_warn(log, "slow append", LOG_TEXT("store", "embedded"), LOG_INT("took_ms", 412));
 *
 * Text or JSON lines to a stream; a line is written in one write(2). JSON lines carry time, level, message
 * and the fields. No secret, token or payload is ever logged.
 *
 * Threads   Any.
 * Blocking  The write of one line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log;

enum log_field_kind { LOG_FIELD_INT, LOG_FIELD_TEXT, LOG_FIELD_BOOL };
struct log_field {
    const char *name;
    enum log_field_kind kind;
    int64_t number;
    const char *text;
};

#define LOG_INT(field, value)  ((struct log_field){(field), LOG_FIELD_INT, (int64_t)(value), NULL})
#define LOG_TEXT(field, value) ((struct log_field){(field), LOG_FIELD_TEXT, 0, (value)})
#define LOG_BOOL(field, value) ((struct log_field){(field), LOG_FIELD_BOOL, (value), NULL})

/* Writes to `fd`, which stays the caller's. NULL only when out of memory. */
struct log *log_new(int fd, enum log_level least, enum log_format format, const struct clock *clock);
void log_free(struct log *log); /* NULL is fine */
DEFINE_CLEANUP(struct log, log_free);

/* `log` NULL writes nothing, nor does a level below the log's least. */
void log_write(struct log *log, enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count);

#define LOG_FIELDS_(...)                                                                                     \
    ((struct log_field[]){__VA_ARGS__}), sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)
#define log_debug(log, message, ...) log_write(log, LOG_DEBUG, message, LOG_FIELDS_(__VA_ARGS__))
#define log_info(log, message, ...)  log_write(log, LOG_INFO, message, LOG_FIELDS_(__VA_ARGS__))
#define log_warn(log, message, ...)  log_write(log, LOG_WARN, message, LOG_FIELDS_(__VA_ARGS__))
#define log_error(log, message, ...) log_write(log, LOG_ERROR, message, LOG_FIELDS_(__VA_ARGS__))
