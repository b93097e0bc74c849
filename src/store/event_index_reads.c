#include "event_index_internal.h"

#define WALK_POSITIONS 256U /* positions taken under the lock at a time */

int64_t event_index_last_position(struct event_index *index)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t last = (int64_t)index->event_count;
    pthread_rwlock_unlock(&index->lock);
    return last;
}

int64_t event_index_aggregate_count(struct event_index *index)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t count = (int64_t)index->aggregate_count;
    pthread_rwlock_unlock(&index->lock);
    return count;
}

/* Type and counts of an aggregate; the type's text stays valid, since terms' texts are never freed. */
static struct aggregate_head head_of(const struct event_index *index, const struct aggregate *aggregate)
{
    const struct positions *positions = &aggregate->positions;
    return (struct aggregate_head){
        .exists = true,
        .type = index->terms[aggregate->type_term].text,
        .version = index_last_version(aggregate),
        .first_position = positions->items[0],
        .position = positions->items[positions->count - 1],
        .event_count = (int32_t)positions->count,
    };
}

struct status event_index_head(struct event_index *index, struct bytes aggregate_id, struct arena *arena,
                               struct aggregate_head *ret)
{
    *ret = (struct aggregate_head){0};
    pthread_rwlock_rdlock(&index->lock);
    const struct aggregate *aggregate = index_find_aggregate(index, aggregate_id);
    if (aggregate != NULL)
        *ret = head_of(index, aggregate);
    pthread_rwlock_unlock(&index->lock);
    if (!ret->exists)
        return status_ok();
    ret->type = arena_bytes(arena, ret->type);
    return ret->type.data != NULL ? status_ok() : index_no_memory();
}

int64_t event_index_find_id(struct event_index *index, struct bytes event_id)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t position = index_find_id(index, event_id);
    pthread_rwlock_unlock(&index->lock);
    return position;
}

int64_t event_index_find_time(struct event_index *index, int64_t time_us)
{
    pthread_rwlock_rdlock(&index->lock);
    size_t low = 0;
    size_t high = index->event_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (index->times_us[middle] <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    pthread_rwlock_unlock(&index->lock);
    return (int64_t)low;
}

static const struct positions *listed(const struct event_index *index, const struct read_query *query,
                                      const struct aggregate **ret_aggregate)
{
    if (query->by == READ_BY_AGGREGATE) {
        *ret_aggregate = index_find_aggregate(index, query->key);
        return *ret_aggregate == NULL ? NULL : &(*ret_aggregate)->positions;
    }
    const uint32_t term = index_find_term(index, query->by, query->key);
    return term == HASH_NONE ? NULL : &index->terms[term].positions;
}

/* Places [first, end) of a list that the query's bounds select. */
static void bound_places(const struct read_query *query, const struct aggregate *aggregate, int64_t to,
                         const struct positions *positions, size_t *first, size_t *end)
{
    *first = positions_behind(positions, query->after_position);
    *end = positions_behind(positions, to);
    if (aggregate == NULL)
        return;
    const int64_t base = aggregate->created ? 0 : 1; /* version of place 0 */
    const int64_t from_place = query->from_version - base;
    const int64_t end_place = (int64_t)query->to_version - base + 1;
    if (from_place > (int64_t)*first)
        *first = (size_t)from_place;
    if (end_place < (int64_t)*end)
        *end = end_place < 0 ? 0 : (size_t)end_place;
}

static size_t all_positions(const struct read_query *query, int64_t to, int64_t from, int64_t *ret,
                            size_t max)
{
    size_t count = 0;
    if (query->backward) {
        int64_t next = from == 0 || from > to ? to : from - 1;
        for (; next > query->after_position && count < max; next--)
            ret[count++] = next;
        return count;
    }
    int64_t next = (from > query->after_position ? from : query->after_position) + 1;
    for (; next <= to && count < max; next++)
        ret[count++] = next;
    return count;
}

static size_t positions_locked(struct event_index *index, const struct read_query *query, int64_t from,
                               int64_t *ret, size_t max)
{
    const int64_t last = (int64_t)index->event_count;
    const int64_t to = query->to_position == 0 || query->to_position > last ? last : query->to_position;
    if (query->by == READ_BY_POSITION)
        return all_positions(query, to, from, ret, max);
    const struct aggregate *aggregate = NULL;
    const struct positions *positions = listed(index, query, &aggregate);
    if (positions == NULL)
        return 0;
    size_t first = 0;
    size_t end = 0;
    bound_places(query, aggregate, to, positions, &first, &end);
    size_t count = 0;
    if (query->backward) {
        const size_t below = from == 0 ? end : positions_behind(positions, from - 1);
        for (size_t i = below < end ? below : end; i > first && count < max; i--)
            ret[count++] = positions->items[i - 1];
        return count;
    }
    const size_t behind = positions_behind(positions, from);
    for (size_t i = behind > first ? behind : first; i < end && count < max; i++)
        ret[count++] = positions->items[i];
    return count;
}

size_t event_index_positions(struct event_index *index, const struct read_query *query, int64_t from,
                             int64_t *ret_positions, size_t max)
{
    pthread_rwlock_rdlock(&index->lock);
    const size_t count = positions_locked(index, query, from, ret_positions, max);
    pthread_rwlock_unlock(&index->lock);
    return count;
}

struct status event_index_aggregates(struct event_index *index, struct bytes type,
                                     int64_t after_first_position, struct arena *arena,
                                     struct indexed_aggregate *ret, size_t max, size_t *ret_count)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&index->lock);
    size_t low = 0;
    size_t high = index->aggregate_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (index->aggregates[middle].positions.items[0] <= after_first_position)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i < index->aggregate_count && count < max; i++) {
        const struct aggregate *aggregate = &index->aggregates[i];
        if (type.size_bytes > 0 && !bytes_equal(index->terms[aggregate->type_term].text, type))
            continue;
        ret[count++] = (struct indexed_aggregate){aggregate->id, head_of(index, aggregate)};
    }
    pthread_rwlock_unlock(&index->lock);
    for (size_t i = 0; i < count; i++) {
        ret[i].id = arena_bytes(arena, ret[i].id);
        ret[i].head.type = arena_bytes(arena, ret[i].head.type);
        if (ret[i].id.data == NULL || ret[i].head.type.data == NULL)
            return index_no_memory();
    }
    *ret_count = count;
    return status_ok();
}

