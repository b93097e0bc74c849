/* The snapshot store in the same database, over the event store's connections. */
#include <inttypes.h>
#include <stdlib.h>

#include "mysql_internal.h"

#define LIST_PAGE 16
#define COLUMNS                                                                                                    \
    "aggregate_id, aggregate_type, version, state, created_at_us, position, event_digest, reducer_version, data, " \
    "metadata, folded"

struct mysql_snapshots {
    struct snapshot_store store; /* first: the engine is the store */
    struct mysql_store *mysql;
};

static struct mysql_store *of(struct snapshot_store *store)
{
    return ((struct mysql_snapshots *)store)->mysql;
}

/* ---- rows ---- */

static bool copy_row(struct arena *arena, const struct sql_row *row, struct snapshot *ret)
{
    *ret = (struct snapshot){
        .aggregate_id = arena_bytes(arena, sql_column(row, 0)),
        .aggregate_type = arena_bytes(arena, sql_column(row, 1)),
        .version = (int32_t)sql_int(row, 2),
        .state = (enum snapshot_state)sql_int(row, 3),
        .created_at_us = sql_int(row, 4),
        .position = sql_int(row, 5),
        .event_digest = arena_bytes(arena, sql_column(row, 6)),
        .reducer_version = (int32_t)sql_int(row, 7),
        .data = arena_bytes(arena, sql_column(row, 8)),
        .metadata = arena_bytes(arena, sql_column(row, 9)),
        .folded = arena_bytes(arena, sql_column(row, 10)),
    };
    return ret->aggregate_id.data != NULL && (ret->data.data != NULL || sql_column(row, 8).size_bytes == 0) &&
           (ret->folded.data != NULL || sql_column(row, 10).size_bytes == 0);
}

/* ---- put ---- */

static void write_put(void *context, struct mysql_link *link)
{
    const struct snapshot *snapshot = context;
    const struct bytes texts[] = {snapshot->data, snapshot->metadata, snapshot->folded};
    sql_printf(
        &link->sql,
        "REPLACE INTO strata_snapshots (store, version, state, created_at_us, position, reducer_version, "
        "aggregate_id, aggregate_type, event_digest, data, metadata, folded) VALUES (%" PRId64,
        link->store->number);
    sql_printf(&link->sql, ",%" PRId32 ",%d,%" PRId64 ",%" PRId64 ",%" PRId32 ",", snapshot->version,
               (int)snapshot->state, snapshot->created_at_us, snapshot->position, snapshot->reducer_version);
    sql_bytes(&link->sql, snapshot->aggregate_id);
    sql_text(&link->sql, ",");
    sql_bytes(&link->sql, snapshot->aggregate_type);
    sql_text(&link->sql, ",");
    sql_bytes(&link->sql, snapshot->event_digest);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sql_text(&link->sql, ",");
        sql_value(link, texts[i]);
    }
    sql_text(&link->sql, ")");
}

static struct status snapshots_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    struct snapshot put = *snapshot;
    const struct mysql_call call = {write_put, NULL, NULL, &put};
    return mysql_call_run(of(store), &call);
}

/* ---- get and remove ---- */

struct pick_call {
    struct bytes aggregate_id;
    enum snapshot_pick pick;
    int32_t version;
    struct arena *arena;
    struct snapshot *ret;
    bool found;
};

static void restart_pick(void *context)
{
    ((struct pick_call *)context)->found = false;
}

static struct status take_pick(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct pick_call *call = context;
    call->found = true;
    return copy_row(call->arena, row, call->ret) ? status_ok() : mysql_no_memory();
}

static void write_key(struct mysql_link *link, const char *before, struct bytes aggregate_id)
{
    sql_text(&link->sql, before);
    sql_printf(&link->sql,
               " FROM strata_snapshots WHERE store=%" PRId64 " AND aggregate_id=", link->store->number);
    sql_bytes(&link->sql, aggregate_id);
}

static void write_pick(void *context, struct mysql_link *link)
{
    const struct pick_call *call = context;
    write_key(link, "SELECT " COLUMNS, call->aggregate_id);
    sql_printf(&link->sql, " AND version%s%" PRId32,
               call->pick == SNAPSHOT_PICK_EXACT ? "=" : "<=", call->version);
    if (call->pick == SNAPSHOT_PICK_BEST)
        sql_printf(&link->sql, " AND state=%d", (int)SNAPSHOT_VERIFIED);
    sql_text(&link->sql, " ORDER BY version DESC LIMIT 1");
}

