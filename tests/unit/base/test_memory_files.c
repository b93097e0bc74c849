/* What a crash keeps: the promises of memory_files.h, each over many seeds,
 * and that each freedom is really taken. */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "support/memory_files.h"

#define SEEDS 400U

static struct file *create(struct memory_files *disk, const char *path, const char *content)
{
    struct file *file = NULL;
    assert_status_ok(files_open(&disk->files, path, FILE_WRITE | FILE_CREATE, &file));
    assert_status_ok(file_write_at(file, 0, content, strlen(content)));
    return file;
}

static void create_synced(struct memory_files *disk, const char *path, const char *folder,
                          const char *content)
{
    CLEANUP(file_close_at) struct file *file = create(disk, path, content);
    assert_status_ok(file_sync(file));
    assert_status_ok(files_sync_dir(&disk->files, folder));
}

/* The content as a text, "(none)" for a missing file; free() it. */
static char *content_of(struct memory_files *disk, const char *path)
{
    size_t size = 0;
    char *content = (char *)memory_files_content(disk, path, &size);
    if (content == NULL)
        return strdup("(none)");
    content[size] = '\0'; /* memory_files_content leaves room for it */
    return content;
}

static bool content_is(struct memory_files *disk, const char *path, const char *wanted)
{
    char *content = content_of(disk, path);
    const bool is = strcmp(content, wanted) == 0;
    free(content);
    return is;
}

static void test_the_synced_survives_every_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        assert_status_ok(files_mkdir(&disk.files, "f"));
        assert_status_ok(files_sync_dir(&disk.files, "."));
        create_synced(&disk, "f/a", "f", "kept");
        memory_files_crash(&disk, seed);
        assert_true(content_is(&disk, "f/a", "kept"));
        memory_files_crash_hard(&disk);
        assert_true(content_is(&disk, "f/a", "kept"));
        memory_files_done(&disk);
    }
}

static void test_an_unsynced_write_may_survive_whole_partly_or_not(void **state)
{
    (void)state;
    size_t whole = 0;
    size_t none = 0;
    size_t partly = 0;
    size_t torn_inside = 0;
    char old[2049];
    char new[2049];
    memset(old, 'o', 2048);
    memset(new, 'n', 2048);
    old[2048] = '\0';
    new[2048] = '\0';
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        create_synced(&disk, "a", ".", old);
        CLEANUP(file_close_at) struct file *file = create(&disk, "a", new);
        file_close(TAKE_PTR(file));
        memory_files_crash(&disk, seed);
        char *content = content_of(&disk, "a");
        assert_int_equal(strlen(content), 2048);
        const size_t survived = 2048 - strspn(content, "o");
        whole += strcmp(content, new) == 0;
        none += survived == 0;
        partly += strcmp(content, new) != 0 && survived != 0;
        for (size_t sector = 0; sector < 2048; sector += 512) {
            const size_t news = strspn(content + sector, "n");
            torn_inside += news > 0 && news < 512;
            assert_int_equal(strspn(content, "on"), 2048);
        }
        free(content);
        memory_files_done(&disk);
    }
    assert_true(whole > SEEDS / 10);
    assert_true(none > SEEDS / 10);
    assert_true(partly > SEEDS / 10);
    assert_true(torn_inside > 0);
}

static void test_a_later_write_may_survive_without_an_earlier_one(void **state)
{
    (void)state;
    size_t seen[4] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        create_synced(&disk, "a", ".", "....");
        struct file *file = create(&disk, "a", "");
        assert_status_ok(file_write_at(file, 0, "1", 1));
        assert_status_ok(file_write_at(file, 3, "2", 1));
        file_close(file);
        memory_files_crash(&disk, seed);
        char *content = content_of(&disk, "a");
        seen[(content[0] == '1') + 2 * (content[3] == '2')]++;
        free(content);
        memory_files_done(&disk);
    }
    for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
        if (seen[i] == 0)
            fail_msg("combination %zu never happened", i);
}

static void test_a_hard_crash_keeps_the_synced_only(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    create_synced(&disk, "a", ".", "synced");
    create_synced(&disk, "gone", ".", "");
    file_close(create(&disk, "a", "WRITTEN and longer"));
    file_close(create(&disk, "b", "no sync_dir"));
    assert_status_ok(files_remove(&disk.files, "gone"));
    memory_files_crash_hard(&disk);
    assert_true(content_is(&disk, "a", "synced"));
    assert_true(content_is(&disk, "b", "(none)"));
    assert_true(content_is(&disk, "gone", ""));
    memory_files_done(&disk);
}

