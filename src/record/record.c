#include "record/record.h"

#include <assert.h>
#include <string.h>

/* Field numbers of strata.v1.Event. */
enum {
    FIELD_ID = 1,
    FIELD_TYPE = 2,
    FIELD_AGGREGATE_ID = 3,
    FIELD_AGGREGATE_TYPE = 4,
    FIELD_VERSION = 5,
    FIELD_POSITION = 6,
    FIELD_TIMESTAMP = 7,
    FIELD_CORRELATION_ID = 8,
    FIELD_CAUSATION_ID = 9,
    FIELD_CONTENT_TYPE = 10,
    FIELD_SCHEMA_VERSION = 11,
    FIELD_TAGS = 12,
    FIELD_SUBJECT = 13,
    FIELD_OCCURRED_AT = 14,
    FIELD_TRACEPARENT = 15,
    FIELD_APPEND_ID = 16,
    FIELD_APPEND_INDEX = 17,
    FIELD_APPEND_COUNT = 18,
    FIELD_ACTOR = 19,
    FIELD_PAYLOAD_DIGEST = 20,
    FIELD_PAYLOAD_FIRST = 30,
    FIELD_DATA = 30,
    FIELD_METADATA = 31,
    FIELD_SALT = 32,
};

enum { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

#define MICROS_A_SECOND INT64_C(1000000)
#define VARINT_MAX      10U

/* --- writing --- */

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_tag(uint8_t *to, uint32_t number, unsigned type)
{
    return put_varint(to, (uint64_t)number << 3 | type);
}

/* The range moves to where it is written. */
static uint8_t *put_bytes(uint8_t *to, uint32_t number, struct bytes *bytes)
{
    const size_t size = bytes->size_bytes;
    if (size == 0)
        return to;
    to = put_varint(put_tag(to, number, WIRE_LEN), size);
    memcpy(to, bytes->data, size);
    bytes->data = to;
    return to + size;
}

/* A negative int32 is sign-extended to ten bytes, as protocol buffers want it. */
static uint8_t *put_int(uint8_t *to, uint32_t number, int64_t value)
{
    return value == 0 ? to : put_varint(put_tag(to, number, WIRE_VARINT), (uint64_t)value);
}

static void split_time(int64_t time_us, int64_t *ret_seconds, int64_t *ret_nanos)
{
    *ret_seconds = time_us / MICROS_A_SECOND;
    int64_t micros = time_us % MICROS_A_SECOND;
    if (micros < 0) {
        micros += MICROS_A_SECOND;
        *ret_seconds -= 1;
    }
    *ret_nanos = micros * 1000;
}

static uint8_t *put_time(uint8_t *to, uint32_t number, int64_t time_us)
{
    uint8_t inner[2 * (VARINT_MAX + 1)];
    int64_t seconds = 0;
    int64_t nanos = 0;
    split_time(time_us, &seconds, &nanos);
    const uint8_t *end = put_int(put_int(inner, 1, seconds), 2, nanos);
    const size_t size = (size_t)(end - inner);
    to = put_varint(put_tag(to, number, WIRE_LEN), size);
    memcpy(to, inner, size);
    return to + size;
}

size_t record_encoded_bound(const struct event_fields *fields)
{
    /* Tag and length take at most 12 bytes a field, a time at most 24, the digest may be ours. */
    size_t size = 32 * 12 + 2 * 24 + SHA256_BYTES;
    size += fields->id.size_bytes + fields->type.size_bytes + fields->aggregate_id.size_bytes +
            fields->aggregate_type.size_bytes + fields->correlation_id.size_bytes +
            fields->causation_id.size_bytes + fields->subject.size_bytes + fields->traceparent.size_bytes +
            fields->append_id.size_bytes + fields->actor.size_bytes + fields->content_type.size_bytes +
            fields->payload_digest.size_bytes + fields->salt.size_bytes + fields->data.size_bytes +
            fields->metadata.size_bytes;
    for (size_t i = 0; i < fields->tag_count; i++)
        size += fields->tags[i].size_bytes + 12;
    return size;
}

static uint8_t *put_header(uint8_t *to, struct event_fields *fields)
{
    to = put_bytes(to, FIELD_ID, &fields->id);
    to = put_bytes(to, FIELD_TYPE, &fields->type);
    to = put_bytes(to, FIELD_AGGREGATE_ID, &fields->aggregate_id);
    to = put_bytes(to, FIELD_AGGREGATE_TYPE, &fields->aggregate_type);
    to = put_int(to, FIELD_VERSION, fields->version);
    to = put_int(to, FIELD_POSITION, fields->position);
    to = put_time(to, FIELD_TIMESTAMP, fields->timestamp_us);
    to = put_bytes(to, FIELD_CORRELATION_ID, &fields->correlation_id);
    to = put_bytes(to, FIELD_CAUSATION_ID, &fields->causation_id);
    to = put_bytes(to, FIELD_CONTENT_TYPE, &fields->content_type);
    to = put_int(to, FIELD_SCHEMA_VERSION, fields->schema_version);
    for (size_t i = 0; i < fields->tag_count; i++)
        to = put_bytes(to, FIELD_TAGS, &fields->tags[i]);
    to = put_bytes(to, FIELD_SUBJECT, &fields->subject);
    if (fields->has_occurred_at)
        to = put_time(to, FIELD_OCCURRED_AT, fields->occurred_at_us);
    to = put_bytes(to, FIELD_TRACEPARENT, &fields->traceparent);
    to = put_bytes(to, FIELD_APPEND_ID, &fields->append_id);
    to = put_int(to, FIELD_APPEND_INDEX, fields->append_index);
    to = put_int(to, FIELD_APPEND_COUNT, fields->append_count);
    to = put_bytes(to, FIELD_ACTOR, &fields->actor);
    return put_bytes(to, FIELD_PAYLOAD_DIGEST, &fields->payload_digest);
}

struct record record_write(struct event_fields *fields, uint8_t *to)
{
    assert(fields->tag_count <= RECORD_TAGS_MAX);
    const size_t bound = record_encoded_bound(fields);
    struct sha256 own;
    if (fields->payload_digest.size_bytes == 0) {
        own = record_payload_digest(fields->salt, fields->data, fields->metadata);
        fields->payload_digest = bytes_of(own.bytes, sizeof own.bytes);
    }
    uint8_t *end = put_header(to, fields);
    const size_t header_bytes = (size_t)(end - to);
    end = put_bytes(end, FIELD_DATA, &fields->data);
    end = put_bytes(end, FIELD_METADATA, &fields->metadata);
    end = put_bytes(end, FIELD_SALT, &fields->salt);
    const size_t size = (size_t)(end - to);
    assert(size <= bound);
    return (struct record){bytes_of(to, size), header_bytes};
}

void record_encode(const struct event_fields *fields, struct buffer *to, size_t *ret_header_bytes)
{
    struct event_fields copy = *fields;
    const size_t before = to->size_bytes;
    uint8_t *start = buffer_extend(to, record_encoded_bound(fields));
    if (start == NULL)
        return;
    const struct record record = record_write(&copy, start);
    *ret_header_bytes = record.header_bytes;
    to->size_bytes = before + record.bytes.size_bytes;
}

/* --- reading --- */

struct cursor {
    struct bytes bytes;
    size_t at;
};

struct wire_item {
    uint32_t number;
    unsigned type;
    uint64_t value;
    struct bytes bytes;
};

static bool get_varint(struct cursor *cursor, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (cursor->at >= cursor->bytes.size_bytes)
            return false;
        const uint8_t byte = cursor->bytes.data[cursor->at++];
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool get_item(struct cursor *cursor, struct wire_item *ret)
{
    uint64_t tag = 0;
    if (!get_varint(cursor, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    *ret = (struct wire_item){.number = (uint32_t)(tag >> 3), .type = (unsigned)(tag & 7)};
    const size_t left = cursor->bytes.size_bytes - cursor->at;
    switch (ret->type) {
    case WIRE_VARINT:
        return get_varint(cursor, &ret->value);
    case WIRE_I64:
        cursor->at += 8;
        return left >= 8;
    case WIRE_I32:
        cursor->at += 4;
        return left >= 4;
    case WIRE_LEN:
        if (!get_varint(cursor, &ret->value) || ret->value > cursor->bytes.size_bytes - cursor->at)
            return false;
        ret->bytes = bytes_of(cursor->bytes.data + cursor->at, (size_t)ret->value);
        cursor->at += (size_t)ret->value;
        return true;
    default:
        return false;
    }
}

static struct status malformed(struct bytes bytes)
{
    return status_reason(REASON_DAMAGED,
                         "a stored record of %zu bytes is not a well-formed Event; run `strata verify`",
                         bytes.size_bytes);
}

struct status record_split(struct bytes bytes, struct record *ret)
{
    struct cursor cursor = {bytes, 0};
    struct wire_item item;
    size_t header_bytes = bytes.size_bytes;
    bool in_payload = false;
    while (cursor.at < bytes.size_bytes) {
        const size_t start = cursor.at;
        if (!get_item(&cursor, &item))
            return malformed(bytes);
        /* A header field behind the payload would escape the hash. */
        if (in_payload && item.number < FIELD_PAYLOAD_FIRST)
            return malformed(bytes);
        if (item.number >= FIELD_PAYLOAD_FIRST && !in_payload) {
            header_bytes = start;
            in_payload = true;
        }
    }
    *ret = (struct record){bytes, header_bytes};
    return status_ok();
}

static bool get_time(struct bytes bytes, int64_t *ret_us)
{
    struct cursor cursor = {bytes, 0};
    struct wire_item item;
    int64_t seconds = 0;
    int64_t nanos = 0;
    while (cursor.at < bytes.size_bytes) {
        if (!get_item(&cursor, &item))
            return false;
        if (item.number == 1 && item.type == WIRE_VARINT)
            seconds = (int64_t)item.value;
        if (item.number == 2 && item.type == WIRE_VARINT)
            nanos = (int64_t)item.value;
    }
    return !__builtin_mul_overflow(seconds, MICROS_A_SECOND, ret_us) &&
           !__builtin_add_overflow(*ret_us, nanos / 1000, ret_us);
}

static struct bytes *text_field(struct event_fields *fields, uint32_t number)
{
    switch (number) {
    case FIELD_ID:
        return &fields->id;
    case FIELD_TYPE:
        return &fields->type;
    case FIELD_AGGREGATE_ID:
        return &fields->aggregate_id;
    case FIELD_AGGREGATE_TYPE:
        return &fields->aggregate_type;
    case FIELD_CORRELATION_ID:
        return &fields->correlation_id;
    case FIELD_CAUSATION_ID:
        return &fields->causation_id;
    case FIELD_CONTENT_TYPE:
        return &fields->content_type;
    case FIELD_SUBJECT:
        return &fields->subject;
    case FIELD_TRACEPARENT:
        return &fields->traceparent;
    case FIELD_APPEND_ID:
        return &fields->append_id;
    case FIELD_ACTOR:
        return &fields->actor;
    case FIELD_PAYLOAD_DIGEST:
        return &fields->payload_digest;
    case FIELD_DATA:
        return &fields->data;
    case FIELD_METADATA:
        return &fields->metadata;
    case FIELD_SALT:
        return &fields->salt;
    default:
        return NULL;
    }
}

static bool take_number(struct event_fields *fields, const struct wire_item *item)
{
    switch (item->number) {
    case FIELD_VERSION:
        fields->version = (int32_t)item->value;
        return true;
    case FIELD_POSITION:
        fields->position = (int64_t)item->value;
        return true;
    case FIELD_SCHEMA_VERSION:
        fields->schema_version = (int32_t)item->value;
        return true;
    case FIELD_APPEND_INDEX:
        fields->append_index = (int32_t)item->value;
        return true;
    case FIELD_APPEND_COUNT:
        fields->append_count = (int32_t)item->value;
        return true;
    default:
        return true; /* of a newer writer */
    }
}

static bool take_item(struct event_fields *fields, const struct wire_item *item)
{
    if (item->type == WIRE_VARINT)
        return take_number(fields, item);
    if (item->type != WIRE_LEN)
        return true;
    struct bytes *text = text_field(fields, item->number);
    if (text != NULL) {
        *text = item->bytes;
        return true;
    }
    switch (item->number) {
    case FIELD_TAGS:
        if (fields->tag_count == RECORD_TAGS_MAX)
            return false;
        fields->tags[fields->tag_count++] = item->bytes;
        return true;
    case FIELD_TIMESTAMP:
        return get_time(item->bytes, &fields->timestamp_us);
    case FIELD_OCCURRED_AT:
        fields->has_occurred_at = true;
        return get_time(item->bytes, &fields->occurred_at_us);
    default:
        return true;
    }
}

/* Takes the fields whose numbers are in [first, end); any other is in the wrong half of the record. */
static struct status decode_half(struct bytes bytes, uint32_t first, uint32_t end,
                                 struct event_fields *fields)
{
    struct cursor cursor = {bytes, 0};
    struct wire_item item;
    while (cursor.at < bytes.size_bytes) {
        if (!get_item(&cursor, &item) || item.number < first || item.number >= end ||
            !take_item(fields, &item))
            return malformed(bytes);
    }
    return status_ok();
}

struct status record_decode_header(struct record record, struct event_fields *ret)
{
    memset(ret, 0, sizeof *ret);
    return decode_half(record_header(record), 1, FIELD_PAYLOAD_FIRST, ret);
}

struct status record_decode(struct record record, struct event_fields *ret)
{
    STATUS_TRY(record_decode_header(record, ret));
    return decode_half(record_payload(record), FIELD_PAYLOAD_FIRST, UINT32_MAX, ret);
}

/* --- digests --- */

struct sha256 record_payload_digest(struct bytes salt, struct bytes data, struct bytes metadata)
{
    uint8_t length[4];
    put_u32_le(length, (uint32_t)data.size_bytes);
    const struct bytes parts[] = {salt, bytes_of(length, sizeof length), data, metadata};
    return sha256_of(parts, sizeof parts / sizeof parts[0]);
}

struct sha256 record_leaf(struct record record)
{
    static const uint8_t prefix = 0x00;
    const struct bytes parts[] = {bytes_of(&prefix, 1), record_header(record)};
    return sha256_of(parts, sizeof parts / sizeof parts[0]);
}

struct sha256 chain_next(const struct sha256 *previous, int64_t first_position, const struct sha256 *leaves,
                         size_t leaf_count)
{
    static const uint8_t prefix = 0x02;
    uint8_t position[8];
    put_u64_le(position, (uint64_t)first_position);
    sha256_begin();
    sha256_add(bytes_of(&prefix, 1));
    sha256_add(bytes_of(previous->bytes, SHA256_BYTES));
    sha256_add(bytes_of(position, sizeof position));
    sha256_add(bytes_of(leaves, leaf_count * sizeof *leaves));
    return sha256_end();
}

struct status record_check_digest(struct record record)
{
    struct event_fields fields;
    STATUS_TRY(record_decode(record, &fields));
    const struct sha256 digest = record_payload_digest(fields.salt, fields.data, fields.metadata);
    if (bytes_equal(fields.payload_digest, bytes_of(digest.bytes, sizeof digest.bytes)))
        return status_ok();
    return status_reason(REASON_DAMAGED, "the payload of position %lld does not match its digest",
                         (long long)fields.position);
}
