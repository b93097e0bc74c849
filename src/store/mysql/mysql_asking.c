#include "mysql_asking_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* Of others' events that are read to know how heads moved. */
#define CHANGES_MOST 16384

/* Behind those that take the lock, if it is taken. */
enum facts_statement {
    FACTS_HEAD,
    FACTS_TIME,
    FACTS_FIRST_ASKED, /* what follows depends on what is asked */
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

/* The first row is the event at which all known heads stand; the others, of whomever they are, move them on. */
static struct status take_change(struct asking *asking, const struct sql_row *row)
{
    struct mysql_known *known = asking->known;
    const int64_t position = sql_int(row, 0);
    const struct bytes tail = sql_column(row, 3);
    if (asking->changed_to == 0)
        asking->alike = position == known->position && mysql_known_is_tail(known, tail);
    asking->changed_to = position;
    if (!asking->alike || tail.size_bytes != KNOWN_TAIL_BYTES) {
        asking->alike = false;
        return status_ok();
    }
    struct known_head *head = position > known->position ? mysql_known_find(known, sql_column(row, 1)) : NULL;
    if (head != NULL)
        head->version = (int32_t)sql_int(row, 2);
    if (position == asking->facts->head.position)
        mysql_known_stand(known, position, tail, asking->now_us);
    return status_ok();
}

static struct status take_head_of_aggregate(struct asking *asking, const struct sql_row *row)
{
    return mysql_known_put(asking->asked, sql_column(row, 0), sql_column(row, 1), (int32_t)sql_int(row, 2))
               ? status_ok()
               : mysql_no_memory();
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
    statement -= asking->lock_statements;
    if (statement == FACTS_HEAD) {
        asking->found_head = true;
        return mysql_head_row(row, &asking->facts->head);
    }
    if (statement == FACTS_TIME) {
        asking->facts->now_us = sql_int(row, 0);
        return status_ok();
    }
    if (statement == asking->changes_statement)
        return take_change(asking, row);
    if (statement == asking->heads_statement)
        return take_head_of_aggregate(asking, row);
    return statement == asking->ids_statement ? take_id(asking, row) : take_record(asking, row);
}

/* ---- the packet ---- */

static void write_names(struct mysql_link *link, const struct bytes *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sql_text(&link->sql, i == 0 ? "(" : ",");
        sql_bytes(&link->sql, names[i]);
    }
    sql_text(&link->sql, ")");
}

static unsigned write_changes(struct asking *asking, struct mysql_link *link, unsigned statement)
{
    if (asking->ahead || asking->known->position == 0)
        return statement;
    asking->changes_statement = statement;
    sql_printf(&link->sql,
               ";SELECT position, aggregate_id, version, RIGHT(record, %u) FROM strata_events WHERE "
               "store=%" PRId64,
               KNOWN_TAIL_BYTES, link->store->number);
    sql_printf(&link->sql, " AND position>=%" PRId64 " ORDER BY position LIMIT %d", asking->known->position,
               CHANGES_MOST);
    return statement + 1;
}

/* Of those that are not known. */
static unsigned write_heads(struct asking *asking, struct mysql_link *link, unsigned statement)
{
    const struct facts_request *request = asking->request;
    size_t asked = 0;
    for (size_t i = 0; i < request->aggregate_count; i++) {
        if (mysql_known_find(asking->known, request->aggregate_ids[i]) != NULL)
            continue;
        if (asked++ == 0) {
            sql_text(&link->sql, ";SELECT a.aggregate_id, a.aggregate_type, " MYSQL_LAST_EVENT(
                                     "version") " FROM strata_aggregates a WHERE a.store=");
            sql_printf(&link->sql, "%" PRId64 " AND a.aggregate_id IN ", link->store->number);
        }
        sql_text(&link->sql, asked == 1 ? "(" : ",");
        sql_bytes(&link->sql, request->aggregate_ids[i]);
    }
    if (asked == 0)
        return statement;
    sql_text(&link->sql, ")");
    asking->heads_statement = statement;
    return statement + 1;
}

