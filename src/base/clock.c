#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define US_PER_S        INT64_C(1000000)
#define S_PER_DAY       INT64_C(86400)
#define FRACTION_DIGITS 6

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    const int failed = clock_gettime(id, &now);
    assert(failed == 0); /* both clocks exist on every Linux */
    (void)failed;
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static int64_t system_now_us(const struct clock *clock)
{
    (void)clock;
    return read_us(CLOCK_REALTIME);
}

static int64_t system_monotonic_us(const struct clock *clock)
{
    (void)clock;
    return read_us(CLOCK_MONOTONIC);
}

static const struct clock_ops system_ops = {system_now_us, system_monotonic_us};
const struct clock system_clock = {&system_ops};

/*
 * Days since 1970-01-01 of a proleptic Gregorian date, and back. Years begin in March, so that the leap day
 * is the last one and months follow 153 days in five; 400 years have 146097 days.
 */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
    const int64_t shifted = days + 719468;
    const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    const int64_t day_of_era = shifted - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    *ret_month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static void put_digits(char *to, int64_t number, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void time_format(int64_t time_us, char ret_text[TIME_TEXT_BYTES])
{
    assert(time_us >= TIME_MIN_US);
    assert(time_us <= TIME_MAX_US);
    int64_t seconds = time_us / US_PER_S;
    int64_t fraction = time_us % US_PER_S;
    if (fraction < 0) {
        fraction += US_PER_S;
        seconds--;
    }
    int64_t days = seconds / S_PER_DAY;
    int64_t second_of_day = seconds % S_PER_DAY;
    if (second_of_day < 0) {
        second_of_day += S_PER_DAY;
        days--;
    }
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    date_of_days(days, &year, &month, &day);
    static const char shape[TIME_TEXT_BYTES] = "0000-00-00T00:00:00.000000Z";
    memcpy(ret_text, shape, sizeof shape);
    put_digits(ret_text, year, 4);
    put_digits(ret_text + 5, month, 2);
    put_digits(ret_text + 8, day, 2);
    put_digits(ret_text + 11, second_of_day / 3600, 2);
    put_digits(ret_text + 14, second_of_day / 60 % 60, 2);
    put_digits(ret_text + 17, second_of_day % 60, 2);
    put_digits(ret_text + 20, fraction, FRACTION_DIGITS);
}

struct scan {
    const uint8_t *at;
    const uint8_t *end;
};

static bool scan_digits(struct scan *scan, int count, int64_t *ret)
{
    if (scan->end - scan->at < count)
        return false;
    int64_t number = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t c = scan->at[i];
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    scan->at += count;
    *ret = number;
    return true;
}

/* RFC 3339 lets 'T' and 'Z' be lower case; nothing else has two spellings. */
static bool scan_char(struct scan *scan, char wanted)
{
    if (scan->at == scan->end)
        return false;
    const bool letter = wanted >= 'A' && wanted <= 'Z';
    if (*scan->at != (uint8_t)wanted && !(letter && *scan->at == (uint8_t)(wanted | 0x20)))
        return false;
    scan->at++;
    return true;
}

/* Digits after the point. Finer than a microsecond must be zeros: rounding would alter what the client said. */
static bool scan_fraction(struct scan *scan, int64_t *ret_us, bool *ret_too_fine)
{
    const uint8_t *begin = scan->at;
    int64_t fraction = 0;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        const ptrdiff_t index = scan->at - begin;
        if (index < FRACTION_DIGITS)
            fraction = fraction * 10 + (*scan->at - '0');
        else if (*scan->at != '0')
            *ret_too_fine = true;
    }
    const ptrdiff_t count = scan->at - begin;
    for (ptrdiff_t i = count; i < FRACTION_DIGITS; i++)
        fraction *= 10;
    *ret_us = fraction;
    return count > 0;
}

static bool scan_offset(struct scan *scan, int64_t *ret_offset_s)
{
    *ret_offset_s = 0;
    if (scan_char(scan, 'Z'))
        return true;
    const bool west = scan->at < scan->end && *scan->at == '-';
    if (!west && !(scan->at < scan->end && *scan->at == '+'))
        return false;
    scan->at++;
    int64_t hours = 0;
    int64_t minutes = 0;
    if (!scan_digits(scan, 2, &hours) || !scan_char(scan, ':') || !scan_digits(scan, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_offset_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int64_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool scan_time(struct scan *scan, int64_t *ret_us, bool *ret_too_fine)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    int64_t fraction_us = 0;
    int64_t offset_s = 0;
    if (!scan_digits(scan, 4, &year) || !scan_char(scan, '-') || !scan_digits(scan, 2, &month) ||
        !scan_char(scan, '-') || !scan_digits(scan, 2, &day) || !scan_char(scan, 'T') ||
        !scan_digits(scan, 2, &hour) || !scan_char(scan, ':') || !scan_digits(scan, 2, &minute) ||
        !scan_char(scan, ':') || !scan_digits(scan, 2, &second))
        return false;
    if (scan_char(scan, '.') && !scan_fraction(scan, &fraction_us, ret_too_fine))
        return false;
    if (!scan_offset(scan, &offset_s) || scan->at != scan->end)
        return false;
    /* Leap seconds have no place on a scale of microseconds since 1970, so 60 is refused as Timestamp does. */
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    const int64_t seconds =
        days_of_date(year, month, day) * S_PER_DAY + hour * 3600 + minute * 60 + second - offset_s;
    *ret_us = seconds * US_PER_S + fraction_us;
    return true;
}

struct status time_parse(struct bytes text, int64_t *ret_time_us)
{
    const uint8_t *begin = text.data == NULL ? (const uint8_t *)"" : text.data;
    struct scan scan = {begin, begin + text.size_bytes};
    struct bytes shown = text;
    if (shown.size_bytes > 64)
        shown.size_bytes = 64;
    int64_t time_us = 0;
    bool too_fine = false;
    if (!scan_time(&scan, &time_us, &too_fine))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "\"%.*s\" is not a time; write RFC 3339 such as 2026-11-24T16:15:03.000001Z",
                            BYTES_FORMAT(shown));
    if (too_fine)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "\"%.*s\" is finer than a microsecond; give at most 6 digits after the point",
                            BYTES_FORMAT(shown));
    if (time_us < TIME_MIN_US || time_us > TIME_MAX_US)
        return status_error(STATUS_INVALID_ARGUMENT, "\"%.*s\" is outside the years 0001 to 9999 in UTC",
                            BYTES_FORMAT(shown));
    *ret_time_us = time_us;
    return status_ok();
}
