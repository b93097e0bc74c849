#include "support/cmocka.h"

#include "gateway/http/front_internal.h"

static const char *const hosts[] = {"strata.test"};
static const char *const any[] = {"*"};
static const char *const shop[] = {"https://shop.example:8443"};

static const struct {
    const char *why;
    bool development;
    const char *const *origins;
    const char *host, *name, *value; /* Host, and one more header */
    bool has_body;
    int http_status; /* 0: allowed */
} rows[] = {
    {"localhost, any port", true, NULL, "localhost:8080", NULL, NULL, false, 0},
    {"names have no case", true, NULL, "LocalHost", NULL, NULL, false, 0},
    {"IPv4 loopback", true, NULL, "127.0.0.1:1", NULL, NULL, false, 0},
    {"IPv6 loopback", true, NULL, "[::1]:8080", NULL, NULL, false, 0},
    {"a name that the operator allows", true, NULL, "strata.test:80", NULL, NULL, false, 0},
    {"a name that DNS may point at loopback", true, NULL, "evil.example:8080", NULL, NULL, false, 421},
    {"a name that begins like loopback", true, NULL, "localhost.evil.example", NULL, NULL, false, 421},
    {"no Host at all", true, NULL, NULL, NULL, NULL, false, 421},
    {"other hosts are served with security on", false, NULL, "evil.example", NULL, NULL, false, 0},
    {"a proxy in front", true, NULL, "localhost", "X-Forwarded-For", "10.0.0.1", false, 403},
    {"a proxy that follows RFC 7239", true, NULL, "localhost", "forwarded", "for=10.0.0.1", false, 403},
    {"proxies are fine with security on", false, NULL, "h", "X-Forwarded-For", "10.0.0.1", false, 0},
    {"a form that a web page posts", true, NULL, "localhost", "Content-Type", "text/plain", true, 415},
    {"a body without a type", true, NULL, "localhost", NULL, NULL, true, 415},
    {"JSON", true, NULL, "localhost", "Content-Type", "application/json", true, 0},
    {"JSON with a parameter", true, NULL, "localhost", "content-type", "Application/JSON ; charset=utf-8",
     true, 0},
    {"types do not matter with security on", false, NULL, "h", "Content-Type", "text/plain", true, 0},
    {"a page of another origin", false, NULL, "h", "Origin", "https://shop.example:8443", false, 403},
    {"a listed origin", false, shop, "h", "Origin", "https://shop.example:8443", false, 0},
    {"a listed host on another port", false, shop, "h", "Origin", "https://shop.example", false, 403},
    {"the server's own page", false, NULL, "h:1", "Origin", "http://h:1", false, 0},
    {"any origin", false, any, "h", "Origin", "https://shop.example", false, 0},
    {"any origin in development is a loopback one", true, any, "localhost", "Origin", "https://x.example",
     false, 403},
    {"any origin in development, loopback", true, any, "localhost", "Origin", "http://127.0.0.1:3000", false,
     0},
    {"a sandboxed page", true, any, "localhost", "Origin", "null", false, 403},
};

static void test_requests_are_let_in_by_the_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct access_rules rules = {.development = rows[i].development,
                                           .hosts = hosts,
                                           .host_count = 1,
                                           .origins = rows[i].origins,
                                           .origin_count = rows[i].origins == NULL ? 0 : 1};
        struct http_header headers[2];
        struct http_request request = {.headers = headers};
        if (rows[i].host != NULL)
            headers[request.header_count++] =
                (struct http_header){BYTES_LITERAL("host"), bytes_of_text(rows[i].host)};
        if (rows[i].name != NULL)
            headers[request.header_count++] =
                (struct http_header){bytes_of_text(rows[i].name), bytes_of_text(rows[i].value)};
        struct http_refusal refusal = {0, status_ok()};
        const bool allowed = access_allows(&rules, &request, rows[i].has_body, &refusal);
        if (allowed != (rows[i].http_status == 0) || refusal.http_status != rows[i].http_status)
            fail_msg("%s: %s, status %d, \"%s\"", rows[i].why, allowed ? "allowed" : "refused",
                     refusal.http_status, refusal.status.message);
    }
}

static const struct {
    const char *why;
    const char *host, *name, *value; /* Host, and one more header */
    bool forwarded;                  /* accepted by the operator */
    int http_status;                 /* 0: allowed */
    const char *remedy;              /* what the refusal says: a key that this build has */
} proxied[] = {
    {"a proxy", "strata.test", "X-Forwarded-For", "10.0.0.1", false, 403,
     "security.allow_insecure_bind: true"},
    {"an accepted proxy", "strata.test", "X-Forwarded-For", "10.0.0.1", true, 0, NULL},
    {"one that follows RFC 7239", "localhost", "Forwarded", "for=10.0.0.1", true, 0, NULL},
    {"one that passes on what DNS points at it", "evil.example", "X-Forwarded-For", "10.0.0.1", true, 421,
     "\"evil.example\""},
    {"a name of the network", "strata.internal:8080", "Accept", "*/*", false, 421, "security.allowed_hosts"},
};