static void test_truncation_and_allocation_are_durable_after_sync(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    create_synced(&disk, "a", ".", "0123456789");
    struct file *file = create(&disk, "a", "");
    uint64_t size = 0;
    assert_status_ok(file_truncate(file, 4));
    assert_status_ok(file_allocate(file, 2000));
    assert_status_ok(file_sync(file));
    assert_status_ok(file_truncate(file, 1));
    file_close(file);
    memory_files_crash_hard(&disk);
    assert_status_ok(files_open(&disk.files, "a", FILE_READ, &file));
    assert_status_ok(file_size(file, &size));
    assert_int_equal(size, 2000);
    file_close(file);
    assert_true(content_is(&disk, "a", "0123"));
    memory_files_done(&disk);
}

static void test_replacing_by_rename_is_never_half_done(void **state)
{
    (void)state;
    size_t old = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        create_synced(&disk, "a", ".", "old");
        struct file *file = create(&disk, "a.tmp", "new");
        assert_status_ok(file_sync(file));
        file_close(file);
        assert_status_ok(files_rename(&disk.files, "a.tmp", "a"));
        memory_files_crash(&disk, seed);
        old += content_is(&disk, "a", "old");
        if (!content_is(&disk, "a", "old"))
            assert_true(content_is(&disk, "a", "new"));
        memory_files_done(&disk);
    }
    assert_in_range(old, SEEDS / 10, SEEDS * 9 / 10);
}

static void test_a_rename_without_sync_of_the_file_may_leave_it_empty(void **state)
{
    (void)state;
    size_t broken = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        create_synced(&disk, "a", ".", "old");
        file_close(create(&disk, "a.tmp", "new"));
        assert_status_ok(files_rename(&disk.files, "a.tmp", "a"));
        assert_status_ok(files_sync_dir(&disk.files, "."));
        memory_files_crash(&disk, seed);
        broken += content_is(&disk, "a", "");
        memory_files_done(&disk);
    }
    assert_true(broken > SEEDS / 10);
}

static void test_names_of_a_folder_survive_in_their_order(void **state)
{
    (void)state;
    size_t counts[6] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        static const char *const names[] = {"1", "2", "3", "4", "5"};
        size_t survived = 0;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            file_close(create(&disk, names[i], ""));
        memory_files_crash(&disk, seed);
        while (survived < ARRAY_SIZE(names) && !content_is(&disk, names[survived], "(none)"))
            survived++;
        counts[survived]++;
        for (size_t i = survived; i < ARRAY_SIZE(names); i++)
            assert_true(content_is(&disk, names[i], "(none)"));
        memory_files_done(&disk);
    }
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        if (counts[i] == 0)
            fail_msg("never did exactly %zu names survive", i);
}

static void test_a_folder_needs_its_parent_synced(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    assert_status_ok(files_mkdir(&disk.files, "f"));
    create_synced(&disk, "f/a", "f", "lost with its folder");
    memory_files_crash_hard(&disk);
    assert_true(content_is(&disk, "f/a", "(none)"));
    assert_status_ok(files_mkdir(&disk.files, "f"));
    create_synced(&disk, "f/a", "f", "kept");
    assert_status_ok(files_sync_dir(&disk.files, "."));
    memory_files_crash_hard(&disk);
    assert_true(content_is(&disk, "f/a", "kept"));
    memory_files_done(&disk);
}

static void test_a_rename_between_folders_happens_in_both_or_neither(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        assert_status_ok(files_mkdir(&disk.files, "f"));
        assert_status_ok(files_mkdir(&disk.files, "g"));
        assert_status_ok(files_sync_dir(&disk.files, "."));
        create_synced(&disk, "f/a", "f", "x");
        file_close(create(&disk, "g/other", ""));
        assert_status_ok(files_rename(&disk.files, "f/a", "g/a"));
        if (seed % 2 == 0)
            assert_status_ok(files_sync_dir(&disk.files, seed % 4 == 0 ? "f" : "g"));
        memory_files_crash(&disk, seed);
        const bool at_f = content_is(&disk, "f/a", "x");
        const bool at_g = content_is(&disk, "g/a", "x");
        assert_int_equal(at_f + at_g, 1);
        if (seed % 2 == 0)
            assert_true(at_g);
        memory_files_done(&disk);
    }
}

static void test_syncing_one_folder_of_a_rename_takes_the_others_earlier_changes_along(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_files disk = memory_files_empty();
        assert_status_ok(files_mkdir(&disk.files, "f"));
        assert_status_ok(files_mkdir(&disk.files, "g"));
        assert_status_ok(files_sync_dir(&disk.files, "."));
        file_close(create(&disk, "f/a", ""));
        assert_status_ok(files_rename(&disk.files, "f/a", "g/a"));
        assert_status_ok(files_sync_dir(&disk.files, "g"));
        memory_files_crash(&disk, seed);
        assert_false(content_is(&disk, "g/a", "(none)"));
        assert_true(content_is(&disk, "f/a", "(none)")); /* its creation must not come back after it */
        memory_files_done(&disk);
    }
}

