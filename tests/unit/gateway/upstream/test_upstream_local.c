/* The local upstream over a real method table whose handlers do what the test says. */
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"

#include "gateway/upstream/upstream.h"
#include "rpc/call.h"
#include "rpc/table.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"

struct seen {
    unsigned messages, ends;
    struct status status;
    char reply[64];
    int http_status;
    bool room;                  /* what on_message answers */
    struct upstream_call *drop; /* released inside of on_end */
};

static bool on_message(void *context, struct bytes message)
{
    struct seen *seen = context;
    seen->messages++;
    snprintf(seen->reply, sizeof seen->reply, "%.*s", BYTES_FORMAT(message));
    return seen->room;
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct seen *seen = context;
    seen->ends++;
    seen->status = *status;
    seen->http_status = http_status;
    snprintf(seen->reply, sizeof seen->reply, "%.*s", BYTES_FORMAT(reply));
    upstream_release(seen->drop);
    seen->drop = NULL;
}

static const struct upstream_events events = {on_message, on_end};

static struct {
    struct call *call; /* of the last stream */
    bool room;         /* what call_send_bytes answered */
    unsigned writable, cancelled;
    char transport[16], peer[32], request_id[16], authorization[16];
} handler;

static void note(const struct call *call)
{
    snprintf(handler.transport, sizeof handler.transport, "%s", call_transport(call));
    snprintf(handler.peer, sizeof handler.peer, "%.*s", BYTES_FORMAT(call_peer(call)));
    snprintf(handler.request_id, sizeof handler.request_id, "%.*s", BYTES_FORMAT(call_request_id(call)));
    snprintf(handler.authorization, sizeof handler.authorization, "%.*s",
             BYTES_FORMAT(call_authorization(call)));
}

static void get_event(void *service, struct call *call, const ProtobufCMessage *request)
{
    const char *id = ((const Strata__V1__GetEventRequest *)request)->event_id;
    (void)service;
    note(call);
    if (strcmp(id, "none") == 0) {
        const struct status status = status_reason(REASON_EVENT_UNKNOWN, "no such event");
        call_finish(call, &status);
        return;
    }
    call_set_http_status(call, 304);
    call_reply_bytes(call, bytes_of_text(id));
}

static void on_writable(void *context)
{
    (void)context;
    handler.writable++;
}

static void on_cancel(void *context)
{
    (void)context;
    const struct status status = status_error(STATUS_CANCELLED, "gone");
    handler.cancelled++;
    call_finish(handler.call, &status); /* a callback may finish */
}

static void subscribe(void *service, struct call *call, const ProtobufCMessage *request)
{
    (void)service;
    (void)request;
    handler.call = call;
    call_on_writable(call, on_writable, NULL);
    call_on_cancel(call, on_cancel, NULL);
    handler.room = call_send_bytes(call, BYTES_LITERAL("first"));
}

static struct rpc_table *table;
static struct upstream *upstream;

static int start(void **state)
{
    (void)state;
    static const struct method_handler get = {.start = get_event};
    static const struct method_handler follow = {.start = subscribe};
    memset(&handler, 0, sizeof handler);
    table = rpc_table_new();
    rpc_table_set(table, METHOD_EVENT_SERVICE_GET_EVENT, &get, NULL);
    rpc_table_set(table, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &follow, NULL);
    upstream = upstream_local_new(table);
    assert_non_null(upstream);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    upstream_local_free(upstream);
    rpc_table_free(table);
    return 0;
}

static struct upstream_call *make(enum schema_method_id method, struct seen *seen)
{
    const struct upstream_request request = {
        .method = method,
        .transport = "http",
        .peer = BYTES_LITERAL("127.0.0.1:1"),
        .authorization = BYTES_LITERAL("Bearer x"),
        .request_id = BYTES_LITERAL("r1"),
    };
    struct upstream_call *call = upstream_make(upstream, &request, &events, seen);
    assert_non_null(call);
    return call;
}

static void test_a_unary_call_ends_with_its_reply_and_http_status(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct upstream_call *call = make(METHOD_EVENT_SERVICE_GET_EVENT, &seen);
    upstream_begin(call, BYTES_LITERAL("\x0a\x03"
                                       "e-1"));
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.status.code, STATUS_OK);
    assert_string_equal(seen.reply, "e-1");
    assert_int_equal(seen.http_status, 304);
    assert_string_equal(handler.transport, "http");
    assert_string_equal(handler.peer, "127.0.0.1:1");
    assert_string_equal(handler.request_id, "r1");
    assert_string_equal(handler.authorization, "Bearer x");
    upstream_cancel(call); /* too late: nothing happens */
    upstream_release(call);
}

static void test_a_failure_arrives_with_its_reason(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct upstream_call *call = make(METHOD_EVENT_SERVICE_GET_EVENT, &seen);
    seen.drop = call; /* the last reference goes inside of on_end, while begin is on the stack */
    upstream_begin(call, BYTES_LITERAL("\x0a\x04none"));
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.status.reason, REASON_EVENT_UNKNOWN);
}

static void test_bytes_that_rpc_refuses_end_the_call(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct upstream_call *call = make(METHOD_EVENT_SERVICE_GET_EVENT, &seen);
    upstream_begin(call, BYTES_LITERAL("\x0a\x09short"));
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.status.code, STATUS_INVALID_ARGUMENT);
    upstream_release(call);
}

static void test_a_stream_waits_for_room_and_is_cancelled(void **state)
{
    (void)state;
    struct seen seen = {.room = false};
    struct upstream_call *call = make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen);
    upstream_begin(call, BYTES_NONE);
    assert_int_equal(seen.messages, 1);
    assert_string_equal(seen.reply, "first");
    assert_false(handler.room);
    upstream_writable(call);
    assert_int_equal(handler.writable, 1);
    seen.room = true;
    assert_true(call_send_bytes(handler.call, BYTES_LITERAL("second")));
    upstream_cancel(call);
    assert_int_equal(handler.cancelled, 1);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.status.code, STATUS_CANCELLED);
    upstream_cancel(call); /* twice does no harm */
    upstream_writable(call);
    assert_int_equal(handler.cancelled, 1);
    assert_int_equal(handler.writable, 1);
    upstream_release(call);
}

static void test_a_call_that_never_began_is_given_back(void **state)
{
    (void)state;
    struct seen seen = {0};
    upstream_release(make(METHOD_EVENT_SERVICE_GET_EVENT, &seen));
    upstream_release(NULL);
    assert_int_equal(seen.ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_unary_call_ends_with_its_reply_and_http_status, start, stop),
        cmocka_unit_test_setup_teardown(test_a_failure_arrives_with_its_reason, start, stop),
        cmocka_unit_test_setup_teardown(test_bytes_that_rpc_refuses_end_the_call, start, stop),
        cmocka_unit_test_setup_teardown(test_a_stream_waits_for_room_and_is_cancelled, start, stop),
        cmocka_unit_test_setup_teardown(test_a_call_that_never_began_is_given_back, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
