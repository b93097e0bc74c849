#include "unit/store_embedded/index_bench.h"

#include "support/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static const char *const types[] = {"changed", "renamed", "moved"};
static const char *const aggregate_types[] = {"user", "order", "custom"};
static const char *const correlations[] = {"", "corr-1", "corr-2"};
static const char *const tags[] = {"red", "blue", "green"};

void index_bench_init(struct index_bench *bench)
{
    *bench = (struct index_bench){
        .disk = memory_files_empty(),
        .options = {.segment_max_bytes = 64 * 1024, .segment_max_events = 4},
    };
    store_driver_init(&bench->driver, NULL);
    bench->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(bench->log_fd >= 0);
    bench->log = log_new(bench->log_fd, LOG_WARN, LOG_FORMAT_TEXT, &bench->driver.clock.clock);
    assert_non_null(bench->log);
}

void index_bench_done(struct index_bench *bench)
{
    index_bench_close(bench);
    store_driver_done(&bench->driver);
    log_free(bench->log);
    (void)close(bench->log_fd); /* memory */
    assert_int_equal(memory_files_open_count(&bench->disk), 0);
    memory_files_done(&bench->disk);
}

struct status index_bench_open(struct index_bench *bench)
{
    STATUS_TRY(embedded_store_open_stepped(&bench->disk.files, &bench->options, &bench->driver.clock.clock,
                                           &bench->driver.entropy.entropy, bench->log, &bench->store));
    bench->driver.store = bench->store;
    return status_ok();
}

void index_bench_close(struct index_bench *bench)
{
    event_store_close(bench->store);
    bench->store = NULL;
}

void index_bench_kill(struct index_bench *bench)
{
    memory_files_crash_hard(&bench->disk);
    index_bench_close(bench);
}

static void append_one(struct index_bench *bench)
{
    struct store_driver *driver = &bench->driver;
    const int number = bench->numbers++;
    const int which = number * 7 % BENCH_AGGREGATES;
    const char *aggregate = arena_printf(driver->arena, "aggregate-%d", which);
    assert_non_null(aggregate);
    /* Some aggregates are created with version 0, some just begin. */
    const bool creates = which % 2 == 0 && number < BENCH_AGGREGATES;
    struct append_event event =
        numbered_event(driver, number, aggregate, creates ? TYPE_AGGREGATE_CREATED : types[number % 3],
                       aggregate_types[which % 3]);
    event.correlation_id = bytes_of_text(correlations[number / 2 % 3]);
    event.tags[0] = bytes_of_text(tags[number % 3]);
    event.tags[1] = bytes_of_text(tags[(number + 1) % 3]);
    event.tag_count = (size_t)(number % 5 % 3);
    event.data = bytes_of_text(arena_printf(driver->arena, "{\"number\":%d}", number));
    manual_clock_advance_us(&driver->clock, 7);
    const struct append append = sample_append(&event, 1);
    assert_int_equal(store_driver_append(driver, &append).kind, APPEND_ACCEPTED);
}

void index_bench_append(struct index_bench *bench, int count)
{
    for (int i = 0; i < count; i++) {
        append_one(bench);
        embedded_store_step(bench->store);
    }
}

/* ---- answers ---- */

static bool note_record(void *context, int64_t position, struct record record)
{
    const struct sha256 digest = sha256_of(&record.bytes, 1);
    buffer_printf(context, " %" PRId64 ":%02x%02x", position, digest.bytes[0], digest.bytes[1]);
    return true;
}

static struct status note_read(struct index_bench *bench, enum read_by by, const char *key,
                               struct buffer *ret)
{
    for (int i = 0; i < 4; i++) {
        const struct read_query query = {
            .by = by,
            .key = bytes_of_text(key),
            .after_position = i < 2 ? 0 : bench->numbers / 3,
            .to_position = i < 2 ? 0 : bench->numbers - 2,
            .from_version = i < 2 ? 0 : 2,
            .to_version = i < 2 ? INT32_MAX : 6,
            .backward = i % 2 == 1,
        };
        buffer_printf(ret, "\nread %d %s %d:", (int)by, key, i);
        STATUS_TRY(bench->store->ops->read(bench->store, &query, note_record, ret));
    }
    return status_ok();
}

static struct status note_reads(struct index_bench *bench, struct buffer *ret)
{
    STATUS_TRY(note_read(bench, READ_BY_POSITION, "", ret));
    for (int i = 0; i <= BENCH_AGGREGATES; i++)
        STATUS_TRY(
            note_read(bench, READ_BY_AGGREGATE, arena_printf(bench->driver.arena, "aggregate-%d", i), ret));
    for (size_t i = 0; i < 3; i++) {
        STATUS_TRY(note_read(bench, READ_BY_TYPE, types[i], ret));
        STATUS_TRY(note_read(bench, READ_BY_AGGREGATE_TYPE, aggregate_types[i], ret));
        STATUS_TRY(note_read(bench, READ_BY_CORRELATION, i == 0 ? "none" : correlations[i], ret));
        STATUS_TRY(note_read(bench, READ_BY_TAG, tags[i], ret));
    }
    return status_ok();
}

static bool note_aggregate(void *context, struct bytes id, const struct aggregate_head *head)
{
    buffer_printf(context, "\n%.*s %.*s %d %" PRId64 " %" PRId64 " %d", BYTES_FORMAT(id),
                  BYTES_FORMAT(head->type), head->version, head->first_position, head->position,
                  head->event_count);
    return true;
}

