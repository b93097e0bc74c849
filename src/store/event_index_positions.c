#include "event_index_internal.h"

#include <assert.h>

/* Level l holds the numbers from 2^(l+1) - 2 on, 2^(l+1) of them. */
static uint32_t level_of(uint32_t i)
{
    return 30U - (uint32_t)__builtin_clz(i + 2U);
}

static uint32_t level_size(uint32_t level)
{
    return UINT32_C(2) << level;
}

static uint32_t level_start(uint32_t level)
{
    return level_size(level) - 2U;
}

/* A chunk: the link to the one before, then its numbers. */
static uint32_t *chunk_at(const struct pool *lists, uint32_t place)
{
    return pool_at(lists, place);
}

static bool add_chunk(struct pool *lists, uint32_t level, uint32_t before, uint32_t *ret_place)
{
    if (!pool_take(lists, (size_t)level_size(level) + 1, ret_place))
        return false;
    *chunk_at(lists, *ret_place) = before;
    return true;
}

bool positions_add(struct pool *lists, struct positions *positions, uint32_t number)
{
    const uint32_t i = positions->count;
    uint32_t place = positions->where;
    assert(i < INT32_MAX);
    if (i == 0) {
        *positions = (struct positions){1, number};
        return true;
    }
    const uint32_t level = level_of(i);
    if (i == 1) {
        if (!add_chunk(lists, level, 0, &place))
            return false;
        chunk_at(lists, place)[1] = positions->where;
    } else if (level_start(level) == i && !add_chunk(lists, level, positions->where, &place)) {
        return false;
    }
    chunk_at(lists, place)[1 + i - level_start(level)] = number;
    *positions = (struct positions){i + 1, place};
    return true;
}

struct position_view positions_view(const struct pool *lists, const struct positions *positions)
{
    struct position_view view = {.count = positions->count};
    if (positions->count == 1)
        view.chunks[0] = &positions->where;
    if (positions->count < 2)
        return view;
    const uint32_t *chunk = chunk_at(lists, positions->where);
    for (uint32_t level = level_of(positions->count - 1); level > 0; level--) {
        view.chunks[level] = chunk + 1;
        chunk = chunk_at(lists, *chunk);
    }
    view.chunks[0] = chunk + 1;
    return view;
}

uint32_t position_view_at(const struct position_view *view, uint32_t i)
{
    const uint32_t level = level_of(i);
    assert(i < view->count);
    return view->chunks[level][i - level_start(level)];
}

uint32_t position_view_behind(const struct position_view *view, uint32_t number)
{
    uint32_t low = 0;
    uint32_t high = view->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (position_view_at(view, middle) <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t positions_first(const struct pool *lists, const struct positions *positions)
{
    assert(positions->count > 0);
    if (positions->count == 1)
        return positions->where;
    const uint32_t *chunk = chunk_at(lists, positions->where);
    for (uint32_t level = level_of(positions->count - 1); level > 0; level--)
        chunk = chunk_at(lists, *chunk);
    return chunk[1];
}

uint32_t positions_last(const struct pool *lists, const struct positions *positions)
{
    assert(positions->count > 0);
    const uint32_t i = positions->count - 1;
    return i == 0 ? positions->where : chunk_at(lists, positions->where)[1 + i - level_start(level_of(i))];
}

void positions_prefetch_last(const struct pool *lists, const struct positions *positions)
{
    if (positions->count < 2)
        return; /* stands in the list itself */
    const uint32_t i = positions->count - 1;
    __builtin_prefetch(chunk_at(lists, positions->where) + 1 + i - level_start(level_of(i)));
}

void positions_cut(const struct pool *lists, struct positions *positions, uint32_t number)
{
    if (positions->count == 0 || positions_last(lists, positions) <= number)
        return;
    const struct position_view view = positions_view(lists, positions);
    const uint32_t count = position_view_behind(&view, number);
    if (count < 2) {
        *positions = (struct positions){count, count == 0 ? 0 : position_view_at(&view, 0)};
        return;
    }
    uint32_t level = level_of(positions->count - 1);
    for (; level > level_of(count - 1); level--)
        positions->where = *chunk_at(lists, positions->where);
    positions->count = count;
}
