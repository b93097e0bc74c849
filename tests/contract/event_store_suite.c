#include "contract/event_store_suite.h"

#include "support/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/store_driver.h"
#include "store/writer.h"

#include "base/clock.h"
#include "base/entropy.h"

/* One test's store. The kind comes in as cmocka's initial state. */
struct fixture {
    const struct event_store_kind *kind;
    struct event_store *store;
    struct store_driver driver;
};

static int open_store(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->kind = *state;
    fixture->store = fixture->kind->open(fixture->kind->context);
    store_driver_init(&fixture->driver, fixture->store);
    *state = fixture;
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    store_driver_done(&fixture->driver);
    fixture->kind->close(fixture->kind->context, fixture->store);
    free(fixture);
    return 0;
}

static void reopen_store(struct fixture *fixture)
{
    fixture->store = fixture->kind->reopen(fixture->kind->context, fixture->store);
    fixture->driver.store = fixture->store;
}

/* ---- a history to ask about ---- */

#define HISTORY_AGGREGATES 12
#define HISTORY_EVENTS     300
#define QUERY_KEY_BYTES    32

/* What was appended, as it should be read. */
struct history {
    struct record records[HISTORY_EVENTS + 8];
    struct event_fields fields[HISTORY_EVENTS + 8];
    size_t count;
    struct sha256 chain;
    bool known[HISTORY_AGGREGATES];
};

static const char *const aggregate_types[] = {"user", "order", "custom"};
static const char *const correlations[] = {"", "corr-1", "corr-2"};
static const char *const tags[] = {"color:red", "color:blue", "size:1", "size:2"};

static struct append_event random_event(struct fixture *fixture, struct history *history, uint64_t *random,
                                        int number)
{
    const size_t which = (size_t)random_below(random, HISTORY_AGGREGATES);
    char aggregate_id[16];
    (void)snprintf(aggregate_id, sizeof aggregate_id, "aggregate-%zu", which);
    const char *type = random_below(random, 2) == 0 ? "changed" : "renamed";
    if (!history->known[which] && random_below(random, 2) == 0)
        type = TYPE_AGGREGATE_CREATED;
    history->known[which] = true;
    struct append_event event =
        numbered_event(&fixture->driver, number, aggregate_id, type, aggregate_types[which % 3]);
    event.correlation_id = bytes_of_text(correlations[random_below(random, 3)]);
    event.tag_count = (size_t)random_below(random, 3);
    event.tags[0] = bytes_of_text(tags[random_below(random, 2)]);
    event.tags[1] = bytes_of_text(tags[2 + random_below(random, 2)]);
    event.data = bytes_of_text(arena_printf(fixture->driver.arena, "{\"number\":%d}", number));
    return event;
}

static void remember(struct history *history, const struct append_outcome *outcome)
{
    struct sha256 leaves[8];
    assert_true(outcome->record_count <= ARRAY_SIZE(leaves));
    for (size_t i = 0; i < outcome->record_count; i++) {
        history->records[history->count] = outcome->records[i];
        assert_status_ok(record_decode(outcome->records[i], &history->fields[history->count]));
        leaves[i] = record_leaf(outcome->records[i]);
        history->count++;
    }
    history->chain = chain_next(&history->chain, outcome->first_position, leaves, outcome->record_count);
}

/* Appends of 1 to 5 events to several aggregates, the clock moving now and then. */
static struct history *write_history(struct fixture *fixture, uint64_t seed)
{
    struct history *history = arena_zalloc(fixture->driver.arena, sizeof *history);
    assert_non_null(history);
    uint64_t random = seed;
    while (history->count < HISTORY_EVENTS) {
        struct append_event events[5];
        const size_t count = 1 + (size_t)random_below(&random, ARRAY_SIZE(events));
        for (size_t i = 0; i < count; i++)
            events[i] = random_event(fixture, history, &random, (int)(history->count + i));
        manual_clock_advance_us(&fixture->driver.clock, (int64_t)random_below(&random, 3) * 50);
        const struct append append = sample_append(events, count);
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        assert_int_equal(outcome.kind, APPEND_ACCEPTED);
        remember(history, &outcome);
    }
    return history;
}

static bool has_tag(const struct event_fields *fields, struct bytes tag)
{
    for (size_t i = 0; i < fields->tag_count; i++) {
        if (bytes_equal(fields->tags[i], tag))
            return true;
    }
    return false;
}

