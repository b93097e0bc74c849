#include "text_pool_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (128U * 1024U)

struct pool_block {
    struct pool_block *next;
    uint8_t data[BLOCK_BYTES - sizeof(void *)];
};
static_assert(sizeof(((struct pool_block *)NULL)->data) > POOL_TEXT_MAX_BYTES + 2U, "a block holds any text");

pooled_text text_pool_add(struct text_pool *pool, struct bytes text)
{
    assert(text.size_bytes <= POOL_TEXT_MAX_BYTES);
    const size_t size = text.size_bytes + 2;
    if (pool->blocks == NULL || size > sizeof pool->blocks->data - pool->used_bytes) {
        struct pool_block *block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = pool->blocks;
        pool->blocks = block;
        pool->used_bytes = 0;
    }
    uint8_t *to = pool->blocks->data + pool->used_bytes;
    pool->used_bytes += size;
    to[0] = (uint8_t)(text.size_bytes & 0xFF);
    to[1] = (uint8_t)(text.size_bytes >> 8);
    if (text.size_bytes > 0)
        memcpy(to + 2, text.data, text.size_bytes);
    return to;
}

void text_pool_done(struct text_pool *pool)
{
    while (pool->blocks != NULL) {
        struct pool_block *next = pool->blocks->next;
        free(pool->blocks);
        pool->blocks = next;
    }
    pool->used_bytes = 0;
}
