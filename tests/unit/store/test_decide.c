/* The rules of docs (Semantics) for one append, by tables: exact kind, reason and versions. */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/store_driver.h"

#include "store/memory/memory_store.h"

/* A store that knows "created" (at 0), "three" (at 3, one of it a system event), both of type user. */
struct fixture {
    struct event_store *store;
    struct store_driver driver;
    struct append_outcome seeded; /* of the append e1, e2, e3 to "three" */
};

static const struct append_event three_events[] = {
    {.id = {(const uint8_t *)"e1", 2},
     .type = {(const uint8_t *)"begun", 5},
     .aggregate_id = {(const uint8_t *)"three", 5},
     .aggregate_type = {(const uint8_t *)"user", 4},
     .correlation_id = {(const uint8_t *)"corr", 4},
     .tags = {{(const uint8_t *)"k:v", 3}},
     .tag_count = 1,
     .has_occurred_at = true,
     .occurred_at_us = 5,
     .data = {(const uint8_t *)"{\"n\":1}", 7},
     .metadata = {(const uint8_t *)"{}", 2}},
    {.id = {(const uint8_t *)"e2", 2},
     .type = {(const uint8_t *)"changed", 7},
     .aggregate_id = {(const uint8_t *)"three", 5},
     .data = {(const uint8_t *)"{}", 2}},
    {.id = {(const uint8_t *)"e3", 2},
     .type = {(const uint8_t *)TYPE_METADATA_CHANGED, sizeof TYPE_METADATA_CHANGED - 1},
     .aggregate_id = {(const uint8_t *)"three", 5},
     .data = {(const uint8_t *)"{}", 2}},
};

static int open_store(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_status_ok(memory_store_open(&system_clock, &fixture->store));
    store_driver_init(&fixture->driver, fixture->store);
    const struct append_event creation = sample_event("e0", "created", TYPE_AGGREGATE_CREATED, "user");
    struct append append = sample_append(&creation, 1);
    assert_int_equal(store_driver_append(&fixture->driver, &append).kind, APPEND_ACCEPTED);
    append = sample_append(three_events, ARRAY_SIZE(three_events));
    fixture->seeded = store_driver_append(&fixture->driver, &append);
    assert_int_equal(fixture->seeded.kind, APPEND_ACCEPTED);
    *state = fixture;
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    store_driver_done(&fixture->driver);
    event_store_close(fixture->store);
    free(fixture);
    return 0;
}

#define SEEDED_EVENTS 4

static void assert_refused(const struct append_outcome *outcome, enum status_reason reason, const char *why)
{
    if (outcome->kind != APPEND_REFUSED || outcome->status.reason != reason)
        fail_msg("%s: kind %d, %s instead of %s: %s", why, outcome->kind,
                 status_reason_name(outcome->status.reason), status_reason_name(reason),
                 outcome->status.message);
}

