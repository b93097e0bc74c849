/*
 * Follows records in the order of their positions from the first event of an append on: whole appends, rising times, and
 * the chain that they make. What export writes, what import checks and what a verification of a running store reads.
 *
 * Ownership  record_walk_done() frees.
 * Threads    One.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"
#include "record/record.h"

/* Where a history stands behind an event. */
struct walk_point {
    int64_t position; /* 0 = nothing yet */
    int64_t timestamp_us;
    struct sha256 chain; /* of whole appends: while one is open, still that before it */
};

struct record_walk {
    struct walk_point at;
    int32_t append_count; /* of the append that is open; 0 = none is */
    int64_t append_first; /* its first position */
    struct buffer leaves; /* of the append that is open */
};

struct record_walk record_walk_from(const struct walk_point *before);
void record_walk_done(struct record_walk *walk);

/* Takes the next record; `fields` are of its header. DATA_LOSS/DAMAGED, naming the position, when it is not what a
 * right writer writes next. */
STATUS_MUST_CHECK struct status record_walk_take(struct record_walk *walk, struct record record,
                                                 const struct event_fields *fields);

/* True between appends. */
static inline bool record_walk_is_whole(const struct record_walk *walk)
{
    return walk->append_count == 0;
}
