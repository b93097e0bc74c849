/* PublishEvent and AppendEvents: from the request straight into the writer, answered from the writer's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/append_internal.h"
#include "service/replies_internal.h"

/* Of a reply beside its texts, for the room that it needs. */
#define REPLY_FIXED_BYTES 64U
#define REPLY_HEAD_BYTES  32U
#define REPLY_ID_BYTES    4U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the append");
}

static void finish_append(struct append_job *job, const struct status *status, const struct buffer *reply)
{
    struct service *service = job->service;
    const struct status built = status_is_ok(status) ? buffer_status(reply) : *status;
    if (status_is_ok(&built) && job->append.validate_only)
        call_set_http_status(job->call, HTTP_STATUS_VALIDATED);
    if (status_is_ok(&built))
        service_reply_bytes(service, job->call, buffer_bytes(reply));
    else
        service_finish(service, job->call, &built);
}

/* --- PublishEvent --- */

/* `version` N means "it must become N", which is "it was at N - 1". */
static struct status publish_expectation(const Strata__V1__PublishEventRequest *request, bool *ret_given,
                                         int32_t *ret_version)
{
    const bool becomes = request->_version_case != STRATA__V1__PUBLISH_EVENT_REQUEST___VERSION__NOT_SET;
    const bool expects =
        request->_expected_version_case != STRATA__V1__PUBLISH_EVENT_REQUEST___EXPECTED_VERSION__NOT_SET;
    *ret_given = becomes || expects;
    if (becomes && request->version == 0)
        return status_reason(REASON_VERSION_ZERO,
                             "version is 0 and only a creation has version 0; give the version "
                             "that the event must become (1 for the first), or leave it out");
    if (becomes && request->version < 0)
        return status_reason(REASON_INVALID_FIELD, "version is %d; give 1 or more, or leave it out",
                             request->version);
    if (expects && request->expected_version < 0)
        return status_reason(REASON_INVALID_FIELD, "expected_version is %d; give 0 or more, or leave it out",
                             request->expected_version);
    if (becomes && expects && request->expected_version != request->version - 1)
        return status_reason(
            REASON_INVALID_FIELD,
            "version is %d and expected_version is %d, which contradict each other; version is the one "
            "after expected_version, give one of the two",
            request->version, request->expected_version);
    if (*ret_given)
        *ret_version = becomes ? request->version - 1 : request->expected_version;
    return status_ok();
}

static struct status publish_build(struct service *service, struct call *call,
                                   const Strata__V1__PublishEventRequest *request, struct append_job *job)
{
    struct arena *arena = call_arena(call);
    struct append_builder builder;
    STATUS_TRY(
        append_builder_init(&builder, service, arena, call, 1, request->data.len + request->metadata.len));
    builder.key = bytes_of_text(request->idempotency_key);
    builder.key_field = "idempotency_key";
    const Strata__V1__NewEvent event = {
        .id = request->id,
        .type = request->type,
        .aggregate_id = request->aggregate_id,
        .aggregate_type = request->aggregate_type,
        .correlation_id = request->correlation_id,
        .causation_id = request->causation_id,
        .content_type = request->content_type,
        .schema_version = request->schema_version,
        .n_tags = request->n_tags,
        .tags = request->tags,
        .subject = request->subject,
        .occurred_at = request->occurred_at,
        .data = request->data,
        .metadata = request->metadata,
    };
    append_builder_add(&builder, &event, -1, BYTES_NONE, BYTES_NONE);
    job->flat = true;
    bool expects = false;
    int32_t version = 0;
    faults_add(&builder.faults, "version", publish_expectation(request, &expects, &version));
    STATUS_TRY(append_builder_finish(&builder, job));
    if (expects) {
        struct expectation *expectation = arena_alloc(arena, sizeof *expectation);
        if (expectation == NULL)
            return no_memory();
        *expectation = (struct expectation){job->append.events[0].aggregate_id, EXPECT_VERSION, version};
        job->append.expectations = expectation;
        job->append.expectation_count = 1;
    }
    job->append.validate_only = request->validate_only;
    return status_ok();
}

static void publish_answer(struct append_job *job, const struct append_outcome *outcome)
{
    struct buffer reply = buffer_in(job->arena, 0);
    if (status_is_ok(&outcome->status)) {
        wire_put_event(&reply, 1, job->service, outcome->first_position, outcome->records[0]);
        wire_put_int(&reply, 2, outcome->kind == APPEND_REPLAYED);
    }
    finish_append(job, &outcome->status, &reply);
}

static void publish_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct append_job *job = arena_zalloc(call_arena(call), sizeof *job);
    struct status status =
        job == NULL ? no_memory()
                    : publish_build(service, call, (const Strata__V1__PublishEventRequest *)request, job);
    if (!status_is_ok(&status)) {
        service_finish(service, call, &status);
        return;
    }
    job->answer = publish_answer;
    append_job_run(job);
}

