#include "run_format_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#define FILTER_BITS_A_KEY   12U
#define FILTER_PROBES       6U
#define FILTER_BLOCK_BITS   (RUN_FILTER_BLOCK_BYTES * 8U)
#define BUCKET_MOST_ENTRIES 11U /* on average; so about 8: between 5.5 and 11 */
#define GOLDEN              UINT64_C(0x9E3779B97F4A7C15)
#define ZEROED_AT_ONCE      ((size_t)64 * 1024)

/* ---- hashes ---- */

uint64_t index_hash(uint64_t seed, enum index_key_kind kind, struct bytes text)
{
    return XXH3_64bits_withSeed(text.data, text.size_bytes, seed + (uint64_t)kind * GOLDEN);
}

#define NO_DIGIT 0x80U

/* Of the characters up to 'f'; a branch for each digit would be guessed wrong every other time. */
static const uint8_t hex_values[256] = {
    [0 ... '0' - 1] = NO_DIGIT,
    ['0'] = 0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    ['9' + 1 ... 'A' - 1] = NO_DIGIT,
    ['A'] = 10,
    11,
    12,
    13,
    14,
    15,
    ['F' + 1 ... 'a' - 1] = NO_DIGIT,
    ['a'] = 10,
    11,
    12,
    13,
    14,
    15,
    ['f' + 1 ... 255] = NO_DIGIT,
};

/* Appends the digits [begin, end) to *value; what is no digit shows in the result. */
static uint8_t take_digits(const uint8_t *text, size_t begin, size_t end, uint64_t *value)
{
    uint8_t all = 0;
    for (size_t i = begin; i < end; i++) {
        const uint8_t digit = hex_values[text[i]];
        all |= digit;
        *value = *value << 4 | digit;
    }
    return all;
}

