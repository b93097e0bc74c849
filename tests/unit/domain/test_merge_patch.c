#include "support/cmocka.h"

#include <stdio.h>

#include "base/json.h"
#include "domain/domain_internal.h"
#include "support/seeded_entropy.h"

/* RFC 7396 for any target and patch, over the trees that a fold merges with; the result is appended to `to`. */
static bool begins_object(struct bytes text)
{
    size_t at = 0;
    while (at < text.size_bytes &&
           (text.data[at] == ' ' || text.data[at] == '\t' || text.data[at] == '\n' || text.data[at] == '\r'))
        at++;
    return at < text.size_bytes && text.data[at] == '{';
}

static struct status merge_objects(struct arena *arena, struct bytes target, struct bytes patch,
                                   struct buffer *to)
{
    struct view *view = NULL;
    struct tree tree;
    tree_init(&tree, arena);
    struct object *object = tree_object(&tree);
    if (object != NULL && begins_object(target)) {
        STATUS_TRY(view_parse(arena, target, &view));
        tree_copy(&tree, object, view);
    } else {
        /* RFC 7396 2: a target that is no object counts as an empty one. It must be JSON all the same. */
        struct buffer unused = buffer_in(arena, 0);
        STATUS_TRY(json_compact(arena, target, false, &unused));
    }
    STATUS_TRY(view_parse(arena, patch, &view));
    if (object != NULL && !tree.failed)
        tree_merge(&tree, object, view);
    if (object == NULL || tree.failed)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for merging JSON");
    tree_write(object, to);
    return buffer_status(to);
}

static struct status merge_patch(struct arena *arena, struct bytes target, struct bytes patch,
                                 struct buffer *to)
{
    if (begins_object(patch))
        return merge_objects(arena, target, patch, to);
    struct buffer unused = buffer_in(arena, 0);
    STATUS_TRY(json_compact(arena, target, false, &unused));
    return json_compact(arena, patch, false, to);
}

struct example {
    const char *target;
    const char *patch;
    const char *result;
};

/* RFC 7396, appendix A, all of them in its order. */
static const struct example rfc_examples[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

/* RFC 7396, the documents of sections 1 and 3. */
static const struct example rfc_documents[] = {
    {"{\n\"a\": \"b\",\n\"c\": {\n\"d\": \"e\",\n\"f\": \"g\"\n}\n}",
     "{\n\"a\":\"z\",\n\"c\": {\n\"f\": null\n}\n}", "{\"a\":\"z\",\"c\":{\"d\":\"e\"}}"},
    {"{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
     "\"tags\":[\"example\",\"sample\"],\"content\":\"This will be unchanged\"}",
     "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\",\"author\":{\"familyName\":null},"
     "\"tags\":[\"example\"]}",
     "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
     "\"content\":\"This will be unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}"},
};

/* What the RFC leaves open and a store of money may not: bytes and order. */
static const struct example token_examples[] = {
    /* numbers and escapes stay as written */
    {"{\"a\":1.10,\"s\":\"\\u0041\"}", "{\"b\":1E+400}", "{\"a\":1.10,\"s\":\"\\u0041\",\"b\":1E+400}"},
    /* a replaced member keeps its place; a removed one that comes back goes to the end */
    {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":4}", "{\"a\":1,\"b\":4,\"c\":3}"},
    {"{\"a\":1,\"b\":2}", "{\"a\":null,\"c\":5}", "{\"b\":2,\"c\":5}"},
    /* names are compared unescaped; the first way of writing one stays */
    {"{\"na\\u006de\":1}", "{\"name\":2}", "{\"na\\u006de\":2}"},
    {"{\"name\":1}", "{\"\\u006eame\":null}", "{}"},
    {"{\"\":1,\"\\u0000\":2}", "{\"\\u0000\":3,\"\":4}", "{\"\":4,\"\\u0000\":3}"},
    /* an object takes the place of a scalar, and the other way round */
    {"{\"a\":1}", "{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":{}}}"},
    {"{\"a\":{\"b\":1}}", "{\"a\":7}", "{\"a\":7}"},
    /* nulls within lists are elements, not members */
    {"{}", "{\"a\":[null,{\"b\":null}]}", "{\"a\":[null,{\"b\":null}]}"},
    {"\"scalar\"", "{}", "{}"},
};

