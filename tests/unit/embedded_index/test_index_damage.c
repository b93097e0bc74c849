/* Every byte of a small part, run and manifest flipped, every length cut: refused, never a wrong answer. */
#include "support/cmocka.h"

#include <stdlib.h>

#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"
#include "unit/embedded_index/part_model.h"

#include "store/embedded/index/index_manifest.h"

#define PART_PATH     "index/00000000000000000001.part"
#define RUN_PATH      "index/00000000000000000001-00000000000000000700.run"
#define MANIFEST_PATH "index/MANIFEST"

/* One small index, all of it. */
struct world {
    struct memory_files disk;
    struct part_model part;
    struct run_model run;
    struct part_range range;
    struct index_manifest manifest;
};

static int world_begin(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->disk = memory_files_empty();
    world->part = part_model_random(1, 700, 5, 1);
    world->run = run_model_random(&(struct model_plan){1, 700, 100, 0, 2});
    world->range = (struct part_range){1, 700};
    world->manifest = (struct index_manifest){77, &world->range, &world->range, 1, 1};
    assert_status_ok(files_mkdir(&world->disk.files, MODEL_FOLDER));
    assert_status_ok(part_model_write(&world->part, &world->disk.files, NULL));
    assert_status_ok(run_model_write(&world->run, &world->disk.files, NULL));
    assert_status_ok(index_manifest_write(&world->disk.files, MODEL_FOLDER, model_uuid, &world->manifest));
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    part_model_done(&world->part);
    run_model_done(&world->run);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
    free(world);
    return 0;
}

/* What opening says; and, when it worked, whether the answers were given (they are right then) and the check passed. */
struct seen {
    struct status opened;
    struct status answered;
    struct status checked;
};

static struct seen look_at_part(struct world *world)
{
    CLEANUP(part_close_at) struct part *part = NULL;
    struct seen seen = {.opened = part_model_open(&world->part, &world->disk.files, &part)};
    if (seen.opened.code == STATUS_OK) {
        seen.answered = part_model_compare(&world->part, part, 3);
        seen.checked = part_check(part);
    }
    return seen;
}

static struct seen look_at_run(struct world *world)
{
    CLEANUP(run_close_at) struct run *run = NULL;
    struct seen seen = {.opened = run_model_open(&world->run, &world->disk.files, &run)};
    if (seen.opened.code == STATUS_OK) {
        seen.answered = run_model_compare(&world->run, run, 4);
        seen.checked = run_check(run);
    }
    return seen;
}

static struct seen look_at_manifest(struct world *world)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct index_manifest found;
    return (struct seen){
        .opened = index_manifest_read(&world->disk.files, MODEL_FOLDER, model_uuid, arena, &found)};
}

static const struct {
    const char *path;
    struct seen (*look)(struct world *world);
} kinds[] = {
    {PART_PATH, look_at_part},
    {RUN_PATH, look_at_run},
    {MANIFEST_PATH, look_at_manifest},
};

static size_t size_of(struct world *world, const char *path)
{
    size_t size = 0;
    free(memory_files_content(&world->disk, path, &size));
    assert_true(size > 0);
    return size;
}

/* Another major version or store is a failed precondition; everything else is damage. */
static bool is_refusal(const struct status *status)
{
    return status->reason == REASON_DAMAGED ||
           (status->code == STATUS_FAILED_PRECONDITION && status->message[0] != '\0');
}

static void test_every_flipped_byte_is_refused(void **state)
{
    struct world *world = *state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        const size_t size = size_of(world, kinds[kind].path);
        size_t at_open = 0;
        size_t at_answers = 0;
        for (size_t at = 0; at < size; at++) {
            const uint8_t mask = (uint8_t)(1U << at % 8);
            assert_true(memory_files_damage(&world->disk, kinds[kind].path, at, mask));
            const struct seen seen = kinds[kind].look(world);
            if (seen.opened.code != STATUS_OK) {
                at_open++;
                if (!is_refusal(&seen.opened))
                    fail_msg("%s, byte %zu: %s", kinds[kind].path, at, seen.opened.message);
            } else if (seen.checked.reason != REASON_DAMAGED) {
                fail_msg("%s, byte %zu flipped: the check says \"%s\"", kinds[kind].path, at,
                         seen.checked.message);
            } else {
                at_answers += seen.answered.code != STATUS_OK;
            }
            assert_true(memory_files_damage(&world->disk, kinds[kind].path, at, mask));
        }
        print_message("%s: %zu bytes; refused by opening %zu, by an answer %zu, by the check alone %zu\n",
                      kinds[kind].path, size, at_open, at_answers, size - at_open - at_answers);
        assert_status_ok(kinds[kind].look(world).opened); /* the last flip was taken back */
    }
}

