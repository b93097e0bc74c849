/* What only the real disk has; the rest is in tests/contract/test_files.c. */
#include "support/cmocka.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"

/* The linker's names: every fdatasync and fsync of the program comes here first. */
int real_fdatasync(int fd) __asm__("__real_fdatasync");
int real_fsync(int fd) __asm__("__real_fsync");
int wrap_fdatasync(int fd) __asm__("__wrap_fdatasync");
int wrap_fsync(int fd) __asm__("__wrap_fsync");

static int sync_error; /* what the next sync fails with; 0 = it works */
static int sync_calls;

static int answer_sync(int fd, int (*real)(int fd))
{
    sync_calls++;
    if (sync_error == 0)
        return real(fd);
    errno = sync_error;
    sync_error = 0;
    return -1;
}

int wrap_fdatasync(int fd)
{
    return answer_sync(fd, real_fdatasync);
}

int wrap_fsync(int fd)
{
    return answer_sync(fd, real_fsync);
}

struct fixture {
    char folder[64];
    char below[96];
    struct files *files;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->folder, "/tmp/strata-test-posix-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->below, sizeof fixture->below, "%s/made/with/parents/", fixture->folder);
    assert_status_ok(posix_files_new(fixture->below, &fixture->files));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    posix_files_free(fixture->files);
    const pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-r", fixture->folder, (char *)NULL);
        _exit(127);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    free(fixture);
    return how;
}

static void test_the_root_is_made_with_its_parents_and_private(void **state)
{
    const struct fixture *fixture = *state;
    struct stat about;
    assert_int_equal(stat(fixture->below, &about), 0);
    assert_int_equal(about.st_mode & 077, 0);
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(fixture->files, "a", FILE_WRITE | FILE_CREATE, &file));
    char path[160];
    (void)snprintf(path, sizeof path, "%sa", fixture->below);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void test_messages_carry_the_whole_path_and_the_systems_word(void **state)
{
    const struct fixture *fixture = *state;
    struct file *file = NULL;
    const struct status status = files_open(fixture->files, "log/x.seg", FILE_READ, &file);
    char wanted[200];
    (void)snprintf(wanted, sizeof wanted,
                   "%s/made/with/parents/log/x.seg: opening failed: No such file or directory",
                   fixture->folder);
    assert_string_equal(status.message, wanted);
}

static void test_a_root_that_is_a_file_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(file_close_at) struct file *file = NULL;
    struct files *files = NULL;
    char path[160];
    assert_status_ok(files_open(fixture->files, "a", FILE_WRITE | FILE_CREATE, &file));
    (void)snprintf(path, sizeof path, "%sa", fixture->below);
    assert_true(posix_files_new(path, &files).code != STATUS_OK);
    assert_status(posix_files_new("", &files), STATUS_INVALID_ARGUMENT);
    assert_null(files);
}

static void test_allocated_space_is_really_there(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(fixture->files, "a", FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_allocate(file, 2 * 1024 * 1024));
    assert_status_ok(file_sync(file));
    char path[160];
    struct stat about;
    (void)snprintf(path, sizeof path, "%sa", fixture->below);
    assert_int_equal(stat(path, &about), 0);
    assert_true(about.st_blocks * 512 >= 2 * 1024 * 1024);
}

static void test_a_failed_allocation_leaves_the_size(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(file_close_at) struct file *file = NULL;
    uint64_t size = 0;
    assert_status_ok(files_open(fixture->files, "a", FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_write_at(file, 0, "abc", 3));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit little = {1024 * 1024, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    const struct status status = file_allocate(file, 8 * 1024 * 1024);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status.code, STATUS_RESOURCE_EXHAUSTED);
    assert_status_ok(file_size(file, &size));
    assert_int_equal(size, 3);
}

/*
 * Delayed allocation reports a full disk at the sync, after the kernel gave the pages up: whoever took that for a
 * plain want of space would free some, sync again, be told "OK", and have lost the data.
 */
static void test_a_sync_that_fails_is_data_loss_whatever_the_cause(void **state)
{
    const struct fixture *fixture = *state;
    static const int errors[] = {EIO, ENOSPC, EDQUOT, ENOMEM, EROFS, EINTR, EINVAL};
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(fixture->files, "a", FILE_WRITE | FILE_CREATE, &file));
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        sync_calls = 0;
        sync_error = errors[i];
        const struct status of_file = file_sync(file);
        sync_error = errors[i];
        const struct status of_folder = files_sync_dir(fixture->files, ".");
        if (of_file.code != STATUS_DATA_LOSS || of_folder.code != STATUS_DATA_LOSS)
            fail_msg("%s: %s, %s", strerror(errors[i]), status_code_name(of_file.code),
                     status_code_name(of_folder.code));
        assert_non_null(strstr(of_file.message, strerror(errors[i])));
        assert_int_equal(sync_calls, 2); /* never again by itself, not even after EINTR */
    }
    assert_status_ok(file_sync(file));
}

