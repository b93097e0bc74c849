/*
 * A pool file, log/next.N.pool: space of zeros, durable with its name, in which the next segment begins. Its first page is
 * a segment header of position 0, which tells the epoch of the frames that will be written. The first frame makes the file
 * the log's last segment; only afterwards, beside the appends, it gets its true header and name. A crash in between leaves
 * a segment that is begun and not named: the next start names it, and whoever only reads takes it as it is.
 *
 * Threads   Any; one for a folder that is changed.
 * Blocking  Yes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"
#include "segment_format_internal.h"
#include "store/embedded/store_file.h"

/* The segment that was begun and not named. */
struct begun_segment {
    bool found;
    char name[32];          /* "next.7.pool" */
    int64_t first_position; /* as its first frame says; 0 = that cannot be read */
    uint64_t epoch;
    bool has_uuid; /* else its first page is not whole: the header that was being written over it */
    uint8_t uuid[STORE_UUID_BYTES];
};

bool pool_name_is(const char *name);

/* The first page of a new pool file, whose frames will have `epoch`; not synced. */
STATUS_MUST_CHECK struct status pool_write_first_page(struct file *file, const uint8_t uuid[STORE_UUID_BYTES],
                                                      uint64_t epoch, int64_t created_at_us);

/* Looks for it. DAMAGED when there are several, FAILED_PRECONDITION when it has another major format. */
STATUS_MUST_CHECK struct status pool_find_begun(struct files *files, const char *store_id,
                                                struct begun_segment *ret);

/* At a start, before state/ is opened, which may need the space: removes all but that. */
STATUS_MUST_CHECK struct status pool_remove_unused(struct files *files, const char *store_id);

/*
 * Makes the file at `path` the segment that `header` describes: writes the header through `file`, syncs, renames, syncs the
 * folder. May be repeated after a failure that was not one of a sync.
 */
STATUS_MUST_CHECK struct status pool_make_segment(struct files *files, const char *store_id, const char *path,
                                                  struct file *file, const struct segment_header *header);
