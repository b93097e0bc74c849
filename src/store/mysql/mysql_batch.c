/* The second of a batch's two packets: all rows of a commit, the head, and COMMIT. Of one that was decided ahead: the lock
 * on the head and the proof that it is where the batch begins, first. */
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

/* What is being written. */
struct writing {
    struct mysql_text *text;
    struct buffer *sql; /* of the text */
    int64_t store;
    size_t begin;        /* of the packet */
    unsigned statements; /* that the packet has */
    bool in_rows;        /* the last one goes on with a comma */
};

static void write_name(struct buffer *sql, struct bytes name)
{
    sql_text(sql, ",");
    sql_bytes(sql, name);
}

static void write_event(struct writing *writing, const struct commit_append *append, size_t at)
{
    struct buffer *sql = writing->sql;
    const struct event_fields *fields = &append->fields[at];
    const struct record *record = &append->records[at];
    sql_printf(sql, "(%" PRId64 ",%" PRId64, writing->store, fields->position);
    write_name(sql, fields->id);
    write_name(sql, fields->aggregate_id);
    sql_printf(sql, ",%" PRId32, fields->version);
    write_name(sql, fields->type);
    write_name(sql, fields->aggregate_type);
    sql_printf(sql, ",%" PRId64 ",%" PRId64 ",%zu,%zu", fields->timestamp_us, append->first_position,
               append->count, record->header_bytes);
    write_name(sql, record->bytes);
    sql_text(sql, ")");
}

/* Ends the packet when `bytes` more might not fit. */
static struct status make_room(struct writing *writing, size_t bytes)
{
    struct mysql_text *text = writing->text;
    if (writing->sql->size_bytes - writing->begin + bytes <= PACKET_MOST_BYTES)
        return status_ok();
    if (text->packet_count + 1 == MYSQL_PACKETS_MAX)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the append is too large for the database");
    text->ends[text->packet_count++] = writing->begin = writing->sql->size_bytes;
    writing->statements = 0;
    writing->in_rows = false;
    return status_ok();
}

static void begin_statement(struct writing *writing, const char *text)
{
    if (writing->statements++ > 0)
        sql_text(writing->sql, ";");
    sql_text(writing->sql, text);
}

/* In front of a row; `insert` begins the statement whose rows they are. */
static void begin_row(struct writing *writing, const char *insert)
{
    if (writing->in_rows)
        sql_text(writing->sql, ",");
    else
        begin_statement(writing, insert);
    writing->in_rows = true;
}

static struct status write_events(struct writing *writing, const struct commit_batch *batch)
{
    static const char insert[] =
        "INSERT INTO strata_events (store, position, event_id, aggregate_id, version, type, aggregate_type, "
        "timestamp_us, append_first, append_count, header_bytes, record) VALUES ";
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            STATUS_TRY(
                make_room(writing, EVENT_ROW_BYTES + 2 * batch->appends[i].records[j].bytes.size_bytes));
            begin_row(writing, insert);
            write_event(writing, &batch->appends[i], j);
        }
    writing->in_rows = false;
    return status_ok();
}

static bool is_repeated(const struct event_fields *fields, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (bytes_equal(fields->tags[i], fields->tags[at]))
            return true;
    return false;
}

static struct status write_term(struct writing *writing, enum mysql_term kind, struct bytes term,
                                int64_t position)
{
    STATUS_TRY(make_room(writing, TERM_ROW_BYTES));
    begin_row(writing, "INSERT INTO strata_terms (store, kind, term, position) VALUES ");
    sql_printf(writing->sql, "(%" PRId64 ",%d", writing->store, (int)kind);
    write_name(writing->sql, term);
    sql_printf(writing->sql, ",%" PRId64 ")", position);
    return status_ok();
}

static struct status write_terms_of(struct writing *writing, const struct event_fields *fields)
{
    if (fields->correlation_id.size_bytes > 0)
        STATUS_TRY(write_term(writing, MYSQL_TERM_CORRELATION, fields->correlation_id, fields->position));
    for (size_t tag = 0; tag < fields->tag_count; tag++)
        if (!is_repeated(fields, tag))
            STATUS_TRY(write_term(writing, MYSQL_TERM_TAG, fields->tags[tag], fields->position));
    return status_ok();
}

