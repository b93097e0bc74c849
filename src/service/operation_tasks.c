/* The threads of operations: starting, going on after a restart, cancelling, and what a kind hears and says. */
#include "service/operation_store_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_EVERY_US INT64_C(1000000)

static const struct operation_kind_ops *const kinds[OPERATION_KIND_COUNT] = {
    [OPERATION_VERIFY] = &operation_verify,
    [OPERATION_CLEANUP] = &operation_cleanup,
    [OPERATION_REBUILD] = &operation_rebuild,
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an operation");
}

static void save_or_warn(struct operations *operations, const char *id)
{
    const struct status status = operation_save(operations, id);
    if (!status_is_ok(&status))
        log_warn(operations->service->parts.log,
                 "an operation could not be recorded; a restart goes on with its last record",
                 LOG_TEXT("operation", id), LOG_TEXT("reason", status.message));
}

/* --- the thread --- */

static void end_locked(struct operations *operations, struct operation *operation,
                       const struct status *status)
{
    operation->state = status_is_ok(status) ? OPERATION_SUCCEEDED : OPERATION_FAILED;
    operation->ended_at_us = clock_now_us(operations->service->parts.clock);
    operation->error_code = (int32_t)status->code;
    if (!status_is_ok(status)) /* else what it did still stands there */
        memcpy(operation->message, status->message, sizeof operation->message);
    operation_touch_locked(operations, operation);
}

static void log_end(struct log *log, const char *id, enum operation_kind kind, const struct status *status)
{
    if (status_is_ok(status))
        log_info(log, "an operation has succeeded", LOG_TEXT("operation", id),
                 LOG_TEXT("kind", operation_kind_name(kind)));
    else
        log_error(log, "an operation has failed", LOG_TEXT("operation", id),
                  LOG_TEXT("kind", operation_kind_name(kind)), LOG_TEXT("reason", status->message));
}

static struct status task_run(struct operation_task *task)
{
    struct operation *operation = task->operation; /* its kind and request never change */
    if (!operation_goes_on(task))
        return operation_stopped();
    task->arena = arena_new(0);
    if (task->arena == NULL)
        return no_memory();
    Strata__V1__StartOperationRequest *request =
        strata__v1__start_operation_request__unpack(NULL, operation->request_bytes, operation->request);
    if (request == NULL)
        return status_error(STATUS_DATA_LOSS, "what was asked for cannot be read; start it anew");
    task->request = request;
    const struct status status = kinds[operation->kind]->run(task);
    strata__v1__start_operation_request__free_unpacked(request, NULL);
    return status;
}

static void look_for_cancel(struct operations *operations, const char *id)
{
    const struct status status = operation_refresh_shared(operations, id);
    if (!status_is_ok(&status))
        log_warn(operations->service->parts.log,
                 "whether an operation was cancelled at another process is not known at its end",
                 LOG_TEXT("operation", id), LOG_TEXT("reason", status.message));
}

/* What stands beside the record goes: the cancel once it is in the record, and the lease. */
static void settle_shared(struct operation_task *task)
{
    struct operations *operations = task->operations;
    struct operation *operation = task->operation;
    pthread_mutex_lock(&operations->lock);
    const bool lost = operation->lost;
    const bool cancel_recorded = !lost && !operation->unsaved && operation->state == OPERATION_CANCELLED;
    operation->stored_hash = 0; /* the next look takes what is recorded */
    const int64_t epoch = task->lease_epoch;
    pthread_mutex_unlock(&operations->lock);
    if (cancel_recorded)
        operation_mark_remove(operations, operation->id);
    if (!lost)
        operation_lease_end(operations, operation->id, epoch);
}

static void *task_main(void *context)
{
    struct operation_task *task = context;
    struct operations *operations = task->operations;
    struct operation *operation = task->operation;
    log_info(operations->service->parts.log, "an operation runs", LOG_TEXT("operation", operation->id),
             LOG_TEXT("kind", operation_kind_name(operation->kind)), LOG_INT("done", operation->done),
             LOG_INT("total", operation->total));
    const struct status status = task_run(task);
    arena_free(task->arena);
    if (operations->shared) /* a cancel at another process comes before our end */
        look_for_cancel(operations, operation->id);
    pthread_mutex_lock(&operations->lock);
    /* Cancelled: it has ended already. Stopped otherwise: the service does, and the next start goes on. */
    const bool ends = operation->state == OPERATION_RUNS && status.code != STATUS_CANCELLED;
    if (ends)
        end_locked(operations, operation, &status);
    pthread_mutex_unlock(&operations->lock);
    if (ends)
        log_end(operations->service->parts.log, operation->id, operation->kind, &status);
    save_or_warn(operations, operation->id);
    if (operations->shared)
        settle_shared(task);
    pthread_mutex_lock(&operations->lock);
    operation->has_task = false;
    task->ended = true;
    pthread_mutex_unlock(&operations->lock);
    return NULL;
}

