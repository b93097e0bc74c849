#include "support/cmocka.h"

#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"

#define RUNS_MOST 8U

/* Runs side by side, and the model of all of them. */
struct row {
    struct memory_files disk;
    struct run_model models[RUNS_MOST];
    struct run *runs[RUNS_MOST];
    size_t count;
    struct run_model all;
};

static void row_begin(struct row *row)
{
    *row = (struct row){.disk = memory_files_empty()};
    assert_status_ok(files_mkdir(&row->disk.files, MODEL_FOLDER));
}

static void row_add(struct row *row, const struct model_plan *plan)
{
    struct run_model *model = &row->models[row->count];
    *model = run_model_random(plan);
    assert_status_ok(run_model_write(model, &row->disk.files, NULL));
    assert_status_ok(run_model_open(model, &row->disk.files, &row->runs[row->count]));
    run_model_append(&row->all, model);
    row->count++;
}

static void row_end(struct row *row)
{
    for (size_t i = 0; i < row->count; i++) {
        run_close(row->runs[i]);
        run_model_done(&row->models[i]);
    }
    run_model_done(&row->all);
    assert_int_equal(memory_files_open_count(&row->disk), 0);
    memory_files_done(&row->disk);
}

static struct status row_merge(struct row *row)
{
    return run_merge(&row->disk.files, MODEL_FOLDER, row->runs, row->count, model_uuid, 777, NULL);
}

static void merged_as_the_model(struct row *row, uint64_t seed)
{
    struct run *merged = NULL;
    assert_status_ok(row_merge(row));
    assert_status_ok(run_model_open(&row->all, &row->disk.files, &merged));
    assert_status_ok(run_check(merged));
    assert_status_ok(run_model_compare(&row->all, merged, seed));
    run_close(merged);
}

static void test_two_to_eight_runs_merge(void **state)
{
    (void)state;
    for (uint32_t count = 2; count <= RUNS_MOST; count++) {
        struct row row;
        int64_t first = 1;
        row_begin(&row);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t events = 400 + 333 * i;
            row_add(&row, &(struct model_plan){first, events, 50 + 100 * i, 0, count * 10 + i});
            first += events;
        }
        merged_as_the_model(&row, count);
        row_end(&row);
    }
}

/* One hash in all runs: entries of one key lie side by side, each with its list, oldest first. */
static void test_equal_hashes_stay_apart_and_in_order(void **state)
{
    (void)state;
    struct row row;
    row_begin(&row);
    for (uint32_t i = 0; i < RUNS_MOST; i++)
        row_add(&row, &(struct model_plan){1 + 500 * (int64_t)i, 500, 40, i % 2 == 0 ? 1 : 7, i + 1});
    merged_as_the_model(&row, 3);
    row_end(&row);
}

/* Small and large inputs have directories of different widths; the result has another. */
static void test_runs_of_unlike_sizes_merge(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 30000, 3, 12000, 200};
    struct row row;
    int64_t first = 90001;
    row_begin(&row);
    for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        row_add(&row, &(struct model_plan){first, sizes[i], 1 + sizes[i] / 3, 0, 50 + i});
        first += sizes[i];
    }
    merged_as_the_model(&row, 4);
    row_end(&row);
}

/* Lists longer than what is read at once are copied in pieces. */
static void test_long_lists_are_copied_whole(void **state)
{
    (void)state;
    struct row row;
    row_begin(&row);
    row_add(&row, &(struct model_plan){1, 90000, 1, 0, 61});
    row_add(&row, &(struct model_plan){90001, 100000, 2, 0, 62});
    merged_as_the_model(&row, 5);
    row_end(&row);
}

/* The result of a merge merges again: level 2. */
static void test_merged_runs_merge_again(void **state)
{
    (void)state;
    struct row low;
    struct row high;
    struct run *merged[2] = {NULL, NULL};
    struct run_model all = {0};
    row_begin(&low);
    row_begin(&high);
    for (uint32_t i = 0; i < 3; i++) {
        row_add(&low, &(struct model_plan){1 + 1000 * (int64_t)i, 1000, 200, 0, 70 + i});
        row_add(&high, &(struct model_plan){3001 + 1000 * (int64_t)i, 1000, 200, 0, 80 + i});
    }
    assert_status_ok(row_merge(&low));
    assert_status_ok(row_merge(&high));
    assert_status_ok(run_model_open(&low.all, &low.disk.files, &merged[0]));
    assert_status_ok(run_model_open(&high.all, &high.disk.files, &merged[1]));
    assert_status_ok(run_merge(&low.disk.files, MODEL_FOLDER, merged, 2, model_uuid, 778, NULL));
    run_model_append(&all, &low.all);
    run_model_append(&all, &high.all);
    struct run *result = NULL;
    assert_status_ok(run_model_open(&all, &low.disk.files, &result));
    assert_int_equal(run_facts(result)->level, 2);
    assert_status_ok(run_check(result));
    assert_status_ok(run_model_compare(&all, result, 6));
    run_close(result);
    run_close(merged[0]);
    run_close(merged[1]);
    run_model_done(&all);
    row_end(&low);
    row_end(&high);
}

