#include "world.h"

#include "support/manual_clock.h"

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

#define VERIFIED  STRATA__V1__SNAPSHOT__STATE__VERIFIED
#define PENDING   STRATA__V1__SNAPSHOT__STATE__PENDING
#define DIVERGENT STRATA__V1__SNAPSHOT__STATE__DIVERGENT

/* version < 0: not given. */
static Strata__V1__Snapshot *take(struct world *world, const char *id, int32_t version, const char *data,
                                  struct status *ret)
{
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    if (version >= 0) {
        request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
        request.version = version;
    }
    request.data = json(data);
    return call_method_of(world, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, &request.base,
                          &strata__v1__snapshot__descriptor, ret);
}

static void assert_taken(struct world *world, const char *id, int32_t version, const char *data,
                         int32_t becomes, int expected)
{
    Strata__V1__Snapshot *snapshot = take(world, id, version, data, NULL);
    if (snapshot->version != becomes || (int)snapshot->state != expected)
        fail_msg("%s at %d: version %d, state %d", id, version, snapshot->version, (int)snapshot->state);
    test_message_free(snapshot);
}

static Strata__V1__Snapshot *get(struct world *world, const char *id, int32_t version, struct status *ret)
{
    Strata__V1__GetSnapshotRequest request = STRATA__V1__GET_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    if (version >= 0) {
        request._version_case = STRATA__V1__GET_SNAPSHOT_REQUEST___VERSION_VERSION;
        request.version = version;
    }
    return call_method_of(world, METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT, &request.base,
                          &strata__v1__snapshot__descriptor, ret);
}

static Strata__V1__Snapshot *latest(struct world *world, const char *id, struct status *ret)
{
    Strata__V1__GetLatestSnapshotRequest request = STRATA__V1__GET_LATEST_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    return call_method_of(world, METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT, &request.base,
                          &strata__v1__snapshot__descriptor, ret);
}

static void test_a_snapshot_without_data_is_the_state(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1.0}");
    (void)publish_custom(world, "a", "{\"m\":2}");
    Strata__V1__Snapshot *snapshot = take(world, "a", -1, NULL, NULL);
    assert_int_equal(snapshot->state, VERIFIED);
    assert_int_equal(snapshot->version, 2);
    assert_json(snapshot->data, "{\"n\":1.0,\"m\":2}");
    assert_int_equal(snapshot->position, 2);
    assert_int_equal(snapshot->event_digest.len, 32);
    assert_int_equal(snapshot->folded.len, 0);
    test_message_free(snapshot);
    assert_taken(world, "a", 1, NULL, 1, VERIFIED);
}

static void test_given_data_is_compared_as_json_values(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1.0,\"m\":\"x\"}");
    assert_taken(world, "a", 1, "{\"m\":\"\\u0078\", \"n\": 1e0}", 1, VERIFIED);
    assert_taken(world, "a", 1, "{\"n\":1,\"m\":\"x\"}", 1, VERIFIED); /* equal: it stands */
    struct status status;
    assert_null(take(world, "a", 1, "{\"n\":2}", &status));
    assert_int_equal(status.reason, REASON_SNAPSHOT_EXISTS);
    (void)publish_custom(world, "a", "{\"n\":3}");
    assert_taken(world, "a", 2, "{\"n\":4}", 2, DIVERGENT);
    Strata__V1__Snapshot *shown = latest(world, "a", NULL);
    assert_int_equal(shown->version, 2);
    assert_json(shown->data, "{\"n\":4}");
    test_message_free(shown);
    shown = get(world, "a", -1, NULL); /* the one that a rebuild would use */
    assert_int_equal(shown->version, 1);
    test_message_free(shown);
    assert_taken(world, "a", 2, "{\"n\":3,\"m\":\"x\"}", 2, VERIFIED); /* a divergent one is replaced */
}

static void test_a_pending_one_is_compared_when_the_aggregate_gets_there(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1}");
    assert_taken(world, "a", 3, "{\"n\":3}", 3, PENDING);
    assert_taken(world, "a", 2, "{\"n\":9}", 2, PENDING);
    assert_taken(world, "a", 2, "{\"n\":8}", 2, PENDING); /* replaced */
    Strata__V1__Snapshot *shown = get(world, "a", -1, NULL);
    assert_int_equal(shown->version, 3); /* none is verified: the newest */
    test_message_free(shown);
    (void)publish_custom(world, "a", "{\"n\":2}");
    shown = get(world, "a", 2, NULL);
    assert_int_equal(shown->state, DIVERGENT);
    assert_json(shown->data, "{\"n\":8}");
    test_message_free(shown);
    (void)publish_custom(world, "a", "{\"n\":3}");
    test_message_free(get_state(world, "a")); /* a load compares too */
    struct snapshot stored;
    bool found = false;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(world->snapshots->ops->get(world->snapshots, BYTES_LITERAL("a"), SNAPSHOT_PICK_EXACT, 3,
                                                arena, &stored, &found));
    assert_true(found);
    assert_int_equal(stored.state, SNAPSHOT_VERIFIED);
}

