/*
 * The state of one aggregate as a lane predicts it: what is stored, and on top what
 * the appends of the round will make of it.
 *
 * Threads  The round that holds the lane.
 */
#pragma once

#include "service/append_internal.h"

struct lane_state {
    bool known; /* arena and fold are set */
    struct arena *arena;
    struct fold *fold;
    bool exists;
    int32_t version; /* when it exists */
    char *type;      /* in the arena */
};

void lane_state_forget(struct lane_state *state);

/* Brings it to what is stored now. On failure it is forgotten. */
STATUS_MUST_CHECK struct status lane_state_refresh(struct service *service, struct bytes id,
                                                   struct lane_state *state);

/* What an append would do to one lane's aggregate. */
struct lane_trial {
    bool checked; /* one of its events is looked at by a check */
    bool expectations_hold;
    struct status verdict;
    struct fold *fold; /* the state after it, or NULL: `single` is still to be folded in */
    const struct append_event *single;
    size_t event_count;
};
/* Judges the append against the state, which stays as it is. RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status lane_state_try(struct service *service, struct bytes id,
                                               struct lane_state *state, const struct append *append,
                                               struct lane_trial *ret);
/* The trial is expected to be recorded. */
STATUS_MUST_CHECK struct status lane_state_adopt(struct lane_state *state, const struct append *append,
                                                 const struct lane_trial *trial);
