#include "store/memory/memory_store.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "memory_state_internal.h"
#include "store/event_index.h"
#include "store/hash_table.h"

struct memory_store {
    struct event_store store; /* first: the engine is the store */
    struct event_index *index;
    pthread_rwlock_t lock;  /* guards all below; the index has a lock of its own, taken under this one */
    struct record *records; /* by position - 1; each owns its bytes */
    size_t record_count;
    size_t record_capacity;
    struct store_head head;
    int64_t size_bytes;
    struct memory_state *state; /* guards itself */
};

static struct memory_store *of(struct event_store *store)
{
    return (struct memory_store *)store;
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the events in memory");
}

static struct record record_at(const struct memory_store *memory, int64_t position)
{
    assert(position >= 1 && (size_t)position <= memory->record_count);
    return memory->records[position - 1];
}

/* --- facts --- */

/* All records of the append that holds the event at `position`; their bytes never move and never go. */
static struct status earlier_append(struct memory_store *memory, int64_t position, struct arena *arena,
                                    struct earlier_append *ret)
{
    struct event_fields fields;
    STATUS_TRY(record_decode_header(record_at(memory, position), &fields));
    const size_t count = (size_t)fields.append_count;
    struct record *records = arena_array(arena, count, sizeof *records);
    if (records == NULL)
        return no_memory();
    for (size_t i = 0; i < count; i++)
        records[i] = record_at(memory, position - fields.append_index + (int64_t)i);
    *ret = (struct earlier_append){.records = records, .count = count};
    return status_ok();
}

static struct status facts_locked(struct memory_store *memory, const struct facts_request *request,
                                  struct arena *arena, struct facts *ret)
{
    ret->head = memory->head;
    for (size_t i = 0; i < request->aggregate_count; i++)
        STATUS_TRY(event_index_head(memory->index, request->aggregate_ids[i], arena, &ret->heads[i]));
    for (size_t i = 0; i < request->event_id_count; i++) {
        const int64_t position = event_index_find_id(memory->index, request->event_ids[i]);
        ret->earlier[i] = (struct earlier_append){0};
        if (position != 0)
            STATUS_TRY(earlier_append(memory, position, arena, &ret->earlier[i]));
    }
    return status_ok();
}

static struct status memory_facts(struct event_store *store, const struct facts_request *request,
                                  struct arena *arena, struct facts *ret)
{
    struct memory_store *memory = of(store);
    ret->heads = arena_array(arena, request->aggregate_count, sizeof *ret->heads);
    ret->earlier = arena_array(arena, request->event_id_count, sizeof *ret->earlier);
    if (ret->heads == NULL || ret->earlier == NULL)
        return no_memory();
    pthread_rwlock_rdlock(&memory->lock);
    struct status status = facts_locked(memory, request, arena, ret);
    pthread_rwlock_unlock(&memory->lock);
    return status;
}

/* --- commit --- */

static struct status keep_record(struct memory_store *memory, struct record record)
{
    if (memory->record_count == memory->record_capacity) {
        const size_t capacity = memory->record_capacity == 0 ? 1024 : memory->record_capacity * 2;
        struct record *records = realloc(memory->records, capacity * sizeof *records);
        if (records == NULL)
            return no_memory();
        memory->records = records;
        memory->record_capacity = capacity;
    }
    uint8_t *copy = malloc(record.bytes.size_bytes);
    if (copy == NULL)
        return no_memory();
    memcpy(copy, record.bytes.data, record.bytes.size_bytes);
    record.bytes.data = copy;
    memory->records[memory->record_count++] = record;
    memory->size_bytes += (int64_t)record.bytes.size_bytes;
    return status_ok();
}

static struct status keep_batch(struct memory_store *memory, const struct commit_batch *batch)
{
    for (size_t i = 0; i < batch->append_count; i++) {
        const struct commit_append *append = &batch->appends[i];
        for (size_t j = 0; j < append->count; j++)
            STATUS_TRY(keep_record(memory, append->records[j]));
        STATUS_TRY(event_index_add(memory->index, append->fields, NULL, append->count));
    }
    return status_ok();
}

/* Takes back what was kept of a batch; nobody was shown it, since the head did not move. */
static void drop_behind_head(struct memory_store *memory)
{
    event_index_cut(memory->index, memory->head.position);
    while ((int64_t)memory->record_count > memory->head.position) {
        const struct bytes bytes = memory->records[--memory->record_count].bytes;
        memory->size_bytes -= (int64_t)bytes.size_bytes;
        free((void *)bytes.data);
    }
}

