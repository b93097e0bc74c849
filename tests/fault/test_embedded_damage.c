/*
 * Bytes that change on their own: every single one of a 32 KiB log and random ones of a 100 MB log that were stopped
 * cleanly, and those of a log under a running store. Each is named, by the start or by verify, and none is served. So
 * are files that are missing or of another time.
 *
 * STRATA_DAMAGE_SHARE=n flips each n-th byte of the small logs (default 11, or 37 under a sanitizer; full 1);
 * STRATA_DAMAGE_FLIPS says how many of the large one (default 8, full 500).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "fault/driver.h"
#include "offline/verify.h"
#include "store/embedded/embedded_internal.h"

#define LOG_FILES_MAX   32U
#define SMALL_LOG_BYTES 32768U
#define LARGE_LOG_BYTES 100000000U
#define LARGE_FLIPS     8U
#define LARGE_SEGMENT   (8U * 1024U * 1024U)
/* Prime to 8, so that every bit and every field comes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE_DEFAULT 37U
#else
#define SHARE_DEFAULT 11U
#endif

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    const uint64_t number = text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 0);
    return number == 0 ? otherwise : number;
}

struct world {
    struct memory_files disk;
    struct driver driver;
    struct arena *arena;
    const char *files[LOG_FILES_MAX]; /* of log/ */
    size_t file_count;
};

static void list_log(struct world *world)
{
    struct file_entry *entries = NULL;
    size_t count = 0;
    assert_status_ok(files_list(&world->disk.files, "main/log", world->arena, &entries, &count));
    world->file_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (segment_name_parse(entries[i].name) < 0)
            continue;
        assert_true(world->file_count < LOG_FILES_MAX);
        world->files[world->file_count++] = arena_printf(world->arena, "main/log/%s", entries[i].name);
    }
}

static void world_open(struct world *world, uint64_t segment_bytes, uint32_t segment_events)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    world->arena = arena_new(0);
    driver_init(&world->driver, &world->disk.files, 4711);
    world->driver.options.segment_max_bytes = segment_bytes;
    world->driver.options.segment_max_events = segment_events;
    assert_status_ok(driver_open(&world->driver));
}

static void append_batch(struct world *world, size_t number)
{
    assert_status_ok(driver_append(&world->driver, 1 + number % 2, 30 + 500 * (number % 3)));
    driver_step(&world->driver, 6);
}

static void world_init(struct world *world, size_t batches)
{
    world_open(world, 8192, 40);
    for (size_t i = 0; i < batches; i++)
        append_batch(world, i);
    list_log(world);
}

