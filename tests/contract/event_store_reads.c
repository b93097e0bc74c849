/* Events are read, found, listed and counted as they were appended, also after opening again. */
#include "contract/event_store_suite_internal.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "contract/store_driver.h"

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

static struct append_event random_event(struct suite_fixture *fixture, struct history *history,
                                        uint64_t *random, int number)
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
static struct history *write_history(struct suite_fixture *fixture, uint64_t seed)
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

static void check_query(struct suite_fixture *fixture, const struct history *history,
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

static void check_reads(struct suite_fixture *fixture, const struct history *history)
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

static void test_reads_deliver_what_was_written_by_every_key(void **state)
{
    struct suite_fixture *fixture = *state;
    check_reads(fixture, write_history(fixture, 1));
}

static void test_the_head_follows_the_last_append(void **state)
{
    struct suite_fixture *fixture = *state;
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

static void check_aggregates(struct suite_fixture *fixture, const struct history *history)
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
    struct suite_fixture *fixture = *state;
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
    struct suite_fixture *fixture = *state;
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

static void check_finds(struct suite_fixture *fixture, const struct history *history)
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
    struct suite_fixture *fixture = *state;
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

static void check_stats(struct suite_fixture *fixture, const struct history *history)
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
    struct suite_fixture *fixture = *state;
    check_stats(fixture, write_history(fixture, 6));
}

static void test_all_is_there_after_opening_again(void **state)
{
    struct suite_fixture *fixture = *state;
    if (fixture->kind->reopen == NULL)
        skip();
    const struct history *history = write_history(fixture, 7);
    assert_status_ok(
        fixture->store->ops->state_put(fixture->store, BYTES_LITERAL("key"), BYTES_LITERAL("value")));
    const struct store_head before = store_driver_head(&fixture->driver);
    for (int round = 0; round < 2; round++) {
        suite_reopen_store(fixture);
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

int event_store_reads_run(const struct event_store_kind *kind)
{
    void *initial = (void *)(uintptr_t)kind; /* cmocka hands it on and writes nothing to it */
    const struct CMUnitTest tests[] = {
        SUITE_TEST(test_reads_deliver_what_was_written_by_every_key),
        SUITE_TEST(test_the_head_follows_the_last_append),
        SUITE_TEST(test_aggregates_know_their_heads),
        SUITE_TEST(test_aggregates_are_listed_in_order_of_their_first_event),
        SUITE_TEST(test_events_are_found_by_id_and_time),
        SUITE_TEST(test_stats_count_domain_and_system_events_apart),
        SUITE_TEST(test_all_is_there_after_opening_again),
    };
    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
