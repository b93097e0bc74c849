/*
 * The engine and the snapshots on MongoDB pass the suites of all engines, against the server on loopback that
 * STRATA_TEST_MONGODB_PORT names (no user, database strata_test); tests/engines starts one.
 */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"
#include "contract/store_driver.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/mongodb/mongodb_store.h"

struct place {
    uint16_t port;
    int opened; /* each store has a name of its own in the one database */
    struct log *log;
    struct event_store *below; /* of the snapshots */
};

static struct event_store *open_named(struct place *place)
{
    char name[32];
    char uri[64];
    struct event_store *store = NULL;
    (void)snprintf(name, sizeof name, "suite-%d", place->opened);
    (void)snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%u/?replicaSet=secantus", (unsigned)place->port);
    const struct mongodb_store_options options = {.uri = uri, .database = "strata_test", .store_id = name};
    assert_status_ok(mongodb_store_open(&options, &system_clock, place->log, &store));
    return store;
}

static struct event_store *open_events(void *context)
{
    struct place *place = context;
    place->opened++;
    return open_named(place);
}

static struct event_store *reopen_events(void *context, struct event_store *store)
{
    event_store_close(store);
    return open_named(context);
}

static void close_events(void *context, struct event_store *store)
{
    (void)context;
    event_store_close(store);
}

/* Leases end by the system's clock, which waits for nobody. */
static void pass_time(void *context, int64_t ms)
{
    (void)context;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static struct snapshot_store *open_snapshots(void *context)
{
    struct place *place = context;
    struct snapshot_store *store = NULL;
    place->opened++;
    place->below = open_named(place);
    assert_status_ok(mongodb_store_snapshots(place->below, &store));
    return store;
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    struct place *place = context;
    snapshot_store_close(store);
    event_store_close(place->below);
}

static struct snapshot_store *reopen_snapshots(void *context, struct snapshot_store *store)
{
    struct place *place = context;
    close_snapshots(context, store);
    place->below = open_named(place);
    assert_status_ok(mongodb_store_snapshots(place->below, &store));
    return store;
}

/* ---- what the suites do not ask ---- */

static struct place *the_place; /* of the tests below: cmocka gives them nothing else */

static void test_the_largest_values_are_kept_in_parts(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct event_store *store = open_events(the_place);
    uint8_t *large = malloc(STATE_VALUE_MAX_BYTES);
    assert_non_null(large);
    for (size_t i = 0; i < STATE_VALUE_MAX_BYTES; i++)
        large[i] = (uint8_t)(i * 7 >> 10);
    const size_t sizes[] = {STATE_VALUE_MAX_BYTES, 8U * 1024 * 1024 + 1, 8U * 1024 * 1024, 3,
                            STATE_VALUE_MAX_BYTES};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct bytes got = BYTES_NONE;
        large[0] = (uint8_t)i;
        assert_status_ok(store->ops->state_put(store, BYTES_LITERAL("large"), bytes_of(large, sizes[i])));
        assert_status_ok(store->ops->state_get(store, BYTES_LITERAL("large"), arena, &got));
        assert_true(bytes_equal(got, bytes_of(large, sizes[i])));
        arena_reset(arena);
    }
    assert_status_ok(store->ops->state_remove(store, BYTES_LITERAL("large")));

    struct snapshot_store *snapshots = NULL;
    assert_status_ok(mongodb_store_snapshots(store, &snapshots));
    const struct snapshot snapshot = {.aggregate_id = BYTES_LITERAL("a"),
                                      .aggregate_type = BYTES_LITERAL("custom"),
                                      .version = 1,
                                      .state = SNAPSHOT_VERIFIED,
                                      .data = bytes_of(large, 10U * 1024 * 1024),
                                      .folded = bytes_of(large, 12U * 1024 * 1024)};
    struct snapshot got;
    bool found = false;
    assert_status_ok(snapshots->ops->put(snapshots, &snapshot));
    assert_status_ok(
        snapshots->ops->get(snapshots, snapshot.aggregate_id, SNAPSHOT_PICK_BEST, 9, arena, &got, &found));
    assert_true(found);
    assert_true(bytes_equal(got.data, snapshot.data));
    assert_true(bytes_equal(got.folded, snapshot.folded));
    snapshot_store_close(snapshots);
    event_store_close(store);
    free(large);
}

