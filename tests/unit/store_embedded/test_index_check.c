/* What `strata verify` says of an index: nothing of a good one, what is wrong of any other. */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/store_embedded/index_bench.h"

#include "offline/verify.h"
#include "store/embedded/index_check.h"

#define EVENTS         70
#define PATH_MAX_BYTES 160

static struct status on_event(void *context, const struct scanned_event *event)
{
    return index_check_event(context, event);
}

/* Of a store that is closed. */
static struct status run_check_of(struct index_bench *bench, struct index_check_report *ret)
{
    struct files *files = &bench->disk.files;
    struct store_identity identity;
    CLEANUP(index_check_free_at) struct index_check *check = NULL;
    STATUS_TRY(store_identity_read(files, "main", &identity));
    STATUS_TRY(index_check_open(files, "main", &identity, &check));
    const struct log_sink sink = {.context = check, .on_event = on_event};
    const struct log_scan_options options = {0};
    struct log_scan_result found;
    STATUS_TRY(log_scan_run(files, "main", &identity, &options, &sink, &found));
    return index_check_end(check, ret);
}

static void make(struct index_bench *bench, int first_number)
{
    index_bench_init(bench);
    bench->numbers = first_number;
    assert_status_ok(index_bench_open(bench));
    index_bench_append(bench, EVENTS);
    index_bench_close(bench);
}

static void test_a_good_index_passes(void **state)
{
    (void)state;
    struct index_bench bench;
    struct index_check_report report;
    make(&bench, 0);
    assert_status_ok(run_check_of(&bench, &report));
    assert_int_equal(report.events, (EVENTS - 1) / 4 * 4); /* but for the open segment */
    assert_int_equal(report.part_count, (EVENTS - 1) / 4);
    assert_in_range(report.run_count, 1, 7);
    assert_true(report.bytes > 0);
    index_bench_done(&bench);
}

static void test_no_index_is_said(void **state)
{
    (void)state;
    struct index_bench bench;
    struct index_check_report report;
    index_bench_init(&bench);
    assert_status_ok(index_bench_open(&bench));
    index_bench_append(&bench, 2);
    index_bench_close(&bench);
    assert_status(run_check_of(&bench, &report), STATUS_NOT_FOUND);
    index_bench_done(&bench);
}

/* Valid files of the same store, but of other events: checksums alone would pass. */
static void test_an_index_of_other_events_is_named(void **state)
{
    (void)state;
    struct index_bench bench;
    struct index_bench other;
    make(&bench, 0);
    make(&other, 3); /* the same entropy makes the same store */
    struct file_entry *entries = NULL;
    static const char *const kinds[] = {".part", ".run"};
    const size_t count = index_bench_files(&other, &entries);
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        for (size_t i = 0; i < count; i++) {
            char path[PATH_MAX_BYTES];
            size_t size = 0;
            size_t own_size = 0;
            if (strstr(entries[i].name, kinds[k]) == NULL)
                continue;
            snprintf(path, sizeof path, "main/index/%s", entries[i].name);
            uint8_t *foreign = memory_files_content(&other.disk, path, &size);
            uint8_t *own = memory_files_content(&bench.disk, path, &own_size);
            assert_non_null(foreign);
            assert_non_null(own);
            index_bench_write(&bench, path, foreign, size);
            struct index_check_report report;
            const struct status status = run_check_of(&bench, &report);
            if (status.code != STATUS_DATA_LOSS || strstr(status.message, "main/index") == NULL)
                fail_msg("%s of other events: \"%s\"", path, status.message);
            index_bench_write(&bench, path, own, own_size);
            free(foreign);
            free(own);
        }
    }
    struct index_check_report report;
    assert_status_ok(run_check_of(&bench, &report));
    index_bench_done(&bench);
    index_bench_done(&other);
}

static void test_every_flipped_byte_is_named(void **state)
{
    (void)state;
    struct index_bench bench;
    make(&bench, 0);
    struct file_entry *entries = NULL;
    const size_t count = index_bench_files(&bench, &entries);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        size_t size = 0;
        snprintf(path, sizeof path, "main/index/%s", entries[i].name);
        free(memory_files_content(&bench.disk, path, &size));
        for (uint64_t offset = i % 5; offset < size; offset += 61) {
            struct index_check_report report;
            const uint8_t mask = (uint8_t)(1U << offset % 8);
            assert_true(memory_files_damage(&bench.disk, path, offset, mask));
            const struct status status = run_check_of(&bench, &report);
            if (status.code != STATUS_DATA_LOSS && status.code != STATUS_FAILED_PRECONDITION)
                fail_msg("%s flipped at %d: \"%s\"", path, (int)offset, status.message);
            assert_true(memory_files_damage(&bench.disk, path, offset, mask));
        }
    }
    index_bench_done(&bench);
}

static struct status verify(struct index_bench *bench, struct verify_report *ret)
{
    const struct verify_options options = {0};
    return verify_store(&bench->disk.files, &options, &bench->driver.clock.clock,
                        &bench->driver.entropy.entropy, ret);
}

/* `strata verify` compares it too, after all else: what it says of the log stands whatever the index is worth. */
static void test_verify_names_a_wrong_index_and_knows_the_log_good(void **state)
{
    (void)state;
    struct index_bench bench;
    struct verify_report report;
    make(&bench, 0);
    assert_status_ok(verify(&bench, &report));
    assert_int_equal(report.head_position, EVENTS);
    assert_int_equal(report.index_events, (EVENTS - 1) / 4 * 4);

    assert_true(memory_files_damage(&bench.disk, "main/index/00000000000000000005.part", 5000, 1));
    const struct status status = verify(&bench, &report);
    assert_status(status, STATUS_DATA_LOSS);
    assert_non_null(strstr(status.message, "main/index/00000000000000000005.part"));
    assert_int_equal(report.head_position, EVENTS); /* read to its end all the same */

    index_bench_write(&bench, "main/index/MANIFEST", NULL, 0);
    assert_status_ok(verify(&bench, &report)); /* an index that is missing is made at the next start */
    assert_int_equal(report.index_events, 0);
    index_bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_index_passes),
        cmocka_unit_test(test_no_index_is_said),
        cmocka_unit_test(test_an_index_of_other_events_is_named),
        cmocka_unit_test(test_every_flipped_byte_is_named),
        cmocka_unit_test(test_verify_names_a_wrong_index_and_knows_the_log_good),
    };
    return cmocka_run_group_tests_name("index_check", tests, NULL, NULL);
}
