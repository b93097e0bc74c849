/* Snapshots that go: beyond max_snapshots, and by the cleanup. */
#include "service/snapshot_keeper_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bus/subscribers.h"
#include "service/operations_internal.h"

/* The lock is held for so many removals, each of which may be a sync. */
#define EVICT_AT_ONCE 16U
#define SWEEP_AT_ONCE 64U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

/* --- what goes --- */

struct removal {
    uint8_t id[ID_MAX_BYTES];
    size_t id_bytes;
    int32_t version;
};

static void removal_set(struct removal *removal, const struct snapshot *snapshot)
{
    assert(snapshot->aggregate_id.size_bytes <= sizeof removal->id); /* an aggregate of the store has it */
    memcpy(removal->id, snapshot->aggregate_id.data, snapshot->aggregate_id.size_bytes);
    removal->id_bytes = snapshot->aggregate_id.size_bytes;
    removal->version = snapshot->version;
}

static struct bytes removal_id(const struct removal *removal)
{
    return bytes_of(removal->id, removal->id_bytes);
}

static struct status removal_run(struct snapshot_store *store, const struct removal *removal)
{
    return store->ops->remove(store, removal_id(removal), removal->version);
}

/*
 * Snapshots come by aggregate and version: a VERIFIED one is superseded when another follows for the same
 * aggregate. One of another reducer is of no use to a rebuild, so it supersedes only its like.
 */
enum whose { OURS, ANOTHERS, WHOSE_COUNT };

