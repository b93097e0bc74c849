#include "lookup_internal.h"

#include <assert.h>
#include <inttypes.h>

#include "base/log.h"
#include "embedded_internal.h"
#include "layer_list_internal.h"

#define RECORDS_TRIED 4U /* of an aggregate whose last records are damaged */

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to look something up");
}

static struct status keep_status(const struct status *why, struct arena *arena, const struct status **ret)
{
    struct status *kept = arena_alloc(arena, sizeof *kept);
    if (kept == NULL)
        return no_memory();
    *kept = *why;
    *ret = kept;
    return status_ok();
}

/* ---- tables ---- */

/* In blocks: what they look at lies all over large tables, and is fetched side by side. */
struct status lookup_heads_in_table(const struct view_table *table, struct head_lookup *lookups, size_t count,
                                    struct arena *arena)
{
    for (size_t next = 0; next < count;) {
        struct head_lookup *block[EVENT_INDEX_PREFETCH_MAX];
        struct bytes ids[EVENT_INDEX_PREFETCH_MAX];
        struct aggregate_head heads[EVENT_INDEX_PREFETCH_MAX];
        size_t wanted = 0;
        for (; next < count && wanted < EVENT_INDEX_PREFETCH_MAX; next++) {
            if (lookups[next].done)
                continue;
            block[wanted] = &lookups[next];
            ids[wanted++] = lookups[next].id;
        }
        STATUS_TRY(event_index_find_heads(table->index, ids, wanted, arena, heads));
        for (size_t i = 0; i < wanted; i++) {
            block[i]->done = heads[i].exists;
            if (heads[i].exists)
                block[i]->head = heads[i];
        }
    }
    return status_ok();
}

void lookup_ids_in_table(const struct view_table *table, struct id_lookup *lookups, size_t count)
{
    for (size_t next = 0; next < count;) {
        struct id_lookup *block[EVENT_INDEX_PREFETCH_MAX];
        struct bytes ids[EVENT_INDEX_PREFETCH_MAX];
        int64_t positions[EVENT_INDEX_PREFETCH_MAX];
        size_t wanted = 0;
        for (; next < count && wanted < EVENT_INDEX_PREFETCH_MAX; next++) {
            if (lookups[next].done)
                continue;
            block[wanted] = &lookups[next];
            ids[wanted++] = lookups[next].id;
        }
        event_index_find_ids(table->index, ids, wanted, positions);
        for (size_t i = 0; i < wanted; i++) {
            block[i]->position = positions[i];
            block[i]->done = positions[i] != 0;
        }
    }
}

static size_t frozen_count(const struct index_view *view)
{
    return view->table_count == 0 ? 0 : view->table_count - 1;
}

/* ---- heads in runs ---- */

/* Nobody else would hear of a record that was passed over; the first one is enough to make somebody look. */
static void tell_damage(struct embedded_store *store, const struct status *why)
{
    if (!atomic_exchange(&store->told_damage, true))
        log_error(store->log, "a record of the log is damaged, passed over while looking up a head",
                  LOG_TEXT("store", store->id), LOG_TEXT("why", why->message));
}

/*
 * Whether the entry is the aggregate's: any record of its list tells, the last one tells the position's type too. One that
 * cannot be read leaves the next to be asked, since appends to the aggregate must go on.
 */
static struct status fits_entry(struct view_reader *reader, const struct layer_list *list, struct bytes id,
                                struct event_fields *ret, bool *ret_fits)
{
    const uint32_t tries = list->count < RECORDS_TRIED ? list->count : RECORDS_TRIED;
    int64_t positions[RECORDS_TRIED];
    struct status status = view_reader_fields(reader, list->in_file.last_position, ret);
    if (status.code == STATUS_DATA_LOSS && tries > 1) {
        STATUS_TRY(layer_list_read(reader->store, list, list->count - tries, positions, tries));
        tell_damage(reader->store, &status);
        for (uint32_t i = tries - 1; i-- > 0 && status.code == STATUS_DATA_LOSS;)
            status = view_reader_fields(reader, positions[i], ret);
    }
    *ret_fits = status.code == STATUS_OK && bytes_equal(ret->aggregate_id, id);
    return status;
}

