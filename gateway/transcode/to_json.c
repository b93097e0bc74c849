/*
 * Wire to JSON: the wire is read once into a list of occurrences, then the field table is walked in its
 * order.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "gateway/transcode/transcode_internal.h"

#define ITEMS_ON_STACK 48U
#define FIELDS_MAX     64U
#define NONE           UINT32_MAX
#define DEPTH_MAX      16U

struct item {
    uint32_t place; /* of its field in the table */
    struct wire_field field;
};

struct occurrences {
    struct item *items;
    size_t count;
    size_t capacity;
    uint32_t first[FIELDS_MAX]; /* of each field: its first and last item, NONE when absent */
    uint32_t last[FIELDS_MAX];
};

static struct status damaged(const struct schema_message *message)
{
    return status_reason(REASON_DAMAGED, "the bytes are not a %s", message->name);
}

static struct status write_message(const struct schema_message *message, struct bytes wire, size_t depth,
                                   struct buffer *json);

/* As buffer_add; dozens of short pieces make an event, so room that is there is used without a call. */
static inline void put(struct buffer *json, const void *data, size_t size_bytes)
{
    if (json->limit_bytes == 0 && !json->failed && json->capacity_bytes - json->size_bytes >= size_bytes &&
        json->data != NULL) {
        memcpy(json->data + json->size_bytes, data, size_bytes);
        json->size_bytes += size_bytes;
    } else {
        buffer_add(json, data, size_bytes);
    }
}

static inline void put_byte(struct buffer *json, char byte)
{
    put(json, &byte, 1);
}

/* Is packed: a repeated number is written as one run of bytes. */
static bool can_be_packed(const struct schema_field *field)
{
    return (field->flags & SCHEMA_REPEATED) != 0 && field->kind != SCHEMA_STRING &&
           field->kind != SCHEMA_BYTES && field->kind != SCHEMA_MESSAGE;
}

static bool wire_type_fits(const struct schema_field *field, enum wire_type type)
{
    switch (field->kind) {
    case SCHEMA_DOUBLE:
        return type == WIRE_I64 || (can_be_packed(field) && type == WIRE_LEN);
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_MESSAGE:
        return type == WIRE_LEN;
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_ENUM:
        return type == WIRE_VARINT || (can_be_packed(field) && type == WIRE_LEN);
    }
    return false;
}

/* `items` starts on the stack and moves to the heap when it grows. */
static bool items_grow(struct occurrences *all, const struct item *on_stack)
{
    struct item *grown = malloc(all->capacity * 2 * sizeof *grown);
    if (grown == NULL)
        return false;
    memcpy(grown, all->items, all->count * sizeof *grown);
    if (all->items != on_stack)
        free(all->items);
    all->items = grown;
    all->capacity *= 2;
    return true;
}

/* Reads all known fields. The caller frees `items` unless they stand on the stack, also after a failure. */
static struct status read_items(const struct schema_message *message, struct bytes wire,
                                struct item *on_stack, struct occurrences *ret)
{
    assert(message->field_count <= FIELDS_MAX);
    ret->items = on_stack;
    ret->count = 0;
    ret->capacity = ITEMS_ON_STACK;
    memset(ret->first, 0xFF, message->field_count * sizeof ret->first[0]);
    memset(ret->last, 0xFF, message->field_count * sizeof ret->last[0]);
    for (size_t at = 0; at < wire.size_bytes;) {
        if (ret->count == ret->capacity && !items_grow(ret, on_stack))
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a reply");
        struct item *item = &ret->items[ret->count];
        if (!wire_next(wire, &at, &item->field))
            return damaged(message);
        const struct schema_field *field = schema_field_by_number(message, item->field.number);
        if (field == NULL || (field->flags & SCHEMA_INTERNAL) != 0)
            continue;
        if (!wire_type_fits(field, item->field.type))
            return damaged(message);
        item->place = (uint32_t)(field - message->fields);
        if (ret->first[item->place] == NONE)
            ret->first[item->place] = (uint32_t)ret->count;
        ret->last[item->place] = (uint32_t)ret->count;
        ret->count++;
    }
    return status_ok();
}

static void write_integer(int64_t value, bool quoted, struct buffer *json)
{
    char text[24];
    char *end = text + sizeof text;
    char *at = end;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (quoted)
        *--at = '"';
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0)
        *--at = '-';
    if (quoted)
        *--at = '"';
    put(json, at, (size_t)(end - at));
}

static void write_double(uint64_t bits, struct buffer *json)
{
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    double_write(value, json);
}

static void write_enum(const struct schema_enum *values, int32_t number, struct buffer *json)
{
    const struct schema_enum_value *value = schema_enum_by_number(values, number);
    if (value == NULL) {
        write_integer(number, false, json); /* of a newer server */
        return;
    }
    put_byte(json, '"');
    put(json, value->name, strlen(value->name));
    put_byte(json, '"');
}

