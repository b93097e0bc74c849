#include "server_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <strata/v1/event_service.pb-c.h>
#include <string.h>

#include "rpc/status_details.h"

/* Calls PublishEvent; *ret_event is to be freed when the reply has one. */
static void publish(struct fixture *fixture, const char *type, const char *aggregate_id, int64_t timeout_ms,
                    const struct client_header *headers, struct client_reply *ret)
{
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct buffer request = buffer_make(0);
    grpc_client_call(client, PUBLISH, publish_request(&request, type, aggregate_id), timeout_ms, headers,
                     ret);
    buffer_done(&request);
}

static void assert_event(const struct client_reply *reply, const char *id, const char *type)
{
    if (reply->code != STATUS_OK)
        fail_msg("wanted an event, got %d: %s", reply->code, reply->message);
    Strata__V1__PublishEventResponse *response =
        strata__v1__publish_event_response__unpack(NULL, reply->body.size_bytes, reply->body.data);
    assert_non_null(response);
    assert_string_equal(response->event->id, id);
    if (type != NULL)
        assert_string_equal(response->event->type, type);
    strata__v1__publish_event_response__free_unpacked(response, NULL);
}

static void test_a_unary_call_is_answered(void **state)
{
    struct client_reply reply;
    publish(*state, "echo", "user-1", 0, NULL, &reply);
    assert_event(&reply, "user-1", "echo");
    assert_int_equal(reply.http_status, 0);
    client_reply_done(&reply);
}

static void test_a_reply_may_come_from_another_thread(void **state)
{
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(((struct fixture *)*state)->server), NULL);
    struct buffer request = buffer_make(0);
    for (int i = 0; i < 200; i++) {
        struct client_reply reply;
        grpc_client_call(client, PUBLISH, publish_request(&request, "late", "x"), 0, NULL, &reply);
        assert_event(&reply, "late", "late");
        client_reply_done(&reply);
    }
    buffer_done(&request);
}

static void test_metadata_deadline_and_peer_reach_the_handler(void **state)
{
    static const struct client_header headers[] = {{"authorization", "Bearer abc"},
                                                   {"traceparent", "00-1-2-01"},
                                                   {"strata-request-id", "req-9"},
                                                   {NULL, NULL}};
    struct client_reply reply;
    publish(*state, "who", "x", 60000, headers, &reply);
    assert_event(&reply, "Bearer abc|00-1-2-01|req-9|grpc|deadline", NULL);
    assert_non_null(memmem(reply.body.data, reply.body.size_bytes, "127.0.0.1:", 10));
    client_reply_done(&reply);
    publish(*state, "who", "x", 0, NULL, &reply);
    assert_event(&reply, "|||grpc|forever", NULL);
    client_reply_done(&reply);
}

