/* What the contract suite of engines cannot see of the index: damage, want of memory, what it leaves behind, fairness. Its
 * answers are checked there, and against a model in test_event_index_model.c. */
#include "support/cmocka.h"

#include "unit/store/failing_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/event_index.h"

static struct event_index *new_index(uint64_t seed, int64_t base_position)
{
    const struct event_index_options options = {.seed = seed, .base_position = base_position};
    struct event_index *index = event_index_new(&options);
    assert_non_null(index);
    return index;
}

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
    CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 0);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields first = event_at(1, "e1", "a", 1);
    assert_status_ok(event_index_add(index, &first, NULL, 1));
    const struct event_fields wrong[] = {
        event_at(3, "e2", "a", 2), /* position 2 is missing */
        event_at(1, "e2", "a", 2), /* position 1 again */
        event_at(2, "e1", "a", 2), /* an id again */
        event_at(2, "e2", "a", 3), /* version 2 is missing */
        event_at(2, "e2", "a", 1), /* version 1 again */
        event_at(2, "e2", "b", 2), /* begins at 2 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_reason(event_index_add(index, &wrong[i], NULL, 1), REASON_DAMAGED);
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
    assert_status_ok(event_index_add(index, &second, NULL, 1));
}

static char too_long[65537];

static void test_a_name_that_cannot_be_kept_is_damage(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 0);
    memset(too_long, 'x', sizeof too_long - 1);
    const struct bytes fits = bytes_of(too_long, sizeof too_long - 2);
    struct event_fields fields = event_at(1, too_long, "a", 1);
    assert_reason(event_index_add(index, &fields, NULL, 1), REASON_DAMAGED);
    fields = event_at(1, "e", "a", 1);
    fields.tags[0] = fits;
    fields.tags[1] = bytes_of_text(too_long);
    fields.tag_count = 2;
    assert_reason(event_index_add(index, &fields, NULL, 1), REASON_DAMAGED);
    fields.tag_count = 1;
    assert_status_ok(event_index_add(index, &fields, NULL, 1));
    assert_int_equal(event_index_list(index, READ_BY_TAG, fits).count, 1);
    assert_int_equal(event_index_list(index, READ_BY_TAG, bytes_of_text(too_long)).count, 0);
}

static void test_a_piece_takes_any_beginning_and_then_no_gap(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *aggregate_id;
        int32_t version;
        bool first;
        bool fits;
    } story[] = {
        {"goes on from elsewhere", "a", 7, false, true},
        {"a gap", "a", 9, false, false},
        {"the same again", "a", 7, false, false},
        {"first although it is here", "a", 8, true, false},
        {"goes on", "a", 8, false, true},
        {"created here", "b", 0, true, true},
        {"first once more", "b", 1, true, false},
        {"behind the creation", "b", 1, false, true},
        {"first at 1", "c", 1, true, true},
        {"first at 2", "d", 2, true, false},
        {"version 0 is always the first", "d", 0, false, false},
        {"before any version", "d", -1, false, false},
        {"version 1 behind a creation elsewhere", "d", 1, false, true},
    };
    CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 100);
    int64_t last = 100;
    assert_int_equal(event_index_last_position(index), 100);
    for (size_t i = 0; i < ARRAY_SIZE(story); i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "e%zu", i);
        const struct event_fields fields = event_at(last + 1, id, story[i].aggregate_id, story[i].version);
        const struct status status = event_index_add(index, &fields, &story[i].first, 1);
        if ((status.code == STATUS_OK) != story[i].fits ||
            (!story[i].fits && status.reason != REASON_DAMAGED))
            fail_msg("%s: %s", story[i].why, status.message);
        last += story[i].fits;
        assert_int_equal(event_index_last_position(index), last);
    }
    assert_int_equal(event_index_aggregate_count(index), 2);
    const bool not_first = false;
    const struct event_fields early = event_at(1, "x", "x", 1);
    assert_reason(event_index_add(index, &early, &not_first, 1), REASON_DAMAGED);
    CLEANUP(event_index_free_at) struct event_index *whole = new_index(1, 0);
    assert_reason(event_index_add(whole, &early, &not_first, 1), REASON_DAMAGED); /* nothing is elsewhere */
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
    return event_index_add(index, fields, NULL, count);
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
static unsigned sweep_an_addition(int present)
{
    unsigned nth = 1;
    for (bool hit = true; hit; nth++) {
        CLEANUP(event_index_free_at) struct event_index *index = new_index(nth, 0);
        assert_status_ok(add_varied(index, 1, present));
        failing_memory_from(nth);
        const struct status status = add_varied(index, present + 1, MANY);
        hit = failing_memory_stop();
        assert_int_equal(status.code, hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK);
        if (hit) {
            check_holds(index, present, MANY);
            assert_status_ok(add_varied(index, present + 1, MANY));
        }
        check_holds(index, MANY, MANY);
    }
    return nth - 2;
}

static void test_an_addition_without_memory_changes_nothing(void **state)
{
    (void)state;
    assert_in_range(sweep_an_addition(0), 20, 1000); /* or nothing was tried */
    assert_in_range(sweep_an_addition(FEW), 3, 1000);
}

static void test_a_table_without_memory_is_none(void **state)
{
    (void)state;
    const struct event_index_options options = {.expected_events = 100000};
    unsigned nth = 1;
    for (bool hit = true; hit; nth++) {
        failing_memory_from(nth);
        struct event_index *index = event_index_new(&options);
        hit = failing_memory_stop();
        assert_int_equal(index == NULL, hit);
        event_index_free(index);
    }
    assert_int_equal(nth, 3 + 2); /* itself and two tables, and once without a failure */
}

static void test_what_is_taken_back_is_as_if_never_added(void **state)
{
    (void)state;
    for (int kept = 0; kept <= MANY; kept++) {
        CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 0);
        assert_status_ok(add_varied(index, 1, MANY));
        event_index_cut(index, kept);
        check_holds(index, kept, MANY);
        if (kept < MANY)
            assert_status_ok(add_varied(index, kept + 1, MANY));
        check_holds(index, MANY, MANY);
    }
}