static void world_done(struct world *world)
{
    driver_done(&world->driver);
    arena_free(world->arena);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

static struct status verify(struct world *world)
{
    struct verify_report report;
    const struct verify_options options = {0};
    return verify_store(&world->disk.files, &options, &world->driver.clock.clock,
                        &world->driver.entropy.entropy, &report);
}

static uint64_t size_of(struct world *world, const char *path)
{
    size_t size = 0;
    uint8_t *content = memory_files_content(&world->disk, path, &size);
    assert_non_null(content);
    free(content);
    return size;
}

static uint8_t mask_of(uint64_t offset)
{
    return (uint8_t)(1U << (offset * 5 % 8));
}

static void flip(struct world *world, const char *path, uint64_t offset)
{
    assert_true(memory_files_damage(&world->disk, path, offset, mask_of(offset)));
}

/* The name of the file, so that somebody at three in the morning knows which one to restore. */
static void check_named(const char *path, uint64_t offset, const char *who, const struct status *status)
{
    const char *name = strrchr(path, '/') + 1;
    if (status->code == STATUS_OK)
        fail_msg("%s did not notice a flipped bit in %s at %" PRIu64, who, path, offset);
    char position[21];
    snprintf(position, sizeof position, "%.20s", name);
    if (strstr(status->message, position) == NULL)
        fail_msg("%s noticed a flipped bit at %" PRIu64 " but does not name %s: %s", who, offset, path,
                 status->message);
}

/* ---- a log that was stopped ---- */

/* Everything, in runs and one by one: as it was stored, or refused as damaged. The driver fails the test itself when an
 * altered event is served. */
static void check_nothing_wrong_is_served(struct world *world, const char *path, uint64_t offset)
{
    struct driver *driver = &world->driver;
    size_t refused = 0;
    const struct status all = driver_check(driver);
    for (int64_t position = 1; position <= driver->acknowledged; position++) {
        const struct status one = driver_read(driver, position);
        if (one.code == STATUS_OK)
            continue;
        assert_int_equal(one.reason, REASON_DAMAGED);
        check_named(path, offset, "a read", &one);
        refused++;
    }
    assert_true((all.code == STATUS_OK) == (refused == 0));
}

static void check_flip(struct world *world, const char *path, uint64_t offset)
{
    flip(world, path, offset);
    const struct status verified = verify(world);
    const struct status opened =
        driver_open(&world->driver); /* compares the head with what was acknowledged */
    if (verified.code == STATUS_OK || opened.code != STATUS_OK)
        check_named(path, offset, "neither verify nor the start", &opened);
    if (verified.code != STATUS_OK)
        check_named(path, offset, "verify", &verified);
    if (opened.code == STATUS_OK)
        check_nothing_wrong_is_served(world, path, offset);
    driver_close(&world->driver);
    flip(world, path, offset);
}

/* None of the refusals has changed anything. */
static void check_whole(struct world *world)
{
    assert_status_ok(verify(world));
    assert_status_ok(driver_open(&world->driver));
    assert_status_ok(driver_check(&world->driver));
    driver_close(&world->driver);
}

static void test_every_flipped_byte_of_a_stopped_log_is_named_and_none_served(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 8192, 40);
    uint64_t log_bytes = 0;
    for (size_t i = 0; log_bytes < SMALL_LOG_BYTES; i++) {
        append_batch(&world, i);
        list_log(&world);
        log_bytes = 0;
        for (size_t j = 0; j + 1 < world.file_count; j++) /* the last one still has space ahead */
            log_bytes += size_of(&world, world.files[j]);
    }
    driver_close(&world.driver);
    const uint64_t share = environment_number("STRATA_DAMAGE_SHARE", SHARE_DEFAULT);
    size_t flips = 0;
    for (size_t i = 0; i < world.file_count; i++) {
        const uint64_t size = size_of(&world, world.files[i]);
        for (uint64_t offset = flips % share; offset < size; offset += share, flips++)
            check_flip(&world, world.files[i], offset);
    }
    assert_true(flips >= SMALL_LOG_BYTES / share);
    for (uint64_t offset = 0; offset < 128; offset++)
        check_flip(&world, "main/STORE", offset);
    check_whole(&world);
    fprintf(stderr, "%zu bytes of %zu segments flipped one at a time\n", flips, world.file_count);
    world_done(&world);
}

static void test_random_flipped_bytes_of_a_large_log_are_named_and_none_served(void **state)
{
    (void)state;
    const uint64_t flips = environment_number("STRATA_DAMAGE_FLIPS", LARGE_FLIPS);
    struct world world;
    world_open(&world, LARGE_SEGMENT, DRIVER_EVENTS_MAX);
    uint64_t written = 0;
    while (written < LARGE_LOG_BYTES) {
        const int64_t before = world.driver.acknowledged;
        assert_status_ok(driver_append(&world.driver, 6, 26000));
        written += (uint64_t)(world.driver.acknowledged - before) * 26000;
    }
    driver_close(&world.driver);
    list_log(&world);
    uint64_t random = 500;
    for (uint64_t i = 0; i < flips; i++) {
        const char *path = world.files[random_below(&random, world.file_count)];
        check_flip(&world, path, random_below(&random, size_of(&world, path)));
    }
    check_whole(&world);
    fprintf(stderr, "%" PRIu64 " random bytes of a log of %" PRIu64 " MB in %zu segments flipped\n", flips,
            written / 1000000, world.file_count);
    world_done(&world);
}

/* ---- files that are missing, or of another time ---- */

#define COPY_FILES_MAX 64U