static void test_a_failure_carries_its_details(void **state)
{
    struct client_reply reply;
    publish(*state, "conflict", "user-ü", 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_ABORTED);
    assert_string_equal(reply.message, "aggregate \"user-ü\" is at version 7, not 3");
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status status = status_ok();
    assert_status_ok(status_details_decode(buffer_bytes(&reply.details), arena, &status));
    assert_int_equal(status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(status.expected_version, 3);
    assert_int_equal(status.current_version, 7);
    client_reply_done(&reply);
}

static void test_all_faulty_fields_are_listed(void **state)
{
    struct client_reply reply;
    publish(*state, "faults", "x", 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_INVALID_ARGUMENT);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status status = status_ok();
    assert_status_ok(status_details_decode(buffer_bytes(&reply.details), arena, &status));
    assert_non_null(status.faults);
    assert_int_equal(status.faults->count, 2);
    assert_string_equal(status.faults->items[1].field, "tags[3]");
    client_reply_done(&reply);
}

static void test_an_http_status_travels_in_the_trailers(void **state)
{
    struct client_reply reply;
    publish(*state, "not_modified", "x", 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_OK);
    assert_int_equal(reply.http_status, 304);
    client_reply_done(&reply);
}

static void test_a_passed_deadline_cancels_the_handler(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct buffer request = buffer_make(0);
    struct client_reply reply;
    /* Connects first: a deadline that passes before the call arrives proves nothing. */
    grpc_client_call(client, PUBLISH, publish_request(&request, "echo", "x"), 0, NULL, &reply);
    client_reply_done(&reply);
    grpc_client_call(client, PUBLISH, publish_request(&request, "hold", "x"), 300, NULL, &reply);
    assert_int_equal(reply.code, STATUS_DEADLINE_EXCEEDED);
    wait_for_count(&fixture->cancelled, 1, "on_cancel after the deadline");
    client_reply_done(&reply);
    buffer_done(&request);
}

static void test_a_cancelled_call_cancels_the_handler(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct buffer request = buffer_make(0);
    struct grpc_stream *call = grpc_stream_open(client, PUBLISH, 0);
    assert_true(grpc_stream_write(call, publish_request(&request, "hold", "x")));
    grpc_stream_half_close(call);
    wait_for_count(&fixture->started, 1, "the handler's start");
    grpc_stream_cancel(call);
    struct client_reply reply = {0};
    grpc_stream_finish(call, &reply);
    assert_int_equal(reply.code, STATUS_CANCELLED);
    wait_for_count(&fixture->cancelled, 1, "on_cancel after the cancellation");
    client_reply_done(&reply);
    buffer_done(&request);
}

static void test_a_request_over_the_limit_is_refused(void **state)
{
    static char text[2 * 1024 * 1024];
    memset(text, 'x', sizeof text - 1);
    struct client_reply reply;
    publish(*state, "echo", text, 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(reply.message, "1048576"));
    assert_int_equal(atomic_load(&((struct fixture *)*state)->started), 0);
    client_reply_done(&reply);
}

static void test_a_compressed_request_is_refused(void **state)
{
    static char
        zeroes[512 * 1024]; /* would fit the limit in both forms: it is the compression that is refused */
    memset(zeroes, '0', sizeof zeroes - 1);
    struct fixture *fixture = *state;
    const struct grpc_client_options options = {.compress = true};
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), &options);
    struct buffer request = buffer_make(0);
    struct client_reply reply;
    grpc_client_call(client, PUBLISH, publish_request(&request, "echo", zeroes), 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_UNIMPLEMENTED);
    assert_int_equal(atomic_load(&fixture->started), 0);
    client_reply_done(&reply);
    buffer_done(&request);
}

static void test_what_the_wire_check_refuses_reaches_no_handler(void **state)
{
    static const struct {
        const char *why;
        struct bytes request;
        const char *named;
    } cases[] = {
        {"a NUL would cut the string",
         {(const uint8_t *)"\x12\x03"
                           "a\0b",
          5},
         "type"},
        {"not UTF-8", {(const uint8_t *)"\x12\x02\xff\xfe", 4}, "type"},
        {"a length beyond the end",
         {(const uint8_t *)"\x12\x7f"
                           "a",
          3},
         "well-formed"},
        {"another wire type", {(const uint8_t *)"\x10\x01", 2}, "type"},
    };
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct client_reply reply;
        grpc_client_call(client, PUBLISH, cases[i].request, 0, NULL, &reply);
        if (reply.code != STATUS_INVALID_ARGUMENT || strstr(reply.message, cases[i].named) == NULL)
            fail_msg("%s: %d %s", cases[i].why, reply.code, reply.message);
        client_reply_done(&reply);
    }
    assert_int_equal(atomic_load(&fixture->started), 0);
}

static void test_a_call_without_a_request_is_refused(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *call = grpc_stream_open(client, PUBLISH, 0);
    grpc_stream_half_close(call);
    struct client_reply reply = {0};
    grpc_stream_finish(call, &reply);
    assert_int_equal(reply.code, STATUS_INVALID_ARGUMENT);
    client_reply_done(&reply);
}

static void test_an_unknown_method_is_unimplemented(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct client_reply reply;
    grpc_client_call(client, "/strata.v1.EventService/Forget", BYTES_NONE, 0, NULL, &reply);
    assert_int_equal(reply.code, STATUS_UNIMPLEMENTED);
    client_reply_done(&reply);
}

static void test_a_taken_port_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    char bind[32];
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(fixture->server));
    const struct server_options options = {.bind = bind, .table = fixture->table, .clock = &system_clock};
    struct server *second = NULL;
    const struct status status = server_start(&options, &second);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(status.message, bind));
    assert_non_null(strstr(status.message, "in use"));
    assert_null(second);
}