static void assert_says(const struct append_outcome *outcome, const char *text)
{
    if (strstr(outcome->status.message, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", outcome->status.message, text);
}

static void assert_no_trace(struct fixture *fixture)
{
    assert_int_equal(store_driver_head(&fixture->driver).position, SEEDED_EVENTS);
}

/* ---- versions and expectations ---- */

#define NONE STATUS_VERSION_NONE
#define ANY  (-1) /* no expectation at all */

static const struct {
    const char *why;
    const char *aggregate;
    int expects; /* enum expectation_kind, or ANY */
    int32_t version;
    enum status_reason reason; /* none = accepted */
    int32_t becomes;           /* when accepted */
    int32_t expected;          /* what the refusal carries */
    int32_t current;
} versions[] = {
    {"any: an unknown aggregate begins", "unknown", ANY, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"any: a created one begins", "created", ANY, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"any: one with events goes on", "three", ANY, 0, STATUS_REASON_NONE, 4, NONE, NONE},
    {"0: an unknown aggregate begins", "unknown", EXPECT_VERSION, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"0: a created one begins", "created", EXPECT_VERSION, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"0: one with events is past it", "three", EXPECT_VERSION, 0, REASON_VERSION_CONFLICT, 0, 0, 3},
    {"3: an unknown aggregate has none", "unknown", EXPECT_VERSION, 3, REASON_VERSION_CONFLICT, 0, 3, NONE},
    {"3: a created one is at 0", "created", EXPECT_VERSION, 3, REASON_VERSION_CONFLICT, 0, 3, 0},
    {"3: fits", "three", EXPECT_VERSION, 3, STATUS_REASON_NONE, 4, NONE, NONE},
    {"4: is ahead", "three", EXPECT_VERSION, 4, REASON_VERSION_CONFLICT, 0, 4, 3},
    {"not_exist: unknown", "unknown", EXPECT_NOT_EXIST, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"not_exist: created", "created", EXPECT_NOT_EXIST, 0, REASON_VERSION_CONFLICT, 0, NONE, 0},
    {"not_exist: has events", "three", EXPECT_NOT_EXIST, 0, REASON_VERSION_CONFLICT, 0, NONE, 3},
    {"exist: unknown", "unknown", EXPECT_EXIST, 0, REASON_VERSION_CONFLICT, 0, NONE, NONE},
    {"exist: created", "created", EXPECT_EXIST, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"exist: has events", "three", EXPECT_EXIST, 0, STATUS_REASON_NONE, 4, NONE, NONE},
    {"create: unknown", "unknown", EXPECT_CREATE, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"create: created", "created", EXPECT_CREATE, 0, REASON_AGGREGATE_EXISTS, 0, NONE, 0},
    {"create: has events", "three", EXPECT_CREATE, 0, REASON_AGGREGATE_EXISTS, 0, NONE, 3},
    {"if-match 0: there is nothing to match", "unknown", EXPECT_IF_MATCH, 0, REASON_IF_MATCH_FAILED, 0, 0,
     NONE},
    {"if-match 0: created", "created", EXPECT_IF_MATCH, 0, STATUS_REASON_NONE, 1, NONE, NONE},
    {"if-match 3: fits", "three", EXPECT_IF_MATCH, 3, STATUS_REASON_NONE, 4, NONE, NONE},
    {"if-match 2: changed since", "three", EXPECT_IF_MATCH, 2, REASON_IF_MATCH_FAILED, 0, 2, 3},
};

static void test_expectations_follow_the_table(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        const struct append_event event = sample_event("new", versions[i].aggregate, "changed", "user");
        const struct expectation expectation = {bytes_of_text(versions[i].aggregate),
                                                (enum expectation_kind)versions[i].expects,
                                                versions[i].version};
        struct append append = sample_append(&event, 1);
        append.expectations = &expectation;
        append.expectation_count = versions[i].expects == ANY ? 0 : 1;
        append.validate_only = true;
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        if (versions[i].reason != STATUS_REASON_NONE) {
            assert_refused(&outcome, versions[i].reason, versions[i].why);
            if (outcome.status.expected_version != versions[i].expected ||
                outcome.status.current_version != versions[i].current)
                fail_msg("%s: expected %d, current %d", versions[i].why, outcome.status.expected_version,
                         outcome.status.current_version);
        } else if (outcome.kind != APPEND_ACCEPTED || outcome.heads[0].version != versions[i].becomes) {
            fail_msg("%s: kind %d, %s", versions[i].why, outcome.kind, outcome.status.message);
        }
    }
    assert_no_trace(fixture);
}

static void test_a_conflict_says_what_to_send_instead(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event event = sample_event("new", "three", "changed", "");
    const struct expectation expectation = {BYTES_LITERAL("three"), EXPECT_VERSION, 0};
    struct append append = sample_append(&event, 1);
    append.expectations = &expectation;
    append.expectation_count = 1;
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_string_equal(outcome.status.message,
                        "aggregate \"three\" is at version 3 and version 1 was to be written; send version 4 "
                        "(expected_version 3) to append after it, or read it again first");
}

static void test_an_expectation_may_be_about_another_aggregate(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event event = sample_event("new", "created", "changed", "");
    struct expectation expectation = {BYTES_LITERAL("three"), EXPECT_VERSION, 2};
    struct append append = sample_append(&event, 1);
    append.expectations = &expectation;
    append.expectation_count = 1;
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_VERSION_CONFLICT, "three is at 3");
    expectation.version = 3;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    assert_int_equal(outcome.head_count, 1);
}