/* Timestamp and Duration have the same two fields. */
static struct status read_pair(const struct schema_message *message, struct bytes wire, int64_t *ret_seconds,
                               int32_t *ret_nanos)
{
    *ret_seconds = 0;
    *ret_nanos = 0;
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen) || seen.type != WIRE_VARINT)
            return damaged(message);
        if (seen.number == 1)
            *ret_seconds = (int64_t)seen.value;
        else if (seen.number == 2)
            *ret_nanos = (int32_t)seen.value;
    }
    if (*ret_nanos <= -NANOS_A_SECOND || *ret_nanos >= NANOS_A_SECOND)
        return damaged(message);
    return status_ok();
}

static struct status write_time(const struct schema_message *message, int64_t seconds, int32_t nanos,
                                struct buffer *json)
{
    int64_t time_us = 0;
    if (nanos < 0 || __builtin_mul_overflow(seconds, 1000000, &time_us) ||
        __builtin_add_overflow(time_us, nanos / 1000, &time_us) || time_us < TIME_MIN_US ||
        time_us > TIME_MAX_US)
        return damaged(message);
    char text[TIME_TEXT_BYTES];
    time_format(time_us, text);
    put_byte(json, '"');
    put(json, text, TIME_TEXT_BYTES - 1);
    put_byte(json, '"');
    return status_ok();
}

static struct status write_submessage(const struct schema_message *message, struct bytes wire, size_t depth,
                                      struct buffer *json)
{
    if (message->special == SCHEMA_PLAIN)
        return write_message(message, wire, depth, json);
    int64_t seconds = 0;
    int32_t nanos = 0;
    STATUS_TRY(read_pair(message, wire, &seconds, &nanos));
    if (message->special == SCHEMA_TIMESTAMP)
        return write_time(message, seconds, nanos, json);
    if (seconds < -DURATION_MAX_S || seconds > DURATION_MAX_S)
        return damaged(message);
    duration_write(seconds, nanos, json);
    return status_ok();
}

/*
 * Inline. What the service stores has no white space between tokens, but a line break there, which a string
 * cannot hold, would end a line of NDJSON or of an event stream: it becomes a space.
 */
static void write_raw_json(struct bytes text, struct buffer *json)
{
    const size_t begin = json->size_bytes;
    if (text.size_bytes == 0) {
        put(json, "{}", 2);
        return;
    }
    put(json, text.data, text.size_bytes);
    if (json->failed || (memchr(text.data, '\n', text.size_bytes) == NULL &&
                         memchr(text.data, '\r', text.size_bytes) == NULL))
        return;
    for (size_t i = begin; i < json->size_bytes; i++)
        if (json->data[i] == '\n' || json->data[i] == '\r')
            json->data[i] = ' ';
}

static void write_bytes(const struct schema_field *field, struct bytes bytes, bool opaque,
                        struct buffer *json)
{
    if ((field->flags & SCHEMA_RAW_JSON) != 0 && !opaque) {
        write_raw_json(bytes, json);
        return;
    }
    put_byte(json, '"');
    base64_encode(bytes, json);
    put_byte(json, '"');
}

static struct status write_value(const struct schema_field *field, const struct wire_field *seen, bool opaque,
                                 size_t depth, struct buffer *json)
{
    switch (field->kind) {
    case SCHEMA_BOOL:
        put(json, seen->value != 0 ? "true" : "false", seen->value != 0 ? 4 : 5);
        return status_ok();
    case SCHEMA_INT32:
        write_integer((int32_t)seen->value, false, json);
        return status_ok();
    case SCHEMA_INT64:
        write_integer((int64_t)seen->value, (field->flags & SCHEMA_JSON_NUMBER) == 0, json);
        return status_ok();
    case SCHEMA_DOUBLE:
        write_double(seen->value, json);
        return status_ok();
    case SCHEMA_ENUM:
        write_enum(field->values, (int32_t)seen->value, json);
        return status_ok();
    case SCHEMA_STRING:
        json_add_string(json, seen->bytes);
        return status_ok();
    case SCHEMA_BYTES:
        write_bytes(field, seen->bytes, opaque, json);
        return status_ok();
    case SCHEMA_MESSAGE:
        return write_submessage(field->message, seen->bytes, depth + 1, json);
    }
    return status_ok();
}

