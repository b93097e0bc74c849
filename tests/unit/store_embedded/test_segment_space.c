/* How much space is kept ready ahead of the frames. */
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/manual_clock.h"
#include "support/memory_files.h"
#include "support/seeded_entropy.h"

#include "store/embedded/segment_space_internal.h"

#define KIB         1024U
#define MAX_BYTES   (4096U * KIB)
#define STEP_BYTES  (64U * KIB)
#define FRAME_BYTES (32U * KIB)

struct world {
    struct memory_files disk;
    struct manual_clock clock;
    struct seeded_entropy entropy;
    struct store_identity identity;
    struct segment_log *log;
    struct log_point head;
    uint8_t frame[FRAME_BYTES];
};

static void world_init(struct world *world, uint64_t disk_bytes, uint32_t max_events)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    memory_files_limit(&world->disk, disk_bytes);
    world->clock = manual_clock_at_us(INT64_C(1700000000000000));
    world->entropy = seeded_entropy_from(5);
    assert_status_ok(files_mkdir(&world->disk.files, "main"));
    assert_status_ok(files_mkdir(&world->disk.files, "main/log"));
    const struct segment_log_options options = {
        .files = &world->disk.files,
        .store_id = "main",
        .identity = &world->identity,
        .clock = &world->clock.clock,
        .entropy = &world->entropy.entropy,
        .segment_max_bytes = MAX_BYTES,
        .segment_max_events = max_events,
        .step_bytes = STEP_BYTES,
        .segments_max = SEGMENTS_MAX,
    };
    assert_status_ok(segment_log_new(&options, &world->log));
}

static void world_done(struct world *world)
{
    segment_log_free(world->log);
    memory_files_done(&world->disk);
}

/* A frame that says it has `events`. */
static void append_frame(struct world *world, uint32_t events)
{
    struct frame_header header = {
        .kind = FRAME_EVENTS,
        .entries_bytes = FRAME_BYTES - FRAME_HEADER_BYTES,
        .count = events,
        .first_position = world->head.position + 1,
    };
    enum append_fate fate = FRAME_NOT_WRITTEN;
    uint32_t segment = 0;
    uint64_t offset = 0;
    assert_status_ok(segment_log_append(world->log, &header, world->frame, sizeof world->frame, &world->head,
                                        &fate, &segment, &offset));
    world->head.position += events;
}

/* One event in a frame, then the rounds that the preparing thread would make beside the next. */
static void append(struct world *world)
{
    append_frame(world, 1);
    for (int i = 0; i < 3; i++)
        segment_log_prepare(world->log);
}

static uint64_t file_bytes(const struct world *world, uint32_t segment)
{
    uint64_t bytes = 0;
    assert_status_ok(file_size(segment_log_at(world->log, segment)->file, &bytes));
    return bytes;
}

static uint64_t last_file_bytes(const struct world *world)
{
    return file_bytes(world, segment_log_count(world->log) - 1);
}

static void fill_segment(struct world *world)
{
    const uint32_t count = segment_log_count(world->log);
    while (segment_log_count(world->log) == count)
        append(world);
}

/* Zeros that are added to the file that is appended to would hold up its syncs. */
static void test_only_the_first_segment_grows_beside_its_frames(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 1000);
    append(world);
    for (int i = 0; i < 3; i++) {
        fill_segment(world);
        const uint64_t bytes = last_file_bytes(world);
        assert_in_range(bytes, MAX_BYTES - STEP_BYTES, MAX_BYTES);
        for (size_t n = 0; n + 2 < MAX_BYTES / FRAME_BYTES; n++) {
            append(world);
            assert_int_equal(last_file_bytes(world), bytes);
        }
    }
    world_done(world);
    free(world);
}