/* ---- a table that is made ahead ---- */

/* The events 1 … count of a whole history, as a piece behind `base` has them. */
static void add_pieces(struct event_index *index, int64_t base, int count)
{
    for (int i = 1; i <= count; i++) {
        char id[24];
        char aggregate[24];
        (void)snprintf(id, sizeof id, "e%d", i);
        (void)snprintf(aggregate, sizeof aggregate, "a%d", i % 50);
        const struct event_fields fields = event_at(base + i, id, aggregate, 1 + i / 50 - (i % 50 == 0));
        const bool first = i <= 50;
        assert_status_ok(event_index_add(index, &fields, &first, 1));
    }
}

static void test_a_table_made_ahead_answers_as_one_made_in_its_place(void **state)
{
    (void)state;
    const struct event_index_options options = {.seed = 7, .expected_events = 20000};
    CLEANUP(event_index_free_at) struct event_index *ahead = event_index_new(&options);
    CLEANUP(event_index_free_at) struct event_index *in_place = new_index(7, 1000);
    assert_non_null(ahead);
    size_t at = 0;
    unsigned steps = 0;
    while (event_index_touch(ahead, &at))
        steps++;
    assert_in_range(steps, 2 * 20000 * 8 / (64 * 1024),
                    1000); /* ids and aggregates, a step no more than 64 KiB */
    event_index_rebase(ahead, 1000);
    add_pieces(ahead, 1000, 200);
    add_pieces(in_place, 1000, 200);
    assert_int_equal(event_index_base_position(ahead), 1000);
    assert_int_equal(event_index_last_position(ahead), 1200);
    assert_int_equal(event_index_aggregate_count(ahead), event_index_aggregate_count(in_place));
    assert_int_equal(event_index_find_id(ahead, BYTES_LITERAL("e7")), 1007);
    assert_int_equal(event_index_find_time(ahead, 1100), event_index_find_time(in_place, 1100));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (int i = 0; i < 50; i++) {
        struct aggregate_head heads[2];
        const struct bytes id = bytes_of_text(arena_printf(arena, "a%d", i));
        assert_status_ok(event_index_head(ahead, id, arena, &heads[0]));
        assert_status_ok(event_index_head(in_place, id, arena, &heads[1]));
        assert_true(heads[0].exists);
        assert_int_equal(heads[0].position, heads[1].position);
        assert_int_equal(heads[0].first_position, heads[1].first_position);
        assert_int_equal(heads[0].version, heads[1].version);
        assert_int_equal(heads[0].event_count, heads[1].event_count);
    }
}

