/* Requests as the front hands them over; what comes out is shown as JSON, all defaults with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#include "gateway/request_internal.h"
#include "gateway/transcode/transcode.h"

static const struct row {
    const char *why, *verb, *path, *query;
    const char *headers; /* "Name: value\n…" */
    const char *body;
    const char *parts; /* found in the request's JSON, with | between them */
    enum status_reason reason;
    const char *fields;       /* faulty ones, in order, each followed by a space */
    const char *message_part; /* NULL: not looked at */
} rows[] = {
    {"strings, plus is a space", "GET", "/api/v1/events", "correlation_id=a+b%2Bc&type=t", "", "",
     "\"type\":\"t\"|\"correlation_id\":\"a b+c\"", 0, "", NULL},
    {"both spellings", "GET", "/api/v1/events", "fromVersion=3&aggregate_id=x", "", "",
     "\"from_version\":3|\"aggregate_id\":\"x\"", 0, "", NULL},
    {"repeated", "GET", "/api/v1/events", "tags=a:1&tags=b:2&tags=", "", "",
     "\"tags\":[\"a:1\",\"b:2\",\"\"]", 0, "", NULL},
    {"an enum by name", "GET", "/api/v1/events", "direction=BACKWARD", "", "", "\"direction\":\"BACKWARD\"",
     0, "", NULL},
    {"an enum by number", "GET", "/api/v1/events", "direction=2", "", "", "\"direction\":\"BACKWARD\"", 0, "",
     NULL},
    {"a time", "GET", "/api/v1/events", "from_timestamp=2026-01-31T13:00:00%2B01:00", "", "",
     "\"from_timestamp\":\"2026-01-31T12:00:00.000000Z\"", 0, "", NULL},
    {"a duration, bools, int64", "GET", "/api/v1/events/subscribe",
     "checkpoint_interval=2.5s&after_position=7", "", "",
     "\"checkpoint_interval\":\"2.500s\"|\"after_position\":\"7\"", 0, "", NULL},
    {"empty pieces are nothing", "GET", "/api/v1/events", "&&type=t&", "", "", "\"type\":\"t\"", 0, "", NULL},
    {"an optional zero", "GET", "/api/v1/events", "to_version=0", "", "", "\"to_version\":0", 0, "", NULL},
    {"the path", "GET", "/api/v1/events/type/a%2Fb+c", "", "", "", "\"type\":\"a/b+c\"", 0, "", NULL},
    {"path and query agree", "GET", "/api/v1/events/type/a", "type=a", "", "", "\"type\":\"a\"", 0, "", NULL},
    {"path and query differ", "GET", "/api/v1/events/type/a", "type=b", "", "", NULL, REASON_INVALID_FIELD,
     "type ", "differs from the path, which says \"a\""},
    {"path and body agree", "PUT", "/api/v1/aggregates/a", "", "", "{\"id\":\"a\",\"active\":false}",
     "\"id\":\"a\"|\"active\":false", 0, "", NULL},
    {"path and body differ", "PUT", "/api/v1/aggregates/a", "", "", "{\"id\":\"b\"}", NULL,
     REASON_INVALID_FIELD, "id ", "differs from the path"},
    {"a null in the body is no second value", "PUT", "/api/v1/aggregates/a", "", "", "{\"id\":null}",
     "\"id\":\"a\"", 0, "", NULL},
    {"a header", "PUT", "/api/v1/aggregates/a", "", "If-Match: \"3\"\nidempotency-key: k\n", "{}",
     "\"if_match\":\"\\\"3\\\"\"|\"idempotency_key\":\"k\"", 0, "", NULL},
    {"header and body agree", "PUT", "/api/v1/aggregates/a", "", "Idempotency-Key: k\n",
     "{\"idempotency_key\":\"k\"}", "\"idempotency_key\":\"k\"", 0, "", NULL},
    {"header and body differ", "PUT", "/api/v1/aggregates/a", "", "Idempotency-Key: k\n",
     "{\"idempotency_key\":\"l\"}", NULL, REASON_INVALID_FIELD, "idempotency_key ",
     "differs from the header Idempotency-Key, which says \"k\""},
    {"header and query differ", "GET", "/api/v1/aggregates/a", "min_position=4", "Strata-Min-Position: 5\n",
     "", NULL, REASON_INVALID_FIELD, "min_position ", "header Strata-Min-Position"},
    {"header and query agree, as numbers", "GET", "/api/v1/aggregates/a", "min_position=5.0",
     "Strata-Min-Position: 5\n", "", "\"min_position\":\"5\"", 0, "", NULL},
    {"a header twice", "GET", "/api/v1/aggregates/a", "", "If-None-Match: \"1\"\nIf-None-Match: \"1\"\n", "",
     NULL, REASON_INVALID_FIELD, "If-None-Match ", "send it once"},
    {"a header of the wrong type", "GET", "/api/v1/aggregates/a", "", "Strata-Min-Position: x\n", "", NULL,
     REASON_INVALID_FIELD, "min_position ", "is \"x\" in the header"},
    {"Last-Event-ID wins over the same start", "GET", "/api/v1/events/subscribe", "after_position=3",
     "Last-Event-ID: 9\n", "", "\"after_position\":\"9\"", 0, "", NULL},
    {"and over another one", "GET", "/api/v1/events/subscribe", "from_start=true&types=t",
     "Last-Event-ID: 9\n", "", "\"after_position\":\"9\",\"name\"|\"types\":[\"t\"]", 0, "", NULL},
    {"Last-Event-ID of another stream", "GET", "/api/v1/events/subscribe", "", "Last-Event-ID: x-1\n", "",
     NULL, REASON_INVALID_FIELD, "Last-Event-ID ", "is \"x-1\""},
    {"unknown", "GET", "/api/v1/events", "frm_version=1", "", "", NULL, REASON_UNKNOWN_FIELD, "frm_version ",
     "did you mean from_version?"},
    {"unknown without a suggestion", "GET", "/health", "verbose=1", "", "", NULL, REASON_UNKNOWN_FIELD,
     "verbose ", "is no query parameter of this path; leave it out"},
    {"a message is no parameter", "GET", "/api/v1/events/subscribe", "query={}&query.items=1", "", "", NULL,
     REASON_UNKNOWN_FIELD, "query query.items ", NULL},
    {"twice", "GET", "/api/v1/events", "type=a&type=a", "", "", NULL, REASON_INVALID_FIELD, "type ",
     "is given twice; keep one"},
    {"two of a oneof", "GET", "/api/v1/aggregates/a", "as_of_version=1&as_of_position=2", "", "", NULL,
     REASON_INVALID_FIELD, "as_of_position ", "cannot be given together with as_of_version"},
    {"all wrong values are told", "GET", "/api/v1/events",
     "from_version=x&page_size=1.5&from_timestamp=now&direction=UP&min_position=9223372036854775808&to_version=",
     "", "", NULL, REASON_INVALID_FIELD,
     "from_version page_size from_timestamp direction min_position to_version ",
     "from_version is \"x\"; it must be a whole number of 32 bits"},
    {"bools", "GET", "/api/v1/aggregates/a", "include_events=1", "", "", NULL, REASON_INVALID_FIELD,
     "include_events ", "true or false"},
    {"NUL", "GET", "/api/v1/events", "type=a%00", "", "", NULL, REASON_INVALID_FIELD, "type ", "is \"a?\""},
    {"not UTF-8", "GET", "/api/v1/events", "type=%ff", "", "", NULL, REASON_INVALID_FIELD, "type ",
     "is \"?\""},
    {"not UTF-8 in the path", "GET", "/api/v1/events/type/%ff", "", "", "", NULL, REASON_INVALID_FIELD,
     "type ", "in the path"},
    {"a broken encoding", "GET", "/api/v1/events", "type=%2&correlation_id=%", "", "", NULL,
     REASON_INVALID_FIELD, "type=%2 correlation_id=% ", "broken percent-encoding"},
    {"a body's path takes no query", "POST", "/api/v1/events/publish", "type=a", "", "{}", NULL,
     REASON_UNKNOWN_FIELD, "type=a ", "put the fields into the body"},
    {"faults of the body", "POST", "/api/v1/events/publish", "", "", "{\"typ\":1,\"version\":\"x\"}", NULL,
     REASON_UNKNOWN_FIELD, "typ version ", "did you mean type?"},
    {"the body of a GET has no meaning", "GET", "/health", "", "", "not json", "{}", 0, "", NULL},
};

