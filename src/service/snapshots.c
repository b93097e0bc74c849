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

static void cache_put(struct service *service, const struct loaded *loaded, int64_t taken_at_us,
                      struct bytes packed)
{
    if (service->parts.cache == NULL)
        return;
    uint8_t cached_at[CACHED_AT_BYTES];
    put_u64_le(cached_at, (uint64_t)clock_now_us(service->parts.clock));
    const struct snapshot entry = {
        .aggregate_id = loaded->state.id,
        .aggregate_type = loaded->state.type,
        .version = loaded->state.version,
        .state = SNAPSHOT_VERIFIED,
        .created_at_us =
            taken_at_us, /* of the snapshot it goes back to: its age decides when the next is due */
        .position = loaded->state.position,
        .event_digest = bytes_of(loaded->leaf.bytes, SHA256_BYTES),
        .reducer_version = DOMAIN_REDUCER_VERSION,
        .metadata = bytes_of(cached_at, sizeof cached_at), /* nobody's but the cleanup's */
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
        .reducer_version = DOMAIN_REDUCER_VERSION,
        .data = data.size_bytes > 0 ? data : loaded->state.state,
        .metadata = metadata,
    };
    if (snapshot.event_digest.data == NULL)
        return no_memory();
    if (equal)
        STATUS_TRY(state_pack(&loaded->state, arena, &snapshot.folded));
    STATUS_TRY(service->parts.snapshots->ops->put(service->parts.snapshots, &snapshot));
    if (equal && loaded->state.version == loaded->head.version)
        cache_put(service, loaded, snapshot.created_at_us, snapshot.folded);
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
    if (snapshot->state != SNAPSHOT_VERIFIED || snapshot->reducer_version != DOMAIN_REDUCER_VERSION)
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

static bool is_due(const struct service *service, int32_t version, int64_t now_us,
                   const struct snapshot *newest, int64_t aggregate_created_at_us)
{
    const struct service_options *options = &service->options;
    const int32_t base = newest == NULL ? 0 : newest->version;
    const int64_t since_us = newest == NULL ? aggregate_created_at_us : newest->created_at_us;
    if (version <= base)
        return false;
    return (options->snapshot_events > 0 && version - base >= options->snapshot_events) ||
           (options->snapshot_interval_us > 0 && now_us - since_us >= options->snapshot_interval_us);
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
    struct status status = service->parts.snapshots->ops->get(
        service->parts.snapshots, id, SNAPSHOT_PICK_BEST, loaded.state.version, arena, &newest, &found);
    if (status_is_ok(&status) && is_due(service, loaded.state.version, clock_now_us(service->parts.clock),
                                        found ? &newest : NULL, loaded.state.created_at_us)) {
        struct snapshot taken;
        status = snapshot_put_compared(service, arena, &loaded, BYTES_NONE, BYTES_NONE, &taken);
    }
    snapshots_unlock(service);
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
    const int64_t taken_at_us = base == NULL ? loaded->state.created_at_us : base->created_at_us;
    if (service->parts.cache != NULL && (loaded->tail_events > 0 || !cached)) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct bytes packed = BYTES_NONE;
        struct status status = arena == NULL ? no_memory() : state_pack(&loaded->state, arena, &packed);
        if (status_is_ok(&status)) {
            cache_put(service, loaded, taken_at_us, packed);
            if (cached && loaded->tail_events > 0) /* the former entry is of no use beside a newer one */
                status = service->parts.cache->ops->remove(service->parts.cache, loaded->state.id,
                                                           loaded->base_version);
        }
        if (!status_is_ok(&status))
            log_warn(service->parts.log, "a state could not be cached", LOG_TEXT("reason", status.message));
    }
    /* A cached base hides how far the stored one is; the count is then watched by snapshots_appended. */
    const bool by_count = service->options.snapshot_events > 0 && !cached &&
                          loaded->tail_events >= service->options.snapshot_events;
    const bool by_age =
        service->options.snapshot_interval_us > 0 && loaded->tail_events > 0 &&
        clock_now_us(service->parts.clock) - taken_at_us >= service->options.snapshot_interval_us;
    if (by_count || by_age)
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