int64_t index_uuid7_ms(struct bytes id)
{
    uint64_t ms = 0;
    uint64_t rest = 0;
    const uint8_t *text = id.data;
    if (id.size_bytes != 36 || text[14] != '7' || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return -1;
    uint8_t all = take_digits(text, 0, 8, &ms);
    all |= take_digits(text, 9, 13, &ms);
    all |= take_digits(text, 14, 18, &rest);
    all |= take_digits(text, 19, 23, &rest);
    all |= take_digits(text, 24, 36, &rest);
    return (all & NO_DIGIT) != 0 ? -1 : (int64_t)ms;
}

uint32_t run_radix_for(uint32_t entry_count)
{
    uint32_t radix = RUN_RADIX_MIN_BITS;
    while (radix < RUN_RADIX_MAX_BITS && entry_count >> radix >= BUCKET_MOST_ENTRIES)
        radix++;
    return radix;
}

/* ---- the header page ---- */

void run_layout_encode(const struct run_layout *layout, uint8_t header[INDEX_PAGE_BYTES])
{
    put_u64_le(header + 48, (uint64_t)layout->facts.first_position);
    put_u64_le(header + 56, (uint64_t)layout->facts.last_position);
    put_u32_le(header + 64, layout->facts.level);
    put_u32_le(header + 68, layout->id_count);
    put_u32_le(header + 72, layout->key_count);
    put_u32_le(header + 76, layout->id_radix);
    put_u32_le(header + 80, layout->key_radix);
    put_u32_le(header + 84, layout->id_blocks);
    put_u32_le(header + 88, layout->key_blocks);
    put_u32_le(header + 92, RUN_HASH_BITS);
    put_u64_le(header + 96, layout->list_bytes);
    put_u64_le(header + 104, (uint64_t)layout->uuid7_min_ms);
    put_u64_le(header + 112, (uint64_t)layout->uuid7_max_ms);
    memcpy(header + 120, layout->facts.chain.bytes, SHA256_BYTES);
}

static bool radix_fits(uint32_t radix)
{
    return radix >= RUN_RADIX_MIN_BITS && radix <= RUN_RADIX_MAX_BITS;
}

static uint64_t directory_bytes(uint32_t radix)
{
    return (((uint64_t)1 << radix) + 1) * 4;
}

bool run_layout_decode(const uint8_t header[INDEX_PAGE_BYTES], struct run_layout *ret)
{
    ret->facts.first_position = (int64_t)get_u64_le(header + 48);
    ret->facts.last_position = (int64_t)get_u64_le(header + 56);
    ret->facts.level = get_u32_le(header + 64);
    ret->id_count = get_u32_le(header + 68);
    ret->key_count = get_u32_le(header + 72);
    ret->id_radix = get_u32_le(header + 76);
    ret->key_radix = get_u32_le(header + 80);
    ret->id_blocks = get_u32_le(header + 84);
    ret->key_blocks = get_u32_le(header + 88);
    ret->list_bytes = get_u64_le(header + 96);
    ret->uuid7_min_ms = (int64_t)get_u64_le(header + 104);
    ret->uuid7_max_ms = (int64_t)get_u64_le(header + 112);
    memcpy(ret->facts.chain.bytes, header + 120, SHA256_BYTES);
    if (ret->facts.first_position < 1 || ret->facts.last_position < ret->facts.first_position ||
        ret->facts.last_position - ret->facts.first_position > UINT32_MAX ||
        get_u32_le(header + 92) != RUN_HASH_BITS || !radix_fits(ret->id_radix) ||
        !radix_fits(ret->key_radix) || ret->list_bytes > RUN_LIST_BYTES_MAX ||
        (ret->id_blocks == 0) != (ret->id_count == 0) || (ret->key_blocks == 0) != (ret->key_count == 0))
        return false;
    ret->ids_at = INDEX_PAGE_DATA_BYTES;
    ret->keys_at = ret->ids_at + (uint64_t)ret->id_count * RUN_ID_BYTES;
    ret->lists_at = ret->keys_at + (uint64_t)ret->key_count * RUN_KEY_BYTES;
    ret->id_directory_at = ret->lists_at + ret->list_bytes;
    ret->key_directory_at = ret->id_directory_at + directory_bytes(ret->id_radix);
    ret->id_filter_at = ret->key_directory_at + directory_bytes(ret->key_radix);
    ret->key_filter_at = ret->id_filter_at + (uint64_t)ret->id_blocks * RUN_FILTER_BLOCK_BYTES;
    ret->end = ret->key_filter_at + (uint64_t)ret->key_blocks * RUN_FILTER_BLOCK_BYTES;
    return true;
}

/* ---- filters ---- */

uint32_t run_filter_blocks_for(uint32_t key_count)
{
    return (uint32_t)(((uint64_t)key_count * FILTER_BITS_A_KEY + FILTER_BLOCK_BITS - 1) / FILTER_BLOCK_BITS);
}

struct status run_filter_reserve(struct run_filter *filter, uint32_t block_count)
{
    *filter = (struct run_filter){.block_count = block_count};
    if (block_count == 0)
        return status_ok();
    const size_t size = (size_t)block_count * RUN_FILTER_BLOCK_BYTES;
    filter->blocks = aligned_alloc(RUN_FILTER_BLOCK_BYTES, size);
    if (filter->blocks == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an index filter of %zu bytes", size);
    return status_ok();
}

struct status run_filter_init(struct run_filter *filter, uint32_t block_count, const struct index_pace *pace)
{
    STATUS_TRY(run_filter_reserve(filter, block_count));
    const size_t size = (size_t)block_count * RUN_FILTER_BLOCK_BYTES;
    for (size_t done = 0; done < size; done += ZEROED_AT_ONCE) {
        memset(filter->blocks + done, 0, size - done < ZEROED_AT_ONCE ? size - done : ZEROED_AT_ONCE);
        index_pace_rest(pace);
    }
    return status_ok();
}

void run_filter_done(struct run_filter *filter)
{
    free(filter->blocks);
    *filter = (struct run_filter){0};
}

void run_filter_set(struct run_filter_place place)
{
    for (unsigned i = 0; i < FILTER_PROBES; i++, place.probes >>= 9) {
        const uint32_t bit = (uint32_t)(place.probes & (FILTER_BLOCK_BITS - 1));
        place.block[bit >> 3] |= (uint8_t)(1U << (bit & 7));
    }
}

bool run_filter_may_have(const struct run_filter *filter, uint64_t class)
{
    if (filter->block_count == 0)
        return false;
    struct run_filter_place place = run_filter_place_of(filter, class);
    for (unsigned i = 0; i < FILTER_PROBES; i++, place.probes >>= 9) {
        const uint32_t bit = (uint32_t)(place.probes & (FILTER_BLOCK_BITS - 1));
        if ((place.block[bit >> 3] & 1U << (bit & 7)) == 0)
            return false;
    }
    return true;
}

void run_filter_prefetch(const struct run_filter *filter, uint64_t class)
{
    if (filter->block_count != 0)
        __builtin_prefetch(run_filter_place_of(filter, class).block);
}
