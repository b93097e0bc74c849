/* Readers that overlap all the time: with glibc's default lock the commits beside them would wait for ever. */
#include <pthread.h>
#include <stdatomic.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "contract/store_driver.h"

#include "store/embedded/embedded_store.h"

#define AGGREGATES 3000
#define COMMITS    100
#define READERS    8U

struct reader {
    struct event_store *store;
    _Atomic bool stop;
};

static bool take_none(void *context, struct bytes id, const struct aggregate_head *head)
{
    (void)context;
    (void)id;
    (void)head;
    return false;
}

/* No aggregate is of this type, so each look goes through all of them with the lock held. */
static void *list_all_the_time(void *context)
{
    struct reader *reader = context;
    while (!reader->stop)
        assert_status_ok(
            reader->store->ops->aggregates(reader->store, BYTES_LITERAL("none"), 0, take_none, NULL));
    return NULL;
}

static void append_numbered(struct store_driver *driver, int first, int count)
{
    static struct append_event events[APPEND_EVENTS_MAX];
    for (int i = 0; i < count; i++) {
        const char *aggregate = arena_printf(driver->arena, "a%d", first + i);
        assert_non_null(aggregate);
        events[i] = numbered_event(driver, first + i, aggregate, "changed", "custom");
    }
    struct append append = sample_append(events, (size_t)count);
    append.ids_server_made = true;
    assert_int_equal(store_driver_append(driver, &append).kind, APPEND_ACCEPTED);
}

static void test_busy_readers_do_not_keep_commits_out(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct reader reader = {0};
    struct store_driver driver;
    pthread_t threads[READERS];
    const struct embedded_options options = {.segment_max_bytes = 4 * 1024 * 1024};
    assert_status_ok(
        embedded_store_open(&disk.files, &options, &system_clock, &system_entropy, NULL, &reader.store));
    store_driver_init(&driver, reader.store);
    for (int i = 0; i < AGGREGATES; i += 500)
        append_numbered(&driver, i, 500);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, list_all_the_time, &reader), 0);
    for (int i = 0; i < COMMITS; i++)
        append_numbered(&driver, AGGREGATES + i, 1);
    reader.stop = true;
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(store_driver_head(&driver).position, AGGREGATES + COMMITS);
    store_driver_done(&driver);
    event_store_close(reader.store);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_readers_do_not_keep_commits_out),
    };
    return cmocka_run_group_tests_name("embedded_busy_readers", tests, NULL, NULL);
}
