#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "offline/verify.h"
#include "record/record.h"
#include "store/embedded/embedded_internal.h"

struct world {
    struct memory_files disk;
    struct driver driver;
};

static void world_init(struct world *world, size_t batches)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    driver_init(&world->driver, &world->disk.files, 5);
    assert_status_ok(driver_open(&world->driver));
    for (size_t i = 0; i < batches; i++)
        assert_status_ok(driver_append(&world->driver, 2, 500));
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

static struct status verify(struct world *world, struct verify_report *ret)
{
    const struct verify_options options = {0};
    return verify_store(&world->disk.files, &options, &world->driver.clock.clock,
                        &world->driver.entropy.entropy, ret);
}

static void test_a_good_store_is_reported_in_numbers(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    struct store_head head;
    world_init(&world, 10);
    assert_status_ok(world.driver.store->ops->head(world.driver.store, &head));
    driver_close(&world.driver);
    assert_status_ok(verify(&world, &report));
    assert_int_equal(report.head_position, head.position);
    assert_int_equal(report.timestamp_us, head.timestamp_us);
    assert_memory_equal(report.chain.bytes, head.chain.bytes, SHA256_BYTES);
    assert_int_equal(report.aggregate_count, head.aggregate_count);
    assert_true(report.segment_count > 1);
    assert_true(report.bytes > 10 * 500);
    assert_int_equal(report.torn_bytes, 0);
    assert_true(report.clean);
    world_done(&world);
}

static void test_a_store_in_use_is_left_alone(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    world_init(&world, 1);
    assert_status(verify(&world, &report), STATUS_UNAVAILABLE);
    world_done(&world);
}

static void test_no_store_is_said_so(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct verify_report report;
    const struct verify_options options = {.store_id = "other"};
    struct seeded_entropy entropy = seeded_entropy_from(1);
    const struct status status =
        verify_store(&disk.files, &options, &system_clock, &entropy.entropy, &report);
    assert_int_equal(status.code, STATUS_NOT_FOUND);
    assert_non_null(strstr(status.message, "there is no store \"other\""));
    memory_files_done(&disk);
}

static void test_a_store_without_events_was_stopped_cleanly_too(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    world_init(&world, 0);
    driver_close(&world.driver);
    assert_status_ok(verify(&world, &report));
    assert_int_equal(report.head_position, 0);
    assert_true(report.clean);
    world_done(&world);
}

static void note_progress(void *context, const struct verify_report *so_far)
{
    int64_t *last = context;
    assert_true(so_far->head_position >= *last);
    *last = so_far->head_position;
}

static void test_progress_is_told_along_the_way(void **state)
{
    (void)state;
    struct world world;
    struct verify_report report;
    int64_t last = -1;
    world_init(&world, 10);
    driver_close(&world.driver);
    const struct verify_options options = {.on_progress = note_progress, .context = &last};
    assert_status_ok(verify_store(&world.disk.files, &options, &world.driver.clock.clock,
                                  &world.driver.entropy.entropy, &report));
    assert_int_equal(last, world.driver.acknowledged);
    world_done(&world);
}

static char first_id[64]; /* of the event at position 1 */

static bool note_first_id(void *context, int64_t position, struct record record)
{
    struct event_fields fields;
    (void)context;
    (void)position;
    assert_status_ok(record_decode_header(record, &fields));
    snprintf(first_id, sizeof first_id, "%.*s", BYTES_FORMAT(fields.id));
    return false;
}

