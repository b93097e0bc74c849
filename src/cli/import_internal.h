/*
 * `strata import` of NDJSON: lines become new appends of a running service, in their order, in batches of one append each
 * over AppendStream. A batch is sent only when the one before it is answered: what follows a refused line is never
 * imported before it.
 *
 * Ids stay, so a repeated import is a replay. A batch that is refused, or of which a part is there already, is sent again
 * event by event: then the line at fault is known, and what comes before it stays.
 *
 * Ownership  Borrows its options.
 * Threads    One.
 * Blocking   Until all is answered.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct import_options {
    const char *address;
    const char *file; /* NULL or "-": standard input */
    const char *key;  /* makes ids where lines have none; "" = none */
    int64_t batch_events;
    bool quiet;
};

struct import_report {
    uint64_t lines;   /* that were read, also the one at fault */
    int64_t appended; /* events that are new */
    int64_t repeated; /* that were there already */
    int64_t by_call;  /* of both: system events, made anew by CreateAggregate and SaveAggregate */
    int64_t skipped;  /* the other store's words about itself */
};

/*
 * On failure *ret says what was imported before; the message names the line. The arenas hold the line and the reply at
 * fault and what the status says of their fields, so they outlive the status.
 */
STATUS_MUST_CHECK struct status import_lines(const struct import_options *options, struct arena *line_arena,
                                             struct arena *reply_arena, struct import_report *ret);
