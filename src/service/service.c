#include "service/service_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/checks_internal.h"
#include "service/lanes_internal.h"
#include "service/operations_internal.h"
#include "service/snapshots_internal.h"

#define POOL_THREADS_DEFAULT   2U
#define POOL_QUEUE_MAX_DEFAULT 4096U
#define OPERATION_LOOK_US      INT64_C(1000000)

/* --- life --- */

struct status service_new(const struct service_parts *parts, const struct service_options *options,
                          struct service **ret)
{
    CLEANUP(service_free_at) struct service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the service");
    service->parts = *parts;
    service->options = *options;
    if (service->options.limits.event_data_max_bytes == 0 ||
        service->options.limits.event_data_max_bytes > EVENT_DATA_MAX)
        service->options.limits.event_data_max_bytes = EVENT_DATA_MAX;
    if (service->options.reducer_version == 0)
        service->options.reducer_version = DOMAIN_REDUCER_VERSION;
    if (service->options.min_position_wait_us == 0)
        service->options.min_position_wait_us = MIN_POSITION_WAIT_US;
    if (service->options.operation_look_us == 0)
        service->options.operation_look_us = OPERATION_LOOK_US;
    pthread_mutex_init(&service->origin_lock, NULL);
    streams_init(&service->streams);
    service->started_at_us = clock_now_us(parts->clock);
    STATUS_TRY(pool_new(options->pool_threads > 0 ? options->pool_threads : POOL_THREADS_DEFAULT,
                        options->pool_queue_max > 0 ? options->pool_queue_max : POOL_QUEUE_MAX_DEFAULT,
                        &service->pool));
    STATUS_TRY(lanes_new(service, &service->lanes));
    STATUS_TRY(operations_new(service, &service->operations));
    STATUS_TRY(snapshot_keeper_new(service, &service->snapshots));
    STATUS_TRY(operations_resume(service->operations));
    *ret = TAKE_PTR(service);
    return status_ok();
}

void service_stop(struct service *service)
{
    atomic_store(&service->stopping, true);
    streams_stop_all(service);
    snapshot_keeper_stop(service->snapshots);
    operations_stop(service->operations);
    bus_end_waits(service->parts.bus);
    /* A look each millisecond, only here: who leaves could not wake us without touching a service that is
     * being freed. */
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&service->in_flight) > 0)
        nanosleep(&pause, NULL);
    /* The task of a call that was answered elsewhere may still be on its way out of the writer or the bus. */
    while (!pool_is_idle(service->pool))
        nanosleep(&pause, NULL);
}

void service_free(struct service *service)
{
    if (service == NULL)
        return;
    if (service->snapshots != NULL) /* the last part that service_new makes */
        service_stop(service);
    pool_free(service->pool);
    lanes_free(service->lanes);
    operations_free(service->operations);
    snapshot_keeper_free(service->snapshots);
    streams_done(&service->streams);
    pthread_mutex_destroy(&service->origin_lock);
    free(service);
}

void service_register(struct service *service, struct rpc_table *table)
{
    static const struct {
        enum schema_method_id method;
        const struct method_handler *handler;
    } methods[] = {
        {METHOD_EVENT_SERVICE_PUBLISH_EVENT, &publish_event_handler},
        {METHOD_EVENT_SERVICE_APPEND_EVENTS, &append_events_handler},
        {METHOD_EVENT_SERVICE_APPEND_STREAM, &append_stream_handler},
        {METHOD_EVENT_SERVICE_GET_EVENT, &get_event_handler},
        {METHOD_EVENT_SERVICE_LIST_EVENTS, &list_events_handler},
        {METHOD_EVENT_SERVICE_READ_EVENTS, &read_events_handler},
        {METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &subscribe_handler},
        {METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS, &list_subscriptions_handler},
        {METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, &create_aggregate_handler},
        {METHOD_AGGREGATE_SERVICE_GET_AGGREGATE, &get_aggregate_handler},
        {METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &save_aggregate_handler},
        {METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES, &list_aggregates_handler},
        {METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, &create_snapshot_handler},
        {METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT, &get_snapshot_handler},
        {METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT, &get_latest_snapshot_handler},
        {METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, &list_snapshots_handler},
        {METHOD_SYSTEM_SERVICE_GET_HEALTH, &get_health_handler},
        {METHOD_SYSTEM_SERVICE_GET_INFO, &get_info_handler},
        {METHOD_SYSTEM_SERVICE_GET_STATS, &get_stats_handler},
        {METHOD_SYSTEM_SERVICE_START_OPERATION, &start_operation_handler},
        {METHOD_SYSTEM_SERVICE_GET_OPERATION, &get_operation_handler},
        {METHOD_SYSTEM_SERVICE_LIST_OPERATIONS, &list_operations_handler},
        {METHOD_SYSTEM_SERVICE_CANCEL_OPERATION, &cancel_operation_handler},
        {METHOD_SYSTEM_SERVICE_WATCH_OPERATION, &watch_operation_handler},
    };
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        rpc_table_set(table, methods[i].method, methods[i].handler, service);
}

