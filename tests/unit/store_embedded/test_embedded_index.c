/*
 * The index is a projection: whatever happens to its files, the store answers the same or says what is wrong, never something
 * else; and makes a new one, at the next start or while it runs.
 */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/store_embedded/index_bench.h"

#define EVENTS         90 /* 22 full segments of 4: several merges, one of them of merged runs */
#define PATH_MAX_BYTES 160

struct fixture {
    struct index_bench bench;
    struct buffer expected;
};

static int make_indexed(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    index_bench_init(&fixture->bench);
    fixture->expected = buffer_make(0);
    assert_status_ok(index_bench_open(&fixture->bench));
    index_bench_append(&fixture->bench, EVENTS);
    assert_status_ok(index_bench_answers(&fixture->bench, &fixture->expected));
    *state = fixture;
    return 0;
}

static int remove_indexed(void **state)
{
    struct fixture *fixture = *state;
    index_bench_done(&fixture->bench);
    buffer_done(&fixture->expected);
    free(fixture);
    return 0;
}

static void path_of(const char *name, char ret[PATH_MAX_BYTES])
{
    snprintf(ret, PATH_MAX_BYTES, "main/index/%s", name);
}

static void test_full_segments_become_files_and_files_are_merged(void **state)
{
    struct fixture *fixture = *state;
    const struct index_view *view = index_bench_view(&fixture->bench);
    assert_int_equal(view->table_count, 1);
    assert_int_equal(view->part_count, EVENTS / 4);
    assert_in_range(view->run_count, 2, 7); /* 16 + 4 + 1 + 1 */
    assert_int_equal(run_facts(view->runs[0]->run)->level, 2);
    /* Files of merged runs are gone: each part and run, and MANIFEST. */
    struct file_entry *files = NULL;
    assert_int_equal(index_bench_files(&fixture->bench, &files), view->part_count + view->run_count + 1);
}

/* The answers above come partly from memory: now nothing but the open segment's do. */
static void test_a_start_with_an_index_reads_only_what_that_lacks(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    index_bench_close(bench);
    const int64_t log_bytes = index_bench_log_bytes(bench);
    assert_status_ok(index_bench_open(bench));
    assert_int_equal(index_bench_log_bytes(bench), log_bytes); /* nothing to tell */
    assert_int_equal(index_bench_view(bench)->part_count, EVENTS / 4);
    index_bench_check(bench, &fixture->expected);
    index_bench_kill(bench);
    assert_status_ok(index_bench_open(bench));
    assert_int_equal(index_bench_view(bench)->part_count, EVENTS / 4);
    index_bench_check(bench, &fixture->expected);
}

static void assert_made_anew(struct fixture *fixture, const char *what)
{
    struct index_bench *bench = &fixture->bench;
    const int64_t log_bytes = index_bench_log_bytes(bench);
    assert_status_ok(index_bench_open(bench));
    if (index_bench_log_bytes(bench) == log_bytes)
        fail_msg("%s: the start does not tell that it made a new index", what);
    index_bench_check(bench, &fixture->expected);
    embedded_store_step(bench->store);
    index_bench_check(bench, &fixture->expected);
    assert_int_equal(index_bench_view(bench)->part_count, EVENTS / 4);
    index_bench_close(bench);
    assert_status_ok(index_bench_open(bench));
    index_bench_check(bench, &fixture->expected);
    index_bench_close(bench);
}

static void test_without_its_files_the_index_is_made_anew(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct file_entry *files = NULL;
    char path[PATH_MAX_BYTES];
    index_bench_close(bench);
    const size_t count = index_bench_files(bench, &files);
    for (size_t i = 0; i < count; i++) {
        path_of(files[i].name, path);
        index_bench_write(bench, path, NULL, 0);
    }
    assert_status_ok(index_bench_open(bench)); /* no MANIFEST, nothing to tell: as in a store that is new */
    index_bench_check(bench, &fixture->expected);
    index_bench_close(bench);
}

static void test_a_missing_file_drops_the_whole_index(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct file_entry *files = NULL;
    index_bench_close(bench);
    const size_t count = index_bench_files(bench, &files);
    for (size_t i = 0; i < count; i += 5) {
        char path[PATH_MAX_BYTES];
        path_of(files[i].name, path);
        if (strcmp(files[i].name, "MANIFEST") == 0)
            continue;
        index_bench_write(bench, path, NULL, 0);
        assert_made_anew(fixture, path);
    }
}