/* NULL = all are taken. Joins the thread that had it before, which has nothing left to do but to go. */
static struct operation_task *task_take_locked(struct operations *operations, struct operation *operation)
{
    for (size_t i = 0; i < OPERATION_TASKS_MAX; i++) {
        struct operation_task *task = &operations->tasks[i];
        if (task->taken && task->ended && task->started)
            pthread_join(task->thread, NULL);
        if (task->taken && !task->ended)
            continue;
        *task = (struct operation_task){.operations = operations, .operation = operation, .taken = true};
        task->saved_at_us = clock_monotonic_us(operations->service->parts.clock);
        operation->has_task = true;
        operation->lost = false;
        return task;
    }
    return NULL;
}

static void task_give_back_locked(struct operation_task *task)
{
    task->operation->has_task = false;
    task->taken = false;
}

/* While stopping nothing is started: the next start of the program does. After a failure the task is to be given back. */
static struct status task_start_locked(struct operations *operations, struct operation_task *task)
{
    if (operations->stopping) {
        task_give_back_locked(task);
        return status_ok();
    }
    const int error = pthread_create(&task->thread, NULL, task_main, task);
    task->started = error == 0;
    if (task->started)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the operation's thread could not start: error %d", error);
}

/* --- starting --- */

static struct status operation_fill(struct operations *operations, enum operation_kind kind,
                                    const Strata__V1__StartOperationRequest *request,
                                    const struct operation_plan *plan, struct bytes started_by,
                                    struct operation *made)
{
    const struct service_parts *parts = &operations->service->parts;
    made->request_bytes = strata__v1__start_operation_request__get_packed_size(request);
    made->request = malloc(made->request_bytes + 1); /* an empty one is one too */
    made->started_by =
        strndup(started_by.size_bytes == 0 ? "" : (const char *)started_by.data, started_by.size_bytes);
    if (made->request == NULL || made->started_by == NULL)
        return no_memory();
    (void)strata__v1__start_operation_request__pack(request, made->request); /* what it has just counted */
    made->kind = kind;
    made->state = OPERATION_RUNS;
    made->started_at_us = clock_now_us(parts->clock);
    uuid_v7(made->started_at_us, parts->entropy, made->id);
    made->total = plan->total;
    (void)snprintf(made->message, sizeof made->message, "%s", plan->message);
    memcpy(made->place, plan->place, plan->place_bytes);
    made->place_bytes = plan->place_bytes;
    return status_ok();
}

static struct status may_start_locked(const struct operations *operations, enum operation_kind kind)
{
    if (operations->stopping)
        return status_stopping();
    for (size_t i = 0; i < operations->count; i++) {
        const struct operation *other = operations->items[i];
        if (other->kind == kind && other->state == OPERATION_RUNS)
            return status_reason(
                REASON_OPERATION_RUNNING,
                "%s %s runs, and one of a kind runs at a time; wait for its end or cancel it",
                operation_kind_name(kind), other->id);
    }
    return status_ok();
}

/* On failure `operation` is not in the list. */
static struct status enter(struct operations *operations, struct operation *operation,
                           struct operation_task **ret)
{
    struct operation *gone = NULL;
    pthread_mutex_lock(&operations->lock);
    struct status status = may_start_locked(operations, operation->kind);
    if (status_is_ok(&status) && (*ret = task_take_locked(operations, operation)) == NULL)
        status = status_reason(REASON_OPERATION_RUNNING,
                               "%u operations that were cancelled are still coming to their ends; try again",
                               OPERATION_TASKS_MAX);
    if (status_is_ok(&status)) {
        status = operation_insert_locked(operations, operation, &gone);
        if (status_is_ok(&status))
            operation_touch_locked(operations, operation);
        else
            task_give_back_locked(*ret);
    }
    pthread_mutex_unlock(&operations->lock);
    if (gone != NULL)
        operation_forget(operations, gone);
    return status;
}

static void leave(struct operations *operations, struct operation *operation, struct operation_task *task)
{
    pthread_mutex_lock(&operations->lock);
    task_give_back_locked(task);
    operation_take_out_locked(operations, operation);
    pthread_mutex_unlock(&operations->lock);
    operation_forget(operations, operation);
}

