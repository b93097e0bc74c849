/* HTTP/2 at the front by single frames: everything that has a time, and what only a broken client sends. */
#include <pthread.h>

#include "support/cmocka.h"

#include "base/entropy.h"
#include "gateway/http/front.h"
#include "unit/gateway/http/raw_client.h"

#define SHORT_MS 150
#define LONG_MS  60000 /* does not pass in a test */
#define NOTHINGS 10000U

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PING = 6, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_exchange *held;
    unsigned requests, closed, done;
} stage = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static struct front *front;

static void count(unsigned *number)
{
    pthread_mutex_lock(&stage.lock);
    ++*number;
    pthread_cond_broadcast(&stage.changed);
    pthread_mutex_unlock(&stage.lock);
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

static void on_closed(void *context)
{
    count(&stage.closed);
    exchange_reset(context);
}

static void on_done(void *context)
{
    (void)context;
    count(&stage.done);
}

static const struct exchange_ops watching = {.on_closed = on_closed, .on_done = on_done};

/* /hold waits for the test or its client's end, /stream begins one, anything else is answered. */
static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    const struct bytes path = exchange_request(exchange)->path;
    if (bytes_equal(path, BYTES_LITERAL("/hold")) || bytes_equal(path, BYTES_LITERAL("/stream"))) {
        exchange_listen(exchange, &watching, exchange);
        stage.held = exchange;
    }
    if (bytes_equal(path, BYTES_LITERAL("/stream"))) {
        exchange_begin(exchange, 200, NULL, 0);
        (void)exchange_write(exchange, BYTES_LITERAL("an event")); /* one is never too much */
    } else if (!bytes_equal(path, BYTES_LITERAL("/hold"))) {
        exchange_respond(exchange, 200, NULL, 0, BYTES_LITERAL("an answer"));
    }
    count(&stage.requests);
}

static const struct front_handler_ops handler = {.on_request = on_request};

static void begin(const struct front_limits *limits)
{
    const struct front_options options = {.development = true, .limits = *limits, .handler = &handler};
    stage.requests = stage.closed = stage.done = 0;
    const struct status status = front_start(&options, NULL, &system_clock, &system_entropy, &front);
    assert_true(status_is_ok(&status));
}

static int end(void **state)
{
    (void)state;
    front_stop(front, 100);
    front = NULL;
    return 0;
}

/* --- frames --- */

struct frame {
    uint8_t type, flags;
    uint32_t stream;
    size_t size_bytes;
    uint8_t data[65536];
};

static void frame_send(int fd, uint8_t type, uint8_t flags, uint32_t stream, struct bytes data)
{
    const uint8_t head[9] = {0,
                             (uint8_t)(data.size_bytes >> 8),
                             (uint8_t)data.size_bytes,
                             type,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    raw_send(fd, head, sizeof head);
    raw_send(fd, data.data, data.size_bytes);
}

static bool receive_all(int fd, uint8_t *to, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes;) {
        const ssize_t size = recv(fd, to + at, size_bytes - at, 0);
        if (size < 0 && errno != ECONNRESET)
            fail_msg("nothing came within %d s: %s", RAW_CLIENT_WAIT_S, strerror(errno));
        if (size <= 0)
            return false;
        at += (size_t)size;
    }
    return true;
}

