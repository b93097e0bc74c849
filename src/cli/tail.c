/*
 * First the head H is asked for; what is stored up to H comes from ReadEvents, and what follows from Subscribe
 * after H. `position` is how far everything was handed over: either call begins behind it, also after a break, so
 * there is neither a gap nor a double.
 */
#include "cli/tail_internal.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/terminal_internal.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"

#define SILENCE_MS       10000 /* the service sends a checkpoint each second */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS  5000
#define BACKWARD_MOST    100000

struct tail {
    struct cli_run *run;
    const struct tail_options *options;
    const struct tail_sink *sink;
    struct client *client;
    Strata__V1__QueryItem item; /* the filter */
    bool filtered;
    bool by_time;         /* Subscribe begins at since_us: nothing was recorded then */
    int64_t head;         /* when the command began */
    int64_t position;     /* everything up to here was handed over or does not match */
    int64_t left;         /* events still wanted; -1 = all */
    bool heard;           /* this connection has said something */
    bool ended;           /* nothing more is wanted */
    struct status status; /* of the sink */
};

/* --- how it ends --- */

static volatile sig_atomic_t signal_seen;

static void see_signal(int number)
{
    (void)number;
    signal_seen = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = see_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&ignore.sa_mask);
    (void)sigaction(SIGINT, &action, NULL); /* a second one ends the program at once */
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* seen as a reader that left */
}

static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

static bool wants_stop(void *context)
{
    (void)context;
    return signal_seen != 0 || reader_left();
}

/* --- events --- */

static void keep_status(struct tail *tail, struct status status)
{
    if (status.code == STATUS_OK)
        return;
    if (!reader_left())
        tail->status = status;
    tail->ended = true;
}

static void hand_over(struct tail *tail, const Strata__V1__Event *event)
{
    if (tail->ended || event->position <= tail->position)
        return;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct bytes packed = arena == NULL ? BYTES_NONE : cli_pack(arena, &event->base);
    if (packed.data == NULL)
        keep_status(tail, status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an event"));
    else
        keep_status(tail, tail->sink->on_event(tail->sink->context, packed));
    if (tail->ended)
        return;
    tail->position = event->position;
    tail->by_time = false;
    tail->left -= tail->left > 0;
    tail->ended = tail->left == 0;
}

static void hand_over_all(struct tail *tail, Strata__V1__Event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hand_over(tail, events[i]);
    if (!tail->ended)
        keep_status(tail, tail->sink->on_pause(tail->sink->context));
}

static bool unreadable(struct tail *tail)
{
    tail->status = status_error(STATUS_DATA_LOSS, "the service sent a message that cannot be read");
    tail->ended = true;
    return false;
}

static void advance(struct tail *tail, int64_t position)
{
    if (position > tail->position && !tail->by_time && !tail->ended)
        tail->position = position;
}

/* --- what is stored --- */

static Strata__V1__EventQuery query_of(struct tail *tail, Strata__V1__QueryItem **items)
{
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    items[0] = &tail->item;
    query.items = items;
    query.n_items = 1;
    return query;
}

static bool take_stored(void *context, struct bytes message)
{
    struct tail *tail = context;
    Strata__V1__ReadEventsResponse *response =
        strata__v1__read_events_response__unpack(NULL, message.size_bytes, message.data);
    if (response == NULL)
        return unreadable(tail);
    tail->heard = true;
    hand_over_all(tail, response->events, response->n_events);
    advance(tail, response->position);
    strata__v1__read_events_response__free_unpacked(response, NULL);
    return !tail->ended;
}

static const struct client_patience patience = {.silence_ms = SILENCE_MS, .stop = wants_stop};

/* From `position` to the head as it was. */
static struct status read_stored(struct tail *tail)
{
    Strata__V1__QueryItem *items[1];
    Strata__V1__EventQuery query = query_of(tail, items);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    request.query = tail->filtered ? &query : NULL;
    request.after_position = tail->position;
    request.to_position = tail->head + 1;
    request.limit = tail->left > 0 ? tail->left : 0;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
    STATUS_TRY(client_stream(tail->client, schema_method(METHOD_EVENT_SERVICE_READ_EVENTS)->path,
                             cli_pack(arena, &request.base), &patience, tail->run->replies, take_stored,
                             tail));
    if (!tail->ended && !wants_stop(NULL))
        tail->position = tail->head;
    return status_ok();
}

/* The last ones come backward: kept, to be handed over in their order. */
struct kept {
    struct tail *tail;
    Strata__V1__ReadEventsResponse *messages[BACKWARD_MOST];
    size_t count;
};

static bool keep_message(void *context, struct bytes message)
{
    struct kept *kept = context;
    Strata__V1__ReadEventsResponse *response =
        strata__v1__read_events_response__unpack(NULL, message.size_bytes, message.data);
    if (response == NULL || kept->count == BACKWARD_MOST)
        return unreadable(kept->tail);
    kept->messages[kept->count++] = response;
    return true;
}

static struct status read_last_into(struct tail *tail, struct kept *kept)
{
    Strata__V1__QueryItem *items[1];
    Strata__V1__EventQuery query = query_of(tail, items);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    request.query = tail->filtered ? &query : NULL;
    request.to_position = tail->head + 1;
    request.direction = STRATA__V1__DIRECTION__BACKWARD;
    request.limit = tail->options->count_back;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
    return client_stream(tail->client, schema_method(METHOD_EVENT_SERVICE_READ_EVENTS)->path,
                         cli_pack(arena, &request.base), &patience, tail->run->replies, keep_message, kept);
}

static struct status read_last(struct tail *tail)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the last events");
    kept->tail = tail;
    const struct status status = read_last_into(tail, kept);
    for (size_t m = kept->count; m-- > 0;) {
        const Strata__V1__ReadEventsResponse *message = kept->messages[m];
        for (size_t i = message->n_events; status.code == STATUS_OK && i-- > 0;)
            hand_over(tail, message->events[i]);
        strata__v1__read_events_response__free_unpacked(kept->messages[m], NULL);
    }
    free(kept);
    if (status.code == STATUS_OK && !tail->ended && !wants_stop(NULL)) {
        tail->position = tail->head;
        keep_status(tail, tail->sink->on_pause(tail->sink->context));
    }
    return status;
}

