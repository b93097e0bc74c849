/* Values beside the events, leases and checkpoints: the rules are state_rules.h's, here is where they are kept. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mysql_internal.h"
#include "store/state_rules.h"

#define LIST_PAGE     64
#define ATTEMPTS_MOST 5

/* ---- values ---- */

struct value_call {
    struct bytes key;
    struct bytes value;
    struct arena *arena;
    bool found;
};

static struct status take_value(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct value_call *call = context;
    const struct bytes stored = sql_column(row, 0);
    call->value = arena_bytes(call->arena, stored);
    call->found = true;
    return call->value.data != NULL || stored.size_bytes == 0 ? status_ok() : mysql_no_memory();
}

static void write_get(void *context, struct mysql_link *link)
{
    const struct value_call *call = context;
    sql_printf(&link->sql,
               "SELECT value FROM strata_state WHERE store=%" PRId64 " AND name=", link->store->number);
    sql_bytes(&link->sql, call->key);
}

static void write_put(void *context, struct mysql_link *link)
{
    const struct value_call *call = context;
    sql_printf(&link->sql, "INSERT INTO strata_state VALUES (%" PRId64 ",", link->store->number);
    sql_bytes(&link->sql, call->key);
    sql_text(&link->sql, ",");
    sql_value(link, call->value);
    sql_text(&link->sql, ") ON DUPLICATE KEY UPDATE value=VALUES(value)");
}

static void write_remove(void *context, struct mysql_link *link)
{
    const struct value_call *call = context;
    sql_printf(&link->sql, "DELETE FROM strata_state WHERE store=%" PRId64 " AND name=", link->store->number);
    sql_bytes(&link->sql, call->key);
}

struct status mysql_store_state_get(struct event_store *store, struct bytes key, struct arena *arena,
                                    struct bytes *ret)
{
    struct value_call value = {.key = key, .arena = arena};
    const struct mysql_call call = {write_get, take_value, NULL, &value};
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    if (!value.found)
        return status_error(STATUS_NOT_FOUND, "no value is stored under \"%.*s\"", BYTES_FORMAT(key));
    *ret = value.value;
    return status_ok();
}

struct status mysql_store_state_put(struct event_store *store, struct bytes key, struct bytes value)
{
    struct value_call put = {.key = key, .value = value};
    const struct mysql_call call = {write_put, NULL, NULL, &put};
    STATUS_TRY(state_value_check(key, value));
    return mysql_call_run(mysql_of(store), &call);
}

struct status mysql_store_state_remove(struct event_store *store, struct bytes key)
{
    struct value_call gone = {.key = key};
    const struct mysql_call call = {write_remove, NULL, NULL, &gone};
    return mysql_call_run(mysql_of(store), &call);
}

struct swap_call {
    struct bytes key;
    const struct bytes *expected;
    struct bytes value;
    int64_t rows;
};

static void write_swap(void *context, struct mysql_link *link)
{
    const struct swap_call *call = context;
    if (call->expected == NULL) {
        sql_printf(&link->sql, "INSERT INTO strata_state VALUES (%" PRId64 ",", link->store->number);
        sql_bytes(&link->sql, call->key);
        sql_text(&link->sql, ",");
        sql_bytes(&link->sql, call->value);
        sql_text(&link->sql, ") ON DUPLICATE KEY UPDATE name=name");
    } else {
        sql_text(&link->sql, "UPDATE strata_state SET value=");
        sql_bytes(&link->sql, call->value);
        sql_printf(&link->sql, " WHERE store=%" PRId64 " AND name=", link->store->number);
        sql_bytes(&link->sql, call->key);
        sql_text(&link->sql, " AND value=");
        sql_bytes(&link->sql, *call->expected);
    }
    sql_text(&link->sql, ";SELECT ROW_COUNT()");
}

static struct status take_rows(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    ((struct swap_call *)context)->rows = sql_int(row, 0);
    return status_ok();
}

struct status mysql_store_state_swap(struct event_store *store, struct bytes key,
                                     const struct bytes *expected, struct bytes value, bool *ret_put)
{
    struct swap_call swap = {.key = key, .expected = expected, .value = value};
    const struct mysql_call call = {write_swap, take_rows, NULL, &swap};
    STATUS_TRY(state_swap_check(key, value));
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    *ret_put = swap.rows == 1; /* 0: of rows that change, as the library counts unless it is told otherwise */
    return status_ok();
}

