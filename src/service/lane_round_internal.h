/* A lane and its round, for lanes.c (who waits where) and lane_round.c (what a round does). */
#pragma once

#include "service/append_internal.h"
#include "service/lane_state_internal.h"

#define LANE_BUCKETS 4096U

struct round {
    struct pool_task task; /* first: found from it */
    struct lanes *lanes;
    struct lane *first_lane; /* chained by round_next */
    struct lane_ticket *first;
    struct lane_ticket *last;
    bool mispredicted;         /* guarded by lanes->lock, as `retry` */
    struct lane_ticket *retry; /* by arrival */
    atomic_bool broken;        /* one was not recorded as its successors were judged */
    atomic_size_t pending;     /* submitted and not answered, and one for the submitter */
};

struct lane {
    struct bytes id; /* its own memory */
    struct lane *bucket_next;
    struct lane_link *first; /* guarded by lanes->lock, as the next four */
    struct lane_link *last;
    bool busy;
    struct lane *idle_previous;
    struct lane *idle_next;
    struct lane *round_next; /* the round's while busy, as the next two */
    struct lane *ended_next; /* only within round_end */
    struct lane_state state;
    struct round round; /* of rounds that this lane leads */
};

struct lanes {
    struct service *service;
    uint64_t seed;
    pthread_mutex_t lock;
    struct lane *buckets[LANE_BUCKETS];
    struct lane *idle_first; /* least recently used */
    struct lane *idle_last;
    size_t idle_count;
    uint64_t arrivals;
    atomic_size_t active; /* lanes that are not idle */
};

/* On the pool: judges and submits the tickets of a round. */
void round_run(struct pool_task *task);
/* All are answered: the lanes are free, and send off who waits. */
void round_end(struct round *round);
