#include "locations_internal.h"

#include <assert.h>
#include <stdlib.h>

struct status locations_init(struct locations *locations, int64_t base)
{
    locations->base = base;
    locations->count = 0;
    locations->blocks =
        calloc(LOCATION_BLOCKS_MAX, sizeof *locations->blocks); /* untouched pages cost nothing */
    if (locations->blocks == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the table of positions");
    return status_ok();
}

void locations_done(struct locations *locations)
{
    for (size_t i = 0; locations->blocks != NULL && i < LOCATION_BLOCKS_MAX && locations->blocks[i] != NULL;
         i++)
        free(locations->blocks[i]);
    free(locations->blocks);
    locations->blocks = NULL;
}

struct status locations_reserve(struct locations *locations, size_t count)
{
    if (count == 0)
        return status_ok();
    const uint64_t last = ((uint64_t)locations->count + count - 1) / LOCATION_BLOCK_COUNT;
    if (last >= LOCATION_BLOCKS_MAX)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the segment is full: it holds %lld events",
                            (long long)locations->count);
    for (uint64_t i = (uint64_t)locations->count / LOCATION_BLOCK_COUNT; i <= last; i++) {
        if (locations->blocks[i] == NULL)
            locations->blocks[i] = calloc(LOCATION_BLOCK_COUNT, sizeof **locations->blocks);
        if (locations->blocks[i] == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the table of positions");
    }
    return status_ok();
}

void locations_add(struct locations *locations, struct location location)
{
    const uint64_t index = (uint64_t)locations->count;
    struct location *block = locations->blocks[index / LOCATION_BLOCK_COUNT];
    assert(block != NULL); /* locations_reserve comes first */
    block[index % LOCATION_BLOCK_COUNT] = location;
    locations->count++;
}
