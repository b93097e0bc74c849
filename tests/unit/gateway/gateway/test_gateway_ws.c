/* /ws: subscriptions over text frames. */
#include "support/ws_client.h"
#include "unit/gateway/gateway/gateway_fixture.h"

static int start(void **state)
{
    (void)state;
    fixture_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop();
    return 0;
}

static void open_socket(struct ws_client *client, const char *path)
{
    assert_int_equal(ws_client_open(client, fixture_port(), path, ""), 101);
}

static void test_the_default_subscription_is_everything_from_now_on(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 5, .last = 6, .batch = 2});
    open_socket(&client, "/ws");
    const char *text =
        ws_client_expect(&client, "{\"type\":\"event\",\"subscription\":\"default\",\"event\":{\"id\":");
    assert_non_null(strstr(text, "\"position\":\"5\""));
    ws_client_expect(&client, "\"position\":\"6\"");
    ws_client_expect(
        &client, "{\"type\":\"caught_up\",\"subscription\":\"default\",\"checkpoint\":{\"position\":\"6\",");
    assert_null(strstr(feed_request(), "after_position"));
    ws_client_close(&client);
    feed_wait_ended(1);
}

static void test_the_url_says_what_and_from_where(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 8, .last = 8, .batch = 1});
    open_socket(&client, "/ws/?after_position=7&types=a&types=b");
    ws_client_expect(&client, "\"position\":\"8\"");
    assert_non_null(strstr(feed_request(), "\"after_position\":\"7\""));
    assert_non_null(strstr(feed_request(), "\"types\":[\"a\",\"b\"]"));
    ws_client_close(&client);
}

static const struct {
    const char *path, *headers;
    int http_status;
} refused[] = {
    {"/ws?after=7", "", 400},
    {"/ws?after_position=x", "", 400},
    {"/ws?subscribe=all", "", 400},
    {"/ws?subscribe=none&types=%", "", 400},
    {"/ws", "Origin: https://evil.example\r\n", 403},
};

static void test_a_handshake_that_is_wrong_is_refused_as_a_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct ws_client client;
        const int http_status = ws_client_open(&client, fixture_port(), refused[i].path, refused[i].headers);
        if (http_status != refused[i].http_status)
            fail_msg("%s: %d", refused[i].path, http_status);
        ws_client_close(&client);
    }
    assert_int_equal(feed_count(), 0);
}

static void test_subscriptions_come_and_go_by_name(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1});
    open_socket(&client, "/ws?subscribe=none");
    ws_client_send(
        &client,
        "{\"action\":\"subscribe\",\"id\":\"a\\u00e4\",\"filter\":{\"types\":[\"t\"],\"fromStart\":true}}");
    ws_client_expect(&client, "{\"type\":\"subscribed\",\"subscription\":\"a\xc3\xa4\"}");
    ws_client_expect(&client, "{\"type\":\"event\",\"subscription\":\"a\xc3\xa4\",\"event\":{");
    ws_client_expect(&client, "\"caught_up\"");
    assert_int_equal(feed_count(), 1);
    assert_non_null(strstr(feed_request(), "\"from_start\":true"));
    ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"a\xc3\xa4\"}");
    ws_client_expect(&client, "{\"type\":\"unsubscribed\",\"subscription\":\"a\xc3\xa4\"}");
    feed_wait_ended(1);
    /* The name is free as soon as that has come. */
    for (unsigned i = 0; i < 50; i++) {
        ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"b\"}");
        ws_client_expect(&client, "{\"type\":\"subscribed\",\"subscription\":\"b\"}");
        ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"b\"}");
        const char *text = ws_client_next(&client);
        while (text != NULL && strstr(text, "\"type\":\"unsubscribed\"") == NULL) {
            assert_null(strstr(text, "\"error\""));
            text = ws_client_next(&client);
        }
        assert_non_null(text);
    }
    ws_client_close(&client);
}

