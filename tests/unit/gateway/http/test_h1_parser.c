#include "support/cmocka.h"

#include "gateway/http/h1_parser.h"

static const struct request_limits limits = {
    .target_max_bytes = 64, .header_max_bytes = 512, .header_max_count = 8, .body_max_bytes = 64};

struct outcome {
    enum h1_step step;
    struct http_refusal refusal;
    struct request_head message;
    struct buffer body;
    size_t used_bytes;
};

/* Reads one request, the input growing by `piece` bytes at a time. */
static struct outcome read_request(struct arena *arena, const char *text, size_t size, size_t piece)
{
    struct outcome outcome = {.step = H1_MORE, .body = buffer_in(arena, 0)};
    const uint8_t *data = (const uint8_t *)text;
    struct h1_head head = {0};
    size_t there = 0, head_bytes = 0;
    while (outcome.step == H1_MORE && there < size) {
        there = there + piece < size ? there + piece : size;
        outcome.step =
            h1_head_step(&head, (struct bytes){data, there}, &limits, &head_bytes, &outcome.refusal);
    }
    if (outcome.step != H1_DONE)
        return outcome;
    outcome.step =
        h1_head_parse(arena, (struct bytes){data, head_bytes}, &limits, &outcome.message, &outcome.refusal);
    if (outcome.step != H1_DONE)
        return outcome;
    struct h1_body body;
    outcome.step = h1_body_begin(&body, &outcome.message, &limits, &outcome.refusal);
    outcome.used_bytes = head_bytes;
    while (outcome.step == H1_MORE && outcome.used_bytes < size) {
        const size_t take = outcome.used_bytes + piece < size ? piece : size - outcome.used_bytes;
        size_t used = 0;
        outcome.step = h1_body_step(&body, (struct bytes){data + outcome.used_bytes, take}, &outcome.body,
                                    &used, &outcome.refusal);
        outcome.used_bytes += used;
    }
    return outcome;
}

static void assert_bytes(struct bytes bytes, const char *text)
{
    if (!bytes_equal(bytes, bytes_of_text(text)))
        fail_msg("\"%.*s\" instead of \"%s\"", BYTES_FORMAT(bytes), text);
}

/* target, path, query: untouched, whatever the form. */
static const struct {
    const char *target, *path, *query;
} targets[] = {
    {"/", "/", ""},
    {"/a%2Fb//../c;d+e", "/a%2Fb//../c;d+e", ""},
    {"/a?b=c?d&e", "/a", "b=c?d&e"},
    {"/a?", "/a", ""},
    {"http://h/x?y", "/x", "y"},
    {"HTTPS://h", "/", ""},
    {"http://h?y", "/", "y"},
};

static void test_targets_are_split_and_not_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        const char *text = arena_printf(arena, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i].target);
        struct outcome outcome = read_request(arena, text, strlen(text), strlen(text));
        if (outcome.step != H1_DONE)
            fail_msg("%s: %s", targets[i].target, outcome.refusal.status.message);
        assert_bytes(outcome.message.path, targets[i].path);
        assert_bytes(outcome.message.query, targets[i].query);
    }
}

static void test_headers_are_trimmed_and_kept_in_order(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const char *text = "PUT / HTTP/1.1\r\nHost:h\r\nA:  b c \t\r\na:\r\n\r\n";
    struct outcome outcome = read_request(arena, text, strlen(text), strlen(text));
    assert_int_equal(outcome.step, H1_DONE);
    assert_int_equal(outcome.message.header_count, 3);
    assert_bytes(outcome.message.headers[1].name, "A");
    assert_bytes(outcome.message.headers[1].value, "b c");
    assert_bytes(outcome.message.headers[2].name, "a");
    assert_bytes(outcome.message.headers[2].value, "");
}

/* RFC 9112 9.3, and what a proxy in front would read too: who closes must be the same. */
static const struct {
    const char *why;
    const char *version;
    const char *headers;
    bool keep_alive;
} persistence[] = {
    {"1.1 keeps", "1.1", "", true},
    {"1.0 closes", "1.0", "", false},
    {"1.0 keeps when asked to", "1.0", "Connection: Keep-Alive\r\n", true},
    {"close has no case", "1.1", "Connection: CLOSE\r\n", false},
    {"close wins", "1.0", "Connection: keep-alive, close\r\n", false},
    {"in a list", "1.1", "Connection: TE,close\r\n", false},
    {"behind an empty element", "1.1", "Connection: , close ,\r\n", false},
    {"in a second header", "1.1", "Connection: x\r\nconnection: close\r\n", false},
    {"a part of a word", "1.1", "Connection: closed, xclose\r\n", true},
    {"no header of HTTP", "1.1", "Proxy-Connection: close\r\n", true},
};

static void test_who_closes_follows_from_version_and_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(persistence); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        const char *text = arena_printf(arena, "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", persistence[i].version,
                                        persistence[i].headers);
        struct outcome outcome = read_request(arena, text, strlen(text), strlen(text));
        if (outcome.step != H1_DONE || outcome.message.keep_alive != persistence[i].keep_alive)
            fail_msg("%s: step %d, keeps alive %d", persistence[i].why, outcome.step,
                     outcome.message.keep_alive);
    }
}

static void test_a_chunked_body_ends_where_the_next_request_begins(void **state)
{
    (void)state;
    static const char text[] =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;why=\"not\"\r\nhello\r\n00001\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: dropped\r\n\r\nGET /";
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct outcome outcome = read_request(arena, text, strlen(text), piece);
        if (outcome.step != H1_DONE)
            fail_msg("in pieces of %zu: %s", piece, outcome.refusal.status.message);
        assert_bytes(buffer_bytes(&outcome.body), "hello world");
        assert_string_equal(text + outcome.used_bytes, "GET /");
    }
}

static void test_what_is_refused_does_not_depend_on_how_it_arrives(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int http_status;
    } rows[] = {
        {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\nHost: h\r\na:1\r\na:2\r\na:3\r\na:4\r\na:5\r\na:6\r\na:7\r\na:8\r\n\r\n", 431},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t piece = 1; piece <= strlen(rows[i].text); piece++) {
            CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
            struct outcome outcome = read_request(arena, rows[i].text, strlen(rows[i].text), piece);
            if (outcome.step != H1_REFUSED || outcome.refusal.http_status != rows[i].http_status)
                fail_msg("row %zu in pieces of %zu: step %d, status %d", i, piece, outcome.step,
                         outcome.step == H1_REFUSED ? outcome.refusal.http_status : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets_are_split_and_not_decoded),
        cmocka_unit_test(test_headers_are_trimmed_and_kept_in_order),
        cmocka_unit_test(test_who_closes_follows_from_version_and_connection),
        cmocka_unit_test(test_a_chunked_body_ends_where_the_next_request_begins),
        cmocka_unit_test(test_what_is_refused_does_not_depend_on_how_it_arrives),
    };
    return cmocka_run_group_tests_name("h1_parser", tests, NULL, NULL);
}
