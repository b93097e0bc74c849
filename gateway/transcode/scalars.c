/* One value of a field from its text, and what to say when it is none. */
#include "gateway/transcode/transcode_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define NAME_MAX_BYTES 48U /* longer names have no suggestion */

/* "one of FORWARD, BACKWARD": without the value that stands for none. */
static const char *wanted_names(struct arena *arena, const struct schema_enum *names)
{
    const char *all = "one of";
    for (size_t i = 0, shown = 0; i < names->count && all != NULL; i++)
        if (names->values[i].number != 0)
            all = arena_printf(arena, "%s%s %s", all, shown++ == 0 ? "" : ",", names->values[i].name);
    return all != NULL ? all : "one of the enum's names";
}

const char *transcode_wanted(struct arena *arena, const struct schema_field *field)
{
    if ((field->flags & SCHEMA_RAW_JSON) != 0)
        return "a JSON object";
    switch (field->kind) {
    case SCHEMA_BOOL:
        return "true or false";
    case SCHEMA_INT32:
        return "a whole number of 32 bits";
    case SCHEMA_INT64:
        return "a whole number of 64 bits";
    case SCHEMA_DOUBLE:
        return "a number";
    case SCHEMA_STRING:
        return (field->flags & SCHEMA_DECIMAL) != 0 ? "a decimal number, as a number or a string"
                                                    : "a string of UTF-8 without NUL";
    case SCHEMA_BYTES:
        return "a base64 string";
    case SCHEMA_ENUM:
        return wanted_names(arena, field->values);
    case SCHEMA_MESSAGE:
        if (field->message->special == SCHEMA_TIMESTAMP)
            return "a time such as 2026-01-31T12:00:00.000001Z, no finer than microseconds";
        if (field->message->special == SCHEMA_DURATION)
            return "a duration such as 1.5s";
        return "a JSON object";
    }
    return "another value";
}

static bool put_enum(const struct schema_field *field, struct bytes text, bool quoted, struct buffer *wire)
{
    int64_t number = 0;
    if (quoted) {
        const struct schema_enum_value *value = schema_enum_by_name(field->values, text);
        if (value == NULL)
            return false;
        number = value->number;
    } else if (!integer_parse(text, &number) || number < INT32_MIN || number > INT32_MAX ||
               schema_enum_by_number(field->values, (int32_t)number) == NULL) {
        return false;
    }
    wire_put_uint(wire, field->number, (uint64_t)number);
    return true;
}

static bool put_double(const struct schema_field *field, struct bytes text, bool quoted, struct buffer *wire)
{
    double value = 0;
    uint64_t bits = 0;
    if (!double_parse(text, quoted, &value))
        return false;
    memcpy(&bits, &value, sizeof bits);
    wire_put_tag(wire, field->number, WIRE_I64);
    for (int i = 0; i < 8; i++)
        buffer_add_byte(wire, (uint8_t)(bits >> (8 * i)));
    return true;
}

static bool put_integer(const struct schema_field *field, struct bytes text, struct buffer *wire)
{
    int64_t number = 0;
    if (!integer_parse(text, &number) ||
        (field->kind == SCHEMA_INT32 && (number < INT32_MIN || number > INT32_MAX)))
        return false;
    wire_put_uint(wire, field->number, (uint64_t)number);
    return true;
}

/* Timestamp and Duration have the same two fields. */
static void put_pair(struct buffer *wire, uint32_t number, int64_t seconds, int64_t nanos)
{
    uint8_t memory[32];
    struct buffer inner = {.data = memory, .capacity_bytes = sizeof memory, .limit_bytes = sizeof memory};
    if (seconds != 0)
        wire_put_uint(&inner, 1, (uint64_t)seconds);
    if (nanos != 0)
        wire_put_uint(&inner, 2, (uint64_t)nanos);
    wire_put_bytes(wire, number, buffer_bytes(&inner));
}

static bool put_time(const struct schema_field *field, struct bytes text, struct buffer *wire)
{
    int64_t time_us = 0;
    if (time_parse(text, &time_us).code != STATUS_OK)
        return false;
    int64_t seconds = time_us / 1000000;
    int64_t micros = time_us % 1000000;
    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    put_pair(wire, field->number, seconds, micros * 1000);
    return true;
}

