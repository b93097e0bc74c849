/* Front and WebSocket server together, with a client that writes frames byte by byte as it wants. */
#include <pthread.h>

#include "support/cmocka.h"

#include "base/entropy.h"
#include "gateway/http/front.h"
#include "gateway/websocket/websocket.h"
#include "unit/gateway/http/raw_client.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* the example of RFC 6455 1.3 */

struct stage {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ws_connection *connection; /* the last one that opened; a reference */
    unsigned opened, closed, writable;
    char seen[128]; /* what the handshake said */
};

static struct stage stage;
static struct front *front;
static struct websocket_server *server;

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

static void count(unsigned *number)
{
    pthread_mutex_lock(&stage.lock);
    ++*number;
    pthread_cond_broadcast(&stage.changed);
    pthread_mutex_unlock(&stage.lock);
}

/* --- the server's side: an echo --- */

static void *on_open(void *context, struct ws_connection *connection,
                     const struct websocket_handshake *handshake)
{
    (void)context;
    pthread_mutex_lock(&stage.lock);
    ws_ref(connection);
    ws_unref(stage.connection);
    stage.connection = connection;
    snprintf(stage.seen, sizeof stage.seen, "%.*s?%.*s id=%.*s", BYTES_FORMAT(handshake->path),
             BYTES_FORMAT(handshake->query), BYTES_FORMAT(handshake->request_id));
    pthread_mutex_unlock(&stage.lock);
    count(&stage.opened);
    return connection;
}

static void on_text(void *socket_context, struct bytes text)
{
    if (bytes_equal(text, BYTES_LITERAL("please close")))
        ws_close(socket_context, 1001, "as you wish");
    else
        (void)ws_send(socket_context, text); /* an echo has no more to say than its client */
}

static void on_writable(void *socket_context)
{
    (void)socket_context;
    count(&stage.writable);
}

static void on_closed(void *socket_context)
{
    (void)socket_context;
    count(&stage.closed);
}

static void on_stopping(void *socket_context)
{
    (void)ws_send(socket_context, BYTES_LITERAL("last words")); /* the close frame follows in any case */
}

static const struct websocket_ops echo = {on_open, on_text, on_writable, on_stopping, on_closed};

static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange_respond(exchange, 404, NULL, 0, BYTES_NONE);
}

static struct status on_upgrade(void *context, const struct http_request *request, int fd)
{
    (void)context;
    const struct websocket_handshake handshake = {
        .key = http_request_header(request, "sec-websocket-key"),
        .path = request->path,
        .query = request->query,
        .peer = request->peer,
        .request_id = request->request_id,
    };
    return websocket_server_adopt(server, fd, &handshake);
}

static const struct front_handler_ops handler = {.on_request = on_request, .on_upgrade = on_upgrade};

