/*
 * Simulated power losses: a store lives many lives on one disk, each ended at a random call by a random fault, drawn
 * from one seed. STRATA_POWER_LOSSES says how many losses (default 1,000, or 300 under a sanitizer; full 10,000), STRATA_SEED which histories.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "fault/traced_files.h"
#include "offline/verify.h"

#define LIVES_OF_A_DISK 12U
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DEFAULT_LOSSES 300U
#else
#define DEFAULT_LOSSES 1000U
#endif

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static void lose_unsynced(struct file *inner)
{
    memory_file_lose_unsynced(inner);
}

static void do_something(struct driver *driver, uint64_t *random)
{
    switch (random_below(random, 12)) {
    case 0:
        (void)driver_put_snapshot(driver, (size_t)random_below(random, DRIVER_SNAPSHOTS),
                                  (size_t)random_below(random, 6000))
            .code; /* noted */
        break;
    case 1:
        (void)driver_put_state(driver).code; /* noted */
        break;
    case 2:
        (void)driver_check(driver).code; /* noted */
        break;
    case 3:
    case 4:
        driver_step(driver, 6);
        break;
    case 5:
        driver_step(driver, 1001);
        break;
    default:
        (void)driver_append(driver, 1 + (size_t)random_below(random, 6), (size_t)random_below(random, 1500))
            .code;
        break;
    }
}

static void live_until_loss(struct driver *driver, struct faulty_files *faulty, uint64_t *random)
{
    static const enum fault_kind kinds[] = {FAULT_IO, FAULT_IO_AFTER, FAULT_TORN_WRITE, FAULT_NO_SPACE,
                                            FAULT_SYNC_LOST};
    /* Half of the lives see a single fault first and go on with whatever it left, as far as they are let. */
    const bool single = random_below(random, 2) == 0;
    faulty->kind = single ? kinds[random_below(random, ARRAY_SIZE(kinds))] : FAULT_IO;
    faulty->sticky = !single;
    faulty->fail_at = faulty->fit_count + 1 + (unsigned)random_below(random, 200);
    const uint64_t actions = 1 + random_below(random, 30);
    if (driver_open(driver).code != STATUS_OK)
        return;
    for (uint64_t i = 0; i < actions && driver->attempted < DRIVER_EVENTS_MAX - 100; i++)
        do_something(driver, random);
    if (random_below(random, 4) == 0)
        driver_close(driver);
}

static void crash(struct memory_files *disk, struct driver *driver, struct faulty_files *faulty,
                  uint64_t *random)
{
    faulty->kind = FAULT_IO; /* nothing that the closing does may reach the disk */
    faulty->sticky = true;
    faulty->fail_at = 1;
    driver_close(driver);
    if (random_below(random, 5) == 0)
        memory_files_crash_hard(disk);
    else
        memory_files_crash(disk, random_next(random));
    faulty->fail_at = 0;
    faulty->sticky = false;
}

static void look(struct driver *driver)
{
    assert_status_ok(driver_open(driver));
    assert_status_ok(driver_check(driver));
    assert_status_ok(driver_check_state(driver));
}

static void run_disk(uint64_t seed)
{
    uint64_t random = seed;
    struct memory_files disk = memory_files_empty();
    struct faulty_files faulty = faulty_files_over(&disk.files, 0, FAULT_IO);
    faulty.lose_unsynced = lose_unsynced;
    struct driver driver;
    driver_init(&driver, &faulty.files, random_next(&random));
    /* From segments of one batch, which roll, are indexed and merged all the time, to those of many. */
    driver.options.segment_max_events = 4 + (uint32_t)random_below(&random, 37);
    for (unsigned life = 0; life < LIVES_OF_A_DISK; life++) {
        live_until_loss(&driver, &faulty, &random);
        crash(&disk, &driver, &faulty, &random);
        look(&driver);
        if (random_below(&random, 2) == 0) {
            /* What was shown once must stay, even if the power goes right after the repair. */
            crash(&disk, &driver, &faulty, &random);
            look(&driver);
        }
        driver_close(&driver);
    }
    struct verify_report report;
    const struct verify_options options = {0};
    assert_status_ok(
        verify_store(&faulty.files, &options, &driver.clock.clock, &driver.entropy.entropy, &report));
    assert_int_equal(report.head_position, driver.acknowledged);
    driver_done(&driver);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

static void test_power_losses_lose_nothing(void **state)
{
    (void)state;
    const uint64_t losses = environment_number("STRATA_POWER_LOSSES", DEFAULT_LOSSES);
    const uint64_t first_seed = environment_number("STRATA_SEED", 1);
    const uint64_t disks = (losses + LIVES_OF_A_DISK - 1) / LIVES_OF_A_DISK;
    for (uint64_t i = 0; i < disks; i++) {
        fprintf(stderr, "power loss: STRATA_SEED=%" PRIu64 " STRATA_POWER_LOSSES=%u\n", first_seed + i,
                LIVES_OF_A_DISK);
        run_disk(first_seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_losses_lose_nothing),
    };
    return cmocka_run_group_tests_name("embedded_power_loss", tests, NULL, NULL);
}
