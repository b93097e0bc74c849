#include "posting_codec_internal.h"

#include <assert.h>

#include "store/embedded/index/index_part.h"

#define DIRECTORY_ENTRY_BYTES 8U
#define WINDOW_BLOCKS         64U /* directory entries read at once */
#define VARINT_MAX_BYTES      5U
#define BLOCK_MAX_BYTES       ((POSTING_BLOCK_POSITIONS - 1U) * VARINT_MAX_BYTES)
#define PIECE_BYTES           16384U /* bytes of blocks read at once */
#define CHECK_POSITIONS       1024U
#define BLOCKS_A_REST         16U

static_assert(PIECE_BYTES >= BLOCK_MAX_BYTES, "a piece holds at least one block");

/* ---- writing ---- */

static uint8_t *put_varint(uint8_t *to, uint32_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* Into room for the longest; what is left of it is given back. */
static void block_encode(struct buffer *to, const int64_t *positions, uint32_t count)
{
    const size_t most = (size_t)(count - 1) * VARINT_MAX_BYTES;
    uint8_t *const begin = buffer_extend(to, most);
    if (begin == NULL)
        return;
    uint8_t *end = begin;
    for (uint32_t i = count - 1; i > 0; i--) {
        assert(positions[i] > positions[i - 1]);
        end = put_varint(end, (uint32_t)(positions[i] - positions[i - 1] - 1));
    }
    to->size_bytes -= most - (size_t)(end - begin);
}

static uint32_t blocks_of(uint32_t count)
{
    return count / POSTING_BLOCK_POSITIONS + (count % POSTING_BLOCK_POSITIONS != 0);
}

/* Positions in block number `block` of a list of `count`. */
static uint32_t block_length(uint32_t count, uint32_t block)
{
    const uint32_t before = block * POSTING_BLOCK_POSITIONS;
    return count - before < POSTING_BLOCK_POSITIONS ? count - before : POSTING_BLOCK_POSITIONS;
}

static void put_u32_at(struct buffer *to, size_t at, uint32_t value)
{
    if (!to->failed)
        put_u32_le(to->data + at, value);
}

static void long_encode(struct buffer *to, const int64_t *positions, uint32_t count,
                        const struct index_pace *pace)
{
    const uint32_t blocks = blocks_of(count);
    const size_t start = to->size_bytes;
    uint8_t *head = buffer_extend(to, POSTING_LONG_HEAD_BYTES + (size_t)blocks * DIRECTORY_ENTRY_BYTES);
    if (head == NULL)
        return;
    put_u32_le(head, 0);
    put_u32_le(head + 4, count);
    for (uint32_t block = 0; block < blocks; block++) {
        if (block % BLOCKS_A_REST == 0)
            index_pace_rest(pace);
        const uint32_t length = block_length(count, block);
        const int64_t *first = positions + (size_t)block * POSTING_BLOCK_POSITIONS;
        const size_t entry = start + POSTING_LONG_HEAD_BYTES + (size_t)block * DIRECTORY_ENTRY_BYTES;
        put_u32_at(to, entry, (uint32_t)(positions[count - 1] - first[length - 1]));
        put_u32_at(to, entry + 4, (uint32_t)(to->size_bytes - start));
        block_encode(to, first, length);
        assert(block == 0 || first[0] > first[-1]);
    }
    assert(to->size_bytes - start <= UINT32_MAX);
    put_u32_at(to, start + 8, (uint32_t)(to->size_bytes - start));
}

void posting_encode(struct buffer *to, const int64_t *positions, uint32_t count,
                    const struct index_pace *pace)
{
    assert(count >= 2);
    assert(positions[count - 1] - positions[0] <= UINT32_MAX);
    if (count <= POSTING_BLOCK_POSITIONS) {
        buffer_add_byte(to, (uint8_t)count);
        block_encode(to, positions, count);
    } else {
        long_encode(to, positions, count, pace);
    }
    while (to->size_bytes % POSTING_ALIGN_BYTES != 0 && !to->failed)
        buffer_add_byte(to, 0);
}

/* ---- reading ---- */

static struct status damaged(const struct posting_source *source)
{
    return index_damaged(index_reader_path(source->reader), "a list of positions contradicts itself");
}

uint32_t posting_size(const uint8_t *list, size_t size)
{
    if (size == 0)
        return 0;
    const uint32_t count = list[0];
    if (count == 0) {
        if (size < POSTING_LONG_HEAD_BYTES || get_u32_le(list) != 0)
            return 0;
        const uint32_t bytes = get_u32_le(list + 8);
        return bytes < POSTING_LONG_HEAD_BYTES ? 0 : bytes;
    }
    if (count == 1 || count > POSTING_BLOCK_POSITIONS)
        return 0;
    uint32_t at = 1;
    for (uint32_t left = count - 1; left > 0; at++) {
        if (at >= size || at > BLOCK_MAX_BYTES)
            return 0;
        left -= list[at] < 0x80;
    }
    return at;
}

/*
 * The positions of a block of `count` that ends with `last`. *ret_used = how many of the `size` bytes it has;
 * false when they are no block, or lead below `first_position`.
 */
static bool block_decode(const uint8_t *bytes, size_t size, int64_t first_position, int64_t last,
                         uint32_t count, int64_t *ret, size_t *ret_used)
{
    size_t at = 0;
    int64_t position = last;
    ret[count - 1] = position;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint64_t gap = 0;
        unsigned shift = 0;
        uint8_t byte = 0;
        do {
            if (at == size || shift > 28)
                return false;
            byte = bytes[at++];
            gap |= (uint64_t)(byte & 0x7F) << shift;
            shift += 7;
        } while (byte >= 0x80);
        position -= (int64_t)gap + 1;
        ret[i - 1] = position;
    }
    *ret_used = at;
    return position >= first_position && last >= first_position;
}

