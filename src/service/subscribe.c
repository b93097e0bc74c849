/*
 * Subscribe: a cursor of the bus, pumped by the bus's thread, one message a turn.
 *
 *   catching up ──reached the head: caught_up──► live ──too far behind: fell_behind──► catching up
 *
 * While nothing is sent for checkpoint_interval, a checkpoint is. A client that cannot take more gets no turn;
 * what it has not got stays in the store.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "service/checks_internal.h"
#include "service/replies_internal.h"
#include "service/subscription_internal.h"

#define NAME_MAX_BYTES        255U
#define CHECKPOINT_DEFAULT_US INT64_C(1000000)
#define CHECKPOINT_LEAST_US   INT64_C(100000)
#define CHECKPOINT_MOST_US    INT64_C(3600000000)

/* Fields of strata.v1.SubscribeResponse. */
enum {
    MESSAGE_BATCH = 1,
    MESSAGE_CAUGHT_UP = 2,
    MESSAGE_CHECKPOINT = 3,
    MESSAGE_FELL_BEHIND = 4,
    MESSAGE_CLOSING = 5
};

struct subscription {
    struct stream_link link; /* first: stop and listings find it */
    struct pool_task task;   /* which begins it, when the store must be asked where */
    struct service *service;
    struct call *call;
    const Strata__V1__SubscribeRequest *request; /* in the call's arena */
    _Atomic(struct cursor *) cursor;             /* NULL = it has not begun */
    int64_t began_at_us;
    atomic_int_fast64_t shown_position; /* the cursor's after its last turn */
    int64_t checkpoint_interval_us;
    int64_t
        from_us; /* events recorded before are passed over: the position of a time to come is not known yet */
    atomic_bool writable;

    bool live; /* from here on the bus's thread's */
    int64_t sent_at_us;
    size_t batch_count;
    struct buffer batch;
    struct buffer message;
};

/* --- sending; one message a turn --- */

static void send_message(struct subscription *subscription, struct bytes message)
{
    /* Before sending: on_writable may come before the answer does. */
    atomic_store(&subscription->writable, false);
    if (call_send_bytes(subscription->call, message))
        atomic_store(&subscription->writable, true);
    subscription->sent_at_us = clock_monotonic_us(subscription->service->parts.clock);
}

static void send_batch(struct subscription *subscription)
{
    buffer_clear(&subscription->message);
    wire_put_bytes(&subscription->message, MESSAGE_BATCH, buffer_bytes(&subscription->batch));
    send_message(subscription, buffer_bytes(&subscription->message));
}

/* Subscriptions are many and most are quiet: one that sends a checkpoint keeps no memory for events. */
static void batch_drop(struct subscription *subscription)
{
    buffer_done(&subscription->batch);
    buffer_done(&subscription->message);
}

static void send_checkpoint(struct subscription *subscription, uint32_t field, const struct cursor *cursor)
{
    uint8_t memory[2][64];
    struct buffer part = {
        .data = memory[0], .capacity_bytes = sizeof memory[0], .limit_bytes = sizeof memory[0]};
    struct buffer message = {
        .data = memory[1], .capacity_bytes = sizeof memory[1], .limit_bytes = sizeof memory[1]};
    wire_put_int(&part, 1, cursor_position(cursor));
    if (cursor_time_us(cursor) != 0)
        wire_put_time(&part, 2, cursor_time_us(cursor));
    wire_put_int(&part, 3, cursor_head(cursor));
    wire_put_bytes(&message, field, buffer_bytes(&part));
    assert(!message.failed); /* three numbers and a time: 50 bytes at most */
    batch_drop(subscription);
    send_message(subscription, buffer_bytes(&message));
}

static void send_closing(struct subscription *subscription, const struct cursor *cursor)
{
    uint8_t memory[64];
    struct buffer part = {.data = memory, .capacity_bytes = sizeof memory, .limit_bytes = sizeof memory};
    wire_put_text(&part, 1, BYTES_LITERAL("SHUTTING_DOWN"));
    wire_put_int(&part, 2, cursor_position(cursor));
    buffer_clear(&subscription->message);
    wire_put_bytes(&subscription->message, MESSAGE_CLOSING, buffer_bytes(&part));
    (void)call_send_bytes(subscription->call, buffer_bytes(&subscription->message)); /* the last one */
}

/* --- a turn --- */

