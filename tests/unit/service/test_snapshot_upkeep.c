/* Which snapshots are taken by themselves, which one a load starts from, which go, and the cached states. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/manual_clock.h"

#include "service/snapshot_keeper_internal.h"

#define START_US INT64_C(1700000000000000)
#define HOUR_US  INT64_C(3600000000)
#define OURS     2
#define OLDER    1

struct upkeep {
    struct world world;
    struct manual_clock clock;
    struct arena *arena;
};

static void upkeep_open(struct upkeep *upkeep, struct service_options options)
{
    options.reducer_version = OURS;
    upkeep->clock = manual_clock_at_us(START_US);
    upkeep->arena = arena_new(0);
    world_open_at(&upkeep->world, &options, &upkeep->clock.clock);
}

/* Ends all work in the background; a new service, without a memory of its own, goes on over the same stores. */
static void upkeep_settle(struct upkeep *upkeep, struct service_options options)
{
    if (options.reducer_version == 0)
        options.reducer_version = OURS;
    world_restart(&upkeep->world, &options, &upkeep->clock.clock);
}

static void upkeep_close(struct upkeep *upkeep)
{
    world_close(&upkeep->world);
    arena_free(upkeep->arena);
}

static void publish_times(struct upkeep *upkeep, const char *id, int count)
{
    for (int i = 0; i < count; i++)
        (void)publish_custom(&upkeep->world, id, "{\"n\":1}");
}

static void take(struct upkeep *upkeep, const char *id, int32_t version, const char *data)
{
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
    request.version = version;
    request.data = json(data);
    test_message_free(call_method_of(&upkeep->world, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, &request.base,
                                     &strata__v1__snapshot__descriptor, NULL));
    manual_clock_advance_ms(&upkeep->clock, 1);
}

static bool stored_at(struct upkeep *upkeep, const char *id, int32_t version, struct snapshot *ret)
{
    bool found = false;
    assert_status_ok(upkeep->world.snapshots->ops->get(upkeep->world.snapshots, bytes_of_text(id),
                                                       SNAPSHOT_PICK_EXACT, version, upkeep->arena, ret,
                                                       &found));
    return found;
}

static void put_of_reducer(struct upkeep *upkeep, const char *id, int32_t version, int32_t reducer_version)
{
    struct snapshot snapshot;
    take(upkeep, id, version, NULL);
    assert_true(stored_at(upkeep, id, version, &snapshot));
    snapshot.reducer_version = reducer_version;
    assert_status_ok(upkeep->world.snapshots->ops->put(upkeep->world.snapshots, &snapshot));
}

static void read_now(struct upkeep *upkeep, const char *id)
{
    test_message_free(get_state(&upkeep->world, id));
}

static bool list_add(void *context, const struct snapshot *snapshot)
{
    char *text = context;
    snprintf(text + strlen(text), 1024 - strlen(text), "%s%.*s%d%s", text[0] == '\0' ? "" : " ",
             BYTES_FORMAT(snapshot->aggregate_id), snapshot->version,
             snapshot->state == SNAPSHOT_PENDING     ? "?"
             : snapshot->state == SNAPSHOT_DIVERGENT ? "!"
                                                     : "");
    return true;
}

/* All that are stored, as "a1 a3! b7?": DIVERGENT and PENDING are marked. */
#define assert_stored(upkeep, wanted) assert_stored_at((upkeep), (wanted), __LINE__)
static void assert_stored_at(struct upkeep *upkeep, const char *wanted, int line)
{
    char text[1024] = "";
    assert_status_ok(upkeep->world.snapshots->ops->list(upkeep->world.snapshots, BYTES_NONE, BYTES_NONE,
                                                        BYTES_NONE, 0, list_add, text));
    if (strcmp(text, wanted) != 0)
        fail_msg("line %d: stored are \"%s\", wanted \"%s\"", line, text, wanted);
}

static struct loaded load(struct upkeep *upkeep, const char *id, int32_t version)
{
    struct loaded loaded = {0};
    const struct load_request request = {
        .id = bytes_of_text(id), .version = version, .position = INT64_MAX, .keep_quiet = true};
    assert_status_ok(loader_load(upkeep->world.service, &request, upkeep->arena, &loaded));
    return loaded;
}

