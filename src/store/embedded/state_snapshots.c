#include <stdlib.h>
#include <string.h>

#include "state_db_internal.h"

#define LIST_ROWS          64U /* fetched at a time: no sink runs on the connection's thread, … */
#define LIST_BYTES         (8U * 1024 * 1024) /* … and no list takes up all memory */
#define SNAPSHOT_BYTES_MAX (512U * 1024 * 1024)

struct state_snapshots {
    struct snapshot_store store;
    struct state_db *db;
};

static struct state_db *db_of(struct snapshot_store *store)
{
    return ((struct state_snapshots *)store)->db;
}

/* Then nobody waits for the thread: each read of an aggregate asks, and often there are none in the whole store. */
static bool has_none(struct snapshot_store *store)
{
    return atomic_load(&db_of(store)->snapshot_count) == 0;
}

static size_t snapshot_bytes(const struct snapshot *snapshot)
{
    return snapshot->aggregate_id.size_bytes + snapshot->aggregate_type.size_bytes +
           snapshot->event_digest.size_bytes + snapshot->data.size_bytes + snapshot->metadata.size_bytes +
           snapshot->folded.size_bytes;
}

/* Over every field with its length, so that nothing can move from one to the next unnoticed. */
static uint32_t snapshot_crc(const struct snapshot *snapshot)
{
    uint8_t numbers[28];
    put_u32_le(numbers, (uint32_t)snapshot->version);
    put_u32_le(numbers + 4, (uint32_t)snapshot->state);
    put_u32_le(numbers + 8, (uint32_t)snapshot->reducer_version);
    put_u64_le(numbers + 12, (uint64_t)snapshot->created_at_us);
    put_u64_le(numbers + 20, (uint64_t)snapshot->position);
    uint32_t crc = crc32c(0, bytes_of(numbers, sizeof numbers));
    const struct bytes texts[] = {snapshot->aggregate_id, snapshot->aggregate_type, snapshot->event_digest,
                                  snapshot->data,         snapshot->metadata,       snapshot->folded};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        put_u64_le(numbers, texts[i].size_bytes);
        crc = crc32c(crc32c(crc, bytes_of(numbers, 8)), texts[i]);
    }
    return crc;
}

/* -1 when there is none. */
static struct status stored_size(struct state_db *db, struct bytes aggregate_id, int32_t version,
                                 int64_t *ret)
{
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_SIZE, &get));
    sqlite3_bind_int(get, 2, version);
    int code = state_bind(get, 1, aggregate_id);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    *ret = code == SQLITE_ROW ? sqlite3_column_int64(get, 0) : -1;
    state_release(get);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return state_failure(db, code, "looking for a snapshot in");
    return status_ok();
}

static int bind_snapshot(sqlite3_stmt *put, const struct snapshot *snapshot)
{
    const struct {
        int index;
        struct bytes bytes;
    } texts[] = {{1, snapshot->aggregate_id}, {3, snapshot->aggregate_type}, {7, snapshot->event_digest},
                 {9, snapshot->data},         {10, snapshot->metadata},      {11, snapshot->folded}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const int code = state_bind(put, texts[i].index, texts[i].bytes);
        if (code != SQLITE_OK)
            return code;
    }
    sqlite3_bind_int(put, 2, snapshot->version);
    sqlite3_bind_int(put, 4, (int)snapshot->state);
    sqlite3_bind_int64(put, 5, snapshot->created_at_us);
    sqlite3_bind_int64(put, 6, snapshot->position);
    sqlite3_bind_int(put, 8, snapshot->reducer_version);
    sqlite3_bind_int64(put, 12, snapshot_crc(snapshot));
    sqlite3_bind_int64(put, 13, (int64_t)snapshot_bytes(snapshot));
    return SQLITE_OK;
}

static struct status put(struct state_db *db, void *context)
{
    const struct snapshot *snapshot = context;
    int64_t former_bytes = 0;
    STATUS_TRY(stored_size(db, snapshot->aggregate_id, snapshot->version, &former_bytes));
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_PUT, &statement));
    STATUS_TRY(state_finish(db, statement, bind_snapshot(statement, snapshot), "writing a snapshot to"));
    db->sums.count += former_bytes < 0;
    db->sums.bytes += (int64_t)snapshot_bytes(snapshot) - (former_bytes < 0 ? 0 : former_bytes);
    return status_ok();
}

