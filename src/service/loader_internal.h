/*
 * The state of an aggregate as of a version, position or effective time: the best snapshot at or below, from
 * cache or snapshot store, and the tail of events from the event store.
 *
 * A snapshot is believed only when its reducer version is ours and the event at its version has the leaf that
 * it names; the tail is read from that event on, so this costs no read of its own.
 *
 * Threads  Any; blocks on the stores.
 */
#pragma once

#include "service/service_internal.h"

struct load_request {
    struct bytes id;
    int32_t version;  /* at most; INT32_MAX = the newest */
    int64_t position; /* at most; INT64_MAX = the newest */
    bool has_effective_at;
    int64_t effective_at_us; /* leaves out what takes effect later; folds from the start, without snapshots */
    bool keep_quiet;         /* neither fills the cache nor asks for a snapshot */
};

struct loaded {
    struct aggregate_head head;   /* as it is now */
    bool exists;                  /* at the asked bound */
    struct aggregate_state state; /* when it exists */
    struct sha256 leaf;           /* of the event at state.version; not with effective_at */
    int32_t base_version;         /* of the snapshot that it started from; -1 = from nothing */
    int64_t tail_events;          /* folded in */
};

/* AGGREGATE_UNKNOWN when there never was such an aggregate; texts come from `arena`. */
STATUS_MUST_CHECK struct status loader_load(struct service *service, const struct load_request *request,
                                            struct arena *arena, struct loaded *ret);

STATUS_MUST_CHECK struct status status_aggregate_unknown(struct bytes id);

/* The packed Aggregate of a snapshot. */
STATUS_MUST_CHECK struct status state_pack(const struct aggregate_state *state, struct arena *arena,
                                           struct bytes *ret);