static void test_a_file_that_was_cut_drops_the_whole_index(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct file_entry *files = NULL;
    index_bench_close(bench);
    const size_t count = index_bench_files(bench, &files);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        size_t size = 0;
        path_of(files[i].name, path);
        uint8_t *content = memory_files_content(&bench->disk, path, &size);
        const size_t cuts[] = {0, 1, 100, size / 2, size - 1};
        for (size_t j = i % 2; j < ARRAY_SIZE(cuts); j += 2) {
            assert_non_null(content); /* the new index has files of the same names */
            index_bench_write(bench, path, content, cuts[j]);
            assert_made_anew(fixture, path);
            free(content);
            content = memory_files_content(&bench->disk, path, &size);
        }
        free(content);
    }
}

/* Prime: all fields and bits come, in one file or another. Each flip is a start, which a sanitizer makes dear. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLIP_STEP 1999U
#else
#define FLIP_STEP 499U
#endif

/*
 * Pages are read when they are needed, so a flipped byte shows at the start, at a question, or not at all. `under_way`: it
 * flips while the store is open.
 */
enum flip { FLIP_UNSEEN, FLIP_AT_START, FLIP_AT_QUESTION };

static void check_made_anew_while_open(struct fixture *fixture)
{
    struct index_bench *bench = &fixture->bench;
    assert_int_equal(bench->store->ops->health(bench->store).code, STATUS_RESOURCE_EXHAUSTED);
    embedded_store_step(bench->store);
    assert_status_ok(bench->store->ops->health(bench->store));
    index_bench_check(bench, &fixture->expected);
    const struct index_view *view = index_bench_view(bench);
    assert_int_equal(view->part_count, EVENTS / 4);
    assert_in_range(view->run_count, 2, 7); /* and merged */
    index_bench_close(bench);
    const int64_t log_bytes = index_bench_log_bytes(bench);
    assert_status_ok(index_bench_open(bench));
    assert_int_equal(index_bench_log_bytes(bench), log_bytes); /* nothing to tell: the start found it whole */
    index_bench_check(bench, &fixture->expected);
}

static enum flip check_flip(struct fixture *fixture, const char *path, uint64_t offset, bool under_way)
{
    struct index_bench *bench = &fixture->bench;
    struct buffer answers = buffer_make(0);
    const int64_t log_bytes = index_bench_log_bytes(bench);
    if (under_way)
        assert_status_ok(index_bench_open(bench));
    assert_true(memory_files_damage(&bench->disk, path, offset, (uint8_t)(1U << offset % 8)));
    if (!under_way)
        assert_status_ok(index_bench_open(bench));
    enum flip flip = index_bench_log_bytes(bench) > log_bytes ? FLIP_AT_START : FLIP_UNSEEN;
    const struct status status = index_bench_answers(bench, &answers);
    if (status.code != STATUS_OK) {
        flip = FLIP_AT_QUESTION;
        assert_int_equal(status.reason, REASON_STORE_FAILED);
        if (strstr(status.message, "try again later") == NULL || strstr(status.message, path + 11) == NULL)
            fail_msg("%s flipped at %d: \"%s\"", path, (int)offset, status.message);
        char line[2000];
        index_bench_last_line(bench, line, sizeof line);
        assert_non_null(strstr(line, "nothing is lost"));
        if (under_way)
            check_made_anew_while_open(fixture);
        index_bench_close(bench);
        assert_status_ok(index_bench_open(bench));
    } else if (answers.size_bytes != fixture->expected.size_bytes ||
               memcmp(answers.data, fixture->expected.data, answers.size_bytes) != 0) {
        fail_msg("%s flipped at %d: other answers", path, (int)offset);
    }
    buffer_done(&answers);
    index_bench_check(bench, &fixture->expected);
    embedded_store_step(bench->store);
    index_bench_close(bench);
    return flip;
}

static void test_no_flipped_byte_of_the_index_changes_an_answer(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct file_entry *files = NULL;
    int seen[3] = {0};
    index_bench_close(bench);
    const size_t count = index_bench_files(bench, &files);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        path_of(files[i].name, path);
        uint64_t offset = i % 7;
        size_t size = 0;
        for (;;) {
            uint8_t *content = memory_files_content(&bench->disk, path, &size);
            free(content);
            if (content == NULL || offset >= size)
                break;
            seen[check_flip(fixture, path, offset, offset % 2 == 0)]++;
            offset += FLIP_STEP;
        }
    }
    assert_true(seen[FLIP_AT_START] > 20);
    assert_true(seen[FLIP_AT_QUESTION] > (int)(2500 / FLIP_STEP));
}

