#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "domain/tree_internal.h"
#include "support/seeded_entropy.h"

static const struct view *view_of(struct arena *arena, const char *text)
{
    struct view *view = NULL;
    assert_status_ok(view_parse(arena, bytes_of_text(text), &view));
    return view;
}

static void assert_tree(struct arena *arena, const struct object *object, const char *wanted)
{
    struct buffer text = buffer_in(arena, 0);
    tree_write(object, &text);
    if (!bytes_equal(buffer_bytes(&text), bytes_of_text(wanted)))
        fail_msg("the tree is %.*s, wanted %s", BYTES_FORMAT(buffer_bytes(&text)), wanted);
}

static void test_replacing_a_member_does_not_merge_into_it(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct tree tree;
    tree_init(&tree, arena);
    struct object *object = tree_object(&tree);
    tree_merge(&tree, object, view_of(arena, "{\"a\":{\"b\":1},\"c\":2}"));
    const struct view *with = view_of(arena, "{\"v\":{\"d\":3,\"e\":null},\"n\":null}");
    tree_replace(&tree, object, BYTES_LITERAL("a"), BYTES_LITERAL("\"a\""), with->first);
    assert_tree(arena, object, "{\"a\":{\"d\":3},\"c\":2}");
    tree_replace(&tree, object, BYTES_LITERAL("c"), BYTES_LITERAL("\"c\""), with->first->next);
    tree_replace(&tree, object, BYTES_LITERAL("never there"), BYTES_LITERAL("\"never there\""),
                 with->first->next);
    assert_tree(arena, object, "{\"a\":{\"d\":3}}");
    tree_clear(&tree, object);
    assert_tree(arena, object, "{}");
}

/* A name longer than any recursion could follow, and its prefixes: a branch for each of them. */
static void test_names_that_are_prefixes_of_each_other_are_kept_apart_and_freed(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    static char name[COUNT + 1];
    memset(name, 'a', COUNT);
    struct buffer text = buffer_in(arena, 0);
    for (int i = 0; i < COUNT; i++)
        buffer_printf(&text, "%c\"%.*s\":%d", i == 0 ? '{' : ',', i, name, i);
    buffer_add_byte(&text, '}');
    buffer_add_byte(&text, '\0');
    struct tree tree;
    tree_init(&tree, arena);
    struct object *object = tree_object(&tree);
    const struct view *view = view_of(arena, (const char *)text.data);
    tree_merge(&tree, object, view);
    name[345] = '\0';
    assert_true(bytes_equal(tree_find(object, name), BYTES_LITERAL("345")));

    /* Everything that was dropped is used again. */
    tree_clear(&tree, object);
    const size_t used_bytes = arena_used_bytes(arena);
    for (int round = 0; round < 3; round++) {
        tree_merge(&tree, object, view);
        tree_clear(&tree, object);
    }
    /* Longer names have come into shorter ones' places. */
    assert_in_range(arena_used_bytes(arena) - used_bytes, 0, 9000000);
    const size_t settled_bytes = arena_used_bytes(arena);
    for (int round = 0; round < 40; round++) {
        tree_merge(&tree, object, view);
        tree_clear(&tree, object);
    }
    assert_in_range(arena_used_bytes(arena) - settled_bytes, 0, 2000000);
    assert_false(tree.failed);
}

/* A reference of arrays, in the order of insertion. */
enum { NAMES = 200 };
struct entry {
    int name;
    int value;
};

static void name_text(int name, char text[32])
{
    snprintf(text, 32, "%.*s%d", name % 7, "nnnnnnn", name / 3);
}

static void test_random_changes_agree_with_a_list(void **state)
{
    (void)state;
    uint64_t random = 42;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct tree tree;
    tree_init(&tree, arena);
    struct object *object = tree_object(&tree);
    struct entry entries[NAMES];
    size_t count = 0;
    for (int round = 0; round < 20000; round++) {
        const int name = (int)random_below(&random, NAMES);
        const int value = (int)random_below(&random, 100000);
        const bool removing = random_below(&random, 2) == 0;
        char text[32];
        char patch[80];
        name_text(name, text);
        snprintf(patch, sizeof patch, removing ? "{\"%s\":null}" : "{\"%s\":%d}", text, value);
        CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
        tree_merge(&tree, object, view_of(scratch, patch));
        size_t at = 0;
        for (; at < count; at++) {
            char other[32];
            name_text(entries[at].name, other);
            if (strcmp(other, text) == 0)
                break;
        }
        if (!removing) {
            entries[at].value = value;
            if (at == count)
                entries[count++].name = name;
        } else if (at < count) {
            count--;
            memmove(&entries[at], &entries[at + 1], (count - at) * sizeof entries[0]);
        }
        if (round % 100 != 0)
            continue;
        struct buffer wanted = buffer_in(scratch, 0);
        for (size_t i = 0; i < count; i++) {
            name_text(entries[i].name, text);
            buffer_printf(&wanted, "%c\"%s\":%d", i == 0 ? '{' : ',', text, entries[i].value);
        }
        buffer_add_text(&wanted, count == 0 ? "{}" : "}");
        buffer_add_byte(&wanted, '\0');
        assert_tree(scratch, object, (const char *)wanted.data);
    }
    /* 20,000 changes to 200 small members: what was given back was used again. */
    assert_in_range(arena_used_bytes(arena), 0, 100000);
}

static void test_a_view_keeps_what_was_written_and_reads_null_as_absent(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct view *view = view_of(arena, "{\"a\":null,\"b\":[1, 2],\"\\u0063\":{\"d\":1.50}}");
    assert_null(view_find(view, "a"));
    assert_null(view_find(view, "z"));
    assert_true(bytes_equal(view_find(view, "b")->raw, BYTES_LITERAL("[1, 2]")));
    assert_true(bytes_equal(view_find(view, "c")->token, BYTES_LITERAL("\"\\u0063\"")));
    assert_true(bytes_equal(view_find(view_find(view, "c")->object, "d")->raw, BYTES_LITERAL("1.50")));

    struct view *list = NULL;
    assert_status_ok(view_parse_list(arena, BYTES_LITERAL("[1,{\"a\":1},[{}],null,{\"a\":2}]"), &list));
    assert_true(bytes_equal(view_find(list, "a")->raw, BYTES_LITERAL("1")));
    assert_true(bytes_equal(view_find(list->next, "a")->raw, BYTES_LITERAL("2")));
    assert_null(list->next->next);
    assert_status_ok(view_parse_list(arena, BYTES_LITERAL("\"no list\""), &list));
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacing_a_member_does_not_merge_into_it),
        cmocka_unit_test(test_names_that_are_prefixes_of_each_other_are_kept_apart_and_freed),
        cmocka_unit_test(test_random_changes_agree_with_a_list),
        cmocka_unit_test(test_a_view_keeps_what_was_written_and_reads_null_as_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