static bool is_too_early(const struct subscription *subscription, struct record record)
{
    struct event_fields header;
    const struct status status = record_decode_header(record, &header);
    return status_is_ok(&status) && header.timestamp_us < subscription->from_us;
}

static bool take_event(void *context, int64_t position, struct record record)
{
    struct subscription *subscription = context;
    if (subscription->from_us != INT64_MIN) {
        if (is_too_early(subscription, record))
            return true;
        subscription->from_us = INT64_MIN; /* times never fall */
    }
    if (subscription->batch_count == BATCH_EVENTS_MAX ||
        (subscription->batch_count > 0 &&
         subscription->batch.size_bytes + record.bytes.size_bytes > BATCH_BYTES_MAX))
        return false;
    wire_put_event(&subscription->batch, 1, subscription->service, position, record);
    subscription->batch_count++;
    return true;
}

/* No stream knows it, or no more. */
static void subscription_over(struct subscription *subscription, const struct status *status)
{
    struct service *service = subscription->service;
    call_finish(subscription->call, status); /* from here on rpc calls nothing back */
    batch_drop(subscription);
    free(subscription);
    service_leave(service);
}

static enum cursor_turn subscription_end(struct subscription *subscription, const struct status *status)
{
    streams_remove(subscription->service, &subscription->link);
    subscription_over(subscription, status);
    return CURSOR_CLOSED;
}

/* One message, or none. */
static enum cursor_turn take_turn(struct subscription *subscription, struct cursor *cursor)
{
    struct status status = status_ok();
    if (call_cancelled(subscription->call)) {
        status = status_error(STATUS_CANCELLED, "the subscriber is gone");
        return subscription_end(subscription, &status);
    }
    if (service_stopping(subscription->service)) {
        send_closing(subscription, cursor);
        return subscription_end(subscription, &status);
    }
    if (!atomic_load(&subscription->writable)) {
        cursor_wake_at(cursor, 0);
        return CURSOR_WAIT;
    }
    if (subscription->live && cursor_behind(cursor)) {
        subscription->live = false;
        send_checkpoint(subscription, MESSAGE_FELL_BEHIND, cursor);
        return CURSOR_AGAIN;
    }
    buffer_clear(&subscription->batch);
    subscription->batch_count = 0;
    status = cursor_next(cursor, take_event, subscription);
    if (status_is_ok(&status))
        status = buffer_status(&subscription->batch);
    if (!status_is_ok(&status))
        return subscription_end(subscription, &status);

    const bool at_head = cursor_position(cursor) >= cursor_head(cursor);
    const int64_t due_us = subscription->sent_at_us + subscription->checkpoint_interval_us;
    if (subscription->batch_count > 0) {
        send_batch(subscription);
    } else if (at_head && !subscription->live) {
        subscription->live = true;
        send_checkpoint(subscription, MESSAGE_CAUGHT_UP, cursor);
    } else if (clock_monotonic_us(subscription->service->parts.clock) >= due_us) {
        send_checkpoint(subscription, MESSAGE_CHECKPOINT, cursor);
    }
    cursor_wake_at(cursor, subscription->sent_at_us + subscription->checkpoint_interval_us);
    const bool stuck = !at_head && subscription->batch_count == 0 && cursor_waits_for_missing(cursor);
    return (at_head && subscription->live) || stuck ? CURSOR_WAIT : CURSOR_AGAIN;
}

static enum cursor_turn subscription_turn(void *context, struct cursor *cursor)
{
    struct subscription *subscription = context;
    const enum cursor_turn turn = take_turn(subscription, cursor);
    if (turn != CURSOR_CLOSED) /* else it is freed */
        atomic_store_explicit(&subscription->shown_position, cursor_position(cursor), memory_order_relaxed);
    return turn;
}

/* --- callbacks; any thread --- */

/* One that has not begun sees at its first turn what it is poked for. */
static void subscription_poke(struct subscription *subscription)
{
    struct cursor *cursor = atomic_load(&subscription->cursor);
    if (cursor != NULL)
        cursor_poke(cursor);
}

static void subscription_writable(void *context)
{
    struct subscription *subscription = context;
    atomic_store(&subscription->writable, true);
    subscription_poke(subscription);
}

static void subscription_cancelled(void *context)
{
    subscription_poke(context);
}

