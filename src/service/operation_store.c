/* The list of operations: in memory, and as records in the event store's state. */
#include "service/operation_store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an operation");
}

const char *operation_kind_name(enum operation_kind kind)
{
#define X(id, name) [OPERATION_##id] = #name,
    static const char *const names[] = {OPERATION_KIND_TABLE(X)};
#undef X
    return names[kind];
}

struct status status_operation_unknown(const char *id)
{
    return status_reason(REASON_OPERATION_UNKNOWN,
                         "there is no operation \"%.64s\"; those that have ended are forgotten after a day",
                         id);
}

/* --- the list --- */

/* Where an id is, or would be. */
static size_t place_of(const struct operations *operations, const char *id)
{
    size_t first = 0;
    size_t end = operations->count;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (strcmp(operations->items[middle]->id, id) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

struct operation *operation_find_locked(struct operations *operations, const char *id)
{
    const size_t at = place_of(operations, id);
    if (at == operations->count || strcmp(operations->items[at]->id, id) != 0)
        return NULL;
    return operations->items[at];
}

void operation_touch_locked(struct operations *operations, struct operation *operation)
{
    operation->revision = ++operations->revision;
    operation->unsaved = true;
}

void operation_take_out_locked(struct operations *operations, struct operation *operation)
{
    const size_t at = place_of(operations, operation->id);
    assert(at < operations->count && operations->items[at] == operation);
    operations->count--;
    memmove(&operations->items[at], &operations->items[at + 1],
            (operations->count - at) * sizeof operations->items[0]);
}

static bool may_go(const struct operation *operation)
{
    return operation->state != OPERATION_RUNS && !operation->has_task;
}

struct status operation_insert_locked(struct operations *operations, struct operation *operation,
                                      struct operation **ret_gone)
{
    *ret_gone = NULL;
    for (size_t i = 0; operations->count == OPERATIONS_KEPT_MAX && i < operations->count; i++)
        if (may_go(operations->items[i])) {
            *ret_gone = operations->items[i];
            operation_take_out_locked(operations, *ret_gone);
        }
    if (operations->count == OPERATIONS_KEPT_MAX) /* only of foreign records: few run at a time */
        return status_error(STATUS_RESOURCE_EXHAUSTED, "%u operations are said to run; cancel some",
                            OPERATIONS_KEPT_MAX);
    const size_t at = place_of(operations, operation->id);
    memmove(&operations->items[at + 1], &operations->items[at],
            (operations->count - at) * sizeof operations->items[0]);
    operations->items[at] = operation;
    operations->count++;
    operation->revision = ++operations->revision;
    return status_ok();
}

/* --- the records --- */

struct bytes operation_key(const char *prefix, const char *id, char memory[OPERATION_KEY_MAX_BYTES])
{
    const int length = snprintf(memory, OPERATION_KEY_MAX_BYTES, "%s%.36s", prefix, id); /* fits */
    return bytes_of(memory, (size_t)length);
}

static struct bytes key_of(const char *id, char memory[OPERATION_KEY_MAX_BYTES])
{
    return operation_key(OPERATION_KEY_PREFIX, id, memory);
}

struct status operation_save(struct operations *operations, const char *id)
{
    struct event_store *store = operations->service->parts.store;
    struct buffer record = buffer_make(0);
    struct status status = status_ok();
    char memory[OPERATION_KEY_MAX_BYTES];
    pthread_mutex_lock(&operations->save_lock);
    pthread_mutex_lock(&operations->lock);
    struct operation *operation = operation_find_locked(operations, id);
    const bool wanted = operation != NULL && operation->unsaved && !operation->lost;
    if (wanted) {
        status = operation_encode(operation, &record);
        operation->unsaved = !status_is_ok(&status);
    }
    pthread_mutex_unlock(&operations->lock);
    if (wanted && status_is_ok(&status)) {
        status = store->ops->state_put(store, key_of(id, memory), buffer_bytes(&record));
        pthread_mutex_lock(&operations->lock);
        operation = operation_find_locked(operations, id);
        if (!status_is_ok(&status) && operation != NULL)
            operation->unsaved = true;
        pthread_mutex_unlock(&operations->lock);
    }
    pthread_mutex_unlock(&operations->save_lock);
    buffer_done(&record);
    return status;
}

void operation_forget(struct operations *operations, struct operation *operation)
{
    struct event_store *store = operations->service->parts.store;
    char memory[OPERATION_KEY_MAX_BYTES];
    pthread_mutex_lock(&operations->save_lock);
    const struct status status = store->ops->state_remove(store, key_of(operation->id, memory));
    pthread_mutex_unlock(&operations->save_lock);
    if (operations->shared)
        operation_mark_remove(operations, operation->id);
    if (!status_is_ok(&status)) /* it comes back with the next start, and goes then */
        log_warn(operations->service->parts.log, "the record of an operation could not be removed",
                 LOG_TEXT("operation", operation->id), LOG_TEXT("reason", status.message));
    operation_free(operation);
}

/* --- life --- */

static bool take_record(void *context, struct bytes key, struct bytes value)
{
    struct operations *operations = context;
    struct log *log = operations->service->parts.log;
    struct operation *operation = NULL;
    struct operation *gone = NULL;
    struct status status = operation_decode(value, &operation);
    if (status_is_ok(&status))
        status = operation_insert_locked(operations, operation, &gone); /* nobody else knows it yet */
    if (!status_is_ok(&status)) {
        char name[OPERATION_KEY_MAX_BYTES];
        (void)snprintf(name, sizeof name, "%.*s", BYTES_FORMAT(key)); /* only to be shown */
        log_warn(log, "the record of an operation is passed over", LOG_TEXT("key", name),
                 LOG_TEXT("reason", status.message));
        operation_free(operation);
    }
    if (gone != NULL)
        operation_forget(operations, gone);
    return true;
}

static void read_records(struct operations *operations)
{
    struct event_store *store = operations->service->parts.store;
    const struct status status = store->ops->state_list(store, BYTES_LITERAL(OPERATION_KEY_PREFIX),
                                                        BYTES_NONE, take_record, operations);
    if (!status_is_ok(&status))
        log_error(operations->service->parts.log,
                  "operations of earlier runs are not known, and do not go on",
                  LOG_TEXT("reason", status.message));
}

static void name_holder(struct operations *operations)
{
    const struct service *service = operations->service;
    if (service->options.holder != NULL)
        (void)snprintf(operations->holder, sizeof operations->holder, "%s", service->options.holder);
    else
        uuid_v7(clock_now_us(service->parts.clock), service->parts.entropy, operations->holder);
}

struct status operations_new(struct service *service, struct operations **ret)
{
    struct operations *operations = calloc(1, sizeof *operations);
    if (operations == NULL)
        return no_memory();
    operations->service = service;
    operations->shared = !service->parts.store->pipelined;
    name_holder(operations);
    pthread_mutex_init(&operations->save_lock, NULL);
    pthread_mutex_init(&operations->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* cannot fail on Linux, nor can the next */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&operations->keeper_wakes, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (!operations->shared) /* else each look asks the store, and the keeper goes on with what was left */
        read_records(operations);
    *ret = operations;
    return status_ok();
}

void operations_free(struct operations *operations)
{
    if (operations == NULL)
        return;
    operations_stop(operations);
    for (size_t i = 0; i < operations->count; i++)
        operation_free(operations->items[i]);
    pthread_cond_destroy(&operations->keeper_wakes);
    pthread_mutex_destroy(&operations->lock);
    pthread_mutex_destroy(&operations->save_lock);
    free(operations);
}

/* One that is old enough to go, taken out; NULL = there is none. */
static struct operation *take_expired(struct operations *operations, int64_t before_us)
{
    struct operation *found = NULL;
    pthread_mutex_lock(&operations->lock);
    for (size_t i = 0; i < operations->count && found == NULL; i++)
        if (may_go(operations->items[i]) && operations->items[i]->ended_at_us < before_us)
            found = operations->items[i];
    if (found != NULL)
        operation_take_out_locked(operations, found);
    pthread_mutex_unlock(&operations->lock);
    return found;
}

void operations_expire(struct operations *operations)
{
    const int64_t before_us = clock_now_us(operations->service->parts.clock) - OPERATIONS_KEPT_FOR_US;
    struct operation *expired = NULL;
    while (!service_stopping(operations->service) && (expired = take_expired(operations, before_us)) != NULL)
        operation_forget(operations, expired);
}

/* --- looking --- */

static bool runs_here(struct operations *operations, const char *id)
{
    pthread_mutex_lock(&operations->lock);
    const struct operation *operation = operation_find_locked(operations, id);
    const bool here = operation != NULL && operation->has_task && !operation->lost;
    pthread_mutex_unlock(&operations->lock);
    return here;
}

bool operations_are_shared(const struct operations *operations)
{
    return operations->shared;
}

struct status operations_refresh(struct operations *operations, const char *id)
{
    if (!operations->shared)
        return status_ok();
    if (id == NULL)
        return operations_refresh_shared(operations);
    const struct status status = operation_refresh_shared(operations, id);
    return runs_here(operations, id) ? status_ok()
                                     : status; /* memory knows better than a store out of reach */
}

struct status operations_get(struct operations *operations, const char *id, struct arena *arena,
                             Strata__V1__Operation **ret, uint64_t *ret_revision)
{
    pthread_mutex_lock(&operations->lock);
    const struct operation *operation = operation_find_locked(operations, id);
    Strata__V1__Operation *message = operation == NULL ? NULL : operation_to_proto(arena, operation);
    const uint64_t revision = operation == NULL ? 0 : operation->revision;
    pthread_mutex_unlock(&operations->lock);
    if (operation == NULL)
        return status_operation_unknown(id);
    if (message == NULL)
        return no_memory();
    if (ret_revision != NULL)
        *ret_revision = revision;
    *ret = message;
    return status_ok();
}

struct status operations_list(struct operations *operations, const char *before, size_t most,
                              struct arena *arena, Strata__V1__Operation ***ret, size_t *ret_count,
                              bool *ret_more)
{
    Strata__V1__Operation **list = arena_array(arena, most, sizeof *list);
    size_t count = 0;
    bool whole = list != NULL;
    pthread_mutex_lock(&operations->lock);
    size_t at = before[0] == '\0' ? operations->count : place_of(operations, before);
    for (; at > 0 && count < most && whole; at--) {
        list[count] = operation_to_proto(arena, operations->items[at - 1]);
        whole = list[count] != NULL;
        count++;
    }
    pthread_mutex_unlock(&operations->lock);
    *ret = list;
    *ret_count = count;
    *ret_more = at > 0;
    return whole ? status_ok() : no_memory();
}
