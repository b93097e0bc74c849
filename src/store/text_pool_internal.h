/*
 * Texts kept for ever, packed: two bytes of length and the text, no alignment, in blocks. A reference is one
 * pointer and never moves.
 *
 * Threads  One adder; a reference may be read by any thread that got it after the adder.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define POOL_TEXT_MAX_BYTES UINT16_MAX

struct pool_block;
struct text_pool {
    struct pool_block *blocks; /* newest first */
    size_t used_bytes;         /* of the newest */
};

typedef const uint8_t *pooled_text;

/* NULL when out of memory. `text` has at most POOL_TEXT_MAX_BYTES. */
pooled_text text_pool_add(struct text_pool *pool, struct bytes text);
void text_pool_done(struct text_pool *pool);

static inline struct bytes text_of(pooled_text text)
{
    return bytes_of(text + 2, (size_t)text[0] | (size_t)text[1] << 8);
}
