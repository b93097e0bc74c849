#include "support/cmocka.h"

#include <string.h>

#include "store/redis/redis_internal.h"

static const struct snapshot sample = {
    .aggregate_id = {(const uint8_t *)"user-1", 6},
    .aggregate_type = {(const uint8_t *)"user", 4},
    .version = -7,
    .state = SNAPSHOT_VERIFIED,
    .created_at_us = INT64_C(1700000000000000),
    .position = INT64_MAX,
    .event_digest = {(const uint8_t *)"digest", 6},
    .reducer_version = 3,
    .data = {(const uint8_t *)"{\"a\":\"\r\n$5\r\n\"}", 15},
    .folded = {(const uint8_t *)"\0folded\0", 8},
};

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer value = buffer_in(arena, 0);
    struct snapshot got;
    redis_value_write(&value, &sample);
    assert_status_ok(redis_value_read(buffer_bytes(&value), arena, &got));
    assert_true(bytes_equal(got.aggregate_id, sample.aggregate_id));
    assert_true(bytes_equal(got.aggregate_type, sample.aggregate_type));
    assert_int_equal(got.version, sample.version);
    assert_int_equal(got.state, sample.state);
    assert_int_equal(got.created_at_us, sample.created_at_us);
    assert_int_equal(got.position, sample.position);
    assert_true(bytes_equal(got.event_digest, sample.event_digest));
    assert_int_equal(got.reducer_version, sample.reducer_version);
    assert_true(bytes_equal(got.data, sample.data));
    assert_true(bytes_equal(got.metadata, sample.metadata));
    assert_true(bytes_equal(got.folded, sample.folded));
}

static void assert_damaged(struct arena *arena, struct bytes value, const char *what, size_t at)
{
    struct snapshot got;
    const struct status status = redis_value_read(value, arena, &got);
    if (status.reason != REASON_DAMAGED)
        fail_msg("a value %s byte %zu is taken: code %d", what, at, status.code);
}

/* Whatever another program, or a bit that was lost, makes of a value: it is never a state. */
static void test_no_change_and_no_cut_passes_for_a_state(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer value = buffer_in(arena, 0);
    redis_value_write(&value, &sample);
    for (size_t at = 0; at < value.size_bytes; at++) {
        assert_damaged(arena, bytes_of(value.data, at), "cut at", at);
        for (int bit = 0; bit < 8; bit++) {
            value.data[at] ^= (uint8_t)(1U << bit);
            assert_damaged(arena, buffer_bytes(&value), "changed at", at);
            value.data[at] ^= (uint8_t)(1U << bit);
        }
    }
    buffer_add_byte(&value, 0);
    assert_damaged(arena, buffer_bytes(&value), "longer than", value.size_bytes);
    assert_damaged(arena, BYTES_NONE, "that is empty, at", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_no_change_and_no_cut_passes_for_a_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