static struct status write_terms(struct writing *writing, const struct commit_batch *batch)
{
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++)
            STATUS_TRY(write_terms_of(writing, &batch->appends[i].fields[j]));
    writing->in_rows = false;
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
static void write_aggregates(struct writing *writing, const struct commit_batch *batch)
{
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            const struct event_fields *fields = &batch->appends[i].fields[j];
            if (!may_begin(fields))
                continue;
            begin_row(writing,
                      "INSERT INTO strata_aggregates (store, aggregate_id, aggregate_type, first_version, "
                      "first_position) VALUES ");
            sql_printf(writing->sql, "(%" PRId64, writing->store);
            write_name(writing->sql, fields->aggregate_id);
            write_name(writing->sql, fields->aggregate_type);
            sql_printf(writing->sql, ",%" PRId32 ",%" PRId64 ")", fields->version, fields->position);
        }
    if (writing->in_rows)
        sql_text(writing->sql, " ON DUPLICATE KEY UPDATE first_version=first_version");
    writing->in_rows = false;
}

static void write_types(struct writing *writing, const struct counted_types *counted)
{
    for (size_t i = 0; i < counted->count; i++) {
        begin_row(writing, "INSERT INTO strata_type_counts (store, type, events) VALUES ");
        sql_printf(writing->sql, "(%" PRId64, writing->store);
        write_name(writing->sql, counted->types[i].type);
        sql_printf(writing->sql, ",%" PRId64 ")", counted->types[i].events);
    }
    sql_text(writing->sql, " ON DUPLICATE KEY UPDATE events=events+VALUES(events)");
    writing->in_rows = false;
}

static void write_head(struct writing *writing, const struct store_head *after)
{
    begin_statement(writing, "UPDATE strata_stores SET ");
    sql_printf(writing->sql,
               "position=%" PRId64 ", timestamp_us=%" PRId64 ", aggregate_count=%" PRId64 ", chain=",
               after->position, after->timestamp_us, after->aggregate_count);
    sql_bytes(writing->sql, bytes_of(&after->chain, sizeof after->chain));
    sql_printf(writing->sql, " WHERE store=%" PRId64, writing->store);
}

/*
 * Statements behind one that fails are not executed, and a subquery of two rows where one is wanted fails: what was decided
 * ahead is written only when the head, locked, is the one on which it was decided, so that nobody appended in between.
 */
static void write_proof(struct writing *writing, const struct store_head *before)
{
    begin_statement(writing, "ROLLBACK");
    begin_statement(writing, "START TRANSACTION");
    begin_statement(writing, "SELECT IF(COALESCE((SELECT position=");
    sql_printf(writing->sql, "%" PRId64 " AND chain=", before->position);
    sql_bytes(writing->sql, bytes_of(&before->chain, sizeof before->chain));
    sql_printf(writing->sql,
               " FROM strata_stores WHERE store=%" PRId64 " FOR UPDATE),0),1,(SELECT 1 UNION ALL SELECT 2))",
               writing->store);
}

static struct status write_packets(struct writing *writing, const struct commit_batch *batch,
                                   const struct counted_types *counted)
{
    struct mysql_text *text = writing->text;
    if (batch->ahead)
        write_proof(writing, &batch->before);
    STATUS_TRY(write_events(writing, batch));
    STATUS_TRY(write_terms(writing, batch));
    STATUS_TRY(make_room(writing, count_beginnings(batch) * AGGREGATE_ROW_BYTES +
                                      counted->count * TYPE_ROW_BYTES + HEAD_BYTES));
    write_aggregates(writing, batch);
    write_types(writing, counted);
    write_head(writing, &batch->after);
    text->commit_statement = writing->statements;
    begin_statement(writing, "COMMIT");
    text->ends[text->packet_count++] = writing->sql->size_bytes;
    return buffer_status(writing->sql);
}

struct status mysql_text_write(struct mysql_text *text, const struct mysql_store *store,
                               const struct commit_batch *batch)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mysql_no_memory();
    struct counted_types counted = {
        .by_type = hash_table_make(store->seed),
        .types = arena_array(arena, batch->record_count, sizeof *counted.types),
    };
    struct status status = mysql_no_memory();
    buffer_clear(&text->sql);
    text->packet_count = 0;
    if (counted.types != NULL && count_types(&counted, batch)) {
        struct writing writing = {.text = text, .sql = &text->sql, .store = store->number};
        status = write_packets(&writing, batch, &counted);
    }
    hash_table_done(&counted.by_type);
    return status;
}
