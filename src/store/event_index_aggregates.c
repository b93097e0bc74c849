/* Lists of aggregates, and counts by type. */
#include "event_index_internal.h"

/* The first place from `low` on whose first event is behind `number`. */
static size_t first_aggregate_behind(const struct event_index *index, size_t low, uint32_t number)
{
    size_t high = index->aggregates.used;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (positions_first(&index->lists, &index_aggregate(index, middle)->positions) <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Places of the next aggregates that begin here, whose first event is behind number `after`. */
static size_t next_of_all(const struct event_index *index, uint32_t after, size_t *ret, size_t max)
{
    size_t count = 0;
    for (size_t i = first_aggregate_behind(index, 0, after); i < index->aggregates.used && count < max; i++)
        if (index_aggregate(index, i)->begins)
            ret[count++] = i;
    return count;
}

static size_t next_of_type(const struct event_index *index, struct bytes type, uint32_t after, size_t *ret,
                           size_t max)
{
    const uint32_t term = index_find_term(index, READ_BY_AGGREGATE_TYPE, type);
    if (term == HASH_NONE)
        return 0;
    const struct position_view view = positions_view(&index->lists, &index_term(index, term + 1)->positions);
    size_t count = 0;
    size_t place = 0;
    for (uint32_t i = position_view_behind(&view, after); i < view.count && count < max; i++) {
        place = first_aggregate_behind(index, place, position_view_at(&view, i) - 1);
        ret[count++] = place;
    }
    return count;
}

#define LIST_PIECE 64U

/* What one look under the lock finds. The heads' types and the ids point into the table or into the scratches. */
struct aggregate_piece {
    struct indexed_aggregate found[LIST_PIECE];
    struct index_scratch ids[LIST_PIECE];
    struct index_scratch types[LIST_PIECE];
    size_t count;
};

static void find_piece(struct event_index *index, struct bytes type, int64_t after_first_position, size_t max,
                       struct aggregate_piece *ret)
{
    size_t places[LIST_PIECE] = {0};
    const size_t most = max < LIST_PIECE ? max : LIST_PIECE;
    pthread_rwlock_rdlock(&index->lock);
    const uint32_t after = index_number(index, after_first_position);
    ret->count = type.size_bytes == 0 ? next_of_all(index, after, places, most)
                                      : next_of_type(index, type, after, places, most);
    for (size_t i = 0; i < ret->count; i++) {
        const struct aggregate *aggregate = index_aggregate(index, places[i]);
        ret->found[i].id = text_at(&index->texts, aggregate->text, &ret->ids[i]);
        ret->found[i].head = index_head_of(index, aggregate, &ret->types[i]);
    }
    pthread_rwlock_unlock(&index->lock);
}

struct status event_index_aggregates(struct event_index *index, struct bytes type,
                                     int64_t after_first_position, struct arena *arena,
                                     struct indexed_aggregate *ret, size_t max, size_t *ret_count)
{
    struct aggregate_piece piece;
    int64_t after = after_first_position;
    size_t count = 0;
    do {
        find_piece(index, type, after, max - count, &piece);
        for (size_t i = 0; i < piece.count; i++, count++) {
            ret[count].id = arena_bytes(arena, piece.found[i].id);
            ret[count].head = piece.found[i].head;
            ret[count].head.type = arena_bytes(arena, piece.found[i].head.type);
            if (ret[count].id.data == NULL || ret[count].head.type.data == NULL)
                return index_no_memory();
            after = ret[count].head.first_position;
        }
    } while (piece.count == LIST_PIECE && count < max);
    *ret_count = count;
    return status_ok();
}

struct status event_index_each_aggregate(struct event_index *index, pthread_rwlock_t *engine_lock,
                                         struct bytes type, int64_t after_first_position, aggregate_sink sink,
                                         void *context)
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

/* ---- counts by type ---- */

static const struct term *type_term(const struct event_index *index, size_t i)
{
    return index_term(index, *(const uint32_t *)pool_at(&index->type_terms, i));
}

static size_t count_kind(const struct event_index *index, uint32_t kind)
{
    size_t count = 0;
    for (size_t i = 0; i < index->type_terms.used; i++)
        count += type_term(index, i)->kind == kind && type_term(index, i)->positions.count > 0;
    return count;
}

/* `ret` has room for count_kind() items. */
static struct status fill_kind(const struct event_index *index, uint32_t kind, struct arena *arena,
                               struct type_count *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < index->type_terms.used; i++) {
        struct index_scratch scratch;
        const struct term *term = type_term(index, i);
        if (term->kind != kind || term->positions.count == 0)
            continue;
        /* An aggregate type stands for its aggregates: the list behind it. */
        const struct term *counted = kind == READ_BY_AGGREGATE_TYPE ? term + 1 : term;
        ret[count] = (struct type_count){arena_bytes(arena, text_at(&index->texts, term->text, &scratch)),
                                         (int64_t)counted->positions.count};
        if (ret[count++].type.data == NULL)
            return index_no_memory();
    }
    return status_ok();
}

static struct status stats_locked(const struct event_index *index, struct arena *arena,
                                  struct event_store_stats *ret)
{
    const size_t types = count_kind(index, READ_BY_TYPE);
    const size_t aggregate_types = count_kind(index, READ_BY_AGGREGATE_TYPE);
    struct type_count *by_type = arena_array(arena, types, sizeof *by_type);
    struct type_count *by_aggregate_type = arena_array(arena, aggregate_types, sizeof *by_aggregate_type);
    if (by_type == NULL || by_aggregate_type == NULL)
        return index_no_memory();
    STATUS_TRY(fill_kind(index, READ_BY_TYPE, arena, by_type));
    STATUS_TRY(fill_kind(index, READ_BY_AGGREGATE_TYPE, arena, by_aggregate_type));
    ret->event_count = (int64_t)index_event_count(index) - index->system_count;
    ret->system_event_count = index->system_count;
    ret->events_by_type = by_type;
    ret->event_type_count = types;
    ret->aggregates_by_type = by_aggregate_type;
    ret->aggregate_type_count = aggregate_types;
    return status_ok();
}

/* The arena is asked under the lock: types are few, and what is counted must fit what was filled. */
struct status event_index_stats(struct event_index *index, struct arena *arena, struct event_store_stats *ret)
{
    pthread_rwlock_rdlock(&index->lock);
    const struct status status = stats_locked(index, arena, ret);
    pthread_rwlock_unlock(&index->lock);
    return status;
}
