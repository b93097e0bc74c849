/*
 * ReadEvents: a finite stream. It runs in steps on the pool and holds no worker while its client is slow:
 *
 *   running ──the client is slow──► parked ──writable, cancelled or stopping──► running … ──► finished
 *
 * Whoever takes it out of `parked` queues it, so only one thread ever runs it. Where a position is missing it waits on
 * the bus's clock instead, and is queued again by that.
 */
#include <stdlib.h>

#include "bus/read_plan.h"
#include "service/checks_internal.h"
#include "service/replies_internal.h"

#define BATCHES_A_STEP 16
#define LOOKED_AT_MAX  10000 /* events in one batch's reading, matching or not */

struct reading {
    struct stream_link link; /* first: stop finds it */
    struct pool_task task;
    struct bus_waiter waiter;
    struct service *service;
    struct call *call;
    struct event_query filter;
    struct read_query read; /* the interval that is left */
    int64_t left;           /* events until the limit */
    int64_t asked_to;       /* exclusive; 0 = the head, which the first step asks for */
    bool begun;             /* the first step was there */
    bool begun_empty;       /* the interval holds nothing */

    pthread_mutex_t lock; /* guards the two below */
    bool parked;
    bool writable;

    struct buffer batch; /* the rest is the running step's */
    size_t count;
    int looked_at;
    int64_t last;             /* looked at, or the end at which the interval begins */
    int64_t missing;          /* a position that should have come; 0 = none */
    int64_t missing_until_us; /* monotonic; 0 = none was missing at the last look */
    bool stopped;             /* before the end of the interval */
    struct status status;
};

static void reading_finish(struct reading *reading, const struct status *status)
{
    struct service *service = reading->service;
    streams_remove(service, &reading->link);
    call_finish(reading->call, status); /* from here on rpc calls nothing back */
    buffer_done(&reading->batch);
    pthread_mutex_destroy(&reading->lock);
    free(reading);
    service_leave(service);
}

/* Of a read by position every position must come. */
static bool is_next(struct reading *reading, int64_t position)
{
    const int64_t expected = reading->read.backward ? reading->last - 1 : reading->last + 1;
    if (reading->read.by == READ_BY_POSITION && position != expected)
        reading->missing = expected;
    return reading->missing == 0;
}

/* A read of everything need not look into the records: they are checked where they are fetched. */
static bool is_wanted(struct reading *reading, struct record record)
{
    if (reading->filter.count == 0)
        return true;
    struct event_fields header;
    reading->status = record_decode_header(record, &header);
    return status_is_ok(&reading->status) && query_matches(&reading->filter, &header);
}

static bool take_record(void *context, int64_t position, struct record record)
{
    struct reading *reading = context;
    if (!is_next(reading, position))
        return false;
    if (is_wanted(reading, record)) {
        const bool full =
            reading->count == BATCH_EVENTS_MAX || reading->left == 0 ||
            (reading->count > 0 && reading->batch.size_bytes + record.bytes.size_bytes > BATCH_BYTES_MAX);
        if (full) {
            reading->stopped = true;
            return false;
        }
        wire_put_event(&reading->batch, 1, reading->service, position, record);
        reading->count++;
        reading->left--;
    } else if (!status_is_ok(&reading->status)) {
        return false;
    }
    reading->last = position;
    reading->looked_at++;
    reading->stopped = reading->looked_at == LOOKED_AT_MAX;
    return !reading->stopped;
}

/* Not when the call arrives: the store may be slow to answer, and its thread serves other calls. */
static struct status reading_begin(struct reading *reading)
{
    struct event_store *store = reading->service->parts.store;
    struct store_head head;
    STATUS_TRY(store->ops->head(store, &head));
    reading->read.to_position = head.position;
    if (reading->asked_to > 0 && reading->asked_to - 1 < head.position)
        reading->read.to_position = reading->asked_to - 1;
    reading->begun_empty = reading->read.to_position <= reading->read.after_position;
    reading->begun = true;
    return status_ok();
}

/* Reads one batch into the buffer; *ret_end = the interval or the limit is exhausted. */
static struct status read_batch(struct reading *reading, bool *ret_end)
{
    struct event_store *store = reading->service->parts.store;
    struct read_query *read = &reading->read;
    if (!reading->begun)
        STATUS_TRY(reading_begin(reading));
    buffer_clear(&reading->batch);
    reading->count = 0;
    reading->looked_at = 0;
    reading->stopped = false;
    reading->missing = 0;
    reading->status = status_ok();
    reading->last = read->backward ? read->to_position + 1 : read->after_position;
    const bool empty = reading->begun_empty || read->to_position <= read->after_position;
    if (!empty) {
        STATUS_TRY(store->ops->read(store, read, take_record, reading));
        STATUS_TRY(reading->status);
        if (!reading->stopped) /* it came to its end, which must be the interval's */
            (void)is_next(reading, read->backward ? read->after_position : read->to_position + 1);
        reading->stopped = reading->stopped || reading->missing > 0;
    }
    *ret_end = empty || !reading->stopped || reading->left == 0;
    int64_t reached = reading->last;
    if (!empty && !reading->stopped)
        reached = read->backward ? read->after_position + 1 : read->to_position;
    if (read->backward)
        read->to_position = reached - 1;
    else
        read->after_position = reached;
    wire_put_int(&reading->batch, 2, reached);
    return buffer_status(&reading->batch);
}

