/* Putting, caching and taking snapshots. */
#include "service/snapshot_keeper_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

struct status snapshot_keeper_new(struct service *service, struct snapshot_keeper **ret)
{
    struct snapshot_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return no_memory();
    keeper->service = service;
    entropy_fill(service->parts.entropy, &keeper->seed, sizeof keeper->seed);
    pthread_mutex_init(&keeper->write_lock, NULL);
    pthread_mutex_init(&keeper->pending_lock, NULL);
    *ret = keeper;
    cleanup_begin(keeper);
    return status_ok();
}

void snapshot_keeper_stop(struct snapshot_keeper *keeper)
{
    if (!keeper->timer_set)
        return;
    keeper->timer_set = false;
    /* Taken back, or its callback is about to see that the service stops; it may set the timer once more before. */
    const struct timespec pause = {.tv_nsec = 1000000};
    while (!bus_forget(keeper->service->parts.bus, &keeper->timer) && !atomic_load(&keeper->timer_over))
        nanosleep(&pause, NULL);
}

void snapshot_keeper_free(struct snapshot_keeper *keeper)
{
    if (keeper == NULL)
        return;
    pthread_mutex_destroy(&keeper->pending_lock);
    pthread_mutex_destroy(&keeper->write_lock);
    free(keeper);
}

void snapshots_lock(struct service *service)
{
    pthread_mutex_lock(&service->snapshots->write_lock);
}

void snapshots_unlock(struct service *service)
{
    pthread_mutex_unlock(&service->snapshots->write_lock);
}

/* --- putting --- */

bool cache_note_read(const struct snapshot *entry, struct cache_note *ret)
{
    if (entry->metadata.size_bytes != CACHE_NOTE_BYTES)
        return false;
    ret->cached_at_us = (int64_t)get_u64_le(entry->metadata.data);
    ret->stored_version = (int32_t)get_u32_le(entry->metadata.data + 8);
    return true;
}

/* The stored snapshot that a state goes back to: when the next one is due depends on it. */
struct stored {
    int32_t version; /* 0 = none: from the first event on */
    int64_t taken_at_us;
};

static void cache_put(struct service *service, const struct loaded *loaded, struct stored stored,
                      struct bytes packed)
{
    if (service->parts.cache == NULL)
        return;
    uint8_t note[CACHE_NOTE_BYTES];
    put_u64_le(note, (uint64_t)clock_now_us(service->parts.clock));
    put_u32_le(note + 8, (uint32_t)stored.version);
    const struct snapshot entry = {
        .aggregate_id = loaded->state.id,
        .aggregate_type = loaded->state.type,
        .version = loaded->state.version,
        .state = SNAPSHOT_VERIFIED,
        .created_at_us = stored.taken_at_us,
        .position = loaded->state.position,
        .event_digest = bytes_of(loaded->leaf.bytes, SHA256_BYTES),
        .reducer_version = service->options.reducer_version,
        .metadata = bytes_of(note, sizeof note),
        .folded = packed,
    };
    const struct status status = service->parts.cache->ops->put(service->parts.cache, &entry);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "a state could not be cached", LOG_TEXT("reason", status.message));
}

static struct status is_equal(struct arena *arena, struct bytes data, struct bytes state, bool *ret)
{
    struct json_value *a = NULL;
    struct json_value *b = NULL;
    STATUS_TRY(json_parse(arena, data, &a));
    STATUS_TRY(json_parse(arena, state, &b));
    return json_equal(arena, a, b, ret);
}

struct status snapshot_put_compared(struct service *service, struct arena *arena, const struct loaded *loaded,
                                    struct bytes data, struct bytes metadata, struct snapshot *ret)
{
    bool equal = true;
    if (data.size_bytes > 0)
        STATUS_TRY(is_equal(arena, data, loaded->state.state, &equal));
    struct snapshot snapshot = {
        .aggregate_id = loaded->state.id,
        .aggregate_type = loaded->state.type,
        .version = loaded->state.version,
        .state = equal ? SNAPSHOT_VERIFIED : SNAPSHOT_DIVERGENT,
        .created_at_us = clock_now_us(service->parts.clock),
        .position = loaded->state.position,
        .event_digest = arena_bytes(arena, bytes_of(loaded->leaf.bytes, SHA256_BYTES)),
        .reducer_version = service->options.reducer_version,
        .data = data.size_bytes > 0 ? data : loaded->state.state,
        .metadata = metadata,
    };
    if (snapshot.event_digest.data == NULL)
        return no_memory();
    if (equal)
        STATUS_TRY(state_pack(&loaded->state, arena, &snapshot.folded));
    STATUS_TRY(service->parts.snapshots->ops->put(service->parts.snapshots, &snapshot));
    if (equal && loaded->state.version == loaded->head.version)
        cache_put(service, loaded, (struct stored){snapshot.version, snapshot.created_at_us},
                  snapshot.folded);
    snapshots_evict_soon(service, &snapshot);
    *ret = snapshot;
    return status_ok();
}