struct value_page {
    struct bytes prefix;
    struct bytes after; /* empty = from the first */
    struct arena *arena;
    struct bytes keys[LIST_PAGE];
    struct bytes values[LIST_PAGE];
    size_t count;
};

static void restart_values(void *context)
{
    ((struct value_page *)context)->count = 0;
}

static struct status take_listed_value(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct value_page *page = context;
    page->keys[page->count] = arena_bytes(page->arena, sql_column(row, 0));
    page->values[page->count] = arena_bytes(page->arena, sql_column(row, 1));
    return page->keys[page->count++].data != NULL ? status_ok() : mysql_no_memory();
}

static void write_value_page(void *context, struct mysql_link *link)
{
    const struct value_page *page = context;
    sql_printf(&link->sql, "SELECT name, value FROM strata_state WHERE store=%" PRId64, link->store->number);
    if (page->prefix.size_bytes > 0) {
        sql_text(&link->sql, " AND name>=");
        sql_bytes(&link->sql, page->prefix);
        sql_printf(&link->sql, " AND LEFT(name,%zu)=", page->prefix.size_bytes);
        sql_bytes(&link->sql, page->prefix);
    }
    if (page->after.size_bytes > 0) {
        sql_text(&link->sql, " AND name>");
        sql_bytes(&link->sql, page->after);
    }
    sql_printf(&link->sql, " ORDER BY name LIMIT %d", LIST_PAGE);
}