/* A frame with one event that no checksum objects to, behind the end of the log. */
static void forge(struct world *world,
                  void (*change)(struct event_fields *fields, struct frame_header *header))
{
    struct store_head head;
    struct event_store *store = world->driver.store;
    assert_status_ok(store->ops->head(store, &head));
    const struct read_query all = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    assert_status_ok(store->ops->read(store, &all, note_first_id, NULL));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_head aggregate = {0};
    assert_status_ok(store->ops->aggregate(store, BYTES_LITERAL("user-1"), arena, &aggregate));
    struct event_fields fields = {
        .id = BYTES_LITERAL("forged"),
        .type = BYTES_LITERAL("custom"),
        .aggregate_id = BYTES_LITERAL("user-1"),
        .aggregate_type = BYTES_LITERAL("user"),
        .version = aggregate.exists ? aggregate.version + 1 : 1,
        .position = head.position + 1,
        .timestamp_us = head.timestamp_us + 1,
        .append_id = BYTES_LITERAL("forged"),
        .append_count = 1,
        .data = BYTES_LITERAL("{}"),
        .salt = BYTES_LITERAL("0123456789abcdef"),
    };
    struct frame_header header = {
        .kind = FRAME_EVENTS,
        .count = 1,
        .first_position = head.position + 1,
        .writer_epoch = 1,
        .commit_time_us = head.timestamp_us + 1,
        .chain_before = head.chain,
    };
    change(&fields, &header);
    const struct frame_header changed = header;
    struct buffer frame = buffer_make(0);
    struct record record;
    struct buffer bytes = buffer_make(0);
    record_encode(&fields, &bytes, &record.header_bytes);
    record.bytes = buffer_bytes(&bytes);
    const struct sha256 leaf = record_leaf(record);
    header.chain_after = chain_next(&head.chain, head.position + 1, &leaf, 1);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        header.chain_after.bytes[i] ^= changed.chain_after.bytes[i];
    assert_non_null(buffer_extend(&frame, FRAME_HEADER_BYTES));
    (void)entry_encode(record, &frame, &header.headers_crc); /* its own CRC is not needed */
    header.entries_bytes = (uint32_t)(frame.size_bytes - FRAME_HEADER_BYTES);
    while (frame.size_bytes % FRAME_ALIGN_BYTES != 0)
        buffer_add_byte(&frame, 0);
    const struct log_point before = {head.position, head.timestamp_us, head.chain};
    enum append_fate fate = FRAME_NOT_WRITTEN;
    uint32_t segment = 0;
    uint64_t offset = 0;
    assert_status_ok(segment_log_append(((struct embedded_store *)store)->segments, &header, frame.data,
                                        frame.size_bytes, &before, &fate, &segment, &offset));
    buffer_done(&frame);
    buffer_done(&bytes);
    memory_files_crash_hard(&world->disk); /* the store would not know its own log any more */
    driver_close(&world->driver);
}

static void change_nothing(struct event_fields *fields, struct frame_header *header)
{
    (void)fields;
    (void)header;
}

static void skip_a_version(struct event_fields *fields, struct frame_header *header)
{
    (void)header;
    fields->version++;
}

static void spoil_the_digest(struct event_fields *fields, struct frame_header *header)
{
    (void)header;
    fields->payload_digest = BYTES_LITERAL("0123456789abcdef0123456789abcdef");
}

static void spoil_the_chain(struct event_fields *fields, struct frame_header *header)
{
    (void)fields;
    header->chain_after.bytes[5] ^= 1;
}

static void repeat_an_id(struct event_fields *fields, struct frame_header *header)
{
    (void)header;
    fields->id = bytes_of_text(first_id);
}

static void leave_the_append_open(struct event_fields *fields, struct frame_header *header)
{
    (void)header;
    fields->append_count = 2;
}

static void test_what_checksums_cannot_see_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        void (*change)(struct event_fields *fields, struct frame_header *header);
        const char *said; /* NULL = good */
    } stories[] = {
        {"the forged frame is good by itself", change_nothing, NULL},
        {"a version that does not follow", skip_a_version, "of aggregate \"user-1\" where"},
        {"a digest that is not the payload's", spoil_the_digest, "digest does not fit"},
        {"events that do not make the chain", spoil_the_chain, "do not hash to its chain"},
        {"an id that an earlier event has", repeat_an_id, "positions 1 and "},
        {"an append without its end", leave_the_append_open, "ends inside an append"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
        struct world world;
        struct verify_report report;
        world_init(&world, 4);
        forge(&world, stories[i].change);
        const struct status status = verify(&world, &report);
        if (stories[i].said == NULL ? status.code != STATUS_OK
                                    : strstr(status.message, stories[i].said) == NULL)
            fail_msg("%s: %s", stories[i].why, status.message);
        world_done(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_store_is_reported_in_numbers),
        cmocka_unit_test(test_a_store_in_use_is_left_alone),
        cmocka_unit_test(test_no_store_is_said_so),
        cmocka_unit_test(test_a_store_without_events_was_stopped_cleanly_too),
        cmocka_unit_test(test_progress_is_told_along_the_way),
        cmocka_unit_test(test_what_checksums_cannot_see_is_seen),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
