#include "server_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <strata/v1/event_service.pb-c.h>
#include <string.h>

static struct grpc_stream *open_read(struct grpc_client *client, uint64_t limit)
{
    struct grpc_stream *stream = grpc_stream_open(client, READ_EVENTS, 0);
    struct buffer request = buffer_make(0);
    wire_put_uint(&request, 5, limit);
    assert_true(grpc_stream_write(stream, buffer_bytes(&request)));
    grpc_stream_half_close(stream);
    buffer_done(&request);
    return stream;
}

static uint64_t position_of(struct bytes message)
{
    struct wire_field field;
    for (size_t at = 0; at < message.size_bytes && wire_next(message, &at, &field);)
        if (field.number == 2)
            return field.value;
    return 0;
}

static void test_a_stream_arrives_complete_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = open_read(client, 300);
    struct buffer message = buffer_make(0);
    for (uint64_t i = 1; i <= 300; i++) {
        assert_true(grpc_stream_read(stream, &message));
        assert_int_equal(position_of(buffer_bytes(&message)), i);
    }
    assert_false(grpc_stream_read(stream, &message));
    struct client_reply reply = {0};
    grpc_stream_finish(stream, &reply);
    assert_int_equal(reply.code, STATUS_OK);
    client_reply_done(&reply);
    buffer_done(&message);
}

/* Counts until the handler has stopped sending: the same count for half a second, in which even a busy machine lets it run. */
static int settled_count(const atomic_int *counter)
{
    int last = 0;
    for (int looks = 0; looks < 10 || last == 0; looks++) {
        const int now = atomic_load(counter);
        if (now != last)
            looks = 0;
        last = now;
        (void)poll(NULL, 0, 50);
    }
    return last;
}

static void test_a_reader_that_does_not_read_stops_the_sender(void **state)
{
    struct fixture *fixture = *state;
    const struct grpc_client_options narrow = {.receive_window_bytes = 65536};
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), &narrow);
    struct grpc_stream *stream = open_read(client, 0); /* endless */
    const int before = settled_count(&fixture->sent);
    /* What fills the peer's window and two messages more; an unbounded sender would never settle. */
    assert_in_range(before, 1, 64);

    struct buffer message = buffer_make(0);
    for (int i = 0; i < 100; i++)
        assert_true(grpc_stream_read(stream, &message));
    assert_in_range(settled_count(&fixture->sent), 100, before + 100 + 16);
    grpc_stream_cancel(stream);
    wait_for_count(&fixture->cancelled, 1, "on_cancel of the stream");
    struct client_reply reply = {0};
    grpc_stream_finish(stream, &reply);
    assert_int_equal(reply.code, STATUS_CANCELLED);
    client_reply_done(&reply);
    buffer_done(&message);
}

static struct bytes append_request(struct buffer *to, const char *append_id)
{
    struct buffer inner = buffer_make(0);
    buffer_clear(to);
    wire_put_bytes(&inner, 1, bytes_of_text(append_id));
    wire_put_bytes(to, 1, buffer_bytes(&inner));
    buffer_done(&inner);
    return buffer_bytes(to);
}

static Strata__V1__AppendStreamResponse *read_answer(struct grpc_stream *stream)
{
    struct buffer message = buffer_make(0);
    assert_true(grpc_stream_read(stream, &message));
    Strata__V1__AppendStreamResponse *answer =
        strata__v1__append_stream_response__unpack(NULL, message.size_bytes, message.data);
    assert_non_null(answer);
    buffer_done(&message);
    return answer;
}

static void end_stream(struct grpc_stream *stream)
{
    struct client_reply reply = {0};
    struct buffer rest = buffer_make(0);
    grpc_stream_half_close(stream);
    assert_false(grpc_stream_read(stream, &rest));
    grpc_stream_finish(stream, &reply);
    if (reply.code != STATUS_OK)
        fail_msg("the stream ended with %d: %s", reply.code, reply.message);
    client_reply_done(&reply);
    buffer_done(&rest);
}

static void test_each_message_of_a_stream_is_answered_in_order(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = grpc_stream_open(client, APPEND_STREAM, 0);
    struct buffer request = buffer_make(0);
    for (int i = 1; i <= 50; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "append-%d", i);
        assert_true(grpc_stream_write(stream, append_request(&request, id)));
        Strata__V1__AppendStreamResponse *answer = read_answer(stream);
        assert_int_equal(answer->sequence, i);
        assert_string_equal(answer->appended->append_id, id);
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    }
    end_stream(stream);
    buffer_done(&request);
}

static void test_more_messages_than_the_window_pass_through_it(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = grpc_stream_open(client, APPEND_STREAM, 0);
    struct buffer request = buffer_make(0);
    for (unsigned i = 0; i < 3 * CALL_MESSAGES_MAX; i++) /* nothing is read meanwhile */
        assert_true(grpc_stream_write(stream, append_request(&request, "a")));
    for (unsigned i = 1; i <= 3 * CALL_MESSAGES_MAX; i++) {
        Strata__V1__AppendStreamResponse *answer = read_answer(stream);
        assert_int_equal(answer->sequence, i);
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    }
    end_stream(stream);
    buffer_done(&request);
}

static void test_an_unreadable_message_does_not_end_its_stream(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = grpc_stream_open(client, APPEND_STREAM, 0);
    struct buffer request = buffer_make(0);
    assert_true(grpc_stream_write(stream, BYTES_LITERAL("\x0a\x04\x0a\x02\xff\xfe"))); /* not UTF-8 */
    assert_true(grpc_stream_write(stream, append_request(&request, "good")));
    Strata__V1__AppendStreamResponse *first = read_answer(stream);
    assert_int_equal(first->outcome_case, STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR);
    assert_non_null(strstr(first->error->message, "append_id"));
    strata__v1__append_stream_response__free_unpacked(first, NULL);
    Strata__V1__AppendStreamResponse *second = read_answer(stream);
    assert_int_equal(second->outcome_case, STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED);
    strata__v1__append_stream_response__free_unpacked(second, NULL);
    end_stream(stream);
    buffer_done(&request);
}

static void test_stopping_ends_streams(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = open_read(client, 0);
    wait_for_count(&fixture->started, 1, "the handler's start");
    server_stop(fixture->server, 20);
    fixture->server = NULL;
    assert_int_equal(atomic_load(&fixture->cancelled), 1);
    struct client_reply reply = {0};
    struct buffer message = buffer_make(0);
    while (grpc_stream_read(stream, &message))
        ;
    grpc_stream_finish(stream, &reply);
    assert_int_not_equal(reply.code, STATUS_OK); /* never as if complete */
    client_reply_done(&reply);
    buffer_done(&message);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_stream_arrives_complete_and_in_order),
        WITH_SERVER(test_a_reader_that_does_not_read_stops_the_sender),
        WITH_SERVER(test_each_message_of_a_stream_is_answered_in_order),
        WITH_SERVER(test_more_messages_than_the_window_pass_through_it),
        WITH_SERVER(test_an_unreadable_message_does_not_end_its_stream),
        WITH_SERVER(test_stopping_ends_streams),
    };
    return cmocka_run_group_tests_name("server_streams", tests, NULL, NULL);
}
