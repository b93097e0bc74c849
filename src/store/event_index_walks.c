#include "event_index_internal.h"

#include <assert.h>

struct bytes event_index_id_at(const struct event_index *index, int64_t position,
                               struct index_scratch *scratch)
{
    const int64_t event = position - index->base - 1;
    assert(event >= 0 && event < (int64_t)index_event_count(index));
    return text_at(&index->texts, index_id_text(index, (size_t)event), scratch);
}

int64_t event_index_time_at(const struct event_index *index, int64_t position)
{
    const int64_t event = position - index->base - 1;
    assert(event >= 0 && event < (int64_t)index_event_count(index));
    return index_time_us(index, (size_t)event);
}

static bool next_aggregate(const struct event_index *index, size_t *cursor, struct index_scratch *scratch,
                           struct indexed_key *ret)
{
    if (*cursor >= index->aggregates.used)
        return false;
    const struct aggregate *aggregate = index_aggregate(index, *cursor);
    *ret = (struct indexed_key){
        .text = text_at(&index->texts, aggregate->text, scratch),
        .list = {.count = aggregate->positions.count,
                 .first_version = aggregate->first_version,
                 .kind = READ_BY_AGGREGATE,
                 .place = (uint32_t)*cursor},
        .last_version = (int32_t)index_last_version(aggregate),
        .begins_here = aggregate->begins,
    };
    ++*cursor;
    return true;
}

/* Types are few and have their places listed; the cursor counts those, or all terms. */
static bool next_term(const struct event_index *index, uint32_t kind, size_t *cursor,
                      struct index_scratch *scratch, struct indexed_key *ret)
{
    const bool listed = index_names_types(kind);
    const size_t end = listed ? index->type_terms.used : index->terms.used;
    while (*cursor < end) {
        const size_t i = (*cursor)++;
        const size_t place = listed ? *(const uint32_t *)pool_at(&index->type_terms, i) : i;
        const struct term *term = index_term(index, place);
        if (term->kind != kind || term->positions.count == 0)
            continue;
        *ret = (struct indexed_key){
            .text = text_at(&index->texts, term->text, scratch),
            .list = {.count = term->positions.count, .kind = kind, .place = (uint32_t)place},
        };
        return true;
    }
    return false;
}

bool event_index_next_key(const struct event_index *index, enum read_by by, size_t *cursor,
                          struct index_scratch *scratch, struct indexed_key *ret)
{
    assert(by != READ_BY_POSITION);
    return by == READ_BY_AGGREGATE ? next_aggregate(index, cursor, scratch, ret)
                                   : next_term(index, (uint32_t)by, cursor, scratch, ret);
}

void event_index_list_copy(const struct event_index *index, const struct indexed_list *list, uint32_t from,
                           int64_t *ret_positions, uint32_t count)
{
    if (count == 0)
        return;
    const struct positions *positions = index_positions(index, list);
    assert((uint64_t)from + count <= positions->count);
    const struct position_view view = positions_view(&index->lists, positions);
    for (uint32_t i = 0; i < count; i++)
        ret_positions[i] = index->base + position_view_at(&view, from + i);
}

struct index_counts event_index_counts(const struct event_index *index)
{
    return (struct index_counts){
        .event_count = (uint32_t)index_event_count(index),
        .system_count = index->system_count,
        .aggregate_count = (uint32_t)index->aggregates.used,
        .created_count = index->created_count,
    };
}
