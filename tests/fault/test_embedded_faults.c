/*
 * Every file call of three lives of a store (made, stopped, opened, killed, opened again) fails once, in every way that
 * a disk knows; then the machine stops in one of several ways. Whatever happens: nothing acknowledged is lost, nothing
 * is invented, no failure is swallowed, no handle leaks. STRATA_FAIL_AT=57 repeats the sweeps for one call alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "fault/traced_files.h"
#include "offline/verify.h"

#define CALLS_MAX 20000U

enum ending { END_STOP, END_KILL, END_POWER_LOSS, END_POWER_LOSS_HARD, ENDING_COUNT };
static const char *const ending_names[ENDING_COUNT] = {"a clean stop", "kill -9", "power loss",
                                                       "power loss, nothing kept"};

struct world {
    struct memory_files disk;
    struct faulty_files faulty;
    struct traced_files traced;
    struct driver driver;
    int64_t log_bytes; /* what the log may hold without any fault */
};

static void lose_unsynced(struct file *inner)
{
    memory_file_lose_unsynced(inner);
}

static void world_init(struct world *world, unsigned fail_at, enum fault_kind kind, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    world->faulty = faulty_files_over(&world->disk.files, fail_at, kind);
    world->faulty.lose_unsynced = lose_unsynced;
    world->traced = traced_files_over(&world->faulty);
    /* SQLite believes what it reads from its WAL and writes it on; the log, with its checksums, must not. */
    world->traced.spare = kind == FAULT_READ_CORRUPT ? "/state/" : NULL;
    driver_init(&world->driver, &world->traced.files, seed);
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

/* kill -9: the process does nothing any more, so every call of the closing fails. */
static void kill_store(struct world *world)
{
    const int64_t before = driver_log_bytes(&world->driver);
    struct faulty_files saved = world->faulty;
    struct traced_files traced = world->traced;
    world->faulty.kind = FAULT_IO;
    world->faulty.sticky = true;
    world->faulty.fail_at = 1;
    world->traced.spare = NULL;
    driver_close(&world->driver);
    world->faulty = saved;
    world->traced = traced;
    world->log_bytes += driver_log_bytes(&world->driver) - before;
}

/* One fault must not keep the store from opening for ever. */
static void open_or_again(struct driver *driver)
{
    if (driver_open(driver).code != STATUS_OK) {
        driver_close(driver);
        assert_status_ok(driver_open(driver));
    }
}

static void live(struct driver *driver)
{
    open_or_again(driver);
    (void)driver_check(driver).code; /* a failure is noted by the driver, like all below */
    for (size_t i = 0; i < 7; i++) {
        (void)driver_append(driver, 1 + i % 3, 40 + 300 * (i % 4)).code;
        if (i == 2)
            (void)driver_put_snapshot(driver, 0, 5000).code;
        if (i == 3)
            (void)driver_put_state(driver).code;
        if (i % 2 == 1)
            driver_step(driver, i == 3 ? 1001 : 6);
        if (i == 5)
            (void)driver_put_snapshot(driver, 1, 20).code;
    }
    (void)driver_check(driver).code;
    (void)driver_check_state(driver).code;
}

static void run_lives(struct world *world)
{
    live(&world->driver);
    driver_close(&world->driver);
    live(&world->driver);
    kill_store(world);
    live(&world->driver);
}

/* With a disk that works again, everything must be there. */
static void look_afterwards(struct world *world, enum ending ending, uint64_t seed)
{
    struct driver *driver = &world->driver;
    if (ending == END_STOP)
        driver_close(driver);
    else
        kill_store(world);
    world->faulty.fail_at = 0;
    world->faulty.sticky = false;
    if (ending == END_POWER_LOSS)
        memory_files_crash(&world->disk, seed);
    if (ending == END_POWER_LOSS_HARD)
        memory_files_crash_hard(&world->disk);
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_check(driver));
    assert_status_ok(driver_check_state(driver));
    if (ending == END_POWER_LOSS) {
        /* What was shown once must stay, even if the power goes right after the repair. */
        kill_store(world);
        memory_files_crash_hard(&world->disk);
        assert_status_ok(driver_open(driver));
        assert_status_ok(driver_check(driver));
    }
    assert_status_ok(driver_append(driver, 2, 100));
    driver_step(driver, 6);
    driver_close(driver);
    struct verify_report report;
    const struct verify_options options = {0};
    assert_status_ok(verify_store(&world->traced.files, &options, &driver->clock.clock,
                                  &driver->entropy.entropy, &report));
    assert_int_equal(report.head_position, driver->acknowledged);
    assert_true(report.clean);
}

