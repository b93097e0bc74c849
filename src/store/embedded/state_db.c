#include "state_db_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "state_vfs_internal.h"

#define STATE_FORMAT         1
#define STATE_APPLICATION_ID 0x53747261 /* "Stra", so that file(1) and others can tell */

/* docs/storage-format.md describes the tables. */
static const char schema[] =
    "BEGIN;"
    "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), uuid BLOB NOT NULL);"
    "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL, chain BLOB NOT "
    "NULL,"
    " segment INTEGER NOT NULL, end_offset INTEGER NOT NULL, writer_epoch INTEGER NOT NULL,"
    " clean INTEGER NOT NULL);"
    "CREATE TABLE value (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE snapshot (aggregate_id BLOB NOT NULL, version INTEGER NOT NULL, aggregate_type BLOB NOT "
    "NULL,"
    " state INTEGER NOT NULL, created_at_us INTEGER NOT NULL, position INTEGER NOT NULL,"
    " event_digest BLOB NOT NULL, reducer_version INTEGER NOT NULL, data BLOB NOT NULL, metadata BLOB NOT "
    "NULL,"
    " folded BLOB NOT NULL, size_bytes INTEGER NOT NULL, crc INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX snapshot_key ON snapshot (aggregate_id, version);"
    "CREATE INDEX snapshot_sizes ON snapshot (size_bytes);"
    "CREATE INDEX snapshot_by_type ON snapshot (aggregate_type, aggregate_id, version);"
    "PRAGMA application_id = 1400140385;"
    "PRAGMA user_version = 1;"
    "COMMIT;";
static_assert(STATE_APPLICATION_ID == 1400140385, "the number in the schema");

#define SNAPSHOT_COLUMNS                                                                                     \
    "SELECT aggregate_id, version, aggregate_type, state, created_at_us, position, event_digest,"            \
    " reducer_version, data, metadata, folded, crc FROM snapshot "

static const char *const statement_texts[STATE_STATEMENT_COUNT] = {
    [STATE_HEAD_GET] =
        "SELECT position, chain, segment, end_offset, writer_epoch, clean FROM head WHERE id = 1",
    [STATE_HEAD_PUT] =
        "INSERT OR REPLACE INTO head (id, position, chain, segment, end_offset, writer_epoch, clean)"
        " VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
    [STATE_VALUE_GET] = "SELECT value FROM value WHERE key = ?1",
    [STATE_VALUE_PUT] = "INSERT OR REPLACE INTO value (key, value) VALUES (?1, ?2)",
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
        SNAPSHOT_COLUMNS "WHERE (aggregate_id, version) > (?1, ?2) ORDER BY aggregate_id, version LIMIT ?3",
    [SNAPSHOT_LIST_ID] = SNAPSHOT_COLUMNS "WHERE aggregate_id = ?4 AND (aggregate_id, version) > (?1, ?2)"
                                          " ORDER BY aggregate_id, version LIMIT ?3",
    [SNAPSHOT_LIST_TYPE] = SNAPSHOT_COLUMNS "WHERE aggregate_type = ?4 AND (aggregate_id, version) > (?1, ?2)"
                                            " ORDER BY aggregate_id, version LIMIT ?3",
    [SNAPSHOT_REMOVE] = "DELETE FROM snapshot WHERE aggregate_id = ?1 AND version = ?2",
    [SNAPSHOT_SUMS] = "SELECT count(*), coalesce(sum(size_bytes), 0) FROM snapshot",
};

