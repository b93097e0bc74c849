/*
 * A disk that runs full under the store: appends are refused before anything is damaged, /health says so, stops and starts
 * still work, and all goes on by itself once there is space. The last 32 MiB are for state/ and the next start.
 */
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "fault/traced_files.h"
#include "offline/verify.h"

#define RESERVE_BYTES (UINT64_C(32) * 1024 * 1024)
#define ROOM_BYTES    (UINT64_C(512) * 1024)

struct world {
    struct memory_files disk;
    struct faulty_files faulty;
    struct traced_files traced;
    struct driver driver;
};

static void world_init(struct world *world, uint64_t capacity_bytes)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    memory_files_limit(&world->disk, capacity_bytes);
    world->faulty = faulty_files_over(&world->disk.files, 0, FAULT_NONE);
    world->traced = traced_files_over(&world->faulty);
    driver_init(&world->driver, &world->traced.files, 77);
    world->driver.options.segment_max_bytes = 64 * 1024;
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

static void kill_store(struct world *world)
{
    world->faulty.kind = FAULT_IO;
    world->faulty.sticky = true;
    world->faulty.fail_at = 1;
    driver_close(&world->driver);
    world->faulty.fail_at = 0;
    world->faulty.sticky = false;
    world->faulty.kind = FAULT_NONE;
}

static struct status health(struct world *world)
{
    return world->driver.store->ops->health(world->driver.store);
}

static uint64_t free_bytes(struct world *world)
{
    uint64_t bytes = 0;
    assert_status_ok(files_free_bytes(&world->disk.files, &bytes));
    return bytes;
}

/* Another program takes space, as the ballast file; 0 gives all of it back. */
static void take(struct world *world, uint64_t bytes)
{
    struct file *file = NULL;
    assert_status_ok(files_open(&world->disk.files, "ballast", FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_truncate(file, 0));
    assert_status_ok(file_truncate(file, bytes));
    assert_status_ok(file_sync(file));
    file_close(file);
    assert_status_ok(files_sync_dir(&world->disk.files, "."));
}

static void assert_refused_for_space(struct status refused)
{
    assert_int_equal(refused.reason, REASON_STORE_FAILED);
    assert_true(refused.retry_after_ms > 0);
    assert_non_null(strstr(refused.message, "no space"));
    assert_non_null(strstr(refused.message, "free some space"));
}

/* Until appends are refused; how many were accepted before. */
static int fill(struct world *world, size_t appends_a_batch)
{
    struct status refused = status_ok();
    int accepted = 0;
    for (; accepted < 500; accepted++) {
        refused = driver_append(&world->driver, appends_a_batch, 3000);
        if (refused.code != STATUS_OK)
            break;
    }
    assert_refused_for_space(refused);
    return accepted;
}

static void assert_goes_on(struct world *world)
{
    driver_step(&world->driver, 1001); /* what the housekeeping thread does each second */
    assert_status_ok(health(world));
    assert_status_ok(driver_append(&world->driver, 1, 3000));
    assert_status_ok(driver_check(&world->driver));
}

static void assert_stops_clean(struct world *world)
{
    struct verify_report report;
    const struct verify_options options = {0};
    driver_close(&world->driver);
    assert_status_ok(verify_store(&world->traced.files, &options, &world->driver.clock.clock,
                                  &world->driver.entropy.entropy, &report));
    assert_int_equal(report.head_position, world->driver.acknowledged);
    assert_true(report.clean);
}

/* No space can be allocated, as on a disk that others have filled; what was allocated before is used up first. */
static void test_appends_are_refused_and_go_on_by_themselves(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 0);
    struct driver *driver = &world.driver;
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_append(driver, 1, 100));
    world.traced.full = true;
    assert_true(fill(&world, 1) > 0); /* into the space that was prepared before */
    assert_reason(driver_append(driver, 9, 3000), REASON_STORE_FAILED);
    driver_step(driver, 1001); /* preparing ahead fails as well and must not end the store */
    world.traced.full = false;
    assert_status_ok(driver_append(driver, 1, 2000));
    assert_goes_on(&world);
    assert_stops_clean(&world);
    world_done(&world);
}