/* --- taken by themselves --- */

static void test_a_read_renews_a_snapshot_that_is_old(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options hourly = {.snapshot_interval_us = HOUR_US};
    upkeep_open(&upkeep, hourly);
    publish_times(&upkeep, "a", 1);
    take(&upkeep, "a", 1, NULL);

    manual_clock_advance_us(&upkeep.clock, HOUR_US / 2);
    publish_times(&upkeep, "a", 1);
    read_now(&upkeep, "a");
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "a1"); /* not old yet */

    manual_clock_advance_us(&upkeep.clock, -3 * HOUR_US);
    read_now(&upkeep, "a");
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "a1"); /* a clock that was set back makes nothing older */

    manual_clock_advance_us(&upkeep.clock, 3 * HOUR_US + HOUR_US / 2);
    read_now(&upkeep, "a"); /* from the cache, and without a new event */
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "a1 a2");
    struct snapshot renewed;
    assert_true(stored_at(&upkeep, "a", 2, &renewed));
    const int64_t renewed_at_us = renewed.created_at_us;

    manual_clock_advance_us(&upkeep.clock, 2 * HOUR_US);
    read_now(&upkeep, "a"); /* old, but nothing has come since */
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "a1 a2");
    assert_true(stored_at(&upkeep, "a", 2, &renewed));
    assert_int_equal(renewed.created_at_us, renewed_at_us);
    upkeep_close(&upkeep);
}

static void test_an_aggregate_without_a_snapshot_ages_from_its_first_event(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options hourly = {.snapshot_interval_us = HOUR_US};
    upkeep_open(&upkeep, hourly);
    publish_times(&upkeep, "a", 1);
    create(&upkeep.world, "created", "custom", "{}");
    manual_clock_advance_us(&upkeep.clock, HOUR_US - 1);
    publish_times(&upkeep, "a", 1);
    read_now(&upkeep, "a");
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "");
    manual_clock_advance_us(&upkeep.clock, 1);
    read_now(&upkeep, "a");
    manual_clock_advance_us(&upkeep.clock, HOUR_US);
    read_now(&upkeep, "created"); /* one at version 0 would say what its event says */
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "a2");
    upkeep_close(&upkeep);
}

static void test_reads_of_the_past_renew_nothing(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options hourly = {.snapshot_interval_us = HOUR_US, .snapshot_events = 2};
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 5);
    upkeep_settle(&upkeep, hourly);
    manual_clock_advance_us(&upkeep.clock, 2 * HOUR_US);
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION;
    request.as_of_version = 4;
    test_message_free(get_aggregate(&upkeep.world, &request, NULL, NULL));
    upkeep_settle(&upkeep, hourly);
    assert_stored(&upkeep, "");
    upkeep_close(&upkeep);
}

/* Taken at once by a job behind the append; read afterwards, a load starts there. */
static void test_the_number_of_new_events_makes_a_snapshot(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options each_tenth = {.snapshot_events = 10};
    upkeep_open(&upkeep, each_tenth);
    publish_times(&upkeep, "a", 9);
    upkeep_settle(&upkeep, each_tenth);
    assert_stored(&upkeep, "");
    publish_times(&upkeep, "a", 1);
    upkeep_settle(&upkeep, each_tenth);
    assert_stored(&upkeep, "a10");
    publish_times(&upkeep, "a", 9);
    upkeep_settle(&upkeep, each_tenth);
    assert_stored(&upkeep, "a10");
    take(&upkeep, "a", 19, NULL);
    publish_times(&upkeep, "a", 1); /* the twentieth, but the first since the last one */
    upkeep_settle(&upkeep, each_tenth);
    assert_stored(&upkeep, "a10 a19");
    upkeep_close(&upkeep);
}

