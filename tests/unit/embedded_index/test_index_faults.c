/* Every file call of writing, merging and opening fails once; the pace ends the work at every point where it is asked. */
#include "support/cmocka.h"

#include "support/faulty_files.h"
#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"
#include "unit/embedded_index/part_model.h"

#include "store/embedded/index/index_manifest.h"

#define FAULTS_MOST 2000U

struct world {
    struct part_model parts[2];
    struct run_model runs[2];
    struct run_model all;
};

static struct world world_make(void)
{
    struct world world = {0};
    for (int64_t i = 0; i < 2; i++) {
        world.parts[i] = part_model_random(1 + 300 * i, 300, 5, 1);
        world.runs[i] = run_model_random(&(struct model_plan){1 + 300 * i, 300, 30, 0, 2});
        run_model_append(&world.all, &world.runs[i]);
    }
    return world;
}

static void world_done(struct world *world)
{
    for (size_t i = 0; i < 2; i++) {
        part_model_done(&world->parts[i]);
        run_model_done(&world->runs[i]);
    }
    run_model_done(&world->all);
}

static struct status manifest_write(const struct world *world, struct files *files)
{
    const struct part_range ranges[] = {{1, 300}, {301, 600}};
    const struct part_range run = {world->all.facts.first_position, world->all.facts.last_position};
    const struct index_manifest manifest = {5, ranges, &run, 2, 1};
    return index_manifest_write(files, MODEL_FOLDER, model_uuid, &manifest);
}

/* Two segments are indexed and their runs merged. */
static struct status scenario(const struct world *world, struct files *files, const struct index_pace *pace)
{
    CLEANUP(run_close_at) struct run *first = NULL;
    CLEANUP(run_close_at) struct run *second = NULL;
    for (size_t i = 0; i < 2; i++) {
        STATUS_TRY(part_model_write(&world->parts[i], files, pace));
        STATUS_TRY(run_model_write(&world->runs[i], files, pace));
    }
    STATUS_TRY(run_model_open(&world->runs[0], files, &first));
    STATUS_TRY(run_model_open(&world->runs[1], files, &second));
    struct run *const runs[] = {first, second};
    STATUS_TRY(run_merge(files, MODEL_FOLDER, runs, 2, model_uuid, 9, pace));
    return manifest_write(world, files);
}

/* Whatever stands under a final name is whole. */
static void check_what_is_there(const struct world *world, struct memory_files *disk)
{
    for (size_t i = 0; i < 2; i++) {
        struct part *part = NULL;
        const struct status opened = part_model_open(&world->parts[i], &disk->files, &part);
        if (opened.code != STATUS_NOT_FOUND) {
            assert_status_ok(opened);
            assert_status_ok(part_check(part));
            assert_status_ok(part_model_compare(&world->parts[i], part, 1));
        }
        part_close(part);
    }
    const struct run_model *const models[] = {&world->runs[0], &world->runs[1], &world->all};
    for (size_t i = 0; i < 3; i++) {
        struct run *run = NULL;
        const struct status opened = run_model_open(models[i], &disk->files, &run);
        if (opened.code != STATUS_NOT_FOUND) {
            assert_status_ok(opened);
            assert_status_ok(run_check(run));
            assert_status_ok(run_model_compare(models[i], run, 1));
        }
        run_close(run);
    }
}

static size_t count_files(struct memory_files *disk, const char *ending)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct file_entry *entries = NULL;
    size_t count = 0;
    size_t fitting = 0;
    assert_status_ok(files_list(&disk->files, MODEL_FOLDER, arena, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(entries[i].name);
        fitting += length >= strlen(ending) && strcmp(entries[i].name + length - strlen(ending), ending) == 0;
    }
    return fitting;
}

/* True when the scenario ran through without meeting the fault. */
static bool one_fault(const struct world *world, enum fault_kind kind, unsigned fail_at)
{
    struct memory_files disk = memory_files_empty();
    struct faulty_files files = faulty_files_over(&disk.files, fail_at, kind);
    files.lose_unsynced = memory_file_lose_unsynced;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(files_sync_dir(&disk.files, "."));
    const struct status status = scenario(world, &files.files, NULL);
    const bool hit = files.hit;
    if (hit != (status.code != STATUS_OK))
        fail_msg("%s at call %u: \"%s\"", fault_kind_name(kind), fail_at, status.message);
    assert_int_equal(memory_files_open_count(&disk), 0);
    check_what_is_there(world, &disk);
    assert_int_equal(count_files(&disk, ".tmp"), 0);
    if (!hit)
        memory_files_crash_hard(&disk); /* all is durable now */
    check_what_is_there(world, &disk);
    if (!hit)
        assert_int_equal(count_files(&disk, ""), 6);
    assert_status_ok(index_remove_others(&disk.files, MODEL_FOLDER, NULL));
    assert_int_equal(count_files(&disk, ""), 0);
    memory_files_done(&disk);
    return !hit;
}

