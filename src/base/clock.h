/*
 * What time it is, handed in so that a test can decide.
 *
 * Threads  Any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct clock;
struct clock_ops {
    int64_t (*now_us)(const struct clock *clock);       /* wall clock, microseconds since 1970 UTC */
    int64_t (*monotonic_us)(const struct clock *clock); /* never steps back; for durations */
};
struct clock {
    const struct clock_ops *ops;
};

extern const struct clock system_clock;

static inline int64_t clock_now_us(const struct clock *clock)
{
    return clock->ops->now_us(clock);
}

static inline int64_t clock_monotonic_us(const struct clock *clock)
{
    return clock->ops->monotonic_us(clock);
}

/* "2026-11-24T16:15:03.000001Z": RFC 3339, UTC, always microseconds, 27 characters and a NUL. */
#define TIME_TEXT_BYTES 28U
void time_format(int64_t time_us, char ret_text[TIME_TEXT_BYTES]);

/*
 * Reads RFC 3339 with any offset. INVALID_ARGUMENT for anything else, for a year outside 0001..9999 and for
 * digits finer than a microsecond that are not zero.
 */
STATUS_MUST_CHECK struct status time_parse(struct bytes text, int64_t *ret_time_us);

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z, the range of google.protobuf.Timestamp. */
#define TIME_MIN_US INT64_C(-62135596800000000)
#define TIME_MAX_US INT64_C(253402300799999999)
