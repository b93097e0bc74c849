/* The first of a batch's two packets: locks the head, reads the time, the named aggregates and the named ids. */
#include <inttypes.h>
#include <string.h>

#include "mysql_internal.h"
#include "store/hash_table.h"

enum facts_statement {
    FACTS_ROLLBACK, /* of what a batch before may have left */
    FACTS_BEGIN,
    FACTS_HEAD,
    FACTS_TIME,
    FACTS_FIRST_ASKED, /* what follows depends on what is asked */
};

/* Where the rows of one packet go. */
struct asking {
    const struct facts_request *request;
    struct arena *arena;
    struct facts *facts;
    struct hash_table aggregates; /* names to their place in the request */
    struct hash_table ids;
    unsigned heads_statement; /* 0 = not asked */
    unsigned ids_statement;
    unsigned records_statement;
    bool found_head;

    /* The appends that hold named ids: their records come in order of position. */
    struct found_id {
        size_t index; /* in the request */
        int64_t first_position;
    } * found;
    size_t found_count;
    struct record *records;
    int64_t *positions;
    size_t record_count;
    size_t record_capacity;
};

static uint32_t find_name(const struct hash_table *table, const struct bytes *names, struct bytes name)
{
    const uint64_t hash = hash_table_hash(table, name);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(table, hash, &state)) != HASH_NONE)
        if (bytes_equal(names[at], name))
            return at;
    return HASH_NONE;
}

static bool enter_names(struct hash_table *table, const struct bytes *names, size_t count)
{
    if (!hash_table_reserve(table, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!hash_table_add(table, hash_table_hash(table, names[i]), (uint32_t)i))
            return false;
    return true;
}

/* ---- rows ---- */

struct status mysql_head_row(const struct sql_row *row, struct store_head *ret)
{
    const struct bytes chain = sql_column(row, 2);
    *ret = (struct store_head){
        .position = sql_int(row, 0), .timestamp_us = sql_int(row, 1), .aggregate_count = sql_int(row, 3)};
    if (chain.size_bytes != sizeof ret->chain)
        return status_reason(REASON_DAMAGED,
                             "the row of the store in strata_stores has a chain of %zu bytes; restore it",
                             chain.size_bytes);
    memcpy(&ret->chain, chain.data, sizeof ret->chain);
    return status_ok();
}

static struct status take_head_of_aggregate(struct asking *asking, const struct sql_row *row)
{
    const uint32_t at = find_name(&asking->aggregates, asking->request->aggregate_ids, sql_column(row, 0));
    if (at == HASH_NONE)
        return status_ok(); /* nobody asked for it */
    struct aggregate_head *head = &asking->facts->heads[at];
    *head = (struct aggregate_head){
        .exists = true,
        .type = arena_bytes(asking->arena, sql_column(row, 1)),
        .version = (int32_t)sql_int(row, 2),
        .position = sql_int(row, 3),
    };
    return head->type.data != NULL ? status_ok() : mysql_no_memory();
}

static struct status take_id(struct asking *asking, const struct sql_row *row)
{
    const uint32_t at = find_name(&asking->ids, asking->request->event_ids, sql_column(row, 0));
    if (at != HASH_NONE)
        asking->found[asking->found_count++] = (struct found_id){at, sql_int(row, 1)};
    return status_ok();
}

static bool more_records(struct asking *asking)
{
    if (asking->record_count < asking->record_capacity)
        return true;
    const size_t capacity = asking->record_capacity == 0 ? 64 : asking->record_capacity * 2;
    struct record *records = arena_array(asking->arena, capacity, sizeof *records);
    int64_t *positions = arena_array(asking->arena, capacity, sizeof *positions);
    if (records == NULL || positions == NULL)
        return false;
    if (asking->record_count > 0) {
        memcpy(records, asking->records, asking->record_count * sizeof *records);
        memcpy(positions, asking->positions, asking->record_count * sizeof *positions);
    }
    asking->records = records;
    asking->positions = positions;
    asking->record_capacity = capacity;
    return true;
}

static struct status take_record(struct asking *asking, const struct sql_row *row)
{
    if (!more_records(asking))
        return mysql_no_memory();
    const struct bytes bytes = arena_bytes(asking->arena, sql_column(row, 2));
    if (bytes.data == NULL)
        return mysql_no_memory();
    asking->positions[asking->record_count] = sql_int(row, 0);
    asking->records[asking->record_count++] = (struct record){bytes, (size_t)sql_int(row, 1)};
    return status_ok();
}

static struct status take_fact(void *context, unsigned statement, const struct sql_row *row)
{
    struct asking *asking = context;
    if (statement == FACTS_HEAD) {
        asking->found_head = true;
        return mysql_head_row(row, &asking->facts->head);
    }
    if (statement == FACTS_TIME) {
        asking->facts->now_us = sql_int(row, 0);
        return status_ok();
    }
    if (statement == asking->heads_statement)
        return take_head_of_aggregate(asking, row);
    return statement == asking->ids_statement ? take_id(asking, row) : take_record(asking, row);
}

/* ---- the packet ---- */

static void write_names(struct mysql_link *link, const struct bytes *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sql_text(link, i == 0 ? "(" : ",");
        sql_bytes(link, names[i]);
    }
    sql_text(link, ")");
}

