/* Subscribe over HTTP: Server-Sent Events and NDJSON. */
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

static void test_sse_gives_events_without_a_name_and_the_rest_with_theirs(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 8, .last = 10, .batch = 2, .ends = true});
    struct answer answer = ask("GET", "/api/v1/events/subscribe?after_position=7&types=t",
                               "Accept: text/event-stream\r\nOrigin: http://localhost:1\r\n", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_has(&answer, "Content-Type: text/event-stream\r\n");
    answer_has(&answer, "Cache-Control: no-store\r\n");
    answer_has(&answer, "X-Accel-Buffering: no\r\n");
    answer_has(&answer, "Access-Control-Allow-Origin: http://localhost:1\r\n");
    answer_has(&answer, "id: 8\ndata: {\"id\":\"\",");
    answer_has(&answer, "\"position\":\"8\"");
    answer_has(&answer, "\n\nid: 9\ndata: {");
    answer_has(&answer, "id: 10\ndata: {");
    answer_has(&answer,
               "event: closing\nid: 10\ndata: {\"reason\":\"SHUTTING_DOWN\",\"position\":\"10\"}\n\n");
    answer_has(&answer, "\r\n0\r\n\r\n"); /* ended in order */
    answer_lacks(&answer, "event: event");
    answer_done(&answer);
    assert_non_null(strstr(feed_request(), "\"after_position\":\"7\""));
    assert_non_null(strstr(feed_request(), "\"types\":[\"t\"]"));
}

static void test_last_event_id_goes_on_where_the_browser_was(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1, .ends = true});
    struct answer answer =
        ask("GET", "/api/v1/events/subscribe?from_start=true", "Last-Event-ID: 41\r\n", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_done(&answer);
    assert_non_null(strstr(feed_request(), "\"after_position\":\"41\""));
    assert_null(strstr(feed_request(), "from_start"));
}

static void test_ndjson_gives_one_object_a_line(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 3, .batch = 3, .ends = true});
    struct answer answer =
        ask("GET", "/api/v1/events/subscribe?from_start=true", "Accept: application/x-ndjson\r\n", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_has(&answer, "Content-Type: application/x-ndjson\r\n");
    answer_has(&answer, "{\"event\":{\"id\":\"\",");
    answer_has(&answer, "}}\n{\"event\":{");
    answer_has(&answer, "\n{\"closing\":{\"reason\":\"SHUTTING_DOWN\",\"position\":\"3\"}}\n");
    answer_done(&answer);
}

static void test_a_live_stream_tells_checkpoints_by_name(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1});
    struct buffer in = buffer_make(0);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/events/subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const char *text = raw_receive_until(fd, &in, "event: caught_up\nid: 1\ndata: {\"position\":\"1\",");
    assert_non_null(strstr(text, "event: caught_up"));
    raw_reset(fd);
    buffer_done(&in);
    feed_wait_ended(1); /* cancelled */
}

static void test_a_failure_before_the_first_message_has_its_status(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 0, .batch = 1, .fails = REASON_INVALID_FIELD});
    struct answer answer = ask("GET", "/api/v1/events/subscribe", "", NULL);
    assert_int_equal(answer.http_status, 400);
    answer_has(&answer, "application/problem+json");
    answer_done(&answer);
}

static void test_a_stream_that_fails_late_is_cut_off(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 5, .batch = 5, .fails = REASON_POSITION_MISSING});
    struct answer answer = ask("GET", "/api/v1/events/subscribe", "", NULL);
    assert_true(answer.http_status == 200 || answer.http_status == 0); /* a reset may overtake the head */
    answer_lacks(&answer, "\r\n0\r\n\r\n");
    answer_done(&answer);
}

static struct gate *cancelled;
static _Atomic bool damaged_room;
static struct call *damaged_call;

static void damaged_cancelled(void *context)
{
    const struct status status = status_error(STATUS_CANCELLED, "gone");
    (void)context;
    call_finish(damaged_call, &status);
    gate_raise(cancelled);
}

/* A batch with an event whose id is cut off. */
static void send_damaged(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    damaged_call = call;
    call_on_cancel(call, damaged_cancelled, NULL);
    damaged_room = call_send_bytes(call, BYTES_LITERAL("\x0a\x04\x0a\x02\x0a\x05"));
}

static void test_what_cannot_be_shown_cuts_the_stream_off_and_cancels_it(void **state)
{
    (void)state;
    cancelled = gate_new();
    fixture_handle(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, send_damaged);
    struct buffer in = buffer_make(0);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/events/subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n");
    raw_receive_to_end(fd, &in);
    buffer_add_byte(&in, 0);
    assert_null(strstr((const char *)in.data, "\r\n0\r\n\r\n"));
    gate_wait(cancelled, 1);
    assert_false(damaged_room);
    buffer_done(&in);
    close(fd);
    gate_free(cancelled);
}

