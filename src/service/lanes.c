#include "service/lanes_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bus/read_plan.h"
#include "service/append_internal.h"
#include "service/lane_state_internal.h"

#define BUCKETS          4096U
#define LANES_IDLE_MAX   1024U
#define ROUND_APPENDS    256U
#define IDLE_STATE_BYTES (64U * 1024U) /* an idle lane keeps no larger state; the cache has it */

struct round {
    struct pool_task task; /* first: found from it */
    struct lanes *lanes;
    struct lane *first_lane; /* chained by round_next */
    struct lane_ticket *first;
    struct lane_ticket *last;
    bool mispredicted;         /* guarded by lanes->lock, as `retry` */
    struct lane_ticket *retry; /* by arrival */
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
    struct lane *buckets[BUCKETS];
    struct lane *idle_first; /* least recently used */
    struct lane *idle_last;
    size_t idle_count;
    uint64_t arrivals;
    atomic_size_t active; /* lanes that are not idle */
};

static void round_run(struct pool_task *task);

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
    for (size_t i = 0; i < BUCKETS; i++)
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
    return &lanes->buckets[XXH3_64bits_withSeed(id.data, id.size_bytes, lanes->seed) % BUCKETS];
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

static struct append_job *job_of(struct lane_ticket *ticket)
{
    return (struct append_job *)((uint8_t *)ticket - offsetof(struct append_job, ticket));
}

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

/* --- a round, on the pool --- */

/* Where a condition is already known to fail, decide is made to find the match itself: a replay must win over it. */
struct condition_scan {
    const struct event_query *query;
    int64_t found; /* 0 = nothing */
    struct status status;
};

static bool condition_look(void *context, int64_t position, struct record record)
{
    struct condition_scan *scan = context;
    struct event_fields header;
    scan->status = record_decode_header(record, &header);
    if (!status_is_ok(&scan->status))
        return false;
    if (!query_matches(scan->query, &header))
        return true;
    scan->found = position;
    return false;
}

