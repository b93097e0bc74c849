/*
 * Where the record of each position lies, and what its header must be: so that a single record can be read
 * and checked without the frame around it.
 *
 * Ownership  The caller's, init and done.
 * Threads    One adds, any reads what was added before it learned of the position (the store's view lock sees
 * to that): blocks never move.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct location {
    uint32_t segment;    /* number in the segment log */
    uint32_t offset;     /* of the entry's prefix */
    uint32_t size_bytes; /* of prefix, header and payload */
    uint32_t header_crc; /* CRC-32C of prefix and header */
};

#define LOCATION_BLOCK_COUNT 65536U
#define LOCATION_BLOCKS_MAX  65536U /* times 65,536 = 4.3 thousand million events */

struct locations {
    struct location **blocks;
    int64_t count; /* positions 1 … count are known */
};

STATUS_MUST_CHECK struct status locations_init(struct locations *locations);
void locations_done(struct locations *locations);

/* Makes room for `count` more, so that adding them cannot fail: called before the frame is written. */
STATUS_MUST_CHECK struct status locations_reserve(struct locations *locations, size_t count);
void locations_add(struct locations *locations, struct location location);

static inline struct location locations_at(const struct locations *locations, int64_t position)
{
    const uint64_t index = (uint64_t)position - 1;
    return locations->blocks[index / LOCATION_BLOCK_COUNT][index % LOCATION_BLOCK_COUNT];
}