#define LIST_PIECE 64U

struct status event_index_list(struct event_index *index, pthread_rwlock_t *engine_lock, struct bytes type,
                               int64_t after_first_position, aggregate_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return index_no_memory();
    int64_t after = after_first_position;
    for (;;) {
        struct indexed_aggregate piece[LIST_PIECE];
        size_t count = 0;
        arena_reset(arena);
        pthread_rwlock_rdlock(engine_lock);
        const struct status status =
            event_index_aggregates(index, type, after, arena, piece, LIST_PIECE, &count);
        pthread_rwlock_unlock(engine_lock);
        STATUS_TRY(status);
        for (size_t i = 0; i < count; i++) {
            if (!sink(context, piece[i].id, &piece[i].head))
                return status_ok();
            after = piece[i].head.first_position;
        }
        if (count < LIST_PIECE)
            return status_ok();
    }
}

static size_t count_kind(const struct event_index *index, enum read_by kind)
{
    size_t count = 0;
    for (size_t i = 0; i < index->term_count; i++)
        count += index->terms[i].kind == kind && index->terms[i].positions.count > 0;
    return count;
}

/* Fills both lists; their memory was taken for the counts given. Returns how many of each were filled. */
static void fill_counts(const struct event_index *index, struct type_count *types, size_t *type_count,
                        struct type_count *aggregate_types, size_t *aggregate_type_count)
{
    const size_t type_max = *type_count;
    const size_t aggregate_type_max = *aggregate_type_count;
    *type_count = 0;
    *aggregate_type_count = 0;
    for (size_t i = 0; i < index->term_count; i++) {
        const struct term *term = &index->terms[i];
        if (term->positions.count == 0)
            continue;
        if (term->kind == READ_BY_TYPE && *type_count < type_max)
            types[(*type_count)++] = (struct type_count){term->text, (int64_t)term->positions.count};
        if (term->kind != READ_BY_AGGREGATE_TYPE || *aggregate_type_count >= aggregate_type_max)
            continue;
        aggregate_types[(*aggregate_type_count)++] = (struct type_count){term->text, term->aggregate_count};
    }
}

struct status event_index_stats(struct event_index *index, struct arena *arena, struct event_store_stats *ret)
{
    struct status status = status_ok();
    pthread_rwlock_rdlock(&index->lock);
    size_t types = count_kind(index, READ_BY_TYPE);
    size_t aggregate_types = count_kind(index, READ_BY_AGGREGATE_TYPE);
    struct type_count *by_type = arena_array(arena, types, sizeof *by_type);
    struct type_count *by_aggregate_type = arena_array(arena, aggregate_types, sizeof *by_aggregate_type);
    if (by_type == NULL || by_aggregate_type == NULL) {
        status = index_no_memory();
    } else {
        fill_counts(index, by_type, &types, by_aggregate_type, &aggregate_types);
        ret->event_count = (int64_t)index->event_count - index->system_count;
        ret->system_event_count = index->system_count;
        ret->events_by_type = by_type;
        ret->event_type_count = types;
        ret->aggregates_by_type = by_aggregate_type;
        ret->aggregate_type_count = aggregate_types;
    }
    pthread_rwlock_unlock(&index->lock);
    /* The texts live as long as the index; the engine's caller may outlive neither. */
    return status;
}

struct status event_index_read(struct event_index *index, const struct read_query *query, record_fetch fetch,
                               void *engine, record_sink sink, void *context)
{
    int64_t positions[WALK_POSITIONS];
    struct read_query bounded = *query;
    if (bounded.to_position == 0)
        bounded.to_position = event_index_last_position(index);
    if (bounded.to_position == 0)
        return status_ok(); /* an empty store */
    int64_t from = 0;
    for (;;) {
        const size_t count = event_index_positions(index, &bounded, from, positions, WALK_POSITIONS);
        if (count == 0)
            return status_ok();
        for (size_t i = 0; i < count; i++) {
            bool more = false;
            STATUS_TRY(fetch(engine, positions[i], sink, context, &more));
            if (!more)
                return status_ok();
        }
        from = positions[count - 1];
    }
}
