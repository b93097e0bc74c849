#include "event_index_internal.h"

#include <assert.h>

#define WALK_POSITIONS 256U /* positions taken under the lock at a time */

/* ---- finding places ---- */

uint64_t index_term_hash(const struct event_index *index, uint32_t kind, struct bytes text)
{
    return hash_table_hash(&index->by_term, text) + (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15);
}

uint32_t index_find_aggregate(const struct event_index *index, struct bytes id, uint64_t hash)
{
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_aggregate, hash, &state)) != HASH_NONE)
        if (at < index->aggregates.used && text_is(&index->texts, index_aggregate(index, at)->text, id))
            return at;
    return HASH_NONE;
}

/* Each step needs what the one before has fetched, so all take a step before any takes the next. */
void index_prefetch_aggregates(const struct event_index *index, const uint64_t *hashes, size_t count)
{
    const struct aggregate *found[EVENT_INDEX_PREFETCH_MAX];
    size_t found_count = 0;
    assert(count <= EVENT_INDEX_PREFETCH_MAX);
    for (size_t i = 0; i < count; i++)
        hash_table_prefetch(&index->by_aggregate, hashes[i]);
    for (size_t i = 0; i < count; i++) {
        size_t state = 0;
        const uint32_t at = hash_table_next(&index->by_aggregate, hashes[i], &state);
        if (at >= index->aggregates.used)
            continue;
        found[found_count] = index_aggregate(index, at);
        __builtin_prefetch(found[found_count++]);
    }
    for (size_t i = 0; i < found_count; i++) {
        __builtin_prefetch(pool_at(&index->texts, found[i]->text));
        positions_prefetch_last(&index->lists, &found[i]->positions);
    }
}

uint32_t index_find_term(const struct event_index *index, uint32_t kind, struct bytes text)
{
    const uint64_t hash = index_term_hash(index, kind, text);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_term, hash, &state)) != HASH_NONE)
        if (at < index->terms.used && index_term(index, at)->kind == kind &&
            text_is(&index->texts, index_term(index, at)->text, text))
            return at;
    return HASH_NONE;
}

uint32_t index_find_id(const struct event_index *index, struct bytes event_id, uint64_t hash)
{
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_id, hash, &state)) != HASH_NONE)
        if (at < index_event_count(index) && text_is(&index->texts, index_id_text(index, at), event_id))
            return at;
    return HASH_NONE;
}

const struct positions *index_positions(const struct event_index *index, const struct indexed_list *list)
{
    const bool of_aggregate = list->kind == READ_BY_AGGREGATE;
    assert(list->place < (of_aggregate ? index->aggregates.used : index->terms.used));
    return of_aggregate ? &index_aggregate(index, list->place)->positions
                        : &index_term(index, list->place)->positions;
}

/* ---- what is one number or one aggregate ---- */

int64_t event_index_base_position(const struct event_index *index)
{
    return index->base;
}

int64_t event_index_last_position(struct event_index *index)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t last = index->base + (int64_t)index_event_count(index);
    pthread_rwlock_unlock(&index->lock);
    return last;
}

int64_t event_index_aggregate_count(struct event_index *index)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t count = (int64_t)index->created_count;
    pthread_rwlock_unlock(&index->lock);
    return count;
}

size_t event_index_memory_bytes(struct event_index *index)
{
    size_t sum = sizeof *index;
    pthread_rwlock_rdlock(&index->lock);
    const struct pool *pools[] = {&index->texts, &index->ids,        &index->times_us, &index->aggregates,
                                  &index->terms, &index->type_terms, &index->lists};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        sum += pools[i]->used * pools[i]->item_bytes + pools[i]->chunk_capacity * sizeof *pools[i]->chunks;
    sum += (index->by_id.capacity + index->by_aggregate.capacity + index->by_term.capacity) *
           sizeof(struct hash_slot);
    pthread_rwlock_unlock(&index->lock);
    return sum;
}

struct aggregate_head index_head_of(const struct event_index *index, const struct aggregate *aggregate,
                                    struct index_scratch *scratch)
{
    struct aggregate_head head = {
        .exists = true,
        .type = text_at(&index->texts, index_term(index, aggregate->type_term)->text, scratch),
        .version = (int32_t)index_last_version(aggregate),
        .position = index->base + positions_last(&index->lists, &aggregate->positions),
    };
    if (aggregate->begins) {
        head.first_position = index->base + positions_first(&index->lists, &aggregate->positions);
        head.event_count = (int32_t)aggregate->positions.count;
    }
    return head;
}

