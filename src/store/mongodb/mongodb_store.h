/*
 * The event store on MongoDB, for several processes at once: an append is a document whose _id is its first position, so
 * of two processes that append behind the same head one is refused by the server, and decides again. Also the snapshot
 * store beside it. The documents: docs/decisions/0013-mongodb-documents.md.
 *
 * A server that cannot be reached is no failure of opening: the store is there, its calls answer STORE_UNREACHABLE, and
 * it goes on by itself. A commit whose answer was lost is settled by sending it again before it is answered. A batch
 * becomes visible append by append, in order: what another process wrote in between leaves its first appends.
 *
 * Ownership  Texts of the options are copied. Clock and log are borrowed and outlive the store.
 * Threads    As event_store.h says; readers share a pool of clients and wait for one, for connect_timeout_ms at most.
 * Blocking   Every call, for connect_timeout_ms and io_timeout_ms at most (a commit that is being settled: longer).
 */
#pragma once

#include "store/event_store.h"
#include "store/snapshot_store.h"

struct clock;
struct log;

struct mongodb_store_options {
    const char *uri; /* mongodb://…, with user, password, replica set, TLS */
    const char *database;
    const char *store_id; /* 1 to 64 letters, digits, '-' and '_': the collections' names begin with it */
    unsigned pool_size;   /* clients of readers; 0 = 8 */
    uint32_t connect_timeout_ms; /* also until a primary is found; 0 = 5,000 */
    uint32_t io_timeout_ms;      /* of one command; 0 = 30,000 */
    uint32_t settle_timeout_ms;  /* how long a commit of unknown fate is looked for; 0 = 15,000 */
};

/*
 * Connects, makes the indexes, looks at the server. OK also when the server cannot be reached.
 *   FAILED_PRECONDITION  a standalone server, a clock more than 2 s from ours, documents of a later version
 *   PERMISSION_DENIED    user, password or role
 *   INVALID_ARGUMENT     an option
 */
STATUS_MUST_CHECK struct status mongodb_store_open(const struct mongodb_store_options *options,
                                                   const struct clock *clock, struct log *log,
                                                   struct event_store **ret);

/* Snapshots in the same database; closed before the store. */
STATUS_MUST_CHECK struct status mongodb_store_snapshots(struct event_store *store,
                                                        struct snapshot_store **ret);
