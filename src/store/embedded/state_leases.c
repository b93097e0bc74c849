/* Leases and checkpoints: the rules are state_rules.h's, here is where they are kept. */
#include <string.h>

#include "base/clock.h"
#include "state_db_internal.h"
#include "store/state_rules.h"

#define LIST_CHECKPOINTS 64U /* fetched at a time: no sink runs on the connection's thread */

static const char lease_remedy[] = "restore state/ from a backup";
static const char checkpoint_remedy[] =
    "restore state/ from a backup, or remove the checkpoint and let its consumer read again";

/* ---- leases ---- */

/* A row that is no lease, which all have names and holders: after its epoch come those of leases not taken yet. */
#define ALL_LEASES BYTES_NONE

struct lease_call {
    struct bytes name;
    struct bytes holder;
    int64_t ttl_ms; /* take */
    int64_t epoch;  /* release */
    struct lease *ret;
};

/* With a text that outlives the statement. */
struct stored_lease {
    struct lease_state state;
    uint8_t holder[LEASE_NAME_MAX_BYTES];
};

static struct status lease_row(const struct state_db *db, struct bytes name, sqlite3_stmt *row,
                               struct stored_lease *ret)
{
    const struct bytes holder = state_column(row, 0);
    if (sqlite3_column_int(row, 4) == 0 || holder.size_bytes > sizeof ret->holder)
        return state_damaged(db, "the lease", name, lease_remedy);
    if (holder.size_bytes > 0)
        memcpy(ret->holder, holder.data, holder.size_bytes);
    ret->state = (struct lease_state){
        .holder = bytes_of(ret->holder, holder.size_bytes),
        .lease = {.epoch = sqlite3_column_int64(row, 1), .ends_at_us = sqlite3_column_int64(row, 3)},
        .ttl_us = sqlite3_column_int64(row, 2),
    };
    return status_ok();
}

/* All zero when there is none. */
static struct status row_get(struct state_db *db, struct bytes name, struct stored_lease *ret)
{
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, LEASE_GET, &get));
    ret->state = (struct lease_state){.holder = BYTES_NONE};
    int code = state_bind(get, 1, name);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    struct status status = status_ok();
    if (code == SQLITE_ROW)
        status = lease_row(db, name, get, ret);
    else if (code != SQLITE_DONE)
        status = state_failure(db, code, "reading a lease from");
    state_release(get);
    return status;
}

static bool was_taken(const struct stored_lease *lease)
{
    return lease->state.holder.size_bytes > 0;
}

static struct status lease_get(struct state_db *db, struct bytes name, struct stored_lease *ret)
{
    STATUS_TRY(row_get(db, name, ret));
    return was_taken(ret) ? status_ok() : row_get(db, ALL_LEASES, ret);
}

static struct status lease_put(struct state_db *db, struct bytes name, const struct lease_state *lease)
{
    sqlite3_stmt *put = NULL;
    STATUS_TRY(state_statement(db, LEASE_PUT, &put));
    sqlite3_bind_int64(put, 3, lease->lease.epoch);
    sqlite3_bind_int64(put, 4, lease->ttl_us);
    sqlite3_bind_int64(put, 5, lease->lease.ends_at_us);
    int code = state_bind(put, 1, name);
    if (code == SQLITE_OK)
        code = state_bind(put, 2, lease->holder);
    return state_finish(db, put, code, "writing a lease to");
}

struct status state_leases_begin_above(struct state_db *db, int64_t epoch)
{
    const struct lease_state state = {.holder = BYTES_NONE, .lease = {.epoch = epoch}};
    return lease_put(db, ALL_LEASES, &state);
}

static struct status take(struct state_db *db, void *context)
{
    const struct lease_call *call = context;
    struct stored_lease stored;
    struct lease_state taken;
    STATUS_TRY(lease_get(db, call->name, &stored));
    STATUS_TRY(
        lease_take(&stored.state, call->name, call->holder, call->ttl_ms, clock_now_us(db->clock), &taken));
    STATUS_TRY(lease_put(db, call->name, &taken));
    *call->ret = taken.lease;
    return status_ok();
}

