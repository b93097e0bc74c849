/*
 * The event store on local files: a log of checksummed frames is the truth (docs/storage-format.md),
 * everything else its projection. Answers come after fdatasync.
 *
 * Ownership  Borrows files, clock, entropy; they outlive the store.
 * Threads    As event_store.h; three of its own: one writes and syncs, one prepares space and keeps house, one
 *            writes and merges the files of the index.
 */
#pragma once

#include "base/files.h"
#include "store/event_store.h"
#include "store/snapshot_store.h"

struct clock;
struct entropy;
struct log;

struct embedded_options {
    const char *store_id;        /* default "main"; the folder below the root of `files` */
    uint64_t segment_max_bytes;  /* 0 = 256 MiB */
    uint32_t segment_max_events; /* 0 = 250,000 */
    uint32_t segments_max;       /* 0 = 65,536; a store with so many takes no more than they hold */
    uint64_t head_cache_bytes;   /* 0 = 96 MiB: heads of aggregates that were appended to lately */
    uint64_t place_cache_bytes;  /* 0 = 32 MiB: where records lie that were read lately, 8 bytes a record */
    uint32_t index_hash_bits;    /* 0 = all; tests make hashes collide. The same at each opening */
    bool read_only;              /* verify, info: takes the lock, writes nothing */
    bool accept_data_loss;       /* history ends before the remembered head: go on, record it */
    bool accept_state_loss;      /* state/ is missing beside a log: make a new one */
};

/*
 * Opens, recovers and locks. Makes an empty store when there is none (not with read_only).
 *   UNAVAILABLE          locked by another process; names it
 *   DATA_LOSS/DAMAGED    damage before the tail; names segment, offset and `strata verify`
 *   FAILED_PRECONDITION  format or store id of another; history ends before the remembered head
 */
STATUS_MUST_CHECK struct status embedded_store_open(struct files *files,
                                                    const struct embedded_options *options,
                                                    const struct clock *clock, const struct entropy *entropy,
                                                    struct log *log, struct event_store **ret);

/* The snapshot store in the same folder (state/); lives as long as the event store, closed before it. */
STATUS_MUST_CHECK struct status embedded_store_snapshots(struct event_store *store,
                                                         struct snapshot_store **ret);

/* What opening found, for the log, the banner and the tests. */
struct embedded_recovery {
    bool created;
    bool clean; /* the last stop was clean */
    int64_t head_position;
    uint64_t torn_bytes; /* kept as <segment>.torn */
    uint32_t segment_count;
};
void embedded_store_recovery(const struct event_store *store, struct embedded_recovery *ret);
