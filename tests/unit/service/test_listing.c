/* GetEvent, ListEvents and ReadEvents. */
#include "world.h"

#include "support/manual_clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static Strata__V1__ListEventsResponse *list(struct world *world, const Strata__V1__ListEventsRequest *request,
                                            struct status *ret)
{
    return call_method_of(world, METHOD_EVENT_SERVICE_LIST_EVENTS, &request->base,
                          &strata__v1__list_events_response__descriptor, ret);
}

/* Positions 1…n: a, b, a, b … with a tag on every third and one correlation. */
static void fill(struct world *world, int count)
{
    for (int i = 1; i <= count; i++) {
        Strata__V1__PublishEventRequest request =
            publish_request("custom", i % 2 == 1 ? "a" : "b", "custom", "{\"n\":1}");
        char *tags[] = {T("third:yes")};
        request.tags = tags;
        request.n_tags = i % 3 == 0 ? 1 : 0;
        request.correlation_id = T(i % 5 == 0 ? "five" : "");
        test_message_free(publish(world, &request, NULL));
    }
}

/* All pages of a listing as text: "1 3 5". */
static void assert_listed(struct world *world, Strata__V1__ListEventsRequest request, const char *positions)
{
    char got[512] = "";
    char token[256] = "";
    do {
        request.page_token = token;
        Strata__V1__ListEventsResponse *page = list(world, &request, NULL);
        for (size_t i = 0; i < page->n_events; i++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%lld", got[0] == '\0' ? "" : " ",
                     (long long)page->events[i]->position);
        if (request.page_size > 0)
            assert_true(page->n_events <= (size_t)request.page_size);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        test_message_free(page);
    } while (token[0] != '\0');
    assert_string_equal(got, positions);
}

static void test_every_filter_and_both_directions(void **state)
{
    struct world *world = *state;
    fill(world, 10);
    Strata__V1__ListEventsRequest all = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    for (int32_t size = 0; size <= 4; size += 2) {
        Strata__V1__ListEventsRequest request = all;
        request.page_size = size;
        assert_listed(world, request, "1 2 3 4 5 6 7 8 9 10");
        request.direction = STRATA__V1__DIRECTION__BACKWARD;
        assert_listed(world, request, "10 9 8 7 6 5 4 3 2 1");
        request.after_position = 3;
        request.to_position = 8;
        assert_listed(world, request, "7 6 5 4");
        request.direction = STRATA__V1__DIRECTION__FORWARD;
        request.from_position = 5;
        assert_listed(world, request, "5 6 7");
        request = all;
        request.page_size = size;
        request.aggregate_id = T("a");
        assert_listed(world, request, "1 3 5 7 9");
        request.from_version = 2;
        request._to_version_case = STRATA__V1__LIST_EVENTS_REQUEST___TO_VERSION_TO_VERSION;
        request.to_version = 4;
        assert_listed(world, request, "3 5");
        request.to_version = 0;
        request.from_version = 0;
        assert_listed(world, request, "");
        request = all;
        request.page_size = size;
        char *tags[] = {T("third:yes")};
        request.tags = tags;
        request.n_tags = 1;
        assert_listed(world, request, "3 6 9");
        request.aggregate_id = T("b");
        assert_listed(world, request, "6");
        request = all;
        request.page_size = size;
        request.correlation_id = T("five");
        assert_listed(world, request, "5 10");
        request = all;
        request.type = T("custom");
        assert_listed(world, request, "1 2 3 4 5 6 7 8 9 10");
        request.type = T("unheard_of");
        assert_listed(world, request, "");
        request = all;
        request.aggregate_type = T("custom");
        request.after_position = 8;
        assert_listed(world, request, "9 10");
    }
}

static void test_timestamps_include_from_and_exclude_to(void **state)
{
    struct world *world = *state;
    fill(world, 5);
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    Strata__V1__ListEventsResponse *page = list(world, &request, NULL);
    Google__Protobuf__Timestamp second = *page->events[1]->timestamp;
    Google__Protobuf__Timestamp fourth = *page->events[3]->timestamp;
    test_message_free(page);
    request.from_timestamp = &second;
    request.to_timestamp = &fourth;
    assert_listed(world, request, "2 3");
}

