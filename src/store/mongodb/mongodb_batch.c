/*
 * The documents of a batch, one an append:
 *
 *   _id, last        first and last position          n           how many events
 *   ts               of all its events, us            chain       after it (32 bytes)
 *   aggregates       how many there are after it
 *   ids, recs, hb    id, record, size of its header, of each event
 *   agg              of each aggregate it moves: a id, t type, v version, p position, f first position, c events
 *   av               the same as "id U+001F version in 8 hexadecimal digits": unique, and in order of versions
 *   born, bl, bts    aggregates that begin here: a id, t type, p position; the last p; the types
 *   types, atypes, corr, tags   what it can be found by, each once; corr and tags are left out when empty
 *   cnt              of each type: t type, n events
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"

/* ---- sets of names ---- */

struct names {
    struct hash_table table;
    struct bytes *items;
    size_t count;
};

static uint32_t names_find(const struct names *names, struct bytes name)
{
    const uint64_t hash = hash_table_hash(&names->table, name);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&names->table, hash, &state)) != HASH_NONE)
        if (bytes_equal(names->items[at], name))
            return at;
    return HASH_NONE;
}

/* Its place; HASH_NONE when out of memory. There is room for all. */
static uint32_t names_add(struct names *names, struct bytes name)
{
    const uint32_t known = names_find(names, name);
    if (known != HASH_NONE)
        return known;
    if (!hash_table_add(&names->table, hash_table_hash(&names->table, name), (uint32_t)names->count))
        return HASH_NONE;
    names->items[names->count] = name;
    return (uint32_t)names->count++;
}

static void names_clear(struct names *names)
{
    hash_table_clear(&names->table);
    names->count = 0;
}

static struct status names_make(struct names *names, uint64_t seed, struct arena *arena, size_t room)
{
    *names = (struct names){.table = hash_table_make(seed),
                            .items = arena_array(arena, room, sizeof *names->items)};
    return names->items != NULL ? status_ok() : mongodb_no_memory();
}

/* ---- aggregates as the batch moves them ---- */

struct moved {
    struct bytes type;
    bool exists;
    int32_t version;
    int64_t first_position;
    int64_t position;
    int32_t event_count;
    int64_t moved_by; /* _id of the last append that did */
    bool born;        /* by that one */
};

struct writing {
    struct mongodb_store *store;
    struct names aggregates; /* of the batch; the place of each is that of its `moved` */
    struct moved *moved;
    uint32_t *touched; /* of one append: places of its aggregates */
    size_t touched_count;
    struct names set; /* of one append and one field */
    int64_t *counts;  /* by place in `set` */
    int64_t aggregate_count;
};

static struct moved *moved_of(struct writing *writing, struct bytes id)
{
    const size_t before = writing->aggregates.count;
    const uint32_t place = names_add(&writing->aggregates, id);
    if (place == HASH_NONE)
        return NULL;
    struct moved *moved = &writing->moved[place];
    if (writing->aggregates.count > before) {
        const struct mongodb_head *head = mongodb_cache_find(&writing->store->cache, id);
        *moved = (struct moved){.exists = false};
        if (head != NULL && head->exists)
            *moved =
                (struct moved){head->type,        true, head->version, head->first_position, head->position,
                               head->event_count, 0,    false};
    }
    return moved;
}

static bool move(struct writing *writing, int64_t append_first, const struct event_fields *fields)
{
    struct moved *moved = moved_of(writing, fields->aggregate_id);
    if (moved == NULL)
        return false;
    if (moved->moved_by != append_first) {
        writing->touched[writing->touched_count++] = names_find(&writing->aggregates, fields->aggregate_id);
        moved->moved_by = append_first;
        moved->born = false;
    }
    if (!moved->exists) {
        moved->exists = moved->born = true;
        moved->first_position = fields->position;
        moved->type = fields->aggregate_type;
        writing->aggregate_count++;
    }
    moved->version = fields->version;
    moved->position = fields->position;
    moved->event_count++;
    return true;
}

/* ---- fields ---- */

void mongodb_av_text(struct bytes aggregate_id, int64_t version, char to[AV_TEXT_BYTES])
{
    assert(aggregate_id.size_bytes + 10 < AV_TEXT_BYTES);
    if (aggregate_id.size_bytes > 0)
        memcpy(to, aggregate_id.data, aggregate_id.size_bytes);
    to += aggregate_id.size_bytes;
    *to++ = AV_SEPARATOR;
    (void)snprintf(to, 9, "%08" PRIx32, (uint32_t)version);
}