static void write_facts(struct asking *asking, struct mysql_link *link)
{
    const struct facts_request *request = asking->request;
    const int64_t number = link->store->number;
    unsigned statement = FACTS_FIRST_ASKED;
    if (asking->lock_statements > 0)
        sql_text(&link->sql,
                 "ROLLBACK;START TRANSACTION;"); /* the former ends what a batch before may have left */
    sql_printf(&link->sql,
               "SELECT position, timestamp_us, chain, aggregate_count FROM strata_stores WHERE store=%" PRId64
               "%s;",
               number, asking->ahead ? "" : " FOR UPDATE");
    sql_text(&link->sql, "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)");
    statement = write_changes(asking, link, statement);
    statement = write_heads(asking, link, statement);
    if (request->event_id_count == 0)
        return;
    asking->ids_statement = statement++;
    sql_printf(&link->sql,
               ";SELECT event_id, append_first FROM strata_events WHERE store=%" PRId64 " AND event_id IN ",
               number);
    write_names(link, request->event_ids, request->event_id_count);
    asking->records_statement = statement++;
    sql_printf(
        &link->sql,
        ";SELECT r.position, r.header_bytes, r.record FROM (SELECT DISTINCT append_first, append_count FROM "
        "strata_events WHERE store=%" PRId64 " AND event_id IN ",
        number);
    write_names(link, request->event_ids, request->event_id_count);
    sql_printf(&link->sql,
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

struct status mysql_asking_begin(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    struct facts *facts = asking->facts;
    facts->heads = arena_array(asking->arena, request->aggregate_count, sizeof *facts->heads);
    facts->earlier = arena_array(asking->arena, request->event_id_count, sizeof *facts->earlier);
    asking->found = arena_array(asking->arena, request->event_id_count, sizeof *asking->found);
    const bool fits = facts->heads != NULL && facts->earlier != NULL && asking->found != NULL &&
                      enter_names(&asking->ids, request->event_ids, request->event_id_count);
    return fits ? status_ok() : mysql_no_memory();
}

bool mysql_asking_is_useless(const struct asking *asking)
{
    return asking->changes_statement != 0 &&
           (!asking->alike || asking->changed_to != asking->facts->head.position);
}

/* The texts are copied: what is known may be forgotten while the batch is decided. */
static struct status fill_heads(struct asking *asking)
{
    const struct facts_request *request = asking->request;
    for (size_t i = 0; i < request->aggregate_count; i++) {
        const struct known_head *known = mysql_known_find(asking->known, request->aggregate_ids[i]);
        if (known == NULL)
            known = mysql_known_find(asking->asked, request->aggregate_ids[i]);
        if (known == NULL)
            continue;
        asking->facts->heads[i] = (struct aggregate_head){
            .exists = true, .type = arena_bytes(asking->arena, known->type), .version = known->version};
        if (asking->facts->heads[i].type.data == NULL)
            return mysql_no_memory();
    }
    return status_ok();
}

struct status mysql_asking_end(struct asking *asking)
{
    STATUS_TRY(fill_heads(asking));
    return settle_ids(asking);
}

static struct status ask_once(struct mysql_store *store, struct asking *asking, struct sql_failure *failure)
{
    struct mysql_link *link = asking->ahead ? &store->ahead : &store->writer;
    *failure = (struct sql_failure){0};
    STATUS_TRY(mysql_link_begin(link));
    asking->lock_statements = asking->ahead || link->locks ? 0 : 2;
    asking->now_us = clock_monotonic_us(store->clock);
    asking->found_count = asking->record_count = 0;
    asking->changes_statement = asking->heads_statement = asking->ids_statement = asking->records_statement =
        0;
    asking->changed_to = 0;
    asking->alike = false;
    mysql_known_tidy(asking->known, asking->now_us);
    write_facts(asking, link);
    link->locks = false;
    atomic_fetch_add(&store->writer_round_trips, 1);
    return mysql_link_run(link, take_fact, asking, failure);
}

struct status mysql_asking_ask(struct mysql_store *store, struct asking *asking)
{
    struct sql_failure failure;
    struct status status = ask_once(store, asking, &failure);
    if (status.code != STATUS_OK && failure.lost) {
        mysql_known_forget(asking->known);
        mysql_known_forget(asking->asked);
        status = ask_once(store, asking, &failure);
    }
    if (status.code == STATUS_OK) /* by the answer, since the question may have waited for the lock */
        store->time = (struct mysql_time){asking->facts->now_us, clock_monotonic_us(store->clock)};
    return status;
}
