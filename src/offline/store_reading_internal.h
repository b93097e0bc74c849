/*
 * A store that nobody has open, read from its files: who it is, where its log is remembered to end, every event of it.
 *
 * Ownership  store_reading_close() gives back the lock. Borrows all else.
 * Threads    One.
 * Blocking   Yes.
 */
#pragma once

#include "base/clock.h"
#include "base/entropy.h"
#include "base/files.h"
#include "store/embedded/log_scan.h"
#include "store/embedded/remembered_head.h"
#include "store/embedded/store_file.h"

struct store_reading {
    struct files *files;
    const char *store_id;
    const struct clock *clock;
    const struct entropy *entropy;
    struct file *lock;
    struct store_identity identity;
    struct remembered_head remembered;
    bool remembered_seen; /* the log passed the remembered head; kept by store_reading_note */
    uint64_t log_bytes;   /* to be read, about */
};

/* `store_id` NULL = "main". Errors as verify_store(). */
STATUS_MUST_CHECK struct status store_reading_open(struct files *files, const char *store_id,
                                                   const struct clock *clock, const struct entropy *entropy,
                                                   struct store_reading *ret);
void store_reading_close(struct store_reading *reading);

/* To be called from the sink's on_frame. */
void store_reading_note(struct store_reading *reading, const struct log_end *end);

/* Scans the log, everything checked, and compares its end with what was remembered. `resume` NULL = from the start. */
STATUS_MUST_CHECK struct status store_reading_scan(struct store_reading *reading, const struct log_sink *sink,
                                                   const struct log_resume *resume,
                                                   struct log_scan_result *ret);

/* Names and sizes of the segments, in order, from `arena`. */
struct segment_file {
    int64_t first_position;
    uint64_t size_bytes;
};
STATUS_MUST_CHECK struct status store_segments_list(struct files *files, const char *store_id,
                                                    struct arena *arena, struct segment_file **ret,
                                                    size_t *ret_count);
