/* Batches are committed whole, on the facts they were decided on; one of many writers wins. */
#include "contract/event_store_suite_internal.h"

#include "support/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "contract/store_driver.h"
#include "store/writer.h"

#include "base/clock.h"
#include "base/entropy.h"

static bool never_called(void *context, int64_t position, struct record record)
{
    (void)context;
    (void)record;
    fail_msg("an empty store delivered position %lld", (long long)position);
    return false;
}

static void test_an_empty_store_has_nothing(void **state)
{
    struct suite_fixture *fixture = *state;
    struct event_store *store = fixture->store;
    const struct store_head head = store_driver_head(&fixture->driver);
    assert_int_equal(head.position, 0);
    assert_int_equal(head.aggregate_count, 0);
    const struct sha256 zero = {{0}};
    assert_memory_equal(&head.chain, &zero, sizeof zero);
    for (int by = READ_BY_POSITION; by <= READ_BY_TAG; by++) {
        const struct read_query query = {.by = (enum read_by)by,
                                         .key = BYTES_LITERAL("x"),
                                         .to_version = INT32_MAX,
                                         .backward = by % 2 == 1};
        assert_status_ok(store->ops->read(store, &query, never_called, NULL));
    }
    struct aggregate_head aggregate = {.exists = true};
    assert_status_ok(store->ops->aggregate(store, BYTES_LITERAL("x"), fixture->driver.arena, &aggregate));
    assert_false(aggregate.exists);
    int64_t position = -1;
    assert_status_ok(store->ops->find_id(store, BYTES_LITERAL("x"), &position));
    assert_int_equal(position, 0);
    assert_status_ok(store->ops->find_time(store, INT64_MAX, &position));
    assert_int_equal(position, 0);
    assert_status_ok(store->ops->health(store));
}

static void test_facts_give_whole_earlier_appends(void **state)
{
    struct suite_fixture *fixture = *state;
    struct append_event events[3];
    for (int i = 0; i < 3; i++)
        events[i] = numbered_event(&fixture->driver, i, i == 1 ? "b" : "a", "changed", "custom");
    const struct append append = sample_append(events, 3);
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);

    const struct bytes aggregates[] = {BYTES_LITERAL("b"), BYTES_LITERAL("none"), BYTES_LITERAL("a")};
    const struct bytes ids[] = {BYTES_LITERAL("e1"), BYTES_LITERAL("none")};
    const struct facts_request request = {aggregates, 3, ids, 2};
    struct facts facts = {0};
    assert_status_ok(fixture->store->ops->facts(fixture->store, &request, fixture->driver.arena, &facts));
    assert_int_equal(facts.head.position, 3);
    assert_int_equal(facts.heads[0].version, 1);
    assert_false(facts.heads[1].exists);
    assert_int_equal(facts.heads[2].version, 2);
    assert_int_equal(facts.earlier[1].count, 0);
    assert_null(facts.earlier[0].unreadable);
    assert_null(facts.earlier[1].unreadable);
    assert_int_equal(facts.earlier[0].count, 3); /* the middle event stands for its whole append */
    for (size_t i = 0; i < 3; i++)
        assert_true(bytes_equal(facts.earlier[0].records[i].bytes, outcome.records[i].bytes));
}

/* Two batches decided on the same facts: the second one must not be written over the first. */
static void test_a_commit_decided_at_another_head_is_refused(void **state)
{
    struct suite_fixture *fixture = *state;
    struct append_event first = numbered_event(&fixture->driver, 1, "a", "changed", "custom");
    struct append_event second = numbered_event(&fixture->driver, 2, "a", "changed", "custom");
    const struct append appends[] = {sample_append(&first, 1), sample_append(&second, 1)};
    const struct append *one = &appends[0];
    const struct append *other = &appends[1];
    struct decision decided = store_driver_decide(&fixture->driver, &one, 1);
    struct decision late = store_driver_decide(&fixture->driver, &other, 1);
    assert_status_ok(store_driver_commit(&fixture->driver, &decided));
    const struct status refused = store_driver_commit(&fixture->driver, &late);
    if (fixture->store->pipelined)
        assert_reason(refused, REASON_STORE_FAILED); /* nobody else appends: it is our own fault */
    else
        assert_status(refused, STATUS_ABORTED);
    assert_int_equal(store_driver_head(&fixture->driver).position, 1);
    int64_t position = -1;
    assert_status_ok(fixture->store->ops->find_id(fixture->store, second.id, &position));
    assert_int_equal(position, 0);
    assert_int_equal(store_driver_append(&fixture->driver, other).kind, APPEND_ACCEPTED);
}