static int64_t late_now_us(const struct clock *clock)
{
    (void)clock;
    return clock_now_us(&system_clock) - 3000000;
}

static int64_t late_monotonic_us(const struct clock *clock)
{
    (void)clock;
    return clock_monotonic_us(&system_clock);
}

static void test_a_clock_that_is_off_is_refused(void **state)
{
    (void)state;
    static const struct clock_ops ops = {late_now_us, late_monotonic_us};
    const struct clock late = {&ops};
    char uri[64];
    struct event_store *store = NULL;
    (void)snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%u/", (unsigned)the_place->port);
    const struct mongodb_store_options options = {.uri = uri, .database = "strata_test", .store_id = "late"};
    const struct status status = mongodb_store_open(&options, &late, the_place->log, &store);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "ms apart"));
    assert_non_null(strstr(status.message, "NTP"));
    assert_null(store);
}

/* Two processes decide at the same head; who comes second writes nothing, and decides again on what the first wrote. */
static void test_of_two_processes_one_is_first(void **state)
{
    (void)state;
    struct store_driver drivers[2];
    store_driver_init(&drivers[0], open_events(the_place));
    store_driver_init(&drivers[1], open_named(the_place));
    drivers[1].entropy = seeded_entropy_from(2); /* other salts, as of another process */
    for (int round = 0; round < 5; round++) {
        struct append_event events[2];
        struct append appends[2];
        struct decision decisions[2];
        for (int i = 0; i < 2; i++) {
            /* The same ids: a client who was not answered in time asks the other process. */
            events[i] = numbered_event(&drivers[i], round, "shared", "changed", "custom");
            appends[i] = sample_append(&events[i], 1);
            const struct append *one = &appends[i];
            decisions[i] = store_driver_decide(&drivers[i], &one, 1);
            assert_int_equal(decisions[i].outcomes[0].kind, APPEND_ACCEPTED);
        }
        assert_status_ok(store_driver_commit(&drivers[round % 2], &decisions[round % 2]));
        assert_status(store_driver_commit(&drivers[1 - round % 2], &decisions[1 - round % 2]),
                      STATUS_ABORTED);
        assert_int_equal(store_driver_append(&drivers[1 - round % 2], &appends[1 - round % 2]).kind,
                         APPEND_REPLAYED);
        assert_int_equal(store_driver_head(&drivers[0]).position, round + 1);
    }
    for (int i = 0; i < 2; i++) {
        struct event_store *store = drivers[i].store;
        store_driver_done(&drivers[i]);
        event_store_close(store);
    }
}

static int run_own_tests(struct place *place)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_largest_values_are_kept_in_parts),
        cmocka_unit_test(test_a_clock_that_is_off_is_refused),
        cmocka_unit_test(test_of_two_processes_one_is_first),
    };
    the_place = place;
    return cmocka_run_group_tests_name("mongodb_own", tests, NULL, NULL);
}

int main(void)
{
    const char *port = getenv("STRATA_TEST_MONGODB_PORT");
    if (port == NULL) {
        (void)fputs(
            "STRATA_TEST_MONGODB_PORT is not set: run tests/engines/test_mongodb_contract.py, which starts a server\n",
            stderr);
        return 1;
    }
    struct place place = {.port = (uint16_t)strtoul(port, NULL, 10),
                          .opened = (int)(time(NULL) % 100000) *
                                    1000, /* a server that is used again has older ones */
                          .log = log_new(2, LOG_WARN, LOG_FORMAT_TEXT, &system_clock)};
    const struct event_store_kind events = {.name = "mongodb",
                                            .open = open_events,
                                            .reopen = reopen_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .append_by_append = true,
                                            .context = &place};
    const struct snapshot_store_kind snapshots = {.name = "mongodb_snapshots",
                                                  .open = open_snapshots,
                                                  .reopen = reopen_snapshots,
                                                  .close = close_snapshots,
                                                  .context = &place};
    const int failed =
        event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots) + run_own_tests(&place);
    log_free(place.log);
    return failed;
}