static struct status commit_locked(struct memory_store *memory, const struct commit_batch *batch)
{
    if (batch->before.position != memory->head.position)
        return status_reason(REASON_STORE_FAILED,
                             "a commit begins behind position %lld and the store is at %lld",
                             (long long)batch->before.position, (long long)memory->head.position);
    const struct status status = keep_batch(memory, batch);
    if (status.code != STATUS_OK) {
        drop_behind_head(memory);
        return status_reason(REASON_STORE_FAILED, "nothing was kept: %s", status.message);
    }
    memory->head = batch->after;
    return status_ok();
}

static void memory_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                          void *context)
{
    struct memory_store *memory = of(store);
    pthread_rwlock_wrlock(&memory->lock);
    struct status status = commit_locked(memory, batch);
    pthread_rwlock_unlock(&memory->lock);
    done(context, &status);
}

/* --- reads --- */

static struct status fetch(void *engine, int64_t position, record_sink sink, void *context, bool *ret_more)
{
    struct memory_store *memory = engine;
    pthread_rwlock_rdlock(&memory->lock);
    const bool visible = position <= memory->head.position;
    const struct record record = visible ? record_at(memory, position) : (struct record){0};
    pthread_rwlock_unlock(&memory->lock);
    *ret_more = visible && sink(context, position, record); /* bytes are never freed before close */
    return status_ok();
}

static struct status memory_read(struct event_store *store, const struct read_query *query, record_sink sink,
                                 void *context)
{
    struct memory_store *memory = of(store);
    struct read_query bounded = *query;
    pthread_rwlock_rdlock(&memory->lock);
    const int64_t last = memory->head.position; /* the index may run ahead of it within a commit */
    pthread_rwlock_unlock(&memory->lock);
    if (bounded.to_position == 0 || bounded.to_position > last)
        bounded.to_position = last;
    if (bounded.to_position <= bounded.after_position)
        return status_ok();
    return event_index_read(memory->index, &bounded, fetch, memory, sink, context);
}

static struct status memory_head(struct event_store *store, struct store_head *ret)
{
    struct memory_store *memory = of(store);
    pthread_rwlock_rdlock(&memory->lock);
    *ret = memory->head;
    pthread_rwlock_unlock(&memory->lock);
    return status_ok();
}

static struct status memory_aggregate(struct event_store *store, struct bytes id, struct arena *arena,
                                      struct aggregate_head *ret)
{
    struct memory_store *memory = of(store);
    pthread_rwlock_rdlock(&memory->lock); /* a commit shows as a whole */
    struct status status = event_index_head(memory->index, id, arena, ret);
    pthread_rwlock_unlock(&memory->lock);
    return status;
}

static struct status memory_aggregates(struct event_store *store, struct bytes type,
                                       int64_t after_first_position, aggregate_sink sink, void *context)
{
    struct memory_store *memory = of(store);
    return event_index_each_aggregate(memory->index, &memory->lock, type, after_first_position, sink,
                                      context);
}

static struct status memory_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    struct memory_store *memory = of(store);
    pthread_rwlock_rdlock(&memory->lock);
    *ret_position = event_index_find_id(memory->index, event_id);
    pthread_rwlock_unlock(&memory->lock);
    return status_ok();
}

static struct status memory_find_time(struct event_store *store, int64_t time_us, int64_t *ret_position)
{
    struct memory_store *memory = of(store);
    pthread_rwlock_rdlock(&memory->lock);
    *ret_position = event_index_find_time(memory->index, time_us);
    pthread_rwlock_unlock(&memory->lock);
    return status_ok();
}

static struct status memory_stats(struct event_store *store, struct arena *arena,
                                  struct event_store_stats *ret)
{
    struct memory_store *memory = of(store);
    *ret = (struct event_store_stats){.engine = "memory"};
    pthread_rwlock_rdlock(&memory->lock);
    ret->size_bytes = memory->size_bytes;
    struct status status = event_index_stats(memory->index, arena, ret);
    pthread_rwlock_unlock(&memory->lock);
    return status;
}

/* --- state --- */

static struct status state_get(struct event_store *store, struct bytes key, struct arena *arena,
                               struct bytes *ret)
{
    return memory_state_get(of(store)->state, key, arena, ret);
}