/* Everything below one folder, at one moment. */
struct copy {
    const char *folder;
    size_t count;
    char paths[COPY_FILES_MAX][STORE_PATH_BYTES];
    uint8_t *contents[COPY_FILES_MAX];
    size_t sizes[COPY_FILES_MAX];
};

static struct copy *copy_folder(struct world *world, const char *folder)
{
    struct copy *copy = calloc(1, sizeof *copy);
    assert_non_null(copy);
    copy->folder = folder;
    struct file_entry *entries = NULL;
    assert_status_ok(files_list(&world->disk.files, folder, world->arena, &entries, &copy->count));
    assert_true(copy->count <= COPY_FILES_MAX);
    for (size_t i = 0; i < copy->count; i++) {
        snprintf(copy->paths[i], sizeof copy->paths[i], "%s/%s", folder, entries[i].name);
        copy->contents[i] = memory_files_content(&world->disk, copy->paths[i], &copy->sizes[i]);
    }
    return copy;
}

/* The folder becomes what it was; the copy is gone. */
static void put_back(struct world *world, struct copy *copy)
{
    struct file_entry *entries = NULL;
    size_t count = 0;
    assert_status_ok(files_list(&world->disk.files, copy->folder, world->arena, &entries, &count));
    for (size_t i = 0; i < count; i++)
        assert_status_ok(files_remove(&world->disk.files,
                                      arena_printf(world->arena, "%s/%s", copy->folder, entries[i].name)));
    for (size_t i = 0; i < copy->count; i++) {
        struct file *file = NULL;
        assert_status_ok(files_open(&world->disk.files, copy->paths[i], FILE_WRITE | FILE_CREATE, &file));
        assert_status_ok(file_write_at(file, 0, copy->contents[i], copy->sizes[i]));
        assert_status_ok(file_sync(file));
        file_close(file);
        free(copy->contents[i]);
    }
    assert_status_ok(files_sync_dir(&world->disk.files, copy->folder));
    free(copy);
}

static void assert_start_refused(struct world *world, const char *named)
{
    const struct status opened = driver_open(&world->driver);
    const struct status verified = verify(world);
    if (opened.code == STATUS_OK || strstr(opened.message, named) == NULL)
        fail_msg("the start says \"%s\" and not \"%s\"", opened.message, named);
    if (verified.code == STATUS_OK || strstr(verified.message, named) == NULL)
        fail_msg("verify says \"%s\" and not \"%s\"", verified.message, named);
}

static void test_a_deleted_segment_is_named_at_start(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 9);
    const int64_t head = world.driver.acknowledged;
    driver_close(&world.driver);
    list_log(&world);
    assert_in_range(world.file_count, 3, LOG_FILES_MAX);
    char missing[64];
    for (size_t i = world.file_count; i-- > 0;) {
        struct copy *copy = copy_folder(&world, "main/log");
        assert_status_ok(files_remove(&world.disk.files, world.files[i]));
        const int64_t first = segment_name_parse(strrchr(world.files[i], '/') + 1);
        if (i + 1 == world.file_count)
            snprintf(missing, sizeof missing, "history ends at position %" PRId64, first - 1);
        else
            snprintf(missing, sizeof missing, "position %" PRId64 " is followed by", first - 1);
        assert_start_refused(&world, missing);
        put_back(&world, copy);
    }
    assert_status_ok(driver_open(&world.driver));
    assert_int_equal(world.driver.acknowledged, head);
    world_done(&world);
}

/* What a restored backup of one folder alone looks like. */
static void test_a_log_and_a_state_of_different_times_are_named_at_start(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        size_t batches; /* before the copy is taken */
        const char *named;
    } cases[] = {
        {"main/log", 9, "history ends at position"},   /* some segments are missing */
        {"main/log", 19, "history ends at position"},  /* the last batch is */
        {"main/log", 0, "history ends at position 0"}, /* all are */
        {"main/state", 9, "history goes on to position"}, {"main/state", 19, "history goes on to position"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world world;
        world_init(&world, cases[i].batches);
        driver_close(&world.driver);
        struct copy *copy = copy_folder(&world, cases[i].folder);
        assert_status_ok(driver_open(&world.driver));
        for (size_t j = cases[i].batches; j < 20; j++)
            append_batch(&world, j);
        driver_close(&world.driver);
        struct copy *now = copy_folder(&world, cases[i].folder);
        put_back(&world, copy);
        assert_start_refused(&world, cases[i].named);
        put_back(&world, now);
        check_whole(&world);
        world_done(&world);
    }
}

