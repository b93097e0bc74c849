#include "service/append_internal.h"

#include <stdio.h>

#include "service/snapshots_internal.h"

/* decide knows events, and not by which path a request calls them. */
static void answer_in_field(struct append_job *job, const struct append_outcome *outcome)
{
    char field[64] = "aggregate_type";
    if (!job->flat)
        (void)snprintf(field, sizeof field, "events[%zu].aggregate_type",
                       outcome->faulty_event - 1); /* fits */
    struct append_outcome named = *outcome;
    named.status = status_in_field(job->arena, field, &outcome->status);
    job->answer(job, &named);
}

void append_job_answer(struct append_job *job, const struct append_outcome *outcome)
{
    struct service *service = job->service;
    if (outcome->kind == APPEND_ACCEPTED && !job->append.validate_only)
        snapshots_appended(service, outcome);
    if (outcome->faulty_event > 0)
        answer_in_field(job, outcome);
    else
        job->answer(job, outcome);
}

void append_job_refuse(struct append_job *job, const struct status *status)
{
    const struct append_outcome outcome = {
        .kind = APPEND_REFUSED,
        .status = *status,
        .append_id = job->append.append_id,
    };
    job->answer(job, &outcome);
}

static void straight_done(struct append *append, const struct append_outcome *outcome)
{
    append_job_answer((struct append_job *)append, outcome);
}

void append_job_run(struct append_job *job)
{
    struct service *service = job->service;
    if (job->needs_lane || lanes_want(service->lanes, &job->append)) {
        lanes_submit(service->lanes, job);
        return;
    }
    job->append.on_done = straight_done;
    const struct status status = writer_submit(service->parts.writer, &job->append);
    if (!status_is_ok(&status))
        append_job_refuse(job, &status);
}
