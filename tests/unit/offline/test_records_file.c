/* The file of records, and what becomes of it: whole, cut, altered, in pieces, on top of another history. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/faulty_files.h"
#include "support/memory_files.h"

#include "history.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "offline/info.h"
#include "offline/keep.h"
#include "offline/read_store.h"
#include "offline/records_file.h"
#include "offline/verify.h"
#include "store/embedded/embedded_store.h"

/* A sweep over every call takes minutes under ThreadSanitizer, and who is raced against whom is the same at each. */
#ifdef __SANITIZE_THREAD__
#define SWEEP_STEP 29U
#else
#define SWEEP_STEP 1U
#endif

static const uint8_t uuid[RECORDS_FILE_UUID_BYTES] = "0123456789abcde";

static struct status add_to_buffer(void *context, struct bytes bytes)
{
    buffer_add_bytes(context, bytes);
    return status_ok();
}

/* Records first … last of the history as a file. */
static struct status write_records(const struct history *history, size_t first, size_t last,
                                   struct buffer *to, struct records_trailer *ret)
{
    CLEANUP(records_writer_free_at) struct records_writer *writer = NULL;
    STATUS_TRY(records_writer_new(uuid, 77, (int64_t)first, add_to_buffer, to, &writer));
    for (size_t i = 0; i < last; i++)
        STATUS_TRY(records_writer_add(writer, history->records[i]));
    return records_writer_finish(writer, ret);
}

static void put_file(struct files *files, const char *name, struct bytes content)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(files, name, FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_truncate(file, 0));
    if (content.size_bytes > 0)
        assert_status_ok(file_write_at(file, 0, content.data, content.size_bytes));
}

static void put_records(struct files *files, const char *name, const struct history *history, size_t first,
                        size_t last)
{
    struct buffer content = buffer_make(0);
    struct records_trailer trailer = {0};
    assert_status_ok(write_records(history, first, last, &content, &trailer));
    put_file(files, name, buffer_bytes(&content));
    buffer_done(&content);
}

static struct status keep(struct files *files, const char *name, struct keep_report *ret)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    const struct keep_options options = {0};
    STATUS_TRY(files_open(files, name, FILE_READ, &file));
    return keep_records(files, &options, file, name, &system_clock, &system_entropy, ret);
}

static struct status check(struct files *files, const char *name, struct records_header *ret_header,
                           struct records_trailer *ret_trailer)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, name, FILE_READ, &file));
    return records_file_check(file, name, NULL, NULL, ret_header, ret_trailer);
}

static void assert_verified(struct files *files, const struct store_head *head)
{
    const struct verify_options options = {0};
    struct verify_report report;
    assert_status_ok(verify_store(files, &options, &system_clock, &system_entropy, &report));
    assert_int_equal(report.head_position, head->position);
    assert_memory_equal(report.chain.bytes, head->chain.bytes, SHA256_BYTES);
    assert_int_equal(report.aggregate_count, head->aggregate_count);
}

static void test_a_file_says_where_it_begins_and_ends(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct history history;
    struct records_header header = {0};
    struct records_trailer trailer = {0};
    history_init(&history);
    put_records(&disk.files, "all", &history, 1, history.count);
    assert_status_ok(check(&disk.files, "all", &header, &trailer));
    assert_int_equal(header.before.position, 0);
    assert_memory_equal(header.store_uuid, uuid, sizeof uuid);
    assert_int_equal(header.created_at_us, 77);
    assert_int_equal(trailer.count, history.count);
    assert_int_equal(trailer.after.position, history.head.position);
    assert_int_equal(trailer.after.timestamp_us, history.head.timestamp_us);
    assert_memory_equal(trailer.after.chain.bytes, history.head.chain.bytes, SHA256_BYTES);
    put_records(&disk.files, "rest", &history, 5, history.count);
    struct records_trailer rest = {0};
    assert_status_ok(check(&disk.files, "rest", &header, &rest));
    assert_int_equal(header.before.position, 4);
    assert_int_equal(rest.count, 3);
    assert_memory_equal(rest.after.chain.bytes, trailer.after.chain.bytes, SHA256_BYTES);
    put_records(&disk.files, "none", &history, 1, 0);
    assert_status_ok(check(&disk.files, "none", &header, &trailer));
    assert_int_equal(trailer.count, 0);
    history_done(&history);
    memory_files_done(&disk);
}

static void test_appends_are_not_divided(void **state)
{
    (void)state;
    struct history history;
    struct buffer content = buffer_make(0);
    struct records_trailer trailer = {0};
    history_init(&history);
    struct status status = write_records(&history, 3, history.count, &content, &trailer);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "position 3 is inside the append that begins at 2"));
    status = write_records(&history, 1, 3, &content, &trailer);
    assert_non_null(strstr(status.message, "end at 1 or 4"));
    status = write_records(&history, 9, history.count, &content, &trailer);
    assert_non_null(strstr(status.message, "ends at position 7, before 9"));
    buffer_done(&content);
    history_done(&history);
}

