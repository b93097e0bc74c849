/*
 * Moving a store from one engine to another: every event with its position, time, id and bytes, then snapshots, values
 * and checkpoints. Equal records have equal chains, and the chains at the end are compared: that is the proof.
 *
 * A migration that was interrupted goes on where it ended: what the target has must be the beginning of the source, which
 * its chain shows. Leases do not move: who held one takes it anew in the new store.
 *
 * Ownership  Borrows everything.
 * Threads    One call by one thread; callbacks come from it. Nobody else may append to the target; the source may be
 *            appended to while it is followed, if its engine is one that several processes share.
 * Blocking   Yes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/event_store.h"
#include "store/snapshot_store.h"

struct entropy;

struct migrate_side {
    struct event_store *events;
    struct snapshot_store *snapshots; /* NULL = they are not moved */
};

struct migrate_options {
    /* How many of the source's events are in the target; NULL = nobody. */
    void (*on_progress)(void *context, int64_t position, int64_t head);
    /*
     * NULL: moves what is there. Else the source is followed: asked whenever all of it is in the target; true = it is
     * closed for appends, so that what came meanwhile is the last. May wait.
     */
    bool (*is_closed)(void *context);
    /*
     * NULL: the first failure ends it. Else it is asked when a store is out of reach: true = try again; it waits before it
     * says so.
     */
    bool (*may_retry)(void *context, const struct status *why);
    void *context;
};

struct migrate_report {
    struct store_head source; /* as it was at the end */
    struct store_head target;
    int64_t found; /* events that the target had */
    int64_t moved;
    int64_t snapshots;
    int64_t values;
    int64_t checkpoints;
};

/*
 * On failure *ret says how far it came: whole batches stay.
 *   FAILED_PRECONDITION  the target holds more than the source, or other events; a source that is not followed holds
 *                        none
 *   DATA_LOSS            a position is missing in the source, a record is damaged, or the chains at the end differ
 *   others               of both engines, and of event_store_adopt()
 */
STATUS_MUST_CHECK struct status migrate_store(const struct migrate_side *source,
                                              const struct migrate_side *target,
                                              const struct migrate_options *options,
                                              const struct entropy *entropy, struct migrate_report *ret);