static bool put_special(const struct schema_field *field, struct bytes text, struct buffer *wire)
{
    int64_t seconds = 0;
    int32_t nanos = 0;
    if (field->message->special == SCHEMA_TIMESTAMP)
        return put_time(field, text, wire);
    if (field->message->special != SCHEMA_DURATION || !duration_parse(text, &seconds, &nanos))
        return false;
    put_pair(wire, field->number, seconds, nanos);
    return true;
}

static bool put_base64(struct arena *arena, const struct schema_field *field, struct bytes text,
                       struct buffer *wire)
{
    struct buffer decoded = buffer_in(arena, 0);
    if (!base64_decode(text, &decoded))
        return false;
    wire_put_bytes(wire, field->number, buffer_bytes(&decoded));
    wire->failed |= decoded.failed;
    return true;
}

bool transcode_put_text(struct arena *arena, const struct schema_field *field, struct bytes text, bool quoted,
                        struct buffer *wire)
{
    switch (field->kind) {
    case SCHEMA_BOOL: {
        const bool yes = bytes_equal(text, BYTES_LITERAL("true"));
        if (!yes && !bytes_equal(text, BYTES_LITERAL("false")))
            return false;
        wire_put_uint(wire, field->number, yes);
        return true;
    }
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return put_integer(field, text, wire);
    case SCHEMA_DOUBLE:
        return put_double(field, text, quoted, wire);
    case SCHEMA_STRING:
        if (!utf8_is_valid(text) || (text.size_bytes > 0 && memchr(text.data, '\0', text.size_bytes) != NULL))
            return false;
        wire_put_bytes(wire, field->number, text);
        return true;
    case SCHEMA_BYTES:
        return put_base64(arena, field, text, wire);
    case SCHEMA_ENUM:
        return put_enum(field, text, quoted, wire);
    case SCHEMA_MESSAGE:
        return put_special(field, text, wire);
    }
    return false;
}

/* --- suggestions --- */

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Letters to insert, leave out, replace or swap with a neighbour until `a` is `b` (optimal string alignment).
 */
static size_t distance(struct bytes a, struct bytes b)
{
    uint8_t rows[3][NAME_MAX_BYTES + 1];
    uint8_t *before = rows[0];
    uint8_t *former = rows[1];
    uint8_t *row = rows[2];
    for (size_t j = 0; j <= b.size_bytes; j++)
        former[j] = (uint8_t)j;
    memcpy(before, former, sizeof rows[0]); /* not read before the second row */
    for (size_t i = 1; i <= a.size_bytes; i++) {
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.size_bytes; j++) {
            const uint8_t x = lower(a.data[i - 1]);
            const uint8_t y = lower(b.data[j - 1]);
            size_t best = least(former[j - 1] + (size_t)(x != y), least(former[j], row[j - 1]) + (size_t)1);
            if (i > 1 && j > 1 && x == lower(b.data[j - 2]) && y == lower(a.data[i - 2]))
                best = least(best, before[j - 2] + (size_t)1);
            row[j] = (uint8_t)best;
        }
        uint8_t *free_row = before;
        before = former;
        former = row;
        row = free_row;
    }
    return former[b.size_bytes];
}

const char *transcode_nearest(const struct schema_message *message, struct bytes name)
{
    if (name.size_bytes == 0 || name.size_bytes > NAME_MAX_BYTES)
        return NULL;
    size_t best = name.size_bytes / 3 + 1; /* a third of it may be wrong */
    const char *nearest = NULL;
    for (size_t i = 0; i < message->name_count; i++) {
        const struct schema_name *known = &message->names[i];
        const struct schema_field *field = &message->fields[known->place];
        if (known->size_bytes > NAME_MAX_BYTES || (field->flags & SCHEMA_INTERNAL) != 0)
            continue;
        const size_t seen = distance(bytes_of(known->name, known->size_bytes), name);
        if (seen < best) {
            best = seen;
            nearest = field->name;
        }
    }
    return nearest;
}
