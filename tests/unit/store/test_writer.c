/* The writer's promises about order, failure and bounds, on an engine that the test holds. */
#include "support/cmocka.h"
#include "support/manual_clock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/store/writer_fixture.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "store/memory/memory_store.h"
#include "store/writer.h"

/* One batch {a} is held in its commit; b (fits behind a), c (a conflict because of a) and a again wait decided. */
struct scene {
    struct request *a;
    struct request *b;
    struct request *c;
    struct request *replay;
};

static struct scene set_scene(struct fixture *fixture)
{
    struct scene scene;
    held_store_hold(&fixture->held, true, true);
    scene.a = submit(fixture, "a", 0);
    held_store_await_facts(&fixture->held, 1);
    scene.b = submit(fixture, "b", 1);
    scene.c = submit(fixture, "c", 0);
    scene.replay = submit(fixture, "a", 0);
    held_store_hold(&fixture->held, false, true);
    held_store_await_commits(&fixture->held, 1);
    held_store_await_facts(&fixture->held, 2);
    for (int i = 0; i < 100; i++)
        (void)sched_yield(); /* a writer that answers too early gets the chance to */
    return scene;
}

static void test_nothing_of_the_next_batch_leaves_before_the_sync(void **state)
{
    struct fixture *fixture = *state;
    const struct scene scene = set_scene(fixture);
    assert_false(is_answered(scene.a));
    assert_false(is_answered(scene.b));
    assert_false(is_answered(scene.c));
    assert_false(is_answered(scene.replay));
    assert_int_equal(fixture->held.commits_begun, 1);
    assert_true(fixture->held.overlapped); /* it was decided meanwhile */
    held_store_hold(&fixture->held, false, false);
    await_answer(scene.replay);
    assert_int_equal(scene.a->kind, APPEND_ACCEPTED);
    assert_int_equal(scene.b->kind, APPEND_ACCEPTED);
    assert_int_equal(scene.b->first_position, 2);
    assert_int_equal(scene.b->head_version, 2);
    assert_int_equal(scene.c->status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(scene.replay->kind, APPEND_REPLAYED);
    assert_int_equal(scene.replay->first_position, 1);
    assert_story(fixture, "CaCbca"); /* told before answered, answered in order */
}

static void test_after_a_failed_sync_nothing_is_acknowledged_any_more(void **state)
{
    struct fixture *fixture = *state;
    const struct scene scene = set_scene(fixture);
    held_store_fail_commit(&fixture->held, status_reason(REASON_OUTCOME_UNKNOWN, "fdatasync: EIO"), true);
    held_store_hold(&fixture->held, false, false);
    await_answer(scene.replay);
    assert_int_equal(scene.a->status.reason, REASON_OUTCOME_UNKNOWN);
    assert_int_equal(scene.b->status.reason, REASON_STORE_FAILED);
    assert_int_equal(scene.c->status.reason, REASON_STORE_FAILED);
    assert_int_equal(scene.replay->status.reason, REASON_STORE_FAILED);
    assert_int_equal(fixture->held.commits_begun, 1); /* b was not written */
    assert_story(fixture, "abca");
    struct request *late = prepare(fixture, "d", ANY);
    assert_reason(writer_submit(fixture->writer, &late->append), REASON_STORE_FAILED);
}

/* Only what was to be written is in doubt; a conflict beside it was certainly not executed. */
static void test_a_failed_sync_leaves_in_doubt_only_what_was_to_be_written(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, true);
    struct request *probe = prepare(fixture, "v", ANY); /* makes a batch of its own and no commit */
    probe->append.validate_only = true;
    assert_status_ok(writer_submit(fixture->writer, &probe->append));
    held_store_await_facts(&fixture->held, 1);
    struct request *written = submit(fixture, "a", 0);
    struct request *conflict = submit(fixture, "b", 7);
    held_store_fail_commit(&fixture->held, status_reason(REASON_OUTCOME_UNKNOWN, "fdatasync: EIO"), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(conflict);
    assert_int_equal(written->status.reason, REASON_OUTCOME_UNKNOWN);
    assert_int_equal(written->status.code, STATUS_UNKNOWN);
    assert_int_equal(conflict->status.reason, REASON_STORE_FAILED);
}

/* A disk that is full for a moment, a database out of reach: the engine knows that nothing was written. */
static void test_a_commit_that_wrote_nothing_is_refused_and_the_next_decided_anew(void **state)
{
    struct fixture *fixture = *state;
    const struct scene scene = set_scene(fixture);
    held_store_fail_commit(&fixture->held, status_reason(REASON_STORE_UNREACHABLE, "no route"), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(scene.replay);
    assert_int_equal(scene.a->status.reason, REASON_STORE_UNREACHABLE);
    assert_int_equal(scene.b->status.reason, REASON_VERSION_CONFLICT); /* there is no a to follow */
    assert_int_equal(scene.c->kind, APPEND_ACCEPTED);
    assert_int_equal(scene.c->first_position, 1);
}

static void test_facts_that_cannot_be_had_refuse_only_their_batch(void **state)
{
    struct fixture *fixture = *state;
    held_store_fail_facts(&fixture->held, status_reason(REASON_STORE_UNREACHABLE, "no route"));
    struct request *a = submit(fixture, "a", 0);
    await_answer(a);
    assert_int_equal(a->status.reason, REASON_STORE_UNREACHABLE);
    struct request *b = submit(fixture, "b", 0);
    await_answer(b);
    assert_int_equal(b->kind, APPEND_ACCEPTED);
}

static void test_an_engine_that_is_not_pipelined_is_asked_only_between_commits(void **state)
{
    struct fixture *fixture = *state;
    writer_stop(fixture->writer);
    fixture->held.store.pipelined = false;
    writer_fixture_start(fixture, (struct writer_options){0});
    held_store_hold(&fixture->held, false, true);
    struct request *a = submit(fixture, "a", 0);
    held_store_await_commits(&fixture->held, 1);
    struct request *b = submit(fixture, "b", 1);
    for (int i = 0; i < 100; i++)
        (void)sched_yield(); /* a writer that asks too early gets the chance to */
    held_store_hold(&fixture->held, false, false);
    await_answer(b);
    assert_false(fixture->held.overlapped);
    assert_int_equal(a->kind, APPEND_ACCEPTED);
    assert_int_equal(b->kind, APPEND_ACCEPTED);
}

static void test_a_full_queue_refuses_and_says_when_to_retry(void **state)
{
    struct fixture *fixture = *state;
    writer_stop(fixture->writer);
    writer_fixture_start(fixture, (struct writer_options){.queue_max_appends = 4, .queue_max_bytes = 2000});
    held_store_hold(&fixture->held, true, false);
    struct request *first = submit(fixture, "first", ANY);
    held_store_await_facts(&fixture->held, 1); /* it has left the queue */
    for (int i = 0; i < 4; i++)
        (void)submit(fixture, i == 0 ? "q0" : i == 1 ? "q1" : i == 2 ? "q2" : "q3", ANY);
    struct request *fifth = prepare(fixture, "q4", ANY);
    const struct status status = writer_submit(fixture->writer, &fifth->append);
    assert_int_equal(status.reason, REASON_QUEUE_FULL);
    assert_true(status.retry_after_ms > 0);
    struct writer_stats stats;
    writer_stats(fixture->writer, &stats);
    assert_int_equal(stats.queue_depth, 4);
    held_store_hold(&fixture->held, false, false);
    await_answer(&fixture->requests[4]);
    assert_int_equal(first->kind, APPEND_ACCEPTED);
    assert_status_ok(writer_submit(fixture->writer, &fifth->append)); /* there is room again */
    await_answer(fifth);
}

static void test_the_queue_is_bounded_in_bytes_too(void **state)
{
    struct fixture *fixture = *state;
    writer_stop(fixture->writer);
    writer_fixture_start(fixture, (struct writer_options){.queue_max_bytes = 1000});
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "first", ANY);
    held_store_await_facts(&fixture->held, 1);
    struct request *large = prepare(fixture, "large", ANY);
    large->append.encoded_bytes = 900;
    assert_status_ok(writer_submit(fixture->writer, &large->append));
    struct request *over = prepare(fixture, "over", ANY);
    over->append.encoded_bytes = 101;
    assert_reason(writer_submit(fixture->writer, &over->append), REASON_QUEUE_FULL);
    held_store_hold(&fixture->held, false, false);
    await_answer(large);
}

static void test_stop_answers_all_that_is_queued(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "first", ANY);
    held_store_await_facts(&fixture->held, 1);
    for (int i = 0; i < 20; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "q%d", i);
        (void)submit(fixture, id, ANY);
    }
    held_store_hold(&fixture->held, false, false);
    writer_stop(fixture->writer);
    fixture->writer = NULL;
    for (size_t i = 0; i < fixture->request_count; i++) {
        assert_true(fixture->requests[i].answered);
        assert_int_equal(fixture->requests[i].kind, APPEND_ACCEPTED);
    }
}

