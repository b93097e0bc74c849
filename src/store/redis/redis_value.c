/*
 * A snapshot as the value of a key, little-endian:
 *
 *   1  format, 1
 *   4  version            where scripts look for it: bytes 2 to 5
 *   1  size of the type   byte 6
 *   n  type               from byte 7
 *   1  state · 8 created · 8 position · 4 reducer version
 *   then aggregate id, event digest, data, metadata, folded: 4 bytes of size and the text, each
 *   8  XXH3 of all before: what another program has put there, or what memory has lost, is not taken for a state
 */
#include <assert.h>
#include <xxhash.h>

#include "base/crypto.h"
#include "redis_internal.h"

#define FORMAT         1U
#define TYPE_MAX_BYTES 255U

static void add_u32(struct buffer *to, uint32_t number)
{
    uint8_t bytes[4];
    put_u32_le(bytes, number);
    buffer_add(to, bytes, sizeof bytes);
}

static void add_u64(struct buffer *to, uint64_t number)
{
    uint8_t bytes[8];
    put_u64_le(bytes, number);
    buffer_add(to, bytes, sizeof bytes);
}

void redis_value_write(struct buffer *to, const struct snapshot *snapshot)
{
    const struct bytes texts[] = {snapshot->aggregate_id, snapshot->event_digest, snapshot->data,
                                  snapshot->metadata, snapshot->folded};
    const size_t begin = to->size_bytes;
    const struct bytes type = snapshot->aggregate_type;
    assert(type.size_bytes <= TYPE_MAX_BYTES);
    buffer_add_byte(to, FORMAT);
    add_u32(to, (uint32_t)snapshot->version);
    buffer_add_byte(to, (uint8_t)type.size_bytes);
    buffer_add_bytes(to, type);
    buffer_add_byte(to, (uint8_t)snapshot->state);
    add_u64(to, (uint64_t)snapshot->created_at_us);
    add_u64(to, (uint64_t)snapshot->position);
    add_u32(to, (uint32_t)snapshot->reducer_version);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        add_u32(to, (uint32_t)texts[i].size_bytes);
        buffer_add_bytes(to, texts[i]);
    }
    if (!to->failed)
        add_u64(to, XXH3_64bits(to->data + begin, to->size_bytes - begin));
}

/* What is left to read; empty and `failed` after reading too far. */
struct rest {
    struct bytes left;
    bool failed;
};

static struct bytes take(struct rest *rest, size_t size_bytes)
{
    if (rest->failed || size_bytes > rest->left.size_bytes) {
        rest->failed = true;
        return BYTES_NONE;
    }
    const struct bytes taken = bytes_of(rest->left.data, size_bytes);
    rest->left = bytes_of(rest->left.data + size_bytes, rest->left.size_bytes - size_bytes);
    return taken;
}

static uint8_t take_byte(struct rest *rest)
{
    const struct bytes taken = take(rest, 1);
    return taken.data == NULL ? 0 : taken.data[0];
}

static uint32_t take_u32(struct rest *rest)
{
    const struct bytes taken = take(rest, 4);
    return taken.data == NULL ? 0 : get_u32_le(taken.data);
}

static int64_t take_i64(struct rest *rest)
{
    const struct bytes taken = take(rest, 8);
    return taken.data == NULL ? 0 : (int64_t)get_u64_le(taken.data);
}

static bool parse(struct bytes value, struct snapshot *ret)
{
    struct rest rest = {.left = value};
    struct bytes *texts[] = {&ret->aggregate_id, &ret->event_digest, &ret->data, &ret->metadata,
                             &ret->folded};
    if (value.data == NULL || value.size_bytes < sizeof(uint64_t))
        return false;
    rest.left.size_bytes -= sizeof(uint64_t);
    if (get_u64_le(value.data + rest.left.size_bytes) != XXH3_64bits(value.data, rest.left.size_bytes) ||
        take_byte(&rest) != FORMAT)
        return false;
    ret->version = (int32_t)take_u32(&rest);
    ret->aggregate_type = take(&rest, take_byte(&rest));
    ret->state = (enum snapshot_state)take_byte(&rest);
    ret->created_at_us = take_i64(&rest);
    ret->position = take_i64(&rest);
    ret->reducer_version = (int32_t)take_u32(&rest);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        *texts[i] = take(&rest, take_u32(&rest));
    return !rest.failed && rest.left.size_bytes == 0;
}

struct status redis_value_read(struct bytes value, struct arena *arena, struct snapshot *ret)
{
    *ret = (struct snapshot){0};
    /* Copied in one piece, which the texts point into. */
    const struct bytes copy = arena_bytes(arena, value);
    if (copy.data == NULL && value.size_bytes > 0)
        return redis_no_memory();
    if (!parse(copy, ret))
        return status_reason(REASON_DAMAGED,
                             "a snapshot of %zu bytes in Redis cannot be read; remove its key",
                             value.size_bytes);
    return status_ok();
}