static struct status snapshots_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    /* Asked here, since what SQLite refuses fails the transaction of all. */
    if (snapshot_bytes(snapshot) > SNAPSHOT_BYTES_MAX)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the snapshot of \"%.*s\" at version %d has %zu bytes and %u is the most",
                            BYTES_FORMAT(snapshot->aggregate_id), snapshot->version, snapshot_bytes(snapshot),
                            SNAPSHOT_BYTES_MAX);
    struct snapshot copy = *snapshot;
    return state_run(db_of(store), STATE_WRITE, put, &copy);
}

struct status state_snapshot_row(const struct state_db *db, sqlite3_stmt *row, struct arena *arena,
                                 struct snapshot *ret)
{
    struct snapshot found = {
        .version = sqlite3_column_int(row, 1),
        .state = (enum snapshot_state)sqlite3_column_int(row, 3),
        .created_at_us = sqlite3_column_int64(row, 4),
        .position = sqlite3_column_int64(row, 5),
        .reducer_version = sqlite3_column_int(row, 7),
    };
    const struct {
        int column;
        struct bytes *to;
    } texts[] = {{0, &found.aggregate_id}, {2, &found.aggregate_type}, {6, &found.event_digest},
                 {8, &found.data},         {9, &found.metadata},       {10, &found.folded}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const struct bytes bytes = state_column(row, texts[i].column);
        *texts[i].to = arena_bytes(arena, bytes);
        if (texts[i].to->data == NULL && bytes.size_bytes > 0)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot of %zu bytes",
                                bytes.size_bytes);
    }
    if ((int64_t)snapshot_crc(&found) != sqlite3_column_int64(row, 11))
        return status_reason(
            REASON_DAMAGED,
            "%s is damaged: the snapshot of \"%.*s\" at version %d does not fit its checksum; remove "
            "that snapshot and take it anew",
            db->path, BYTES_FORMAT(found.aggregate_id), found.version);
    *ret = found;
    return status_ok();
}

struct get_call {
    struct bytes aggregate_id;
    enum snapshot_pick pick;
    int32_t version;
    struct arena *arena;
    struct snapshot *ret;
    bool found;
};

/* An index may be damaged as well, and lead to a sound row of something else. */
static bool is_asked(const struct get_call *call, const struct snapshot *found)
{
    return bytes_equal(found->aggregate_id, call->aggregate_id) && found->version <= call->version &&
           (call->pick != SNAPSHOT_PICK_EXACT || found->version == call->version) &&
           (call->pick != SNAPSHOT_PICK_BEST || found->state == SNAPSHOT_VERIFIED);
}

static struct status get_row(const struct state_db *db, const struct get_call *call, sqlite3_stmt *row)
{
    struct snapshot found;
    STATUS_TRY(state_snapshot_row(db, row, call->arena, &found));
    if (!is_asked(call, &found))
        return state_damaged(db, "the index that led to a snapshot of", call->aggregate_id,
                             "restore state/ from a backup");
    *call->ret = found;
    return status_ok();
}

static struct status get(struct state_db *db, void *context)
{
    static const enum state_statement by_pick[] = {
        [SNAPSHOT_PICK_EXACT] = SNAPSHOT_GET_EXACT,
        [SNAPSHOT_PICK_BEST] = SNAPSHOT_GET_BEST,
        [SNAPSHOT_PICK_LATEST] = SNAPSHOT_GET_LATEST,
    };
    struct get_call *call = context;
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, by_pick[call->pick], &statement));
    sqlite3_bind_int(statement, 2, call->version);
    int code = state_bind(statement, 1, call->aggregate_id);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    struct status status = status_ok();
    if (code == SQLITE_ROW)
        status = get_row(db, call, statement);
    else if (code != SQLITE_DONE)
        status = state_failure(db, code, "reading a snapshot from");
    state_release(statement);
    call->found = code == SQLITE_ROW;
    return status;
}

static struct status snapshots_get(struct snapshot_store *store, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct get_call call = {
        .aggregate_id = aggregate_id, .pick = pick, .version = version, .arena = arena, .ret = ret};
    *ret_found = false;
    if (has_none(store))
        return status_ok();
    STATUS_TRY(state_run(db_of(store), STATE_READ, get, &call));
    *ret_found = call.found;
    return status_ok();
}

struct list_page {
    struct bytes aggregate_id;
    struct bytes aggregate_type;
    struct bytes after_id;
    int32_t after_version;
    struct arena *arena;
    struct snapshot rows[LIST_ROWS];
    size_t count;
    bool more;
};

static int list_bind(sqlite3_stmt *list, const struct list_page *page, bool by_id, bool by_type)
{
    sqlite3_bind_int(list, 2, page->after_version);
    const int code = state_bind(list, 1, page->after_id);
    if (code != SQLITE_OK || !(by_id || by_type))
        return code;
    return state_bind(list, 4, by_id ? page->aggregate_id : page->aggregate_type);
}

