/* Unary calls, failures and the gateway's own paths, over a socket. */
#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"
#include "base/clock.h"
#include "base/entropy.h"
#include "unit/gateway/gateway/gateway_fixture.h"

static struct gate *pending, *cancelled;
static struct call *pending_call;
static bool healthy;

/* --- handlers --- */

static void get_aggregate(struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__GetAggregateRequest *given = (const Strata__V1__GetAggregateRequest *)request;
    Strata__V1__Aggregate reply = STRATA__V1__AGGREGATE__INIT;
    if (strcmp(given->id, "none") == 0) {
        const struct status status =
            status_reason(REASON_AGGREGATE_UNKNOWN, "there is no aggregate \"none\"");
        call_finish(call, &status);
        return;
    }
    reply.id = given->id;
    reply.type = (char[]){"user"};
    reply.version = 3;
    reply.position = 7;
    reply.etag = (char[]){"\"3\""};
    reply.state = (ProtobufCBinaryData){13, (uint8_t *)(uintptr_t) "{\"sum\":10.10}"};
    if (strcmp(given->if_none_match, "\"3\"") == 0)
        call_set_http_status(call, 304);
    call_reply(call, &reply.base);
}

static void create_aggregate(struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__CreateAggregateRequest *given = (const Strata__V1__CreateAggregateRequest *)request;
    Strata__V1__Aggregate reply = STRATA__V1__AGGREGATE__INIT;
    reply.id = given->id;
    reply.state = given->initial_state;
    reply.replayed = given->idempotency_key[0] != '\0';
    call_reply(call, &reply.base);
}

static void save_aggregate(struct call *call, const ProtobufCMessage *request)
{
    static const struct field_fault faults[] = {{"events[0].type", "is \"\""}, {"state", "is given too"}};
    static const struct field_faults both = {faults, 2};
    struct status status = status_reason(REASON_VERSION_CONFLICT, "expected 3, and it is at 4");
    (void)request;
    status.expected_version = 3;
    status.current_version = 4;
    status.faults = &both;
    call_finish(call, &status);
}

static void publish(struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__PublishEventRequest *given = (const Strata__V1__PublishEventRequest *)request;
    Strata__V1__PublishEventResponse reply = STRATA__V1__PUBLISH_EVENT_RESPONSE__INIT;
    Strata__V1__Event event = STRATA__V1__EVENT__INIT;
    char some[] = "e/1";
    char none[] = "";
    event.id = given->validate_only ? none : some;
    event.data = given->data;
    reply.event = &event;
    reply.replayed = 1;
    call_reply(call, &reply.base);
}

static void get_health(struct call *call, const ProtobufCMessage *request)
{
    Strata__V1__Health reply = STRATA__V1__HEALTH__INIT;
    (void)request;
    reply.state = healthy ? STRATA__V1__HEALTH__STATE__HEALTHY : STRATA__V1__HEALTH__STATE__UNHEALTHY;
    if (!healthy)
        call_set_http_status(call, 503);
    call_reply(call, &reply.base);
}

static void get_stats(struct call *call, const ProtobufCMessage *request)
{
    struct status status = status_reason(REASON_QUEUE_FULL, "the queue is full; retry");
    (void)request;
    status.retry_after_ms = 1500;
    call_finish(call, &status);
}

static void get_event(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    call_reply_bytes(call, BYTES_LITERAL("\x0a\x09short"));
}

static void cancel_operation(struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__CancelOperationRequest *given = (const Strata__V1__CancelOperationRequest *)request;
    Strata__V1__Operation reply = STRATA__V1__OPERATION__INIT;
    reply.id = given->id;
    call_reply(call, &reply.base);
}

static void answer_info(void *context)
{
    Strata__V1__Info reply = STRATA__V1__INFO__INIT;
    reply.name = (char[]){"later"};
    call_reply(context, &reply.base);
}

static void get_info(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    fixture_later(answer_info, call);
}

static void cancelled_callback(void *context)
{
    const struct status status = status_error(STATUS_CANCELLED, "the client is gone");
    (void)context;
    call_finish(pending_call, &status);
    gate_raise(cancelled);
}

static void stay_pending(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    pending_call = call;
    call_on_cancel(call, cancelled_callback, NULL);
    gate_raise(pending);
}

static void install(void)
{
    pending = gate_new();
    cancelled = gate_new();
    healthy = true;
    fixture_handle(METHOD_AGGREGATE_SERVICE_GET_AGGREGATE, get_aggregate);
    fixture_handle(METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, create_aggregate);
    fixture_handle(METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, save_aggregate);
    fixture_handle(METHOD_EVENT_SERVICE_PUBLISH_EVENT, publish);
    fixture_handle(METHOD_EVENT_SERVICE_GET_EVENT, get_event);
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_HEALTH, get_health);
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_STATS, get_stats);
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, get_info);
    fixture_handle(METHOD_SYSTEM_SERVICE_CANCEL_OPERATION, cancel_operation);
}