static void start(const struct websocket_options *options)
{
    stage = (struct stage){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct websocket_options with = *options;
    with.ops = &echo;
    assert_status_ok(websocket_server_start(&with, NULL, &system_clock, &server));
    const struct front_options front_options = {.development = true, .handler = &handler};
    assert_status_ok(front_start(&front_options, NULL, &system_clock, &system_entropy, &front));
}

static int start_plain(void **state)
{
    (void)state;
    start(&(struct websocket_options){.message_max_bytes = 100000});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    front_stop(front, 1000);
    websocket_server_stop(server, 500);
    assert_int_equal(stage.opened, stage.closed);
    ws_unref(stage.connection);
    return 0;
}

/* --- the client's side --- */

static int open_with(const char *path, struct buffer *in)
{
    char request[512];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\nX-Request-Id: w1\r\n"
             "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             path);
    const int fd = raw_connect(front_port(front));
    raw_send_text(fd, request);
    *in = buffer_make(0);
    (void)raw_receive_until(fd, in, "\r\n\r\n");
    return fd;
}

static int open_client(struct buffer *in)
{
    const int fd = open_with("/ws?a=b", in);
    char *head = strndup((const char *)in->data, in->size_bytes);
    assert_true(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
    free(head);
    const uint8_t *end = memmem(in->data, in->size_bytes, "\r\n\r\n", 4);
    assert_non_null(end);
    const size_t used = (size_t)(end + 4 - in->data);
    memmove(in->data, in->data + used, in->size_bytes - used);
    in->size_bytes -= used;
    return fd;
}

static void send_frame(int fd, uint8_t first, const void *payload, size_t size)
{
    uint8_t head[14] = {first};
    size_t head_size = 2;
    if (size < 126) {
        head[1] = (uint8_t)(0x80 | size);
    } else if (size < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (uint8_t)(size >> 8);
        head[3] = (uint8_t)size;
        head_size = 4;
    } else {
        head[1] = 0x80 | 127;
        for (size_t i = 0; i < 8; i++)
            head[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
        head_size = 10;
    }
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    memcpy(head + head_size, mask, 4);
    uint8_t *masked = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        masked[i] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    raw_send(fd, head, head_size + 4);
    raw_send(fd, masked, size);
    free(masked);
}

static void send_text(int fd, const char *text)
{
    send_frame(fd, 0x81, text, strlen(text));
}

struct frame {
    uint8_t first;
    size_t size_bytes;
    uint8_t *payload; /* in the buffer, until the next frame is read */
};

static size_t frame_size(const struct buffer *in, struct frame *ret)
{
    if (in->size_bytes < 2)
        return 0;
    size_t size = in->data[1], head = 2;
    assert_int_equal(size & 0x80, 0); /* a server never masks */
    if (size == 126 || size == 127) {
        const size_t more = size == 126 ? 2 : 8;
        if (in->size_bytes < head + more)
            return 0;
        size = 0;
        for (size_t i = 0; i < more; i++)
            size = size << 8 | in->data[head + i];
        head += more;
    }
    if (in->size_bytes < head + size)
        return 0;
    *ret = (struct frame){in->data[0], size, in->data + head};
    return head + size;
}

/* Drops `*used` bytes of the frame before, reads the next one. False at the end of the connection. */
static bool read_frame(int fd, struct buffer *in, size_t *used, struct frame *ret)
{
    memmove(in->data, in->data + *used, in->size_bytes - *used);
    in->size_bytes -= *used;
    while ((*used = frame_size(in, ret)) == 0)
        if (raw_receive(fd, in) == 0)
            return false;
    return true;
}

static void assert_text(int fd, struct buffer *in, size_t *used, const char *text)
{
    struct frame frame;
    assert_true(read_frame(fd, in, used, &frame));
    assert_int_equal(frame.first, 0x81);
    assert_int_equal(frame.size_bytes, strlen(text));
    assert_memory_equal(frame.payload, text, frame.size_bytes);
}

/* The code of the close frame that comes next; 0 when the connection ends without one. */
static unsigned read_close(int fd, struct buffer *in, size_t *used)
{
    struct frame frame;
    while (read_frame(fd, in, used, &frame))
        if (frame.first == 0x88)
            return frame.size_bytes < 2 ? 1005 : (unsigned)frame.payload[0] << 8 | frame.payload[1];
    return 0;
}

static void done(int fd, struct buffer *in)
{
    buffer_done(in);
    close(fd);
    wait_for(&stage.closed, 1);
}

/* --- tests --- */

static void test_text_is_echoed(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_with("/ws/?a=%20b", &in);
    char *head = strndup((const char *)in.data, in.size_bytes);
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"));
    assert_null(strcasestr(head, "extensions")); /* offered by the client, and not taken */
    used = (size_t)(strstr(head, "\r\n\r\n") + 4 - head);
    free(head);
    send_text(fd, "hello");
    send_text(fd, "");
    assert_text(fd, &in, &used, "hello");
    assert_text(fd, &in, &used, "");
    wait_for(&stage.opened, 1);
    assert_string_equal(stage.seen, "/ws/?a=%20b id=w1");
    done(fd, &in);
}

static void test_fragments_and_pings_in_between_make_one_message(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    struct frame frame;
    const int fd = open_client(&in);
    send_frame(fd, 0x01, "h\xc3", 2); /* split within a character */
    send_frame(fd, 0x89, "beat", 4);
    send_frame(fd, 0x00, "", 0);
    send_frame(fd, 0x80, "\xa9", 1);
    assert_true(read_frame(fd, &in, &used, &frame));
    assert_int_equal(frame.first, 0x8a);
    assert_memory_equal(frame.payload, "beat", 4);
    assert_text(fd, &in, &used, "h\xc3\xa9");
    done(fd, &in);
}

static void test_large_messages_pass_both_ways(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    static const size_t sizes[] = {125, 126, 4096, 65535, 65536, 100000};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *text = malloc(sizes[i] + 1);
        for (size_t at = 0; at < sizes[i]; at++)
            text[at] = (char)('a' + at % 23);
        text[sizes[i]] = '\0';
        send_text(fd, text);
        assert_text(fd, &in, &used, text);
        free(text);
    }
    done(fd, &in);
}

/* What clients may not send, and the close code that they get. Raw: unmasked bytes as they are. */
static const struct {
    const char *why;
    bool raw;
    uint8_t first;
    const char *payload;
    size_t size_bytes;
    unsigned code;
} breaches[] = {
    {"binary", false, 0x82, "a", 1, 1003},
    {"invalid UTF-8", false, 0x81, "a\xff", 2, 1007},
    {"UTF-8 that ends within a character", false, 0x81, "\xc3", 1, 1007},
    {"a surrogate in UTF-8", false, 0x81, "\xed\xa0\x80", 3, 1007},
    {"a frame without a mask", true, 0,
     "\x81\x01"
     "a",
     3, 1002},
    {"an empty frame without a mask", true, 0, "\x81\x00", 2, 1002},
    {"a ping without a mask", true, 0, "\x89\x00", 2, 1002},
    {"too large by its length", true, 0, "\x81\xff\0\0\0\0\0\1\x86\xa1", 10, 1009},
    {"a reserved bit", false, 0xc1, "a", 1, 1002},
    {"a reserved opcode", false, 0x83, "a", 1, 1002},
    {"a reserved control opcode", false, 0x8b, "a", 1, 1002},
    {"a continuation of nothing", false, 0x80, "a", 1, 1002},
    {"a fragmented ping", false, 0x09, "a", 1, 1002},
    {"a close code of one byte", false, 0x88, "\x03", 1, 1002},
    {"a close code that must not be sent", false, 0x88, "\x03\xed", 2, 1002},
    {"a close reason that is not UTF-8", false, 0x88, "\x03\xe8\xff", 3, 1007},
};

/* The close code that one connection gets for the breach; 0 when it was cut without a close frame. */
static unsigned code_of_breach(size_t i)
{
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    send_text(fd, "first");
    assert_text(fd, &in, &used, "first");
    if (breaches[i].raw)
        raw_send(fd, breaches[i].payload, breaches[i].size_bytes);
    else
        send_frame(fd, breaches[i].first, breaches[i].payload, breaches[i].size_bytes);
    send_text(fd, "never seen");
    const unsigned code = read_close(fd, &in, &used);
    buffer_done(&in);
    close(fd);
    return code;
}

/* Every breach ends the connection, and the client is always told why. */
static void test_breaches_are_answered_with_their_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(breaches); i++) {
        const unsigned code = code_of_breach(i);
        if (code != breaches[i].code)
            fail_msg("%s: closed with %u instead of %u", breaches[i].why, code, breaches[i].code);
        wait_for(&stage.closed, (unsigned)i + 1);
    }
}

