#include "service/aggregate_append_internal.h"

#include "service/loader_internal.h"
#include "service/replies_internal.h"
#include "service/snapshots_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the aggregate");
}

/* What would be recorded, folded onto what is. */
static struct status fold_rehearsal(struct aggregate_append *append, struct aggregate_state *ret)
{
    struct service *service = append->job.service;
    struct arena *arena = append->job.arena;
    struct event_fields first;
    STATUS_TRY(record_decode_header(append->records[0], &first));
    struct loaded loaded = {0};
    const struct load_request request = {
        .id = first.aggregate_id,
        .version = first.version - 1,
        .position = INT64_MAX,
    };
    struct status status = loader_load(service, &request, arena, &loaded);
    if (!status_is_ok(&status) && status.reason != REASON_AGGREGATE_UNKNOWN)
        return status;
    const bool exists = status_is_ok(&status) && loaded.exists;
    struct fold *fold = fold_new(service->parts.domain, arena, exists ? &loaded.state : NULL);
    if (fold == NULL)
        return no_memory();
    for (size_t i = 0; i < append->record_count; i++) {
        struct event_fields fields;
        STATUS_TRY(record_decode(append->records[i], &fields));
        STATUS_TRY(fold_apply(fold, &fields));
    }
    return fold_result(fold, ret);
}

static struct status load_result(struct aggregate_append *append, struct aggregate_state *ret)
{
    struct service *service = append->job.service;
    const struct bytes id = append->job.append.events[0].aggregate_id;
    struct loaded loaded = {0};
    const struct load_request request = {.id = id, .version = append->version, .position = INT64_MAX};
    STATUS_TRY(loader_load(service, &request, append->job.arena, &loaded));
    if (!loaded.exists)
        return status_reason(REASON_DAMAGED,
                             "aggregate \"%.*s\" has no version %d although it was just recorded; run "
                             "strata verify",
                             BYTES_FORMAT(id), append->version);
    snapshots_settle(service, append->job.arena, id, loaded.head.version);
    *ret = loaded.state;
    return status_ok();
}

static void aggregate_append_finish(struct pool_task *task)
{
    struct aggregate_append *append =
        (struct aggregate_append *)((uint8_t *)task - offsetof(struct aggregate_append, task));
    struct service *service = append->job.service;
    struct call *call = append->job.call;
    const bool rehearsal = append->records != NULL;
    struct aggregate_state state = {0};
    struct status status = rehearsal ? fold_rehearsal(append, &state) : load_result(append, &state);
    struct buffer reply = buffer_in(append->job.arena, 0);
    if (status_is_ok(&status)) {
        const struct aggregate_reply extras = {
            .without_etag = rehearsal,
            .replayed = append->kind == APPEND_REPLAYED,
        };
        if (rehearsal)
            state.position = 0; /* one that nothing has must not be waited for */
        wire_put_aggregate(&reply, &state, &extras);
        for (size_t i = 0; rehearsal && i < append->record_count; i++)
            wire_put_event(&reply, FIELD_AGGREGATE_EVENTS, service, append->first_position + (int64_t)i,
                           append->records[i]);
        status = buffer_status(&reply);
    }
    if (status_is_ok(&status) && append->job.append.validate_only)
        call_set_http_status(call, HTTP_STATUS_VALIDATED);
    if (status_is_ok(&status))
        service_reply_bytes(service, call, buffer_bytes(&reply));
    else
        service_finish(service, call, &status);
}

static struct status copy_records(struct aggregate_append *append, const struct append_outcome *outcome)
{
    append->records = arena_array(append->job.arena, outcome->record_count, sizeof *append->records);
    if (append->records == NULL)
        return no_memory();
    append->record_count = outcome->record_count;
    append->first_position = outcome->first_position;
    for (size_t i = 0; i < outcome->record_count; i++) {
        append->records[i] = outcome->records[i];
        append->records[i].bytes = arena_bytes(append->job.arena, outcome->records[i].bytes);
        if (append->records[i].bytes.data == NULL)
            return no_memory();
    }
    return status_ok();
}

static void aggregate_append_answer(struct append_job *job, const struct append_outcome *outcome)
{
    struct aggregate_append *append = (struct aggregate_append *)job;
    struct status status = outcome->status;
    if (status_is_ok(&status)) {
        append->kind = outcome->kind;
        append->version = outcome->heads[0].version;
        if (job->append.validate_only && outcome->kind == APPEND_ACCEPTED)
            status = copy_records(append, outcome);
    }
    if (status_is_ok(&status))
        pool_resubmit(job->service->pool, &append->task);
    else
        service_finish(job->service, job->call, &status);
}

void aggregate_append_run(struct aggregate_append *append)
{
    append->job.answer = aggregate_append_answer;
    append->task.run = aggregate_append_finish;
    append_job_run(&append->job);
}
