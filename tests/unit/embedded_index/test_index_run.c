#include "support/cmocka.h"

#include <stdlib.h>

#include "support/memory_files.h"
#include "support/seeded_entropy.h"
#include "unit/embedded_index/index_model.h"

static void round_trip(const struct run_model *model, uint64_t seed)
{
    struct memory_files disk = memory_files_empty();
    CLEANUP(run_close_at) struct run *run = NULL;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(run_model_write(model, &disk.files, NULL));
    assert_status_ok(run_model_open(model, &disk.files, &run));
    assert_status_ok(run_check(run));
    assert_status_ok(run_model_compare(model, run, seed));
    run_close(TAKE_PTR(run));
    memory_files_done(&disk);
}

static const struct {
    const char *why;
    struct model_plan plan;
} rounds[] = {
    {"one event", {1, 1, 1, 0, 1}},
    {"two of one aggregate", {1, 2, 1, 0, 2}},
    {"far from the first position", {4000000000000, 300, 20, 0, 3}},
    {"buckets of the least radix overflow a page", {1, 5000, 700, 0, 4}},
    {"a radix above the least", {250001, 40000, 3000, 0, 5}},
    {"every hash is shared by about ten", {17, 2000, 300, 30, 6}},
    {"a single hash: one bucket holds all", {5, 3000, 200, 1, 7}},
    {"few aggregates with long lists", {1, 20000, 3, 0, 8}},
};

static void test_a_run_answers_as_the_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        print_message("%s\n", rounds[i].why);
        struct run_model model = run_model_random(&rounds[i].plan);
        round_trip(&model, i + 1);
        run_model_done(&model);
    }
}

/* A segment of system events only may give no id and no key. */
static void test_a_run_may_be_empty(void **state)
{
    (void)state;
    struct run_model model = {.facts = {.first_position = 1, .last_position = 10}};
    round_trip(&model, 1);
}

/* Lengths around a block of 128, and gaps that need every length of a varint. */
static void test_lists_of_any_length_and_gap_come_back(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1,   2,   3,    127,  128,  129,  130,   255,
                                      256, 257, 8192, 8193, 8320, 8321, 100000};
    static const int64_t gaps[] = {1, 2, 128, 129, 16384, 16385, 42000};
    struct run_model model = {.facts = {.first_position = 3, .last_position = 3 + (int64_t)UINT32_MAX}};
    int64_t *positions = malloc(100000 * sizeof *positions);
    assert_non_null(positions);
    uint64_t random = 11;
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        for (size_t k = 0; k < ARRAY_SIZE(gaps); k++) {
            int64_t position = model.facts.first_position - 1;
            for (uint32_t n = 0; n < counts[i]; n++) {
                position += 1 + (int64_t)random_below(&random, (uint64_t)gaps[k]);
                positions[n] = position;
            }
            run_model_add_key(&model, random_next(&random), (uint32_t)i, positions, counts[i]);
        }
    positions[0] = model.facts.first_position; /* the widest gap that there is */
    positions[1] = model.facts.last_position;
    run_model_add_key(&model, random_next(&random), UINT32_MAX, positions, 2);
    free(positions);
    round_trip(&model, 12);
    run_model_done(&model);
}

static void test_the_filter_lets_few_strangers_through(void **state)
{
    (void)state;
    const struct model_plan plan = {1, 50000, 20000, 0, 21};
    struct run_model model = run_model_random(&plan);
    struct memory_files disk = memory_files_empty();
    struct run *run = NULL;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(run_model_write(&model, &disk.files, NULL));
    assert_status_ok(run_model_open(&model, &disk.files, &run));
    uint64_t random = 22;
    unsigned ids = 0;
    unsigned keys = 0;
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t hash = random_next(&random);
        run_prefetch_id(run, hash);
        run_prefetch_key(run, hash);
        ids += run_may_have_id(run, hash, -1);
        keys += run_may_have_key(run, hash);
    }
    print_message(
        "false hits: ids %.2f %%, keys %.2f %%; %llu bytes in memory, %llu on the disk for %u events\n",
        ids / 1000.0, keys / 1000.0, (unsigned long long)run_resident_bytes(run),
        (unsigned long long)run_size_bytes(run), plan.count);
    assert_in_range(ids, 1, 800); /* 0.8 %; none at all would mean that the test asks nothing */
    assert_in_range(keys, 1, 800);
    run_close(run);
    run_model_done(&model);
    memory_files_done(&disk);
}

static void count_rest(void *context)
{
    (*(unsigned *)context)++;
}

