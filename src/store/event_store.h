/*
 * An event store engine: reads facts, writes accepted records atomically, moves the head. It knows no rule of
 * the product; those live in decide.c, the same for all engines. Every engine passes tests/contract unchanged.
 *
 * Threads    facts(), facts_ahead(), release() and commit() are called by one writer thread. All others by any thread, also while a
 *            commit is under way: they see only what is durable. on_done comes from a thread of the engine's, or from
 *            within commit().
 * Blocking   Everything may wait for the disk or the network, but for the commit() of a `pipelined` engine or one with
 *            facts_ahead().
 * Errors     UNAVAILABLE/STORE_UNREACHABLE (nothing happened, try again), UNAVAILABLE/STORE_FAILED (read-only from now
 *            on), DATA_LOSS/DAMAGED, DATA_LOSS/POSITION_MISSING. A commit whose fate is not known answers
 *            UNKNOWN/OUTCOME_UNKNOWN.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"
#include "record/record.h"

struct event_store;

#define STATE_KEY_MAX_BYTES   1024U
#define STATE_VALUE_MAX_BYTES (16U * 1024U * 1024U)
#define STATE_SWAP_MAX_BYTES  (64U * 1024U)
#define LEASE_NAME_MAX_BYTES  255U
#define LEASE_TTL_MAX_MS      INT64_C(86400000) /* a day */

struct store_head {
    int64_t position; /* of the last event; 0 = empty */
    int64_t timestamp_us;
    struct sha256 chain;
    int64_t aggregate_count;
};

struct aggregate_head {
    bool exists;
    struct bytes type;
    int32_t version;        /* 0 = created and nothing since */
    int64_t first_position; /* of its first event */
    int64_t position;       /* of its last event */
    int32_t event_count;    /* stored events, creation included */
    /* NULL; or, in facts, why all this is not known: concerns who names the aggregate and nobody else in the batch. From
     * the arena. */
    const struct status *unreadable;
};

/* What the writer wants to know before it decides a batch; both lists without repetitions. */
struct facts_request {
    const struct bytes *aggregate_ids;
    size_t aggregate_count;
    const struct bytes *event_ids; /* only ids that may exist: not those the server just made */
    size_t event_id_count;
};

/*
 * An append that already holds a named event id: its records, all, in order. The id is free when there are none and
 * nothing is said to be unreadable.
 */
struct earlier_append {
    const struct record *records;
    size_t count;
    /* NULL, or why records of it cannot be read. Concerns who named the id and nobody else in the batch, so facts()
     * answers OK all the same. From the arena. */
    const struct status *unreadable;
};

struct facts {
    struct store_head head;
    int64_t
        now_us; /* by the clock that all processes share which write to the store; 0 = there is none but the writer's */
    /* As facts_request.aggregate_ids; positions and event_count need not be filled: no rule asks for them. */
    struct aggregate_head *heads;
    struct earlier_append *earlier; /* as facts_request.event_ids */
};

/* One accepted append inside a commit. */
struct commit_append {
    int64_t first_position;
    const struct record *records;
    const struct event_fields *fields; /* views of the same records */
    size_t count;
    struct sha256 chain_after;
    int64_t aggregate_count_after; /* of the store; for who is told of a batch that was written in part */
};

/* A group commit: all of it or nothing becomes durable and visible, or, where engines say so, its first appends. Lives
 * until on_done returns. */
struct commit_batch {
    struct store_head before; /* the engine checks that it still stands there */
    struct store_head after;
    const struct commit_append *appends;
    size_t append_count;
    size_t record_count;
    size_t record_bytes;
    /* NULL, or where an engine that is not `pipelined` says with ABORTED how many of the first appends became durable
     * all the same, because another process took the position of the next one. 0 when it is not set. */
    size_t *ret_written;
    bool ahead; /* it was decided on facts_ahead() */
};

typedef void (*commit_done)(void *context, const struct status *status);

enum read_by {
    READ_BY_POSITION,       /* all events */
    READ_BY_AGGREGATE,      /* `key` = aggregate id; from_version/to_version apply */
    READ_BY_TYPE,           /* `key` = event type */
    READ_BY_AGGREGATE_TYPE, /* `key` = aggregate type */
    READ_BY_CORRELATION,    /* `key` = correlation id */
    READ_BY_TAG,            /* `key` = one tag */
};