/* Reads what may be a short list at `at`: as many bytes as `count` positions can need, or as there are. */
static struct status short_bytes(const struct posting_source *source, uint64_t at, uint32_t count,
                                 uint8_t *ret, size_t *ret_size)
{
    if (at < source->at || at >= source->end)
        return damaged(source);
    unsigned varint_bytes = 1; /* the longest that a gap of this file can be */
    for (uint64_t range = (uint64_t)(source->last_position - source->first_position); range >= 0x80;
         range >>= 7)
        varint_bytes++;
    uint64_t size = 1 + (uint64_t)(count - 1) * varint_bytes;
    if (size > POSTING_SHORT_MAX_BYTES)
        size = POSTING_SHORT_MAX_BYTES;
    if (size > source->end - at)
        size = source->end - at;
    *ret_size = (size_t)size;
    return index_reader_read(source->reader, at, ret, (size_t)size);
}

static struct status short_decode(const struct posting_source *source, const struct posting_list *list,
                                  int64_t ret[POSTING_BLOCK_POSITIONS])
{
    uint8_t bytes[POSTING_SHORT_MAX_BYTES];
    size_t size = 0;
    size_t used = 0;
    STATUS_TRY(short_bytes(source, list->at, list->count, bytes, &size));
    if (bytes[0] != list->count || !block_decode(bytes + 1, size - 1, source->first_position,
                                                 list->last_position, list->count, ret, &used))
        return damaged(source);
    return status_ok();
}

/* A long list whose head was read. */
struct long_list {
    const struct posting_source *source;
    uint64_t at;
    int64_t last_position;
    uint32_t count;
    uint32_t block_count;
    uint32_t size_bytes;
};

static struct status long_open(const struct posting_source *source, uint64_t at, struct long_list *ret)
{
    uint8_t head[POSTING_LONG_HEAD_BYTES];
    if (at < source->at || at > source->end || source->end - at < sizeof head)
        return damaged(source);
    STATUS_TRY(index_reader_read(source->reader, at, head, sizeof head));
    *ret = (struct long_list){.source = source, .at = at, .count = get_u32_le(head + 4)};
    ret->block_count = blocks_of(ret->count);
    ret->size_bytes = get_u32_le(head + 8);
    const uint64_t directory_bytes = (uint64_t)ret->block_count * DIRECTORY_ENTRY_BYTES;
    if (get_u32_le(head) != 0 || ret->count <= POSTING_BLOCK_POSITIONS ||
        ret->size_bytes > source->end - at || ret->size_bytes < POSTING_LONG_HEAD_BYTES + directory_bytes)
        return damaged(source);
    return status_ok();
}

static struct status long_open_list(const struct posting_source *source, const struct posting_list *list,
                                    struct long_list *ret)
{
    STATUS_TRY(long_open(source, list->at, ret));
    ret->last_position = list->last_position;
    return ret->count == list->count ? status_ok() : damaged(source);
}