static void test_a_message_of_many_fragments_is_bounded(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    char part[50000];
    memset(part, 'a', sizeof part);
    send_frame(fd, 0x01, part, sizeof part);
    send_frame(fd, 0x00, part, sizeof part);
    send_frame(fd, 0x80, part, 1);
    assert_int_equal(read_close(fd, &in, &used), 1009);
    done(fd, &in);
}

static void test_a_character_may_stand_in_two_fragments(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    send_frame(fd, 0x01, "\xe2\x82", 2);
    send_frame(fd, 0x89, "\xff", 1);
    send_frame(fd, 0x80, "\xac", 1);
    struct frame frame;
    assert_true(read_frame(fd, &in, &used, &frame));
    assert_int_equal(frame.first, 0x8a);
    assert_text(fd, &in, &used, "\xe2\x82\xac");
    send_frame(fd, 0x01, "\xe2\x82", 2);
    send_frame(fd, 0x80, "\x28", 1);
    assert_int_equal(read_close(fd, &in, &used), 1007);
    done(fd, &in);
}

/* libwebsockets itself would drop those that come while it owes a pong. */
static void test_each_of_many_pings_gets_its_pong(void **state)
{
    (void)state;
    struct buffer in, pings = buffer_make(0);
    size_t used = 0;
    struct frame frame;
    const int fd = open_client(&in);
    for (uint8_t i = 0; i < 100; i++) {
        const uint8_t ping[] = {0x89, 0x81, 0, 0, 0, 0, i};
        buffer_add(&pings, ping, sizeof ping);
    }
    raw_send(fd, pings.data, pings.size_bytes);
    buffer_done(&pings);
    for (uint8_t i = 0; i < 100; i++) {
        assert_true(read_frame(fd, &in, &used, &frame));
        assert_int_equal(frame.first, 0x8a);
        assert_int_equal(frame.size_bytes, 1);
        assert_int_equal(frame.payload[0], i);
    }
    done(fd, &in);
}