struct read_query {
    enum read_by by;
    struct bytes key;
    int64_t after_position; /* exclusive */
    int64_t to_position;    /* inclusive; 0 = the head when the read begins */
    int32_t from_version;   /* inclusive, READ_BY_AGGREGATE */
    int32_t to_version;     /* inclusive; INT32_MAX = no bound */
    bool backward;          /* the same interval, delivered from its end */
};

/* Gets one record, valid during the call; false ends the read (with OK). */
typedef bool (*record_sink)(void *context, int64_t position, struct record record);

/* Gets one aggregate, valid during the call; false ends the listing. */
typedef bool (*aggregate_sink)(void *context, struct bytes id, const struct aggregate_head *head);

struct type_count {
    struct bytes type;
    int64_t count;
};

struct event_store_stats {
    const char *engine;         /* "memory", "embedded", … */
    int64_t event_count;        /* domain events */
    int64_t system_event_count; /* '$…' events */
    int64_t size_bytes;
    const struct type_count *events_by_type; /* from the arena */
    size_t event_type_count;
    const struct type_count *aggregates_by_type;
    size_t aggregate_type_count;
};

/* Gets one value of state, valid during the call; false ends the listing. */
typedef bool (*state_sink)(void *context, struct bytes key, struct bytes value);

/* That one holder does something alone for a while. */
struct lease {
    int64_t epoch; /* grows by one whenever the lease is taken anew, never comes twice; from 1, or higher */
    int64_t ends_at_us; /* by the store's clock */
};

/* How far a consumer has come: everything up to `position` is done. */
struct checkpoint {
    int64_t position;
    int64_t epoch;     /* of the lease under which it was put; 0 = of none */
    int64_t put_at_us; /* by the store's clock */
};

/* Gets one checkpoint, valid during the call; false ends the listing. */
typedef bool (*checkpoint_sink)(void *context, struct bytes name, const struct checkpoint *checkpoint);

struct event_store_ops {
    struct status (*facts)(struct event_store *store, const struct facts_request *request,
                           struct arena *arena, struct facts *ret);
    /*
     * What facts() will say if the commit before takes place (it may still be under way) and no other process appends
     * until the next one: decided on it is a commit with `ahead`, whose engine makes sure that it was so, else answers
     * ABORTED and has written nothing. The head, and what else that commit changes, may be those before it or after it.
     * Holds nothing. ABORTED: others have appended already. NULL = the engine cannot.
     */
    struct status (*facts_ahead)(struct event_store *store, const struct facts_request *request,
                                 struct arena *arena, struct facts *ret);
    /*
     * Lets go what facts() holds of the store (the lock on its head): the batch has nothing to write. Harmless when
     * nothing is held; NULL = facts() never holds anything.
     */
    void (*release)(struct event_store *store);
    /*
     * Starts a commit; done is called exactly once. The next commit comes only after it, but for one with `ahead`, which
     * may be handed over while the one before is under way: it is begun only when that took place, and reported after it.
     * ABORTED, from engines that are not `pipelined`: another process was first, or what facts() held was lost; nothing was
     * written (but see ret_written), and the batch wants to be decided on new facts.
     */
    void (*commit)(struct event_store *store, const struct commit_batch *batch, commit_done done,
                   void *context);
    struct status (*read)(struct event_store *store, const struct read_query *query, record_sink sink,
                          void *context);
    struct status (*head)(struct event_store *store, struct store_head *ret);
    /* exists = false when unknown; texts from `arena`. */
    struct status (*aggregate)(struct event_store *store, struct bytes id, struct arena *arena,
                               struct aggregate_head *ret);
    /* Aggregates in order of their first event, after `after_first_position`; `type` empty = all. */
    struct status (*aggregates)(struct event_store *store, struct bytes type, int64_t after_first_position,
                                aggregate_sink sink, void *context);
    struct status (*find_id)(struct event_store *store, struct bytes event_id,
                             int64_t *ret_position); /* 0 = none */
    /* The greatest position with timestamp ≤ time_us; 0 = none. */
    struct status (*find_time)(struct event_store *store, int64_t time_us, int64_t *ret_position);
    struct status (*stats)(struct event_store *store, struct arena *arena, struct event_store_stats *ret);

