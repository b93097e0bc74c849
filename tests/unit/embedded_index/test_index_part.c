#include "support/cmocka.h"

#include <stdlib.h>

#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"
#include "unit/embedded_index/part_model.h"

static const struct {
    const char *why;
    int64_t first_position;
    uint32_t count;
    uint32_t types;
} rounds[] = {
    {"one event", 1, 1, 1},
    {"places end in the middle of the first page", 250001, 300, 5},
    {"places fill two pages exactly", 1, 1022, 4},
    {"one more than two pages", 1, 1023, 4},
    {"samples over several pages are bisected", 1, 200000, 3},
    {"terms over several pages are bisected", 4000000000000, 20000, 900},
};

static void test_a_part_answers_as_the_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        struct memory_files disk = memory_files_empty();
        struct part *part = NULL;
        struct part_model model =
            part_model_random(rounds[i].first_position, rounds[i].count, rounds[i].types, i + 1);
        print_message("%s\n", rounds[i].why);
        assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
        assert_status_ok(part_model_write(&model, &disk.files, NULL));
        assert_status_ok(part_model_open(&model, &disk.files, &part));
        assert_status_ok(part_check(part));
        assert_status_ok(part_model_compare(&model, part, i + 1));
        part_close(part);
        part_model_done(&model);
        memory_files_done(&disk);
    }
}

/* The unchecked way must give the same places wherever a page ends. */
static void test_places_come_unchecked_from_anywhere(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct part *part = NULL;
    struct part_model model = part_model_random(1001, 3000, 2, 5);
    struct place places[3000];
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(part_model_write(&model, &disk.files, NULL));
    assert_status_ok(part_model_open(&model, &disk.files, &part));
    for (uint32_t from = 0; from < 3000; from++)
        for (uint32_t count = 1; count <= 3000 - from; count = count * 3 + 1) {
            assert_status_ok(part_places(part, 1001 + from, places, count));
            assert_memory_equal(places, model.places + from, count * sizeof *places);
        }
    assert_true(part_resident_bytes(part) < 1024); /* whatever the number of events */
    part_close(part);
    part_model_done(&model);
    memory_files_done(&disk);
}

/* A page that went bad: the unchecked way shows it, the checked one refuses it by page and name. */
static void test_a_bad_place_is_refused_when_checked(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct part *part = NULL;
    struct part_model model = part_model_random(1, 600, 2, 6);
    struct place place;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(part_model_write(&model, &disk.files, NULL));
    assert_status_ok(part_model_open(&model, &disk.files, &part));
    assert_true(memory_files_damage(&disk, MODEL_FOLDER "/00000000000000000001.part", 4096 + 80, 1));
    assert_status_ok(part_places(part, 11, &place, 1));
    assert_int_equal(place.offset, model.places[10].offset ^ 1);
    const struct status status = part_places_checked(part, 11, &place, 1);
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_string_equal(status.message,
                        "index/00000000000000000001.part: page 1 is not what was written; the index "
                        "must be built anew from the log");
    assert_status_ok(part_places_checked(part, 512, &place, 1)); /* the next page is good */
    part_close(part);
    part_model_done(&model);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_answers_as_the_model),
        cmocka_unit_test(test_places_come_unchecked_from_anywhere),
        cmocka_unit_test(test_a_bad_place_is_refused_when_checked),
    };
    return cmocka_run_group_tests_name("index_part", tests, NULL, NULL);
}
