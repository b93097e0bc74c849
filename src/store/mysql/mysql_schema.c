/* Tables, their version, and the server's settings that an acknowledged event depends on. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "mysql_internal.h"

#define SCHEMA_VERSION 1
#define SCHEMA_WAIT_S  30
/* MySQL takes names of locks of 64 bytes, which is what a database's name may have alone. */
#define SCHEMA_LOCK "CONCAT('strata_schema.', MD5(DATABASE()))"

/*
 * Every key begins with the store's number. Names are bytes: VARBINARY, never text with a collation, under which "A" and
 * "a" or "a" and "a " would be one name.
 */
static const char *const version_1[] = {
    "CREATE TABLE IF NOT EXISTS strata_stores ("
    " store INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARBINARY(255) NOT NULL UNIQUE,"
    " position BIGINT NOT NULL, timestamp_us BIGINT NOT NULL, chain BINARY(32) NOT NULL,"
    " aggregate_count BIGINT NOT NULL) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    /* Few keys: each costs every append. Times are searched by position, whose order they have. */
    "CREATE TABLE IF NOT EXISTS strata_events ("
    " store INT UNSIGNED NOT NULL, position BIGINT NOT NULL, event_id VARBINARY(255) NOT NULL,"
    " aggregate_id VARBINARY(255) NOT NULL, version INT NOT NULL, type VARBINARY(255) NOT NULL,"
    " aggregate_type VARBINARY(255) NOT NULL, timestamp_us BIGINT NOT NULL, append_first BIGINT NOT NULL,"
    " append_count SMALLINT UNSIGNED NOT NULL, header_bytes INT UNSIGNED NOT NULL, record LONGBLOB NOT NULL,"
    " PRIMARY KEY (store, position), UNIQUE KEY by_id (store, event_id),"
    " UNIQUE KEY by_aggregate (store, aggregate_id, version), KEY by_type (store, type, position),"
    " KEY by_aggregate_type (store, aggregate_type, position)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    /* What only some events have: kind 1 correlation ids, 2 tags. */
    "CREATE TABLE IF NOT EXISTS strata_terms ("
    " store INT UNSIGNED NOT NULL, kind TINYINT UNSIGNED NOT NULL, term VARBINARY(255) NOT NULL,"
    " position BIGINT NOT NULL, PRIMARY KEY (store, kind, term, position)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    /* Written once, since each write costs an append: how far an aggregate has come its last event says. */
    "CREATE TABLE IF NOT EXISTS strata_aggregates ("
    " store INT UNSIGNED NOT NULL, aggregate_id VARBINARY(255) NOT NULL, aggregate_type VARBINARY(255) NOT NULL,"
    " first_version TINYINT NOT NULL, first_position BIGINT NOT NULL,"
    " PRIMARY KEY (store, aggregate_id), KEY by_first (store, first_position),"
    " KEY by_type (store, aggregate_type, first_position)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    "CREATE TABLE IF NOT EXISTS strata_type_counts ("
    " store INT UNSIGNED NOT NULL, type VARBINARY(255) NOT NULL, events BIGINT NOT NULL,"
    " PRIMARY KEY (store, type)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    "CREATE TABLE IF NOT EXISTS strata_state ("
    " store INT UNSIGNED NOT NULL, name VARBINARY(1024) NOT NULL, value LONGBLOB NOT NULL,"
    " PRIMARY KEY (store, name)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    "CREATE TABLE IF NOT EXISTS strata_leases ("
    " store INT UNSIGNED NOT NULL, name VARBINARY(255) NOT NULL, holder VARBINARY(255) NOT NULL,"
    " epoch BIGINT NOT NULL, ttl_us BIGINT NOT NULL, ends_at_us BIGINT NOT NULL,"
    " PRIMARY KEY (store, name)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    /* A position of -1 is a row that was made to be locked and is no checkpoint. */
    "CREATE TABLE IF NOT EXISTS strata_checkpoints ("
    " store INT UNSIGNED NOT NULL, name VARBINARY(255) NOT NULL, position BIGINT NOT NULL, epoch BIGINT NOT NULL,"
    " put_at_us BIGINT NOT NULL, PRIMARY KEY (store, name)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",

    "CREATE TABLE IF NOT EXISTS strata_snapshots ("
    " store INT UNSIGNED NOT NULL, aggregate_id VARBINARY(255) NOT NULL, version INT NOT NULL,"
    " aggregate_type VARBINARY(255) NOT NULL, state TINYINT NOT NULL, created_at_us BIGINT NOT NULL,"
    " position BIGINT NOT NULL, event_digest VARBINARY(32) NOT NULL, reducer_version INT NOT NULL,"
    " data LONGBLOB NOT NULL, metadata LONGBLOB NOT NULL, folded LONGBLOB NOT NULL,"
    " PRIMARY KEY (store, aggregate_id, version)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
};

/* ---- numbers that statements answer ---- */

static struct status take_number(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    *(int64_t *)context = sql_int(row, 0);
    return status_ok();
}

static struct status ask_number(struct mysql_link *link, const char *statement, int64_t *ret)
{
    *ret = 0;
    buffer_clear(&link->sql);
    sql_text(&link->sql, statement);
    return mysql_link_run(link, take_number, ret, NULL);
}

static struct status execute(struct mysql_link *link, const char *statement)
{
    buffer_clear(&link->sql);
    sql_text(&link->sql, statement);
    return mysql_link_run(link, NULL, NULL, NULL);
}

/* ---- tables ---- */

static struct status stored_version(struct mysql_link *link, int64_t *ret)
{
    int64_t known = 0;
    *ret = 0;
    STATUS_TRY(ask_number(
        link,
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = "
        "'strata_schema'",
        &known));
    return known == 0 ? status_ok() : ask_number(link, "SELECT version FROM strata_schema", ret);
}

static struct status make_tables(struct mysql_link *link)
{
    STATUS_TRY(execute(
        link, "CREATE TABLE IF NOT EXISTS strata_schema (only_row TINYINT NOT NULL PRIMARY KEY, version INT "
              "NOT NULL) ENGINE=InnoDB"));
    for (size_t i = 0; i < sizeof version_1 / sizeof *version_1; i++)
        STATUS_TRY(execute(link, version_1[i]));
    char statement[128];
    (void)snprintf(statement, sizeof statement, "INSERT INTO strata_schema VALUES (1, %d)", SCHEMA_VERSION);
    return execute(link, statement);
}

static struct status migrate_locked(struct mysql_link *link)
{
    int64_t version = 0;
    STATUS_TRY(stored_version(link, &version));
    if (version == 0)
        return make_tables(link);
    if (version > SCHEMA_VERSION)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the tables in the database \"%s\" are of version %" PRId64
                            " and this program knows version %d; run a newer one",
                            link->store->settings.database, version, SCHEMA_VERSION);
    return status_ok();
}

/* Of several processes one makes the tables; the others wait for it. */
static struct status migrate(struct mysql_link *link)
{
    int64_t version = 0;
    int64_t locked = 0;
    char statement[128];
    STATUS_TRY(stored_version(link, &version));
    if (version == SCHEMA_VERSION)
        return status_ok();
    (void)snprintf(statement, sizeof statement, "SELECT GET_LOCK(" SCHEMA_LOCK ", %d)", SCHEMA_WAIT_S);
    STATUS_TRY(ask_number(link, statement, &locked));
    if (locked != 1)
        return status_reason(REASON_STORE_UNREACHABLE,
                             "another process has been making the tables in the database \"%s\" for %d s",
                             link->store->settings.database, SCHEMA_WAIT_S);
    const struct status status = migrate_locked(link);
    if (link->handle != NULL)
        STATUS_TRY(ask_number(link, "SELECT RELEASE_LOCK(" SCHEMA_LOCK ")", &locked));
    return status;
}

static struct status find_number(struct mysql_link *link)
{
    struct mysql_store *store = link->store;
    const struct bytes name = bytes_of_text(store->settings.store_id);
    const struct sha256 none = {{0}};
    store->number = 0;
    for (int round = 0; round < 2 && store->number == 0; round++) {
        buffer_clear(&link->sql);
        if (round > 0) {
            sql_text(
                &link->sql,
                "INSERT IGNORE INTO strata_stores (name, position, timestamp_us, chain, aggregate_count) VALUES (");
            sql_bytes(&link->sql, name);
            sql_text(&link->sql, ", 0, 0, ");
            sql_bytes(&link->sql, bytes_of(none.bytes, sizeof none.bytes));
            sql_text(&link->sql, ", 0);");
        }
        sql_text(&link->sql, "SELECT store FROM strata_stores WHERE name = ");
        sql_bytes(&link->sql, name);
        STATUS_TRY(mysql_link_run(link, take_number, &store->number, NULL));
    }
    return status_ok();
}

/* ---- settings ---- */

struct settings_row {
    int64_t flush_at_commit;
    int64_t binary_log;
    int64_t sync_binary_log;
    int64_t packet_max_bytes;
    const struct refused_value *refused; /* NULL = none of them */
};

/*
 * What only some servers know, and with which value. One primary takes all writes: a lock on the head's row holds on the
 * member where it was taken, and what another member has not applied yet is not in the facts that are read there.
 */
static const struct refused_value {
    const char *name;
    const char *value;
    const char *why;
} refused_values[] = {
    {"wsrep_on", "ON",
     "a Galera cluster takes writes on each of its members, and the head can be locked on one of them only; name a "
     "server that is no member of one, such as a primary with replicas"},
    {"group_replication_single_primary_mode", "OFF",
     "each member of the group takes writes, and the head can be locked on one of them only; switch the group over with "
     "SELECT group_replication_switch_to_single_primary_mode(), and let all connections go to its primary"},
    {"super_read_only", "ON",
     "it takes no writes; name the primary in database.mysql.host, or set it to OFF there"},
    {"read_only", "ON",
     "it takes no writes; name the primary in database.mysql.host, or set it to OFF there"},
};

static void find_refused(struct settings_row *settings, const struct sql_row *row)
{
    for (size_t i = 0; i < sizeof refused_values / sizeof *refused_values && settings->refused == NULL; i++)
        if (bytes_equal(sql_column(row, 0), bytes_of_text(refused_values[i].name)) &&
            bytes_equal(sql_column(row, 1), bytes_of_text(refused_values[i].value)))
            settings->refused = &refused_values[i];
}

static struct status take_settings(void *context, unsigned statement, const struct sql_row *row)
{
    struct settings_row *settings = context;
    if (statement == 0)
        *settings =
            (struct settings_row){sql_int(row, 0), sql_int(row, 1), sql_int(row, 2), sql_int(row, 3), NULL};
    else
        find_refused(settings, row);
    return status_ok();
}

static struct status read_settings(struct mysql_link *link, struct settings_row *ret)
{
    buffer_clear(&link->sql);
    sql_text(&link->sql,
             "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin, @@GLOBAL.sync_binlog, "
             "@@GLOBAL.max_allowed_packet;SHOW GLOBAL VARIABLES WHERE Variable_name IN (''");
    for (size_t i = 0; i < sizeof refused_values / sizeof *refused_values; i++) {
        sql_text(&link->sql, ",");
        sql_bytes(&link->sql, bytes_of_text(refused_values[i].name));
    }
    sql_text(&link->sql, ")");
    return mysql_link_run(link, take_settings, ret, NULL);
}

static struct status weak(const char *setting, int64_t value, const char *wanted, const char *why)
{
    return status_error(STATUS_FAILED_PRECONDITION,
                        "the database server runs with %s = %" PRId64 ": %s; set it to %s, or set "
                        "database.mysql.allow_weak_durability: true to accept that",
                        setting, value, why, wanted);
}

static struct status check_settings(struct mysql_link *link)
{
    struct settings_row row = {0};
    STATUS_TRY(read_settings(link, &row));
    if (row.refused != NULL)
        return status_error(STATUS_FAILED_PRECONDITION, "the database server at %s:%u runs with %s = %s: %s",
                            link->store->settings.host, link->store->settings.port, row.refused->name,
                            row.refused->value, row.refused->why);
    if (row.packet_max_bytes < (int64_t)MYSQL_PACKET_MIN_BYTES)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the database server runs with max_allowed_packet = %" PRId64
                            ", which the largest append exceeds; set it to at least %" PRId64,
                            row.packet_max_bytes, (int64_t)MYSQL_PACKET_MIN_BYTES);
    if (link->store->settings.allow_weak_durability)
        return status_ok();
    if (row.flush_at_commit != 1)
        return weak("innodb_flush_log_at_trx_commit", row.flush_at_commit, "1",
                    "an acknowledged event could be lost when it crashes");
    if (row.binary_log != 0 && row.sync_binary_log != 1)
        return weak("sync_binlog", row.sync_binary_log, "1",
                    "an acknowledged event could be lost or differ on a replica when it crashes");
    return status_ok();
}

/* Asks for each privilege that appends, state and snapshots need, of every table, without touching a row. */
static struct status check_privileges(struct mysql_link *link)
{
    static const char *const written[] = {"events", "terms",  "aggregates",  "type_counts",
                                          "state",  "leases", "checkpoints", "snapshots"};
    static const char *const changed[] = {"stores", "aggregates", "type_counts",
                                          "state",  "leases",     "checkpoints"};
    static const char *const removed[] = {"state", "leases", "checkpoints", "snapshots"};
    buffer_clear(&link->sql);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        sql_printf(&link->sql, "INSERT INTO strata_%s SELECT * FROM strata_%s WHERE FALSE;", written[i],
                   written[i]);
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
        sql_printf(&link->sql, "UPDATE strata_%s SET store=store WHERE FALSE;", changed[i]);
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        sql_printf(&link->sql, "DELETE FROM strata_%s WHERE FALSE;", removed[i]);
    sql_text(&link->sql, "DO 0");
    return mysql_link_run(link, NULL, NULL, NULL);
}

/* ---- the whole ---- */

static struct status make_ready(struct mysql_store *store, struct mysql_link *link)
{
    STATUS_TRY(migrate(link));
    STATUS_TRY(find_number(link));
    STATUS_TRY(check_privileges(link));
    atomic_store(&store->ready, true);
    return status_ok();
}

struct status mysql_store_ready(struct mysql_store *store, struct mysql_link *link)
{
    if (link->handle != NULL && atomic_load(&store->ready))
        return status_ok();
    STATUS_TRY(mysql_link_connect(link));
    struct status status = link->writes ? check_settings(link) : status_ok();
    if (status.code == STATUS_OK && !atomic_load(&store->ready)) {
        pthread_mutex_lock(&store->ready_lock);
        if (!atomic_load(&store->ready))
            status = make_ready(store, link);
        pthread_mutex_unlock(&store->ready_lock);
    }
    if (status.code != STATUS_OK)
        mysql_link_drop(link);
    return mysql_link_fault(link, status);
}
