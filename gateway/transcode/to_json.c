/* Wire to JSON: the wire is read once into a list of occurrences, then the field table is walked in its order. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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
    uint32_t first[FIELDS_MAX]; /* of each field: its first and last item, NONE when absent */
    uint32_t last[FIELDS_MAX];
};

static struct status damaged(const struct schema_message *message)
{
    return status_reason(REASON_DAMAGED, "the bytes are not a %s", message->name);
}

static struct status write_message(const struct schema_message *message, struct bytes wire, size_t depth,
                                   struct buffer *json);

static bool wire_type_fits(const struct schema_field *field, enum wire_type type)
{
    switch (field->kind) {
    case SCHEMA_DOUBLE:
        return type == WIRE_I64 || ((field->flags & SCHEMA_REPEATED) != 0 && type == WIRE_LEN);
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_MESSAGE:
        return type == WIRE_LEN;
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_ENUM:
        return type == WIRE_VARINT || ((field->flags & SCHEMA_REPEATED) != 0 && type == WIRE_LEN);
    }
    return false;
}

/* Reads all known fields. `items` starts on the stack and moves to the heap when it grows. */
static struct status read_items(const struct schema_message *message, struct bytes wire, struct item *on_stack,
                                struct occurrences *ret)
{
    size_t capacity = ITEMS_ON_STACK;
    assert(message->field_count <= FIELDS_MAX);
    ret->items = on_stack;
    ret->count = 0;
    memset(ret->first, 0xFF, message->field_count * sizeof ret->first[0]);
    memset(ret->last, 0xFF, message->field_count * sizeof ret->last[0]);
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen))
            return damaged(message);
        const struct schema_field *field = schema_field_by_number(message, seen.number);
        if (field == NULL || (field->flags & SCHEMA_INTERNAL) != 0)
            continue;
        if (!wire_type_fits(field, seen.type))
            return damaged(message);
        if (ret->count == capacity) {
            struct item *grown = malloc(capacity * 2 * sizeof *grown);
            if (grown == NULL)
                return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a reply");
            memcpy(grown, ret->items, ret->count * sizeof *grown);
            if (ret->items != on_stack)
                free(ret->items);
            ret->items = grown;
            capacity *= 2;
        }
        const uint32_t place = (uint32_t)(field - message->fields);
        if (ret->first[place] == NONE)
            ret->first[place] = (uint32_t)ret->count;
        ret->last[place] = (uint32_t)ret->count;
        ret->items[ret->count++] = (struct item){place, seen};
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
    buffer_add(json, at, (size_t)(end - at));
}

static void write_double(uint64_t bits, struct buffer *json)
{
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    if (isnan(value))
        buffer_add_text(json, "\"NaN\"");
    else if (isinf(value))
        buffer_add_text(json, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else
        buffer_printf(json, "%.17g", value);
}

static void write_enum(const struct schema_enum *values, int32_t number, struct buffer *json)
{
    for (size_t i = 0; i < values->count; i++)
        if (values->values[i].number == number) {
            buffer_add_byte(json, '"');
            buffer_add_text(json, values->values[i].name);
            buffer_add_byte(json, '"');
            return;
        }
    write_integer(number, false, json); /* of a newer server */
}

static struct status read_pair(const struct schema_message *message, struct bytes wire, int64_t *ret_first,
                               int64_t *ret_second)
{
    *ret_first = 0;
    *ret_second = 0;
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen) || seen.type != WIRE_VARINT)
            return damaged(message);
        if (seen.number == 1)
            *ret_first = (int64_t)seen.value;
        else if (seen.number == 2)
            *ret_second = (int32_t)seen.value;
    }
    return status_ok();
}