static struct status condition_evaluate(struct service *service, struct append_job *job)
{
    const struct append_condition *given = job->append.condition;
    struct append_condition *condition = arena_alloc(job->arena, sizeof *condition);
    if (condition == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the append's condition");
    *condition = *given;
    struct event_store *store = service->parts.store;
    struct store_head head;
    STATUS_TRY(store->ops->head(store, &head));
    int64_t clear_to = head.position; /* no match up to here */
    for (size_t i = 0; i < given->fail_if_match.count && given->after_position < clear_to; i++) {
        const struct event_query one = {&given->fail_if_match.items[i], 1};
        struct read_query query = {
            .after_position = given->after_position, .to_position = clear_to, .to_version = INT32_MAX};
        read_plan_query(&one, &query);
        struct condition_scan scan = {&one, 0, status_ok()};
        STATUS_TRY(store->ops->read(store, &query, condition_look, &scan));
        STATUS_TRY(scan.status);
        if (scan.found > 0)
            clear_to = scan.found - 1;
    }
    condition->checked_to = clear_to > given->after_position ? clear_to : given->after_position;
    job->append.condition = condition;
    return status_ok();
}

/* A client's id that is stored already: a replay, or refused; either way nothing is recorded. */
static struct status predict_replay(struct service *service, const struct append *append, bool *ret_known)
{
    *ret_known = false;
    if (append->ids_server_made)
        return status_ok();
    int64_t position = 0;
    STATUS_TRY(service->parts.store->ops->find_id(service->parts.store, append->events[0].id, &position));
    *ret_known = position > 0;
    return status_ok();
}

static struct status judge(struct service *service, struct append_job *job)
{
    struct append *append = &job->append;
    struct lane_ticket *ticket = &job->ticket;
    if (append->condition != NULL)
        STATUS_TRY(condition_evaluate(service, job));
    struct append_verdict *verdicts = arena_array(job->arena, ticket->link_count, sizeof *verdicts);
    struct lane_trial *trials = arena_array(job->arena, ticket->link_count, sizeof *trials);
    if (verdicts == NULL || trials == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the append's verdicts");
    bool known = false;
    STATUS_TRY(predict_replay(service, append, &known));
    ticket->predicted_change = !known && !append->validate_only;
    append->verdicts = verdicts;
    append->verdict_count = 0;
    for (size_t i = 0; i < ticket->link_count; i++) {
        struct lane *lane = ticket->links[i].lane;
        if (!lane->state.known)
            continue;
        STATUS_TRY(lane_state_try(service, lane->id, &lane->state, append, &trials[i]));
        if (!trials[i].expectations_hold || !status_is_ok(&trials[i].verdict))
            ticket->predicted_change = false;
        if (trials[i].checked)
            verdicts[append->verdict_count++] = (struct append_verdict){
                .aggregate_id = lane->id,
                .validated_at = lane->state.exists ? lane->state.version : STATUS_VERSION_NONE,
                .status = trials[i].verdict,
            };
    }
    for (size_t i = 0; i < ticket->link_count && ticket->predicted_change; i++)
        if (ticket->links[i].lane->state.known)
            STATUS_TRY(lane_state_adopt(&ticket->links[i].lane->state, append, &trials[i]));
    return status_ok();
}

/* States are needed only where a rule will look at them. */
static struct status prepare_lanes(struct service *service, struct round *round)
{
    bool checked = false;
    for (struct lane_ticket *ticket = round->first; ticket != NULL && !checked; ticket = ticket->next)
        checked = job_of(ticket)->needs_lane;
    for (struct lane *lane = round->first_lane; lane != NULL; lane = lane->round_next) {
        if (checked)
            STATUS_TRY(lane_state_refresh(service, lane->id, &lane->state));
        else
            lane_state_forget(&lane->state);
    }
    return status_ok();
}

static void round_end(struct round *round)
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
    pthread_mutex_unlock(&lanes->lock);
}

/* One answer less is awaited; after the last one comes the next round, or the end. */
static void round_answered(struct round *round)
{
    if (atomic_fetch_sub(&round->pending, 1) > 1)
        return;
    struct lanes *lanes = round->lanes;
    pthread_mutex_lock(&lanes->lock);
    round->first = round->retry;
    round->retry = NULL;
    pthread_mutex_unlock(&lanes->lock);
    if (round->first != NULL)
        pool_resubmit(lanes->service->pool, &round->task);
    else
        round_end(round);
}

static void retry_later(struct round *round, struct lane_ticket *ticket)
{
    pthread_mutex_lock(&round->lanes->lock);
    round->mispredicted = true;
    struct lane_ticket **link = &round->retry;
    while (*link != NULL && (*link)->arrival < ticket->arrival)
        link = &(*link)->next;
    ticket->next = *link;
    *link = ticket;
    pthread_mutex_unlock(&round->lanes->lock);
}

static void note_prediction(struct round *round, const struct lane_ticket *ticket, bool changed)
{
    if (changed == ticket->predicted_change)
        return;
    pthread_mutex_lock(&round->lanes->lock);
    round->mispredicted = true;
    pthread_mutex_unlock(&round->lanes->lock);
}

static void ticket_refuse(struct round *round, struct lane_ticket *ticket, const struct status *status)
{
    note_prediction(round, ticket, false);
    append_job_refuse(job_of(ticket), status);
    round_answered(round);
}

static void ticket_done(struct append *append, const struct append_outcome *outcome)
{
    struct append_job *job = (struct append_job *)append;
    struct lane_ticket *ticket = &job->ticket;
    struct round *round = ticket->round;
    if (outcome->kind == APPEND_REVALIDATE) {
        if (ticket->first_of_round)
            ticket->foreign_rounds++;
        if (ticket->foreign_rounds < LANE_ROUNDS_MAX) {
            retry_later(round, ticket);
            round_answered(round);
            return;
        }
        const struct status status = status_reason(
            REASON_REVALIDATE_EXHAUSTED,
            "the aggregate changed %u times while the append was checked; send it again with the same "
            "event ids",
            LANE_ROUNDS_MAX);
        ticket_refuse(round, ticket, &status);
        return;
    }
    note_prediction(round, ticket, outcome->kind == APPEND_ACCEPTED && !append->validate_only);
    append_job_answer(job, outcome);
    round_answered(round);
}

static void ticket_send(struct round *round, struct lane_ticket *ticket, const struct status *prepared)
{
    struct service *service = round->lanes->service;
    struct append_job *job = job_of(ticket);
    ticket->round = round;
    ticket->predicted_change = false;
    struct status status = *prepared;
    if (status_is_ok(&status))
        status = judge(service, job);
    if (status_is_ok(&status)) {
        job->append.on_done = ticket_done;
        status = writer_submit(service->parts.writer, &job->append);
    }
    if (!status_is_ok(&status))
        ticket_refuse(round, ticket, &status);
}

static void round_run(struct pool_task *task)
{
    struct round *round = (struct round *)task;
    struct lane_ticket *ticket = round->first;
    size_t count = 0;
    for (struct lane_ticket *one = ticket; one != NULL; one = one->next)
        count++;
    atomic_store(&round->pending, count + 1);
    pthread_mutex_lock(&round->lanes->lock);
    if (round->mispredicted)
        for (struct lane *lane = round->first_lane; lane != NULL; lane = lane->round_next)
            lane_state_forget(&lane->state);
    round->mispredicted = false;
    pthread_mutex_unlock(&round->lanes->lock);
    const struct status prepared = prepare_lanes(round->lanes->service, round);

    bool first = true;
    while (ticket != NULL) {
        struct lane_ticket *next = ticket->next; /* once submitted, the ticket may be gone */
        ticket->first_of_round = first;
        first = false;
        ticket_send(round, ticket, &prepared);
        ticket = next;
    }
    round_answered(round);
}