/* Tells by one byte that it holds the lock, then waits for one. */
static void hold_lock(const struct fixture *fixture, int tell, int wait)
{
    struct file *file = NULL;
    struct files *files = NULL;
    char byte = 0;
    struct status status = posix_files_new(fixture->below, &files);
    if (status_is_ok(&status))
        status = files_open(files, "LOCK", FILE_WRITE | FILE_CREATE, &file);
    if (status_is_ok(&status))
        status = file_lock(file);
    if (!status_is_ok(&status) || write(tell, "x", 1) != 1)
        _exit(1);
    _exit(read(wait, &byte, 1) == 1 ? 0 : 1); /* without closing: death releases it */
}

static void test_a_lock_names_its_holder_and_ends_with_it(void **state)
{
    const struct fixture *fixture = *state;
    int to_child[2];
    int from_child[2];
    char byte = 0;
    int how = 0;
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    const pid_t child = fork();
    if (child == 0)
        hold_lock(fixture, from_child[1], to_child[0]);
    assert_int_equal(read(from_child[0], &byte, 1), 1);
    CLEANUP(file_close_at) struct file *file = NULL;
    assert_status_ok(files_open(fixture->files, "LOCK", FILE_WRITE | FILE_CREATE, &file));
    const struct status status = file_lock(file);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    char host[256] = "";
    char named[400];
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    (void)snprintf(named, sizeof named, "is locked by process %d on host %s; stop it", (int)child, host);
    if (strstr(status.message, named) == NULL)
        fail_msg("wanted \"%s\" in: %s", named, status.message);
    assert_int_equal(write(to_child[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    assert_status_ok(file_lock(file));
    for (int i = 0; i < 2; i++) {
        close(to_child[i]);
        close(from_child[i]);
    }
}

/* Somebody may have written anything into LOCK, and it must not reach a terminal. */
static void test_a_lock_with_a_strange_line_in_it_names_no_host(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const lines[] = {"",
                                        "x\n",
                                        "process 1 on host \x1b[31mred\n",
                                        "process -4 on host a\n",
                                        "process 99999999999999999999 on host a\n",
                                        "process 1 on host\n"};
    CLEANUP(file_close_at) struct file *first = NULL;
    CLEANUP(file_close_at) struct file *second = NULL;
    assert_status_ok(files_open(fixture->files, "LOCK", FILE_WRITE | FILE_CREATE, &first));
    assert_status_ok(files_open(fixture->files, "LOCK", FILE_WRITE, &second));
    assert_status_ok(file_lock(first));
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        assert_status_ok(file_truncate(second, 0));
        assert_status_ok(file_write_at(second, 0, lines[i], strlen(lines[i])));
        const struct status status = file_lock(second);
        assert_int_equal(status.code, STATUS_UNAVAILABLE);
        if (strstr(status.message, "on host") != NULL || strchr(status.message, '\x1b') != NULL)
            fail_msg("%zu: %s", i, status.message);
        assert_non_null(strstr(status.message, "; stop it or choose another path"));
    }
}

static void test_the_free_space_is_that_of_the_file_system(void **state)
{
    const struct fixture *fixture = *state;
    struct statvfs about;
    uint64_t bytes = 0;
    assert_int_equal(statvfs(fixture->below, &about), 0);
    assert_status_ok(files_free_bytes(fixture->files, &bytes));
    const uint64_t expected = (uint64_t)about.f_bavail * about.f_frsize;
    /* Others write to the same disk meanwhile. */
    assert_in_range(bytes, expected - expected / 8, expected + expected / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_lock_with_a_strange_line_in_it_names_no_host, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_free_space_is_that_of_the_file_system, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_root_is_made_with_its_parents_and_private, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_messages_carry_the_whole_path_and_the_systems_word, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_root_that_is_a_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_allocated_space_is_really_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_allocation_leaves_the_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_sync_that_fails_is_data_loss_whatever_the_cause, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_lock_names_its_holder_and_ends_with_it, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("posix_files", tests, NULL, NULL);
}
