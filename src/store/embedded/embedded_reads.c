#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "embedded_internal.h"
#include "record_reader_internal.h"

#define AGGREGATE_PAGE 64U

/*
 * Every question is asked under view_lock, so that a batch shows as a whole: its events, its heads, the
 * store's head. Records are read without it: what is published never moves.
 */

static struct location location_of(struct embedded_store *store, int64_t position)
{
    pthread_rwlock_rdlock(&store->view_lock);
    assert(position >= 1 && position <= store->locations.count);
    const struct location location = locations_at(&store->locations, position);
    pthread_rwlock_unlock(&store->view_lock);
    return location;
}

struct status embedded_head(struct event_store *base, struct store_head *ret)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    *ret = store->head;
    pthread_rwlock_unlock(&store->view_lock);
    return status_ok();
}

/* ---- facts ---- */

static struct status fetch_copy(struct embedded_store *store, struct record_reader *reader, int64_t position,
                                struct arena *arena, struct record *ret)
{
    STATUS_TRY(record_reader_get(reader, position, location_of(store, position), ret));
    const struct bytes copy = arena_bytes(arena, ret->bytes);
    if (copy.data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the event at position %" PRId64,
                            position);
    ret->bytes = copy;
    return status_ok();
}

/* All records of the append that the event at `position` belongs to. */
static struct status fetch_append(struct embedded_store *store, struct record_reader *reader,
                                  int64_t position, struct arena *arena, struct earlier_append *ret)
{
    struct record record;
    struct event_fields fields;
    STATUS_TRY(fetch_copy(store, reader, position, arena, &record));
    STATUS_TRY(record_decode_header(record, &fields));
    const int64_t first = position - fields.append_index;
    if (fields.append_count < 1 || fields.append_index < 0 || fields.append_index >= fields.append_count ||
        first < 1)
        return status_reason(REASON_DAMAGED, "the event at position %" PRId64 " names no place in its append",
                             position);
    const size_t count = (size_t)fields.append_count;
    struct record *records = arena_array(arena, count, sizeof *records);
    if (records == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an append of %zu events", count);
    for (size_t i = 0; i < count; i++) {
        if (first + (int64_t)i == position)
            records[i] = record;
        else
            STATUS_TRY(fetch_copy(store, reader, first + (int64_t)i, arena, &records[i]));
    }
    ret->records = records;
    ret->count = count;
    return status_ok();
}

/* Damage to one append must not refuse those of others: who named the id learns of it, the batch goes on. */
static struct status note_unreadable(const struct status *why, struct arena *arena,
                                     struct earlier_append *ret)
{
    struct status *kept = arena_alloc(arena, sizeof *kept);
    if (kept == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the facts of a batch");
    *kept = *why;
    *ret = (struct earlier_append){.unreadable = kept};
    return status_ok();
}

/* What the index alone knows, in one look. */
static struct status look_up(struct embedded_store *store, const struct facts_request *request,
                             struct arena *arena, struct facts *ret, int64_t *ret_positions)
{
    ret->head = store->head;
    for (size_t i = 0; i < request->aggregate_count; i++)
        STATUS_TRY(event_index_head(store->index, request->aggregate_ids[i], arena, &ret->heads[i]));
    for (size_t i = 0; i < request->event_id_count; i++)
        ret_positions[i] = event_index_find_id(store->index, request->event_ids[i]);
    return status_ok();
}

struct status embedded_facts(struct event_store *base, const struct facts_request *request,
                             struct arena *arena, struct facts *ret)
{
    struct embedded_store *store = embedded_of(base);
    ret->heads = arena_array(arena, request->aggregate_count, sizeof *ret->heads);
    ret->earlier = arena_array(arena, request->event_id_count, sizeof *ret->earlier);
    int64_t *positions = arena_array(arena, request->event_id_count, sizeof *positions);
    if (ret->heads == NULL || ret->earlier == NULL || positions == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the facts of a batch");
    pthread_rwlock_rdlock(&store->view_lock);
    struct status status = look_up(store, request, arena, ret, positions);
    pthread_rwlock_unlock(&store->view_lock);

    struct record_reader reader = record_reader_make(store->segments, READ_FORWARD);
    for (size_t i = 0; i < request->event_id_count && status.code == STATUS_OK; i++) {
        if (positions[i] == 0)
            continue;
        status = fetch_append(store, &reader, positions[i], arena, &ret->earlier[i]);
        if (status.code == STATUS_DATA_LOSS)
            status = note_unreadable(&status, arena, &ret->earlier[i]);
    }
    record_reader_done(&reader);
    return status;
}

/* ---- reading ---- */

struct fetching {
    struct embedded_store *store;
    struct record_reader reader;
};

static struct status fetch(void *engine, int64_t position, record_sink sink, void *context, bool *ret_more)
{
    struct fetching *fetching = engine;
    struct record record;
    STATUS_TRY(
        record_reader_get(&fetching->reader, position, location_of(fetching->store, position), &record));
    *ret_more = sink(context, position, record);
    return status_ok();
}

struct status embedded_read(struct event_store *base, const struct read_query *query, record_sink sink,
                            void *context)
{
    struct embedded_store *store = embedded_of(base);
    struct store_head head;
    STATUS_TRY(embedded_head(base, &head));
    struct read_query bounded = *query;
    if (bounded.to_position == 0 || bounded.to_position > head.position)
        bounded.to_position = head.position;
    if (bounded.to_position <= bounded.after_position)
        return status_ok();
    const enum read_order order = query->by != READ_BY_POSITION ? READ_SCATTERED
                                  : query->backward             ? READ_BACKWARD
                                                                : READ_FORWARD;
    struct fetching fetching = {store, record_reader_make(store->segments, order)};
    const struct status status = event_index_read(store->index, &bounded, fetch, &fetching, sink, context);
    record_reader_done(&fetching.reader);
    return status;
}

/* ---- aggregates ---- */

struct status embedded_aggregate(struct event_store *base, struct bytes id, struct arena *arena,
                                 struct aggregate_head *ret)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    const struct status status = event_index_head(store->index, id, arena, ret);
    pthread_rwlock_unlock(&store->view_lock);
    return status;
}

struct status embedded_aggregates(struct event_store *base, struct bytes type, int64_t after_first_position,
                                  aggregate_sink sink, void *context)
{
    struct embedded_store *store = embedded_of(base);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list aggregates");
    for (;;) {
        struct indexed_aggregate page[AGGREGATE_PAGE];
        size_t count = 0;
        arena_reset(arena);
        pthread_rwlock_rdlock(&store->view_lock);
        const struct status status = event_index_aggregates(store->index, type, after_first_position, arena,
                                                            page, AGGREGATE_PAGE, &count);
        pthread_rwlock_unlock(&store->view_lock);
        STATUS_TRY(status);
        for (size_t i = 0; i < count; i++) {
            if (!sink(context, page[i].id, &page[i].head))
                return status_ok();
        }
        if (count < AGGREGATE_PAGE)
            return status_ok();
        after_first_position = page[count - 1].head.first_position;
    }
}

/* ---- finding and counting ---- */

struct status embedded_find_id(struct event_store *base, struct bytes event_id, int64_t *ret_position)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    *ret_position = event_index_find_id(store->index, event_id);
    pthread_rwlock_unlock(&store->view_lock);
    return status_ok();
}

struct status embedded_find_time(struct event_store *base, int64_t time_us, int64_t *ret_position)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    *ret_position = event_index_find_time(store->index, time_us);
    pthread_rwlock_unlock(&store->view_lock);
    return status_ok();
}

struct status embedded_stats(struct event_store *base, struct arena *arena, struct event_store_stats *ret)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    const struct status status = event_index_stats(store->index, arena, ret);
    pthread_rwlock_unlock(&store->view_lock);
    STATUS_TRY(status);
    ret->engine = "embedded";
    ret->size_bytes = (int64_t)segment_log_bytes(store->segments);
    return status_ok();
}
