/*
 * The lines of a file or of the standard input, with their numbers.
 *
 * Ownership  lines_done() frees and closes.
 * Threads    One.
 * Blocking   Yes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define LINE_MAX_BYTES ((size_t)16 * 1024 * 1024) /* an event has at most 3 MiB of data, 4 as base64 */

struct lines {
    int fd;
    struct buffer text;  /* what was read and not given out */
    size_t at;           /* in it */
    bool ended;          /* nothing more to read */
    uint64_t number;     /* of the line given last, from 1 */
    uint64_t read_bytes; /* given out */
    uint64_t size_bytes; /* of the file; 0 = not known */
};

/* NULL or "-": the standard input. NOT_FOUND, FAILED_PRECONDITION when it cannot be read. */
STATUS_MUST_CHECK struct status lines_open(const char *path, struct lines *ret);
void lines_done(struct lines *lines);

/* The next line that is not empty, without its end, valid until the next call; *ret_more = false at the end.
 * INVALID_ARGUMENT when it is longer than LINE_MAX_BYTES. */
STATUS_MUST_CHECK struct status lines_next(struct lines *lines, struct bytes *ret, bool *ret_more);