/* 600 waiting appends: batches of 256, in the order they came. */
static void test_a_batch_closes_at_256_appends(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "first", ANY);
    held_store_await_facts(&fixture->held, 1);
    struct request *last = NULL;
    for (int i = 0; i < 600; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "q%d", i);
        last = submit(fixture, id, ANY);
    }
    held_store_hold(&fixture->held, false, false);
    await_answer(last);
    assert_int_equal(fixture->held.commits_begun, 4);
    const size_t expected[] = {1, 256, 256, 88};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(fixture->held.commit_appends[i], expected[i]);
    for (size_t i = 0; i < fixture->request_count; i++)
        assert_int_equal(fixture->requests[i].first_position, i + 1);
}

static void test_a_large_append_goes_alone(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "first", ANY);
    held_store_await_facts(&fixture->held, 1);
    (void)submit(fixture, "small", ANY);
    struct request *large = prepare(fixture, "large", ANY);
    large->append.encoded_bytes = 5U * 1024U * 1024U;
    assert_status_ok(writer_submit(fixture->writer, &large->append));
    struct request *last = submit(fixture, "last", ANY);
    held_store_hold(&fixture->held, false, false);
    await_answer(last);
    assert_int_equal(fixture->held.commits_begun, 4);
}

static void test_a_condition_sees_what_became_durable_since_service_looked(void **state)
{
    struct fixture *fixture = *state;
    await_answer(submit(fixture, "a", ANY));
    await_answer(submit(fixture, "b", ANY));
    const struct bytes type = BYTES_LITERAL("changed");
    const struct query_item item = {.types = {&type, 1}};
    const struct append_condition stale = {{&item, 1}, 1, 1}; /* looked up to 1; b came since */
    const struct append_condition fresh = {{&item, 1}, 1, 2};
    struct request *refused = prepare(fixture, "c", ANY);
    refused->append.condition = &stale;
    assert_status_ok(writer_submit(fixture->writer, &refused->append));
    await_answer(refused);
    assert_int_equal(refused->status.reason, REASON_CONDITION_FAILED);
    assert_non_null(strstr(refused->status.message, "position 2"));
    struct request *accepted = prepare(fixture, "d", ANY);
    accepted->append.condition = &fresh;
    assert_status_ok(writer_submit(fixture->writer, &accepted->append));
    await_answer(accepted);
    assert_int_equal(accepted->kind, APPEND_ACCEPTED);
}