struct status mysql_store_state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                     state_sink sink, void *context)
{
    /* Two arenas in turn: the key to go on from lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *next = arena_new(0);
    if (arena == NULL || next == NULL)
        return mysql_no_memory();
    struct value_page page = {.prefix = prefix, .after = after_key};
    const struct mysql_call call = {write_value_page, take_listed_value, restart_values, &page};
    do {
        page.arena = next;
        arena_reset(next);
        STATUS_TRY(mysql_call_run(mysql_of(store), &call));
        for (size_t i = 0; i < page.count; i++)
            if (!sink(context, page.keys[i], page.values[i]))
                return status_ok();
        if (page.count > 0)
            page.after = page.keys[page.count - 1];
        struct arena *filled = next;
        next = arena;
        arena = filled;
    } while (page.count == LIST_PAGE);
    return status_ok();
}

/* ---- a transaction on one row ---- */

/* Reads under locks in one packet, decides, writes in another. */
struct row_change {
    void (*read)(void *context, struct mysql_link *link);
    sql_take take;
    struct status (*decide)(void *context, bool *ret_write);
    void (*write)(void *context, struct mysql_link *link);
    void (*restart)(void *context);
    void *context;
};

static struct status change_row_once(struct mysql_link *link, const struct row_change *change,
                                     struct sql_failure *failure)
{
    bool write = false;
    *failure = (struct sql_failure){0};
    STATUS_TRY(mysql_link_begin(link));
    change->restart(change->context);
    change->read(change->context, link);
    struct status status = mysql_link_run(link, change->take, change->context, failure);
    if (status.code != STATUS_OK) {
        mysql_link_drop(link); /* with it goes what the transaction holds */
        return status;
    }
    status = change->decide(change->context, &write);
    buffer_clear(&link->sql);
    if (write) {
        change->write(change->context, link);
        sql_text(&link->sql, ";");
    }
    sql_text(&link->sql, write ? "COMMIT" : "ROLLBACK");
    const struct status ended = mysql_link_run(link, NULL, NULL, failure);
    if (ended.code == STATUS_OK)
        return status;
    mysql_link_drop(link);
    return ended;
}

/*
 * Deadlocks and lost connections begin anew. Every change is one that may be repeated: a lease that was taken is renewed
 * by the same holder, a checkpoint put again.
 */
static struct status change_row(struct mysql_store *store, const struct row_change *change)
{
    struct mysql_link *link = NULL;
    struct sql_failure failure = {0};
    struct status status = status_ok();
    STATUS_TRY(mysql_pool_take(store, &link));
    for (int attempt = 0; attempt < ATTEMPTS_MOST; attempt++) {
        status = change_row_once(link, change, &failure);
        if (failure.number == 0)
            break;
    }
    mysql_pool_give(store, link);
    return status;
}

static const char server_time[] = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

static int64_t now_us(const struct mysql_store *store, int64_t server_us)
{
    return store->settings.lease_clock == NULL ? server_us : clock_now_us(store->settings.lease_clock);
}

/* ---- leases ---- */

enum lease_statement { LEASE_ROW = 2, LEASE_TIME };

struct lease_call {
    const struct mysql_store *store;
    struct bytes name;
    struct bytes holder;
    int64_t ttl_ms; /* take */
    int64_t epoch;  /* release */
    uint8_t stored_holder[LEASE_NAME_MAX_BYTES];
    struct lease_state stored;
    int64_t server_us;
    struct lease_state taken;
};

static void restart_lease(void *context)
{
    ((struct lease_call *)context)->stored = (struct lease_state){0};
}

/* The row is made first, since one that is not there cannot be locked; the insert locks one that is. */
static void write_lease_read(void *context, struct mysql_link *link)
{
    const struct lease_call *call = context;
    sql_printf(&link->sql, "START TRANSACTION;INSERT INTO strata_leases VALUES (%" PRId64 ",",
               link->store->number);
    sql_bytes(&link->sql, call->name);
    sql_printf(
        &link->sql,
        ",'',0,0,0) ON DUPLICATE KEY UPDATE name=VALUES(name);SELECT holder, epoch, ttl_us, ends_at_us FROM strata_leases WHERE store=%" PRId64
        " AND name=",
        link->store->number);
    sql_bytes(&link->sql, call->name);
    sql_text(&link->sql, " FOR UPDATE;");
    sql_text(&link->sql, server_time);
}

static struct status take_lease_row(void *context, unsigned statement, const struct sql_row *row)
{
    struct lease_call *call = context;
    if (statement == LEASE_TIME)
        call->server_us = sql_int(row, 0);
    if (statement != LEASE_ROW)
        return status_ok();
    const struct bytes holder = sql_column(row, 0);
    if (holder.size_bytes > sizeof call->stored_holder)
        return status_reason(REASON_DAMAGED, "the holder of a lease in strata_leases has %zu bytes",
                             holder.size_bytes);
    if (holder.size_bytes > 0)
        memcpy(call->stored_holder, holder.data, holder.size_bytes);
    call->stored = (struct lease_state){
        .holder = bytes_of(call->stored_holder, holder.size_bytes),
        .lease = {.epoch = sql_int(row, 1), .ends_at_us = sql_int(row, 3)},
        .ttl_us = sql_int(row, 2),
    };
    return status_ok();
}

static struct status decide_take(void *context, bool *ret_write)
{
    struct lease_call *call = context;
    const struct status status = lease_take(&call->stored, call->name, call->holder, call->ttl_ms,
                                            now_us(call->store, call->server_us), &call->taken);
    *ret_write = status.code == STATUS_OK;
    return status;
}

static struct status decide_release(void *context, bool *ret_write)
{
    struct lease_call *call = context;
    *ret_write = lease_is_held(&call->stored, call->holder, call->epoch);
    call->taken = call->stored;
    call->taken.lease.ends_at_us = 0;
    return status_ok();
}

static void write_lease(void *context, struct mysql_link *link)
{
    const struct lease_call *call = context;
    sql_text(&link->sql, "UPDATE strata_leases SET holder=");
    sql_bytes(&link->sql, call->taken.holder);
    sql_printf(&link->sql, ", epoch=%" PRId64 ", ttl_us=%" PRId64 ", ends_at_us=%" PRId64,
               call->taken.lease.epoch, call->taken.ttl_us, call->taken.lease.ends_at_us);
    sql_printf(&link->sql, " WHERE store=%" PRId64 " AND name=", link->store->number);
    sql_bytes(&link->sql, call->name);
}

/* What cannot be a lease must not make a row: the rules are asked before the row is. */
static struct status check_lease(const struct lease_call *call)
{
    const struct lease_state never = {.holder = BYTES_NONE};
    struct lease_state taken;
    return lease_take(&never, call->name, call->holder, call->ttl_ms, 0, &taken);
}

struct status mysql_store_lease(struct event_store *base, struct bytes name, struct bytes holder,
                                int64_t ttl_ms, struct lease *ret)
{
    struct lease_call lease = {.store = mysql_of(base), .name = name, .holder = holder, .ttl_ms = ttl_ms};
    STATUS_TRY(check_lease(&lease));
    const struct row_change change = {write_lease_read, take_lease_row, decide_take,
                                      write_lease,      restart_lease,  &lease};
    STATUS_TRY(change_row(mysql_of(base), &change));
    *ret = lease.taken.lease;
    return status_ok();
}

struct status mysql_store_lease_release(struct event_store *base, struct bytes name, struct bytes holder,
                                        int64_t epoch)
{
    struct lease_call lease = {.store = mysql_of(base), .name = name, .holder = holder, .epoch = epoch};
    const struct row_change change = {write_lease_read, take_lease_row, decide_release,
                                      write_lease,      restart_lease,  &lease};
    return change_row(mysql_of(base), &change);
}

static void write_forget(void *context, struct mysql_link *link)
{
    const struct lease_call *call = context;
    sql_printf(&link->sql,
               "DELETE FROM strata_leases WHERE store=%" PRId64 " AND name=", link->store->number);
    sql_bytes(&link->sql, call->name);
    sql_text(&link->sql, " AND holder=");
    sql_bytes(&link->sql, call->holder);
    sql_printf(&link->sql, " AND epoch=%" PRId64 " AND ends_at_us<>0", call->epoch);
}

struct status mysql_store_lease_forget(struct event_store *base, struct bytes name, struct bytes holder,
                                       int64_t epoch)
{
    struct lease_call lease = {.name = name, .holder = holder, .epoch = epoch};
    const struct mysql_call call = {write_forget, NULL, NULL, &lease};
    return mysql_call_run(mysql_of(base), &call);
}

/* ---- checkpoints ---- */

#define NO_POSITION (-1) /* of a row that is no checkpoint */

enum checkpoint_statement { CHECKPOINT_ROW = 2, CHECKPOINT_LEASE, CHECKPOINT_HEAD, CHECKPOINT_TIME };

struct checkpoint_call {
    const struct mysql_store *store;
    struct checkpoint_request request;
    bool found;
    bool leased; /* a lease of that name was taken once */
    struct checkpoint stored;
    int64_t server_us;
};

static void restart_checkpoint(void *context)
{
    struct checkpoint_call *call = context;
    call->found = call->leased = false;
    call->request.lease_epoch = 0;
}

static void write_named(struct mysql_link *link, const char *before, struct bytes name)
{
    sql_text(&link->sql, before);
    sql_printf(&link->sql, " WHERE store=%" PRId64 " AND name=", link->store->number);
    sql_bytes(&link->sql, name);
}

static void write_checkpoint_read(void *context, struct mysql_link *link)
{
    const struct checkpoint_call *call = context;
    sql_printf(&link->sql, "START TRANSACTION;INSERT INTO strata_checkpoints VALUES (%" PRId64 ",",
               link->store->number);
    sql_bytes(&link->sql, call->request.name);
    sql_printf(&link->sql, ",%d,0,0) ON DUPLICATE KEY UPDATE name=VALUES(name)", NO_POSITION);
    write_named(link, ";SELECT position, epoch, put_at_us FROM strata_checkpoints", call->request.name);
    write_named(link, " FOR UPDATE;SELECT epoch, holder FROM strata_leases", call->request.name);
    sql_printf(&link->sql, " LOCK IN SHARE MODE;SELECT position FROM strata_stores WHERE store=%" PRId64 ";",
               link->store->number);
    sql_text(&link->sql, server_time);
}

static void take_stored(struct checkpoint_call *call, const struct sql_row *row)
{
    call->stored = (struct checkpoint){sql_int(row, 0), sql_int(row, 1), sql_int(row, 2)};
    call->found = call->stored.position != NO_POSITION;
}

static struct status take_checkpoint_row(void *context, unsigned statement, const struct sql_row *row)
{
    struct checkpoint_call *call = context;
    if (statement == CHECKPOINT_ROW)
        take_stored(call, row);
    else if (statement == CHECKPOINT_LEASE && sql_column(row, 1).size_bytes > 0) {
        call->request.lease_epoch = sql_int(row, 0);
        call->leased = true;
    } else if (statement == CHECKPOINT_HEAD)
        call->request.head_position = sql_int(row, 0);
    else if (statement == CHECKPOINT_TIME)
        call->server_us = sql_int(row, 0);
    return status_ok();
}

static struct status decide_put(void *context, bool *ret_write)
{
    struct checkpoint_call *call = context;
    const struct status status = checkpoint_check(call->found ? &call->stored : NULL, &call->request);
    *ret_write = status.code == STATUS_OK;
    return status;
}

static void write_checkpoint(void *context, struct mysql_link *link)
{
    const struct checkpoint_call *call = context;
    sql_printf(&link->sql,
               "UPDATE strata_checkpoints SET position=%" PRId64 ", epoch=%" PRId64 ", put_at_us=%" PRId64,
               call->request.position, call->request.epoch, now_us(call->store, call->server_us));
    write_named(link, "", call->request.name);
}

struct status mysql_store_checkpoint_put(struct event_store *base, struct bytes name, int64_t position,
                                         int64_t epoch)
{
    struct checkpoint_call put = {
        .store = mysql_of(base),
        .request = {.name = name, .position = position, .epoch = epoch, .head_position = INT64_MAX}};
    STATUS_TRY(checkpoint_check(NULL, &put.request)); /* a bad name must not make a row */
    const struct row_change change = {write_checkpoint_read, take_checkpoint_row, decide_put,
                                      write_checkpoint,      restart_checkpoint,  &put};
    return change_row(mysql_of(base), &change);
}

static struct status take_got(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    take_stored(context, row);
    return status_ok();
}

static void write_checkpoint_get(void *context, struct mysql_link *link)
{
    const struct checkpoint_call *call = context;
    write_named(link, "SELECT position, epoch, put_at_us FROM strata_checkpoints", call->request.name);
}

static void write_checkpoint_remove(void *context, struct mysql_link *link)
{
    const struct checkpoint_call *call = context;
    write_named(link, "DELETE FROM strata_checkpoints", call->request.name);
}

struct status mysql_store_checkpoint_get(struct event_store *base, struct bytes name, struct checkpoint *ret)
{
    struct checkpoint_call get = {.request = {.name = name}};
    const struct mysql_call call = {write_checkpoint_get, take_got, restart_checkpoint, &get};
    STATUS_TRY(mysql_call_run(mysql_of(base), &call));
    if (!get.found)
        return status_error(STATUS_NOT_FOUND, "no checkpoint \"%.*s\" is stored", BYTES_FORMAT(name));
    *ret = get.stored;
    return status_ok();
}

struct status mysql_store_checkpoint_remove(struct event_store *base, struct bytes name)
{
    struct checkpoint_call gone = {.request = {.name = name}};
    const struct mysql_call call = {write_checkpoint_remove, NULL, NULL, &gone};
    return mysql_call_run(mysql_of(base), &call);
}

/* ---- the list of checkpoints ---- */

struct named_checkpoint {
    uint8_t name[LEASE_NAME_MAX_BYTES];
    size_t name_bytes;
    struct checkpoint checkpoint;
};

struct checkpoint_page {
    struct named_checkpoint after; /* name_bytes 0 = from the first */
    struct named_checkpoint rows[LIST_PAGE];
    size_t count;
};

static void restart_checkpoints(void *context)
{
    ((struct checkpoint_page *)context)->count = 0;
}

static struct status take_listed_checkpoint(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct checkpoint_page *page = context;
    struct named_checkpoint *listed = &page->rows[page->count];
    const struct bytes name = sql_column(row, 0);
    if (name.size_bytes < 1 || name.size_bytes > sizeof listed->name)
        return status_reason(REASON_DAMAGED, "a checkpoint in strata_checkpoints has a name of %zu bytes",
                             name.size_bytes);
    memcpy(listed->name, name.data, name.size_bytes);
    listed->name_bytes = name.size_bytes;
    listed->checkpoint = (struct checkpoint){sql_int(row, 1), sql_int(row, 2), sql_int(row, 3)};
    page->count++;
    return status_ok();
}

static void write_checkpoint_page(void *context, struct mysql_link *link)
{
    const struct checkpoint_page *page = context;
    sql_printf(&link->sql,
               "SELECT name, position, epoch, put_at_us FROM strata_checkpoints WHERE store=%" PRId64
               " AND position<>%d AND name>",
               link->store->number, NO_POSITION);
    sql_bytes(&link->sql, bytes_of(page->after.name, page->after.name_bytes));
    sql_printf(&link->sql, " ORDER BY name LIMIT %d", LIST_PAGE);
}

struct status mysql_store_checkpoints(struct event_store *base, checkpoint_sink sink, void *context)
{
    struct checkpoint_page page = {.after = {.name_bytes = 0}};
    const struct mysql_call call = {write_checkpoint_page, take_listed_checkpoint, restart_checkpoints,
                                    &page};
    do {
        STATUS_TRY(mysql_call_run(mysql_of(base), &call));
        for (size_t i = 0; i < page.count; i++) {
            const struct named_checkpoint *row = &page.rows[i];
            if (!sink(context, bytes_of(row->name, row->name_bytes), &row->checkpoint))
                return status_ok();
        }
        if (page.count > 0)
            page.after = page.rows[page.count - 1];
    } while (page.count == LIST_PAGE);
    return status_ok();
}