/* What a refusal advises must be something that can be done: there is no other mode than development. */
static void test_a_proxy_is_served_where_it_is_accepted_and_a_refusal_says_how(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(proxied); i++) {
        const struct access_rules rules = {
            .development = true, .hosts = hosts, .host_count = 1, .forwarded = proxied[i].forwarded};
        struct http_header headers[2] = {{BYTES_LITERAL("host"), bytes_of_text(proxied[i].host)},
                                         {bytes_of_text(proxied[i].name), bytes_of_text(proxied[i].value)}};
        const struct http_request request = {.headers = headers, .header_count = 2};
        struct http_refusal refusal = {0, status_ok()};
        const bool allowed = access_allows(&rules, &request, false, &refusal);
        if (allowed != (proxied[i].http_status == 0) || refusal.http_status != proxied[i].http_status)
            fail_msg("%s: status %d, \"%s\"", proxied[i].why, refusal.http_status, refusal.status.message);
        if (!allowed && (strstr(refusal.status.message, proxied[i].remedy) == NULL ||
                         strstr(refusal.status.message, "security on") != NULL))
            fail_msg("%s: \"%s\" does not say %s", proxied[i].why, refusal.status.message, proxied[i].remedy);
    }
}

static const struct {
    const char *bound, *host;
    bool allowed;
} addresses[] = {
    {"10.0.0.5", "10.0.0.5:8080", true},
    {"10.0.0.5", "10.0.0.6:8080", false},
    {"10.0.0.5", "[::ffff:10.0.0.5]", false},
    {"0.0.0.0", "10.0.0.6", true},
    {"::", "[2001:db8::1]:8080", true},
    {"::", "10.0.0.6:80", true},
    {"2001:db8::1", "[2001:DB8::1]:8080", true},
    {"2001:db8::1", "[2001:db8::2]", false},
    {"0.0.0.0", "10.0.0.6.evil.example", false},
    {"0.0.0.0", "evil.example:8080", false},
    {"0.0.0.0", "[evil.example]", false},
    {"0.0.0.0", "[::1", false},
    {"0.0.0.0", "", false},
    {"127.0.0.1", "10.0.0.6", false},
    {NULL, "10.0.0.6", false},
    {"0.0.0.0", "1.1.1.1111111111111111111111111111111111111111111111111111", false},
};

static void test_addresses_that_are_bound_are_names_of_the_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        const struct access_rules rules = {.development = true, .address = addresses[i].bound};
        struct http_header header = {BYTES_LITERAL("host"), bytes_of_text(addresses[i].host)};
        const struct http_request request = {.headers = &header, .header_count = 1};
        struct http_refusal refusal = {0, status_ok()};
        if (access_allows(&rules, &request, false, &refusal) != addresses[i].allowed)
            fail_msg("bound to %s, Host %s: %s", addresses[i].bound, addresses[i].host,
                     addresses[i].allowed ? refusal.status.message : "allowed");
    }
}

static void test_request_ids_of_clients_are_short_and_plain(void **state)
{
    (void)state;
    char longest[REQUEST_ID_MAX_BYTES + 2];
    memset(longest, 'a', sizeof longest);
    assert_true(request_id_is_valid(BYTES_LITERAL("req-1.A_b:c+/=@")));
    assert_true(request_id_is_valid(bytes_of(longest, REQUEST_ID_MAX_BYTES)));
    assert_false(request_id_is_valid(bytes_of(longest, REQUEST_ID_MAX_BYTES + 1)));
    assert_false(request_id_is_valid(BYTES_NONE));
    assert_false(request_id_is_valid(BYTES_LITERAL("a b")));
    assert_false(request_id_is_valid(BYTES_LITERAL("a\"b")));
    assert_false(request_id_is_valid(bytes_of("a\0b", 3)));
}

static void test_the_websocket_path_may_end_in_a_slash(void **state)
{
    (void)state;
    assert_true(websocket_path_is("/ws", BYTES_LITERAL("/ws")));
    assert_true(websocket_path_is("/ws", BYTES_LITERAL("/ws/")));
    assert_false(websocket_path_is("/ws", BYTES_LITERAL("/ws//")));
    assert_false(websocket_path_is("/ws", BYTES_LITERAL("/wsx")));
    assert_false(websocket_path_is("/ws", BYTES_LITERAL("/w")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_let_in_by_the_rules),
        cmocka_unit_test(test_a_proxy_is_served_where_it_is_accepted_and_a_refusal_says_how),
        cmocka_unit_test(test_addresses_that_are_bound_are_names_of_the_server),
        cmocka_unit_test(test_request_ids_of_clients_are_short_and_plain),
        cmocka_unit_test(test_the_websocket_path_may_end_in_a_slash),
    };
    return cmocka_run_group_tests_name("http_access", tests, NULL, NULL);
}