static void test_the_index_of_another_store_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct index_bench other;
    index_bench_init(&other);
    other.driver.entropy = seeded_entropy_from(99);
    assert_status_ok(index_bench_open(&other));
    index_bench_append(&other, EVENTS);
    index_bench_close(&other);
    index_bench_close(bench);
    struct file_entry *files = NULL;
    const size_t count = index_bench_files(&other, &files);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        size_t size = 0;
        path_of(files[i].name, path);
        uint8_t *content = memory_files_content(&other.disk, path, &size);
        index_bench_write(bench, path, content, size);
        free(content);
    }
    assert_made_anew(fixture, "another store's index");
    index_bench_done(&other);
}

/* Copies of the whole folder, as of a backup. */
struct copy {
    struct file_entry *files;
    size_t count;
    uint8_t *contents[64];
    size_t sizes[64];
};

static struct copy copy_index(struct index_bench *bench)
{
    struct copy copy = {0};
    copy.count = index_bench_files(bench, &copy.files);
    assert_true(copy.count <= 64);
    for (size_t i = 0; i < copy.count; i++) {
        char path[PATH_MAX_BYTES];
        path_of(copy.files[i].name, path);
        copy.contents[i] = memory_files_content(&bench->disk, path, &copy.sizes[i]);
    }
    return copy;
}

static void put_copy(struct index_bench *bench, struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        char path[PATH_MAX_BYTES];
        path_of(copy->files[i].name, path);
        index_bench_write(bench, path, copy->contents[i], copy->sizes[i]);
        free(copy->contents[i]);
    }
}

/* An index of earlier is as good as ever for what it covers. */
static void test_an_older_index_is_completed(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct copy copy = copy_index(bench);
    index_bench_append(bench, 23);
    assert_status_ok(index_bench_answers(bench, &fixture->expected));
    index_bench_close(bench);
    put_copy(bench, &copy);
    const int64_t log_bytes = index_bench_log_bytes(bench);
    assert_status_ok(index_bench_open(bench));
    assert_int_equal(index_bench_log_bytes(bench), log_bytes);
    index_bench_check(bench, &fixture->expected);
    embedded_store_step(bench->store);
    assert_int_equal(index_bench_view(bench)->part_count, (EVENTS + 23) / 4);
    index_bench_check(bench, &fixture->expected);
}

/* log/ and state/ come from a backup, index/ does not. */
static void test_an_index_of_what_the_log_lacks_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct index_bench longer;
    /* The same seed makes the same store, which then goes on. */
    index_bench_init(&longer);
    assert_status_ok(index_bench_open(&longer));
    index_bench_append(&longer, EVENTS + 40);
    index_bench_close(&longer);
    struct copy copy = copy_index(&longer);
    index_bench_close(bench);
    put_copy(bench, &copy);
    assert_made_anew(fixture, "an index of more than there is");
    index_bench_done(&longer);
}

static void test_reading_only_changes_no_file(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    index_bench_close(bench);
    struct file_entry *before = NULL;
    char path[PATH_MAX_BYTES];
    for (int i = 0; i < 2; i++) {
        const size_t count = index_bench_files(bench, &before);
        bench->options.read_only = true;
        assert_status_ok(index_bench_open(bench));
        index_bench_check(bench, &fixture->expected);
        embedded_store_step(bench->store);
        index_bench_close(bench);
        struct file_entry *after = NULL;
        assert_int_equal(index_bench_files(bench, &after), count);
        path_of(before[count / 2].name, path); /* the second time without an index that fits */
        if (i == 0)
            index_bench_write(bench, path, NULL, 0);
    }
}

/* The newest event of aggregate-1 lies in a file's segment: the head is known only by its record. */
static void test_a_damaged_record_refuses_its_aggregate_alone(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    static const char path[] = "main/log/00000000000000000085.seg";
    size_t size = 0;
    index_bench_close(bench); /* a store that is not opened anew remembers the head */
    uint8_t *content = memory_files_content(&bench->disk, path, &size);
    assert_non_null(content);
    const uint8_t *found = memmem(content, size, "{\"number\":85}", 13);
    assert_non_null(found);
    assert_true(memory_files_damage(&bench->disk, path, (uint64_t)(found - content) + 3, 0x01));
    free(content);
    assert_status_ok(index_bench_open(bench));
    struct append_event events[] = {numbered_event(&bench->driver, 1001, "aggregate-1", "changed", "order"),
                                    numbered_event(&bench->driver, 1002, "aggregate-2", "changed", "custom")};
    const struct append appends[] = {sample_append(&events[0], 1), sample_append(&events[1], 1)};
    const struct append *const list[] = {&appends[0], &appends[1]};
    struct decision decision = store_driver_decide(&bench->driver, list, 2);
    assert_int_equal(decision.outcomes[0].kind, APPEND_REFUSED);
    assert_int_equal(decision.outcomes[0].status.reason, REASON_DAMAGED);
    assert_non_null(strstr(decision.outcomes[0].status.message, "position 86"));
    assert_int_equal(decision.outcomes[1].kind, APPEND_ACCEPTED);
    assert_status_ok(store_driver_commit(&bench->driver, &decision));
}

