/*
 * Lanes: appends that a domain rule or a condition looks at first, in the order of their arrival at each aggregate.
 *
 * An append takes a ticket in the lane of every aggregate it names, in all at once, so any two appends stand in
 * the same order wherever they meet and nothing can wait in a circle. A free lane sends its waiting tickets off
 * in a *round*: each is judged against the state after its predecessor, all are submitted in order, each with
 * its verdict. Predictions can be wrong (a predecessor is refused, was a replay, another replica wrote): decide
 * then answers REVALIDATE, and those go into the next round together. The first of a round has no predecessor
 * to be wrong about, so only a foreign write can send it back; after LANE_ROUNDS_MAX of these it is refused.
 *
 * An append with tickets in several lanes waits until it is first in all of them and makes a round
 * of its own. While a lane is busy, unchecked appends to its aggregate queue in it too, so that
 * they cannot starve those that are checked.
 *
 * Threads  lanes_submit and lanes_want from any thread. Rounds run on the pool, one at a time for a lane.
 */
#pragma once

#include "service/pool_internal.h"
#include "service/service_internal.h"

#define LANE_ROUNDS_MAX 8U

struct append_job;
struct lane;
struct lanes;
struct lane_ticket;

struct lane_link {
    struct lane *lane;
    struct lane_ticket *ticket;
    struct lane_link *next;    /* behind it in the lane */
    int32_t predicted_version; /* of the lane's aggregate after the append; while predicted_change */
};

struct lane_ticket {
    struct lane_link *links; /* one a lane, by aggregate id; in the job's arena */
    size_t link_count;
    uint64_t arrival;
    struct lane_ticket *next; /* in its round */
    struct round *round;
    unsigned foreign_rounds; /* rounds lost although it was the first */
    bool first_of_round;
    bool predicted_change; /* what the round expects of it; else nothing is recorded */
};

STATUS_MUST_CHECK struct status lanes_new(struct service *service, struct lanes **ret);
void lanes_free(struct lanes *lanes);

/* Must this unchecked append queue, since a lane of its aggregates is busy? */
bool lanes_want(struct lanes *lanes, const struct append *append);
/* Takes the job over; it is answered in any case. */
void lanes_submit(struct lanes *lanes, struct append_job *job);
