#include "layer_list_internal.h"

#include <assert.h>

#include "embedded_internal.h"

bool key_is_in_runs(enum read_by by)
{
    return by == READ_BY_AGGREGATE || by == READ_BY_CORRELATION || by == READ_BY_TAG;
}

static enum index_key_kind kind_of(enum read_by by)
{
    assert(key_is_in_runs(by));
    return by == READ_BY_AGGREGATE     ? INDEX_KEY_AGGREGATE
           : by == READ_BY_CORRELATION ? INDEX_KEY_CORRELATION
                                       : INDEX_KEY_TAG;
}

struct key key_of(const struct embedded_store *store, enum read_by by, struct bytes text)
{
    struct key key = {.by = by, .text = text};
    if (key_is_in_runs(by))
        key.hash = embedded_index_hash(store, kind_of(by), text);
    return key;
}

static bool has_tag(const struct event_fields *fields, struct bytes tag)
{
    for (size_t i = 0; i < fields->tag_count; i++)
        if (bytes_equal(fields->tags[i], tag))
            return true;
    return false;
}

bool key_fits(const struct key *key, const struct event_fields *fields)
{
    switch (key->by) {
    case READ_BY_POSITION:
        return true;
    case READ_BY_AGGREGATE:
        return bytes_equal(fields->aggregate_id, key->text);
    case READ_BY_TYPE:
        return bytes_equal(fields->type, key->text);
    case READ_BY_AGGREGATE_TYPE:
        return bytes_equal(fields->aggregate_type, key->text);
    case READ_BY_CORRELATION:
        return bytes_equal(fields->correlation_id, key->text);
    case READ_BY_TAG:
        return has_tag(fields, key->text);
    }
    return false;
}

struct layer_list layer_list_of_table(const struct view_table *table, const struct key *key)
{
    const struct indexed_list list = key->created ? event_index_list_created(table->index, key->text)
                                                  : event_index_list(table->index, key->by, key->text);
    return (struct layer_list){
        .count = list.count, .first_version = list.first_version, .table = table, .in_table = list};
}

struct status layer_list_of_part(struct embedded_store *store, const struct view_part *part,
                                 const struct key *key, struct layer_list *ret)
{
    const enum part_term_kind kind = key->created              ? PART_CREATED
                                     : key->by == READ_BY_TYPE ? PART_EVENT_TYPE
                                                               : PART_AGGREGATE_TYPE;
    *ret = (struct layer_list){.part = part};
    const struct status status = part_term(part->part, kind, key->text, &ret->in_file);
    if (status.code != STATUS_OK)
        return embedded_index_trouble(store, &status);
    ret->count = ret->in_file.count;
    return status;
}

struct layer_list layer_list_of_run(const struct view_run *run, const struct run_key *entry)
{
    return (struct layer_list){
        .count = entry->list.count,
        .first_version = (int64_t)entry->value - entry->list.count + 1,
        .uncertain = true,
        .run = run,
        .in_file = entry->list,
    };
}

struct status layer_list_behind(struct embedded_store *store, const struct layer_list *list, int64_t position,
                                uint32_t *ret)
{
    if (list->table != NULL) {
        *ret = event_index_list_behind(list->table->index, &list->in_table, position);
        return status_ok();
    }
    const int64_t first = list->part != NULL ? list->part->first : list->run->first;
    if (position >= list->in_file.last_position || position < first) { /* most reads have no bounds */
        *ret = position < first ? 0 : list->count;
        return status_ok();
    }
    const struct status status = list->part != NULL
                                     ? part_list_behind(list->part->part, &list->in_file, position, ret)
                                     : run_list_behind(list->run->run, &list->in_file, position, ret);
    return status.code == STATUS_OK ? status : embedded_index_trouble(store, &status);
}

struct status layer_list_read(struct embedded_store *store, const struct layer_list *list, uint32_t from,
                              int64_t *ret, uint32_t count)
{
    assert(from <= list->count);
    assert(count <= list->count - from);
    if (list->table != NULL) {
        event_index_list_read(list->table->index, &list->in_table, from, ret, count);
        return status_ok();
    }
    const struct status status = list->part != NULL
                                     ? part_list_read(list->part->part, &list->in_file, from, ret, count)
                                     : run_list_read(list->run->run, &list->in_file, from, ret, count);
    return status.code == STATUS_OK ? status : embedded_index_trouble(store, &status);
}

/* ---- entries of a run ---- */

#define VALUE_OF_ANOTHER_KIND UINT32_C(0x80000000) /* no version is so great */

uint32_t run_value_of(enum read_by by, int32_t last_version)
{
    assert(last_version >= 0);
    return by == READ_BY_AGGREGATE ? (uint32_t)last_version : VALUE_OF_ANOTHER_KIND | (uint32_t)by;
}

static bool is_of_kind(enum read_by by, uint32_t value)
{
    return by == READ_BY_AGGREGATE ? value < VALUE_OF_ANOTHER_KIND : value == run_value_of(by, 0);
}

struct run_entries run_entries_of(const struct view_run *run, const struct key *key, bool newest_first)
{
    struct run_entries entries; /* the piece stays unset: most hashes have no entry */
    entries.run = run;
    entries.by = key->by;
    entries.hash = key->hash;
    entries.newest_first = newest_first;
    entries.counted = false;
    entries.total = 0;
    entries.begun = 0;
    entries.piece_from = 0;
    entries.piece_count = 0;
    return entries;
}

static struct status read_piece(struct run_entries *entries)
{
    uint32_t skip = entries->begun;
    uint32_t most = RUN_ENTRIES_PIECE;
    if (entries->newest_first && entries->counted) {
        const uint32_t left = entries->total - entries->begun;
        most = left < most ? left : most;
        skip = left - most;
    }
    entries->piece_from = 0;
    entries->piece_count = 0;
    if (most == 0)
        return status_ok();
    return run_find_key(entries->run->run, entries->hash, skip, entries->piece, most, &entries->piece_count);
}

/* Nearly always all entries are in the first piece; else the newest are elsewhere. */
static struct status begin(struct run_entries *entries)
{
    STATUS_TRY(read_piece(entries));
    entries->total = entries->piece_count;
    if (entries->piece_count == RUN_ENTRIES_PIECE)
        STATUS_TRY(run_count_key(entries->run->run, entries->hash, &entries->total));
    entries->counted = true;
    if (entries->newest_first && entries->total > RUN_ENTRIES_PIECE)
        return read_piece(entries);
    return status_ok();
}

/* The next entry of the hash, whatever its kind. */
static struct status next_of_hash(struct run_entries *entries, struct run_key *ret, bool *ret_more)
{
    if (!entries->counted)
        STATUS_TRY(begin(entries));
    else if (entries->piece_from == entries->piece_count && entries->begun < entries->total)
        STATUS_TRY(read_piece(entries));
    *ret_more = entries->piece_from < entries->piece_count;
    if (!*ret_more)
        return status_ok();
    const uint32_t number =
        entries->newest_first ? entries->piece_count - 1 - entries->piece_from : entries->piece_from;
    *ret = entries->piece[number];
    entries->piece_from++;
    entries->begun++;
    return status_ok();
}

struct status run_entries_next(struct embedded_store *store, struct run_entries *entries, struct run_key *ret,
                               bool *ret_more)
{
    do {
        const struct status status = next_of_hash(entries, ret, ret_more);
        if (status.code != STATUS_OK)
            return embedded_index_trouble(store, &status);
    } while (*ret_more && !is_of_kind(entries->by, ret->value));
    return status_ok();
}
