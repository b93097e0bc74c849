#include <string.h>

#include "support/cmocka.h"

#include "gateway/router_internal.h"

#define UNKNOWN "unknown"

static const struct {
    const char *why, *verb, *path;
    const char *method;   /* NULL: none; UNKNOWN: no such path */
    const char *variable; /* of the first variable, decoded */
    const char *allow;
} routes[] = {
    {"a literal path", "GET", "/api/v1/events", "ListEvents", NULL, NULL},
    {"what a path has", "OPTIONS", "/api/v1/events", NULL, NULL, "GET, HEAD, OPTIONS"},
    {"a trailing slash does not matter", "GET", "/api/v1/events/", "ListEvents", NULL, NULL},
    {"two do", "GET", "/api/v1/events//", UNKNOWN, NULL, NULL},
    {"a slash too many inside", "GET", "/api//v1/events", UNKNOWN, NULL, NULL},
    {"a variable", "GET", "/api/v1/aggregates/user-1", "GetAggregate", "user-1", NULL},
    {"what a path with a variable has", "OPTIONS", "/api/v1/aggregates/user-1", NULL, NULL,
     "GET, HEAD, PUT, OPTIONS"},
    {"another verb of the same path", "PUT", "/api/v1/aggregates/user-1/", "SaveAggregate", "user-1", NULL},
    {"a variable is not empty", "GET", "/api/v1/events/type//", UNKNOWN, NULL, NULL},
    {"a variable in the middle", "GET", "/api/v1/snapshots/a/latest", "GetLatestSnapshot", "a", NULL},
    {"a slash in a variable is encoded", "GET", "/api/v1/aggregates/a%2Fb%2fc", "GetAggregate", "a/b/c",
     NULL},
    {"everything of it is decoded", "GET", "/api/v1/aggregates/%e2%82%ac%25", "GetAggregate", "\xe2\x82\xac%",
     NULL},
    {"plus is plus in a path", "GET", "/api/v1/aggregates/a+b", "GetAggregate", "a+b", NULL},
    {"a dot segment is an id like another", "GET", "/api/v1/aggregates/..", "GetAggregate", "..", NULL},
    {"a literal may be encoded", "GET", "/%61pi/v1/events", "ListEvents", NULL, NULL},
    {"an encoded slash parts nothing", "GET", "/api%2Fv1/events", UNKNOWN, NULL, NULL},
    {"literals win over variables", "GET", "/api/v1/events/subscribe", "Subscribe", NULL, NULL},
    {"names are compared with their case", "GET", "/API/v1/events", UNKNOWN, NULL, NULL},
    {"a longer path", "GET", "/api/v1/events/id/a/b", UNKNOWN, NULL, NULL},
    {"a very long one", "GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z", UNKNOWN, NULL, NULL},
    {"the root", "GET", "/", UNKNOWN, NULL, NULL},
    {"two slashes", "GET", "//", UNKNOWN, NULL, NULL},
    {"the server itself", "OPTIONS", "*", UNKNOWN, NULL, NULL},
    {"HEAD is GET", "HEAD", "/api/v1/stats", "GetStats", NULL, NULL},
    {"HEAD of a path without GET", "HEAD", "/api/v1/events/publish", NULL, NULL, "POST, OPTIONS"},
    {"a verb that the path lacks", "DELETE", "/api/v1/aggregates/a", NULL, NULL, "GET, HEAD, PUT, OPTIONS"},
    {"several routes of one path", "PATCH", "/api/v1/snapshots", NULL, NULL, "POST, GET, HEAD, OPTIONS"},
    {"verbs are compared with their case", "get", "/health", NULL, NULL, "GET, HEAD, OPTIONS"},
};

static void test_a_request_finds_its_route(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        struct route_match match;
        assert_status_ok(
            route_find(arena, bytes_of_text(routes[i].verb), bytes_of_text(routes[i].path), &match));
        const char *method = match.route != NULL   ? schema_method(match.route->method)->name
                             : match.allow == NULL ? UNKNOWN
                                                   : NULL;
        if ((method == NULL) != (routes[i].method == NULL) ||
            (method != NULL && strcmp(method, routes[i].method) != 0))
            fail_msg("%s: %s", routes[i].why, method == NULL ? "no method" : method);
        if (routes[i].allow != NULL && (match.allow == NULL || strcmp(match.allow, routes[i].allow) != 0))
            fail_msg("%s: Allow is %s", routes[i].why, match.allow == NULL ? "not there" : match.allow);
        if (match.variable_count != (routes[i].variable != NULL) ||
            (routes[i].variable != NULL &&
             !bytes_equal(match.variables[0].value, bytes_of_text(routes[i].variable))))
            fail_msg("%s: %zu variables", routes[i].why, match.variable_count);
    }
    arena_free(arena);
}

static void test_every_route_of_the_contract_is_found(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < schema_route_count; i++) {
        struct buffer path = buffer_in(arena, 0);
        struct route_match match;
        for (size_t j = 0; j < schema_routes[i].segment_count; j++) {
            const char *literal = schema_routes[i].segments[j].literal;
            buffer_printf(&path, "/%s", literal != NULL ? literal : "value");
        }
        assert_status_ok(
            route_find(arena, bytes_of_text(schema_routes[i].verb), buffer_bytes(&path), &match));
        assert_ptr_equal(match.route, &schema_routes[i]);
    }
    arena_free(arena);
}

static void test_a_broken_encoding_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/v1/aggregates/%", "/api/v1/aggregates/%2",
                                        "/api/v1/aggregates/%zz", "/%/", "/api/v1/aggregates/a%2"};
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct route_match match;
        const struct status status = route_find(arena, BYTES_LITERAL("GET"), bytes_of_text(paths[i]), &match);
        assert_int_equal(status.reason, REASON_INVALID_FIELD);
        assert_non_null(strstr(status.message, "broken percent-encoding"));
    }
    arena_free(arena);
}

static void test_encoding_leaves_unreserved_characters_alone(void **state)
{
    (void)state;
    struct buffer text = buffer_make(0);
    percent_encode(BYTES_LITERAL("aZ09-._~/+ %\xc3\xa4"), &text);
    buffer_add_byte(&text, 0);
    assert_string_equal((char *)text.data, "aZ09-._~%2F%2B%20%25%C3%A4");
    buffer_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_finds_its_route),
        cmocka_unit_test(test_every_route_of_the_contract_is_found),
        cmocka_unit_test(test_a_broken_encoding_is_refused),
        cmocka_unit_test(test_encoding_leaves_unreserved_characters_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
