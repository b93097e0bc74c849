#include "base/json_internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/entropy.h"

#define NAMES_SCAN_MAX    24U
#define TABLE_FIRST_SLOTS 64U /* a power of two, above twice NAMES_SCAN_MAX */

/* One seed a process: results do not depend on it, only how hard it is to choose colliding names. */
static uint64_t process_seed;
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void seed_process(void)
{
    entropy_fill(&system_entropy, &process_seed, sizeof process_seed);
}

void json_names_init(struct json_names *names, struct arena *arena)
{
    (void)pthread_once(&seeded, seed_process);
    names->arena = arena;
    names->items = names->inline_items;
    names->count = 0;
    names->capacity = JSON_NAMES_INLINE;
    names->seed = process_seed;
    names->depth = 0;
    names->table_used = 0; /* levels and tables are set as they come into use: most texts need few */
}

void json_names_enter(struct json_names *names)
{
    assert(names->depth < JSON_DEPTH_MAX);
    names->levels[names->depth] = (struct json_names_level){0, names->count};
    if (names->depth == names->table_used)
        names->tables[names->table_used++] = (struct json_names_table){NULL, 0, 0};
    names->tables[names->depth].slot_count = 0;
    names->depth++;
}

void json_names_leave(struct json_names *names)
{
    assert(names->depth > 0);
    names->depth--;
    names->count = names->levels[names->depth].begin;
}

static void table_put(struct json_names_table *table, uint64_t hash, size_t index)
{
    const uint32_t mask = table->slot_count - 1;
    uint32_t slot = (uint32_t)(hash >> 32) & mask;
    while (table->slots[slot] != 0)
        slot = (slot + 1) & mask;
    table->slots[slot] = (uint32_t)index + 1;
}

/* Makes room so that at most half of the slots are taken. False when the arena is exhausted. */
static bool table_grow(struct json_names *names, struct json_names_table *table, size_t begin)
{
    const uint32_t slot_count = table->slot_count == 0 ? TABLE_FIRST_SLOTS : table->slot_count * 2;
    if (slot_count > table->slot_capacity) {
        uint32_t *slots = arena_alloc(names->arena, slot_count * sizeof *slots);
        if (slots == NULL)
            return false;
        table->slots = slots;
        table->slot_capacity = slot_count;
    }
    memset(table->slots, 0, slot_count * sizeof *table->slots);
    table->slot_count = slot_count;
    for (size_t i = begin; i < names->count; i++)
        table_put(table, names->items[i].hash, i);
    return true;
}

static bool is_same(const struct json_name *a, const struct json_name *b)
{
    return a->hash == b->hash && a->size_bytes == b->size_bytes &&
           memcmp(a->data, b->data, a->size_bytes) == 0;
}

static bool table_has(const struct json_names *names, const struct json_names_table *table,
                      const struct json_name *name)
{
    const uint32_t mask = table->slot_count - 1;
    for (uint32_t slot = (uint32_t)(name->hash >> 32) & mask; table->slots[slot] != 0;
         slot = (slot + 1) & mask)
        if (is_same(&names->items[table->slots[slot] - 1], name))
            return true;
    return false;
}

static bool scan_has(const struct json_names *names, size_t begin, const struct json_name *name)
{
    for (size_t i = begin; i < names->count; i++)
        if (is_same(&names->items[i], name))
            return true;
    return false;
}

static bool items_grow(struct json_names *names)
{
    struct json_name *items = arena_alloc(names->arena, names->capacity * 2 * sizeof *items);
    if (items == NULL)
        return false;
    memcpy(items, names->items, names->count * sizeof *items);
    names->items = items;
    names->capacity *= 2;
    return true;
}

enum json_names_result json_names_add(struct json_names *names, struct bytes text)
{
    assert(names->depth > 0);
    struct json_names_level *level = &names->levels[names->depth - 1];
    struct json_names_table *table = &names->tables[names->depth - 1];
    const struct json_name name = {XXH3_64bits_withSeed(text.data, text.size_bytes, names->seed), text.data,
                                   text.size_bytes};
    const uint64_t bit = UINT64_C(1) << (name.hash & 63);
    const size_t member_count = names->count - level->begin;
    if ((level->filter & bit) != 0 &&
        (table->slot_count != 0 ? table_has(names, table, &name) : scan_has(names, level->begin, &name)))
        return JSON_NAMES_DUPLICATE;
    level->filter |= bit;
    if (names->count == names->capacity && !items_grow(names))
        return JSON_NAMES_NO_MEMORY;
    names->items[names->count++] = name;
    if (table->slot_count == 0 && member_count < NAMES_SCAN_MAX)
        return JSON_NAMES_NEW;
    if ((member_count + 1) * 2 > table->slot_count)
        return table_grow(names, table, level->begin) ? JSON_NAMES_NEW : JSON_NAMES_NO_MEMORY;
    table_put(table, name.hash, names->count - 1);
    return JSON_NAMES_NEW;
}