static void test_every_file_call_may_fail_once(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_IO,        FAULT_IO_AFTER,  FAULT_TORN_WRITE,
                                            FAULT_NO_SPACE,  FAULT_SYNC_LOST, FAULT_READ_CORRUPT,
                                            FAULT_READ_SHORT};
    struct world world = world_make();
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        unsigned fail_at = 1;
        while (!one_fault(&world, kinds[i], fail_at)) {
            fail_at++;
            assert_true(fail_at < FAULTS_MOST);
        }
        print_message("%s: %u calls failed\n", fault_kind_name(kinds[i]), fail_at - 1);
        assert_true(fail_at > 4);
    }
    world_done(&world);
}

/* ---- the pace ---- */

struct patience {
    unsigned asked;
    unsigned rested;
    unsigned until; /* 0 = for ever */
    /* When set: nothing stands under this run's name while it is being written. */
    struct files *files;
    const struct run_model *written;
};

static bool still_patient(void *context)
{
    struct patience *patience = context;
    patience->asked++;
    if (patience->files != NULL) {
        struct run *run = NULL;
        assert_status(run_model_open(patience->written, patience->files, &run), STATUS_NOT_FOUND);
    }
    return patience->until == 0 || patience->asked < patience->until;
}

static void rest(void *context)
{
    struct patience *patience = context;
    patience->rested++;
}

static void test_the_pace_ends_the_work_without_a_trace(void **state)
{
    (void)state;
    struct world world = world_make();
    unsigned until = 1;
    for (bool done = false; !done; until++) {
        struct memory_files disk = memory_files_empty();
        struct patience patience = {.until = until};
        const struct index_pace pace = {.go_on = still_patient, .context = &patience};
        assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
        const struct status status = scenario(&world, &disk.files, &pace);
        done = status.code == STATUS_OK;
        if (!done)
            assert_int_equal(status.code, STATUS_CANCELLED);
        assert_int_equal(count_files(&disk, ".tmp"), 0);
        check_what_is_there(&world, &disk);
        assert_int_equal(memory_files_open_count(&disk), 0);
        memory_files_done(&disk);
        assert_true(until < 1000);
    }
    assert_true(until > 10); /* five files, each asked at its begin and for each piece */
    world_done(&world);
}

/* A large file: asked for each 256 KiB or so and synced as often as it is told to, not only at the end. What computes for long
 * rests: at each page of 4 KiB, and twice for each 1024 entries that are sorted. */
static void test_large_files_are_written_and_merged_in_pieces(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct faulty_files files = faulty_files_over(&disk.files, 0, FAULT_SYNC_LOST); /* counts syncs */
    struct patience patience = {0};
    const struct index_pace pace = {2 << 20, still_patient, &patience, rest};
    struct run_model models[2];
    struct run *runs[2] = {NULL, NULL};
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    for (size_t i = 0; i < 2; i++) {
        models[i] = run_model_random(&(struct model_plan){1 + 400000 * (int64_t)i, 400000, 40, 0, 1});
        patience.files = &disk.files;
        patience.written = &models[i];
        assert_status_ok(run_model_write(&models[i], &files.files, &pace));
        patience.files = NULL;
        assert_status_ok(run_model_open(&models[i], &files.files, &runs[i]));
    }
    uint64_t bytes = run_size_bytes(runs[0]);
    assert_true(bytes > 4 << 20);
    assert_in_range(patience.asked, 2 * (bytes >> 18), 2 * (bytes >> 18) + 6);
    assert_in_range(files.fit_count, 2 * (bytes >> 21), 2 * (bytes >> 21) + 2);
    assert_true(patience.rested > 2 * ((bytes >> 12) + 2 * 400000 / 1024));
    const unsigned asked = patience.asked;
    patience.rested = 0;
    assert_status_ok(run_merge(&files.files, MODEL_FOLDER, runs, 2, model_uuid, 3, &pace));
    assert_in_range(patience.asked - asked, 2 * (bytes >> 18), 2 * (bytes >> 18) + 5);
    assert_true(patience.rested > (2 * bytes >> 12) * 9 / 10);
    patience = (struct patience){.until = 5};
    assert_status(run_merge(&files.files, MODEL_FOLDER, runs, 2, model_uuid, 3, &pace), STATUS_CANCELLED);
    assert_int_equal(patience.asked, 5); /* nothing goes on after a no */
    assert_int_equal(count_files(&disk, ".tmp"), 0);
    for (size_t i = 0; i < 2; i++) {
        run_close(runs[i]);
        run_model_done(&models[i]);
    }
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_file_call_may_fail_once),
        cmocka_unit_test(test_the_pace_ends_the_work_without_a_trace),
        cmocka_unit_test(test_large_files_are_written_and_merged_in_pieces),
    };
    return cmocka_run_group_tests_name("index_faults", tests, NULL, NULL);
}
