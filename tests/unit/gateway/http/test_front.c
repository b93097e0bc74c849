/* The front with a real client on loopback: answering calls, back-pressure, time-outs, stopping. */
#include <pthread.h>

#include "support/cmocka.h"

#include "base/entropy.h"
#include "gateway/http/front.h"
#include "gateway/http/problem.h"
#include "unit/gateway/http/raw_client.h"

#define HOST              "Host: localhost\r\n"
#define STREAM_PART_BYTES ((size_t)32 * 1024)
#define STREAM_PARTS      256U
#define GIVEN_BYTES       ((size_t)300 * 1024)

/* What the handler saw, and how a test makes it go on. */
struct stage {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_exchange *held; /* the request of /hold */
    unsigned requests, writable, closed, done, starved;
    bool released;
    pthread_t worker;
    bool has_worker;
    int upgraded_fd;
};

static struct stage stage;
static struct front *front;

static void count(unsigned *number)
{
    pthread_mutex_lock(&stage.lock);
    ++*number;
    pthread_cond_broadcast(&stage.changed);
    pthread_mutex_unlock(&stage.lock);
}

static unsigned seen(const unsigned *number)
{
    pthread_mutex_lock(&stage.lock);
    const unsigned value = *number;
    pthread_mutex_unlock(&stage.lock);
    return value;
}

static void wait_for(const unsigned *number, unsigned least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RAW_CLIENT_WAIT_S;
    pthread_mutex_lock(&stage.lock);
    int error = 0;
    while (*number < least && error == 0)
        error = pthread_cond_timedwait(&stage.changed, &stage.lock, &until);
    pthread_mutex_unlock(&stage.lock);
    assert_int_equal(error, 0);
}

static void on_writable(void *context)
{
    (void)context;
    count(&stage.writable);
}

static void on_closed(void *context)
{
    (void)context;
    count(&stage.closed);
}

static void on_done(void *context)
{
    (void)context;
    count(&stage.done);
}

/* The test answers it, after it has waited for stage.requests. */
static void hold(struct http_exchange *exchange)
{
    pthread_mutex_lock(&stage.lock);
    stage.held = exchange;
    pthread_mutex_unlock(&stage.lock);
}

static const struct exchange_ops watching = {on_writable, on_closed, on_done};

/* --- the handler: one behaviour a path --- */

static uint8_t part_byte(size_t part)
{
    return (uint8_t)('a' + part % 26);
}

static void echo(struct http_exchange *exchange)
{
    const struct http_request *request = exchange_request(exchange);
    struct buffer text = buffer_make(0);
    const struct bytes twice = http_request_header(request, "x-twice");
    buffer_printf(&text, "%.*s %.*s ?%.*s twice=%.*s id=%.*s peer=%s body=%.*s",
                  BYTES_FORMAT(request->method), BYTES_FORMAT(request->path), BYTES_FORMAT(request->query),
                  BYTES_FORMAT(twice), BYTES_FORMAT(request->request_id),
                  request->peer.size_bytes > 10 ? "yes" : "no", BYTES_FORMAT(request->body));
    const struct http_header type = {BYTES_LITERAL("Content-Type"), BYTES_LITERAL("text/plain")};
    exchange_respond(exchange, 200, &type, 1, buffer_bytes(&text));
    buffer_done(&text);
}

/* ?arena: the body stands in the request's arena, else in memory of its own. Pipelined requests show both to their end. */
static void give_buffer(struct http_exchange *exchange)
{
    const struct http_request *request = exchange_request(exchange);
    const bool in_arena = bytes_equal(request->query, BYTES_LITERAL("arena"));
    struct buffer body = in_arena ? buffer_in(request->arena, 0) : buffer_make(0);
    for (size_t i = 0; i < GIVEN_BYTES; i++)
        buffer_add_byte(&body, part_byte(i));
    exchange_respond_buffer(exchange, 200, NULL, 0, &body);
    assert_int_equal(body.size_bytes, 0);
}

static void *answer_later(void *context)
{
    echo(context);
    return NULL;
}

/* Writes STREAM_PARTS parts, waiting when it is told to. */
static void *stream_all(void *context)
{
    struct http_exchange *exchange = context;
    uint8_t part[STREAM_PART_BYTES];
    exchange_begin(exchange, 200, NULL, 0);
    unsigned writable = 0;
    for (size_t i = 0; i < STREAM_PARTS; i++) {
        memset(part, part_byte(i), sizeof part);
        if (!exchange_write(exchange, (struct bytes){part, sizeof part})) {
            count(&stage.starved);
            wait_for(&stage.writable, ++writable);
        }
    }
    exchange_end(exchange);
    return NULL;
}