static void write_facts(struct asking *asking, struct mysql_link *link)
{
    const struct facts_request *request = asking->request;
    const int64_t number = link->store->number;
    unsigned statement = FACTS_FIRST_ASKED;
    sql_printf(link,
               "ROLLBACK;START TRANSACTION;"
               "SELECT position, timestamp_us, chain, aggregate_count FROM strata_stores WHERE store=%" PRId64
               " FOR UPDATE;",
               number);
    sql_text(link, "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)");
    if (request->aggregate_count > 0) {
        asking->heads_statement = statement++;
        sql_printf(
            link,
            ";SELECT aggregate_id, aggregate_type, version, position FROM strata_aggregates WHERE store=%" PRId64
            " AND aggregate_id IN ",
            number);
        write_names(link, request->aggregate_ids, request->aggregate_count);
    }
    if (request->event_id_count == 0)
        return;
    asking->ids_statement = statement++;
    sql_printf(link,
               ";SELECT event_id, append_first FROM strata_events WHERE store=%" PRId64 " AND event_id IN ",
               number);
    write_names(link, request->event_ids, request->event_id_count);
    asking->records_statement = statement++;
    sql_printf(
        link,
        ";SELECT r.position, r.header_bytes, r.record FROM (SELECT DISTINCT append_first, append_count FROM "
        "strata_events WHERE store=%" PRId64 " AND event_id IN ",
        number);
    write_names(link, request->event_ids, request->event_id_count);
    sql_printf(link,
               ") a STRAIGHT_JOIN strata_events r ON r.store=%" PRId64 " AND r.position>=a.append_first AND "
               "r.position<a.append_first+a.append_count ORDER BY r.position",
               number);
}

/* ---- what the rows say ---- */

static size_t record_at(const struct asking *asking, int64_t position)
{
    size_t low = 0;
    for (size_t high = asking->record_count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (asking->positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct status settle_id(struct asking *asking, const struct found_id *found)
{
    struct earlier_append *earlier = &asking->facts->earlier[found->index];
    const size_t first = record_at(asking, found->first_position);
    struct event_fields fields;
    if (first == asking->record_count || asking->positions[first] != found->first_position)
        return status_reason(REASON_POSITION_MISSING,
                             "the event at position %" PRId64 " is not in strata_events",
                             found->first_position);
    STATUS_TRY(record_decode_header(asking->records[first], &fields));
    const size_t count = (size_t)fields.append_count;
    if (first + count > asking->record_count ||
        asking->positions[first + count - 1] != found->first_position + (int64_t)count - 1)
        return status_reason(REASON_POSITION_MISSING,
                             "of the append of %zu events at position %" PRId64
                             " some are not in strata_events",
                             count, found->first_position);
    earlier->records = &asking->records[first];
    earlier->count = count;
    return status_ok();
}

/* What is wrong with one earlier append refuses who named it, nobody else. */
static struct status settle_ids(struct asking *asking)
{
    for (size_t i = 0; i < asking->found_count; i++) {
        const struct status status = settle_id(asking, &asking->found[i]);
        if (status.code == STATUS_OK)
            continue;
        struct status *kept = arena_alloc(asking->arena, sizeof *kept);
        if (kept == NULL)
            return mysql_no_memory();
        *kept = status;
        asking->facts->earlier[asking->found[i].index].unreadable = kept;
    }
    return status_ok();
}

static struct status make_room(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    struct facts *facts = asking->facts;
    facts->heads = arena_array(asking->arena, request->aggregate_count, sizeof *facts->heads);
    facts->earlier = arena_array(asking->arena, request->event_id_count, sizeof *facts->earlier);
    asking->found = arena_array(asking->arena, request->event_id_count, sizeof *asking->found);
    const bool fits = facts->heads != NULL && facts->earlier != NULL && asking->found != NULL &&
                      enter_names(&asking->aggregates, request->aggregate_ids, request->aggregate_count) &&
                      enter_names(&asking->ids, request->event_ids, request->event_id_count);
    return fits ? status_ok() : mysql_no_memory();
}

static struct status ask_once(struct mysql_store *store, struct asking *asking, struct sql_failure *failure)
{
    struct mysql_link *link = &store->writer;
    *failure = (struct sql_failure){0};
    STATUS_TRY(mysql_link_begin(link));
    asking->found_count = asking->record_count = 0;
    write_facts(asking, link);
    atomic_fetch_add(&store->writer_round_trips, 1);
    return mysql_link_run(link, take_fact, asking, failure);
}

static struct status ask(struct mysql_store *store, struct asking *asking)
{
    struct sql_failure failure;
    STATUS_TRY(make_room(asking));
    struct status status = ask_once(store, asking, &failure);
    if (status.code != STATUS_OK && failure.lost) /* it was idle for long; nothing has happened yet */
        status = ask_once(store, asking, &failure);
    STATUS_TRY(status);
    if (!asking->found_head)
        return status_reason(REASON_DAMAGED, "the row of the store is gone from strata_stores; restore it");
    return settle_ids(asking);
}

struct status mysql_store_facts(struct event_store *base, const struct facts_request *request,
                                struct arena *arena, struct facts *ret)
{
    struct mysql_store *store = mysql_of(base);
    struct asking asking = {
        .request = request,
        .arena = arena,
        .facts = ret,
        .aggregates = hash_table_make(store->seed),
        .ids = hash_table_make(store->seed),
    };
    const struct status status = ask(store, &asking);
    hash_table_done(&asking.aggregates);
    hash_table_done(&asking.ids);
    store->hold = (struct mysql_hold){status.code == STATUS_OK, ret->head};
    if (status.code != STATUS_OK && store->writer.handle != NULL)
        mysql_link_drop(&store->writer); /* with it goes whatever it holds */
    return status;
}

void mysql_store_release(struct event_store *base)
{
    struct mysql_store *store = mysql_of(base);
    if (!store->hold.held)
        return;
    store->hold.held = false;
    buffer_clear(&store->writer.sql);
    sql_text(&store->writer, "ROLLBACK");
    atomic_fetch_add(&store->writer_round_trips, 1);
    const struct status status = mysql_link_run(&store->writer, NULL, NULL, NULL);
    if (status.code != STATUS_OK)
        mysql_link_drop(&store->writer);
}
