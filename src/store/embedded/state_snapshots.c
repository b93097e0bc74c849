#include <stdlib.h>
#include <string.h>

#include "state_db_internal.h"

#define LIST_ROWS 64 /* fetched at a time, so that a sink never runs under the lock */

struct state_snapshots {
    struct snapshot_store store;
    struct state_db *db;
};

static struct state_db *db_of(struct snapshot_store *store)
{
    return ((struct state_snapshots *)store)->db;
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
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
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

static struct status put_locked(struct state_db *db, const struct snapshot *snapshot)
{
    STATUS_TRY(state_may_write(db));
    int64_t former_bytes = 0;
    STATUS_TRY(stored_size(db, snapshot->aggregate_id, snapshot->version, &former_bytes));
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_PUT, &put));
    int code = bind_snapshot(put, snapshot);
    if (code == SQLITE_OK)
        code = sqlite3_step(put);
    sqlite3_reset(put);
    sqlite3_clear_bindings(put); /* the bytes are the caller's */
    if (code != SQLITE_DONE)
        return state_failure(db, code, "writing a snapshot to");
    db->snapshot_count += former_bytes < 0;
    db->snapshot_bytes += (int64_t)snapshot_bytes(snapshot) - (former_bytes < 0 ? 0 : former_bytes);
    return status_ok();
}

static struct status snapshots_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    struct state_db *db = db_of(store);
    pthread_mutex_lock(&db->lock);
    const struct status status = put_locked(db, snapshot);
    pthread_mutex_unlock(&db->lock);
    return status;
}

/* Copies the row into the arena and checks it. */
static struct status take_row(struct state_db *db, sqlite3_stmt *row, struct arena *arena,
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

static struct status get_locked(struct state_db *db, struct bytes aggregate_id, enum snapshot_pick pick,
                                int32_t version, struct arena *arena, struct snapshot *ret, bool *ret_found)
{
    static const enum state_statement by_pick[] = {
        [SNAPSHOT_PICK_EXACT] = SNAPSHOT_GET_EXACT,
        [SNAPSHOT_PICK_BEST] = SNAPSHOT_GET_BEST,
        [SNAPSHOT_PICK_LATEST] = SNAPSHOT_GET_LATEST,
    };
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, by_pick[pick], &get));
    sqlite3_bind_int(get, 2, version);
    int code = state_bind(get, 1, aggregate_id);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    struct status status = status_ok();
    if (code == SQLITE_ROW)
        status = take_row(db, get, arena, ret);
    else if (code != SQLITE_DONE)
        status = state_failure(db, code, "reading a snapshot from");
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
    if (status.code == STATUS_OK)
        *ret_found = code == SQLITE_ROW;
    return status;
}

static struct status snapshots_get(struct snapshot_store *store, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct state_db *db = db_of(store);
    pthread_mutex_lock(&db->lock);
    const struct status status = get_locked(db, aggregate_id, pick, version, arena, ret, ret_found);
    pthread_mutex_unlock(&db->lock);
    return status;
}

struct list_query {
    struct bytes aggregate_id;
    struct bytes aggregate_type;
    struct bytes after_id;
    int32_t after_version;
};

/* Up to LIST_ROWS rows after the cursor. A sink under the lock could ask this store and would wait for ever.
 */