static const struct {
    const char *frame, *answer;
} faulty[] = {
    {"{\"action\":\"subscribe\",\"id\":\"taken\"}",
     "{\"type\":\"error\",\"subscription\":\"taken\",\"error\":{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"INVALID_FIELD\","
     "\"message\":\"id \\\"taken\\\" is in use on this connection; unsubscribe it first or choose another\"}}"},
    {"{\"action\":\"unsubscribe\",\"id\":\"no\"}", "this connection has no such subscription"},
    {"{\"action\":\"unsubscribe\"}", "this connection has no such subscription"},
    {"{\"action\":\"subscribe\"}", "id has 0 bytes"},
    {"{\"action\":\"subscribe\",\"id\":\"1234567890123456789012345678901234567890123456789012345678901234x\"}",
     "id has 65 bytes"},
    {"{\"action\":\"dance\",\"id\":\"x\"}", "action is \\\"dance\\\"; it must be subscribe or unsubscribe"},
    {"{\"action\":\"subscribe\",\"id\":\"x\",\"filtr\":{}}", "did you mean filter?"},
    {"{\"action\":\"subscribe\",\"id\":\"x\",\"filter\":{\"from_start\":1}}", "filter.from_start is 1"},
    {"{\"action\":", "\"reason\":\"INVALID_JSON\""},
    {"[]", "\"reason\":\"INVALID_JSON\""},
    {"", "{\"type\":\"error\",\"subscription\":\"\",\"error\":{\"code\":\"INVALID_ARGUMENT\""},
};

static void test_a_frame_that_is_wrong_is_told_and_the_connection_goes_on(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1});
    open_socket(&client, "/ws?subscribe=none");
    ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"taken\"}");
    ws_client_expect(&client, "subscribed");
    ws_client_expect(&client, "caught_up");
    for (size_t i = 0; i < ARRAY_SIZE(faulty); i++) {
        ws_client_send(&client, faulty[i].frame);
        ws_client_expect(&client, faulty[i].answer);
    }
    assert_int_equal(feed_count(), 1);
    ws_client_close(&client);
}

static void test_a_subscription_that_is_refused_leaves_its_name_free(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1, .fails = REASON_INVALID_FIELD});
    open_socket(&client, "/ws?subscribe=none");
    for (unsigned i = 0; i < 3; i++) {
        ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"x\"}");
        ws_client_expect(
            &client, "{\"type\":\"error\",\"subscription\":\"x\",\"error\":{\"code\":\"INVALID_ARGUMENT\"");
    }
    ws_client_close(&client);
}

static void test_the_65th_subscription_is_refused(void **state)
{
    (void)state;
    struct ws_client client;
    char frame[96];
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1});
    open_socket(&client, "/ws"); /* the default one counts */
    ws_client_expect(&client, "caught_up");
    for (unsigned i = 2; i <= 65; i++) {
        snprintf(frame, sizeof frame, "{\"action\":\"subscribe\",\"id\":\"s%u\"}", i);
        ws_client_send(&client, frame);
        if (i <= 64) {
            ws_client_expect(&client, "subscribed");
            ws_client_expect(&client, "caught_up");
        } else {
            ws_client_expect(&client, "this connection has 64 subscriptions, which is the most");
        }
    }
    ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"default\"}");
    ws_client_expect(&client, "unsubscribed");
    ws_client_send(&client, frame);
    ws_client_expect(&client, "{\"type\":\"subscribed\",\"subscription\":\"s65\"}");
    ws_client_close(&client);
    feed_wait_ended(65);
}

static void test_the_service_ends_the_last_subscription_and_the_connection(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 2, .batch = 2, .ends = true});
    open_socket(&client, "/ws");
    ws_client_expect(&client, "\"position\":\"1\"");
    ws_client_expect(&client, "\"position\":\"2\"");
    ws_client_expect(&client, "{\"type\":\"closing\",\"subscription\":\"default\","
                              "\"closing\":{\"reason\":\"SHUTTING_DOWN\",\"position\":\"2\"}}");
    assert_null(ws_client_next(&client));
    assert_int_equal(client.close_code, 1001);
    ws_client_close(&client);
}