static bool frame_receive(int fd, struct frame *ret)
{
    uint8_t head[9];
    if (!receive_all(fd, head, sizeof head))
        return false;
    ret->size_bytes = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    ret->type = head[3];
    ret->flags = head[4];
    ret->stream =
        (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | (uint32_t)head[8];
    assert_true(ret->size_bytes <= sizeof ret->data);
    return receive_all(fd, ret->data, ret->size_bytes);
}

/* The next frame of this type on this stream; false: the connection has ended. */
static bool frame_wait(int fd, uint8_t type, uint32_t stream, struct frame *ret)
{
    do
        if (!frame_receive(fd, ret))
            return false;
    while (ret->type != type || ret->stream != stream);
    return true;
}

static uint32_t number_at(const struct frame *frame, size_t at)
{
    return (uint32_t)frame->data[at] << 24 | (uint32_t)frame->data[at + 1] << 16 |
           (uint32_t)frame->data[at + 2] << 8 | frame->data[at + 3];
}

/* A client with this window for every stream. */
static int connect_h2(uint32_t window)
{
    const uint8_t setting[6] = {
        0, 4, (uint8_t)(window >> 24), (uint8_t)(window >> 16), (uint8_t)(window >> 8), (uint8_t)window};
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame_send(fd, SETTINGS, 0, 0, (struct bytes){setting, sizeof setting});
    return fd;
}

/* Fields by HPACK's static table: GET or POST, http, a path, localhost; a POST has JSON. */
static struct bytes fields(struct buffer *to, bool post, const char *path)
{
    buffer_add_byte(to, post ? 0x83 : 0x82);
    buffer_add_byte(to, 0x86);
    buffer_add_byte(to, 0x04);
    buffer_add_byte(to, (uint8_t)strlen(path));
    buffer_add_text(to, path);
    buffer_add_text(to, "\x01\x09localhost");
    if (post)
        buffer_add_text(to, "\x0f\x10\x10"
                            "application/json");
    return buffer_bytes(to);
}

static void ask(int fd, uint32_t stream, bool post, const char *path, uint8_t flags)
{
    struct buffer block = buffer_make(0);
    frame_send(fd, HEADERS, flags, stream, fields(&block, post, path));
    buffer_done(&block);
}

static bool says(const struct frame *frame, const char *text)
{
    return memmem(frame->data, frame->size_bytes, text, strlen(text)) != NULL;
}

/* The front still serves others. */
static void assert_serves(void)
{
    struct frame frame;
    const int fd = connect_h2(65535);
    ask(fd, 1, false, "/", END_HEADERS | END_STREAM);
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_true(says(&frame, "an answer"));
    close(fd);
}

/* --- tests --- */

static void test_an_idle_connection_is_told_to_go(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.idle_timeout_ms = SHORT_MS});
    const int fd = connect_h2(65535);
    assert_true(frame_wait(fd, GOAWAY, 0, &frame));
    assert_int_equal(number_at(&frame, 4), 0);
    assert_false(frame_receive(fd, &frame));
    close(fd);
}

static void test_an_open_stream_keeps_its_connection(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){
        .idle_timeout_ms = 1000, .body_timeout_ms = SHORT_MS, .write_timeout_ms = SHORT_MS});
    const int fd = connect_h2(65535); /* and there must be a stream within the second */
    ask(fd, 1, false, "/stream", END_HEADERS | END_STREAM);
    wait_for(&stage.requests, 1);
    const struct timespec longer = {.tv_sec = 1, .tv_nsec = 500000000};
    (void)nanosleep(&longer, NULL);
    assert_true(exchange_write(stage.held, BYTES_LITERAL("a late event")));
    do
        assert_true(frame_wait(fd, DATA, 1, &frame));
    while (!says(&frame, "a late event"));
    assert_int_equal(stage.closed, 0);
    exchange_end(stage.held);
    wait_for(&stage.done, 1);
    close(fd);
}

static void test_a_body_that_does_not_come_is_a_408(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.body_timeout_ms = SHORT_MS, .idle_timeout_ms = LONG_MS});
    const int fd = connect_h2(65535);
    ask(fd, 1, true, "/", END_HEADERS);
    frame_send(fd, DATA, 0, 1, BYTES_LITERAL("{"));
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_true(says(&frame, "408"));
    assert_true(frame_wait(fd, RST, 1, &frame)); /* and it does not go on for ever */
    assert_int_equal(number_at(&frame, 0), 0);
    assert_int_equal(stage.requests, 0);
    close(fd);
}

static void test_small_requests_put_off_nothing(void **state)
{
    (void)state;
    struct frame frame = {0};
    begin(&(struct front_limits){.body_timeout_ms = SHORT_MS, .write_timeout_ms = SHORT_MS});
    const int fd = connect_h2(0);
    ask(fd, 1, true, "/", END_HEADERS);
    ask(fd, 3, false, "/", END_HEADERS | END_STREAM); /* whose answer waits for the window */
    bool body_given_up = false, answer_given_up = false;
    const struct timespec gap = {.tv_nsec = 1000000}; /* or so many resets would end the connection */
    for (uint32_t stream = 5; !body_given_up || !answer_given_up; stream += 2) {
        (void)nanosleep(&gap, NULL);
        ask(fd, stream, false, "/hold", END_HEADERS | END_STREAM);
        frame_send(fd, RST, 0, stream, BYTES_LITERAL("\0\0\0\x08"));
        frame_send(fd, PING, 0, 0, BYTES_LITERAL("12345678"));
        do {
            assert_true(frame_receive(fd, &frame));
            body_given_up |= frame.stream == 1 && frame.type != WINDOW_UPDATE;
            answer_given_up |= frame.stream == 3 && frame.type == RST;
        } while (frame.type != PING);
    }
    close(fd);
}