/* One damaged record in the way of one condition: the rest of its batch is none the worse. */
static void test_a_condition_that_cannot_be_read_refuses_its_append_alone(void **state)
{
    struct fixture *fixture = *state;
    await_answer(submit(fixture, "a", ANY));
    const struct bytes type = BYTES_LITERAL("never");
    const struct query_item item = {.types = {&type, 1}};
    const struct append_condition condition = {{&item, 1}, 0, 0};
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "h", ANY); /* keeps the writer busy, so that the next three share a batch */
    held_store_await_facts(&fixture->held, 2);
    struct request *before = submit(fixture, "b", ANY);
    struct request *blind = prepare(fixture, "c", ANY);
    blind->append.condition = &condition;
    assert_status_ok(writer_submit(fixture->writer, &blind->append));
    struct request *seeing = prepare(fixture, "d", ANY);
    seeing->append.condition = &condition;
    assert_status_ok(writer_submit(fixture->writer, &seeing->append));
    held_store_fail_read(&fixture->held, status_reason(REASON_DAMAGED, "position 1 is damaged"));
    held_store_hold(&fixture->held, false, false);
    await_answer(seeing);
    assert_int_equal(before->kind, APPEND_ACCEPTED);
    assert_int_equal(blind->kind, APPEND_REFUSED);
    assert_int_equal(blind->status.reason, REASON_DAMAGED);
    assert_string_equal(blind->status.message, "position 1 is damaged");
    assert_int_equal(seeing->kind, APPEND_ACCEPTED);
    assert_int_equal(seeing->first_position, before->first_position + 1);
}