static void test_other_subscriptions_outlive_one_that_the_service_ends(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1});
    open_socket(&client, "/ws");
    ws_client_expect(&client, "caught_up");
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1, .ends = true});
    ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"x\"}");
    ws_client_expect(&client, "subscribed");
    ws_client_expect(&client, "{\"type\":\"closing\",\"subscription\":\"x\"");
    ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"default\"}");
    ws_client_expect(&client, "{\"type\":\"unsubscribed\",\"subscription\":\"default\"}");
    ws_client_close(&client);
}

static struct call *closed_calls[2];
static unsigned closed_call_count;

/* Says "closing" and ends when the test wants: between the two the name is free. */
static void close_and_linger(struct call *call, const ProtobufCMessage *request)
{
    static const uint8_t closing[] = {0x2a, 0x0f, 0x0a, 0x0d, 'S', 'L', 'O', 'W', '_',
                                      'C',  'O',  'N',  'S',  'U', 'M', 'E', 'R'};
    (void)request;
    closed_calls[closed_call_count++] = call;
    (void)call_send_bytes(call, bytes_of(closing, sizeof closing)); /* nothing follows */
}

static void test_a_name_is_free_as_soon_as_closing_has_come(void **state)
{
    (void)state;
    struct ws_client client;
    closed_call_count = 0;
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1});
    open_socket(&client, "/ws");
    ws_client_expect(&client, "caught_up");
    fixture_handle(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, close_and_linger);
    for (unsigned i = 0; i < 2; i++) {
        ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"x\"}");
        ws_client_expect(&client, "{\"type\":\"subscribed\",\"subscription\":\"x\"}");
        ws_client_expect(
            &client,
            "{\"type\":\"closing\",\"subscription\":\"x\",\"closing\":{\"reason\":\"SLOW_CONSUMER\"");
        ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"x\"}");
        ws_client_expect(&client, "this connection has no such subscription");
    }
    for (unsigned i = 0; i < 2; i++)
        call_finish(closed_calls[i], &(struct status){.code = STATUS_OK});
    ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"default\"}");
    ws_client_expect(&client, "{\"type\":\"unsubscribed\",\"subscription\":\"default\"}");
    ws_client_close(&client);
}

/* --- back-pressure --- */

#define MANY 30000

static void test_a_reader_that_stops_stops_the_feed_and_loses_nothing(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = MANY, .batch = 100, .padding_bytes = 1000});
    open_socket(&client, "/ws");
    feed_wait_blocked();
    assert_true(feed_sent() < MANY);
    for (int64_t position = 1; position <= MANY; position++) {
        char part[64];
        snprintf(part, sizeof part, "\"position\":\"%lld\"", (long long)position);
        ws_client_expect(&client, part);
    }
    ws_client_expect(&client, "caught_up");
    ws_client_close(&client);
}

/* Each may have a message on its way when the others fill the queue: none is lost and nobody is cut off. */
static void test_many_subscriptions_share_a_slow_reader(void **state)
{
    (void)state;
    struct ws_client client;
    int64_t next[20] = {0};
    unsigned caught_up = 0;
    feed_serve(&(struct feed_options){.first = 1, .last = 600, .batch = 150, .padding_bytes = 700});
    open_socket(&client, "/ws?subscribe=none");
    for (unsigned i = 0; i < 20; i++) {
        char frame[96];
        snprintf(frame, sizeof frame, "{\"action\":\"subscribe\",\"id\":\"s%u\"}", i);
        ws_client_send(&client, frame);
    }
    feed_wait_blocked();
    while (caught_up < 20) {
        const char *text = ws_client_next(&client);
        unsigned id = 0;
        assert_non_null(text);
        assert_int_equal(sscanf(strstr(text, "\"subscription\":\"s"), "\"subscription\":\"s%u\"", &id), 1);
        if (strstr(text, "\"type\":\"caught_up\"") != NULL)
            caught_up++;
        else if (strstr(text, "\"type\":\"event\"") != NULL)
            assert_int_equal(strtoll(strstr(text, "\"position\":\"") + 12, NULL, 10), ++next[id]);
    }
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(next[i], 600);
    ws_client_close(&client);
}

