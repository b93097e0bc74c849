#include "base/clock.h"
#include "base/log.h"
#include "embedded_internal.h"

#define MOMENT_MS 1

static bool same_head(const struct remembered_head *a, const struct remembered_head *b)
{
    return a->position == b->position && a->segment == b->segment && a->end_offset == b->end_offset &&
           a->clean == b->clean && a->writer_epoch == b->writer_epoch;
}

struct status embedded_remember(struct embedded_store *store, bool clean)
{
    pthread_rwlock_rdlock(&store->view_lock);
    struct remembered_head head = store->mark;
    pthread_rwlock_unlock(&store->view_lock);
    head.clean = clean;
    head.writer_epoch = store->writer_epoch;
    store->remembered_at_us = clock_monotonic_us(store->clock);
    /* After a failure the same once more: it shows whether state/ takes writes again. */
    if (same_head(&head, &store->remembered) && state_db_health(store->state).code == STATUS_OK)
        return status_ok();
    STATUS_TRY(state_db_head_put(store->state, &head));
    store->remembered = head;
    return status_ok();
}

/* An operator greps for these; the health check says the same for as long as it lasts. */
static void report_space(struct embedded_store *store)
{
    struct status space = status_ok();
    if (!segment_log_space_changed(store->segments, &space))
        return;
    if (space.code == STATUS_OK)
        log_info(store->log, "there is space for appends again", LOG_TEXT("store", store->id));
    else if (space.code == STATUS_RESOURCE_EXHAUSTED)
        log_warn(store->log, "space for appends runs out, going on", LOG_TEXT("store", store->id),
                 LOG_TEXT("why", space.message));
    else
        log_error(store->log, "appends are refused for want of space", LOG_TEXT("store", store->id),
                  LOG_TEXT("why", space.message));
}

static void remember(struct embedded_store *store)
{
    const int64_t now_us = clock_monotonic_us(store->clock);
    if (now_us - store->remembered_at_us < REMEMBER_EVERY_MS * INT64_C(1000))
        return;
    const struct status status = embedded_remember(store, false);
    /* Appends stay safe without it: only a lost end of the log would go unnoticed for longer. */
    if (status.code != STATUS_OK && !store->warned_state)
        log_warn(store->log, "the head could not be remembered, going on", LOG_TEXT("store", store->id),
                 LOG_TEXT("why", status.message));
    store->warned_state = status.code != STATUS_OK;
}

bool embedded_housekeep(struct embedded_store *store)
{
    segment_log_prepare(store->segments);
    report_space(store);
    remember(store);
    return embedded_prepare_table(store);
}

void *embedded_housekeeping_loop(void *context)
{
    struct embedded_store *store = context;
    for (bool more = false;;) {
        segment_log_wait(store->segments, more ? MOMENT_MS : REMEMBER_EVERY_MS);
        pthread_mutex_lock(&store->work_lock);
        const bool stopping = store->housekeeping_stopping;
        pthread_mutex_unlock(&store->work_lock);
        if (stopping)
            return NULL;
        more = embedded_housekeep(store);
    }
}
