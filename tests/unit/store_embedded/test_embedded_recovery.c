/* What a start finds and what it says about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "store/embedded/embedded_internal.h"

struct world {
    struct memory_files disk;
    struct driver driver;
};

static void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    driver_init(&world->driver, &world->disk.files, 99);
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

static void append_some(struct world *world, size_t batches)
{
    for (size_t i = 0; i < batches; i++)
        assert_status_ok(driver_append(&world->driver, 2, 700));
}

static void kill_store(struct world *world)
{
    memory_files_crash_hard(&world->disk);
    driver_close(&world->driver);
}

static struct embedded_recovery recovery_of(struct world *world)
{
    struct embedded_recovery recovery;
    embedded_store_recovery(world->driver.store, &recovery);
    return recovery;
}

static struct arena *listing;

static size_t list_segments(struct world *world, const char **ret, size_t max)
{
    arena_free(listing);
    listing = arena_new(0);
    struct file_entry *entries = NULL;
    size_t count = 0;
    size_t found = 0;
    assert_status_ok(files_list(&world->disk.files, "main/log", listing, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        if (segment_name_parse(entries[i].name) > 0 && found < max)
            ret[found++] = arena_printf(listing, "main/log/%s", entries[i].name);
    }
    return found;
}

static void check_refused(struct world *world, enum status_code code, const char *said)
{
    const struct status status = driver_open(&world->driver);
    assert_int_equal(status.code, code);
    if (strstr(status.message, said) == NULL)
        fail_msg("wanted \"%s\" in: %s", said, status.message);
}

static void test_a_new_store_is_made_and_found_again(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    assert_true(recovery_of(&world).created);
    append_some(&world, 3);
    driver_close(&world.driver);
    assert_status_ok(driver_open(&world.driver));
    const struct embedded_recovery recovery = recovery_of(&world);
    assert_false(recovery.created);
    assert_true(recovery.clean);
    assert_int_equal(recovery.head_position, world.driver.acknowledged);
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

static void test_a_kill_is_no_clean_stop(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 3);
    kill_store(&world);
    assert_status_ok(driver_open(&world.driver));
    assert_false(recovery_of(&world).clean);
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

static void test_the_log_rolls_and_full_segments_are_cut(void **state)
{
    (void)state;
    struct world world;
    const char *segments[64];
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 20);
    driver_step(&world.driver, 6);
    const size_t count = list_segments(&world, segments, ARRAY_SIZE(segments));
    assert_in_range(count, 4, 60);
    for (size_t i = 0; i + 1 < count; i++) {
        size_t size = 0;
        uint8_t *content = memory_files_content(&world.disk, segments[i], &size);
        assert_in_range(size, SEGMENT_HEADER_BYTES + 1, world.driver.options.segment_max_bytes);
        assert_false(bytes_are_zero(content + size - FRAME_ALIGN_BYTES, FRAME_ALIGN_BYTES) &&
                     content[size - 9] == 0);
        free(content);
    }
    driver_close(&world.driver);
    assert_status_ok(driver_open(&world.driver));
    assert_int_equal(recovery_of(&world).segment_count, count);
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

static void test_events_alone_fill_a_segment_too(void **state)
{
    (void)state;
    struct world world;
    const char *segments[64];
    world_init(&world);
    world.driver.options.segment_max_bytes = 1024 * 1024;
    world.driver.options.segment_max_events = 8;
    assert_status_ok(driver_open(&world.driver));
    for (size_t i = 0; i < 30; i++)
        assert_status_ok(driver_append(&world.driver, 1, 10));
    const size_t count = list_segments(&world, segments, ARRAY_SIZE(segments));
    assert_in_range(count, (size_t)world.driver.acknowledged / 8, 60);
    world_done(&world);
}

static void test_a_frame_larger_than_a_segment_gets_one_of_its_own(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    assert_status_ok(driver_append(&world.driver, 1, 3 * 1024 * 1024));
    append_some(&world, 1);
    assert_status_ok(driver_check(&world.driver));
    driver_close(&world.driver);
    assert_status_ok(driver_open(&world.driver));
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

static void test_a_lost_end_stops_the_start_and_can_be_accepted(void **state)
{
    (void)state;
    struct world world;
    const char *segments[64];
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 12);
    driver_close(&world.driver);
    const size_t count = list_segments(&world, segments, ARRAY_SIZE(segments));
    assert_true(count >= 3);
    const int64_t kept = segment_name_parse(strrchr(segments[count - 1], '/') + 1) - 1;
    assert_status_ok(files_remove(&world.disk.files, segments[count - 1]));
    check_refused(&world, STATUS_FAILED_PRECONDITION, "history ends at position");
    check_refused(&world, STATUS_FAILED_PRECONDITION, "--accept-data-loss");

    world.driver.options.accept_data_loss = true;
    const int64_t former = world.driver.acknowledged;
    world.driver.acknowledged = kept + 1; /* the record of the loss takes the next position */
    world.driver.attempted = kept + 1;
    assert_status_ok(driver_open(&world.driver));
    struct aggregate_head head = {0};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct event_store *store = world.driver.store;
    assert_status_ok(store->ops->aggregate(store, BYTES_LITERAL("$data_losses"), arena, &head));
    assert_true(head.exists);
    assert_int_equal(head.position, kept + 1);
    assert_true(former > kept);
    driver_close(&world.driver);
    world.driver.options.accept_data_loss = false;
    assert_status_ok(driver_open(&world.driver)); /* accepted once, accepted for good */
    assert_status_ok(driver_append(&world.driver, 1, 10));
    world_done(&world);
}

