/*
 * What a verification that was interrupted knows: the segments that it has read, the versions of all aggregates after
 * them, the runs of event ids in the scratch file beside it. Written whole (temporary file, sync, rename), so that there is
 * the former one or the new one.
 *
 *   magic "STRATAVC", format u32, uuid 16, position and time i64, chain 32, writer epoch u64, sealed u8, next segment i64,
 *   remembered position i64, chain 32, seen u8, number of segments u32, of runs u32, of aggregates u64; each segment:
 *   first position i64, epoch u64, chain 32; each run: offset u64, count u64, CRC u32; each aggregate: version i32, length
 *   u16, id; CRC-32C of all before it u32
 *
 * Ownership  verify_checkpoint_done() frees what was read.
 * Threads    One.
 * Blocking   Yes.
 */
#pragma once

#include "id_set_internal.h"
#include "store_reading_internal.h"
#include "version_table_internal.h"

/* A segment that was read whole, as its header has it. */
struct verified_segment {
    int64_t first_position;
    uint64_t epoch;
    struct sha256 chain; /* before it */
};

struct verify_checkpoint {
    uint8_t uuid[STORE_IDENTITY_UUID_BYTES];
    struct log_resume resume;
    /* The remembered head at that time, and whether the log had passed it: it may lie in what is not read again. */
    int64_t remembered_position;
    struct sha256 remembered_chain;
    bool remembered_seen;
    struct buffer segments; /* of struct verified_segment */
    struct buffer runs;     /* of struct id_set_run */
};

static inline size_t verify_checkpoint_segment_count(const struct verify_checkpoint *checkpoint)
{
    return checkpoint->segments.size_bytes / sizeof(struct verified_segment);
}

STATUS_MUST_CHECK struct status verify_checkpoint_write(struct files *files, const char *name,
                                                        const struct verify_checkpoint *checkpoint,
                                                        const struct version_table *versions);

/* NOT_FOUND when there is none; DATA_LOSS when it does not read as written. Fills the empty table. */
STATUS_MUST_CHECK struct status verify_checkpoint_read(struct files *files, const char *name,
                                                       struct version_table *versions,
                                                       struct verify_checkpoint *ret);
void verify_checkpoint_done(struct verify_checkpoint *checkpoint);
