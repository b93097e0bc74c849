#include "service/lanes_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "service/lane_round_internal.h"

#define LANES_IDLE_MAX   1024U
#define ROUND_APPENDS    256U
#define IDLE_STATE_BYTES ((size_t)64 * 1024) /* an idle lane keeps no larger state; the cache has it */

/* --- life --- */

struct status lanes_new(struct service *service, struct lanes **ret)
{
    struct lanes *lanes = calloc(1, sizeof *lanes);
    if (lanes == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the lanes");
    lanes->service = service;
    entropy_fill(service->parts.entropy, &lanes->seed, sizeof lanes->seed);
    pthread_mutex_init(&lanes->lock, NULL);
    *ret = lanes;
    return status_ok();
}

static void lane_free(struct lane *lane)
{
    lane_state_forget(&lane->state);
    free(lane);
}

void lanes_free(struct lanes *lanes)
{
    if (lanes == NULL)
        return;
    for (size_t i = 0; i < LANE_BUCKETS; i++)
        while (lanes->buckets[i] != NULL) {
            struct lane *lane = lanes->buckets[i];
            lanes->buckets[i] = lane->bucket_next;
            assert(!lane->busy);
            lane_free(lane);
        }
    pthread_mutex_destroy(&lanes->lock);
    free(lanes);
}

/* --- the table of lanes; all under lanes->lock --- */

static struct lane **bucket_of(struct lanes *lanes, struct bytes id)
{
    return &lanes->buckets[XXH3_64bits_withSeed(id.data, id.size_bytes, lanes->seed) % LANE_BUCKETS];
}

static struct lane *lane_find(struct lanes *lanes, struct bytes id)
{
    for (struct lane *lane = *bucket_of(lanes, id); lane != NULL; lane = lane->bucket_next)
        if (bytes_equal(lane->id, id))
            return lane;
    return NULL;
}

static bool lane_is_idle(const struct lane *lane)
{
    return !lane->busy && lane->first == NULL;
}

static void idle_remove(struct lanes *lanes, struct lane *lane)
{
    if (lane->idle_previous != NULL)
        lane->idle_previous->idle_next = lane->idle_next;
    else
        lanes->idle_first = lane->idle_next;
    if (lane->idle_next != NULL)
        lane->idle_next->idle_previous = lane->idle_previous;
    else
        lanes->idle_last = lane->idle_previous;
    lane->idle_previous = lane->idle_next = NULL;
    lanes->idle_count--;
}

static void lane_drop(struct lanes *lanes, struct lane *lane)
{
    struct lane **link = bucket_of(lanes, lane->id);
    while (*link != lane)
        link = &(*link)->bucket_next;
    *link = lane->bucket_next;
    lane_free(lane);
}

static void idle_add(struct lanes *lanes, struct lane *lane)
{
    lane->idle_previous = lanes->idle_last;
    if (lanes->idle_last != NULL)
        lanes->idle_last->idle_next = lane;
    else
        lanes->idle_first = lane;
    lanes->idle_last = lane;
    lanes->idle_count++;
    if (lanes->idle_count > LANES_IDLE_MAX) {
        struct lane *oldest = lanes->idle_first;
        idle_remove(lanes, oldest);
        lane_drop(lanes, oldest);
    }
}

/* The lane of an aggregate, made when there is none; it counts as active from here on. NULL when out of memory. */
static struct lane *lane_take(struct lanes *lanes, struct bytes id)
{
    struct lane *lane = lane_find(lanes, id);
    if (lane != NULL) {
        if (lane_is_idle(lane)) {
            idle_remove(lanes, lane);
            atomic_fetch_add(&lanes->active, 1);
        }
        return lane;
    }
    lane = calloc(1, sizeof *lane + id.size_bytes);
    if (lane == NULL)
        return NULL;
    uint8_t *text = (uint8_t *)(lane + 1);
    memcpy(text, id.data, id.size_bytes);
    lane->id = bytes_of(text, id.size_bytes);
    lane->round.task.run = round_run;
    lane->round.lanes = lanes;
    struct lane **bucket = bucket_of(lanes, id);
    lane->bucket_next = *bucket;
    *bucket = lane;
    atomic_fetch_add(&lanes->active, 1);
    return lane;
}

/* --- sending rounds off; all under lanes->lock --- */

static void lane_pop(struct lane *lane)
{
    lane->first = lane->first->next;
    if (lane->first == NULL)
        lane->last = NULL;
}

static void round_begin(struct lane *leader)
{
    struct round *round = &leader->round;
    round->mispredicted = false;
    /* A round may outlive the answers of its calls by a moment: the service must not stop meanwhile. */
    atomic_fetch_add(&round->lanes->service->in_flight, 1);
    pool_resubmit(round->lanes->service->pool, &round->task);
}

/* The tickets at the head that are in this lane only. */
static void send_single(struct lane *lane)
{
    struct round *round = &lane->round;
    lane->busy = true;
    lane->round_next = NULL;
    round->first_lane = lane;
    round->first = round->last = NULL;
    for (size_t i = 0; i < ROUND_APPENDS && lane->first != NULL && lane->first->ticket->link_count == 1;
         i++) {
        struct lane_ticket *ticket = lane->first->ticket;
        lane_pop(lane);
        ticket->next = NULL;
        if (round->last != NULL)
            round->last->next = ticket;
        else
            round->first = ticket;
        round->last = ticket;
    }
    round_begin(lane);
}

/* A ticket of several lanes, once it is first in all of them and none is busy. */
static void send_multiple(struct lane_ticket *ticket)
{
    for (size_t i = 0; i < ticket->link_count; i++) {
        const struct lane *lane = ticket->links[i].lane;
        if (lane->busy || lane->first->ticket != ticket)
            return;
    }
    struct lane *leader = ticket->links[0].lane;
    struct round *round = &leader->round;
    round->first_lane = NULL;
    for (size_t i = ticket->link_count; i > 0; i--) {
        struct lane *lane = ticket->links[i - 1].lane;
        lane->busy = true;
        lane->round_next = round->first_lane;
        round->first_lane = lane;
        lane_pop(lane);
    }
    ticket->next = NULL;
    round->first = round->last = ticket;
    round_begin(leader);
}

static void lane_schedule(struct lane *lane)
{
    if (lane->busy || lane->first == NULL)
        return;
    if (lane->first->ticket->link_count == 1)
        send_single(lane);
    else
        send_multiple(lane->first->ticket);
}

/* --- arrival --- */

bool lanes_want(struct lanes *lanes, const struct append *append)
{
    if (atomic_load_explicit(&lanes->active, memory_order_acquire) == 0)
        return false;
    bool busy = false;
    pthread_mutex_lock(&lanes->lock);
    for (size_t i = 0; i < append->event_count && !busy; i++) {
        const struct lane *lane = lane_find(lanes, append->events[i].aggregate_id);
        busy = lane != NULL && !lane_is_idle(lane);
    }
    for (size_t i = 0; i < append->expectation_count && !busy; i++) {
        const struct lane *lane = lane_find(lanes, append->expectations[i].aggregate_id);
        busy = lane != NULL && !lane_is_idle(lane);
    }
    pthread_mutex_unlock(&lanes->lock);
    return busy;
}

static int compare_bytes(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* The aggregates that an append names, each once. */
static struct bytes *named_aggregates(struct arena *arena, const struct append *append, size_t *ret_count)
{
    struct bytes *ids = arena_array(arena, append->event_count + append->expectation_count, sizeof *ids);
    if (ids == NULL)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < append->event_count; i++)
        if (count == 0 || !bytes_equal(ids[count - 1], append->events[i].aggregate_id))
            ids[count++] = append->events[i].aggregate_id;
    for (size_t i = 0; i < append->expectation_count; i++)
        ids[count++] = append->expectations[i].aggregate_id;
    if (count > 1)
        qsort(ids, count, sizeof *ids, compare_bytes);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (!bytes_equal(ids[kept - 1], ids[i]))
            ids[kept++] = ids[i];
    *ret_count = kept;
    return ids;
}

/* All tickets at once, so that any two appends stand in the same order in every lane. */
static bool take_tickets(struct lanes *lanes, struct lane_ticket *ticket, const struct bytes *ids)
{
    for (size_t i = 0; i < ticket->link_count; i++) {
        struct lane *lane = lane_take(lanes, ids[i]);
        if (lane == NULL) {
            for (size_t j = 0; j < i; j++)
                if (lane_is_idle(ticket->links[j].lane)) {
                    atomic_fetch_sub(&lanes->active, 1);
                    idle_add(lanes, ticket->links[j].lane);
                }
            return false;
        }
        ticket->links[i] = (struct lane_link){.lane = lane, .ticket = ticket};
    }
    for (size_t i = 0; i < ticket->link_count; i++) {
        struct lane *lane = ticket->links[i].lane;
        if (lane->last != NULL)
            lane->last->next = &ticket->links[i];
        else
            lane->first = &ticket->links[i];
        lane->last = &ticket->links[i];
    }
    return true;
}

void lanes_submit(struct lanes *lanes, struct append_job *job)
{
    struct lane_ticket *ticket = &job->ticket;
    *ticket = (struct lane_ticket){0};
    const struct bytes *ids = named_aggregates(job->arena, &job->append, &ticket->link_count);
    ticket->links = ids == NULL ? NULL : arena_array(job->arena, ticket->link_count, sizeof *ticket->links);
    bool taken = false;
    if (ticket->links != NULL) {
        pthread_mutex_lock(&lanes->lock);
        ticket->arrival = lanes->arrivals++;
        taken = take_tickets(lanes, ticket, ids);
        if (taken) /* the others follow when their rounds end */
            lane_schedule(ticket->links[0].lane);
        pthread_mutex_unlock(&lanes->lock);
    }
    if (!taken) {
        const struct status status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the append's lanes");
        append_job_refuse(job, &status);
    }
}

/* --- the end of a round --- */

void round_end(struct round *round)
{
    struct lanes *lanes = round->lanes;
    pthread_mutex_lock(&lanes->lock);
    struct lane *lane = round->first_lane;
    for (struct lane *one = lane; one != NULL; one = one->round_next) {
        if (round->mispredicted)
            lane_state_forget(&one->state);
        one->busy = false;
        one->ended_next = one->round_next; /* scheduling below makes new chains of round_next */
    }
    while (lane != NULL) {
        struct lane *next = lane->ended_next;
        if (lane->first != NULL) {
            lane_schedule(lane);
        } else if (!lane->busy) {
            if (lane->state.known && arena_used_bytes(lane->state.arena) > IDLE_STATE_BYTES)
                lane_state_forget(&lane->state);
            atomic_fetch_sub(&lanes->active, 1);
            idle_add(lanes, lane);
        }
        lane = next;
    }
    struct service *service = lanes->service;
    pthread_mutex_unlock(&lanes->lock);
    service_leave(service);
}