/* The lease is taken before the record can be seen, so that nobody else goes on with it. */
static struct status record_started(struct operations *operations, struct operation_task *task,
                                    const char *id)
{
    int64_t epoch = 0;
    if (operations->shared) {
        STATUS_TRY(operation_lease_take(operations, id, &epoch));
        pthread_mutex_lock(&operations->lock);
        task->lease_epoch = epoch;
        task->lease_due_us = clock_monotonic_us(operations->service->parts.clock) + OPERATION_LEASE_RENEW_US;
        pthread_mutex_unlock(&operations->lock);
    }
    return operation_save(operations, id); /* who is told of it finds it, also after a restart */
}

static struct status start(struct operations *operations, enum operation_kind kind,
                           const Strata__V1__StartOperationRequest *request,
                           const struct operation_plan *plan, struct bytes started_by, char *ret_id)
{
    struct operation_task *task = NULL;
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation == NULL)
        return no_memory();
    struct status status = operation_fill(operations, kind, request, plan, started_by, operation);
    if (status_is_ok(&status))
        status = enter(operations, operation, &task);
    if (!status_is_ok(&status)) {
        operation_free(operation);
        return status;
    }
    memcpy(ret_id, operation->id, UUID_TEXT_BYTES);
    status = record_started(operations, task, ret_id);
    if (!status_is_ok(&status)) {
        leave(operations, operation, task);
        return status;
    }
    pthread_mutex_lock(&operations->lock);
    status = task_start_locked(operations, task);
    pthread_mutex_unlock(&operations->lock);
    if (!status_is_ok(&status))
        leave(operations, operation, task);
    return status;
}

struct status operations_start(struct operations *operations, enum operation_kind kind,
                               const Strata__V1__StartOperationRequest *request,
                               const struct operation_plan *plan, struct bytes started_by, char *ret_id)
{
    int64_t turn = 0;
    if (!operations->shared)
        return start(operations, kind, request, plan, started_by, ret_id);
    STATUS_TRY(operation_turn_take(operations, kind, &turn));
    struct status status = operations_refresh_shared(operations); /* one of that kind may run elsewhere */
    if (status_is_ok(&status))
        status = start(operations, kind, request, plan, started_by, ret_id);
    operation_turn_end(operations, kind, turn);
    return status;
}

static struct status go_on_locked(struct operations *operations, struct operation *operation,
                                  int64_t lease_epoch)
{
    struct operation_task *task = task_take_locked(operations, operation);
    if (task == NULL) /* more than are ever started: the next look or start of the program comes to it */
        return status_error(STATUS_RESOURCE_EXHAUSTED, "all threads of operations are taken");
    task->lease_epoch = lease_epoch;
    task->lease_due_us = clock_monotonic_us(operations->service->parts.clock) + OPERATION_LEASE_RENEW_US;
    (void)snprintf(operation->message, sizeof operation->message, "went on at %lld of %lld after a restart",
                   (long long)operation->done, (long long)operation->total); /* always fits */
    operation_touch_locked(operations, operation);
    const struct status status = task_start_locked(operations, task);
    if (!status_is_ok(&status))
        task_give_back_locked(task);
    return status;
}

bool operation_go_on_locked(struct operations *operations, struct operation *operation, int64_t lease_epoch)
{
    const struct status status = go_on_locked(operations, operation, lease_epoch);
    if (!status_is_ok(&status))
        log_warn(operations->service->parts.log, "an operation does not go on yet",
                 LOG_TEXT("operation", operation->id), LOG_TEXT("reason", status.message));
    return status_is_ok(&status) && operation->has_task;
}

struct status operations_resume(struct operations *operations)
{
    if (operations->shared)
        return operations_keeper_start(operations);
    pthread_mutex_lock(&operations->lock);
    for (size_t i = 0; i < operations->count; i++)
        if (operations->items[i]->state == OPERATION_RUNS &&
            !operation_go_on_locked(operations, operations->items[i], 0))
            break;
    pthread_mutex_unlock(&operations->lock);
    return status_ok();
}

/* --- ending --- */

static void stop_task_locked(struct operations *operations, const struct operation *operation)
{
    for (size_t i = 0; i < OPERATION_TASKS_MAX; i++)
        if (operations->tasks[i].taken && operations->tasks[i].operation == operation)
            atomic_store(&operations->tasks[i].stop, true);
}

