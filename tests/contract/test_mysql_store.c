/*
 * The engine and the snapshots on MySQL or MariaDB pass the suites of all engines, against the server on loopback that
 * STRATA_TEST_MYSQL_PORT names (user root, no password, database strata_test); tests/engines starts one.
 */
#include "support/cmocka.h"

#include <string.h>

#include "contract/commits_ahead.h"
#include "contract/database_place.h"
#include "contract/mysql_known_heads.h"
#include "contract/store_driver.h"

#include "base/clock.h"
#include "store/mysql/mysql_store.h"

static struct status open_store(const struct database_place *place, const char *store_id,
                                struct event_store **ret)
{
    const struct mysql_store_options options = {.host = "127.0.0.1",
                                                .port = place->port,
                                                .username = "root",
                                                .password = "",
                                                .database = "strata_test",
                                                .store_id = store_id};
    return mysql_store_open(&options, &system_clock, place->log, ret);
}

/*
 * A holder of the head is silent until the server ends his connection. Meanwhile somebody sends the first of his batch's
 * appends to another process, under the same id, which gets the same position. That the id stands there does not mean
 * that his batch was committed.
 */
static void test_another_process_wrote_the_same_id(void **state)
{
    struct database_place *place = *state;
    struct store_driver held_up;
    struct store_driver other;
    store_driver_init(&held_up, database_place_new(place));
    store_driver_init(&other, database_place_again(place));
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
static void fill_with_quotes(uint8_t *to, size_t size)
{
    memset(to, '\'', size);
}

static void test_the_largest_values_are_kept_whatever_their_bytes(void **state)
{
    database_place_keeps_the_largest(*state, fill_with_quotes);
}

int main(void)
{
    struct database_place place = {.engine = "mysql", .open = open_store, .snapshots = mysql_store_snapshots};
    if (!database_place_begin(&place, "STRATA_TEST_MYSQL_PORT", "tests/engines/test_mysql_contract.py"))
        return 1;
    const struct CMUnitTest own[] = {
        cmocka_unit_test_prestate(test_another_process_wrote_the_same_id, &place),
        cmocka_unit_test_prestate(test_the_largest_values_are_kept_whatever_their_bytes, &place),
    };
    const int failed =
        cmocka_run_group_tests_name("mysql_only", own, NULL, NULL) + commits_ahead_run(&place) +
        mysql_known_heads_run(place.port, place.opened, place.log) + database_place_run_suites(&place);
    database_place_end(&place);
    return failed;
}