/* --- counting what is under way --- */

struct status status_stopping(void)
{
    struct status status = status_error(STATUS_UNAVAILABLE, "the server is stopping; try again");
    status.retry_after_ms = RETRY_SOON_MS;
    return status;
}

static bool service_enter_background(struct service *service)
{
    atomic_fetch_add(&service->in_flight, 1);
    if (!service_stopping(service))
        return true;
    service_leave(service);
    return false;
}

bool service_enter(struct service *service, struct call *call)
{
    if (service_enter_background(service))
        return true;
    const struct status status = status_stopping();
    call_finish(call, &status);
    return false;
}

/* After the count has fallen the service may be freed, so nothing here touches it any more. */
void service_leave(struct service *service)
{
    const int64_t before = atomic_fetch_sub(&service->in_flight, 1);
    assert(before > 0);
}

void service_finish(struct service *service, struct call *call, const struct status *status)
{
    call_finish(call, status);
    service_leave(service);
}

void service_reply_bytes(struct service *service, struct call *call, struct bytes reply)
{
    call_reply_bytes(call, reply);
    service_leave(service);
}

/* --- calls that run on the pool --- */

struct pool_call {
    struct pool_task task; /* first: found from it */
    struct bus_waiter waiter;
    int64_t missing_until_us; /* monotonic; 0 = no position was missing yet */
    struct service *service;
    struct call *call;
    const void *request;
    service_run run;
};

static struct status status_pool_full(void)
{
    struct status status =
        status_reason(REASON_QUEUE_FULL, "too many reads are waiting for a worker; try again");
    status.retry_after_ms = RETRY_SOON_MS;
    return status;
}

struct status status_position_missing(int64_t position)
{
    return status_reason(REASON_POSITION_MISSING,
                         "position %lld is missing although the head is beyond it; run strata verify",
                         (long long)position);
}

static void pool_call_again(struct bus_waiter *waiter, bool reached)
{
    (void)reached;
    struct pool_call *pooled = (struct pool_call *)((uint8_t *)waiter - offsetof(struct pool_call, waiter));
    pool_resubmit(pooled->service->pool, &pooled->task);
}

/* True = the call waits for a position that should be there. */
static bool wait_for_missing(struct pool_call *pooled)
{
    struct service *service = pooled->service;
    const int64_t now_us = clock_monotonic_us(service->parts.clock);
    if (pooled->missing_until_us == 0)
        pooled->missing_until_us = now_us + BUS_MISSING_AFTER_US;
    if (now_us >= pooled->missing_until_us || service_stopping(service))
        return false;
    pooled->waiter.position = INT64_MAX; /* never reached: only the deadline counts */
    pooled->waiter.deadline_us = now_us + BUS_MISSING_RETRY_US;
    pooled->waiter.done = pool_call_again;
    bus_wait(service->parts.bus, &pooled->waiter);
    return true;
}

