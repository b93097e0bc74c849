#include <inttypes.h>
#include <string.h>

#include "embedded_internal.h"
#include "layer_list_internal.h"
#include "lookup_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the facts of a batch");
}

/* ---- earlier appends ---- */

static struct status fetch_copy(struct view_reader *reader, int64_t position, struct arena *arena,
                                struct record *ret)
{
    STATUS_TRY(view_reader_get(reader, position, ret));
    const struct bytes copy = arena_bytes(arena, ret->bytes);
    if (copy.data == NULL)
        return no_memory();
    ret->bytes = copy;
    return status_ok();
}

/* All records of the append that the event at `position` belongs to. */
static struct status fetch_append(struct view_reader *reader, int64_t position, struct arena *arena,
                                  struct earlier_append *ret)
{
    struct record record;
    struct event_fields fields;
    STATUS_TRY(fetch_copy(reader, position, arena, &record));
    STATUS_TRY(record_decode_header(record, &fields));
    const int64_t first = position - fields.append_index;
    if (fields.append_count < 1 || fields.append_index < 0 || fields.append_index >= fields.append_count ||
        first < 1)
        return status_reason(REASON_DAMAGED, "the event at position %" PRId64 " names no place in its append",
                             position);
    const size_t count = (size_t)fields.append_count;
    struct record *records = arena_array(arena, count, sizeof *records);
    if (records == NULL)
        return no_memory();
    for (size_t i = 0; i < count; i++) {
        if (first + (int64_t)i == position)
            records[i] = record;
        else
            STATUS_TRY(fetch_copy(reader, first + (int64_t)i, arena, &records[i]));
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
        return no_memory();
    *kept = *why;
    *ret = (struct earlier_append){.unreadable = kept};
    return status_ok();
}

static struct status fill_earlier(struct view_reader *reader, const struct id_lookup *ids, size_t count,
                                  struct arena *arena, struct facts *ret)
{
    view_reader_order(reader, READ_FORWARD); /* the events of an append lie side by side */
    for (size_t i = 0; i < count; i++) {
        ret->earlier[i] = (struct earlier_append){.unreadable = ids[i].unreadable};
        if (ids[i].position == 0)
            continue;
        const struct status status = fetch_append(reader, ids[i].position, arena, &ret->earlier[i]);
        if (status.code == STATUS_DATA_LOSS)
            STATUS_TRY(note_unreadable(&status, arena, &ret->earlier[i]));
        else
            STATUS_TRY(status);
    }
    return status_ok();
}

/* ---- heads ---- */

/* Heads that the cache has are looked for only where something newer could be. */
static void ask_cache(struct embedded_store *store, struct head_lookup *heads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (heads[i].done)
            continue;
        heads[i].hash = embedded_index_hash(store, INDEX_KEY_AGGREGATE, heads[i].id);
        head_cache_prefetch(store->heads, heads[i].hash);
    }
    for (size_t i = 0; i < count; i++)
        if (!heads[i].done)
            head_cache_prefetch_entry(store->heads, heads[i].hash);
    for (size_t i = 0; i < count; i++)
        if (!heads[i].done)
            heads[i].cached = head_cache_get(store->heads, heads[i].id, heads[i].hash, &heads[i].head,
                                             &heads[i].newer_than);
}

static struct status fill_heads(struct embedded_store *store, struct view_reader *reader,
                                struct head_lookup *heads, size_t count, struct arena *arena,
                                struct facts *ret)
{
    const bool cached = reader->view->run_count > 0;
    if (cached)
        ask_cache(store, heads, count);
    for (size_t i = 0; i < count; i++)
        heads[i].from_open = heads[i].done;
    STATUS_TRY(lookup_heads(reader, heads, count, arena));
    for (size_t i = 0; i < count; i++) {
        ret->heads[i] = heads[i].head;
        ret->heads[i].unreadable = heads[i].unreadable;
        ret->heads[i].first_position = 0; /* said of some aggregates and not of others, nobody could use it */
        ret->heads[i].event_count = 0;
        if (heads[i].unreadable != NULL)
            continue;
        if (!heads[i].head.exists)
            STATUS_TRY(known_ids_add(&store->unknown, heads[i].id));
        else if (cached && !heads[i].from_open && heads[i].newer_than < reader->view->built)
            head_cache_put(store->heads, heads[i].id, heads[i].hash, &heads[i].head, ret->head.position);
    }
    return status_ok();
}

/* ---- facts ---- */

/* What only the open table knows, in one look with the head. */
static struct status look_into_open(struct embedded_store *store, const struct facts_request *request,
                                    struct arena *arena, struct head_lookup *heads, struct id_lookup *ids)
{
    const struct view_table *open = view_open_table(store->view);
    for (size_t i = 0; i < request->aggregate_count; i++)
        heads[i].id = request->aggregate_ids[i];
    for (size_t i = 0; i < request->event_id_count; i++)
        ids[i].id = request->event_ids[i];
    STATUS_TRY(lookup_heads_in_table(open, heads, request->aggregate_count, arena));
    lookup_ids_in_table(open, ids, request->event_id_count);
    return status_ok();
}