static enum whose whose_is(const struct service *service, const struct snapshot *snapshot)
{
    return snapshot->reducer_version == service->options.reducer_version ? OURS : ANOTHERS;
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

/* Which go first; within a rank the oldest, or the least recently used. The one put last goes last: whoever was just
 * told that it is stored must find it, as long as anything else may go. PENDING ones never go. */
enum rank { RANK_SUPERSEDED, RANK_DIVERGENT, RANK_VERIFIED, RANK_NEWEST };

struct candidate {
    enum rank rank;
    int64_t time_us;
    struct removal removal;
};

/* One pass over all snapshots: the few that go next. */
struct eviction {
    struct service *service;
    struct candidate worst[EVICT_AT_ONCE]; /* in the order in which they go */
    size_t count;
    size_t count_max;
    struct candidate
        last[WHOSE_COUNT]; /* VERIFIED, of the aggregate at hand: perhaps the next one supersedes it */
    bool has_last[WHOSE_COUNT];
};

static void evict_offer(struct eviction *eviction, const struct candidate *candidate)
{
    size_t at = eviction->count;
    while (at > 0 && (eviction->worst[at - 1].rank > candidate->rank ||
                      (eviction->worst[at - 1].rank == candidate->rank &&
                       eviction->worst[at - 1].time_us > candidate->time_us)))
        at--;
    if (at == eviction->count_max)
        return;
    if (eviction->count < eviction->count_max)
        eviction->count++;
    memmove(&eviction->worst[at + 1], &eviction->worst[at],
            (eviction->count - 1 - at) * sizeof *eviction->worst);
    eviction->worst[at] = *candidate;
}

/* Nothing more comes of the aggregate at hand. */
static void evict_offer_last(struct eviction *eviction)
{
    for (enum whose i = OURS; i < WHOSE_COUNT; i++) {
        if (eviction->has_last[i])
            evict_offer(eviction, &eviction->last[i]);
        eviction->has_last[i] = false;
    }
}

static void evict_supersede(struct eviction *eviction, enum whose whose)
{
    for (enum whose i = whose; i < WHOSE_COUNT; i++) {
        struct candidate *former = &eviction->last[i];
        if (eviction->has_last[i] && former->rank != RANK_NEWEST)
            former->rank = RANK_SUPERSEDED;
        if (eviction->has_last[i])
            evict_offer(eviction, former);
        eviction->has_last[i] = false;
    }
}

static bool is_of(const struct candidate *candidate, struct bytes id)
{
    return bytes_equal(removal_id(&candidate->removal), id);
}

static bool evict_look(void *context, const struct snapshot *snapshot)
{
    struct eviction *eviction = context;
    struct snapshot_keeper *keeper = eviction->service->snapshots;
    if (snapshot->state == SNAPSHOT_PENDING)
        return true;
    const uint64_t hash = keeper_hash(keeper, snapshot->aggregate_id);
    struct candidate candidate = {.rank = RANK_VERIFIED};
    removal_set(&candidate.removal, snapshot);
    if (hash == keeper->newest_hash && snapshot->version == keeper->newest_version)
        candidate.rank = RANK_NEWEST;
    else if (snapshot->state == SNAPSHOT_DIVERGENT)
        candidate.rank = RANK_DIVERGENT;
    candidate.time_us =
        snapshot->state == SNAPSHOT_DIVERGENT ? snapshot->created_at_us : used_at_us(keeper, hash, snapshot);
    if (snapshot->state == SNAPSHOT_DIVERGENT) {
        evict_offer(eviction, &candidate);
        return true;
    }
    for (enum whose i = OURS; i < WHOSE_COUNT; i++)
        if (eviction->has_last[i] && !is_of(&eviction->last[i], snapshot->aggregate_id))
            evict_offer_last(eviction);
    const enum whose whose = whose_is(eviction->service, snapshot);
    evict_supersede(eviction, whose);
    eviction->last[whose] = candidate;
    eviction->has_last[whose] = true;
    const bool enough = eviction->count == eviction->count_max &&
                        eviction->worst[eviction->count - 1].rank == RANK_SUPERSEDED;
    return !enough;
}

static struct status evict_some(struct service *service, struct eviction *eviction, bool *ret_done)
{
    struct snapshot_store *store = service->parts.snapshots;
    struct snapshot_store_stats stats;
    STATUS_TRY(store->ops->stats(store, &stats));
    const int64_t excess = stats.snapshot_count - service->options.snapshots_max;
    *ret_done = excess <= 0;
    if (*ret_done)
        return status_ok();
    *eviction = (struct eviction){.service = service,
                                  .count_max = excess < EVICT_AT_ONCE ? (size_t)excess : EVICT_AT_ONCE};
    STATUS_TRY(store->ops->list(store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, evict_look, eviction));
    evict_offer_last(eviction);
    for (size_t i = 0; i < eviction->count; i++)
        STATUS_TRY(removal_run(store, &eviction->worst[i].removal));
    *ret_done = eviction->count == 0; /* only PENDING ones are left, and those stay */
    return status_ok();
}

static void evict_job(struct service *service, struct bytes none)
{
    (void)none;
    atomic_store(&service->snapshots->evicting, false); /* whoever puts from here on asks again */
    struct eviction *eviction = malloc(sizeof *eviction);
    struct status status = eviction == NULL ? no_memory() : status_ok();
    bool done = false;
    while (!done && status_is_ok(&status)) { /* each pass removes something, or ends */
        snapshots_lock(service);
        status = evict_some(service, eviction, &done);
        snapshots_unlock(service);
    }
    free(eviction);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "snapshots beyond max_snapshots could not be removed",
                 LOG_TEXT("reason", status.message));
}

/* --- the cleanup --- */

/* Part of a pass over a store: what is to go, and where the next part begins. */
struct sweep {
    const struct service *service;
    struct removal verified[WHOSE_COUNT]; /* the last VERIFIED ones, of the aggregate at hand or one before */
    int64_t verified_at_us[WHOSE_COUNT];
    bool has_verified[WHOSE_COUNT];
    struct removal removals[SWEEP_AT_ONCE];
    size_t count;
    int64_t before_us; /* only what was stored before; cache: entries put before this go */
    bool more;         /* the part was full: go on behind `at` */
    struct removal at; /* seen last */
};

static bool sweep_ends(struct sweep *sweep, const struct snapshot *snapshot)
{
    sweep->more = sweep->count + WHOSE_COUNT > SWEEP_AT_ONCE;
    removal_set(&sweep->at, snapshot);
    return sweep->more;
}

