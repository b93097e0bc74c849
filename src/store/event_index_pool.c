#include "event_index_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "store/pages.h"

#define CHUNK_BYTES ((size_t)1024 * 1024) /* at most: touched page by page */

struct pool pool_make(uint32_t item_bytes)
{
    struct pool pool = {.item_bytes = item_bytes};
    while (((size_t)item_bytes << (pool.shift + 1)) <= CHUNK_BYTES)
        pool.shift++;
    return pool;
}

bool pool_shrink(struct pool *pool)
{
    if (pool->chunk_count == 0)
        return false;
    pages_free(pool->chunks[--pool->chunk_count], (size_t)pool->item_bytes << pool->shift);
    return true;
}

void pool_done(struct pool *pool)
{
    while (pool_shrink(pool))
        ;
    free(pool->chunks);
    *pool = pool_make(pool->item_bytes);
}

static bool make_room_for_chunks(struct pool *pool, size_t count)
{
    if (count <= pool->chunk_capacity)
        return true;
    const size_t capacity = count + count / 2 + 8;
    uint8_t **grown = realloc(pool->chunks, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    pool->chunks = grown;
    pool->chunk_capacity = capacity;
    return true;
}

/* Chunks side by side in memory, so that many items can be. */
static bool add_chunks(struct pool *pool, size_t count)
{
    const size_t chunk_bytes = (size_t)pool->item_bytes << pool->shift;
    if (!make_room_for_chunks(pool, pool->chunk_count + count))
        return false;
    uint8_t *memory = pages_new(count * chunk_bytes);
    if (memory == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        pool->chunks[pool->chunk_count++] = memory + i * chunk_bytes;
    return true;
}

bool pool_take(struct pool *pool, size_t count, uint32_t *ret_place)
{
    const size_t per_chunk = (size_t)1 << pool->shift;
    const size_t room = pool->chunk_count * per_chunk;
    size_t place = pool->used;
    if (count > per_chunk)
        place = room; /* only new chunks lie side by side for certain */
    else if ((place & (per_chunk - 1)) + count > per_chunk)
        place = (place | (per_chunk - 1)) + 1;
    if (place + count >= UINT32_MAX)
        return false;
    if (place + count > room && !add_chunks(pool, (place + count - room + per_chunk - 1) / per_chunk))
        return false;
    pool->used = place + count;
    *ret_place = (uint32_t)place;
    return true;
}
