/*
 * `strata verify`: reads an embedded store that no server holds and checks all of it: every checksum, the
 * digest of every payload, every leaf and the chain, that positions and the versions of each aggregate have
 * no gap, that no event id is there twice, that the log ends where it was remembered to end, the snapshots in
 * state/, and that the index finds every event. Writes nothing into the store.
 *
 * Long verifications can be interrupted and go on: with a checkpoint, what was read before is taken as verified if the
 * headers of its segments are still the same.
 *
 * Ownership  Borrows everything.
 * Threads    One call by one thread; callbacks come from it.
 * Blocking   Yes: it reads the whole store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/files.h"

struct clock;
struct entropy;

struct verify_report {
    int64_t head_position; /* of the last good event */
    int64_t timestamp_us;  /* its time */
    struct sha256 chain;   /* after it: two stores with equal chains hold equal events */
    int64_t aggregate_count;
    uint32_t segment_count;
    uint64_t bytes;       /* of good frames and headers */
    uint64_t total_bytes; /* that the log has, about */
    uint64_t torn_bytes;  /* behind the last good frame: a crash left them, the next start sets them aside */
    bool clean;           /* the last stop was clean */
    int64_t snapshot_count;
    int64_t index_events; /* found through the index again; those behind it are indexed at the next start */
    int64_t resumed_position; /* up to where an earlier run had verified; 0 = begun at the first event */
    char resume_refused[300]; /* why a checkpoint that was there is not used; "" = none was, or it is */
};

struct verify_options {
    const char *store_id; /* NULL = "main" */
    /* Called after every frame with what was read so far; NULL = nobody. */
    void (*on_progress)(void *context, const struct verify_report *so_far);
    /* Asked after every segment; true = write a checkpoint and stop. NULL = never. */
    bool (*wants_stop)(void *context);
    void *context;

    /* Where checkpoints and event ids that memory does not hold are kept; NULL = ids in memory, 24 bytes an event. */
    struct files *scratch;
    const char *scratch_name;    /* of the file of ids; removed at the end, unless a checkpoint needs it */
    const char *checkpoint_name; /* NULL = no checkpoints; removed when all is verified */
    int64_t checkpoint_every_ms; /* 0 = half a minute */
    size_t chunk_ids;            /* ids in memory, at least 2,048; 0 = two million */
};

/*
 * OK: everything that was acknowledged is there and unchanged. *ret is filled also on failure, up to the
 * fault.
 *   DATA_LOSS/DAMAGED    names the first fault: segment, offset or position, and what to do
 *   FAILED_PRECONDITION  another store's files, a newer format, or the history ends before the remembered head
 *   NOT_FOUND            there is no store
 *   UNAVAILABLE          a process holds it; names it
 *   CANCELLED            wants_stop was true; the checkpoint says how to go on
 */
STATUS_MUST_CHECK struct status verify_store(struct files *files, const struct verify_options *options,
                                             const struct clock *clock, const struct entropy *entropy,
                                             struct verify_report *ret);
