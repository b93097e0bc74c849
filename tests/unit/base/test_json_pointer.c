#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "support/seeded_entropy.h"

#include "base/json_pointer.h"

/* RFC 6901 5, the document and all pointers in their order; 6, the same as fragments of a URI. */
static const char rfc_document[] = "{\n"
                                   "   \"foo\": [\"bar\", \"baz\"],\n"
                                   "   \"\": 0,\n"
                                   "   \"a/b\": 1,\n"
                                   "   \"c%d\": 2,\n"
                                   "   \"e^f\": 3,\n"
                                   "   \"g|h\": 4,\n"
                                   "   \"i\\\\j\": 5,\n"
                                   "   \"k\\\"l\": 6,\n"
                                   "   \" \": 7,\n"
                                   "   \"m~n\": 8\n"
                                   "}";
static const struct {
    const char *pointer;
    const char *fragment;
    const char *value; /* NULL = the whole document */
} rfc_examples[] = {
    {"", "#", NULL},
    {"/foo", "#/foo", "[\"bar\",\"baz\"]"},
    {"/foo/0", "#/foo/0", "\"bar\""},
    {"/", "#/", "0"},
    {"/a~1b", "#/a~1b", "1"},
    {"/c%d", "#/c%25d", "2"},
    {"/e^f", "#/e%5Ef", "3"},
    {"/g|h", "#/g%7Ch", "4"},
    {"/i\\j", "#/i%5Cj", "5"},
    {"/k\"l", "#/k%22l", "6"},
    {"/ ", "#/%20", "7"},
    {"/m~0n", "#/m~0n", "8"},
};

static struct json_value *parse(struct arena *arena, const char *text)
{
    struct json_value *value = NULL;
    assert_status_ok(json_parse(arena, bytes_of_text(text), &value));
    return value;
}

static void test_every_example_of_rfc_6901_holds(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_value *document = parse(arena, rfc_document);
    for (size_t i = 0; i < ARRAY_SIZE(rfc_examples); i++) {
        struct json_value *found = NULL;
        assert_status_ok(json_pointer_find(arena, document, bytes_of_text(rfc_examples[i].pointer), &found));
        if (rfc_examples[i].value == NULL) {
            assert_ptr_equal(found, document);
            continue;
        }
        assert_non_null(found);
        struct buffer text = buffer_in(arena, 0);
        json_write(found, &text);
        if (!bytes_equal(buffer_bytes(&text), bytes_of_text(rfc_examples[i].value)))
            fail_msg("%s is %.*s", rfc_examples[i].pointer, BYTES_FORMAT(buffer_bytes(&text)));
    }
}

static void test_every_fragment_of_rfc_6901_holds_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rfc_examples); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct buffer fragment = buffer_in(arena, 0);
        json_pointer_add_fragment(&fragment, bytes_of_text(rfc_examples[i].pointer));
        if (!bytes_equal(buffer_bytes(&fragment), bytes_of_text(rfc_examples[i].fragment)))
            fail_msg("%s is %.*s", rfc_examples[i].pointer, BYTES_FORMAT(buffer_bytes(&fragment)));
        struct bytes pointer = BYTES_NONE;
        assert_status_ok(json_pointer_of_fragment(arena, buffer_bytes(&fragment), &pointer));
        assert_true(bytes_equal(pointer, bytes_of_text(rfc_examples[i].pointer)));
    }
}

static const struct {
    const char *why;
    const char *pointer;
    const char *value; /* NULL = nothing there */
} rows[] = {
    {"escapes are undone once: ~01 is ~1, not /", "/~01", "1"},
    {"a name is compared unescaped", "/na\xc3\xafve", "2"},
    {"into an element's member", "/list/2/x", "true"},
    {"the last element", "/list/11", "11"},
    {"none behind the last", "/list/12", NULL},
    {"none behind the last, by far", "/list/99999999999999999999999999", NULL},
    {"\"-\" is behind the last", "/list/-", NULL},
    {"no leading zeros", "/list/00", NULL},
    {"nor before another digit", "/list/01", NULL},
    {"no sign", "/list/+1", NULL},
    {"no empty index", "/list/", NULL},
    {"digits name a member of an object", "/digits/0", "\"zero\""},
    {"nothing within a scalar", "/digits/0/0", NULL},
    {"nothing below what is not there", "/no/such/place", NULL},
    {"null is something", "/null", "null"},
    {"an empty name within an empty name", "/empty/", "\"deep\""},
    {"a name is not cut at a dot", "/a.b", "3"},
};

