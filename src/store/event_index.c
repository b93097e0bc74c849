#include "store/event_index.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/hash_table.h"

#define WALK_POSITIONS 256U /* positions taken under the lock at a time */

/* A list of positions that only grows. */
struct positions {
    int64_t *items;
    size_t count;
    size_t capacity;
};

/* Everything with one term; kind is enum read_by. */
struct term {
    struct bytes text;
    enum read_by kind;
    struct positions positions;
    int64_t aggregate_count; /* of an aggregate type: how many are of it */
};

struct aggregate {
    struct bytes id;
    uint32_t type_term; /* among the terms: its aggregate type */
    bool created;       /* its first event has version 0 */
    struct positions positions;
};

struct id_entry {
    struct bytes id;
    int64_t position;
};

struct event_index {
    pthread_rwlock_t lock; /* guards all below; a leaf */
    struct arena *texts;
    struct hash_table by_aggregate; /* hash of the id → place in aggregates */
    struct aggregate *aggregates;   /* in order of their first event */
    size_t aggregate_count;
    size_t aggregate_capacity;
    struct hash_table by_term; /* hash of the text plus kind → place in terms */
    struct term *terms;
    size_t term_count;
    size_t term_capacity;
    struct hash_table by_id; /* hash of the event id → position - 1 */
    struct bytes *ids;       /* by position - 1 */
    int64_t *times_us;       /* by position - 1; never falling */
    size_t event_count;
    size_t event_capacity;
    int64_t system_count;
};

struct event_index *event_index_new(uint64_t seed)
{
    struct event_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    index->texts = arena_new(0);
    if (index->texts == NULL) {
        free(index);
        return NULL;
    }
    /* glibc lets readers overtake a waiting writer for ever; then a few busy readers stop all commits. */
    pthread_rwlockattr_t fair;
    (void)pthread_rwlockattr_init(&fair); /* these four cannot fail with a kind that glibc knows */
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&index->lock, &fair);
    (void)pthread_rwlockattr_destroy(&fair);
    index->by_aggregate = hash_table_make(seed);
    index->by_term = hash_table_make(seed ^ UINT64_C(0x9e3779b97f4a7c15));
    index->by_id = hash_table_make(seed + 1);
    return index;
}

void event_index_free(struct event_index *index)
{
    if (index == NULL)
        return;
    for (size_t i = 0; i < index->aggregate_count; i++)
        free(index->aggregates[i].positions.items);
    for (size_t i = 0; i < index->term_count; i++)
        free(index->terms[i].positions.items);
    hash_table_done(&index->by_aggregate);
    hash_table_done(&index->by_term);
    hash_table_done(&index->by_id);
    free(index->aggregates);
    free(index->terms);
    free(index->ids);
    free(index->times_us);
    arena_free(index->texts);
    (void)pthread_rwlock_destroy(&index->lock); /* nobody holds it */
    free(index);
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the event index");
}

/* Grows `*items` (of `size` bytes each) so that one more fits; false when out of memory. */
static bool make_room(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    const size_t wanted = *capacity < 4 ? 4 : *capacity + *capacity / 2;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

static bool positions_add(struct positions *positions, int64_t position)
{
    if (!make_room((void **)&positions->items, &positions->capacity, positions->count,
                   sizeof *positions->items))
        return false;
    positions->items[positions->count++] = position;
    return true;
}

static struct aggregate *find_aggregate(const struct event_index *index, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&index->by_aggregate, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_aggregate, hash, &state)) != HASH_NONE)
        if (bytes_equal(index->aggregates[at].id, id))
            return &index->aggregates[at];
    return NULL;
}

static uint64_t term_hash(const struct event_index *index, enum read_by kind, struct bytes text)
{
    return hash_table_hash(&index->by_term, text) + (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t find_term(const struct event_index *index, enum read_by kind, struct bytes text)
{
    const uint64_t hash = term_hash(index, kind, text);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_term, hash, &state)) != HASH_NONE)
        if (index->terms[at].kind == kind && bytes_equal(index->terms[at].text, text))
            return at;
    return HASH_NONE;
}