static void subscription_stop(struct stream_link *link)
{
    subscription_poke((struct subscription *)link);
}

/* --- what is shown of it; under streams.lock, which it needs for its end --- */

struct subscription_view subscription_view(const struct stream_link *link)
{
    const struct subscription *subscription = (const struct subscription *)link;
    return (struct subscription_view){
        .number = link->number,
        .name = subscription->request->name,
        .query = cursor_query(atomic_load(&subscription->cursor)),
        .position = atomic_load_explicit(&subscription->shown_position, memory_order_relaxed),
        .began_at_us = subscription->began_at_us,
        .call = subscription->call,
    };
}

/* --- the request --- */

static void build_query(struct faults *faults, const Strata__V1__SubscribeRequest *request,
                        struct query_item *item, struct event_query *ret)
{
    const bool flat_given = request->n_types + request->n_tags + request->n_aggregate_types +
                                    request->n_aggregate_ids + request->n_aggregate_id_prefixes >
                                0 ||
                            request->correlation_id[0] != '\0';
    if (request->query != NULL && flat_given)
        faults_add(faults, "query",
                   status_reason(REASON_INVALID_FIELD,
                                 "query and single filters are both given; put the filters into "
                                 "the query's items"));
    if (!flat_given) {
        event_query_build(faults, "query", request->query, true, ret);
        return;
    }
    const struct flat_query flat = {
        .types = request->types,
        .type_count = request->n_types,
        .tags = request->tags,
        .tag_count = request->n_tags,
        .aggregate_types = request->aggregate_types,
        .aggregate_type_count = request->n_aggregate_types,
        .aggregate_ids = request->aggregate_ids,
        .aggregate_id_count = request->n_aggregate_ids,
        .aggregate_id_prefixes = request->aggregate_id_prefixes,
        .aggregate_id_prefix_count = request->n_aggregate_id_prefixes,
        .correlation_id = request->correlation_id,
    };
    event_query_item_build(faults, "", &flat, item);
    *ret = (struct event_query){item, 1};
}

static struct status interval_check(const Google__Protobuf__Duration *given, int64_t *ret_us)
{
    *ret_us = CHECKPOINT_DEFAULT_US;
    if (given == NULL)
        return status_ok();
    if (given->seconds >= 0 && given->seconds <= CHECKPOINT_MOST_US / 1000000 && given->nanos >= 0)
        *ret_us = given->seconds * 1000000 + given->nanos / 1000;
    else
        *ret_us = 0;
    if (*ret_us < CHECKPOINT_LEAST_US || *ret_us > CHECKPOINT_MOST_US)
        return status_reason(
            REASON_INVALID_FIELD,
            "checkpoint_interval is %lld s and %d ns; give 100 ms to 1 h, or leave it out for 1 s",
            (long long)given->seconds, given->nanos);
    return status_ok();
}

/* Other processes may append to the store: while nobody waits for events the bus may not know what they did last, and a
 * subscriber that comes from another process does. */
static struct status newest_head(struct service *service, int64_t *ret)
{
    struct event_store *store = service->parts.store;
    if (!store->pipelined) {
        struct store_head head;
        STATUS_TRY(store->ops->head(store, &head));
        bus_committed(service->parts.bus, &head);
    }
    *ret = bus_head(service->parts.bus);
    return status_ok();
}

static bool begins_at_end(const Strata__V1__SubscribeRequest *request)
{
    switch (request->start_case) {
    case STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION:
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP:
        return false;
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_START:
        return !request->from_start;
    default:
        return true;
    }
}

static bool needs_newest_head(const struct service *service, const Strata__V1__SubscribeRequest *request)
{
    return begins_at_end(request) ||
           (request->start_case == STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION &&
            request->after_position > bus_head(service->parts.bus));
}

/* Which may take as long as a database is silent. */
static bool asks_the_store(const struct service *service, const Strata__V1__SubscribeRequest *request)
{
    return request->start_case == STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP ||
           (!service->parts.store->pipelined && needs_newest_head(service, request));
}

/* The position after which it begins, and the time. `from_end` is the head as it is now: what is committed from here
 * on comes, and what any process was answered before does not. */
