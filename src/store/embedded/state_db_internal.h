/*
 * state/state.db: what is small, changes in place and is not history. Snapshots, values of state_put() and
 * the remembered head, in SQLite (exclusive, WAL, synchronous=FULL) over struct files.
 *
 * Every put is durable when it returns. Snapshots carry a checksum of their own, since SQLite has none.
 *
 * Threads  Any: one connection behind a mutex, which is a leaf.  Blocking  Yes.
 * Errors   UNAVAILABLE/STORE_UNREACHABLE (no space: try again), UNAVAILABLE/STORE_FAILED (the disk refused,
 * read-only until restarted), DATA_LOSS/DAMAGED.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "base/arena.h"
#include "base/crypto.h"
#include "base/files.h"
#include "store/embedded/remembered_head.h"
#include "store/embedded/store_file.h"
#include "store/snapshot_store.h"

struct clock;
struct entropy;
struct state_vfs;

enum state_statement {
    STATE_HEAD_GET,
    STATE_HEAD_PUT,
    STATE_VALUE_GET,
    STATE_VALUE_PUT,
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
    STATE_STATEMENT_COUNT
};

struct state_db {
    struct state_vfs *vfs;
    char path[STORE_PATH_BYTES];
    pthread_mutex_t lock; /* guards all below */
    sqlite3 *connection;
    sqlite3_stmt *statements[STATE_STATEMENT_COUNT]; /* prepared at first use */
    struct status read_only;                         /* OK, or why nothing can be put any more */
    int64_t snapshot_count;
    int64_t snapshot_bytes;
};

enum state_open_mode {
    STATE_EXISTING,  /* NOT_FOUND when there is none */
    STATE_CREATE,    /* made when there is none; takes on the identity when it has none */
    STATE_READ_ONLY, /* as EXISTING, and writes nothing */
};

/*
 *   NOT_FOUND            there is none
 *   DATA_LOSS/DAMAGED    SQLite refuses the file
 *   FAILED_PRECONDITION  of another store or of a newer format
 */
STATUS_MUST_CHECK struct status state_db_open(struct files *files, const char *store_id,
                                              const struct store_identity *identity,
                                              enum state_open_mode mode, const struct clock *clock,
                                              const struct entropy *entropy, struct state_db **ret);
void state_db_close(struct state_db *db); /* NULL is fine */
DEFINE_CLEANUP(struct state_db, state_db_close);

/* All zero when nothing was remembered yet. */
STATUS_MUST_CHECK struct status state_db_head_get(struct state_db *db, struct remembered_head *ret);
STATUS_MUST_CHECK struct status state_db_head_put(struct state_db *db, const struct remembered_head *head);

STATUS_MUST_CHECK struct status state_db_get(struct state_db *db, struct bytes key, struct arena *arena,
                                             struct bytes *ret);
STATUS_MUST_CHECK struct status state_db_put(struct state_db *db, struct bytes key, struct bytes value);

/* For state_snapshots.c; the caller holds the lock. */
STATUS_MUST_CHECK struct status state_statement(struct state_db *db, enum state_statement which,
                                                sqlite3_stmt **ret);
STATUS_MUST_CHECK struct status state_failure(struct state_db *db, int code, const char *doing);
STATUS_MUST_CHECK struct status state_may_write(const struct state_db *db);
int state_bind(sqlite3_stmt *statement, int index, struct bytes bytes);
struct bytes state_column(sqlite3_stmt *statement, int index); /* valid until the statement moves on */

/* The snapshot store over `db`. */
STATUS_MUST_CHECK struct status state_snapshots_open(struct state_db *db, struct snapshot_store **ret);
/* Counts what is stored; called by state_db_open. */
STATUS_MUST_CHECK struct status state_snapshots_count(struct state_db *db);
