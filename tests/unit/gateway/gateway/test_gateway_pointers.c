/* A fault's path as the JSON pointer to what the client sent. */
#include <stdio.h>

#include "support/cmocka.h"

#include "gateway/fault_pointers_internal.h"
#include "gateway/router_internal.h"

#define PUBLISH "POST", "/api/v1/events/publish"
#define APPEND  "POST", "/api/v1/events/append"
#define SAVE    "PUT", "/api/v1/aggregates/a"

static const struct {
    const char *why, *verb, *path, *body;
    const char *field;
    const char *pointer; /* "" = none */
} rows[] = {
    {"a field of the request", PUBLISH, "{\"type\":\"\"}", "type", "#/type"},
    {"a field within an element", APPEND, "{\"events\":[{},{\"type\":\"\"}]}", "events[1].type",
     "#/events/1/type"},
    {"an element", APPEND, "{\"events\":[{\"tags\":[\"a\",\"b\"]}]}", "events[0].tags[1]",
     "#/events/0/tags/1"},
    {"within the data", PUBLISH, "{\"data\":{\"items\":[{\"quantity\":\"x\"}]}}", "data.items[0].quantity",
     "#/data/items/0/quantity"},
    {"the spelling that was sent", PUBLISH, "{\"aggregateId\":\"\"}", "aggregate_id", "#/aggregateId"},
    {"within it too", APPEND, "{\"events\":[{\"aggregateId\":\"\"}]}", "events[0].aggregate_id",
     "#/events/0/aggregateId"},
    {"a client's own names have one spelling", PUBLISH, "{\"data\":{\"userId\":1}}", "data.user_id",
     "#/data/user_id"},
    {"a name with a dot", PUBLISH, "{\"data\":{\"a.b\":{\"c\":1}}}", "data.a.b.c", "#/data/a.b/c"},
    {"a name with brackets", PUBLISH, "{\"data\":{\"a[0]\":1}}", "data.a[0]", "#/data/a%5B0%5D"},
    {"a name to be escaped", PUBLISH, "{\"data\":{\"a/b~c%\":1}}", "data.a/b~c%", "#/data/a~1b~0c%25"},
    {"two places that the path may mean: no guess", PUBLISH, "{\"data\":{\"a.b\":1,\"a\":{\"b\":1}}}",
     "data.a.b", ""},
    {"a name that begins like another", PUBLISH, "{\"data\":{\"item\":1,\"items\":[1]}}", "data.items[0]",
     "#/data/items/0"},
    {"a missing member: where it would be", PUBLISH, "{\"data\":{}}", "data.order_id", "#/data/order_id"},
    {"a missing field", PUBLISH, "{}", "aggregate_id", "#/aggregate_id"},
    {"missing within what is missing", PUBLISH, "{}", "data.order_id", ""},
    {"missing within a scalar", PUBLISH, "{\"data\":1}", "data.order_id", ""},
    {"no such element", APPEND, "{\"events\":[]}", "events[0].type", ""},
    {"no such element, by far", APPEND, "{\"events\":[{}]}", "events[18446744073709551616].type", ""},
    {"a name that was shortened", PUBLISH, "{\"data\":{\"very long\":1}}", "data.very...", ""},
    {"in the path of the URL", SAVE, "{\"state\":{}}", "id", ""},
    {"in the body beside the path", SAVE, "{\"id\":\"b\"}", "id", "#/id"},
    {"in a header", SAVE, "{\"state\":{}}", "if_match", ""},
    {"in the body, though a header would do", SAVE, "{\"if_match\":\"x\"}", "if_match", "#/if_match"},
    {"a field that the contract does not know", PUBLISH, "{\"expectedVerison\":1}", "expectedVerison",
     "#/expectedVerison"},
    {"an empty name", PUBLISH, "{\"data\":{\"\":{\"a\":1}}}", "data..a", "#/data//a"},
    {"no object at all", PUBLISH, "[]", "type", ""},
    {"no JSON", PUBLISH, "{\"type\"", "type", ""},
    {"a path without a field", PUBLISH, "{\"type\":1}", ".", ""},
    {"a bracket that does not close", APPEND, "{\"events\":[{}]}", "events[0", ""},
    {"a query", "GET", "/api/v1/events", "{}", "page_size", ""},
};

static void test_paths_become_pointers_into_the_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct route_match match = {0};
        assert_status_ok(route_find(arena, bytes_of_text(rows[i].verb), bytes_of_text(rows[i].path), &match));
        assert_non_null(match.route);
        const struct http_request http = {.arena = arena, .body = bytes_of_text(rows[i].body)};
        const struct field_fault fault = {rows[i].field, "is wrong"};
        const struct field_faults faults = {&fault, 1};
        const struct bytes *pointers = fault_pointers(arena, &http, match.route, &faults);
        const struct bytes got = pointers == NULL ? BYTES_NONE : pointers[0];
        if (!bytes_equal(got, bytes_of_text(rows[i].pointer)))
            fail_msg("%s: %s in %s is \"%.*s\", wanted \"%s\"", rows[i].why, rows[i].field, rows[i].body,
                     BYTES_FORMAT(got), rows[i].pointer);
    }
}

/* Looking for a hundred faults among a million members would hold up everybody's requests. */
static void test_a_large_body_is_not_searched(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct route_match match = {0};
    assert_status_ok(
        route_find(arena, BYTES_LITERAL("POST"), BYTES_LITERAL("/api/v1/events/publish"), &match));
    const struct field_fault fault = {"type", "is wrong"};
    const struct field_faults faults = {&fault, 1};
    for (int large = 0; large < 2; large++) {
        struct buffer body = buffer_in(arena, 0);
        buffer_add_text(&body, "{\"type\":\"");
        for (int i = 0; i < (large ? 200000 : 100000); i++)
            buffer_add_byte(&body, 'x');
        buffer_add_text(&body, "\"}");
        const struct http_request http = {.arena = arena, .body = buffer_bytes(&body)};
        assert_int_equal(fault_pointers(arena, &http, match.route, &faults) == NULL, large);
    }
    assert_null(fault_pointers(arena, &(const struct http_request){.arena = arena}, NULL, &faults));
    assert_null(fault_pointers(arena, &(const struct http_request){.arena = arena}, match.route, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_become_pointers_into_the_body),
        cmocka_unit_test(test_a_large_body_is_not_searched),
    };
    return cmocka_run_group_tests_name("gateway_pointers", tests, NULL, NULL);
}