/* ---- when it cannot be written ---- */

static struct status append_more(struct index_bench *bench, int *ret_accepted)
{
    struct append_event event;
    *ret_accepted = 0;
    for (int i = 0; i < 200; i++) {
        event = numbered_event(&bench->driver, bench->numbers, "a", "changed", "custom");
        const struct append append = sample_append(&event, 1);
        const struct append *one = &append;
        struct decision decision = store_driver_decide(&bench->driver, &one, 1);
        const struct status status = store_driver_commit(&bench->driver, &decision);
        if (status.code != STATUS_OK)
            return status;
        bench->numbers++;
        ++*ret_accepted;
    }
    return status_ok();
}

/* A file where the folder should be: nothing can be written there, by root neither. */
static void test_appends_go_on_for_a_while_without_an_index(void **state)
{
    (void)state;
    struct index_bench bench;
    struct file *file = NULL;
    int accepted = 0;
    index_bench_init(&bench);
    assert_status_ok(index_bench_open(&bench));
    assert_status_ok(files_remove(&bench.disk.files, "main/index"));
    assert_status_ok(files_open(&bench.disk.files, "main/index", FILE_WRITE | FILE_CREATE, &file));
    file_close(file);
    const int64_t log_bytes = index_bench_log_bytes(&bench);
    const struct status refused = append_more(&bench, &accepted);
    assert_int_equal(accepted, (BUILDER_WAITING_MAX + 1) * 4);
    assert_int_equal(refused.reason, REASON_STORE_FAILED);
    assert_true(refused.retry_after_ms > 0);
    assert_non_null(strstr(refused.message, "nothing was written"));
    assert_non_null(strstr(refused.message, "index"));
    const int64_t told = index_bench_log_bytes(&bench);
    assert_true(told > log_bytes);
    int more = 0;
    assert_reason(append_more(&bench, &more), REASON_STORE_FAILED);
    assert_int_equal(more, 0);
    assert_int_equal(index_bench_log_bytes(&bench), told); /* told once */
    const struct status health = bench.store->ops->health(bench.store);
    assert_int_equal(health.code, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(health.message, "index"));
    assert_status_ok(files_remove(&bench.disk.files, "main/index"));
    assert_status_ok(append_more(&bench, &more));
    assert_int_equal(store_driver_head(&bench.driver).position, accepted + more);
    assert_status_ok(bench.store->ops->health(bench.store));
    struct buffer answers = buffer_make(0);
    assert_status_ok(index_bench_answers(&bench, &answers));
    buffer_done(&answers);
    index_bench_done(&bench);
}

/* ---- damaged while the store runs ---- */

/* A page of the index that questions need is not what was written; found by asking. */
static void damage_and_ask(struct fixture *fixture)
{
    struct index_bench *bench = &fixture->bench;
    struct file_entry *files = NULL;
    const size_t count = index_bench_files(bench, &files);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX_BYTES];
        path_of(files[i].name, path);
        if (strcmp(files[i].name, "MANIFEST") != 0)
            assert_true(memory_files_damage(&bench->disk, path, 4096 + 10, 0x10));
    }
    struct buffer answers = buffer_make(0);
    assert_reason(index_bench_answers(bench, &answers), REASON_STORE_FAILED);
    buffer_done(&answers);
}

static void test_appends_go_on_beside_a_damaged_index_and_when_it_is_made_anew(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    struct event_store *store = bench->store;
    int accepted = 0;
    damage_and_ask(fixture);
    embedded_of(store)->builder.renewal_wait_ms = 1; /* not yet: as while it is being made */
    embedded_of(store)->builder.renewal_at_us = INT64_MAX;
    const struct status refused = append_more(bench, &accepted);
    assert_in_range(accepted, BUILDER_WAITING_MAX * 4, (BUILDER_WAITING_MAX + 1) * 4);
    assert_int_equal(refused.reason, REASON_STORE_FAILED);
    assert_true(refused.retry_after_ms > 0);
    assert_non_null(strstr(refused.message, "try again later"));
    const struct status health = store->ops->health(store);
    assert_int_equal(health.code, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(health.message, "a new one is being made"));
    embedded_of(store)->builder.renewal_wait_ms = 0;
    embedded_store_step(store); /* the new index, then the tables that wait */
    assert_status_ok(store->ops->health(store));
    assert_int_equal(index_bench_view(bench)->table_count, 1);
    int more = 0;
    assert_status_ok(append_more(bench, &more));
    assert_int_equal(store_driver_head(&bench->driver).position, EVENTS + accepted + more);
    struct buffer answers = buffer_make(0);
    assert_status_ok(index_bench_answers(bench, &answers));
    index_bench_close(bench);
    assert_status_ok(index_bench_open(bench));
    index_bench_check(bench, &answers); /* nothing of the store that saw the damage is left */
    buffer_done(&answers);
}

