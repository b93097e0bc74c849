/* Records by position, aggregate, type and other keys: page by page, so that no connection waits for a slow reader. */
#include <inttypes.h>
#include <stdlib.h>

#include "mysql_internal.h"

#define PAGE_ROWS_FIRST 64
#define PAGE_ROWS_MOST  512
#define PAGE_BYTES      ((size_t)1024 * 1024)
/* Rows behind a full page are read and dropped, which is cheap while they are few. */
#define DROPPED_BYTES_MOST ((size_t)16 * 1024 * 1024)

struct page_entry {
    int64_t position;
    int32_t version;
    struct record record;
};

struct page {
    const struct read_query *query;
    int64_t from_version; /* READ_BY_AGGREGATE; what is left of the query's */
    int64_t to_version;
    int64_t after; /* exclusive, in the direction of the read */
    int64_t to;
    int limit;
    struct arena *arena;
    struct page_entry entries[PAGE_ROWS_MOST];
    size_t count;
    size_t bytes;
    size_t dropped_bytes;
    bool full;
};

/* ---- the statement ---- */

static const char *key_column(enum read_by by)
{
    switch (by) {
    case READ_BY_AGGREGATE:
        return "aggregate_id";
    case READ_BY_TYPE:
        return "type";
    case READ_BY_AGGREGATE_TYPE:
        return "aggregate_type";
    case READ_BY_CORRELATION:
    case READ_BY_TAG:
    case READ_BY_POSITION:
        break;
    }
    return NULL;
}

static bool by_term(const struct read_query *query)
{
    return query->by == READ_BY_CORRELATION || query->by == READ_BY_TAG;
}

static void write_from(struct mysql_link *link, const struct page *page)
{
    const struct read_query *query = page->query;
    const int64_t number = link->store->number;
    if (by_term(query)) {
        sql_printf(
            &link->sql,
            " FROM strata_terms t JOIN strata_events e ON e.store=t.store AND e.position=t.position WHERE "
            "t.store=%" PRId64 " AND t.kind=%d AND t.term=",
            number, query->by == READ_BY_TAG ? MYSQL_TERM_TAG : MYSQL_TERM_CORRELATION);
        sql_bytes(&link->sql, query->key);
        return;
    }
    sql_printf(&link->sql, " FROM strata_events e WHERE e.store=%" PRId64, number);
    if (query->by == READ_BY_POSITION)
        return;
    sql_printf(&link->sql, " AND e.%s=", key_column(query->by));
    sql_bytes(&link->sql, query->key);
    if (query->by == READ_BY_AGGREGATE)
        sql_printf(&link->sql, " AND e.version BETWEEN %" PRId64 " AND %" PRId64, page->from_version,
                   page->to_version);
}

static void write_page(void *context, struct mysql_link *link)
{
    const struct page *page = context;
    const bool backward = page->query->backward;
    const char *alias = by_term(page->query) ? "t" : "e";
    sql_text(&link->sql, "SELECT e.position, e.header_bytes, e.record, e.version");
    write_from(link, page);
    sql_printf(&link->sql, " AND %s.position>%" PRId64 " AND %s.position<%" PRId64, alias,
               backward ? page->query->after_position : page->after, alias,
               backward ? page->after : page->to + 1);
    /* Versions of an aggregate rise with the positions, and they are what its key is ordered by. */
    sql_printf(&link->sql, " ORDER BY %s.%s %s LIMIT %d", alias,
               page->query->by == READ_BY_AGGREGATE ? "version" : "position", backward ? "DESC" : "ASC",
               page->limit);
}

/* ---- its rows ---- */

static void restart_page(void *context)
{
    struct page *page = context;
    arena_reset(page->arena);
    page->count = page->bytes = page->dropped_bytes = 0;
    page->full = false;
}

static struct status take_page_row(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct page *page = context;
    const struct bytes stored = sql_column(row, 2);
    const size_t header_bytes = (size_t)sql_int(row, 1);
    page->full = page->full || (page->count > 0 && page->bytes + stored.size_bytes > PAGE_BYTES);
    if (page->full) {
        page->dropped_bytes += stored.size_bytes;
        return status_ok();
    }
    if (header_bytes > stored.size_bytes)
        return status_reason(REASON_DAMAGED,
                             "the event at position %" PRId64 " has %zu bytes and a header of %zu",
                             sql_int(row, 0), stored.size_bytes, header_bytes);
    const struct bytes copy = arena_bytes(page->arena, stored);
    if (copy.data == NULL)
        return mysql_no_memory();
    page->entries[page->count++] =
        (struct page_entry){sql_int(row, 0), (int32_t)sql_int(row, 3), {copy, header_bytes}};
    page->bytes += stored.size_bytes;
    return status_ok();
}

/* Many small events a page, few large ones. */
static int next_limit(const struct page *page)
{
    const size_t mean = page->count == 0 ? 1 : page->bytes / page->count + 1;
    const size_t fitting = PAGE_BYTES / mean + 1;
    const size_t doubled = (size_t)page->limit * 2;
    const size_t limit = fitting < doubled ? fitting : doubled;
    return limit > PAGE_ROWS_MOST ? PAGE_ROWS_MOST : (int)limit;
}

/* By the version too, since no key of an aggregate finds a position without all events before it. */
static void go_on_behind(struct page *page, const struct page_entry *last)
{
    page->after = last->position;
    if (page->query->backward)
        page->to_version = (int64_t)last->version - 1;
    else
        page->from_version = (int64_t)last->version + 1;
}

static struct status read_pages(struct mysql_store *store, struct page *page, record_sink sink, void *context)
{
    const struct mysql_call call = {write_page, take_page_row, restart_page, page};
    for (;;) {
        STATUS_TRY(mysql_call_run(store, &call));
        const bool last = !page->full && page->count < (size_t)page->limit;
        for (size_t i = 0; i < page->count; i++)
            if (!sink(context, page->entries[i].position, page->entries[i].record))
                return status_ok();
        if (last)
            return status_ok();
        go_on_behind(page, &page->entries[page->count - 1]);
        page->limit = next_limit(page);
    }
}

/* Where the read ends; a bound that is known to be stored needs no question, which would be a round trip a read. */
static struct status find_end(struct mysql_store *store, int64_t to_position, int64_t *ret)
{
    struct store_head head;
    *ret = to_position;
    if (to_position != 0 && to_position <= atomic_load(&store->known_head))
        return status_ok();
    STATUS_TRY(mysql_store_head(&store->store, &head));
    if (to_position == 0 || to_position > head.position)
        *ret = head.position;
    return status_ok();
}

struct status mysql_store_read(struct event_store *base, const struct read_query *query, record_sink sink,
                               void *context)
{
    struct mysql_store *store = mysql_of(base);
    int64_t to = 0;
    STATUS_TRY(find_end(store, query->to_position, &to));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct page *page = arena == NULL ? NULL : calloc(1, sizeof *page);
    if (page == NULL)
        return mysql_no_memory();
    page->query = query;
    page->from_version = query->from_version;
    page->to_version = query->to_version;
    page->arena = arena;
    page->to = to;
    page->after = query->backward ? to + 1 : query->after_position;
    page->limit = PAGE_ROWS_FIRST;
    const struct status status =
        query->after_position >= to ? status_ok() : read_pages(store, page, sink, context);
    free(page);
    return status;
}
