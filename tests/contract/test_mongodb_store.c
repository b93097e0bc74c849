/*
 * The engine and the snapshots on MongoDB pass the suites of all engines, against the server on loopback that
 * STRATA_TEST_MONGODB_PORT names (no user, database strata_test); tests/engines starts one.
 */
#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "contract/database_place.h"
#include "contract/store_driver.h"

#include "base/clock.h"
#include "store/mongodb/mongodb_store.h"

static struct status open_store(const struct database_place *place, const char *store_id,
                                struct event_store **ret)
{
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%u/?replicaSet=secantus", (unsigned)place->port);
    const struct mongodb_store_options options = {
        .uri = uri, .database = "strata_test", .store_id = store_id};
    return mongodb_store_open(&options, &system_clock, place->log, ret);
}

/* ---- what the suites do not ask ---- */

static void fill_with_steps(uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(i * 7 >> 10);
}

static void test_the_largest_values_are_kept_in_parts(void **state)
{
    database_place_keeps_the_largest(*state, fill_with_steps);
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
    const struct database_place *place = *state;
    static const struct clock_ops ops = {late_now_us, late_monotonic_us};
    const struct clock late = {&ops};
    char uri[64];
    struct event_store *store = NULL;
    (void)snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%u/", (unsigned)place->port);
    const struct mongodb_store_options options = {.uri = uri, .database = "strata_test", .store_id = "late"};
    const struct status status = mongodb_store_open(&options, &late, place->log, &store);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "ms apart"));
    assert_non_null(strstr(status.message, "NTP"));
    assert_null(store);
}

/* Two processes decide at the same head; who comes second writes nothing, and decides again on what the first wrote. */
static void test_of_two_processes_one_is_first(void **state)
{
    struct database_place *place = *state;
    struct store_driver drivers[2];
    store_driver_init(&drivers[0], database_place_new(place));
    store_driver_init(&drivers[1], database_place_again(place));
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

int main(void)
{
    struct database_place place = {.engine = "mongodb",
                                   .open = open_store,
                                   .snapshots = mongodb_store_snapshots,
                                   .append_by_append = true};
    if (!database_place_begin(&place, "STRATA_TEST_MONGODB_PORT", "tests/engines/test_mongodb_contract.py"))
        return 1;
    const struct CMUnitTest own[] = {
        cmocka_unit_test_prestate(test_the_largest_values_are_kept_in_parts, &place),
        cmocka_unit_test_prestate(test_a_clock_that_is_off_is_refused, &place),
        cmocka_unit_test_prestate(test_of_two_processes_one_is_first, &place),
    };
    const int failed =
        database_place_run_suites(&place) + cmocka_run_group_tests_name("mongodb_own", own, NULL, NULL);
    database_place_end(&place);
    return failed;
}