/* True = the client takes more; false = the reading is parked (and may be gone already). */
static bool reading_send(struct reading *reading)
{
    pthread_mutex_lock(&reading->lock);
    reading->writable = false; /* before sending: on_writable may come before the answer does */
    pthread_mutex_unlock(&reading->lock);
    const bool more = call_send_bytes(reading->call, buffer_bytes(&reading->batch));
    pthread_mutex_lock(&reading->lock);
    reading->writable =
        reading->writable || more || call_cancelled(reading->call) || service_stopping(reading->service);
    const bool go_on = reading->writable;
    reading->parked = !go_on;
    pthread_mutex_unlock(&reading->lock);
    return go_on;
}

static void reading_again(struct bus_waiter *waiter, bool reached)
{
    (void)reached;
    struct reading *reading = (struct reading *)((uint8_t *)waiter - offsetof(struct reading, waiter));
    pool_resubmit(reading->service->pool, &reading->task);
}

/* True = the reading waits for the missing position (and may be gone already); POSITION_MISSING when it did so for
 * long enough. */
static struct status wait_for_missing(struct reading *reading, bool *ret_waits)
{
    struct service *service = reading->service;
    const int64_t now_us = clock_monotonic_us(service->parts.clock);
    *ret_waits = false;
    if (reading->missing == 0 || reading->looked_at > 0) {
        reading->missing_until_us = 0; /* what came before it is sent first */
        return status_ok();
    }
    if (reading->missing_until_us == 0)
        reading->missing_until_us = now_us + BUS_MISSING_AFTER_US;
    if (now_us >= reading->missing_until_us)
        return status_position_missing(reading->missing);
    *ret_waits = true;
    reading->waiter.position = INT64_MAX; /* never reached: only the deadline counts */
    reading->waiter.deadline_us = now_us + BUS_MISSING_RETRY_US;
    reading->waiter.done = reading_again;
    bus_wait(service->parts.bus, &reading->waiter);
    return status_ok();
}

static void reading_step(struct pool_task *task)
{
    struct reading *reading = (struct reading *)((uint8_t *)task - offsetof(struct reading, task));
    for (int i = 0; i < BATCHES_A_STEP; i++) {
        bool waits = false;
        struct status status = status_ok();
        bool end = false;
        if (call_cancelled(reading->call))
            status = status_error(STATUS_CANCELLED, "the caller cancelled the read");
        else if (service_stopping(reading->service))
            status = status_stopping();
        else
            status = read_batch(reading, &end);
        if (status_is_ok(&status))
            status = wait_for_missing(reading, &waits);
        if (waits)
            return;
        if (end && status_is_ok(&status)) {
            /* The last one: there is nothing to wait for. */
            (void)call_send_bytes(reading->call, buffer_bytes(&reading->batch));
            reading_finish(reading, &status);
            return;
        }
        if (!status_is_ok(&status)) {
            reading_finish(reading, &status);
            return;
        }
        if (!reading_send(reading))
            return;
    }
    pool_resubmit(reading->service->pool, task); /* others have their turn */
}

/* --- wake-ups --- */

static void reading_wake(struct reading *reading)
{
    pthread_mutex_lock(&reading->lock);
    const bool queue = reading->parked;
    reading->parked = false;
    reading->writable = true;
    pthread_mutex_unlock(&reading->lock);
    if (queue)
        pool_resubmit(reading->service->pool, &reading->task);
}

static void reading_called_back(void *context)
{
    reading_wake(context);
}

static void reading_stop(struct stream_link *link)
{
    reading_wake((struct reading *)link);
}

/* --- the request --- */

static struct status reading_build(struct reading *reading, const Strata__V1__ReadEventsRequest *request)
{
    struct faults faults;
    faults_init(&faults, call_arena(reading->call));
    event_query_build(&faults, "query", request->query, true, &reading->filter);
    if (request->after_position < 0)
        faults_add(&faults, "after_position",
                   status_reason(REASON_INVALID_FIELD, "after_position is %lld; give 0 or more",
                                 (long long)request->after_position));
    if (request->to_position < 0)
        faults_add(&faults, "to_position",
                   status_reason(REASON_INVALID_FIELD,
                                 "to_position is %lld; give 1 or more, or 0 for the head",
                                 (long long)request->to_position));
    if (request->limit < 0)
        faults_add(&faults, "limit",
                   status_reason(REASON_INVALID_FIELD, "limit is %lld; give 1 or more, or 0 for all",
                                 (long long)request->limit));
    STATUS_TRY(faults_status(&faults));
    read_plan_query(&reading->filter, &reading->read);
    reading->read.after_position = request->after_position;
    reading->asked_to = request->to_position;
    reading->read.to_version = INT32_MAX;
    reading->read.backward = request->direction == STRATA__V1__DIRECTION__BACKWARD;
    reading->left = request->limit > 0 ? request->limit : INT64_MAX;
    return status_ok();
}

static void read_events_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct reading *reading = calloc(1, sizeof *reading);
    struct status status =
        reading == NULL ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another stream; close some")
                        : status_ok();
    if (status_is_ok(&status)) {
        reading->service = service;
        reading->call = call;
        status = reading_build(reading, (const Strata__V1__ReadEventsRequest *)request);
    }
    if (!status_is_ok(&status)) {
        free(reading);
        service_finish(service, call, &status);
        return;
    }
    reading->batch = buffer_make(0);
    reading->link.stop = reading_stop;
    reading->task.run = reading_step;
    pthread_mutex_init(&reading->lock, NULL);
    call_on_cancel(call, reading_called_back, reading);
    call_on_writable(call, reading_called_back, reading);
    streams_add(service, &reading->link);
    pool_resubmit(service->pool, &reading->task); /* the edge bounds its streams */
}

const struct method_handler read_events_handler = {.start = read_events_start};