static void test_expectations_that_contradict_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event event = sample_event("new", "three", "changed", "");
    const struct expectation both[] = {{BYTES_LITERAL("three"), EXPECT_VERSION, 3},
                                       {BYTES_LITERAL("three"), EXPECT_NOT_EXIST, 0}};
    struct append append = sample_append(&event, 1);
    append.expectations = both;
    append.expectation_count = 2;
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_VERSION_CONFLICT, "one of them must fail");
    assert_no_trace(fixture);
}

static void test_creation_takes_version_zero_and_comes_first(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event events[] = {sample_event("n1", "new", TYPE_AGGREGATE_CREATED, "user"),
                                          sample_event("n2", "new", "changed", ""),
                                          sample_event("n3", "new", TYPE_AGGREGATE_CREATED, "")};
    struct append append = sample_append(events, 3);
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_AGGREGATE_EXISTS, "a second creation in one append");
    append = sample_append(events, 2);
    outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    struct event_fields fields;
    assert_status_ok(record_decode(outcome.records[0], &fields));
    assert_int_equal(fields.version, 0);
    assert_status_ok(record_decode(outcome.records[1], &fields));
    assert_int_equal(fields.version, 1);
    assert_true(bytes_equal(fields.aggregate_type, BYTES_LITERAL("user"))); /* taken from the head */
    append = sample_append(&events[2], 1);
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_AGGREGATE_EXISTS, "a creation of what exists, without any expectation");
}

/* ---- types, sizes, limits ---- */

static void test_the_type_is_fixed_by_the_first_event(void **state)
{
    struct fixture *fixture = *state;
    struct append_event events[] = {
        sample_event("n1", "three", "changed", "order"), sample_event("n2", "new", "changed", ""),
        sample_event("n3", "new", "changed", "user"), sample_event("n4", "new", "changed", "order")};
    struct append append = sample_append(&events[0], 1);
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_TYPE_MISMATCH, "another type than the aggregate's");
    assert_int_equal(outcome.status.code, STATUS_FAILED_PRECONDITION);
    assert_says(&outcome, "\"user\"");
    append = sample_append(&events[1], 1);
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_INVALID_FIELD, "a first event without a type");
    append = sample_append(&events[2], 2);
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_TYPE_MISMATCH, "another type than the event before gave");
    assert_no_trace(fixture);
}

static const struct {
    const char *why;
    const char *aggregate;
    struct append_limits limits;
    size_t encoded_bytes; /* 0 = as it is */
    enum status_reason reason;
    const char *says;
} limits[] = {
    {"events at the limit", "three", {.events_max = 5}, 0, STATUS_REASON_NONE, NULL},
    {"events over it", "three", {.events_max = 4}, 0, REASON_LIMIT_EVENTS, "max_events is 4"},
    {"aggregates at the limit", "new", {.aggregates_max = 3}, 0, STATUS_REASON_NONE, NULL},
    {"aggregates over it", "new", {.aggregates_max = 2}, 0, REASON_LIMIT_AGGREGATES, "max_aggregates is 2"},
    {"a known aggregate is no new one", "three", {.aggregates_max = 1}, 0, STATUS_REASON_NONE, NULL},
    {"version at the limit", "three", {.aggregate_events_max = 4}, 0, STATUS_REASON_NONE, NULL},
    {"version over it",
     "three",
     {.aggregate_events_max = 3},
     0,
     REASON_LIMIT_AGGREGATE_EVENTS,
     "max_aggregate_events is 3"},
    {"data at the limit", "three", {.event_data_max_bytes = 2}, 0, STATUS_REASON_NONE, NULL},
    {"data over it", "three", {.event_data_max_bytes = 1}, 0, REASON_EVENT_TOO_LARGE, "2 bytes"},
    {"an append of 8 MiB", "three", {0}, APPEND_BYTES_MAX, STATUS_REASON_NONE, NULL},
    {"and a byte", "three", {0}, APPEND_BYTES_MAX + 1, REASON_APPEND_TOO_LARGE, "8388609"},
};

