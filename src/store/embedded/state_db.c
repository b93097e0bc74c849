#include "state_db_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "state_vfs_internal.h"

#define SNAPSHOT_COLUMNS                                                                                     \
    "SELECT aggregate_id, version, aggregate_type, state, created_at_us, position, event_digest,"            \
    " reducer_version, data, metadata, folded, crc FROM snapshot "

static const char *const statement_texts[STATE_STATEMENT_COUNT] = {
    [STATE_BEGIN] = "BEGIN",
    [STATE_COMMIT] = "COMMIT",
    [STATE_ROLLBACK] = "ROLLBACK",
    [STATE_HEAD_GET] = "SELECT position, chain, segment, end_offset, writer_epoch, clean,"
                       " crc IS strata_crc(position, chain, segment, end_offset, writer_epoch, clean)"
                       " FROM head WHERE id = 1",
    [STATE_HEAD_PUT] =
        "INSERT OR REPLACE INTO head (id, position, chain, segment, end_offset, writer_epoch, clean, crc)"
        " VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, strata_crc(?1, ?2, ?3, ?4, ?5, ?6))",
    [STATE_VALUE_GET] = "SELECT value, crc IS strata_crc(key, value) FROM value WHERE key = ?1",
    [STATE_VALUE_PUT] = "INSERT OR REPLACE INTO value (key, value, crc) VALUES (?1, ?2, strata_crc(?1, ?2))",
    [STATE_VALUE_REMOVE] = "DELETE FROM value WHERE key = ?1",
    [STATE_VALUE_LIST] = "SELECT key, value, crc IS strata_crc(key, value) FROM value"
                         " WHERE key >= ?1 AND key > ?2 ORDER BY key",
    [STATE_VALUE_CHECK] = "SELECT key, crc IS strata_crc(key, value) FROM value",
    [LEASE_GET] = "SELECT holder, epoch, ttl_us, ends_at_us,"
                  " crc IS strata_crc(name, holder, epoch, ttl_us, ends_at_us) FROM lease WHERE name = ?1",
    [LEASE_PUT] = "INSERT OR REPLACE INTO lease (name, holder, epoch, ttl_us, ends_at_us, crc)"
                  " VALUES (?1, ?2, ?3, ?4, ?5, strata_crc(?1, ?2, ?3, ?4, ?5))",
    [LEASE_CHECK] = "SELECT name, crc IS strata_crc(name, holder, epoch, ttl_us, ends_at_us) FROM lease",
    [CHECKPOINT_GET] = "SELECT position, epoch, put_at_us,"
                       " crc IS strata_crc(name, position, epoch, put_at_us) FROM checkpoint WHERE name = ?1",
    [CHECKPOINT_PUT] = "INSERT OR REPLACE INTO checkpoint (name, position, epoch, put_at_us, crc)"
                       " VALUES (?1, ?2, ?3, ?4, strata_crc(?1, ?2, ?3, ?4))",
    [CHECKPOINT_REMOVE] = "DELETE FROM checkpoint WHERE name = ?1",
    [CHECKPOINT_LIST] =
        "SELECT position, epoch, put_at_us, crc IS strata_crc(name, position, epoch, put_at_us), name"
        " FROM checkpoint WHERE name > ?1 ORDER BY name",
    [CHECKPOINT_CUT] = "UPDATE checkpoint SET position = ?1, crc = strata_crc(name, ?1, epoch, put_at_us)"
                       " WHERE position > ?1 AND crc IS strata_crc(name, position, epoch, put_at_us)",
    [CHECKPOINT_CHECK] = "SELECT name, crc IS strata_crc(name, position, epoch, put_at_us) FROM checkpoint",
    [SNAPSHOT_PUT] =
        "INSERT OR REPLACE INTO snapshot (aggregate_id, version, aggregate_type, state, created_at_us,"
        " position, event_digest, reducer_version, data, metadata, folded, crc, size_bytes)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [SNAPSHOT_SIZE] = "SELECT size_bytes FROM snapshot WHERE aggregate_id = ?1 AND version = ?2",
    [SNAPSHOT_GET_EXACT] = SNAPSHOT_COLUMNS "WHERE aggregate_id = ?1 AND version = ?2",
    [SNAPSHOT_GET_BEST] = SNAPSHOT_COLUMNS
    "WHERE aggregate_id = ?1 AND version <= ?2 AND state = 1 ORDER BY version DESC LIMIT 1",
    [SNAPSHOT_GET_LATEST] =
        SNAPSHOT_COLUMNS "WHERE aggregate_id = ?1 AND version <= ?2 ORDER BY version DESC LIMIT 1",
    [SNAPSHOT_LIST] =
        SNAPSHOT_COLUMNS "WHERE (aggregate_id, version) > (?1, ?2) ORDER BY aggregate_id, version",
    [SNAPSHOT_LIST_ID] = SNAPSHOT_COLUMNS "WHERE aggregate_id = ?4 AND (aggregate_id, version) > (?1, ?2)"
                                          " ORDER BY aggregate_id, version",
    [SNAPSHOT_LIST_TYPE] = SNAPSHOT_COLUMNS "WHERE aggregate_type = ?4 AND (aggregate_id, version) > (?1, ?2)"
                                            " ORDER BY aggregate_id, version",
    [SNAPSHOT_REMOVE] = "DELETE FROM snapshot WHERE aggregate_id = ?1 AND version = ?2",
    [SNAPSHOT_ALL] = SNAPSHOT_COLUMNS "ORDER BY rowid",
    [SNAPSHOT_SUMS] = "SELECT count(*), coalesce(sum(size_bytes), 0) FROM snapshot",
};