static void test_a_large_event_goes_through(void **state)
{
    (void)state;
    struct ws_client client;
    feed_serve(&(struct feed_options){.first = 1, .last = 3, .batch = 1, .padding_bytes = 3000000});
    open_socket(&client, "/ws");
    for (unsigned i = 0; i < 3; i++)
        assert_true(strlen(ws_client_expect(&client, "\"type\":\"event\"")) > 3000000);
    ws_client_expect(&client, "caught_up");
    ws_client_close(&client);
}

/* --- ends of all kinds --- */

static void test_connections_close_while_events_flow(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 100000, .batch = 20, .padding_bytes = 300});
    for (unsigned i = 0; i < 60; i++) {
        struct ws_client client;
        open_socket(&client, "/ws");
        for (unsigned j = 0; j < i % 4; j++) {
            char frame[96];
            snprintf(frame, sizeof frame, "{\"action\":\"subscribe\",\"id\":\"s%u\"}", j);
            ws_client_send(&client, frame);
        }
        for (unsigned j = 0; j < i; j++)
            assert_non_null(ws_client_next(&client));
        if (i % 3 == 0) {
            raw_reset(client.fd);
            client.fd = -1;
        } else if (i % 3 == 1) {
            ws_client_send(&client, "{\"action\":\"unsubscribe\",\"id\":\"default\"}");
        }
        ws_client_close(&client);
    }
    feed_wait_ended(feed_count());
}

static void test_the_gateway_stops_while_events_flow(void **state)
{
    (void)state;
    struct ws_client clients[5];
    fixture_start(NULL);
    feed_serve(&(struct feed_options){.first = 1, .last = 1000000, .batch = 20, .padding_bytes = 300});
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        open_socket(&clients[i], "/ws");
        assert_non_null(ws_client_next(&clients[i]));
    }
    fixture_stop();
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        ws_client_close(&clients[i]);
}

/* The service goes on, as behind a gateway that is a process of its own. */
static void test_each_subscription_is_told_where_to_go_on_when_the_gateway_stops(void **state)
{
    (void)state;
    struct ws_client client;
    fixture_start(NULL);
    feed_serve(&(struct feed_options){.first = 3, .last = 7, .batch = 1});
    open_socket(&client, "/ws");
    ws_client_expect(&client, "\"position\":\"3\"");
    for (unsigned i = 0; i < 4; i++)
        ws_client_expect(&client, "\"event\"");
    ws_client_expect(&client, "caught_up");
    feed_serve(&(struct feed_options){.first = 1, .last = 2, .batch = 2});
    ws_client_send(&client, "{\"action\":\"subscribe\",\"id\":\"x\"}");
    while (strstr(ws_client_next(&client), "caught_up") == NULL)
        continue;
    fixture_stop();
    bool told[2] = {false, false};
    for (unsigned i = 0; i < 2; i++) {
        const char *text = ws_client_next(&client);
        assert_non_null(text);
        if (strcmp(text, "{\"type\":\"closing\",\"subscription\":\"default\","
                         "\"closing\":{\"reason\":\"SHUTTING_DOWN\",\"position\":\"7\"}}") == 0)
            told[0] = true;
        else if (strcmp(text, "{\"type\":\"closing\",\"subscription\":\"x\","
                              "\"closing\":{\"reason\":\"SHUTTING_DOWN\",\"position\":\"2\"}}") == 0)
            told[1] = true;
        else
            fail_msg("%s", text);
    }
    assert_true(told[0]);
    assert_true(told[1]);
    assert_null(ws_client_next(&client));
    assert_int_equal(client.close_code, 1001);
    ws_client_close(&client);
}

