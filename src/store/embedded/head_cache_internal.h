/*
 * Heads of aggregates that were appended to or asked for lately, so that they cost no reading.
 *
 * An entry says: as the history stood at position `as_of`, this was the head. It never gets wrong, whatever commits fail or
 * succeed afterwards; it only gets old. Who asks has looked into the tables before, which hold everything behind the
 * runs, and looks into the runs behind `as_of` still: what neither has has not changed. Heads that a commit will make are
 * staged, and become entries when the store's head shows that it has taken place. As long as each commit follows the one
 * that was staged before, entries stay as new as the last: what it had changed would be another entry.
 *
 * Ownership  Copies what it keeps, in the memory that it was made with, a buffer and an arena of type names.
 * Threads    The writer's alone.  Blocking  Never.
 */
#pragma once

#include "base/arena.h"
#include "store/event_store.h"

struct head_cache;

/* Of at most so many bytes. NULL when out of memory. */
struct head_cache *head_cache_new(uint64_t bytes);
void head_cache_free(struct head_cache *cache); /* NULL is fine */

/* Fetch what is asked next into the processor's cache: the first for a whole batch, then the second, then ask. */
void head_cache_prefetch(const struct head_cache *cache, uint64_t hash);
void head_cache_prefetch_entry(const struct head_cache *cache, uint64_t hash);
/* False: not known. The type lives as long as the cache; first_position and event_count are not kept. */
bool head_cache_get(const struct head_cache *cache, struct bytes id, uint64_t hash,
                    struct aggregate_head *ret, int64_t *ret_as_of);
/* A head that does not fit is not kept. */
void head_cache_put(struct head_cache *cache, struct bytes id, uint64_t hash,
                    const struct aggregate_head *head, int64_t as_of);

/*
 * The heads that a commit makes: settle what the former one staged, begin with where it stands and where it leads, then
 * each event in order. Want of memory only forgets.
 */
void head_cache_stage_begin(struct head_cache *cache, int64_t before, int64_t as_of);
void head_cache_stage(struct head_cache *cache, uint64_t hash, const struct event_fields *fields);
/* What is staged becomes entries if the store's head has come that far; else it stays staged. */
void head_cache_settle(struct head_cache *cache, int64_t head_position);