static struct status write_submessage(const struct schema_message *message, struct bytes wire, size_t depth,
                                      struct buffer *json)
{
    if (message->special == SCHEMA_PLAIN)
        return write_message(message, wire, depth, json);
    int64_t seconds = 0;
    int64_t nanos = 0;
    STATUS_TRY(read_pair(message, wire, &seconds, &nanos));
    if (message->special == SCHEMA_DURATION) {
        duration_write(seconds, (int32_t)nanos, json);
        return status_ok();
    }
    int64_t time_us = 0;
    if (__builtin_mul_overflow(seconds, 1000000, &time_us) || __builtin_add_overflow(time_us, nanos / 1000, &time_us) ||
        time_us < TIME_MIN_US || time_us > TIME_MAX_US)
        return damaged(message);
    char text[TIME_TEXT_BYTES];
    time_format(time_us, text);
    buffer_add_byte(json, '"');
    buffer_add_text(json, text);
    buffer_add_byte(json, '"');
    return status_ok();
}

static void write_bytes(const struct schema_field *field, struct bytes bytes, bool opaque, struct buffer *json)
{
    if ((field->flags & SCHEMA_RAW_JSON) != 0 && !opaque) {
        if (bytes.size_bytes == 0)
            buffer_add_text(json, "{}");
        else
            buffer_add_bytes(json, bytes);
        return;
    }
    buffer_add_byte(json, '"');
    base64_encode(bytes, json);
    buffer_add_byte(json, '"');
}

static struct status write_value(const struct schema_field *field, const struct wire_field *seen, bool opaque,
                                 size_t depth, struct buffer *json)
{
    switch (field->kind) {
    case SCHEMA_BOOL:
        buffer_add_text(json, seen->value != 0 ? "true" : "false");
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
            buffer_add_byte(json, ',');
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
        else if (seen.number == 2)
            value_seen = seen;
    }
    json_add_string(json, key_seen.bytes);
    buffer_add_byte(json, ':');
    return write_value(&value, &value_seen, false, depth, json);
}

static struct status write_repeated(const struct occurrences *all, uint32_t place, const struct schema_field *field,
                                    size_t depth, struct buffer *json)
{
    const bool map = (field->flags & SCHEMA_MAP) != 0;
    bool first = true;
    buffer_add_byte(json, map ? '{' : '[');
    for (uint32_t i = all->first[place]; i != NONE && i <= all->last[place]; i++) {
        const struct wire_field *seen = &all->items[i].field;
        if (all->items[i].place != place)
            continue;
        if (seen->type == WIRE_LEN && field->kind != SCHEMA_STRING && field->kind != SCHEMA_BYTES &&
            field->kind != SCHEMA_MESSAGE) {
            STATUS_TRY(write_packed(field, seen->bytes, &first, json));
            continue;
        }
        if (!first)
            buffer_add_byte(json, ',');
        first = false;
        STATUS_TRY(map ? write_entry(field, seen->bytes, depth, json) : write_value(field, seen, false, depth, json));
    }
    buffer_add_byte(json, map ? '}' : ']');
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

static struct status write_fields(const struct schema_message *message, const struct occurrences *all, size_t depth,
                                  struct buffer *json)
{
    static const struct wire_field absent = {0};
    bool first = true;
    buffer_add_byte(json, '{');
    for (uint32_t place = 0; place < message->field_count; place++) {
        const struct schema_field *field = &message->fields[place];
        const uint32_t item = all->last[place];
        if ((field->flags & SCHEMA_INTERNAL) != 0 || (item == NONE && (field->flags & SCHEMA_PRESENCE) != 0))
            continue;
        if (!first)
            buffer_add_byte(json, ',');
        first = false;
        buffer_add_byte(json, '"');
        buffer_add_text(json, field->name);
        buffer_add(json, "\":", 2);
        if ((field->flags & SCHEMA_REPEATED) != 0)
            STATUS_TRY(write_repeated(all, place, field, depth, json));
        else
            STATUS_TRY(write_value(field, item == NONE ? &absent : &all->items[item].field,
                                   data_is_opaque(message, all, field), depth, json));
    }
    buffer_add_byte(json, '}');
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
