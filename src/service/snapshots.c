#include "service/snapshots_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/text.h"

#define PENDING_SLOTS     8192U
#define SETTLE_EVENTS_MAX 1000 /* a longer way from a lower snapshot is a job's */
#define SNAPSHOTS_OF_ONE  256U /* looked at when settling */
#define REMOVE_AT_ONCE    256U
#define CACHED_AT_BYTES   8U

/* What is known of an aggregate's PENDING snapshots; another aggregate in the same slot makes it unknown. */
struct pending_slot {
    uint64_t id_hash; /* 0 = nothing known */
    int32_t lowest;   /* INT32_MAX = none */
};

struct snapshot_keeper {
    struct service *service;
    uint64_t seed;
    pthread_mutex_t write_lock;
    pthread_mutex_t pending_lock; /* a leaf; guards the slots */
    struct pending_slot pending[PENDING_SLOTS];
    atomic_bool evicting;
    struct bus_waiter timer;
    bool timer_set;
    atomic_bool timer_over; /* its last callback has returned */
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

/* --- the timer of the cleanup --- */

static void cleanup_job(struct service *service, struct bytes none);

static void timer_arm(struct snapshot_keeper *keeper)
{
    struct service *service = keeper->service;
    keeper->timer.position = INT64_MAX; /* never reached: only the deadline counts */
    keeper->timer.deadline_us =
        clock_monotonic_us(service->parts.clock) + service->options.cleanup_interval_us;
    bus_wait(service->parts.bus, &keeper->timer);
}

static void timer_fired(struct bus_waiter *waiter, bool reached)
{
    (void)reached;
    struct snapshot_keeper *keeper =
        (struct snapshot_keeper *)((uint8_t *)waiter - offsetof(struct snapshot_keeper, timer));
    if (service_stopping(keeper->service)) {
        atomic_store(&keeper->timer_over, true);
        return;
    }
    service_background(keeper->service, BYTES_NONE, cleanup_job);
    timer_arm(keeper);
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
    keeper->timer.done = timer_fired;
    keeper->timer_set = service->options.cleanup_interval_us > 0;
    *ret = keeper;
    if (keeper->timer_set)
        timer_arm(keeper);
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

/* --- what is known of PENDING ones --- */

static uint64_t hash_of(const struct snapshot_keeper *keeper, struct bytes id)
{
    const uint64_t hash = XXH3_64bits_withSeed(id.data, id.size_bytes, keeper->seed);
    return hash == 0 ? 1 : hash;
}

static bool pending_known(struct snapshot_keeper *keeper, struct bytes id, int32_t *ret_lowest)
{
    const uint64_t hash = hash_of(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    const struct pending_slot slot = keeper->pending[hash % PENDING_SLOTS];
    pthread_mutex_unlock(&keeper->pending_lock);
    *ret_lowest = slot.lowest;
    return slot.id_hash == hash;
}

static void pending_note(struct snapshot_keeper *keeper, struct bytes id, int32_t lowest)
{
    const uint64_t hash = hash_of(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    keeper->pending[hash % PENDING_SLOTS] = (struct pending_slot){hash, lowest};
    pthread_mutex_unlock(&keeper->pending_lock);
}

static void pending_forget(struct snapshot_keeper *keeper, struct bytes id)
{
    const uint64_t hash = hash_of(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    keeper->pending[hash % PENDING_SLOTS] = (struct pending_slot){0};
    pthread_mutex_unlock(&keeper->pending_lock);
}

/* --- putting --- */

static void evict_job(struct service *service, struct bytes none);

static void evict_soon(struct service *service)
{
    if (service->options.snapshots_max > 0 && !atomic_exchange(&service->snapshots->evicting, true))
        service_background(service, BYTES_NONE, evict_job);
}

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
    evict_soon(service);
    *ret = snapshot;
    return status_ok();
}

struct status snapshot_put_pending(struct service *service, const struct snapshot *snapshot)
{
    STATUS_TRY(service->parts.snapshots->ops->put(service->parts.snapshots, snapshot));
    pending_forget(service->snapshots, snapshot->aggregate_id); /* the next look finds it */
    evict_soon(service);
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

/* --- PENDING ones --- */

struct pending_look {
    struct arena *arena;
    struct snapshot items[PENDING_MAX];
    size_t count; /* reached */
    int32_t head_version;
    int32_t lowest_ahead;
    size_t seen;
    struct status status;
};

static bool look_at_pending(void *context, const struct snapshot *snapshot)
{
    struct pending_look *look = context;
    if (snapshot->state != SNAPSHOT_PENDING)
        return ++look->seen < SNAPSHOTS_OF_ONE;
    if (snapshot->version > look->head_version) {
        if (snapshot->version < look->lowest_ahead)
            look->lowest_ahead = snapshot->version;
        return true;
    }
    if (look->count == PENDING_MAX)
        return false;
    struct snapshot *item = &look->items[look->count];
    *item = (struct snapshot){.version = snapshot->version,
                              .data = arena_bytes(look->arena, snapshot->data),
                              .metadata = arena_bytes(look->arena, snapshot->metadata)};
    if (item->data.data == NULL) {
        look->status = no_memory();
        return false;
    }
    look->count++;
    return true;
}

/* How many events a fold up to `version` would read. */
static struct status distance_to(struct service *service, struct arena *arena, struct bytes id,
                                 int32_t version, int32_t *ret)
{
    struct snapshot base = {0};
    bool found = false;
    int32_t from = 0;
    if (service->parts.cache != NULL)
        STATUS_TRY(service->parts.cache->ops->get(service->parts.cache, id, SNAPSHOT_PICK_BEST, version,
                                                  arena, &base, &found));
    from = found ? base.version : 0;
    STATUS_TRY(service->parts.snapshots->ops->get(service->parts.snapshots, id, SNAPSHOT_PICK_BEST, version,
                                                  arena, &base, &found));
    if (found && base.version > from)
        from = base.version;
    *ret = version - from;
    return status_ok();
}

static struct status settle_one(struct service *service, struct arena *arena, struct bytes id,
                                const struct snapshot *pending)
{
    struct loaded loaded = {0};
    const struct load_request request = {
        .id = id, .version = pending->version, .position = INT64_MAX, .keep_quiet = true};
    STATUS_TRY(loader_load(service, &request, arena, &loaded));
    if (!loaded.exists || loaded.state.version != pending->version)
        return status_ok();
    struct snapshot now = {0};
    bool found = false;
    snapshots_lock(service);
    struct status status = service->parts.snapshots->ops->get(
        service->parts.snapshots, id, SNAPSHOT_PICK_EXACT, pending->version, arena, &now, &found);
    /* Somebody may have settled or replaced it since we looked. */
    if (status_is_ok(&status) && found && now.state == SNAPSHOT_PENDING)
        status = snapshot_put_compared(service, arena, &loaded, now.data, now.metadata, &now);
    snapshots_unlock(service);
    return status;
}

static void settle_job(struct service *service, struct bytes id);

static struct status settle(struct service *service, struct arena *arena, struct bytes id,
                            int32_t head_version, bool all)
{
    struct pending_look *look = arena_zalloc(arena, sizeof *look);
    if (look == NULL)
        return no_memory();
    look->arena = arena;
    look->head_version = head_version;
    look->lowest_ahead = INT32_MAX;
    look->status = status_ok();
    STATUS_TRY(service->parts.snapshots->ops->list(service->parts.snapshots, id, BYTES_NONE, BYTES_NONE, 0,
                                                   look_at_pending, look));
    STATUS_TRY(look->status);
    bool left = false;
    for (size_t i = 0; i < look->count; i++) {
        int32_t distance = 0;
        STATUS_TRY(distance_to(service, arena, id, look->items[i].version, &distance));
        if (!all && distance > SETTLE_EVENTS_MAX)
            left = true;
        else
            STATUS_TRY(settle_one(service, arena, id, &look->items[i]));
    }
    if (left)
        service_background(service, id, settle_job);
    else
        pending_note(service->snapshots, id, look->lowest_ahead);
    return status_ok();
}

static void settle_job(struct service *service, struct bytes id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status status = arena == NULL ? no_memory() : status_ok();
    struct aggregate_head head = {0};
    if (status_is_ok(&status))
        status = service->parts.store->ops->aggregate(service->parts.store, id, arena, &head);
    if (status_is_ok(&status) && head.exists)
        status = settle(service, arena, id, head.version, true);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "pending snapshots could not be compared, the next read tries again",
                 LOG_TEXT("reason", status.message));
}

void snapshots_settle(struct service *service, struct arena *arena, struct bytes id, int32_t head_version)
{
    int32_t lowest = 0;
    if (pending_known(service->snapshots, id, &lowest) && lowest > head_version)
        return;
    const struct status status = settle(service, arena, id, head_version, false);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "pending snapshots could not be compared, the next read tries again",
                 LOG_TEXT("reason", status.message));
}

/* --- removing --- */

struct removal {
    uint8_t id[ID_MAX_BYTES];
    size_t id_bytes;
    int32_t version;
};

static void removal_set(struct removal *removal, const struct snapshot *snapshot)
{
    if (snapshot->aggregate_id.size_bytes > sizeof removal->id)
        return;
    memcpy(removal->id, snapshot->aggregate_id.data, snapshot->aggregate_id.size_bytes);
    removal->id_bytes = snapshot->aggregate_id.size_bytes;
    removal->version = snapshot->version;
}

static struct status removal_run(struct snapshot_store *store, const struct removal *removal)
{
    return store->ops->remove(store, bytes_of(removal->id, removal->id_bytes), removal->version);
}

/* One pass over all snapshots, which come by aggregate and version: a VERIFIED one is superseded when another follows
 * for the same aggregate. */
struct sweep {
    struct removal verified; /* the last VERIFIED one of the aggregate at hand */
    bool has_verified;
    bool evict; /* only the first superseded, else a DIVERGENT, else the oldest */
    struct removal *superseded;
    size_t superseded_count;
    struct removal divergent;
    bool has_divergent;
    struct removal oldest;
    int64_t oldest_us;
    bool has_oldest;
    int64_t expired_before_us; /* cache: entries put before this go; 0 = none */
};

static bool sweep_one(void *context, const struct snapshot *snapshot)
{
    struct sweep *sweep = context;
    if (snapshot->state == SNAPSHOT_DIVERGENT && !sweep->has_divergent) {
        removal_set(&sweep->divergent, snapshot);
        sweep->has_divergent = true;
    }
    if (snapshot->state != SNAPSHOT_VERIFIED)
        return true;
    const bool same =
        sweep->has_verified &&
        bytes_equal(bytes_of(sweep->verified.id, sweep->verified.id_bytes), snapshot->aggregate_id);
    if (same)
        sweep->superseded[sweep->superseded_count++] = sweep->verified;
    removal_set(&sweep->verified, snapshot);
    sweep->has_verified = true;
    if (!sweep->has_oldest || snapshot->created_at_us < sweep->oldest_us) {
        removal_set(&sweep->oldest, snapshot);
        sweep->oldest_us = snapshot->created_at_us;
        sweep->has_oldest = true;
    }
    return sweep->superseded_count < (sweep->evict ? 1U : REMOVE_AT_ONCE);
}

static struct status evict_one(struct service *service, bool *ret_done)
{
    struct snapshot_store *store = service->parts.snapshots;
    struct snapshot_store_stats stats;
    STATUS_TRY(store->ops->stats(store, &stats));
    *ret_done = stats.snapshot_count <= service->options.snapshots_max;
    if (*ret_done)
        return status_ok();
    struct removal superseded;
    struct sweep sweep = {.evict = true, .superseded = &superseded};
    STATUS_TRY(store->ops->list(store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, sweep_one, &sweep));
    if (sweep.superseded_count > 0)
        return removal_run(store, &superseded);
    if (sweep.has_divergent)
        return removal_run(store, &sweep.divergent);
    if (sweep.has_oldest)
        return removal_run(store, &sweep.oldest);
    *ret_done = true; /* only PENDING ones are left, and those stay */
    return status_ok();
}

static void evict_job(struct service *service, struct bytes none)
{
    (void)none;
    atomic_store(&service->snapshots->evicting, false); /* whoever puts from here on asks again */
    bool done = false;
    while (!done) { /* each pass removes one, or ends */
        snapshots_lock(service);
        const struct status status = evict_one(service, &done);
        snapshots_unlock(service);
        if (!status_is_ok(&status)) {
            log_warn(service->parts.log, "snapshots beyond max_snapshots could not be removed",
                     LOG_TEXT("reason", status.message));
            return;
        }
    }
}

static bool sweep_expired(void *context, const struct snapshot *snapshot)
{
    struct sweep *sweep = context;
    if (snapshot->metadata.size_bytes == CACHED_AT_BYTES &&
        (int64_t)get_u64_le(snapshot->metadata.data) < sweep->expired_before_us)
        removal_set(&sweep->superseded[sweep->superseded_count++], snapshot);
    return sweep->superseded_count < REMOVE_AT_ONCE;
}

/* Collects and removes, again until a pass finds less than it can hold. */
static struct status sweep_store(struct service *service, struct snapshot_store *store, snapshot_sink sink,
                                 int64_t expired_before_us)
{
    struct removal *removals = calloc(REMOVE_AT_ONCE, sizeof *removals);
    struct status status = removals == NULL ? no_memory() : status_ok();
    bool more = true;
    while (more && status_is_ok(&status) && !service_stopping(service)) {
        struct sweep sweep = {.superseded = removals, .expired_before_us = expired_before_us};
        status = store->ops->list(store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, sink, &sweep);
        for (size_t i = 0; i < sweep.superseded_count && status_is_ok(&status); i++)
            status = removal_run(store, &removals[i]);
        more = sweep.superseded_count == REMOVE_AT_ONCE;
    }
    free(removals);
    return status;
}

static void cleanup_job(struct service *service, struct bytes none)
{
    (void)none;
    snapshots_lock(service);
    struct status status = sweep_store(service, service->parts.snapshots, sweep_one, 0);
    snapshots_unlock(service);
    if (status_is_ok(&status) && service->parts.cache != NULL && service->options.cache_ttl_us > 0)
        status = sweep_store(service, service->parts.cache, sweep_expired,
                             clock_now_us(service->parts.clock) - service->options.cache_ttl_us);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "the cleanup of snapshots did not finish, the next one goes on",
                 LOG_TEXT("reason", status.message));
}
