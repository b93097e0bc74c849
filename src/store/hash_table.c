#include "store/hash_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/pages.h"

#define FIRST_CAPACITY 64U
#define SPARSE_FACTOR  64U
#define PAGE_BYTES     4096U
#define TOUCHED_PAGES  8U

struct hash_table hash_table_make(uint64_t seed)
{
    return (struct hash_table){.seed = seed};
}

void hash_table_done(struct hash_table *table)
{
    pages_free(table->slots, table->capacity * sizeof *table->slots);
    *table = (struct hash_table){.seed = table->seed};
}

void hash_table_clear(struct hash_table *table)
{
    if (table->count > 0 && table->capacity > table->count * SPARSE_FACTOR &&
        table->capacity > FIRST_CAPACITY)
        hash_table_done(table);
    else if (table->count > 0)
        memset(table->slots, 0, table->capacity * sizeof *table->slots);
    table->count = 0;
}

bool hash_table_touch(struct hash_table *table, size_t *at)
{
    const size_t end = table->capacity * sizeof *table->slots;
    volatile uint8_t *bytes = (volatile uint8_t *)table->slots;
    assert(table->count == 0);
    if (*at >= end)
        return false;
    for (uint32_t i = 0; i < TOUCHED_PAGES && *at < end; i++, *at += PAGE_BYTES)
        bytes[*at] = 0;
    return true;
}

uint64_t hash_table_hash(const struct hash_table *table, struct bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.size_bytes, table->seed);
}

/* Where a hash belongs: the product keeps the order of hashes, for any capacity. */
static size_t home(uint32_t hash, size_t capacity)
{
    return (size_t)(((uint64_t)hash * capacity) >> 32U);
}

void hash_table_prefetch(const struct hash_table *table, uint64_t hash)
{
    if (table->capacity > 0)
        __builtin_prefetch(&table->slots[home((uint32_t)hash, table->capacity)]);
}

uint32_t hash_table_next(const struct hash_table *table, uint64_t hash, size_t *state)
{
    if (table->capacity == 0)
        return HASH_NONE;
    size_t at = home((uint32_t)hash, table->capacity) + *state;
    for (size_t step = *state; step < table->capacity; step++, at++) {
        if (at >= table->capacity)
            at -= table->capacity;
        const struct hash_slot *slot = &table->slots[at];
        if (slot->value_plus_1 == 0)
            return HASH_NONE;
        if (slot->hash == (uint32_t)hash) {
            *state = step + 1;
            return slot->value_plus_1 - 1;
        }
    }
    return HASH_NONE;
}

static void place(struct hash_slot *slots, size_t capacity, struct hash_slot slot)
{
    size_t at = home(slot.hash, capacity);
    while (slots[at].value_plus_1 != 0)
        if (++at == capacity)
            at = 0;
    slots[at] = slot;
}

static bool grow(struct hash_table *table, size_t capacity)
{
    struct hash_slot *slots = pages_new(capacity * sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i].value_plus_1 != 0)
            place(slots, capacity, table->slots[i]);
    pages_free(table->slots, table->capacity * sizeof *table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

static bool is_room(const struct hash_table *table, size_t count)
{
    return count * 5 <= table->capacity * 4;
}

bool hash_table_reserve(struct hash_table *table, size_t count)
{
    return is_room(table, count) || grow(table, count + count / 4 + 1);
}

bool hash_table_add(struct hash_table *table, uint64_t hash, uint32_t value)
{
    assert(value < HASH_NONE);
    const size_t next = table->capacity == 0 ? FIRST_CAPACITY : table->capacity + table->capacity / 2;
    if (!is_room(table, table->count + 1) && !grow(table, next))
        return false;
    place(table->slots, table->capacity, (struct hash_slot){(uint32_t)hash, value + 1});
    table->count++;
    return true;
}
