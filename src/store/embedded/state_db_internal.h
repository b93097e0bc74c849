/*
 * state/state.db: what is small, changes in place and is not history. Snapshots, values, leases, checkpoints and
 * the remembered head, in SQLite (exclusive, WAL, synchronous=FULL) over struct files.
 *
 * Every put is durable when it returns. All rows carry a checksum, since SQLite has none; one that does not fit is named
 * and never used.
 *
 * Threads  Any. After state_db_start() the one connection belongs to a thread of its own, see state_thread.c; before
 *          that, and without it, each call runs in its caller, one at a time.
 * Blocking Yes.
 * Errors   UNAVAILABLE/STORE_UNREACHABLE (no space: try again), UNAVAILABLE/STORE_FAILED (the disk refused),
 *          DATA_LOSS/DAMAGED. After a failed sync nothing can be put until the next start.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/crypto.h"
#include "base/files.h"
#include "store/embedded/remembered_head.h"
#include "store/embedded/store_file.h"
#include "store/event_store.h"
#include "store/snapshot_store.h"

struct clock;
struct entropy;
struct state_vfs;

enum state_statement {
    STATE_BEGIN,
    STATE_COMMIT,
    STATE_ROLLBACK,
    STATE_HEAD_GET,
    STATE_HEAD_PUT,
    STATE_VALUE_GET,
    STATE_VALUE_PUT,
    STATE_VALUE_REMOVE,
    STATE_VALUE_LIST,
    STATE_VALUE_CHECK,
    LEASE_GET,
    LEASE_PUT,
    LEASE_CHECK,
    CHECKPOINT_GET,
    CHECKPOINT_PUT,
    CHECKPOINT_REMOVE,
    CHECKPOINT_LIST,
    CHECKPOINT_CUT,
    CHECKPOINT_CHECK,
    SNAPSHOT_PUT,
    SNAPSHOT_SIZE,
    SNAPSHOT_GET_EXACT,
    SNAPSHOT_GET_BEST,
    SNAPSHOT_GET_LATEST,
    SNAPSHOT_LIST,
    SNAPSHOT_LIST_ID,
    SNAPSHOT_LIST_TYPE,
    SNAPSHOT_REMOVE,
    SNAPSHOT_SUMS,
    SNAPSHOT_ALL,
    STATE_STATEMENT_COUNT
};

struct state_call;

/* Calls that wait, in the order of their arrival. */
struct state_queue {
    struct state_call *first;
    struct state_call *last;
};

struct snapshot_sums {
    int64_t count;
    int64_t bytes;
};

struct state_db {
    struct state_vfs *vfs;
    const struct clock *clock;
    char path[STORE_PATH_BYTES];

    pthread_mutex_t lock; /* a leaf; guards: */
    pthread_cond_t work_ready;
    struct state_queue reads;
    struct state_queue writes;
    bool hurry;    /* one of the writes waits for nobody */
    bool company;  /* the last transaction was shared, or others came while it ran */
    bool stopping; /* the thread ends when all is answered */
    bool threaded;
    pthread_t thread;
    struct status trouble; /* OK, or why the last transaction failed */

    /* As of the last transaction, for any thread: who asks for one of none need not wait for the thread. */
    _Atomic int64_t snapshot_count;

    /* The thread's; without one, whoever holds `lock`: */
    sqlite3 *connection;
    sqlite3_stmt *statements[STATE_STATEMENT_COUNT]; /* prepared at first use */
    struct status read_only;                         /* OK, or why nothing can be put any more */
    bool broke_off;                                  /* SQLite failed since the transaction began */
    struct snapshot_sums sums;
    int64_t due_us; /* monotonic; not before then does the next transaction begin, if several share it */
};

enum state_open_mode {
    STATE_EXISTING, /* NOT_FOUND when there is none */
    STATE_CREATE,   /* made when there is none; takes on the identity when it has none */
    STATE_ANEW, /* the same in the place of one that was lost: epochs begin above those it can have given */
    STATE_READ_ONLY, /* as EXISTING, and writes nothing */
};

static inline bool state_mode_creates(enum state_open_mode mode)
{
    return mode == STATE_CREATE || mode == STATE_ANEW;
}

/*
 *   NOT_FOUND            there is none, or its making was interrupted
 *   DATA_LOSS/DAMAGED    SQLite refuses the file
 *   FAILED_PRECONDITION  of another store or of a newer format
 */
STATUS_MUST_CHECK struct status state_db_open(struct files *files, const char *store_id,
                                              const struct store_identity *identity,
                                              enum state_open_mode mode, const struct clock *clock,
                                              const struct entropy *entropy, struct state_db **ret);
/* Gives the connection to a thread. RESOURCE_EXHAUSTED: there is none to be had. */
STATUS_MUST_CHECK struct status state_db_start(struct state_db *db);
void state_db_close(struct state_db *db); /* NULL is fine; no call may be under way */
DEFINE_CLEANUP(struct state_db, state_db_close);

/* OK; RESOURCE_EXHAUSTED: the last put failed for a cause that is not the caller's. The next one that works ends it. */
STATUS_MUST_CHECK struct status state_db_health(struct state_db *db);

