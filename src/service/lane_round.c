/* What a round does: every ticket judged on what its predecessors will have made of the state, and submitted. */
#include <stdlib.h>

#include "bus/read_plan.h"
#include "service/lane_round_internal.h"

static struct append_job *job_of(struct lane_ticket *ticket)
{
    return (struct append_job *)((uint8_t *)ticket - offsetof(struct append_job, ticket));
}

/* --- conditions --- */

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
        /* Also about what no check looks at: it must not overtake a predecessor that has to be judged again. */
        verdicts[append->verdict_count++] = (struct append_verdict){
            .aggregate_id = lane->id,
            .validated_at = lane->state.exists ? lane->state.version : STATUS_VERSION_NONE,
            .status = trials[i].verdict,
            .broken = &ticket->round->broken,
            .stands_on_none = ticket->first_of_round,
        };
    }
    for (size_t i = 0; i < ticket->link_count && ticket->predicted_change; i++) {
        struct lane_state *state = &ticket->links[i].lane->state;
        if (!state->known)
            continue;
        STATUS_TRY(lane_state_adopt(state, append, &trials[i]));
        ticket->links[i].predicted_version = state->version;
    }
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

static int compare_link(const void *id, const void *link)
{
    return bytes_compare(*(const struct bytes *)id, ((const struct lane_link *)link)->lane->id);
}

/* An append without a verdict is accepted at any version. At another than predicted a foreign event stands before it,
 * which the lane's state has not folded in and would never look for again. */
static bool came_as_predicted(const struct lane_ticket *ticket, const struct append_outcome *outcome)
{
    for (size_t i = 0; i < outcome->head_count; i++) {
        const struct aggregate_head_change *head = &outcome->heads[i];
        const struct lane_link *link = bsearch(&head->aggregate_id, ticket->links, ticket->link_count,
                                               sizeof *ticket->links, compare_link);
        if (link == NULL || (link->lane->state.known && link->predicted_version != head->version))
            return false;
    }
    return true;
}

static void note_prediction(struct round *round, bool as_predicted)
{
    if (as_predicted)
        return;
    atomic_store(&round->broken, true);
    pthread_mutex_lock(&round->lanes->lock);
    round->mispredicted = true;
    pthread_mutex_unlock(&round->lanes->lock);
}

static void ticket_refuse(struct round *round, struct lane_ticket *ticket, const struct status *status)
{
    note_prediction(round, !ticket->predicted_change);
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
    const bool changed = outcome->kind == APPEND_ACCEPTED && !append->validate_only;
    note_prediction(round,
                    changed == ticket->predicted_change && (!changed || came_as_predicted(ticket, outcome)));
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

void round_run(struct pool_task *task)
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
    atomic_store(&round->broken, false);
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
