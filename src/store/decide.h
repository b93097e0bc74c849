/*
 * decide(): what becomes of each append of a batch. Pure: no I/O, no clock, no randomness but what is handed in.
 *
 * Order of the rules (DESIGN §3): 1 event ids, a replay wins over everything · 2 sizes, "exists already" to who
 * creates, limits · 3 aggregate type · 4 expectations · 5 condition · 6 the domain check's verdict · 7 versions,
 * positions, timestamp. An accepted append enters the overlay, so that later ones see it; a refused one leaves no
 * trace. validate_only appends are decided like others and leave no trace either.
 *
 * The overlay lives across the two stages of the writer: batch N+1 is decided on facts that may or may not
 * contain N, plus N's overlay; where both speak, the overlay wins.
 */
#pragma once

#include "base/arena.h"
#include "store/append.h"
#include "store/event_store.h"
#include "store/hash_table.h"

struct entropy;
struct overlay; /* heads, ids, records of decided but perhaps not yet durable appends */

void overlay_free(struct overlay *overlay);
DEFINE_CLEANUP(struct overlay, overlay_free);

/* Where one append's names stand in the lists of the batch. */
struct append_names {
    const uint32_t *aggregates; /* one an event, then one an expectation, then one a verdict */
    const uint32_t *ids;        /* one an event; NULL: the server made them */
};

/*
 * The names that a batch speaks of, each once and hashed once: what the store is asked about, and how decide() finds
 * what it answered. The overlay keeps the hashes, so all batches of a writer are named by one namer.
 */
struct decide_names {
    struct facts_request request;
    const uint64_t *aggregate_hashes; /* as request.aggregate_ids */
    const uint64_t *event_id_hashes;  /* as request.event_ids */
    const struct append_names *appends;
    uint64_t seed; /* of the hashes */
};

/* Keeps its tables' memory from batch to batch. One thread at a time. */
struct decide_namer {
    struct hash_table aggregates;
    struct hash_table ids;
};

/* `seed` must not be known outside: names come from there. */
struct decide_namer decide_namer_make(uint64_t seed);
void decide_namer_done(struct decide_namer *namer);
/* The lists live in `arena`, their texts stay the appends'. RESOURCE_EXHAUSTED when out of memory. */
STATUS_MUST_CHECK struct status decide_name(struct decide_namer *namer, const struct append *const *appends,
                                            size_t append_count, struct arena *arena,
                                            struct decide_names *ret);

/* What the store says of an append's condition, in (checked_to, facts.head]. */
struct condition_fact {
    int64_t hit;                     /* where an event matches; 0 = nowhere */
    const struct status *unreadable; /* NULL, or why that is not known: refuses this append alone */
};

struct decide_input {
    const struct append *const *appends;
    size_t append_count;
    const struct decide_names *names;        /* of these appends */
    const struct facts *facts;               /* what the store says of names->request */
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