/* ---- what is stored; the functions of event_store_ops, with the same errors and those above ---- */

/* All zero when nothing was remembered yet. */
STATUS_MUST_CHECK struct status state_db_head_get(struct state_db *db, struct remembered_head *ret);
STATUS_MUST_CHECK struct status state_db_head_put(struct state_db *db, const struct remembered_head *head);

STATUS_MUST_CHECK struct status state_db_get(struct state_db *db, struct bytes key, struct arena *arena,
                                             struct bytes *ret);
STATUS_MUST_CHECK struct status state_db_put(struct state_db *db, struct bytes key, struct bytes value);
STATUS_MUST_CHECK struct status state_db_remove(struct state_db *db, struct bytes key);
STATUS_MUST_CHECK struct status state_db_list(struct state_db *db, struct bytes prefix,
                                              struct bytes after_key, state_sink sink, void *context);

STATUS_MUST_CHECK struct status state_db_lease(struct state_db *db, struct bytes name, struct bytes holder,
                                               int64_t ttl_ms, struct lease *ret);
STATUS_MUST_CHECK struct status state_db_lease_release(struct state_db *db, struct bytes name,
                                                       struct bytes holder, int64_t epoch);

STATUS_MUST_CHECK struct status state_db_checkpoint_put(struct state_db *db, struct bytes name,
                                                        int64_t position, int64_t epoch,
                                                        int64_t head_position);
STATUS_MUST_CHECK struct status state_db_checkpoint_get(struct state_db *db, struct bytes name,
                                                        struct checkpoint *ret);
STATUS_MUST_CHECK struct status state_db_checkpoint_remove(struct state_db *db, struct bytes name);
STATUS_MUST_CHECK struct status state_db_checkpoints(struct state_db *db, checkpoint_sink sink,
                                                     void *context);
/* Sets those beyond the head back to it: the end of the history was lost. *ret_count = how many. */
STATUS_MUST_CHECK struct status state_db_checkpoints_cut(struct state_db *db, int64_t head_position,
                                                         int64_t *ret_count);

/* The snapshot store over `db`. */
STATUS_MUST_CHECK struct status state_snapshots_open(struct state_db *db, struct snapshot_store **ret);

/* ---- for the files named state_*.c alone ---- */

enum state_urgency {
    STATE_READ,
    STATE_WRITE,     /* shares a transaction with others, for whom it may wait STATE_SHARE_MS */
    STATE_WRITE_NOW, /* begins one at once, and takes along what waits */
};

#define STATE_SHARE_MS  10
#define STATE_CALLS_MAX 256 /* in one transaction */

/*
 * What a call does, with the connection to itself. A write runs inside a transaction: it either writes all it has to and
 * answers OK, or answers why it refuses and has written nothing. A failure of SQLite ends the transaction for all.
 */
typedef struct status (*state_work)(struct state_db *db, void *context);
STATUS_MUST_CHECK struct status state_run(struct state_db *db, enum state_urgency urgency, state_work work,
                                          void *context);
void state_thread_stop(struct state_db *db);
unsigned state_waiting_writes(struct state_db *db); /* for tests that let calls come together */

STATUS_MUST_CHECK struct status state_statement(struct state_db *db, enum state_statement which,
                                                sqlite3_stmt **ret);
/* Makes a status of a code, and notes that SQLite failed. */
STATUS_MUST_CHECK struct status state_failure(struct state_db *db, int code, const char *doing);
int state_bind(sqlite3_stmt *statement, int index, struct bytes bytes);
struct bytes state_column(sqlite3_stmt *statement, int index); /* valid until the statement moves on */
/* Steps a statement that answers no row, and lets go of it. */
STATUS_MUST_CHECK struct status state_finish(struct state_db *db, sqlite3_stmt *statement, int code,
                                             const char *doing);
void state_release(
    sqlite3_stmt *statement); /* resets, and forgets what was bound: those bytes are the caller's */
/* DATA_LOSS/DAMAGED for the row that is `what` ("the lease") named `name`. */
STATUS_MUST_CHECK struct status state_damaged(const struct state_db *db, const char *what, struct bytes name,
                                              const char *remedy);

/* state_schema.c: makes or brings up to date the tables. */
STATUS_MUST_CHECK struct status state_schema_prepare(struct state_db *db, enum state_open_mode mode);
STATUS_MUST_CHECK struct status state_execute(struct state_db *db, const char *text, const char *doing);
STATUS_MUST_CHECK struct status state_ask_number(struct state_db *db, const char *text, int64_t *ret);

/* state_leases.c: no lease that has not been taken yet begins at `epoch` or below; called by state_db_open */
STATUS_MUST_CHECK struct status state_leases_begin_above(struct state_db *db, int64_t epoch);

/* state_snapshots.c */
STATUS_MUST_CHECK struct status state_snapshots_count(struct state_db *db); /* called by state_db_open */
/* Copies the row that a statement of snapshots stands on, and checks it. */
STATUS_MUST_CHECK struct status state_snapshot_row(const struct state_db *db, sqlite3_stmt *row,
                                                   struct arena *arena, struct snapshot *ret);
