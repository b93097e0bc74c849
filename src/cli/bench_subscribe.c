/*
 * Latency of the live feed: worker 0 appends at a steady rate, the others are subscribed. Each event says when its
 * append was sent; what is measured ends when it has arrived, so the append with its sync is part of it.
 */
#include <string.h>
#include <time.h>

#include "cli/bench_internal.h"
#include "strata/v1/subscription_service.pb-c.h"

#define LIVE_WAIT_US INT64_C(20000000) /* for all subscribers to be live */
#define LATE_WAIT_US INT64_C(10000000) /* for the last events to arrive */

struct follower {
    struct bench_worker *worker;
    int64_t ended_at_us; /* when the last append was seen to be done; 0 = not yet */
    bool live;
};

/* --- the appender --- */

static void wait_until(int64_t at_us)
{
    const int64_t left_us = at_us - bench_now_us();
    if (left_us <= 0)
        return;
    const struct timespec pause = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    (void)nanosleep(&pause, NULL); /* shorter is fine */
}

static bool wait_for_followers(struct bench *bench)
{
    const int64_t until_us = bench_now_us() + LIVE_WAIT_US;
    while (atomic_load(&bench->subscribed) < bench->options->clients) {
        if (bench_now_us() > until_us || atomic_load(&bench->stopped))
            return false;
        wait_until(bench_now_us() + 1000);
    }
    return true;
}

static void append_once(struct bench_worker *worker)
{
    const int64_t batch = worker->bench->options->batch;
    struct bytes request = BYTES_NONE;
    struct bytes reply = BYTES_NONE;
    const int64_t since_us = bench_now_us();
    struct status status = bench_append_request(worker, since_us, &request);
    if (status.code == STATUS_OK)
        status = client_unary(worker->client, schema_method(METHOD_EVENT_SERVICE_APPEND_EVENTS)->path,
                              request, CLI_TIMEOUT_MS, worker->arena, &reply);
    if (status.code == STATUS_OK)
        bench_done(worker, since_us, batch, batch * worker->bench->options->size_bytes);
    else
        bench_failed(worker, status);
    arena_reset(worker->arena);
}

static void append_steadily(struct bench_worker *worker)
{
    struct bench *bench = worker->bench;
    const struct bench_options *options = bench->options;
    if (!wait_for_followers(bench)) {
        bench_failed(worker, status_error(STATUS_DEADLINE_EXCEEDED, "not all subscriptions came to be live"));
    } else {
        const int64_t started_us = bench_now_us(); /* the clock of the bench runs from here */
        if (options->duration_us > 0)
            atomic_store(&bench->ends_at_us, started_us + options->duration_us);
        for (int64_t sent = 0; bench_take(bench, options->batch); sent += options->batch) {
            wait_until(started_us + sent * 1000000 / options->rate);
            append_once(worker);
        }
        bench->elapsed_us = bench_now_us() - started_us;
    }
    atomic_store(&bench->appended, (long long)worker->events);
    atomic_store(&bench->stopped, true);
}

/* --- the followers --- */

static bool take_message(void *context, struct bytes message)
{
    struct follower *follower = context;
    struct bench_worker *worker = follower->worker;
    const int64_t now_us = bench_now_us();
    Strata__V1__SubscribeResponse *response =
        strata__v1__subscribe_response__unpack(NULL, message.size_bytes, message.data);
    if (response == NULL)
        return false;
    if (response->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CAUGHT_UP && !follower->live) {
        follower->live = true;
        atomic_fetch_add(&worker->bench->subscribed, 1);
    }
    const size_t count = response->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_BATCH
                             ? response->batch->n_events
                             : 0;
    for (size_t i = 0; i < count; i++) {
        const ProtobufCBinaryData *data = &response->batch->events[i]->data;
        const int64_t made_at_us = bench_made_at_us(bytes_of(data->data, data->len));
        histogram_add(&worker->latency, now_us - made_at_us);
        worker->events++;
        worker->bytes += (int64_t)data->len;
    }
    worker->calls += count > 0;
    strata__v1__subscribe_response__free_unpacked(response, NULL);
    return true;
}

static bool has_all(void *context)
{
    struct follower *follower = context;
    const int64_t appended = atomic_load(&follower->worker->bench->appended);
    if (appended < 0)
        return false;
    if (follower->ended_at_us == 0)
        follower->ended_at_us = bench_now_us();
    return follower->worker->events >= appended || bench_now_us() - follower->ended_at_us > LATE_WAIT_US;
}

static void follow(struct bench_worker *worker)
{
    struct follower follower = {.worker = worker};
    const struct client_patience patience = {.stop = has_all};
    Strata__V1__QueryItem item = STRATA__V1__QUERY_ITEM__INIT;
    Strata__V1__QueryItem *items[] = {&item};
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    char *prefix = worker->bench->name;
    item.aggregate_id_prefixes = &prefix;
    item.n_aggregate_id_prefixes = 1;
    query.items = items;
    query.n_items = 1;
    request.query = &query;
    request.name = (char *)"strata bench";
    const struct bytes packed = cli_pack(worker->arena, &request.base);
    CLEANUP(arena_free_at) struct arena *messages = arena_new(0);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a subscription");
    if (messages != NULL)
        status = client_stream(worker->client, schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->path,
                               packed, &patience, messages, take_message, &follower);
    if (status.code != STATUS_OK)
        bench_failed(worker, status);
}

static void call(struct bench_worker *worker)
{
    if (worker->index == 0)
        append_steadily(worker);
    else
        follow(worker);
}

const struct bench_kind bench_subscribe = {
    .name = "subscribe",
    .latency_of = "an event, from sending its append to its arrival at a subscriber",
    .call = call,
    .appends_beside = true,
};
