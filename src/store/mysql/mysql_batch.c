/* The second of a batch's two packets: all rows of a commit, the head, and COMMIT. */
#include <inttypes.h>

#include "mysql_internal.h"
#include "store/hash_table.h"

/* A packet stays below max_allowed_packet, whose least mysql_schema.c knows, whatever the escaping makes of the bytes. */
#define PACKET_MOST_BYTES (MYSQL_PACKET_MIN_BYTES - 64 * 1024)
/* Of one row, beside a record: numbers, commas, and names of 255 bytes at most, each byte of which may become two. */
#define EVENT_ROW_BYTES     ((size_t)3072)
#define TERM_ROW_BYTES      ((size_t)640)
#define AGGREGATE_ROW_BYTES ((size_t)1280)
#define TYPE_ROW_BYTES      ((size_t)640)
/* Of the statements behind the rows. */
#define HEAD_BYTES ((size_t)4096)

/* How many events of one type a batch has. */
struct counted_type {
    struct bytes type;
    int64_t events;
};

struct counted_types {
    struct hash_table by_type;
    struct counted_type *types;
    size_t count;
};

static bool count_type(struct counted_types *counted, struct bytes type)
{
    const uint64_t hash = hash_table_hash(&counted->by_type, type);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&counted->by_type, hash, &state)) != HASH_NONE)
        if (bytes_equal(counted->types[at].type, type)) {
            counted->types[at].events++;
            return true;
        }
    counted->types[counted->count] = (struct counted_type){type, 1};
    return hash_table_add(&counted->by_type, hash, (uint32_t)counted->count++);
}

static bool count_types(struct counted_types *counted, const struct commit_batch *batch)
{
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++)
            if (!count_type(counted, batch->appends[i].fields[j].type))
                return false;
    return true;
}

/* ---- rows ---- */

static void write_name(struct mysql_link *link, struct bytes name)
{
    sql_text(link, ",");
    sql_bytes(link, name);
}

static void write_event(struct mysql_link *link, const struct commit_append *append, size_t at)
{
    const struct event_fields *fields = &append->fields[at];
    const struct record *record = &append->records[at];
    sql_printf(link, "(%" PRId64 ",%" PRId64, link->store->number, fields->position);
    write_name(link, fields->id);
    write_name(link, fields->aggregate_id);
    sql_printf(link, ",%" PRId32, fields->version);
    write_name(link, fields->type);
    write_name(link, fields->aggregate_type);
    sql_printf(link, ",%" PRId64 ",%" PRId64 ",%zu,%zu", fields->timestamp_us, append->first_position,
               append->count, record->header_bytes);
    write_name(link, record->bytes);
    sql_text(link, ")");
}

/* The text that is being written. */
struct packet {
    struct mysql_link *link;
    unsigned statements; /* that it has; 0 = the next row must begin one */
};

/* Sends what was written when `bytes` more might not fit. */
static struct status make_room(struct packet *packet, size_t bytes)
{
    struct mysql_link *link = packet->link;
    if (link->sql.size_bytes + bytes <= PACKET_MOST_BYTES)
        return status_ok();
    atomic_fetch_add(&link->store->writer_round_trips, 1);
    STATUS_TRY(mysql_link_run(link, NULL, NULL, NULL));
    buffer_clear(&link->sql);
    packet->statements = 0;
    return status_ok();
}

static void begin_statement(struct packet *packet, const char *text)
{
    if (packet->statements++ > 0)
        sql_text(packet->link, ";");
    sql_text(packet->link, text);
}

static struct status write_events(struct packet *packet, const struct commit_batch *batch)
{
    static const char insert[] =
        "INSERT INTO strata_events (store, position, event_id, aggregate_id, version, type, aggregate_type, "
        "timestamp_us, append_first, append_count, header_bytes, record) VALUES ";
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            STATUS_TRY(
                make_room(packet, EVENT_ROW_BYTES + 2 * batch->appends[i].records[j].bytes.size_bytes));
            if (packet->statements == 0)
                begin_statement(packet, insert);
            else
                sql_text(packet->link, ",");
            write_event(packet->link, &batch->appends[i], j);
        }
    return status_ok();
}

static bool is_repeated(const struct event_fields *fields, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (bytes_equal(fields->tags[i], fields->tags[at]))
            return true;
    return false;
}

static struct status write_term(struct packet *packet, bool *first, enum mysql_term kind, struct bytes term,
                                int64_t position)
{
    STATUS_TRY(make_room(packet, TERM_ROW_BYTES));
    if (*first || packet->statements == 0)
        begin_statement(packet, "INSERT INTO strata_terms (store, kind, term, position) VALUES ");
    else
        sql_text(packet->link, ",");
    *first = false;
    sql_printf(packet->link, "(%" PRId64 ",%d", packet->link->store->number, (int)kind);
    write_name(packet->link, term);
    sql_printf(packet->link, ",%" PRId64 ")", position);
    return status_ok();
}

