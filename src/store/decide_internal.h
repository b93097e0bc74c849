/*
 * The parts of decide(): decide_ids.c settles replays and used ids (rule 1), decide_rules.c refuses (rules 2 to 6),
 * decide.c walks the batch in the order of the rules and accepts (rule 7).
 */
#pragma once

#include "store/decide.h"
#include "store/overlay_internal.h"

/* What is known of an aggregate of the batch beside its facts; all 0 at first. */
struct aggregate_notes {
    uint32_t head_plus_1; /* place in the overlay's heads; 0 = not looked at yet */
    uint32_t change;      /* place in the heads of the outcome that is being made, if */
    size_t changed_turn;  /* … it is this turn's */
};

/* A batch being decided. */
struct deciding {
    const struct decide_input *input;
    struct arena *arena;
    struct overlay *overlay;
    struct aggregate_notes *notes; /* as names->request.aggregate_ids */
    size_t turn;                   /* which append is looked at, from 1 */
    size_t *id_named_by;           /* as names->request.event_ids: the turn that named it last; 0 = none */
    size_t record_count;
    size_t record_bytes;
};

static inline const struct append_names *deciding_names(const struct deciding *deciding)
{
    return &deciding->input->names->appends[deciding->turn - 1];
}

/* Where each event of the append lands. The heads move in `staged` only. */
struct landing {
    int32_t *versions;
    struct bytes *types;
    int64_t new_aggregates;
    struct status type_fault; /* OK, or the first of rule 3 */
    size_t type_fault_event;  /* whose it is, from 1; 0 = none */
    struct status
        creation_fault; /* OK, or a creation of what exists: the expectation that it carries in itself */
};

static inline struct status decide_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "no memory to decide a batch; retry, or send smaller appends");
}

/* The aggregate at `place` of the names as it stands before the append that is looked at; NULL when out of memory. The
 * pointer is good until the next call. */
struct overlay_head *decide_head_at(struct deciding *deciding, uint32_t place);

/*
 * Rule 1. *ret_settled: the ids alone settle the append, replayed or refused. Failures as of decide_rules().
 */
STATUS_MUST_CHECK struct status decide_ids(struct deciding *deciding, const struct append *append,
                                           struct append_outcome *outcome, bool *ret_settled);
/* The last event of each aggregate, in order of first mention, into the outcome. `fields` are of the events of the append
 * that is looked at, or of the records that it repeats. */
STATUS_MUST_CHECK struct status decide_heads(struct deciding *deciding, const struct event_fields *fields,
                                             size_t count, struct append_outcome *outcome);

/*
 * Rules 2 to 6. A failure is this append's refusal, but RESOURCE_EXHAUSTED without a reason is for want of memory.
 * `place` is the append's in the batch.
 */
STATUS_MUST_CHECK struct status decide_rules(struct deciding *deciding, const struct append *append,
                                             size_t place, struct landing *landing, bool *ret_revalidate);
