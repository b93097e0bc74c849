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

/* The server's time when it was last asked for. */
struct mysql_time {
    int64_t server_us;
    int64_t asked_us; /* monotonic; 0 = never */
};

/* Of a batch that is too large for one: packets that are sent one after the other. */
#define MYSQL_PACKETS_MAX 64U

/* The statements of a batch. */
struct mysql_text {
    struct buffer sql;
    size_t ends[MYSQL_PACKETS_MAX]; /* of each packet in `sql` */
    size_t packet_count;
    unsigned commit_statement; /* number of COMMIT in the last packet */
};

/* A commit on its way through the committer's thread. */
struct mysql_commit {
    const struct commit_batch *batch;
    commit_done done;
    void *context;
    struct mysql_text text;
    struct status status;       /* why it cannot take place; OK = nothing is known against it */
    struct sql_failure failure; /* what the server said */
};

/* Sends commits, reads their answers, reports them (mysql_committer.c). */
struct mysql_committer {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards all to the next blank line; a leaf */
    pthread_cond_t more;
    struct mysql_commit *waiting[2]; /* in order */
    size_t waiting_count;
    bool stopping;

    bool stood; /* the committer's thread only: the last commit took place */
};

struct mysql_store {
    struct event_store store; /* first: the engine is the store */
    struct mysql_settings settings;
    const struct clock *clock;
    struct log *log;
    uint64_t seed; /* of hash tables over names from outside */
    bool opened;   /* written before there are other threads */

    /* The writer's thread only, but while a commit is under way `writer` is the committer's. */
    struct mysql_link writer;
    struct mysql_link ahead; /* asks for facts while `writer` commits */
    struct mysql_hold hold;
    struct mysql_time time;
    struct mysql_known known;
    struct mysql_known asked_ahead; /* heads that are read while a commit is under way, for one batch */
    struct store_head last_before;  /* of the last commit, whatever became of it */
    struct store_head last_after;
    struct mysql_commit commits[2]; /* they take turns */
    size_t turn;

    struct mysql_committer committer;
    atomic_bool misjudged; /* a commit did not take place: what `known` was told of it is to be forgotten */

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
struct status mysql_store_facts_ahead(struct event_store *store, const struct facts_request *request,
                                      struct arena *arena, struct facts *ret);
void mysql_store_release(struct event_store *store);
void mysql_store_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                        void *context);
/* The statements that make the batch durable. */
STATUS_MUST_CHECK struct status mysql_text_write(struct mysql_text *text, const struct mysql_store *store,
                                                 const struct commit_batch *batch);
/* What the batch makes of heads, before it is known whether it takes place; and that it did not. */
void mysql_store_know(struct mysql_store *store, const struct commit_batch *batch);
void mysql_store_unknow(struct mysql_store *store);

/* --- the committer's thread --- */
STATUS_MUST_CHECK struct status mysql_committer_start(struct mysql_store *store);
void mysql_committer_stop(struct mysql_store *store); /* no commit may be under way */
void mysql_committer_submit(struct mysql_store *store, struct mysql_commit *commit);
/* The halves of a commit, for the committer's thread: sends its first packet, unless it is known to be in vain; then reads
 * the answers, and says what became of it. */
void mysql_commit_begin(struct mysql_store *store, struct mysql_commit *commit);
struct status mysql_commit_end(struct mysql_store *store, struct mysql_commit *commit);

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
