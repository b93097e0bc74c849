/*
 * Reads records from segments and checks every byte of them before anybody sees it.
 *
 * Ownership  A reader belongs to one read; a record is valid until the next call.
 * Threads    One thread a reader.  Blocking  Yes.
 */
#pragma once

#include "base/bytes.h"
#include "locations_internal.h"
#include "record/record.h"

struct segment_log;

enum read_order { READ_SCATTERED, READ_FORWARD, READ_BACKWARD };

struct record_reader {
    const struct segment_log *log;
    enum read_order order; /* neighbours are read along when they are likely to be asked for next */
    uint32_t ahead_bytes;  /* how much is read along: more each time, since most reads are short */
    struct buffer window;
    uint32_t window_segment;
    uint64_t window_start;
};

struct record_reader record_reader_make(const struct segment_log *log, enum read_order order);
void record_reader_done(struct record_reader *reader);

/*
 * DATA_LOSS/DAMAGED  the bytes are not those that were written, or cannot be read; names segment, offset,
 * position
 */
STATUS_MUST_CHECK struct status record_reader_get(struct record_reader *reader, int64_t position,
                                                  struct location location, struct record *ret);