static void test_an_automatic_one_does_not_overwrite_what_a_client_said(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options each_fourth = {.snapshot_events = 4};
    upkeep_open(&upkeep, each_fourth);
    publish_times(&upkeep, "a", 1);
    publish_times(&upkeep, "b", 1);
    take(&upkeep, "a", 4, "{\"n\":7}"); /* wrong, ahead */
    take(&upkeep, "b", 4, "{\"n\":1.0}");
    publish_times(&upkeep, "a", 3);
    publish_times(&upkeep, "b", 3);
    upkeep_settle(&upkeep, each_fourth);
    assert_stored(&upkeep, "a4! b4");
    struct snapshot shown;
    assert_true(stored_at(&upkeep, "a", 4, &shown));
    assert_true(bytes_equal(shown.data, BYTES_LITERAL("{\"n\":7}")));
    assert_true(stored_at(&upkeep, "b", 4, &shown));
    assert_true(bytes_equal(shown.data, BYTES_LITERAL("{\"n\":1.0}")));
    read_now(&upkeep, "a"); /* asks for one, without the cache of before: it is not taken either */
    upkeep_settle(&upkeep, each_fourth);
    assert_stored(&upkeep, "a4! b4");
    publish_times(&upkeep, "a", 4);
    upkeep_settle(&upkeep, each_fourth);
    assert_stored(&upkeep, "a4! a8 b4");
    upkeep_close(&upkeep);
}

/* --- another reducer --- */

static void test_snapshots_of_another_reducer_hide_none_of_ours(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 12);
    take(&upkeep, "a", 3, NULL);
    for (int32_t version = 4; version <= 9; version++)
        put_of_reducer(&upkeep, "a", version, version % 2 == 0 ? OLDER : OURS + 1);
    upkeep_settle(&upkeep, (struct service_options){0});
    assert_int_equal(load(&upkeep, "a", 11).base_version, 3);
    assert_int_equal(load(&upkeep, "a", 11).tail_events, 8);
    assert_int_equal(load(&upkeep, "a", 2).base_version, -1);
    Strata__V1__GetSnapshotRequest request = STRATA__V1__GET_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T("a");
    Strata__V1__Snapshot *used = call_method_of(&upkeep.world, METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT,
                                                &request.base, &strata__v1__snapshot__descriptor, NULL);
    assert_int_equal(used->version, 3);
    test_message_free(used);
    upkeep_close(&upkeep);
}

static void test_a_snapshot_of_another_reducer_does_not_hold_up_a_new_one(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 10);
    put_of_reducer(&upkeep, "a", 10, OLDER);
    const struct service_options each_tenth = {.snapshot_events = 10};
    upkeep_settle(&upkeep, each_tenth);
    assert_status_ok(upkeep.world.cache->ops->remove(upkeep.world.cache, BYTES_LITERAL("a"), 10));
    read_now(&upkeep, "a"); /* folds ten events: time for one that can be used */
    upkeep_settle(&upkeep, each_tenth);
    struct snapshot taken;
    assert_true(stored_at(&upkeep, "a", 10, &taken));
    assert_int_equal(taken.reducer_version, OURS);
    assert_int_equal(load(&upkeep, "a", INT32_MAX).base_version, 10);
    upkeep_close(&upkeep);
}

static void test_a_cached_state_of_another_reducer_is_not_used(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 3);
    read_now(&upkeep, "a");
    assert_int_equal(load(&upkeep, "a", INT32_MAX).base_version, 3);
    /* The stores stay, as a cache in another process does. */
    upkeep_settle(&upkeep, (struct service_options){.reducer_version = OURS + 1});
    assert_int_equal(load(&upkeep, "a", INT32_MAX).base_version, -1);
    read_now(&upkeep, "a");
    assert_int_equal(load(&upkeep, "a", INT32_MAX).base_version, 3);
    upkeep_close(&upkeep);
}

/* --- the cache --- */

static void test_a_cached_state_leaves_only_the_tail_to_be_read(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 50);
    assert_int_equal(load(&upkeep, "a", INT32_MAX).tail_events, 50);
    read_now(&upkeep, "a");
    assert_int_equal(load(&upkeep, "a", INT32_MAX).tail_events, 0);
    publish_times(&upkeep, "a", 2);
    const struct loaded loaded = load(&upkeep, "a", INT32_MAX);
    assert_int_equal(loaded.base_version, 50);
    assert_int_equal(loaded.tail_events, 2);
    assert_int_equal(load(&upkeep, "a", 49).base_version, -1); /* never one from above */
    for (int i = 0; i < 5; i++) {
        publish_times(&upkeep, "a", 1);
        read_now(&upkeep, "a");
    }
    struct snapshot_store_stats cached;
    assert_status_ok(upkeep.world.cache->ops->stats(upkeep.world.cache, &cached));
    assert_int_equal(cached.snapshot_count, 1); /* the former ones make room */
    upkeep_close(&upkeep);
}