static struct status fill_facts(struct embedded_store *store, struct view_reader *reader,
                                const struct facts_request *request, struct head_lookup *heads,
                                struct id_lookup *ids, struct arena *arena, struct facts *ret)
{
    STATUS_TRY(fill_heads(store, reader, heads, request->aggregate_count, arena, ret));
    STATUS_TRY(lookup_ids(reader, ids, request->event_id_count, arena));
    return fill_earlier(reader, ids, request->event_id_count, arena, ret);
}

struct status embedded_facts(struct event_store *base, const struct facts_request *request,
                             struct arena *arena, struct facts *ret)
{
    struct embedded_store *store = embedded_of(base);
    ret->heads = arena_array(arena, request->aggregate_count, sizeof *ret->heads);
    ret->earlier = arena_array(arena, request->event_id_count, sizeof *ret->earlier);
    struct head_lookup *heads = arena_array(arena, request->aggregate_count, sizeof *heads);
    struct id_lookup *ids = arena_array(arena, request->event_id_count, sizeof *ids);
    if (ret->heads == NULL || ret->earlier == NULL || heads == NULL || ids == NULL)
        return no_memory();
    pthread_rwlock_rdlock(&store->view_lock);
    CLEANUP(view_unref_at) struct index_view *view = view_ref(store->view);
    ret->head = store->head;
    struct status status = look_into_open(store, request, arena, heads, ids);
    pthread_rwlock_unlock(&store->view_lock);
    STATUS_TRY(status);

    head_cache_settle(store->heads, ret->head.position);
    known_ids_clear(&store->unknown);
    store->unknown.as_of = ret->head.position;
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_SCATTERED);
    status = fill_facts(store, &reader, request, heads, ids, arena, ret);
    view_reader_done(&reader);
    if (status.code != STATUS_OK)
        known_ids_clear(&store->unknown);
    return status;
}

/* ---- firsts ---- */

/* In tables alone: nothing that was committed since `as_of` is anywhere else. */
static bool is_in_tables(struct embedded_store *store, const struct index_view *view, struct bytes id)
{
    const struct key key = key_of(store, READ_BY_AGGREGATE, id);
    for (size_t i = view->table_count; i-- > 0;)
        if (layer_list_of_table(view->tables[i], &key).count > 0)
            return true;
    return false;
}

/*
 * Version 1 begins an aggregate unless a creation did, and that can lie anywhere. Facts have mostly just said that the
 * aggregate is unknown; what happened since is in the tables. The head does not move meanwhile: the commit
 * before has ended.
 */
static struct status is_first(struct embedded_store *store, struct view_reader *reader, struct bytes id,
                              struct arena *arena, bool *ret)
{
    const struct index_view *view = reader->view;
    *ret = false;
    if (known_ids_has(&store->created, id) || is_in_tables(store, view, id))
        return status_ok();
    *ret = true;
    if (view->built <= store->unknown.as_of && known_ids_has(&store->unknown, id))
        return status_ok();
    struct head_lookup lookup = {.id = id};
    STATUS_TRY(lookup_heads(reader, &lookup, 1, arena));
    if (lookup.unreadable != NULL)
        return *lookup.unreadable;
    *ret = !lookup.head.exists;
    return status_ok();
}

static struct status find_firsts(struct embedded_store *store, struct view_reader *reader,
                                 const struct commit_append *append, struct arena *arena)
{
    for (size_t i = 0; i < append->count; i++) {
        const struct event_fields *fields = &append->fields[i];
        bool first = fields->version == 0;
        if (first)
            STATUS_TRY(known_ids_add(&store->created, fields->aggregate_id));
        if (fields->version == 1)
            STATUS_TRY(is_first(store, reader, fields->aggregate_id, arena, &first));
        head_cache_stage(store->heads, embedded_index_hash(store, INDEX_KEY_AGGREGATE, fields->aggregate_id),
                         fields);
        buffer_add(&store->firsts, &first, sizeof first);
    }
    return buffer_status(&store->firsts);
}

struct status embedded_find_firsts(struct embedded_store *store, const struct commit_batch *batch)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, NULL);
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_SCATTERED);
    buffer_clear(&store->firsts);
    known_ids_clear(&store->created);
    head_cache_settle(store->heads, batch->before.position); /* where the store is: check_head() has looked */
    head_cache_stage_begin(store->heads, batch->before.position, batch->after.position);
    struct status status = status_ok();
    for (size_t i = 0; i < batch->append_count && status.code == STATUS_OK; i++)
        status = find_firsts(store, &reader, &batch->appends[i], arena);
    view_reader_done(&reader);
    return status;
}