struct status state_failure(struct state_db *db, int code, const char *doing)
{
    const struct status cause = state_vfs_take_failure(db->vfs);
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

struct status state_may_write(const struct state_db *db)
{
    return db->read_only;
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

static struct status execute(struct state_db *db, const char *text, const char *doing)
{
    const int code = sqlite3_exec(db->connection, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? status_ok() : state_failure(db, code, doing);
}

static struct status ask_number(struct state_db *db, const char *text, int64_t *ret)
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
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return state_failure(db, code, "reading");
    if (!fits)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s belongs to another store than the log beside it; restore both from one backup", db->path);
    return status_ok();
}

static struct status prepare_tables(struct state_db *db, const struct store_identity *identity,
                                    enum state_open_mode mode)
{
    int64_t format = 0;
    STATUS_TRY(ask_number(db, "PRAGMA user_version", &format));
    if (format == 0 && mode == STATE_CREATE)
        STATUS_TRY(execute(db, schema, "making the tables of"));
    else if (format != STATE_FORMAT)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s has format version %" PRId64 " and this program reads %d; use a newer strata",
                            db->path, format, STATE_FORMAT);
    /* With STATE_CREATE the identity is just being made: see open_or_create() of the store. */
    return check_uuid(db, identity, mode == STATE_CREATE);
}

static struct status connect(struct state_db *db, enum state_open_mode mode)
{
    const int flags = mode == STATE_CREATE     ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                      : mode == STATE_EXISTING ? SQLITE_OPEN_READWRITE
                                               : SQLITE_OPEN_READONLY;
    const int code =
        sqlite3_open_v2(db->path, &db->connection, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        state_vfs_name(db->vfs));
    if (code != SQLITE_OK)
        return state_failure(db, code, "opening");
    STATUS_TRY(
        execute(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON",
                "setting up"));
    if (mode == STATE_READ_ONLY)
        return status_ok();
    int64_t busy = 0;
    STATUS_TRY(execute(db, "PRAGMA synchronous = FULL", "setting up"));
    STATUS_TRY(use_wal(db));
    /* Moves into the file what the WAL holds: after a failed sync the page cache may show a WAL that the disk
     * lacks. */
    STATUS_TRY(ask_number(db, "PRAGMA wal_checkpoint(TRUNCATE)", &busy));
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
    if (status.code == STATUS_NOT_FOUND && mode == STATE_CREATE)
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
    STATUS_TRY(prepare_tables(db, identity, mode));
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
    db->read_only = status_ok();
    snprintf(db->path, sizeof db->path, "%s/state/state.db", store_id);
    STATUS_TRY(open_parts(files, identity, mode, clock, entropy, db));
    *ret = TAKE_PTR(db);
    return status_ok();
}

void state_db_close(struct state_db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < STATE_STATEMENT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    /* What was put is durable already: a failure to tidy up the WAL costs nothing but time at the next start.
     */
    (void)sqlite3_close(db->connection);
    state_vfs_free(db->vfs);
    pthread_mutex_destroy(&db->lock);
    free(db);
}

static struct status head_get(struct state_db *db, struct remembered_head *ret)
{
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, STATE_HEAD_GET, &get));
    const int code = sqlite3_step(get);
    *ret = (struct remembered_head){0};
    struct status status = status_ok();
    if (code == SQLITE_ROW) {
        const struct bytes chain = state_column(get, 1);
        ret->position = sqlite3_column_int64(get, 0);
        ret->segment = sqlite3_column_int64(get, 2);
        ret->end_offset = (uint64_t)sqlite3_column_int64(get, 3);
        ret->writer_epoch = (uint64_t)sqlite3_column_int64(get, 4);
        ret->clean = sqlite3_column_int(get, 5) != 0;
        if (chain.size_bytes == SHA256_BYTES)
            memcpy(ret->chain.bytes, chain.data, SHA256_BYTES);
        else
            status = state_failure(db, SQLITE_CORRUPT, "reading the remembered head from");
    } else if (code != SQLITE_DONE) {
        status = state_failure(db, code, "reading the remembered head from");
    }
    sqlite3_reset(get);
    return status;
}

struct status state_db_head_get(struct state_db *db, struct remembered_head *ret)
{
    pthread_mutex_lock(&db->lock);
    const struct status status = head_get(db, ret);
    pthread_mutex_unlock(&db->lock);
    return status;
}

static struct status head_put(struct state_db *db, const struct remembered_head *head)
{
    STATUS_TRY(state_may_write(db));
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, STATE_HEAD_PUT, &put));
    sqlite3_bind_int64(put, 1, head->position);
    sqlite3_bind_int64(put, 3, head->segment);
    sqlite3_bind_int64(put, 4, (int64_t)head->end_offset);
    sqlite3_bind_int64(put, 5, (int64_t)head->writer_epoch);
    sqlite3_bind_int(put, 6, head->clean);
    int code = state_bind(put, 2, bytes_of(head->chain.bytes, SHA256_BYTES));
    if (code == SQLITE_OK)
        code = sqlite3_step(put);
    sqlite3_reset(put);
    return code == SQLITE_DONE ? status_ok() : state_failure(db, code, "writing the remembered head to");
}

struct status state_db_head_put(struct state_db *db, const struct remembered_head *head)
{
    pthread_mutex_lock(&db->lock);
    const struct status status = head_put(db, head);
    pthread_mutex_unlock(&db->lock);
    return status;
}

static struct status value_get(struct state_db *db, struct bytes key, struct arena *arena, struct bytes *ret)
{
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_GET, &get));
    int code = state_bind(get, 1, key);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    struct status status = status_ok();
    if (code == SQLITE_ROW) {
        const struct bytes value = state_column(get, 0);
        const struct bytes copy = arena_bytes(arena, value);
        if (copy.data == NULL && value.size_bytes > 0)
            status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a value of %zu bytes",
                                  value.size_bytes);
        else
            *ret = copy;
    } else if (code == SQLITE_DONE) {
        status = status_error(STATUS_NOT_FOUND, "no value is stored under \"%.*s\"", BYTES_FORMAT(key));
    } else {
        status = state_failure(db, code, "reading a value from");
    }
    sqlite3_reset(get);
    return status;
}

struct status state_db_get(struct state_db *db, struct bytes key, struct arena *arena, struct bytes *ret)
{
    pthread_mutex_lock(&db->lock);
    const struct status status = value_get(db, key, arena, ret);
    pthread_mutex_unlock(&db->lock);
    return status;
}

static struct status value_put(struct state_db *db, struct bytes key, struct bytes value)
{
    STATUS_TRY(state_may_write(db));
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_PUT, &put));
    int code = state_bind(put, 1, key);
    if (code == SQLITE_OK)
        code = state_bind(put, 2, value);
    if (code == SQLITE_OK)
        code = sqlite3_step(put);
    sqlite3_reset(put);
    sqlite3_clear_bindings(put); /* the bytes are the caller's */
    return code == SQLITE_DONE ? status_ok() : state_failure(db, code, "writing a value to");
}

struct status state_db_put(struct state_db *db, struct bytes key, struct bytes value)
{
    pthread_mutex_lock(&db->lock);
    const struct status status = value_put(db, key, value);
    pthread_mutex_unlock(&db->lock);
    return status;
}