static void test_places_are_found_or_not(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_value *document =
        parse(arena, "{\"~1\":1,\"/\":9,\"na\\u00efve\":2,\"list\":[0,1,{\"x\":true},3,4,5,6,7,8,9,10,11],"
                     "\"digits\":{\"0\":\"zero\"},\"null\":null,\"empty\":{\"\":\"deep\"},\"a.b\":3}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_value *found = document;
        assert_status_ok(json_pointer_find(arena, document, bytes_of_text(rows[i].pointer), &found));
        const bool right = rows[i].value == NULL
                               ? found == NULL
                               : found != NULL && bytes_equal(found->token, bytes_of_text(rows[i].value));
        if (!right)
            fail_msg("%s: %s", rows[i].why, rows[i].pointer);
    }
}

static void test_what_is_no_pointer_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"a", "#/a", "/a~", "/~2", "/no/such/~", "~0", " /a"};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_value *document = parse(arena, "{\"a\":1}");
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct json_value *found = document;
        assert_reason(json_pointer_find(arena, document, bytes_of_text(wrong[i]), &found),
                      REASON_INVALID_FIELD);
        assert_ptr_equal(found, document);
    }
    static const char *const wrong_fragments[] = {"", "/a", "#/%", "#/%4", "#/%4g", "#/%g4"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong_fragments); i++) {
        struct bytes pointer = BYTES_NONE;
        assert_reason(json_pointer_of_fragment(arena, bytes_of_text(wrong_fragments[i]), &pointer),
                      REASON_INVALID_FIELD);
    }
}

/* Every value of a random text is found again under the pointer that is written on the way to it. */
static void find_all(struct arena *arena, struct json_value *root, struct json_value *value,
                     struct buffer *pointer, size_t *count)
{
    struct json_value *found = NULL;
    struct bytes decoded = BYTES_NONE;
    struct buffer fragment = buffer_in(arena, 0);
    json_pointer_add_fragment(&fragment, buffer_bytes(pointer));
    assert_status_ok(json_pointer_of_fragment(arena, buffer_bytes(&fragment), &decoded));
    assert_status_ok(json_pointer_find(arena, root, decoded, &found));
    assert_ptr_equal(found, value);
    ++*count;
    const size_t before = pointer->size_bytes;
    for (size_t i = 0; i < value->count; i++) {
        const bool object = value->kind == JSON_OBJECT_BEGIN;
        if (object)
            json_pointer_add_name(pointer, value->members[i].name);
        else
            json_pointer_add_index(pointer, i);
        find_all(arena, root, object ? value->members[i].value : value->elements[i], pointer, count);
        pointer->size_bytes = before;
    }
}

static void add_random(struct buffer *to, uint64_t *random, unsigned depth)
{
    static const char *const names[] = {"",   "~",  "/", "~1",   "~0", "0",       "-",      "01",
                                        "%d", "a.", "é", "\\\"", " ",  "\\u0000", "a/b~c/", "#"};
    if (depth == 0 || random_below(random, 4) == 0) {
        buffer_printf(to, "%u", (unsigned)random_below(random, 100));
        return;
    }
    const bool object = random_below(random, 2) == 0;
    const size_t count = random_below(random, ARRAY_SIZE(names));
    buffer_add_byte(to, object ? '{' : '[');
    for (size_t i = 0; i < count; i++) {
        buffer_printf(to, i == 0 ? "" : ",");
        if (object)
            buffer_printf(to, "\"%s\":", names[i]);
        add_random(to, random, depth - 1);
    }
    buffer_add_byte(to, object ? '}' : ']');
}

static void test_what_is_written_is_found(void **state)
{
    (void)state;
    uint64_t random = 6901;
    size_t count = 0;
    for (int round = 0; round < 100; round++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct buffer text = buffer_in(arena, 0);
        add_random(&text, &random, 3);
        struct json_value *root = NULL;
        assert_status_ok(json_parse(arena, buffer_bytes(&text), &root));
        struct buffer pointer = buffer_in(arena, 0);
        find_all(arena, root, root, &pointer, &count);
    }
    assert_true(count > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_example_of_rfc_6901_holds),
        cmocka_unit_test(test_every_fragment_of_rfc_6901_holds_both_ways),
        cmocka_unit_test(test_places_are_found_or_not),
        cmocka_unit_test(test_what_is_no_pointer_is_refused),
        cmocka_unit_test(test_what_is_written_is_found),
    };
    return cmocka_run_group_tests_name("json_pointer", tests, NULL, NULL);
}
