/*
 * `strata append --file`: each line an append of its own, in the order of the file, one after the other.
 *
 * Ownership  Borrows its options.
 * Threads    The main thread.
 * Blocking   Until the last line is answered.
 */
#pragma once

#include "cli/cli_internal.h"

struct append_lines_options {
    const char *file; /* "-": the standard input */
    int64_t from_line;
    const char *key; /* NULL = none */
    bool keep_going;
    bool dry_run;
};

/*
 * Shows what each line recorded. A line that fails is named on stderr, with what is recorded, and the run's exit
 * code says it: that is no failure of the function. With `keep_going` the lines behind it are tried too.
 */
STATUS_MUST_CHECK struct status append_lines(struct cli_run *run, const struct append_lines_options *options);

/* Whether an append that failed so may have been made. */
bool append_is_uncertain(const struct status *status);

/*
 * One line as a packed AppendEventsRequest, in `arena`. `key` or else a new id makes repeating it harmless where
 * neither the append nor its events are named.
 */
STATUS_MUST_CHECK struct status append_line_read(struct arena *arena, struct bytes line, const char *key,
                                                 int64_t line_number, bool dry_run, struct bytes *ret);
