/* Several appends in one decision, and a decision beside a batch that is not durable yet. */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "contract/store_driver.h"

#include "store/memory/memory_store.h"

struct fixture {
    struct event_store *store;
    struct store_driver driver;
    struct overlay *overlays[4]; /* freed at the end */
    size_t overlay_count;
};

static int open_store(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_status_ok(memory_store_open(&system_clock, &fixture->store));
    store_driver_init(&fixture->driver, fixture->store);
    *state = fixture;
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < fixture->overlay_count; i++)
        overlay_free(fixture->overlays[i]);
    store_driver_done(&fixture->driver);
    event_store_close(fixture->store);
    free(fixture);
    return 0;
}

#define APPENDS_MAX 4

/* What the store could not read when it was asked; both may be absent. */
struct trouble {
    struct bytes id; /* of an event that is there: either unreadable or erased */
    const struct status *of_id;
    const struct record *erased;                    /* what is left of it */
    const struct status *of_condition[APPENDS_MAX]; /* one an append */
};

/* Decides on facts taken when the store was empty but for `trouble`, beside `in_flight`. */
static struct decision decide_troubled(struct fixture *fixture, const struct append *const *appends,
                                       size_t count, const struct overlay *in_flight,
                                       const struct trouble *trouble)
{
    struct decide_namer namer = decide_namer_make(1);
    struct decide_names names;
    assert_status_ok(decide_name(&namer, appends, count, fixture->driver.arena, &names));
    decide_namer_done(&namer);
    struct aggregate_head heads[8] = {{0}};
    struct earlier_append earlier[8] = {{0}};
    assert_true(names.request.aggregate_count <= ARRAY_SIZE(heads));
    assert_true(names.request.event_id_count <= ARRAY_SIZE(earlier));
    for (size_t i = 0; i < names.request.event_id_count; i++)
        if (bytes_equal(names.request.event_ids[i], trouble->id))
            earlier[i] = (struct earlier_append){trouble->erased, trouble->erased != NULL, trouble->of_id};
    const struct facts facts = {.heads = heads, .earlier = earlier};
    struct condition_fact conditions[APPENDS_MAX] = {{0}};
    for (size_t i = 0; i < count; i++)
        conditions[i].unreadable = trouble->of_condition[i];
    const struct decide_input input = {
        .appends = appends,
        .append_count = count,
        .names = &names,
        .facts = &facts,
        .conditions = conditions,
        .in_flight = in_flight,
        .now_us = clock_now_us(&fixture->driver.clock.clock),
        .limits = &fixture->driver.limits,
        .entropy = &fixture->driver.entropy.entropy,
    };
    struct decision decision = {0};
    assert_status_ok(decide(&input, fixture->driver.arena, &decision));
    fixture->overlays[fixture->overlay_count++] = decision.overlay;
    return decision;
}

static struct decision decide_beside(struct fixture *fixture, const struct append *const *appends,
                                     size_t count, const struct overlay *in_flight)
{
    const struct trouble none = {0};
    return decide_troubled(fixture, appends, count, in_flight, &none);
}

static struct append expecting(const struct append_event *event, const struct expectation *expectation)
{
    struct append append = sample_append(event, 1);
    append.expectations = expectation;
    append.expectation_count = 1;
    return append;
}

static void assert_name(struct bytes listed, const char *expected)
{
    assert_true(bytes_equal(listed, bytes_of_text(expected)));
}

/* What an append names is found by its place: of its events first, then of expectations, then of verdicts. */
static void test_names_are_listed_once_and_found_by_place(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event first[] = {sample_event("e1", "a", "changed", "user"),
                                         sample_event("e2", "b", "changed", "user"),
                                         sample_event("e3", "a", "changed", "user")};
    const struct append_event second[] = {sample_event("e2", "c", "changed", "user")};
    const struct append_event third[] = {sample_event("made", "b", "changed", "user")};
    const struct expectation at_0 = {BYTES_LITERAL("d"), EXPECT_VERSION, 0};
    const struct append_verdict verdict = {
        .aggregate_id = BYTES_LITERAL("b"), .validated_at = 1, .status = status_ok()};
    struct append appends[] = {sample_append(first, 3), sample_append(second, 1), sample_append(third, 1)};
    appends[1].expectations = &at_0;
    appends[1].expectation_count = 1;
    appends[1].verdicts = &verdict;
    appends[1].verdict_count = 1;
    appends[2].ids_server_made = true;
    const struct append *const list[] = {&appends[0], &appends[1], &appends[2]};
    struct decide_namer namer = decide_namer_make(7);
    for (int round = 0; round < 2; round++) { /* a namer that was used names alike */
        struct decide_names names;
        assert_status_ok(decide_name(&namer, list, 3, fixture->driver.arena, &names));
        assert_int_equal(names.request.aggregate_count, 4);
        assert_int_equal(names.request.event_id_count, 3);
        const char *const aggregates[][3] = {{"a", "b", "a"}, {"c", "d", "b"}, {"b", NULL, NULL}};
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3 && aggregates[i][j] != NULL; j++)
                assert_name(names.request.aggregate_ids[names.appends[i].aggregates[j]], aggregates[i][j]);
        assert_name(names.request.event_ids[names.appends[0].ids[2]], "e3");
        assert_int_equal(names.appends[1].ids[0], names.appends[0].ids[1]);
        assert_null(names.appends[2].ids); /* of the server's ids nobody is asked */
    }
    decide_namer_done(&namer);
}