struct status state_failure(struct state_db *db, int code, const char *doing)
{
    const struct status cause = state_vfs_take_failure(db->vfs);
    db->broke_off = true;
    const char *what = cause.code == STATUS_OK ? sqlite3_errstr(code) : cause.message;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory while %s %s", doing, db->path);
    case SQLITE_FULL:
        return status_reason(REASON_STORE_UNREACHABLE, "%s %s found no space: %s; free some and try again",
                             doing, db->path, what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return status_reason(REASON_DAMAGED,
                             "%s is damaged (%s %s: %s); restore state/ from a backup, or start once with "
                             "--accept-state-loss after moving it away",
                             db->path, doing, db->path, what);
    case SQLITE_TOOBIG:
        return status_error(STATUS_INVALID_ARGUMENT, "%s %s: the value is larger than SQLite stores", doing,
                            db->path);
    default:
        return status_reason(REASON_STORE_FAILED, "%s %s failed: %s; look at the disk, then restart strata",
                             doing, db->path, what);
    }
}

struct status state_statement(struct state_db *db, enum state_statement which, sqlite3_stmt **ret)
{
    if (db->statements[which] == NULL) {
        const int code = sqlite3_prepare_v3(db->connection, statement_texts[which], -1,
                                            SQLITE_PREPARE_PERSISTENT, &db->statements[which], NULL);
        if (code != SQLITE_OK)
            return state_failure(db, code, "preparing a statement for");
    }
    *ret = db->statements[which];
    return status_ok();
}

int state_bind(sqlite3_stmt *statement, int index, struct bytes bytes)
{
    /* A NULL pointer would bind NULL, and the columns are NOT NULL. */
    return sqlite3_bind_blob64(statement, index, bytes.size_bytes == 0 ? "" : (const char *)bytes.data,
                               bytes.size_bytes, SQLITE_STATIC);
}

struct bytes state_column(sqlite3_stmt *statement, int index)
{
    const void *data = sqlite3_column_blob(statement, index);
    return bytes_of(data, (size_t)sqlite3_column_bytes(statement, index));
}

void state_release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

struct status state_finish(struct state_db *db, sqlite3_stmt *statement, int code, const char *doing)
{
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    state_release(statement);
    return code == SQLITE_DONE ? status_ok() : state_failure(db, code, doing);
}

struct status state_damaged(const struct state_db *db, const char *what, struct bytes name,
                            const char *remedy)
{
    return status_reason(REASON_DAMAGED, "%s is damaged: %s \"%.*s\" does not fit its checksum; %s", db->path,
                         what, BYTES_FORMAT(name), remedy);
}

struct status state_execute(struct state_db *db, const char *text, const char *doing)
{
    const int code = sqlite3_exec(db->connection, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? status_ok() : state_failure(db, code, doing);
}

struct status state_ask_number(struct state_db *db, const char *text, int64_t *ret)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->connection, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *ret = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code == SQLITE_OK ? status_ok() : state_failure(db, code, "reading");
}

/* SQLite answers with the mode that it kept when it could not have the one that was asked for, and calls it OK. */
static struct status use_wal(struct state_db *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->connection, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const bool done = code == SQLITE_ROW && bytes_equal(state_column(statement, 0), BYTES_LITERAL("wal"));
    sqlite3_finalize(statement);
    return done ? status_ok()
                : state_failure(db, code == SQLITE_ROW ? SQLITE_IOERR : code, "making the WAL of");
}