static void test_limits_name_themselves(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const struct append_event event = sample_event("new", limits[i].aggregate, "changed", "user");
        struct append append = sample_append(&event, 1);
        append.validate_only = true;
        if (limits[i].encoded_bytes != 0)
            append.encoded_bytes = limits[i].encoded_bytes;
        fixture->driver.limits = limits[i].limits;
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        if (limits[i].reason == STATUS_REASON_NONE) {
            if (outcome.kind != APPEND_ACCEPTED)
                fail_msg("%s: %s", limits[i].why, outcome.status.message);
            continue;
        }
        assert_refused(&outcome, limits[i].reason, limits[i].why);
        assert_says(&outcome, limits[i].says);
        assert_int_equal(outcome.status.retry_after_ms, 0); /* waiting is no help */
    }
}

static void test_an_append_of_too_many_events_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static struct append_event events[APPEND_EVENTS_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        events[i] = numbered_event(&fixture->driver, 1000 + (int)i, "many", "changed", "custom");
    struct append append = sample_append(events, ARRAY_SIZE(events));
    append.validate_only = true;
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_APPEND_TOO_LARGE, "1,001 events");
    append.event_count--;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
}

/* Each row breaks a rule and all later ones; the earliest must be told. */
static void test_the_rules_are_asked_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    struct append_event event = sample_event("e1", "three", "other content", "order");
    const struct expectation expectation = {BYTES_LITERAL("three"), EXPECT_VERSION, 9};
    const struct append_verdict verdict = {.aggregate_id = BYTES_LITERAL("three"),
                                           .validated_at = 3,
                                           .status = status_reason(REASON_TRANSITION_REFUSED, "no")};
    struct append append = sample_append(&event, 1);
    append.expectations = &expectation;
    append.expectation_count = 1;
    append.verdicts = &verdict;
    append.verdict_count = 1;
    fixture->driver.limits = (struct append_limits){.aggregate_events_max = 3, .event_data_max_bytes = 1};
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_EVENT_ID_USED, "1: ids");
    event.id = BYTES_LITERAL("new");
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_EVENT_TOO_LARGE, "2: sizes");
    fixture->driver.limits.event_data_max_bytes = 0;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_LIMIT_AGGREGATE_EVENTS, "2: limits");
    fixture->driver.limits.aggregate_events_max = 0;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_TYPE_MISMATCH, "3: type");
    event.aggregate_type = BYTES_NONE;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_VERSION_CONFLICT, "4: expectations");
    append.expectation_count = 0;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_TRANSITION_REFUSED, "6: verdict");
    append.verdict_count = 0;
    outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
}

/* "Exists already" comes before limits and types: a creation that was repeated with another type is still one. */
static void test_creating_what_exists_is_told_before_limits_and_types(void **state)
{
    struct fixture *fixture = *state;
    struct append_event event = sample_event("n1", "three", TYPE_AGGREGATE_CREATED, "order");
    const struct expectation expectation = {BYTES_LITERAL("three"), EXPECT_CREATE, 0};
    struct append append = sample_append(&event, 1);
    append.expectations = &expectation;
    append.expectation_count = 1;
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_AGGREGATE_EXISTS, "another type");
    assert_int_equal(outcome.status.current_version, 3);
    const struct append_limits reached[] = {
        {.events_max = 1}, {.aggregates_max = 1}, {.aggregate_events_max = 3}, {.event_data_max_bytes = 1}};
    for (size_t i = 0; i < 3; i++) {
        fixture->driver.limits = reached[i];
        outcome = store_driver_append(&fixture->driver, &append);
        assert_refused(&outcome, REASON_AGGREGATE_EXISTS, "a limit that is reached");
    }
    fixture->driver.limits = reached[3];
    outcome = store_driver_append(&fixture->driver, &append);
    assert_refused(&outcome, REASON_EVENT_TOO_LARGE, "what no store would take is told first");
    assert_no_trace(fixture);
}

/* ---- verdicts ---- */

