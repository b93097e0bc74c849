/* What becomes of the files of merged runs: their names go at once, their bytes in pieces, and under no reader. */
#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "support/faulty_files.h"
#include "support/memory_files.h"

#include "base/log.h"
#include "store/embedded/builder_remove_internal.h"
#include "store/embedded/embedded_internal.h"
#include "store/embedded/totals_internal.h"

#define FOLDER       "main/index"
#define IDS          40000U /* a run of some 400 KiB */
#define PIECE_BYTES  (256U * 1024U)
#define CALLS_A_NAME 2U /* open, remove */

/* As much of a store as removing looks at. */
struct bench {
    struct memory_files disk;
    struct faulty_files files;
    struct embedded_store store;
    struct index_view *former; /* who removes takes this reference over */
    struct file *watch[BUILDER_MERGED_RUNS];
    char paths[BUILDER_MERGED_RUNS][80];
    uint64_t sizes[BUILDER_MERGED_RUNS];
};

static bool go_on(void *store)
{
    (void)store;
    return true;
}

static bool go_on_never(void *store)
{
    (void)store;
    return false;
}

static struct view_run *make_run(struct bench *bench, size_t number)
{
    const int64_t first = 1 + (int64_t)number * IDS;
    const struct run_facts facts = {.first_position = first, .last_position = first + IDS - 1};
    CLEANUP(run_builder_free_at) struct run_builder *builder = NULL;
    struct run *run = NULL;
    const uint8_t *uuid = bench->store.identity.uuid;
    assert_status_ok(run_builder_new(&facts, &builder));
    for (int64_t i = first; i <= facts.last_position; i++)
        assert_status_ok(
            run_builder_add_id(builder, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15), BYTES_NONE, i));
    assert_status_ok(run_builder_write(builder, &bench->disk.files, FOLDER, uuid, 1, NULL));
    assert_status_ok(run_open(&bench->files.files, FOLDER, first, facts.last_position, uuid, NULL, &run));
    snprintf(bench->paths[number], sizeof bench->paths[number], FOLDER "/%020lld-%020lld.run",
             (long long)first, (long long)facts.last_position);
    assert_status_ok(files_open(&bench->disk.files, bench->paths[number], FILE_READ, &bench->watch[number]));
    bench->sizes[number] = run_size_bytes(run);
    assert_true(bench->sizes[number] > PIECE_BYTES);
    struct view_run *layer = view_run_new(run);
    assert_non_null(layer);
    return layer;
}

/* `fail_at` counts the calls on files from the first removal on; 0 = none fails. */
static void bench_init(struct bench *bench, unsigned fail_at)
{
    struct view_run *runs[BUILDER_MERGED_RUNS];
    memset(bench, 0, sizeof *bench);
    bench->disk = memory_files_empty();
    bench->files = faulty_files_over(&bench->disk.files, 0, FAULT_IO);
    assert_status_ok(files_mkdir(&bench->disk.files, "main"));
    assert_status_ok(files_mkdir(&bench->disk.files, FOLDER));
    snprintf(bench->store.id, sizeof bench->store.id, "main");
    bench->store.files = &bench->files.files;
    builder_init(&bench->store.builder);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
        runs[i] = make_run(bench, i);
    const struct totals *none = totals_new(0);
    bench->former = view_of_files(NULL, 0, runs, BUILDER_MERGED_RUNS, none);
    assert_non_null(bench->former);
    totals_unref(none);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
        view_run_unref(runs[i]);
    bench->files.fail_at = fail_at == 0 ? 0 : bench->files.fit_count + fail_at;
}

static void bench_done(struct bench *bench)
{
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
        file_close(bench->watch[i]);
    builder_done(&bench->store.builder);
    assert_int_equal(memory_files_open_count(&bench->disk), 0);
    memory_files_done(&bench->disk);
}

static uint64_t bytes_left(const struct bench *bench, size_t number)
{
    uint64_t bytes = 0;
    assert_status_ok(file_size(bench->watch[number], &bytes));
    return bytes;
}

static bool has_name(struct bench *bench, size_t number)
{
    struct file *file = NULL;
    const struct status status = files_open(&bench->disk.files, bench->paths[number], FILE_READ, &file);
    file_close(file);
    return status.code == STATUS_OK;
}

static void test_names_and_bytes_go_in_pieces(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    unsigned pieces = 0;
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
        pieces += (unsigned)((bench.sizes[i] + PIECE_BYTES - 1) / PIECE_BYTES);
    const unsigned before = bench.files.call_count;
    builder_remove_runs(&bench.store, bench.former, 0, go_on);
    assert_int_equal(bench.files.call_count - before, BUILDER_MERGED_RUNS * CALLS_A_NAME + pieces);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        assert_false(has_name(&bench, i));
        assert_int_equal(bytes_left(&bench, i), 0);
    }
    bench_done(&bench);
}

/* It goes with its last reader, as ever. */
static void test_what_is_still_read_stays_whole(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    struct index_view *reader = view_ref(bench.former);
    builder_remove_runs(&bench.store, bench.former, 0, go_on);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        assert_false(has_name(&bench, i));
        assert_int_equal(bytes_left(&bench, i), bench.sizes[i]);
        assert_status_ok(run_check(reader->runs[i]->run));
    }
    view_unref(reader);
    bench_done(&bench);
}

/* A stop must not wait for it: what is left goes whole. */
static void test_a_stop_ends_it(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    builder_remove_runs(&bench.store, bench.former, 0, go_on_never);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        assert_false(has_name(&bench, i));
        assert_int_equal(bytes_left(&bench, i), bench.sizes[i]);
    }
    bench_done(&bench);
}

/* Each call fails in turn: it costs space and nothing else. A name that stays is the next start's to remove. */
static void test_a_failure_costs_space_only(void **state)
{
    (void)state;
    unsigned sweeps = 0;
    for (bool hit = true; hit; sweeps++) {
        struct bench bench;
        bench_init(&bench, sweeps + 1);
        CLEANUP(log_free_at) struct log *log = log_new(-1, LOG_ERROR, LOG_FORMAT_TEXT, NULL);
        bench.store.log = log;
        builder_remove_runs(&bench.store, bench.former, 0, go_on);
        hit = bench.files.hit;
        unsigned names = 0;
        for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
            names += has_name(&bench, i);
        assert_in_range(names, 0, hit ? 1 : 0);
        bench_done(&bench);
    }
    assert_true(sweeps > BUILDER_MERGED_RUNS * (CALLS_A_NAME + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_bytes_go_in_pieces),
        cmocka_unit_test(test_what_is_still_read_stays_whole),
        cmocka_unit_test(test_a_stop_ends_it),
        cmocka_unit_test(test_a_failure_costs_space_only),
    };
    return cmocka_run_group_tests_name("builder_remove", tests, NULL, NULL);
}
