#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/text.h"

#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define TEXT_MAX_BYTES 2048U /* of one field; longer ones are cut and end in "..." */

/* Immutable after log_new, so any thread may write; the kernel keeps one write(2) together. */
struct log {
    int fd;
    enum log_level least;
    enum log_format format;
    const struct clock *clock;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct log *log_new(int fd, enum log_level least, enum log_format format, const struct clock *clock)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    *log = (struct log){fd, least, format, clock};
    return log;
}

void log_free(struct log *log)
{
    free(log);
}

static bool log_wants(const struct log *log, enum log_level level)
{
    return log != NULL && level >= log->least;
}

/* A text as a JSON string. Bytes that are not UTF-8 become '?', so that the line stays readable by machines. */
static void add_quoted(struct buffer *line, const char *text)
{
    char copy[TEXT_MAX_BYTES + sizeof "..."];
    size_t size = strlen(text);
    if (size > TEXT_MAX_BYTES) {
        size = TEXT_MAX_BYTES;
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
            size--;
        (void)snprintf(copy, sizeof copy, "%.*s...", (int)size, text); /* fits */
        size += 3;
    } else {
        (void)snprintf(copy, sizeof copy, "%s", text); /* fits */
    }
    if (!utf8_is_valid(bytes_of(copy, size)))
        for (size_t i = 0; i < size; i++)
            if ((unsigned char)copy[i] >= 0x80)
                copy[i] = '?';
    json_add_string(line, bytes_of(copy, size));
}

static bool needs_quotes(const char *text)
{
    if (*text == '\0' || strlen(text) > TEXT_MAX_BYTES)
        return true;
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7F)
            return true; /* also every byte of UTF-8 beyond ASCII, which may hide white space */
    return false;
}

static void add_field_value(struct buffer *line, const struct log_field *field, enum log_format format)
{
    switch (field->kind) {
    case LOG_FIELD_INT:
        buffer_printf(line, "%" PRId64, field->number);
        break;
    case LOG_FIELD_BOOL:
        buffer_add_text(line, field->number != 0 ? "true" : "false");
        break;
    case LOG_FIELD_TEXT: {
        const char *text = field->text == NULL ? "" : field->text;
        if (format == LOG_FORMAT_JSON || needs_quotes(text))
            add_quoted(line, text);
        else
            buffer_add_text(line, text);
        break;
    }
    }
}

static void add_text_line(struct buffer *line, const char *time, enum log_level level, const char *message,
                          const struct log_field *fields, size_t field_count)
{
    buffer_printf(line, "%s %-5s ", time, level_names[level]);
    add_quoted(line, message);
    for (size_t i = 0; i < field_count; i++) {
        buffer_printf(line, " %s=", fields[i].name);
        add_field_value(line, &fields[i], LOG_FORMAT_TEXT);
    }
}

static void add_json_line(struct buffer *line, const char *time, enum log_level level, const char *message,
                          const struct log_field *fields, size_t field_count)
{
    buffer_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time, level_names[level]);
    add_quoted(line, message);
    for (size_t i = 0; i < field_count; i++) {
        buffer_add_byte(line, ',');
        add_quoted(line, fields[i].name);
        buffer_add_byte(line, ':');
        add_field_value(line, &fields[i], LOG_FORMAT_JSON);
    }
    buffer_add_byte(line, '}');
}

/* A log that cannot be written is not worth stopping for: what is left of the line is dropped. */
static void write_line(int fd, struct bytes line)
{
    while (line.size_bytes > 0) {
        const ssize_t written = write(fd, line.data, line.size_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line.data += written;
        line.size_bytes -= (size_t)written;
    }
}

void log_write(struct log *log, enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count)
{
    if (!log_wants(log, level))
        return;
    char time[TIME_TEXT_BYTES];
    time_format(clock_now_us(log->clock), time);
    struct buffer line = buffer_make(LINE_MAX_BYTES);
    if (log->format == LOG_FORMAT_JSON)
        add_json_line(&line, time, level, message, fields, field_count);
    else
        add_text_line(&line, time, level, message, fields, field_count);
    buffer_add_byte(&line, '\n');
    if (!line.failed)
        write_line(log->fd, buffer_bytes(&line));
    buffer_done(&line);
}
