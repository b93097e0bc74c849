#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "support/seeded_entropy.h"

#include "base/json.h"

static const struct {
    const char *a;
    const char *b;
    int order; /* of a and b */
} rows[] = {
    {"1", "1.0", 0},
    {"1", "1e0", 0},
    {"10", "1e1", 0},
    {"1000", "0.0001e7", 0},
    {"0.5", "5e-1", 0},
    {"-0", "0", 0},
    {"-0.0e5", "0e99999999999", 0},
    {"1e400", "1E+400", 0},
    {"1e400", "10e399", 0},
    {"1e400", "1e401", -1},
    {"-1e400", "-1e401", 1},
    {"1e-400", "0", 1},
    {"-1e-400", "0", -1},
    {"1", "-1", 1},
    {"2", "10", -1},
    {"0.1", "0.09", 1},
    {"123.456", "123.4560001", -1},
    {"9007199254740993", "9007199254740992", 1}, /* equal as doubles */
    {"0.1000000000000000055", "0.1", 1},         /* equal as doubles */
    {"1e00000000000000000000000000000005", "100000", 0},
    {"1e100000000000000000000", "1e99999999999999999999", 1},
    {"1e100000000000000000000", "10e99999999999999999999", 0},
    {"0.1e100000000000000000000", "1e99999999999999999999", 0},
    {"1e-100000000000000000000", "0.1e-99999999999999999999", 0},
    {"1e-100000000000000000000", "1e-99999999999999999999", -1},
    {"0.00001e1000000000000000", "1e999999999999995", 0}, /* sixteen digits against fifteen */
    {"1e999999999999999999999", "1e-999999999999999999999", 1},
    {"1e99999999999999999", "1e1", 1},
    {"1e-99999999999999999", "1e1", -1},
    {"1e-99999999999999999", "0", 1},
    {"100e-2", "1", 0},
    {"0.0010", "1e-3", 0},
    {"1.5E3", "1500", 0},
    /* RFC 8259 6: what an implementation with doubles may not keep apart */
    {"1E400", "1E401", -1},
    {"3.141592653589793238462643383279", "3.141592653589793", 1},
    {"9007199254740991", "9007199254740992", -1},
    {"-9007199254740993", "-9007199254740992", -1},
    /* RFC 8259 13, in other words */
    {"37.7668", "377668e-4", 0},
    {"-122.3959", "-1.223959E+2", 0},
    /* the ends of a double: the smallest one, what rounds to zero, the largest one, what rounds to infinity */
    {"4.9e-324", "5e-324", -1},
    {"2.4703282292062327e-324", "0", 1},
    {"1.7976931348623157e308", "1.7976931348623159e308", -1},
    {"1.7976931348623159e308", "1e309", -1},
    /* no sign, no digits, no exponent tells zeros apart */
    {"-0.000", "0E-5", 0},
    {"0e400", "-0e-400", 0},
    {"0", "1e-400", -1},
    {"-1e-400", "1e-400", -1},
};

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static void test_numbers_compare_as_exact_decimals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct bytes a = bytes_of_text(rows[i].a);
        const struct bytes b = bytes_of_text(rows[i].b);
        if (sign(json_number_compare(a, b)) != rows[i].order ||
            sign(json_number_compare(b, a)) != -rows[i].order)
            fail_msg("%s and %s: wanted %d, got %d and %d", rows[i].a, rows[i].b, rows[i].order,
                     json_number_compare(a, b), json_number_compare(b, a));
    }
}

/* value × 10^shift in one of its many spellings. */
static void spell(uint64_t *random, int64_t value, long shift, char *ret_text)
{
    char digits[40];
    (void)snprintf(digits, sizeof digits, "%0*lld", (int)random_below(random, 14),
                   (long long)(value < 0 ? -value : value));
    const size_t count = strlen(digits);
    const size_t point = random_below(random, count + 1);
    /* A "0" stands before the point when nothing would, and no number begins with a needless zero. */
    size_t zeros = 0;
    while (zeros + 1 < point && digits[zeros] == '0')
        zeros++;
    const long exponent = (long)(count - point) + shift;
    (void)sprintf(ret_text, "%s%s%.*s%s%s%c%s%ld", value < 0 ? "-" : "", point == 0 ? "0" : "",
                  (int)(point - zeros), digits + zeros, point < count ? "." : "", digits + point,
                  random_below(random, 2) == 0 ? 'e' : 'E',
                  exponent >= 0 && random_below(random, 2) == 0 ? "+00" : "", exponent);
}

static void test_every_spelling_of_a_value_is_equal(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int i = 0; i < 50000; i++) {
        const int64_t value = (int64_t)random_below(&random, 2000001) - 1000000;
        const int64_t other =
            random_below(&random, 3) == 0 ? value : (int64_t)random_below(&random, 2000001) - 1000000;
        const long shift = (long)random_below(&random, 40) - 20;
        char a[80];
        char b[80];
        spell(&random, value, shift, a);
        spell(&random, other, shift, b);
        const int expected = (value > other) - (value < other);
        if (sign(json_number_compare(bytes_of_text(a), bytes_of_text(b))) != expected)
            fail_msg("round %d: %s and %s: wanted %d", i, a, b, expected);
    }
}

static void test_the_longest_tokens_compare(void **state)
{
    (void)state;
    char a[JSON_NUMBER_MAX_BYTES];
    char b[JSON_NUMBER_MAX_BYTES];
    memset(a, '9', sizeof a);
    memset(b, '9', sizeof b);
    a[1] = 'e';
    b[1] = 'e';
    assert_int_equal(json_number_compare(bytes_of(a, sizeof a), bytes_of(b, sizeof b)), 0);
    b[sizeof b - 1] = '8';
    assert_true(json_number_compare(bytes_of(a, sizeof a), bytes_of(b, sizeof b)) > 0);
    /* 0.00…09e(10^k) has a carry through all digits of its exponent. */
    memset(a, '0', sizeof a);
    a[1] = '.';
    a[400] = '1';
    a[401] = 'e';
    a[402] = '1'; /* 10^597 */
    memset(b, '9', sizeof b);
    b[0] = '1';
    b[1] = 'e'; /* 10^598 - 1: ten times as many */
    assert_true(json_number_compare(bytes_of(a, sizeof a), bytes_of(b, sizeof b)) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_compare_as_exact_decimals),
        cmocka_unit_test(test_every_spelling_of_a_value_is_equal),
        cmocka_unit_test(test_the_longest_tokens_compare),
    };
    return cmocka_run_group_tests_name("json_number", tests, NULL, NULL);
}
