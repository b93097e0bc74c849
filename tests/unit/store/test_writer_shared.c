/* The writer on an engine that other processes append to as well. */
#include "unit/store/writer_fixture.h"

static int open_shared(void **state)
{
    return writer_fixture_open_shared(state, false);
}

static void test_a_batch_that_was_overtaken_is_decided_on_the_new_head(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, false, true);
    struct request *any = submit(fixture, "a", ANY);
    held_store_await_commits(&fixture->held, 1);
    append_as_rival(fixture, "rival");
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(any);
    assert_int_equal(any->kind, APPEND_ACCEPTED);
    assert_int_equal(any->first_position, 2);
    assert_int_equal(any->head_version, 2);
    assert_int_equal(fixture->held.commits_begun, 2);
    assert_story(fixture, "Ca");
}

static void test_a_version_that_a_rival_took_is_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, false, true);
    struct request *exact = submit(fixture, "a", 0);
    held_store_await_commits(&fixture->held, 1);
    append_as_rival(fixture, "rival");
    held_store_fail_commit(&fixture->held, overtaken(), false);
    held_store_hold(&fixture->held, false, false);
    await_answer(exact);
    assert_int_equal(exact->status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(exact->status.current_version, 1);
}

static void test_who_is_always_overtaken_is_told_in_the_end(void **state)
{
    struct fixture *fixture = *state;
    held_store_fail_commits(&fixture->held, overtaken(), 64);
    struct request *unlucky = submit(fixture, "a", ANY);
    await_answer(unlucky);
    assert_int_equal(unlucky->status.reason, REASON_STORE_UNREACHABLE);
    struct request *next = submit(fixture, "b", ANY);
    await_answer(next);
    assert_int_equal(next->kind, APPEND_ACCEPTED);
    assert_int_equal(next->first_position, 1);
}

/* Of a, a conflict, b, c and d the engine writes a and b, then a rival comes: those two stand, the others go behind him. */
static void test_what_was_written_before_a_rival_came_stands(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "x", ANY);
    held_store_await_facts(&fixture->held, 1);
    struct request *a = submit(fixture, "a", ANY);
    struct request *conflict = submit(fixture, "n", 7);
    struct request *b = submit(fixture, "b", 2);
    struct request *c = submit(fixture, "c", 3);
    struct request *d = submit(fixture, "d", ANY);
    held_store_hold(&fixture->held, false, true);
    held_store_await_commits(&fixture->held, 1);
    held_store_hold(&fixture->held, true, false);
    held_store_await_facts(&fixture->held, 2);
    held_store_overtake_behind(&fixture->held, 2);
    held_store_hold(&fixture->held, false, false);
    await_answer(d);
    assert_int_equal(a->kind, APPEND_ACCEPTED);
    assert_int_equal(a->first_position, 2);
    assert_int_equal(b->kind, APPEND_ACCEPTED);
    assert_int_equal(b->first_position, 3);
    assert_int_equal(conflict->status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(c->kind, APPEND_ACCEPTED);
    assert_int_equal(c->first_position, 4);
    assert_int_equal(d->first_position, 5);
    assert_story(fixture, "CxCanbCcd");
    assert_int_equal(fixture->held.commit_appends[2], 2);
}

static struct request *submit_to(struct fixture *fixture, const char *id, struct bytes aggregate_id)
{
    struct request *request = prepare(fixture, id, ANY);
    request->event.aggregate_id = aggregate_id;
    assert_status_ok(writer_submit(fixture->writer, &request->append));
    return request;
}

/* Who hears of commits hears of those two, with the head that they make. */
static void test_of_what_was_written_in_part_the_head_is_told(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    (void)submit(fixture, "x", ANY);
    held_store_await_facts(&fixture->held, 1);
    (void)submit(fixture, "a", ANY);
    (void)submit_to(fixture, "b", BYTES_LITERAL("second"));
    struct request *c = submit_to(fixture, "c", BYTES_LITERAL("third"));
    held_store_hold(&fixture->held, false, true);
    held_store_await_commits(&fixture->held, 1);
    held_store_hold(&fixture->held, true, false);
    held_store_await_facts(&fixture->held, 2);
    held_store_overtake_behind(&fixture->held, 2);
    held_store_hold(&fixture->held, false, false);
    await_answer(c);
    assert_int_equal(fixture->told_count, 3);
    for (size_t i = 0; i < 3; i++) {
        static const int64_t wanted[3][2] = {{1, 1}, {3, 2}, {4, 3}};
        assert_int_equal(fixture->told[i].position, wanted[i][0]);
        assert_int_equal(fixture->told[i].aggregate_count, wanted[i][1]);
    }
}