/* --- the cleanup --- */

static void assert_cleanup(struct upkeep *upkeep, int64_t snapshots, int64_t cache_entries)
{
    struct snapshots_removed removed;
    assert_status_ok(snapshots_cleanup(upkeep->world.service, &removed));
    assert_int_equal(removed.snapshots, snapshots);
    assert_int_equal(removed.cache_entries, cache_entries);
}

static void test_the_cleanup_removes_what_is_superseded(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 6);
    publish_times(&upkeep, "b", 6);
    publish_times(&upkeep, "c", 2);
    take(&upkeep, "a", 2, NULL);
    take(&upkeep, "a", 3, "{\"n\":7}");
    take(&upkeep, "a", 4, NULL);
    take(&upkeep, "a", 5, "{\"n\":7}");
    take(&upkeep, "a", 9, "{\"n\":7}");
    take(&upkeep, "b", 1, NULL);
    take(&upkeep, "b", 2, NULL);
    take(&upkeep, "b", 6, NULL);
    take(&upkeep, "c", 1, NULL);
    assert_cleanup(&upkeep, 3, 0);
    assert_stored(&upkeep, "a3! a4 a5! a9? b6 c1");
    assert_cleanup(&upkeep, 0, 0);
    upkeep_close(&upkeep);
}

static void test_the_cleanup_keeps_ours_below_one_of_another_reducer(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 9);
    publish_times(&upkeep, "b", 9);
    put_of_reducer(&upkeep, "a", 1, OLDER);
    take(&upkeep, "a", 3, NULL);
    put_of_reducer(&upkeep, "a", 4, OLDER);
    put_of_reducer(&upkeep, "a", 5, OLDER);
    put_of_reducer(&upkeep, "b", 1, OLDER);
    put_of_reducer(&upkeep, "b", 2, OLDER);
    assert_cleanup(&upkeep, 3, 0);
    assert_stored(&upkeep, "a3 a5 b2");
    take(&upkeep, "a", 7, NULL);
    assert_cleanup(&upkeep, 2, 0);
    assert_stored(&upkeep, "a7 b2");
    upkeep_close(&upkeep);
}

/* More than one part of a pass holds, with aggregates across the seams. */
static void test_the_cleanup_finishes_however_much_there_is(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 200);
    publish_times(&upkeep, "b", 200);
    for (int32_t version = 1; version <= 200; version++) {
        take(&upkeep, "a", version, NULL);
        take(&upkeep, "b", version, NULL);
    }
    assert_cleanup(&upkeep, 398, 0);
    assert_stored(&upkeep, "a200 b200");
    upkeep_close(&upkeep);
}

static void test_the_cleanup_removes_cached_states_that_are_old(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options for_an_hour = {.cache_ttl_us = HOUR_US};
    upkeep_open(&upkeep, for_an_hour);
    publish_times(&upkeep, "a", 1);
    publish_times(&upkeep, "b", 1);
    read_now(&upkeep, "a");
    manual_clock_advance_us(&upkeep.clock, HOUR_US);
    read_now(&upkeep, "b");
    assert_cleanup(&upkeep, 0, 0);
    manual_clock_advance_us(&upkeep.clock, 1);
    assert_cleanup(&upkeep, 0, 1);
    assert_int_equal(load(&upkeep, "a", INT32_MAX).base_version, -1);
    assert_int_equal(load(&upkeep, "b", INT32_MAX).base_version, 1);
    upkeep_close(&upkeep);
}

/* --- max_snapshots --- */

