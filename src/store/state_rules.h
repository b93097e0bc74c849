/*
 * The rules of values, leases and checkpoints (event_store.h), pure, the same for every engine: what is stored and
 * what is asked go in, what is to be stored or why it is refused comes out.
 *
 * Ownership  Nothing is copied: texts are those that were handed in.
 * Threads    Any.  Blocking  Never.
 */
#pragma once

#include "store/event_store.h"

/* INVALID_ARGUMENT for what state_put() does not take. */
STATUS_MUST_CHECK struct status state_value_check(struct bytes key, struct bytes value);
/* For what state_swap() does not take. */
STATUS_MUST_CHECK struct status state_swap_check(struct bytes key, struct bytes value);

/* A lease as stored. All zero = never taken. */
struct lease_state {
    struct bytes holder;
    struct lease lease; /* ends_at_us 0 = released */
    int64_t ttl_us;
};

/* The new state of the lease; errors as event_store_ops.lease. */
STATUS_MUST_CHECK struct status lease_take(const struct lease_state *stored, struct bytes name,
                                           struct bytes holder, int64_t ttl_ms, int64_t now_us,
                                           struct lease_state *ret);

/* Whether there is something to release. */
bool lease_is_held(const struct lease_state *stored, struct bytes holder, int64_t epoch);

struct checkpoint_request {
    struct bytes name;
    int64_t position;
    int64_t epoch;
    int64_t head_position;
    int64_t lease_epoch; /* of the lease of the same name; 0 = none */
};

/* OK = put it; errors as event_store_ops.checkpoint_put. `stored` NULL = none. */
STATUS_MUST_CHECK struct status checkpoint_check(const struct checkpoint *stored,
                                                 const struct checkpoint_request *request);
