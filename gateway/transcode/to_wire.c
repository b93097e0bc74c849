/* JSON to wire: one pass over the tokens; each message is written into a buffer of its own and then into its parent. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "gateway/transcode/transcode_internal.h"

#define FAULTS_MAX     64U
#define PATH_MAX_BYTES 256U
#define SHOWN_BYTES    64

/* Faults of the whole text; the first one gives the message. */
struct faults {
    struct arena *arena;
    struct field_fault *items;
    size_t count;
    enum status_reason reason; /* of the first */
};

/* Where in the text we are, for the paths in messages. */
struct place {
    const struct place *outer;
    const char *name;
    long index; /* -1 = not an element */
};

struct reading {
    struct json_reader *json;
    struct faults *faults;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the request needs more memory than a call may use");
}

static void path_write(const struct place *place, char ret[PATH_MAX_BYTES])
{
    char tail[PATH_MAX_BYTES];
    ret[0] = '\0';
    for (const struct place *at = place; at != NULL; at = at->outer) {
        memcpy(tail, ret, sizeof tail);
        const char *dot = tail[0] == '\0' || tail[0] == '[' ? "" : ".";
        /* A cut path still names the outermost field. */
        if (at->index >= 0)
            (void)snprintf(ret, PATH_MAX_BYTES, "[%ld]%s%.200s", at->index, dot, tail);
        else
            (void)snprintf(ret, PATH_MAX_BYTES, "%.64s%s%.180s", at->name, dot, tail);
    }
}

/* Notes a fault and lets the reading go on, so that all of them are told at once. */
__attribute__((format(printf, 4, 5))) static struct status
fault(const struct reading *reading, const struct place *place, enum status_reason reason, const char *format, ...)
{
    struct faults *faults = reading->faults;
    if (faults->count == FAULTS_MAX)
        return status_ok();
    if (faults->items == NULL) {
        faults->items = arena_array(faults->arena, FAULTS_MAX, sizeof *faults->items);
        faults->reason = reason;
    }
    char path[PATH_MAX_BYTES];
    char text[PATH_MAX_BYTES * 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* a cut explanation is still one */
    va_end(arguments);
    path_write(place, path);
    char *field = arena_text(faults->arena, bytes_of_text(path));
    char *message = arena_text(faults->arena, bytes_of_text(text));
    if (faults->items == NULL || field == NULL || message == NULL)
        return no_memory();
    faults->items[faults->count++] = (struct field_fault){field, message};
    return status_ok();
}

static const char *kind_word(const struct schema_field *field)
{
    if ((field->flags & SCHEMA_RAW_JSON) != 0)
        return "a JSON object";
    switch (field->kind) {
    case SCHEMA_BOOL:
        return "true or false";
    case SCHEMA_INT32:
        return "a whole number of 32 bits";
    case SCHEMA_INT64:
        return "a whole number of 64 bits, as a number or a string";
    case SCHEMA_DOUBLE:
        return "a number";
    case SCHEMA_STRING:
        return (field->flags & SCHEMA_DECIMAL) != 0 ? "a decimal number, as a number or a string" : "a string";
    case SCHEMA_BYTES:
        return "a base64 string";
    case SCHEMA_ENUM:
        return "one of the enum's names";
    case SCHEMA_MESSAGE:
        if (field->message->special == SCHEMA_TIMESTAMP)
            return "a time such as \"2026-01-31T12:00:00.000001Z\", no finer than microseconds";
        if (field->message->special == SCHEMA_DURATION)
            return "a duration such as \"1.5s\"";
        return "a JSON object";
    }
    return "another value";
}

static struct status wrong_value(const struct reading *reading, const struct place *place,
                                 const struct schema_field *field, struct bytes value)
{
    const int shown = value.size_bytes > SHOWN_BYTES ? SHOWN_BYTES : (int)value.size_bytes;
    return fault(reading, place, REASON_INVALID_FIELD, "is %.*s%s; it must be %s", shown, (const char *)value.data,
                 shown < (int)value.size_bytes ? "…" : "", kind_word(field));
}

/* --- scalars --- */

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

static bool put_double(const struct schema_field *field, struct bytes text, struct buffer *wire)
{
    char copy[64];
    if (text.size_bytes == 0 || text.size_bytes >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size_bytes);
    copy[text.size_bytes] = '\0';
    char *end = NULL;
    const double value = strtod(copy, &end);
    if (*end != '\0')
        return false;
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    wire_put_tag(wire, field->number, WIRE_I64);
    for (int i = 0; i < 8; i++)
        buffer_add_byte(wire, (uint8_t)(bits >> (8 * i)));
    return true;
}

static bool put_special(const struct schema_field *field, struct bytes text, struct buffer *wire)
{
    if (field->message->special == SCHEMA_TIMESTAMP) {
        int64_t time_us = 0;
        if (time_parse(text, &time_us).code != STATUS_OK)
            return false;
        put_time(wire, field->number, time_us);
        return true;
    }
    int64_t seconds = 0;
    int32_t nanos = 0;
    if (field->message->special != SCHEMA_DURATION || !duration_parse(text, &seconds, &nanos))
        return false;
    put_duration(wire, field->number, seconds, nanos);
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
        return put_double(field, text, wire);
    case SCHEMA_STRING:
        if (!utf8_is_valid(text) || (text.size_bytes > 0 && memchr(text.data, '\0', text.size_bytes) != NULL))
            return false;
        wire_put_bytes(wire, field->number, text);
        return true;
    case SCHEMA_BYTES: {
        struct buffer decoded = buffer_in(arena, 0);
        if (!base64_decode(text, &decoded))
            return false;
        wire_put_bytes(wire, field->number, buffer_bytes(&decoded));
        return true;
    }
    case SCHEMA_ENUM:
        return put_enum(field, text, quoted, wire);
    case SCHEMA_MESSAGE:
        return put_special(field, text, wire);
    }
    return false;
}

