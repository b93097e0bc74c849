/*
 * decide(): what becomes of each append of a batch. Pure: no I/O, no clock, no randomness but what is handed in.
 *
 * Order of the rules (DESIGN §3): 1 event ids, a replay wins over everything · 2 sizes and limits · 3 aggregate
 * type · 4 expectations · 5 condition · 6 the domain check's verdict · 7 versions, positions, timestamp. An accepted
 * append enters the overlay, so that later ones see it; a refused one leaves no trace. validate_only appends are
 * decided like others and leave no trace either.
 *
 * The overlay lives across the two stages of the writer: batch N+1 is decided on facts that may or may not
 * contain N, plus N's overlay; where both speak, the overlay wins.
 */
#pragma once

#include "base/arena.h"
#include "store/append.h"
#include "store/event_store.h"

struct entropy;
struct overlay; /* heads, ids, records of decided but perhaps not yet durable appends */

struct overlay *overlay_new(void); /* NULL when out of memory */
void overlay_free(struct overlay *overlay);
DEFINE_CLEANUP(struct overlay, overlay_free);

/* What the store says of an append's condition, in (checked_to, facts.head]. */
struct condition_fact {
    int64_t hit;                     /* where an event matches; 0 = nowhere */
    const struct status *unreadable; /* NULL, or why that is not known: refuses this append alone */
};

struct decide_input {
    const struct append *const *appends;
    size_t append_count;
    const struct facts_request *request; /* what `facts` speaks of */
    const struct facts *facts;
    const struct condition_fact *conditions; /* one an append */
    const struct overlay *in_flight;         /* the batch before, not yet known durable; NULL = none */
    int64_t now_us;
    const struct append_limits *limits;
    const struct entropy *entropy; /* salts */
};

struct decision {
    struct append_outcome *outcomes; /* one an append */
    struct commit_batch batch;       /* the accepted ones; append_count 0 = nothing to write */
    struct overlay *overlay;         /* of this batch; the caller frees it */
};

/* All memory of the decision (but the overlay) comes from `arena`. RESOURCE_EXHAUSTED when it is exhausted. */
STATUS_MUST_CHECK struct status decide(const struct decide_input *input, struct arena *arena,
                                       struct decision *ret);