static size_t split_headers(char *text, struct http_header *ret)
{
    size_t count = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");
        ret[count++] = (struct http_header){bytes_of(line, (size_t)(colon - line)), bytes_of_text(colon + 2)};
    }
    return count;
}

static struct status build(struct arena *arena, const struct row *row, struct buffer *json)
{
    struct http_header headers[8];
    struct http_request http = {
        .method = bytes_of_text(row->verb),
        .path = bytes_of_text(row->path),
        .query = bytes_of_text(row->query),
        .headers = headers,
        .body = bytes_of_text(row->body),
        .arena = arena,
    };
    struct route_match match;
    struct buffer wire = buffer_in(arena, 0);
    http.header_count = split_headers(arena_text(arena, bytes_of_text(row->headers)), headers);
    STATUS_TRY(route_find(arena, http.method, http.path, &match));
    assert_non_null(match.route);
    STATUS_TRY(request_build(arena, &http, &match, &wire));
    STATUS_TRY(schema_wire_check(schema_method(match.route->method)->request, buffer_bytes(&wire)));
    return transcode_to_json(schema_method(match.route->method)->request, buffer_bytes(&wire), json);
}

static void check_parts(const struct row *row, const char *json)
{
    char parts[512];
    snprintf(parts, sizeof parts, "%s", row->parts);
    for (char *part = strtok(parts, "|"); part != NULL; part = strtok(NULL, "|"))
        if (strstr(json, part) == NULL)
            fail_msg("%s: %s is not in %s", row->why, part, json);
}

