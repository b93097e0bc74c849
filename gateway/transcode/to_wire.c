/*
 * JSON to wire: one pass over the tokens. A submessage is written where it stands, and its length is put in
 * front of it when it ends.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/transcode/transcode_internal.h"

#define FAULTS_MAX     64U
#define PATH_MAX_BYTES 256U
#define TEXT_MAX_BYTES 512U

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

/* What a message has been given so far; a bit is a place in its field table. */
struct given {
    uint64_t named;
    uint64_t set;                         /* named with another value than null */
    const struct schema_field *raw_field; /* `data`, which waits until content_type is known */
    struct json_token raw_token;
    struct bytes raw_data;
    struct bytes content_type;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the request needs more memory than a call may use");
}

/* --- faults --- */

static void path_write(const struct place *place, char ret[PATH_MAX_BYTES])
{
    char tail[PATH_MAX_BYTES];
    ret[0] = '\0';
    for (const struct place *at = place; at != NULL; at = at->outer) {
        memcpy(tail, ret, sizeof tail);
        const char *dot = tail[0] == '\0' || tail[0] == '[' ? "" : ".";
        /* Names are the contract's, or cut by transcode_shown; the contract is not deep: nothing is cut. */
        if (at->index >= 0)
            (void)snprintf(ret, PATH_MAX_BYTES, "[%ld]%s%.200s", at->index, dot, tail);
        else
            (void)snprintf(ret, PATH_MAX_BYTES, "%.70s%s%.180s", at->name, dot, tail);
    }
}

/* Notes a fault and lets the reading go on, so that all of them are told at once. */
__attribute__((format(printf, 4, 5))) static struct status fault(const struct reading *reading,
                                                                 const struct place *place,
                                                                 enum status_reason reason,
                                                                 const char *format, ...)
{
    struct faults *faults = reading->faults;
    if (faults->count == FAULTS_MAX)
        return status_ok();
    if (faults->items == NULL) {
        faults->items = arena_array(faults->arena, FAULTS_MAX, sizeof *faults->items);
        faults->reason = reason;
    }
    char path[PATH_MAX_BYTES];
    char text[TEXT_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* what is shown of values is short: it fits */
    va_end(arguments);
    path_write(place, path);
    char *field = arena_text(faults->arena, bytes_of_text(path));
    char *message = arena_text(faults->arena, bytes_of_text(text));
    if (faults->items == NULL || field == NULL || message == NULL)
        return no_memory();
    faults->items[faults->count++] = (struct field_fault){field, message};
    return status_ok();
}

static struct status faults_status(const struct faults *faults)
{
    if (faults->count == 0)
        return status_ok();
    struct status status =
        status_reason(faults->reason, "%s %s", faults->items[0].field, faults->items[0].message);
    struct field_faults *all = arena_alloc(faults->arena, sizeof *all);
    if (all == NULL)
        return no_memory();
    *all = (struct field_faults){faults->items, faults->count};
    status.faults = all;
    return status;
}

/* Skips the value that `token` begins and notes that it is not one of the field. */
static struct status wrong_value(const struct reading *reading, const struct place *place,
                                 const struct schema_field *field, const struct json_token *token)
{
    struct bytes value = token->text;
    if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN)
        STATUS_TRY(json_skip_value(reading->json, token, &value));
    return fault(reading, place, REASON_INVALID_FIELD, "is %s; it must be %s",
                 transcode_shown(reading->faults->arena, value),
                 transcode_wanted(reading->faults->arena, field));
}

/* --- values --- */

