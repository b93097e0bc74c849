/* The store's own parts, for the files of this room. */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mysql_known_internal.h"
#include "mysql_link_internal.h"
#include "store/mysql/mysql_store.h"

#define POOL_MAX 64U
/* The least max_allowed_packet of the server that is accepted. */
#define MYSQL_PACKET_MIN_BYTES ((size_t)16 * 1024 * 1024)

/* A column of the last event of the aggregate `a`, out of one key. */
#define MYSQL_LAST_EVENT(column)                                                                                \
    "(SELECT e." column                                                                                         \
    " FROM strata_events e FORCE INDEX (by_aggregate) WHERE e.store=a.store AND e.aggregate_id=a.aggregate_id " \
    "ORDER BY e.version DESC LIMIT 1)"

/* Kinds of strata_terms. */
enum mysql_term { MYSQL_TERM_CORRELATION = 1, MYSQL_TERM_TAG = 2 };

/* The options, copied and completed. */
struct mysql_settings {
    char *host;
    uint16_t port;
    char *username;
    char *password;
    char *database;
    char *store_id;
    enum mysql_tls tls;
    char *tls_ca_file;
    unsigned pool_size;
    uint32_t connect_timeout_ms;
    uint32_t io_timeout_ms;
    uint32_t settle_timeout_ms;
    bool allow_weak_durability;
    const struct clock *lease_clock;
};

/* What facts() holds until commit() or release(): the lock on the head's row. The writer's thread only. */
struct mysql_hold {
    bool held;
    struct store_head head;
};

struct mysql_store {
    struct event_store store; /* first: the engine is the store */
    struct mysql_settings settings;
    const struct clock *clock;
    struct log *log;
    uint64_t seed; /* of hash tables over names from outside */
    bool opened;   /* written before there are other threads */

    struct mysql_link writer; /* the writer's thread only, as all to the next blank line */
    struct mysql_hold hold;
    struct mysql_known known;

    pthread_mutex_t reach_lock; /* guards all to the next blank line; a leaf */
    struct status failure;      /* OK, or why the server could not be reached last time */
    int64_t try_again_us;       /* monotonic: no attempt before; 0 = at once */
    int64_t backoff_us;

    pthread_mutex_t ready_lock; /* held while tables are made; guards the next two */
    atomic_bool ready;          /* tables are there and `number` is known */
    int64_t number;             /* of the store, first column of every key */

    pthread_mutex_t pool_lock; /* guards all to the next blank line; a leaf */
    pthread_cond_t pool_free;
    struct mysql_link pool[POOL_MAX];
    bool pool_used[POOL_MAX];

    _Atomic int64_t known_head;    /* a position that is known to be stored; any thread */
    _Atomic int64_t healthy_at_us; /* monotonic: when a probe was last answered */
    _Atomic int64_t writer_round_trips;
    _Atomic int64_t batches;
    _Atomic int64_t connects;
    _Atomic int64_t settled;
};

static inline struct mysql_store *mysql_of(struct event_store *store)
{
    return (struct mysql_store *)store;
}

struct status mysql_no_memory(void);

/* --- whether the server can be reached (mysql_reach.c) --- */
/* OK = try; else the last failure, until it is time to try again. */
STATUS_MUST_CHECK struct status mysql_reach_may_try(struct mysql_store *store);
void mysql_reach_failed(struct mysql_store *store, const struct status *why); /* to connect */
void mysql_reach_lost(struct mysql_store *store,
                      const struct status *why); /* a connection; the next try is at once */
void mysql_reach_succeeded(struct mysql_store *store);
STATUS_MUST_CHECK struct status mysql_reach_status(struct mysql_store *store);

/* --- tables and settings (mysql_schema.c) --- */
/* Connects the link; the first one makes or migrates the tables. A writing link checks the server's settings. */
STATUS_MUST_CHECK struct status mysql_store_ready(struct mysql_store *store, struct mysql_link *link);

/* --- the pool (mysql_pool.c) --- */
/* Waits for a connection that nobody uses, as long as one may take to be made; then STORE_UNREACHABLE. */
STATUS_MUST_CHECK struct status mysql_pool_take(struct mysql_store *store, struct mysql_link **ret);
void mysql_pool_give(struct mysql_store *store, struct mysql_link *link);

/*
 * Runs what `write` writes on a connection of the pool, once more on a new one when the connection is found to be lost:
 * for statements that may be repeated. `take` begins anew with statement 0 then: `restart` (may be NULL) forgets what it
 * has taken.
 */
struct mysql_call {
    void (*write)(void *context, struct mysql_link *link);
    sql_take take;                  /* NULL = no rows are wanted */
    void (*restart)(void *context); /* before each attempt */
    void *context;
};
STATUS_MUST_CHECK struct status mysql_call_run(struct mysql_store *store, const struct mysql_call *call);

/* --- operations --- */
struct status mysql_store_facts(struct event_store *store, const struct facts_request *request,
                                struct arena *arena, struct facts *ret);
void mysql_store_release(struct event_store *store);
void mysql_store_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                        void *context);
/*
 * Writes the packet that makes the batch durable; *ret_commit_statement is the number of its COMMIT. Of a batch that is
 * too large for one, all but the last are sent.
 */
STATUS_MUST_CHECK struct status mysql_write_batch(struct mysql_link *link, const struct commit_batch *batch,
                                                  unsigned *ret_commit_statement);
struct status mysql_head_row(const struct sql_row *row, struct store_head *ret);

struct status mysql_store_read(struct event_store *store, const struct read_query *query, record_sink sink,
                               void *context);
struct status mysql_store_head(struct event_store *store, struct store_head *ret);
struct status mysql_store_aggregate(struct event_store *store, struct bytes id, struct arena *arena,
                                    struct aggregate_head *ret);
struct status mysql_store_aggregates(struct event_store *store, struct bytes type,
                                     int64_t after_first_position, aggregate_sink sink, void *context);
struct status mysql_store_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position);
struct status mysql_store_find_time(struct event_store *store, int64_t time_us, int64_t *ret_position);
struct status mysql_store_stats(struct event_store *store, struct arena *arena,
                                struct event_store_stats *ret);

struct status mysql_store_state_get(struct event_store *store, struct bytes key, struct arena *arena,
                                    struct bytes *ret);
struct status mysql_store_state_put(struct event_store *store, struct bytes key, struct bytes value);
struct status mysql_store_state_remove(struct event_store *store, struct bytes key);
struct status mysql_store_state_swap(struct event_store *store, struct bytes key,
                                     const struct bytes *expected, struct bytes value, bool *ret_put);
struct status mysql_store_state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                     state_sink sink, void *context);
struct status mysql_store_lease(struct event_store *store, struct bytes name, struct bytes holder,
                                int64_t ttl_ms, struct lease *ret);
struct status mysql_store_lease_release(struct event_store *store, struct bytes name, struct bytes holder,
                                        int64_t epoch);
struct status mysql_store_lease_forget(struct event_store *store, struct bytes name, struct bytes holder,
                                       int64_t epoch);
struct status mysql_store_checkpoint_put(struct event_store *store, struct bytes name, int64_t position,
                                         int64_t epoch);
struct status mysql_store_checkpoint_get(struct event_store *store, struct bytes name,
                                         struct checkpoint *ret);
struct status mysql_store_checkpoint_remove(struct event_store *store, struct bytes name);
struct status mysql_store_checkpoints(struct event_store *store, checkpoint_sink sink, void *context);
