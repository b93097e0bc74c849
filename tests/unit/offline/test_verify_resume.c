/* A verification that is interrupted after every segment goes on, and trusts nothing that has changed since. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "history.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "contract/store_driver.h"
#include "offline/verify.h"
#include "store/adopt.h"
#include "store/embedded/embedded_store.h"

#define EVENTS 60

struct world {
    struct memory_files disk;
    struct memory_files scratch;
    struct store_head head;
    bool stop;
    uint32_t segments_seen;
};

static struct event_store *open_store(struct world *world)
{
    const struct embedded_options options = {.segment_max_bytes = 64 * 1024, .segment_max_events = 10};
    struct event_store *store = NULL;
    assert_status_ok(
        embedded_store_open(&world->disk.files, &options, &system_clock, &system_entropy, NULL, &store));
    return store;
}

static void world_init(struct world *world)
{
    *world = (struct world){.disk = memory_files_empty(), .scratch = memory_files_empty()};
    struct event_store *store = open_store(world);
    struct store_driver driver;
    store_driver_init(&driver, store);
    for (int i = 1; i <= EVENTS; i++) {
        char aggregate[32];
        snprintf(aggregate, sizeof aggregate, "a-%d", i % 7);
        const struct append_event event = numbered_event(&driver, i, aggregate, "custom", "custom");
        const struct append append = sample_append(&event, 1);
        manual_clock_advance_ms(&driver.clock, 1);
        assert_int_equal(store_driver_append(&driver, &append).kind, APPEND_ACCEPTED);
    }
    world->head = store_driver_head(&driver);
    store_driver_done(&driver);
    event_store_close(store);
}

static void world_done(struct world *world)
{
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    assert_int_equal(memory_files_open_count(&world->scratch), 0);
    memory_files_done(&world->disk);
    memory_files_done(&world->scratch);
}

static bool wants_stop(void *context)
{
    return ((struct world *)context)->stop;
}

static void note_progress(void *context, const struct verify_report *so_far)
{
    ((struct world *)context)->segments_seen = so_far->segment_count;
    assert_true(so_far->bytes <= so_far->total_bytes);
}

static struct status verify(struct world *world, struct verify_report *ret)
{
    const struct verify_options options = {
        .on_progress = note_progress,
        .wants_stop = wants_stop,
        .context = world,
        .scratch = &world->scratch.files,
        .scratch_name = "c.ids",
        .checkpoint_name = "c",
        .checkpoint_every_ms = 3600 * 1000,
    };
    return verify_store(&world->disk.files, &options, &system_clock, &system_entropy, ret);
}

static bool exists(struct world *world, const char *name)
{
    struct file *file = NULL;
    const struct status status = files_open(&world->scratch.files, name, FILE_READ, &file);
    file_close(file);
    return status.code == STATUS_OK;
}

static void assert_good(const struct world *world, const struct verify_report *report)
{
    assert_int_equal(report->head_position, world->head.position);
    assert_int_equal(report->aggregate_count, world->head.aggregate_count);
    assert_memory_equal(report->chain.bytes, world->head.chain.bytes, SHA256_BYTES);
    assert_true(report->clean);
    assert_true(report->segment_count >= 6);
}

static void test_it_goes_on_segment_by_segment(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    struct verify_report whole;
    world_init(&world);
    assert_status_ok(verify(&world, &whole));
    assert_good(&world, &whole);
    assert_int_equal(whole.resumed_position, 0);
    world.stop = true;
    for (int64_t verified = 0; verified + 10 < EVENTS; verified += 10) {
        const struct status status = verify(&world, &report);
        assert_int_equal(status.code, STATUS_CANCELLED);
        assert_int_equal(report.resumed_position, verified);
        assert_int_equal(report.head_position, verified + 10);
        assert_true(exists(&world, "c") && exists(&world, "c.ids"));
    }
    assert_status_ok(verify(&world, &report));
    assert_good(&world, &report);
    assert_int_equal(report.resumed_position, EVENTS - 10);
    assert_int_equal(report.segment_count, whole.segment_count);
    assert_false(exists(&world, "c"));
    assert_false(exists(&world, "c.ids"));
    world_done(&world);
}

/* What comes after the checkpoint is compared with what came before it: versions, the chain, ids. */
static void stop_after_the_first(struct world *world)
{
    struct verify_report report;
    world->stop = true;
    assert_status(verify(world, &report), STATUS_CANCELLED);
    assert_int_equal(report.head_position, 10);
    world->stop = false;
}

static void test_events_that_came_since_are_read(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    world_init(&world);
    stop_after_the_first(&world);
    struct event_store *store = open_store(&world);
    struct store_driver driver;
    store_driver_init(&driver, store);
    manual_clock_advance_ms(&driver.clock, 5000);
    const struct append_event event = sample_event("new", "a-1", "custom", "custom");
    const struct append append = sample_append(&event, 1);
    assert_int_equal(store_driver_append(&driver, &append).kind, APPEND_ACCEPTED);
    world.head = store_driver_head(&driver);
    store_driver_done(&driver);
    event_store_close(store);
    assert_status_ok(verify(&world, &report));
    assert_good(&world, &report);
    assert_int_equal(report.resumed_position, 10);
    world_done(&world);
}

static void test_damage_after_the_checkpoint_is_found(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    world_init(&world);
    stop_after_the_first(&world);
    assert_true(memory_files_damage(&world.disk, "main/log/00000000000000000021.seg", 4300, 1));
    const struct status status = verify(&world, &report);
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_non_null(strstr(status.message, "00000000000000000021.seg"));
    assert_true(exists(&world, "c")); /* what was verified stays so */
    world_done(&world);
}

static void test_a_checkpoint_that_does_not_fit_is_said_and_all_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *file; /* in the scratch folder; NULL = the store's first segment */
        uint64_t offset;
        const char *said;
    } stories[] = {
        {"a checkpoint that was altered", "c", 40, "was altered"},
        {"a checkpoint that is none", "c", 0, "is no checkpoint"},
        {"ids that were altered", "c.ids", 5, "scratch file c.ids"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
        struct world world;
        struct verify_report report;
        world_init(&world);
        stop_after_the_first(&world);
        assert_true(memory_files_damage(&world.scratch, stories[i].file, stories[i].offset, 1));
        assert_status_ok(verify(&world, &report));
        assert_good(&world, &report);
        assert_int_equal(report.resumed_position, 0);
        if (strstr(report.resume_refused, stories[i].said) == NULL)
            fail_msg("%s: %s", stories[i].why, report.resume_refused);
        world_done(&world);
    }
}

static void test_a_checkpoint_of_another_store_is_not_used(void **state)
{
    (void)state;
    struct world world;
    struct world other;
    struct verify_report report;
    world_init(&world);
    world_init(&other);
    stop_after_the_first(&world);
    const struct memory_files kept = other.disk;
    other.disk = world.disk;
    world.disk = kept;
    assert_status_ok(verify(&world, &report));
    assert_non_null(strstr(report.resume_refused, "another store"));
    assert_int_equal(report.resumed_position, 0);
    world_done(&world);
    world_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_goes_on_segment_by_segment),
        cmocka_unit_test(test_events_that_came_since_are_read),
        cmocka_unit_test(test_damage_after_the_checkpoint_is_found),
        cmocka_unit_test(test_a_checkpoint_that_does_not_fit_is_said_and_all_is_read),
        cmocka_unit_test(test_a_checkpoint_of_another_store_is_not_used),
    };
    return cmocka_run_group_tests_name("verify_resume", tests, NULL, NULL);
}
