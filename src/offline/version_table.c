#include "version_table_internal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <xxhash.h>

#define FIRST_SLOTS 1024U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the table of aggregates");
}

static struct version_entry *slot_of(const struct version_table *table, struct bytes id)
{
    size_t at = (size_t)XXH3_64bits_withSeed(id.data, id.size_bytes, table->seed) & (table->slot_count - 1);
    while (table->slots[at].id.data != NULL && !bytes_equal(table->slots[at].id, id))
        at = (at + 1) & (table->slot_count - 1);
    return &table->slots[at];
}

static struct status grow(struct version_table *table)
{
    struct version_table larger = *table;
    larger.slot_count = table->slot_count == 0 ? FIRST_SLOTS : table->slot_count * 2;
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return no_memory();
    for (size_t i = 0; i < table->slot_count; i++) {
        if (table->slots[i].id.data != NULL)
            *slot_of(&larger, table->slots[i].id) = table->slots[i];
    }
    free(table->slots);
    *table = larger;
    return status_ok();
}

struct status version_table_init(struct version_table *table, uint64_t seed)
{
    *table = (struct version_table){.seed = seed, .arena = arena_new(0)};
    return table->arena == NULL ? no_memory() : grow(table);
}

void version_table_done(struct version_table *table)
{
    free(table->slots);
    arena_free(table->arena);
    *table = (struct version_table){0};
}

struct status version_table_get(struct version_table *table, struct bytes id, struct version_entry **ret,
                                bool *ret_new)
{
    if (table->count * 2 >= table->slot_count)
        STATUS_TRY(grow(table));
    struct version_entry *entry = slot_of(table, id);
    *ret_new = entry->id.data == NULL;
    if (*ret_new) {
        entry->id = arena_bytes(table->arena, id);
        if (entry->id.data == NULL)
            return no_memory();
        table->count++;
    }
    *ret = entry;
    return status_ok();
}