static void test_a_missing_segment_in_the_middle_is_damage(void **state)
{
    (void)state;
    struct world world;
    const char *segments[64];
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 12);
    driver_close(&world.driver);
    assert_true(list_segments(&world, segments, ARRAY_SIZE(segments)) >= 3);
    assert_status_ok(files_remove(&world.disk.files, segments[1]));
    check_refused(&world, STATUS_DATA_LOSS, "what lies between is missing");
    world_done(&world);
}

static struct lease take_lease(struct world *world, const char *holder)
{
    struct event_store *store = world->driver.store;
    struct lease lease;
    assert_status_ok(store->ops->lease(store, BYTES_LITERAL("relay"), bytes_of_text(holder), 1000, &lease));
    return lease;
}

static void test_missing_state_stops_the_start_and_can_be_accepted(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 3);
    assert_status_ok(driver_put_snapshot(&world.driver, 0, 100));
    struct lease lease = take_lease(&world, "former");
    driver_close(&world.driver);
    assert_status_ok(files_remove(&world.disk.files, "main/state/state.db"));
    check_refused(&world, STATUS_FAILED_PRECONDITION, "--accept-state-loss");
    world.driver.options.accept_state_loss = true;
    memset(world.driver.snapshot, 0, sizeof world.driver.snapshot);
    assert_status_ok(driver_open(&world.driver));
    assert_status_ok(driver_check(&world.driver));
    struct event_store *store =
        world.driver.store; /* who held a lease before must not be taken for who holds it now */
    assert_status(store->ops->checkpoint_put(store, BYTES_LITERAL("relay"), 1, lease.epoch),
                  STATUS_FAILED_PRECONDITION);
    assert_true(take_lease(&world, "next").epoch > lease.epoch);
    driver_close(&world.driver);
    world.driver.options.accept_state_loss = false;
    assert_status_ok(driver_open(&world.driver));
    world_done(&world);
}

static void test_a_missing_store_file_beside_a_log_stops_the_start(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    driver_close(&world.driver);
    assert_status_ok(files_remove(&world.disk.files, "main/STORE"));
    check_refused(&world, STATUS_FAILED_PRECONDITION, "main/STORE is missing beside a log");
    world_done(&world);
}

static void test_an_older_state_beside_a_newer_log_stops_the_start(void **state)
{
    (void)state;
    struct world world;
    size_t size = 0;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    driver_close(&world.driver);
    uint8_t *backup = memory_files_content(&world.disk, "main/state/state.db", &size);
    assert_non_null(backup);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    driver_close(&world.driver);
    struct file *file = NULL;
    assert_status_ok(files_open(&world.disk.files, "main/state/state.db", FILE_WRITE, &file));
    assert_status_ok(file_truncate(file, 0));
    assert_status_ok(file_write_at(file, 0, backup, size));
    file_close(file);
    free(backup);
    check_refused(&world, STATUS_FAILED_PRECONDITION, "after the clean stop");
    world_done(&world);
}

static void test_a_store_is_locked_while_it_is_open(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    struct event_store *second = NULL;
    assert_status(embedded_store_open_stepped(&world.disk.files, &world.driver.options,
                                              &world.driver.clock.clock, &world.driver.entropy.entropy, NULL,
                                              &second),
                  STATUS_UNAVAILABLE);
    world_done(&world);
}

