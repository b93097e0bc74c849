/*
 * The segments of an open log: appends frames to the last one, makes the next, and keeps written space ahead
 * so that neither stalls a commit.
 *
 * Space is prepared (zero-filled and synced) by segment_log_prepare(), normally on the housekeeping thread:
 * overwriting such space syncs in half the time, and a full disk is noticed before a frame is begun. The file
 * of the next segment is prepared as log/next.N.pool, whole while the last one fills: zeros that are added to the file
 * that is appended to hold up its syncs. The first frame makes it the last segment; header and name follow beside the
 * appends (pool_file_internal.h). The last 32 MiB of the disk are never prepared: state/ and the next start need some.
 *
 * Threads   append: one thread. prepare: one thread, also while an append is under way. Reading handles: any.
 * Locks     `space.lock` guards struct space; nothing else is locked under it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"
#include "segment_format_internal.h"
#include "store/embedded/store_file.h"

struct clock;
struct entropy;

struct segment {
    int64_t first_position;
    uint64_t epoch;
    struct file *file;    /* reading by any thread, writing by the appending one */
    uint64_t end;         /* behind the last frame; the appending thread's until there is a next segment */
    uint32_t event_count; /* likewise */
    char path[STORE_PATH_BYTES];
};

#define SEGMENTS_MAX 65536U /* times 256 MiB = 16 TiB; more are neither made nor opened */

struct segment_log_options {
    struct files *files;
    const char *store_id;
    const struct store_identity *identity;
    const struct clock *clock;
    const struct entropy *entropy;
    uint64_t segment_max_bytes;
    uint32_t segment_max_events;
    uint64_t step_bytes;   /* how far ahead space is kept */
    uint32_t segments_max; /* at most SEGMENTS_MAX */
};

struct segment_log;

STATUS_MUST_CHECK struct status segment_log_new(const struct segment_log_options *options,
                                                struct segment_log **ret);
void segment_log_free(struct segment_log *log); /* closes all handles; NULL is fine */
DEFINE_CLEANUP(struct segment_log, segment_log_free);

/* Recovery hands over the segments in order. `file` becomes the log's; `file_bytes` is its size, zeros behind
 * `end`. */
STATUS_MUST_CHECK struct status segment_log_adopt(struct segment_log *log, int64_t first_position,
                                                  uint64_t epoch, uint64_t end, uint64_t file_bytes,
                                                  uint32_t event_count, struct file *file);

/* With a thread that calls segment_log_wait and segment_log_prepare: appends wait for it instead of
 * preparing. */
void segment_log_use_thread(struct segment_log *log, bool on);

enum append_fate {
    FRAME_SYNCED,      /* durable */
    FRAME_NOT_WRITTEN, /* nothing of it is on the disk; the status says why */
    FRAME_UNKNOWN,     /* writing or syncing failed: no further append may follow */
};

/* Where the history stands before a frame, for the header of a segment that begins with it. */
struct log_point {
    int64_t position;
    int64_t timestamp_us;
    struct sha256 chain;
};

/*
 * Writes and syncs one frame. `frame` begins with FRAME_HEADER_BYTES for the header, which is encoded here
 * (the segment's epoch is known only now), and ends with its padding. *ret_segment is the number of the
 * segment, *ret_offset the frame's place in it. Not written with RESOURCE_EXHAUSTED: no space, may be tried
 * again; with anything else the log is not to be used any more.
 */
STATUS_MUST_CHECK struct status segment_log_append(struct segment_log *log, struct frame_header *header,
                                                   uint8_t *frame, size_t size,
                                                   const struct log_point *before, enum append_fate *ret_fate,
                                                   uint32_t *ret_segment, uint64_t *ret_offset);

/* Whether a frame of events goes into the last segment; else the next append begins one. On the appending thread. */
bool segment_log_fits(const struct segment_log *log, size_t size, uint32_t events);

/* Whether the last segment is more than seven eighths full: the next one comes into view. Any thread. The preparing thread is
 * woken when that begins. */
bool segment_log_nearly_full(struct segment_log *log);

/* One round of preparing: space in the last segment, its name, the next file, truncation of full ones. */
void segment_log_prepare(struct segment_log *log);

/* OK, or why no frame can be appended any more: preparing met something else than a full disk. */
STATUS_MUST_CHECK struct status segment_log_health(struct segment_log *log);

/*
 * OK while there is space. Else what is wanting and the remedy, until a round of preparing finds space again:
 *   RESOURCE_EXHAUSTED         ahead of need; appends still find room
 *   UNAVAILABLE/STORE_FAILED   appends are refused
 */
STATUS_MUST_CHECK struct status segment_log_space(struct segment_log *log);

/* Whether that is of another kind than when this was asked before. By the preparing thread. */
bool segment_log_space_changed(struct segment_log *log, struct status *ret);

/*
 * At a clean stop, behind the last frame and without threads: names the last segment, which segment_log_health() tells
 * when it cannot be done, and gives prepared space back to the disk, of which state/ may need some to remember the head.
 * What cannot be given back costs space and nothing else (the next start accepts zeros behind the end and removes the
 * pool), so that failure is survived on purpose.
 */
void segment_log_give_back(struct segment_log *log);

/* The preparing thread sleeps here until there is something to do, it is poked, or the time is over. */
void segment_log_wait(struct segment_log *log, int64_t timeout_ms);
void segment_log_poke(struct segment_log *log);
/* After an append and what is more urgent: wakes the preparing thread if the append has left it something to do. */
void segment_log_wake(struct segment_log *log);

/* The handle of a segment, for reading; valid until segment_log_free. */
const struct segment *segment_log_at(const struct segment_log *log, uint32_t number);
uint32_t segment_log_count(const struct segment_log *log);
/* The last segment's first position (0 = none) and the end of its last frame; on the appending thread. */
void segment_log_end(const struct segment_log *log, int64_t *ret_segment, uint64_t *ret_offset);
uint64_t segment_log_bytes(const struct segment_log *log); /* of frames and headers; any thread */