static struct status start_of(struct service *service, const Strata__V1__SubscribeRequest *request,
                              int64_t *ret_after, int64_t *ret_from_us)
{
    int64_t head = bus_head(service->parts.bus);
    *ret_from_us = INT64_MIN;
    if (needs_newest_head(service, request))
        STATUS_TRY(newest_head(service, &head));
    *ret_after = head;
    switch (request->start_case) {
    case STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION:
        *ret_after = request->after_position;
        if (request->after_position < 0)
            return status_reason(REASON_INVALID_FIELD, "after_position is %lld; give 0 or more",
                                 (long long)request->after_position);
        if (request->after_position > head)
            return status_reason(
                REASON_INVALID_FIELD,
                "after_position is %lld and the head is %lld: the position comes from another store, or "
                "this one was restored to an earlier time; begin again with from_start",
                (long long)request->after_position, (long long)head);
        return status_ok();
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP:
        STATUS_TRY(time_check("from_timestamp", request->from_timestamp, ret_from_us));
        return service->parts.store->ops->find_time(service->parts.store, *ret_from_us - 1, ret_after);
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_START:
        *ret_after = request->from_start ? 0 : head;
        return status_ok();
    default:
        return status_ok();
    }
}

/* What the request calls it: a fault names a field, not the oneof. */
static const char *start_name(const Strata__V1__SubscribeRequest *request)
{
    switch (request->start_case) {
    case STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION:
        return "after_position";
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP:
        return "from_timestamp";
    case STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_START:
        return "from_start";
    default:
        return "from_end";
    }
}

static struct status subscription_build(struct subscription *subscription, struct cursor_options *options,
                                        struct query_item *item, struct event_query *query)
{
    const Strata__V1__SubscribeRequest *request = subscription->request;
    struct faults faults;
    faults_init(&faults, call_arena(subscription->call));
    build_query(&faults, request, item, query);
    if (strlen(request->name) > NAME_MAX_BYTES)
        faults_add(&faults, "name",
                   status_reason(REASON_INVALID_FIELD, "name has %zu bytes; give at most %u",
                                 strlen(request->name), NAME_MAX_BYTES));
    faults_add(&faults, "checkpoint_interval",
               interval_check(request->checkpoint_interval, &subscription->checkpoint_interval_us));
    faults_add(&faults, start_name(request),
               start_of(subscription->service, request, &options->after_position, &subscription->from_us));
    return faults_status(&faults);
}

static struct status subscription_open(struct subscription *subscription, struct cursor **ret)
{
    struct query_item item = {0};
    struct event_query query = {NULL, 0};
    struct cursor_options options = {.query = &query, .turn = subscription_turn, .context = subscription};
    STATUS_TRY(subscription_build(subscription, &options, &item, &query));
    atomic_store(&subscription->shown_position, options.after_position);
    subscription->sent_at_us = clock_monotonic_us(subscription->service->parts.clock);
    return cursor_new(subscription->service->parts.bus, &options, ret);
}

static void subscription_begin(struct subscription *subscription)
{
    struct cursor *cursor = NULL;
    const struct status status = subscription_open(subscription, &cursor);
    if (!status_is_ok(&status)) {
        subscription_over(subscription, &status);
        return;
    }
    atomic_store(&subscription->cursor, cursor);
    streams_add(subscription->service, &subscription->link);
    cursor_start(cursor); /* the first turn may end it: nothing is touched afterwards */
}

static void begin_on_worker(struct pool_task *task)
{
    subscription_begin((struct subscription *)((uint8_t *)task - offsetof(struct subscription, task)));
}

static void subscribe_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL) {
        const struct status status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription; close some");
        service_finish(service, call, &status);
        return;
    }
    subscription->link.stop = subscription_stop;
    subscription->link.is_subscription = true;
    subscription->task.run = begin_on_worker;
    subscription->service = service;
    subscription->call = call;
    subscription->request = (const Strata__V1__SubscribeRequest *)request;
    subscription->began_at_us = clock_now_us(service->parts.clock);
    subscription->batch = buffer_make(0);
    subscription->message = buffer_make(0);
    atomic_init(&subscription->writable, true);
    call_on_cancel(call, subscription_cancelled, subscription);
    call_on_writable(call, subscription_writable, subscription);
    if (asks_the_store(service, subscription->request))
        pool_resubmit(service->pool, &subscription->task); /* the edge bounds its streams */
    else
        subscription_begin(subscription);
}

const struct method_handler subscribe_handler = {.start = subscribe_start};