static bool is_asked(const struct read_query *query, const struct event_fields *fields, size_t count)
{
    const int64_t head = (int64_t)count;
    const int64_t to = query->to_position == 0 || query->to_position > head ? head : query->to_position;
    if (fields->position <= query->after_position || fields->position > to)
        return false;
    switch (query->by) {
    case READ_BY_POSITION:
        return true;
    case READ_BY_AGGREGATE:
        return bytes_equal(fields->aggregate_id, query->key) && fields->version >= query->from_version &&
               fields->version <= query->to_version;
    case READ_BY_TYPE:
        return bytes_equal(fields->type, query->key);
    case READ_BY_AGGREGATE_TYPE:
        return bytes_equal(fields->aggregate_type, query->key);
    case READ_BY_CORRELATION:
        return bytes_equal(fields->correlation_id, query->key);
    case READ_BY_TAG:
        return has_tag(fields, query->key);
    }
    return false;
}

/* Compares what comes with what should, and stops after `most`. */
struct comparison {
    const struct history *history;
    const struct read_query *query;
    int64_t next; /* where to look for the next expected one */
    size_t seen;
    size_t most;
};

/* The next position that the query should deliver at or behind comparison->next; 0 = none. */
static int64_t expected_next(struct comparison *comparison)
{
    const struct history *history = comparison->history;
    const int64_t step = comparison->query->backward ? -1 : 1;
    for (int64_t at = comparison->next; at >= 1 && at <= (int64_t)history->count; at += step) {
        if (is_asked(comparison->query, &history->fields[at - 1], history->count)) {
            comparison->next = at + step;
            return at;
        }
    }
    comparison->next = 0;
    return 0;
}

static bool compare_record(void *context, int64_t position, struct record record)
{
    struct comparison *comparison = context;
    assert_int_equal(position, expected_next(comparison));
    const struct record *expected = &comparison->history->records[position - 1];
    assert_int_equal(record.header_bytes, expected->header_bytes);
    assert_true(bytes_equal(record.bytes, expected->bytes));
    comparison->seen++;
    return comparison->seen < comparison->most;
}

static void check_query(struct fixture *fixture, const struct history *history,
                        const struct read_query *query, size_t most)
{
    struct comparison comparison = {history, query, query->backward ? (int64_t)history->count : 1, 0, most};
    assert_status_ok(fixture->store->ops->read(fixture->store, query, compare_record, &comparison));
    if (comparison.seen < most)
        assert_int_equal(expected_next(&comparison), 0);
}

static struct read_query random_query(uint64_t *random, char key[QUERY_KEY_BYTES])
{
    struct read_query query = {
        .by = (enum read_by)random_below(random, 6),
        .backward = random_below(random, 2) == 0,
        .after_position = random_below(random, 2) == 0 ? 0 : (int64_t)random_below(random, HISTORY_EVENTS),
        .to_position = random_below(random, 2) == 0 ? 0 : (int64_t)random_below(random, HISTORY_EVENTS + 20),
        .from_version = random_below(random, 2) == 0 ? 0 : (int32_t)random_below(random, 30),
        .to_version = random_below(random, 2) == 0 ? INT32_MAX : (int32_t)random_below(random, 30),
    };
    key[0] = '\0';
    if (query.by == READ_BY_AGGREGATE)
        (void)snprintf(key, QUERY_KEY_BYTES, "aggregate-%d",
                       (int)random_below(random, HISTORY_AGGREGATES + 1));
    if (query.by == READ_BY_TYPE)
        (void)snprintf(key, QUERY_KEY_BYTES, "%s", random_below(random, 4) == 0 ? "never" : "changed");
    if (query.by == READ_BY_AGGREGATE_TYPE)
        (void)snprintf(key, QUERY_KEY_BYTES, "%s", aggregate_types[random_below(random, 3)]);
    if (query.by == READ_BY_CORRELATION)
        (void)snprintf(key, QUERY_KEY_BYTES, "corr-%d", 1 + (int)random_below(random, 3));
    if (query.by == READ_BY_TAG)
        (void)snprintf(key, QUERY_KEY_BYTES, "%s", tags[random_below(random, 4)]);
    query.key = bytes_of_text(key);
    return query;
}