/* The next number of a packed field. */
static bool packed_next(struct bytes packed, size_t *at, bool fixed, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < (fixed ? 8U : 10U); i++) {
        if (*at == packed.size_bytes)
            return false;
        const uint8_t byte = packed.data[(*at)++];
        value |= fixed ? (uint64_t)byte << (8 * i) : (uint64_t)(byte & 0x7F) << (7 * i);
        if (fixed ? i == 7 : byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static struct status write_packed(const struct schema_field *field, struct bytes packed, bool *first,
                                  struct buffer *json)
{
    for (size_t at = 0; at < packed.size_bytes;) {
        struct wire_field seen = {.type = WIRE_VARINT};
        if (!packed_next(packed, &at, field->kind == SCHEMA_DOUBLE, &seen.value))
            return status_reason(REASON_DAMAGED, "%s is cut off", field->name);
        if (!*first)
            put_byte(json, ',');
        *first = false;
        STATUS_TRY(write_value(field, &seen, false, 0, json));
    }
    return status_ok();
}

/* One member of a map object: the entry's key, then its value with the map field's flags. */
static struct status write_entry(const struct schema_field *field, struct bytes entry, size_t depth,
                                 struct buffer *json)
{
    struct schema_field value = field->message->fields[1];
    struct wire_field key_seen = {0};
    struct wire_field value_seen = {0};
    value.flags |= field->flags & SCHEMA_JSON_NUMBER;
    for (size_t at = 0; at < entry.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(entry, &at, &seen))
            return damaged(field->message);
        if (seen.number == 1)
            key_seen = seen;
        else if (seen.number == 2 && wire_type_fits(&value, seen.type))
            value_seen = seen;
    }
    json_add_string(json, key_seen.bytes);
    put_byte(json, ':');
    return write_value(&value, &value_seen, false, depth, json);
}

static struct status write_repeated(const struct occurrences *all, uint32_t place,
                                    const struct schema_field *field, size_t depth, struct buffer *json)
{
    const bool map = (field->flags & SCHEMA_MAP) != 0;
    bool first = true;
    put_byte(json, map ? '{' : '[');
    for (uint32_t i = all->first[place]; i != NONE && i <= all->last[place]; i++) {
        const struct wire_field *seen = &all->items[i].field;
        if (all->items[i].place != place)
            continue;
        if (seen->type == WIRE_LEN && can_be_packed(field)) {
            STATUS_TRY(write_packed(field, seen->bytes, &first, json));
            continue;
        }
        if (!first)
            put_byte(json, ',');
        first = false;
        STATUS_TRY(map ? write_entry(field, seen->bytes, depth, json)
                       : write_value(field, seen, false, depth, json));
    }
    put_byte(json, map ? '}' : ']');
    return status_ok();
}

static bool data_is_opaque(const struct schema_message *message, const struct occurrences *all,
                           const struct schema_field *field)
{
    if ((field->flags & SCHEMA_RAW_JSON) == 0 || strcmp(field->name, "data") != 0)
        return false;
    const struct schema_field *type = schema_field_by_name(message, BYTES_LITERAL("content_type"));
    if (type == NULL)
        return false;
    const uint32_t item = all->last[type - message->fields];
    return item != NONE && is_opaque(all->items[item].field.bytes);
}

static struct status write_fields(const struct schema_message *message, const struct occurrences *all,
                                  size_t depth, struct buffer *json)
{
    static const struct wire_field absent = {0};
    bool first = true;
    put_byte(json, '{');
    for (uint32_t place = 0; place < message->field_count; place++) {
        const struct schema_field *field = &message->fields[place];
        const uint32_t item = all->last[place];
        if ((field->flags & SCHEMA_INTERNAL) != 0 || (item == NONE && (field->flags & SCHEMA_PRESENCE) != 0))
            continue;
        if (!first)
            put_byte(json, ',');
        first = false;
        put_byte(json, '"');
        put(json, field->name, strlen(field->name));
        put(json, "\":", 2);
        if ((field->flags & SCHEMA_REPEATED) != 0)
            STATUS_TRY(write_repeated(all, place, field, depth, json));
        else
            STATUS_TRY(write_value(field, item == NONE ? &absent : &all->items[item].field,
                                   data_is_opaque(message, all, field), depth, json));
    }
    put_byte(json, '}');
    return status_ok();
}

static struct status write_message(const struct schema_message *message, struct bytes wire, size_t depth,
                                   struct buffer *json)
{
    struct item on_stack[ITEMS_ON_STACK];
    struct occurrences all;
    if (depth > DEPTH_MAX)
        return damaged(message);
    struct status status = read_items(message, wire, on_stack, &all);
    if (status.code == STATUS_OK)
        status = write_fields(message, &all, depth, json);
    if (all.items != on_stack)
        free(all.items);
    return status;
}

struct status transcode_to_json(const struct schema_message *message, struct bytes wire, struct buffer *json)
{
    STATUS_TRY(write_submessage(message, wire, 0, json));
    return buffer_status(json);
}