static struct status state_put(struct event_store *store, struct bytes key, struct bytes value)
{
    return memory_state_put(of(store)->state, key, value);
}

static struct status state_remove(struct event_store *store, struct bytes key)
{
    return memory_state_remove(of(store)->state, key);
}

static struct status state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                state_sink sink, void *context)
{
    return memory_state_list(of(store)->state, prefix, after_key, sink, context);
}

static struct status state_swap(struct event_store *store, struct bytes key, const struct bytes *expected,
                                struct bytes value, bool *ret_put)
{
    return memory_state_swap(of(store)->state, key, expected, value, ret_put);
}

static struct status lease_of(struct event_store *store, struct bytes name, struct bytes holder,
                              int64_t ttl_ms, struct lease *ret)
{
    return memory_state_lease(of(store)->state, name, holder, ttl_ms, ret);
}

static struct status lease_release(struct event_store *store, struct bytes name, struct bytes holder,
                                   int64_t epoch)
{
    return memory_state_release(of(store)->state, name, holder, epoch);
}

static struct status lease_forget(struct event_store *store, struct bytes name, struct bytes holder,
                                  int64_t epoch)
{
    return memory_state_forget(of(store)->state, name, holder, epoch);
}

static struct status checkpoint_put(struct event_store *store, struct bytes name, int64_t position,
                                    int64_t epoch)
{
    struct store_head head;
    STATUS_TRY(memory_head(store, &head));
    return memory_state_checkpoint_put(of(store)->state, name, position, epoch, head.position);
}

static struct status checkpoint_get(struct event_store *store, struct bytes name, struct checkpoint *ret)
{
    return memory_state_checkpoint_get(of(store)->state, name, ret);
}

static struct status checkpoint_remove(struct event_store *store, struct bytes name)
{
    return memory_state_checkpoint_remove(of(store)->state, name);
}

static struct status checkpoints(struct event_store *store, checkpoint_sink sink, void *context)
{
    return memory_state_checkpoints(of(store)->state, sink, context);
}

static struct status memory_health(struct event_store *store)
{
    (void)store; /* memory does not fail */
    return status_ok();
}

static void memory_close(struct event_store *store)
{
    struct memory_store *memory = of(store);
    for (size_t i = 0; i < memory->record_count; i++)
        free((void *)memory->records[i].bytes.data);
    free(memory->records);
    memory_state_free(memory->state);
    event_index_free(memory->index);
    (void)pthread_rwlock_destroy(&memory->lock); /* nobody holds it */
    free(memory);
}

static const struct event_store_ops memory_ops = {
    .facts = memory_facts,
    .commit = memory_commit,
    .read = memory_read,
    .head = memory_head,
    .aggregate = memory_aggregate,
    .aggregates = memory_aggregates,
    .find_id = memory_find_id,
    .find_time = memory_find_time,
    .stats = memory_stats,
    .state_get = state_get,
    .state_put = state_put,
    .state_swap = state_swap,
    .state_remove = state_remove,
    .state_list = state_list,
    .lease = lease_of,
    .lease_release = lease_release,
    .lease_forget = lease_forget,
    .checkpoint_put = checkpoint_put,
    .checkpoint_get = checkpoint_get,
    .checkpoint_remove = checkpoint_remove,
    .checkpoints = checkpoints,
    .health = memory_health,
    .close = memory_close,
};

struct status memory_store_open(const struct clock *clock, struct event_store **ret)
{
    struct memory_store *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return no_memory();
    /* Keys come from the process that asked for memory, so the address is seed enough. */
    const struct event_index_options options = {.seed = (uint64_t)(uintptr_t)memory};
    memory->index = event_index_new(&options);
    memory->state = memory_state_new(clock);
    if (memory->index == NULL || memory->state == NULL) {
        event_index_free(memory->index);
        memory_state_free(memory->state);
        free(memory);
        return no_memory();
    }
    /* glibc lets readers overtake a waiting writer for ever; then a few busy readers stop all commits. */
    pthread_rwlockattr_t fair;
    (void)pthread_rwlockattr_init(&fair); /* these four cannot fail with a kind that glibc knows */
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&memory->lock, &fair);
    (void)pthread_rwlockattr_destroy(&fair);
    memory->store = (struct event_store){&memory_ops, true};
    *ret = &memory->store;
    return status_ok();
}
