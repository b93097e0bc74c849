#include <string.h>

#include "state_db_internal.h"
#include "store/state_rules.h"

#define LIST_ROWS  64U                /* fetched at a time: no sink runs on the connection's thread, … */
#define LIST_BYTES (4U * 1024 * 1024) /* … and no list takes up all memory */

/* ---- the remembered head ---- */

static struct status head_damaged(const struct state_db *db)
{
    return status_reason(
        REASON_DAMAGED,
        "%s is damaged: the remembered head does not fit its checksum; restore state/ from a "
        "backup, or start once with --accept-state-loss after moving it away",
        db->path);
}

static struct status head_row(const struct state_db *db, sqlite3_stmt *row, struct remembered_head *ret)
{
    const struct bytes chain = state_column(row, 1);
    if (sqlite3_column_int(row, 6) == 0 || chain.size_bytes != SHA256_BYTES)
        return head_damaged(db);
    *ret = (struct remembered_head){
        .position = sqlite3_column_int64(row, 0),
        .segment = sqlite3_column_int64(row, 2),
        .end_offset = (uint64_t)sqlite3_column_int64(row, 3),
        .writer_epoch = (uint64_t)sqlite3_column_int64(row, 4),
        .clean = sqlite3_column_int(row, 5) != 0,
    };
    memcpy(ret->chain.bytes, chain.data, SHA256_BYTES);
    return status_ok();
}

static struct status head_get(struct state_db *db, void *context)
{
    struct remembered_head *ret = context;
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, STATE_HEAD_GET, &get));
    const int code = sqlite3_step(get);
    struct status status;
    if (code == SQLITE_ROW)
        status = head_row(db, get, ret);
    else if (code == SQLITE_DONE)
        status = head_damaged(db); /* the tables are made with one */
    else
        status = state_failure(db, code, "reading the remembered head from");
    state_release(get);
    return status;
}

struct status state_db_head_get(struct state_db *db, struct remembered_head *ret)
{
    return state_run(db, STATE_READ, head_get, ret);
}

static struct status head_put(struct state_db *db, void *context)
{
    const struct remembered_head *head = context;
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, STATE_HEAD_PUT, &put));
    sqlite3_bind_int64(put, 1, head->position);
    sqlite3_bind_int64(put, 3, head->segment);
    sqlite3_bind_int64(put, 4, (int64_t)head->end_offset);
    sqlite3_bind_int64(put, 5, (int64_t)head->writer_epoch);
    sqlite3_bind_int(put, 6, head->clean);
    const int code = state_bind(put, 2, bytes_of(head->chain.bytes, SHA256_BYTES));
    return state_finish(db, put, code, "writing the remembered head to");
}

struct status state_db_head_put(struct state_db *db, const struct remembered_head *head)
{
    struct remembered_head copy = *head;
    return state_run(db, head->clean ? STATE_WRITE_NOW : STATE_WRITE, head_put, &copy);
}

/* ---- values ---- */

static const char value_remedy[] = "restore state/ from a backup, or put the value anew";

struct value_call {
    struct bytes key;
    struct bytes value;  /* put */
    struct arena *arena; /* get */
    struct bytes *ret;
};

static struct status value_row(const struct state_db *db, const struct value_call *call, sqlite3_stmt *row)
{
    const struct bytes value = state_column(row, 0);
    if (sqlite3_column_int(row, 1) == 0)
        return state_damaged(db, "the value of", call->key, value_remedy);
    const struct bytes copy = arena_bytes(call->arena, value);
    if (copy.data == NULL && value.size_bytes > 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a value of %zu bytes",
                            value.size_bytes);
    *call->ret = copy;
    return status_ok();
}

static struct status value_get(struct state_db *db, void *context)
{
    const struct value_call *call = context;
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_GET, &get));
    int code = state_bind(get, 1, call->key);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    struct status status;
    if (code == SQLITE_ROW)
        status = value_row(db, call, get);
    else if (code == SQLITE_DONE)
        status = status_error(STATUS_NOT_FOUND, "no value is stored under \"%.*s\"", BYTES_FORMAT(call->key));
    else
        status = state_failure(db, code, "reading a value from");
    state_release(get);
    return status;
}