static struct status list_page_fill(struct state_db *db, void *context)
{
    struct list_page *page = context;
    const bool by_id = page->aggregate_id.size_bytes > 0;
    const bool by_type = !by_id && page->aggregate_type.size_bytes > 0;
    sqlite3_stmt *list = NULL;
    STATUS_TRY(state_statement(db,
                               by_id     ? SNAPSHOT_LIST_ID
                               : by_type ? SNAPSHOT_LIST_TYPE
                                         : SNAPSHOT_LIST,
                               &list));
    page->count = 0;
    int code = list_bind(list, page, by_id, by_type);
    struct status status = status_ok();
    while (code == SQLITE_OK && status.code == STATUS_OK && page->count < LIST_ROWS &&
           arena_used_bytes(page->arena) < LIST_BYTES) {
        code = sqlite3_step(list);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        status = state_snapshot_row(db, list, page->arena, &page->rows[page->count]);
        page->count += status.code == STATUS_OK;
    }
    page->more = code == SQLITE_OK;
    if (status.code == STATUS_OK && code != SQLITE_OK && code != SQLITE_DONE)
        status = state_failure(db, code, "listing the snapshots of");
    state_release(list);
    return status;
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    if (has_none(store))
        return status_ok();
    /* Two arenas in turn: the cursor's id lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *filled = arena_new(0);
    CLEANUP(arena_free_at) struct arena *free_arena = arena_new(0);
    if (filled == NULL || free_arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list snapshots");
    struct list_page page = {.aggregate_id = aggregate_id,
                             .aggregate_type = aggregate_type,
                             .after_id = after_id,
                             .after_version = after_version,
                             .more = true};
    while (page.more) {
        arena_reset(free_arena);
        page.arena = free_arena;
        STATUS_TRY(state_run(db_of(store), STATE_READ, list_page_fill, &page));
        for (size_t i = 0; i < page.count; i++) {
            const struct snapshot *row = &page.rows[i];
            const bool wanted =
                aggregate_type.size_bytes == 0 || bytes_equal(row->aggregate_type, aggregate_type);
            if (wanted && !sink(context, row))
                return status_ok();
        }
        if (page.count > 0) {
            page.after_id = page.rows[page.count - 1].aggregate_id;
            page.after_version = page.rows[page.count - 1].version;
        }
        free_arena = filled;
        filled = page.arena;
    }
    return status_ok();
}

struct remove_call {
    struct bytes aggregate_id;
    int32_t version;
};

static struct status remove_one(struct state_db *db, void *context)
{
    const struct remove_call *call = context;
    int64_t former_bytes = 0;
    STATUS_TRY(stored_size(db, call->aggregate_id, call->version, &former_bytes));
    if (former_bytes < 0)
        return status_ok();
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_REMOVE, &statement));
    sqlite3_bind_int(statement, 2, call->version);
    STATUS_TRY(state_finish(db, statement, state_bind(statement, 1, call->aggregate_id),
                            "removing a snapshot from"));
    db->sums.count--;
    db->sums.bytes -= former_bytes;
    return status_ok();
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    struct remove_call call = {aggregate_id, version};
    return state_run(db_of(store), STATE_WRITE, remove_one, &call);
}

static struct status sums(struct state_db *db, void *context)
{
    *(struct snapshot_sums *)context = db->sums;
    return status_ok();
}

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    struct snapshot_sums found;
    STATUS_TRY(state_run(db_of(store), STATE_READ, sums, &found));
    *ret = (struct snapshot_store_stats){
        .engine = "embedded", .snapshot_count = found.count, .size_bytes = found.bytes};
    return status_ok();
}

static void snapshots_close(struct snapshot_store *store)
{
    free(store); /* the database is the event store's */
}

struct status state_snapshots_count(struct state_db *db)
{
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_SUMS, &statement));
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        db->sums =
            (struct snapshot_sums){sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1)};
    atomic_store(&db->snapshot_count, db->sums.count);
    state_release(statement);
    return code == SQLITE_ROW ? status_ok() : state_failure(db, code, "counting the snapshots of");
}

static const struct snapshot_store_ops snapshots_ops = {
    .put = snapshots_put,
    .get = snapshots_get,
    .list = snapshots_list,
    .remove = snapshots_remove,
    .stats = snapshots_stats,
    .close = snapshots_close,
};

struct status state_snapshots_open(struct state_db *db, struct snapshot_store **ret)
{
    struct state_snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the snapshot store");
    snapshots->store.ops = &snapshots_ops;
    snapshots->db = db;
    *ret = &snapshots->store;
    return status_ok();
}
