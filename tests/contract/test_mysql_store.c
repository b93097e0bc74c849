/*
 * The engine and the snapshots on MySQL or MariaDB pass the suites of all engines, against the server on loopback that
 * STRATA_TEST_MYSQL_PORT names (user root, no password, database strata_test); tests/engines starts one.
 */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "contract/event_store_suite.h"
#include "contract/mysql_known_heads.h"
#include "contract/snapshot_store_suite.h"
#include "contract/store_driver.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/mysql/mysql_store.h"

struct place {
    uint16_t port;
    int opened; /* each store has a name of its own in the one database */
    struct log *log;
    struct event_store *below; /* of the snapshots */
};

static struct event_store *open_named(struct place *place)
{
    char name[32];
    struct event_store *store = NULL;
    (void)snprintf(name, sizeof name, "suite-%d", place->opened);
    const struct mysql_store_options options = {.host = "127.0.0.1",
                                                .port = place->port,
                                                .username = "root",
                                                .password = "",
                                                .database = "strata_test",
                                                .store_id = name};
    assert_status_ok(mysql_store_open(&options, &system_clock, place->log, &store));
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

/* Leases end by the server's clock, which waits for nobody. */
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
    assert_status_ok(mysql_store_snapshots(place->below, &store));
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
    assert_status_ok(mysql_store_snapshots(place->below, &store));
    return store;
}

/*
 * A holder of the head is silent until the server ends his connection. Meanwhile somebody sends the first of his batch's
 * appends to another process, under the same id, which gets the same position. That the id stands there does not mean
 * that his batch was committed.
 */
static void test_another_process_wrote_the_same_id(void **state)
{
    struct place *place = *state;
    struct store_driver held_up;
    struct store_driver other;
    place->opened++;
    store_driver_init(&held_up, open_named(place));
    store_driver_init(&other, open_named(place));
    const struct append_event events[] = {sample_event("first", "a", "custom", "custom"),
                                          sample_event("second", "b", "custom", "custom")};
    const struct append appends[] = {sample_append(&events[0], 1), sample_append(&events[1], 1)};
    const struct append *both[] = {&appends[0], &appends[1]};
    struct decision decision = store_driver_decide(&held_up, both, 2);
    other.entropy = seeded_entropy_from(2);
    assert_int_equal(store_driver_append(&other, &appends[0]).kind, APPEND_ACCEPTED);
    const struct status status = store_driver_commit(&held_up, &decision);
    assert_int_equal(status.code, STATUS_ABORTED);
    assert_int_equal(store_driver_head(&other).position, 1);
    event_store_close(held_up.store);
    event_store_close(other.store);
    store_driver_done(&held_up);
    store_driver_done(&other);
}

/* Quotes become twice as long in a statement's text, which the server takes up to max_allowed_packet. */
static void test_the_largest_values_are_kept_whatever_their_bytes(void **state)
{
    struct place *place = *state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    place->opened++;
    struct event_store *store = open_named(place);
    uint8_t *large = malloc(STATE_VALUE_MAX_BYTES);
    assert_non_null(large);
    memset(large, '\'', STATE_VALUE_MAX_BYTES);
    const size_t sizes[] = {STATE_VALUE_MAX_BYTES, 8U * 1024 * 1024, 7U * 1024 * 1024, 1024 * 1024, 3, 0,
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
    assert_status_ok(mysql_store_snapshots(store, &snapshots));
    const struct snapshot snapshot = {.aggregate_id = BYTES_LITERAL("a"),
                                      .aggregate_type = BYTES_LITERAL("custom"),
                                      .version = 1,
                                      .state = SNAPSHOT_VERIFIED,
                                      .data = bytes_of(large, 10U * 1024 * 1024),
                                      .metadata = bytes_of(large, 900U * 1024),
                                      .folded = bytes_of(large, 12U * 1024 * 1024)};
    struct snapshot got;
    bool found = false;
    assert_status_ok(snapshots->ops->put(snapshots, &snapshot));
    assert_status_ok(
        snapshots->ops->get(snapshots, snapshot.aggregate_id, SNAPSHOT_PICK_BEST, 9, arena, &got, &found));
    assert_true(found);
    assert_true(bytes_equal(got.data, snapshot.data));
    assert_true(bytes_equal(got.metadata, snapshot.metadata));
    assert_true(bytes_equal(got.folded, snapshot.folded));
    assert_status_ok(snapshots->ops->remove(snapshots, snapshot.aggregate_id, 1));
    snapshot_store_close(snapshots);
    event_store_close(store);
    free(large);
}

int main(void)
{
    const char *port = getenv("STRATA_TEST_MYSQL_PORT");
    if (port == NULL) {
        (void)fputs(
            "STRATA_TEST_MYSQL_PORT is not set: run tests/engines/test_mysql_contract.py, which starts a server\n",
            stderr);
        return 1;
    }
    struct place place = {.port = (uint16_t)strtoul(port, NULL, 10),
                          .opened = (int)(time(NULL) % 100000) *
                                    1000, /* a server that is used again has older ones */
                          .log = log_new(2, LOG_WARN, LOG_FORMAT_TEXT, &system_clock)};
    const struct event_store_kind events = {.name = "mysql",
                                            .open = open_events,
                                            .reopen = reopen_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .context = &place};
    const struct snapshot_store_kind snapshots = {.name = "mysql_snapshots",
                                                  .open = open_snapshots,
                                                  .reopen = reopen_snapshots,
                                                  .close = close_snapshots,
                                                  .context = &place};
    const struct CMUnitTest own[] = {
        cmocka_unit_test_prestate(test_another_process_wrote_the_same_id, &place),
        cmocka_unit_test_prestate(test_the_largest_values_are_kept_whatever_their_bytes, &place),
    };
    const int failed = cmocka_run_group_tests_name("mysql_only", own, NULL, NULL) +
                       mysql_known_heads_run(place.port, place.opened, place.log) +
                       event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots);
    log_free(place.log);
    return failed;
}
