#include "store/hash_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FIRST_CAPACITY 64U

struct hash_table hash_table_make(uint64_t seed)
{
    return (struct hash_table){.seed = seed};
}

void hash_table_done(struct hash_table *table)
{
    free(table->slots);
    *table = (struct hash_table){.seed = table->seed};
}

void hash_table_clear(struct hash_table *table)
{
    if (table->count > 0)
        memset(table->slots, 0, table->capacity * sizeof *table->slots);
    table->count = 0;
}

uint64_t hash_table_hash(const struct hash_table *table, struct bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.size_bytes, table->seed);
}

uint32_t hash_table_next(const struct hash_table *table, uint64_t hash, size_t *state)
{
    if (table->capacity == 0)
        return HASH_NONE;
    for (size_t step = *state; step < table->capacity; step++) {
        const struct hash_slot *slot = &table->slots[(hash + step) & (table->capacity - 1)];
        if (slot->value_plus_1 == 0)
            return HASH_NONE;
        if (slot->hash == hash) {
            *state = step + 1;
            return slot->value_plus_1 - 1;
        }
    }
    return HASH_NONE;
}

static void place(struct hash_slot *slots, size_t capacity, struct hash_slot slot)
{
    size_t at = slot.hash & (capacity - 1);
    while (slots[at].value_plus_1 != 0)
        at = (at + 1) & (capacity - 1);
    slots[at] = slot;
}

static bool grow(struct hash_table *table)
{
    const size_t capacity = table->capacity == 0 ? FIRST_CAPACITY : table->capacity * 2;
    struct hash_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i].value_plus_1 != 0)
            place(slots, capacity, table->slots[i]);
    free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

bool hash_table_add(struct hash_table *table, uint64_t hash, uint32_t value)
{
    assert(value < HASH_NONE);
    if ((table->count + 1) * 3 > table->capacity * 2 && !grow(table))
        return false;
    place(table->slots, table->capacity, (struct hash_slot){hash, value + 1});
    table->count++;
    return true;
}