struct status posting_count(const struct posting_source *source, uint64_t at, uint32_t *ret_count)
{
    if (at < source->at || at >= source->end)
        return damaged(source);
    uint8_t count = 0;
    STATUS_TRY(index_reader_read(source->reader, at, &count, 1));
    if (count == 1 || count > POSTING_BLOCK_POSITIONS)
        return damaged(source);
    *ret_count = count;
    if (count != 0)
        return status_ok();
    struct long_list list;
    STATUS_TRY(long_open(source, at, &list));
    *ret_count = list.count;
    return status_ok();
}

/* A few directory entries side by side, and where the block behind them begins. */
struct window {
    uint32_t first; /* number of the first block */
    uint32_t count;
    int64_t last_positions[WINDOW_BLOCKS];
    uint32_t offsets[WINDOW_BLOCKS + 1];
};

static struct status window_read(const struct long_list *list, uint32_t first, uint32_t count,
                                 struct window *ret)
{
    assert(count <= WINDOW_BLOCKS && first + count <= list->block_count);
    const bool has_next = first + count < list->block_count;
    uint8_t bytes[(WINDOW_BLOCKS + 1) * DIRECTORY_ENTRY_BYTES];
    STATUS_TRY(index_reader_read(list->source->reader,
                                 list->at + POSTING_LONG_HEAD_BYTES + (uint64_t)first * DIRECTORY_ENTRY_BYTES,
                                 bytes, ((size_t)count + has_next) * DIRECTORY_ENTRY_BYTES));
    ret->first = first;
    ret->count = count;
    for (uint32_t i = 0; i < count; i++) {
        ret->last_positions[i] = list->last_position - get_u32_le(bytes + (size_t)i * DIRECTORY_ENTRY_BYTES);
        ret->offsets[i] = get_u32_le(bytes + (size_t)i * DIRECTORY_ENTRY_BYTES + 4);
    }
    ret->offsets[count] =
        has_next ? get_u32_le(bytes + (size_t)count * DIRECTORY_ENTRY_BYTES + 4) : list->size_bytes;
    for (uint32_t i = 0; i < count; i++)
        if (ret->offsets[i] > ret->offsets[i + 1] ||
            ret->offsets[i + 1] - ret->offsets[i] > BLOCK_MAX_BYTES ||
            ret->offsets[i + 1] > list->size_bytes || ret->last_positions[i] < list->source->first_position)
            return damaged(list->source);
    return status_ok();
}

static bool window_block_decode(const struct long_list *list, const struct window *window, uint32_t i,
                                const uint8_t *bytes, int64_t ret[POSTING_BLOCK_POSITIONS])
{
    const size_t size = window->offsets[i + 1] - window->offsets[i];
    size_t used = 0;
    return block_decode(bytes, size, list->source->first_position, window->last_positions[i],
                        block_length(list->count, window->first + i), ret, &used) &&
           used == size;
}

/* Where reading has come to. */
struct progress {
    uint32_t from; /* number of the next position */
    uint32_t left;
    int64_t *to;
};

/* The wanted positions of the blocks i … end - 1 of the window, which lie side by side in at most PIECE_BYTES. */
static struct status blocks_take(const struct long_list *list, const struct window *window, uint32_t i,
                                 uint32_t end, struct progress *progress)
{
    uint8_t bytes[PIECE_BYTES];
    const uint32_t start = window->offsets[i];
    STATUS_TRY(
        index_reader_read(list->source->reader, list->at + start, bytes, window->offsets[end] - start));
    for (; i < end; i++) {
        int64_t positions[POSTING_BLOCK_POSITIONS];
        if (!window_block_decode(list, window, i, bytes + (window->offsets[i] - start), positions))
            return damaged(list->source);
        const uint32_t skip = progress->from % POSTING_BLOCK_POSITIONS;
        uint32_t count = block_length(list->count, window->first + i) - skip;
        if (count > progress->left)
            count = progress->left;
        memcpy(progress->to, positions + skip, count * sizeof *positions);
        progress->to += count;
        progress->from += count;
        progress->left -= count;
    }
    return status_ok();
}