/* ---- under a running store ---- */

/* driver_check fails the test itself when an altered event is served. */
static void test_no_flipped_byte_is_served_by_a_running_store(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 6);
    const uint64_t share = environment_number("STRATA_DAMAGE_SHARE", SHARE_DEFAULT);
    size_t named = 0;
    for (size_t i = 0; i < world.file_count; i++) {
        const uint64_t size = size_of(&world, world.files[i]);
        for (uint64_t offset = SEGMENT_HEADER_BYTES; offset < size; offset += share) {
            flip(&world, world.files[i], offset);
            const struct status status = driver_check(&world.driver);
            if (status.code != STATUS_OK) {
                assert_int_equal(status.reason, REASON_DAMAGED);
                check_named(world.files[i], offset, "a read", &status);
                named++;
            }
            flip(&world, world.files[i], offset);
        }
    }
    assert_true(named > 3000 / share); /* every byte of an entry; not those of frame headers and padding */
    assert_status_ok(driver_check(&world.driver));
    world_done(&world);
}

/* ---- frames in the wrong place ---- */

/* Closes without a clean stop, as if killed right after the last sync. */
static void kill_store(struct world *world)
{
    memory_files_crash_hard(&world->disk);
    driver_close(&world->driver);
}

struct tail {
    const char *path;
    uint64_t end;
    struct segment_header segment;
};

/* The end of the last segment, found by walking its frames. */
static struct tail tail_of(struct world *world)
{
    struct tail tail = {.path = world->files[world->file_count - 1], .end = SEGMENT_HEADER_BYTES};
    size_t size = 0;
    uint8_t *content = memory_files_content(&world->disk, tail.path, &size);
    assert_non_null(content);
    assert_status_ok(segment_header_decode(content, &tail.segment));
    struct frame_header header;
    const char *why = NULL;
    while (tail.end + FRAME_HEADER_BYTES <= size &&
           frame_header_decode(content + tail.end, &header, &why) == FRAME_GOOD)
        tail.end += frame_padded_bytes(header.entries_bytes);
    free(content);
    return tail;
}

static void write_at(struct world *world, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct file *file = NULL;
    assert_status_ok(files_open(&world->disk.files, path, FILE_WRITE, &file));
    assert_status_ok(file_write_at(file, offset, bytes, size));
    assert_status_ok(file_sync(file));
    file_close(file);
}

/* A frame that would continue the log, but for what the caller changes in it. */
static struct frame_header next_frame(struct world *world, const struct tail *tail)
{
    struct store_head head;
    assert_status_ok(driver_open(&world->driver));
    assert_status_ok(world->driver.store->ops->head(world->driver.store, &head));
    kill_store(world);
    return (struct frame_header){
        .kind = FRAME_SEAL,
        .first_position = head.position + 1,
        .segment_epoch = tail->segment.epoch,
        .writer_epoch = 1,
        .commit_time_us = head.timestamp_us,
        .chain_before = head.chain,
        .chain_after = head.chain,
    };
}

static void put_frame(struct world *world, const struct tail *tail, uint64_t distance,
                      const struct frame_header *header, uint8_t flags)
{
    uint8_t frame[FRAME_HEADER_BYTES];
    frame_header_encode(header, frame);
    if (flags != 0) {
        frame[5] = flags;
        put_u32_le(frame + FRAME_HEADER_BYTES - 4, crc32c(0, bytes_of(frame, FRAME_HEADER_BYTES - 4)));
    }
    write_at(world, tail->path, tail->end + distance, frame, sizeof frame);
}

