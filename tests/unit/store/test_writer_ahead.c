/* The writer on an engine that others write to as well, and whose next batch may be decided while this one is committed. */
#include "unit/store/writer_fixture.h"

static int open_ahead(void **state)
{
    return writer_fixture_open_shared(state, true);
}

/* Two batches are handed over, and none of them is committed. */
static void begin_two(struct fixture *fixture, int second_expects, struct request *ret[2])
{
    held_store_hold(&fixture->held, false, true);
    ret[0] = submit(fixture, "a", ANY);
    held_store_await_commits(&fixture->held, 1);
    ret[1] = submit(fixture, "b", second_expects);
    held_store_await_commits(&fixture->held, 2);
    assert_int_equal(fixture->held.aheads, 1);
    assert_false(is_answered(ret[0]));
    assert_false(is_answered(ret[1]));
}

static void test_the_next_batch_is_decided_on_the_one_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct request *both[2];
    begin_two(fixture, 1, both);
    held_store_hold(&fixture->held, false, false);
    await_answer(both[1]);
    assert_int_equal(both[0]->kind, APPEND_ACCEPTED);
    assert_int_equal(both[1]->kind, APPEND_ACCEPTED);
    assert_int_equal(both[1]->first_position, 2);
    assert_int_equal(both[1]->head_version, 2);
    assert_int_equal(fixture->held.facts_begun, 1);
    assert_story(fixture, "CaCb");
}

static void test_who_was_decided_on_an_overtaken_batch_goes_behind_it_again(void **state)
{
    struct fixture *fixture = *state;
    struct request *both[2];
    begin_two(fixture, ANY, both);
    append_as_rival(fixture, "rival");
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(both[1]);
    assert_int_equal(both[0]->first_position, 2);
    assert_int_equal(both[1]->first_position, 3);
    assert_int_equal(fixture->held.commits_begun, 4);
    assert_story(fixture, "CaCb");
}

static void test_a_version_that_a_rival_took_is_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    struct request *both[2];
    begin_two(fixture, 1, both);
    append_as_rival(fixture, "rival");
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(both[1]);
    assert_int_equal(both[0]->head_version, 2);
    assert_int_equal(both[1]->status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(both[1]->status.current_version, 2);
}

/* Was the first one written or not: the second is decided on what there is. */
static void test_an_unknown_fate_ends_only_the_first(void **state)
{
    struct fixture *fixture = *state;
    for (int anyway = 0; anyway < 2; anyway++) {
        struct request *both[2];
        held_store_hold(&fixture->held, false, true);
        const int begun = fixture->held.commits_begun;
        both[0] = submit(fixture, anyway ? "c" : "a", ANY);
        held_store_await_commits(&fixture->held, begun + 1);
        both[1] = submit(fixture, anyway ? "d" : "b", ANY);
        held_store_await_commits(&fixture->held, begun + 2);
        held_store_fail_commit(&fixture->held, status_reason(REASON_OUTCOME_UNKNOWN, "lost"), anyway == 1);
        held_store_hold(&fixture->held, false, false);
        await_answer(both[1]);
        assert_int_equal(both[0]->status.reason, REASON_OUTCOME_UNKNOWN);
        assert_int_equal(both[1]->kind, APPEND_ACCEPTED);
        assert_int_equal(both[1]->first_position, anyway ? 3 : 1);
        for (int i = 0; i < 8; i++) /* whoever was overtaken rests */
            await_answer(submit(fixture, "a", 99));
    }
}

/* What the store may answer is known only when no commit is under way. */
static void test_a_refusal_alone_waits_for_the_facts(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, false, true);
    struct request *first = submit(fixture, "a", ANY);
    held_store_await_commits(&fixture->held, 1);
    struct request *conflict = submit(fixture, "b", 7);
    struct request *repeated = submit(fixture, "a", ANY);
    held_store_hold(&fixture->held, false, false);
    await_answer(conflict);
    await_answer(repeated);
    assert_int_equal(conflict->status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(conflict->status.current_version, 1);
    assert_int_equal(repeated->kind, APPEND_REPLAYED);
    assert_int_equal(first->kind, APPEND_ACCEPTED);
    assert_int_equal(fixture->held.commits_begun, 1);
    assert_int_equal(fixture->held.aheads, 0);
}

/* While others write too, deciding ahead would mostly be for nothing. */
static void test_who_was_overtaken_rests(void **state)
{
    struct fixture *fixture = *state;
    struct request *both[2];
    begin_two(fixture, ANY, both);
    append_as_rival(fixture, "rival");
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(both[1]);
    const int begun = fixture->held.commits_begun;
    held_store_hold(&fixture->held, false, true);
    (void)submit(fixture, "c", ANY);
    held_store_await_commits(&fixture->held, begun + 1);
    struct request *next = submit(fixture, "d", ANY);
    held_store_hold(&fixture->held, false, false);
    await_answer(next);
    assert_int_equal(next->first_position, 5);
    assert_int_equal(fixture->held.aheads, 1);
}

static void test_a_stop_waits_for_both(void **state)
{
    struct fixture *fixture = *state;
    struct request *both[2];
    begin_two(fixture, ANY, both);
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    writer_stop(fixture->writer);
    fixture->writer = NULL;
    assert_int_equal(both[0]->kind, APPEND_ACCEPTED);
    assert_int_equal(both[1]->kind, APPEND_ACCEPTED);
    assert_int_equal(both[1]->first_position, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_ahead, writer_fixture_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_next_batch_is_decided_on_the_one_under_way),
        TEST(test_who_was_decided_on_an_overtaken_batch_goes_behind_it_again),
        TEST(test_a_version_that_a_rival_took_is_a_conflict),
        TEST(test_an_unknown_fate_ends_only_the_first),
        TEST(test_a_refusal_alone_waits_for_the_facts),
        TEST(test_who_was_overtaken_rests),
        TEST(test_a_stop_waits_for_both),
    };
    return cmocka_run_group_tests_name("writer_ahead", tests, NULL, NULL);
}