static void work(void *(*run)(void *), struct http_exchange *exchange)
{
    stage.has_worker = true;
    assert_int_equal(pthread_create(&stage.worker, NULL, run, exchange), 0);
}

static void small_stream(struct http_exchange *exchange)
{
    exchange_begin(exchange, 200, NULL, 0);
    assert_true(exchange_write(exchange, BYTES_LITERAL("hello ")));
    assert_true(exchange_write(exchange, BYTES_LITERAL("world")));
}

static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    const struct bytes path = exchange_request(exchange)->path;
    exchange_listen(exchange, &watching, NULL);
    if (bytes_equal(path, BYTES_LITERAL("/later"))) {
        work(answer_later, exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/buffer"))) {
        give_buffer(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/stream"))) {
        small_stream(exchange);
        exchange_end(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/broken"))) {
        small_stream(exchange);
        exchange_reset(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/much"))) {
        work(stream_all, exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/deaf"))) {
        uint8_t part[STREAM_PART_BYTES] = {0};
        exchange_begin(exchange, 200, NULL, 0);
        for (size_t i = 0; i < STREAM_PARTS; i++)
            (void)exchange_write(exchange, (struct bytes){part, sizeof part}); /* the fault under test */
        exchange_end(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/hold"))) {
        hold(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/hold-stream"))) {
        small_stream(exchange);
        hold(exchange);
    } else if (bytes_equal(path, BYTES_LITERAL("/empty"))) {
        exchange_respond(exchange, 204, NULL, 0, BYTES_NONE);
    } else if (bytes_equal(path, BYTES_LITERAL("/split"))) {
        const struct http_header evil = {BYTES_LITERAL("Location"), BYTES_LITERAL("/a\r\nSet-Cookie: b")};
        exchange_respond(exchange, 201, &evil, 1, BYTES_LITERAL("body"));
    } else if (bytes_equal(path, BYTES_LITERAL("/problem"))) {
        const struct status status = status_reason(REASON_QUEUE_FULL, "the queue is full");
        const struct http_header type = {BYTES_LITERAL("Content-Type"), BYTES_LITERAL(PROBLEM_CONTENT_TYPE)};
        struct buffer text = buffer_make(0);
        problem_write(&text, &status, 0, exchange_request(exchange)->request_id);
        exchange_respond(exchange, 503, &type, 1, buffer_bytes(&text));
        buffer_done(&text);
    } else {
        echo(exchange);
    }
    count(&stage.requests);
}

static struct status on_upgrade(void *context, const struct http_request *request, int fd)
{
    (void)context;
    if (bytes_equal(request->query, BYTES_LITERAL("full")))
        return status_error(STATUS_UNAVAILABLE, "no more WebSockets are taken");
    raw_send_text(fd, "handed over");
    stage.upgraded_fd = fd;
    count(&stage.requests);
    return status_ok();
}

/* The test judges it. */
static void on_handshake(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange_listen(exchange, &watching, NULL);
    hold(exchange);
    count(&stage.requests);
}

static const struct front_handler_ops plain = {.on_request = on_request};
static const struct front_handler_ops upgrading = {.on_request = on_request, .on_upgrade = on_upgrade};
static const struct front_handler_ops judging = {
    .on_request = on_request, .on_handshake = on_handshake, .on_upgrade = on_upgrade};

static void start(const struct front_options *options)
{
    stage = (struct stage){
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .upgraded_fd = -1};
    struct front_options with = *options;
    if (with.handler == NULL)
        with.handler = &plain;
    assert_status_ok(front_start(&with, NULL, &system_clock, &system_entropy, &front));
}

static int start_plain(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (stage.has_worker)
        pthread_join(stage.worker, NULL);
    front_stop(front, 5000);
    front = NULL;
    return 0;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" is in: %s", part, text);
}

static void assert_exchange(const char *request, const char *part)
{
    char *answer = raw_exchange(front_port(front), request);
    assert_has(answer, part);
    free(answer);
}

/* --- answers --- */

static void test_a_request_arrives_as_it_was_sent(void **state)
{
    (void)state;
    char *answer =
        raw_exchange(front_port(front), "PUT /a%2Fb?c=%20d HTTP/1.1\r\n" HOST
                                        "Content-Type: application/json\r\nX-Twice: 1\r\nx-twice: 2\r\n"
                                        "X-Request-Id: mine-7\r\nConnection: close\r\n"
                                        "Content-Length: 2\r\n\r\n{}");
    assert_has(answer, "PUT /a%2Fb ?c=%20d twice=1, 2 id=mine-7 peer=yes body={}");
    assert_has(answer, "\r\nStrata-Request-Id: mine-7\r\n");
    assert_has(answer, "\r\nContent-Type: text/plain\r\n");
    free(answer);
}

static void test_an_id_that_cannot_be_taken_is_replaced(void **state)
{
    (void)state;
    char *answer = raw_exchange(front_port(front),
                                "GET / HTTP/1.1\r\n" HOST "X-Request-Id: a b\r\nConnection: close\r\n\r\n");
    assert_lacks(answer, "a b");
    const char *id = strstr(answer, "Strata-Request-Id: ");
    assert_non_null(id);
    assert_int_equal(id[19 + 14], '7'); /* xxxxxxxx-xxxx-7xxx-… */
    free(answer);
}

static void test_another_thread_may_answer(void **state)
{
    (void)state;
    assert_exchange("GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "GET /later ?");
    wait_for(&stage.done, 1);
}

static void test_a_body_may_be_given_instead_of_copied(void **state)
{
    (void)state;
    char *answers = raw_exchange(front_port(front), "GET /buffer?arena HTTP/1.1\r\n" HOST "\r\n"
                                                    "GET /buffer HTTP/1.1\r\n" HOST "\r\n"
                                                    "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    const char *at = answers;
    for (int i = 0; i < 2; i++) {
        assert_has(at, "\r\nContent-Length: 307200\r\n");
        at = strstr(at, "\r\n\r\n") + 4;
        for (size_t j = 0; j < GIVEN_BYTES; j++, at++)
            assert_int_equal(*at, part_byte(j));
    }
    assert_has(at, "GET /x ?");
    free(answers);
}

static void test_head_has_the_length_and_no_body(void **state)
{
    (void)state;
    char *answer = raw_exchange(front_port(front),
                                "HEAD /x HTTP/1.1\r\n" HOST "X-Request-Id: 1\r\nConnection: close\r\n\r\n");
    assert_has(answer, "\r\nContent-Length: 36\r\n");
    assert_int_equal(strlen(strstr(answer, "\r\n\r\n")), 4);
    free(answer);
    answer = raw_exchange(front_port(front), "HEAD /stream HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_int_equal(strlen(strstr(answer, "\r\n\r\n")), 4);
    free(answer);
}

static void test_no_content_has_no_length(void **state)
{
    (void)state;
    char *answer =
        raw_exchange(front_port(front), "GET /empty HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_has(answer, "HTTP/1.1 204 No Content\r\n");
    assert_lacks(answer, "Content-Length");
    free(answer);
}

static void test_a_header_cannot_be_split_by_its_value(void **state)
{
    (void)state;
    char *answer =
        raw_exchange(front_port(front), "GET /split HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_has(answer, "HTTP/1.1 500 ");
    assert_lacks(answer, "Set-Cookie");
    assert_int_equal(strlen(strstr(answer, "\r\n\r\n")), 4);
    free(answer);
}

static void test_a_problem_is_json_with_code_and_reason(void **state)
{
    (void)state;
    char *answer = raw_exchange(front_port(front), "GET /problem HTTP/1.1\r\n" HOST
                                                   "X-Request-Id: p1\r\nConnection: close\r\n\r\n");
    assert_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(answer, "\r\nContent-Type: application/problem+json\r\n");
    assert_has(answer,
               "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"the "
               "queue is full\",\"code\":\"UNAVAILABLE\",\"reason\":\"QUEUE_FULL\",\"request_id\":\"p1\"}\n");
    free(answer);
}

static void test_a_body_is_asked_for_when_it_is_awaited(void **state)
{
    (void)state;
    struct buffer answer = buffer_make(0);
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "POST / HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nConnection: close\r\n"
                      "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_has(raw_receive_until(fd, &answer, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(seen(&stage.requests), 0);
    raw_send_text(fd, "true");
    assert_has(raw_receive_until(fd, &answer, "body="), "HTTP/1.1 200 OK\r\n");
    buffer_done(&answer);
    close(fd);

    /* Nobody is asked for a body that would be refused. */
    char *refused = raw_exchange(front_port(front), "POST / HTTP/1.1\r\n" HOST
                                                    "Content-Type: text/plain\r\nExpect: 100-continue\r\n"
                                                    "Content-Length: 4\r\nConnection: close\r\n\r\n");
    assert_lacks(refused, "100 Continue");
    assert_has(refused, "HTTP/1.1 415 ");
    free(refused);
}

static void test_pipelined_requests_run_one_after_the_other(void **state)
{
    (void)state;
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /second HTTP/1.1\r\n" HOST
                      "\r\nGET /third HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    wait_for(&stage.requests, 1);
    assert_int_equal(seen(&stage.requests), 1); /* the second waits, though it is there */
    exchange_respond(stage.held, 200, NULL, 0, BYTES_LITERAL("first"));
    struct buffer answers = buffer_make(0);
    raw_receive_to_end(fd, &answers);
    const char *text = raw_receive_until(fd, &answers, "body=");
    const char *first = strstr(text, "\r\n\r\nfirst"), *second = strstr(text, "GET /second");
    const char *third = strstr(text, "GET /third");
    assert_true(first != NULL && second > first && third > second);
    buffer_done(&answers);
    close(fd);
}

/* --- streams --- */

static void test_a_stream_is_chunked(void **state)
{
    (void)state;
    char *answer =
        raw_exchange(front_port(front), "GET /stream HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_has(answer, "\r\nTransfer-Encoding: chunked\r\n");
    assert_has(answer, "\r\nb\r\nhello world\r\n0\r\n\r\n");
    free(answer);
}

static void test_a_stream_to_http_1_0_ends_by_closing(void **state)
{
    (void)state;
    char *answer =
        raw_exchange(front_port(front), "GET /stream HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n");
    assert_lacks(answer, "chunked");
    assert_has(answer, "\r\nConnection: close\r\n\r\nhello world");
    free(answer);
}

static void test_a_stream_that_fails_late_never_looks_complete(void **state)
{
    (void)state;
    char *answer = raw_exchange(front_port(front), "GET /broken HTTP/1.1\r\n" HOST "\r\n");
    assert_lacks(answer, "\r\n0\r\n\r\n");
    free(answer);

    /* HTTP/1.0 has no other sign than the reset. */
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /broken HTTP/1.0\r\n" HOST "\r\n");
    uint8_t part[4096];
    ssize_t size = 1;
    while (size > 0)
        size = recv(fd, part, sizeof part, 0);
    assert_int_equal(size, -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    wait_for(&stage.done, 2);
}

static void test_a_slow_reader_holds_the_stream_back_and_gets_all(void **state)
{
    (void)state;
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /much HTTP/1.0\r\n" HOST "\r\n");
    wait_for(&stage.starved, 1); /* before the client has read anything */
    struct buffer answer = buffer_make(0);
    raw_receive_to_end(fd, &answer);
    const uint8_t *body = memmem(answer.data, answer.size_bytes, "\r\n\r\n", 4);
    assert_non_null(body);
    body += 4;
    assert_int_equal(answer.data + answer.size_bytes - body, STREAM_PART_BYTES * STREAM_PARTS);
    for (size_t i = 0; i < STREAM_PARTS; i++)
        for (size_t at = 0; at < STREAM_PART_BYTES; at += 997)
            assert_int_equal(body[i * STREAM_PART_BYTES + at], part_byte(i));
    buffer_done(&answer);
    close(fd);
}

static void test_a_handler_that_ignores_back_pressure_is_cut_off(void **state)
{
    (void)state;
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /deaf HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&stage.done, 1);
    struct buffer answer = buffer_make(0);
    raw_receive_to_end(fd, &answer);
    assert_true(answer.size_bytes < STREAM_PART_BYTES * STREAM_PARTS);
    buffer_done(&answer);
    close(fd);
}

static void test_a_client_that_leaves_ends_its_stream(void **state)
{
    (void)state;
    const int fd = raw_connect(front_port(front));
    struct buffer answer = buffer_make(0);
    raw_send_text(fd, "GET /hold-stream HTTP/1.1\r\n" HOST "\r\n");
    raw_receive_until(fd, &answer, "hello world");
    wait_for(&stage.requests, 1);
    buffer_done(&answer);
    close(fd);
    wait_for(&stage.closed, 1);
    assert_int_equal(seen(&stage.done), 0);
    assert_false(exchange_write(stage.held, BYTES_LITERAL("nobody reads this")));
    exchange_end(stage.held);
    wait_for(&stage.done, 1);
}

static void test_a_client_that_only_stops_sending_gets_its_answer(void **state)
{
    (void)state;
    const int fd = raw_connect(front_port(front));
    struct buffer answer = buffer_make(0);
    raw_send_text(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    wait_for(&stage.requests, 1);
    exchange_respond(stage.held, 200, NULL, 0, BYTES_LITERAL("late but whole"));
    assert_has(raw_receive_until(fd, &answer, "whole"), "late but whole");
    buffer_done(&answer);
    close(fd);
    wait_for(&stage.done, 1);
}

/* --- limits and stopping --- */

static void test_slow_senders_are_timed_out(void **state)
{
    (void)state;
    start(&(struct front_options){
        .limits = {.idle_timeout_ms = 1000, .header_timeout_ms = 100, .body_timeout_ms = 100}});
    assert_exchange("GET / HTTP/1.1\r\nHos", "HTTP/1.1 408 Request Timeout\r\n");
    assert_exchange("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nfour",
                    "HTTP/1.1 408 Request Timeout\r\n");
    char *idle = raw_exchange(front_port(front), "");
    assert_string_equal(idle, "");
    free(idle);
    char *between = raw_exchange(front_port(front), "GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_has(between, "HTTP/1.1 200 OK\r\n");
    assert_lacks(between, "HTTP/1.1 408");
    free(between);
    assert_int_equal(front_counts(front).refused, 2);
}

static void test_a_reader_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    start(&(struct front_options){.limits = {.write_timeout_ms = 100}});
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /hold-stream HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&stage.requests, 1);
    uint8_t part[STREAM_PART_BYTES] = {0};
    unsigned writable = 0;
    while (seen(&stage.closed) == 0) { /* the kernel's buffers on both sides, then ours */
        if (!exchange_write(stage.held, (struct bytes){part, sizeof part})) {
            pthread_mutex_lock(&stage.lock);
            while (stage.writable <= writable && stage.closed == 0)
                pthread_cond_wait(&stage.changed, &stage.lock);
            writable = stage.writable;
            pthread_mutex_unlock(&stage.lock);
        }
    }
    exchange_end(stage.held);
    wait_for(&stage.done, 1);
    close(fd);
}

static void test_connections_are_bounded(void **state)
{
    (void)state;
    start(&(struct front_options){.limits = {.connections_max = 1}});
    const int first = raw_connect(front_port(front));
    raw_send_text(first, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&stage.requests, 1);
    char *second = raw_exchange(front_port(front), "");
    assert_string_equal(second, "");
    free(second);
    exchange_respond(stage.held, 200, NULL, 0, BYTES_NONE);
    close(first);
}

static void *stop_front(void *context)
{
    (void)context;
    front_stop(front, 5000);
    front = NULL;
    return NULL;
}

static void test_stopping_lets_a_request_finish(void **state)
{
    (void)state;
    start(&(struct front_options){0});
    const int idle = raw_connect(front_port(front));
    const int busy = raw_connect(front_port(front));
    raw_send_text(busy, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&stage.requests, 1);
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop_front, NULL), 0);
    struct buffer nothing = buffer_make(0);
    raw_receive_to_end(idle, &nothing); /* closed at once: so the drain has begun */
    assert_int_equal(nothing.size_bytes, 0);
    exchange_respond(stage.held, 200, NULL, 0, BYTES_LITERAL("in time"));
    struct buffer answer = buffer_make(0);
    const char *text = raw_receive_until(busy, &answer, "in time");
    assert_has(text, "in time");
    assert_has(text, "\r\nConnection: close\r\n");
    pthread_join(stopper, NULL);
    assert_int_equal(seen(&stage.done), 1);
    buffer_done(&nothing);
    buffer_done(&answer);
    close(idle);
    close(busy);
}

static void test_a_handler_may_finish_after_the_front_is_gone(void **state)
{
    (void)state;
    start(&(struct front_options){0});
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&stage.requests, 1);
    front_stop(front, 0); /* waits FRONT_ABANDON_MS */
    front = NULL;
    assert_int_equal(seen(&stage.closed), 1);
    assert_int_equal(seen(&stage.done), 0);
    exchange_respond(stage.held, 200, NULL, 0, BYTES_LITERAL("too late"));
    assert_int_equal(seen(&stage.done), 1);
    close(fd);
}

static void test_start_says_what_is_wrong_with_the_address(void **state)
{
    (void)state;
    struct front_options options = {.bind_address = "localhost", .handler = &plain};
    struct front *none = NULL;
    struct status status = front_start(&options, NULL, &system_clock, &system_entropy, &none);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_has(status.message, "\"localhost\"");

    start(&(struct front_options){0});
    options = (struct front_options){.port = front_port(front), .handler = &plain};
    status = front_start(&options, NULL, &system_clock, &system_entropy, &none);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_has(status.message, "Address already in use");
    assert_null(none);
}

/* --- WebSocket handshakes --- */

#define WS_HEAD "Host: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
#define WS_KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WS_13   "Sec-WebSocket-Version: 13\r\n"

static const struct {
    const char *why, *request, *part;
} handshakes[] = {
    {"no upgrade", "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
     "HTTP/1.1 426 Upgrade Required\r\n"},
    {"426 names the protocol", "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
     "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n"},
    {"an old version",
     "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_KEY "Sec-WebSocket-Version: 8\r\n\r\n",
     "HTTP/1.1 426 "},
    {"no version", "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_KEY "\r\n", "HTTP/1.1 426 "},
    {"HTTP/1.0", "GET /ws HTTP/1.0\r\nConnection: close\r\n" WS_HEAD WS_KEY WS_13 "\r\n", "HTTP/1.1 426 "},
    {"POST", "POST /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_KEY WS_13 "\r\n", "\r\nAllow: GET\r\n"},
    {"no key", "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 "\r\n", "HTTP/1.1 400 "},
    {"a short key",
     "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 "Sec-WebSocket-Key: YQ==\r\n\r\n",
     "HTTP/1.1 400 "},
    {"two keys", "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 WS_KEY WS_KEY "\r\n",
     "HTTP/1.1 400 "},
    {"data before the answer", "GET /ws HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 WS_KEY "\r\n\x81",
     "HTTP/1.1 400 "},
    {"a foreign page",
     "GET /ws HTTP/1.1\r\nConnection: close\r\nOrigin: https://evil.example\r\n" WS_HEAD WS_13 WS_KEY "\r\n",
     "HTTP/1.1 403 "},
    {"a rebound name", "GET /ws HTTP/1.1\r\nConnection: close\r\nHost: evil.example\r\n\r\n",
     "HTTP/1.1 421 "},
    {"refused by the next room", "GET /ws?full HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 WS_KEY "\r\n",
     "HTTP/1.1 503 "},
    {"another path", "GET /x HTTP/1.1\r\nConnection: close\r\n" WS_HEAD WS_13 WS_KEY "\r\n",
     "HTTP/1.1 200 OK\r\n"},
};

static void test_bad_handshakes_are_refused_by_http(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true, .handler = &upgrading});
    for (size_t i = 0; i < ARRAY_SIZE(handshakes); i++) {
        char *answer = raw_exchange(front_port(front), handshakes[i].request);
        if (strstr(answer, handshakes[i].part) == NULL)
            fail_msg("%s: \"%s\" is not in: %s", handshakes[i].why, handshakes[i].part, answer);
        free(answer);
    }
    assert_int_equal(stage.upgraded_fd, -1);
}

static void test_a_good_handshake_hands_the_socket_over(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true, .handler = &upgrading, .websocket_only = true});
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    struct buffer answer = buffer_make(0);
    assert_has(raw_receive_until(fd, &answer, "\r\n\r\n{"), "HTTP/1.1 404 Not Found\r\n");
    raw_send_text(fd, "GET /ws/?a=b HTTP/1.1\r\nOrigin: http://localhost\r\n" WS_HEAD WS_13 WS_KEY "\r\n");
    assert_has(raw_receive_until(fd, &answer, "handed over"), "handed over");
    wait_for(&stage.requests, 1);
    buffer_done(&answer);
    close(stage.upgraded_fd);
    close(fd);
}

#define GOOD_HANDSHAKE "GET /ws HTTP/1.1\r\n" WS_HEAD WS_13 WS_KEY "\r\n"

static void test_a_handshake_waits_for_its_verdict(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true, .handler = &judging});
    struct buffer answer = buffer_make(0);
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, GOOD_HANDSHAKE);
    wait_for(&stage.requests, 1);
    exchange_respond(stage.held, 401, NULL, 0, BYTES_LITERAL("who is it?"));
    assert_has(raw_receive_until(fd, &answer, "who is it?"), "HTTP/1.1 401 Unauthorized\r\n");
    assert_int_equal(stage.upgraded_fd, -1);
    raw_send_text(fd, GOOD_HANDSHAKE); /* a refusal leaves the connection as it was */
    wait_for(&stage.requests, 2);
    exchange_upgrade(stage.held);
    assert_has(raw_receive_until(fd, &answer, "handed over"), "handed over");
    wait_for(&stage.done, 2);
    buffer_done(&answer);
    close(stage.upgraded_fd);
    close(fd);
}

static void test_data_while_a_handshake_waits_is_refused(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true, .handler = &judging});
    struct buffer answer = buffer_make(0);
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, GOOD_HANDSHAKE "\x81");
    wait_for(&stage.requests, 1);
    exchange_upgrade(stage.held);
    assert_has(raw_receive_until(fd, &answer, "wait for it"), "HTTP/1.1 400 Bad Request\r\n");
    wait_for(&stage.done, 1);
    assert_int_equal(stage.upgraded_fd, -1);
    buffer_done(&answer);
    close(fd);
}

static void test_a_client_that_leaves_while_its_handshake_waits(void **state)
{
    (void)state;
    start(&(struct front_options){.development = true, .handler = &judging});
    const int fd = raw_connect(front_port(front));
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    raw_send_text(fd, GOOD_HANDSHAKE);
    wait_for(&stage.requests, 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
    wait_for(&stage.closed, 1);
    exchange_upgrade(stage.held);
    wait_for(&stage.done, 1);
    assert_int_equal(stage.upgraded_fd, -1);
}

#define WITH_PLAIN(test) cmocka_unit_test_setup_teardown(test, start_plain, stop)
#define WITH_OWN(test)   cmocka_unit_test_teardown(test, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLAIN(test_a_request_arrives_as_it_was_sent),
        WITH_PLAIN(test_an_id_that_cannot_be_taken_is_replaced),
        WITH_PLAIN(test_another_thread_may_answer),
        WITH_PLAIN(test_a_body_may_be_given_instead_of_copied),
        WITH_PLAIN(test_head_has_the_length_and_no_body),
        WITH_PLAIN(test_no_content_has_no_length),
        WITH_PLAIN(test_a_header_cannot_be_split_by_its_value),
        WITH_PLAIN(test_a_problem_is_json_with_code_and_reason),
        WITH_PLAIN(test_a_body_is_asked_for_when_it_is_awaited),
        WITH_PLAIN(test_pipelined_requests_run_one_after_the_other),
        WITH_PLAIN(test_a_stream_is_chunked),
        WITH_PLAIN(test_a_stream_to_http_1_0_ends_by_closing),
        WITH_PLAIN(test_a_stream_that_fails_late_never_looks_complete),
        WITH_PLAIN(test_a_slow_reader_holds_the_stream_back_and_gets_all),
        WITH_PLAIN(test_a_handler_that_ignores_back_pressure_is_cut_off),
        WITH_PLAIN(test_a_client_that_leaves_ends_its_stream),
        WITH_PLAIN(test_a_client_that_only_stops_sending_gets_its_answer),
        WITH_OWN(test_slow_senders_are_timed_out),
        WITH_OWN(test_a_reader_that_takes_nothing_is_cut_off),
        WITH_OWN(test_connections_are_bounded),
        WITH_OWN(test_stopping_lets_a_request_finish),
        WITH_OWN(test_a_handler_may_finish_after_the_front_is_gone),
        WITH_OWN(test_start_says_what_is_wrong_with_the_address),
        WITH_OWN(test_bad_handshakes_are_refused_by_http),
        WITH_OWN(test_a_good_handshake_hands_the_socket_over),
        WITH_OWN(test_a_handshake_waits_for_its_verdict),
        WITH_OWN(test_data_while_a_handshake_waits_is_refused),
        WITH_OWN(test_a_client_that_leaves_while_its_handshake_waits),
    };
    return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}
