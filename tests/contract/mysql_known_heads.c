#include "contract/mysql_known_heads.h"

#include "support/cmocka.h"

#include <mysql.h>
#include <stdio.h>
#include <string.h>

#include "contract/store_driver.h"

#include "base/clock.h"
#include "store/mysql/mysql_store.h"

#define LARGE_APPEND 1000
#define MANY_APPENDS 20 /* more events than are read to know how heads moved */

/* Two processes on one store, and somebody with the database in his hands. Clocks stand: what is known does not age. */
struct pair {
    uint16_t port;
    int number;
    struct log *log;
    char name[32];
    struct manual_clock clock;
    struct store_driver drivers[2];
    MYSQL *hands;
    int events;
};

static struct event_store *open_one(struct pair *pair)
{
    struct event_store *store = NULL;
    const struct mysql_store_options options = {.host = "127.0.0.1",
                                                .port = pair->port,
                                                .username = "root",
                                                .password = "",
                                                .database = "strata_test",
                                                .store_id = pair->name};
    assert_status_ok(mysql_store_open(&options, &pair->clock.clock, pair->log, &store));
    return store;
}

static int set_up(void **state)
{
    struct pair *pair = *state;
    (void)snprintf(pair->name, sizeof pair->name, "known-%d", pair->number++);
    pair->clock = manual_clock_at_us(STORE_DRIVER_START_US);
    manual_clock_advance_ms(&pair->clock, 1);
    pair->events = 0;
    for (size_t i = 0; i < 2; i++) {
        store_driver_init(&pair->drivers[i], open_one(pair));
        pair->drivers[i].entropy = seeded_entropy_from(i + 1);
    }
    pair->hands = mysql_init(NULL);
    assert_non_null(
        mysql_real_connect(pair->hands, "127.0.0.1", "root", "", "strata_test", pair->port, NULL, 0));
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    for (size_t i = 0; i < 2; i++) {
        event_store_close(pair->drivers[i].store);
        store_driver_done(&pair->drivers[i]);
    }
    mysql_close(pair->hands);
    return 0;
}

/* `statement` has one %s, for the number of the store. */
static void do_by_hand(struct pair *pair, const char *statement)
{
    char number[96];
    char text[512];
    (void)snprintf(number, sizeof number, "(SELECT store FROM strata_stores s WHERE s.name='%s')",
                   pair->name);
    (void)snprintf(text, sizeof text, statement, number);
    if (mysql_query(pair->hands, text) != 0)
        fail_msg("%s: %s", text, mysql_error(pair->hands));
}

/* The version that process `who` gave to a new event of the aggregate, whatever it had been asked to expect. */
static int append_one(struct pair *pair, size_t who, const char *aggregate)
{
    struct store_driver *driver = &pair->drivers[who];
    const struct append_event event = numbered_event(driver, pair->events++, aggregate, "changed", "custom");
    const struct append append = sample_append(&event, 1);
    const struct append_outcome outcome = store_driver_append(driver, &append);
    struct event_fields fields;
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    assert_status_ok(record_decode_header(outcome.records[0], &fields));
    return fields.version;
}

static int64_t round_trips(struct pair *pair, size_t who)
{
    struct mysql_counts counts;
    mysql_store_counts(pair->drivers[who].store, &counts);
    return counts.writer_round_trips;
}

static void test_each_knows_what_the_other_appended(void **state)
{
    struct pair *pair = *state;
    static const char *const aggregates[] = {"a", "b", "c"};
    int versions[3] = {0};
    const int64_t before = round_trips(pair, 0) + round_trips(pair, 1);
    for (int i = 0; i < 60; i++) {
        const size_t at = (size_t)(i * 7 + i / 5) % 3;
        const size_t who = (size_t)(i / 2 + i / 7) % 2;
        assert_int_equal(append_one(pair, who, aggregates[at]), ++versions[at]);
    }
    assert_int_equal(round_trips(pair, 0) + round_trips(pair, 1) - before, 2 * 60);
}

static void append_many(struct pair *pair, size_t who, const char *aggregate, int appends)
{
    struct store_driver *driver = &pair->drivers[who];
    static struct append_event events[LARGE_APPEND];
    for (int i = 0; i < appends; i++) {
        for (int j = 0; j < LARGE_APPEND; j++)
            events[j] = numbered_event(driver, pair->events++, aggregate, "changed", "custom");
        const struct append append = sample_append(events, LARGE_APPEND);
        assert_int_equal(store_driver_append(driver, &append).kind, APPEND_ACCEPTED);
    }
}

static void test_very_many_of_the_others_events(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(append_one(pair, 0, "a"), 1);
    append_many(pair, 1, "a", 2);
    int64_t before = round_trips(pair, 0);
    assert_int_equal(append_one(pair, 0, "a"), 2 * LARGE_APPEND + 2);
    assert_int_equal(round_trips(pair, 0) - before, 2); /* they were read */
    append_many(pair, 1, "a", MANY_APPENDS);
    before = round_trips(pair, 0);
    assert_int_equal(append_one(pair, 0, "a"), (2 + MANY_APPENDS) * LARGE_APPEND + 3);
    assert_int_equal(round_trips(pair, 0) - before, 3); /* they were not: the aggregate was asked for */
}