static void test_fields_that_do_not_end_are_given_up_and_their_end_does_no_harm(void **state)
{
    (void)state;
    struct frame frame;
    struct buffer block = buffer_make(0);
    begin(&(struct front_limits){.body_timeout_ms = SHORT_MS});
    const struct bytes all = fields(&block, false, "/");
    const int fd = connect_h2(65535);
    frame_send(fd, HEADERS, END_STREAM, 1, (struct bytes){all.data, 3});
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_true(says(&frame, "408"));
    frame_send(fd, CONTINUATION, END_HEADERS, 1, (struct bytes){all.data + 3, all.size_bytes - 3});
    frame_send(fd, PING, 0, 0, BYTES_LITERAL("12345678"));
    (void)frame_wait(fd, PING, 0, &frame);
    assert_int_equal(stage.requests, 0);
    close(fd);
    buffer_done(&block);
    assert_serves();
}

static void test_an_answer_that_nobody_takes_is_given_up(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.write_timeout_ms = SHORT_MS, .body_timeout_ms = LONG_MS});
    const int fd = connect_h2(0);
    ask(fd, 1, true, "/", END_HEADERS); /* whose body has a longer time, which holds up nothing */
    ask(fd, 3, false, "/", END_HEADERS | END_STREAM);
    ask(fd, 5, false, "/stream", END_HEADERS | END_STREAM);
    assert_true(frame_wait(fd, HEADERS, 3, &frame));
    assert_true(frame_wait(fd, RST, 3, &frame));
    assert_int_equal(number_at(&frame, 0), 8); /* CANCEL */
    wait_for(&stage.done, 1);
    assert_int_equal(stage.closed, 1);
    close(fd);
}

static void test_a_window_that_shrinks_below_nothing_is_borne(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.write_timeout_ms = LONG_MS});
    const int fd = connect_h2(4);
    ask(fd, 1, false, "/", END_HEADERS | END_STREAM);
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_int_equal(frame.size_bytes, 4);
    frame_send(fd, SETTINGS, 0, 0, BYTES_LITERAL("\0\x04\0\0\0\0")); /* the window is -4 now */
    frame_send(fd, WINDOW_UPDATE, 0, 1, BYTES_LITERAL("\0\0\0\x09"));
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_int_equal(frame.size_bytes, 5);
    assert_true(frame.flags & END_STREAM);
    close(fd);
}

static void test_a_window_too_large_ends_the_stream_or_the_connection(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.write_timeout_ms = LONG_MS});
    const int fd = connect_h2(4);
    ask(fd, 1, false, "/hold", END_HEADERS | END_STREAM);
    frame_send(fd, WINDOW_UPDATE, 0, 1, BYTES_LITERAL("\x7f\xff\xff\xff"));
    assert_true(frame_wait(fd, RST, 1, &frame));
    assert_int_equal(number_at(&frame, 0), 3); /* FLOW_CONTROL_ERROR */
    wait_for(&stage.done, 1);
    frame_send(fd, WINDOW_UPDATE, 0, 0, BYTES_LITERAL("\x7f\xff\xff\xff"));
    assert_true(frame_wait(fd, GOAWAY, 0, &frame));
    assert_int_equal(number_at(&frame, 4), 3);
    close(fd);
}

/* A client that lets the server reset its requests, instead of resetting them itself, is not better off. */
static void test_requests_that_are_made_to_fail_are_counted(void **state)
{
    (void)state;
    struct frame frame = {0};
    begin(&(struct front_limits){.write_timeout_ms = LONG_MS});
    const int fd = connect_h2(65535);
    uint32_t stream = 1;
    for (; frame.type != GOAWAY; stream += 2) {
        assert_true(stream < 2 * 3000);
        ask(fd, stream, false, "/hold", END_HEADERS | END_STREAM);
        frame_send(fd, WINDOW_UPDATE, 0, stream, BYTES_LITERAL("\x7f\xff\xff\xff"));
        do
            assert_true(frame_receive(fd, &frame));
        while (frame.type != GOAWAY && (frame.type != RST || frame.stream != stream));
    }
    assert_int_equal(number_at(&frame, 4), 11); /* ENHANCE_YOUR_CALM */
    assert_true(stream > 2 * 900);
    close(fd);
    assert_serves();
}

