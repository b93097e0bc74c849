/*
 * The remembered head: state/ knows where the log ended a second ago at most, and whether it was stopped
 * cleanly. A log that ends before that has lost acknowledged events, which the log alone could not tell from
 * a torn tail.
 *
 * Threads  Any.  Blocking  Only the reading.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/files.h"
#include "store/embedded/log_scan.h"

struct clock;
struct entropy;

struct remembered_head {
    int64_t position;
    struct sha256 chain;
    int64_t segment;       /* its first position; 0 = there was none */
    uint64_t end_offset;   /* behind its last frame */
    uint64_t writer_epoch; /* counts the openings for writing */
    bool clean;            /* the store was stopped and nothing was written since */
};

/* Reads it from state/ of a store that nobody has open; errors as embedded_store_open. */
STATUS_MUST_CHECK struct status remembered_head_read(struct files *files, const char *store_id,
                                                     const struct store_identity *identity,
                                                     const struct clock *clock, const struct entropy *entropy,
                                                     struct remembered_head *ret);

/* Whether the log's end after some frame is the remembered one: asked after every frame of a scan. */
bool remembered_head_is(const struct remembered_head *remembered, const struct log_end *end);

/*
 * Compares with what a scan found; `seen` = remembered_head_is was true once. False when nothing is wrong,
 * else `ret` gets a clause that says what.
 */
bool remembered_head_differs(const struct remembered_head *remembered, bool seen,
                             const struct log_scan_result *found, char *ret, size_t size);