static void count_rest(void *context)
{
    (*(unsigned *)context)++;
}

static void test_who_frees_a_table_can_rest_between_its_pieces(void **state)
{
    (void)state;
    struct event_index *index = new_index(7, 0);
    unsigned rests = 0;
    add_pieces(index, 0, 60000);
    event_index_free_resting(index, count_rest, &rests);
    assert_in_range(rests, 3 + 6, 50); /* behind each hash table and each chunk of at most 1 MiB */
    event_index_free_resting(NULL, count_rest, &rests);
}

/* ---- what it leaves behind ---- */

static long anonymous_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (kib < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    (void)fclose(file);
    assert_true(kib >= 0);
    return kib;
}

/* Several times: malloc gives the first large piece back and keeps the later ones. */
static void test_what_is_freed_goes_back_to_the_system(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip(); /* they keep memory of their own about what was used */
#endif
    const long before = anonymous_kib();
    for (int round = 0; round < 3; round++) {
        struct event_index *index = new_index(1, 0);
        for (int i = 1; i <= 50000; i++) {
            char id[16];
            (void)snprintf(id, sizeof id, "e%d", i);
            const struct event_fields fields = event_at(i, id, id, 1);
            assert_status_ok(event_index_add(index, &fields, NULL, 1));
        }
        const long used = anonymous_kib() - before;
        const long own = (long)(event_index_memory_bytes(index) / 1024);
        assert_in_range(used, own / 2, own * 2);
        event_index_free(index);
        assert_true(anonymous_kib() - before < used / 8);
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
        assert_status_ok(event_index_add(index, &fields, NULL, 1));
    }
}

/* With glibc's default lock this test does not end: readers that overlap keep the adder out for ever. */
static void test_busy_readers_do_not_keep_the_adder_out(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 0);
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

/* A reader may have looked a key up before a batch is taken back, and ask for what it was shown afterwards. */
static void test_a_list_from_before_a_cut_is_read_up_to_it(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at) struct event_index *index = new_index(1, 0);
    for (int i = 1; i <= 40; i++) {
        char id[8];
        snprintf(id, sizeof id, "e%d", i);
        const bool last = i == 40;
        const struct event_fields fields = event_at(i, id, last ? "b" : "a", last ? 1 : i);
        assert_status_ok(event_index_add(index, &fields, NULL, 1));
    }
    const struct indexed_list lists[] = {
        event_index_list(index, READ_BY_AGGREGATE, BYTES_LITERAL("a")),
        event_index_list(index, READ_BY_TYPE, BYTES_LITERAL("changed")),
    };
    const struct indexed_list gone = event_index_list(index, READ_BY_AGGREGATE, BYTES_LITERAL("b"));
    assert_int_equal(gone.count, 1);
    event_index_cut(index, 3);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        int64_t positions[3] = {0};
        assert_int_equal(event_index_list_behind(index, &lists[i], 3), 3);
        assert_int_equal(event_index_list_behind(index, &lists[i], 39), 3);
        event_index_list_read(index, &lists[i], 0, positions, 3);
        assert_int_equal(positions[2], 3);
    }
    assert_int_equal(event_index_list_behind(index, &gone, 40), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_does_not_fit_is_damage_and_changes_nothing),
        cmocka_unit_test(test_a_name_that_cannot_be_kept_is_damage),
        cmocka_unit_test(test_a_piece_takes_any_beginning_and_then_no_gap),
        cmocka_unit_test(test_a_table_without_memory_is_none),
        cmocka_unit_test(test_a_table_made_ahead_answers_as_one_made_in_its_place),
        cmocka_unit_test(test_who_frees_a_table_can_rest_between_its_pieces),
        cmocka_unit_test(test_what_is_freed_goes_back_to_the_system),
        cmocka_unit_test(test_an_addition_without_memory_changes_nothing),
        cmocka_unit_test(test_what_is_taken_back_is_as_if_never_added),
        cmocka_unit_test(test_a_list_from_before_a_cut_is_read_up_to_it),
        cmocka_unit_test(test_busy_readers_do_not_keep_the_adder_out),
    };
    return cmocka_run_group_tests_name("event_index", tests, NULL, NULL);
}