static void test_a_save_compares_too(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1}");
    assert_taken(world, "a", 2, "{\"n\":2}", 2, PENDING);
    Strata__V1__SaveAggregateRequest request = STRATA__V1__SAVE_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.if_match = T("\"1\"");
    request.state = json("{\"n\":2}");
    test_message_free(call_method_of(world, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &request.base,
                                     &strata__v1__aggregate__descriptor, NULL));
    struct snapshot stored;
    bool found = false;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(world->snapshots->ops->get(world->snapshots, BYTES_LITERAL("a"), SNAPSHOT_PICK_EXACT, 2,
                                                arena, &stored, &found));
    assert_int_equal(stored.state, SNAPSHOT_VERIFIED);
}

static void test_a_distant_one_is_compared_by_a_job(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.aggregate_id = T("a");
    event.aggregate_type = T("custom");
    Strata__V1__NewEvent *events[600];
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        events[i] = &event;
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = events;
    request.n_events = ARRAY_SIZE(events);
    (void)publish_custom(world, "a", "{\"n\":1}");
    assert_taken(world, "a", 1100, "{\"n\":1}", 1100, PENDING);
    for (int i = 0; i < 2; i++)
        test_message_free(call_method_of(world, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base,
                                         &strata__v1__append_events_response__descriptor, NULL));
    test_message_free(latest(world, "a", NULL)); /* asks for it */
    service_stop(world->service);
    struct snapshot stored;
    bool found = false;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(world->snapshots->ops->get(world->snapshots, BYTES_LITERAL("a"), SNAPSHOT_PICK_EXACT,
                                                1100, arena, &stored, &found));
    assert_int_equal(stored.state, SNAPSHOT_VERIFIED);
}

static void test_no_more_than_sixteen_may_wait(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    for (int32_t version = 10; version < 26; version++)
        assert_taken(world, "a", version, "{}", version, PENDING);
    struct status status;
    assert_null(take(world, "a", 26, "{}", &status));
    assert_int_equal(status.reason, REASON_PENDING_TOO_MANY);
    assert_taken(world, "a", 25, "{\"n\":1}", 25, PENDING);
}