void operation_cancel_locked(struct operations *operations, struct operation *operation, int64_t at_us)
{
    operation->state = OPERATION_CANCELLED;
    operation->ended_at_us = at_us;
    operation_touch_locked(operations, operation);
    stop_task_locked(operations, operation);
}

void operation_lose_locked(struct operations *operations, struct operation *operation)
{
    operation->lost = true;
    stop_task_locked(operations, operation);
}

struct status operations_cancel(struct operations *operations, const char *id)
{
    if (operations->shared)
        return operation_cancel_shared(operations, id);
    pthread_mutex_lock(&operations->lock);
    struct operation *operation = operation_find_locked(operations, id);
    const bool known = operation != NULL;
    const bool runs = known && operation->state == OPERATION_RUNS;
    if (runs)
        operation_cancel_locked(operations, operation, clock_now_us(operations->service->parts.clock));
    pthread_mutex_unlock(&operations->lock);
    if (runs)
        log_info(operations->service->parts.log, "an operation was cancelled", LOG_TEXT("operation", id));
    return known ? operation_save(operations, id) : status_operation_unknown(id);
}

void operations_stop(struct operations *operations)
{
    pthread_mutex_lock(&operations->lock);
    operations->stopping = true;
    for (size_t i = 0; i < OPERATION_TASKS_MAX; i++)
        atomic_store(&operations->tasks[i].stop, true);
    pthread_mutex_unlock(&operations->lock);
    operations_keeper_stop(operations);
    for (size_t i = 0; i < OPERATION_TASKS_MAX; i++) { /* from here on no thread is made */
        struct operation_task *task = &operations->tasks[i];
        pthread_mutex_lock(&operations->lock);
        const bool started = task->taken && task->started;
        task->started = false;
        pthread_mutex_unlock(&operations->lock);
        if (started)
            pthread_join(task->thread, NULL);
    }
}

/* --- what a kind hears and says --- */

struct service *operation_service(const struct operation_task *task)
{
    return task->operations->service;
}

const Strata__V1__StartOperationRequest *operation_request(const struct operation_task *task)
{
    return task->request;
}

struct bytes operation_place(const struct operation_task *task)
{
    return bytes_of(task->operation->place, task->operation->place_bytes);
}

bool operation_goes_on(const struct operation_task *task)
{
    return !atomic_load_explicit(&task->stop, memory_order_relaxed) &&
           !service_stopping(task->operations->service);
}

struct status operation_stopped(void)
{
    return status_error(STATUS_CANCELLED, "it was cancelled, or the service stops");
}

void operation_set_total(struct operation_task *task, int64_t total)
{
    pthread_mutex_lock(&task->operations->lock);
    if (task->operation->state == OPERATION_RUNS) {
        task->operation->total = total;
        operation_touch_locked(task->operations, task->operation);
    }
    pthread_mutex_unlock(&task->operations->lock);
}

void operation_moved(struct operation_task *task, int64_t done, struct bytes place)
{
    struct operations *operations = task->operations;
    struct operation *operation = task->operation;
    assert(place.size_bytes <= sizeof operation->place);
    pthread_mutex_lock(&operations->lock);
    if (operation->state == OPERATION_RUNS) {
        operation->done = done;
        if (place.size_bytes > 0)
            memcpy(operation->place, place.data, place.size_bytes);
        operation->place_bytes = place.size_bytes;
        operation_touch_locked(operations, operation);
    }
    pthread_mutex_unlock(&operations->lock);
    const int64_t now_us = clock_monotonic_us(operations->service->parts.clock);
    if (now_us - task->saved_at_us < SAVE_EVERY_US)
        return;
    task->saved_at_us = now_us;
    save_or_warn(operations, operation->id);
}

void operation_set_result(struct operation_task *task, const char *key, const char *format, ...)
{
    struct operation *operation = task->operation;
    pthread_mutex_lock(&task->operations->lock);
    size_t at = 0;
    while (at < operation->result_count && strcmp(operation->results[at].key, key) != 0)
        at++;
    assert(at < OPERATION_RESULTS_MAX);
    if (operation->state == OPERATION_RUNS) {
        struct operation_result *result = &operation->results[at];
        va_list arguments;
        va_start(arguments, format);
        (void)snprintf(result->key, sizeof result->key, "%s", key); /* names of ours are shorter */
        (void)vsnprintf(result->value, sizeof result->value, format, arguments);
        va_end(arguments);
        operation->result_count += at == operation->result_count;
        operation_touch_locked(task->operations, operation);
    }
    pthread_mutex_unlock(&task->operations->lock);
}