static void test_later_appends_see_earlier_ones(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event events[] = {
        sample_event("e1", "a", "changed", "user"), sample_event("e2", "a", "changed", ""),
        sample_event("e3", "a", "changed", ""), sample_event("e1", "a", "changed", "user")};
    const struct expectation at_0 = {BYTES_LITERAL("a"), EXPECT_VERSION, 0};
    const struct expectation at_1 = {BYTES_LITERAL("a"), EXPECT_VERSION, 1};
    const struct append appends[] = {expecting(&events[0], &at_0), expecting(&events[1], &at_0),
                                     expecting(&events[2], &at_1), expecting(&events[3], &at_0)};
    const struct append *const list[] = {&appends[0], &appends[1], &appends[2], &appends[3]};
    const struct decision decision = decide_beside(fixture, list, 4, NULL);
    assert_int_equal(decision.outcomes[0].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[1].kind, APPEND_REFUSED); /* the first has moved it to 1 */
    assert_int_equal(decision.outcomes[1].status.current_version, 1);
    assert_int_equal(decision.outcomes[2].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[3].kind, APPEND_REPLAYED); /* a repetition in the same batch */
    assert_int_equal(decision.outcomes[3].first_position, 1);
    assert_int_equal(decision.batch.append_count, 2);
    assert_int_equal(decision.batch.record_count, 2);
    assert_int_equal(decision.batch.after.position, 2);
    assert_int_equal(decision.batch.after.aggregate_count, 1);
}

static void test_a_refused_append_leaves_no_trace(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event refused[] = {sample_event("e1", "a", "changed", "user"),
                                           sample_event("e2", "b", "changed", "")}; /* b has no type */
    const struct append_event after[] = {sample_event("e1", "b", "changed", "order"),
                                         sample_event("e3", "a", "changed", "order")};
    const struct append appends[] = {sample_append(refused, 2), sample_append(after, 2)};
    const struct append *const list[] = {&appends[0], &appends[1]};
    const struct decision decision = decide_beside(fixture, list, 2, NULL);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REFUSED);
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED); /* neither id, type nor version was taken */
    assert_int_equal(decision.outcomes[1].first_position, 1);
    assert_int_equal(decision.outcomes[1].heads[1].version, 1);
}

static void test_validate_only_answers_and_leaves_no_trace(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event event = sample_event("e1", "a", "changed", "user");
    struct append appends[] = {sample_append(&event, 1), sample_append(&event, 1)};
    appends[0].validate_only = true;
    const struct append *const list[] = {&appends[0], &appends[1]};
    const struct decision decision = decide_beside(fixture, list, 2, NULL);
    assert_int_equal(decision.outcomes[0].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[0].first_position, 1);
    assert_int_equal(decision.outcomes[0].heads[0].version, 1);
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED); /* not a replay of the first */
    assert_int_equal(decision.batch.record_count, 1);
    assert_int_equal(decision.batch.record_bytes, decision.batch.appends[0].records[0].bytes.size_bytes);
}