static int start(void **state)
{
    (void)state;
    fixture_start(NULL);
    install();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop();
    gate_free(pending);
    gate_free(cancelled);
    return 0;
}

/* --- single requests --- */

static const struct {
    const char *why, *verb, *path, *headers, *body;
    int http_status;
    const char *parts[9]; /* up to the first NULL: a leading '!' means that it is not there */
} rows[] = {
    {"a reply with its headers",
     "GET",
     "/api/v1/aggregates/a",
     "",
     NULL,
     200,
     {"Content-Type: application/json\r\n", "ETag: \"3\"\r\n", "Strata-Position: 7\r\n",
      "Strata-Request-Id: r-1\r\n", "{\"id\":\"a\",\"type\":\"user\",\"version\":3,\"state\":{\"sum\":10.10}",
      "\"etag\":\"\\\"3\\\"\"", "!Strata-Replayed", "!Access-Control", "!Location"}},
    {"HEAD has the head alone",
     "HEAD",
     "/api/v1/aggregates/a",
     "",
     NULL,
     200,
     {"ETag: \"3\"\r\n", "Content-Length: 1", "!{\"id\""}},
    {"304 has no body",
     "GET",
     "/api/v1/aggregates/a",
     "If-None-Match: \"3\"\r\n",
     NULL,
     304,
     {"ETag: \"3\"\r\n", "!{\"id\"", "!Content-Type"}},
    {"201 says where",
     "POST",
     "/api/v1/aggregates/",
     "",
     "{\"id\":\"a/\xc3\xa4\",\"initial_state\":{\"x\": 1.0}}",
     201,
     {"Location: /api/v1/aggregates/a%2F%C3%A4\r\n", "\"state\":{\"x\": 1.0}", "!Strata-Replayed"}},
    {"a header reaches the request",
     "POST",
     "/api/v1/aggregates",
     "Idempotency-Key: k\r\n",
     "{\"id\":\"a\"}",
     201,
     {"Strata-Replayed: true\r\n", "\"replayed\":true"}},
    {"response_body, and the headers of what is around it",
     "POST",
     "/api/v1/events/publish",
     "",
     "{\"data\":{\"n\":1e400}}",
     201,
     {"Location: /api/v1/events/id/e%2F1\r\n", "Strata-Replayed: true\r\n", "\r\n\r\n{\"id\":\"e/1\"",
      "\"data\":{\"n\":1e400}"}},
    {"no location without its id",
     "POST",
     "/api/v1/events/publish",
     "",
     "{\"validate_only\":true}",
     201,
     {"!Location"}},
    {"a reply from another thread", "GET", "/api/v1/info", "", NULL, 200, {"\"name\":\"later\""}},
    {"a failure by name",
     "GET",
     "/api/v1/aggregates/none",
     "",
     NULL,
     404,
     {"Content-Type: application/problem+json\r\n", "\"status\":404", "\"code\":\"NOT_FOUND\"",
      "\"reason\":\"AGGREGATE_UNKNOWN\"", "\"detail\":\"there is no aggregate \\\"none\\\"\"",
      "\"request_id\":\"r-1\"", "!expected_version"}},
    {"a failure with all it has",
     "PUT",
     "/api/v1/aggregates/a",
     "",
     "{}",
     409,
     {"\"title\":\"Conflict\"", "\"code\":\"ABORTED\"", "\"reason\":\"VERSION_CONFLICT\"",
      "\"expected_version\":3", "\"current_version\":4",
      "{\"field\":\"events[0].type\",\"message\":\"is \\\"\\\"\"}", "\"field\":\"state\""}},
    {"a failure to be repeated",
     "GET",
     "/api/v1/stats",
     "",
     NULL,
     503,
     {"Retry-After: 2\r\n", "\"reason\":\"QUEUE_FULL\""}},
    {"a reply that is damaged", "GET", "/api/v1/events/id/e", "", NULL, 500, {"\"reason\":\"DAMAGED\""}},
    {"a method that fails without a reason",
     "GET",
     "/api/v1/aggregates",
     "",
     NULL,
     503,
     {"\"code\":\"UNAVAILABLE\""}},
    {"a faulty body",
     "POST",
     "/api/v1/events/publish",
     "",
     "{\"expectedVerison\":1,\"type\":2}",
     400,
     {"\"reason\":\"UNKNOWN_FIELD\"", "{\"field\":\"expectedVerison\"", "{\"field\":\"type\"",
      "did you mean expected_version?"}},
    {"no body at all",
     "POST",
     "/api/v1/events/publish",
     "Content-Type: application/json\r\n",
     "",
     400,
     {"\"reason\":\"INVALID_JSON\""}},
    {"a faulty query",
     "GET",
     "/api/v1/aggregates/a?x=%ff%00",
     "",
     NULL,
     400,
     {"\"reason\":\"UNKNOWN_FIELD\""}},
    {"a faulty path", "GET", "/api/v1/aggregates/%zz", "", NULL, 400, {"broken percent-encoding"}},
    {"an unknown path",
     "GET",
     "/api/v2/events",
     "",
     NULL,
     404,
     {"\"detail\":\"there is nothing at /api/v2/events; GET /openapi.json lists what there is, /docs shows it\""}},
    {"a wrong verb",
     "DELETE",
     "/api/v1/aggregates/a",
     "",
     NULL,
     405,
     {"Allow: GET, HEAD, PUT, OPTIONS\r\n", "DELETE is not possible on this path"}},
    {"nothing acceptable",
     "GET",
     "/api/v1/aggregates/a",
     "Accept: text/html\r\n",
     NULL,
     406,
     {"Accept leaves out what this path gives"}},
    {"a body that is not said to be JSON",
     "POST",
     "/api/v1/events/publish",
     "Content-Length: 0\r\n",
     NULL,
     415,
     {"application/json"}},
    {"neither a body nor a length",
     "POST",
     "/api/v1/events/publish",
     "Content-Type: application/json\r\n",
     NULL,
     411,
     {"\"title\":\"Length Required\"", "Content-Length", "\"code\":\"INVALID_ARGUMENT\""}},
    {"an empty body in chunks has a length",
     "POST",
     "/api/v1/events/publish",
     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
     NULL,
     400,
     {"\"reason\":\"INVALID_JSON\""}},
    {"a body that has nothing to say may be left out",
     "POST",
     "/api/v1/operations/o-1/cancel",
     "",
     NULL,
     200,
     {"\"id\":\"o-1\""}},
    {"or be empty",
     "POST",
     "/api/v1/operations/o-1/cancel",
     "Content-Type: text/plain\r\n",
     "",
     200,
     {"\"id\":\"o-1\""}},
    {"or say it", "POST", "/api/v1/operations/o-1/cancel", "", "{\"id\":\"o-1\"}", 200, {"\"id\":\"o-1\""}},
    {"what it says is looked at",
     "POST",
     "/api/v1/operations/o-1/cancel",
     "",
     "{\"id\":\"o-2\"}",
     400,
     {"differs from the path"}},
    {"a page of another origin sees what it may",
     "GET",
     "/api/v1/aggregates/a",
     "Origin: http://localhost:3000\r\n",
     NULL,
     200,
     {"Access-Control-Allow-Origin: http://localhost:3000\r\n", "Vary: Origin\r\n",
      "Access-Control-Expose-Headers: ETag, Location, Retry-After, Strata-Position"}},
    {"and sees failures",
     "GET",
     "/api/v1/aggregates/none",
     "Origin: http://localhost:3000\r\n",
     NULL,
     404,
     {"Access-Control-Allow-Origin: http://localhost:3000\r\n"}},
    {"and the gateway's own paths",
     "GET",
     "/livez",
     "Origin: http://localhost:3000\r\n",
     NULL,
     200,
     {"Access-Control-Allow-Origin: http://localhost:3000\r\n"}},
    {"a preflight",
     "OPTIONS",
     "/api/v1/aggregates/a",
     "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: PUT\r\n"
     "Access-Control-Request-Headers: content-type, if-match\r\n",
     NULL,
     204,
     {"Access-Control-Allow-Origin: http://localhost:3000\r\n",
      "Access-Control-Allow-Methods: GET, HEAD, PUT, OPTIONS\r\n",
      "Access-Control-Allow-Headers: content-type, if-match\r\n", "Access-Control-Max-Age: 600\r\n"}},
    {"OPTIONS without an origin",
     "OPTIONS",
     "/api/v1/events/publish",
     "",
     NULL,
     204,
     {"Allow: POST, OPTIONS\r\n", "!Access-Control"}},
    {"OPTIONS of nothing", "OPTIONS", "/nothing", "", NULL, 404, {NULL}},
    {"OPTIONS of the server", "OPTIONS", "*", "", NULL, 204, {"Allow: GET, HEAD, POST, PUT, OPTIONS\r\n"}},
    {"alive", "GET", "/livez/", "", NULL, 200, {"\r\n\r\nalive\n"}},
    {"ready", "GET", "/readyz", "", NULL, 200, {"\r\n\r\nready\n", "Content-Type: text/plain\r\n"}},
    {"own paths have their verbs", "POST", "/readyz", "", "{}", 405, {"Allow: GET, HEAD, OPTIONS\r\n"}},
    {"own paths have theirs for HEAD", "HEAD", "/livez", "", NULL, 200, {"Content-Length: 6\r\n", "!alive"}},
    {"a name that begins like one", "GET", "/livezz", "", NULL, 404, {NULL}},
    {"the description",
     "GET",
     "/openapi.json",
     "",
     NULL,
     200,
     {"Content-Type: application/json\r\n", "\"openapi\"", "/api/v1/events/publish"}},
    {"healthy", "GET", "/health", "", NULL, 200, {"\"state\":\"HEALTHY\""}},
    {"a WebSocket path wants a WebSocket", "GET", "/ws", "", NULL, 426, {NULL}},
};