static struct status list_locked(struct state_db *db, const struct list_query *query, struct arena *arena,
                                 struct snapshot *ret, size_t *ret_count)
{
    const bool by_id = query->aggregate_id.size_bytes > 0;
    const bool by_type = !by_id && query->aggregate_type.size_bytes > 0;
    sqlite3_stmt *list = NULL;
    STATUS_TRY(state_statement(db,
                               by_id     ? SNAPSHOT_LIST_ID
                               : by_type ? SNAPSHOT_LIST_TYPE
                                         : SNAPSHOT_LIST,
                               &list));
    sqlite3_bind_int(list, 2, query->after_version);
    sqlite3_bind_int(list, 3, LIST_ROWS);
    int code = state_bind(list, 1, query->after_id);
    if (code == SQLITE_OK && (by_id || by_type))
        code = state_bind(list, 4, by_id ? query->aggregate_id : query->aggregate_type);
    struct status status = status_ok();
    size_t count = 0;
    while (code == SQLITE_OK && status.code == STATUS_OK && count < LIST_ROWS) {
        code = sqlite3_step(list);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        status = take_row(db, list, arena, &ret[count]);
        count += status.code == STATUS_OK;
    }
    if (status.code == STATUS_OK && code != SQLITE_OK && code != SQLITE_DONE)
        status = state_failure(db, code, "listing the snapshots of");
    sqlite3_reset(list);
    sqlite3_clear_bindings(list);
    *ret_count = count;
    return status;
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    struct state_db *db = db_of(store);
    struct list_query query = {aggregate_id, aggregate_type, after_id, after_version};
    /* Two arenas in turn: the cursor's id lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *page = arena_new(0);
    CLEANUP(arena_free_at) struct arena *next = arena_new(0);
    if (page == NULL || next == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list snapshots");
    for (;;) {
        struct snapshot rows[LIST_ROWS];
        size_t count = 0;
        arena_reset(page);
        pthread_mutex_lock(&db->lock);
        const struct status status = list_locked(db, &query, page, rows, &count);
        pthread_mutex_unlock(&db->lock);
        STATUS_TRY(status);
        for (size_t i = 0; i < count; i++) {
            const bool wanted =
                aggregate_type.size_bytes == 0 || bytes_equal(rows[i].aggregate_type, aggregate_type);
            if (wanted && !sink(context, &rows[i]))
                return status_ok();
        }
        if (count < LIST_ROWS)
            return status_ok();
        query.after_id = rows[count - 1].aggregate_id;
        query.after_version = rows[count - 1].version;
        struct arena *filled = page;
        page = next;
        next = filled;
    }
}

static struct status remove_locked(struct state_db *db, struct bytes aggregate_id, int32_t version)
{
    STATUS_TRY(state_may_write(db));
    int64_t former_bytes = 0;
    STATUS_TRY(stored_size(db, aggregate_id, version, &former_bytes));
    if (former_bytes < 0)
        return status_ok();
    sqlite3_stmt *remove = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_REMOVE, &remove));
    sqlite3_bind_int(remove, 2, version);
    int code = state_bind(remove, 1, aggregate_id);
    if (code == SQLITE_OK)
        code = sqlite3_step(remove);
    sqlite3_reset(remove);
    sqlite3_clear_bindings(remove);
    if (code != SQLITE_DONE)
        return state_failure(db, code, "removing a snapshot from");
    db->snapshot_count--;
    db->snapshot_bytes -= former_bytes;
    return status_ok();
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    struct state_db *db = db_of(store);
    pthread_mutex_lock(&db->lock);
    const struct status status = remove_locked(db, aggregate_id, version);
    pthread_mutex_unlock(&db->lock);
    return status;
}

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    struct state_db *db = db_of(store);
    pthread_mutex_lock(&db->lock);
    *ret = (struct snapshot_store_stats){
        .engine = "embedded", .snapshot_count = db->snapshot_count, .size_bytes = db->snapshot_bytes};
    pthread_mutex_unlock(&db->lock);
    return status_ok();
}

static void snapshots_close(struct snapshot_store *store)
{
    free(store); /* the database is the event store's */
}

struct status state_snapshots_count(struct state_db *db)
{
    sqlite3_stmt *sums = NULL;
    STATUS_TRY(state_statement(db, SNAPSHOT_SUMS, &sums));
    const int code = sqlite3_step(sums);
    if (code == SQLITE_ROW) {
        db->snapshot_count = sqlite3_column_int64(sums, 0);
        db->snapshot_bytes = sqlite3_column_int64(sums, 1);
    }
    sqlite3_reset(sums);
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