static void test_an_idle_connection_is_told_that_the_gateway_stops(void **state)
{
    (void)state;
    struct ws_client client;
    fixture_start(NULL);
    open_socket(&client, "/ws?subscribe=none");
    ws_client_send(&client, "{\"action\":\"dance\"}");
    ws_client_expect(&client, "error");
    fixture_stop();
    assert_null(ws_client_next(&client));
    assert_int_equal(client.close_code, 1001);
    ws_client_close(&client);
}

/* --- options --- */

static char authorization[64];

static void note_authorization(struct call *call, const ProtobufCMessage *request)
{
    const struct status status = status_reason(REASON_RATE_LIMITED, "no");
    (void)request;
    snprintf(authorization, sizeof authorization, "%.*s on %s", BYTES_FORMAT(call_authorization(call)),
             call_transport(call));
    call_finish(call, &status);
}

/* What the interceptors of the service do: the verdict on a token. */
static void judge(void *context)
{
    struct call *call = context;
    const struct status status = status_reason(REASON_UNAUTHENTICATED, "the token is not known");
    if (bytes_equal(call_authorization(call), BYTES_LITERAL("Bearer good")) &&
        strcmp(call_transport(call), "websocket") == 0)
        call_reply_bytes(call, BYTES_NONE);
    else
        call_finish(call, &status);
}

static void judge_now(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    judge(call);
}

static void judge_later(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    fixture_later(judge, call);
}

static void test_the_handshakes_authorization_reaches_the_call(void **state)
{
    (void)state;
    struct ws_client client;
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, judge_now);
    fixture_handle(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, note_authorization);
    assert_int_equal(ws_client_open(&client, fixture_port(), "/ws", "Authorization: Bearer good\r\n"), 101);
    ws_client_expect(&client, "\"code\":\"RESOURCE_EXHAUSTED\"");
    assert_string_equal(authorization, "Bearer good on websocket");
    ws_client_close(&client);
}

static void test_a_token_that_is_not_accepted_is_refused_before_the_upgrade(void **state)
{
    (void)state;
    fixture_handler *const judges[] = {judge_now, judge_later};
    for (size_t i = 0; i < ARRAY_SIZE(judges); i++) {
        struct ws_client client;
        feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1});
        fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, judges[i]);
        assert_int_equal(ws_client_open(&client, fixture_port(), "/ws", "Authorization: Bearer bad\r\n"),
                         401);
        const char *answer = raw_receive_until(client.fd, &client.in, "\"request_id\"");
        assert_non_null(strstr(answer, "\r\nWWW-Authenticate: Bearer\r\n"));
        assert_non_null(strstr(answer, "\r\nContent-Type: application/problem+json\r\n"));
        assert_non_null(strstr(answer, "\"detail\":\"the token is not known\""));
        ws_client_close(&client);
        assert_int_equal(feed_count(), i);
        assert_int_equal(ws_client_open(&client, fixture_port(), "/ws", "Authorization: Bearer good\r\n"),
                         101);
        ws_client_expect(&client, "\"position\":\"1\"");
        ws_client_close(&client);
    }
}

/* What is asked to judge a token must ask for no other role than what the socket is for. */
static void test_the_verdict_is_of_the_role_that_subscribing_needs(void **state)
{
    (void)state;
    assert_int_equal(schema_method(METHOD_SYSTEM_SERVICE_GET_INFO)->role,
                     schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->role);
}

static void test_an_upstream_that_cannot_judge_lets_nobody_in(void **state)
{
    (void)state;
    struct ws_client client; /* the fixture's methods are UNAVAILABLE */
    assert_int_equal(ws_client_open(&client, fixture_port(), "/ws", "Authorization: Bearer good\r\n"), 503);
    ws_client_close(&client);
}