/* Whoever opens one beside commits must not compute for long. */
static void test_opening_and_writing_rest_all_the_time(void **state)
{
    (void)state;
    const struct model_plan plan = {1, 20000, 5000, 0, 21};
    struct run_model model = run_model_random(&plan);
    struct memory_files disk = memory_files_empty();
    unsigned rests = 0;
    const struct index_pace pace = {.rest = count_rest, .context = &rests};
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(run_model_write(&model, &disk.files, &pace));
    assert_in_range(rests, 2 * (plan.count + model.key_count) / 32, 10 * (plan.count + model.key_count));
    rests = 0;
    CLEANUP(run_close_at) struct run *run = NULL;
    assert_status_ok(run_open(&disk.files, MODEL_FOLDER, model.facts.first_position,
                              model.facts.last_position, model_uuid, &pace, &run));
    const uint64_t bytes = run_resident_bytes(run);
    assert_in_range(rests, bytes / (16 * 1024), bytes / 1024);
    assert_status_ok(run_model_compare(&model, run, 1));
    run_close(TAKE_PTR(run));
    run_model_done(&model);
    memory_files_done(&disk);
}

/* ---- UUIDv7 ---- */

static void test_uuid7_times_are_told_from_other_texts(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *id;
        int64_t ms;
    } cases[] = {
        {"the RFC's example", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 0x017F22E279B0},
        {"capitals are digits too", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 0x017F22E279B0},
        {"the end of time", "ffffffff-ffff-7fff-bfff-ffffffffffff", 0xFFFFFFFFFFFF},
        {"version 4", "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", -1},
        {"too short", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", -1},
        {"too long", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", -1},
        {"no digit", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", -1},
        {"a hyphen elsewhere", "017f22e27-9b0-7cc3-98c4-dc0c0c07398f", -1},
        {"nothing", "", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (index_uuid7_ms(bytes_of_text(cases[i].id)) != cases[i].ms)
            fail_msg("%s: %s gives %lld", cases[i].why, cases[i].id,
                     (long long)index_uuid7_ms(bytes_of_text(cases[i].id)));
}

static void test_a_run_is_pruned_by_the_times_of_its_ids(void **state)
{
    (void)state;
    static const char *const ids[] = {"order-1", "00000000-03e8-7cc3-98c4-dc0c0c07398f",
                                      "00000000-07d0-7cc3-98c4-dc0c0c07398f"};
    struct memory_files disk = memory_files_empty();
    struct run_facts facts = {.first_position = 1, .last_position = 3};
    struct run_builder *builder = NULL;
    struct run *run = NULL;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(run_builder_new(&facts, &builder));
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        assert_status_ok(run_builder_add_id(builder, i << 40, bytes_of_text(ids[i]), (int64_t)i + 1));
    assert_status_ok(run_builder_write(builder, &disk.files, MODEL_FOLDER, model_uuid, 1, NULL));
    run_builder_free(builder);
    assert_status_ok(run_open(&disk.files, MODEL_FOLDER, 1, 3, model_uuid, NULL, &run));
    assert_false(run_may_have_id(run, (uint64_t)1 << 40, 0x3E7)); /* a millisecond before the first */
    assert_true(run_may_have_id(run, (uint64_t)1 << 40, 0x3E8));
    assert_true(run_may_have_id(run, (uint64_t)2 << 40, 0x7D0));
    assert_false(run_may_have_id(run, (uint64_t)2 << 40, 0x7D1));
    assert_true(run_may_have_id(run, 0, -1)); /* another id is never pruned */
    run_close(run);
    memory_files_done(&disk);
}

/* The same text as id, aggregate and tag must not be one key. */
static void test_kind_and_seed_change_the_hash(void **state)
{
    (void)state;
    const struct bytes text = BYTES_LITERAL("order-1");
    assert_true(index_hash(1, INDEX_KEY_EVENT_ID, text) != index_hash(1, INDEX_KEY_AGGREGATE, text));
    assert_true(index_hash(1, INDEX_KEY_CORRELATION, text) != index_hash(1, INDEX_KEY_TAG, text));
    assert_true(index_hash(1, INDEX_KEY_TAG, text) != index_hash(2, INDEX_KEY_TAG, text));
    assert_true(index_hash(1, INDEX_KEY_TAG, text) == index_hash(1, INDEX_KEY_TAG, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_answers_as_the_model),
        cmocka_unit_test(test_a_run_may_be_empty),
        cmocka_unit_test(test_lists_of_any_length_and_gap_come_back),
        cmocka_unit_test(test_the_filter_lets_few_strangers_through),
        cmocka_unit_test(test_opening_and_writing_rest_all_the_time),
        cmocka_unit_test(test_uuid7_times_are_told_from_other_texts),
        cmocka_unit_test(test_a_run_is_pruned_by_the_times_of_its_ids),
        cmocka_unit_test(test_kind_and_seed_change_the_hash),
    };
    return cmocka_run_group_tests_name("index_run", tests, NULL, NULL);
}