struct status event_index_head(struct event_index *index, struct bytes aggregate_id, struct arena *arena,
                               struct aggregate_head *ret)
{
    const uint64_t hash = hash_table_hash(&index->by_aggregate, aggregate_id);
    struct index_scratch scratch;
    *ret = (struct aggregate_head){0};
    pthread_rwlock_rdlock(&index->lock);
    const uint32_t place = index_find_aggregate(index, aggregate_id, hash);
    if (place != HASH_NONE)
        *ret = index_head_of(index, index_aggregate(index, place), &scratch);
    pthread_rwlock_unlock(&index->lock);
    if (!ret->exists)
        return status_ok();
    ret->type = arena_bytes(arena, ret->type);
    return ret->type.data != NULL ? status_ok() : index_no_memory();
}

/* Most aggregates that are asked for together are of one type: they share its copy. */
static bool copy_types(struct arena *arena, struct aggregate_head *heads, size_t count)
{
    struct bytes from = BYTES_NONE;
    struct bytes copy = BYTES_NONE;
    for (size_t i = 0; i < count; i++) {
        if (!heads[i].exists)
            continue;
        if (copy.data == NULL || heads[i].type.data != from.data) {
            from = heads[i].type;
            copy = arena_bytes(arena, from);
            if (copy.data == NULL)
                return false;
        }
        heads[i].type = copy;
    }
    return true;
}

struct status event_index_find_heads(struct event_index *index, const struct bytes *aggregate_ids,
                                     size_t count, struct arena *arena, struct aggregate_head *ret)
{
    uint64_t hashes[EVENT_INDEX_PREFETCH_MAX] = {0};
    struct index_scratch scratches[EVENT_INDEX_PREFETCH_MAX];
    assert(count <= EVENT_INDEX_PREFETCH_MAX);
    for (size_t i = 0; i < count; i++)
        hashes[i] = hash_table_hash(&index->by_aggregate, aggregate_ids[i]);
    pthread_rwlock_rdlock(&index->lock);
    index_prefetch_aggregates(index, hashes, count);
    for (size_t i = 0; i < count; i++) {
        const uint32_t place = index_find_aggregate(index, aggregate_ids[i], hashes[i]);
        ret[i] = (struct aggregate_head){0};
        if (place != HASH_NONE)
            ret[i] = index_head_of(index, index_aggregate(index, place), &scratches[i]);
    }
    pthread_rwlock_unlock(&index->lock);
    return copy_types(arena, ret, count) ? status_ok() : index_no_memory();
}

int64_t event_index_find_id(struct event_index *index, struct bytes event_id)
{
    const uint64_t hash = hash_table_hash(&index->by_id, event_id);
    pthread_rwlock_rdlock(&index->lock);
    const uint32_t place = index_find_id(index, event_id, hash);
    pthread_rwlock_unlock(&index->lock);
    return place == HASH_NONE ? 0 : index->base + 1 + place;
}

void event_index_find_ids(struct event_index *index, const struct bytes *event_ids, size_t count,
                          int64_t *ret_positions)
{
    uint64_t hashes[EVENT_INDEX_PREFETCH_MAX];
    assert(count <= EVENT_INDEX_PREFETCH_MAX);
    for (size_t i = 0; i < count; i++)
        hashes[i] = hash_table_hash(&index->by_id, event_ids[i]);
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = 0; i < count; i++)
        hash_table_prefetch(&index->by_id, hashes[i]);
    for (size_t i = 0; i < count; i++) {
        const uint32_t place = index_find_id(index, event_ids[i], hashes[i]);
        ret_positions[i] = place == HASH_NONE ? 0 : index->base + 1 + place;
    }
    pthread_rwlock_unlock(&index->lock);
}