static void test_requests_are_answered(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct answer answer = ask(rows[i].verb, rows[i].path, rows[i].headers, rows[i].body);
        if (answer.http_status != rows[i].http_status)
            fail_msg("%s: %s", rows[i].why, answer.text);
        for (size_t j = 0; j < ARRAY_SIZE(rows[i].parts) && rows[i].parts[j] != NULL; j++) {
            const bool absent = rows[i].parts[j][0] == '!';
            if ((strstr(answer.text, rows[i].parts[j] + absent) == NULL) != absent)
                fail_msg("%s: %s: %s", rows[i].why, rows[i].parts[j], answer.text);
        }
        answer_done(&answer);
    }
}

static void test_what_is_unhealthy_is_503_with_its_body(void **state)
{
    (void)state;
    healthy = false;
    struct answer answer = ask("GET", "/health", "", NULL);
    assert_int_equal(answer.http_status, 503);
    answer_has(&answer, "Content-Type: application/json\r\n");
    answer_has(&answer, "\"state\":\"UNHEALTHY\"");
    answer_done(&answer);
    answer = ask("GET", "/readyz", "", NULL);
    assert_int_equal(answer.http_status, 503);
    answer_has(&answer, "not ready; GET /health says which part");
    answer_done(&answer);
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_HEALTH, get_stats); /* health itself fails */
    answer = ask("GET", "/readyz", "", NULL);
    assert_int_equal(answer.http_status, 503);
    answer_has(&answer, "\"reason\":\"QUEUE_FULL\"");
    answer_done(&answer);
    answer = ask("GET", "/livez", "", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_done(&answer);
}