static struct status write_terms(struct packet *packet, const struct commit_batch *batch)
{
    bool first = true;
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            const struct event_fields *fields = &batch->appends[i].fields[j];
            if (fields->correlation_id.size_bytes > 0)
                STATUS_TRY(write_term(packet, &first, MYSQL_TERM_CORRELATION, fields->correlation_id,
                                      fields->position));
            for (size_t tag = 0; tag < fields->tag_count; tag++)
                if (!is_repeated(fields, tag))
                    STATUS_TRY(
                        write_term(packet, &first, MYSQL_TERM_TAG, fields->tags[tag], fields->position));
        }
    return status_ok();
}

/* An aggregate begins at version 0 or 1. */
static bool may_begin(const struct event_fields *fields)
{
    return fields->version <= 1;
}

static size_t count_beginnings(const struct commit_batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++)
            count += may_begin(&batch->appends[i].fields[j]);
    return count;
}

/* The row of an aggregate stays as the first of its events made it. */
static void write_aggregates(struct packet *packet, const struct commit_batch *batch)
{
    struct mysql_link *link = packet->link;
    size_t rows = 0;
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            const struct event_fields *fields = &batch->appends[i].fields[j];
            if (!may_begin(fields))
                continue;
            if (rows++ == 0)
                begin_statement(packet, "INSERT INTO strata_aggregates (store, aggregate_id, aggregate_type, "
                                        "first_version, first_position) VALUES ");
            sql_printf(link, "%s(%" PRId64, rows == 1 ? "" : ",", link->store->number);
            write_name(link, fields->aggregate_id);
            write_name(link, fields->aggregate_type);
            sql_printf(link, ",%" PRId32 ",%" PRId64 ")", fields->version, fields->position);
        }
    if (rows > 0)
        sql_text(link, " ON DUPLICATE KEY UPDATE first_version=first_version");
}

static void write_types(struct packet *packet, const struct counted_types *counted)
{
    struct mysql_link *link = packet->link;
    begin_statement(packet, "INSERT INTO strata_type_counts (store, type, events) VALUES ");
    for (size_t i = 0; i < counted->count; i++) {
        sql_printf(link, "%s(%" PRId64, i == 0 ? "" : ",", link->store->number);
        write_name(link, counted->types[i].type);
        sql_printf(link, ",%" PRId64 ")", counted->types[i].events);
    }
    sql_text(link, " ON DUPLICATE KEY UPDATE events=events+VALUES(events)");
}

static void write_head(struct packet *packet, const struct store_head *after)
{
    struct mysql_link *link = packet->link;
    begin_statement(packet, "UPDATE strata_stores SET ");
    sql_printf(link, "position=%" PRId64 ", timestamp_us=%" PRId64 ", aggregate_count=%" PRId64 ", chain=",
               after->position, after->timestamp_us, after->aggregate_count);
    sql_bytes(link, bytes_of(&after->chain, sizeof after->chain));
    sql_printf(link, " WHERE store=%" PRId64, link->store->number);
}

static struct status write_packets(struct mysql_link *link, const struct commit_batch *batch,
                                   const struct counted_types *counted, unsigned *ret_commit_statement)
{
    struct packet packet = {.link = link};
    STATUS_TRY(write_events(&packet, batch));
    STATUS_TRY(write_terms(&packet, batch));
    STATUS_TRY(make_room(&packet, count_beginnings(batch) * AGGREGATE_ROW_BYTES +
                                      counted->count * TYPE_ROW_BYTES + HEAD_BYTES));
    write_aggregates(&packet, batch);
    write_types(&packet, counted);
    write_head(&packet, &batch->after);
    *ret_commit_statement = packet.statements;
    begin_statement(&packet, "COMMIT");
    return buffer_status(&link->sql);
}

struct status mysql_write_batch(struct mysql_link *link, const struct commit_batch *batch,
                                unsigned *ret_commit_statement)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mysql_no_memory();
    struct counted_types counted = {
        .by_type = hash_table_make(link->store->seed),
        .types = arena_array(arena, batch->record_count, sizeof *counted.types),
    };
    struct status status = mysql_no_memory();
    if (counted.types != NULL && count_types(&counted, batch)) {
        buffer_clear(&link->sql);
        status = write_packets(link, batch, &counted, ret_commit_statement);
    }
    hash_table_done(&counted.by_type);
    return status;
}