const struct method_handler publish_event_handler = {.start = publish_start};

/* --- AppendEvents --- */

static void expectation_build(struct faults *faults, size_t index, const Strata__V1__Expectation *from,
                              struct expectation *ret)
{
    char field[64];
    ret->aggregate_id = bytes_of_text(from->aggregate_id);
    ret->version = 0;
    struct status status = id_check("aggregate_id", ret->aggregate_id, ID_SYSTEM_ALLOWED);
    if (!status_is_ok(&status)) {
        snprintf(field, sizeof field, "expectations[%zu].aggregate_id", index);
        faults_add(faults, field, status);
    }
    status = status_ok();
    switch (from->must_case) {
    case STRATA__V1__EXPECTATION__MUST_BE_AT_VERSION:
        ret->kind = EXPECT_VERSION;
        ret->version = from->be_at_version;
        if (from->be_at_version < 0)
            status = status_reason(REASON_INVALID_FIELD, "be_at_version is %d; give 0 or more",
                                   from->be_at_version);
        break;
    case STRATA__V1__EXPECTATION__MUST_NOT_EXIST:
        ret->kind = EXPECT_NOT_EXIST;
        if (!from->not_exist)
            status = status_reason(REASON_INVALID_FIELD, "not_exist is false; say exist: true instead");
        break;
    case STRATA__V1__EXPECTATION__MUST_EXIST:
        ret->kind = EXPECT_EXIST;
        if (!from->exist)
            status = status_reason(REASON_INVALID_FIELD, "exist is false; say not_exist: true instead");
        break;
    default:
        status = status_reason(REASON_INVALID_FIELD,
                               "an expectation says nothing; give be_at_version, not_exist or exist");
    }
    if (!status_is_ok(&status)) {
        snprintf(field, sizeof field, "expectations[%zu]", index);
        faults_add(faults, field, status);
    }
}

static int compare_aggregates(const void *a, const void *b)
{
    return bytes_compare(((const struct expectation *)a)->aggregate_id,
                         ((const struct expectation *)b)->aggregate_id);
}

/* Two about one aggregate say the same, or contradict each other. */
static struct status check_repeated_expectations(struct append_builder *builder, const struct append *append)
{
    if (append->expectation_count < 2)
        return status_ok();
    struct expectation *sorted = arena_array(builder->arena, append->expectation_count, sizeof *sorted);
    if (sorted == NULL)
        return no_memory();
    memcpy(sorted, append->expectations, append->expectation_count * sizeof *sorted);
    qsort(sorted, append->expectation_count, sizeof *sorted, compare_aggregates);
    for (size_t i = 1; i < append->expectation_count; i++)
        if (bytes_equal(sorted[i - 1].aggregate_id, sorted[i].aggregate_id)) {
            faults_add(
                &builder->faults, "expectations",
                status_reason(REASON_INVALID_FIELD,
                              "two expectations are about aggregate \"%.*s\"; give one for an aggregate",
                              BYTES_FORMAT(sorted[i].aggregate_id)));
            break;
        }
    return status_ok();
}

static struct status expectations_build(struct append_builder *builder,
                                        const Strata__V1__AppendEventsRequest *request, struct append *append)
{
    if (request->n_expectations == 0)
        return status_ok();
    if (request->n_expectations > APPEND_EVENTS_MAX) {
        faults_add(&builder->faults, "expectations",
                   status_reason(REASON_INVALID_FIELD, "expectations has %zu entries; give at most %u",
                                 request->n_expectations, APPEND_EVENTS_MAX));
        return status_ok();
    }
    struct expectation *expectations =
        arena_array(builder->arena, request->n_expectations, sizeof *expectations);
    if (expectations == NULL)
        return no_memory();
    for (size_t i = 0; i < request->n_expectations; i++)
        expectation_build(&builder->faults, i, request->expectations[i], &expectations[i]);
    append->expectations = expectations;
    append->expectation_count = request->n_expectations;
    return check_repeated_expectations(builder, append);
}

static struct status condition_build(struct append_builder *builder, const Strata__V1__AppendCondition *from,
                                     struct append_job *job)
{
    if (from == NULL)
        return status_ok();
    struct append_condition *condition = arena_zalloc(builder->arena, sizeof *condition);
    if (condition == NULL)
        return no_memory();
    event_query_build(&builder->faults, "condition.fail_if_match", from->fail_if_match, false,
                      &condition->fail_if_match);
    if (from->fail_if_match == NULL || from->fail_if_match->n_items == 0)
        faults_add(&builder->faults, "condition.fail_if_match",
                   status_reason(REASON_INVALID_FIELD,
                                 "condition.fail_if_match has no items; give 1 to %u, or leave the "
                                 "condition out",
                                 QUERY_ITEMS_MAX));
    if (from->_after_position_case != STRATA__V1__APPEND_CONDITION___AFTER_POSITION__NOT_SET)
        condition->after_position = from->after_position;
    if (condition->after_position < 0)
        faults_add(&builder->faults, "condition.after_position",
                   status_reason(REASON_INVALID_FIELD, "condition.after_position is %lld; give 0 or more",
                                 (long long)condition->after_position));
    job->append.condition = condition;
    job->needs_lane = true; /* it is evaluated by reading, and must keep its place among others meanwhile */
    return status_ok();
}