/* A log that cannot be read either: told, and tried again after 1 s, 2 s, 4 s … */
static void test_an_index_that_cannot_be_made_anew_is_tried_again_ever_later(void **state)
{
    struct fixture *fixture = *state;
    struct index_bench *bench = &fixture->bench;
    static const char segment[] = "main/log/00000000000000000041.seg";
    damage_and_ask(fixture);
    assert_true(memory_files_damage(&bench->disk, segment, SEGMENT_HEADER_BYTES + 5, 0x01));
    int64_t told = index_bench_log_bytes(bench);
    for (int64_t wait_ms = 1000; wait_ms <= 8000; wait_ms *= 2) {
        embedded_store_step(bench->store);
        assert_true(index_bench_log_bytes(bench) > told);
        told = index_bench_log_bytes(bench);
        const struct status health = bench->store->ops->health(bench->store);
        assert_int_equal(health.code, STATUS_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(health.message, segment));
        manual_clock_advance_ms(&bench->driver.clock, wait_ms - 1);
        embedded_store_step(bench->store);
        assert_int_equal(index_bench_log_bytes(bench), told);
        manual_clock_advance_ms(&bench->driver.clock, 1);
    }
    assert_true(memory_files_damage(&bench->disk, segment, SEGMENT_HEADER_BYTES + 5, 0x01)); /* as it was */
    embedded_store_step(bench->store);
    assert_status_ok(bench->store->ops->health(bench->store));
    index_bench_check(bench, &fixture->expected);
}

static bool count_record(void *context, int64_t position, struct record record)
{
    (void)position;
    (void)record;
    (*(int *)context)++;
    return true;
}

/* Only imported records can say a tag twice: service takes the second one away. */
static void test_a_tag_said_twice_finds_its_event_once(void **state)
{
    struct index_bench bench;
    (void)state;
    index_bench_init(&bench);
    assert_status_ok(index_bench_open(&bench));
    for (int i = 1; i <= 22; i++) {
        struct append_event event = numbered_event(&bench.driver, i, "a", "changed", "user");
        for (event.tag_count = 0; event.tag_count < 3; event.tag_count++)
            event.tags[event.tag_count] = bytes_of_text(event.tag_count == 1 ? "blue" : "red");
        const struct append append = sample_append(&event, 1);
        assert_int_equal(store_driver_append(&bench.driver, &append).kind, APPEND_ACCEPTED);
        embedded_store_step(bench.store);
        const struct read_query query = {.by = READ_BY_TAG, .key = BYTES_LITERAL("red")};
        int count = 0;
        assert_status_ok(bench.store->ops->read(bench.store, &query, count_record, &count));
        assert_int_equal(count, i); /* from tables, from runs, and from merged ones */
    }
    index_bench_done(&bench);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_indexed, remove_indexed)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_segments_become_files_and_files_are_merged),
        TEST(test_a_start_with_an_index_reads_only_what_that_lacks),
        TEST(test_without_its_files_the_index_is_made_anew),
        TEST(test_a_missing_file_drops_the_whole_index),
        TEST(test_a_file_that_was_cut_drops_the_whole_index),
        TEST(test_no_flipped_byte_of_the_index_changes_an_answer),
        TEST(test_the_index_of_another_store_is_refused),
        TEST(test_an_older_index_is_completed),
        TEST(test_an_index_of_what_the_log_lacks_is_refused),
        TEST(test_reading_only_changes_no_file),
        TEST(test_a_damaged_record_refuses_its_aggregate_alone),
        TEST(test_appends_go_on_beside_a_damaged_index_and_when_it_is_made_anew),
        TEST(test_an_index_that_cannot_be_made_anew_is_tried_again_ever_later),
        cmocka_unit_test(test_appends_go_on_for_a_while_without_an_index),
        cmocka_unit_test(test_a_tag_said_twice_finds_its_event_once),
    };
    return cmocka_run_group_tests_name("embedded_index", tests, NULL, NULL);
}
