/* What the contract suite of engines cannot see of the index: damage, fairness. Its answers are checked there. */
#include "support/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "store/event_index.h"

static struct event_fields event_at(int64_t position, const char *id, const char *aggregate_id,
                                    int32_t version)
{
    return (struct event_fields){
        .id = bytes_of_text(id),
        .type = BYTES_LITERAL("changed"),
        .aggregate_id = bytes_of_text(aggregate_id),
        .aggregate_type = BYTES_LITERAL("user"),
        .version = version,
        .position = position,
        .timestamp_us = position,
    };
}

static void test_what_does_not_fit_is_damage_and_changes_nothing(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at) struct event_index *index = event_index_new(1);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields first = event_at(1, "e1", "a", 1);
    assert_status_ok(event_index_add(index, &first, 1));
    const struct event_fields wrong[] = {
        event_at(3, "e2", "a", 2), /* position 2 is missing */
        event_at(1, "e2", "a", 2), /* position 1 again */
        event_at(2, "e1", "a", 2), /* an id again */
        event_at(2, "e2", "a", 3), /* version 2 is missing */
        event_at(2, "e2", "a", 1), /* version 1 again */
        event_at(2, "e2", "b", 2), /* begins at 2 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_reason(event_index_add(index, &wrong[i], 1), REASON_DAMAGED);
    assert_int_equal(event_index_last_position(index), 1);
    assert_int_equal(event_index_aggregate_count(index), 1);
    struct aggregate_head head;
    assert_status_ok(event_index_head(index, BYTES_LITERAL("b"), arena, &head));
    assert_false(head.exists);
    struct indexed_aggregate listed[4];
    size_t count = 0;
    assert_status_ok(event_index_aggregates(index, BYTES_NONE, 0, arena, listed, 4, &count));
    assert_int_equal(count, 1);
    const struct event_fields second = event_at(2, "e2", "a", 2);
    assert_status_ok(event_index_add(index, &second, 1));
}

#define READ_POSITIONS 2000

struct reader {
    struct event_index *index;
    _Atomic bool stop;
};

/* Holds the lock for as long as a page takes, again and again. */
static void *read_all_the_time(void *context)
{
    struct reader *reader = context;
    const struct read_query query = {.by = READ_BY_TYPE, .key = BYTES_LITERAL("changed")};
    int64_t page[READ_POSITIONS];
    while (!reader->stop)
        (void)event_index_positions(reader->index, &query, 0, page, READ_POSITIONS);
    return NULL;
}

static void add_events(struct event_index *index, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "e%d", i);
        const struct event_fields fields = event_at(i, id, "a", i);
        assert_status_ok(event_index_add(index, &fields, 1));
    }
}

/* With glibc's default lock this test does not end: readers that overlap keep the adder out for ever. */
static void test_busy_readers_do_not_keep_the_adder_out(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at) struct event_index *index = event_index_new(1);
    struct reader reader = {.index = index};
    pthread_t threads[8];
    add_events(index, 1, READ_POSITIONS);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &reader), 0);
    add_events(index, READ_POSITIONS + 1, READ_POSITIONS + 200);
    reader.stop = true;
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(event_index_last_position(index), READ_POSITIONS + 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_does_not_fit_is_damage_and_changes_nothing),
        cmocka_unit_test(test_busy_readers_do_not_keep_the_adder_out),
    };
    return cmocka_run_group_tests_name("event_index", tests, NULL, NULL);
}
