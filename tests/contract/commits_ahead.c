#include "contract/commits_ahead.h"

#include "support/cmocka.h"

#include <time.h>

#include "contract/store_driver.h"

#include "base/clock.h"

#define ROUNDS 50

/* Two processes on one store. */
struct pair {
    struct store_driver driver;
    struct store_driver rival;
    int events;
};

static void open_pair(struct pair *pair, void **state)
{
    struct database_place *place = *state;
    *pair = (struct pair){0};
    store_driver_init(&pair->driver, database_place_new(place));
    store_driver_init(&pair->rival, database_place_again(place));
    pair->rival.entropy = seeded_entropy_from(2);
}

static void close_pair(struct pair *pair)
{
    event_store_close(pair->driver.store);
    event_store_close(pair->rival.store);
    store_driver_done(&pair->driver);
    store_driver_done(&pair->rival);
}

/* An append of a new event; it lives as long as the driver. */
static const struct append *prepare(struct store_driver *driver, int number, const char *aggregate)
{
    struct append_event *event = arena_alloc(driver->arena, sizeof *event);
    struct append *append = arena_alloc(driver->arena, sizeof *append);
    assert_non_null(event);
    assert_non_null(append);
    *event = numbered_event(driver, number, aggregate, "changed", "custom");
    *append = sample_append(event, 1);
    return append;
}

static struct decision decide_first(struct pair *pair, const char *aggregate)
{
    const struct append *append = prepare(&pair->driver, pair->events++, aggregate);
    return store_driver_decide(&pair->driver, &append, 1);
}

static struct decision decide_ahead(struct pair *pair, const char *aggregate, const struct decision *before)
{
    return store_driver_decide_ahead(&pair->driver, prepare(&pair->driver, pair->events++, aggregate),
                                     before);
}

static void append_as_rival(struct pair *pair, int number, const char *aggregate)
{
    assert_int_equal(store_driver_append(&pair->rival, prepare(&pair->rival, number, aggregate)).kind,
                     APPEND_ACCEPTED);
}

static void assert_next_is_appended(struct pair *pair, int64_t position)
{
    struct decision next = decide_first(pair, "next");
    assert_int_equal(next.batch.appends[0].first_position, position);
    assert_status_ok(store_driver_commit(&pair->driver, &next));
    assert_int_equal(store_driver_head(&pair->rival).position, position);
}

static int32_t version_of(struct store_driver *driver, const char *aggregate)
{
    struct aggregate_head head;
    assert_status_ok(
        driver->store->ops->aggregate(driver->store, bytes_of_text(aggregate), driver->arena, &head));
    return head.exists ? head.version : -1;
}

/* Each is decided and handed over while the one before it may be under way: to aggregates that are known, and that are not. */
static void test_batches_follow_each_other(void **state)
{
    struct pair pair;
    struct store_driver_answer answers[ROUNDS];
    struct decision decisions[ROUNDS];
    open_pair(&pair, state);
    decisions[0] = decide_first(&pair, "a");
    store_driver_begin(&pair.driver, &decisions[0], &answers[0]);
    for (int i = 1; i < ROUNDS; i++) {
        decisions[i] = decide_ahead(&pair, i % 3 == 0 ? arena_printf(pair.driver.arena, "new-%d", i) : "a",
                                    &decisions[i - 1]);
        store_driver_begin(&pair.driver, &decisions[i], &answers[i]);
        assert_status_ok(store_driver_await(&answers[i - 1]));
    }
    assert_status_ok(store_driver_await(&answers[ROUNDS - 1]));
    for (int i = 0; i < ROUNDS; i++)
        overlay_free(decisions[i].overlay);
    assert_int_equal(store_driver_head(&pair.rival).position, ROUNDS);
    assert_int_equal(version_of(&pair.rival, "a"), ROUNDS - (ROUNDS - 1) / 3);
    assert_next_is_appended(&pair, ROUNDS + 1);
    close_pair(&pair);
}

static void test_a_rival_before_the_facts(void **state)
{
    struct pair pair;
    open_pair(&pair, state);
    struct decision first = decide_first(&pair, "a");
    assert_status_ok(store_driver_commit(&pair.driver, &first));
    append_as_rival(&pair, 1000, "a");
    const struct bytes asked[] = {BYTES_LITERAL("not known")};
    const struct facts_request request = {.aggregate_ids = asked, .aggregate_count = 1};
    struct facts facts = {0};
    const struct event_store_ops *ops = pair.driver.store->ops;
    assert_int_equal(ops->facts_ahead(pair.driver.store, &request, pair.driver.arena, &facts).code,
                     STATUS_ABORTED);
    assert_next_is_appended(&pair, 3);
    close_pair(&pair);
}