static void test_a_verdict_holds_only_at_its_version(void **state)
{
    struct fixture *fixture = *state;
    const struct {
        const char *why;
        const char *aggregate;
        int32_t validated_at;
        bool refuses;
        enum append_outcome_kind kind;
    } rows[] = {
        {"agrees at the head", "three", 3, false, APPEND_ACCEPTED},
        {"refuses at the head", "three", 3, true, APPEND_REFUSED},
        {"agreed before the head", "three", 2, false, APPEND_REVALIDATE},
        {"refused before the head: it may be legal now", "three", 2, true, APPEND_REVALIDATE},
        {"thought a known one unknown", "three", NONE, false, APPEND_REVALIDATE},
        {"agrees about an unknown one", "new", NONE, false, APPEND_ACCEPTED},
        {"unknown is not created", "created", NONE, false, APPEND_REVALIDATE},
        {"created is at 0", "created", 0, false, APPEND_ACCEPTED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct append_event event = sample_event("new", rows[i].aggregate, "changed", "user");
        struct append_verdict verdict = {.aggregate_id = bytes_of_text(rows[i].aggregate),
                                         .validated_at = rows[i].validated_at,
                                         .status = status_ok()};
        if (rows[i].refuses)
            verdict.status = status_reason(REASON_TRANSITION_REFUSED, "an order that is shipped stays so");
        struct append append = sample_append(&event, 1);
        append.verdicts = &verdict;
        append.verdict_count = 1;
        append.validate_only = true;
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        if (outcome.kind != rows[i].kind)
            fail_msg("%s: kind %d, %s", rows[i].why, outcome.kind, outcome.status.message);
        if (rows[i].kind == APPEND_REFUSED)
            assert_string_equal(outcome.status.message, "an order that is shipped stays so");
    }
}

/* ---- idempotency ---- */

static enum append_outcome_kind append_judged(struct fixture *fixture, const char *id, int32_t validated_at,
                                              atomic_bool *broken, bool stands_on_none)
{
    const struct append_event event = sample_event(id, "three", "changed", "");
    const struct append_verdict verdict = {.aggregate_id = BYTES_LITERAL("three"),
                                           .validated_at = validated_at,
                                           .status = status_ok(),
                                           .broken = broken,
                                           .stands_on_none = stands_on_none};
    struct append append = sample_append(&event, 1);
    append.verdicts = &verdict;
    append.verdict_count = 1;
    return store_driver_append(&fixture->driver, &append).kind;
}

/* They were validated one on top of the other, at 3, 4 and 5; then somebody else took version 4, and 5. */
static void test_a_verdict_falls_with_those_that_it_stands_on(void **state)
{
    struct fixture *fixture = *state;
    atomic_bool broken = false;
    assert_int_equal(append_judged(fixture, "s1", 3, NULL, false), APPEND_ACCEPTED);
    assert_int_equal(append_judged(fixture, "b1", 3, &broken, true), APPEND_REVALIDATE);
    assert_true(atomic_load(&broken));
    /* The version is right and the event there is not the predecessor's. */
    assert_int_equal(append_judged(fixture, "b2", 4, &broken, false), APPEND_REVALIDATE);
    assert_int_equal(append_judged(fixture, "s2", 4, NULL, false), APPEND_ACCEPTED);
    assert_int_equal(append_judged(fixture, "b3", 5, &broken, false), APPEND_REVALIDATE);
    assert_true(atomic_load(&broken)); /* until service begins another round */
    atomic_store(&broken, false);
    assert_int_equal(append_judged(fixture, "b1", 5, &broken, true), APPEND_ACCEPTED);
    assert_int_equal(append_judged(fixture, "b2", 6, &broken, false), APPEND_ACCEPTED);
    assert_false(atomic_load(&broken));
}

/* Of a predecessor that was not recorded for another reason service says so: the first of a round stands on none. */
static void test_who_stands_on_none_is_sent_back_for_its_own_version_only(void **state)
{
    struct fixture *fixture = *state;
    atomic_bool broken = true;
    assert_int_equal(append_judged(fixture, "b1", 3, &broken, true), APPEND_ACCEPTED);
    assert_int_equal(append_judged(fixture, "b2", 4, &broken, false), APPEND_REVALIDATE);
    assert_int_equal(append_judged(fixture, "b3", 7, &broken, true), APPEND_REVALIDATE);
    assert_true(atomic_load(&broken));
}

static void test_a_replay_wins_over_everything(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event later = sample_event("later", "three", "changed", "");
    struct append append = sample_append(&later, 1);
    assert_int_equal(store_driver_append(&fixture->driver, &append).kind, APPEND_ACCEPTED);

    const struct expectation expectation = {BYTES_LITERAL("three"), EXPECT_VERSION, 0};
    const struct append_verdict verdict = {
        .aggregate_id = BYTES_LITERAL("three"), .validated_at = 7, .status = status_ok()};
    append = sample_append(three_events, ARRAY_SIZE(three_events));
    append.expectations = &expectation;
    append.expectation_count = 1;
    append.verdicts = &verdict;
    append.verdict_count = 1;
    append.actor = BYTES_LITERAL("someone else");
    append.traceparent = BYTES_LITERAL("another trace");
    fixture->driver.limits = (struct append_limits){.events_max = 1, .event_data_max_bytes = 1};
    manual_clock_advance_ms(&fixture->driver.clock, 1000);
    const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.kind, APPEND_REPLAYED);
    assert_int_equal(outcome.first_position, fixture->seeded.first_position);
    assert_int_equal(outcome.timestamp_us, fixture->seeded.timestamp_us);
    assert_true(bytes_equal(outcome.append_id, BYTES_LITERAL("e1")));
    assert_int_equal(outcome.record_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(bytes_equal(outcome.records[i].bytes, fixture->seeded.records[i].bytes));
    assert_int_equal(outcome.head_count, 1);
    assert_int_equal(outcome.heads[0].version, 3); /* as of that append, not of now */
    assert_int_equal(outcome.heads[0].position, 4);
}

/* One field of the seeded append changed at a time: none of them is a replay. */
static void test_other_content_under_the_same_ids_is_refused(void **state)
{
    struct fixture *fixture = *state;
    enum { CHANGES = 11 };
    for (int change = 0; change < CHANGES; change++) {
        struct append_event events[ARRAY_SIZE(three_events)];
        memcpy(events, three_events, sizeof events);
        struct append_event *event = &events[0];
        switch (change) {
        case 0:
            event->type = BYTES_LITERAL("ended");
            break;
        case 1:
            event->aggregate_id = BYTES_LITERAL("created");
            break;
        case 2:
            event->aggregate_type = BYTES_LITERAL("order");
            break;
        case 3:
            event->correlation_id = BYTES_NONE;
            break;
        case 4:
            event->causation_id = BYTES_LITERAL("cause");
            break;
        case 5:
            event->content_type = BYTES_LITERAL("text/plain");
            break;
        case 6:
            event->schema_version = 2;
            break;
        case 7:
            event->tags[0] = BYTES_LITERAL("k:w");
            break;
        case 8:
            event->occurred_at_us = 6;
            break;
        case 9:
            event->data = BYTES_LITERAL("{\"n\":1.0}");
            break; /* another token is another number */
        case 10:
            event->metadata = BYTES_LITERAL("{\"a\":1}");
            break;
        default:
            break;
        }
        const struct append append = sample_append(events, ARRAY_SIZE(events));
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        char why[32];
        (void)snprintf(why, sizeof why, "change %d", change);
        assert_refused(&outcome, REASON_EVENT_ID_USED, why);
        assert_int_equal(outcome.status.code, STATUS_ALREADY_EXISTS);
        assert_says(&outcome, "\"e1\"");
    }
    assert_no_trace(fixture);
}

static void test_ids_that_overlap_otherwise_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event fresh = sample_event("fresh", "three", "changed", "");
    const struct append_event e1 = three_events[0];
    const struct append_event e2 = three_events[1];
    const struct append_event e3 = three_events[2];
    const struct {
        const char *why;
        struct append_event events[4];
        size_t count;
        const char *says;
    } rows[] = {
        {"a part of the earlier append", {e1, e2}, 2, "\"e1\""},
        {"its end", {e3}, 1, "\"e3\""},
        {"more than it", {e1, e2, e3, fresh}, 4, "\"e1\""},
        {"another order", {e1, e3, e2}, 3, "\"e1\""},
        {"a new event before a used one", {fresh, e2}, 2, "\"e2\""},
        {"one id twice", {fresh, fresh}, 2, "\"fresh\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct append append = sample_append(rows[i].events, rows[i].count);
        const struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
        assert_refused(&outcome, REASON_EVENT_ID_USED, rows[i].why);
        assert_says(&outcome, rows[i].says);
    }
    assert_no_trace(fixture);
}

/* ---- what is written ---- */

static void test_time_never_stands_still_nor_goes_back(void **state)
{
    struct fixture *fixture = *state;
    const int64_t last_us = store_driver_head(&fixture->driver).timestamp_us;
    manual_clock_advance_ms(&fixture->driver.clock, -5000);
    const struct append_event event = sample_event("n1", "three", "changed", "");
    struct append append = sample_append(&event, 1);
    struct append_outcome outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.timestamp_us, last_us + 1);
    manual_clock_advance_ms(&fixture->driver.clock, 10000);
    const struct append_event next = sample_event("n2", "three", "changed", "");
    append = sample_append(&next, 1);
    outcome = store_driver_append(&fixture->driver, &append);
    assert_int_equal(outcome.timestamp_us, clock_now_us(&fixture->driver.clock.clock));
}

