/*
 * One line on the standard error of a terminal: how far, how fast, how long still. Nothing when it is no terminal.
 *
 * Threads   One.
 * Blocking  Only the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum progress_unit { PROGRESS_BYTES, PROGRESS_EVENTS, PROGRESS_ITEMS };

struct progress {
    bool on;
    const char *what; /* "exporting"; NULL = not begun */
    enum progress_unit unit;
    uint64_t total; /* 0 = not known */
    int64_t started_at_us;
    int64_t shown_at_us; /* 0 = nothing on the screen */
    uint64_t started_from;
};

/* `quiet`: nothing even on a terminal. `from` = what was done before, by an earlier run. */
struct progress progress_begin(const char *what, enum progress_unit unit, uint64_t total, uint64_t from,
                               bool quiet);
/* Draws at most five times a second; `events` is shown beside bytes when it is not 0. */
void progress_show(struct progress *progress, uint64_t done, int64_t events);
void progress_end(struct progress *progress); /* clears the line */
