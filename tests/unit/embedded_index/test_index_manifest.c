#include "support/cmocka.h"

#include <stdlib.h>

#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"

#include "store/embedded/index/index_manifest.h"

#define RANGES 600U /* of 16 bytes: three pages */

static void ranges_fill(struct part_range *ranges, size_t count, int64_t last)
{
    for (size_t i = 0; i < count; i++)
        ranges[i] = (struct part_range){(int64_t)i * 250 + 1, i + 1 == count ? last : (int64_t)i * 250 + 250};
}

static void round_trip(size_t part_count, size_t run_count)
{
    struct memory_files disk = memory_files_empty();
    struct arena *arena = arena_new(0);
    struct part_range parts[RANGES];
    struct part_range runs[RANGES];
    struct index_manifest found;
    ranges_fill(parts, part_count, INT64_C(5000000000000));
    ranges_fill(runs, run_count, INT64_C(5000000000000));
    const struct index_manifest manifest = {0xFEDCBA9876543210, parts, runs, part_count, run_count};
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(files_sync_dir(&disk.files, "."));
    assert_status_ok(index_manifest_write(&disk.files, MODEL_FOLDER, model_uuid, &manifest));
    memory_files_crash_hard(&disk); /* it is durable, name and all */
    assert_status_ok(index_manifest_read(&disk.files, MODEL_FOLDER, model_uuid, arena, &found));
    assert_true(found.seed == manifest.seed);
    assert_int_equal(found.part_count, part_count);
    assert_int_equal(found.run_count, run_count);
    if (part_count > 0) {
        assert_memory_equal(found.parts, parts, part_count * sizeof *parts);
        assert_memory_equal(found.runs, runs, run_count * sizeof *runs);
    }
    arena_free(arena);
    memory_files_done(&disk);
}

static void test_a_manifest_comes_back(void **state)
{
    (void)state;
    round_trip(0, 0);
    round_trip(1, 1);
    round_trip(5, 2);
    round_trip(RANGES, RANGES - 1);
}

static void test_a_missing_manifest_is_not_found(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct index_manifest found;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status(index_manifest_read(&disk.files, MODEL_FOLDER, model_uuid, arena, &found),
                  STATUS_NOT_FOUND);
    memory_files_done(&disk);
}

static void make_file(struct files *files, const char *path)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(files, path, FILE_WRITE | FILE_CREATE, &file));
}

static const struct {
    const char *why;
    const char *path;
    bool stays;
} leftovers[] = {
    {"the manifest itself", "index/MANIFEST", true},
    {"a named part", "index/00000000000000000001.part", true},
    {"a named run", "index/00000000000000000001-00000000000000000500.run", true},
    {"a half written manifest", "index/MANIFEST.tmp", false},
    {"a half written part", "index/00000000000000000001.part.tmp", false},
    {"a part that nobody names", "index/00000000000000000251.part", false},
    {"a run that was merged", "index/00000000000000000001-00000000000000000250.run", false},
    {"a run with another first position", "index/00000000000000000002-00000000000000000500.run", false},
    {"a number that is none", "index/0000000000000000000x.part", false},
    {"a number that overflows", "index/99999999999999999999.part", false},
    {"anything else", "index/notes.txt", false},
};

static bool there_is(struct files *files, const char *path)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    const struct status opened = files_open(files, path, FILE_READ, &file);
    return opened.code == STATUS_OK;
}

static void test_files_that_nobody_names_are_removed(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    const struct part_range range = {1, 500};
    const struct index_manifest manifest = {1, &range, &range, 1, 1};
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++)
        make_file(&disk.files, leftovers[i].path);
    assert_status_ok(index_remove_others(&disk.files, MODEL_FOLDER, &manifest));
    for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++)
        if (there_is(&disk.files, leftovers[i].path) != leftovers[i].stays)
            fail_msg("%s: %s %s", leftovers[i].why, leftovers[i].path,
                     leftovers[i].stays ? "is gone" : "stayed");
    assert_status_ok(index_remove_others(&disk.files, MODEL_FOLDER, NULL));
    for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++)
        assert_false(there_is(&disk.files, leftovers[i].path));
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_manifest_comes_back),
        cmocka_unit_test(test_a_missing_manifest_is_not_found),
        cmocka_unit_test(test_files_that_nobody_names_are_removed),
    };
    return cmocka_run_group_tests_name("index_manifest", tests, NULL, NULL);
}