static void check_examples(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct buffer to = buffer_in(arena, 0);
        assert_status_ok(
            merge_patch(arena, bytes_of_text(examples[i].target), bytes_of_text(examples[i].patch), &to));
        if (!bytes_equal(buffer_bytes(&to), bytes_of_text(examples[i].result)))
            fail_msg("%s patched with %s is %.*s, wanted %s", examples[i].target, examples[i].patch,
                     BYTES_FORMAT(buffer_bytes(&to)), examples[i].result);
    }
}

static void test_every_example_of_rfc_7396_holds(void **state)
{
    (void)state;
    check_examples(rfc_examples, ARRAY_SIZE(rfc_examples));
    check_examples(rfc_documents, ARRAY_SIZE(rfc_documents));
}

static void test_tokens_and_order_are_kept(void **state)
{
    (void)state;
    check_examples(token_examples, ARRAY_SIZE(token_examples));
}

static void test_what_is_not_json_is_refused_on_either_side(void **state)
{
    (void)state;
    static const struct example wrong[] = {
        {"{", "{}", ""},          {"{}", "{\"a\":1,\"a\":2}", ""}, {"{}", "", ""},
        {"", "{\"a\":1}", ""},    {"{\"a\":01}", "1", ""},         {"{} {}", "{}", ""},
        {"{}", "{\"a\":1}x", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct buffer to = buffer_in(arena, 0);
        assert_reason(merge_patch(arena, bytes_of_text(wrong[i].target), bytes_of_text(wrong[i].patch), &to),
                      REASON_INVALID_JSON);
        assert_int_equal(to.size_bytes, 0);
    }
}

/* The RFC's pseudo code, word for word, over parsed values: slow and obviously right. */
static struct json_value *reference(struct arena *arena, const struct json_value *target,
                                    struct json_value *patch)
{
    if (patch->kind != JSON_OBJECT_BEGIN)
        return patch;
    struct json_value *result = arena_zalloc(arena, sizeof *result);
    result->kind = JSON_OBJECT_BEGIN;
    const bool is_object = target != NULL && target->kind == JSON_OBJECT_BEGIN;
    const size_t before = is_object ? target->count : 0;
    result->members = arena_array(arena, before + patch->count + 1, sizeof *result->members);
    for (size_t i = 0; i < before; i++)
        result->members[result->count++] = target->members[i];
    for (size_t i = 0; i < patch->count; i++) {
        size_t at = 0;
        while (at < result->count && !bytes_equal(result->members[at].name, patch->members[i].name))
            at++;
        if (patch->members[i].value->kind == JSON_NULL) {
            if (at < result->count) {
                result->count--;
                for (size_t k = at; k < result->count; k++)
                    result->members[k] = result->members[k + 1];
            }
            continue;
        }
        const struct json_value *old = at < result->count ? result->members[at].value : NULL;
        struct json_value *merged = reference(arena, old, patch->members[i].value);
        if (at == result->count)
            result->members[result->count++] = patch->members[i];
        result->members[at].value = merged;
    }
    return result;
}

/* Names that share beginnings, end early, differ in one bit or in an escape only. */
static const char *const names[] = {"",  "a",  "ab", "abc", "abd", "b",        "\\u0061bc", "\\u0000",
                                    "`", "aa", "é",  "è",   "\\n", "abcdefgh", "abcdefgi",  "abcdefghi"};

static void add_random(struct buffer *to, uint64_t *random, unsigned depth)
{
    static const char *const scalars[] = {"null", "1", "1.0", "\"x\"", "true", "[null,{\"a\":null}]",
                                          "-0",   "[]"};
    if (depth == 0 || random_below(random, 3) == 0) {
        buffer_add_text(to, scalars[random_below(random, ARRAY_SIZE(scalars))]);
        return;
    }
    bool used[ARRAY_SIZE(names)] = {false};
    used[6] = true; /* the escaped spelling of another; never both in one object */
    buffer_add_byte(to, '{');
    const uint64_t count = random_below(random, 8);
    size_t written = 0;
    for (uint64_t i = 0; i < count; i++) {
        size_t name = random_below(random, ARRAY_SIZE(names));
        const bool abc = name == 3 || name == 6;
        if (abc ? used[3] : used[name])
            continue;
        used[abc ? 3 : name] = true;
        buffer_printf(to, "%s\"%s\":", written++ == 0 ? "" : ",", names[name]);
        add_random(to, random, depth - 1);
    }
    buffer_add_byte(to, '}');
}

static void test_random_patches_agree_with_the_rfcs_pseudo_code(void **state)
{
    (void)state;
    uint64_t random = 7396;
    for (int round = 0; round < 4000; round++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct buffer target = buffer_in(arena, 0);
        struct buffer patch = buffer_in(arena, 0);
        add_random(&target, &random, 4);
        add_random(&patch, &random, 4);
        struct json_value *target_value = NULL;
        struct json_value *patch_value = NULL;
        assert_status_ok(json_parse(arena, buffer_bytes(&target), &target_value));
        assert_status_ok(json_parse(arena, buffer_bytes(&patch), &patch_value));
        struct buffer wanted = buffer_in(arena, 0);
        json_write(reference(arena, target_value, patch_value), &wanted);
        struct buffer found = buffer_in(arena, 0);
        assert_status_ok(merge_patch(arena, buffer_bytes(&target), buffer_bytes(&patch), &found));
        if (!bytes_equal(buffer_bytes(&found), buffer_bytes(&wanted)))
            fail_msg("round %d: %.*s patched with %.*s is %.*s, wanted %.*s", round,
                     BYTES_FORMAT(buffer_bytes(&target)), BYTES_FORMAT(buffer_bytes(&patch)),
                     BYTES_FORMAT(buffer_bytes(&found)), BYTES_FORMAT(buffer_bytes(&wanted)));
    }
}

/* With a search per member this would be 10^10 comparisons, and the test would run into its time limit. */
static void test_many_members_on_both_sides_take_linear_time(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer target = buffer_in(arena, 0);
    struct buffer patch = buffer_in(arena, 0);
    for (int i = 0; i < COUNT; i++) {
        buffer_printf(&target, "%c\"member-%d\":%d", i == 0 ? '{' : ',', i, i);
        buffer_printf(&patch, "%c\"member-%d\":%s", i == 0 ? '{' : ',', COUNT - 1 - i,
                      i % 2 == 0 ? "null" : "1.0");
    }
    buffer_add_byte(&target, '}');
    buffer_add_byte(&patch, '}');
    struct buffer to = buffer_in(arena, 0);
    assert_status_ok(merge_patch(arena, buffer_bytes(&target), buffer_bytes(&patch), &to));
    struct json_value *merged = NULL;
    assert_status_ok(json_parse(arena, buffer_bytes(&to), &merged));
    assert_int_equal(merged->count, COUNT / 2);
    assert_true(bytes_equal(merged->members[1].name, BYTES_LITERAL("member-2")));
    assert_true(bytes_equal(merged->members[1].value->token, BYTES_LITERAL("1.0")));
}

static void test_exhausted_memory_is_an_error(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(6000);
    CLEANUP(arena_free_at) struct arena *other = arena_new(0);
    struct buffer patch = buffer_in(other, 0);
    for (int i = 0; i < 200; i++)
        buffer_printf(&patch, "%c\"m%d\":1", i == 0 ? '{' : ',', i);
    buffer_add_byte(&patch, '}');
    struct buffer to = buffer_in(other, 0);
    assert_status(merge_patch(arena, BYTES_LITERAL("{}"), buffer_bytes(&patch), &to),
                  STATUS_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_example_of_rfc_7396_holds),
        cmocka_unit_test(test_tokens_and_order_are_kept),
        cmocka_unit_test(test_what_is_not_json_is_refused_on_either_side),
        cmocka_unit_test(test_random_patches_agree_with_the_rfcs_pseudo_code),
        cmocka_unit_test(test_many_members_on_both_sides_take_linear_time),
        cmocka_unit_test(test_exhausted_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