/* Looks at two aggregates that every batch moves together; the one that is looked at later is never behind. Where appends
 * become visible one by one that is so only if the later append is looked at first. */
struct watcher {
    struct event_store *store;
    struct bytes first;
    struct bytes second;
    _Atomic bool stop;
    _Atomic int torn;
    _Atomic int failed;
};

static int32_t version_of(struct watcher *watcher, struct arena *arena, struct bytes id)
{
    struct aggregate_head head = {0};
    const struct status status = watcher->store->ops->aggregate(watcher->store, id, arena, &head);
    if (status.code != STATUS_OK)
        watcher->failed++;
    return head.version;
}

static void *watch(void *context)
{
    struct watcher *watcher = context;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    while (arena != NULL && !watcher->stop) {
        arena_reset(arena);
        const int32_t before = version_of(watcher, arena, watcher->first);
        if (version_of(watcher, arena, watcher->second) < before)
            watcher->torn++;
    }
    return NULL;
}

static void test_a_batch_is_seen_whole_or_in_order(void **state)
{
    struct suite_fixture *fixture = *state;
    const bool in_order = fixture->kind->append_by_append;
    struct watcher watcher = {.store = fixture->store,
                              .first = in_order ? BYTES_LITERAL("b") : BYTES_LITERAL("a"),
                              .second = in_order ? BYTES_LITERAL("a") : BYTES_LITERAL("b")};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (int i = 0; i < 100; i++) {
        struct append_event events[2] = {
            numbered_event(&fixture->driver, 2 * i, "a", "changed", "custom"),
            numbered_event(&fixture->driver, 2 * i + 1, "b", "changed", "custom")};
        const struct append appends[2] = {sample_append(&events[0], 1), sample_append(&events[1], 1)};
        const struct append *const both[2] = {&appends[0], &appends[1]};
        struct decision decision = store_driver_decide(&fixture->driver, both, 2);
        assert_status_ok(store_driver_commit(&fixture->driver, &decision));
    }
    watcher.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(watcher.torn, 0);
    assert_int_equal(watcher.failed, 0);
}

/* The bounds of an append are the same on every engine. */
static void test_the_largest_appends_fit(void **state)
{
    struct suite_fixture *fixture = *state;
    static struct append_event many[APPEND_EVENTS_MAX];
    for (size_t i = 0; i < APPEND_EVENTS_MAX; i++)
        many[i] = numbered_event(&fixture->driver, (int)i, "many", "changed", "custom");
    const struct append crowd = sample_append(many, APPEND_EVENTS_MAX);
    assert_int_equal(store_driver_append(&fixture->driver, &crowd).kind, APPEND_ACCEPTED);

    uint8_t *data = arena_alloc(fixture->driver.arena, EVENT_DATA_MAX);
    assert_non_null(data);
    memset(data, 'x', EVENT_DATA_MAX);
    struct append_event large[2];
    for (int i = 0; i < 2; i++) {
        large[i] = numbered_event(&fixture->driver, 2000 + i, "large", "changed", "custom");
        large[i].content_type = BYTES_LITERAL("application/octet-stream");
        large[i].data = bytes_of(data, EVENT_DATA_MAX);
    }
    const struct append heavy = sample_append(large, 2);
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &heavy);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    assert_int_equal(outcome.first_position, APPEND_EVENTS_MAX + 1);
    const struct append_outcome again = store_driver_append(&fixture->driver, &heavy);
    assert_int_equal(again.kind, APPEND_REPLAYED);
    assert_int_equal(again.first_position, outcome.first_position);
}

/* ---- behind the writer ---- */

#define RACERS      8
#define RACE_ROUNDS 25

