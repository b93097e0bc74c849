/* A segment that was begun and has not got its name when the process or the machine stops; and the last one there can be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/faulty_files.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "offline/verify.h"
#include "store/embedded/embedded_internal.h"
#include "store/embedded/pool_file_internal.h"

#define FRAME_AT SEGMENT_HEADER_BYTES

struct world {
    struct memory_files disk;
    struct faulty_files faulty;
    struct driver driver;
};

static void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    world->faulty = faulty_files_over(&world->disk.files, 0, FAULT_IO);
    driver_init(&world->driver, &world->faulty.files, 7);
    world->driver.options.segment_max_events = 6;
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

/* Nothing that the closing does reaches the disk, and nothing survives but what was synced. */
static void kill_store(struct world *world)
{
    world->faulty.sticky = true;
    world->faulty.fail_at = 1;
    driver_close(&world->driver);
    world->faulty = faulty_files_over(&world->disk.files, 0, FAULT_IO);
    memory_files_crash_hard(&world->disk);
}

/* The path of the begun segment, or NULL. */
static const char *begun_path(struct world *world, char ret[STORE_PATH_BYTES])
{
    struct begun_segment begun;
    assert_status_ok(pool_find_begun(&world->disk.files, "main", &begun));
    snprintf(ret, STORE_PATH_BYTES, "main/log/%s", begun.name);
    return begun.found ? ret : NULL;
}

/* Appends until a segment is begun; no step, so it keeps the name of its pool file. */
static void begin_one(struct world *world)
{
    char path[STORE_PATH_BYTES];
    assert_status_ok(driver_open(&world->driver));
    for (int i = 0; i < 4; i++)
        assert_status_ok(driver_append(&world->driver, 2, 300));
    driver_step(&world->driver, 1001);
    assert_null(begun_path(world, path));
    while (begun_path(world, path) == NULL)
        assert_status_ok(driver_append(&world->driver, 1, 300));
}

static void seal(struct world *world)
{
    embedded_seal(embedded_of(world->driver.store));
}

static size_t count_files(struct world *world, bool pools)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct file_entry *entries = NULL;
    size_t count = 0;
    size_t found = 0;
    assert_status_ok(files_list(&world->disk.files, "main/log", arena, &entries, &count));
    for (size_t i = 0; i < count; i++)
        found += pools ? pool_name_is(entries[i].name) : segment_name_parse(entries[i].name) > 0;
    return found;
}

static void assert_goes_on(struct world *world)
{
    char path[STORE_PATH_BYTES];
    assert_status_ok(driver_open(&world->driver));
    assert_null(begun_path(world, path));
    assert_int_equal(count_files(world, true), 0);
    assert_status_ok(driver_check(&world->driver));
    for (int i = 0; i < 8; i++)
        assert_status_ok(driver_append(&world->driver, 1, 300));
    driver_close(&world->driver);
    assert_status_ok(driver_open(&world->driver));
    assert_status_ok(driver_check(&world->driver));
}

static void copy_file(struct world *world, const char *from, const char *to)
{
    size_t size = 0;
    uint8_t *content = memory_files_content(&world->disk, from, &size);
    assert_non_null(content);
    struct file *file = NULL;
    assert_status_ok(files_open(&world->disk.files, to, FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_write_at(file, 0, content, size));
    file_close(file);
    free(content);
}

static void test_the_first_frame_is_enough(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    begin_one(&world);
    const size_t named = count_files(&world, false);
    kill_store(&world);
    assert_int_equal(count_files(&world, false), named);
    assert_goes_on(&world);
    world_done(&world);
}

static void test_a_step_or_a_stop_gives_it_its_name(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    for (int stop = 0; stop < 2; stop++) {
        struct world world;
        world_init(&world);
        begin_one(&world);
        const size_t named = count_files(&world, false);
        if (stop)
            driver_close(&world.driver);
        else
            driver_step(&world.driver, 6);
        assert_null(begun_path(&world, path));
        assert_int_equal(count_files(&world, false), named + 1);
        if (!stop)
            kill_store(&world);
        assert_goes_on(&world);
        world_done(&world);
    }
}

static void test_it_is_read_without_being_changed(void **state)
{
    (void)state;
    struct world world;
    char path[STORE_PATH_BYTES];
    world_init(&world);
    begin_one(&world);
    kill_store(&world);
    struct verify_report report;
    const struct verify_options options = {0};
    assert_status_ok(verify_store(&world.disk.files, &options, &world.driver.clock.clock,
                                  &world.driver.entropy.entropy, &report));
    assert_int_equal(report.head_position, world.driver.acknowledged);
    assert_int_equal(report.segment_count, count_files(&world, false) + 1);
    assert_non_null(begun_path(&world, path));
    assert_goes_on(&world);
    world_done(&world);
}

/* The header of the named segment is written over the first page: any part of either may be there. */
static void test_a_first_page_that_is_not_whole_is_written_anew(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    static const uint64_t places[] = {0, 9, 20, 35, 41, 60, 90, 2000, SEGMENT_HEADER_BYTES - 1};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct world world;
        world_init(&world);
        begin_one(&world);
        kill_store(&world);
        assert_true(memory_files_damage(&world.disk, begun_path(&world, path), places[i], 0x40));
        assert_goes_on(&world);
        world_done(&world);
    }
}

