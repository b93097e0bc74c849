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

void snapshots_evict_soon(struct service *service)
{
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