static struct status snapshots_get(struct snapshot_store *store, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct pick_call question = {aggregate_id, pick, version, arena, ret, false};
    const struct mysql_call call = {write_pick, take_pick, restart_pick, &question};
    STATUS_TRY(mysql_call_run(of(store), &call));
    *ret_found = question.found;
    return status_ok();
}

static void write_remove(void *context, struct mysql_link *link)
{
    const struct pick_call *call = context;
    write_key(link, "DELETE", call->aggregate_id);
    sql_printf(&link->sql, " AND version=%" PRId32, call->version);
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    struct pick_call gone = {.aggregate_id = aggregate_id, .version = version};
    const struct mysql_call call = {write_remove, NULL, NULL, &gone};
    return mysql_call_run(of(store), &call);
}

/* ---- list ---- */

struct snapshot_page {
    struct bytes aggregate_id; /* empty = all */
    struct bytes aggregate_type;
    struct bytes after_id;
    int32_t after_version;
    struct arena *arena;
    struct snapshot rows[LIST_PAGE];
    size_t count;
};

static void restart_page(void *context)
{
    ((struct snapshot_page *)context)->count = 0;
}

static struct status take_listed(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct snapshot_page *page = context;
    return copy_row(page->arena, row, &page->rows[page->count++]) ? status_ok() : mysql_no_memory();
}

static void write_page(void *context, struct mysql_link *link)
{
    const struct snapshot_page *page = context;
    sql_printf(&link->sql, "SELECT " COLUMNS " FROM strata_snapshots WHERE store=%" PRId64,
               link->store->number);
    if (page->aggregate_id.size_bytes > 0) {
        sql_text(&link->sql, " AND aggregate_id=");
        sql_bytes(&link->sql, page->aggregate_id);
    }
    if (page->aggregate_type.size_bytes > 0) {
        sql_text(&link->sql, " AND aggregate_type=");
        sql_bytes(&link->sql, page->aggregate_type);
    }
    if (page->after_id.size_bytes > 0) {
        sql_text(&link->sql, " AND (aggregate_id>");
        sql_bytes(&link->sql, page->after_id);
        sql_text(&link->sql, " OR (aggregate_id=");
        sql_bytes(&link->sql, page->after_id);
        sql_printf(&link->sql, " AND version>%" PRId32 "))", page->after_version);
    }
    sql_printf(&link->sql, " ORDER BY aggregate_id, version LIMIT %d", LIST_PAGE);
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    /* Two arenas in turn: the id to go on from lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *next = arena_new(0);
    if (arena == NULL || next == NULL)
        return mysql_no_memory();
    struct snapshot_page page = {.aggregate_id = aggregate_id,
                                 .aggregate_type = aggregate_type,
                                 .after_id = after_id,
                                 .after_version = after_version};
    const struct mysql_call call = {write_page, take_listed, restart_page, &page};
    do {
        page.arena = next;
        arena_reset(next);
        STATUS_TRY(mysql_call_run(of(store), &call));
        for (size_t i = 0; i < page.count; i++)
            if (!sink(context, &page.rows[i]))
                return status_ok();
        if (page.count > 0) {
            page.after_id = page.rows[page.count - 1].aggregate_id;
            page.after_version = page.rows[page.count - 1].version;
        }
        struct arena *filled = next;
        next = arena;
        arena = filled;
    } while (page.count == LIST_PAGE);
    return status_ok();
}

/* ---- counts ---- */

static void write_stats(void *context, struct mysql_link *link)
{
    (void)context;
    sql_printf(
        &link->sql,
        "SELECT COUNT(*), COALESCE(CAST(SUM(LENGTH(data) + LENGTH(metadata) + LENGTH(folded)) AS SIGNED), 0) FROM "
        "strata_snapshots WHERE store=%" PRId64,
        link->store->number);
}

static struct status take_stats(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    *(struct snapshot_store_stats *)context =
        (struct snapshot_store_stats){"mysql", sql_int(row, 0), sql_int(row, 1)};
    return status_ok();
}

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    const struct mysql_call call = {write_stats, take_stats, NULL, ret};
    return mysql_call_run(of(store), &call);
}

static void snapshots_close(struct snapshot_store *store)
{
    free(store);
}

static const struct snapshot_store_ops snapshots_ops = {
    .put = snapshots_put,
    .get = snapshots_get,
    .list = snapshots_list,
    .remove = snapshots_remove,
    .stats = snapshots_stats,
    .close = snapshots_close,
};

struct status mysql_store_snapshots(struct event_store *store, struct snapshot_store **ret)
{
    struct mysql_snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots == NULL)
        return mysql_no_memory();
    snapshots->store.ops = &snapshots_ops;
    snapshots->mysql = mysql_of(store);
    *ret = &snapshots->store;
    return status_ok();
}
