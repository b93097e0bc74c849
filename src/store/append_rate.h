/*
 * How many things happened a second, over the last minute; over the whole time where that is less.
 *
 * Threads    One at a time.
 * Blocking   Never.
 */
#pragma once

#include <stdint.h>

#define RATE_SECONDS 60

/* What happened in second s is in slot s % RATE_SECONDS. Times are monotonic. */
struct append_rate {
    int64_t begun_us;
    int64_t second; /* the latest one that was counted in; slots older than a minute are empty */
    int64_t appends[RATE_SECONDS];
};

struct append_rate append_rate_from(int64_t now_us);
void append_rate_count(struct append_rate *rate, int64_t now_us, int64_t appends);
double append_rate_per_second(struct append_rate *rate, int64_t now_us);
