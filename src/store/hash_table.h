/*
 * An open-addressing table from a hash to a 32-bit number, for indexes whose keys live elsewhere: the caller compares
 * keys. Slots stand in the order of their hashes, so growing is one pass over both arrays. Grows by half at four
 * fifths full, never shrinks, never forgets.
 *
 * Threads  One writer or many readers; the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct hash_slot {
    uint32_t hash;         /* the lower half */
    uint32_t value_plus_1; /* 0 = free */
};

struct hash_table {
    struct hash_slot *slots;
    size_t capacity;
    size_t count;
    uint64_t seed; /* of the hash: outside keys must not be able to collide on purpose */
};

struct hash_table hash_table_make(uint64_t seed);
void hash_table_done(struct hash_table *table);
/* Keeps the memory, unless there is far more of it than was used: clearing it would cost more than the use did. */
void hash_table_clear(struct hash_table *table);
/* Makes room for so many values in all, which can then be added without growing. False when out of memory. */
bool hash_table_reserve(struct hash_table *table, size_t count);
uint64_t hash_table_hash(const struct hash_table *table, struct bytes key);
/*
 * Touches the memory of an empty table from byte *at on (0 = the beginning), so that the first values need not wait for the
 * system to give it: a step of it, *at moves on. False when there was nothing left to do.
 */
bool hash_table_touch(struct hash_table *table, size_t *at);
/* Fetches the slots of a hash into the processor's cache: first for a whole batch, then ask. */
void hash_table_prefetch(const struct hash_table *table, uint64_t hash);

#define HASH_NONE UINT32_MAX

/* Walks the values whose hash has the same lower half: start with *state 0, HASH_NONE at the end. */
uint32_t hash_table_next(const struct hash_table *table, uint64_t hash, size_t *state);
/* False when out of memory. `value` < HASH_NONE. */
bool hash_table_add(struct hash_table *table, uint64_t hash, uint32_t value);
