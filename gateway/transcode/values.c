#include "gateway/transcode/transcode_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define DIGITS_MAX       40U
#define EXPONENT_MAX     400
#define DOUBLE_MAX_BYTES 64U
#define SHOWN_BYTES      64U

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* --- integers --- */

/* Appends significant digits; leading zeros carry nothing. */
static bool take_digits(struct bytes text, size_t *at, char *digits, size_t *count, size_t *taken)
{
    *taken = 0;
    for (; *at < text.size_bytes && is_digit(text.data[*at]); (*at)++, (*taken)++) {
        if (*count == 0 && text.data[*at] == '0')
            continue;
        if (*count == DIGITS_MAX)
            return false;
        digits[(*count)++] = (char)text.data[*at];
    }
    return true;
}

static bool take_exponent(struct bytes text, size_t *at, int *ret)
{
    *ret = 0;
    if (*at == text.size_bytes || (text.data[*at] | 0x20) != 'e')
        return true;
    (*at)++;
    const bool negative = *at < text.size_bytes && text.data[*at] == '-';
    if (*at < text.size_bytes && (text.data[*at] == '-' || text.data[*at] == '+'))
        (*at)++;
    if (*at == text.size_bytes)
        return false;
    for (; *at < text.size_bytes && is_digit(text.data[*at]); (*at)++)
        if (*ret <= EXPONENT_MAX)
            *ret = *ret * 10 + (text.data[*at] - '0');
    if (negative)
        *ret = -*ret;
    return true;
}

static bool digits_value(const char *digits, size_t count, size_t zeros, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count + zeros; i++) {
        const uint64_t digit = i < count ? (uint64_t)(digits[i] - '0') : 0;
        if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

bool integer_parse(struct bytes text, int64_t *ret)
{
    char digits[DIGITS_MAX];
    size_t count = 0;
    size_t whole = 0;
    size_t fraction = 0;
    size_t at = text.size_bytes > 0 && text.data[0] == '-' ? 1 : 0;
    const bool negative = at == 1;
    int exponent = 0;
    if (!take_digits(text, &at, digits, &count, &whole) || whole == 0)
        return false;
    if (at < text.size_bytes && text.data[at] == '.') {
        at++;
        if (!take_digits(text, &at, digits, &count, &fraction) || fraction == 0)
            return false;
    }
    if (!take_exponent(text, &at, &exponent) || at != text.size_bytes)
        return false;
    exponent -= (int)fraction;
    for (; exponent < 0 && count > 0 && digits[count - 1] == '0'; exponent++)
        count--;
    if (count > 0 && exponent < 0)
        return false; /* not a whole number */
    uint64_t value = 0;
    if (!digits_value(digits, count, count > 0 ? (size_t)exponent : 0, &value) ||
        value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret = (int64_t)(negative ? 0 - value : value);
    return true;
}

/* --- doubles --- */

bool double_parse(struct bytes text, bool quoted, double *ret)
{
    char copy[DOUBLE_MAX_BYTES];
    if (text.size_bytes == 0 || text.size_bytes >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size_bytes);
    copy[text.size_bytes] = '\0';
    if (quoted &&
        (strcmp(copy, "NaN") == 0 || strcmp(copy, "Infinity") == 0 || strcmp(copy, "-Infinity") == 0)) {
        *ret = strtod(copy, NULL);
        return true;
    }
    /* strtod reads more than JSON has: hexadecimal, names, white space, a plus. */
    if (strspn(copy, "0123456789+-.eE") != text.size_bytes || (!is_digit(text.data[0]) && copy[0] != '-'))
        return false;
    char *end = NULL;
    const double value = strtod(copy, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

void double_write(double value, struct buffer *to)
{
    char text[32];
    if (isnan(value)) {
        buffer_add_text(to, "\"NaN\"");
        return;
    }
    if (isinf(value)) {
        buffer_add_text(to, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value); /* 24 characters at most */
        if (strtod(text, NULL) == value)
            break;
    }
    buffer_add_text(to, text);
}

/* --- durations --- */

static bool take_fraction(struct bytes text, size_t *at, int32_t *ret_nanos)
{
    *ret_nanos = 0;
    if (*at == text.size_bytes || text.data[*at] != '.')
        return true;
    const size_t first = ++*at;
    for (int32_t scale = NANOS_A_SECOND / 10; *at < text.size_bytes && is_digit(text.data[*at]);
         scale /= 10) {
        if (scale == 0)
            return false; /* finer than Duration */
        *ret_nanos += scale * (text.data[(*at)++] - '0');
    }
    return *at > first;
}

bool duration_parse(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    size_t at = text.size_bytes > 0 && text.data[0] == '-' ? 1 : 0;
    const bool negative = at == 1;
    int64_t seconds = 0;
    int32_t nanos = 0;
    const size_t first = at;
    for (; at < text.size_bytes && is_digit(text.data[at]); at++) {
        seconds = seconds * 10 + (text.data[at] - '0');
        if (seconds > DURATION_MAX_S)
            return false;
    }
    if (at == first || !take_fraction(text, &at, &nanos) || at + 1 != text.size_bytes ||
        text.data[at] != 's' || (seconds == DURATION_MAX_S && nanos > 0))
        return false;
    *ret_seconds = negative ? -seconds : seconds;
    *ret_nanos = negative ? -nanos : nanos;
    return true;
}

void duration_write(int64_t seconds, int32_t nanos, struct buffer *to)
{
    const bool negative = seconds < 0 || nanos < 0;
    const int32_t positive = nanos < 0 ? -nanos : nanos;
    char fraction[16] = "";
    if (positive % 1000000 == 0 && positive > 0)
        (void)snprintf(fraction, sizeof fraction, ".%03d", positive / 1000000); /* these three fit */
    else if (positive % 1000 == 0 && positive > 0)
        (void)snprintf(fraction, sizeof fraction, ".%06d", positive / 1000);
    else if (positive > 0)
        (void)snprintf(fraction, sizeof fraction, ".%09d", positive);
    buffer_printf(to, "\"%s%lld%ss\"", negative ? "-" : "", (long long)(seconds < 0 ? -seconds : seconds),
                  fraction);
}

/* --- texts --- */

bool is_opaque(struct bytes content_type)
{
    return content_type.size_bytes > 0 && !bytes_equal(content_type, BYTES_LITERAL("application/json"));
}

const char *transcode_shown(struct arena *arena, struct bytes text)
{
    char shown[SHOWN_BYTES + sizeof "…"];
    size_t size = 0;
    size_t at = 0;
    while (at < text.size_bytes) {
        uint32_t point = 0;
        const size_t sequence = utf8_sequence(text, at, &point);
        const size_t taken = sequence == 0 ? 1 : sequence;
        if (size + taken > SHOWN_BYTES)
            break;
        if (sequence == 0 || point < 0x20 || (point >= 0x7F && point < 0xA0))
            shown[size++] = '?';
        else
            size = (size_t)((char *)mempcpy(shown + size, text.data + at, taken) - shown);
        at += taken;
    }
    if (at < text.size_bytes)
        size = (size_t)((char *)mempcpy(shown + size, "…", sizeof "…" - 1) - shown);
    const char *copy = arena_text(arena, bytes_of(shown, size));
    return copy == NULL ? "" : copy;
}