static struct status note_aggregates(struct index_bench *bench, struct buffer *ret)
{
    struct event_store *store = bench->store;
    STATUS_TRY(store->ops->aggregates(store, BYTES_NONE, 0, note_aggregate, ret));
    for (size_t i = 0; i < 3; i++)
        STATUS_TRY(store->ops->aggregates(store, bytes_of_text(aggregate_types[i]), 3, note_aggregate, ret));
    for (int i = 0; i <= BENCH_AGGREGATES; i++) {
        struct aggregate_head head;
        const struct bytes id = bytes_of_text(arena_printf(bench->driver.arena, "aggregate-%d", i));
        STATUS_TRY(store->ops->aggregate(store, id, bench->driver.arena, &head));
        (void)note_aggregate(ret, id, &head);
    }
    return status_ok();
}

static struct status note_facts(struct index_bench *bench, struct buffer *ret)
{
    for (int i = 0; i <= bench->numbers; i++) {
        const struct bytes aggregate =
            bytes_of_text(arena_printf(bench->driver.arena, "aggregate-%d", i % (BENCH_AGGREGATES + 1)));
        const struct bytes id = bytes_of_text(arena_printf(bench->driver.arena, "e%d", i));
        const struct facts_request request = {&aggregate, 1, &id, 1};
        struct facts facts = {0};
        STATUS_TRY(bench->store->ops->facts(bench->store, &request, bench->driver.arena, &facts));
        if (facts.earlier[0].unreadable != NULL)
            return *facts.earlier[0].unreadable;
        buffer_printf(ret, "\nfacts %d %" PRId64 " %zu %" PRId64, facts.heads[0].version,
                      facts.heads[0].position, facts.earlier[0].count, facts.head.aggregate_count);
    }
    return status_ok();
}

static struct status note_finds(struct index_bench *bench, struct buffer *ret)
{
    struct event_store *store = bench->store;
    for (int i = 0; i <= bench->numbers; i++) {
        int64_t position = 0;
        int64_t at_time = 0;
        const struct bytes id = bytes_of_text(arena_printf(bench->driver.arena, "e%d", i));
        STATUS_TRY(store->ops->find_id(store, id, &position));
        STATUS_TRY(store->ops->find_time(store, STORE_DRIVER_START_US + 7 * i, &at_time));
        buffer_printf(ret, "\nfound %" PRId64 " %" PRId64, position, at_time);
    }
    return status_ok();
}

static int64_t count_of(const struct type_count *counts, size_t count, const char *type)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(counts[i].type, bytes_of_text(type)))
            return counts[i].count;
    return 0;
}

static struct status note_stats(struct index_bench *bench, struct buffer *ret)
{
    struct event_store_stats stats = {0};
    STATUS_TRY(bench->store->ops->stats(bench->store, bench->driver.arena, &stats));
    buffer_printf(ret, "\nstats %" PRId64 " %" PRId64, stats.event_count, stats.system_event_count);
    for (size_t i = 0; i < 3; i++)
        buffer_printf(ret, " %" PRId64 " %" PRId64,
                      count_of(stats.events_by_type, stats.event_type_count, types[i]),
                      count_of(stats.aggregates_by_type, stats.aggregate_type_count, aggregate_types[i]));
    return status_ok();
}

struct status index_bench_answers(struct index_bench *bench, struct buffer *ret)
{
    buffer_clear(ret);
    STATUS_TRY(note_reads(bench, ret));
    STATUS_TRY(note_aggregates(bench, ret));
    STATUS_TRY(note_facts(bench, ret));
    STATUS_TRY(note_finds(bench, ret));
    STATUS_TRY(note_stats(bench, ret));
    return buffer_status(ret);
}

void index_bench_check(struct index_bench *bench, const struct buffer *expected)
{
    struct buffer answers = buffer_make(0);
    assert_status_ok(index_bench_answers(bench, &answers));
    size_t same = 0;
    while (same < answers.size_bytes && same < expected->size_bytes &&
           answers.data[same] == expected->data[same])
        same++;
    if (same != answers.size_bytes || same != expected->size_bytes) {
        const size_t from = same > 60 ? same - 60 : 0;
        fail_msg("the answers differ from byte %zu on:\n\"%.100s\"\nand not\n\"%.100s\"", same,
                 (const char *)answers.data + from, (const char *)expected->data + from);
    }
    buffer_done(&answers);
}

/* ---- the index's insides ---- */

const struct index_view *index_bench_view(const struct index_bench *bench)
{
    return embedded_of(bench->store)->view;
}

size_t index_bench_files(struct index_bench *bench, struct file_entry **ret)
{
    size_t count = 0;
    assert_status_ok(files_list(&bench->disk.files, "main/index", bench->driver.arena, ret, &count));
    return count;
}

void index_bench_write(struct index_bench *bench, const char *path, const uint8_t *bytes, size_t size)
{
    struct files *files = &bench->disk.files;
    if (bytes == NULL) {
        assert_status_ok(files_remove(files, path));
    } else {
        struct file *file = NULL;
        assert_status_ok(files_open(files, path, FILE_WRITE | FILE_CREATE, &file));
        assert_status_ok(file_truncate(file, 0));
        assert_status_ok(file_write_at(file, 0, bytes, size));
        assert_status_ok(file_sync(file));
        file_close(file);
    }
    assert_status_ok(files_sync_dir(files, "main/index"));
}

int64_t index_bench_log_bytes(const struct index_bench *bench)
{
    struct stat about;
    assert_int_equal(fstat(bench->log_fd, &about), 0);
    return about.st_size;
}

void index_bench_last_line(const struct index_bench *bench, char *ret, size_t size)
{
    const int64_t end = index_bench_log_bytes(bench);
    const int64_t from = end > (int64_t)size - 1 ? end - (int64_t)size + 1 : 0;
    const ssize_t got = pread(bench->log_fd, ret, (size_t)(end - from), from);
    assert_true(got >= 0);
    ret[got] = '\0';
}