static struct status take_head(struct view_reader *reader, const struct run_key *entry,
                               const struct event_fields *fields, struct head_lookup *lookup,
                               struct arena *arena)
{
    const bool last = fields->position == entry->list.last_position;
    if (last && fields->version != (int32_t)entry->value) {
        const struct status wrong = status_reason(
            REASON_DAMAGED, "the index says version %" PRIu32 " of the event at position %" PRId64,
            entry->value, fields->position);
        return embedded_index_trouble(reader->store, &wrong);
    }
    lookup->head = (struct aggregate_head){
        .exists = true,
        .type = arena_bytes(arena, fields->aggregate_type),
        .version = (int32_t)entry->value,
        .position = entry->list.last_position,
    };
    lookup->done = true;
    return lookup->head.type.data == NULL ? no_memory() : status_ok();
}

static struct status head_in_run(struct view_reader *reader, const struct view_run *run,
                                 struct head_lookup *lookup, struct arena *arena)
{
    const struct key key = {.by = READ_BY_AGGREGATE, .text = lookup->id, .hash = lookup->hash};
    struct run_entries entries = run_entries_of(run, &key, true);
    for (;;) {
        struct run_key entry;
        bool more = false;
        STATUS_TRY(run_entries_next(reader->store, &entries, &entry, &more));
        if (!more)
            return status_ok();
        if (entry.list.last_position <= lookup->newer_than)
            continue;
        struct event_fields fields;
        bool fits = false;
        const struct layer_list list = layer_list_of_run(run, &entry);
        const struct status status = fits_entry(reader, &list, lookup->id, &fields, &fits);
        if (status.code == STATUS_DATA_LOSS) {
            lookup->done = true;
            return keep_status(&status, arena, &lookup->unreadable);
        }
        STATUS_TRY(status);
        if (fits)
            return take_head(reader, &entry, &fields, lookup, arena);
    }
}

static bool wants(const struct head_lookup *lookup, const struct view_run *run)
{
    return !lookup->done && run->last > lookup->newer_than;
}

static struct status heads_in_runs(struct view_reader *reader, struct head_lookup *lookups, size_t count,
                                   struct arena *arena)
{
    const struct index_view *view = reader->view;
    for (size_t i = 0; i < count; i++)
        if (!lookups[i].done && !lookups[i].cached)
            lookups[i].hash = embedded_index_hash(reader->store, INDEX_KEY_AGGREGATE, lookups[i].id);
    for (size_t r = view->run_count; r-- > 0;) {
        const struct view_run *run = view->runs[r];
        for (size_t i = 0; i < count; i++)
            if (wants(&lookups[i], run))
                run_prefetch_key(run->run, lookups[i].hash);
        for (size_t i = 0; i < count; i++)
            if (wants(&lookups[i], run) && run_may_have_key(run->run, lookups[i].hash))
                STATUS_TRY(head_in_run(reader, run, &lookups[i], arena));
    }
    return status_ok();
}

struct status lookup_heads(struct view_reader *reader, struct head_lookup *lookups, size_t count,
                           struct arena *arena)
{
    const struct index_view *view = reader->view;
    size_t left = 0;
    for (size_t t = frozen_count(view); t-- > 0;)
        STATUS_TRY(lookup_heads_in_table(view->tables[t], lookups, count, arena));
    for (size_t i = 0; i < count; i++)
        left += !lookups[i].done;
    if (left > 0)
        STATUS_TRY(heads_in_runs(reader, lookups, count, arena));
    for (size_t i = 0; i < count; i++)
        lookups[i].done = true;
    return status_ok();
}

static struct status version_in_run(struct view_reader *reader, const struct view_run *run,
                                    const struct key *key, int32_t version, bool *ret)
{
    struct run_entries entries = run_entries_of(run, key, true);
    bool more = true;
    while (!*ret) {
        struct run_key entry;
        STATUS_TRY(run_entries_next(reader->store, &entries, &entry, &more));
        if (!more)
            return status_ok();
        *ret = entry.value == (uint32_t)version;
    }
    return status_ok();
}

struct status lookup_version(struct view_reader *reader, struct bytes id, int32_t version, bool *ret)
{
    const struct index_view *view = reader->view;
    const struct key key = key_of(reader->store, READ_BY_AGGREGATE, id);
    *ret = false;
    for (size_t i = frozen_count(view); i-- > 0 && !*ret;) {
        const struct layer_list list = layer_list_of_table(view->tables[i], &key);
        *ret = list.count > 0 && list.first_version + list.count - 1 == version;
    }
    for (size_t i = view->run_count; i-- > 0 && !*ret;)
        if (run_may_have_key(view->runs[i]->run, key.hash))
            STATUS_TRY(version_in_run(reader, view->runs[i], &key, version, ret));
    return status_ok();
}

/* ---- ids in runs ---- */