struct status state_db_lease(struct state_db *db, struct bytes name, struct bytes holder, int64_t ttl_ms,
                             struct lease *ret)
{
    struct lease taken = {0};
    struct lease_call call = {.name = name, .holder = holder, .ttl_ms = ttl_ms, .ret = &taken};
    STATUS_TRY(state_run(db, STATE_WRITE_NOW, take, &call));
    *ret = taken; /* only now: the transaction might have failed behind take() */
    return status_ok();
}

static struct status release(struct state_db *db, void *context)
{
    const struct lease_call *call = context;
    struct stored_lease stored;
    STATUS_TRY(lease_get(db, call->name, &stored));
    if (!lease_is_held(&stored.state, call->holder, call->epoch))
        return status_ok();
    stored.state.lease.ends_at_us = 0;
    return lease_put(db, call->name, &stored.state);
}

struct status state_db_lease_release(struct state_db *db, struct bytes name, struct bytes holder,
                                     int64_t epoch)
{
    struct lease_call call = {.name = name, .holder = holder, .epoch = epoch};
    return state_run(db, STATE_WRITE_NOW, release, &call);
}

/* ---- checkpoints ---- */

struct checkpoint_call {
    struct checkpoint_request request;
    struct checkpoint *ret; /* get */
    int64_t count;          /* cut */
};

static struct status checkpoint_row(const struct state_db *db, struct bytes name, sqlite3_stmt *row,
                                    struct checkpoint *ret)
{
    if (sqlite3_column_int(row, 3) == 0)
        return state_damaged(db, "the checkpoint", name, checkpoint_remedy);
    *ret = (struct checkpoint){
        .position = sqlite3_column_int64(row, 0),
        .epoch = sqlite3_column_int64(row, 1),
        .put_at_us = sqlite3_column_int64(row, 2),
    };
    return status_ok();
}

/* NOT_FOUND leaves ret alone. */
static struct status checkpoint_get(struct state_db *db, struct bytes name, struct checkpoint *ret)
{
    sqlite3_stmt *get = NULL;
    STATUS_TRY(state_statement(db, CHECKPOINT_GET, &get));
    int code = state_bind(get, 1, name);
    if (code == SQLITE_OK)
        code = sqlite3_step(get);
    struct status status;
    if (code == SQLITE_ROW)
        status = checkpoint_row(db, name, get, ret);
    else if (code == SQLITE_DONE)
        status = status_error(STATUS_NOT_FOUND, "no checkpoint \"%.*s\" is stored", BYTES_FORMAT(name));
    else
        status = state_failure(db, code, "reading a checkpoint from");
    state_release(get);
    return status;
}

static struct status put(struct state_db *db, void *context)
{
    struct checkpoint_request *request = &((struct checkpoint_call *)context)->request;
    struct stored_lease lease;
    struct checkpoint stored = {0};
    STATUS_TRY(lease_get(db, request->name, &lease));
    /* Who works under no lease is behind none; a lease that is not there may have been lost with a former state/. */
    request->lease_epoch = was_taken(&lease) || request->epoch > 0 ? lease.state.lease.epoch : 0;
    const struct status got = checkpoint_get(db, request->name, &stored);
    if (got.code != STATUS_OK && got.code != STATUS_NOT_FOUND)
        return got;
    STATUS_TRY(checkpoint_check(got.code == STATUS_OK ? &stored : NULL, request));
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, CHECKPOINT_PUT, &statement));
    sqlite3_bind_int64(statement, 2, request->position);
    sqlite3_bind_int64(statement, 3, request->epoch);
    sqlite3_bind_int64(statement, 4, clock_now_us(db->clock));
    return state_finish(db, statement, state_bind(statement, 1, request->name), "writing a checkpoint to");
}

struct status state_db_checkpoint_put(struct state_db *db, struct bytes name, int64_t position, int64_t epoch,
                                      int64_t head_position)
{
    struct checkpoint_call call = {
        .request = {.name = name, .position = position, .epoch = epoch, .head_position = head_position}};
    return state_run(db, STATE_WRITE, put, &call);
}

