#include "base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Numbers are compared as written, never converted: a token is a sign, significant digits d1 d2 … (d1 ≠ 0), and
 * the exponent e of 0.d1d2… × 10^e. Exponents may themselves have hundreds of digits, so e is kept in decimal.
 */
#define EXPONENT_MAX_DIGITS (JSON_NUMBER_MAX_BYTES + 8U)
#define EXPONENT_SMALL      15U /* so many digits and a shift of JSON_NUMBER_MAX_BYTES fit in 64 bits */

struct exponent {
    bool negative; /* never with zero */
    size_t count;  /* digits without leading zeros; 0 = zero */
    char digits[EXPONENT_MAX_DIGITS];
};

struct number {
    bool zero;
    bool negative;
    const uint8_t *first; /* the first significant digit */
    const uint8_t *end;   /* behind the last digit of the mantissa; a '.' may stand between */
    int64_t shift;        /* e without the written exponent */
    bool written_negative;
    const uint8_t *written; /* digits of the written exponent, without leading zeros */
    size_t written_count;
};

static struct number number_read(struct bytes token)
{
    assert(token.size_bytes <= JSON_NUMBER_MAX_BYTES);
    const uint8_t *at = token.data;
    const uint8_t *end = token.data + token.size_bytes;
    struct number number = {.zero = true};
    if (at < end && *at == '-') {
        number.negative = true;
        at++;
    }
    bool after_point = false;
    for (; at < end && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') {
            after_point = true;
            continue;
        }
        if (number.zero && *at != '0') {
            number.zero = false;
            number.first = at;
        }
        /* Each digit before the point moves it right; each zero between the point and d1 moves it left. */
        if (!after_point)
            number.shift += !number.zero;
        else
            number.shift -= number.zero;
    }
    number.end = at;
    if (at < end) {
        at++;
        number.written_negative = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        while (at < end && *at == '0')
            at++;
        number.written = at;
        number.written_count = (size_t)(end - at);
    }
    return number;
}

static void exponent_from_small(struct exponent *exponent, int64_t value)
{
    exponent->negative = value < 0;
    exponent->count = 0;
    char reversed[20];
    for (uint64_t rest = value < 0 ? (uint64_t)-value : (uint64_t)value; rest > 0; rest /= 10)
        reversed[exponent->count++] = (char)('0' + rest % 10);
    for (size_t i = 0; i < exponent->count; i++)
        exponent->digits[i] = reversed[exponent->count - 1 - i];
}

/* A written exponent so large that the shift can change its digits, not its sign. */
static void exponent_from_large(struct exponent *exponent, const struct number *number)
{
    const size_t count = number->written_count;
    exponent->negative = number->written_negative;
    exponent->digits[0] = '0'; /* for a carry */
    memcpy(exponent->digits + 1, number->written, count);
    int64_t carry = exponent->negative ? -number->shift : number->shift;
    for (size_t i = count + 1; i-- > 0 && carry != 0;) {
        int64_t digit = (exponent->digits[i] - '0') + carry;
        carry = digit / 10;
        digit %= 10;
        if (digit < 0) {
            digit += 10;
            carry--;
        }
        exponent->digits[i] = (char)('0' + digit);
    }
    assert(carry == 0);
    size_t zeros = 0;
    while (exponent->digits[zeros] == '0')
        zeros++;
    exponent->count = count + 1 - zeros;
    memmove(exponent->digits, exponent->digits + zeros, exponent->count);
}

static void exponent_of(struct exponent *exponent, const struct number *number)
{
    if (number->written_count > EXPONENT_SMALL) {
        exponent_from_large(exponent, number);
        return;
    }
    int64_t written = 0;
    for (size_t i = 0; i < number->written_count; i++)
        written = written * 10 + (number->written[i] - '0');
    exponent_from_small(exponent, number->shift + (number->written_negative ? -written : written));
}

static int exponent_compare(const struct exponent *a, const struct exponent *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    int order = 0;
    if (a->count != b->count)
        order = a->count < b->count ? -1 : 1;
    else
        order = memcmp(a->digits, b->digits, a->count);
    return a->negative ? -order : order;
}

/* The next digit of a mantissa; zeros behind its end. */
static uint8_t digit_next(const uint8_t **at, const uint8_t *end)
{
    if (*at < end && **at == '.')
        (*at)++;
    return *at < end ? *(*at)++ : (uint8_t)'0';
}

static int magnitude_compare(const struct number *a, const struct number *b)
{
    struct exponent exponent_a;
    struct exponent exponent_b;
    exponent_of(&exponent_a, a);
    exponent_of(&exponent_b, b);
    const int order = exponent_compare(&exponent_a, &exponent_b);
    if (order != 0)
        return order;
    const uint8_t *at_a = a->first;
    const uint8_t *at_b = b->first;
    while (at_a < a->end || at_b < b->end) {
        const uint8_t digit_a = digit_next(&at_a, a->end);
        const uint8_t digit_b = digit_next(&at_b, b->end);
        if (digit_a != digit_b)
            return digit_a < digit_b ? -1 : 1;
    }
    return 0;
}

int json_number_compare(struct bytes a, struct bytes b)
{
    if (bytes_equal(a, b))
        return 0;
    const struct number number_a = number_read(a);
    const struct number number_b = number_read(b);
    const int sign_a = number_a.zero ? 0 : number_a.negative ? -1 : 1;
    const int sign_b = number_b.zero ? 0 : number_b.negative ? -1 : 1;
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    if (sign_a == 0)
        return 0;
    const int order = magnitude_compare(&number_a, &number_b);
    return sign_a < 0 ? -order : order;
}
