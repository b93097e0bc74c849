/* Repeated ids are found wherever they stand: in one chunk, in two runs, across an interruption. */
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "offline/id_set_internal.h"

#define CHUNK 2048U /* the smallest */

static void add_number(struct id_set *set, int64_t number, int64_t position)
{
    char id[32];
    const int length = snprintf(id, sizeof id, "event-%lld", (long long)number);
    assert_status_ok(id_set_add(set, bytes_of(id, (size_t)length), position));
}

static void test_repetitions_are_found_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int64_t count;
        int64_t earlier; /* the id of this position comes again at `later`; 0 = none does */
        int64_t later;
        bool scratch;
    } stories[] = {
        {"no event", 0, 0, 0, true},
        {"one chunk without", 2000, 0, 0, true},
        {"one chunk with", 2000, 1, 2000, true},
        {"neighbours", 2000, 999, 1000, true},
        {"many runs without", 20000, 0, 0, true},
        {"in one run of many", 20000, 5000, 5001, true},
        {"in the first run and in the chunk", 20000, 1, 20000, true},
        {"in two runs", 20000, 3000, 17000, true},
        {"without a scratch file", 20000, 3000, 17000, false},
        {"without a scratch file and without", 20000, 0, 0, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
        struct memory_files disk = memory_files_empty();
        CLEANUP(id_set_free_at) struct id_set *set = NULL;
        const struct id_set_options options = {stories[i].scratch ? &disk.files : NULL, "ids", CHUNK};
        assert_status_ok(id_set_new(&options, NULL, 0, &set));
        for (int64_t position = 1; position <= stories[i].count; position++)
            add_number(set, position == stories[i].later ? stories[i].earlier : position, position);
        int64_t earlier = -1;
        int64_t later = -1;
        assert_status_ok(id_set_find_repeated(set, &earlier, &later));
        if (earlier != stories[i].earlier || later != stories[i].later)
            fail_msg("%s: found %lld and %lld", stories[i].why, (long long)earlier, (long long)later);
        id_set_free(TAKE_PTR(set));
        memory_files_done(&disk);
    }
}

static void test_a_set_goes_on_from_its_runs(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    const struct id_set_options options = {&disk.files, "ids", CHUNK};
    struct id_set *set = NULL;
    struct id_set_run kept[16];
    const struct id_set_run *runs = NULL;
    size_t count = 0;
    assert_status_ok(id_set_new(&options, NULL, 0, &set));
    for (int64_t position = 1; position <= 5000; position++)
        add_number(set, position, position);
    assert_status_ok(id_set_save(set, &runs, &count));
    assert_true(count >= 2 && count <= ARRAY_SIZE(kept));
    memcpy(kept, runs, count * sizeof *runs);
    for (int64_t position = 5001; position <= 9000; position++) /* never saved: to be forgotten */
        add_number(set, 1, position);
    id_set_free(set);
    memory_files_crash_hard(&disk);

    int64_t earlier = 0;
    int64_t later = 0;
    assert_status_ok(id_set_new(&options, kept, count, &set));
    for (int64_t position = 5001; position <= 9000; position++)
        add_number(set, position == 8000 ? 17 : position, position);
    assert_status_ok(id_set_find_repeated(set, &earlier, &later));
    assert_int_equal(earlier, 17);
    assert_int_equal(later, 8000);
    id_set_free(set);

    /* A run that reads otherwise is the scratch file's fault, and is said to be. */
    assert_true(memory_files_damage(&disk, "ids", kept[1].offset + 30, 4));
    const struct status status = id_set_new(&options, kept, count, &set);
    assert_int_equal(status.code, STATUS_DATA_LOSS);
    assert_non_null(strstr(status.message, "says nothing about the store"));
    assert_status_ok(files_remove(&disk.files, "ids"));
    assert_status(id_set_new(&options, kept, count, &set), STATUS_NOT_FOUND);
    assert_int_equal(memory_files_open_count(&disk), 0);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repetitions_are_found_and_nothing_else),
        cmocka_unit_test(test_a_set_goes_on_from_its_runs),
    };
    return cmocka_run_group_tests_name("id_set", tests, NULL, NULL);
}