/* Handshakes whose clients leave, and whose gateway stops, before the verdict has come. */
static void test_clients_leave_before_the_verdict(void **state)
{
    (void)state;
    fixture_start(NULL);
    fixture_handle(METHOD_SYSTEM_SERVICE_GET_INFO, judge_later);
    for (unsigned i = 0; i < 60; i++) {
        const int fd = raw_connect(fixture_port());
        raw_send_text(fd,
                      "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Authorization: Bearer good\r\n\r\n");
        if (i % 2 == 0)
            raw_reset(fd);
        else
            close(fd);
    }
    fixture_stop();
}

static void test_ws_can_have_a_port_of_its_own(void **state)
{
    (void)state;
    struct ws_client client;
    const struct gateway_options options = {.development = true, .websocket = true, .websocket_apart = true};
    fixture_start(&options);
    feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1});
    const uint16_t port = gateway_websocket_port(fixture_gateway());
    assert_int_not_equal(port, fixture_port());
    assert_int_equal(ws_client_open(&client, port, "/ws", ""), 101);
    ws_client_expect(&client, "\"position\":\"1\"");
    ws_client_close(&client);
    struct answer answer = ask("GET", "/ws", "", NULL);
    assert_int_equal(answer.http_status, 404);
    answer_done(&answer);
    char *text = raw_exchange(port, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(text, "HTTP/1.1 404 "));
    free(text);
    fixture_stop();
}

static void test_ws_can_be_off(void **state)
{
    (void)state;
    const struct gateway_options options = {.development = true};
    fixture_start(&options);
    assert_int_equal(gateway_websocket_port(fixture_gateway()), 0);
    struct answer answer = ask("GET", "/ws", "", NULL);
    assert_int_equal(answer.http_status, 404);
    answer_done(&answer);
    fixture_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_default_subscription_is_everything_from_now_on, start, stop),
        cmocka_unit_test_setup_teardown(test_the_url_says_what_and_from_where, start, stop),
        cmocka_unit_test_setup_teardown(test_a_handshake_that_is_wrong_is_refused_as_a_request, start, stop),
        cmocka_unit_test_setup_teardown(test_subscriptions_come_and_go_by_name, start, stop),
        cmocka_unit_test_setup_teardown(test_a_frame_that_is_wrong_is_told_and_the_connection_goes_on, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_subscription_that_is_refused_leaves_its_name_free, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_the_65th_subscription_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(test_the_service_ends_the_last_subscription_and_the_connection, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_other_subscriptions_outlive_one_that_the_service_ends, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_name_is_free_as_soon_as_closing_has_come, start, stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_stops_stops_the_feed_and_loses_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_many_subscriptions_share_a_slow_reader, start, stop),
        cmocka_unit_test_setup_teardown(test_a_large_event_goes_through, start, stop),
        cmocka_unit_test_setup_teardown(test_connections_close_while_events_flow, start, stop),
        cmocka_unit_test(test_the_gateway_stops_while_events_flow),
        cmocka_unit_test(test_each_subscription_is_told_where_to_go_on_when_the_gateway_stops),
        cmocka_unit_test(test_an_idle_connection_is_told_that_the_gateway_stops),
        cmocka_unit_test_setup_teardown(test_the_handshakes_authorization_reaches_the_call, start, stop),
        cmocka_unit_test_setup_teardown(test_a_token_that_is_not_accepted_is_refused_before_the_upgrade,
                                        start, stop),
        cmocka_unit_test(test_the_verdict_is_of_the_role_that_subscribing_needs),
        cmocka_unit_test_setup_teardown(test_an_upstream_that_cannot_judge_lets_nobody_in, start, stop),
        cmocka_unit_test(test_clients_leave_before_the_verdict),
        cmocka_unit_test(test_ws_can_have_a_port_of_its_own),
        cmocka_unit_test(test_ws_can_be_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
