/*
 * `strata verify`: reads an embedded store that no server holds and checks all of it: every checksum, the
 * digest of every payload, every leaf and the chain, that positions and the versions of each aggregate have
 * no gap, and that the log ends where it was remembered to end. Writes nothing.
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
    uint64_t bytes;      /* of good frames and headers */
    uint64_t torn_bytes; /* behind the last good frame: a crash left them, the next start sets them aside */
    bool clean;          /* the last stop was clean */
};

struct verify_options {
    const char *store_id; /* NULL = "main" */
    /* Called after every frame with what was read so far; NULL = nobody. */
    void (*on_progress)(void *context, const struct verify_report *so_far);
    void *context;
};

/*
 * OK: everything that was acknowledged is there and unchanged. *ret is filled also on failure, up to the
 * fault. DATA_LOSS/DAMAGED    names the first fault: segment, offset or position, and what to do
 *   FAILED_PRECONDITION  another store's files, a newer format, or the history ends before the remembered
 * head NOT_FOUND            there is no store UNAVAILABLE          a process holds it; names it
 */
STATUS_MUST_CHECK struct status verify_store(struct files *files, const struct verify_options *options,
                                             const struct clock *clock, const struct entropy *entropy,
                                             struct verify_report *ret);
