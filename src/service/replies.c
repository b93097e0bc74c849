#include "service/replies_internal.h"

#include <stdio.h>
#include <string.h>

/* --- small fields --- */

static void split_time(int64_t time_us, int64_t *ret_seconds, int32_t *ret_nanos)
{
    int64_t seconds = time_us / 1000000;
    int64_t micros = time_us % 1000000;
    if (micros < 0) { /* before 1970: nanos count forward from the second below */
        seconds--;
        micros += 1000000;
    }
    *ret_seconds = seconds;
    *ret_nanos = (int32_t)micros * 1000;
}

static size_t varint_bytes(uint64_t value)
{
    size_t count = 1;
    for (; value >= 0x80; value >>= 7)
        count++;
    return count;
}

void wire_put_int(struct buffer *to, uint32_t number, int64_t value)
{
    if (value != 0)
        wire_put_uint(to, number, (uint64_t)value);
}

void wire_put_text(struct buffer *to, uint32_t number, struct bytes text)
{
    if (text.size_bytes > 0)
        wire_put_bytes(to, number, text);
}

void wire_reserve(struct buffer *to, size_t size_bytes)
{
    const size_t before = to->size_bytes;
    if (buffer_extend(to, size_bytes) != NULL)
        to->size_bytes = before;
}

static size_t time_bytes(int64_t seconds, int32_t nanos)
{
    return (seconds != 0 ? 1 + varint_bytes((uint64_t)seconds) : 0) +
           (nanos != 0 ? 1 + varint_bytes((uint64_t)nanos) : 0);
}

void wire_put_time(struct buffer *to, uint32_t number, int64_t time_us)
{
    int64_t seconds;
    int32_t nanos;
    split_time(time_us, &seconds, &nanos);
    wire_put_tag(to, number, WIRE_LEN);
    wire_put_varint(to, time_bytes(seconds, nanos));
    wire_put_int(to, 1, seconds);
    wire_put_int(to, 2, nanos);
}

Google__Protobuf__Timestamp *time_to_proto(struct arena *arena, int64_t time_us)
{
    Google__Protobuf__Timestamp *time = time_us == 0 ? NULL : arena_alloc(arena, sizeof *time);
    if (time == NULL)
        return NULL;
    google__protobuf__timestamp__init(time);
    split_time(time_us, &time->seconds, &time->nanos);
    return time;
}

/* --- events --- */

#define COMPUTED_MAX_BYTES (3U + 2U + 1U + 2U * 11U)
#define PREFIX_MAX_BYTES   (5U + 10U) /* tag and length of an event inside a message */

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_tag(uint8_t *to, uint32_t number, enum wire_type type)
{
    return put_varint(to, (uint64_t)number << 3 | (uint64_t)type);
}

static uint8_t *put_int(uint8_t *to, uint32_t number, int64_t value)
{
    return value == 0 ? to : put_varint(put_tag(to, number, WIRE_VARINT), (uint64_t)value);
}

/* What is computed on reading stands behind the stored bytes; nothing for an event that is not processed. */
static size_t computed_write(int64_t processed_at_us, uint8_t ret[COMPUTED_MAX_BYTES])
{
    if (processed_at_us == 0)
        return 0;
    int64_t seconds;
    int32_t nanos;
    split_time(processed_at_us, &seconds, &nanos);
    uint8_t *at = put_int(ret, FIELD_EVENT_PROCESSED, 1);
    at = put_varint(put_tag(at, FIELD_EVENT_PROCESSED_AT, WIRE_LEN), time_bytes(seconds, nanos));
    at = put_int(put_int(at, 1, seconds), 2, nanos);
    return (size_t)(at - ret);
}

/* The stored bytes go over as they are; room is asked for once, because a stream does this a million times a second. */
static void put_event(struct buffer *to, struct bytes prefix, struct bytes stored, struct bytes computed)
{
    uint8_t *at = buffer_extend(to, prefix.size_bytes + stored.size_bytes + computed.size_bytes);
    if (at == NULL)
        return;
    memcpy(at, prefix.data, prefix.size_bytes);
    memcpy(at + prefix.size_bytes, stored.data, stored.size_bytes);
    memcpy(at + prefix.size_bytes + stored.size_bytes, computed.data, computed.size_bytes);
}

void wire_put_event(struct buffer *to, uint32_t number, struct service *service, int64_t position,
                    struct record record)
{
    uint8_t computed[COMPUTED_MAX_BYTES];
    const size_t size = computed_write(bus_processed_at_us(service->parts.bus, position), computed);
    uint8_t prefix[PREFIX_MAX_BYTES];
    const uint8_t *end =
        put_varint(put_tag(prefix, number, WIRE_LEN), (uint64_t)record.bytes.size_bytes + size);
    put_event(to, bytes_of(prefix, (size_t)(end - prefix)), record.bytes, bytes_of(computed, size));
}

void wire_put_event_message(struct buffer *to, struct service *service, int64_t position,
                            struct record record)
{
    uint8_t computed[COMPUTED_MAX_BYTES];
    const size_t size = computed_write(bus_processed_at_us(service->parts.bus, position), computed);
    put_event(to, bytes_of(computed, 0), record.bytes, bytes_of(computed, size));
}

/* --- aggregates; the numbers are those of strata.v1.Aggregate --- */

static void put_state_fields(struct buffer *to, const struct aggregate_state *state, bool without_state)
{
    wire_put_text(to, 1, state->id);
    wire_put_text(to, 2, state->type);
    wire_put_int(to, 3, state->version);
    if (!without_state)
        wire_put_text(to, 4, state->state);
    wire_put_int(to, 5, state->active ? 1 : 0);
    wire_put_text(to, 6, state->metadata);
    wire_put_time(to, 7, state->created_at_us);
    wire_put_time(to, 8, state->updated_at_us);
    wire_put_int(to, 9, state->position);
    wire_put_int(to, 10, state->event_count);
}

void wire_put_state(struct buffer *to, const struct aggregate_state *state)
{
    put_state_fields(to, state, false);
}

void wire_put_aggregate(struct buffer *to, const struct aggregate_state *state,
                        const struct aggregate_reply *reply)
{
    put_state_fields(to, state, reply->without_state);
    if (!reply->without_etag) {
        char etag[16];
        const int length = snprintf(etag, sizeof etag, "\"%d\"", state->version);
        wire_put_text(to, 13, bytes_of(etag, (size_t)length));
    }
    wire_put_int(to, 14, reply->replayed ? 1 : 0);
    wire_put_int(to, 15, reply->as_of_position);
}

struct status state_copy(const struct aggregate_state *from, struct arena *arena, struct aggregate_state *ret)
{
    *ret = *from;
    ret->id = arena_bytes(arena, from->id);
    ret->type = arena_bytes(arena, from->type);
    ret->state = arena_bytes(arena, from->state);
    ret->metadata = arena_bytes(arena, from->metadata);
    if (ret->id.data == NULL || ret->type.data == NULL || ret->state.data == NULL ||
        ret->metadata.data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the state of an aggregate");
    return status_ok();
}