/* Its bytes up to the last one that is not zero. */
static size_t used_bytes(struct world *world, const char *path)
{
    size_t size = 0;
    uint8_t *content = memory_files_content(&world->disk, path, &size);
    while (size > 0 && content[size - 1] == 0)
        size--;
    free(content);
    return size;
}

/* With a seal behind them: a flipped bit in acknowledged frames is never taken for a torn tail. */
static void test_damage_is_told_from_a_torn_frame(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    struct world world;
    world_init(&world);
    begin_one(&world);
    seal(&world);
    kill_store(&world);
    assert_non_null(begun_path(&world, path));
    const size_t end = used_bytes(&world, path) - FRAME_HEADER_BYTES;
    for (size_t at = FRAME_AT; at < end; at += at < FRAME_AT + FRAME_HEADER_BYTES ? 1 : 7) {
        assert_true(memory_files_damage(&world.disk, path, at, 0x10));
        const struct status status = driver_open(&world.driver);
        if (status.reason != REASON_DAMAGED && status.code != STATUS_FAILED_PRECONDITION)
            fail_msg("a flipped bit at %zu: \"%s\"", at, status.message);
        assert_non_null(begun_path(&world, path));
        assert_true(memory_files_damage(&world.disk, path, at, 0x10));
    }
    assert_goes_on(&world);
    world_done(&world);
}

static void test_what_does_not_continue_the_log_is_refused(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    char last[SEGMENT_NAME_BYTES];
    char last_path[STORE_PATH_BYTES];
    struct world world;
    world_init(&world);
    begin_one(&world);
    const struct segment_log *log = embedded_of(world.driver.store)->segments;
    segment_name_format(segment_log_at(log, segment_log_count(log) - 2)->first_position, last);
    kill_store(&world);
    snprintf(last_path, sizeof last_path, "main/log/%s", last);
    assert_status_ok(files_rename(&world.disk.files, last_path, "taken-away"));
    struct status status = driver_open(&world.driver);
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_non_null(strstr(status.message, "restore the missing segments"));
    assert_status_ok(files_rename(&world.disk.files, "taken-away", last_path));

    copy_file(&world, begun_path(&world, path), "main/log/next.99.pool");
    status = driver_open(&world.driver);
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_non_null(strstr(status.message, "both the last segment"));
    assert_status_ok(files_remove(&world.disk.files, "main/log/next.99.pool"));
    assert_goes_on(&world);
    world_done(&world);
}

static void test_a_begun_first_segment_is_no_empty_log(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    assert_status_ok(driver_append(&world.driver, 1, 300));
    kill_store(&world);
    assert_non_null(begun_path(&world, path));
    assert_int_equal(count_files(&world, false), 0);
    assert_status_ok(files_rename(&world.disk.files, "main/STORE", "taken-away"));
    const struct status status = driver_open(&world.driver);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "beside a log with events"));
    assert_status_ok(files_rename(&world.disk.files, "taken-away", "main/STORE"));
    assert_goes_on(&world);
    world_done(&world);
}

/* What was prepared, or half prepared, and not begun is worth nothing. */
static void test_unused_pool_files_are_removed(void **state)
{
    (void)state;
    char path[STORE_PATH_BYTES];
    struct world world;
    world_init(&world);
    begin_one(&world);
    while (count_files(&world, true) < 1 || begun_path(&world, path) != NULL) {
        assert_status_ok(driver_append(&world.driver, 1, 10));
        driver_step(&world.driver, 6);
    }
    kill_store(&world);
    struct file *file = NULL;
    assert_status_ok(files_open(&world.disk.files, "main/log/next.77.pool", FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_truncate(file, 100000));
    file_close(file);
    assert_null(begun_path(&world, path));
    assert_goes_on(&world);
    world_done(&world);
}

static void test_there_is_a_last_segment(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.driver.options.segments_max = 3;
    struct status refused = status_ok();
    assert_status_ok(driver_open(&world.driver));
    for (int i = 0; i < 50 && refused.code == STATUS_OK; i++)
        refused = driver_append(&world.driver, 1, 300);
    assert_int_equal(refused.reason, REASON_STORE_FAILED);
    assert_non_null(strstr(refused.message, "has 3 segments, as many as a store can have"));
    const struct status health = world.driver.store->ops->health(world.driver.store);
    assert_non_null(strstr(health.message, "has 3 segments"));
    assert_status_ok(driver_check(&world.driver));
    driver_close(&world.driver);
    assert_int_equal(count_files(&world, false), 3);
    assert_int_equal(count_files(&world, true), 0);
    assert_status_ok(driver_open(&world.driver)); /* which more of them would have kept from opening */
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_frame_is_enough),
        cmocka_unit_test(test_a_step_or_a_stop_gives_it_its_name),
        cmocka_unit_test(test_it_is_read_without_being_changed),
        cmocka_unit_test(test_a_first_page_that_is_not_whole_is_written_anew),
        cmocka_unit_test(test_damage_is_told_from_a_torn_frame),
        cmocka_unit_test(test_what_does_not_continue_the_log_is_refused),
        cmocka_unit_test(test_a_begun_first_segment_is_no_empty_log),
        cmocka_unit_test(test_unused_pool_files_are_removed),
        cmocka_unit_test(test_there_is_a_last_segment),
    };
    return cmocka_run_group_tests_name("begun_segment", tests, NULL, NULL);
}