/* A server that took another's place may lack the last commits. */
static void set_back_to(struct pair *pair, const struct store_head *head)
{
    char text[512];
    (void)snprintf(text, sizeof text, "DELETE FROM strata_events WHERE position>%lld AND store=%%s",
                   (long long)head->position);
    do_by_hand(pair, text);
    int size =
        snprintf(text, sizeof text, "UPDATE strata_stores SET position=%lld, aggregate_count=%lld, chain='",
                 (long long)head->position, (long long)head->aggregate_count);
    size += (int)mysql_real_escape_string(pair->hands, text + size, (const char *)head->chain.bytes,
                                          sizeof head->chain);
    size += snprintf(text + size, sizeof text - (size_t)size, "' WHERE name='%s'", pair->name);
    assert_int_equal(mysql_real_query(pair->hands, text, (unsigned long)size), 0);
}

static void test_a_database_that_was_set_back(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(append_one(pair, 0, "a"), 1);
    const struct store_head first = store_driver_head(&pair->drivers[0]);
    assert_int_equal(append_one(pair, 0, "a"), 2);
    assert_int_equal(append_one(pair, 0, "a"), 3);
    set_back_to(pair, &first);
    assert_int_equal(append_one(pair, 0, "a"), 2);
    assert_int_equal(store_driver_head(&pair->drivers[0]).position, 2);
}

static void test_another_event_where_the_last_one_was(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(append_one(pair, 0, "a"), 1);
    const struct store_head first = store_driver_head(&pair->drivers[0]);
    assert_int_equal(append_one(pair, 0, "a"), 2);
    set_back_to(pair, &first);
    assert_int_equal(append_one(pair, 1, "b"), 1);
    assert_int_equal(append_one(pair, 1, "b"), 2);
    assert_int_equal(append_one(pair, 0, "a"), 2);
    assert_int_equal(append_one(pair, 0, "b"), 3);
    assert_int_equal(append_one(pair, 1, "a"), 3);
}

static void test_a_database_that_was_emptied(void **state)
{
    struct pair *pair = *state;
    const struct store_head none = store_driver_head(&pair->drivers[0]);
    assert_int_equal(append_one(pair, 0, "a"), 1);
    set_back_to(pair, &none);
    do_by_hand(pair, "DELETE FROM strata_aggregates WHERE store=%s");
    assert_int_equal(append_one(pair, 0, "a"), 1);
    assert_int_equal(store_driver_head(&pair->drivers[0]).position, 1);
}

static void test_aggregates_with_and_without_a_creation(void **state)
{
    struct pair *pair = *state;
    struct store_driver *driver = &pair->drivers[0];
    const struct append_event created[] = {sample_event("c0", "created", TYPE_AGGREGATE_CREATED, "custom"),
                                           sample_event("c1", "created", "changed", "custom")};
    const struct append append = sample_append(created, 2);
    assert_int_equal(store_driver_append(driver, &append).kind, APPEND_ACCEPTED);
    assert_int_equal(append_one(pair, 1, "created"), 2);
    assert_int_equal(append_one(pair, 1, "plain"), 1);
    struct aggregate_head head;
    assert_status_ok(
        driver->store->ops->aggregate(driver->store, BYTES_LITERAL("created"), driver->arena, &head));
    assert_int_equal(head.version, 2);
    assert_int_equal(head.event_count, 3);
    assert_int_equal(head.first_position, 1);
    assert_int_equal(head.position, 3);
    assert_status_ok(
        driver->store->ops->aggregate(driver->store, BYTES_LITERAL("plain"), driver->arena, &head));
    assert_int_equal(head.version, 1);
    assert_int_equal(head.event_count, 1);
    assert_int_equal(head.position, 4);
}

int mysql_known_heads_run(uint16_t port, int first, struct log *log)
{
    struct pair pair = {.port = port, .number = first, .log = log};
#define PAIR_TEST(test)                                                                                      \
    {                                                                                                        \
#test, test, set_up, tear_down, &pair                                                                \
    }
    const struct CMUnitTest tests[] = {
        PAIR_TEST(test_each_knows_what_the_other_appended),
        PAIR_TEST(test_very_many_of_the_others_events),
        PAIR_TEST(test_a_database_that_was_set_back),
        PAIR_TEST(test_another_event_where_the_last_one_was),
        PAIR_TEST(test_a_database_that_was_emptied),
        PAIR_TEST(test_aggregates_with_and_without_a_creation),
    };
#undef PAIR_TEST
    return cmocka_run_group_tests_name("mysql_known_heads", tests, NULL, NULL);
}
