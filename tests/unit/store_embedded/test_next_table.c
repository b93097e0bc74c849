/* The table of the next segment, which is made while the last one fills. */
#include "support/cmocka.h"

#include "unit/store_embedded/index_bench.h"

#include "base/bytes.h"

static struct view_table *spare_of(const struct index_bench *bench)
{
    return embedded_of(bench->store)->spare;
}

static int64_t open_base(const struct index_bench *bench)
{
    return embedded_of(bench->store)->open->base;
}

/* Segments of four events. */
static void test_it_is_made_when_a_segment_is_nearly_full_and_becomes_the_next_ones(void **state)
{
    (void)state;
    struct index_bench bench;
    index_bench_init(&bench);
    assert_status_ok(index_bench_open(&bench));
    index_bench_append(&bench, 1);
    for (int segment = 0; segment < 3; segment++) {
        index_bench_append(&bench, 2);
        assert_null(spare_of(&bench));
        index_bench_append(&bench, 1);
        const struct view_table *spare = spare_of(&bench);
        assert_non_null(spare);
        assert_int_equal(open_base(&bench), 4 * segment);
        index_bench_append(&bench, 1); /* the fifth begins another */
        assert_ptr_equal(embedded_of(bench.store)->open, spare);
        assert_null(spare_of(&bench));
        assert_int_equal(open_base(&bench), 4 * (segment + 1));
    }
    index_bench_done(&bench);
}

/* As one whose tables were all made by the commits that needed them. */
static void test_it_answers_as_one_that_a_commit_made(void **state)
{
    (void)state;
    struct buffer answers[2];
    for (int round = 0; round < 2; round++) {
        struct index_bench bench;
        index_bench_init(&bench);
        assert_status_ok(index_bench_open(&bench));
        for (int i = 0; i < 31; i++) {
            index_bench_append(&bench, 1);
            if (round == 1)
                view_table_unref(atomic_exchange(&embedded_of(bench.store)->spare, NULL));
        }
        answers[round] = buffer_make(0);
        assert_status_ok(index_bench_answers(&bench, &answers[round]));
        index_bench_done(&bench);
    }
    assert_true(bytes_equal(buffer_bytes(&answers[0]), buffer_bytes(&answers[1])));
    assert_true(answers[0].size_bytes > 1000);
    buffer_done(&answers[0]);
    buffer_done(&answers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_made_when_a_segment_is_nearly_full_and_becomes_the_next_ones),
        cmocka_unit_test(test_it_answers_as_one_that_a_commit_made),
    };
    return cmocka_run_group_tests_name("next_table", tests, NULL, NULL);
}
