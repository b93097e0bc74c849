#include "table_files_internal.h"

#include <stdlib.h>

#include "base/entropy.h"
#include "embedded_internal.h"
#include "layer_list_internal.h"

#define EVENTS_A_REST    64
#define POSITIONS_A_REST 4096U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to write the index of a segment");
}

static uint32_t new_nonce(const struct embedded_store *store)
{
    uint32_t nonce = 0;
    entropy_fill(store->entropy, &nonce, sizeof nonce);
    return nonce;
}

static int64_t last_of(const struct view_table *table)
{
    return table->base + table->locations.count;
}

/* Room for the positions of any list of the table: borrowed until the files are written. */
static int64_t *new_positions(const struct view_table *table, size_t lists)
{
    return malloc((size_t)table->locations.count * lists * sizeof(int64_t));
}

static void copy_list(const struct view_table *table, const struct indexed_list *list, int64_t *ret,
                      const struct index_pace *pace)
{
    for (uint32_t at = 0; at < list->count; at += POSITIONS_A_REST) {
        const uint32_t left = list->count - at;
        event_index_list_copy(table->index, list, at, ret + at,
                              left < POSITIONS_A_REST ? left : POSITIONS_A_REST);
        if (left > POSITIONS_A_REST)
            index_pace_rest(pace);
    }
}

static struct part_facts facts_of(const struct view_table *table)
{
    const struct index_counts counts = event_index_counts(table->index);
    struct part_facts facts = table->facts;
    facts.count = counts.event_count;
    facts.system_count = counts.system_count;
    facts.created_count = counts.created_count;
    facts.first_timestamp_us = event_index_time_at(table->index, table->base + 1);
    return facts;
}

/* ---- the part ---- */

static struct status add_places(struct part_builder *builder, const struct view_table *table,
                                const struct index_pace *pace)
{
    for (int64_t position = table->base + 1; position <= last_of(table); position++) {
        const struct location location = locations_at(&table->locations, position);
        if (position % EVENTS_A_REST == 0)
            index_pace_rest(pace);
        const struct place place = {location.offset, location.header_crc};
        STATUS_TRY(part_builder_add_place(builder, place, event_index_time_at(table->index, position)));
    }
    return status_ok();
}

struct part_terms {
    struct part_builder *builder;
    const struct view_table *table;
    const struct index_pace *pace;
    int64_t *positions; /* the lists of a kind take each position once at most */
    size_t used;
};

static struct status add_list(struct part_terms *terms, enum part_term_kind kind, struct bytes text,
                              const struct indexed_list *list)
{
    int64_t *positions = terms->positions + terms->used;
    if (list->count == 0)
        return status_ok();
    terms->used += list->count;
    copy_list(terms->table, list, positions, terms->pace);
    return part_builder_add_term(terms->builder, kind, text, positions, list->count);
}

static struct status add_terms(struct part_terms *terms, enum read_by by, enum part_term_kind kind)
{
    struct event_index *index = terms->table->index;
    struct index_scratch scratch;
    struct indexed_key key;
    size_t cursor = 0;
    while (event_index_next_key(index, by, &cursor, &scratch, &key)) {
        STATUS_TRY(add_list(terms, kind, key.text, &key.list));
        if (kind != PART_AGGREGATE_TYPE)
            continue;
        const struct indexed_list created = event_index_list_created(index, key.text);
        STATUS_TRY(add_list(terms, PART_CREATED, key.text, &created));
    }
    return status_ok();
}

static struct status write_part(const struct embedded_store *store, struct part_terms *terms,
                                const char *folder, const struct index_pace *pace)
{
    STATUS_TRY(add_places(terms->builder, terms->table, pace));
    STATUS_TRY(add_terms(terms, READ_BY_TYPE, PART_EVENT_TYPE));
    STATUS_TRY(add_terms(terms, READ_BY_AGGREGATE_TYPE, PART_AGGREGATE_TYPE));
    return part_builder_write(terms->builder, store->files, folder, store->identity.uuid, new_nonce(store),
                              pace);
}

struct status table_write_part(const struct embedded_store *store, const struct view_table *table,
                               const char *folder, const struct index_pace *pace)
{
    const struct part_facts facts = facts_of(table);
    CLEANUP(part_builder_free_at) struct part_builder *builder = NULL;
    STATUS_TRY(part_builder_new(&facts, &builder));
    struct part_terms terms = {builder, table, pace, new_positions(table, 3), 0};
    const struct status status =
        terms.positions == NULL ? no_memory() : write_part(store, &terms, folder, pace);
    free(terms.positions);
    index_pace_rest(pace); /* giving megabytes back takes a while */
    return status;
}

/* ---- the run ---- */

static struct status add_ids(const struct embedded_store *store, struct run_builder *builder,
                             const struct view_table *table, const struct index_pace *pace)
{
    struct index_scratch scratch;
    for (int64_t position = table->base + 1; position <= last_of(table); position++) {
        const struct bytes id = event_index_id_at(table->index, position, &scratch);
        const uint64_t hash = embedded_index_hash(store, INDEX_KEY_EVENT_ID, id);
        if (position % EVENTS_A_REST == 0)
            index_pace_rest(pace);
        STATUS_TRY(run_builder_add_id(builder, hash, id, position));
    }
    return status_ok();
}

static struct status add_keys(const struct embedded_store *store, struct run_builder *builder,
                              const struct view_table *table, enum read_by by, enum index_key_kind kind,
                              int64_t *positions, const struct index_pace *pace)
{
    struct index_scratch scratch;
    struct indexed_key key;
    size_t cursor = 0;
    uint32_t count = 0;
    while (event_index_next_key(table->index, by, &cursor, &scratch, &key)) {
        copy_list(table, &key.list, positions, pace);
        const uint32_t value = run_value_of(by, by == READ_BY_AGGREGATE ? key.last_version : 0);
        STATUS_TRY(run_builder_add_key(builder, embedded_index_hash(store, kind, key.text), value, positions,
                                       key.list.count));
        if (count++ % EVENTS_A_REST == 0)
            index_pace_rest(pace);
    }
    return status_ok();
}

static struct status write_run(const struct embedded_store *store, struct run_builder *builder,
                               const struct view_table *table, int64_t *positions, const char *folder,
                               const struct index_pace *pace)
{
    STATUS_TRY(add_ids(store, builder, table, pace));
    STATUS_TRY(add_keys(store, builder, table, READ_BY_AGGREGATE, INDEX_KEY_AGGREGATE, positions, pace));
    STATUS_TRY(add_keys(store, builder, table, READ_BY_CORRELATION, INDEX_KEY_CORRELATION, positions, pace));
    STATUS_TRY(add_keys(store, builder, table, READ_BY_TAG, INDEX_KEY_TAG, positions, pace));
    return run_builder_write(builder, store->files, folder, store->identity.uuid, new_nonce(store), pace);
}

struct status table_write_run(const struct embedded_store *store, const struct view_table *table,
                              const char *folder, const struct index_pace *pace)
{
    const struct run_facts facts = {
        .first_position = table->base + 1,
        .last_position = last_of(table),
        .chain = table->facts.chain,
    };
    CLEANUP(run_builder_free_at) struct run_builder *builder = NULL;
    STATUS_TRY(run_builder_new(&facts, &builder));
    int64_t *positions = new_positions(table, 1);
    const struct status status =
        positions == NULL ? no_memory() : write_run(store, builder, table, positions, folder, pace);
    free(positions);
    return status;
}