static void test_the_batch_in_flight_is_seen_before_the_facts_know_it(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event first = sample_event("e1", "a", "changed", "user");
    const struct append one = sample_append(&first, 1);
    const struct append *list[3] = {&one};
    const struct decision flying = decide_beside(fixture, list, 1, NULL);

    const struct append_event mismatch = sample_event("e2", "a", "changed", "order");
    const struct append_event next = sample_event("e3", "a", "changed", "");
    const struct append other = sample_append(&mismatch, 1);
    const struct append third = sample_append(&next, 1);
    list[0] = &one;
    list[1] = &other;
    list[2] = &third;
    const struct decision decision =
        decide_beside(fixture, list, 3, fixture->overlays[fixture->overlay_count - 1]);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REPLAYED);
    assert_int_equal(decision.outcomes[1].status.reason, REASON_TYPE_MISMATCH);
    assert_int_equal(decision.outcomes[2].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[2].first_position, 2);
    assert_int_equal(decision.outcomes[2].heads[0].version, 2);
    assert_int_equal(decision.batch.before.position, 1);
    assert_memory_equal(&decision.batch.before.chain, &flying.batch.after.chain, sizeof(struct sha256));
    assert_true(decision.batch.after.timestamp_us > flying.batch.after.timestamp_us);
}

static void test_a_condition_looks_at_the_batch_and_the_one_in_flight(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event red = sample_event("e1", "a", "red", "user");
    const struct append_event green = sample_event("e2", "b", "green", "user");
    const struct append_event blue = sample_event("e3", "c", "blue", "user");
    const struct append before = sample_append(&red, 1);
    const struct append *list[3] = {&before};
    (void)decide_beside(fixture, list, 1, NULL);

    const struct bytes red_or_green[] = {BYTES_LITERAL("red"), BYTES_LITERAL("green")};
    const struct query_item no_red = {.types = {red_or_green, 1}};
    const struct query_item no_green = {.types = {red_or_green + 1, 1}};
    const struct append_condition conditions[] = {
        {{&no_red, 1}, 0, 0},   /* in flight, at 1 */
        {{&no_red, 1}, 1, 0},   /* only what follows 1 counts */
        {{&no_green, 1}, 0, 0}, /* in this batch, at 2 */
    };
    struct append appends[3];
    const struct append_event *const events[] = {&blue, &green, &blue};
    for (size_t i = 0; i < 3; i++) {
        appends[i] = sample_append(events[i], 1);
        appends[i].condition = &conditions[i];
        list[i] = &appends[i];
    }
    const struct decision decision = decide_beside(fixture, list, 3, fixture->overlays[0]);
    assert_int_equal(decision.outcomes[0].status.reason, REASON_CONDITION_FAILED);
    assert_int_equal(decision.outcomes[0].status.code, STATUS_ABORTED);
    assert_non_null(strstr(decision.outcomes[0].status.message, "position 1"));
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[2].status.reason, REASON_CONDITION_FAILED);
    assert_non_null(strstr(decision.outcomes[2].status.message, "position 2"));
}

/* An id that is used by an append which cannot be read: only who names it is concerned. */
static void test_a_damaged_earlier_append_refuses_who_repeats_it_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct status damaged = status_reason(REASON_DAMAGED, "position 7 is damaged");
    const struct trouble trouble = {.id = BYTES_LITERAL("e1"), .of_id = &damaged};
    const struct append_event events[] = {
        sample_event("e1", "a", "changed", "user"), /* perhaps a repetition: nobody can tell */
        sample_event("e2", "a", "changed", "user"),
        sample_event("e3", "b", "changed", "user"), /* and with it e1 again: used, whatever it holds */
        sample_event("e1", "b", "changed", "user"),
    };
    const struct append appends[] = {sample_append(&events[0], 1), sample_append(&events[1], 1),
                                     sample_append(&events[2], 2)};
    const struct append *const list[] = {&appends[0], &appends[1], &appends[2]};
    const struct decision decision = decide_troubled(fixture, list, 3, NULL, &trouble);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REFUSED);
    assert_int_equal(decision.outcomes[0].status.code, STATUS_DATA_LOSS);
    assert_string_equal(decision.outcomes[0].status.message, damaged.message);
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[1].heads[0].version, 1);
    assert_int_equal(decision.outcomes[2].status.reason, REASON_EVENT_ID_USED);
    assert_int_equal(decision.batch.append_count, 1);
}

/* Of an erased event the payload is gone and with it the salt: whether a repetition says the same cannot be known. */
static void test_a_repetition_of_an_erased_event_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event events[] = {sample_event("e1", "a", "changed", "user"),
                                          sample_event("e2", "a", "changed", "user")};
    const struct append appends[] = {sample_append(&events[0], 1), sample_append(&events[1], 1)};
    const struct append *const list[] = {&appends[0], &appends[1]};
    const struct record whole = decide_beside(fixture, list, 1, NULL).batch.appends[0].records[0];
    const struct record erased = {record_header(whole), whole.header_bytes};
    const struct trouble trouble = {.id = BYTES_LITERAL("e1"), .erased = &erased};
    const struct decision decision = decide_troubled(fixture, list, 2, NULL, &trouble);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REFUSED);
    assert_int_equal(decision.outcomes[0].status.code, STATUS_ALREADY_EXISTS);
    assert_int_equal(decision.outcomes[0].status.reason, REASON_EVENT_ERASED);
    assert_non_null(strstr(decision.outcomes[0].status.message, "\"e1\""));
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED);
}