static struct status long_read(const struct long_list *list, uint32_t from, int64_t *ret, uint32_t count)
{
    struct progress progress = {from, count, ret};
    const uint32_t end = (uint32_t)(((uint64_t)from + count - 1) / POSTING_BLOCK_POSITIONS) + 1;
    struct window window;
    for (uint32_t block = from / POSTING_BLOCK_POSITIONS; block < end; block += window.count) {
        STATUS_TRY(
            window_read(list, block, end - block < WINDOW_BLOCKS ? end - block : WINDOW_BLOCKS, &window));
        for (uint32_t i = 0; i < window.count;) {
            uint32_t next = i + 1;
            while (next < window.count && window.offsets[next + 1] - window.offsets[i] <= PIECE_BYTES)
                next++;
            STATUS_TRY(blocks_take(list, &window, i, next, &progress));
            i = next;
        }
    }
    return status_ok();
}

struct status posting_read(const struct posting_source *source, const struct posting_list *list,
                           uint32_t from, int64_t *ret, uint32_t count)
{
    assert(from <= list->count && count <= list->count - from);
    if (count == 0)
        return status_ok();
    if (list->count == 1) {
        *ret = list->last_position;
        return status_ok();
    }
    if (list->count > POSTING_BLOCK_POSITIONS) {
        struct long_list opened;
        STATUS_TRY(long_open_list(source, list, &opened));
        return long_read(&opened, from, ret, count);
    }
    int64_t positions[POSTING_BLOCK_POSITIONS];
    STATUS_TRY(short_decode(source, list, positions));
    memcpy(ret, positions + from, count * sizeof *positions);
    return status_ok();
}

static uint32_t count_behind(const int64_t *positions, uint32_t count, int64_t position)
{
    uint32_t behind = 0;
    while (behind < count && positions[behind] <= position)
        behind++;
    return behind;
}

/* The first block whose last position is > `position`; there is one. `window` then begins with it. */
static struct status block_search(const struct long_list *list, int64_t position, struct window *window)
{
    uint32_t low = 0;
    uint32_t high = list->block_count; /* the block is in [low, high) */
    while (high - low > WINDOW_BLOCKS) {
        const uint32_t middle = low + (high - low) / 2;
        STATUS_TRY(window_read(list, middle, 1, window));
        if (window->last_positions[0] > position)
            high = middle + 1;
        else
            low = middle + 1;
    }
    STATUS_TRY(window_read(list, low, high - low, window));
    uint32_t i = 0;
    while (i < window->count && window->last_positions[i] <= position)
        i++;
    if (i == window->count)
        return damaged(list->source);
    return window_read(list, low + i, 1, window);
}

static struct status long_behind(const struct long_list *list, int64_t position, uint32_t *ret)
{
    struct window window;
    STATUS_TRY(block_search(list, position, &window));
    uint8_t bytes[BLOCK_MAX_BYTES];
    STATUS_TRY(index_reader_read(list->source->reader, list->at + window.offsets[0], bytes,
                                 window.offsets[1] - window.offsets[0]));
    int64_t positions[POSTING_BLOCK_POSITIONS];
    if (!window_block_decode(list, &window, 0, bytes, positions))
        return damaged(list->source);
    *ret = window.first * POSTING_BLOCK_POSITIONS +
           count_behind(positions, block_length(list->count, window.first), position);
    return status_ok();
}

struct status posting_behind(const struct posting_source *source, const struct posting_list *list,
                             int64_t position, uint32_t *ret)
{
    if (list->count == 0 || position >= list->last_position || position < source->first_position ||
        list->count == 1) {
        *ret = list->count > 0 && position >= list->last_position ? list->count : 0;
        return status_ok();
    }
    if (list->count > POSTING_BLOCK_POSITIONS) {
        struct long_list opened;
        STATUS_TRY(long_open_list(source, list, &opened));
        return long_behind(&opened, position, ret);
    }
    int64_t positions[POSTING_BLOCK_POSITIONS];
    STATUS_TRY(short_decode(source, list, positions));
    *ret = count_behind(positions, list->count, position);
    return status_ok();
}

struct status posting_check(const struct posting_source *source, const struct posting_list *list)
{
    int64_t before = source->first_position - 1;
    for (uint32_t from = 0; from < list->count;) {
        int64_t positions[CHECK_POSITIONS] = {0};
        const uint32_t left = list->count - from;
        const uint32_t count = left < CHECK_POSITIONS ? left : CHECK_POSITIONS;
        STATUS_TRY(posting_read(source, list, from, positions, count));
        for (uint32_t i = 0; i < count; i++) {
            if (positions[i] <= before || positions[i] > source->last_position)
                return damaged(source);
            before = positions[i];
        }
        from += count;
    }
    return before == list->last_position || list->count == 0 ? status_ok() : damaged(source);
}
