#include "support/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/manual_clock.h"
#include "support/seeded_entropy.h"

#include "base/clock.h"
#include "base/deadline.h"

static const struct {
    const char *text;
    const char *same; /* as time_format writes it; NULL = refused */
    const char *why;
} rows[] = {
    {"2026-11-24T16:15:03.000001Z", "2026-11-24T16:15:03.000001Z", "our own form"},
    {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z", "no fraction"},
    {"2026-11-24t16:15:03z", "2026-11-24T16:15:03.000000Z", "RFC 3339 5.6 lets T and Z be lower case"},
    {"2026-11-24T16:15:03.5Z", "2026-11-24T16:15:03.500000Z", "one digit is tenths"},
    {"2026-11-24T16:15:03.1234560000Z", "2026-11-24T16:15:03.123456Z",
     "zeros beyond microseconds lose nothing"},
    {"2026-11-24T16:15:03.1234567Z", NULL, "finer than a microsecond"},
    {"2026-11-24T16:15:03.12345600000000000001Z", NULL, "finer, far behind"},
    {"2026-11-24T16:15:03+05:30", "2026-11-24T10:45:03.000000Z", "east of Greenwich is earlier in UTC"},
    {"2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z", "an offset may change the year"},
    {"2026-11-24T16:15:03-00:00", "2026-11-24T16:15:03.000000Z", "unknown local offset"},
    {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z", "a leap day"},
    {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z", "400 years: a leap year"},
    {"1900-02-29T00:00:00Z", NULL, "100 years: none"},
    {"2026-02-29T00:00:00Z", NULL, "no leap year"},
    {"2026-04-31T00:00:00Z", NULL, "April has 30 days"},
    {"2026-00-01T00:00:00Z", NULL, "no month 0"},
    {"2026-13-01T00:00:00Z", NULL, "no month 13"},
    {"2026-01-00T00:00:00Z", NULL, "no day 0"},
    {"2026-01-01T24:00:00Z", NULL, "no hour 24"},
    {"2026-01-01T00:60:00Z", NULL, "no minute 60"},
    {"2016-12-31T23:59:60Z", NULL, "leap seconds have no microsecond since 1970"},
    {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z", "the first moment"},
    {"0001-01-01T00:00:00+00:01", NULL, "a minute before the first moment"},
    {"0000-12-31T23:59:00-00:01", "0001-01-01T00:00:00.000000Z", "year 0 there, year 1 in UTC"},
    {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z", "the last moment"},
    {"9999-12-31T23:59:59.999999-00:01", NULL, "a minute after the last moment"},
    {"2026-11-24 16:15:03Z", NULL, "a space for T"},
    {"2026-11-24T16:15:03", NULL, "no offset"},
    {"2026-11-24T16:15:03.Z", NULL, "a point without digits"},
    {"2026-11-24T16:15:03+0530", NULL, "an offset without a colon"},
    {"2026-11-24T16:15:03+24:00", NULL, "an offset of a day"},
    {"2026-11-24T16:15:03+5:30", NULL, "an offset of one digit"},
    {"2026-11-24T16:15:03Zx", NULL, "something behind"},
    {"2026-11-24", NULL, "a date alone"},
    {"+026-11-24T16:15:03Z", NULL, "a sign"},
    {"", NULL, "nothing"},
};

static void test_rfc_3339_is_read_exactly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t time_us = INT64_MIN;
        const struct status status = time_parse(bytes_of_text(rows[i].text), &time_us);
        char text[TIME_TEXT_BYTES] = "refused";
        if (status.code == STATUS_OK)
            time_format(time_us, text);
        else if (status.code != STATUS_INVALID_ARGUMENT || time_us != INT64_MIN)
            fail_msg("%s: %s", rows[i].why, status.message);
        if (strcmp(text, rows[i].same == NULL ? "refused" : rows[i].same) != 0)
            fail_msg("%s: \"%s\" became %s (%s)", rows[i].why, rows[i].text, text, status.message);
    }
}

static void test_any_time_is_read_back(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        const int64_t time_us =
            i < 2 ? (i == 0 ? TIME_MIN_US : TIME_MAX_US)
                  : TIME_MIN_US + (int64_t)random_below(&random, (uint64_t)(TIME_MAX_US - TIME_MIN_US));
        char text[TIME_TEXT_BYTES];
        time_format(time_us, text);
        int64_t again = 0;
        assert_status_ok(time_parse(bytes_of_text(text), &again));
        assert_int_equal(again, time_us);
        /* The C library as a second opinion. */
        const time_t seconds = (time_t)((time_us - TIME_MIN_US) / 1000000 + TIME_MIN_US / 1000000);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        char other[64];
        (void)snprintf(other, sizeof other, "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
        assert_memory_equal(text, other, 19);
    }
}

static void test_the_system_clock_runs(void **state)
{
    (void)state;
    const int64_t before = clock_monotonic_us(&system_clock);
    assert_true(clock_monotonic_us(&system_clock) >= before);
    assert_true(clock_now_us(&system_clock) > INT64_C(1600000000000000));
}

static void test_a_manual_clock_moves_only_by_hand(void **state)
{
    (void)state;
    struct manual_clock clock = manual_clock_at_us(1000);
    assert_int_equal(clock_now_us(&clock.clock), 1000);
    assert_int_equal(clock_monotonic_us(&clock.clock), 0);
    manual_clock_advance_ms(&clock, 2);
    assert_int_equal(clock_now_us(&clock.clock), 3000);
    assert_int_equal(clock_monotonic_us(&clock.clock), 2000);
    manual_clock_advance_ms(&clock, -1);
    assert_int_equal(clock_now_us(&clock.clock), 2000);
    assert_int_equal(clock_monotonic_us(&clock.clock), 2000);
}

static void *advance_often(void *clock)
{
    for (int i = 0; i < 1000; i++)
        manual_clock_advance_us(clock, 1);
    return NULL;
}

static void test_a_manual_clock_loses_no_step_of_two_threads(void **state)
{
    (void)state;
    struct manual_clock clock = manual_clock_at_us(0);
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, advance_often, &clock), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(clock_now_us(&clock.clock), 2000);
}

static int64_t us_of(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void test_a_deadline_is_so_far_ahead_and_carries_its_seconds(void **state)
{
    (void)state;
    static const int64_t waits_ms[] = {0, 1, 999, 1000, 1999, 86400000};
    for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
        const int64_t before_us = clock_monotonic_us(&system_clock);
        const struct timespec at = deadline_after_ms(waits_ms[i]);
        const int64_t after_us = clock_monotonic_us(&system_clock);
        assert_true(at.tv_nsec >= 0 && at.tv_nsec < 1000000000);
        assert_true(us_of(at) >= before_us + waits_ms[i] * 1000);
        assert_true(us_of(at) <= after_us + waits_ms[i] * 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_3339_is_read_exactly),
        cmocka_unit_test(test_any_time_is_read_back),
        cmocka_unit_test(test_the_system_clock_runs),
        cmocka_unit_test(test_a_manual_clock_moves_only_by_hand),
        cmocka_unit_test(test_a_manual_clock_loses_no_step_of_two_threads),
        cmocka_unit_test(test_a_deadline_is_so_far_ahead_and_carries_its_seconds),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
