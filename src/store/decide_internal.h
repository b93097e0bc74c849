/*
 * The parts of decide(): decide_ids.c settles replays and used ids (rule 1), decide_rules.c refuses (rules 2 to 6),
 * decide.c walks the batch in the order of the rules and accepts (rule 7).
 */
#pragma once

#include "store/decide.h"
#include "store/overlay_internal.h"

/* A batch being decided. */
struct deciding {
    const struct decide_input *input;
    struct arena *arena;
    struct overlay *overlay;
    uint64_t seed;                        /* of every table: ids come from outside */
    struct hash_table facts_by_aggregate; /* place in request->aggregate_ids */
    struct hash_table facts_by_id;        /* place in request->event_ids */
    size_t turn;                          /* which append is looked at, from 1 */
    size_t *id_named_by; /* by place in request->event_ids: the turn that named it last; 0 = none */
    size_t record_count;
    size_t record_bytes;
};

/* Where each event of the append lands. The heads move in `staged` only. */
struct landing {
    int32_t *versions;
    struct bytes *types;
    int64_t new_aggregates;
    struct status type_fault; /* OK, or the first of rule 3 */
    struct status
        creation_fault; /* OK, or a creation of what exists: the expectation that it carries in itself */
};

static inline struct status decide_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "no memory to decide a batch; retry, or send smaller appends");
}

/* Place of `wanted` among items that the table indexes; HASH_NONE = not there. */
uint32_t decide_find_place(const struct hash_table *table, const struct bytes *items, struct bytes wanted);
/* The aggregate as it stands before the append that is looked at; NULL when out of memory. */
struct overlay_head *decide_head_of(struct deciding *deciding, struct bytes aggregate_id);

/*
 * Rule 1. *ret_settled: the ids alone settle the append, replayed or refused. Failures as of decide_rules().
 */
STATUS_MUST_CHECK struct status decide_ids(struct deciding *deciding, const struct append *append,
                                           struct append_outcome *outcome, bool *ret_settled);
/* The last event of each aggregate, in order of first mention, into the outcome. */
STATUS_MUST_CHECK struct status decide_heads(struct deciding *deciding, const struct event_fields *fields,
                                             size_t count, struct append_outcome *outcome);

/*
 * Rules 2 to 6. A failure is this append's refusal, but RESOURCE_EXHAUSTED without a reason is for want of memory.
 * `place` is the append's in the batch.
 */
STATUS_MUST_CHECK struct status decide_rules(struct deciding *deciding, const struct append *append,
                                             size_t place, struct landing *landing, bool *ret_revalidate);
