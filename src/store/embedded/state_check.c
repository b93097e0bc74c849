#include "store/embedded/state_check.h"

#include <inttypes.h>

#include "state_db_internal.h"

struct checking {
    const struct state_check_options *options;
    struct state_check_report *report;
    struct status first; /* damage */
};

static void note_damage(struct checking *checking, const struct status *damage)
{
    if (checking->report->damaged_count++ == 0)
        checking->first = *damage;
    if (checking->options->on_damage != NULL)
        checking->options->on_damage(checking->options->context, damage);
}

/* The pages of tables and indexes, and that each index fits its table. */
static struct status check_structure(struct state_db *db)
{
    sqlite3_stmt *check = NULL;
    int code = sqlite3_prepare_v2(db->connection, "PRAGMA integrity_check(1)", -1, &check, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(check);
    struct status status = status_ok();
    if (code != SQLITE_ROW)
        status = state_failure(db, code, "checking");
    else if (!bytes_equal(state_column(check, 0), BYTES_LITERAL("ok")))
        status = status_reason(REASON_DAMAGED, "%s is damaged: %.300s; restore state/ from a backup",
                               db->path, (const char *)sqlite3_column_text(check, 0));
    sqlite3_finalize(check);
    return status;
}

static struct status check_head(struct state_db *db, struct checking *checking)
{
    struct remembered_head head;
    const struct status status = state_db_head_get(db, &head);
    if (status.reason != REASON_DAMAGED)
        return status;
    note_damage(checking, &status);
    return status_ok();
}

/* A statement whose rows are a name and whether its checksum fits. */
static struct status check_rows(struct state_db *db, struct checking *checking, enum state_statement which,
                                const char *what, int64_t *count)
{
    sqlite3_stmt *rows = NULL;
    STATUS_TRY(state_statement(db, which, &rows));
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        ++*count;
        if (sqlite3_column_int(rows, 1) != 0)
            continue;
        const struct status damage =
            state_damaged(db, what, state_column(rows, 0), "restore state/ from a backup");
        note_damage(checking, &damage);
    }
    state_release(rows);
    return code == SQLITE_DONE ? status_ok() : state_failure(db, code, "checking");
}

static struct status check_snapshots(struct state_db *db, struct checking *checking)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to check snapshots");
    sqlite3_stmt *rows = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_ALL, &rows));
    struct status status = status_ok();
    int code = SQLITE_ROW;
    while (status.code == STATUS_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        struct snapshot snapshot;
        arena_reset(arena);
        checking->report->snapshot_count++;
        status = state_snapshot_row(db, rows, arena, &snapshot);
        if (status.reason != REASON_DAMAGED)
            continue;
        note_damage(checking, &status);
        status = status_ok();
    }
    if (status.code == STATUS_OK && code != SQLITE_DONE)
        status = state_failure(db, code, "checking");
    state_release(rows);
    return status;
}

struct status state_check(struct files *files, const struct state_check_options *options,
                          const struct clock *clock, const struct entropy *entropy,
                          struct state_check_report *ret)
{
    CLEANUP(state_db_close_at) struct state_db *db = NULL;
    struct checking checking = {.options = options, .report = ret, .first = status_ok()};
    *ret = (struct state_check_report){0};
    STATUS_TRY(
        state_db_open(files, options->store_id, options->identity, STATE_READ_ONLY, clock, entropy, &db));
    STATUS_TRY(check_structure(db));
    STATUS_TRY(check_head(db, &checking));
    STATUS_TRY(check_snapshots(db, &checking));
    STATUS_TRY(check_rows(db, &checking, STATE_VALUE_CHECK, "the value of", &ret->value_count));
    STATUS_TRY(check_rows(db, &checking, LEASE_CHECK, "the lease", &ret->lease_count));
    STATUS_TRY(check_rows(db, &checking, CHECKPOINT_CHECK, "the checkpoint", &ret->checkpoint_count));
    if (ret->damaged_count > 1)
        return status_reason(REASON_DAMAGED, "%.600s (and %" PRId64 " more)", checking.first.message,
                             ret->damaged_count - 1);
    return checking.first;
}