static void check_reads(struct fixture *fixture, const struct history *history)
{
    uint64_t random = 99;
    for (int i = 0; i < 400; i++) {
        char key[QUERY_KEY_BYTES];
        const struct read_query query = random_query(&random, key);
        const size_t most = random_below(&random, 3) == 0 ? 1 + (size_t)random_below(&random, 9) : SIZE_MAX;
        check_query(fixture, history, &query, most);
    }
}

/* ---- the tests ---- */

static bool never_called(void *context, int64_t position, struct record record)
{
    (void)context;
    (void)record;
    fail_msg("an empty store delivered position %lld", (long long)position);
    return false;
}

static void test_an_empty_store_has_nothing(void **state)
{
    struct fixture *fixture = *state;
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

static void test_reads_deliver_what_was_written_by_every_key(void **state)
{
    struct fixture *fixture = *state;
    check_reads(fixture, write_history(fixture, 1));
}

static void test_the_head_follows_the_last_append(void **state)
{
    struct fixture *fixture = *state;
    const struct history *history = write_history(fixture, 2);
    const struct store_head head = store_driver_head(&fixture->driver);
    assert_int_equal(head.position, history->count);
    assert_int_equal(head.timestamp_us, history->fields[history->count - 1].timestamp_us);
    assert_memory_equal(&head.chain, &history->chain, sizeof head.chain);
    int64_t known = 0;
    for (size_t i = 0; i < HISTORY_AGGREGATES; i++)
        known += history->known[i];
    assert_int_equal(head.aggregate_count, known);
}

static void check_aggregates(struct fixture *fixture, const struct history *history)
{
    for (size_t i = 0; i < HISTORY_AGGREGATES; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "aggregate-%zu", i);
        struct aggregate_head head;
        assert_status_ok(
            fixture->store->ops->aggregate(fixture->store, bytes_of_text(id), fixture->driver.arena, &head));
        assert_int_equal(head.exists, history->known[i]);
        struct aggregate_head expected = {0};
        for (size_t j = 0; j < history->count; j++) {
            const struct event_fields *fields = &history->fields[j];
            if (!bytes_equal(fields->aggregate_id, bytes_of_text(id)))
                continue;
            if (expected.event_count++ == 0)
                expected.first_position = fields->position;
            expected.version = fields->version;
            expected.position = fields->position;
            expected.type = fields->aggregate_type;
        }
        if (!head.exists)
            continue;
        assert_int_equal(head.version, expected.version);
        assert_int_equal(head.first_position, expected.first_position);
        assert_int_equal(head.position, expected.position);
        assert_int_equal(head.event_count, expected.event_count);
        assert_true(bytes_equal(head.type, expected.type));
    }
}

static void test_aggregates_know_their_heads(void **state)
{
    struct fixture *fixture = *state;
    check_aggregates(fixture, write_history(fixture, 3));
}

struct listing {
    int64_t last_first_position;
    struct bytes type; /* empty = any */
    size_t count;
    size_t most;
};

static bool list_one(void *context, struct bytes id, const struct aggregate_head *head)
{
    struct listing *listing = context;
    assert_true(id.size_bytes > 0);
    assert_true(head->exists);
    assert_true(head->first_position > listing->last_first_position);
    if (listing->type.size_bytes > 0)
        assert_true(bytes_equal(head->type, listing->type));
    listing->last_first_position = head->first_position;
    listing->count++;
    return listing->count < listing->most;
}

static void test_aggregates_are_listed_in_order_of_their_first_event(void **state)
{
    struct fixture *fixture = *state;
    struct event_store *store = fixture->store;
    (void)write_history(fixture, 4);
    struct listing all = {.most = SIZE_MAX};
    assert_status_ok(store->ops->aggregates(store, BYTES_NONE, 0, list_one, &all));
    assert_int_equal(all.count, store_driver_head(&fixture->driver).aggregate_count);

    struct listing two = {.most = 2};
    assert_status_ok(store->ops->aggregates(store, BYTES_NONE, 0, list_one, &two));
    assert_int_equal(two.count, 2);
    struct listing rest = {.last_first_position = two.last_first_position, .most = SIZE_MAX};
    assert_status_ok(store->ops->aggregates(store, BYTES_NONE, two.last_first_position, list_one, &rest));
    assert_int_equal(rest.count, all.count - 2);

    size_t typed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(aggregate_types); i++) {
        struct listing one = {.type = bytes_of_text(aggregate_types[i]), .most = SIZE_MAX};
        assert_status_ok(store->ops->aggregates(store, one.type, 0, list_one, &one));
        typed += one.count;
    }
    assert_int_equal(typed, all.count);
}

