#include "support/cmocka.h"

#include <stdlib.h>

#include "cli/histogram_internal.h"

static void test_nothing_has_no_percentiles(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    assert_int_equal(histogram_at(histogram, 0.5), 0);
    free(histogram);
}

/* Every percentile against the sorted values, over all sizes that there are. */
static void test_a_percentile_is_at_most_a_step_too_high(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    int64_t values[2000];
    int64_t value = 0;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        values[i] = value; /* they rise, so they are sorted */
        histogram_add(histogram, value);
        value += 1 + value / 130; /* up to some minutes */
    }
    for (size_t i = 1; i <= ARRAY_SIZE(values); i++) {
        const int64_t exact = values[i - 1];
        const int64_t shown = histogram_at(histogram, (double)i / (double)ARRAY_SIZE(values));
        if (shown < exact || shown > exact + exact / 63)
            fail_msg("value %zu of the sorted ones is %lld and is shown as %lld", i, (long long)exact,
                     (long long)shown);
    }
    assert_int_equal(histogram_at(histogram, 1.0), values[ARRAY_SIZE(values) - 1]);
    free(histogram);
}

static void test_merged_is_as_if_added_to_one(void **state)
{
    (void)state;
    struct histogram *one = calloc(1, sizeof *one);
    struct histogram *other = calloc(1, sizeof *other);
    struct histogram *both = calloc(1, sizeof *both);
    for (int64_t us = 0; us < 5000; us += 7) {
        histogram_add(us % 2 == 0 ? one : other, us);
        histogram_add(both, us);
    }
    histogram_merge(one, other);
    assert_memory_equal(one, both, sizeof *both);
    free(one);
    free(other);
    free(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_has_no_percentiles),
        cmocka_unit_test(test_a_percentile_is_at_most_a_step_too_high),
        cmocka_unit_test(test_merged_is_as_if_added_to_one),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
