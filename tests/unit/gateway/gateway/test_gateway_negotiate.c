#include <string.h>

#include "support/cmocka.h"

#include "gateway/gateway_internal.h"

enum { NOTHING = -1 };

static const struct {
    const char *why, *accept; /* NULL: no such header */
    int unary, list, stream;
} rows[] = {
    {"no wish", NULL, ANSWER_JSON, ANSWER_JSON, ANSWER_SSE},
    {"an empty wish", "", ANSWER_JSON, ANSWER_JSON, ANSWER_SSE},
    {"anything", "*/*", ANSWER_JSON, ANSWER_JSON, ANSWER_SSE},
    {"JSON", "application/json", ANSWER_JSON, ANSWER_JSON, NOTHING},
    {"types have no case", "Application/JSON; charset=utf-8", ANSWER_JSON, ANSWER_JSON, NOTHING},
    {"a range", "application/*", ANSWER_JSON, ANSWER_JSON, NOTHING},
    {"lines", "application/x-ndjson", NOTHING, ANSWER_PAGES, ANSWER_NDJSON},
    {"lines and a worse rest", "application/x-ndjson, */*;q=0.1", ANSWER_JSON, ANSWER_PAGES, ANSWER_NDJSON},
    {"lines as the worse one", "application/json, application/x-ndjson;q=0.5", ANSWER_JSON, ANSWER_JSON,
     ANSWER_NDJSON},
    {"both named equally: the special one was meant", "application/json, application/x-ndjson", ANSWER_JSON,
     ANSWER_PAGES, ANSWER_NDJSON},
    {"an event source", "text/event-stream", NOTHING, NOTHING, ANSWER_SSE},
    {"an event source that takes lines", "text/event-stream, application/x-ndjson;q=0.9", NOTHING,
     ANSWER_PAGES, ANSWER_SSE},
    {"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ANSWER_JSON, ANSWER_JSON,
     ANSWER_SSE},
    {"excluded", "application/json;q=0, */*", NOTHING, NOTHING, ANSWER_SSE},
    {"excluded with digits", "application/json;q=0.000", NOTHING, NOTHING, NOTHING},
    {"another", "image/png", NOTHING, NOTHING, NOTHING},
    {"a name that only begins so", "application/jsonx", NOTHING, NOTHING, NOTHING},
    {"empty entries", ", ,application/json,", ANSWER_JSON, ANSWER_JSON, NOTHING},
};

static void check(const char *why, const struct http_request *http, enum schema_method_id method, int wanted)
{
    enum answer_form form = ANSWER_READY;
    const int got = choose_form(http, schema_method(method), &form) ? (int)form : NOTHING;
    if (got != wanted)
        fail_msg("%s: %s is given as %d, not %d", why, schema_method(method)->name, got, wanted);
}

static void test_the_form_follows_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct http_header header = {BYTES_LITERAL("Accept"), bytes_of_text(rows[i].accept)};
        const struct http_request http = {.headers = &header, .header_count = rows[i].accept != NULL};
        check(rows[i].why, &http, METHOD_EVENT_SERVICE_GET_EVENT, rows[i].unary);
        check(rows[i].why, &http, METHOD_EVENT_SERVICE_LIST_EVENTS, rows[i].list);
        check(rows[i].why, &http, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, rows[i].stream);
    }
}

static const struct {
    const char *accept; /* NULL: no such header */
    bool gzip;
} codings[] = {
    {"gzip", true},
    {"GZip", true},
    {"x-gzip", true},
    {"*", true},
    {"*;q=0.1", true},
    {"deflate, gzip, br, zstd", true},
    {"gzip;q=0.001", true},
    {"\tgzip ; q=0.5", true},
    {"br;q=1, gzip;q=0.8, identity;q=0.1", true},
    {"identity;q=0.5, *", true},
    {NULL, false},
    {"", false},
    {"identity", false},
    {"br, deflate, zstd", false},
    {"gzip;q=0", false},
    {"gzip;q=0.000", false},
    {"*;q=0", false},
    {"gzip;q=0, *", false},
    {"x-gzip;q=0, *", false},
    {"identity;q=1, gzip;q=0.5", false},
    {"gzipped", false},
    {"a gzip", false},
};

static void test_gzip_is_for_who_wants_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codings); i++) {
        const struct http_header header = {BYTES_LITERAL("Accept-Encoding"),
                                           bytes_of_text(codings[i].accept)};
        const struct http_request http = {.headers = &header, .header_count = codings[i].accept != NULL};
        if (wants_gzip(&http) != codings[i].gzip)
            fail_msg("Accept-Encoding: %s", codings[i].accept);
    }
}

static void test_a_plain_body_is_told_from_a_compressed_one(void **state)
{
    (void)state;
    static const struct {
        const char *codings;
        bool plain;
    } bodies[] = {{NULL, true},    {"", true},    {"identity", true},       {"Identity", true},
                  {"gzip", false}, {"br", false}, {"identity, gzip", false}};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        const struct http_header header = {BYTES_LITERAL("Content-Encoding"),
                                           bytes_of_text(bodies[i].codings)};
        const struct http_request http = {.headers = &header, .header_count = bodies[i].codings != NULL};
        if (body_is_plain(&http) != bodies[i].plain)
            fail_msg("Content-Encoding: %s", bodies[i].codings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_form_follows_accept),
        cmocka_unit_test(test_gzip_is_for_who_wants_it),
        cmocka_unit_test(test_a_plain_body_is_told_from_a_compressed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