static struct status event_count_check(size_t count)
{
    if (count == 0)
        return status_reason(REASON_INVALID_FIELD, "events is empty; give 1 to %u", APPEND_EVENTS_MAX);
    if (count > APPEND_EVENTS_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE, "events has %zu entries; give at most %u in one append",
                             count, APPEND_EVENTS_MAX);
    return status_ok();
}

struct status append_events_build(struct service *service, struct arena *arena, struct call *call,
                                  const Strata__V1__AppendEventsRequest *request, struct append_job *job)
{
    FIELD_TRY(arena, "events", event_count_check(request->n_events));
    size_t text_bytes = 0;
    for (size_t i = 0; i < request->n_events; i++)
        text_bytes += request->events[i]->data.len + request->events[i]->metadata.len;
    struct append_builder builder;
    STATUS_TRY(append_builder_init(&builder, service, arena, call, request->n_events, text_bytes));
    builder.key = bytes_of_text(request->append_id);
    for (size_t i = 0; i < request->n_events; i++)
        append_builder_add(&builder, request->events[i], (int)i, BYTES_NONE, BYTES_NONE);
    STATUS_TRY(expectations_build(&builder, request, &job->append));
    STATUS_TRY(condition_build(&builder, request->condition, job));
    STATUS_TRY(append_builder_finish(&builder, job));
    job->append.validate_only = request->validate_only;
    return status_ok();
}

static void put_head(struct buffer *to, const struct aggregate_head_change *head)
{
    uint8_t memory[ID_MAX_BYTES + 64];
    struct buffer part = {.data = memory, .capacity_bytes = sizeof memory, .limit_bytes = sizeof memory};
    wire_put_text(&part, 1, head->aggregate_id);
    wire_put_int(&part, 2, head->version);
    wire_put_int(&part, 3, head->position);
    wire_put_bytes(to, 5, buffer_bytes(&part));
}

/* Ids and heads are most of a reply; with room for them it is written in one go. */
static void make_room(const struct append_job *job, const struct append_outcome *outcome, struct buffer *to)
{
    size_t most = REPLY_FIXED_BYTES + outcome->append_id.size_bytes;
    for (size_t i = 0; i < outcome->head_count; i++)
        most += REPLY_HEAD_BYTES + outcome->heads[i].aggregate_id.size_bytes;
    for (size_t i = 0; i < job->append.event_count; i++)
        most += REPLY_ID_BYTES + job->append.events[i].id.size_bytes;
    wire_reserve(to, most);
}

void append_events_reply(struct append_job *job, const struct append_outcome *outcome, struct buffer *to)
{
    make_room(job, outcome, to);
    wire_put_text(to, 1, outcome->append_id);
    wire_put_int(to, 2, outcome->first_position);
    wire_put_int(to, 3, outcome->first_position + (int64_t)outcome->record_count - 1);
    wire_put_time(to, 4, outcome->timestamp_us);
    for (size_t i = 0; i < outcome->head_count; i++)
        put_head(to, &outcome->heads[i]);
    for (size_t i = 0; i < job->append.event_count; i++) /* a replay has the same ids in the same order */
        wire_put_text(to, 6, job->append.events[i].id);
    wire_put_int(to, 7, outcome->kind == APPEND_REPLAYED);
    for (size_t i = 0; job->append.validate_only && i < outcome->record_count; i++)
        wire_put_event(to, 8, job->service, outcome->first_position + (int64_t)i, outcome->records[i]);
}

static void append_answer(struct append_job *job, const struct append_outcome *outcome)
{
    struct buffer reply = buffer_in(job->arena, 0);
    if (status_is_ok(&outcome->status))
        append_events_reply(job, outcome, &reply);
    finish_append(job, &outcome->status, &reply);
}

static void append_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct append_job *job = arena_zalloc(call_arena(call), sizeof *job);
    struct status status = job == NULL
                               ? no_memory()
                               : append_events_build(service, call_arena(call), call,
                                                     (const Strata__V1__AppendEventsRequest *)request, job);
    if (!status_is_ok(&status)) {
        service_finish(service, call, &status);
        return;
    }
    job->answer = append_answer;
    append_job_run(job);
}

const struct method_handler append_events_handler = {.start = append_start};