static void pool_call_run(struct pool_task *task)
{
    struct pool_call *pooled = (struct pool_call *)task;
    struct service *service = pooled->service;
    struct call *call = pooled->call;
    if (call_cancelled(call)) {
        const struct status cancelled =
            status_error(STATUS_CANCELLED, "the caller gave up before the read began");
        service_finish(service, call, &cancelled);
        return;
    }
    struct reply reply = {0};
    const struct status status = pooled->run(service, call, pooled->request, &reply);
    if (status.reason == REASON_POSITION_MISSING && wait_for_missing(pooled))
        return;
    if (!status_is_ok(&status)) {
        service_finish(service, call, &status);
        return;
    }
    if (reply.later)
        return;
    if (reply.http_status != 0)
        call_set_http_status(call, reply.http_status);
    if (reply.message != NULL) {
        call_reply(call, reply.message);
        service_leave(service);
    } else {
        service_reply_bytes(service, call, reply.bytes);
    }
}

static void pool_call_submit(struct pool_call *pooled)
{
    if (pool_submit(pooled->service->pool, &pooled->task))
        return;
    const struct status full = status_pool_full();
    service_finish(pooled->service, pooled->call, &full);
}

static void pool_call_reached(struct bus_waiter *waiter, bool reached)
{
    struct pool_call *pooled = (struct pool_call *)((uint8_t *)waiter - offsetof(struct pool_call, waiter));
    if (reached) {
        pool_call_submit(pooled);
        return;
    }
    if (service_stopping(pooled->service)) {
        const struct status stopping = status_stopping();
        service_finish(pooled->service, pooled->call, &stopping);
        return;
    }
    struct status behind =
        status_reason(REASON_BEHIND, "position %lld has not been reached, the head is %lld; try again",
                      (long long)waiter->position, (long long)bus_head(pooled->service->parts.bus));
    behind.retry_after_ms = RETRY_SOON_MS;
    service_finish(pooled->service, pooled->call, &behind);
}

void service_start(struct service *service, struct call *call, const void *request, int64_t min_position,
                   service_run run)
{
    if (!service_enter(service, call))
        return;
    if (min_position < 0) {
        const struct status negative =
            status_reason(REASON_INVALID_FIELD,
                          "min_position is %lld; give a position that an append answered, or leave it out",
                          (long long)min_position);
        const struct status status = status_in_field(call_arena(call), "min_position", &negative);
        service_finish(service, call, &status);
        return;
    }
    struct pool_call *pooled = arena_zalloc(call_arena(call), sizeof *pooled);
    if (pooled == NULL) {
        const struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the call");
        service_finish(service, call, &status);
        return;
    }
    pooled->task.run = pool_call_run;
    pooled->service = service;
    pooled->call = call;
    pooled->request = request;
    pooled->run = run;
    if (min_position <= bus_head(service->parts.bus)) {
        pool_call_submit(pooled);
        return;
    }
    pooled->waiter.position = min_position;
    pooled->waiter.deadline_us =
        clock_monotonic_us(service->parts.clock) + service->options.min_position_wait_us;
    pooled->waiter.done = pool_call_reached;
    bus_wait(service->parts.bus, &pooled->waiter);
}

/* --- work without a caller --- */

struct background {
    struct pool_task task; /* first: found from it */
    struct service *service;
    void (*run)(struct service *service, struct bytes id);
    size_t id_bytes;
    uint8_t id[];
};

static void background_run(struct pool_task *task)
{
    struct background *work = (struct background *)task;
    struct service *service = work->service;
    work->run(service, bytes_of(work->id, work->id_bytes));
    free(work);
    service_leave(service);
}

void service_background(struct service *service, struct bytes id,
                        void (*run)(struct service *service, struct bytes id))
{
    if (!service_enter_background(service))
        return;
    struct background *work = malloc(sizeof *work + id.size_bytes);
    if (work != NULL) {
        *work = (struct background){
            .task.run = background_run, .service = service, .run = run, .id_bytes = id.size_bytes};
        if (id.size_bytes > 0)
            memcpy(work->id, id.data, id.size_bytes);
        if (pool_submit_background(service->pool, &work->task))
            return;
    }
    free(work);
    service_leave(service);
}
