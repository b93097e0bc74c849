/*
 * A sync that failed, whatever the cause (a full disk shows there too when allocation is delayed), ends the appends until the
 * next start, and is never repeated: the kernel may have dropped the pages and would call the next one a success.
 */
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "fault/traced_files.h"

#include "store/embedded/embedded_internal.h"

#define APPENDS 12

struct world {
    struct memory_files disk;
    struct faulty_files faulty;
    struct traced_files traced;
    struct driver driver;
};

/* Opened; the n-th sync from now on fails and loses what it was to save. */
static void world_init(struct world *world, unsigned nth)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    world->faulty = faulty_files_over(&world->disk.files, 0, FAULT_SYNC_LOST);
    world->faulty.lose_unsynced = memory_file_lose_unsynced;
    world->traced = traced_files_over(&world->faulty);
    driver_init(&world->driver, &world->traced.files, nth);
    assert_status_ok(driver_open(&world->driver));
    world->faulty.fail_at = world->faulty.fit_count + nth;
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

/* Appends that roll segments, space prepared ahead, seals and remembered heads, until the fault is met or all is done. */
static void live_until_hit(struct world *world)
{
    for (size_t i = 0; i < APPENDS && !world->faulty.hit; i++) {
        (void)driver_append(&world->driver, 1, 900).code; /* noted by the driver */
        if (!world->faulty.hit && i % 2 == 1)
            driver_step(&world->driver, i == 5 ? 1001 : 6);
    }
}

static bool about_the_log(const struct world *world)
{
    return strstr(world->traced.hit_call, "main/log") != NULL;
}

static void check_ended(struct world *world)
{
    struct event_store *store = world->driver.store;
    const struct status health = store->ops->health(store);
    if (health.reason != REASON_STORE_FAILED)
        fail_msg("after \"%s\" failed, health says \"%s\"", world->traced.hit_call, health.message);
    const unsigned syncs = world->faulty.fit_count;
    for (int i = 0; i < 3; i++)
        assert_reason(driver_append(&world->driver, 1, 10), REASON_STORE_FAILED);
    assert_int_equal(world->faulty.fit_count, syncs);
    assert_status_ok(driver_check(&world->driver)); /* reading goes on */
}

static void test_a_failed_sync_ends_the_appends(void **state)
{
    (void)state;
    unsigned of_the_log = 0;
    unsigned nth = 1;
    for (bool hit = true; hit; nth++) {
        struct world world;
        world_init(&world, nth);
        live_until_hit(&world);
        hit = world.faulty.hit;
        if (hit && about_the_log(&world)) {
            of_the_log++;
            check_ended(&world);
        }
        world_done(&world);
    }
    assert_in_range(of_the_log, APPENDS, 1000); /* each commit's, and those of preparing, rolling, sealing */
}

/* state/ refuses as well, and never calls it want of space, which would say "free some and try again". */
static void test_a_failed_sync_of_state_is_not_taken_for_a_full_disk(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1);
    const struct status first = driver_put_state(&world.driver);
    assert_true(world.faulty.hit);
    assert_int_equal(first.reason, REASON_STORE_FAILED);
    struct event_store *store = world.driver.store;
    const unsigned syncs = world.faulty.fit_count;
    assert_reason(store->ops->state_put(store, BYTES_LITERAL("k"), BYTES_LITERAL("v")), REASON_STORE_FAILED);
    assert_int_equal(world.faulty.fit_count, syncs);
    assert_status_ok(driver_append(&world.driver, 1, 10)); /* the log is well, and so health says degraded */
    const struct status health = store->ops->health(store);
    assert_int_equal(health.code, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(health.message, "state/ takes no writes"));
    assert_non_null(strstr(health.message, "restart strata"));
    world_done(&world);
}

/* Nobody has to put anything for health to find out: the store tries each second. */
static void test_a_state_that_takes_writes_again_is_well_again(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 0);
    struct event_store *store = world.driver.store;
    assert_status_ok(driver_append(&world.driver, 1, 10));
    for (int i = 0; i < 3; i++) /* sealed and remembered: there is nothing left to write */
        driver_step(&world.driver, 1001);
    assert_status_ok(store->ops->health(store));
    world.faulty.kind = FAULT_NO_SPACE;
    world.faulty.sticky = true;
    world.faulty.fail_at = 1;
    assert_reason(driver_put_state(&world.driver), REASON_STORE_UNREACHABLE);
    world.faulty.fail_at = 0;
    world.faulty.sticky = false;
    assert_non_null(strstr(store->ops->health(store).message, "state/ takes no writes"));
    driver_step(&world.driver, 1001);
    assert_status_ok(store->ops->health(store));
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_sync_ends_the_appends),
        cmocka_unit_test(test_a_failed_sync_of_state_is_not_taken_for_a_full_disk),
        cmocka_unit_test(test_a_state_that_takes_writes_again_is_well_again),
    };
    return cmocka_run_group_tests_name("embedded_failed_sync", tests, NULL, NULL);
}