/* One append and its answer. The append stands first, so that on_done finds the rest. */
struct request {
    struct append append;
    struct append_event event;
    struct expectation expectation;
    char id[32];
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool answered;
    enum append_outcome_kind kind;
    enum status_reason reason;
    int32_t current_version;
};

static void take_outcome(struct append *append, const struct append_outcome *outcome)
{
    struct request *request = (struct request *)append;
    pthread_mutex_lock(&request->lock);
    request->kind = outcome->kind;
    request->reason = outcome->status.reason;
    request->current_version = outcome->status.current_version;
    request->answered = true;
    pthread_cond_signal(&request->came);
    pthread_mutex_unlock(&request->lock);
}

static enum append_outcome_kind ask(struct writer *writer, struct request *request, int racer, int round,
                                    int32_t version)
{
    *request = (struct request){.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    (void)snprintf(request->id, sizeof request->id, "racer-%d-%d-%d", racer, round, version);
    request->event = sample_event(request->id, "contested", "changed", "custom");
    request->expectation = (struct expectation){BYTES_LITERAL("contested"), EXPECT_VERSION, version};
    request->append = sample_append(&request->event, 1);
    request->append.expectations = &request->expectation;
    request->append.expectation_count = 1;
    request->append.on_done = take_outcome;
    const struct status status = writer_submit(writer, &request->append);
    if (status.code != STATUS_OK)
        return APPEND_REFUSED;
    pthread_mutex_lock(&request->lock);
    while (!request->answered)
        pthread_cond_wait(&request->came, &request->lock);
    pthread_mutex_unlock(&request->lock);
    return request->kind;
}

struct racer {
    struct writer *writer;
    int number;
    int won;
    int wrong; /* answers that are neither a win, a conflict nor the replay of a win */
};

/* Tries until it has won RACE_ROUNDS versions; each win is then repeated, as after a lost answer. */
static void *race(void *context)
{
    struct racer *racer = context;
    struct request request;
    int32_t version = 0;
    while (racer->won < RACE_ROUNDS && racer->wrong == 0) {
        const enum append_outcome_kind kind =
            ask(racer->writer, &request, racer->number, racer->won, version);
        if (kind == APPEND_ACCEPTED) {
            racer->wrong +=
                ask(racer->writer, &request, racer->number, racer->won, version) != APPEND_REPLAYED;
            racer->won++;
            version++;
        } else {
            racer->wrong += request.reason != REASON_VERSION_CONFLICT || request.current_version <= version;
            version = request.current_version;
        }
    }
    return NULL;
}

static void test_one_of_many_writers_wins_each_version(void **state)
{
    struct suite_fixture *fixture = *state;
    const struct writer_options options = {0};
    struct writer *writer = NULL;
    assert_status_ok(writer_start(fixture->store, &options, &system_clock, &system_entropy, &writer));
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.writer = writer, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(racers[i].wrong, 0);
    }
    struct writer_stats stats;
    writer_stats(writer, &stats);
    writer_stop(writer);
    assert_int_equal(stats.events, RACERS * RACE_ROUNDS);
    assert_int_equal(stats.replays, RACERS * RACE_ROUNDS);
    assert_int_equal(store_driver_head(&fixture->driver).position, RACERS * RACE_ROUNDS);
    struct aggregate_head head;
    assert_status_ok(fixture->store->ops->aggregate(fixture->store, BYTES_LITERAL("contested"),
                                                    fixture->driver.arena, &head));
    assert_int_equal(head.version, RACERS * RACE_ROUNDS);
}

int event_store_commits_run(const struct event_store_kind *kind)
{
    void *initial = (void *)(uintptr_t)kind; /* cmocka hands it on and writes nothing to it */
    const struct CMUnitTest tests[] = {
        SUITE_TEST(test_an_empty_store_has_nothing),
        SUITE_TEST(test_facts_give_whole_earlier_appends),
        SUITE_TEST(test_a_commit_decided_at_another_head_is_refused),
        SUITE_TEST(test_a_batch_is_seen_whole_or_in_order),
        SUITE_TEST(test_the_largest_appends_fit),
        SUITE_TEST(test_one_of_many_writers_wins_each_version),
    };
    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