/* May this token be the value of the field? Its content is looked at afterwards. */
static bool kind_fits(const struct schema_field *field, enum json_kind kind)
{
    switch (field->kind) {
    case SCHEMA_BOOL:
        return kind == JSON_TRUE || kind == JSON_FALSE;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
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
                                const struct schema_field *field, const struct json_token *token,
                                struct buffer *wire)
{
    if (!kind_fits(field, token->kind))
        return wrong_value(reading, place, field, token);
    struct bytes text = token->text;
    const bool quoted = token->kind == JSON_STRING;
    if (quoted)
        STATUS_TRY(json_unescape(reading->faults->arena, token, &text));
    if (!transcode_put_text(reading->faults->arena, field, text, quoted, wire))
        return wrong_value(reading, place, field, token);
    return status_ok();
}

/* Puts the length of all that was written since `begin` in front of it. */
static void close_length(struct buffer *wire, size_t begin)
{
    const size_t size = wire->size_bytes - begin;
    size_t room = 1;
    for (size_t left = size >> 7; left != 0; left >>= 7)
        room++;
    if (buffer_extend(wire, room) == NULL)
        return; /* the buffer tells */
    uint8_t *at = wire->data + begin;
    memmove(at + room, at, size);
    for (size_t i = 0; i < room; i++)
        at[i] = (uint8_t)((size >> (7 * i) & 0x7F) | (i + 1 < room ? 0x80 : 0));
}

static struct status read_object(const struct reading *reading, const struct place *place,
                                 const struct schema_message *message, struct buffer *wire);

static struct status put_value(const struct reading *reading, const struct place *place,
                               const struct schema_field *field, const struct json_token *token,
                               struct buffer *wire)
{
    if (field->kind != SCHEMA_MESSAGE || field->message->special != SCHEMA_PLAIN)
        return put_scalar(reading, place, field, token, wire);
    if (token->kind != JSON_OBJECT_BEGIN)
        return wrong_value(reading, place, field, token);
    wire_put_tag(wire, field->number, WIRE_LEN);
    const size_t begin = wire->size_bytes;
    STATUS_TRY(read_object(reading, place, field->message, wire));
    if (!wire->failed)
        close_length(wire, begin);
    return status_ok();
}

static struct status put_list(const struct reading *reading, const struct place *place,
                              const struct schema_field *field, const struct json_token *token,
                              struct buffer *wire)
{
    if (token->kind != JSON_ARRAY_BEGIN) {
        struct bytes skipped;
        STATUS_TRY(json_skip_value(reading->json, token, &skipped));
        return fault(reading, place, REASON_INVALID_FIELD, "is %s; it must be a list in [ ]",
                     transcode_shown(reading->faults->arena, skipped));
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

/*
 * `data` of a message that has a content_type is put when the message ends: the two may come in either order.
 */
static struct status put_raw(const struct reading *reading, const struct schema_field *field,
                             const struct json_token *token, struct given *given, struct buffer *wire)
{
    struct bytes value;
    STATUS_TRY(json_skip_embedded(reading->json, token, &value));
    if (strcmp(field->name, "data") == 0) {
        given->raw_field = field;
        given->raw_token = *token;
        given->raw_data = value;
    } else {
        wire_put_bytes(wire, field->number, value);
    }
    return status_ok();
}

static struct status finish_raw(const struct reading *reading, const struct place *outer,
                                const struct given *given, struct buffer *wire)
{
    const struct schema_field *field = given->raw_field;
    if (field == NULL)
        return status_ok();
    if (!is_opaque(given->content_type)) {
        wire_put_bytes(wire, field->number, given->raw_data);
        return status_ok();
    }
    struct arena *arena = reading->faults->arena;
    const struct place place = {outer, field->name, -1};
    struct bytes text = BYTES_NONE;
    struct buffer decoded = buffer_in(arena, 0);
    if (given->raw_token.kind == JSON_STRING)
        STATUS_TRY(json_unescape(arena, &given->raw_token, &text));
    if (given->raw_token.kind != JSON_STRING || !base64_decode(text, &decoded))
        return fault(
            reading, &place, REASON_INVALID_FIELD,
            "is %s; it must be a base64 string, since content_type is \"%s\" and not application/json",
            transcode_shown(arena, given->raw_data), transcode_shown(arena, given->content_type));
    wire_put_bytes(wire, field->number, buffer_bytes(&decoded));
    return buffer_status(&decoded);
}

/* --- members --- */

static struct status unknown_member(const struct reading *reading, const struct place *outer,
                                    const struct schema_message *message, struct bytes name)
{
    struct arena *arena = reading->faults->arena;
    struct bytes skipped;
    STATUS_TRY(json_skip_value(reading->json, NULL, &skipped));
    if (reading->faults->count == FAULTS_MAX)
        return status_ok();
    const struct place place = {outer, transcode_shown(arena, name), -1};
    const char *nearest = transcode_nearest(message, name);
    if (nearest == NULL)
        return fault(reading, &place, REASON_UNKNOWN_FIELD, "is not a field of %s; leave it out",
                     message->name);
    return fault(reading, &place, REASON_UNKNOWN_FIELD, "is not a field of %s; did you mean %s?",
                 message->name, nearest);
}

/* The other member of the field's oneof that was set, or NULL. */
static const struct schema_field *oneof_rival(const struct schema_message *message,
                                              const struct schema_field *field, uint64_t set)
{
    for (size_t i = 0; field->oneof >= 0 && i < message->field_count; i++)
        if ((set >> i & 1) != 0 && message->fields[i].oneof == field->oneof && &message->fields[i] != field)
            return &message->fields[i];
    return NULL;
}

static struct status put_member(const struct reading *reading, const struct place *place,
                                const struct schema_message *message, const struct schema_field *field,
                                struct given *given, struct buffer *wire)
{
    const uint64_t bit = UINT64_C(1) << (field - message->fields);
    const struct schema_field *rival = oneof_rival(message, field, given->set);
    struct json_token token;
    struct bytes skipped;
    STATUS_TRY(json_next(reading->json, &token));
    if ((given->named & bit) != 0) {
        STATUS_TRY(json_skip_value(reading->json, &token, &skipped));
        return fault(reading, place, REASON_INVALID_FIELD, "is given twice, as %s and %s; keep one",
                     field->name, field->json_name);
    }
    given->named |= bit;
    if (token.kind == JSON_NULL)
        return status_ok(); /* proto3 JSON: null is absent */
    given->set |= bit;
    if (rival != NULL) {
        STATUS_TRY(json_skip_value(reading->json, &token, &skipped));
        return fault(reading, place, REASON_INVALID_FIELD, "cannot be given together with %s; keep one",
                     rival->name);
    }
    if ((field->flags & SCHEMA_RAW_JSON) != 0)
        return put_raw(reading, field, &token, given, wire);
    if ((field->flags & SCHEMA_REPEATED) != 0)
        return put_list(reading, place, field, &token, wire);
    if (token.kind == JSON_STRING && strcmp(field->name, "content_type") == 0)
        STATUS_TRY(json_unescape(reading->faults->arena, &token, &given->content_type));
    return put_value(reading, place, field, &token, wire);
}

/* The reader is behind the opening brace. The contract is not recursive, so neither is this without bound. */
static struct status read_object(const struct reading *reading, const struct place *outer,
                                 const struct schema_message *message, struct buffer *wire)
{
    struct given given = {0};
    assert(message->field_count <= 64);
    for (;;) {
        struct json_token token;
        STATUS_TRY(json_next(reading->json, &token));
        if (token.kind == JSON_OBJECT_END)
            return finish_raw(reading, outer, &given, wire);
        assert(token.kind == JSON_NAME);
        struct bytes name = BYTES_NONE;
        STATUS_TRY(json_unescape(reading->faults->arena, &token, &name));
        const struct schema_field *field = schema_field_by_name(message, name);
        if (field == NULL || (field->flags & (SCHEMA_INTERNAL | SCHEMA_MAP)) != 0) {
            STATUS_TRY(unknown_member(reading, outer, message, name));
            continue;
        }
        const struct place place = {outer, field->name, -1};
        STATUS_TRY(put_member(reading, &place, message, field, &given, wire));
    }
}

struct status transcode_to_wire(struct arena *arena, const struct schema_message *message, struct bytes json,
                                struct buffer *wire)
{
    struct faults faults = {.arena = arena};
    const struct reading reading = {json_reader_new(arena, json), &faults};
    struct json_token token;
    if (reading.json == NULL)
        return no_memory();
    /* Packed, a request is nearly always shorter than its text: with so much room it never grows. */
    if (buffer_extend(wire, json.size_bytes + 1) != NULL)
        wire->size_bytes -= json.size_bytes + 1;
    STATUS_TRY(json_next(reading.json, &token));
    if (token.kind != JSON_OBJECT_BEGIN)
        return status_reason(REASON_INVALID_JSON,
                             "the text is not a JSON object; send { … } with the fields of %s",
                             message->name);
    STATUS_TRY(read_object(&reading, NULL, message, wire));
    STATUS_TRY(json_next(reading.json, &token)); /* nothing may follow */
    STATUS_TRY(faults_status(&faults));
    return buffer_status(wire);
}