static void test_a_lost_sync_is_lost_for_ever(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct memory_files disk = memory_files_empty();
        create_synced(&disk, "a", ".", "old.");
        struct file *file = create(&disk, "a", "new.");
        memory_file_lose_unsynced(file);
        assert_true(content_is(&disk, "a", "new.")); /* the page cache still shows it */
        assert_status_ok(file_write_at(file, 3, "!", 1));
        assert_status_ok(file_sync(file));
        file_close(file);
        memory_files_crash(&disk, seed);
        assert_true(content_is(&disk, "a", "old!"));
        memory_files_done(&disk);
    }
}

static void test_handles_die_in_a_crash_and_locks_go(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    create_synced(&disk, "LOCK", ".", "");
    struct file *file = create(&disk, "LOCK", "");
    char byte = 0;
    size_t size = 0;
    uint64_t file_bytes = 0;
    assert_status_ok(file_lock(file));
    memory_files_crash(&disk, 1);
    assert_int_equal(memory_files_open_count(&disk), 1);
    assert_status(file_read_at(file, 0, &byte, 1, &size), STATUS_DATA_LOSS);
    assert_status(file_write_at(file, 0, "x", 1), STATUS_DATA_LOSS);
    assert_status(file_sync(file), STATUS_DATA_LOSS);
    assert_status(file_size(file, &file_bytes), STATUS_DATA_LOSS);
    struct file *next = create(&disk, "LOCK", "");
    assert_status_ok(file_lock(next));
    file_close(file);
    struct file *third = create(&disk, "LOCK", "");
    assert_status(file_lock(third), STATUS_UNAVAILABLE); /* the dead handle's close did not release it */
    file_close(next);
    file_close(third);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

static void test_damage_stays(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    create_synced(&disk, "a", ".", "abc");
    assert_true(memory_files_damage(&disk, "a", 1, 0x20));
    assert_false(memory_files_damage(&disk, "a", 3, 0x20));
    assert_false(memory_files_damage(&disk, "b", 0, 0x20));
    assert_true(content_is(&disk, "a", "aBc"));
    memory_files_crash_hard(&disk);
    assert_true(content_is(&disk, "a", "aBc"));
    memory_files_done(&disk);
}

static void test_a_limited_disk_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    uint64_t bytes = 0;
    memory_files_limit(&disk, 1000);
    struct file *file = create(&disk, "a", "four");
    assert_status_ok(files_free_bytes(&disk.files, &bytes));
    assert_int_equal(bytes, 996);
    assert_status(file_allocate(file, 1001), STATUS_RESOURCE_EXHAUSTED);
    assert_status_ok(file_allocate(file, 1000));
    assert_status_ok(file_write_at(file, 0, "over", 4)); /* into what is there */
    struct file *other = NULL;
    assert_status_ok(files_open(&disk.files, "b", FILE_WRITE | FILE_CREATE, &other));
    assert_status(file_write_at(other, 0, "x", 1), STATUS_RESOURCE_EXHAUSTED);
    assert_status(file_truncate(other, 1), STATUS_RESOURCE_EXHAUSTED);
    assert_status_ok(files_remove(&disk.files, "a"));
    assert_status(file_write_at(other, 0, "x", 1), STATUS_RESOURCE_EXHAUSTED);
    file_close(file); /* only now */
    assert_status_ok(file_write_at(other, 0, "x", 1));
    assert_status_ok(files_free_bytes(&disk.files, &bytes));
    assert_int_equal(bytes, 999);
    file_close(other);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_limited_disk_refuses_what_does_not_fit),
        cmocka_unit_test(test_the_synced_survives_every_crash),
        cmocka_unit_test(test_an_unsynced_write_may_survive_whole_partly_or_not),
        cmocka_unit_test(test_a_later_write_may_survive_without_an_earlier_one),
        cmocka_unit_test(test_a_hard_crash_keeps_the_synced_only),
        cmocka_unit_test(test_truncation_and_allocation_are_durable_after_sync),
        cmocka_unit_test(test_replacing_by_rename_is_never_half_done),
        cmocka_unit_test(test_a_rename_without_sync_of_the_file_may_leave_it_empty),
        cmocka_unit_test(test_names_of_a_folder_survive_in_their_order),
        cmocka_unit_test(test_a_folder_needs_its_parent_synced),
        cmocka_unit_test(test_a_rename_between_folders_happens_in_both_or_neither),
        cmocka_unit_test(test_syncing_one_folder_of_a_rename_takes_the_others_earlier_changes_along),
        cmocka_unit_test(test_a_lost_sync_is_lost_for_ever),
        cmocka_unit_test(test_handles_die_in_a_crash_and_locks_go),
        cmocka_unit_test(test_damage_stays),
    };
    return cmocka_run_group_tests_name("memory_files", tests, NULL, NULL);
}