int64_t event_index_find_time(struct event_index *index, int64_t time_us)
{
    pthread_rwlock_rdlock(&index->lock);
    size_t low = 0;
    size_t high = index_event_count(index);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (index_time_us(index, middle) <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    pthread_rwlock_unlock(&index->lock);
    return low == 0 ? 0 : index->base + (int64_t)low;
}

/* ---- positions ---- */

static struct indexed_list list_of_term(const struct event_index *index, uint32_t kind, struct bytes text)
{
    const bool created = kind == TERM_CREATED;
    const uint32_t place = index_find_term(index, created ? (uint32_t)READ_BY_AGGREGATE_TYPE : kind, text);
    if (place == HASH_NONE)
        return (struct indexed_list){0};
    const uint32_t own = created ? place + 1 : place;
    return (struct indexed_list){
        .count = index_term(index, own)->positions.count, .kind = kind, .place = own};
}

static struct indexed_list list_of_aggregate(const struct event_index *index, struct bytes id)
{
    const uint32_t place = index_find_aggregate(index, id, hash_table_hash(&index->by_aggregate, id));
    if (place == HASH_NONE)
        return (struct indexed_list){0};
    const struct aggregate *aggregate = index_aggregate(index, place);
    return (struct indexed_list){.count = aggregate->positions.count,
                                 .first_version = aggregate->first_version,
                                 .kind = READ_BY_AGGREGATE,
                                 .place = place};
}

static struct indexed_list list_locked(const struct event_index *index, enum read_by by, struct bytes key)
{
    assert(by != READ_BY_POSITION);
    return by == READ_BY_AGGREGATE ? list_of_aggregate(index, key) : list_of_term(index, (uint32_t)by, key);
}

struct indexed_list event_index_list(struct event_index *index, enum read_by by, struct bytes key)
{
    pthread_rwlock_rdlock(&index->lock);
    const struct indexed_list list = list_locked(index, by, key);
    pthread_rwlock_unlock(&index->lock);
    return list;
}

struct indexed_list event_index_list_created(struct event_index *index, struct bytes aggregate_type)
{
    pthread_rwlock_rdlock(&index->lock);
    const struct indexed_list list = list_of_term(index, TERM_CREATED, aggregate_type);
    pthread_rwlock_unlock(&index->lock);
    return list;
}

uint32_t event_index_list_behind(struct event_index *index, const struct indexed_list *list, int64_t position)
{
    if (list->count == 0)
        return 0;
    pthread_rwlock_rdlock(&index->lock);
    const size_t places = list->kind == READ_BY_AGGREGATE ? index->aggregates.used : index->terms.used;
    uint32_t behind = 0;
    if (list->place < places) { /* else all of it was cut */
        struct position_view view = positions_view(&index->lists, index_positions(index, list));
        view.count = list->count < view.count ? list->count : view.count;
        behind = position_view_behind(&view, index_number(index, position));
    }
    pthread_rwlock_unlock(&index->lock);
    return behind;
}

void event_index_list_read(struct event_index *index, const struct indexed_list *list, uint32_t from,
                           int64_t *ret_positions, uint32_t count)
{
    pthread_rwlock_rdlock(&index->lock);
    event_index_list_copy(index, list, from, ret_positions, count);
    pthread_rwlock_unlock(&index->lock);
}

/* Numbers [*first, *end) of a list that the query's bounds select. */
static void bound_numbers(const struct event_index *index, const struct read_query *query,
                          const struct indexed_list *list, int64_t to, const struct position_view *view,
                          uint32_t *first, uint32_t *end)
{
    *first = position_view_behind(view, index_number(index, query->after_position));
    *end = position_view_behind(view, index_number(index, to));
    if (query->by != READ_BY_AGGREGATE)
        return;
    const int64_t from_number = (int64_t)query->from_version - list->first_version;
    const int64_t end_number = (int64_t)query->to_version - list->first_version + 1;
    if (from_number > (int64_t)*first)
        *first = from_number > (int64_t)list->count ? list->count : (uint32_t)from_number;
    if (end_number < (int64_t)*end)
        *end = end_number < 0 ? 0 : (uint32_t)end_number;
}

static size_t all_positions(const struct event_index *index, const struct read_query *query, int64_t to,
                            int64_t from, int64_t *ret, size_t max)
{
    const int64_t after = query->after_position > index->base ? query->after_position : index->base;
    size_t count = 0;
    if (query->backward) {
        int64_t next = from == 0 || from > to ? to : from - 1;
        for (; next > after && count < max; next--)
            ret[count++] = next;
        return count;
    }
    int64_t next = (from > after ? from : after) + 1;
    for (; next <= to && count < max; next++)
        ret[count++] = next;
    return count;
}

static size_t positions_locked(struct event_index *index, const struct read_query *query, int64_t from,
                               int64_t *ret, size_t max)
{
    const int64_t last = index->base + (int64_t)index_event_count(index);
    const int64_t to = query->to_position == 0 || query->to_position > last ? last : query->to_position;
    if (query->by == READ_BY_POSITION)
        return all_positions(index, query, to, from, ret, max);
    const struct indexed_list list = list_locked(index, query->by, query->key);
    if (list.count == 0)
        return 0;
    const struct position_view view = positions_view(&index->lists, index_positions(index, &list));
    uint32_t first = 0;
    uint32_t end = 0;
    bound_numbers(index, query, &list, to, &view, &first, &end);
    size_t count = 0;
    if (query->backward) {
        const uint32_t below = from == 0 ? end : position_view_behind(&view, index_number(index, from - 1));
        for (uint32_t i = below < end ? below : end; i > first && count < max; i--)
            ret[count++] = index->base + position_view_at(&view, i - 1);
        return count;
    }
    const uint32_t behind = position_view_behind(&view, index_number(index, from));
    for (uint32_t i = behind > first ? behind : first; i < end && count < max; i++)
        ret[count++] = index->base + position_view_at(&view, i);
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