static bool sweep_superseded(void *context, const struct snapshot *snapshot)
{
    struct sweep *sweep = context;
    if (snapshot->state != SNAPSHOT_VERIFIED)
        return true;
    const enum whose whose = whose_is(sweep->service, snapshot);
    for (enum whose i = whose; i < WHOSE_COUNT; i++) {
        if (sweep->has_verified[i] && sweep->verified_at_us[i] < sweep->before_us &&
            bytes_equal(removal_id(&sweep->verified[i]), snapshot->aggregate_id))
            sweep->removals[sweep->count++] = sweep->verified[i];
        sweep->has_verified[i] = false;
    }
    removal_set(&sweep->verified[whose], snapshot);
    sweep->verified_at_us[whose] = snapshot->created_at_us;
    sweep->has_verified[whose] = true;
    return !sweep_ends(sweep, snapshot);
}

static bool sweep_expired(void *context, const struct snapshot *snapshot)
{
    struct sweep *sweep = context;
    struct cache_note note;
    if (cache_note_read(snapshot, &note) && note.cached_at_us < sweep->before_us)
        removal_set(&sweep->removals[sweep->count++], snapshot);
    return !sweep_ends(sweep, snapshot);
}

static struct status sweep_remove(struct snapshot_store *store, const struct sweep *sweep, int64_t *ret_count)
{
    for (size_t i = 0; i < sweep->count; i++) {
        STATUS_TRY(removal_run(store, &sweep->removals[i]));
        ++*ret_count;
    }
    return status_ok();
}

/* `lock` NULL: the store needs none. */
static struct status sweep_store(struct service *service, struct snapshot_store *store, pthread_mutex_t *lock,
                                 snapshot_sink sink, const struct superseded_sweep *how, int64_t *ret_count)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL)
        return no_memory();
    sweep->service = service;
    sweep->before_us = how->before_us;
    struct status status = status_ok();
    do {
        const struct removal after = sweep->at;
        sweep->more = false;
        sweep->count = 0;
        if (lock != NULL)
            pthread_mutex_lock(lock);
        status =
            store->ops->list(store, BYTES_NONE, BYTES_NONE, removal_id(&after), after.version, sink, sweep);
        if (how->only_count)
            *ret_count += (int64_t)sweep->count;
        else if (status_is_ok(&status))
            status = sweep_remove(store, sweep, ret_count);
        if (lock != NULL)
            pthread_mutex_unlock(lock);
    } while (sweep->more && status_is_ok(&status) && !service_stopping(service) &&
             (how->goes_on == NULL || how->goes_on(how->context, *ret_count)));
    free(sweep);
    return status;
}

struct status snapshots_sweep_superseded(struct service *service, const struct superseded_sweep *how,
                                         int64_t *ret_count)
{
    *ret_count = 0;
    return sweep_store(service, service->parts.snapshots, &service->snapshots->write_lock, sweep_superseded,
                       how, ret_count);
}

struct status snapshots_cleanup(struct service *service, struct snapshots_removed *ret)
{
    *ret = (struct snapshots_removed){0};
    const struct superseded_sweep all = {.before_us = INT64_MAX};
    STATUS_TRY(snapshots_sweep_superseded(service, &all, &ret->snapshots));
    if (service->parts.cache == NULL || service->options.cache_ttl_us <= 0)
        return status_ok();
    const struct superseded_sweep expired = {.before_us = clock_now_us(service->parts.clock) -
                                                          service->options.cache_ttl_us};
    return sweep_store(service, service->parts.cache, NULL, sweep_expired, &expired, &ret->cache_entries);
}

static void cleanup_job(struct service *service, struct bytes none)
{
    (void)none;
    struct snapshots_removed removed;
    (void)bus_cleanup(service->parts.bus); /* how many is nobody's question here */
    operations_expire(service->operations);
    const struct status status = snapshots_cleanup(service, &removed);
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