/* --- what follows --- */

static bool take_live(void *context, struct bytes message)
{
    struct tail *tail = context;
    Strata__V1__SubscribeResponse *response =
        strata__v1__subscribe_response__unpack(NULL, message.size_bytes, message.data);
    if (response == NULL)
        return unreadable(tail);
    const bool closing = response->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CLOSING;
    tail->heard = true;
    switch (response->message_case) {
    case STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_BATCH:
        hand_over_all(tail, response->batch->events, response->batch->n_events);
        break;
    case STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CAUGHT_UP:
    case STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CHECKPOINT:
    case STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_FELL_BEHIND:
        advance(tail, response->caught_up->position); /* one union: the three are Checkpoints */
        break;
    case STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CLOSING:
        advance(tail, response->closing->position);
        break;
    default:
        break; /* of a newer service */
    }
    strata__v1__subscribe_response__free_unpacked(response, NULL);
    return !closing && !tail->ended;
}

static struct status follow(struct tail *tail)
{
    Strata__V1__QueryItem *items[1];
    Strata__V1__EventQuery query = query_of(tail, items);
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.query = tail->filtered ? &query : NULL;
    request.name = (char *)"strata tail";
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
    request.after_position = tail->position;
    if (tail->by_time) {
        since.seconds = tail->options->since_us / 1000000;
        since.nanos = (int32_t)(tail->options->since_us % 1000000) * 1000;
        request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP;
        request.from_timestamp = &since;
    }
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
    return client_stream(tail->client, schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->path,
                         cli_pack(arena, &request.base), &patience, tail->run->replies, take_live, tail);
}

/* --- connections --- */

/* A break of the connection, a service that stops or is not there: not what it says of the request. */
static bool is_break(const struct status *status)
{
    switch (status->code) {
    case STATUS_OK: /* the service closed the stream */
    case STATUS_UNAVAILABLE:
        return true;
    case STATUS_CANCELLED:
    case STATUS_UNKNOWN:
    case STATUS_INTERNAL:
    case STATUS_DEADLINE_EXCEEDED:
        return status->reason == STATUS_REASON_NONE; /* a reset of the transport */
    default:
        return false;
    }
}

static struct status once(struct tail *tail)
{
    tail->heard = false;
    if (tail->client == NULL)
        STATUS_TRY(cli_connect(tail->run, &tail->client));
    if (tail->position < tail->head && !tail->by_time)
        STATUS_TRY(read_stored(tail));
    if (tail->ended || !tail->options->follow || wants_stop(NULL)) {
        tail->ended = true;
        return status_ok();
    }
    return follow(tail);
}

/* Waits, longer each time, as long as nobody wants to stop. */
static void back_off(int64_t *pause_ms)
{
    for (int64_t waited_ms = 0; waited_ms < *pause_ms && !wants_stop(NULL); waited_ms += 50) {
        const struct timespec step = {.tv_nsec = 50 * 1000000L};
        (void)nanosleep(&step, NULL); /* shorter is fine */
    }
    *pause_ms = *pause_ms * 2 < BACKOFF_MOST_MS ? *pause_ms * 2 : BACKOFF_MOST_MS;
}

static void say_broken(const struct tail *tail, const struct status *status)
{
    (void)fputs("strata: the stream broke", stderr);
    if (status->code != STATUS_OK) {
        (void)fputs(": ", stderr);
        terminal_print(stderr, status->message);
    }
    (void)fprintf(stderr, "; going on behind position %" PRId64 "\n", tail->position);
}