/* May this token be the value of the field? Its content is looked at afterwards. */
static bool kind_fits(const struct schema_field *field, enum json_kind kind)
{
    switch (field->kind) {
    case SCHEMA_BOOL:
        return kind == JSON_TRUE || kind == JSON_FALSE;
    case SCHEMA_INT32:
    case SCHEMA_DOUBLE:
        return kind == JSON_NUMBER;
    case SCHEMA_INT64:
    case SCHEMA_ENUM:
        return kind == JSON_NUMBER || kind == JSON_STRING;
    case SCHEMA_STRING:
        return kind == JSON_STRING || (kind == JSON_NUMBER && (field->flags & SCHEMA_DECIMAL) != 0);
    case SCHEMA_BYTES:
    case SCHEMA_MESSAGE:
        return kind == JSON_STRING;
    }
    return false;
}

static struct status put_scalar(const struct reading *reading, const struct place *place,
                                const struct schema_field *field, const struct json_token *token, struct buffer *wire)
{
    if (!kind_fits(field, token->kind)) {
        struct bytes value = token->text;
        if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN)
            STATUS_TRY(json_skip_value(reading->json, token, &value));
        return wrong_value(reading, place, field, value);
    }
    struct bytes text = token->text;
    const bool quoted = token->kind == JSON_STRING;
    if (quoted)
        STATUS_TRY(json_unescape(reading->faults->arena, token, &text));
    if (!transcode_put_text(reading->faults->arena, field, text, quoted, wire))
        return wrong_value(reading, place, field, token->text);
    return status_ok();
}

/* --- messages --- */

static struct status read_object(const struct reading *reading, const struct place *place,
                                 const struct schema_message *message, struct buffer *wire);

static struct status put_submessage(const struct reading *reading, const struct place *place,
                                    const struct schema_field *field, const struct json_token *token,
                                    struct buffer *wire)
{
    if (field->message->special != SCHEMA_PLAIN)
        return put_scalar(reading, place, field, token, wire);
    if (token->kind != JSON_OBJECT_BEGIN)
        return put_scalar(reading, place, field, token, wire); /* tells what it should have been */
    struct buffer inner = buffer_in(reading->faults->arena, 0);
    STATUS_TRY(read_object(reading, place, field->message, &inner));
    STATUS_TRY(buffer_status(&inner));
    wire_put_bytes(wire, field->number, buffer_bytes(&inner));
    return status_ok();
}

