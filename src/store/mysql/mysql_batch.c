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

/* What a batch does to one aggregate, and how many events of one type it has. */
struct moved_aggregate {
    const struct event_fields *first;
    const struct event_fields *last;
    int32_t events;
};

struct counted_type {
    struct bytes type;
    int64_t events;
};

struct moves {
    struct hash_table by_id;
    struct moved_aggregate *aggregates;
    size_t aggregate_count;
    struct hash_table by_type;
    struct counted_type *types;
    size_t type_count;
};

static bool move_aggregate(struct moves *moves, const struct event_fields *fields)
{
    const uint64_t hash = hash_table_hash(&moves->by_id, fields->aggregate_id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&moves->by_id, hash, &state)) != HASH_NONE) {
        struct moved_aggregate *moved = &moves->aggregates[at];
        if (bytes_equal(moved->first->aggregate_id, fields->aggregate_id)) {
            moved->last = fields;
            moved->events++;
            return true;
        }
    }
    moves->aggregates[moves->aggregate_count] = (struct moved_aggregate){fields, fields, 1};
    return hash_table_add(&moves->by_id, hash, (uint32_t)moves->aggregate_count++);
}

static bool count_type(struct moves *moves, struct bytes type)
{
    const uint64_t hash = hash_table_hash(&moves->by_type, type);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&moves->by_type, hash, &state)) != HASH_NONE)
        if (bytes_equal(moves->types[at].type, type)) {
            moves->types[at].events++;
            return true;
        }
    moves->types[moves->type_count] = (struct counted_type){type, 1};
    return hash_table_add(&moves->by_type, hash, (uint32_t)moves->type_count++);
}

static bool gather(struct moves *moves, const struct commit_batch *batch)
{
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            const struct event_fields *fields = &batch->appends[i].fields[j];
            if (!move_aggregate(moves, fields) || !count_type(moves, fields->type))
                return false;
        }
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

static void write_aggregates(struct packet *packet, const struct moves *moves)
{
    struct mysql_link *link = packet->link;
    begin_statement(packet, "INSERT INTO strata_aggregates (store, aggregate_id, aggregate_type, version, "
                            "first_position, position, event_count) VALUES ");
    for (size_t i = 0; i < moves->aggregate_count; i++) {
        const struct moved_aggregate *moved = &moves->aggregates[i];
        sql_printf(link, "%s(%" PRId64, i == 0 ? "" : ",", link->store->number);
        write_name(link, moved->first->aggregate_id);
        write_name(link, moved->first->aggregate_type);
        sql_printf(link, ",%" PRId32 ",%" PRId64 ",%" PRId64 ",%" PRId32 ")", moved->last->version,
                   moved->first->position, moved->last->position, moved->events);
    }
    sql_text(link, " ON DUPLICATE KEY UPDATE version=VALUES(version), position=VALUES(position), "
                   "event_count=event_count+VALUES(event_count)");
}

static void write_types(struct packet *packet, const struct moves *moves)
{
    struct mysql_link *link = packet->link;
    begin_statement(packet, "INSERT INTO strata_type_counts (store, type, events) VALUES ");
    for (size_t i = 0; i < moves->type_count; i++) {
        sql_printf(link, "%s(%" PRId64, i == 0 ? "" : ",", link->store->number);
        write_name(link, moves->types[i].type);
        sql_printf(link, ",%" PRId64 ")", moves->types[i].events);
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
                                   const struct moves *moves, unsigned *ret_commit_statement)
{
    struct packet packet = {.link = link};
    STATUS_TRY(write_events(&packet, batch));
    STATUS_TRY(write_terms(&packet, batch));
    STATUS_TRY(make_room(&packet, moves->aggregate_count * AGGREGATE_ROW_BYTES +
                                      moves->type_count * TYPE_ROW_BYTES + HEAD_BYTES));
    write_aggregates(&packet, moves);
    write_types(&packet, moves);
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
    struct moves moves = {
        .by_id = hash_table_make(link->store->seed),
        .aggregates = arena_array(arena, batch->record_count, sizeof *moves.aggregates),
        .by_type = hash_table_make(link->store->seed),
        .types = arena_array(arena, batch->record_count, sizeof *moves.types),
    };
    struct status status = mysql_no_memory();
    if (moves.aggregates != NULL && moves.types != NULL && gather(&moves, batch)) {
        buffer_clear(&link->sql);
        status = write_packets(link, batch, &moves, ret_commit_statement);
    }
    hash_table_done(&moves.by_id);
    hash_table_done(&moves.by_type);
    return status;
}