static void test_facts_give_whole_earlier_appends(void **state)
{
    struct fixture *fixture = *state;
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

static void check_finds(struct fixture *fixture, const struct history *history)
{
    struct event_store *store = fixture->store;
    int64_t position = 0;
    for (size_t i = 0; i < history->count; i++) {
        assert_status_ok(store->ops->find_id(store, history->fields[i].id, &position));
        assert_int_equal(position, i + 1);
        const int64_t time_us = history->fields[i].timestamp_us;
        int64_t expected = 0;
        while (expected < (int64_t)history->count && history->fields[expected].timestamp_us <= time_us)
            expected++;
        assert_status_ok(store->ops->find_time(store, time_us, &position));
        assert_int_equal(position, expected);
    }
    assert_status_ok(store->ops->find_time(store, history->fields[0].timestamp_us - 1, &position));
    assert_int_equal(position, 0);
    assert_status_ok(store->ops->find_time(store, INT64_MAX, &position));
    assert_int_equal(position, history->count);
    assert_status_ok(store->ops->find_id(store, BYTES_LITERAL("none"), &position));
    assert_int_equal(position, 0);
}

static void test_events_are_found_by_id_and_time(void **state)
{
    struct fixture *fixture = *state;
    check_finds(fixture, write_history(fixture, 5));
}

static int64_t count_of(const struct type_count *counts, size_t count, const char *type)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(counts[i].type, bytes_of_text(type)))
            return counts[i].count;
    }
    return 0;
}

static void check_stats(struct fixture *fixture, const struct history *history)
{
    struct event_store_stats stats = {0};
    assert_status_ok(fixture->store->ops->stats(fixture->store, fixture->driver.arena, &stats));
    assert_string_equal(stats.engine, fixture->kind->name);
    assert_true(stats.size_bytes > 0);
    int64_t system = 0;
    int64_t changed = 0;
    for (size_t i = 0; i < history->count; i++) {
        system += history->fields[i].type.data[0] == '$';
        changed += bytes_equal(history->fields[i].type, BYTES_LITERAL("changed"));
    }
    assert_int_equal(stats.system_event_count, system);
    assert_int_equal(stats.event_count, (int64_t)history->count - system);
    assert_int_equal(count_of(stats.events_by_type, stats.event_type_count, "changed"), changed);
    int64_t aggregates = 0;
    for (size_t i = 0; i < ARRAY_SIZE(aggregate_types); i++)
        aggregates += count_of(stats.aggregates_by_type, stats.aggregate_type_count, aggregate_types[i]);
    assert_int_equal(aggregates, store_driver_head(&fixture->driver).aggregate_count);
}

static void test_stats_count_domain_and_system_events_apart(void **state)
{
    struct fixture *fixture = *state;
    check_stats(fixture, write_history(fixture, 6));
}

static void test_state_is_put_replaced_and_got(void **state)
{
    struct fixture *fixture = *state;
    struct event_store *store = fixture->store;
    struct arena *arena = fixture->driver.arena;
    struct bytes value = BYTES_LITERAL("untouched");
    assert_status(store->ops->state_get(store, BYTES_LITERAL("checkpoint/a"), arena, &value),
                  STATUS_NOT_FOUND);
    assert_true(bytes_equal(value, BYTES_LITERAL("untouched")));
    assert_status_ok(store->ops->state_put(store, BYTES_LITERAL("checkpoint/a"), BYTES_LITERAL("1")));
    assert_status_ok(store->ops->state_put(store, BYTES_LITERAL("checkpoint/b"), BYTES_NONE));
    assert_status_ok(store->ops->state_put(store, BYTES_LITERAL("checkpoint/a"), BYTES_LITERAL("2\0x")));
    assert_status_ok(store->ops->state_get(store, BYTES_LITERAL("checkpoint/a"), arena, &value));
    assert_true(bytes_equal(value, BYTES_LITERAL("2\0x")));
    assert_status_ok(store->ops->state_get(store, BYTES_LITERAL("checkpoint/b"), arena, &value));
    assert_int_equal(value.size_bytes, 0);
}