/* Frames that say nothing cost their sender as much as the front, and leave nothing behind. */
static void test_frames_that_say_nothing_are_borne(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.body_timeout_ms = LONG_MS});
    const int fd = connect_h2(65535);
    ask(fd, 1, true, "/", END_HEADERS);
    for (unsigned i = 0; i < NOTHINGS; i++) {
        frame_send(fd, DATA, 0, 1, BYTES_NONE);
        frame_send(fd, PRIORITY, 0, 2 * i + 1, BYTES_LITERAL("\0\0\0\0\x10"));
        frame_send(fd, WINDOW_UPDATE, 0, 0, BYTES_LITERAL("\0\0\0\1"));
    }
    frame_send(fd, DATA, END_STREAM, 1, BYTES_LITERAL("{}"));
    assert_true(frame_wait(fd, DATA, 1, &frame));
    assert_true(says(&frame, "an answer"));
    close(fd);
}

/* How many segments with data the kernel has received: one for each time that the server wrote. */
static uint32_t segments_received(int fd)
{
    struct {
        uint8_t before[152]; /* of the kernel's struct tcp_info, which is longer than the C library's */
        uint32_t data_segs_in;
    } info;
    socklen_t size = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    assert_int_equal(size, sizeof info);
    return info.data_segs_in;
}

static void test_answers_that_are_there_together_leave_together(void **state)
{
    (void)state;
    enum { REQUESTS = 100 };
    struct frame frame;
    struct buffer together = buffer_make(0);
    begin(&(struct front_limits){.idle_timeout_ms = LONG_MS});
    const int fd = connect_h2(65535);
    frame_send(fd, PING, 0, 0, BYTES_LITERAL("12345678"));
    assert_true(frame_wait(fd, PING, 0, &frame));
    const uint32_t before = segments_received(fd);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct buffer block = buffer_make(0);
        const struct bytes asked = fields(&block, false, "/");
        const uint8_t head[9] = {0, 0, (uint8_t)asked.size_bytes, HEADERS, END_HEADERS | END_STREAM, 0,
                                 0, 0, (uint8_t)(2 * i + 1)};
        buffer_add(&together, head, sizeof head);
        buffer_add_bytes(&together, asked);
        buffer_done(&block);
    }
    raw_send(fd, together.data, together.size_bytes);
    buffer_done(&together);
    for (uint32_t answers = 0; answers < REQUESTS;) {
        assert_true(frame_receive(fd, &frame));
        answers += frame.type == DATA && says(&frame, "an answer");
    }
    assert_in_range(segments_received(fd) - before, 1, REQUESTS / 4);
    close(fd);
}

static void test_stopping_with_half_a_request_and_a_held_one(void **state)
{
    (void)state;
    struct frame frame;
    begin(&(struct front_limits){.body_timeout_ms = LONG_MS});
    const int fd = connect_h2(65535);
    ask(fd, 1, false, "/hold", END_HEADERS | END_STREAM);
    ask(fd, 3, true, "/", END_HEADERS);
    frame_send(fd, DATA, 0, 3, BYTES_LITERAL("{"));
    wait_for(&stage.requests, 1);
    front_stop(front, 100);
    front = NULL;
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.done, 1);
    assert_true(frame_wait(fd, GOAWAY, 0, &frame));
    assert_int_equal(number_at(&frame, 4), 0);
    while (frame_receive(fd, &frame))
        assert_int_not_equal(frame.type, HEADERS);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_an_idle_connection_is_told_to_go, end),
        cmocka_unit_test_teardown(test_an_open_stream_keeps_its_connection, end),
        cmocka_unit_test_teardown(test_a_body_that_does_not_come_is_a_408, end),
        cmocka_unit_test_teardown(test_small_requests_put_off_nothing, end),
        cmocka_unit_test_teardown(test_fields_that_do_not_end_are_given_up_and_their_end_does_no_harm, end),
        cmocka_unit_test_teardown(test_an_answer_that_nobody_takes_is_given_up, end),
        cmocka_unit_test_teardown(test_a_window_that_shrinks_below_nothing_is_borne, end),
        cmocka_unit_test_teardown(test_a_window_too_large_ends_the_stream_or_the_connection, end),
        cmocka_unit_test_teardown(test_requests_that_are_made_to_fail_are_counted, end),
        cmocka_unit_test_teardown(test_frames_that_say_nothing_are_borne, end),
        cmocka_unit_test_teardown(test_answers_that_are_there_together_leave_together, end),
        cmocka_unit_test_teardown(test_stopping_with_half_a_request_and_a_held_one, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
