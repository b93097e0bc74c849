/* The wire format of protocol buffers, read and written field by field, and the check that runs before protobuf-c. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/schema.h"

#define PATH_MAX_BYTES 256U
#define FIELDS_SEEN    64U

static bool read_varint(struct bytes wire, size_t *at, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (*at >= wire.size_bytes)
            return false;
        const uint8_t byte = wire.data[(*at)++];
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct bytes wire, size_t *at, size_t size, uint64_t *ret)
{
    if (wire.size_bytes - *at < size)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)wire.data[*at + i] << (8 * i);
    *at += size;
    *ret = value;
    return true;
}

bool wire_next(struct bytes wire, size_t *at, struct wire_field *ret)
{
    uint64_t tag = 0;
    if (!read_varint(wire, at, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
        return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->type = (enum wire_type)(tag & 7);
    ret->bytes = BYTES_NONE;
    ret->value = 0;
    switch (ret->type) {
    case WIRE_VARINT:
        return read_varint(wire, at, &ret->value);
    case WIRE_I64:
        return read_fixed(wire, at, 8, &ret->value);
    case WIRE_I32:
        return read_fixed(wire, at, 4, &ret->value);
    case WIRE_LEN:
        if (!read_varint(wire, at, &ret->value) || ret->value > wire.size_bytes - *at)
            return false;
        ret->bytes = bytes_of(wire.data + *at, (size_t)ret->value);
        *at += (size_t)ret->value;
        return true;
    default:
        return false; /* groups (3, 4) were never part of proto3 */
    }
}

void wire_put_varint(struct buffer *to, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count++] = (uint8_t)((value & 0x7F) | (value >= 0x80 ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    buffer_add(to, bytes, count);
}

void wire_put_tag(struct buffer *to, uint32_t number, enum wire_type type)
{
    wire_put_varint(to, (uint64_t)number << 3 | (uint64_t)type);
}

void wire_put_bytes(struct buffer *to, uint32_t number, struct bytes bytes)
{
    wire_put_tag(to, number, WIRE_LEN);
    wire_put_varint(to, bytes.size_bytes);
    buffer_add_bytes(to, bytes);
}

void wire_put_uint(struct buffer *to, uint32_t number, uint64_t value)
{
    wire_put_tag(to, number, WIRE_VARINT);
    wire_put_varint(to, value);
}

/* Where the check stands: one level a message. */
struct check {
    const struct check *outer;
    const struct schema_field *field; /* of the outer message; NULL at the top */
    size_t index;                     /* among the repeated ones */
    size_t depth;
    size_t *fields; /* counted over all levels */
};

static void path_of(const struct check *check, const struct schema_field *field, char ret[PATH_MAX_BYTES])
{
    char tail[PATH_MAX_BYTES];
    (void)snprintf(ret, PATH_MAX_BYTES, "%s", field == NULL ? "" : field->name); /* a cut path still helps */
    for (const struct check *at = check; at != NULL && at->field != NULL; at = at->outer) {
        memcpy(tail, ret, sizeof tail);
        const char *dot = tail[0] == '\0' ? "" : ".";
        if ((at->field->flags & SCHEMA_REPEATED) != 0)
            (void)snprintf(ret, PATH_MAX_BYTES, "%.64s[%zu]%s%.120s", at->field->name, at->index, dot, tail);
        else
            (void)snprintf(ret, PATH_MAX_BYTES, "%.64s%s%.120s", at->field->name, dot, tail);
    }
}

static struct status refuse(const struct check *check, const struct schema_field *field, const char *what)
{
    char path[PATH_MAX_BYTES];
    path_of(check, field, path);
    return status_reason(REASON_INVALID_FIELD, "%s%s%s", path[0] == '\0' ? "the message" : path, " ", what);
}

static enum wire_type wire_type_of(enum schema_kind kind)
{
    switch (kind) {
    case SCHEMA_DOUBLE:
        return WIRE_I64;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_MESSAGE:
        return WIRE_LEN;
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_ENUM:
        return WIRE_VARINT;
    }
    assert(false);
    return WIRE_VARINT;
}

static struct status check_message(const struct schema_message *message, struct bytes wire, const struct check *check);

static struct status check_packed(const struct check *check, const struct schema_field *field, struct bytes packed)
{
    size_t at = 0;
    uint64_t number = 0;
    while (at < packed.size_bytes) {
        const bool read = wire_type_of(field->kind) == WIRE_I64 ? read_fixed(packed, &at, 8, &number)
                                                                : read_varint(packed, &at, &number);
        if (!read)
            return refuse(check, field, "is cut off");
        if (++*check->fields > WIRE_FIELDS_MAX)
            return refuse(check, field, "makes the message hold too many values; send fewer");
    }
    return status_ok();
}

static struct status check_field(const struct check *check, const struct schema_field *field,
                                 const struct wire_field *seen, size_t index)
{
    const enum wire_type wanted = wire_type_of(field->kind);
    const bool repeated = (field->flags & SCHEMA_REPEATED) != 0;
    if (seen->type != wanted && repeated && seen->type == WIRE_LEN)
        return check_packed(check, field, seen->bytes);
    if (seen->type != wanted)
        return refuse(check, field, "has another type on the wire; use the published .proto");
    if (field->kind == SCHEMA_STRING) {
        if (seen->bytes.size_bytes > 0 && memchr(seen->bytes.data, '\0', seen->bytes.size_bytes) != NULL)
            return refuse(check, field, "holds a NUL character; strings must not");
        if (!utf8_is_valid(seen->bytes))
            return refuse(check, field, "is not valid UTF-8; encode it so");
    }
    if (field->kind != SCHEMA_MESSAGE)
        return status_ok();
    const struct check inner = {check, field, index, check->depth + 1, check->fields};
    return check_message(field->message, seen->bytes, &inner);
}

static struct status check_message(const struct schema_message *message, struct bytes wire, const struct check *check)
{
    uint64_t seen_once = 0; /* singular submessages by their place in the table, the first 64 of them */
    const struct schema_field *repeated = NULL;
    size_t index = 0;
    if (check->depth > WIRE_DEPTH_MAX)
        return refuse(check, NULL, "is nested too deeply");
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen))
            return refuse(check, NULL, "is not a well-formed protocol buffer");
        if (++*check->fields > WIRE_FIELDS_MAX)
            return refuse(check, NULL, "holds too many fields; send fewer");
        const struct schema_field *field = schema_field_by_number(message, seen.number);
        if (field == NULL)
            continue; /* of a newer client; protobuf-c skips it */
        if ((field->flags & SCHEMA_REPEATED) != 0) {
            index = field == repeated ? index + 1 : 0;
            repeated = field;
        } else if (field->kind == SCHEMA_MESSAGE) {
            /* protobuf-c 1.4 would merge them, and fails on some; a sender of one message has no use for it. */
            const size_t place = (size_t)(field - message->fields);
            assert(place < FIELDS_SEEN);
            if ((seen_once >> place & 1) != 0)
                return refuse(check, field, "is there twice");
            seen_once |= UINT64_C(1) << place;
        }
        STATUS_TRY(check_field(check, field, &seen, index));
    }
    return status_ok();
}

struct status schema_wire_check(const struct schema_message *message, struct bytes wire)
{
    size_t fields = 0;
    const struct check top = {NULL, NULL, 0, 1, &fields};
    return check_message(message, wire, &top);
}