/* Two batches decided on the same facts: the second one must not be written over the first. */
static void test_a_commit_decided_at_another_head_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct append_event first = numbered_event(&fixture->driver, 1, "a", "changed", "custom");
    struct append_event second = numbered_event(&fixture->driver, 2, "a", "changed", "custom");
    const struct append appends[] = {sample_append(&first, 1), sample_append(&second, 1)};
    const struct append *one = &appends[0];
    const struct append *other = &appends[1];
    struct decision decided = store_driver_decide(&fixture->driver, &one, 1);
    struct decision late = store_driver_decide(&fixture->driver, &other, 1);
    assert_status_ok(store_driver_commit(&fixture->driver, &decided));
    assert_reason(store_driver_commit(&fixture->driver, &late), REASON_STORE_FAILED);
    assert_int_equal(store_driver_head(&fixture->driver).position, 1);
    int64_t position = -1;
    assert_status_ok(fixture->store->ops->find_id(fixture->store, second.id, &position));
    assert_int_equal(position, 0);
    assert_int_equal(store_driver_append(&fixture->driver, other).kind, APPEND_ACCEPTED);
}

/* Looks at two aggregates that every batch moves together; the one that is looked at later is never behind. */
struct watcher {
    struct event_store *store;
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
        const int32_t before = version_of(watcher, arena, BYTES_LITERAL("a"));
        if (version_of(watcher, arena, BYTES_LITERAL("b")) < before)
            watcher->torn++;
    }
    return NULL;
}

static void test_a_batch_is_seen_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    struct watcher watcher = {.store = fixture->store};
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
    struct fixture *fixture = *state;
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

static void test_all_is_there_after_opening_again(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->kind->reopen == NULL)
        skip();
    const struct history *history = write_history(fixture, 7);
    assert_status_ok(
        fixture->store->ops->state_put(fixture->store, BYTES_LITERAL("key"), BYTES_LITERAL("value")));
    const struct store_head before = store_driver_head(&fixture->driver);
    for (int round = 0; round < 2; round++) {
        reopen_store(fixture);
        const struct store_head after = store_driver_head(&fixture->driver);
        assert_int_equal(after.position, before.position);
        assert_int_equal(after.timestamp_us, before.timestamp_us);
        assert_int_equal(after.aggregate_count, before.aggregate_count);
        assert_memory_equal(&after.chain, &before.chain, sizeof after.chain);
        check_reads(fixture, history);
        check_aggregates(fixture, history);
        check_finds(fixture, history);
        check_stats(fixture, history);
        struct bytes value;
        assert_status_ok(fixture->store->ops->state_get(fixture->store, BYTES_LITERAL("key"),
                                                        fixture->driver.arena, &value));
        assert_true(bytes_equal(value, BYTES_LITERAL("value")));
    }
    struct append_event next = numbered_event(&fixture->driver, 9999, "aggregate-0", "changed", "user");
    const struct append append = sample_append(&next, 1);
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    assert_int_equal(outcome.first_position, before.position + 1);
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
    struct fixture *fixture = *state;
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

int event_store_suite_run(const struct event_store_kind *kind)
{
    void *initial = (void *)(uintptr_t)kind; /* cmocka hands it on and writes nothing to it */
#define TEST(function) cmocka_unit_test_prestate_setup_teardown(function, open_store, close_store, initial)
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_store_has_nothing),
        TEST(test_reads_deliver_what_was_written_by_every_key),
        TEST(test_the_head_follows_the_last_append),
        TEST(test_aggregates_know_their_heads),
        TEST(test_aggregates_are_listed_in_order_of_their_first_event),
        TEST(test_facts_give_whole_earlier_appends),
        TEST(test_events_are_found_by_id_and_time),
        TEST(test_stats_count_domain_and_system_events_apart),
        TEST(test_state_is_put_replaced_and_got),
        TEST(test_a_commit_decided_at_another_head_is_refused),
        TEST(test_a_batch_is_seen_whole_or_not_at_all),
        TEST(test_the_largest_appends_fit),
        TEST(test_all_is_there_after_opening_again),
        TEST(test_one_of_many_writers_wins_each_version),
    };
#undef TEST
    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