static void test_validate_only_writes_and_counts_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct request *request = prepare(fixture, "v", 0);
    request->append.validate_only = true;
    assert_status_ok(writer_submit(fixture->writer, &request->append));
    await_answer(request);
    assert_int_equal(request->kind, APPEND_ACCEPTED);
    assert_int_equal(request->first_position, 1);
    assert_int_equal(fixture->held.commits_begun, 0);
    struct writer_stats stats;
    writer_stats(fixture->writer, &stats);
    assert_int_equal(stats.appends, 0);
}

static void test_outcomes_are_counted(void **state)
{
    struct fixture *fixture = *state;
    await_answer(submit(fixture, "a", 0));
    await_answer(submit(fixture, "a", 0));
    await_answer(submit(fixture, "b", 0));
    struct writer_stats stats;
    writer_stats(fixture->writer, &stats);
    assert_int_equal(stats.appends, 1);
    assert_int_equal(stats.events, 1);
    assert_int_equal(stats.replays, 1);
    assert_int_equal(stats.conflicts, 1);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.batches, 1);
    assert_int_equal(stats.queue_depth, 0);
}

/* Whole seconds are counted, so a minute is what of the current second has passed and the 59 before it. */
static void test_the_rate_is_of_the_last_minute(void **state)
{
    struct fixture *fixture = *state;
    struct manual_clock clock = manual_clock_at_us(0);
    const struct writer_options options = {0};
    writer_stop(fixture->writer);
    assert_status_ok(
        writer_start(&fixture->held.store, &options, &clock.clock, &system_entropy, &fixture->writer));
    const struct {
        const char *why;
        int64_t step_ms;
        int appends;
        double rate;
    } story[] = {
        {"nothing yet", 0, 0, 0},
        {"less than a second counts as one", 100, 6, 6},
        {"over the whole time, while it is less than a minute", 11900, 0, 0.5},
        {"appends of two moments", 18000, 6, 0.4},
        {"just not a minute", 29999, 0, 12 / 59.999},
        {"the first ones are a minute old", 1001, 0, 6 / 59.0},
        {"all are", 30000, 0, 0},
        {"a day without a look", INT64_C(86400000), 0, 0},
        {"a new one after it", 0, 6, 6 / 59.0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(story); i++) {
        manual_clock_advance_ms(&clock, story[i].step_ms);
        for (int j = 0; j < story[i].appends; j++) {
            char id[24];
            snprintf(id, sizeof id, "r%zu-%d", i, j);
            await_answer(submit(fixture, id, ANY));
        }
        struct writer_stats stats;
        writer_stats(fixture->writer, &stats);
        if (stats.appends_per_second < story[i].rate - 1e-9 ||
            stats.appends_per_second > story[i].rate + 1e-9)
            fail_msg("%s: %f a second, not %f", story[i].why, stats.appends_per_second, story[i].rate);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, writer_fixture_open, writer_fixture_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_of_the_next_batch_leaves_before_the_sync),
        TEST(test_after_a_failed_sync_nothing_is_acknowledged_any_more),
        TEST(test_a_failed_sync_leaves_in_doubt_only_what_was_to_be_written),
        TEST(test_a_commit_that_wrote_nothing_is_refused_and_the_next_decided_anew),
        TEST(test_facts_that_cannot_be_had_refuse_only_their_batch),
        TEST(test_an_engine_that_is_not_pipelined_is_asked_only_between_commits),
        TEST(test_a_full_queue_refuses_and_says_when_to_retry),
        TEST(test_the_queue_is_bounded_in_bytes_too),
        TEST(test_stop_answers_all_that_is_queued),
        TEST(test_a_batch_closes_at_256_appends),
        TEST(test_a_large_append_goes_alone),
        TEST(test_a_condition_sees_what_became_durable_since_service_looked),
        TEST(test_a_condition_that_cannot_be_read_refuses_its_append_alone),
        TEST(test_validate_only_writes_and_counts_nothing),
        TEST(test_outcomes_are_counted),
        TEST(test_the_rate_is_of_the_last_minute),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
