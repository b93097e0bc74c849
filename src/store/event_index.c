#include "event_index_internal.h"

#include <stdlib.h>
#include <string.h>

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

struct status index_no_memory(void)
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

size_t positions_behind(const struct positions *positions, int64_t position)
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

struct aggregate *index_find_aggregate(const struct event_index *index, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&index->by_aggregate, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_aggregate, hash, &state)) != HASH_NONE)
        if (at < index->aggregate_count && bytes_equal(index->aggregates[at].id, id))
            return &index->aggregates[at];
    return NULL;
}

static uint64_t term_hash(const struct event_index *index, enum read_by kind, struct bytes text)
{
    return hash_table_hash(&index->by_term, text) + (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15);
}

uint32_t index_find_term(const struct event_index *index, enum read_by kind, struct bytes text)
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
    uint32_t at = index_find_term(index, kind, text);
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
        return index_no_memory();
    *ret_type = term_add(index, READ_BY_AGGREGATE_TYPE, fields->aggregate_type, fields->position);
    if (*ret_type == HASH_NONE)
        return index_no_memory();
    if (fields->correlation_id.size_bytes > 0 &&
        term_add(index, READ_BY_CORRELATION, fields->correlation_id, fields->position) == HASH_NONE)
        return index_no_memory();
    for (size_t i = 0; i < fields->tag_count; i++)
        if (term_add(index, READ_BY_TAG, fields->tags[i], fields->position) == HASH_NONE)
            return index_no_memory();
    return status_ok();
}

int32_t index_last_version(const struct aggregate *aggregate)
{
    return (int32_t)aggregate->positions.count - (aggregate->created ? 1 : 0);
}

static struct status add_to_aggregate(struct event_index *index, const struct event_fields *fields,
                                      uint32_t type)
{
    struct aggregate *aggregate = index_find_aggregate(index, fields->aggregate_id);
    if (aggregate == NULL) {
        const struct bytes copy = arena_bytes(index->texts, fields->aggregate_id);
        const uint64_t hash = hash_table_hash(&index->by_aggregate, fields->aggregate_id);
        if (copy.data == NULL || !make_room((void **)&index->aggregates, &index->aggregate_capacity,
                                            index->aggregate_count, sizeof *index->aggregates))
            return index_no_memory();
        /* Counted only with its first position: an aggregate without one must never be seen. */
        aggregate = &index->aggregates[index->aggregate_count];
        *aggregate = (struct aggregate){.id = copy, .type_term = type, .created = fields->version == 0};
        if (!positions_add(&aggregate->positions, fields->position))
            return index_no_memory();
        if (!hash_table_add(&index->by_aggregate, hash, (uint32_t)index->aggregate_count)) {
            free(aggregate->positions.items);
            return index_no_memory();
        }
        index->aggregate_count++;
        index->terms[type].aggregate_count++;
        return status_ok();
    }
    return positions_add(&aggregate->positions, fields->position) ? status_ok() : index_no_memory();
}

/* Whether the event continues what is there; asked before anything is changed. */
static struct status check_fits(const struct event_index *index, const struct event_fields *fields)
{
    const struct aggregate *aggregate = index_find_aggregate(index, fields->aggregate_id);
    if (aggregate == NULL && fields->version != 0 && fields->version != 1)
        return status_reason(REASON_DAMAGED, "position %lld begins aggregate \"%.*s\" with version %d",
                             (long long)fields->position, BYTES_FORMAT(fields->aggregate_id),
                             fields->version);
    if (aggregate != NULL && fields->version != index_last_version(aggregate) + 1)
        return status_reason(REASON_DAMAGED,
                             "position %lld has version %d of aggregate \"%.*s\", which was at %d",
                             (long long)fields->position, fields->version, BYTES_FORMAT(fields->aggregate_id),
                             index_last_version(aggregate));
    return status_ok();
}

int64_t index_find_id(const struct event_index *index, struct bytes event_id)
{
    const uint64_t hash = hash_table_hash(&index->by_id, event_id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&index->by_id, hash, &state)) != HASH_NONE)
        if (at < index->event_count && bytes_equal(index->ids[at], event_id))
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

static bool is_system(struct bytes type)
{
    return type.size_bytes > 0 && type.data[0] == '$';
}

static struct status add_one(struct event_index *index, const struct event_fields *fields)
{
    const size_t place = index->event_count;
    if (fields->position != (int64_t)place + 1)
        return status_reason(REASON_DAMAGED, "position %lld follows position %zu",
                             (long long)fields->position, place);
    if (index_find_id(index, fields->id) != 0)
        return status_reason(REASON_DAMAGED, "position %lld repeats the event id \"%.*s\"",
                             (long long)fields->position, BYTES_FORMAT(fields->id));
    STATUS_TRY(check_fits(index, fields));
    if (!make_event_room(index))
        return index_no_memory();
    uint32_t type = 0;
    STATUS_TRY(add_terms(index, fields, &type));
    STATUS_TRY(add_to_aggregate(index, fields, type));
    index->ids[place] = arena_bytes(index->texts, fields->id);
    index->times_us[place] = fields->timestamp_us;
    if (index->ids[place].data == NULL ||
        !hash_table_add(&index->by_id, hash_table_hash(&index->by_id, fields->id), (uint32_t)place))
        return index_no_memory();
    index->system_count += is_system(fields->type);
    index->event_count++;
    return status_ok();
}

/* Lists and arrays are cut behind `last`; slots of the tables that point beyond are passed over from then on. */
static void cut(struct event_index *index, int64_t last)
{
    index->system_count = 0;
    for (size_t i = 0; i < index->term_count; i++) {
        struct term *term = &index->terms[i];
        term->positions.count = positions_behind(&term->positions, last);
        if (term->kind == READ_BY_TYPE && is_system(term->text))
            index->system_count += (int64_t)term->positions.count;
    }
    for (size_t i = index->aggregate_count; i-- > 0;) {
        struct aggregate *aggregate = &index->aggregates[i];
        aggregate->positions.count = positions_behind(&aggregate->positions, last);
        if (aggregate->positions.count > 0)
            continue;
        /* In order of their first event: all behind it are gone already. */
        free(aggregate->positions.items);
        index->terms[aggregate->type_term].aggregate_count--;
        index->aggregate_count = i;
    }
    index->event_count = (size_t)last;
}

struct status event_index_add(struct event_index *index, const struct event_fields *fields, size_t count)
{
    struct status status = status_ok();
    pthread_rwlock_wrlock(&index->lock);
    const int64_t before = (int64_t)index->event_count;
    for (size_t i = 0; i < count && status.code == STATUS_OK; i++)
        status = add_one(index, &fields[i]);
    if (status.code != STATUS_OK)
        cut(index, before);
    pthread_rwlock_unlock(&index->lock);
    return status;
}

void event_index_cut(struct event_index *index, int64_t last_position)
{
    pthread_rwlock_wrlock(&index->lock);
    if (last_position < (int64_t)index->event_count)
        cut(index, last_position);
    pthread_rwlock_unlock(&index->lock);
}
