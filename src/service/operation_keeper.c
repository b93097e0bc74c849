/*
 * The keeper: a thread that renews the leases of the operations that run here, hears of those that were cancelled at
 * another process, and goes on with what processes that have died left (operation_shared.c).
 */
#include "service/operation_store_internal.h"

#include <string.h>
#include <time.h>

#define LIST_EVERY_ROUNDS 5 /* a listing may be of OPERATIONS_KEPT_MAX records */

struct kept {
    char id[UUID_TEXT_BYTES];
    size_t task;
    int64_t due_us;
};

/* Those that run here. */
static size_t kept_here(struct operations *operations, struct kept kept[OPERATION_TASKS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&operations->lock);
    for (size_t i = 0; i < OPERATION_TASKS_MAX; i++) {
        const struct operation_task *task = &operations->tasks[i];
        if (!task->taken || !task->started || task->ended || task->operation->lost)
            continue;
        memcpy(kept[count].id, task->operation->id, sizeof kept[count].id);
        kept[count].task = i;
        kept[count++].due_us = task->lease_due_us;
    }
    pthread_mutex_unlock(&operations->lock);
    return count;
}

static void renewed(struct operations *operations, const struct kept *kept, int64_t epoch, int64_t now_us)
{
    pthread_mutex_lock(&operations->lock);
    struct operation_task *task = &operations->tasks[kept->task];
    const bool same = task->taken && !task->ended && strcmp(task->operation->id, kept->id) == 0;
    if (same) {
        task->lease_epoch = epoch;
        task->lease_due_us = now_us + OPERATION_LEASE_RENEW_US;
    }
    pthread_mutex_unlock(&operations->lock);
    if (!same) /* it came to its end meanwhile */
        operation_lease_end(operations, kept->id, epoch);
}

static void lost(struct operations *operations, const struct kept *kept, const struct status *why)
{
    log_warn(operations->service->parts.log, "another process went on with an operation, it stops here",
             LOG_TEXT("operation", kept->id), LOG_TEXT("reason", why->message));
    pthread_mutex_lock(&operations->lock);
    struct operation *operation = operation_find_locked(operations, kept->id);
    if (operation != NULL && operation->has_task)
        operation_lose_locked(operations, operation);
    pthread_mutex_unlock(&operations->lock);
}

static struct status keep_one(struct operations *operations, const struct kept *kept)
{
    const int64_t now_us = clock_monotonic_us(operations->service->parts.clock);
    if (now_us >= kept->due_us) {
        int64_t epoch = 0;
        const struct status status = operation_lease_take(operations, kept->id, &epoch);
        if (status.code == STATUS_ABORTED) {
            lost(operations, kept, &status);
            return status_ok();
        }
        STATUS_TRY(status);
        renewed(operations, kept, epoch, now_us);
    }
    return operation_refresh_shared(operations, kept->id); /* was it cancelled? */
}

/* Those that are said to run, but not here. */
static size_t run_elsewhere(struct operations *operations, struct kept kept[OPERATION_TASKS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&operations->lock);
    for (size_t i = 0; i < operations->count && count < OPERATION_TASKS_MAX; i++) {
        const struct operation *operation = operations->items[i];
        if (operation->state == OPERATION_RUNS && !operation->has_task)
            memcpy(kept[count++].id, operation->id, sizeof kept[0].id);
    }
    pthread_mutex_unlock(&operations->lock);
    return count;
}

/* Goes on with it if its process has died; it may have come to its end before that. */
static struct status take_over(struct operations *operations, const char *id)
{
    int64_t epoch = 0;
    const struct status taken = operation_lease_take(operations, id, &epoch);
    if (taken.code == STATUS_ABORTED)
        return status_ok(); /* its process lives */
    STATUS_TRY(taken);
    const struct status status = operation_refresh_shared(operations, id);
    bool here = false;
    pthread_mutex_lock(&operations->lock);
    struct operation *operation = operation_find_locked(operations, id);
    if (status_is_ok(&status) && operation != NULL && operation->state == OPERATION_RUNS &&
        !operation->has_task)
        here = operation_go_on_locked(operations, operation, epoch);
    pthread_mutex_unlock(&operations->lock);
    if (!here)
        operation_lease_end(operations, id, epoch);
    return status;
}

static struct status look(struct operations *operations, bool at_all)
{
    struct kept kept[OPERATION_TASKS_MAX];
    size_t count = kept_here(operations, kept);
    for (size_t i = 0; i < count; i++)
        STATUS_TRY(keep_one(operations, &kept[i]));
    if (at_all)
        STATUS_TRY(operations_refresh_shared(operations));
    count = run_elsewhere(operations, kept);
    for (size_t i = 0; i < count; i++)
        STATUS_TRY(take_over(operations, kept[i].id));
    return status_ok();
}

/* False: the service stops. */
static bool keeper_rest(struct operations *operations)
{
    const int64_t until_us =
        clock_monotonic_us(&system_clock) + operations->service->options.operation_look_us;
    const struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    pthread_mutex_lock(&operations->lock);
    int error = 0;
    while (!operations->stopping && error == 0)
        error = pthread_cond_timedwait(&operations->keeper_wakes, &operations->lock, &until);
    const bool goes_on = !operations->stopping;
    pthread_mutex_unlock(&operations->lock);
    return goes_on;
}

static void *keeper_main(void *context)
{
    struct operations *operations = context;
    bool failed = false;
    int rounds = 0; /* until the next listing */
    do {
        const struct status status = look(operations, rounds == 0);
        const bool fails = !status_is_ok(&status);
        if (fails && !failed)
            log_warn(operations->service->parts.log,
                     "operations of other processes are not known, and do not go on, until the store answers",
                     LOG_TEXT("reason", status.message));
        failed = fails;
        if (!fails)
            rounds = (rounds + 1) % LIST_EVERY_ROUNDS;
    } while (keeper_rest(operations));
    return NULL;
}

struct status operations_keeper_start(struct operations *operations)
{
    const int error = pthread_create(&operations->keeper, NULL, keeper_main, operations);
    operations->keeper_started = error == 0;
    if (error != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "the thread that keeps operations could not start: error %d", error);
    return status_ok();
}

void operations_keeper_stop(struct operations *operations)
{
    pthread_mutex_lock(&operations->lock);
    pthread_cond_broadcast(&operations->keeper_wakes);
    pthread_mutex_unlock(&operations->lock);
    if (operations->keeper_started)
        pthread_join(operations->keeper, NULL);
    operations->keeper_started = false;
}