struct status snapshot_put_pending(struct service *service, const struct snapshot *snapshot)
{
    STATUS_TRY(service->parts.snapshots->ops->put(service->parts.snapshots, snapshot));
    pending_forget(service->snapshots, snapshot->aggregate_id); /* the next look finds it */
    snapshots_evict_soon(service, snapshot);
    return status_ok();
}

static bool is_ours(const struct service *service, const struct snapshot *snapshot)
{
    return snapshot->state == SNAPSHOT_VERIFIED &&
           snapshot->reducer_version == service->options.reducer_version &&
           snapshot->event_digest.size_bytes == SHA256_BYTES && snapshot->folded.size_bytes > 0;
}

/* Below one of another reducer. Those looked past may be large: they go from memory one by one. */
static struct status find_ours_below(struct service *service, struct snapshot_store *store, struct bytes id,
                                     int32_t *version, bool *ret_found)
{
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    if (scratch == NULL)
        return no_memory();
    *ret_found = false;
    for (int look = 0; *version > 0 && look < SNAPSHOT_LOOKS_MAX; look++) {
        struct snapshot snapshot = {0};
        bool found = false;
        arena_reset(scratch);
        STATUS_TRY(store->ops->get(store, id, SNAPSHOT_PICK_BEST, *version - 1, scratch, &snapshot, &found));
        if (!found)
            return status_ok();
        *version = snapshot.version;
        *ret_found = is_ours(service, &snapshot);
        if (*ret_found)
            return status_ok();
    }
    return status_ok();
}

struct status snapshot_pick_ours(struct service *service, struct snapshot_store *store, struct bytes id,
                                 int32_t version, struct arena *arena, struct snapshot *ret, bool *ret_found)
{
    bool found = false;
    *ret_found = false;
    STATUS_TRY(store->ops->get(store, id, SNAPSHOT_PICK_BEST, version, arena, ret, &found));
    if (found && !is_ours(service, ret)) {
        version = ret->version;
        STATUS_TRY(find_ours_below(service, store, id, &version, &found));
        if (found)
            STATUS_TRY(store->ops->get(store, id, SNAPSHOT_PICK_EXACT, version, arena, ret, &found));
    }
    *ret_found = found && is_ours(service, ret); /* another one may have been put meanwhile */
    return status_ok();
}

void snapshot_drop_refuted(struct service *service, struct snapshot_store *store,
                           const struct snapshot *refuted)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct snapshot now = {0};
    bool found = false;
    snapshots_lock(service);
    struct status status = arena == NULL ? no_memory()
                                         : store->ops->get(store, refuted->aggregate_id, SNAPSHOT_PICK_EXACT,
                                                           refuted->version, arena, &now, &found);
    if (status_is_ok(&status) && found && bytes_equal(now.event_digest, refuted->event_digest))
        status = store->ops->remove(store, refuted->aggregate_id, refuted->version);
    snapshots_unlock(service);
    if (!status_is_ok(&status)) /* refuted again by the next read */
        log_warn(service->parts.log, "a snapshot of another history could not be removed",
                 LOG_TEXT("reason", status.message));
}

struct leaf_look {
    struct sha256 leaf;
    bool found;
};

static bool take_leaf(void *context, int64_t position, struct record record)
{
    (void)position;
    struct leaf_look *look = context;
    look->leaf = record_leaf(record);
    look->found = true;
    return false;
}

struct status snapshot_is_usable(struct service *service, const struct snapshot *snapshot, bool *ret)
{
    *ret = false;
    if (snapshot->state != SNAPSHOT_VERIFIED || snapshot->reducer_version != service->options.reducer_version)
        return status_ok();
    const struct read_query query = {
        .by = READ_BY_AGGREGATE,
        .key = snapshot->aggregate_id,
        .from_version = snapshot->version,
        .to_version = snapshot->version,
    };
    struct leaf_look look = {.found = false};
    STATUS_TRY(service->parts.store->ops->read(service->parts.store, &query, take_leaf, &look));
    *ret = look.found && bytes_equal(bytes_of(look.leaf.bytes, SHA256_BYTES), snapshot->event_digest);
    return status_ok();
}

/* --- taking by themselves --- */

static bool is_due_by_age(const struct service *service, const struct loaded *loaded, struct stored stored)
{
    const int64_t interval_us = service->options.snapshot_interval_us;
    return interval_us > 0 && loaded->state.version > stored.version &&
           clock_now_us(service->parts.clock) - stored.taken_at_us >= interval_us;
}

static bool is_due(const struct service *service, const struct loaded *loaded, struct stored stored)
{
    const int32_t every = service->options.snapshot_events;
    return (every > 0 && loaded->state.version - stored.version >= every) ||
           is_due_by_age(service, loaded, stored);
}

