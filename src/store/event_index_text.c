/*
 * Packed texts: a byte that says how, then the text.
 *
 *   0 … 253   so many bytes follow
 *   254       their count follows in two bytes, low first
 *   255       a UUID in its usual form (small letters) stands in 16 bytes
 */
#include "event_index_internal.h"

#include <assert.h>
#include <string.h>

#define SHORT_MAX       253U
#define PACKED_LONG     254U
#define PACKED_UUID     255U
#define UUID_BYTES      16U
#define UUID_TEXT_BYTES 36U
static_assert(UUID_TEXT_BYTES <= INDEX_SCRATCH_BYTES, "a packed text must fit when it is unpacked");

/* Where the 16 pairs of digits stand in the text. */
static const uint8_t pair_at[UUID_BYTES] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};

/* A digit's value plus 1; 0 = not one. */
static const uint8_t digits[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

static bool pack_uuid(struct bytes text, uint8_t ret[UUID_BYTES])
{
    const uint8_t *from = text.data;
    if (text.size_bytes != UUID_TEXT_BYTES || from[8] != '-' || from[13] != '-' || from[18] != '-' ||
        from[23] != '-')
        return false;
    bool right = true;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        const uint8_t high = digits[from[pair_at[i]]];
        const uint8_t low = digits[from[pair_at[i] + 1]];
        right &= high != 0 && low != 0;
        ret[i] = (uint8_t)((high - 1U) << 4U | ((low - 1U) & 0xFU));
    }
    return right;
}

bool text_add(struct pool *texts, struct bytes text, uint32_t *ret_place)
{
    uint8_t uuid[UUID_BYTES];
    assert(text.size_bytes <= TEXT_MAX_BYTES);
    if (pack_uuid(text, uuid)) {
        if (!pool_take(texts, 1 + UUID_BYTES, ret_place))
            return false;
        uint8_t *to = pool_at(texts, *ret_place);
        to[0] = PACKED_UUID;
        memcpy(to + 1, uuid, UUID_BYTES);
        return true;
    }
    const size_t head = text.size_bytes <= SHORT_MAX ? 1 : 3;
    if (!pool_take(texts, head + text.size_bytes, ret_place))
        return false;
    uint8_t *to = pool_at(texts, *ret_place);
    to[0] = head == 1 ? (uint8_t)text.size_bytes : PACKED_LONG;
    if (head > 1) {
        to[1] = (uint8_t)(text.size_bytes & 0xFFU);
        to[2] = (uint8_t)(text.size_bytes >> 8U);
    }
    if (text.size_bytes > 0)
        memcpy(to + head, text.data, text.size_bytes);
    return true;
}

static struct bytes as_written(const uint8_t *packed)
{
    if (packed[0] <= SHORT_MAX)
        return bytes_of(packed + 1, packed[0]);
    return bytes_of(packed + 3, (size_t)packed[1] | (size_t)packed[2] << 8U);
}

bool text_is(const struct pool *texts, uint32_t place, struct bytes text)
{
    const uint8_t *packed = pool_at(texts, place);
    uint8_t uuid[UUID_BYTES];
    if (packed[0] != PACKED_UUID)
        return bytes_equal(as_written(packed), text);
    return pack_uuid(text, uuid) && memcmp(packed + 1, uuid, UUID_BYTES) == 0;
}

struct bytes text_at(const struct pool *texts, uint32_t place, struct index_scratch *scratch)
{
    static const char letters[] = "0123456789abcdef";
    const uint8_t *packed = pool_at(texts, place);
    if (packed[0] != PACKED_UUID)
        return as_written(packed);
    memset(scratch->text, '-', UUID_TEXT_BYTES);
    for (size_t i = 0; i < UUID_BYTES; i++) {
        scratch->text[pair_at[i]] = letters[packed[1 + i] >> 4U];
        scratch->text[pair_at[i] + 1] = letters[packed[1 + i] & 0xFU];
    }
    return bytes_of(scratch->text, UUID_TEXT_BYTES);
}
