#include "position_list_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool grow(struct position_list *list)
{
    const uint32_t capacity = list->capacity == 0 ? 2 * POSITIONS_INLINE : list->capacity + list->capacity / 2;
    uint32_t *items = realloc(list->capacity == 0 ? NULL : list->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    if (list->capacity == 0)
        memcpy(items, list->here, sizeof list->here);
    list->items = items;
    list->capacity = capacity;
    return true;
}

bool position_list_add(struct position_list *list, int64_t position)
{
    assert(position > 0);
    assert(position <= INDEX_POSITION_MAX);
    assert(list->count == 0 || position > position_list_at(list, list->count - 1));
    const uint32_t room = list->capacity == 0 ? POSITIONS_INLINE : list->capacity;
    if (list->count == room && !grow(list))
        return false;
    uint32_t *items = list->capacity == 0 ? list->here : list->items;
    items[list->count++] = (uint32_t)position;
    return true;
}

void position_list_done(struct position_list *list)
{
    if (list->capacity > 0)
        free(list->items);
    *list = (struct position_list){0};
}

size_t position_list_count_to(const struct position_list *list, int64_t position)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (position_list_at(list, middle) <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
