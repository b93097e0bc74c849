/* What the contract suite of engines cannot see of the index: damage, want of memory, fairness. Its answers are checked
 * there. */
#include "support/cmocka.h"

#include "unit/store/failing_memory.h"

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

/* ---- want of memory ---- */

#define FEW  70 /* so that tables and lists grow while the second lot is added */
#define MANY 140

/* Every third begins an aggregate; system events, correlations and tags are among them. */
static struct event_fields varied_event(int number, char text[4][24])
{
    (void)snprintf(text[0], sizeof text[0], "e%d", number);
    (void)snprintf(text[1], sizeof text[1], "a%d", number / 3 * 3);
    (void)snprintf(text[2], sizeof text[2], "c%d", number);
    (void)snprintf(text[3], sizeof text[3], "t%d", number % 50);
    struct event_fields fields = event_at(number, text[0], text[1], 0);
    fields.version = number < 3 ? number : number % 3 + 1;
    fields.type = number % 5 == 0 ? BYTES_LITERAL("$metadata_changed") : bytes_of_text(text[3]);
    fields.aggregate_type = number / 3 % 2 == 0 ? BYTES_LITERAL("user") : BYTES_LITERAL("order");
    fields.correlation_id = bytes_of_text(text[2]);
    fields.tags[0] = bytes_of_text(text[3]);
    fields.tag_count = 1;
    return fields;
}

static struct status add_varied(struct event_index *index, int first, int last)
{
    static struct event_fields fields[MANY];
    static char texts[MANY][4][24];
    size_t count = 0;
    for (int i = first; i <= last; i++, count++)
        fields[count] = varied_event(i, texts[count]);
    return event_index_add(index, fields, count);
}

static size_t count_positions(struct event_index *index, enum read_by by, struct bytes key)
{
    int64_t positions[MANY + 1];
    const struct read_query query = {.by = by, .key = key, .to_version = INT32_MAX};
    return event_index_positions(index, &query, 0, positions, ARRAY_SIZE(positions));
}

static int64_t sum_of(const struct type_count *counts, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(counts[i].count > 0);
        sum += counts[i].count;
    }
    return sum;
}

/* Everything that can be asked tells of the events 1 … last and of no more. */
static void check_holds(struct event_index *index, int last, int asked)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_int_equal(event_index_last_position(index), last);
    assert_int_equal(event_index_find_time(index, INT64_MAX), last);
    assert_int_equal(count_positions(index, READ_BY_POSITION, BYTES_NONE), last);
    size_t aggregates = 0;
    size_t in_aggregates = 0;
    for (int i = 1; i <= asked; i++) {
        char text[4][24];
        const struct event_fields fields = varied_event(i, text);
        assert_int_equal(event_index_find_id(index, fields.id), i <= last ? i : 0);
        assert_int_equal(count_positions(index, READ_BY_CORRELATION, fields.correlation_id), i <= last);
        struct aggregate_head head;
        assert_status_ok(event_index_head(index, fields.aggregate_id, arena, &head));
        assert_true(head.position <= last);
        const bool begins = i == 1 || i % 3 == 0;
        assert_int_equal(head.exists, (i < 3 ? 1 : i / 3 * 3) <= last);
        if (!begins || !head.exists)
            continue;
        aggregates++;
        in_aggregates += (size_t)head.event_count;
        assert_int_equal(count_positions(index, READ_BY_AGGREGATE, fields.aggregate_id), head.event_count);
    }
    assert_int_equal(in_aggregates, last);
    assert_int_equal(event_index_aggregate_count(index), aggregates);
    struct indexed_aggregate listed[MANY];
    size_t listed_count = 0;
    assert_status_ok(event_index_aggregates(index, BYTES_NONE, 0, arena, listed, MANY, &listed_count));
    assert_int_equal(listed_count, aggregates);
    struct event_store_stats stats = {0};
    assert_status_ok(event_index_stats(index, arena, &stats));
    assert_int_equal(stats.system_event_count, last / 5);
    assert_int_equal(stats.event_count + stats.system_event_count, last);
    assert_int_equal(sum_of(stats.events_by_type, stats.event_type_count), last);
    assert_int_equal(sum_of(stats.aggregates_by_type, stats.aggregate_type_count), aggregates);
}

/* Each allocation fails in turn. What was not added whole must not show at all, and can be added afterwards. */
static void test_an_addition_without_memory_changes_nothing(void **state)
{
    (void)state;
    unsigned nth = 1;
    for (bool hit = true; hit; nth++) {
        CLEANUP(event_index_free_at) struct event_index *index = event_index_new(nth);
        assert_status_ok(add_varied(index, 1, FEW));
        failing_memory_from(nth);
        const struct status status = add_varied(index, FEW + 1, MANY);
        hit = failing_memory_stop();
        assert_int_equal(status.code, hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK);
        if (hit) {
            check_holds(index, FEW, MANY);
            assert_status_ok(add_varied(index, FEW + 1, MANY));
        }
        check_holds(index, MANY, MANY);
    }
    assert_in_range(nth, 30, 10000); /* or nothing was tried */
}

static void test_what_is_taken_back_is_as_if_never_added(void **state)
{
    (void)state;
    for (int kept = 0; kept <= MANY; kept++) {
        CLEANUP(event_index_free_at) struct event_index *index = event_index_new(1);
        assert_status_ok(add_varied(index, 1, MANY));
        event_index_cut(index, kept);
        check_holds(index, kept, MANY);
        if (kept < MANY)
            assert_status_ok(add_varied(index, kept + 1, MANY));
        check_holds(index, MANY, MANY);
    }
}

/* ---- fairness ---- */

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
        cmocka_unit_test(test_an_addition_without_memory_changes_nothing),
        cmocka_unit_test(test_what_is_taken_back_is_as_if_never_added),
        cmocka_unit_test(test_busy_readers_do_not_keep_the_adder_out),
    };
    return cmocka_run_group_tests_name("event_index", tests, NULL, NULL);
}