static uint32_t term_add(struct event_index *index, enum read_by kind, struct bytes text, int64_t position)
{
    uint32_t at = find_term(index, kind, text);
    if (at == HASH_NONE) {
        const struct bytes copy = arena_bytes(index->texts, text);
        if (copy.data == NULL ||
            !make_room((void **)&index->terms, &index->term_capacity, index->term_count,
                       sizeof *index->terms) ||
            !hash_table_add(&index->by_term, term_hash(index, kind, text), (uint32_t)index->term_count))
            return HASH_NONE;
        at = (uint32_t)index->term_count++;
        index->terms[at] = (struct term){.text = copy, .kind = kind};
    }
    return positions_add(&index->terms[at].positions, position) ? at : HASH_NONE;
}

static struct status add_terms(struct event_index *index, const struct event_fields *fields,
                               uint32_t *ret_type)
{
    if (term_add(index, READ_BY_TYPE, fields->type, fields->position) == HASH_NONE)
        return no_memory();
    *ret_type = term_add(index, READ_BY_AGGREGATE_TYPE, fields->aggregate_type, fields->position);
    if (*ret_type == HASH_NONE)
        return no_memory();
    if (fields->correlation_id.size_bytes > 0 &&
        term_add(index, READ_BY_CORRELATION, fields->correlation_id, fields->position) == HASH_NONE)
        return no_memory();
    for (size_t i = 0; i < fields->tag_count; i++)
        if (term_add(index, READ_BY_TAG, fields->tags[i], fields->position) == HASH_NONE)
            return no_memory();
    return status_ok();
}

static int32_t last_version(const struct aggregate *aggregate)
{
    return (int32_t)aggregate->positions.count - (aggregate->created ? 1 : 0);
}

static struct status add_to_aggregate(struct event_index *index, const struct event_fields *fields,
                                      uint32_t type)
{
    struct aggregate *aggregate = find_aggregate(index, fields->aggregate_id);
    if (aggregate == NULL) {
        const struct bytes copy = arena_bytes(index->texts, fields->aggregate_id);
        const uint64_t hash = hash_table_hash(&index->by_aggregate, fields->aggregate_id);
        if (copy.data == NULL || !make_room((void **)&index->aggregates, &index->aggregate_capacity,
                                            index->aggregate_count, sizeof *index->aggregates))
            return no_memory();
        /* Counted only with its first position: an aggregate without one must never be seen. */
        aggregate = &index->aggregates[index->aggregate_count];
        *aggregate = (struct aggregate){.id = copy, .type_term = type, .created = fields->version == 0};
        if (!positions_add(&aggregate->positions, fields->position))
            return no_memory();
        if (!hash_table_add(&index->by_aggregate, hash, (uint32_t)index->aggregate_count)) {
            free(aggregate->positions.items);
            return no_memory();
        }
        index->aggregate_count++;
        index->terms[type].aggregate_count++;
        return status_ok();
    }
    return positions_add(&aggregate->positions, fields->position) ? status_ok() : no_memory();
}

/* Whether the event continues what is there; asked before anything is changed. */
static struct status check_fits(const struct event_index *index, const struct event_fields *fields)
{
    const struct aggregate *aggregate = find_aggregate(index, fields->aggregate_id);
    if (aggregate == NULL && fields->version != 0 && fields->version != 1)
        return status_reason(REASON_DAMAGED, "position %lld begins aggregate \"%.*s\" with version %d",
                             (long long)fields->position, BYTES_FORMAT(fields->aggregate_id),
                             fields->version);
    if (aggregate != NULL && fields->version != last_version(aggregate) + 1)
        return status_reason(REASON_DAMAGED,
                             "position %lld has version %d of aggregate \"%.*s\", which was at %d",
                             (long long)fields->position, fields->version, BYTES_FORMAT(fields->aggregate_id),
                             last_version(aggregate));
    return status_ok();
}

static int64_t find_id(const struct event_index *index, struct bytes event_id)
{
    const uint64_t hash = hash_table_hash(&index->by_id, event_id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(index->ids[at], event_id))
            return (int64_t)at + 1;
    return 0;
}

/* Room for one more event in both arrays, which grow together. */
static bool make_event_room(struct event_index *index)
{
    size_t capacity = index->event_capacity;
    if (!make_room((void **)&index->ids, &capacity, index->event_count, sizeof *index->ids))
        return false;
    if (capacity == index->event_capacity)
        return true;
    int64_t *times = realloc(index->times_us, capacity * sizeof *times);
    if (times == NULL)
        return false;
    index->times_us = times;
    index->event_capacity = capacity;
    return true;
}

