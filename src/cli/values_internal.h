/*
 * Values of options as people write them.
 *
 * Threads   Any.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* "500ms", "10s", "5m", "1h", "7d": a whole number and its unit, to microseconds. False when it is none. */
bool value_duration(const char *text, int64_t *ret_us);

/* RFC 3339, a date (its first moment, UTC), "now", or a duration: so long before `now_us`. False when it is none. */
bool value_time(const char *text, int64_t now_us, int64_t *ret_us);

/* "core:50051", "[::1]:50051". False when it is none: a URL, or without a port. */
bool value_address(const char *text);

/* A whole number. False when it is none or out of bounds. */
bool value_number(const char *text, int64_t least, int64_t most, int64_t *ret);