static void assert_refused(struct memory_files *disk, struct bytes content, const char *why, size_t at)
{
    struct keep_report report = {0};
    put_file(&disk->files, "broken", content);
    const struct status status = keep(&disk->files, "broken", &report);
    if ((status.code != STATUS_DATA_LOSS && status.code != STATUS_FAILED_PRECONDITION) ||
        strstr(status.message, "broken") == NULL)
        fail_msg("%s at %zu: %s: %s", why, at, status_code_name(status.code), status.message);
    struct file *lock = NULL;
    assert_status(files_open(&disk->files, "main/LOCK", FILE_READ, &lock),
                  STATUS_NOT_FOUND); /* no store was made */
}

static void test_every_altered_byte_and_every_cut_is_refused_and_makes_no_store(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct history history;
    struct buffer content = buffer_make(0);
    struct records_trailer trailer = {0};
    history_init(&history);
    assert_status_ok(write_records(&history, 1, history.count, &content, &trailer));
    for (size_t at = 0; at < content.size_bytes; at++) {
        content.data[at] ^= 1;
        assert_refused(&disk, buffer_bytes(&content), "an altered byte", at);
        content.data[at] ^= 1;
        assert_refused(&disk, bytes_of(content.data, at), "a cut", at);
    }
    buffer_add_byte(&content, 0);
    assert_refused(&disk, buffer_bytes(&content), "a byte too many", content.size_bytes);
    buffer_done(&content);
    history_done(&history);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

static void test_a_store_is_made_of_it_in_one_or_in_pieces(void **state)
{
    (void)state;
    struct history history;
    history_init(&history);
    for (int pieces = 0; pieces < 2; pieces++) {
        struct memory_files disk = memory_files_empty();
        struct keep_report report = {0};
        put_records(&disk.files, "all", &history, 1, history.count);
        put_records(&disk.files, "first", &history, 1, 4);
        put_records(&disk.files, "rest", &history, 5, history.count);
        if (pieces) {
            const struct status gap = keep(&disk.files, "rest", &report);
            assert_int_equal(gap.code, STATUS_FAILED_PRECONDITION);
            assert_non_null(strstr(gap.message, "begins at position 5 and the store ends at 0"));
            assert_status_ok(keep(&disk.files, "first", &report));
            assert_int_equal(report.adopted, 4);
            assert_status_ok(keep(&disk.files, "rest", &report));
            assert_int_equal(report.adopted, 3);
        }
        assert_status_ok(keep(&disk.files, "all", &report));
        assert_int_equal(report.created, !pieces);
        assert_int_equal(report.adopted, pieces ? 0 : history.count);
        assert_int_equal(report.skipped, pieces ? history.count : 0);
        assert_int_equal(report.end.position, history.count);
        assert_verified(&disk.files, &history.head);
        assert_status_ok(keep(&disk.files, "first", &report)); /* the store is further on, and equal so far */
        assert_int_equal(report.skipped, 4);
        struct store_info info;
        assert_status_ok(store_info_read(&disk.files, NULL, &system_clock, &system_entropy, &info));
        assert_true(info.head_known && info.clean && !info.held);
        assert_int_equal(info.head_position, history.count);
        assert_int_equal(memory_files_open_count(&disk), 0);
        memory_files_done(&disk);
    }
    history_done(&history);
}

static void change_the_data(struct event_fields *fields)
{
    fields->data = BYTES_LITERAL("{\"other\":1}");
}

static void break_the_json(struct event_fields *fields)
{
    fields->data = BYTES_LITERAL("{\"a\":1,}");
}

static void space_the_json(struct event_fields *fields)
{
    fields->metadata = BYTES_LITERAL("{ }");
}

/* Everything fits but the past: only the chain can tell. */
static void test_another_history_is_refused(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct history history;
    struct history other;
    struct keep_report report = {0};
    history_init(&history);
    history_init(&other);
    other.records[0] = history_changed(&other, 0, change_the_data);
    put_records(&disk.files, "first", &history, 1, 1);
    put_records(&disk.files, "other", &other, 1, other.count);
    put_records(&disk.files, "other-rest", &other, 2, other.count);
    assert_status_ok(keep(&disk.files, "first", &report));
    struct status status = keep(&disk.files, "other", &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "position 1 of other is another event"));
    status = keep(&disk.files, "other-rest", &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "continues another history"));
    assert_int_equal(report.adopted, 0);
    history_done(&history);
    history_done(&other);
    memory_files_done(&disk);
}

static void test_data_that_would_break_readers_is_refused(void **state)
{
    (void)state;
    static void (*const changes[])(struct event_fields * fields) = {break_the_json, space_the_json};
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        struct memory_files disk = memory_files_empty();
        struct history history;
        struct keep_report report = {0};
        history_init(&history);
        history.records[4] = history_changed(&history, 4, changes[i]);
        put_records(&disk.files, "bad", &history, 1, history.count);
        const struct status status = keep(&disk.files, "bad", &report);
        assert_int_equal(status.reason, REASON_DAMAGED);
        assert_non_null(strstr(status.message, "bad: position 5: "));
        history_done(&history);
        memory_files_done(&disk);
    }
}

