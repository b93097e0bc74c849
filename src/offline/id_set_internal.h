/*
 * Whether any event id is there twice, in bounded memory. Of each id the first 128 bits of its SHA-256 are kept with the
 * position: two ids with equal ones have never been made, so a repetition is exact without the ids themselves. They are
 * gathered in a chunk; a full chunk is sorted and written to a scratch file as a run, and at the end all runs are merged.
 *
 * The scratch file takes 24 bytes an event, and none as long as one chunk is enough. Its runs survive an interruption:
 * they are what a checkpoint remembers.
 *
 * Ownership  id_set_free(). Borrows files.
 * Threads    One.
 * Blocking   When a chunk is written and in the merge.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/files.h"
#include "base/status.h"

#define ID_SET_CHUNK_IDS (2U * 1024 * 1024) /* 48 MiB */
#define ID_SET_RUN_BYTES 24U                /* of one id in a run */

struct id_set;

struct id_set_run {
    uint64_t offset; /* in the scratch file */
    uint64_t count;
    uint32_t crc;
};

struct id_set_options {
    struct files *files; /* where the scratch file goes; NULL = none, the chunk grows */
    const char *name;    /* of the scratch file */
    size_t chunk_ids;    /* 0 = ID_SET_CHUNK_IDS; at least 2,048 */
};

/* Continues with `runs` of an earlier set, whose scratch file must be there. */
STATUS_MUST_CHECK struct status id_set_new(const struct id_set_options *options,
                                           const struct id_set_run *runs, size_t run_count,
                                           struct id_set **ret);
void id_set_free(struct id_set *set); /* NULL is fine; leaves the scratch file */
DEFINE_CLEANUP(struct id_set, id_set_free);

STATUS_MUST_CHECK struct status id_set_add(struct id_set *set, struct bytes id, int64_t position);

/* Makes everything so far durable as runs; they are the set's until the next call that adds. */
STATUS_MUST_CHECK struct status id_set_save(struct id_set *set, const struct id_set_run **ret_runs,
                                            size_t *ret_count);

/* The first repetition: *ret_earlier and *ret_later, or zeros. DATA_LOSS when the scratch file does not read as written. */
STATUS_MUST_CHECK struct status id_set_find_repeated(struct id_set *set, int64_t *ret_earlier,
                                                     int64_t *ret_later);