static void test_requests_are_put_together(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buffer json = buffer_in(arena, 0);
        char fields[512] = "";
        const struct status status = build(arena, &rows[i], &json);
        for (size_t j = 0; status.faults != NULL && j < status.faults->count; j++) {
            strcat(fields, status.faults->items[j].field);
            strcat(fields, " ");
        }
        if (status.reason != rows[i].reason || strcmp(fields, rows[i].fields) != 0 ||
            (rows[i].message_part != NULL && strstr(status.message, rows[i].message_part) == NULL))
            fail_msg("%s: %s %s, fields %s", rows[i].why, status_reason_name(status.reason), status.message,
                     fields);
        buffer_add_byte(&json, 0);
        if (rows[i].parts != NULL)
            check_parts(&rows[i], (const char *)json.data);
        arena_reset(arena);
    }
    arena_free(arena);
}

/* No route of today has a message in its query, so a frame of /ws stands for one. */
static const struct {
    const char *query, *json;
    const char *fields;
} nested[] = {
    {"filter.after_position=5&id=x&filter.types=a&filter.types=b",
     "\"id\":\"x\",\"filter\":{\"after_position\":\"5\",\"name\":\"\",\"types\":[\"a\",\"b\"]", ""},
    {"filter.checkpointInterval=1s", "\"filter\":{\"checkpoint_interval\":\"1s\"", ""},
    {"filter.from_start=true&filter.from_end=true", NULL, "filter.from_end "},
    {"filter.name=a&filter.name=b", NULL, "filter.name "},
    {"filter=x&filter.nme=a&filter.query.items=1&id.x=1&.=1&filter.=1", NULL,
     "filter filter.nme filter.query.items filter. id.x . "},
};

static void test_dots_lead_into_messages_which_are_written_once(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(nested); i++) {
        struct request_faults faults = {.arena = arena};
        struct buffer wire = buffer_in(arena, 0), json = buffer_in(arena, 0);
        char fields[512] = "";
        assert_status_ok(
            query_build(&faults, schema_ws_request, bytes_of_text(nested[i].query), NULL, NULL, &wire));
        for (size_t j = 0; j < faults.count; j++) {
            strcat(fields, faults.items[j].field);
            strcat(fields, " ");
        }
        if (strcmp(fields, nested[i].fields) != 0)
            fail_msg("%s: faults in %s", nested[i].query, fields);
        if (nested[i].json == NULL)
            continue;
        assert_status_ok(schema_wire_check(schema_ws_request, buffer_bytes(&wire)));
        assert_status_ok(transcode_to_json(schema_ws_request, buffer_bytes(&wire), &json));
        buffer_add_byte(&json, 0);
        if (strstr((const char *)json.data, nested[i].json) == NULL)
            fail_msg("%s: %s", nested[i].query, (const char *)json.data);
    }
    arena_free(arena);
}

static void test_a_parameter_that_is_no_field_is_taken_out(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    struct request_faults faults = {.arena = arena};
    struct buffer wire = buffer_in(arena, 0);
    struct bytes skipped = BYTES_NONE;
    assert_status_ok(query_build(&faults, schema_ws_request, BYTES_LITERAL("subscribe=none&id=x"),
                                 "subscribe", &skipped, &wire));
    assert_int_equal(faults.count, 0);
    assert_true(bytes_equal(skipped, BYTES_LITERAL("none")));
    assert_true(bytes_equal(buffer_bytes(&wire), BYTES_LITERAL("\x12\x01x")));
    arena_free(arena);
}

static void test_many_faults_are_told_up_to_a_bound(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    struct request_faults faults = {.arena = arena};
    struct buffer wire = buffer_in(arena, 0), query = buffer_in(arena, 0);
    for (int i = 0; i < 1000; i++)
        buffer_printf(&query, "x%d=1&filter.y%d=1&", i, i);
    assert_status_ok(query_build(&faults, schema_ws_request, buffer_bytes(&query), NULL, NULL, &wire));
    assert_int_equal(faults.count, REQUEST_FAULTS_MAX);
    assert_int_equal(request_faults_status(&faults).reason, REASON_UNKNOWN_FIELD);
    arena_free(arena);
}

static void test_only_application_json_is_json(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is_json;
    } types[] = {
        {"application/json", true},
        {"Application/JSON", true},
        {"application/json; charset=utf-8", true},
        {"application/json ;x", true},
        {"application/jsonp", false},
        {"application/x-www-form-urlencoded", false},
        {"text/plain", false},
        {"", false},
        {"application/problem+json", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const struct http_header header = {BYTES_LITERAL("Content-Type"), bytes_of_text(types[i].type)};
        const struct http_request http = {.headers = &header, .header_count = 1};
        if (request_is_json(&http) != types[i].is_json)
            fail_msg("\"%s\"", types[i].type);
    }
    assert_false(request_is_json(&(struct http_request){.header_count = 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_put_together),
        cmocka_unit_test(test_dots_lead_into_messages_which_are_written_once),
        cmocka_unit_test(test_a_parameter_that_is_no_field_is_taken_out),
        cmocka_unit_test(test_many_faults_are_told_up_to_a_bound),
        cmocka_unit_test(test_only_application_json_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
