/* Two services on one store that says others may write to it: what one has answered the other shows at once. */
#include "world.h"

#include <stdlib.h>
#include <time.h>

static struct pair {
    struct world a;
    struct world b;
} worlds;

/* The bus of `b` has just looked at the store, and rests. */
static int set_up(void **state)
{
    struct world_stores stores;
    const struct timespec pause = {.tv_nsec = 1000000};
    assert_status_ok(memory_store_open(&system_clock, &stores.store));
    assert_status_ok(memory_snapshots_open(0, &stores.snapshots));
    assert_status_ok(memory_snapshots_open(1000, &stores.cache));
    stores.store->pipelined = false;
    world_open_over(&worlds.a, NULL, &system_clock, &stores);
    (void)publish_custom(&worlds.a, "a", "{}");
    world_open_over(&worlds.b, NULL, &system_clock, &stores);
    while (bus_head(worlds.b.bus) < 1)
        nanosleep(&pause, NULL);
    *state = &worlds;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    world_leave(&pair->b);
    world_close(&pair->a);
    return 0;
}

static int64_t publish_at(struct world *world)
{
    const Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    Strata__V1__PublishEventResponse *response = publish(world, &request, NULL);
    const int64_t position = response->event->position;
    test_message_free(response);
    return position;
}

/* The position of the last event of the next batch; what says how far it is is passed over. */
static int64_t next_position(struct test_stream *stream)
{
    int64_t position = 0;
    struct bytes bytes;
    while (position == 0 && test_stream_read(stream, &bytes)) {
        Strata__V1__SubscribeResponse *message =
            strata__v1__subscribe_response__unpack(NULL, bytes.size_bytes, bytes.data);
        assert_non_null(message);
        free((void *)(uintptr_t)bytes.data);
        if (message->message_case == STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_BATCH)
            position = message->batch->events[message->batch->n_events - 1]->position;
        strata__v1__subscribe_response__free_unpacked(message, NULL);
    }
    return position;
}

static void end(struct test_stream *stream)
{
    test_stream_cancel(stream);
    assert_int_equal(test_stream_close(stream).code, STATUS_CANCELLED);
}

static struct test_stream *subscribe(struct world *world, const Strata__V1__SubscribeRequest *request)
{
    return test_stream_open(world->table, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &request->base, 0);
}

/* A client that was at the other one goes on here: it is not told that its position comes from another store. */
static void test_a_subscription_goes_on_after_a_position_that_only_the_other_knows(void **state)
{
    struct pair *pair = *state;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.start_case = STRATA__V1__SUBSCRIBE_REQUEST__START_AFTER_POSITION;
    request.after_position = publish_at(&pair->a);
    struct test_stream *stream = subscribe(&pair->b, &request);
    const int64_t next = publish_at(&pair->a);
    assert_int_equal(next_position(stream), next);
    end(stream);
    request.after_position = next + 1; /* there is none */
    stream = subscribe(&pair->b, &request);
    assert_reason(test_stream_close(stream), REASON_INVALID_FIELD);
}

static int64_t caught_up_position(struct test_stream *stream)
{
    struct bytes bytes;
    assert_true(test_stream_read(stream, &bytes));
    Strata__V1__SubscribeResponse *message =
        strata__v1__subscribe_response__unpack(NULL, bytes.size_bytes, bytes.data);
    assert_non_null(message);
    assert_int_equal(message->message_case, STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CAUGHT_UP);
    const int64_t position = message->caught_up->position;
    free((void *)(uintptr_t)bytes.data);
    strata__v1__subscribe_response__free_unpacked(message, NULL);
    return position;
}

/* This one has not heard of the other's last: nobody here waits for events. */
static void test_from_end_begins_behind_what_the_other_has_answered(void **state)
{
    struct pair *pair = *state;
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    for (int i = 0; i < 5; i++) {
        const int64_t last = publish_at(&pair->a);
        struct test_stream *stream = subscribe(&pair->b, &request);
        assert_int_equal(caught_up_position(stream), last);
        assert_int_equal(publish_at(&pair->a), last + 1);
        assert_int_equal(next_position(stream), last + 1);
        end(stream);
    }
}

static void test_a_read_shows_what_the_other_has_answered(void **state)
{
    struct pair *pair = *state;
    for (int i = 0; i < 50; i++) {
        const int64_t position = publish_at(&pair->a);
        Strata__V1__Aggregate *now = get_state(&pair->b, "a");
        assert_int_equal(now->version, position);
        test_message_free(now);
        Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
        request.page_size = 1000;
        Strata__V1__ListEventsResponse *all =
            call_method_of(&pair->b, METHOD_EVENT_SERVICE_LIST_EVENTS, &request.base,
                           &strata__v1__list_events_response__descriptor, NULL);
        assert_int_equal(all->n_events, position);
        test_message_free(all);
    }
}

static void test_a_read_with_min_position_waits_until_the_bus_hears_of_it(void **state)
{
    struct pair *pair = *state;
    struct status status;
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.min_position = publish_at(&pair->a);
    Strata__V1__Aggregate *now = get_aggregate(&pair->b, &request, &status, NULL);
    assert_status_ok(status);
    assert_int_equal(now->version, request.min_position);
    test_message_free(now);
}

static int state_of_snapshot(struct world *world, int32_t version, struct status *ret_status)
{
    Strata__V1__GetSnapshotRequest request = STRATA__V1__GET_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T("a");
    request.version = version;
    Strata__V1__Snapshot *snapshot =
        call_method_of(world, METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT, &request.base,
                       &strata__v1__snapshot__descriptor, ret_status);
    const int state = snapshot == NULL ? 0 : (int)snapshot->state;
    if (snapshot != NULL)
        test_message_free(snapshot);
    return state;
}

/* One that a client put at the other service, after this one saw that there is none. */
static void test_a_pending_snapshot_of_the_other_is_compared_when_it_is_looked_at(void **state)
{
    struct pair *pair = *state;
    struct status status;
    assert_int_equal(state_of_snapshot(&pair->b, 3, &status), 0);
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T("a");
    request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
    request.version = 3;
    request.data = json("{\"other\":1}");
    Strata__V1__Snapshot *put = call_method_of(&pair->a, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT,
                                               &request.base, &strata__v1__snapshot__descriptor, NULL);
    assert_int_equal(put->state, STRATA__V1__SNAPSHOT__STATE__PENDING);
    test_message_free(put);
    assert_int_equal(publish_at(&pair->a), 2);
    assert_int_equal(publish_at(&pair->a), 3);
    assert_int_equal(state_of_snapshot(&pair->b, 3, &status), STRATA__V1__SNAPSHOT__STATE__DIVERGENT);
    assert_status_ok(status);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_subscription_goes_on_after_a_position_that_only_the_other_knows),
        CASE(test_from_end_begins_behind_what_the_other_has_answered),
        CASE(test_a_read_shows_what_the_other_has_answered),
        CASE(test_a_read_with_min_position_waits_until_the_bus_hears_of_it),
        CASE(test_a_pending_snapshot_of_the_other_is_compared_when_it_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
