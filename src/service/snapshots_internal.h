/*
 * The rules of snapshots: which are taken by themselves, when a PENDING one is compared, which one goes when
 * there are too many, and the cached states, which are snapshots too.
 *
 * Threads  Any; all but snapshots_appended may block on the stores.
 */
#pragma once

#include "service/loader_internal.h"
#include "service/service_internal.h"

#define PENDING_MAX 16U /* of one aggregate */

struct snapshot_keeper;

STATUS_MUST_CHECK struct status snapshot_keeper_new(struct service *service, struct snapshot_keeper **ret);
/* No timer fires afterwards; more than once is fine. */
void snapshot_keeper_stop(struct snapshot_keeper *keeper);
void snapshot_keeper_free(struct snapshot_keeper *keeper);

/* After a load: keeps the state in the cache and has a snapshot taken when one is due. `base` NULL = from nothing. */
void snapshots_loaded(struct service *service, const struct loaded *loaded, const struct snapshot *base,
                      bool cached);
/* After an append; from the writer's thread: only enqueues. */
void snapshots_appended(struct service *service, const struct append_outcome *outcome);

/* Compares the PENDING snapshots that the head has reached; those far from any snapshot by a job. Failures are
 * only logged: the next read tries again. */
void snapshots_settle(struct service *service, struct arena *arena, struct bytes id, int32_t head_version);
/* The same for whoever shows snapshots: also those that another process has put since this one looked. */
void snapshots_settle_shown(struct service *service, struct arena *arena, struct bytes id,
                            int32_t head_version);

/*
 * The cleanup: superseded snapshots and expired cache entries go, never an event. Blocks on the stores, for long
 * when there is much; ends early when the service stops. What was removed before a failure is counted in *ret too.
 */
struct snapshots_removed {
    int64_t snapshots;
    int64_t cache_entries;
};
STATUS_MUST_CHECK struct status snapshots_cleanup(struct service *service, struct snapshots_removed *ret);

/* Of that the superseded snapshots alone: removes, or only counts, those that were stored before a moment. */
struct superseded_sweep {
    int64_t before_us; /* INT64_MAX = all */
    bool only_count;
    /* After every few, with the count so far; false ends it there. NULL = to the end. */
    bool (*goes_on)(void *context, int64_t count);
    void *context;
};
STATUS_MUST_CHECK struct status
snapshots_sweep_superseded(struct service *service, const struct superseded_sweep *how, int64_t *ret_count);

/* A snapshot of the aggregate was just of use: with max_snapshots, others go before its last one. Known until a
 * restart. */
void snapshots_used(struct service *service, struct bytes id);

/* While held, nobody else changes snapshots: for "look, then put". Held over a write to the snapshot store,
 * which has one writer anyway; no event waits for it. */
void snapshots_lock(struct service *service);
void snapshots_unlock(struct service *service);

/* Compares `data` (empty = take the state itself) with the state and stores VERIFIED or DIVERGENT; *ret lives
 * in the arena. Under snapshots_lock. */
STATUS_MUST_CHECK struct status snapshot_put_compared(struct service *service, struct arena *arena,
                                                      const struct loaded *loaded, struct bytes data,
                                                      struct bytes metadata, struct snapshot *ret);
/* Stores one that is ahead of its aggregate. Under snapshots_lock. */
STATUS_MUST_CHECK struct status snapshot_put_pending(struct service *service,
                                                     const struct snapshot *snapshot);

/*
 * The highest one at or below `version` that a rebuild may start from, but for its event, which is still to be seen:
 * VERIFIED, and folded by our reducer. Those of another reducer are looked past, up to SNAPSHOT_LOOKS_MAX of them.
 */
#define SNAPSHOT_LOOKS_MAX 64
STATUS_MUST_CHECK struct status snapshot_pick_ours(struct service *service, struct snapshot_store *store,
                                                   struct bytes id, int32_t version, struct arena *arena,
                                                   struct snapshot *ret, bool *ret_found);

/* Removes one whose event is not of this history; not what was put at its version meanwhile. */
void snapshot_drop_refuted(struct service *service, struct snapshot_store *store,
                           const struct snapshot *refuted);

/* Would a rebuild use it? VERIFIED, our reducer, and the event at its version is the one that it names. */
STATUS_MUST_CHECK struct status snapshot_is_usable(struct service *service, const struct snapshot *snapshot,
                                                   bool *ret);