/* Without a snapshot the age counts from the first event. */
static struct stored stored_of(const struct loaded *loaded, const struct snapshot *base, bool cached)
{
    struct cache_note note;
    if (base == NULL)
        return (struct stored){0, loaded->state.created_at_us};
    if (!cached)
        return (struct stored){base->version, base->created_at_us};
    return (struct stored){cache_note_read(base, &note) ? note.stored_version : base->version,
                           base->created_at_us};
}

static void cache_remove(struct service *service, struct bytes id, int32_t version)
{
    const struct status status = service->parts.cache->ops->remove(service->parts.cache, id, version);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "a former state stays cached beside a newer one",
                 LOG_TEXT("reason", status.message));
}

/* Caches the state of an aggregate that stands at its head. */
static void cache_state(struct service *service, const struct loaded *loaded, struct stored stored)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bytes packed = BYTES_NONE;
    const struct status status = arena == NULL ? no_memory() : state_pack(&loaded->state, arena, &packed);
    if (status_is_ok(&status))
        cache_put(service, loaded, stored, packed);
    else
        log_warn(service->parts.log, "a state could not be cached", LOG_TEXT("reason", status.message));
}

/* What a client said of that version stays: a PENDING one is compared, a DIVERGENT one goes on being shown. Under
 * the lock. */
static struct status take_beside_clients(struct service *service, struct arena *arena,
                                         const struct loaded *loaded)
{
    struct snapshot there = {0};
    bool found = false;
    STATUS_TRY(service->parts.snapshots->ops->get(service->parts.snapshots, loaded->state.id,
                                                  SNAPSHOT_PICK_EXACT, loaded->state.version, arena, &there,
                                                  &found));
    if (found && there.state == SNAPSHOT_DIVERGENT)
        return status_ok();
    const bool pending = found && there.state == SNAPSHOT_PENDING;
    struct snapshot taken;
    return snapshot_put_compared(service, arena, loaded, pending ? there.data : BYTES_NONE,
                                 found ? there.metadata : BYTES_NONE, &taken);
}

static struct status take_snapshot(struct service *service, struct arena *arena, struct bytes id)
{
    struct loaded loaded = {0};
    const struct load_request request = {
        .id = id, .version = INT32_MAX, .position = INT64_MAX, .keep_quiet = true};
    STATUS_TRY(loader_load(service, &request, arena, &loaded));
    struct snapshot newest = {0};
    bool found = false;
    snapshots_lock(service);
    struct status status = snapshot_pick_ours(service, service->parts.snapshots, id, loaded.state.version,
                                              arena, &newest, &found);
    const struct stored stored = stored_of(&loaded, found ? &newest : NULL, false);
    const bool due = is_due(service, &loaded, stored);
    if (status_is_ok(&status) && due)
        status = take_beside_clients(service, arena, &loaded);
    snapshots_unlock(service);
    /* Somebody has taken one that the cached state does not go back to: else each read would ask again. */
    if (status_is_ok(&status) && !due && found && service->parts.cache != NULL &&
        loaded.state.version == loaded.head.version)
        cache_state(service, &loaded, stored);
    return status;
}

static void take_job(struct service *service, struct bytes id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct status status = arena == NULL ? no_memory() : take_snapshot(service, arena, id);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "a snapshot could not be taken", LOG_TEXT("reason", status.message));
}

void snapshots_loaded(struct service *service, const struct loaded *loaded, const struct snapshot *base,
                      bool cached)
{
    if (loaded->state.version != loaded->head.version)
        return; /* a read of the past says nothing about what is needed next */
    const struct stored stored = stored_of(loaded, base, cached);
    if (service->parts.cache != NULL && (loaded->tail_events > 0 || !cached)) {
        cache_state(service, loaded, stored);
        if (cached) /* the former entry is of no use beside a newer one */
            cache_remove(service, loaded->state.id, loaded->base_version);
    }
    /* A cached base hides how far the stored one is; the count is then watched by snapshots_appended. */
    const bool by_count = service->options.snapshot_events > 0 && !cached &&
                          loaded->tail_events >= service->options.snapshot_events;
    if (by_count || is_due_by_age(service, loaded, stored))
        service_background(service, loaded->state.id, take_job);
}

void snapshots_appended(struct service *service, const struct append_outcome *outcome)
{
    const int32_t every = service->options.snapshot_events;
    if (every <= 0)
        return;
    for (size_t i = 0; i < outcome->head_count; i++) {
        const struct aggregate_head_change *head = &outcome->heads[i];
        /* With several aggregates in one append this may ask too early; the job looks again. */
        const int64_t before = (int64_t)head->version - (int64_t)outcome->record_count;
        if (head->version / every != (before < 0 ? 0 : before / every))
            service_background(service, head->aggregate_id, take_job);
    }
}