static struct status put_value(const struct reading *reading, const struct place *place,
                               const struct schema_field *field, const struct json_token *token, struct buffer *wire)
{
    return field->kind == SCHEMA_MESSAGE ? put_submessage(reading, place, field, token, wire)
                                         : put_scalar(reading, place, field, token, wire);
}

static struct status put_list(const struct reading *reading, const struct place *place,
                              const struct schema_field *field, const struct json_token *token, struct buffer *wire)
{
    if (token->kind != JSON_ARRAY_BEGIN) {
        struct bytes value = token->text;
        if (token->kind == JSON_OBJECT_BEGIN)
            STATUS_TRY(json_skip_value(reading->json, token, &value));
        return fault(reading, place, REASON_INVALID_FIELD, "is not a list; write it in [ ]");
    }
    struct place element = {place, NULL, 0};
    for (;; element.index++) {
        struct json_token item;
        STATUS_TRY(json_next(reading->json, &item));
        if (item.kind == JSON_ARRAY_END)
            return status_ok();
        STATUS_TRY(put_value(reading, &element, field, &item, wire));
    }
}

/* What a message has been given so far. */
struct given {
    uint64_t fields; /* by place in the table */
    struct bytes raw_data;         /* `data` as written, until content_type is known */
    const struct schema_field *raw_field;
    struct bytes content_type;
};

static struct status put_member(const struct reading *reading, const struct place *place,
                                const struct schema_message *message, const struct schema_field *field,
                                struct given *given, struct buffer *wire)
{
    struct json_token token;
    STATUS_TRY(json_next(reading->json, &token));
    const uint64_t bit = UINT64_C(1) << (field - message->fields);
    if ((given->fields & bit) != 0) {
        struct bytes skipped;
        STATUS_TRY(json_skip_value(reading->json, &token, &skipped));
        return fault(reading, place, REASON_INVALID_FIELD, "is given twice, as %s and %s; keep one", field->name,
                     field->json_name);
    }
    given->fields |= bit;
    if (token.kind == JSON_NULL && (field->flags & SCHEMA_RAW_JSON) == 0)
        return status_ok(); /* proto3 JSON: null is absent */
    if ((field->flags & SCHEMA_RAW_JSON) != 0) {
        struct bytes value;
        STATUS_TRY(json_skip_value(reading->json, &token, &value));
        if (token.kind == JSON_NULL)
            return status_ok();
        if (strcmp(field->name, "data") == 0) {
            given->raw_data = value;
            given->raw_field = field;
        } else {
            wire_put_bytes(wire, field->number, value);
        }
        return status_ok();
    }
    if ((field->flags & SCHEMA_REPEATED) != 0)
        return put_list(reading, place, field, &token, wire);
    if (strcmp(field->name, "content_type") == 0 && token.kind == JSON_STRING)
        STATUS_TRY(json_unescape(reading->faults->arena, &token, &given->content_type));
    return put_value(reading, place, field, &token, wire);
}

/* `data` is inline JSON, or base64 when content_type says that it is opaque; the two may come in either order. */
static struct status put_raw_data(const struct reading *reading, const struct place *outer, const struct given *given,
                                  struct buffer *wire)
{
    if (given->raw_field == NULL)
        return status_ok();
    if (!is_opaque(given->content_type)) {
        wire_put_bytes(wire, given->raw_field->number, given->raw_data);
        return status_ok();
    }
    const struct place place = {outer, given->raw_field->name, -1};
    const struct json_token token = {JSON_STRING, given->raw_data, true, 0};
    struct bytes text = BYTES_NONE;
    struct buffer decoded = buffer_in(reading->faults->arena, 0);
    if (given->raw_data.size_bytes < 2 || given->raw_data.data[0] != '"')
        return fault(reading, &place, REASON_INVALID_FIELD,
                     "must be a base64 string, since content_type is \"%.*s\" and not application/json",
                     BYTES_FORMAT(given->content_type));
    STATUS_TRY(json_unescape(reading->faults->arena, &token, &text));
    if (!base64_decode(text, &decoded))
        return fault(reading, &place, REASON_INVALID_FIELD, "is not base64");
    wire_put_bytes(wire, given->raw_field->number, buffer_bytes(&decoded));
    return status_ok();
}

static size_t common_prefix(const char *a, struct bytes b)
{
    size_t i = 0;
    while (i < b.size_bytes && a[i] != '\0' && a[i] == (char)b.data[i])
        i++;
    return i;
}

