/*
 * Pages of places (index/index_part.h) that were read lately: a record among many others costs one pread instead of two.
 *
 * What is kept was checked when it was read; files of parts never change. Pages lie in small sets; in a full one the page
 * that came first gives way.
 *
 * Ownership  Copies what it keeps, in the memory that it was made with.
 * Threads    Any.  Blocking  Only for the copying of a page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/embedded/index/index_part.h"

struct place_cache;

/* Of at most so many bytes, or one set. NULL when out of memory. */
struct place_cache *place_cache_new(uint64_t bytes);
void place_cache_free(struct place_cache *cache); /* NULL is fine */

/*
 * A page is known by the position of its first place. Place `number` of it, and the next if the page has that:
 * *ret_count is 1 or 2. False: not known.
 */
bool place_cache_get(struct place_cache *cache, int64_t page, uint32_t number, struct place ret[2],
                     uint32_t *ret_count);
/* count ≤ PART_PAGE_PLACES. */
void place_cache_put(struct place_cache *cache, int64_t page, const struct place *places, uint32_t count);