static void test_pages_are_bound_to_the_head_and_the_filter(void **state)
{
    struct world *world = *state;
    fill(world, 4);
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    request.page_size = 3;
    Strata__V1__ListEventsResponse *first = list(world, &request, NULL);
    assert_int_equal(first->head_position, 4);
    fill(world, 4);
    request.page_token = first->next_page_token;
    request.page_size = 100; /* may change */
    Strata__V1__ListEventsResponse *second = list(world, &request, NULL);
    assert_int_equal(second->n_events, 1);
    assert_int_equal(second->head_position, 4);
    assert_string_equal(second->next_page_token, "");
    test_message_free(second);
    struct status status;
    request.type = T("custom");
    assert_null(list(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_non_null(strstr(status.message, "other filters"));
    request.type = T("");
    char broken[256];
    snprintf(broken, sizeof broken, "%s", first->next_page_token);
    broken[3] = broken[3] == 'a' ? 'b' : 'a';
    request.page_token = broken;
    assert_null(list(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    test_message_free(first);
}

/* The same fields at their defaults, other methods and other stores. */
static void test_a_page_token_is_of_one_method_and_one_store(void **state)
{
    struct world *world = *state;
    fill(world, 4);
    struct world other;
    world_open(&other, NULL);
    fill(&other, 4);
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    request.page_size = 1;
    Strata__V1__ListEventsResponse *first = list(world, &request, NULL);
    struct status status;
    Strata__V1__ListAggregatesRequest aggregates = STRATA__V1__LIST_AGGREGATES_REQUEST__INIT;
    aggregates.page_token = first->next_page_token;
    assert_null(call_method_of(world, METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES, &aggregates.base,
                               &strata__v1__list_aggregates_response__descriptor, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    Strata__V1__ListSnapshotsRequest snapshots = STRATA__V1__LIST_SNAPSHOTS_REQUEST__INIT;
    snapshots.page_token = first->next_page_token;
    assert_null(call_method_of(world, METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, &snapshots.base,
                               &strata__v1__list_snapshots_response__descriptor, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    request.page_token = first->next_page_token;
    assert_null(list(&other, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    test_message_free(list(world, &request, NULL));
    test_message_free(first);
    world_close(&other);
}

static void test_list_refuses_by_name(void **state)
{
    struct world *world = *state;
    struct status status;
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    request.from_version = 1;
    assert_null(list(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    request.aggregate_id = T("nobody");
    assert_null(list(world, &request, &status));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    request = (Strata__V1__ListEventsRequest)STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    request.page_size = -1;
    assert_null(list(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
}

static void test_a_page_ends_at_two_mebibytes(void **state)
{
    struct world *world = *state;
    char *data = malloc(900001);
    memset(data, 'x', 900000);
    memcpy(data, "{\"a\":\"", 6);
    memcpy(data + 899998, "\"}", 3);
    for (int i = 0; i < 3; i++)
        (void)publish_custom(world, "a", data);
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    Strata__V1__ListEventsResponse *page = list(world, &request, NULL);
    assert_int_equal(page->n_events, 2);
    assert_true(page->next_page_token[0] != '\0');
    test_message_free(page);
    free(data);
}

static void test_get_event_by_id(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest publishing = publish_request("custom", "a", "custom", "{\"n\":1}");
    publishing.id = T("event-1");
    test_message_free(publish(world, &publishing, NULL));
    Strata__V1__GetEventRequest request = STRATA__V1__GET_EVENT_REQUEST__INIT;
    request.event_id = T("event-1");
    Strata__V1__Event *event = call_method_of(world, METHOD_EVENT_SERVICE_GET_EVENT, &request.base,
                                              &strata__v1__event__descriptor, NULL);
    assert_string_equal(event->id, "event-1");
    assert_json(event->data, "{\"n\":1}");
    test_message_free(event);
    struct status status;
    request.event_id = T("event-2");
    assert_null(call_method_of(world, METHOD_EVENT_SERVICE_GET_EVENT, &request.base,
                               &strata__v1__event__descriptor, &status));
    assert_int_equal(status.reason, REASON_EVENT_UNKNOWN);
}

/* The checkpoint of the bus's dispatcher says what is processed, and its journal when it was. */
static void test_events_are_processed_once_the_checkpoint_passed(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    world_open_at(&world, NULL, &clock.clock);
    Strata__V1__PublishEventRequest publishing = publish_request("custom", "a", "custom", "{}");
    publishing.id = T("event-1");
    Strata__V1__PublishEventResponse *published = publish(&world, &publishing, NULL);
    assert_false(published->event->processed);
    test_message_free(published);
    manual_clock_advance_ms(&clock, 1500);
    while (bus_checkpoint(world.bus) < 1)
        bus_wake(world.bus);
    Strata__V1__ListEventsRequest request = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    Strata__V1__ListEventsResponse *page = list(&world, &request, NULL);
    assert_true(page->events[0]->processed);
    assert_int_equal(page->events[0]->processed_at->seconds, 1700000001);
    assert_int_equal(page->events[0]->processed_at->nanos, 500000000);
    test_message_free(page);
    world_close(&world);
}

/* --- ReadEvents --- */

static void assert_read(struct world *world, const Strata__V1__ReadEventsRequest *request, size_t window,
                        int64_t first, int64_t last, int64_t step, int64_t position)
{
    struct test_stream *stream =
        test_stream_open(world->table, METHOD_EVENT_SERVICE_READ_EVENTS, &request->base, window);
    struct bytes bytes;
    int64_t expected = first;
    int64_t reached = -1;
    while (test_stream_read(stream, &bytes)) {
        Strata__V1__ReadEventsResponse *part =
            strata__v1__read_events_response__unpack(NULL, bytes.size_bytes, bytes.data);
        assert_true(part->n_events <= 256);
        for (size_t i = 0; i < part->n_events; i++, expected += step)
            assert_int_equal(part->events[i]->position, expected);
        reached = part->position;
        strata__v1__read_events_response__free_unpacked(part, NULL);
        free((void *)(uintptr_t)bytes.data);
    }
    assert_int_equal(expected, last + step);
    assert_int_equal(reached, position);
    assert_status_ok(test_stream_close(stream));
}

static void test_read_streams_all_in_batches_to_slow_clients_too(void **state)
{
    struct world *world = *state;
    fill(world, 700);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    assert_read(world, &request, 0, 1, 700, 1, 700);
    assert_read(world, &request, 1, 1, 700, 1, 700);
    request.direction = STRATA__V1__DIRECTION__BACKWARD;
    assert_read(world, &request, 1, 700, 1, -1, 1);
    request.direction = STRATA__V1__DIRECTION__FORWARD;
    request.after_position = 100;
    request.to_position = 500;
    assert_read(world, &request, 1, 101, 499, 1, 499);
    request.limit = 10;
    assert_read(world, &request, 1, 101, 110, 1, 110);
    request.to_position = 101;
    assert_read(world, &request, 1, 101, 100, 1, 100);
}

static void test_a_read_filters_and_tells_how_far_it_came(void **state)
{
    struct world *world = *state;
    fill(world, 20);
    char *ids[] = {T("a")};
    Strata__V1__QueryItem item = STRATA__V1__QUERY_ITEM__INIT;
    item.aggregate_id_prefixes = ids;
    item.n_aggregate_id_prefixes = 1;
    Strata__V1__QueryItem *items[] = {&item};
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    query.items = items;
    query.n_items = 1;
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    request.query = &query;
    assert_read(world, &request, 0, 1, 19, 2, 20);
}

/* What the position of a message is good for: going on there misses nothing and repeats nothing. */
static void test_a_read_goes_on_where_it_ended_in_both_directions(void **state)
{
    struct world *world = *state;
    fill(world, 20);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    request.limit = 7;
    assert_read(world, &request, 0, 1, 7, 1, 7);
    request.after_position = 7;
    assert_read(world, &request, 0, 8, 14, 1, 14);
    request.after_position = 0;
    request.direction = STRATA__V1__DIRECTION__BACKWARD;
    assert_read(world, &request, 0, 20, 14, -1, 14);
    request.to_position = 14;
    assert_read(world, &request, 0, 13, 7, -1, 7);
    request.to_position = 7;
    assert_read(world, &request, 0, 6, 1, -1, 1);
    request.to_position = 1;
    assert_read(world, &request, 0, 1, 2, -1, 1);
}

/* --- a position that is not there --- */

static struct {
    const struct event_store_ops *real;
    struct event_store_ops ops;
    atomic_int_fast64_t hidden;
    atomic_int looks; /* that met the hole */
} hole;

struct look_around {
    record_sink sink;
    void *context;
};

static bool sink_around(void *context, int64_t position, struct record record)
{
    const struct look_around *around = context;
    if (position != atomic_load(&hole.hidden))
        return around->sink(around->context, position, record);
    atomic_fetch_add(&hole.looks, 1);
    return true;
}

static struct status read_around(struct event_store *store, const struct read_query *query, record_sink sink,
                                 void *context)
{
    struct look_around around = {sink, context};
    return hole.real->read(store, query, sink_around, &around);
}

static void hide(struct world *world, int64_t position)
{
    hole.real = world->store->ops;
    hole.ops = *world->store->ops;
    hole.ops.read = read_around;
    atomic_store(&hole.hidden, position);
    atomic_store(&hole.looks, 0);
    world->store->ops = &hole.ops;
}

/* Shows it again once it has been missed a second time. */
static void *shower(void *context)
{
    (void)context;
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&hole.looks) < 2)
        nanosleep(&pause, NULL);
    atomic_store(&hole.hidden, 0);
    return NULL;
}

static void test_a_missing_position_is_waited_for(void **state)
{
    static const int64_t positions[] = {1, 3, 5};
    struct world *world = *state;
    fill(world, 5);
    hide(world, 0);
    for (size_t i = 0; i < ARRAY_SIZE(positions); i++)
        for (int backward = 0; backward < 2; backward++) {
            pthread_t thread;
            atomic_store(&hole.looks, 0);
            atomic_store(&hole.hidden, positions[i]);
            assert_int_equal(pthread_create(&thread, NULL, shower, NULL), 0);
            Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
            request.direction =
                backward ? STRATA__V1__DIRECTION__BACKWARD : STRATA__V1__DIRECTION__DIRECTION_UNSPECIFIED;
            if (backward)
                assert_read(world, &request, 0, 5, 1, -1, 1);
            else
                assert_read(world, &request, 0, 1, 5, 1, 5);
            pthread_join(thread, NULL);

            atomic_store(&hole.looks, 0);
            atomic_store(&hole.hidden, positions[i]);
            assert_int_equal(pthread_create(&thread, NULL, shower, NULL), 0);
            Strata__V1__ListEventsRequest listing = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
            listing.direction = request.direction;
            assert_listed(world, listing, backward ? "5 4 3 2 1" : "1 2 3 4 5");
            pthread_join(thread, NULL);
        }
}

struct ticker {
    struct world *world;
    struct manual_clock *clock;
    atomic_bool over;
};

static void *ticker_main(void *context)
{
    struct ticker *ticker = context;
    const struct timespec pause = {.tv_nsec = 1000000};
    while (!atomic_load(&ticker->over)) {
        manual_clock_advance_ms(ticker->clock, 100);
        bus_wake(ticker->world->bus);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void test_a_lost_position_is_reported_and_never_stepped_over(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    world_open_at(&world, NULL, &clock.clock);
    fill(&world, 5);
    hide(&world, 3);
    struct ticker ticker = {&world, &clock, false};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ticker_main, &ticker), 0);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    struct test_stream *stream =
        test_stream_open(world.table, METHOD_EVENT_SERVICE_READ_EVENTS, &request.base, 0);
    struct bytes bytes;
    int64_t reached = 0;
    while (test_stream_read(stream, &bytes)) {
        Strata__V1__ReadEventsResponse *part =
            strata__v1__read_events_response__unpack(NULL, bytes.size_bytes, bytes.data);
        reached = part->position;
        strata__v1__read_events_response__free_unpacked(part, NULL);
        free((void *)(uintptr_t)bytes.data);
    }
    struct status status = test_stream_close(stream);
    assert_int_equal(reached, 2);
    assert_int_equal(status.reason, REASON_POSITION_MISSING);
    assert_non_null(strstr(status.message, "position 3 "));

    Strata__V1__ListEventsRequest listing = STRATA__V1__LIST_EVENTS_REQUEST__INIT;
    Strata__V1__ListEventsResponse *page = list(&world, &listing, NULL);
    assert_int_equal(page->n_events, 2);
    listing.page_token = page->next_page_token;
    assert_null(list(&world, &listing, &status));
    assert_int_equal(status.reason, REASON_POSITION_MISSING);
    assert_non_null(strstr(status.message, "position 3 "));
    test_message_free(page);
    atomic_store(&ticker.over, true);
    pthread_join(thread, NULL);
    world_close(&world);
}

static void test_a_cancelled_read_ends(void **state)
{
    struct world *world = *state;
    fill(world, 700);
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    struct test_stream *stream =
        test_stream_open(world->table, METHOD_EVENT_SERVICE_READ_EVENTS, &request.base, 1);
    test_stream_cancel(stream);
    const struct status status = test_stream_close(stream);
    assert_int_equal(status.code, STATUS_CANCELLED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_every_filter_and_both_directions),
        CASE(test_timestamps_include_from_and_exclude_to),
        CASE(test_pages_are_bound_to_the_head_and_the_filter),
        CASE(test_a_page_token_is_of_one_method_and_one_store),
        CASE(test_list_refuses_by_name),
        CASE(test_a_page_ends_at_two_mebibytes),
        CASE(test_get_event_by_id),
        CASE(test_events_are_processed_once_the_checkpoint_passed),
        CASE(test_read_streams_all_in_batches_to_slow_clients_too),
        CASE(test_a_read_filters_and_tells_how_far_it_came),
        CASE(test_a_read_goes_on_where_it_ended_in_both_directions),
        CASE(test_a_missing_position_is_waited_for),
        CASE(test_a_lost_position_is_reported_and_never_stepped_over),
        CASE(test_a_cancelled_read_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
