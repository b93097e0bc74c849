#include "support/cmocka.h"

#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"

static void test_order_is_that_of_unsigned_bytes_with_prefixes_first(void **state)
{
    (void)state;
    assert_true(bytes_compare(BYTES_LITERAL("a"), BYTES_LITERAL("b")) < 0);
    assert_true(bytes_compare(BYTES_LITERAL("\x7F"), BYTES_LITERAL("\x80")) < 0);
    assert_true(bytes_compare(BYTES_LITERAL("ab"), BYTES_LITERAL("a")) > 0);
    assert_int_equal(bytes_compare(BYTES_NONE, BYTES_LITERAL("")), 0);
    assert_true(bytes_equal(BYTES_NONE, BYTES_LITERAL("")));
    assert_false(bytes_equal(BYTES_LITERAL("a"), BYTES_LITERAL("b")));
}

static void test_a_buffer_keeps_what_is_added(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer buffers[] = {buffer_make(0), buffer_in(arena, 0)};
    for (size_t b = 0; b < ARRAY_SIZE(buffers); b++) {
        for (int i = 0; i < 1000; i++)
            buffer_printf(&buffers[b], "%03d,", i);
        buffer_add_text(&buffers[b], "end");
        buffer_add_byte(&buffers[b], '!');
        assert_status_ok(buffer_status(&buffers[b]));
        assert_int_equal(buffers[b].size_bytes, 4004);
        assert_memory_equal(buffers[b].data, "000,001,", 8);
        assert_memory_equal(buffers[b].data + 3996, "999,end!", 8);
        buffer_done(&buffers[b]);
    }
}

static void test_a_full_buffer_refuses_the_rest_and_says_so_once_asked(void **state)
{
    (void)state;
    struct buffer buffer = buffer_make(10);
    buffer_add_text(&buffer, "12345678");
    buffer_add_text(&buffer, "too long");
    buffer_add_text(&buffer, "9"); /* would fit, but after a gap it would be wrong */
    assert_status(buffer_status(&buffer), STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(buffer.size_bytes, 8);
    buffer_clear(&buffer);
    assert_status_ok(buffer_status(&buffer));
    buffer_add_text(&buffer, "1234567890");
    assert_status_ok(buffer_status(&buffer));
    buffer_done(&buffer);
    buffer = buffer_make(0);
    buffer_add_byte(&buffer, 'x');
    assert_null(buffer_extend(&buffer, SIZE_MAX - 10)); /* no size may wrap around */
    assert_status(buffer_status(&buffer), STATUS_RESOURCE_EXHAUSTED);
    buffer_done(&buffer);
}

static void test_an_arena_without_room_fails_the_buffer(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(1000);
    struct buffer buffer = buffer_in(arena, 0);
    for (int i = 0; i < 1000; i++)
        buffer_add_byte(&buffer, 'x');
    assert_status(buffer_status(&buffer), STATUS_RESOURCE_EXHAUSTED);
}

static void test_what_is_reserved_is_exact_and_holds_what_is_added(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer buffers[] = {buffer_make(0), buffer_in(arena, 0)};
    for (size_t b = 0; b < 2; b++) {
        struct buffer *buffer = &buffers[b];
        buffer_reserve(buffer, 11);
        const uint8_t *data = buffer->data;
        assert_int_equal(buffer->capacity_bytes, 11);
        assert_int_equal(buffer->size_bytes, 0);
        buffer_add_text(buffer, "hello");
        buffer_reserve(buffer, 6); /* is there already */
        buffer_add_text(buffer, " world");
        assert_ptr_equal(buffer->data, data);
        buffer_reserve(buffer, SIZE_MAX - 10); /* wraps around: nothing is done */
        buffer_add_byte(buffer, '!');
        assert_status_ok(buffer_status(buffer));
        assert_int_equal(buffer->size_bytes, 12);
        assert_memory_equal(buffer->data, "hello world!", 12);
        buffer_done(buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_that_of_unsigned_bytes_with_prefixes_first),
        cmocka_unit_test(test_a_buffer_keeps_what_is_added),
        cmocka_unit_test(test_a_full_buffer_refuses_the_rest_and_says_so_once_asked),
        cmocka_unit_test(test_an_arena_without_room_fails_the_buffer),
        cmocka_unit_test(test_what_is_reserved_is_exact_and_holds_what_is_added),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