/* A client that pings and does not read must not make the server remember all of it; the last one gets its pong. */
static void test_pings_without_end_are_bounded(void **state)
{
    (void)state;
    enum { PINGS = 60000, SIZE = 125 }; /* 7.5 MB: more than the kernel keeps of the pongs */
    struct buffer in, pings = buffer_make(0);
    size_t used = 0;
    const int small = 65536;
    const int fd = open_client(&in);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    for (unsigned i = 0; i < PINGS; i++) {
        uint8_t ping[6 + SIZE + 1] = {0x89, 0x80 | SIZE};
        snprintf((char *)ping + 6, SIZE + 1, "%-*u", SIZE, i);
        buffer_add(&pings, ping, 6 + SIZE);
    }
    raw_send(fd, pings.data, pings.size_bytes);
    buffer_done(&pings);
    unsigned pongs = 0, last = 0;
    while (last != PINGS - 1) {
        struct frame frame = {0};
        assert_true(read_frame(fd, &in, &used, &frame));
        assert_int_equal(frame.first, 0x8a);
        const unsigned number = (unsigned)strtoul((const char *)frame.payload, NULL, 10);
        assert_true(pongs == 0 || number > last);
        last = number;
        pongs++;
    }
    assert_true(pongs < PINGS);
    done(fd, &in);
}

static void test_a_client_that_closes_is_answered(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    send_frame(fd, 0x88,
               "\x03\xe8"
               "bye",
               5);
    assert_int_equal(read_close(fd, &in, &used), 1000);
    wait_for(&stage.closed, 1);
    done(fd, &in);
}

static void test_the_server_closes_after_what_it_has_sent(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    struct frame frame;
    const int fd = open_client(&in);
    send_text(fd, "last words");
    send_text(fd, "please close");
    assert_text(fd, &in, &used, "last words");
    assert_true(read_frame(fd, &in, &used, &frame));
    assert_int_equal(frame.first, 0x88);
    assert_memory_equal(frame.payload,
                        "\x03\xe9"
                        "as you wish",
                        13);
    send_frame(fd, 0x88, "\x03\xe9", 2);
    wait_for(&stage.closed, 1);
    assert_false(ws_send(stage.connection, BYTES_LITERAL("too late")));
    done(fd, &in);
}

static void test_a_client_that_vanishes_is_noticed(void **state)
{
    (void)state;
    struct buffer in;
    const int fd = open_client(&in);
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    wait_for(&stage.opened, 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    done(fd, &in);
}

static void test_a_slow_reader_holds_the_sender_back_and_gets_all(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    wait_for(&stage.opened, 1);
    char text[16384];
    memset(text, 'x', sizeof text);
    unsigned sent = 0;
    bool room = true;
    while (room) { /* until the client's silence is felt here */
        snprintf(text, 8, "%07u", sent++);
        text[7] = 'x';
        room = ws_send(stage.connection, bytes_of(text, sizeof text));
    }
    assert_true(sent >= WS_HIGH_WATER_BYTES / sizeof text);
    for (unsigned i = 0; i < sent; i++) {
        struct frame frame;
        assert_true(read_frame(fd, &in, &used, &frame));
        assert_int_equal(frame.size_bytes, sizeof text);
        assert_int_equal(strtoul((const char *)frame.payload, NULL, 10), i);
    }
    wait_for(&stage.writable, 1);
    done(fd, &in);
}

static void test_what_was_corked_goes_out_at_the_last_uncork(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    wait_for(&stage.opened, 1);
    ws_cork(stage.connection);
    assert_true(ws_send(stage.connection, BYTES_LITERAL("first")));
    ws_cork(stage.connection);
    assert_true(ws_send(stage.connection, BYTES_LITERAL("second")));
    ws_uncork(stage.connection);
    assert_true(ws_send(stage.connection, BYTES_LITERAL("third")));
    ws_uncork(stage.connection);
    assert_text(fd, &in, &used, "first");
    assert_text(fd, &in, &used, "second");
    assert_text(fd, &in, &used, "third");
    done(fd, &in);
}

static void test_a_sender_that_ignores_back_pressure_is_cut_off(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    wait_for(&stage.opened, 1);
    static char text[65536];
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 1000; i++)
        (void)ws_send(stage.connection, bytes_of(text, sizeof text)); /* the fault under test */
    const unsigned code = read_close(fd, &in, &used);
    assert_true(code == 1008 || code == 0); /* 0: cut while its socket was full */
    done(fd, &in);
}

