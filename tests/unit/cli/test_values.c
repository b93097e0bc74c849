#include "support/cmocka.h"

#include "cli/values_internal.h"

#define SECOND INT64_C(1000000)
#define NOW_US INT64_C(1800000000000000)

static const struct {
    const char *why;
    const char *text;
    bool good;
    int64_t us;
} durations[] = {
    {"the least unit", "7us", true, 7},
    {"milliseconds are no minutes", "500ms", true, 500000},
    {"seconds", "90s", true, 90 * SECOND},
    {"minutes", "15m", true, 900 * SECOND},
    {"hours", "2h", true, 7200 * SECOND},
    {"days", "7d", true, 604800 * SECOND},
    {"nothing is a duration too", "0s", true, 0},
    {"a number needs its unit", "15", false, 0},
    {"a unit needs its number", "m", false, 0},
    {"no such unit", "3w", false, 0},
    {"not before now", "-5s", false, 0},
    {"nothing behind the unit", "5s ", false, 0},
    {"no fractions", "1.5s", false, 0},
    {"more than there is room for", "9999999999999999d", false, 0},
    {"empty", "", false, 0},
};

static void test_a_duration_is_a_number_and_its_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t us = -1;
        const bool good = value_duration(durations[i].text, &us);
        if (good != durations[i].good || (good && us != durations[i].us))
            fail_msg("%s: \"%s\" is %d, %lld us", durations[i].why, durations[i].text, good, (long long)us);
    }
}

static const struct {
    const char *why;
    const char *text;
    bool good;
    int64_t us;
} times[] = {
    {"now", "now", true, NOW_US},
    {"so long ago", "15m", true, NOW_US - 900 * SECOND},
    {"a date is its first moment", "1970-01-02", true, 86400 * SECOND},
    {"RFC 3339", "1970-01-01T00:00:01.000002Z", true, SECOND + 2},
    {"with an offset", "1970-01-01T01:00:00+01:00", true, 0},
    {"no such day", "2026-02-30", false, 0},
    {"ten characters that are no date", "abcdefghij", false, 0},
    {"a number alone could be anything", "1800000000", false, 0},
    {"finer than a microsecond", "1970-01-01T00:00:01.0000001Z", false, 0},
};

static void test_a_time_is_a_moment_or_so_long_ago(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        int64_t us = -1;
        const bool good = value_time(times[i].text, NOW_US, &us);
        if (good != times[i].good || (good && us != times[i].us))
            fail_msg("%s: \"%s\" is %d, %lld us", times[i].why, times[i].text, good, (long long)us);
    }
}

static void test_a_number_stays_within_its_bounds(void **state)
{
    (void)state;
    int64_t number = 0;
    assert_true(value_number("-3", -3, 5, &number));
    assert_int_equal(number, -3);
    assert_true(value_number("9223372036854775807", 0, INT64_MAX, &number));
    assert_int_equal(number, INT64_MAX);
    assert_false(value_number("9223372036854775808", 0, INT64_MAX, &number));
    assert_false(value_number("6", -3, 5, &number));
    assert_false(value_number("5x", -3, 5, &number));
    assert_false(value_number("", -3, 5, &number));
}

static const struct {
    const char *why;
    const char *text;
    bool good;
} addresses[] = {
    {"a name and a port", "core:50051", true},
    {"an IPv4 address", "127.0.0.1:1", true},
    {"an IPv6 address in brackets", "[::1]:65535", true},
    {"an IPv6 address alone: where does it end?", "::1:50051", false},
    {"gRPC would take port 443", "localhost", false},
    {"a URL", "http://localhost:8080", false},
    {"a URL of gRPC's", "dns:///core:50051", false},
    {"no host", ":50051", false},
    {"no port", "core:", false},
    {"the port that means any", "core:0", false},
    {"a port that is none", "core:65536", false},
    {"a sign", "core:+5", false},
    {"something behind it", "core:5/x", false},
    {"empty", "", false},
};

static void test_an_address_has_a_host_and_a_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
        if (value_address(addresses[i].text) != addresses[i].good)
            fail_msg("%s: \"%s\"", addresses[i].why, addresses[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_duration_is_a_number_and_its_unit),
        cmocka_unit_test(test_a_time_is_a_moment_or_so_long_ago),
        cmocka_unit_test(test_a_number_stays_within_its_bounds),
        cmocka_unit_test(test_an_address_has_a_host_and_a_port),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