/* Failures that the store survives on purpose and without a word. */
static bool is_benign(const struct world *world)
{
    static const struct {
        const char *call;
        const char *why;
    } benign[] = {
        {"open main/log/0", "a full segment that cannot be cut costs space; the next start tries again"},
        {"size main/log/0", "the same"},
        {"truncate main/log/0", "the same"},
        {"write_at main/state/", "tidying up the WAL when closing: all of it is durable already"},
        {"read_at main/state/", "the same"},
        {"sync main/state/", "the same"},
        {"truncate main/state/", "the same"},
        {"remove main/state/", "the same"},
        {"size main/state/", "the same"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(benign); i++) {
        if (strncmp(world->traced.hit_call, benign[i].call, strlen(benign[i].call)) == 0)
            return true;
    }
    /* Space is prepared ahead of time: a full disk is reported when there is need of it, not before. */
    return world->faulty.kind == FAULT_NO_SPACE;
}

static void check_reported(struct world *world)
{
    const bool logged = driver_log_bytes(&world->driver) > world->log_bytes;
    if (world->traced.told && !world->driver.failed && !logged && !is_benign(world))
        fail_msg("the failure of \"%s\" was swallowed", world->traced.hit_call);
}

static bool run_one(unsigned fail_at, enum fault_kind kind, enum ending ending)
{
    struct world world;
    world_init(&world, fail_at, kind, 1000 + fail_at);
    run_lives(&world);
    const bool hit = world.faulty.hit;
    check_reported(&world);
    look_afterwards(&world, ending, fail_at);
    world_done(&world);
    return hit;
}

/* The others take turns with the endings: they fit so many calls that each kind of call comes many times. */
static const bool takes_all_endings[FAULT_KIND_COUNT] = {
    [FAULT_TORN_WRITE] = true,
    [FAULT_NO_SPACE] = true,
    [FAULT_SYNC_LOST] = true,
};

static void sweep(enum fault_kind kind)
{
    const char *only = getenv("STRATA_FAIL_AT");
    if (only != NULL) {
        const unsigned at = (unsigned)strtoul(only, NULL, 0);
        (void)run_one(at, kind, (enum ending)(at % ENDING_COUNT)); /* replayed for a look: hit or not */
        return;
    }
    const unsigned endings = takes_all_endings[kind] ? ENDING_COUNT : 1;
    bool hit = true;
    unsigned fail_at = 1;
    for (; fail_at < CALLS_MAX; fail_at++) {
        for (unsigned i = 0; i < endings && hit; i++) {
            const enum ending ending = (enum ending)((fail_at + i) % ENDING_COUNT);
            fprintf(stderr, "\r%s at %u, then %s            ", fault_kind_name(kind), fail_at,
                    ending_names[ending]);
            hit = run_one(fail_at, kind, ending);
        }
        if (!hit)
            break;
    }
    fprintf(stderr, "\r%s: %u calls failed once each                      \n", fault_kind_name(kind),
            fail_at - 1);
    assert_in_range(fail_at, 20, CALLS_MAX - 1);
}

static void test_a_call_that_fails_loses_nothing(void **state)
{
    (void)state;
    sweep(FAULT_IO);
}

static void test_a_call_that_works_but_reports_failure_loses_nothing(void **state)
{
    (void)state;
    sweep(FAULT_IO_AFTER);
}

static void test_a_torn_write_loses_nothing(void **state)
{
    (void)state;
    sweep(FAULT_TORN_WRITE);
}

static void test_a_full_disk_loses_nothing(void **state)
{
    (void)state;
    sweep(FAULT_NO_SPACE);
}

static void test_a_failed_sync_loses_nothing(void **state)
{
    (void)state;
    sweep(FAULT_SYNC_LOST);
}

static void test_a_corrupt_read_is_never_served(void **state)
{
    (void)state;
    sweep(FAULT_READ_CORRUPT);
}

static void test_a_short_read_is_never_served(void **state)
{
    (void)state;
    sweep(FAULT_READ_SHORT);
}

/* From the n-th call on nothing works, and the power goes: what a crash at that very moment leaves. */
static void test_power_loss_after_each_call_loses_nothing(void **state)
{
    (void)state;
    unsigned fail_at = 1;
    for (; fail_at < CALLS_MAX; fail_at++) {
        struct world world;
        world_init(&world, fail_at, FAULT_IO, 5000 + fail_at);
        world.faulty.sticky = true;
        struct driver *driver = &world.driver;
        for (int i = 0; i < 3 && !world.faulty.hit; i++) {
            if (driver_open(driver).code == STATUS_OK) {
                for (size_t j = 0; j < 7 && !world.faulty.hit; j++) {
                    (void)driver_append(driver, 1 + j % 3, 40 + 300 * (j % 4)).code; /* noted */
                    if (j == 2 && !world.faulty.hit)
                        (void)driver_put_snapshot(driver, 0, 5000).code; /* noted */
                    if (j % 2 == 1 && !world.faulty.hit)
                        driver_step(driver, j == 3 ? 1001 : 6);
                }
            }
            if (i == 1 || world.faulty.hit)
                kill_store(&world);
            else
                driver_close(driver);
        }
        const bool hit = world.faulty.hit;
        look_afterwards(&world, fail_at % 3 == 0 ? END_POWER_LOSS_HARD : END_POWER_LOSS, fail_at);
        world_done(&world);
        if (!hit)
            break;
    }
    fprintf(stderr, "power loss after each of %u calls\n", fail_at - 1);
    assert_in_range(fail_at, 100, CALLS_MAX - 1);
}

static void test_a_full_disk_refuses_and_recovers_by_itself(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 0, FAULT_NONE, 77);
    struct driver *driver = &world.driver;
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_append(driver, 1, 100));
    world.traced.full = true;
    struct status refused = status_ok();
    int accepted = 0; /* into the space that was prepared before */
    for (; accepted < 100 && refused.code == STATUS_OK; accepted++)
        refused = driver_append(driver, 1, 2000);
    assert_in_range(accepted, 2, 99);
    assert_int_equal(refused.reason, REASON_STORE_FAILED);
    assert_true(refused.retry_after_ms > 0);
    assert_non_null(strstr(refused.message, "no space"));
    assert_status_ok(driver->store->ops->health(driver->store));
    assert_reason(driver_append(driver, 1, 2000), REASON_STORE_FAILED);
    driver_step(driver, 1001); /* preparing ahead fails as well and must not end the store */
    world.traced.full = false;
    assert_status_ok(driver_append(driver, 1, 2000));
    assert_status_ok(driver_check(driver));
    world_done(&world);
}