static void test_a_file_cut_anywhere_is_not_opened(void **state)
{
    struct world *world = *state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        CLEANUP(file_close_at) struct file *file = NULL;
        assert_status_ok(files_open(&world->disk.files, kinds[kind].path, FILE_WRITE, &file));
        for (size_t size = size_of(world, kinds[kind].path); size-- > 0;) {
            assert_status_ok(file_truncate(file, size));
            assert_status_ok(file_sync(file));
            const struct seen seen = kinds[kind].look(world);
            if (seen.opened.reason != REASON_DAMAGED)
                fail_msg("%s cut to %zu bytes: \"%s\"", kinds[kind].path, size, seen.opened.message);
        }
    }
}

static void test_a_longer_file_is_not_opened(void **state)
{
    struct world *world = *state;
    for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        CLEANUP(file_close_at) struct file *file = NULL;
        assert_status_ok(files_open(&world->disk.files, kinds[kind].path, FILE_WRITE, &file));
        assert_status_ok(file_write_at(file, size_of(world, kinds[kind].path), "x", 1));
        assert_reason(kinds[kind].look(world).opened, REASON_DAMAGED);
    }
}

static void test_another_stores_files_are_refused_by_name(void **state)
{
    struct world *world = *state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct part *part = NULL;
    struct run *run = NULL;
    struct index_manifest manifest;
    assert_status(part_open(&world->disk.files, MODEL_FOLDER, 1, other_uuid, &part),
                  STATUS_FAILED_PRECONDITION);
    assert_status(index_manifest_read(&world->disk.files, MODEL_FOLDER, other_uuid, arena, &manifest),
                  STATUS_FAILED_PRECONDITION);
    const struct status status = run_open(&world->disk.files, MODEL_FOLDER, 1, 700, other_uuid, NULL, &run);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_string_equal(status.message,
                        RUN_PATH " belongs to another store; the index must be built anew from the log");
}

/* A file under the name of another is not believed. */
static void test_a_renamed_file_is_refused(void **state)
{
    struct world *world = *state;
    struct part *part = NULL;
    struct run *run = NULL;
    assert_status_ok(files_rename(&world->disk.files, PART_PATH, "index/00000000000000000701.part"));
    assert_reason(part_open(&world->disk.files, MODEL_FOLDER, 701, model_uuid, &part), REASON_DAMAGED);
    assert_status(part_open(&world->disk.files, MODEL_FOLDER, 1, model_uuid, &part), STATUS_NOT_FOUND);
    assert_status_ok(
        files_rename(&world->disk.files, RUN_PATH, "index/00000000000000000001-00000000000000000701.run"));
    assert_reason(run_open(&world->disk.files, MODEL_FOLDER, 1, 701, model_uuid, NULL, &run), REASON_DAMAGED);
}

/* A page of another file, right in number and checksum, does not pass: the nonces differ. */
static void test_a_page_of_another_file_is_refused(void **state)
{
    struct world *world = *state;
    size_t size = 0;
    CLEANUP(file_close_at) struct file *file = NULL;
    uint8_t *content = memory_files_content(&world->disk, RUN_PATH, &size);
    struct run *run = NULL;
    assert_non_null(content);
    assert_status_ok(files_open(&world->disk.files, PART_PATH, FILE_WRITE, &file));
    assert_status_ok(file_write_at(file, 4096, content + 4096, 4096));
    free(content);
    const struct seen seen = look_at_part(world);
    assert_status_ok(seen.opened);
    assert_int_equal(seen.answered.reason, REASON_DAMAGED);
    assert_int_equal(seen.checked.reason, REASON_DAMAGED);
    assert_status_ok(run_model_open(&world->run, &world->disk.files, &run));
    run_close(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_flipped_byte_is_refused, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_file_cut_anywhere_is_not_opened, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_longer_file_is_not_opened, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_another_stores_files_are_refused_by_name, world_begin,
                                        world_end),
        cmocka_unit_test_setup_teardown(test_a_renamed_file_is_refused, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_page_of_another_file_is_refused, world_begin, world_end),
    };
    return cmocka_run_group_tests_name("index_damage", tests, NULL, NULL);
}
