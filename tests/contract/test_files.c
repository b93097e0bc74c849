/*
 * What every struct files must do: one suite over the real disk (in a folder of its own), the disk in memory
 * and the faulty wrapper while nothing is to fail.
 */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/faulty_files.h"
#include "support/memory_files.h"

#include "base/files.h"

struct kind {
    const char *name;
    struct files *(*open)(void);
    void (*close)(struct files *files);
};

/* One test at a time has one of each kind. */
static char folder[64];
static struct memory_files memory;
static struct faulty_files faulty;

static struct files *open_posix(void)
{
    struct files *files = NULL;
    strcpy(folder, "/tmp/strata-test-files-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_status_ok(posix_files_new(folder, &files));
    return files;
}

static void close_posix(struct files *files)
{
    posix_files_free(files);
    const pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-r", folder, (char *)NULL);
        _exit(127);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

static struct files *open_memory(void)
{
    memory = memory_files_empty();
    return &memory.files;
}

static void close_memory(struct files *files)
{
    (void)files;
    assert_int_equal(memory_files_open_count(&memory), 0);
    memory_files_done(&memory);
}

static struct files *open_faulty(void)
{
    faulty = faulty_files_over(open_memory(), 0, FAULT_IO);
    return &faulty.files;
}

static const struct kind posix_kind = {"posix", open_posix, close_posix};
static const struct kind memory_kind = {"memory", open_memory, close_memory};
static const struct kind faulty_kind = {"faulty", open_faulty, close_memory};

static int set_up(void **state)
{
    const struct kind *kind = *state;
    *state = kind->open();
    return 0;
}

static const struct kind *kind_of(const struct files *files)
{
    if (files == &memory.files)
        return &memory_kind;
    return files == &faulty.files ? &faulty_kind : &posix_kind;
}

static int tear_down(void **state)
{
    struct files *files = *state;
    kind_of(files)->close(files);
    return 0;
}

static struct file *create(struct files *files, const char *path, const char *content)
{
    struct file *file = NULL;
    assert_status_ok(files_open(files, path, FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_write_at(file, 0, content, strlen(content)));
    return file;
}

static void assert_content(struct files *files, const char *path, const char *content)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    char text[256] = "";
    size_t size = 0;
    assert_status_ok(files_open(files, path, FILE_READ, &file));
    assert_status_ok(file_read_at(file, 0, text, sizeof text - 1, &size));
    assert_int_equal(size, strlen(content));
    assert_string_equal(text, content);
}

static void assert_size(struct file *file, uint64_t wanted)
{
    uint64_t size = 0;
    assert_status_ok(file_size(file, &size));
    assert_int_equal(size, wanted);
}

static void test_open_tells_missing_from_present(void **state)
{
    struct files *files = *state;
    struct file *file = NULL;
    assert_status(files_open(files, "a", FILE_READ, &file), STATUS_NOT_FOUND);
    assert_status(files_open(files, "a", FILE_WRITE, &file), STATUS_NOT_FOUND);
    assert_status(files_open(files, "no/a", FILE_WRITE | FILE_CREATE, &file), STATUS_NOT_FOUND);
    assert_null(file);
    assert_status_ok(files_open(files, "a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file));
    file_close(file);
    struct file *again = NULL;
    assert_status(files_open(files, "a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &again),
                  STATUS_ALREADY_EXISTS);
    assert_status(files_open(files, "a/b", FILE_WRITE | FILE_CREATE, &again), STATUS_NOT_FOUND);
    assert_null(again);
    assert_status_ok(files_open(files, "a", FILE_WRITE | FILE_CREATE, &again));
    file_close(again);
    file_close(NULL);
}

static void test_paths_cannot_leave_the_root(void **state)
{
    struct files *files = *state;
    static const char *const paths[] = {"", "/etc/passwd", "..", "../a", "a/../../b", "a/.."};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct file *file = NULL;
        struct file_entry *entries = NULL;
        size_t count = 0;
        assert_status(files_open(files, paths[i], FILE_READ, &file), STATUS_INVALID_ARGUMENT);
        assert_status(files_rename(files, paths[i], "x"), STATUS_INVALID_ARGUMENT);
        assert_status(files_rename(files, "x", paths[i]), STATUS_INVALID_ARGUMENT);
        assert_status(files_remove(files, paths[i]), STATUS_INVALID_ARGUMENT);
        assert_status(files_mkdir(files, paths[i]), STATUS_INVALID_ARGUMENT);
        assert_status(files_sync_dir(files, paths[i]), STATUS_INVALID_ARGUMENT);
        assert_status(files_list(files, paths[i], arena, &entries, &count), STATUS_INVALID_ARGUMENT);
    }
    file_close(create(files, "..a", "a name may begin with two points"));
}

static void test_what_is_written_is_read(void **state)
{
    struct files *files = *state;
    CLEANUP(file_close_at) struct file *file = create(files, "a", "hello world");
    char text[32] = "";
    size_t size = 99;
    assert_status_ok(file_read_at(file, 6, text, 3, &size));
    assert_int_equal(size, 3);
    assert_string_equal(text, "wor");
    assert_status_ok(file_read_at(file, 6, text, sizeof text, &size));
    assert_int_equal(size, 5); /* fewer only at the end */
    assert_status_ok(file_read_at(file, 11, text, sizeof text, &size));
    assert_int_equal(size, 0);
    assert_status_ok(file_read_at(file, 1000, text, sizeof text, &size));
    assert_int_equal(size, 0);
    assert_status_ok(file_write_at(file, 6, "WORLD", 5));
    assert_status_ok(file_write_at(file, 0, NULL, 0));
    assert_status_ok(file_sync(file));
    assert_content(files, "a", "hello WORLD");
    assert_size(file, 11);
}

static void test_reading_exactly_refuses_a_short_file(void **state)
{
    CLEANUP(file_close_at) struct file *file = create(*state, "a", "12345");
    char text[6] = "";
    assert_status_ok(file_read_exactly(file, 1, text, 4));
    assert_string_equal(text, "2345");
    assert_status(file_read_exactly(file, 1, text, 5), STATUS_DATA_LOSS);
}

static void test_a_gap_reads_as_zeros(void **state)
{
    CLEANUP(file_close_at) struct file *file = create(*state, "a", "x");
    char text[12];
    memset(text, 'q', sizeof text);
    assert_status_ok(file_write_at(file, 10, "y", 1));
    assert_status_ok(file_read_exactly(file, 0, text, 11));
    assert_memory_equal(text, "x\0\0\0\0\0\0\0\0\0y", 11);
}

static void test_allocate_adds_zeros_and_keeps_what_is_there(void **state)
{
    CLEANUP(file_close_at) struct file *file = create(*state, "a", "head");
    const size_t size = 3 * 1024 * 1024 + 5; /* more than the piece that is written at once */
    uint8_t *content = malloc(size);
    assert_status_ok(file_allocate(file, size));
    assert_size(file, size);
    assert_status_ok(file_read_exactly(file, 0, content, size));
    assert_memory_equal(content, "head", 4);
    for (size_t i = 4; i < size; i++)
        if (content[i] != 0)
            fail_msg("byte %zu is %d", i, content[i]);
    free(content);
    assert_status_ok(file_allocate(file, 10)); /* never shrinks */
    assert_size(file, size);
    assert_status_ok(file_sync(file));
}

static void test_truncate_cuts_and_extends(void **state)
{
    CLEANUP(file_close_at) struct file *file = create(*state, "a", "0123456789");
    char text[8] = "";
    assert_status_ok(file_truncate(file, 4));
    assert_size(file, 4);
    assert_status_ok(file_truncate(file, 8));
    assert_status_ok(file_read_exactly(file, 0, text, 8));
    assert_memory_equal(text, "0123\0\0\0\0", 8);
}

static void test_a_reading_handle_does_not_write(void **state)
{
    struct files *files = *state;
    file_close(create(files, "a", "abc"));
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(files, "a", FILE_READ, &file));
    assert_status(file_write_at(file, 0, "x", 1), STATUS_FAILED_PRECONDITION);
    assert_status(file_allocate(file, 100), STATUS_FAILED_PRECONDITION);
    assert_content(files, "a", "abc");
}

static void test_handles_see_each_other(void **state)
{
    struct files *files = *state;
    CLEANUP(file_close_at) struct file *writer = create(files, "a", "abc");
    CLEANUP(file_close_at) struct file *reader = NULL;
    char text[4] = "";
    assert_status_ok(files_open(files, "a", FILE_READ, &reader));
    assert_status_ok(file_write_at(writer, 1, "X", 1));
    assert_status_ok(file_read_exactly(reader, 0, text, 3));
    assert_string_equal(text, "aXc");
}

static void test_rename_replaces(void **state)
{
    struct files *files = *state;
    struct file *file = NULL;
    file_close(create(files, "a", "new"));
    file_close(create(files, "b", "old"));
    assert_status_ok(files_rename(files, "a", "b"));
    assert_content(files, "b", "new");
    assert_status(files_open(files, "a", FILE_READ, &file), STATUS_NOT_FOUND);
    assert_status(files_rename(files, "a", "b"), STATUS_NOT_FOUND);
    assert_status(files_rename(files, "b", "no/b"), STATUS_NOT_FOUND);
    assert_status_ok(files_rename(files, "b", "b"));
    assert_content(files, "b", "new");
    assert_status_ok(files_mkdir(files, "f"));
    assert_status_ok(files_rename(files, "b", "f/c"));
    assert_content(files, "f/c", "new");
    assert_status(files_rename(files, "f/c", "f"), STATUS_FAILED_PRECONDITION);
}

static void test_a_handle_outlives_its_name(void **state)
{
    struct files *files = *state;
    CLEANUP(file_close_at) struct file *file = create(files, "a", "abc");
    char text[4] = "";
    assert_status_ok(files_rename(files, "a", "b"));
    assert_status_ok(files_remove(files, "b"));
    assert_status_ok(files_sync_dir(files, "."));
    assert_status_ok(file_read_exactly(file, 0, text, 3));
    assert_string_equal(text, "abc");
    file_close(create(files, "b", "other"));
    assert_status_ok(file_read_exactly(file, 0, text, 3));
    assert_string_equal(text, "abc");
}

static void test_remove_takes_files_and_empty_folders(void **state)
{
    struct files *files = *state;
    assert_status(files_remove(files, "f"), STATUS_NOT_FOUND);
    assert_status_ok(files_mkdir(files, "f"));
    file_close(create(files, "f/a", ""));
    assert_status(files_remove(files, "f"), STATUS_FAILED_PRECONDITION);
    assert_status_ok(files_remove(files, "f/a"));
    assert_status_ok(files_remove(files, "f"));
    assert_status(files_remove(files, "f"), STATUS_NOT_FOUND);
}

static void test_mkdir_is_content_with_a_folder_that_exists(void **state)
{
    struct files *files = *state;
    assert_status_ok(files_mkdir(files, "f"));
    assert_status_ok(files_mkdir(files, "f"));
    assert_status_ok(files_mkdir(files, "."));
    assert_status_ok(files_mkdir(files, "f/g"));
    assert_status(files_mkdir(files, "no/g"), STATUS_NOT_FOUND);
    file_close(create(files, "a", ""));
    assert_status(files_mkdir(files, "a"), STATUS_ALREADY_EXISTS);
    struct file *file = NULL;
    assert_status(files_open(files, "f", FILE_READ, &file), STATUS_FAILED_PRECONDITION);
    assert_status(files_open(files, "f", FILE_WRITE, &file), STATUS_FAILED_PRECONDITION);
}

static void test_list_gives_names_in_byte_order(void **state)
{
    struct files *files = *state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    static const char *const names[] = {"b", "a", "B", "aa", "\xC3\xA9", "0", "a.tmp"};
    static const char *const sorted[] = {"0", "B", "a", "a.tmp", "aa", "b", "f", "\xC3\xA9"};
    struct file_entry *entries = NULL;
    size_t count = 99;
    assert_status_ok(files_list(files, ".", arena, &entries, &count));
    assert_int_equal(count, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        file_close(create(files, names[i], ""));
    assert_status_ok(files_mkdir(files, "f"));
    file_close(create(files, "f/x", ""));
    assert_status_ok(files_list(files, ".", arena, &entries, &count));
    assert_int_equal(count, ARRAY_SIZE(sorted));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(entries[i].name, sorted[i]);
        assert_int_equal(entries[i].is_folder, strcmp(sorted[i], "f") == 0);
    }
    assert_status_ok(files_list(files, "f", arena, &entries, &count));
    assert_int_equal(count, 1);
    assert_string_equal(entries[0].name, "x");
    assert_status(files_list(files, "no", arena, &entries, &count), STATUS_NOT_FOUND);
    assert_status(files_list(files, "a", arena, &entries, &count), STATUS_NOT_FOUND);
}

static void test_sync_dir_wants_a_folder(void **state)
{
    struct files *files = *state;
    assert_status_ok(files_mkdir(files, "f"));
    assert_status_ok(files_sync_dir(files, "f"));
    assert_status_ok(files_sync_dir(files, "."));
    assert_status(files_sync_dir(files, "no"), STATUS_NOT_FOUND);
}

static void test_a_lock_has_one_holder(void **state)
{
    struct files *files = *state;
    struct file *first = create(files, "LOCK", "");
    CLEANUP(file_close_at) struct file *second = create(files, "LOCK", "");
    assert_status_ok(file_lock(first));
    assert_status_ok(file_lock(first));
    const struct status status = file_lock(second);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(status.message, "LOCK"));
    CLEANUP(file_close_at) struct file *other = create(files, "OTHER", "");
    assert_status_ok(file_lock(other));
    file_close(first);
    assert_status_ok(file_lock(second));
    char line[512] = "";
    size_t size = 0;
    assert_status_ok(file_read_at(second, 0, line, sizeof line - 1, &size));
    /* One line about the holder, or nothing where there are no processes. */
    assert_ptr_equal(size == 0 ? line : strchr(line, '\n') + 1, line + size);
}

static void test_the_disk_says_how_much_is_free(void **state)
{
    struct files *files = *state;
    uint64_t bytes = 0;
    assert_status_ok(files_free_bytes(files, &bytes));
    assert_in_range(bytes, 1, INT64_MAX);
}

#define TEST(function, kind)                                                                                 \
    {                                                                                                        \
#function " (" #kind ")", function, set_up, tear_down, (void *)(uintptr_t)&kind##_kind               \
    }
#define TESTS(kind)                                                                                          \
    TEST(test_open_tells_missing_from_present, kind), TEST(test_paths_cannot_leave_the_root, kind),          \
        TEST(test_what_is_written_is_read, kind), TEST(test_reading_exactly_refuses_a_short_file, kind),     \
        TEST(test_a_gap_reads_as_zeros, kind), TEST(test_allocate_adds_zeros_and_keeps_what_is_there, kind), \
        TEST(test_truncate_cuts_and_extends, kind), TEST(test_a_reading_handle_does_not_write, kind),        \
        TEST(test_handles_see_each_other, kind), TEST(test_rename_replaces, kind),                           \
        TEST(test_a_handle_outlives_its_name, kind), TEST(test_remove_takes_files_and_empty_folders, kind),  \
        TEST(test_mkdir_is_content_with_a_folder_that_exists, kind),                                         \
        TEST(test_list_gives_names_in_byte_order, kind), TEST(test_sync_dir_wants_a_folder, kind),           \
        TEST(test_a_lock_has_one_holder, kind), TEST(test_the_disk_says_how_much_is_free, kind)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS(posix), TESTS(memory), TESTS(faulty)};
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