/* The last frame, neither sealed nor remembered: alone the second reading tells it from a torn one. */
static void test_a_reading_that_goes_wrong_cuts_nothing_off(void **state)
{
    (void)state;
    bool hit = true;
    for (unsigned fail_at = 1; hit; fail_at++) {
        struct world world;
        world_init(&world, 0, FAULT_READ_CORRUPT, 31);
        assert_status_ok(driver_open(&world.driver));
        assert_status_ok(driver_append(&world.driver, 1, 7000));
        kill_store(&world);
        world.faulty.fit_count = 0;
        world.faulty.fail_at = fail_at;
        open_or_again(&world.driver); /* compares with what was acknowledged */
        assert_status_ok(driver_check(&world.driver));
        hit = world.faulty.hit;
        world_done(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_disk_refuses_and_recovers_by_itself),
        cmocka_unit_test(test_a_reading_that_goes_wrong_cuts_nothing_off),
        cmocka_unit_test(test_a_call_that_fails_loses_nothing),
        cmocka_unit_test(test_a_call_that_works_but_reports_failure_loses_nothing),
        cmocka_unit_test(test_a_torn_write_loses_nothing),
        cmocka_unit_test(test_a_full_disk_loses_nothing),
        cmocka_unit_test(test_a_failed_sync_loses_nothing),
        cmocka_unit_test(test_a_corrupt_read_is_never_served),
        cmocka_unit_test(test_a_short_read_is_never_served),
        cmocka_unit_test(test_power_loss_after_each_call_loses_nothing),
    };
    return cmocka_run_group_tests_name("embedded_faults", tests, NULL, NULL);
}
