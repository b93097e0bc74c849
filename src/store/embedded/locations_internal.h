/*
 * Where the records of one segment lie, and what their headers must be: so that a single record can be read and checked
 * without the frame around it. Kept for the segments whose part of the index is not written yet.
 *
 * Ownership  The caller's, init and done.
 * Threads    One adds, any reads what was added before it learned of the position (the store's view lock sees to
 *            that): blocks never move.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct location {
    uint32_t segment; /* number in the segment log */
    uint32_t offset;  /* of the entry's prefix */
    uint32_t
        room_bytes; /* the entry's prefix, header and payload are at most so many; the prefix says how many */
    uint32_t header_crc; /* CRC-32C of prefix and header */
};

#define LOCATION_BLOCK_COUNT 4096U
#define LOCATION_BLOCKS_MAX  16384U /* times 4,096: more events than a segment of 1 GiB can hold */

struct locations {
    struct location **blocks;
    int64_t base; /* the first one is of position base + 1 */
    int64_t count;
};

STATUS_MUST_CHECK struct status locations_init(struct locations *locations, int64_t base);
void locations_done(struct locations *locations);

/* Makes room for `count` more, so that adding them cannot fail: called before the frame is written. */
STATUS_MUST_CHECK struct status locations_reserve(struct locations *locations, size_t count);
void locations_add(struct locations *locations, struct location location);

static inline struct location locations_at(const struct locations *locations, int64_t position)
{
    const uint64_t index = (uint64_t)(position - locations->base - 1);
    return locations->blocks[index / LOCATION_BLOCK_COUNT][index % LOCATION_BLOCK_COUNT];
}
