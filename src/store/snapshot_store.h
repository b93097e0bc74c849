/*
 * Where snapshots are kept: aggregate and version to the state at that version. A snapshot is never the only copy of
 * anything but a client's own text; losing the store loses speed.
 *
 * The store holds what it is given: whether a snapshot is VERIFIED is service's business. Every implementation passes
 * tests/contract unchanged.
 *
 * Threads   Any.  Blocking  Yes.
 * Errors    UNAVAILABLE/STORE_UNREACHABLE, DATA_LOSS/DAMAGED. Not found is no error: *ret_found says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"

struct snapshot_store;

/* Numbers are those of strata.v1.Snapshot.State. */
enum snapshot_state { SNAPSHOT_VERIFIED = 1, SNAPSHOT_PENDING = 2, SNAPSHOT_DIVERGENT = 3 };

struct snapshot {
    struct bytes aggregate_id;
    struct bytes aggregate_type;
    int32_t version;
    enum snapshot_state state;
    int64_t created_at_us;
    int64_t position;          /* of the event at `version`; 0 while PENDING */
    struct bytes event_digest; /* leaf of that event, 32 bytes; empty while PENDING */
    int32_t reducer_version;
    struct bytes data; /* compact JSON */
    struct bytes metadata;
    struct bytes folded; /* VERIFIED: the packed strata.v1.Aggregate a rebuild starts from */
};

enum snapshot_pick {
    SNAPSHOT_PICK_EXACT,  /* the one at `version` */
    SNAPSHOT_PICK_BEST,   /* the highest VERIFIED at or below `version` */
    SNAPSHOT_PICK_LATEST, /* the highest version at or below `version`, whatever its state */
};

typedef bool (*snapshot_sink)(void *context, const struct snapshot *snapshot); /* valid during the call */

struct snapshot_store_stats {
    const char *engine;
    int64_t snapshot_count;
    int64_t size_bytes;
};

struct snapshot_store_ops {
    /* Inserts or replaces. Durable when it returns, where the store is durable. */
    struct status (*put)(struct snapshot_store *store, const struct snapshot *snapshot);
    struct status (*get)(struct snapshot_store *store, struct bytes aggregate_id, enum snapshot_pick pick,
                         int32_t version, struct arena *arena, struct snapshot *ret, bool *ret_found);
    /* Ordered by aggregate id, then version, after (after_id, after_version); empty filters match all. */
    struct status (*list)(struct snapshot_store *store, struct bytes aggregate_id,
                          struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                          snapshot_sink sink, void *context);
    struct status (*remove)(struct snapshot_store *store, struct bytes aggregate_id, int32_t version);
    struct status (*stats)(struct snapshot_store *store, struct snapshot_store_stats *ret);
    void (*close)(struct snapshot_store *store);
};

struct snapshot_store {
    const struct snapshot_store_ops *ops;
};

static inline void snapshot_store_close(struct snapshot_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}
DEFINE_CLEANUP(struct snapshot_store, snapshot_store_close);
