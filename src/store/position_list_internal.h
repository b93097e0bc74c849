/*
 * A rising list of positions that only grows: four bytes a position; up to two stand in the list itself, since most
 * aggregates and correlation ids of a large store have few events.
 *
 * Threads  One adder or many readers; the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POSITIONS_INLINE   2U
#define INDEX_POSITION_MAX (INT64_C(0xFFFFFFFF) - 1)

struct position_list {
    union {
        uint32_t here[POSITIONS_INLINE]; /* capacity 0 */
        uint32_t *items;
    };
    uint32_t count;
    uint32_t capacity;
};

/* False when out of memory. `position` is over the last one. The first POSITIONS_INLINE always fit. */
bool position_list_add(struct position_list *list, int64_t position);
void position_list_done(struct position_list *list);
/* How many are at or below `position`. */
size_t position_list_count_to(const struct position_list *list, int64_t position);

static inline int64_t position_list_at(const struct position_list *list, size_t place)
{
    return list->capacity == 0 ? list->here[place] : list->items[place];
}