static void test_a_client_that_goes_cancels_its_call(void **state)
{
    (void)state;
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, stay_pending);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gate_wait(pending, 1);
    raw_reset(fd); /* an orderly FIN might come from one who still waits for the answer */
    gate_wait(cancelled, 1);
}

static void test_stopping_cancels_what_is_under_way(void **state)
{
    (void)state;
    fixture_start(NULL);
    install();
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, stay_pending);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gate_wait(pending, 1);
    fixture_stop();
    assert_int_equal(gate_count(cancelled), 1);
    close(fd);
    gate_free(pending);
    gate_free(cancelled);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct buffer in = buffer_make(0);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
                      "GET /api/v1/aggregates/b HTTP/1.1\r\nHost: localhost\r\n\r\n"
                      "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    raw_receive_to_end(fd, &in);
    buffer_add_byte(&in, 0);
    const char *info = strstr((char *)in.data, "\"later\""), *b = strstr((char *)in.data, "\"id\":\"b\"");
    assert_non_null(info);
    assert_non_null(b);
    assert_true(info < b);
    assert_true(b < strstr((char *)in.data, "alive\n"));
    buffer_done(&in);
    close(fd);
}

/* --- life --- */

static void test_two_gateways_cannot_have_one_port(void **state)
{
    (void)state;
    struct gateway *second = NULL;
    const struct gateway_options options = {.port = fixture_port(), .websocket = true};
    const struct status status = gateway_start(&options, NULL, NULL, &system_clock, &system_entropy, &second);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_null(second);
    gateway_stop(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests_are_answered, start, stop),
        cmocka_unit_test_setup_teardown(test_what_is_unhealthy_is_503_with_its_body, start, stop),
        cmocka_unit_test_setup_teardown(test_a_client_that_goes_cancels_its_call, start, stop),
        cmocka_unit_test(test_stopping_cancels_what_is_under_way),
        cmocka_unit_test_setup_teardown(test_pipelined_requests_are_answered_in_order, start, stop),
        cmocka_unit_test_setup_teardown(test_two_gateways_cannot_have_one_port, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
