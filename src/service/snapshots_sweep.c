/* Snapshots that go: beyond max_snapshots, and by the cleanup. */
#include "service/snapshot_keeper_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define REMOVE_AT_ONCE 256U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

/* --- one pass --- */

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

/* One pass over all snapshots, which come by aggregate and version: a VERIFIED one is superseded when another
 * follows for the same aggregate. */
struct sweep {
    struct removal verified; /* the last VERIFIED one of the aggregate at hand */
    bool has_verified;
    struct removal *superseded;
    size_t superseded_count;
    int64_t expired_before_us; /* cache: entries put before this go; 0 = none */
};

static bool sweep_one(void *context, const struct snapshot *snapshot)
{
    struct sweep *sweep = context;
    if (snapshot->state != SNAPSHOT_VERIFIED)
        return true;
    const bool same =
        sweep->has_verified &&
        bytes_equal(bytes_of(sweep->verified.id, sweep->verified.id_bytes), snapshot->aggregate_id);
    if (same)
        sweep->superseded[sweep->superseded_count++] = sweep->verified;
    removal_set(&sweep->verified, snapshot);
    sweep->has_verified = true;
    return sweep->superseded_count < REMOVE_AT_ONCE;
}

/* --- evicting --- */

void snapshots_used(struct service *service, struct bytes id)
{
    if (service->options.snapshots_max <= 0)
        return; /* nobody will ask */
    struct snapshot_keeper *keeper = service->snapshots;
    const uint64_t hash = keeper_hash(keeper, id);
    const int64_t now_us = clock_now_us(service->parts.clock);
    pthread_mutex_lock(&keeper->pending_lock);
    keeper->used[hash % USED_SLOTS] = (struct used_slot){hash, now_us};
    pthread_mutex_unlock(&keeper->pending_lock);
}

static int64_t used_at_us(struct snapshot_keeper *keeper, uint64_t hash, const struct snapshot *snapshot)
{
    pthread_mutex_lock(&keeper->pending_lock);
    const struct used_slot slot = keeper->used[hash % USED_SLOTS];
    pthread_mutex_unlock(&keeper->pending_lock);
    return slot.id_hash == hash && slot.time_us > snapshot->created_at_us ? slot.time_us
                                                                          : snapshot->created_at_us;
}

struct candidate {
    struct removal removal;
    int64_t time_us;
    bool found;
};

/* Which one goes next. The one put last goes last: whoever was just told that it is stored must find it, as long as
 * anything else may go. PENDING ones never go. */
struct eviction {
    struct snapshot_keeper *keeper;
    struct candidate former; /* the VERIFIED one before, of the same or another aggregate; not the newest */
    struct candidate superseded;
    struct candidate divergent; /* the oldest */
    struct candidate unused;    /* VERIFIED, the least recently used */
    struct candidate newest;
};

static void candidate_offer(struct candidate *candidate, const struct snapshot *snapshot, int64_t time_us)
{
    if (candidate->found && candidate->time_us <= time_us)
        return;
    removal_set(&candidate->removal, snapshot);
    candidate->time_us = time_us;
    candidate->found = true;
}

static bool evict_look(void *context, const struct snapshot *snapshot)
{
    struct eviction *eviction = context;
    struct snapshot_keeper *keeper = eviction->keeper;
    if (snapshot->state == SNAPSHOT_PENDING)
        return true;
    const uint64_t hash = keeper_hash(keeper, snapshot->aggregate_id);
    const bool newest = hash == keeper->newest_hash && snapshot->version == keeper->newest_version;
    if (newest)
        candidate_offer(&eviction->newest, snapshot, 0);
    else if (snapshot->state == SNAPSHOT_DIVERGENT)
        candidate_offer(&eviction->divergent, snapshot, snapshot->created_at_us);
    else
        candidate_offer(&eviction->unused, snapshot, used_at_us(keeper, hash, snapshot));
    if (snapshot->state == SNAPSHOT_DIVERGENT)
        return true;
    const struct removal *former = &eviction->former.removal;
    if (eviction->former.found &&
        bytes_equal(bytes_of(former->id, former->id_bytes), snapshot->aggregate_id)) {
        eviction->superseded = eviction->former;
        return false;
    }
    eviction->former.found = false;
    if (!newest)
        candidate_offer(&eviction->former, snapshot, 0);
    return true;
}

static struct status evict_one(struct service *service, bool *ret_done)
{
    struct snapshot_store *store = service->parts.snapshots;
    struct snapshot_store_stats stats;
    STATUS_TRY(store->ops->stats(store, &stats));
    *ret_done = stats.snapshot_count <= service->options.snapshots_max;
    if (*ret_done)
        return status_ok();
    struct eviction eviction = {.keeper = service->snapshots};
    STATUS_TRY(store->ops->list(store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, evict_look, &eviction));
    const struct candidate *order[] = {&eviction.superseded, &eviction.divergent, &eviction.unused,
                                       &eviction.newest};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++)
        if (order[i]->found)
            return removal_run(store, &order[i]->removal);
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

void snapshots_evict_soon(struct service *service, const struct snapshot *put)
{
    service->snapshots->newest_hash = keeper_hash(service->snapshots, put->aggregate_id);
    service->snapshots->newest_version = put->version;
    if (service->options.snapshots_max > 0 && !atomic_exchange(&service->snapshots->evicting, true))
        service_background(service, BYTES_NONE, evict_job);
}

/* --- the timer of the cleanup --- */

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

void cleanup_begin(struct snapshot_keeper *keeper)
{
    keeper->timer.done = timer_fired;
    keeper->timer_set = keeper->service->options.cleanup_interval_us > 0;
    if (keeper->timer_set)
        timer_arm(keeper);
}