static void test_a_commit_of_unknown_fate_ends_only_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct status lost = status_reason(REASON_OUTCOME_UNKNOWN, "the connection was lost");
    held_store_fail_commit(&fixture->held, lost, true);
    struct request *written = submit(fixture, "a", ANY);
    await_answer(written);
    assert_int_equal(written->status.reason, REASON_OUTCOME_UNKNOWN);
    held_store_fail_commit(&fixture->held, lost, false);
    struct request *not_written = submit(fixture, "b", ANY);
    await_answer(not_written);
    assert_int_equal(not_written->status.reason, REASON_OUTCOME_UNKNOWN);

    struct request *again = submit(fixture, "a", ANY);
    await_answer(again);
    assert_int_equal(again->kind, APPEND_REPLAYED);
    struct request *for_the_first_time = submit(fixture, "b", ANY);
    await_answer(for_the_first_time);
    assert_int_equal(for_the_first_time->kind, APPEND_ACCEPTED);
    assert_int_equal(for_the_first_time->first_position, 2);
}

static void test_what_was_only_refused_beside_an_unknown_commit_was_not_executed(void **state)
{
    struct fixture *fixture = *state;
    held_store_hold(&fixture->held, true, false);
    struct request *first = submit(fixture, "a", ANY);
    held_store_await_facts(&fixture->held, 1);
    struct request *wanted = submit(fixture, "b", ANY);
    struct request *conflict = submit(fixture, "c", 7);
    held_store_fail_commits(&fixture->held, status_reason(REASON_OUTCOME_UNKNOWN, "lost"), 2);
    held_store_hold(&fixture->held, false, false);
    await_answer(first);
    await_answer(wanted);
    await_answer(conflict);
    assert_int_equal(wanted->status.reason, REASON_OUTCOME_UNKNOWN);
    assert_int_equal(conflict->status.reason, REASON_STORE_UNREACHABLE);
}

static void test_what_facts_hold_is_let_go_when_nothing_is_to_be_written(void **state)
{
    struct fixture *fixture = *state;
    await_answer(submit(fixture, "a", ANY));
    assert_int_equal(fixture->held.releases, 0); /* the commit let go */
    await_answer(submit(fixture, "b", 7));
    assert_int_equal(fixture->held.releases, 1);
    held_store_fail_facts(&fixture->held, status_reason(REASON_STORE_UNREACHABLE, "no route"));
    await_answer(submit(fixture, "c", ANY));
    assert_int_equal(fixture->held.releases, 2);
}

static void test_time_is_the_stores_where_it_has_one(void **state)
{
    struct fixture *fixture = *state;
    fixture->held.now_us = INT64_C(4102444800000000); /* 2100 */
    await_answer(submit(fixture, "a", ANY));
    struct store_head head;
    assert_status_ok(fixture->memory->ops->head(fixture->memory, &head));
    assert_int_equal(head.timestamp_us, INT64_C(4102444800000000));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_shared, writer_fixture_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_batch_that_was_overtaken_is_decided_on_the_new_head),
        TEST(test_a_version_that_a_rival_took_is_a_conflict),
        TEST(test_who_is_always_overtaken_is_told_in_the_end),
        TEST(test_what_was_written_before_a_rival_came_stands),
        TEST(test_of_what_was_written_in_part_the_head_is_told),
        TEST(test_a_commit_of_unknown_fate_ends_only_itself),
        TEST(test_what_was_only_refused_beside_an_unknown_commit_was_not_executed),
        TEST(test_what_facts_hold_is_let_go_when_nothing_is_to_be_written),
        TEST(test_time_is_the_stores_where_it_has_one),
    };
    return cmocka_run_group_tests_name("writer_shared", tests, NULL, NULL);
}
