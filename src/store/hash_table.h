/*
 * An open-addressing table from a 64-bit hash to a 32-bit number, for indexes whose keys live elsewhere: the caller
 * compares keys. Grows at two thirds full, never shrinks, never forgets.
 *
 * Threads  One writer or many readers; the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct hash_slot {
    uint64_t hash;
    uint32_t value_plus_1; /* 0 = free */
};

struct hash_table {
    struct hash_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
    uint64_t seed; /* of the hash: outside keys must not be able to collide on purpose */
};

struct hash_table hash_table_make(uint64_t seed);
void hash_table_done(struct hash_table *table);
void hash_table_clear(struct hash_table *table); /* keeps the memory */
uint64_t hash_table_hash(const struct hash_table *table, struct bytes key);

#define HASH_NONE UINT32_MAX

/* Walks the values with this hash: start with *state 0, HASH_NONE at the end. */
uint32_t hash_table_next(const struct hash_table *table, uint64_t hash, size_t *state);
/* False when out of memory. `value` < HASH_NONE. */
bool hash_table_add(struct hash_table *table, uint64_t hash, uint32_t value);