struct listing {
    bson_t array;
    uint32_t count;
    char place[16];
};

static void begin_list(bson_t *document, const char *key, struct listing *list)
{
    list->count = 0;
    (void)bson_append_array_begin(document, key, -1, &list->array);
}

static const char *next_place(struct listing *list)
{
    (void)snprintf(list->place, sizeof list->place, "%" PRIu32, list->count++);
    return list->place;
}

static void put_set(bson_t *document, const char *key, const struct names *set)
{
    struct listing list;
    if (set->count == 0)
        return;
    begin_list(document, key, &list);
    for (size_t i = 0; i < set->count; i++)
        put_text(&list.array, next_place(&list), set->items[i]);
    (void)bson_append_array_end(document, &list.array);
}

static void put_events(bson_t *document, const struct commit_append *append)
{
    struct listing list;
    begin_list(document, "ids", &list);
    for (size_t i = 0; i < append->count; i++)
        put_text(&list.array, next_place(&list), append->fields[i].id);
    (void)bson_append_array_end(document, &list.array);
    begin_list(document, "hb", &list);
    for (size_t i = 0; i < append->count; i++)
        (void)bson_append_int32(&list.array, next_place(&list), -1, (int32_t)append->records[i].header_bytes);
    (void)bson_append_array_end(document, &list.array);
    begin_list(document, "recs", &list);
    for (size_t i = 0; i < append->count; i++)
        put_binary(&list.array, next_place(&list), append->records[i].bytes);
    (void)bson_append_array_end(document, &list.array);
}

static void put_aggregates(bson_t *document, const struct writing *writing)
{
    struct listing list;
    bson_t entry;
    char text[AV_TEXT_BYTES];
    begin_list(document, "agg", &list);
    for (size_t i = 0; i < writing->touched_count; i++) {
        const struct moved *moved = &writing->moved[writing->touched[i]];
        (void)bson_append_document_begin(&list.array, next_place(&list), -1, &entry);
        put_text(&entry, "a", writing->aggregates.items[writing->touched[i]]);
        put_text(&entry, "t", moved->type);
        put_int(&entry, "v", moved->version);
        put_int(&entry, "p", moved->position);
        put_int(&entry, "f", moved->first_position);
        put_int(&entry, "c", moved->event_count);
        (void)bson_append_document_end(&list.array, &entry);
    }
    (void)bson_append_array_end(document, &list.array);
    begin_list(document, "av", &list);
    for (size_t i = 0; i < writing->touched_count; i++) {
        mongodb_av_text(writing->aggregates.items[writing->touched[i]],
                        writing->moved[writing->touched[i]].version, text);
        put_text(&list.array, next_place(&list), bytes_of_text(text));
    }
    (void)bson_append_array_end(document, &list.array);
}

/* In order of their first events, which is that of `touched`. */
static bool put_born(bson_t *document, struct writing *writing)
{
    struct listing list;
    bson_t entry;
    int64_t last = 0;
    names_clear(&writing->set);
    for (size_t i = 0; i < writing->touched_count; i++) {
        const struct moved *moved = &writing->moved[writing->touched[i]];
        if (!moved->born)
            continue;
        if (last == 0)
            begin_list(document, "born", &list);
        (void)bson_append_document_begin(&list.array, next_place(&list), -1, &entry);
        put_text(&entry, "a", writing->aggregates.items[writing->touched[i]]);
        put_text(&entry, "t", moved->type);
        put_int(&entry, "p", moved->first_position);
        (void)bson_append_document_end(&list.array, &entry);
        last = moved->first_position;
        if (names_add(&writing->set, moved->type) == HASH_NONE)
            return false;
    }
    if (last == 0)
        return true;
    (void)bson_append_array_end(document, &list.array);
    put_int(document, "bl", last);
    put_set(document, "bts", &writing->set);
    return true;
}

static bool put_types(bson_t *document, struct writing *writing, const struct commit_append *append)
{
    struct listing list;
    bson_t entry;
    names_clear(&writing->set);
    for (size_t i = 0; i < append->count; i++) {
        const size_t before = writing->set.count;
        const uint32_t place = names_add(&writing->set, append->fields[i].type);
        if (place == HASH_NONE)
            return false;
        if (writing->set.count > before)
            writing->counts[place] = 0;
        writing->counts[place]++;
    }
    put_set(document, "types", &writing->set);
    begin_list(document, "cnt", &list);
    for (size_t i = 0; i < writing->set.count; i++) {
        (void)bson_append_document_begin(&list.array, next_place(&list), -1, &entry);
        put_text(&entry, "t", writing->set.items[i]);
        put_int(&entry, "n", writing->counts[i]);
        (void)bson_append_document_end(&list.array, &entry);
    }
    (void)bson_append_array_end(document, &list.array);
    return true;
}