/*
 * Each call of an import fails once, or the plug is pulled at it. Whatever it said, a second import on the same disk ends
 * with the history, whole and once; and what the first called done is done.
 */
static bool fail_once(const struct history *history, enum fault_kind kind, unsigned fail_at, bool crash)
{
    struct memory_files disk = memory_files_empty();
    struct keep_report report = {0};
    put_records(&disk.files, "all", history, 1, history->count);
    struct faulty_files files = faulty_files_over(&disk.files, fail_at, kind);
    files.lose_unsynced = memory_file_lose_unsynced;
    files.sticky = crash;
    const struct status first = keep(&files.files, "all", &report);
    const bool hit = files.hit;
    assert_int_equal(memory_files_open_count(&disk), 0);
    if (crash)
        memory_files_crash(&disk, fail_at);
    if (first.code == STATUS_OK && !crash)
        assert_verified(&disk.files, &history->head);
    put_records(&disk.files, "all", history, 1, history->count);
    const struct status second = keep(&disk.files, "all", &report);
    if (second.code != STATUS_OK)
        fail_msg("%s at call %u: first \"%s\", then \"%s\"", fault_kind_name(kind), fail_at, first.message,
                 second.message);
    assert_int_equal(report.skipped + report.adopted, history->count);
    assert_verified(&disk.files, &history->head);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
    return hit;
}

static void test_an_import_that_failed_anywhere_is_finished_by_the_next(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_IO, FAULT_TORN_WRITE, FAULT_NO_SPACE, FAULT_SYNC_LOST,
                                            FAULT_READ_SHORT};
    struct history history;
    history_init(&history);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        unsigned fail_at = 1;
        while (fail_once(&history, kinds[i], fail_at, false) && fail_at < 5000)
            fail_at += SWEEP_STEP;
        assert_true(fail_at > 5); /* the sweep reached something */
    }
    for (unsigned fail_at = 1; fail_once(&history, FAULT_IO, fail_at, true) && fail_at < 5000;)
        fail_at += SWEEP_STEP;
    history_done(&history);
}

/* --- reading a store --- */

struct reading {
    const struct history *history;
    int64_t seen;
    int64_t stop_at; /* 0 = never */
};

static struct status begin(void *context, const uint8_t store_uuid[16], uint64_t log_bytes)
{
    (void)store_uuid;
    assert_int_equal(((struct reading *)context)->seen, 0);
    assert_true(log_bytes > 0);
    return status_ok();
}

static struct status take(void *context, int64_t position, struct bytes record)
{
    struct reading *reading = context;
    assert_int_equal(position, ++reading->seen);
    assert_true(bytes_equal(record, reading->history->records[position - 1]));
    return position == reading->stop_at ? status_error(STATUS_CANCELLED, "enough") : status_ok();
}

static void ignore_progress(void *context, uint64_t bytes)
{
    (void)context;
    (void)bytes;
}

static void test_read_store_hands_over_every_event_or_fails(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct history history;
    struct keep_report report = {0};
    history_init(&history);
    put_records(&disk.files, "all", &history, 1, history.count);
    assert_status_ok(keep(&disk.files, "all", &report));
    struct reading reading = {.history = &history};
    struct read_store_options options = {
        .on_begin = begin, .on_record = take, .on_progress = ignore_progress, .context = &reading};
    assert_status_ok(read_store(&disk.files, &options, &system_clock, &system_entropy));
    assert_int_equal(reading.seen, history.count);
    reading = (struct reading){.history = &history, .stop_at = 3};
    assert_status(read_store(&disk.files, &options, &system_clock, &system_entropy), STATUS_CANCELLED);
    assert_true(memory_files_damage(&disk, "main/log/00000000000000000001.seg", 4400, 8));
    reading = (struct reading){.history = &history};
    assert_status(read_store(&disk.files, &options, &system_clock, &system_entropy), STATUS_DATA_LOSS);
    assert_true(reading.seen < history.head.position);
    options.store_id = "other";
    assert_status(read_store(&disk.files, &options, &system_clock, &system_entropy), STATUS_NOT_FOUND);
    history_done(&history);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_says_where_it_begins_and_ends),
        cmocka_unit_test(test_appends_are_not_divided),
        cmocka_unit_test(test_every_altered_byte_and_every_cut_is_refused_and_makes_no_store),
        cmocka_unit_test(test_a_store_is_made_of_it_in_one_or_in_pieces),
        cmocka_unit_test(test_another_history_is_refused),
        cmocka_unit_test(test_data_that_would_break_readers_is_refused),
        cmocka_unit_test(test_an_import_that_failed_anywhere_is_finished_by_the_next),
        cmocka_unit_test(test_read_store_hands_over_every_event_or_fails),
    };
    return cmocka_run_group_tests_name("records_file", tests, NULL, NULL);
}
