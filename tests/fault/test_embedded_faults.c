/*
 * Every file call of three lives of a store (made, stopped, opened, killed, opened again) fails once, in every way that
 * a disk knows; then the machine stops in one of several ways. Whatever happens: nothing acknowledged is lost, nothing
 * is invented, no failure is swallowed, no handle leaks. Segments of a few events make the lives long: they roll, seal,
 * are cut, indexed and merged all the time, between snapshots and state.
 *
 * STRATA_FAULT_SHARE=n lets each n-th call fail (default 6, or 31 under a sanitizer; 1 = all, which must be at least
 * 2,000). STRATA_FAIL_AT=57 repeats the sweeps for one call alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "fault/traced_files.h"
#include "offline/verify.h"

#define CALLS_MAX    20000U
#define FAULTS_LEAST 2000U /* single-call faults of a whole sweep */
/* A sanitizer makes each call ten times as dear; the plain build has the larger share. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE_DEFAULT 31U
#else
#define SHARE_DEFAULT 6U
#endif
#define SEGMENT_EVENTS 5U

static unsigned share;         /* each so manieth call fails */
static unsigned faults_so_far; /* calls that failed, over all kinds */

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
    world->driver.options.segment_max_events = SEGMENT_EVENTS;
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

static void put_something(struct driver *driver, size_t turn)
{
    if (turn == 2)
        (void)driver_put_snapshot(driver, 0, 5000)
            .code; /* a failure is noted by the driver, like all below */
    if (turn == 3)
        (void)driver_put_state(driver).code;
    if (turn == 5)
        (void)driver_put_snapshot(driver, 1, 20).code;
    if (turn == 7)
        (void)driver_put_snapshot(driver, 0, 9000).code; /* in the place of another */
}

#define BATCHES_A_LIFE 9U

static void live(struct driver *driver)
{
    open_or_again(driver);
    (void)driver_check(driver).code;
    for (size_t i = 0; i < BATCHES_A_LIFE; i++) {
        (void)driver_append(driver, 1 + i % 3, 40 + 300 * (i % 4)).code;
        put_something(driver, i);
        if (i % 2 == 1)
            driver_step(driver, i == 3 ? 1001 : 6);
    }
    driver_step(driver, 6); /* preparing ahead that failed is told by then */
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
        {"free_bytes .", "a disk that cannot say how much is free says when space is allocated"},
        {"remove main/log/next.", "space that is not given back at a stop: the next start removes the file"},
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
        fail_msg("the failure of \"%s\" was swallowed (STRATA_FAIL_AT=%u)", world->traced.hit_call,
                 world->faulty.fail_at);
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

/* In a whole sweep. The others take turns with the endings: they fit so many calls that each kind comes many times. */
static const bool takes_all_endings[FAULT_KIND_COUNT] = {
    [FAULT_TORN_WRITE] = true,
    [FAULT_NO_SPACE] = true,
    [FAULT_SYNC_LOST] = true,
};

static void show_progress(enum fault_kind kind, unsigned fail_at, enum ending ending)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s at %u, then %s            \r", fault_kind_name(kind), fail_at,
                ending_names[ending]);
}

static void sweep(enum fault_kind kind)
{
    const char *only = getenv("STRATA_FAIL_AT");
    if (only != NULL) {
        const unsigned at = (unsigned)strtoul(only, NULL, 0);
        (void)run_one(at, kind, (enum ending)(at % ENDING_COUNT)); /* replayed for a look: hit or not */
        return;
    }
    const unsigned endings = takes_all_endings[kind] && share == 1 ? ENDING_COUNT : 1;
    unsigned failed = 0;
    bool hit = true;
    unsigned fail_at = 1 + (unsigned)kind % share;
    for (; hit && fail_at < CALLS_MAX; fail_at += share) {
        for (unsigned i = 0; i < endings && hit; i++) {
            const enum ending ending = (enum ending)((fail_at / share + i) % ENDING_COUNT);
            show_progress(kind, fail_at, ending);
            hit = run_one(fail_at, kind, ending);
        }
        failed += hit;
    }
    fprintf(stderr, "%s: %u calls failed once each, of about %u\n", fault_kind_name(kind), failed,
            fail_at - share);
    assert_false(hit);
    assert_true(fail_at >= 20); /* else the sweep met another scenario than it thinks */
    faults_so_far += failed;
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

static void live_until_the_fault(struct world *world)
{
    struct driver *driver = &world->driver;
    if (driver_open(driver).code != STATUS_OK)
        return;
    for (size_t i = 0; i < BATCHES_A_LIFE && !world->faulty.hit; i++) {
        (void)driver_append(driver, 1 + i % 3, 40 + 300 * (i % 4)).code; /* noted, like those below */
        if (!world->faulty.hit)
            put_something(driver, i);
        if (i % 2 == 1 && !world->faulty.hit)
            driver_step(driver, i == 3 ? 1001 : 6);
    }
}

/* From the n-th call on nothing works, and the power goes: what a crash at that very moment leaves. */
static void test_power_loss_after_each_call_loses_nothing(void **state)
{
    (void)state;
    bool hit = true;
    unsigned losses = 0;
    for (unsigned fail_at = 1; hit && fail_at < CALLS_MAX; fail_at += share) {
        struct world world;
        world_init(&world, fail_at, FAULT_IO, 5000 + fail_at);
        world.faulty.sticky = true;
        for (int i = 0; i < 3 && !world.faulty.hit; i++) {
            live_until_the_fault(&world);
            if (i == 1 || world.faulty.hit)
                kill_store(&world);
            else
                driver_close(&world.driver);
        }
        hit = world.faulty.hit;
        losses += hit;
        look_afterwards(&world, fail_at / share % 3 == 0 ? END_POWER_LOSS_HARD : END_POWER_LOSS, fail_at);
        world_done(&world);
    }
    fprintf(stderr, "power loss after each of %u calls\n", losses);
    assert_false(hit);
    assert_true(losses >= FAULTS_LEAST / share);
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

static void test_the_sweeps_were_whole(void **state)
{
    (void)state;
    fprintf(stderr, "%u single-call faults, 1 call in %u\n", faults_so_far, share);
    if (getenv("STRATA_FAIL_AT") != NULL)
        return;
    assert_true(faults_so_far >= FAULTS_LEAST / share);
}

int main(void)
{
    const char *wanted = getenv("STRATA_FAULT_SHARE");
    share = wanted == NULL || wanted[0] == '\0' ? SHARE_DEFAULT : (unsigned)strtoul(wanted, NULL, 0);
    share = share == 0 ? 1 : share;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reading_that_goes_wrong_cuts_nothing_off),
        cmocka_unit_test(test_a_call_that_fails_loses_nothing),
        cmocka_unit_test(test_a_call_that_works_but_reports_failure_loses_nothing),
        cmocka_unit_test(test_a_torn_write_loses_nothing),
        cmocka_unit_test(test_a_full_disk_loses_nothing),
        cmocka_unit_test(test_a_failed_sync_loses_nothing),
        cmocka_unit_test(test_a_corrupt_read_is_never_served),
        cmocka_unit_test(test_a_short_read_is_never_served),
        cmocka_unit_test(test_power_loss_after_each_call_loses_nothing),
        cmocka_unit_test(test_the_sweeps_were_whole),
    };
    return cmocka_run_group_tests_name("embedded_faults", tests, NULL, NULL);
}
