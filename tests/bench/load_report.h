/*
 * The line of JSON that load programs end with.
 *
 * Ownership  Borrows all; sorts the times and makes the error fit for quotes.
 * Threads    One.
 * Blocking   On the standard output.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct load_figures {
    double seconds;
    int64_t *times_ns; /* of each call, `calls` of them, one at least */
    size_t calls;
    long events_a_call; /* 0 = not about events */
    size_t reply_bytes; /* of the last answer */
    long errors;
    char *first_error;
};

void load_report(const struct load_figures *figures);
