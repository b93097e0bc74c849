#include "world.h"

#include "support/manual_clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state)
{
    static struct world world;
    world_open(&world, NULL);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

static struct test_stream *subscribe(struct world *world, const Strata__V1__SubscribeRequest *request,
                                     size_t window)
{
    return test_stream_open(world->table, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &request->base, window);
}

static Strata__V1__SubscribeResponse *next(struct test_stream *stream)
{
    struct bytes bytes;
    if (!test_stream_read(stream, &bytes))
        return NULL;
    Strata__V1__SubscribeResponse *message =
        strata__v1__subscribe_response__unpack(NULL, bytes.size_bytes, bytes.data);
    assert_non_null(message);
    free((void *)(uintptr_t)bytes.data);
    return message;
}

/* The next message that is no checkpoint must be of this kind. */
static Strata__V1__SubscribeResponse *next_of(struct test_stream *stream,
                                              Strata__V1__SubscribeResponse__MessageCase kind)
{
    for (;;) {
        Strata__V1__SubscribeResponse *message = next(stream);
        assert_non_null(message);
        if (message->message_case == kind)
            return message;
        if (message->message_case != STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CHECKPOINT)
            fail_msg("wanted message %d, got %d", (int)kind, (int)message->message_case);
        strata__v1__subscribe_response__free_unpacked(message, NULL);
    }
}

static void drop(Strata__V1__SubscribeResponse *message)
{
    strata__v1__subscribe_response__free_unpacked(message, NULL);
}

#define BATCH      STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_BATCH
#define CAUGHT_UP  STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CAUGHT_UP
#define CHECKPOINT STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CHECKPOINT
#define CLOSING    STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CLOSING

static void end(struct test_stream *stream)
{
    test_stream_cancel(stream);
    const struct status status = test_stream_close(stream);
    assert_int_equal(status.code, STATUS_CANCELLED);
}

static void test_the_past_then_caught_up_then_live(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++)
        (void)publish_custom(world, "a", "{}");
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
    request.after_position = 1;
    struct test_stream *stream = subscribe(world, &request, 0);
    Strata__V1__SubscribeResponse *message = next_of(stream, BATCH);
    assert_int_equal(message->batch->n_events, 2);
    assert_int_equal(message->batch->events[0]->position, 2);
    drop(message);
    message = next_of(stream, CAUGHT_UP);
    assert_int_equal(message->caught_up->position, 3);
    assert_int_equal(message->caught_up->head_position, 3);
    assert_non_null(message->caught_up->timestamp);
    drop(message);
    (void)publish_custom(world, "a", "{}");
    message = next_of(stream, BATCH);
    assert_int_equal(message->batch->n_events, 1);
    assert_int_equal(message->batch->events[0]->position, 4);
    drop(message);
    end(stream);
}

static void test_without_a_start_it_begins_now(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    struct test_stream *stream = subscribe(world, &request, 0);
    drop(next_of(stream, CAUGHT_UP));
    create(world, "b", "custom", "{}");
    Strata__V1__SubscribeResponse *message = next_of(stream, BATCH);
    assert_int_equal(message->batch->events[0]->position, 2);
    assert_string_equal(message->batch->events[0]->type, "$aggregate_created");
    drop(message);
    end(stream);
}

static void test_a_filter_gets_its_events_and_checkpoints(void **state)
{
    struct world *world = *state;
    char *ids[] = {T("b")};
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_START;
    request.from_start = 1;
    request.aggregate_ids = ids;
    request.n_aggregate_ids = 1;
    Google__Protobuf__Duration often = GOOGLE__PROTOBUF__DURATION__INIT;
    often.nanos = 100000000;
    request.checkpoint_interval = &often;
    (void)publish_custom(world, "a", "{}");
    (void)publish_custom(world, "b", "{}");
    struct test_stream *stream = subscribe(world, &request, 0);
    Strata__V1__SubscribeResponse *message = next_of(stream, BATCH);
    assert_int_equal(message->batch->n_events, 1);
    assert_int_equal(message->batch->events[0]->position, 2);
    drop(message);
    drop(next_of(stream, CAUGHT_UP));
    (void)publish_custom(world, "a", "{}");
    do { /* one may have been on its way */
        message = next(stream);
        assert_int_equal(message->message_case, CHECKPOINT);
        const bool reached = message->checkpoint->position == 3;
        drop(message);
        if (reached)
            break;
    } while (true);
    end(stream);
}

#define EVENTS 3000

static void *publisher(void *context)
{
    for (int i = 0; i < EVENTS; i++)
        (void)publish_custom(context, i % 2 == 0 ? "a" : "b", "{\"n\":1}");
    return NULL;
}

/* Each position once, in order, whatever the client's window and moment. */
static void read_all(struct world *world, int64_t from, size_t window)
{
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
    request.after_position = from;
    struct test_stream *stream = subscribe(world, &request, window);
    int64_t expected = from + 1;
    while (expected <= EVENTS) {
        Strata__V1__SubscribeResponse *message = next(stream);
        assert_non_null(message);
        for (size_t i = 0; message->message_case == BATCH && i < message->batch->n_events; i++)
            assert_int_equal(message->batch->events[i]->position, expected++);
        drop(message);
    }
    end(stream);
}

