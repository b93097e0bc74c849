/*
 * An append whose answer is the aggregate as of that append: creation and save. The writer's thread only notes
 * what came of it; a worker then loads or folds the state.
 */
#pragma once

#include "service/append_internal.h"

struct aggregate_append {
    struct append_job job; /* first: the answer finds it from the job */
    struct pool_task task;
    enum append_outcome_kind kind;
    int32_t version;        /* of the aggregate after the append */
    int64_t first_position; /* validate_only, as the next two: what would be recorded */
    struct record *records; /* in the arena */
    size_t record_count;
};

/* Sets the job's answer and sends it on its way. */
void aggregate_append_run(struct aggregate_append *append);