static bool put_terms(bson_t *document, struct writing *writing, const struct commit_append *append)
{
    bool fits = true;
    names_clear(&writing->set);
    for (size_t i = 0; i < append->count; i++)
        fits = fits && names_add(&writing->set, append->fields[i].aggregate_type) != HASH_NONE;
    put_set(document, "atypes", &writing->set);
    names_clear(&writing->set);
    for (size_t i = 0; i < append->count; i++)
        if (append->fields[i].correlation_id.size_bytes > 0)
            fits = fits && names_add(&writing->set, append->fields[i].correlation_id) != HASH_NONE;
    put_set(document, "corr", &writing->set);
    names_clear(&writing->set);
    for (size_t i = 0; i < append->count; i++)
        for (size_t tag = 0; tag < append->fields[i].tag_count; tag++)
            fits = fits && names_add(&writing->set, append->fields[i].tags[tag]) != HASH_NONE;
    put_set(document, "tags", &writing->set);
    return fits;
}

/* ---- documents ---- */

static struct status write_append(struct writing *writing, const struct commit_append *append,
                                  bson_t *document)
{
    writing->touched_count = 0;
    for (size_t i = 0; i < append->count; i++)
        if (!move(writing, append->first_position, &append->fields[i]))
            return mongodb_no_memory();
    put_int(document, "_id", append->first_position);
    put_int(document, "last", append->first_position + (int64_t)append->count - 1);
    put_int(document, "n", (int64_t)append->count);
    put_int(document, "ts", append->fields[0].timestamp_us);
    put_binary(document, "chain", bytes_of(&append->chain_after, sizeof append->chain_after));
    put_int(document, "aggregates", writing->aggregate_count);
    put_aggregates(document, writing);
    if (!put_born(document, writing) || !put_types(document, writing, append) ||
        !put_terms(document, writing, append))
        return mongodb_no_memory();
    put_events(document, append);
    return status_ok();
}

static struct status learn(struct mongodb_store *store, const struct commit_batch *batch, struct arena *arena)
{
    struct names named;
    STATUS_TRY(names_make(&named, store->seed, arena, batch->record_count));
    struct status status = status_ok();
    for (size_t i = 0; status.code == STATUS_OK && i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++)
            if (names_add(&named, batch->appends[i].fields[j].aggregate_id) == HASH_NONE)
                status = mongodb_no_memory();
    if (status.code == STATUS_OK) /* the facts have asked for them: nothing is left to ask, as a rule */
        status = mongodb_learn_heads(store, named.items, named.count);
    hash_table_done(&named.table);
    return status;
}

static struct status make_writing(struct writing *writing, const struct commit_batch *batch,
                                  struct arena *arena)
{
    const size_t most = batch->record_count;
    writing->moved = arena_array(arena, most, sizeof *writing->moved);
    writing->touched = arena_array(arena, most, sizeof *writing->touched);
    writing->counts = arena_array(arena, most, sizeof *writing->counts);
    if (writing->moved == NULL || writing->touched == NULL || writing->counts == NULL)
        return mongodb_no_memory();
    STATUS_TRY(names_make(&writing->aggregates, writing->store->seed, arena, most));
    return names_make(&writing->set, writing->store->seed, arena, most * RECORD_TAGS_MAX);
}

struct status mongodb_write_batch(struct mongodb_store *store, const struct commit_batch *batch,
                                  bson_t **documents)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return mongodb_no_memory();
    struct writing writing = {.store = store, .aggregate_count = batch->before.aggregate_count};
    STATUS_TRY(learn(store, batch, arena));
    struct status status = make_writing(&writing, batch, arena);
    for (size_t i = 0; status.code == STATUS_OK && i < batch->append_count; i++) {
        documents[i] = bson_new();
        status = write_append(&writing, &batch->appends[i], documents[i]);
    }
    hash_table_done(&writing.aggregates.table);
    hash_table_done(&writing.set.table);
    assert(status.code != STATUS_OK || writing.aggregate_count == batch->after.aggregate_count);
    return status;
}