static void test_silent_clients_are_pinged_then_dropped(void **state)
{
    (void)state;
    start(&(struct websocket_options){.ping_interval_ms = 100, .pong_timeout_ms = 1000});
    struct buffer in;
    size_t used = 0;
    struct frame frame;
    const int fd = open_client(&in);
    assert_true(read_frame(fd, &in, &used, &frame));
    assert_int_equal(frame.first, 0x89);
    send_frame(fd, 0x8a, "", 0);
    assert_int_equal(read_close(fd, &in, &used), 0); /* no pong any more: cut */
    done(fd, &in);
}

static void test_connections_are_bounded(void **state)
{
    (void)state;
    start(&(struct websocket_options){.connections_max = 1});
    struct buffer in, refused;
    const int fd = open_client(&in);
    const int second = open_with("/ws", &refused);
    assert_memory_equal(refused.data, "HTTP/1.1 503 ", 13);
    buffer_done(&refused);
    close(second);
    assert_int_equal(websocket_server_connections(server), 1);
    done(fd, &in);
}

static void test_stopping_says_goodbye(void **state)
{
    (void)state;
    struct buffer in;
    size_t used = 0;
    const int fd = open_client(&in);
    wait_for(&stage.opened, 1);
    assert_true(ws_send(stage.connection, BYTES_LITERAL("before")));
    websocket_server_stop(server, 1000); /* to say it; the client does not go by itself */
    server = NULL;
    assert_text(fd, &in, &used, "before");
    assert_text(fd, &in, &used, "last words");
    assert_int_equal(read_close(fd, &in, &used), 1001);
    assert_false(ws_send(stage.connection, BYTES_LITERAL("after")));
    done(fd, &in);
}

static void test_many_clients_at_once(void **state)
{
    (void)state;
    enum { CLIENTS = 50 };
    int fds[CLIENTS];
    struct buffer in[CLIENTS];
    size_t used[CLIENTS] = {0};
    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = open_client(&in[i]);
    for (unsigned round = 0; round < 20; round++) {
        char text[32];
        snprintf(text, sizeof text, "round %u", round);
        for (size_t i = 0; i < CLIENTS; i++)
            send_text(fds[i], text);
        for (size_t i = 0; i < CLIENTS; i++)
            assert_text(fds[i], &in[i], &used[i], text);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        done(fds[i], &in[i]);
    wait_for(&stage.closed, CLIENTS);
}

#define WITH_PLAIN(test) cmocka_unit_test_setup_teardown(test, start_plain, stop)
#define WITH_OWN(test)   cmocka_unit_test_teardown(test, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLAIN(test_text_is_echoed),
        WITH_PLAIN(test_fragments_and_pings_in_between_make_one_message),
        WITH_PLAIN(test_large_messages_pass_both_ways),
        WITH_PLAIN(test_breaches_are_answered_with_their_code),
        WITH_PLAIN(test_a_message_of_many_fragments_is_bounded),
        WITH_PLAIN(test_a_character_may_stand_in_two_fragments),
        WITH_PLAIN(test_each_of_many_pings_gets_its_pong),
        WITH_PLAIN(test_pings_without_end_are_bounded),
        WITH_PLAIN(test_a_client_that_closes_is_answered),
        WITH_PLAIN(test_the_server_closes_after_what_it_has_sent),
        WITH_PLAIN(test_a_client_that_vanishes_is_noticed),
        WITH_PLAIN(test_a_slow_reader_holds_the_sender_back_and_gets_all),
        WITH_PLAIN(test_what_was_corked_goes_out_at_the_last_uncork),
        WITH_PLAIN(test_a_sender_that_ignores_back_pressure_is_cut_off),
        WITH_OWN(test_silent_clients_are_pinged_then_dropped),
        WITH_OWN(test_connections_are_bounded),
        WITH_PLAIN(test_stopping_says_goodbye),
        WITH_PLAIN(test_many_clients_at_once),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