static struct status add_one(struct event_index *index, const struct event_fields *fields)
{
    const size_t place = index->event_count;
    if (fields->position != (int64_t)place + 1)
        return status_reason(REASON_DAMAGED, "position %lld follows position %zu",
                             (long long)fields->position, place);
    if (find_id(index, fields->id) != 0)
        return status_reason(REASON_DAMAGED, "position %lld repeats the event id \"%.*s\"",
                             (long long)fields->position, BYTES_FORMAT(fields->id));
    STATUS_TRY(check_fits(index, fields));
    if (!make_event_room(index))
        return no_memory();
    uint32_t type = 0;
    STATUS_TRY(add_terms(index, fields, &type));
    STATUS_TRY(add_to_aggregate(index, fields, type));
    index->ids[place] = arena_bytes(index->texts, fields->id);
    index->times_us[place] = fields->timestamp_us;
    if (index->ids[place].data == NULL ||
        !hash_table_add(&index->by_id, hash_table_hash(&index->by_id, fields->id), (uint32_t)place))
        return no_memory();
    index->system_count += fields->type.size_bytes > 0 && fields->type.data[0] == '$';
    index->event_count++;
    return status_ok();
}

struct status event_index_add(struct event_index *index, const struct event_fields *fields, size_t count)
{
    struct status status = status_ok();
    pthread_rwlock_wrlock(&index->lock);
    for (size_t i = 0; i < count && status.code == STATUS_OK; i++)
        status = add_one(index, &fields[i]);
    pthread_rwlock_unlock(&index->lock);
    return status;
}

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
        .version = last_version(aggregate),
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
    const struct aggregate *aggregate = find_aggregate(index, aggregate_id);
    if (aggregate != NULL)
        *ret = head_of(index, aggregate);
    pthread_rwlock_unlock(&index->lock);
    if (!ret->exists)
        return status_ok();
    ret->type = arena_bytes(arena, ret->type);
    return ret->type.data != NULL ? status_ok() : no_memory();
}

int64_t event_index_find_id(struct event_index *index, struct bytes event_id)
{
    pthread_rwlock_rdlock(&index->lock);
    const int64_t position = find_id(index, event_id);
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

/* The first place whose position is over `position`. */
static size_t place_after(const struct positions *positions, int64_t position)
{
    size_t low = 0;
    size_t high = positions->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (positions->items[middle] <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct positions *listed(const struct event_index *index, const struct read_query *query,
                                      const struct aggregate **ret_aggregate)
{
    if (query->by == READ_BY_AGGREGATE) {
        *ret_aggregate = find_aggregate(index, query->key);
        return *ret_aggregate == NULL ? NULL : &(*ret_aggregate)->positions;
    }
    const uint32_t term = find_term(index, query->by, query->key);
    return term == HASH_NONE ? NULL : &index->terms[term].positions;
}

/* Places [first, end) of a list that the query's bounds select. */
static void bound_places(const struct read_query *query, const struct aggregate *aggregate, int64_t to,
                         const struct positions *positions, size_t *first, size_t *end)
{
    *first = place_after(positions, query->after_position);
    *end = place_after(positions, to);
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
        const size_t below = from == 0 ? end : place_after(positions, from - 1);
        for (size_t i = below < end ? below : end; i > first && count < max; i--)
            ret[count++] = positions->items[i - 1];
        return count;
    }
    const size_t behind = place_after(positions, from);
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
            return no_memory();
    }
    *ret_count = count;
    return status_ok();
}

#define LIST_PIECE 64U

struct status event_index_list(struct event_index *index, struct bytes type, int64_t after_first_position,
                               aggregate_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    int64_t after = after_first_position;
    for (;;) {
        struct indexed_aggregate piece[LIST_PIECE];
        size_t count = 0;
        arena_reset(arena);
        STATUS_TRY(event_index_aggregates(index, type, after, arena, piece, LIST_PIECE, &count));
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
        count += index->terms[i].kind == kind;
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
        status = no_memory();
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
