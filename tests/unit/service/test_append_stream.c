#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state)
{
    static struct world world;
    world_open(&world, NULL);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

static struct test_stream *open_stream(struct world *world, size_t window)
{
    return test_stream_open(world->table, METHOD_EVENT_SERVICE_APPEND_STREAM, NULL, window);
}

static void write_event(struct test_stream *stream, const char *type, const char *aggregate_id,
                        const char *aggregate_type, const char *data)
{
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T(type);
    event.aggregate_id = T(aggregate_id);
    event.aggregate_type = T(aggregate_type);
    event.data = json(data);
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    append.events = events;
    append.n_events = 1;
    Strata__V1__AppendStreamRequest request = STRATA__V1__APPEND_STREAM_REQUEST__INIT;
    request.append = &append;
    test_stream_write(stream, &request.base);
}

static Strata__V1__AppendStreamResponse *read_answer(struct test_stream *stream)
{
    struct bytes bytes;
    if (!test_stream_read(stream, &bytes))
        return NULL;
    Strata__V1__AppendStreamResponse *answer =
        strata__v1__append_stream_response__unpack(NULL, bytes.size_bytes, bytes.data);
    assert_non_null(answer);
    free((void *)(uintptr_t)bytes.data);
    return answer;
}

static void test_answers_come_in_order_and_a_refusal_does_not_end_the_stream(void **state)
{
    struct world *world = *state;
    struct test_stream *stream = open_stream(world, 0);
    write_event(stream, "custom", "a", "custom", "{}");
    write_event(stream, "custom", "..", "custom", "{}");
    write_event(stream, "custom", "a", "custom", "{}");
    test_stream_half_close(stream);
    for (int64_t sequence = 1; sequence <= 3; sequence++) {
        Strata__V1__AppendStreamResponse *answer = read_answer(stream);
        assert_int_equal(answer->sequence, sequence);
        if (sequence == 2) {
            assert_int_equal(answer->outcome_case, STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR);
            assert_string_equal(answer->error->reason, "INVALID_ID");
            assert_int_equal(answer->error->code, STATUS_INVALID_ARGUMENT);
        } else {
            assert_int_equal(answer->outcome_case, STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED);
            assert_int_equal(answer->appended->last_position, (sequence + 1) / 2);
        }
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    }
    assert_null(read_answer(stream));
    assert_status_ok(test_stream_close(stream));
}

/* A rule looks at the odd ones on a worker, the even ones go straight: still they are recorded in their order. */
static void test_requests_for_one_aggregate_are_recorded_in_their_order(void **state)
{
    struct world *world = *state;
    struct test_stream *stream = open_stream(world, 2);
    write_event(
        stream, "user_created", "u", "user",
        "{\"user_id\":\"u\",\"email\":\"a@b.de\",\"first_name\":\"A\",\"last_name\":\"B\",\"role\":\"user\"}");
    int64_t answered = 0;
    for (int i = 0; i < 300; i++) {
        if (i % 2 == 1)
            write_event(stream, "custom", "u", "user", "{}");
        else
            write_event(stream, "user_updated", "u", "user", "{\"user_id\":\"u\",\"email\":\"c@d.de\"}");
        if (i < 60)
            continue;
        Strata__V1__AppendStreamResponse *answer = read_answer(stream);
        assert_int_equal(answer->sequence, ++answered);
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    }
    test_stream_half_close(stream);
    Strata__V1__AppendStreamResponse *answer;
    while ((answer = read_answer(stream)) != NULL) {
        assert_int_equal(answer->sequence, ++answered);
        assert_int_equal(answer->outcome_case, STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED);
        assert_int_equal(answer->appended->heads[0]->version, answered);
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    }
    assert_int_equal(answered, 301);
    assert_status_ok(test_stream_close(stream));
}

static void test_a_conflict_carries_its_versions(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    struct test_stream *stream = open_stream(world, 0);
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.aggregate_id = T("a");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__Expectation expectation = STRATA__V1__EXPECTATION__INIT;
    expectation.aggregate_id = T("a");
    expectation.must_case = STRATA__V1__EXPECTATION__MUST_BE_AT_VERSION;
    expectation.be_at_version = 7;
    Strata__V1__Expectation *expected[] = {&expectation};
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    append.events = events;
    append.n_events = 1;
    append.expectations = expected;
    append.n_expectations = 1;
    Strata__V1__AppendStreamRequest request = STRATA__V1__APPEND_STREAM_REQUEST__INIT;
    request.append = &append;
    test_stream_write(stream, &request.base);
    Strata__V1__AppendStreamResponse *answer = read_answer(stream);
    assert_string_equal(answer->error->reason, "VERSION_CONFLICT");
    assert_int_equal(answer->error->n_facts, 3);
    assert_string_equal(answer->error->facts[0]->key, "expected_version");
    assert_string_equal(answer->error->facts[0]->value, "7");
    assert_string_equal(answer->error->facts[1]->value, "1");
    assert_string_equal(answer->error->facts[2]->key, "aggregate_id");
    strata__v1__append_stream_response__free_unpacked(answer, NULL);
    test_stream_half_close(stream);
    assert_status_ok(test_stream_close(stream));
}

static void test_a_cancelled_stream_ends_after_its_appends(void **state)
{
    struct world *world = *state;
    struct test_stream *stream = open_stream(world, 1);
    for (int i = 0; i < 20; i++)
        write_event(stream, "custom", "a", "custom", "{}");
    test_stream_cancel(stream);
    const struct status status = test_stream_close(stream);
    assert_int_equal(status.code, STATUS_CANCELLED);
}

static void test_a_stopping_service_ends_an_idle_stream(void **state)
{
    struct world *world = *state;
    struct test_stream *stream = open_stream(world, 0);
    service_stop(world->service);
    const struct status status = test_stream_close(stream);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_answers_come_in_order_and_a_refusal_does_not_end_the_stream),
        CASE(test_requests_for_one_aggregate_are_recorded_in_their_order),
        CASE(test_a_conflict_carries_its_versions),
        CASE(test_a_cancelled_stream_ends_after_its_appends),
        CASE(test_a_stopping_service_ends_an_idle_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
