/* Questions with short answers: the head, aggregates, one id, one time, counts. */
#include <inttypes.h>
#include <stdlib.h>

#include "mysql_internal.h"

/* ---- one number ---- */

struct number_question {
    struct bytes key;
    int64_t ret;
};

static void forget_number(void *context)
{
    ((struct number_question *)context)->ret = 0;
}

static struct status take_number(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    ((struct number_question *)context)->ret = sql_int(row, 0);
    return status_ok();
}

static void write_id_question(void *context, struct mysql_link *link)
{
    const struct number_question *question = context;
    sql_printf(&link->sql, "SELECT position FROM strata_events WHERE store=%" PRId64 " AND event_id=",
               link->store->number);
    sql_bytes(&link->sql, question->key);
}

struct status mysql_store_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    struct number_question question = {.key = event_id};
    const struct mysql_call call = {write_id_question, take_number, forget_number, &question};
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    *ret_position = question.ret;
    return status_ok();
}

/* ---- a time ---- */

#define TIME_PROBES 15

/* Times rise with positions: what lies between `low` (not after the time) and `high` (after it) is cut in 16 a question. */
struct time_search {
    int64_t time_us;
    int64_t low;
    int64_t high;
};

static void write_probes(void *context, struct mysql_link *link)
{
    const struct time_search *search = context;
    const int64_t width = search->high - search->low;
    int64_t before = search->low;
    sql_printf(&link->sql,
               "SELECT position, timestamp_us FROM strata_events WHERE store=%" PRId64 " AND position IN (0",
               link->store->number);
    for (int64_t i = 1; i <= TIME_PROBES; i++) {
        const int64_t at = search->low + (int64_t)((__int128)width * i / (TIME_PROBES + 1));
        if (at > before)
            sql_printf(&link->sql, ",%" PRId64, at);
        before = at;
    }
    sql_text(&link->sql, ")");
}

static struct status take_probe(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct time_search *search = context;
    const int64_t position = sql_int(row, 0);
    if (sql_int(row, 1) <= search->time_us)
        search->low = position > search->low ? position : search->low;
    else
        search->high = position < search->high ? position : search->high;
    return status_ok();
}

struct status mysql_store_find_time(struct event_store *store, int64_t time_us, int64_t *ret_position)
{
    struct store_head head;
    STATUS_TRY(mysql_store_head(store, &head));
    struct time_search search = {time_us, 0, head.position + 1};
    if (time_us >= head.timestamp_us)
        search.low = head.position;
    const struct mysql_call call = {write_probes, take_probe, NULL, &search};
    while (search.high - search.low > 1) {
        const int64_t width = search.high - search.low;
        STATUS_TRY(mysql_call_run(mysql_of(store), &call));
        if (search.high - search.low == width)
            return status_reason(REASON_POSITION_MISSING,
                                 "an event between positions %" PRId64 " and %" PRId64
                                 " is not in strata_events",
                                 search.low, search.high);
    }
    *ret_position = search.low;
    return status_ok();
}

/* ---- the head ---- */

static void write_head_question(void *context, struct mysql_link *link)
{
    (void)context;
    sql_printf(
        &link->sql,
        "SELECT position, timestamp_us, chain, aggregate_count FROM strata_stores WHERE store=%" PRId64,
        link->store->number);
}

static struct status take_head(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    return mysql_head_row(row, context);
}

struct status mysql_store_head(struct event_store *store, struct store_head *ret)
{
    struct store_head head = {0};
    const struct mysql_call call = {write_head_question, take_head, NULL, &head};
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    atomic_store(&mysql_of(store)->known_head, head.position); /* an older one only costs the next question */
    *ret = head;
    return status_ok();
}

/* ---- aggregates ---- */

#define AGGREGATE_COLUMNS                                                                                    \
    "a.aggregate_id, a.aggregate_type, a.first_version, a.first_position, " MYSQL_LAST_EVENT(                \
        "version") ", " MYSQL_LAST_EVENT("position")
#define LIST_PAGE 256

struct listed_aggregate {
    struct bytes id;
    struct aggregate_head head;
};

struct listing {
    struct bytes key; /* an id, or a type (empty = all) */
    int64_t after_first_position;
    struct arena *arena;
    struct listed_aggregate page[LIST_PAGE];
    size_t count;
};

static void restart_listing(void *context)
{
    ((struct listing *)context)->count = 0;
}

static struct status take_aggregate(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    struct listing *listing = context;
    const int32_t version = (int32_t)sql_int(row, 4);
    struct listed_aggregate *listed = &listing->page[listing->count];
    *listed = (struct listed_aggregate){
        .id = arena_bytes(listing->arena, sql_column(row, 0)),
        .head = {.exists = true,
                 .type = arena_bytes(listing->arena, sql_column(row, 1)),
                 .version = version,
                 .first_position = sql_int(row, 3),
                 .position = sql_int(row, 5),
                 .event_count = version - (int32_t)sql_int(row, 2) + 1},
    };
    listing->count++;
    return listed->id.data != NULL && listed->head.type.data != NULL ? status_ok() : mysql_no_memory();
}

static void write_aggregate_question(void *context, struct mysql_link *link)
{
    const struct listing *listing = context;
    sql_text(&link->sql, "SELECT " AGGREGATE_COLUMNS " FROM strata_aggregates a WHERE a.store=");
    sql_printf(&link->sql, "%" PRId64 " AND a.aggregate_id=", link->store->number);
    sql_bytes(&link->sql, listing->key);
}