/* The result is pruned by the times of all inputs. */
static void test_the_times_of_uuid7s_are_joined(void **state)
{
    (void)state;
    static const char *const ids[] = {"00000000-07d0-7cc3-98c4-dc0c0c07398f",
                                      "00000000-03e8-7cc3-98c4-dc0c0c07398f", "no-uuid"};
    struct memory_files disk = memory_files_empty();
    struct run *runs[3] = {NULL};
    struct run *merged = NULL;
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    for (int64_t i = 0; i < 3; i++) {
        const struct run_facts facts = {.first_position = i + 1, .last_position = i + 1};
        CLEANUP(run_builder_free_at) struct run_builder *builder = NULL;
        assert_status_ok(run_builder_new(&facts, &builder));
        assert_status_ok(run_builder_add_id(builder, (uint64_t)i << 40, bytes_of_text(ids[i]), i + 1));
        assert_status_ok(run_builder_write(builder, &disk.files, MODEL_FOLDER, model_uuid, 1, NULL));
        assert_status_ok(run_open(&disk.files, MODEL_FOLDER, i + 1, i + 1, model_uuid, NULL, &runs[i]));
    }
    assert_false(run_may_have_id(runs[2], (uint64_t)2 << 40, 0x3E8)); /* none of its ids is a UUIDv7 */
    assert_status_ok(run_merge(&disk.files, MODEL_FOLDER, runs, 3, model_uuid, 2, NULL));
    assert_status_ok(run_open(&disk.files, MODEL_FOLDER, 1, 3, model_uuid, NULL, &merged));
    assert_true(run_may_have_id(merged, 0, 0x7D0));
    assert_false(run_may_have_id(merged, 0, 0x7D1));
    assert_true(run_may_have_id(merged, (uint64_t)1 << 40, 0x3E8));
    assert_false(run_may_have_id(merged, (uint64_t)1 << 40, 0x3E7));
    assert_true(run_may_have_id(merged, (uint64_t)2 << 40, -1));
    run_close(merged);
    for (size_t i = 0; i < 3; i++)
        run_close(runs[i]);
    memory_files_done(&disk);
}

static void test_empty_runs_merge(void **state)
{
    (void)state;
    struct row row;
    row_begin(&row);
    for (int64_t i = 0; i < 2; i++) {
        row.models[i].facts = (struct run_facts){.first_position = 1 + i * 10, .last_position = 10 + i * 10};
        assert_status_ok(run_model_write(&row.models[i], &row.disk.files, NULL));
        assert_status_ok(run_model_open(&row.models[i], &row.disk.files, &row.runs[i]));
        run_model_append(&row.all, &row.models[i]);
        row.count++;
    }
    merged_as_the_model(&row, 7);
    row_end(&row);
}

static void test_runs_that_are_not_adjacent_are_refused(void **state)
{
    (void)state;
    struct row row;
    row_begin(&row);
    row_add(&row, &(struct model_plan){1, 100, 10, 0, 1});
    row_add(&row, &(struct model_plan){102, 100, 10, 0, 2});
    const struct status status = row_merge(&row);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_string_equal(status.message,
                        "index files that end at position 100 and begin at 102 cannot be merged; they "
                        "must be adjacent");
    row_end(&row);
}

/* Positions count from the first one in 32 bits. */
static void test_too_wide_a_result_is_refused(void **state)
{
    (void)state;
    struct row row;
    row_begin(&row);
    for (int64_t i = 0; i < 2; i++) {
        const int64_t first = 1 + i * INT64_C(3000000000);
        row.models[i].facts =
            (struct run_facts){.first_position = first, .last_position = first + INT64_C(2999999999)};
        assert_status_ok(run_model_write(&row.models[i], &row.disk.files, NULL));
        assert_status_ok(run_model_open(&row.models[i], &row.disk.files, &row.runs[i]));
        row.count++;
    }
    assert_false(run_merge_fits(row.runs, row.count)); /* so that nobody tries again and again */
    assert_true(run_merge_fits(row.runs, 1));
    assert_status(row_merge(&row), STATUS_OUT_OF_RANGE);
    row_end(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_to_eight_runs_merge),
        cmocka_unit_test(test_equal_hashes_stay_apart_and_in_order),
        cmocka_unit_test(test_runs_of_unlike_sizes_merge),
        cmocka_unit_test(test_long_lists_are_copied_whole),
        cmocka_unit_test(test_merged_runs_merge_again),
        cmocka_unit_test(test_the_times_of_uuid7s_are_joined),
        cmocka_unit_test(test_empty_runs_merge),
        cmocka_unit_test(test_runs_that_are_not_adjacent_are_refused),
        cmocka_unit_test(test_too_wide_a_result_is_refused),
    };
    return cmocka_run_group_tests_name("index_merge", tests, NULL, NULL);
}