static void test_the_last_bytes_of_the_disk_are_left_alone(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + ROOM_BYTES);
    assert_status_ok(driver_open(&world.driver));
    assert_true(fill(&world, 3) > 10);
    /* state/ and index/ live in the reserve. */
    assert_in_range(free_bytes(&world), RESERVE_BYTES - ROOM_BYTES / 4, RESERVE_BYTES + ROOM_BYTES / 4);
    for (int i = 0; i < 3; i++)
        driver_step(&world.driver, 1001);
    assert_in_range(free_bytes(&world), RESERVE_BYTES - ROOM_BYTES / 4, RESERVE_BYTES + ROOM_BYTES / 4);
    /* state/ goes on in what was left. */
    assert_status_ok(driver_put_snapshot(&world.driver, 0, 100000));
    assert_status_ok(driver_put_state(&world.driver));
    assert_status_ok(driver_check_state(&world.driver));
    assert_stops_clean(&world);
    world_done(&world);
}

/* First a warning, then the refusal, then nothing. */
static void run_full_and_recover(struct world *world)
{
    struct driver *driver = &world->driver;
    assert_status_ok(driver_append(driver, 1, 100));
    driver_step(driver, 1001);
    assert_status_ok(health(world));
    take(world, free_bytes(world) - RESERVE_BYTES);
    while (health(world).code == STATUS_OK) {
        assert_status_ok(driver_append(driver, 1, 100));
        driver_step(driver, 6);
    }
    struct status told = health(world);
    assert_int_equal(told.code, STATUS_RESOURCE_EXHAUSTED); /* degraded: appends go on */
    assert_non_null(strstr(told.message, "soon"));
    assert_status_ok(driver_append(driver, 1, 100));
    fill(world, 3); /* what comes does not matter */
    told = health(world);
    assert_int_equal(told.reason, REASON_STORE_FAILED);
    assert_non_null(strstr(told.message, "are refused for want of space"));
    assert_non_null(strstr(told.message, "bytes are free"));
    assert_non_null(strstr(told.message, "go on by themselves"));
    driver_step(driver, 1001);
    assert_int_equal(health(world).reason,
                     REASON_STORE_FAILED); /* until space is found, not until somebody looked */
    take(world, 0);
    assert_goes_on(world);
}

static void test_health_tells_what_is_wanting(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + 4 * ROOM_BYTES);
    assert_status_ok(driver_open(&world.driver));
    run_full_and_recover(&world);
    run_full_and_recover(&world); /* nothing of the first time is left */
    assert_stops_clean(&world);
    world_done(&world);
}

static void test_a_store_on_a_full_disk_stops_and_starts(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + ROOM_BYTES);
    struct driver *driver = &world.driver;
    assert_status_ok(driver_open(driver));
    assert_true(fill(&world, 3) > 10);
    for (int i = 0; i < 3; i++) {
        assert_stops_clean(&world);
        assert_status_ok(driver_open(driver));
        assert_status_ok(driver_check(driver));
        fill(&world, 3); /* some appends may fit into what the stop gave back */
        kill_store(&world);
        assert_status_ok(driver_open(driver));
        assert_status_ok(driver_check(driver));
        fill(&world, 3);
    }
    memory_files_limit(&world.disk, 0);
    assert_goes_on(&world);
    assert_stops_clean(&world);
    world_done(&world);
}

/* Others took the reserve too: a stop has what it gives back, and a start needs nothing of what was prepared ahead. */
static void test_a_store_without_a_free_byte_stops_clean_and_starts(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + ROOM_BYTES);
    struct driver *driver = &world.driver;
    driver->options.segment_max_bytes = ROOM_BYTES / 4; /* what is prepared ahead grows with it */
    assert_status_ok(driver_open(driver));
    driver_close(driver); /* moves the tables of a new state.db from its WAL into the file */
    assert_status_ok(driver_open(driver));
    for (int i = 0; i < 4; i++)
        assert_status_ok(driver_append(driver, 1, 3000));
    driver_step(driver, 1001);
    take(&world, free_bytes(&world));
    assert_int_equal(free_bytes(&world), 0);
    assert_stops_clean(&world);
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_check(driver));
    fill(&world, 3);
    take(&world, 0);
    assert_goes_on(&world);
    assert_stops_clean(&world);
    world_done(&world);
}