static void test_what_is_no_address_is_refused(void **state)
{
    static const char *const addresses[] = {"localhost", "127.0.0.1:", ":50051", "::1:50051",
                                            "127.0.0.1:http"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        const struct server_options options = {
            .bind = addresses[i], .table = fixture->table, .clock = &system_clock};
        struct server *second = NULL;
        const struct status status = server_start(&options, &second);
        if (status.code != STATUS_INVALID_ARGUMENT || strstr(status.message, addresses[i]) == NULL)
            fail_msg("%s: %d %s", addresses[i], status.code, status.message);
    }
}

static void test_connections_are_bounded_and_a_closed_one_makes_room(void **state)
{
    struct fixture *fixture = *state;
    const struct server_options options = {
        .bind = "127.0.0.1:0", .table = fixture->table, .clock = &system_clock, .max_connections = 2};
    struct server *server = NULL;
    assert_status_ok(server_start(&options, &server));
    struct grpc_client *clients[3];
    struct buffer request = buffer_make(0);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        struct client_reply reply;
        clients[i] = grpc_client_new(server_port(server), NULL);
        grpc_client_call(clients[i], PUBLISH, publish_request(&request, "echo", "x"), 0, NULL, &reply);
        if (reply.code != (i < 2 ? STATUS_OK : STATUS_UNAVAILABLE))
            fail_msg("connection %zu: %d %s", i, reply.code, reply.message);
        client_reply_done(&reply);
    }
    grpc_client_free(clients[0]);
    grpc_client_free(clients[2]);
    int code = STATUS_UNAVAILABLE;
    for (int attempt = 0; attempt < 1000 && code != STATUS_OK;
         attempt++) { /* until the server has seen the close */
        struct client_reply reply;
        struct grpc_client *client = grpc_client_new(server_port(server), NULL);
        grpc_client_call(client, PUBLISH, publish_request(&request, "echo", "x"), 0, NULL, &reply);
        code = reply.code;
        client_reply_done(&reply);
        grpc_client_free(client);
    }
    assert_int_equal(code, STATUS_OK);
    grpc_client_free(clients[1]);
    server_stop(server, 0);
    buffer_done(&request);
}

static void test_stopping_cancels_what_does_not_end_in_time(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct buffer request = buffer_make(0);
    struct grpc_stream *call = grpc_stream_open(client, PUBLISH, 0);
    assert_true(grpc_stream_write(call, publish_request(&request, "hold", "x")));
    grpc_stream_half_close(call);
    wait_for_count(&fixture->started, 1, "the handler's start");
    server_stop(fixture->server, 20);
    fixture->server = NULL;
    assert_int_equal(atomic_load(&fixture->cancelled), 1);
    struct client_reply reply = {0};
    grpc_stream_finish(call, &reply);
    assert_int_not_equal(reply.code, STATUS_OK);
    client_reply_done(&reply);
    buffer_done(&request);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_unary_call_is_answered),
        WITH_SERVER(test_a_reply_may_come_from_another_thread),
        WITH_SERVER(test_metadata_deadline_and_peer_reach_the_handler),
        WITH_SERVER(test_a_failure_carries_its_details),
        WITH_SERVER(test_all_faulty_fields_are_listed),
        WITH_SERVER(test_an_http_status_travels_in_the_trailers),
        WITH_SERVER(test_a_passed_deadline_cancels_the_handler),
        WITH_SERVER(test_a_cancelled_call_cancels_the_handler),
        WITH_SERVER(test_a_request_over_the_limit_is_refused),
        WITH_SERVER(test_a_compressed_request_is_refused),
        WITH_SERVER(test_what_the_wire_check_refuses_reaches_no_handler),
        WITH_SERVER(test_a_call_without_a_request_is_refused),
        WITH_SERVER(test_an_unknown_method_is_unimplemented),
        WITH_SERVER(test_a_taken_port_is_refused_by_name),
        WITH_SERVER(test_what_is_no_address_is_refused),
        WITH_SERVER(test_connections_are_bounded_and_a_closed_one_makes_room),
        WITH_SERVER(test_stopping_cancels_what_does_not_end_in_time),
    };
    return cmocka_run_group_tests_name("server_unary", tests, NULL, NULL);
}