static void test_subscribers_see_every_position_once_while_others_append(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, publisher, world), 0);
    read_all(world, 0, 1);
    read_all(world, 0, 0);
    pthread_join(thread, NULL);
    read_all(world, EVENTS / 2, 2);
}

/* A client that does not read is told once that it fell behind, and then gets everything from the store. */
static void test_a_slow_client_loses_nothing(void **state)
{
    struct world *world = *state;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    struct test_stream *stream = subscribe(world, &request, 1); /* full after one message */
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.aggregate_id = T("a");
    event.aggregate_type = T("custom");
    Strata__V1__NewEvent *events[1000];
    for (int i = 0; i < 1000; i++)
        events[i] = &event;
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    append.events = events;
    append.n_events = 1000;
    drop(next_of(stream, CAUGHT_UP)); /* there is room for one more, which stays unread */
    for (int i = 0; i < 6; i++)
        test_message_free(call_method_of(world, METHOD_EVENT_SERVICE_APPEND_EVENTS, &append.base,
                                         &strata__v1__append_events_response__descriptor, NULL));
    int64_t expected = 1;
    bool fell_behind = false;
    while (expected <= 6000) {
        Strata__V1__SubscribeResponse *message = next(stream);
        assert_non_null(message);
        if (message->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_FELL_BEHIND) {
            assert_false(fell_behind);
            fell_behind = true;
            assert_int_equal(message->fell_behind->position, expected - 1);
        }
        for (size_t i = 0; message->message_case == BATCH && i < message->batch->n_events; i++)
            assert_int_equal(message->batch->events[i]->position, expected++);
        drop(message);
    }
    assert_true(fell_behind);
    drop(next_of(stream, CAUGHT_UP));
    end(stream);
}

static Strata__V1__SubscribeRequest from_time(Google__Protobuf__Timestamp *time, int64_t time_us)
{
    *time = (Google__Protobuf__Timestamp)GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time->seconds = time_us / 1000000;
    time->nanos = (int32_t)(time_us % 1000000) * 1000;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_FROM_TIMESTAMP;
    request.from_timestamp = time;
    return request;
}

static void assert_next_position(struct test_stream *stream, int64_t position)
{
    Strata__V1__SubscribeResponse *message = next_of(stream, BATCH);
    assert_int_equal(message->batch->n_events, 1);
    assert_int_equal(message->batch->events[0]->position, position);
    drop(message);
}

static void test_a_start_time_is_kept_also_when_it_is_still_to_come(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    world_open_at(&world, NULL, &clock.clock);
    (void)publish_custom(&world, "a", "{}");
    Google__Protobuf__Timestamp time;
    Strata__V1__SubscribeRequest request = from_time(&time, INT64_C(1700000000000000));
    struct test_stream *past = subscribe(&world, &request, 0);
    assert_next_position(past, 1);
    drop(next_of(past, CAUGHT_UP));

    request = from_time(&time, INT64_C(1700000010000000));
    struct test_stream *future = subscribe(&world, &request, 0);
    drop(next_of(future, CAUGHT_UP));
    manual_clock_advance_us(&clock, 9999999);
    (void)publish_custom(&world, "a", "{}"); /* a microsecond too early */
    assert_next_position(past, 2);
    manual_clock_advance_us(&clock, 1);
    (void)publish_custom(&world, "a", "{}");
    assert_next_position(past, 3);
    assert_next_position(future, 3);
    manual_clock_advance_us(&clock, -5000000);
    (void)publish_custom(&world, "a", "{}"); /* the store's time never goes back */
    assert_next_position(future, 4);
    end(past);
    end(future);
    world_close(&world);
}

static void test_bad_requests_are_refused_by_name(void **state)
{
    struct world *world = *state;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
    request.after_position = 5;
    struct status status = test_stream_close(subscribe(world, &request, 0));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_non_null(strstr(status.message, "head is 0"));
    request = (Strata__V1__SubscribeRequest)STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    char *ids[] = {T("a"), T("..")};
    request.aggregate_ids = ids;
    request.n_aggregate_ids = 2;
    status = test_stream_close(subscribe(world, &request, 0));
    assert_int_equal(status.reason, REASON_INVALID_ID);
}

static void test_a_stopping_service_says_where_to_go_on(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    struct test_stream *stream = subscribe(world, &request, 0);
    drop(next_of(stream, CAUGHT_UP));
    service_stop(world->service);
    Strata__V1__SubscribeResponse *message = next_of(stream, CLOSING);
    assert_string_equal(message->closing->reason, "SHUTTING_DOWN");
    assert_int_equal(message->closing->position, 1);
    drop(message);
    assert_status_ok(test_stream_close(stream));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_the_past_then_caught_up_then_live),
        CASE(test_without_a_start_it_begins_now),
        CASE(test_a_filter_gets_its_events_and_checkpoints),
        CASE(test_subscribers_see_every_position_once_while_others_append),
        CASE(test_a_slow_client_loses_nothing),
        CASE(test_a_start_time_is_kept_also_when_it_is_still_to_come),
        CASE(test_bad_requests_are_refused_by_name),
        CASE(test_a_stopping_service_says_where_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
