/*
 * Arena: memory that goes all at once.
 *
 * A call's memory comes from its arena and goes with it. Allocation is a pointer bump in blocks; nothing is
 * freed singly. `budget_bytes` bounds the sum, so that a small request cannot make the server allocate much.
 *
 * Ownership  arena_new()/arena_free(). What arena_alloc returns lives until arena_reset or arena_free.
 * Threads    One thread at a time.
 * Blocking   Never.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"

struct arena;

/* NULL only when out of memory. `budget_bytes` 0 = unlimited. */
struct arena *arena_new(size_t budget_bytes);
/* Likewise, for what lives long and holds little: begins with a tenth of the memory. */
struct arena *arena_new_small(size_t budget_bytes);
void arena_free(struct arena *arena); /* NULL is fine */
DEFINE_CLEANUP(struct arena, arena_free);
void arena_reset(struct arena *arena); /* forgets all, keeps the first block for reuse */

/* Aligned to 16, not zeroed. NULL when out of memory or over budget; size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size_bytes);
void *arena_zalloc(struct arena *arena, size_t size_bytes); /* zeroed */
/* An array of `count` zeroed items; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t item_bytes);

/* Copies; all end in a NUL that does not count. NULL as arena_alloc. */
char *arena_text(struct arena *arena, struct bytes bytes);
struct bytes arena_bytes(struct arena *arena, struct bytes bytes); /* data NULL on failure unless empty */
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *arena, const char *format, ...);

size_t arena_used_bytes(const struct arena *arena);
