/*
 * Reads a log from its first byte, checks everything and hands over the events: recovery builds the index
 * from it, `strata verify` its report.
 *
 * A scan says of each segment either that it is good up to its zeros, or what is wrong at which offset. In
 * the last segment the second can be a torn tail (what a crash leaves of the frame being written); anywhere
 * else, or when a valid frame follows, it is damage: log_scan_run() tells the two apart and stops with
 * DAMAGED.
 *
 * Ownership  Borrows files; everything handed to the sink is valid during the call.
 * Threads    One scan by one thread.
 * Blocking   Yes, it reads all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"
#include "record/record.h"
#include "store/embedded/store_file.h"

struct scanned_event {
    int64_t position;
    struct record record;
    const struct event_fields *fields; /* of the header */
    uint64_t offset;                   /* of the entry in its segment */
    uint32_t header_crc;               /* CRC-32C of the entry's prefix and header bytes */
};

/* Where the history stands after a good frame. */
struct log_end {
    int64_t position; /* 0 = nothing yet */
    int64_t timestamp_us;
    struct sha256 chain;
    uint64_t writer_epoch;
    bool sealed; /* the last frame is a seal */
};

struct scanned_segment {
    char name[32]; /* "00000000000000000001.seg"; of an unnamed one that of its pool file */
    int64_t first_position;
    uint64_t epoch;
    struct sha256 chain;  /* of everything before it, as its header says */
    int64_t timestamp_us; /* likewise: of the event before it; 0 = none */
    uint32_t event_count;
    uint64_t file_bytes;
    uint64_t end_offset; /* behind the last good frame */
    uint64_t dirty_end;  /* behind the last byte that is not zero; end_offset when only zeros follow */
    uint32_t crc;        /* CRC-32C of the bytes before end_offset, so that a copy can be compared */
    bool last;           /* no segment follows */
    bool unnamed;        /* begun, and its header and name still to be written; the last then */
    bool skipped;        /* before the place where the scan resumes: only its header was read */
    struct status why;   /* OK, or what is wrong at end_offset */
};

/* Each returns OK or ends the scan with its status. Entries may be NULL. */
struct log_sink {
    void *context;
    struct status (*on_segment_begin)(void *context, const struct scanned_segment *segment);
    struct status (*on_event)(void *context, const struct scanned_event *event);
    /* `frame` has been checked and ends at `segment->end_offset`; `end` includes it. */
    struct status (*on_frame)(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame);
    struct status (*on_segment_end)(void *context, const struct scanned_segment *segment);
};

/*
 * Where an earlier scan had come to: the segments before `first_position` were good and ended as `end` says. Of them only
 * the headers are read, and on_segment_begin hears of each; whether they are still the same is the caller's to judge.
 */
struct log_resume {
    int64_t first_position; /* of the segment to go on with */
    struct log_end end;
};

struct log_scan_options {
    bool check_every_leaf;           /* recompute leaves and chain everywhere, not only in the last segment */
    bool check_digests;              /* recompute the payload digests too */
    const struct log_resume *resume; /* NULL = from the first byte */
};

/* The position of the remembered head etc. are the caller's business: this is about the log alone. */
struct log_scan_result {
    struct log_end end;
    uint32_t segment_count;
    uint64_t bytes;              /* of good frames and headers */
    bool torn;                   /* the last segment has a torn tail */
    struct scanned_segment last; /* when segment_count > 0 */
};

/*
 * Scans <store_id>/log.
 *   DATA_LOSS/DAMAGED    names segment and offset, and what to do
 *   FAILED_PRECONDITION  a segment of another store or format, an unknown kind of frame
 *   others               as files.h, or the sink's
 */
STATUS_MUST_CHECK struct status log_scan_run(struct files *files, const char *store_id,
                                             const struct store_identity *identity,
                                             const struct log_scan_options *options,
                                             const struct log_sink *sink, struct log_scan_result *ret);