static void test_read_only_writes_nothing_and_needs_a_store(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.driver.options.read_only = true;
    assert_status(driver_open(&world.driver), STATUS_NOT_FOUND);
    world.driver.options.read_only = false;
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 3);
    assert_status_ok(driver_put_snapshot(&world.driver, 1, 100));
    kill_store(&world); /* the snapshot lies in the WAL alone */
    world.driver.options.read_only = true;
    assert_status_ok(driver_open(&world.driver));
    assert_status_ok(driver_check(&world.driver));
    assert_status_ok(driver_check_state(&world.driver));
    assert_reason(driver_append(&world.driver, 1, 10), REASON_STORE_FAILED);
    assert_reason(driver_put_state(&world.driver), REASON_STORE_FAILED);
    driver_close(&world.driver);
    world.driver.state.attempted = 0;
    world.driver.options.read_only = false;
    assert_status_ok(driver_open(&world.driver));
    assert_false(recovery_of(&world).clean);
    world_done(&world);
}

static void test_impossible_options_are_refused_by_name(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.driver.options.segment_max_bytes = 100;
    check_refused(&world, STATUS_INVALID_ARGUMENT, "the segment size is 100; set it between");
    world.driver.options.segment_max_bytes = 0;
    world.driver.options.store_id = "../elsewhere";
    check_refused(&world, STATUS_INVALID_ARGUMENT, "the store id is \"../elsewhere\"");
    world_done(&world);
}

static void test_leftovers_of_an_interrupted_repair_are_removed(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    driver_close(&world.driver);
    struct file *file = NULL;
    assert_status_ok(files_open(&world.disk.files, "main/log/00000000000000000001.seg.tmp",
                                FILE_WRITE | FILE_CREATE, &file));
    file_close(file);
    assert_status_ok(driver_open(&world.driver));
    size_t size = 0;
    assert_null(memory_files_content(&world.disk, "main/log/00000000000000000001.seg.tmp", &size));
    world_done(&world);
}

static void test_a_seal_follows_the_last_commit(void **state)
{
    (void)state;
    struct world world;
    const char *segments[8];
    world_init(&world);
    assert_status_ok(driver_open(&world.driver));
    append_some(&world, 1);
    driver_step(&world.driver, 6);
    kill_store(&world);
    const size_t count = list_segments(&world, segments, ARRAY_SIZE(segments));
    size_t size = 0;
    uint8_t *content = memory_files_content(&world.disk, segments[count - 1], &size);
    struct frame_header header = {0};
    const char *why = NULL;
    uint64_t at = SEGMENT_HEADER_BYTES;
    assert_int_equal(frame_header_decode(content + at, &header, &why), FRAME_GOOD);
    assert_int_equal(header.kind, FRAME_EVENTS);
    at += frame_padded_bytes(header.entries_bytes);
    assert_int_equal(frame_header_decode(content + at, &header, &why), FRAME_GOOD);
    assert_int_equal(header.kind, FRAME_SEAL);
    assert_int_equal(header.first_position, world.driver.acknowledged + 1);
    free(content);
    world_done(&world);
}

static int free_listing(void **state)
{
    (void)state;
    arena_free(listing);
    listing = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_store_is_made_and_found_again),
        cmocka_unit_test(test_a_kill_is_no_clean_stop),
        cmocka_unit_test(test_the_log_rolls_and_full_segments_are_cut),
        cmocka_unit_test(test_events_alone_fill_a_segment_too),
        cmocka_unit_test(test_a_frame_larger_than_a_segment_gets_one_of_its_own),
        cmocka_unit_test(test_a_lost_end_stops_the_start_and_can_be_accepted),
        cmocka_unit_test(test_a_missing_segment_in_the_middle_is_damage),
        cmocka_unit_test(test_missing_state_stops_the_start_and_can_be_accepted),
        cmocka_unit_test(test_a_missing_store_file_beside_a_log_stops_the_start),
        cmocka_unit_test(test_an_older_state_beside_a_newer_log_stops_the_start),
        cmocka_unit_test(test_a_store_is_locked_while_it_is_open),
        cmocka_unit_test(test_read_only_writes_nothing_and_needs_a_store),
        cmocka_unit_test(test_impossible_options_are_refused_by_name),
        cmocka_unit_test(test_leftovers_of_an_interrupted_repair_are_removed),
        cmocka_unit_test(test_a_seal_follows_the_last_commit),
    };
    return cmocka_run_group_tests_name("embedded_recovery", tests, NULL, free_listing);
}