/* --- back-pressure --- */

/* 40,000 events of more than a kilobyte: far more than socket buffers hold. */
#define MANY 40000

/* Lines that begin with "id: "; no library search, which a sanitizer makes quadratic. */
static int64_t count_ids(const struct buffer *in, int64_t *ret_last)
{
    int64_t count = 0;
    for (size_t i = 0; i + 5 < in->size_bytes; i++) {
        if (in->data[i] != '\n' || memcmp(in->data + i, "\nid: ", 5) != 0)
            continue;
        *ret_last = strtoll((const char *)in->data + i + 5, NULL, 10);
        count++;
    }
    return count;
}

static void test_a_reader_that_stops_stops_the_feed_and_loses_nothing(void **state)
{
    (void)state;
    feed_serve(
        &(struct feed_options){.first = 1, .last = MANY, .batch = 100, .padding_bytes = 1000, .ends = true});
    struct buffer in = buffer_make(0);
    int64_t last = 0;
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd,
                  "GET /api/v1/events/subscribe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    (void)raw_receive_until(fd, &in, "id: 1\n");
    feed_wait_blocked(); /* nobody reads: the feed comes to a stop far before its end */
    assert_true(feed_sent() < MANY);
    assert_int_equal(feed_ended(), 0);
    raw_receive_to_end(fd, &in);
    assert_int_equal(count_ids(&in, &last), MANY + 1); /* and the closing part */
    assert_int_equal(last, MANY);
    buffer_done(&in);
    close(fd);
    feed_wait_ended(1);
}

static void test_a_reader_that_goes_while_the_feed_waits_ends_it(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = MANY, .batch = 100, .padding_bytes = 1000});
    struct buffer in = buffer_make(0);
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/events/subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (void)raw_receive_until(fd, &in, "id: 1\n");
    feed_wait_blocked();
    raw_reset(fd);
    feed_wait_ended(1);
    buffer_done(&in);
}

/* One event may be larger than what usually waits: it is not the handler's fault. */
static void test_a_large_event_goes_through(void **state)
{
    (void)state;
    feed_serve(
        &(struct feed_options){.first = 1, .last = 3, .batch = 1, .padding_bytes = 3000000, .ends = true});
    struct answer answer = ask("GET", "/api/v1/events/subscribe", "", NULL);
    answer_has(&answer, "event: closing\nid: 3\n");
    answer_has(&answer, "\r\n0\r\n\r\n");
    assert_true(strlen(answer.text) > 9000000);
    answer_done(&answer);
}

static void test_head_of_a_stream_ends_at_once(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 1, .batch = 1});
    struct answer answer = ask("HEAD", "/api/v1/events/subscribe", "", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_has(&answer, "Content-Type: text/event-stream\r\n");
    answer_lacks(&answer, "data:");
    answer_done(&answer);
    feed_wait_ended(1);
}

static void test_many_streams_come_and_go(void **state)
{
    (void)state;
    feed_serve(&(struct feed_options){.first = 1, .last = 500, .batch = 7, .padding_bytes = 500});
    for (unsigned i = 0; i < 60; i++) {
        struct buffer in = buffer_make(0);
        const int fd = raw_connect(fixture_port());
        raw_send_text(fd, "GET /api/v1/events/subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (void)raw_receive_until(fd, &in, i % 2 == 0 ? "id: 1\n" : "event: caught_up");
        raw_reset(fd);
        buffer_done(&in);
    }
    feed_wait_ended(60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sse_gives_events_without_a_name_and_the_rest_with_theirs, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_last_event_id_goes_on_where_the_browser_was, start, stop),
        cmocka_unit_test_setup_teardown(test_ndjson_gives_one_object_a_line, start, stop),
        cmocka_unit_test_setup_teardown(test_a_live_stream_tells_checkpoints_by_name, start, stop),
        cmocka_unit_test_setup_teardown(test_a_failure_before_the_first_message_has_its_status, start, stop),
        cmocka_unit_test_setup_teardown(test_a_stream_that_fails_late_is_cut_off, start, stop),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_shown_cuts_the_stream_off_and_cancels_it, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_stops_stops_the_feed_and_loses_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_while_the_feed_waits_ends_it, start, stop),
        cmocka_unit_test_setup_teardown(test_a_large_event_goes_through, start, stop),
        cmocka_unit_test_setup_teardown(test_head_of_a_stream_ends_at_once, start, stop),
        cmocka_unit_test_setup_teardown(test_many_streams_come_and_go, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