static void test_refusals_say_which_thing_is_missing(void **state)
{
    struct world *world = *state;
    struct status status;
    assert_null(take(world, "nobody", 1, "{}", &status));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    assert_null(get(world, "nobody", -1, &status));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    (void)publish_custom(world, "a", "{}");
    assert_null(get(world, "a", -1, &status));
    assert_int_equal(status.reason, REASON_SNAPSHOT_NONE);
    assert_null(latest(world, "a", &status));
    assert_int_equal(status.reason, REASON_SNAPSHOT_NONE);
    assert_null(take(world, "a", 5, NULL, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_null(take(world, "a", 0, NULL, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_null(take(world, "a", 1, "[]", &status));
    assert_int_equal(status.reason, REASON_INVALID_JSON);
}

/* A snapshot whose event is not the one of this history must never be believed. */
static void test_a_snapshot_of_another_history_is_not_used(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1}");
    test_message_free(take(world, "a", 1, NULL, NULL));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct snapshot forged;
    bool found = false;
    assert_status_ok(world->snapshots->ops->get(world->snapshots, BYTES_LITERAL("a"), SNAPSHOT_PICK_EXACT, 1,
                                                arena, &forged, &found));
    assert_true(found);
    uint8_t digest[32];
    memcpy(digest, forged.event_digest.data, 32);
    digest[0] ^= 1;
    forged.event_digest = bytes_of(digest, 32);
    Strata__V1__Aggregate *other = get_state(world, "a");
    const ProtobufCBinaryData true_state = other->state;
    other->state = json("{\"n\":666}");
    uint8_t packed[512];
    forged.folded = bytes_of(packed, strata__v1__aggregate__pack(other, packed));
    other->state = true_state;
    test_message_free(other);
    assert_status_ok(world->snapshots->ops->put(world->snapshots, &forged));
    assert_status_ok(world->cache->ops->put(world->cache, &forged));
    Strata__V1__Aggregate *got = get_state(world, "a");
    assert_json(got->state, "{\"n\":1}");
    test_message_free(got);
    assert_taken(world, "a", 1, NULL, 1, VERIFIED); /* and it does not stand in the way of a true one */
}

static int64_t stored_count(struct world *world)
{
    struct snapshot_store_stats stats;
    assert_status_ok(world->snapshots->ops->stats(world->snapshots, &stats));
    return stats.snapshot_count;
}

static void test_a_snapshot_is_taken_after_so_many_events(void **state)
{
    (void)state;
    struct world world;
    const struct service_options options = {.snapshot_events = 10, .snapshots_max = 1};
    world_open(&world, &options);
    for (int i = 0; i < 35; i++)
        (void)publish_custom(&world, "a", "{\"n\":1}");
    service_stop(world.service); /* waits for the work in the background */
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct snapshot newest;
    bool found = false;
    assert_status_ok(world.snapshots->ops->get(world.snapshots, BYTES_LITERAL("a"), SNAPSHOT_PICK_BEST,
                                               INT32_MAX, arena, &newest, &found));
    assert_true(found);
    assert_in_range(newest.version, 10, 35);
    world_close(&world);
}

static void test_too_many_snapshots_make_room(void **state)
{
    (void)state;
    struct world world;
    const struct service_options options = {.snapshots_max = 2};
    world_open(&world, &options);
    for (int i = 0; i < 3; i++)
        (void)publish_custom(&world, "a", "{\"n\":1}");
    assert_taken(&world, "a", 1, NULL, 1, VERIFIED);
    assert_taken(&world, "a", 9, "{}", 9, PENDING);
    assert_taken(&world, "a", 3, NULL, 3, VERIFIED);
    service_stop(world.service);
    assert_int_equal(stored_count(&world), 2); /* the superseded one went; the pending one stays */
    world_close(&world);
}

static void test_list_pages_and_counts(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++)
        (void)publish_custom(world, "a", "{}");
    create(world, "u", "user", "{}");
    for (int32_t version = 1; version <= 3; version++)
        assert_taken(world, "a", version, NULL, version, VERIFIED);
    assert_taken(world, "u", 0, NULL, 0, VERIFIED);
    Strata__V1__ListSnapshotsRequest request = STRATA__V1__LIST_SNAPSHOTS_REQUEST__INIT;
    request.page_size = 3;
    char token[1024] = "";
    size_t seen = 0;
    do {
        request.page_token = token;
        Strata__V1__ListSnapshotsResponse *page =
            call_method_of(world, METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, &request.base,
                           &strata__v1__list_snapshots_response__descriptor, NULL);
        seen += page->n_snapshots;
        assert_int_equal(page->total_size, 4);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        test_message_free(page);
    } while (token[0] != '\0');
    assert_int_equal(seen, 4);
    request.page_token = T("");
    request.aggregate_type = T("user");
    Strata__V1__ListSnapshotsResponse *page =
        call_method_of(world, METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, &request.base,
                       &strata__v1__list_snapshots_response__descriptor, NULL);
    assert_int_equal(page->n_snapshots, 1);
    assert_int_equal(page->total_size, 1);
    assert_string_equal(page->snapshots[0]->aggregate_id, "u");
    test_message_free(page);
}

static Strata__V1__ListSnapshotsResponse *list(struct world *world,
                                               const Strata__V1__ListSnapshotsRequest *request)
{
    return call_method_of(world, METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS, &request->base,
                          &strata__v1__list_snapshots_response__descriptor, NULL);
}

static void test_a_list_compares_what_was_reached_before_it_shows_it(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":1}");
    (void)publish_custom(world, "b", "{\"n\":1}");
    assert_taken(world, "a", 2, "{\"n\":2}", 2, PENDING);
    assert_taken(world, "a", 3, "{\"n\":3}", 3, PENDING);
    assert_taken(world, "b", 2, "{\"n\":9}", 2, PENDING);
    (void)publish_custom(world, "a", "{\"n\":2}");
    (void)publish_custom(world, "b", "{\"n\":2}");
    Strata__V1__ListSnapshotsRequest request = STRATA__V1__LIST_SNAPSHOTS_REQUEST__INIT;
    Strata__V1__ListSnapshotsResponse *page = list(world, &request);
    assert_int_equal(page->n_snapshots, 3);
    assert_int_equal(page->snapshots[0]->state, VERIFIED);
    assert_int_equal(page->snapshots[0]->position, 3);
    assert_int_equal(page->snapshots[1]->state, PENDING); /* still ahead */
    assert_int_equal(page->snapshots[2]->state, DIVERGENT);
    assert_int_equal(page->total_size, 3);
    test_message_free(page);
    (void)publish_custom(world, "a", "{\"n\":3}");
    request.aggregate_type = T("custom");
    request.page_size = 2;
    page = list(world, &request);
    assert_int_equal(page->n_snapshots, 2);
    assert_int_equal(page->snapshots[1]->state, VERIFIED);
    assert_string_not_equal(page->next_page_token, "");
    test_message_free(page);
}

/* --- which one goes --- */

struct room {
    struct world world;
    struct manual_clock clock;
};

static void room_open(struct room *room, int64_t snapshots_max)
{
    const struct service_options options = {.snapshots_max = snapshots_max};
    room->clock = manual_clock_at_us(INT64_C(1700000000000000));
    world_open_at(&room->world, &options, &room->clock.clock);
    static const char *const ids[] = {"a", "b", "c"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        for (int version = 1; version <= 3; version++)
            (void)publish_custom(&room->world, ids[i], "{\"n\":1}");
}

static void room_take(struct room *room, const char *id, int32_t version, const char *data, int expected)
{
    manual_clock_advance_ms(&room->clock, 1);
    assert_taken(&room->world, id, version, data, version, expected);
}

static bool list_add(void *context, const struct snapshot *snapshot)
{
    char *text = context;
    snprintf(text + strlen(text), 128 - strlen(text), "%s%.*s%d", text[0] == '\0' ? "" : " ",
             BYTES_FORMAT(snapshot->aggregate_id), snapshot->version);
    return true;
}

/* Ends the world: what is left once all work in the background is done, as "a1 b2". */
static void room_expect(struct room *room, const char *left)
{
    char text[128] = "";
    service_stop(room->world.service);
    assert_status_ok(room->world.snapshots->ops->list(room->world.snapshots, BYTES_NONE, BYTES_NONE,
                                                      BYTES_NONE, 0, list_add, text));
    assert_string_equal(text, left);
    world_close(&room->world);
}

static void test_the_new_one_is_the_last_to_go(void **state)
{
    (void)state;
    struct room room;
    room_open(&room, 2); /* a divergent one would go before the verified, were it not new */
    room_take(&room, "a", 3, NULL, VERIFIED);
    room_take(&room, "b", 3, NULL, VERIFIED);
    room_take(&room, "c", 2, "{\"n\":7}", DIVERGENT);
    room_expect(&room, "b3 c2");

    room_open(&room, 2); /* so would one that is superseded already */
    room_take(&room, "a", 3, NULL, VERIFIED);
    room_take(&room, "b", 2, "{\"n\":7}", DIVERGENT);
    room_take(&room, "a", 2, NULL, VERIFIED);
    room_expect(&room, "a2 a3");

    room_open(&room, 2); /* nothing else may go */
    room_take(&room, "a", 8, "{}", PENDING);
    room_take(&room, "b", 8, "{}", PENDING);
    room_take(&room, "c", 3, NULL, VERIFIED);
    room_expect(&room, "a8 b8");

    room_open(&room, 1); /* pending ones stay, whatever the limit */
    room_take(&room, "a", 8, "{}", PENDING);
    room_take(&room, "b", 8, "{}", PENDING);
    room_expect(&room, "a8 b8");
}

static void test_superseded_go_before_divergent_before_the_least_recently_used(void **state)
{
    (void)state;
    struct room room;
    room_open(&room, 3);
    room_take(&room, "a", 1, "{\"n\":7}", DIVERGENT);
    room_take(&room, "b", 1, NULL, VERIFIED);
    room_take(&room, "b", 2, NULL, VERIFIED);
    room_take(&room, "c", 3, NULL, VERIFIED);
    room_expect(&room, "a1 b2 c3");

    room_open(&room, 2);
    room_take(&room, "b", 2, NULL, VERIFIED);
    room_take(&room, "a", 1, "{\"n\":7}", DIVERGENT);
    room_take(&room, "c", 3, NULL, VERIFIED);
    room_expect(&room, "b2 c3");

    room_open(&room, 2);
    room_take(&room, "a", 3, NULL, VERIFIED);
    room_take(&room, "b", 3, NULL, VERIFIED);
    manual_clock_advance_ms(&room.clock, 1);
    test_message_free(get(&room.world, "a", -1, NULL)); /* older than b's, but used since */
    room_take(&room, "c", 3, NULL, VERIFIED);
    room_expect(&room, "a3 c3");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_snapshot_without_data_is_the_state),
        CASE(test_given_data_is_compared_as_json_values),
        CASE(test_a_pending_one_is_compared_when_the_aggregate_gets_there),
        CASE(test_a_save_compares_too),
        CASE(test_a_distant_one_is_compared_by_a_job),
        CASE(test_no_more_than_sixteen_may_wait),
        CASE(test_refusals_say_which_thing_is_missing),
        CASE(test_a_snapshot_of_another_history_is_not_used),
        CASE(test_a_snapshot_is_taken_after_so_many_events),
        CASE(test_too_many_snapshots_make_room),
        CASE(test_list_pages_and_counts),
        CASE(test_a_list_compares_what_was_reached_before_it_shows_it),
        CASE(test_the_new_one_is_the_last_to_go),
        CASE(test_superseded_go_before_divergent_before_the_least_recently_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
