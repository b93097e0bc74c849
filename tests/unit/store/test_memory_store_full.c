/* The engine in memory without memory: a commit that cannot be kept is refused whole, and the next is welcome. */
#include "support/cmocka.h"

#include <stdlib.h>

#include "contract/store_driver.h"
#include "unit/store/failing_memory.h"

#include "store/memory/memory_store.h"

#define SEEDED 40 /* so that tables and lists grow with the commit */
#define ADDED  40

static struct append_event events[SEEDED + ADDED];

static void make_events(struct store_driver *driver)
{
    for (int i = 0; i < SEEDED + ADDED; i++) {
        const char *aggregate = arena_printf(driver->arena, "a%d", i);
        assert_non_null(aggregate);
        events[i] = numbered_event(driver, i, aggregate, "changed", "custom");
    }
}

/* Two appends of one batch: the second may fail when the first is entered. */
static struct decision decide_added(struct store_driver *driver, struct append appends[2])
{
    appends[0] = sample_append(events + SEEDED, ADDED / 2);
    appends[1] = sample_append(events + SEEDED + ADDED / 2, ADDED / 2);
    const struct append *const list[] = {&appends[0], &appends[1]};
    return store_driver_decide(driver, list, 2);
}

static bool count_record(void *context, int64_t position, struct record record)
{
    (void)record;
    int64_t *count = context;
    assert_int_equal(position, *count + 1);
    *count = position;
    return true;
}

static void check_holds(struct store_driver *driver, int64_t last)
{
    struct event_store *store = driver->store;
    assert_int_equal(store_driver_head(driver).position, last);
    int64_t found = 0;
    const struct read_query query = {.by = READ_BY_TYPE, .key = BYTES_LITERAL("changed")};
    assert_status_ok(store->ops->read(store, &query, count_record, &found));
    assert_int_equal(found, last);
    for (int64_t i = 0; i < SEEDED + ADDED; i++) {
        struct aggregate_head head;
        int64_t position = 0;
        assert_status_ok(store->ops->aggregate(store, events[i].aggregate_id, driver->arena, &head));
        assert_int_equal(head.exists, i < last);
        assert_status_ok(store->ops->find_id(store, events[i].id, &position));
        assert_int_equal(position, i < last ? i + 1 : 0);
    }
    struct event_store_stats stats;
    assert_status_ok(store->ops->stats(store, driver->arena, &stats));
    assert_int_equal(stats.event_count, last);
}

static void test_a_commit_without_memory_changes_nothing(void **state)
{
    (void)state;
    unsigned nth = 1;
    for (bool hit = true; hit; nth++) {
        struct event_store *store = NULL;
        struct store_driver driver;
        struct append appends[2];
        assert_status_ok(memory_store_open(&system_clock, &store));
        store_driver_init(&driver, store);
        make_events(&driver);
        const struct append seed = sample_append(events, SEEDED);
        assert_int_equal(store_driver_append(&driver, &seed).kind, APPEND_ACCEPTED);
        struct decision decision = decide_added(&driver, appends);
        failing_memory_from(nth);
        const struct status status = store_driver_commit(&driver, &decision);
        hit = failing_memory_stop();
        assert_int_equal(status.reason, hit ? REASON_STORE_FAILED : STATUS_REASON_NONE);
        if (hit) {
            check_holds(&driver, SEEDED);
            decision = decide_added(&driver, appends);
            assert_status_ok(store_driver_commit(&driver, &decision));
        }
        check_holds(&driver, SEEDED + ADDED);
        store_driver_done(&driver);
        event_store_close(store);
    }
    assert_in_range(nth, ADDED, 10000); /* or nothing was tried */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_commit_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests_name("memory_store_full", tests, NULL, NULL);
}
