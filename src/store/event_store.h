/*
 * An event store engine: reads facts, writes accepted records atomically, moves the head. It knows no rule of
 * the product; those live in decide.c, the same for all engines. Every engine passes tests/contract unchanged.
 *
 * Threads    facts() and commit() are called by one writer thread. All others by any thread, also while a commit
 *            is under way: they see only what is durable. on_done comes from a thread of the engine's.
 * Blocking   Everything but commit() may wait for the disk or the network.
 * Errors     UNAVAILABLE/STORE_UNREACHABLE (try again), UNAVAILABLE/STORE_FAILED (read-only from now on),
 *            DATA_LOSS/DAMAGED, DATA_LOSS/POSITION_MISSING. A commit whose fate is not known answers
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
    struct aggregate_head *heads;   /* as facts_request.aggregate_ids */
    struct earlier_append *earlier; /* as facts_request.event_ids */
};

/* One accepted append inside a commit. */
struct commit_append {
    int64_t first_position;
    const struct record *records;
    const struct event_fields *fields; /* views of the same records */
    size_t count;
    struct sha256 chain_after;
};

/* A group commit: all of it or nothing becomes durable and visible. Lives until on_done returns. */
struct commit_batch {
    struct store_head before; /* the engine checks that it still stands there */
    struct store_head after;
    const struct commit_append *appends;
    size_t append_count;
    size_t record_count;
    size_t record_bytes;
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

struct event_store_ops {
    struct status (*facts)(struct event_store *store, const struct facts_request *request,
                           struct arena *arena, struct facts *ret);
    /* Starts a commit; done is called exactly once. The next commit comes only after it. */
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
    /* Small durable values beside the events (checkpoints, operations). NOT_FOUND leaves ret alone. */
    struct status (*state_get)(struct event_store *store, struct bytes key, struct arena *arena,
                               struct bytes *ret);
    struct status (*state_put)(struct event_store *store, struct bytes key, struct bytes value);
    /* OK, or why the store takes no appends any more. */
    struct status (*health)(struct event_store *store);
    void (*close)(struct event_store *store); /* no call may be under way; a clean stop */
};

struct event_store {
    const struct event_store_ops *ops; /* the engine's own fields follow */
    bool pipelined;                    /* the next batch may be decided while this one syncs */
};

static inline void event_store_close(struct event_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}
DEFINE_CLEANUP(struct event_store, event_store_close);
