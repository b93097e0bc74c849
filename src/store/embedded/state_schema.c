/*
 * The tables of state.db (docs/storage-format.md), and how those of an older format become ours.
 *
 * All rows but `store` carry a checksum. The SQL function strata_crc() computes it from the row's other columns in their
 * order: CRC32C over, for an integer, a byte 1 and its 8 bytes, little endian; for a blob a byte 2, its length in 8 bytes
 * and its content. Columns have no other types. Snapshots have one of their own (state_snapshots.c).
 */
#include <assert.h>
#include <inttypes.h>

#include "state_db_internal.h"

#define STATE_FORMAT         2
#define STATE_APPLICATION_ID 0x53747261 /* "Stra", so that file(1) and others can tell */

#define LEASE_TABLES                                                                                         \
    "CREATE TABLE lease (name BLOB PRIMARY KEY, holder BLOB NOT NULL, epoch INTEGER NOT NULL,"               \
    " ttl_us INTEGER NOT NULL, ends_at_us INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"            \
    "CREATE TABLE checkpoint (name BLOB PRIMARY KEY, position INTEGER NOT NULL, epoch INTEGER NOT NULL,"     \
    " put_at_us INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"

/* A row from the beginning: one that is missing is damage, and not a store that has no history yet. */
#define NOTHING_REMEMBERED                                                                                   \
    "INSERT OR IGNORE INTO head VALUES (1, 0, zeroblob(32), 0, 0, 0, 0,"                                     \
    " strata_crc(0, zeroblob(32), 0, 0, 0, 0));"

static const char schema[] =
    "BEGIN;"
    "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), uuid BLOB NOT NULL);"
    "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL,"
    " chain BLOB NOT NULL, segment INTEGER NOT NULL, end_offset INTEGER NOT NULL,"
    " writer_epoch INTEGER NOT NULL, clean INTEGER NOT NULL, crc INTEGER NOT NULL);" NOTHING_REMEMBERED
    "CREATE TABLE value (key BLOB PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT "
    "ROWID;" LEASE_TABLES "CREATE TABLE snapshot (aggregate_id BLOB NOT NULL, version INTEGER NOT NULL,"
    " aggregate_type BLOB NOT NULL, state INTEGER NOT NULL, created_at_us INTEGER NOT NULL,"
    " position INTEGER NOT NULL, event_digest BLOB NOT NULL, reducer_version INTEGER NOT NULL,"
    " data BLOB NOT NULL, metadata BLOB NOT NULL, folded BLOB NOT NULL, size_bytes INTEGER NOT NULL,"
    " crc INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX snapshot_key ON snapshot (aggregate_id, version);"
    "CREATE INDEX snapshot_sizes ON snapshot (size_bytes);"
    "CREATE INDEX snapshot_by_type ON snapshot (aggregate_type, aggregate_id, version);"
    "PRAGMA application_id = 1400140385;"
    "PRAGMA user_version = 2;"
    "COMMIT;";
static_assert(STATE_APPLICATION_ID == 1400140385, "the number in the schema");

/* Format 1 had neither leases nor checkpoints, and checksums only of snapshots. */
static const char from_format_1[] =
    "BEGIN;"
    "ALTER TABLE head ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;" NOTHING_REMEMBERED
    "UPDATE head SET crc = strata_crc(position, chain, segment, end_offset, writer_epoch, clean);"
    "ALTER TABLE value ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;"
    "UPDATE value SET crc = strata_crc(key, value);" LEASE_TABLES "PRAGMA user_version = 2;"
    "COMMIT;";

/* NULL, which no stored checksum is equal to, when a column is not of a type that we write. */
static void strata_crc(sqlite3_context *context, int count, sqlite3_value **values)
{
    uint32_t crc = 0;
    for (int i = 0; i < count; i++) {
        const int type = sqlite3_value_type(values[i]);
        uint8_t head[9] = {type == SQLITE_INTEGER ? 1 : 2};
        struct bytes content = BYTES_NONE;
        if (type == SQLITE_INTEGER) {
            put_u64_le(head + 1, (uint64_t)sqlite3_value_int64(values[i]));
        } else if (type == SQLITE_BLOB) {
            content = bytes_of(sqlite3_value_blob(values[i]), (size_t)sqlite3_value_bytes(values[i]));
            put_u64_le(head + 1, content.size_bytes);
        } else {
            sqlite3_result_null(context);
            return;
        }
        crc = crc32c(crc32c(crc, bytes_of(head, sizeof head)), content);
    }
    sqlite3_result_int64(context, (sqlite3_int64)crc);
}

struct status state_schema_prepare(struct state_db *db, enum state_open_mode mode)
{
    const int code = sqlite3_create_function_v2(db->connection, "strata_crc", -1,
                                                SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                                strata_crc, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return state_failure(db, code, "preparing");
    int64_t format = 0;
    STATUS_TRY(state_ask_number(db, "PRAGMA user_version", &format));
    if (format == STATE_FORMAT)
        return status_ok();
    if (format == 0)
        return state_mode_creates(mode)
                   ? state_execute(db, schema, "making the tables of")
                   : status_error(STATUS_NOT_FOUND, "the making of %s was interrupted", db->path);
    if (format == 1 && mode != STATE_READ_ONLY)
        return state_execute(db, from_format_1, "bringing up to date the tables of");
    if (format == 1)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s has format version 1 and is open for reading only; start the store once with "
                            "this strata, which makes it version %d",
                            db->path, STATE_FORMAT);
    return status_error(STATUS_FAILED_PRECONDITION,
                        "%s has format version %" PRId64 " and this program reads %d; use a newer strata",
                        db->path, format, STATE_FORMAT);
}