/* A limit that was lowered: far more than one pass removes are too many, and they go in the right order. */
static void test_many_too_many_go_in_order(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        publish_times(&upkeep, ids[i], 20);
    take(&upkeep, "a", 30, "{}");
    take(&upkeep, "b", 3, "{\"n\":7}");
    take(&upkeep, "a", 4, "{\"n\":7}");
    for (int32_t version = 5; version <= 19; version++)
        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
            take(&upkeep, ids[i], version, NULL);
    upkeep_settle(&upkeep, (struct service_options){.snapshots_max = 7});
    take(&upkeep, "d", 20, NULL);
    upkeep_settle(&upkeep, (struct service_options){.snapshots_max = 5});
    assert_stored(&upkeep, "a4! a19 a30? b3! b19 c19 d20");
    take(&upkeep, "c", 20, NULL);
    upkeep_settle(&upkeep, (struct service_options){.snapshots_max = 3});
    assert_stored(&upkeep, "a19 a30? b19 c20 d20"); /* c19, then the divergent ones */
    upkeep_close(&upkeep);
}

static void test_the_least_recently_used_goes_before_one_that_reads_start_from(void **state)
{
    (void)state;
    struct upkeep upkeep;
    const struct service_options two = {.snapshots_max = 2};
    upkeep_open(&upkeep, two);
    publish_times(&upkeep, "a", 3);
    publish_times(&upkeep, "b", 3);
    publish_times(&upkeep, "c", 3);
    take(&upkeep, "a", 2, NULL);
    take(&upkeep, "b", 2, NULL);
    assert_int_equal(load(&upkeep, "a", 2).base_version, 2); /* older than b's, but just of use */
    manual_clock_advance_ms(&upkeep.clock, 1);
    take(&upkeep, "c", 2, NULL);
    upkeep_settle(&upkeep, two);
    assert_stored(&upkeep, "a2 c2");
    upkeep_close(&upkeep);
}

static void test_one_of_another_reducer_goes_before_the_one_that_is_of_use(void **state)
{
    (void)state;
    struct upkeep upkeep;
    upkeep_open(&upkeep, (struct service_options){0});
    publish_times(&upkeep, "a", 9);
    publish_times(&upkeep, "b", 9);
    put_of_reducer(&upkeep, "a", 2, OLDER);
    take(&upkeep, "a", 3, NULL);
    put_of_reducer(&upkeep, "a", 5, OLDER);
    put_of_reducer(&upkeep, "a", 6, OLDER);
    upkeep_settle(&upkeep, (struct service_options){.snapshots_max = 3});
    take(&upkeep, "b", 3, NULL);
    upkeep_settle(&upkeep, (struct service_options){0});
    assert_stored(&upkeep, "a3 a6 b3"); /* a2 is superseded by ours, a5 by its like */
    upkeep_close(&upkeep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_renews_a_snapshot_that_is_old),
        cmocka_unit_test(test_an_aggregate_without_a_snapshot_ages_from_its_first_event),
        cmocka_unit_test(test_reads_of_the_past_renew_nothing),
        cmocka_unit_test(test_the_number_of_new_events_makes_a_snapshot),
        cmocka_unit_test(test_an_automatic_one_does_not_overwrite_what_a_client_said),
        cmocka_unit_test(test_snapshots_of_another_reducer_hide_none_of_ours),
        cmocka_unit_test(test_a_snapshot_of_another_reducer_does_not_hold_up_a_new_one),
        cmocka_unit_test(test_a_cached_state_of_another_reducer_is_not_used),
        cmocka_unit_test(test_a_cached_state_leaves_only_the_tail_to_be_read),
        cmocka_unit_test(test_the_cleanup_removes_what_is_superseded),
        cmocka_unit_test(test_the_cleanup_keeps_ours_below_one_of_another_reducer),
        cmocka_unit_test(test_the_cleanup_finishes_however_much_there_is),
        cmocka_unit_test(test_the_cleanup_removes_cached_states_that_are_old),
        cmocka_unit_test(test_many_too_many_go_in_order),
        cmocka_unit_test(test_the_least_recently_used_goes_before_one_that_reads_start_from),
        cmocka_unit_test(test_one_of_another_reducer_goes_before_the_one_that_is_of_use),
    };
    return cmocka_run_group_tests_name("snapshot_upkeep", tests, NULL, NULL);
}