/* The field whose name shares the longest beginning, when that is at least half of what was written. */
const char *transcode_nearest(const struct schema_message *message, struct bytes name)
{
    size_t best = name.size_bytes / 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        const size_t snake = common_prefix(field->name, name);
        const size_t camel = common_prefix(field->json_name, name);
        const size_t shared = snake > camel ? snake : camel;
        if ((field->flags & SCHEMA_INTERNAL) == 0 && shared > best) {
            best = shared;
            nearest = field->name;
        }
    }
    return nearest;
}

static struct status unknown_member(const struct reading *reading, const struct place *outer,
                                    const struct schema_message *message, struct bytes name)
{
    struct json_token token;
    struct bytes skipped;
    STATUS_TRY(json_next(reading->json, &token));
    STATUS_TRY(json_skip_value(reading->json, &token, &skipped));
    char *text = arena_text(reading->faults->arena, name);
    if (text == NULL)
        return no_memory();
    const struct place place = {outer, text, -1};
    const char *nearest = transcode_nearest(message, name);
    if (nearest == NULL)
        return fault(reading, &place, REASON_UNKNOWN_FIELD, "is not a field of %s; leave it out", message->name);
    return fault(reading, &place, REASON_UNKNOWN_FIELD, "is not a field of %s; did you mean %s?", message->name,
                 nearest);
}

static struct status check_oneof(const struct reading *reading, const struct place *place,
                                 const struct schema_message *message, const struct schema_field *field,
                                 uint64_t given)
{
    for (size_t i = 0; field->oneof >= 0 && i < message->field_count; i++) {
        const struct schema_field *other = &message->fields[i];
        if (other != field && other->oneof == field->oneof && (given >> i & 1) != 0)
            return fault(reading, place, REASON_INVALID_FIELD, "cannot be given together with %s; keep one",
                         other->name);
    }
    return status_ok();
}

static struct status read_object(const struct reading *reading, const struct place *outer,
                                 const struct schema_message *message, struct buffer *wire)
{
    struct given given = {0};
    assert(message->field_count <= 64);
    for (;;) {
        struct json_token token;
        STATUS_TRY(json_next(reading->json, &token));
        if (token.kind == JSON_OBJECT_END)
            return put_raw_data(reading, outer, &given, wire);
        assert(token.kind == JSON_NAME);
        struct bytes name = BYTES_NONE;
        STATUS_TRY(json_unescape(reading->faults->arena, &token, &name));
        const struct schema_field *field = schema_field_by_name(message, name);
        if (field == NULL || (field->flags & (SCHEMA_INTERNAL | SCHEMA_MAP)) != 0) {
            STATUS_TRY(unknown_member(reading, outer, message, name));
            continue;
        }
        const struct place place = {outer, field->name, -1};
        STATUS_TRY(check_oneof(reading, &place, message, field, given.fields));
        STATUS_TRY(put_member(reading, &place, message, field, &given, wire));
    }
}

static struct status faults_status(const struct faults *faults)
{
    if (faults->count == 0)
        return status_ok();
    struct status status = status_reason(faults->reason, "%s %s", faults->items[0].field, faults->items[0].message);
    struct field_faults *all = arena_alloc(faults->arena, sizeof *all);
    if (all == NULL)
        return no_memory();
    *all = (struct field_faults){faults->items, faults->count};
    status.faults = all;
    return status;
}

struct status transcode_to_wire(struct arena *arena, const struct schema_message *message, struct bytes json,
                                struct buffer *wire)
{
    struct faults faults = {.arena = arena};
    struct reading reading = {json_reader_new(arena, json), &faults};
    struct json_token token;
    if (reading.json == NULL)
        return no_memory();
    STATUS_TRY(json_next(reading.json, &token));
    if (token.kind != JSON_OBJECT_BEGIN)
        return status_reason(REASON_INVALID_JSON, "the body is not a JSON object; send { … } with the fields of %s",
                             message->name);
    STATUS_TRY(read_object(&reading, NULL, message, wire));
    STATUS_TRY(json_next(reading.json, &token)); /* nothing may follow */
    STATUS_TRY(faults_status(&faults));
    return buffer_status(wire);
}
