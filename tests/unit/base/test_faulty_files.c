#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "support/faulty_files.h"
#include "support/memory_files.h"

/* Every call once; gives the number of calls that failed. `ret_text` is what was read. */
static unsigned scenario(struct files *files, char ret_text[16])
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(file_close_at) struct file *file = NULL;
    struct file_entry *entries = NULL;
    size_t count = 0;
    size_t size = 0;
    uint64_t file_bytes = 0;
    unsigned failed = 0;
#define COUNT(call)                                                                                          \
    do {                                                                                                     \
        const struct status status_ = (call);                                                                \
        failed += status_.code != STATUS_OK;                                                                 \
    } while (0)
    memset(ret_text, 0, 16);
    COUNT(files_mkdir(files, "f"));
    COUNT(files_open(files, "a", FILE_WRITE | FILE_CREATE, &file));
    if (file != NULL) {
        COUNT(file_lock(file));
        COUNT(file_write_at(file, 0, "abcdefgh", 8));
        COUNT(file_sync(file));
        COUNT(file_read_at(file, 0, ret_text, 8, &size));
        ret_text[size] = '\0';
        COUNT(file_allocate(file, 100));
        COUNT(file_truncate(file, 8));
        COUNT(file_size(file, &file_bytes));
    }
    COUNT(files_sync_dir(files, "."));
    COUNT(files_list(files, ".", arena, &entries, &count));
    COUNT(files_rename(files, "a", "b"));
    COUNT(files_remove(files, "f"));
#undef COUNT
    return failed;
}

static void test_a_sweep_fails_every_call_once(void **state)
{
    (void)state;
    static const struct {
        enum fault_kind kind;
        unsigned calls; /* of the scenario that fit */
    } rows[] = {
        {FAULT_NONE, 0},       {FAULT_IO, 13},      {FAULT_IO_AFTER, 13},
        {FAULT_TORN_WRITE, 1}, {FAULT_NO_SPACE, 6}, {FAULT_SYNC_LOST, 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (unsigned fail_at = 1;; fail_at++) {
            struct memory_files disk = memory_files_empty();
            struct faulty_files files = faulty_files_over(&disk.files, fail_at, rows[i].kind);
            char text[16];
            const unsigned failed = scenario(&files.files, text);
            assert_int_equal(memory_files_open_count(&disk), 0);
            memory_files_done(&disk);
            assert_int_equal(failed > 0, files.hit); /* a failed call may make later ones fail as well */
            if (files.hit)
                continue;
            assert_int_equal(fail_at, rows[i].calls + 1);
            assert_int_equal(files.call_count, 13);
            break;
        }
    }
}

static void test_a_sticky_fault_does_not_heal(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct faulty_files files = faulty_files_over(&disk.files, 4, FAULT_IO);
    files.sticky = true;
    char text[16];
    assert_int_equal(scenario(&files.files, text), 10);
    memory_files_done(&disk);
}

static struct file *open_a(struct faulty_files *files)
{
    struct file *file = NULL;
    assert_status_ok(files_open(&files->files, "a", FILE_WRITE | FILE_CREATE, &file));
    return file;
}

static void assert_disk(struct memory_files *disk, const char *wanted)
{
    size_t size = 0;
    uint8_t *content = memory_files_content(disk, "a", &size);
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(content, wanted, size);
    free(content);
}

static void test_a_torn_write_leaves_its_first_part(void **state)
{
    (void)state;
    static const struct {
        enum fault_kind kind;
        enum status_code code;
        const char *left;
    } rows[] = {
        {FAULT_TORN_WRITE, STATUS_DATA_LOSS, "abcd"},
        {FAULT_NO_SPACE, STATUS_RESOURCE_EXHAUSTED, "abcd"},
        {FAULT_IO, STATUS_DATA_LOSS, ""},
        {FAULT_IO_AFTER, STATUS_DATA_LOSS, "abcdefgh"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct memory_files disk = memory_files_empty();
        struct faulty_files files =
            faulty_files_over(&disk.files, rows[i].kind == FAULT_TORN_WRITE ? 1 : 2, rows[i].kind);
        CLEANUP(file_close_at) struct file *file = open_a(&files);
        assert_status(file_write_at(file, 0, "abcdefgh", 8), rows[i].code);
        assert_true(files.hit);
        assert_disk(&disk, rows[i].left);
        assert_status_ok(file_write_at(file, 0, "ABCDEFGH", 8)); /* one shot */
        assert_disk(&disk, "ABCDEFGH");
        file_close(TAKE_PTR(file));
        memory_files_done(&disk);
    }
}

static void test_a_failed_sync_loses_what_it_was_for(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct faulty_files files = faulty_files_over(&disk.files, 2, FAULT_SYNC_LOST);
    files.lose_unsynced = memory_file_lose_unsynced;
    struct file *file = open_a(&files);
    assert_status_ok(files_sync_dir(&files.files, "."));
    assert_status_ok(file_write_at(file, 0, "abc", 3));
    assert_status(file_sync(file), STATUS_DATA_LOSS);
    assert_status_ok(file_sync(file)); /* a second sync lies */
    file_close(file);
    assert_disk(&disk, "abc");
    memory_files_crash_hard(&disk);
    assert_disk(&disk, "");
    memory_files_done(&disk);
}

static void test_reads_can_be_corrupt_or_short(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct faulty_files corrupt = faulty_files_over(&disk.files, 1, FAULT_READ_CORRUPT);
    struct faulty_files brief = faulty_files_over(&disk.files, 1, FAULT_READ_SHORT);
    char text[16];
    assert_int_equal(scenario(&corrupt.files, text), 0);
    assert_true(corrupt.hit);
    assert_string_equal(text, "abcdufgh");
    assert_int_equal(scenario(&brief.files, text), 0);
    assert_string_equal(text, "abcd");
    assert_int_equal(scenario(&brief.files, text), 0);
    assert_string_equal(text, "abcdefgh");
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sweep_fails_every_call_once),
        cmocka_unit_test(test_a_sticky_fault_does_not_heal),
        cmocka_unit_test(test_a_torn_write_leaves_its_first_part),
        cmocka_unit_test(test_a_failed_sync_loses_what_it_was_for),
        cmocka_unit_test(test_reads_can_be_corrupt_or_short),
    };
    return cmocka_run_group_tests_name("faulty_files", tests, NULL, NULL);
}