#define CANDIDATES 8U

static struct status id_in_run(struct view_reader *reader, const struct view_run *run,
                               struct id_lookup *lookup, struct arena *arena)
{
    uint32_t got = CANDIDATES;
    for (uint32_t skip = 0; got == CANDIDATES && !lookup->done; skip += got) {
        int64_t positions[CANDIDATES];
        const struct status found = run_find_id(run->run, lookup->hash, skip, positions, CANDIDATES, &got);
        if (found.code != STATUS_OK)
            return embedded_index_trouble(reader->store, &found);
        for (uint32_t i = 0; i < got && !lookup->done; i++) {
            struct event_fields fields;
            const struct status status = view_reader_fields(reader, positions[i], &fields);
            if (status.code == STATUS_DATA_LOSS) {
                lookup->done = true;
                return keep_status(&status, arena, &lookup->unreadable);
            }
            STATUS_TRY(status);
            if (bytes_equal(fields.id, lookup->id)) {
                lookup->done = true;
                lookup->position = positions[i];
            }
        }
    }
    return status_ok();
}

static struct status ids_in_runs(struct view_reader *reader, struct id_lookup *lookups, size_t count,
                                 struct arena *arena)
{
    const struct index_view *view = reader->view;
    for (size_t i = 0; i < count; i++) {
        if (lookups[i].done)
            continue;
        lookups[i].hash = embedded_index_hash(reader->store, INDEX_KEY_EVENT_ID, lookups[i].id);
        lookups[i].uuid7_ms = index_uuid7_ms(lookups[i].id);
    }
    for (size_t r = view->run_count; r-- > 0;) {
        const struct view_run *run = view->runs[r];
        for (size_t i = 0; i < count; i++)
            if (!lookups[i].done)
                run_prefetch_id(run->run, lookups[i].hash);
        for (size_t i = 0; i < count; i++)
            if (!lookups[i].done && run_may_have_id(run->run, lookups[i].hash, lookups[i].uuid7_ms))
                STATUS_TRY(id_in_run(reader, run, &lookups[i], arena));
    }
    return status_ok();
}

struct status lookup_ids(struct view_reader *reader, struct id_lookup *lookups, size_t count,
                         struct arena *arena)
{
    const struct index_view *view = reader->view;
    size_t left = 0;
    for (size_t t = frozen_count(view); t-- > 0;)
        lookup_ids_in_table(view->tables[t], lookups, count);
    for (size_t i = 0; i < count; i++)
        left += !lookups[i].done;
    if (left > 0)
        STATUS_TRY(ids_in_runs(reader, lookups, count, arena));
    for (size_t i = 0; i < count; i++)
        lookups[i].done = true;
    return status_ok();
}

/* ---- the first event ---- */

static struct status first_in_run(struct view_reader *reader, const struct view_run *run,
                                  const struct key *key, int64_t *ret_position, int32_t *ret_version)
{
    struct run_entries entries = run_entries_of(run, key, false);
    for (;;) {
        struct run_key entry;
        bool more = false;
        STATUS_TRY(run_entries_next(reader->store, &entries, &entry, &more));
        if (!more)
            return status_ok();
        int64_t position = 0;
        struct event_fields fields;
        const struct layer_list list = layer_list_of_run(run, &entry);
        STATUS_TRY(layer_list_read(reader->store, &list, 0, &position, 1));
        STATUS_TRY(view_reader_fields(reader, position, &fields));
        if (!key_fits(key, &fields))
            continue;
        *ret_position = position;
        *ret_version = fields.version;
        return status_ok();
    }
}

struct status lookup_first(struct view_reader *reader, struct bytes id, int64_t *ret_position,
                           int32_t *ret_version)
{
    const struct index_view *view = reader->view;
    const struct key key = key_of(reader->store, READ_BY_AGGREGATE, id);
    *ret_position = 0;
    for (size_t i = 0; i < view->run_count; i++) {
        if (!run_may_have_key(view->runs[i]->run, key.hash))
            continue;
        STATUS_TRY(first_in_run(reader, view->runs[i], &key, ret_position, ret_version));
        if (*ret_position != 0)
            return status_ok();
    }
    for (size_t i = 0; i < frozen_count(view); i++) {
        const struct layer_list list = layer_list_of_table(view->tables[i], &key);
        if (list.count == 0)
            continue;
        *ret_version = (int32_t)list.first_version;
        return layer_list_read(reader->store, &list, 0, ret_position, 1);
    }
    return status_ok();
}