static void test_a_record_holds_what_was_sent_and_what_was_decided(void **state)
{
    struct fixture *fixture = *state;
    struct event_fields fields;
    assert_status_ok(record_decode(fixture->seeded.records[0], &fields));
    assert_true(bytes_equal(fields.id, BYTES_LITERAL("e1")));
    assert_true(bytes_equal(fields.correlation_id, BYTES_LITERAL("corr")));
    assert_true(bytes_equal(fields.append_id, BYTES_LITERAL("e1")));
    assert_int_equal(fields.append_index, 0);
    assert_int_equal(fields.append_count, 3);
    assert_int_equal(fields.position, 2);
    assert_int_equal(fields.version, 1);
    assert_int_equal(fields.timestamp_us, fixture->seeded.timestamp_us);
    assert_int_equal(fields.occurred_at_us, 5);
    assert_true(bytes_equal(fields.data, BYTES_LITERAL("{\"n\":1}")));
    assert_int_equal(fields.salt.size_bytes, RECORD_SALT_BYTES);
    struct event_fields other;
    assert_status_ok(record_decode(fixture->seeded.records[1], &other));
    assert_false(bytes_equal(fields.salt, other.salt)); /* equal payloads must not show by their digests */
    assert_true(bytes_equal(other.aggregate_type, BYTES_LITERAL("user")));
    for (size_t i = 0; i < fixture->seeded.record_count; i++)
        assert_status_ok(record_check_digest(fixture->seeded.records[i]));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_store, close_store)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_expectations_follow_the_table),
        TEST(test_a_conflict_says_what_to_send_instead),
        TEST(test_an_expectation_may_be_about_another_aggregate),
        TEST(test_expectations_that_contradict_are_refused),
        TEST(test_creation_takes_version_zero_and_comes_first),
        TEST(test_the_type_is_fixed_by_the_first_event),
        TEST(test_limits_name_themselves),
        TEST(test_an_append_of_too_many_events_is_refused),
        TEST(test_the_rules_are_asked_in_their_order),
        TEST(test_creating_what_exists_is_told_before_limits_and_types),
        TEST(test_a_verdict_holds_only_at_its_version),
        TEST(test_a_verdict_falls_with_those_that_it_stands_on),
        TEST(test_who_stands_on_none_is_sent_back_for_its_own_version_only),
        TEST(test_a_replay_wins_over_everything),
        TEST(test_other_content_under_the_same_ids_is_refused),
        TEST(test_ids_that_overlap_otherwise_are_refused),
        TEST(test_time_never_stands_still_nor_goes_back),
        TEST(test_a_record_holds_what_was_sent_and_what_was_decided),
    };
    return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