/* A match that is known settles the condition; what could not be read matters only without one. */
static void test_a_condition_that_could_not_be_read_refuses_its_append_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct status damaged = status_reason(REASON_DAMAGED, "position 7 is damaged");
    const struct trouble trouble = {.of_condition = {NULL, &damaged, &damaged, NULL}};
    const struct bytes type = BYTES_LITERAL("red");
    const struct bytes none = BYTES_LITERAL("blue");
    const struct query_item red = {.types = {&type, 1}};
    const struct query_item blue = {.types = {&none, 1}};
    const struct append_condition no_red = {{&red, 1}, 0, 0};
    const struct append_condition no_blue = {{&blue, 1}, 0, 0};
    const struct append_event events[] = {
        sample_event("e1", "a", "red", "user"), sample_event("e2", "b", "green", "user"),
        sample_event("e3", "b", "green", "user"), sample_event("e4", "c", "green", "user")};
    const struct append_condition *const conditions[] = {NULL, &no_blue, &no_red, &no_blue};
    struct append appends[APPENDS_MAX];
    const struct append *list[APPENDS_MAX];
    for (size_t i = 0; i < APPENDS_MAX; i++) {
        appends[i] = sample_append(&events[i], 1);
        appends[i].condition = conditions[i];
        list[i] = &appends[i];
    }
    const struct decision decision = decide_troubled(fixture, list, APPENDS_MAX, NULL, &trouble);
    assert_int_equal(decision.outcomes[0].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.outcomes[1].status.reason, REASON_DAMAGED);
    assert_int_equal(decision.outcomes[2].status.reason, REASON_CONDITION_FAILED);
    assert_int_equal(decision.outcomes[3].kind, APPEND_ACCEPTED);
    assert_int_equal(decision.batch.append_count, 2);
}

/* One link for each append, over the leaves of its events, from 32 zero bytes. */
static void test_the_chain_has_a_link_for_each_append(void **state)
{
    struct fixture *fixture = *state;
    const struct append_event events[] = {sample_event("e1", "a", "changed", "user"),
                                          sample_event("e2", "b", "changed", "user"),
                                          sample_event("e3", "a", "changed", "")};
    const struct append appends[] = {sample_append(events, 2), sample_append(&events[2], 1)};
    const struct append *const list[] = {&appends[0], &appends[1]};
    const struct decision decision = decide_beside(fixture, list, 2, NULL);
    struct sha256 chain = {{0}};
    for (size_t i = 0; i < 2; i++) {
        const struct commit_append *append = &decision.batch.appends[i];
        struct sha256 leaves[2];
        for (size_t j = 0; j < append->count; j++)
            leaves[j] = record_leaf(append->records[j]);
        chain = chain_next(&chain, append->first_position, leaves, append->count);
        assert_memory_equal(&chain, &append->chain_after, sizeof chain);
    }
    assert_memory_equal(&chain, &decision.batch.after.chain, sizeof chain);
    assert_int_equal(decision.batch.appends[1].fields[0].version, 2);
    assert_true(decision.outcomes[1].timestamp_us > decision.outcomes[0].timestamp_us);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_store, close_store)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names_are_listed_once_and_found_by_place),
        TEST(test_later_appends_see_earlier_ones),
        TEST(test_a_refused_append_leaves_no_trace),
        TEST(test_validate_only_answers_and_leaves_no_trace),
        TEST(test_the_batch_in_flight_is_seen_before_the_facts_know_it),
        TEST(test_a_condition_looks_at_the_batch_and_the_one_in_flight),
        TEST(test_a_damaged_earlier_append_refuses_who_repeats_it_alone),
        TEST(test_a_repetition_of_an_erased_event_is_refused_by_name),
        TEST(test_a_condition_that_could_not_be_read_refuses_its_append_alone),
        TEST(test_the_chain_has_a_link_for_each_append),
    };
    return cmocka_run_group_tests_name("decide_batch", tests, NULL, NULL);
}