static void test_a_frame_of_an_earlier_use_of_the_space_is_no_event(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 3);
    kill_store(&world);
    const struct tail tail = tail_of(&world);
    struct frame_header stale = next_frame(&world, &tail);
    const struct tail sealed = tail_of(&world);
    stale.segment_epoch ^= 1; /* position, chain and all checksums fit: only the epoch tells */
    put_frame(&world, &sealed, 0, &stale, 0);
    assert_status_ok(driver_open(&world.driver));
    struct embedded_recovery recovery;
    embedded_store_recovery(world.driver.store, &recovery);
    assert_in_range(recovery.torn_bytes, 1, FRAME_HEADER_BYTES);
    assert_status_ok(driver_check(&world.driver));
    assert_status_ok(driver_append(&world.driver, 1, 10));
    size_t size = 0;
    char torn[200];
    snprintf(torn, sizeof torn, "%s.torn", sealed.path);
    uint8_t *kept = memory_files_content(&world.disk, torn, &size);
    assert_non_null(kept); /* nothing is thrown away that somebody may want to look at */
    assert_int_equal(size, recovery.torn_bytes);
    free(kept);
    world_done(&world);
}

static void test_a_frame_that_does_not_continue_the_chain_is_damage(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 3);
    kill_store(&world);
    struct tail tail = tail_of(&world);
    struct frame_header other = next_frame(&world, &tail);
    tail = tail_of(&world);
    other.chain_before.bytes[0] ^= 1;
    put_frame(&world, &tail, 0, &other, 0);
    assert_reason(driver_open(&world.driver), REASON_DAMAGED);
    world_done(&world);
}

static void test_a_hole_before_a_valid_frame_is_damage(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 3);
    kill_store(&world);
    struct tail tail = tail_of(&world);
    const struct frame_header later = next_frame(&world, &tail);
    tail = tail_of(&world);
    put_frame(&world, &tail, 64, &later, 0);
    const struct status status = driver_open(&world.driver);
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_non_null(strstr(status.message, "strata verify"));
    char offset[32];
    snprintf(offset, sizeof offset, "offset %" PRIu64, tail.end);
    assert_non_null(strstr(status.message, offset));
    world_done(&world);
}

static void test_unknown_kinds_and_flags_stop_the_start_by_name(void **state)
{
    (void)state;
    static const struct {
        enum frame_kind kind;
        uint8_t flags;
        const char *named;
    } unknown[] = {
        {FRAME_AUDIT, 0, "kind 3 (audit)"},        {FRAME_TREE_HEAD, 0, "kind 4 (tree head)"},
        {(enum frame_kind)9, 0, "of a kind that"}, {FRAME_SEAL, FRAME_COMPRESSED, "compressed"},
        {FRAME_SEAL, FRAME_SEALED, "encrypted"},   {FRAME_SEAL, 0x80, "a flag that"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct world world;
        world_init(&world, 2);
        kill_store(&world);
        struct tail tail = tail_of(&world);
        struct frame_header header = next_frame(&world, &tail);
        tail = tail_of(&world);
        header.kind = unknown[i].kind;
        put_frame(&world, &tail, 0, &header, unknown[i].flags);
        const struct status status = driver_open(&world.driver);
        assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
        if (strstr(status.message, unknown[i].named) == NULL)
            fail_msg("wanted \"%s\" in: %s", unknown[i].named, status.message);
        world_done(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flipped_byte_of_a_stopped_log_is_named_and_none_served),
        cmocka_unit_test(test_random_flipped_bytes_of_a_large_log_are_named_and_none_served),
        cmocka_unit_test(test_a_deleted_segment_is_named_at_start),
        cmocka_unit_test(test_a_log_and_a_state_of_different_times_are_named_at_start),
        cmocka_unit_test(test_no_flipped_byte_is_served_by_a_running_store),
        cmocka_unit_test(test_a_frame_of_an_earlier_use_of_the_space_is_no_event),
        cmocka_unit_test(test_a_frame_that_does_not_continue_the_chain_is_damage),
        cmocka_unit_test(test_a_hole_before_a_valid_frame_is_damage),
        cmocka_unit_test(test_unknown_kinds_and_flags_stop_the_start_by_name),
    };
    return cmocka_run_group_tests_name("embedded_damage", tests, NULL, NULL);
}
