/*
 * Raw bytes in, statuses out, over real sockets. Each row is sent whole and again byte by byte; the client
 * then says that it has nothing more to send, so every row ends without a time-out.
 */
#include "support/cmocka.h"

#include "base/entropy.h"
#include "gateway/http/front.h"
#include "unit/gateway/http/raw_client.h"

#define GET     "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST    "POST / HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define OK_GET  GET "\r\n"
/* A row with NULs in it. */
#define SIZED(bytes) bytes, sizeof(bytes) - 1
#define X16          "xxxxxxxxxxxxxxxx"
#define X128         X16 X16 X16 X16 X16 X16 X16 X16
#define X1024        X128 X128 X128 X128 X128 X128 X128 X128

/* `statuses` are those of all answers in order; "*" behind one: it says Connection: close. */
static const struct {
    const char *why;
    const char *bytes;
    size_t size_bytes; /* 0: up to the NUL */
    const char *statuses;
} rows[] = {
    {"a plain request", OK_GET, 0, "200"},
    {"two in one segment", OK_GET OK_GET, 0, "200 200"},
    {"two with bodies in one segment", POST "Content-Length: 2\r\n\r\nab" POST "Content-Length: 1\r\n\r\nc",
     0, "200 200"},
    {"a chunked one before a plain one", CHUNKED "3\r\nabc\r\n0\r\n\r\n" OK_GET, 0, "200 200"},
    {"empty lines before a request", "\r\n\r\n" OK_GET, 0, "200"},
    {"too many empty lines", "\r\n\r\n\r\n" OK_GET, 0, "400*"},
    {"nothing at all", "", 0, ""},
    {"half a head", "GET / HT", 0, ""},
    {"half a body", POST "Content-Length: 9\r\n\r\nhalf", 0, ""},
    {"half a chunk", CHUNKED "9\r\nhalf", 0, ""},
    {"Connection: close", GET "Connection: close\r\n\r\n" OK_GET, 0, "200*"},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n" OK_GET, 0, "200*"},
    {"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" OK_GET, 0, "200 200"},
    {"an absolute target", "GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 0, "200"},
    {"an absolute target for another host", "GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"an absolute target with a user", "GET http://u@h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", 0, "400*"},
    {"OPTIONS reaches the handler", "OPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n", 0, "200"},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0, "200"},
    {"GET *", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 0, "501*"},
    {"a method that no path has goes to the router", "FETCH / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "200"},
    {"methods have case", "get / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "200"},
    {"a method that is no token", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},

    {"Content-Length and Transfer-Encoding",
     POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "400*"},
    {"Transfer-Encoding and Content-Length",
     POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 0, "400*"},
    {"Content-Length twice, the same", POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 0, "400*"},
    {"Content-Length twice, different", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 0, "400*"},
    {"a list of lengths", POST "Content-Length: 1, 1\r\n\r\na", 0, "400*"},
    {"a signed length", POST "Content-Length: +1\r\n\r\na", 0, "400*"},
    {"a negative length", POST "Content-Length: -1\r\n\r\na", 0, "400*"},
    {"a hexadecimal length", POST "Content-Length: 0x1\r\n\r\na", 0, "400*"},
    {"an empty length", POST "Content-Length:\r\n\r\n", 0, "400*"},
    {"a length beyond 64 bits", POST "Content-Length: 99999999999999999999999\r\n\r\n", 0, "400*"},
    {"two codings", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, "501*"},
    {"chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
     "501*"},
    {"identity after chunked", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0, "400*"},
    {"a coding that ends in a tab",
     POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n",
     0, "400*"},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "400*"},
    {"a space before the colon", POST "Content-Length : 1\r\n\r\na", 0, "400*"},
    {"a tab before the colon", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 0, "400*"},
    {"a folded header", GET "A: b\r\n c\r\n\r\n", 0, "400*"},
    {"a header that begins with a space", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 0, "400*"},
    {"a header without a colon", GET "nothing\r\n\r\n", 0, "400*"},
    {"a header without a name", GET ": b\r\n\r\n", 0, "400*"},
    {"LF alone in the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 0, "400*"},
    {"LF alone after a header", "GET / HTTP/1.1\r\nHost: h\n\r\n", 0, "400*"},
    {"LF alone at the end of the head", "GET / HTTP/1.1\r\nHost: h\r\n\n", 0, "400*"},
    {"CR alone in a value", GET "A: b\rc\r\n\r\n", 0, "400*"},
    {"CR CR LF", GET "A: b\r\r\n\r\n", 0, "400*"},
    {"NUL in a value", SIZED(GET "A: b\0c\r\n\r\n"), "400*"},
    {"NUL in the target", SIZED("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), "400*"},
    {"bytes over 127 in a value pass", GET "A: \xc3\xa9\r\n\r\n", 0, "200"},
    {"bytes over 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"a fragment in the target", "GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"a space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"a relative target", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"no version (HTTP/0.9)", "GET /\r\n\r\n", 0, "400*"},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 0, "505*"},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 0, "505*"},
    {"HTTP/11.1", "GET / HTTP/11.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"another protocol", "GET / HTTQ/1.1\r\nHost: h\r\n\r\n", 0, "400*"},
    {"a TLS hello", SIZED("\x16\x03\x01\x02\0\x01"), "400*"},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 0, "400*"},
    {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, "400*"},
    {"two Hosts", GET "Host: h\r\n\r\n", 0, "400*"},
    {"a Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 0, "400*"},
    {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 0, "400*"},
    {"a Host with a space", "GET / HTTP/1.1\r\nHost: h h\r\n\r\n", 0, "400*"},
    {"an IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "200"},
    {"a port that is no number", "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", 0, "400*"},

    {"a chunk size with a prefix", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"a negative chunk size", CHUNKED "-3\r\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"a chunk size with a space", CHUNKED "3 \r\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"no chunk size", CHUNKED "\r\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"a chunk size beyond 64 bits", CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n", 0, "413*"},
    {"many leading zeros", CHUNKED "00000000000000003\r\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"a chunk size line ended by LF", CHUNKED "3\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"LF in a chunk extension", CHUNKED "3;a\nabc\r\n0\r\n\r\n", 0, "400*"},
    {"a chunk longer than it says", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", 0, "400*"},
    {"a chunk ended by LF", CHUNKED "3\r\nabc\n0\r\n\r\n", 0, "400*"},
    {"a folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", 0, "400*"},
    {"a trailer without a colon", CHUNKED "0\r\nnothing\r\n\r\n", 0, "400*"},
    {"an endless chunk extension", CHUNKED "3;" X128 X128 X128 "\r\nabc\r\n0\r\n\r\n", 0, "431*"},
    {"a trailer is read and dropped", CHUNKED "3\r\nabc\r\n0\r\nA: b\r\n\r\n" OK_GET, 0, "200 200"},

    {"too long a target", "GET /" X1024 X1024 " HTTP/1.1\r\nHost: h\r\n\r\n", 0, "414*"},
    {"too large a head", GET "A: " X1024 "\r\nB: " X1024 "\r\nC: " X1024 "\r\nD: " X1024 "\r\n\r\n", 0,
     "431*"},
    {"too many headers", GET "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\nI:\r\nJ:\r\n\r\n", 0, "431*"},
    {"too large a body by its length", POST "Content-Length: 5000\r\n\r\n", 0, "413*"},
    {"too large a body by a chunk", CHUNKED "1389\r\n", 0, "413*"},
    {"too large a body by many chunks", CHUNKED "800\r\n" X1024 X1024 "\r\n801\r\n" X1024 X1024 "x", 0,
     "413*"},
    {"an expectation nobody knows", POST "Expect: magic\r\nContent-Length: 1\r\n\r\na", 0, "417*"},
    {"100 is not sent when the body is there", POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na", 0,
     "200"},
    {"an upgrade to HTTP/2 is not taken", GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" OK_GET, 0,
     "200 200"},
};

static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange_respond(exchange, 200, NULL, 0, exchange_request(exchange)->body);
}

/* "200 404*" from the bytes of all answers; each must be well-formed and, when refused, a problem. */
static void statuses_of(struct bytes answers, const char *why, char *ret, size_t size)
{
    const char *at = (const char *)answers.data;
    const char *end = at + answers.size_bytes;
    ret[0] = '\0';
    while (at < end) {
        const char *body = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        if (body == NULL || strncmp(at, "HTTP/1.1 ", 9) != 0)
            fail_msg("%s: not an answer: \"%.*s\"", why, (int)(end - at), at);
        body += 4;
        char head[1024];
        snprintf(head, sizeof head, "%.*s", (int)(body - at), at);
        const size_t used = strlen(ret);
        if (strncmp(head + 9, "100", 3) == 0) {
            snprintf(ret + used, size - used, "100 ");
            at = body;
            continue;
        }
        const char *length = strstr(head, "\r\nContent-Length: ");
        assert_non_null(length);
        assert_non_null(strstr(head, "\r\nStrata-Request-Id: "));
        assert_non_null(strstr(head, "\r\nDate: "));
        snprintf(ret + used, size - used, "%s%.3s%s", used > 0 && ret[used - 1] != ' ' ? " " : "", head + 9,
                 strstr(head, "\r\nConnection: close\r\n") ? "*" : "");
        const unsigned long bytes = strtoul(length + 18, NULL, 10);
        if (strncmp(head + 9, "200", 3) != 0 &&
            memmem(body, (size_t)(end - body), "\"request_id\":\"", 14) == NULL)
            fail_msg("%s: the refusal has no request_id: %.*s", why, (int)(end - body), body);
        assert_true(bytes <= (unsigned long)(end - body));
        at = body + bytes;
    }
}

static void run_row(uint16_t port, size_t i, bool byte_by_byte)
{
    const size_t size = rows[i].size_bytes != 0 ? rows[i].size_bytes : strlen(rows[i].bytes);
    const int fd = raw_connect(port);
    if (byte_by_byte)
        for (size_t at = 0; at < size; at++)
            raw_send(fd, rows[i].bytes + at, 1);
    else
        raw_send(fd, rows[i].bytes, size);
    shutdown(fd, SHUT_WR);
    struct buffer answers = buffer_make(0);
    raw_receive_to_end(fd, &answers);
    close(fd);
    char statuses[256];
    statuses_of(buffer_bytes(&answers), rows[i].why, statuses, sizeof statuses);
    /* Byte by byte the front may see the head alone, and then rightly says 100 before the answer. */
    const char *seen = byte_by_byte && strncmp(statuses, "100 ", 4) == 0 ? statuses + 4 : statuses;
    if (strcmp(seen, rows[i].statuses) != 0)
        fail_msg("%s%s: \"%s\" instead of \"%s\": %.*s", rows[i].why, byte_by_byte ? ", byte by byte" : "",
                 statuses, rows[i].statuses, BYTES_FORMAT(buffer_bytes(&answers)));
    buffer_done(&answers);
}

static const struct front_handler_ops handler = {.on_request = on_request};

static int set_up(void **state)
{
    const struct front_options options = {
        .limits = {.target_max_bytes = 1024,
                   .header_max_bytes = 4096,
                   .header_max_count = 10,
                   .body_max_bytes = 4096},
        .handler = &handler,
    };
    struct front *front = NULL;
    assert_status_ok(front_start(&options, NULL, &system_clock, &system_entropy, &front));
    *state = front;
    return 0;
}

static int tear_down(void **state)
{
    front_stop(*state, 1000);
    return 0;
}

static void test_bytes_in_one_piece(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        run_row(front_port(*state), i, false);
}

static void test_the_same_bytes_one_by_one(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].size_bytes < 512 && strlen(rows[i].bytes) < 512)
            run_row(front_port(*state), i, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_in_one_piece),
        cmocka_unit_test(test_the_same_bytes_one_by_one),
    };
    return cmocka_run_group_tests_name("front_torture", tests, set_up, tear_down);
}
