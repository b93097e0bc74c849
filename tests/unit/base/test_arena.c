#include "support/cmocka.h"

#include <string.h>

#include "base/arena.h"

static void test_memory_is_aligned_and_does_not_overlap(void **state)
{
    (void)state;
    struct arena *arenas[] = {arena_new(0), arena_new_small(0)};
    for (size_t a = 0; a < ARRAY_SIZE(arenas); a++) {
        uint8_t *parts[500];
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
            parts[i] = arena_alloc(arenas[a], i);
            assert_non_null(parts[i]);
            assert_int_equal((uintptr_t)parts[i] % 16, 0);
            memset(parts[i], (int)(i & 0xFF), i);
        }
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
            for (size_t j = 0; j < i; j++)
                assert_int_equal(parts[i][j], i & 0xFF);
        arena_free(arenas[a]);
    }
}

static void test_the_budget_bounds_the_sum(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(100);
    assert_non_null(arena_alloc(arena, 64));
    assert_null(arena_alloc(arena, 64));
    assert_non_null(arena_alloc(arena, 32));
    assert_null(arena_alloc(arena, 0)); /* even nothing takes a unit */
    arena_reset(arena);
    assert_int_equal(arena_used_bytes(arena), 0);
    assert_non_null(arena_alloc(arena, 96));
}

static void test_a_product_that_overflows_is_refused(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_null(arena_array(arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(arena, SIZE_MAX - 3));
    const uint64_t *zeros = arena_array(arena, 100, sizeof *zeros);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
}

static void test_copies_end_in_a_nul(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_string_equal(arena_text(arena, bytes_of("abcdef", 3)), "abc");
    assert_string_equal(arena_printf(arena, "%d of %s", 7, "nine"), "7 of nine");
    const struct bytes copy = arena_bytes(arena, BYTES_LITERAL("a\0b"));
    assert_int_equal(copy.size_bytes, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
}

static void test_reset_forgets_large_blocks(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++)
            memset(arena_alloc(arena, 100000), round, 100000);
        assert_true(arena_used_bytes(arena) >= 4000000);
        arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_aligned_and_does_not_overlap),
        cmocka_unit_test(test_the_budget_bounds_the_sum),
        cmocka_unit_test(test_a_product_that_overflows_is_refused),
        cmocka_unit_test(test_copies_end_in_a_nul),
        cmocka_unit_test(test_reset_forgets_large_blocks),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