static struct status get(struct state_db *db, void *context)
{
    const struct checkpoint_call *call = context;
    return checkpoint_get(db, call->request.name, call->ret);
}

struct status state_db_checkpoint_get(struct state_db *db, struct bytes name, struct checkpoint *ret)
{
    struct checkpoint_call call = {.request = {.name = name}, .ret = ret};
    return state_run(db, STATE_READ, get, &call);
}

static struct status remove_one(struct state_db *db, void *context)
{
    const struct checkpoint_call *call = context;
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, CHECKPOINT_REMOVE, &statement));
    return state_finish(db, statement, state_bind(statement, 1, call->request.name),
                        "removing a checkpoint from");
}

struct status state_db_checkpoint_remove(struct state_db *db, struct bytes name)
{
    struct checkpoint_call call = {.request = {.name = name}};
    return state_run(db, STATE_WRITE, remove_one, &call);
}

static struct status cut(struct state_db *db, void *context)
{
    struct checkpoint_call *call = context;
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, CHECKPOINT_CUT, &statement));
    const int code = sqlite3_bind_int64(statement, 1, call->request.head_position);
    STATUS_TRY(state_finish(db, statement, code, "setting back the checkpoints of"));
    call->count = sqlite3_changes(db->connection);
    return status_ok();
}

struct status state_db_checkpoints_cut(struct state_db *db, int64_t head_position, int64_t *ret_count)
{
    struct checkpoint_call call = {.request = {.head_position = head_position}};
    STATUS_TRY(state_run(db, STATE_WRITE_NOW, cut, &call));
    *ret_count = call.count;
    return status_ok();
}

/* ---- the list ---- */

struct named_checkpoint {
    uint8_t name[LEASE_NAME_MAX_BYTES];
    size_t name_bytes;
    struct checkpoint checkpoint;
};

struct checkpoint_page {
    struct named_checkpoint after; /* name_bytes 0 = from the first */
    struct named_checkpoint rows[LIST_CHECKPOINTS];
    size_t count;
};

static struct status page_row(const struct state_db *db, sqlite3_stmt *row, struct named_checkpoint *ret)
{
    const struct bytes name = state_column(row, 4);
    STATUS_TRY(checkpoint_row(db, name, row, &ret->checkpoint));
    if (name.size_bytes < 1 || name.size_bytes > sizeof ret->name)
        return state_damaged(db, "the checkpoint", name, checkpoint_remedy);
    memcpy(ret->name, name.data, name.size_bytes);
    ret->name_bytes = name.size_bytes;
    return status_ok();
}

static struct status page_fill(struct state_db *db, void *context)
{
    struct checkpoint_page *page = context;
    sqlite3_stmt *list = NULL;
    STATUS_TRY(state_statement(db, CHECKPOINT_LIST, &list));
    page->count = 0;
    int code = state_bind(list, 1, bytes_of(page->after.name, page->after.name_bytes));
    struct status status = status_ok();
    while (code == SQLITE_OK && status.code == STATUS_OK && page->count < LIST_CHECKPOINTS) {
        code = sqlite3_step(list);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        status = page_row(db, list, &page->rows[page->count]);
        page->count += status.code == STATUS_OK;
    }
    if (status.code == STATUS_OK && code != SQLITE_OK && code != SQLITE_DONE)
        status = state_failure(db, code, "listing the checkpoints of");
    state_release(list);
    return status;
}

struct status state_db_checkpoints(struct state_db *db, checkpoint_sink sink, void *context)
{
    struct checkpoint_page page = {.after = {.name_bytes = 0}};
    do {
        STATUS_TRY(state_run(db, STATE_READ, page_fill, &page));
        for (size_t i = 0; i < page.count; i++) {
            const struct named_checkpoint *row = &page.rows[i];
            if (!sink(context, bytes_of(row->name, row->name_bytes), &row->checkpoint))
                return status_ok();
        }
        if (page.count > 0)
            page.after = page.rows[page.count - 1];
    } while (page.count == LIST_CHECKPOINTS);
    return status_ok();
}
