/* Which runs the builder merges: neighbours of one level, the oldest first, and never a group that would be too large. */
#include "support/cmocka.h"

#include <string.h>

#include "support/memory_files.h"

#include "store/embedded/builder_work_internal.h"
#include "store/embedded/embedded_internal.h"
#include "store/embedded/totals_internal.h"

#define FOLDER    "main/index"
#define RUNS_MOST 12U
#define WIDE      INT64_C(4294967290) /* a run counts positions in 32 bits: no room for three runs of ten more */

/* As much of a store as choosing looks at. */
struct bench {
    struct memory_files disk;
    struct embedded_store store;
    struct view_run *runs[RUNS_MOST];
    size_t count;
    int64_t end;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->disk = memory_files_empty();
    assert_status_ok(files_mkdir(&bench->disk.files, "main"));
    assert_status_ok(files_mkdir(&bench->disk.files, FOLDER));
    pthread_rwlock_init(&bench->store.view_lock, NULL);
}

static void bench_done(struct bench *bench)
{
    view_unref(bench->store.view);
    pthread_rwlock_destroy(&bench->store.view_lock);
    assert_int_equal(memory_files_open_count(&bench->disk), 0);
    memory_files_done(&bench->disk);
}

static void add_run(struct bench *bench, int64_t positions, uint32_t level)
{
    const struct run_facts facts = {
        .first_position = bench->end + 1, .last_position = bench->end + positions, .level = level};
    CLEANUP(run_builder_free_at) struct run_builder *builder = NULL;
    struct run *run = NULL;
    const uint8_t *uuid = bench->store.identity.uuid;
    assert_status_ok(run_builder_new(&facts, &builder));
    assert_status_ok(run_builder_write(builder, &bench->disk.files, FOLDER, uuid, 1, NULL));
    assert_status_ok(
        run_open(&bench->disk.files, FOLDER, facts.first_position, facts.last_position, uuid, NULL, &run));
    bench->runs[bench->count] = view_run_new(run);
    assert_non_null(bench->runs[bench->count]);
    bench->count++;
    bench->end += positions;
}

static void show(struct bench *bench)
{
    const struct totals *none = totals_new(0);
    bench->store.view = view_of_files(NULL, 0, bench->runs, bench->count, none);
    assert_non_null(bench->store.view);
    totals_unref(none);
    for (size_t i = 0; i < bench->count; i++)
        view_run_unref(bench->runs[i]); /* the view has references of its own */
}

/* -1 = there is nothing to merge. */
static int first_to_merge(struct bench *bench)
{
    size_t first = 0;
    show(bench);
    return work_find_merge(&bench->store, &first) ? (int)first : -1;
}

static void test_the_oldest_four_neighbours_of_a_level_are_merged(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    add_run(&bench, 100, 1);
    for (int i = 0; i < 5; i++)
        add_run(&bench, 10, 0);
    assert_int_equal(first_to_merge(&bench), 1);
    bench_done(&bench);
}

static void test_runs_of_other_levels_between_are_not_stepped_over(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 6; i++)
        add_run(&bench, 10, i == 3 ? 1 : 0);
    assert_int_equal(first_to_merge(&bench), -1);
    bench_done(&bench);
}

static void test_a_group_that_is_too_large_does_not_keep_newer_ones_from_being_merged(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 4; i++)
        add_run(&bench, WIDE, 0);
    for (int i = 0; i < 4; i++)
        add_run(&bench, 10, 0);
    assert_int_equal(first_to_merge(&bench), 4);
    bench_done(&bench);
}

/* So that nobody tries again and again. */
static void test_a_group_that_is_too_large_is_never_chosen(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 4; i++)
        add_run(&bench, WIDE, 0);
    for (int i = 0; i < 3; i++)
        add_run(&bench, 10, 0);
    assert_int_equal(first_to_merge(&bench), -1);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_four_neighbours_of_a_level_are_merged),
        cmocka_unit_test(test_runs_of_other_levels_between_are_not_stepped_over),
        cmocka_unit_test(test_a_group_that_is_too_large_does_not_keep_newer_ones_from_being_merged),
        cmocka_unit_test(test_a_group_that_is_too_large_is_never_chosen),
    };
    return cmocka_run_group_tests_name("builder_merges", tests, NULL, NULL);
}