/* After kill -9 what was prepared for the next segment is still there, and state/ is opened first. */
static void test_a_start_without_a_free_byte_gives_state_the_space_of_the_pool(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + ROOM_BYTES);
    struct driver *driver = &world.driver;
    driver->options.segment_max_bytes = ROOM_BYTES / 4;
    assert_status_ok(driver_open(driver));
    for (int i = 0; i < 12; i++)
        assert_status_ok(driver_append(driver, 1, 4000));
    for (int i = 0; i < 9; i++) /* a round prepares one piece */
        driver_step(driver, 1001);
    kill_store(&world);
    take(&world, free_bytes(&world));
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_check(driver));
    fill(&world, 3);
    take(&world, 0);
    assert_goes_on(&world);
    assert_stops_clean(&world);
    world_done(&world);
}

static void leave_torn_tail(struct world *world)
{
    assert_status_ok(driver_open(&world->driver));
    assert_status_ok(driver_append(&world->driver, 1, 3000));
    driver_step(&world->driver, 1001);
    world->faulty = faulty_files_over(&world->disk.files, 1, FAULT_TORN_WRITE);
    assert_reason(driver_append(&world->driver, 1, 3000), REASON_OUTCOME_UNKNOWN);
    assert_true(world->faulty.hit);
    kill_store(world);
}

/* Recovery must not need space for a copy of the segment. */
static void test_a_torn_tail_on_a_full_disk_is_cleared(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, RESERVE_BYTES + ROOM_BYTES);
    struct driver *driver = &world.driver;
    leave_torn_tail(&world);
    take(&world, free_bytes(&world) - 200000); /* a part of the reserve, and smaller than the log will be */
    struct embedded_recovery recovery;
    assert_status_ok(driver_open(driver));
    embedded_store_recovery(driver->store, &recovery);
    assert_true(recovery.torn_bytes > 0);
    assert_status_ok(driver_check(driver));
    fill(&world, 3);
    assert_stops_clean(&world);
    take(&world, 0);
    assert_status_ok(driver_open(driver));
    assert_goes_on(&world);
    assert_stops_clean(&world);
    world_done(&world);
}

/* Nor for the torn bytes themselves: they are given up, with a word in the log. */
static void test_torn_bytes_without_space_to_keep_them_do_not_stop_the_start(void **state)
{
    (void)state;
    bool hit = true;
    int started = 0;
    for (unsigned fail_at = 1; hit; fail_at++) {
        struct world world;
        world_init(&world, 0);
        struct driver *driver = &world.driver;
        leave_torn_tail(&world);
        const int64_t log_bytes = driver_log_bytes(driver);
        world.faulty = faulty_files_over(&world.disk.files, fail_at, FAULT_NO_SPACE);
        world.traced.hit_call[0] = '\0';
        const struct status opened = driver_open(driver);
        hit = world.faulty.hit;
        if (hit && strstr(world.traced.hit_call, ".torn") != NULL) {
            assert_status_ok(opened);
            assert_true(driver_log_bytes(driver) > log_bytes);
            started++;
        }
        if (opened.code != STATUS_OK)
            assert_status_ok(driver_open(driver));
        driver_step(driver, 1001); /* preparing space may be what fails */
        assert_goes_on(&world);
        assert_stops_clean(&world);
        world_done(&world);
    }
    assert_int_equal(started, 2); /* the file could not be made, and could not be written */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_are_refused_and_go_on_by_themselves),
        cmocka_unit_test(test_the_last_bytes_of_the_disk_are_left_alone),
        cmocka_unit_test(test_health_tells_what_is_wanting),
        cmocka_unit_test(test_a_store_on_a_full_disk_stops_and_starts),
        cmocka_unit_test(test_a_store_without_a_free_byte_stops_clean_and_starts),
        cmocka_unit_test(test_a_start_without_a_free_byte_gives_state_the_space_of_the_pool),
        cmocka_unit_test(test_a_torn_tail_on_a_full_disk_is_cleared),
        cmocka_unit_test(test_torn_bytes_without_space_to_keep_them_do_not_stop_the_start),
    };
    return cmocka_run_group_tests_name("embedded_full_disk", tests, NULL, NULL);
}
