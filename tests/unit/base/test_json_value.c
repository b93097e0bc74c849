#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static struct json_value *parse(struct arena *arena, const char *text)
{
    struct json_value *value = NULL;
    assert_status_ok(json_parse(arena, bytes_of_text(text), &value));
    return value;
}

static void test_a_value_keeps_tokens_and_order(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct json_value *value =
        parse(arena, " {\"b\\u0031\" : 1.50, \"a\": [\"x\", null, {} ], \"\":true}");
    assert_int_equal(value->kind, JSON_OBJECT_BEGIN);
    assert_int_equal(value->count, 3);
    assert_true(bytes_equal(value->members[0].name, BYTES_LITERAL("b1")));
    assert_true(bytes_equal(value->members[0].name_token, BYTES_LITERAL("\"b\\u0031\"")));
    assert_true(bytes_equal(value->members[0].value->token, BYTES_LITERAL("1.50")));
    const struct json_value *array = json_member(value, BYTES_LITERAL("a"));
    assert_int_equal(array->count, 3);
    assert_int_equal(array->elements[1]->kind, JSON_NULL);
    assert_int_equal(array->elements[2]->kind, JSON_OBJECT_BEGIN);
    assert_int_equal(array->elements[2]->count, 0);
    assert_null(json_member(array->elements[2], BYTES_LITERAL("a")));
    assert_non_null(json_member(value, BYTES_LITERAL("")));
    assert_null(json_member(value, BYTES_LITERAL("b")));
    struct buffer written = buffer_make(0);
    json_write(value, &written);
    assert_true(bytes_equal(buffer_bytes(&written),
                            BYTES_LITERAL("{\"b\\u0031\":1.50,\"a\":[\"x\",null,{}],\"\":true}")));
    buffer_done(&written);
}

static void test_members_are_found_at_every_size(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t count = 0; count < 60; count++) {
        struct buffer text = buffer_make(0);
        for (size_t i = 0; i < count; i++)
            buffer_printf(&text, "%c\"n%zu\":%zu", i == 0 ? '{' : ',', i * 7 % 61, i);
        buffer_add_text(&text, count == 0 ? "{}" : "}");
        struct json_value *value = NULL;
        assert_status_ok(json_parse(arena, buffer_bytes(&text), &value));
        assert_int_equal(value->index != NULL, count > 8);
        for (size_t changed = 0; changed < 2; changed++) {
            for (size_t i = 0; i < 61; i++) {
                const struct json_value *found =
                    json_member(value, bytes_of_text(arena_printf(arena, "n%zu", i * 7 % 61)));
                assert_int_equal(found != NULL, i < count);
                if (found != NULL)
                    assert_true(bytes_equal(found->token, bytes_of_text(arena_printf(arena, "%zu", i))));
            }
            value->index = NULL; /* as of an object that was changed */
        }
        buffer_done(&text);
    }
}

static const struct {
    const char *a;
    const char *b;
    bool equal;
} rows[] = {
    {"{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1e0}", true},
    {"{\"a\":1,\"b\":2}", "{\"a\":1}", false},
    {"{\"a\":1}", "{\"b\":1}", false},
    {"{\"a\":{\"x\":[1,2]}}", "{\"a\":{\"x\":[1,2.00]}}", true},
    {"[1,2]", "[2,1]", false},
    {"[1,2]", "[1,2,3]", false},
    {"\"a\\u00e9\"", "\"\\u0061\xC3\xA9\"", true},
    {"\"a\"", "\"b\"", false},
    {"\"\\n\"", "\"n\"", false},
    {"{\"\\u0061\":1}", "{\"a\":1}", true},
    {"null", "false", false},
    {"null", "null", true},
    {"true", "true", true},
    {"1", "\"1\"", false},
    {"[]", "{}", false},
    {"{}", "{}", true},
    {"1e400", "1e401", false},
    {"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}",
     "{\"i\":9,\"h\":8,\"g\":7,\"f\":6,\"e\":5,\"d\":4,\"c\":3,\"b\":2,\"a\":1}", true},
    {"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}",
     "{\"i\":9,\"h\":8,\"g\":7,\"f\":6,\"e\":5,\"d\":4,\"c\":3,\"b\":2,\"A\":1}", false},
};

static void test_values_are_equal_by_meaning(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_value *a = parse(arena, rows[i].a);
        struct json_value *b = parse(arena, rows[i].b);
        for (int changed = 0; changed < 2; changed++) {
            bool equal = !rows[i].equal;
            assert_status_ok(json_equal(arena, a, b, &equal));
            if (equal != rows[i].equal)
                fail_msg("%s and %s", rows[i].a, rows[i].b);
            assert_status_ok(json_equal(arena, b, a, &equal));
            assert_int_equal(equal, rows[i].equal);
            a->index = NULL;
            b->index = NULL;
        }
    }
}

static void test_a_string_gives_its_content(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bytes content;
    assert_status_ok(json_string(arena, parse(arena, "\"a\\tb\""), &content));
    assert_true(bytes_equal(content, BYTES_LITERAL("a\tb")));
    assert_status_ok(json_string(arena, parse(arena, "\"\""), &content));
    assert_int_equal(content.size_bytes, 0);
}

static void test_what_is_wrong_is_refused_and_nothing_leaks(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_value *value = NULL;
    assert_reason(json_parse(arena, BYTES_LITERAL("{\"a\":[1,{\"b\":2},"), &value), REASON_INVALID_JSON);
    assert_reason(json_parse(arena, BYTES_LITERAL("[1] 2"), &value), REASON_INVALID_JSON);
    assert_null(value);
    CLEANUP(arena_free_at) struct arena *little = arena_new(6000);
    char text[4000];
    size_t size = 0;
    for (size_t i = 0; size < 3900; i++)
        size += (size_t)sprintf(text + size, "%s%d", i == 0 ? "[" : ",", (int)i);
    text[size++] = ']';
    assert_status(json_parse(little, bytes_of(text, size), &value), STATUS_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_keeps_tokens_and_order),
        cmocka_unit_test(test_members_are_found_at_every_size),
        cmocka_unit_test(test_values_are_equal_by_meaning),
        cmocka_unit_test(test_a_string_gives_its_content),
        cmocka_unit_test(test_what_is_wrong_is_refused_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("json_value", tests, NULL, NULL);
}
