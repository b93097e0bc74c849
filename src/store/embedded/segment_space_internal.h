/*
 * The two halves of the segment log: segment_log.c appends, segment_space.c keeps space ahead. Seen by them alone.
 */
#pragma once

#include <stdatomic.h>

#include "pool_file_internal.h"
#include "segment_log_internal.h"

/* The last segment, as long as it lies under the name of its pool file. */
struct unnamed {
    bool pending;                 /* space.lock: the rest is constant while it is true */
    bool due;                     /* space.lock: its first frame is durable, so it may have its name */
    char path[STORE_PATH_BYTES];  /* of the pool file */
    struct segment_header header; /* what its first page is to be */
};

/* What is kept ready ahead of the appending thread. */
struct space {
    pthread_mutex_t lock;
    pthread_cond_t wanted; /* for the preparing thread */
    pthread_cond_t ready;  /* for the appending thread */
    bool poked;
    uint64_t asked;         /* requests made and … */
    uint64_t served;        /* … the last one that a finished round had seen */
    uint64_t used_end;      /* of the last segment */
    uint64_t prepared_end;  /* of the last segment: frames may be written below it */
    uint64_t needed_end;    /* what an append waits for; 0 = nothing */
    uint64_t next_prepared; /* size of the next file; 0 = there is none */
    uint64_t next_needed;   /* likewise waited for */
    uint64_t next_epoch;    /* of the frames that will be written into it */
    uint32_t
        next_taken; /* counts up when the file is taken; in its name, so that none is touched once taken */
    bool for_seal;  /* what is waited for is a seal: it may use the reserve */
    bool ample;     /* the disk has room for a whole segment ahead of need */
    bool refusing;  /* an append was refused for want of space, and no round has found any since */
    struct status trouble; /* of the last round */
    struct status broken;  /* the first trouble that was not one of space: appends have ended */
    struct unnamed unnamed;
};

struct segment_log {
    struct segment_log_options options;
    /* Never moves, grows at its end: a reader that knows a number may use it without a lock. */
    struct segment **segments;
    _Atomic uint32_t count;
    _Atomic uint64_t bytes;
    bool threaded;
    bool
        failed; /* the appending thread's: a frame's fate is unknown, so nothing behind the end may be touched */
    struct space space;

    /* The preparing thread's own. */
    enum status_code reported; /* of segment_log_space_changed() */
    struct file *preparing;    /* a second handle of the last segment */
    uint32_t preparing_number;
    uint32_t cut_count; /* the oldest segments, whose files end where their frames do … */
    bool cutting;       /* … and the next one's is being cut */
};

/* By the appending thread, or with space.lock held. */
static inline struct segment *last_segment(const struct segment_log *log)
{
    const uint32_t count = atomic_load_explicit(&log->count, memory_order_acquire);
    return count == 0 ? NULL : log->segments[count - 1];
}

void segment_path(const struct segment_log *log, const char *name, char ret[STORE_PATH_BYTES]);

/* Space up to `end` in the last segment; RESOURCE_EXHAUSTED when the disk is full. A seal may use the reserve. */
STATUS_MUST_CHECK struct status space_demand_end(struct segment_log *log, uint64_t end, bool for_seal);

/* A prepared file for the next segment. */
struct next_file {
    uint64_t size_bytes;
    uint64_t epoch;
    char path[STORE_PATH_BYTES];
};

/* Takes one of at least `size` bytes, once the last segment has its name. */
STATUS_MUST_CHECK struct status space_take_next(struct segment_log *log, uint64_t size,
                                                struct next_file *ret);

/* After a frame was appended: `segment` has grown. Who appends calls segment_log_wake() afterwards. */
void space_note_appended(struct segment_log *log, struct segment *segment, size_t size, uint32_t events);