static struct status check_uuid(struct state_db *db, const struct store_identity *identity, bool adopt)
{
    if (adopt) {
        sqlite3_stmt *put = NULL;
        int code = sqlite3_prepare_v2(
            db->connection, "INSERT OR REPLACE INTO store (id, uuid) VALUES (1, ?1)", -1, &put, NULL);
        if (code == SQLITE_OK)
            code = state_bind(put, 1, bytes_of(identity->uuid, sizeof identity->uuid));
        if (code == SQLITE_OK)
            code = sqlite3_step(put);
        sqlite3_finalize(put);
        return code == SQLITE_DONE ? status_ok() : state_failure(db, code, "writing");
    }
    sqlite3_stmt *get = NULL;
    int code = sqlite3_prepare_v2(db->connection, "SELECT uuid FROM store WHERE id = 1", -1, &get, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    const bool fits = code == SQLITE_ROW &&
                      bytes_equal(state_column(get, 0), bytes_of(identity->uuid, sizeof identity->uuid));
    sqlite3_finalize(get);
    if (code == SQLITE_DONE)
        return status_error(STATUS_NOT_FOUND, "the making of %s was interrupted", db->path);
    if (code != SQLITE_ROW)
        return state_failure(db, code, "reading");
    if (!fits)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s belongs to another store than the log beside it; restore both from one backup", db->path);
    return status_ok();
}

static struct status connect(struct state_db *db, enum state_open_mode mode)
{
    static const int mode_flags[] = {
        [STATE_EXISTING] = SQLITE_OPEN_READWRITE,
        [STATE_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [STATE_ANEW] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [STATE_READ_ONLY] = SQLITE_OPEN_READONLY,
    };
    const int flags = mode_flags[mode];
    const int code =
        sqlite3_open_v2(db->path, &db->connection, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        state_vfs_name(db->vfs));
    if (code != SQLITE_OK)
        return state_failure(db, code, "opening");
    STATUS_TRY(state_execute(
        db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON",
        "setting up"));
    if (mode == STATE_READ_ONLY)
        return status_ok();
    int64_t busy = 0;
    STATUS_TRY(state_execute(db, "PRAGMA synchronous = FULL", "setting up"));
    STATUS_TRY(use_wal(db));
    /* Moves into the file what the WAL holds: after a failed sync the page cache may show a WAL that the disk
     * lacks. */
    STATUS_TRY(state_ask_number(db, "PRAGMA wal_checkpoint(TRUNCATE)", &busy));
    /* A checkpoint that could not open the WAL calls itself done: only our own files know better. */
    const struct status silent = state_vfs_failure(db->vfs);
    if (busy != 0 || silent.code != STATUS_OK)
        return state_failure(db, SQLITE_IOERR, "emptying the WAL of");
    return status_ok();
}

static struct status check_presence(struct files *files, const struct state_db *db, enum state_open_mode mode)
{
    struct file *file = NULL;
    const struct status status = files_open(files, db->path, FILE_READ, &file);
    file_close(file);
    if (status.code == STATUS_NOT_FOUND && state_mode_creates(mode))
        return status_ok();
    return status;
}

static struct status open_parts(struct files *files, const struct store_identity *identity,
                                enum state_open_mode mode, const struct clock *clock,
                                const struct entropy *entropy, struct state_db *db)
{
    STATUS_TRY(check_presence(files, db, mode));
    STATUS_TRY(state_vfs_new(files, clock, entropy, &db->vfs));
    STATUS_TRY(connect(db, mode));
    STATUS_TRY(state_schema_prepare(db, mode));
    /* No lease was ever taken twice in a microsecond, so the time lies above every epoch that was given before it. */
    if (mode == STATE_ANEW)
        STATUS_TRY(state_leases_begin_above(db, clock_now_us(clock)));
    /* Last: a database without an identity is one that was not made to its end. */
    STATUS_TRY(check_uuid(db, identity, state_mode_creates(mode)));
    sqlite3_stmt *rollback = NULL; /* now: it must not fail for want of memory when it is needed */
    STATUS_TRY(state_statement(db, STATE_ROLLBACK, &rollback));
    if (mode == STATE_READ_ONLY)
        db->read_only = status_reason(REASON_STORE_FAILED, "%s is open for reading only", db->path);
    return state_snapshots_count(db);
}

struct status state_db_open(struct files *files, const char *store_id, const struct store_identity *identity,
                            enum state_open_mode mode, const struct clock *clock,
                            const struct entropy *entropy, struct state_db **ret)
{
    CLEANUP(state_db_close_at) struct state_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for state/");
    pthread_mutex_init(&db->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&db->work_ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    db->clock = clock;
    db->read_only = status_ok();
    db->trouble = status_ok();
    snprintf(db->path, sizeof db->path, "%s/state/state.db", store_id);
    STATUS_TRY(open_parts(files, identity, mode, clock, entropy, db));
    *ret = TAKE_PTR(db);
    return status_ok();
}

void state_db_close(struct state_db *db)
{
    if (db == NULL)
        return;
    state_thread_stop(db);
    for (size_t i = 0; i < STATE_STATEMENT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    /* What was put is durable already: a failure to tidy up the WAL costs nothing but time at the next start.
     */
    (void)sqlite3_close(db->connection);
    state_vfs_free(db->vfs);
    pthread_cond_destroy(&db->work_ready);
    pthread_mutex_destroy(&db->lock);
    free(db);
}