static struct status go_on(struct tail *tail)
{
    int64_t broken_us = 0; /* since when; 0 = it is not */
    int64_t pause_ms = BACKOFF_FIRST_MS;
    for (;;) {
        const struct status status = once(tail);
        if (tail->ended || wants_stop(NULL))
            return tail->status;
        if (!is_break(&status) || tail->options->reconnect_us == 0)
            return status;
        const int64_t now_us = clock_monotonic_us(&system_clock);
        if (tail->heard || broken_us == 0) {
            broken_us = now_us;
            pause_ms = BACKOFF_FIRST_MS;
            say_broken(tail, &status);
        } else if (now_us - broken_us > tail->options->reconnect_us) {
            return status_prefix(status, "no connection since %" PRId64 " s; go on with --after %" PRId64,
                                 (now_us - broken_us) / 1000000, tail->position);
        }
        back_off(&pause_ms);
        client_free(tail->client);
        tail->client = NULL;
    }
}

/* The head, and with `since_us` the position before the first event from then on; -1 when there is none yet. */
static struct status look_up(struct tail *tail, const int64_t *since_us, int64_t *ret_before)
{
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    struct bytes reply = BYTES_NONE;
    request.page_size = 1;
    if (since_us != NULL) {
        since.seconds = *since_us / 1000000;
        since.nanos = (int32_t)(*since_us % 1000000) * 1000;
        request.from_timestamp = &since;
    }
    STATUS_TRY(cli_call(tail->run, tail->client, METHOD_EVENT_SERVICE_LIST_EVENTS,
                        cli_pack(tail->run->arena, &request.base), &reply));
    Strata__V1__ListEventsResponse *page =
        strata__v1__list_events_response__unpack(NULL, reply.size_bytes, reply.data);
    if (page == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    tail->head = page->head_position;
    *ret_before = page->n_events > 0 ? page->events[0]->position - 1 : -1;
    strata__v1__list_events_response__free_unpacked(page, NULL);
    return status_ok();
}

/* As Subscribe answers it: to wait for a position that may never come, or to find nothing, would hide a mistake. */
static struct status check_after(const struct tail *tail)
{
    if (tail->options->start != TAIL_AFTER || tail->options->after <= tail->head)
        return status_ok();
    return status_reason(
        REASON_INVALID_FIELD,
        "--after %" PRId64 " is beyond the last event, which is at position %" PRId64
        ": the position comes from another store, or this one was restored to an earlier time; begin "
        "with --after %" PRId64 " or --from-start",
        tail->options->after, tail->head, tail->head);
}

static struct status begin(struct tail *tail)
{
    const struct tail_options *options = tail->options;
    int64_t before = 0;
    STATUS_TRY(cli_connect(tail->run, &tail->client));
    STATUS_TRY(look_up(tail, options->start == TAIL_SINCE ? &options->since_us : NULL, &before));
    STATUS_TRY(check_after(tail));
    if (options->start == TAIL_AFTER)
        tail->position = options->after;
    if (options->start == TAIL_SINCE && before >= 0)
        tail->position = before;
    tail->by_time = options->start == TAIL_SINCE && before < 0;
    if (options->start == TAIL_LAST && tail->head > 0 && options->count_back > 0)
        return read_last(tail);
    if (options->start == TAIL_LAST)
        tail->position = tail->head;
    return status_ok();
}

static void set_filter(struct tail *tail)
{
    const struct tail_options *options = tail->options;
    Strata__V1__QueryItem *item = &tail->item;
    strata__v1__query_item__init(item);
    item->types = (char **)options->types->items;
    item->n_types = options->types->count;
    item->aggregate_types = (char **)options->aggregate_types->items;
    item->n_aggregate_types = options->aggregate_types->count;
    item->aggregate_ids = (char **)options->aggregates->items;
    item->n_aggregate_ids = options->aggregates->count;
    item->aggregate_id_prefixes = (char **)options->prefixes->items;
    item->n_aggregate_id_prefixes = options->prefixes->count;
    item->tags = (char **)options->tags->items;
    item->n_tags = options->tags->count;
    if (options->correlation_id != NULL)
        item->correlation_id = (char *)options->correlation_id;
    tail->filtered = item->n_types + item->n_aggregate_types + item->n_aggregate_ids +
                             item->n_aggregate_id_prefixes + item->n_tags >
                         0 ||
                     options->correlation_id != NULL;
}

struct status tail_events(struct cli_run *run, const struct tail_options *options,
                          const struct tail_sink *sink)
{
    struct tail tail = {
        .run = run,
        .options = options,
        .sink = sink,
        .left = options->count > 0 ? options->count : -1,
        .status = status_ok(),
    };
    set_filter(&tail);
    catch_signals();
    struct status status = begin(&tail);
    if (status.code == STATUS_OK && !tail.ended)
        status = go_on(&tail);
    else if (status.code == STATUS_OK)
        status = tail.status;
    client_free(tail.client);
    return status;
}