struct status state_db_get(struct state_db *db, struct bytes key, struct arena *arena, struct bytes *ret)
{
    struct value_call call = {.key = key, .arena = arena, .ret = ret};
    return state_run(db, STATE_READ, value_get, &call);
}

static struct status value_put(struct state_db *db, void *context)
{
    const struct value_call *call = context;
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_PUT, &put));
    int code = state_bind(put, 1, call->key);
    if (code == SQLITE_OK)
        code = state_bind(put, 2, call->value);
    return state_finish(db, put, code, "writing a value to");
}

struct status state_db_put(struct state_db *db, struct bytes key, struct bytes value)
{
    struct value_call call = {.key = key, .value = value};
    STATUS_TRY(state_value_check(key, value));
    return state_run(db, STATE_WRITE, value_put, &call);
}

static struct status value_remove(struct state_db *db, void *context)
{
    const struct value_call *call = context;
    sqlite3_stmt *remove = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_REMOVE, &remove));
    return state_finish(db, remove, state_bind(remove, 1, call->key), "removing a value from");
}

struct status state_db_remove(struct state_db *db, struct bytes key)
{
    struct value_call call = {.key = key};
    return state_run(db, STATE_WRITE, value_remove, &call);
}

/* ---- lists ---- */

struct value_page {
    struct bytes prefix;
    struct bytes after;
    struct arena *arena;
    struct {
        struct bytes key;
        struct bytes value;
    } rows[LIST_ROWS];
    size_t count;
    bool more;
};

static bool begins_with(struct bytes text, struct bytes prefix)
{
    return text.size_bytes >= prefix.size_bytes &&
           bytes_equal(bytes_of(text.data, prefix.size_bytes), prefix);
}

static struct status page_row(const struct state_db *db, struct value_page *page, sqlite3_stmt *row)
{
    const struct bytes key = state_column(row, 0);
    const struct bytes value = state_column(row, 1);
    if (sqlite3_column_int(row, 2) == 0)
        return state_damaged(db, "the value of", key, value_remedy);
    page->rows[page->count].key = arena_bytes(page->arena, key);
    page->rows[page->count].value = arena_bytes(page->arena, value);
    if (page->rows[page->count].key.data == NULL ||
        (page->rows[page->count].value.data == NULL && value.size_bytes > 0))
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list values");
    page->count++;
    return status_ok();
}

static struct status page_fill(struct state_db *db, void *context)
{
    struct value_page *page = context;
    sqlite3_stmt *list = NULL;
    STATUS_TRY(state_statement(db, STATE_VALUE_LIST, &list));
    page->count = 0;
    int code = state_bind(list, 1, page->prefix);
    if (code == SQLITE_OK)
        code = state_bind(list, 2, page->after);
    struct status status = status_ok();
    while (code == SQLITE_OK && status.code == STATUS_OK && page->count < LIST_ROWS &&
           arena_used_bytes(page->arena) < LIST_BYTES) {
        code = sqlite3_step(list);
        if (code != SQLITE_ROW)
            break;
        code = begins_with(state_column(list, 0), page->prefix) ? SQLITE_OK : SQLITE_DONE;
        if (code == SQLITE_OK)
            status = page_row(db, page, list);
    }
    page->more = code == SQLITE_OK;
    if (status.code == STATUS_OK && code != SQLITE_OK && code != SQLITE_DONE)
        status = state_failure(db, code, "listing the values of");
    state_release(list);
    return status;
}

struct status state_db_list(struct state_db *db, struct bytes prefix, struct bytes after_key, state_sink sink,
                            void *context)
{
    /* Two arenas in turn: the key to go on from lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *filled = arena_new(0);
    CLEANUP(arena_free_at) struct arena *free_arena = arena_new(0);
    if (filled == NULL || free_arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list values");
    struct value_page page = {.prefix = prefix, .after = after_key, .more = true};
    while (page.more) {
        arena_reset(free_arena);
        page.arena = free_arena;
        STATUS_TRY(state_run(db, STATE_READ, page_fill, &page));
        for (size_t i = 0; i < page.count; i++) {
            if (!sink(context, page.rows[i].key, page.rows[i].value))
                return status_ok();
        }
        if (page.count > 0)
            page.after = page.rows[page.count - 1].key;
        free_arena = filled;
        filled = page.arena;
    }
    return status_ok();
}