/* Segments that end by their events do not need space for the bytes that others could have. */
static void test_it_is_as_large_as_the_former_seems_to_become(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 40);
    append(world);
    fill_segment(world);
    assert_in_range(last_file_bytes(world), 40 * FRAME_BYTES + SEGMENT_HEADER_BYTES, 48 * FRAME_BYTES);
    world_done(world);
    free(world);
}

static void test_a_short_disk_is_not_taken_ahead_of_need(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, UINT64_C(40) * KIB * KIB, 1000);
    append(world);
    fill_segment(world);
    assert_in_range(last_file_bytes(world), STEP_BYTES, 3 * STEP_BYTES);
    assert_status_ok(segment_log_health(world->log));
    world_done(world);
    free(world);
}

/* To free a whole end at once holds up commits. */
static void test_a_full_segment_is_cut_to_its_end_in_pieces(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 1000);
    append(world);
    fill_segment(world);
    append_frame(world, 600);
    append_frame(world, 600); /* which no longer fit */
    assert_int_equal(segment_log_count(world->log), 3);
    const uint64_t end = segment_log_at(world->log, 1)->end;
    uint64_t before = file_bytes(world, 1);
    assert_true(before > end + 8 * 256 * KIB);
    for (int rounds = 0; before > end; rounds++) {
        segment_log_prepare(world->log);
        const uint64_t bytes = file_bytes(world, 1);
        assert_in_range(bytes, end, before);
        assert_true(before - bytes <= 256 * KIB);
        assert_in_range(rounds, 0, 2 * MAX_BYTES / (256 * KIB));
        before = bytes;
    }
    world_done(world);
    free(world);
}

/* The rest of it does not wait for the next start. */
static void test_a_clean_stop_cuts_what_is_left(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 1000);
    append(world);
    fill_segment(world);
    append_frame(world, 600);
    append_frame(world, 600);
    segment_log_prepare(world->log);
    segment_log_give_back(world->log);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(file_bytes(world, i), segment_log_at(world->log, i)->end);
    world_done(world);
    free(world);
}

static void test_it_tells_when_a_segment_is_nearly_full(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 1000);
    assert_false(segment_log_nearly_full(world->log)); /* there is none */
    for (size_t n = 0; n < MAX_BYTES / 8 * 7 / FRAME_BYTES - 1; n++) {
        append(world);
        assert_false(segment_log_nearly_full(world->log));
    }
    append(world);
    append(world);
    assert_true(segment_log_nearly_full(world->log)); /* by its bytes */
    fill_segment(world);
    assert_false(segment_log_nearly_full(world->log));
    append_frame(world, 874);
    assert_false(segment_log_nearly_full(world->log));
    append_frame(world, 1);
    assert_true(segment_log_nearly_full(world->log)); /* by its events */
    world_done(world);
    free(world);
}

/* All the space of the next one is there by then, so nothing else wakes it. */
static void test_the_preparing_thread_is_woken_when_a_segment_is_nearly_full(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, 0, 1000);
    append(world);
    fill_segment(world);
    while (!segment_log_nearly_full(world->log)) {
        for (int i = 0; i < 10; i++)
            segment_log_prepare(world->log);
        segment_log_wait(world->log, 0);
        assert_false(world->log->space.poked);
        append_frame(world, 1);
    }
    assert_true(world->log->space.poked);
    world_done(world);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_first_segment_grows_beside_its_frames),
        cmocka_unit_test(test_it_is_as_large_as_the_former_seems_to_become),
        cmocka_unit_test(test_a_short_disk_is_not_taken_ahead_of_need),
        cmocka_unit_test(test_a_full_segment_is_cut_to_its_end_in_pieces),
        cmocka_unit_test(test_a_clean_stop_cuts_what_is_left),
        cmocka_unit_test(test_it_tells_when_a_segment_is_nearly_full),
        cmocka_unit_test(test_the_preparing_thread_is_woken_when_a_segment_is_nearly_full),
    };
    return cmocka_run_group_tests_name("segment_space", tests, NULL, NULL);
}