/* The rival takes the position, the aggregate's version, or the very event id: nothing of the batch is written. */
static void test_a_rival_behind_the_facts(void **state)
{
    static const char *const aggregates[] = {"a", "b", "new"};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        open_pair(&pair, state);
        append_as_rival(&pair, 1000, "b");
        struct decision first = decide_first(&pair, "a");
        struct store_driver_answer answer;
        store_driver_begin(&pair.driver, &first, &answer);
        struct decision second = decide_ahead(&pair, aggregates[i], &first);
        assert_status_ok(store_driver_await(&answer));
        append_as_rival(&pair, i == 2 ? 1 : 1001, aggregates[i]);
        assert_int_equal(store_driver_commit(&pair.driver, &second).code, STATUS_ABORTED);
        overlay_free(first.overlay);
        assert_int_equal(store_driver_head(&pair.rival).position, 3);
        assert_int_equal(version_of(&pair.rival, aggregates[i]), i == 2 ? 1 : 2);
        assert_next_is_appended(&pair, 4);
        close_pair(&pair);
    }
}

/* The rival has the lock on the head. What was decided on a batch that then was not written is not written either, and what it
 * made of heads is not remembered. */
static void test_the_batch_before_is_overtaken(void **state)
{
    struct pair pair;
    open_pair(&pair, state);
    struct decision base = decide_first(&pair, "a");
    struct store_driver_answer answers[2];
    assert_status_ok(store_driver_commit(&pair.driver, &base));
    struct decision first = decide_ahead(&pair, "a", &(struct decision){0});
    const struct append *rivals = prepare(&pair.rival, 1000, "a");
    struct decision before_all = store_driver_decide(&pair.rival, &rivals, 1);
    store_driver_begin(&pair.driver, &first, &answers[0]);
    struct decision second = decide_ahead(&pair, "a", &first);
    store_driver_begin(&pair.driver, &second, &answers[1]);
    assert_status_ok(store_driver_commit(&pair.rival, &before_all));
    assert_int_equal(store_driver_await(&answers[0]).code, STATUS_ABORTED);
    assert_int_equal(store_driver_await(&answers[1]).code, STATUS_ABORTED);
    overlay_free(first.overlay);
    overlay_free(second.overlay);
    assert_int_equal(store_driver_head(&pair.rival).position, 2);
    struct decision again = decide_first(&pair, "a");
    assert_int_equal(again.batch.appends[0].fields[0].version, 3);
    assert_status_ok(store_driver_commit(&pair.driver, &again));
    close_pair(&pair);
}

/* An id of the batch under way, and one that was there before. */
static void test_ids_that_are_taken_are_known_ahead(void **state)
{
    struct pair pair;
    open_pair(&pair, state);
    struct decision base = decide_first(&pair, "a");
    assert_status_ok(store_driver_commit(&pair.driver, &base));
    struct decision first = decide_first(&pair, "a");
    struct store_driver_answer answer;
    store_driver_begin(&pair.driver, &first, &answer);
    for (int number = 0; number < 2; number++) {
        struct decision again =
            store_driver_decide_ahead(&pair.driver, prepare(&pair.driver, number, "a"), &first);
        assert_int_equal(again.outcomes[0].kind, APPEND_REPLAYED);
        assert_int_equal(again.batch.append_count, 0);
        overlay_free(again.overlay);
    }
    assert_status_ok(store_driver_await(&answer));
    overlay_free(first.overlay);
    close_pair(&pair);
}

static void *release_later(void *context)
{
    const struct timespec pause = {.tv_nsec = 300000000L};
    struct event_store *store = context;
    (void)nanosleep(&pause, NULL); /* nothing interrupts a test; shorter can only let it pass */
    store->ops->release(store);
    return NULL;
}

/* Facts that waited for the lock say the time behind the wait; from there it goes on. The server has the system's clock. */
static void test_the_time_ahead_has_come(void **state)
{
    struct pair pair;
    pthread_t thread;
    struct facts facts = {0};
    const struct facts_request request = {.aggregate_ids = (const struct bytes[]){BYTES_LITERAL("a")},
                                          .aggregate_count = 1};
    open_pair(&pair, state);
    const struct append *rivals = prepare(&pair.rival, 1000, "a");
    struct decision held = store_driver_decide(&pair.rival, &rivals, 1);
    assert_int_equal(pthread_create(&thread, NULL, release_later, pair.rival.store), 0);
    struct decision first = decide_first(&pair, "a");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_status_ok(store_driver_commit(&pair.driver, &first));
    const struct event_store_ops *ops = pair.driver.store->ops;
    assert_status_ok(ops->facts_ahead(pair.driver.store, &request, pair.driver.arena, &facts));
    assert_in_range(facts.now_us, 1, clock_now_us(&system_clock));
    overlay_free(held.overlay);
    close_pair(&pair);
}

int commits_ahead_run(struct database_place *place)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_batches_follow_each_other, place),
        cmocka_unit_test_prestate(test_a_rival_before_the_facts, place),
        cmocka_unit_test_prestate(test_a_rival_behind_the_facts, place),
        cmocka_unit_test_prestate(test_the_batch_before_is_overtaken, place),
        cmocka_unit_test_prestate(test_ids_that_are_taken_are_known_ahead, place),
        cmocka_unit_test_prestate(test_the_time_ahead_has_come, place),
    };
    return cmocka_run_group_tests_name("commits_ahead", tests, NULL, NULL);
}