static void write_listing(void *context, struct mysql_link *link)
{
    const struct listing *listing = context;
    sql_text(&link->sql, "SELECT " AGGREGATE_COLUMNS " FROM strata_aggregates a WHERE a.store=");
    sql_printf(&link->sql, "%" PRId64 " AND a.first_position>%" PRId64, link->store->number,
               listing->after_first_position);
    if (listing->key.size_bytes > 0) {
        sql_text(&link->sql, " AND a.aggregate_type=");
        sql_bytes(&link->sql, listing->key);
    }
    sql_printf(&link->sql, " ORDER BY a.first_position LIMIT %d", LIST_PAGE);
}

struct status mysql_store_aggregate(struct event_store *store, struct bytes id, struct arena *arena,
                                    struct aggregate_head *ret)
{
    struct listing *listing = arena_zalloc(arena, sizeof *listing);
    if (listing == NULL)
        return mysql_no_memory();
    listing->key = id;
    listing->arena = arena;
    const struct mysql_call call = {write_aggregate_question, take_aggregate, restart_listing, listing};
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    *ret = listing->count > 0 ? listing->page[0].head : (struct aggregate_head){0};
    return status_ok();
}

static struct status list_pages(struct mysql_store *store, struct listing *listing, aggregate_sink sink,
                                void *context)
{
    const struct mysql_call call = {write_listing, take_aggregate, restart_listing, listing};
    for (;;) {
        arena_reset(listing->arena);
        STATUS_TRY(mysql_call_run(store, &call));
        for (size_t i = 0; i < listing->count; i++)
            if (!sink(context, listing->page[i].id, &listing->page[i].head))
                return status_ok();
        if (listing->count < LIST_PAGE)
            return status_ok();
        listing->after_first_position = listing->page[listing->count - 1].head.first_position;
    }
}

struct status mysql_store_aggregates(struct event_store *store, struct bytes type,
                                     int64_t after_first_position, aggregate_sink sink, void *context)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct listing *listing = arena == NULL ? NULL : calloc(1, sizeof *listing);
    if (listing == NULL)
        return mysql_no_memory();
    listing->key = type;
    listing->after_first_position = after_first_position;
    listing->arena = arena;
    const struct status status = list_pages(mysql_of(store), listing, sink, context);
    free(listing);
    return status;
}

/* ---- counts ---- */

enum stats_statement { STATS_EVENTS, STATS_AGGREGATES, STATS_SIZE };

struct counting {
    struct arena *arena;
    struct event_store_stats *stats;
    struct type_count *lists[2];
    size_t counts[2];
    size_t capacities[2];
};

static void restart_counting(void *context)
{
    struct counting *counting = context;
    counting->counts[0] = counting->counts[1] = 0;
    counting->stats->event_count = counting->stats->system_event_count = 0;
}

static struct status add_type(struct counting *counting, unsigned list, const struct sql_row *row)
{
    if (counting->counts[list] == counting->capacities[list]) {
        const size_t capacity = counting->capacities[list] == 0 ? 16 : counting->capacities[list] * 2;
        struct type_count *grown = arena_array(counting->arena, capacity, sizeof *grown);
        if (grown == NULL)
            return mysql_no_memory();
        for (size_t i = 0; i < counting->counts[list]; i++)
            grown[i] = counting->lists[list][i];
        counting->lists[list] = grown;
        counting->capacities[list] = capacity;
    }
    const struct type_count count = {arena_bytes(counting->arena, sql_column(row, 0)), sql_int(row, 1)};
    counting->lists[list][counting->counts[list]++] = count;
    return count.type.data != NULL ? status_ok() : mysql_no_memory();
}

static struct status take_count(void *context, unsigned statement, const struct sql_row *row)
{
    struct counting *counting = context;
    if (statement == STATS_SIZE) {
        counting->stats->size_bytes = sql_int(row, 0);
        return status_ok();
    }
    if (statement == STATS_EVENTS) {
        const struct bytes type = sql_column(row, 0);
        if (type.size_bytes > 0 && type.data[0] == '$')
            counting->stats->system_event_count += sql_int(row, 1);
        else
            counting->stats->event_count += sql_int(row, 1);
    }
    return add_type(counting, statement, row);
}

static void write_counting(void *context, struct mysql_link *link)
{
    (void)context;
    const int64_t number = link->store->number;
    sql_printf(&link->sql,
               "SELECT type, events FROM strata_type_counts WHERE store=%" PRId64 " ORDER BY type;", number);
    sql_printf(&link->sql,
               "SELECT aggregate_type, COUNT(*) FROM strata_aggregates WHERE store=%" PRId64
               " GROUP BY aggregate_type ORDER BY aggregate_type;",
               number);
    sql_text(&link->sql,
             "SELECT CAST(SUM(data_length + index_length) AS SIGNED) FROM information_schema.tables WHERE "
             "table_schema = DATABASE() AND table_name LIKE 'strata\\_%'");
}

struct status mysql_store_stats(struct event_store *store, struct arena *arena, struct event_store_stats *ret)
{
    *ret = (struct event_store_stats){.engine = "mysql"};
    struct counting counting = {.arena = arena, .stats = ret};
    const struct mysql_call call = {write_counting, take_count, restart_counting, &counting};
    STATUS_TRY(mysql_call_run(mysql_of(store), &call));
    ret->events_by_type = counting.lists[STATS_EVENTS];
    ret->event_type_count = counting.counts[STATS_EVENTS];
    ret->aggregates_by_type = counting.lists[STATS_AGGREGATES];
    ret->aggregate_type_count = counting.counts[STATS_AGGREGATES];
    return status_ok();
}