    /*
     * Small values beside the events (operations, journals), durable when the call returns. Keys are compared as bytes.
     * get: NOT_FOUND leaves ret alone. put: INVALID_ARGUMENT for a key of 0 or over STATE_KEY_MAX_BYTES bytes or a value
     * of over STATE_VALUE_MAX_BYTES. remove: one that is not there is no error. list: keys that begin with `prefix` and
     * are greater than `after_key` (empty = from the first), in order.
     */
    struct status (*state_get)(struct event_store *store, struct bytes key, struct arena *arena,
                               struct bytes *ret);
    struct status (*state_put)(struct event_store *store, struct bytes key, struct bytes value);
    struct status (*state_remove)(struct event_store *store, struct bytes key);
    /*
     * Puts `value` if what is stored is `expected` (NULL: if nothing is), of which it differs; *ret_put says whether. Of
     * several that expect the same one puts. NULL: of an engine that one process has to itself. INVALID_ARGUMENT also for a
     * value of over STATE_SWAP_MAX_BYTES. One whose answer was lost may say false and have put it.
     */
    struct status (*state_swap)(struct event_store *store, struct bytes key, const struct bytes *expected,
                                struct bytes value, bool *ret_put);
    struct status (*state_list)(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                state_sink sink, void *context);

    /*
     * Takes the lease `name` for `holder`, or renews it: until ttl_ms from now. The epoch stays while the same holder
     * renews in time, and grows by one when the holder changes, and when the lease ended or was released in between. It
     * outlives restarts. What is done under a lease carries the epoch, so that a holder who was held up and is late can
     * be told from his successor. A holder's name must be new with each start of a program: under the old one it would
     * renew what its former self had. A clock that is set back prolongs a lease by its ttl at most.
     *   ABORTED           another holder has it; the message names him and the end, retry_after_ms is the wait
     *   INVALID_ARGUMENT  a name of 0 or over LEASE_NAME_MAX_BYTES bytes, ttl_ms outside 1 .. LEASE_TTL_MAX_MS
     */
    struct status (*lease)(struct event_store *store, struct bytes name, struct bytes holder, int64_t ttl_ms,
                           struct lease *ret);
    /* Ends the lease at once if `holder` has it at `epoch`; else nothing is left to do, and that is no error. */
    struct status (*lease_release)(struct event_store *store, struct bytes name, struct bytes holder,
                                   int64_t epoch);
    /*
     * The same, and nothing is left that says that there was such a lease: its next epoch would be 1. So only of a name
     * that is never wanted again and has no checkpoint. NULL as state_swap.
     */
    struct status (*lease_forget)(struct event_store *store, struct bytes name, struct bytes holder,
                                  int64_t epoch);

    /*
     * Remembers how far consumer `name` has come, durably; at the epoch of the lease that it works under, or 0. The lease
     * is that of the same name, if there is one.
     *   FAILED_PRECONDITION  `epoch` is older than the stored checkpoint's, or than the lease's: somebody else took
     *                        over, and the caller must stop
     *   OUT_OF_RANGE         beyond the head: what comes there would be passed over. Below the stored position at the
     *                        same epoch: acknowledgements came out of order. Only a newer epoch may set it back, to read
     *                        again on purpose (without leases: remove it first)
     *   INVALID_ARGUMENT     a bad name, a negative number
     */
    struct status (*checkpoint_put)(struct event_store *store, struct bytes name, int64_t position,
                                    int64_t epoch);
    /* NOT_FOUND leaves ret alone. Never beyond the head: a checkpoint ahead of a history whose end was lost is set
     * back when the store is opened. */
    struct status (*checkpoint_get)(struct event_store *store, struct bytes name, struct checkpoint *ret);
    struct status (*checkpoint_remove)(struct event_store *store, struct bytes name); /* none: no error */
    struct status (*checkpoints)(struct event_store *store, checkpoint_sink sink,
                                 void *context); /* all, by name */

    /* OK; RESOURCE_EXHAUSTED: appends go on, but what they need runs out; else why the store takes no appends. */
    struct status (*health)(struct event_store *store);
    void (*close)(struct event_store *store); /* no call may be under way; a clean stop */
};

struct event_store {
    const struct event_store_ops *ops; /* the engine's own fields follow */
    /*
     * This process has the store to itself: the next batch may be decided while this one syncs, and after a commit of
     * unknown fate no other is taken. Else several processes may append: each batch is decided between the engine's facts
     * and its commit, or on facts_ahead(), and a commit of unknown fate ends nothing, since the next facts show what became
     * of it.
     */
    bool pipelined;
};

static inline void event_store_close(struct event_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}
DEFINE_CLEANUP(struct event_store, event_store_close);
