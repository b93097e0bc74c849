#include <assert.h>
#include <inttypes.h>

#include "embedded_internal.h"
#include "layer_list_internal.h"
#include "tangle_internal.h"
#include "view_reader_internal.h"

#define PAGE_POSITIONS 256U
/* Neighbours are read along when of so many records at least one is wanted. */
#define DENSE_DISTANCE 4

/* One read: from a view, up to the head that went with it. */
struct reading {
    struct embedded_store *store;
    const struct index_view *view;
    struct view_reader reader;
    const struct read_query *query; /* its to_position is set and not behind the head */
    struct key key;
    record_sink sink;
    void *context;
    bool ended; /* by the sink */
};

/* `if_fits`: unless the record turns out to be of another key. */
static struct status deliver(struct reading *reading, int64_t position, bool if_fits)
{
    struct record record;
    STATUS_TRY(view_reader_get(&reading->reader, position, &record));
    if (if_fits) {
        struct event_fields fields;
        STATUS_TRY(record_decode_header(record, &fields));
        if (!key_fits(&reading->key, &fields))
            return status_ok();
    }
    reading->ended = !reading->sink(reading->context, position, record);
    return status_ok();
}

/* ---- by position ---- */

static struct status read_all(struct reading *reading)
{
    const struct read_query *query = reading->query;
    const int64_t first = query->after_position + 1;
    for (int64_t i = 0; i <= query->to_position - first && !reading->ended; i++)
        STATUS_TRY(deliver(reading, query->backward ? query->to_position - i : first + i, false));
    return status_ok();
}

/* ---- by key: one list ---- */

/* Numbers first … end - 1 of a list, as the query bounds them. */
static struct status bound_list(struct reading *reading, const struct layer_list *list, uint32_t *ret_first,
                                uint32_t *ret_end)
{
    const struct read_query *query = reading->query;
    STATUS_TRY(layer_list_behind(reading->store, list, query->after_position, ret_first));
    STATUS_TRY(layer_list_behind(reading->store, list, query->to_position, ret_end));
    if (query->by != READ_BY_AGGREGATE)
        return status_ok();
    const int64_t from = (int64_t)query->from_version - list->first_version;
    const int64_t end = (int64_t)query->to_version - list->first_version + 1;
    if (from > (int64_t)*ret_first)
        *ret_first = from < (int64_t)list->count ? (uint32_t)from : list->count;
    if (end < (int64_t)*ret_end)
        *ret_end = end > 0 ? (uint32_t)end : 0;
    return status_ok();
}

/*
 * The list of a run is the key's, or wholly another's of the same hash: its first record to be delivered tells. But an event
 * has several tags, so of their lists each record has to tell.
 */
static struct status check_ours(struct reading *reading, int64_t position, bool *ret)
{
    struct event_fields fields;
    STATUS_TRY(view_reader_fields(&reading->reader, position, &fields));
    *ret = key_fits(&reading->key, &fields);
    return status_ok();
}

static enum read_order order_of(const struct reading *reading, const int64_t *positions, uint32_t count)
{
    const int64_t distance = positions[count - 1] - positions[0];
    if (count < 2 || distance > (int64_t)count * DENSE_DISTANCE)
        return READ_SCATTERED;
    return reading->query->backward ? READ_BACKWARD : READ_FORWARD;
}

static struct status read_list(struct reading *reading, const struct layer_list *list)
{
    const bool backward = reading->query->backward;
    bool ours = !list->uncertain;
    uint32_t first = 0;
    uint32_t end = 0;
    STATUS_TRY(bound_list(reading, list, &first, &end));
    while (first < end && !reading->ended) {
        int64_t positions[PAGE_POSITIONS];
        const uint32_t count = end - first < PAGE_POSITIONS ? end - first : PAGE_POSITIONS;
        const uint32_t at = backward ? count - 1 : 0;
        STATUS_TRY(layer_list_read(reading->store, list, backward ? end - count : first, positions, count));
        view_reader_order(&reading->reader, order_of(reading, positions, count));
        if (!ours && reading->key.by != READ_BY_TAG) {
            STATUS_TRY(check_ours(reading, positions[at], &ours));
            if (!ours)
                return status_ok();
        }
        for (uint32_t i = 0; i < count && !reading->ended; i++)
            STATUS_TRY(deliver(reading, positions[backward ? count - 1 - i : i], !ours));
        if (backward)
            end -= count;
        else
            first += count;
    }
    return status_ok();
}

/* ---- by key: all layers ---- */

/* Whether anything that is asked for can lie in first … last. */
static bool overlaps(const struct reading *reading, int64_t first, int64_t last)
{
    return !reading->ended && last > reading->query->after_position && first <= reading->query->to_position;
}

/* Positions of several lists that lie among each other, each once. */
static struct status deliver_tangle(void *context, const int64_t *positions, size_t count)
{
    struct reading *reading = context;
    for (size_t i = 0; i < count && !reading->ended; i++)
        STATUS_TRY(deliver(reading, positions[reading->query->backward ? count - 1 - i : i], true));
    return status_ok();
}

static bool has_ended(void *context)
{
    return ((struct reading *)context)->ended;
}

static struct status deliver_list(void *context, const struct layer_list *list)
{
    return read_list(context, list);
}

/* Two tags of one hash may both be an event's: it must come once. */
static struct status read_tag_in_run(struct reading *reading, const struct view_run *run)
{
    const struct tangle_sink sink = {reading, deliver_list, deliver_tangle, has_ended};
    return tangle_walk(reading->store, run, &reading->key, reading->query, &sink);
}

static struct status read_run(struct reading *reading, const struct view_run *run)
{
    if (!overlaps(reading, run->first, run->last) || !run_may_have_key(run->run, reading->key.hash))
        return status_ok();
    if (reading->key.by == READ_BY_TAG)
        return read_tag_in_run(reading, run);
    struct run_entries entries = run_entries_of(run, &reading->key, reading->query->backward);
    while (!reading->ended) {
        struct run_key entry;
        bool more = false;
        STATUS_TRY(run_entries_next(reading->store, &entries, &entry, &more));
        if (!more)
            return status_ok();
        const struct layer_list list = layer_list_of_run(run, &entry);
        if (entry.list.last_position > reading->query->after_position)
            STATUS_TRY(read_list(reading, &list));
    }
    return status_ok();
}

static struct status read_part(struct reading *reading, const struct view_part *part)
{
    if (!overlaps(reading, part->first, part->last))
        return status_ok();
    struct layer_list list;
    STATUS_TRY(layer_list_of_part(reading->store, part, &reading->key, &list));
    return list.count == 0 ? status_ok() : read_list(reading, &list);
}

static struct status read_files(struct reading *reading)
{
    const struct index_view *view = reading->view;
    const bool in_runs = key_is_in_runs(reading->key.by);
    const size_t count = in_runs ? view->run_count : view->part_count;
    for (size_t i = 0; i < count && !reading->ended; i++) {
        const size_t at = reading->query->backward ? count - 1 - i : i;
        STATUS_TRY(in_runs ? read_run(reading, view->runs[at]) : read_part(reading, view->parts[at]));
    }
    return status_ok();
}

/* The open table may hold events behind the head that the read began with: the query's bound leaves them out. */
static struct status read_tables(struct reading *reading)
{
    const struct index_view *view = reading->view;
    for (size_t i = 0; i < view->table_count && !reading->ended; i++) {
        const size_t at = reading->query->backward ? view->table_count - 1 - i : i;
        const struct view_table *table = view->tables[at];
        if (!overlaps(reading, table->base + 1, INT64_MAX))
            continue;
        const struct layer_list list = layer_list_of_table(table, &reading->key);
        if (list.count > 0)
            STATUS_TRY(read_list(reading, &list));
    }
    return status_ok();
}

static struct status read_by_key(struct reading *reading)
{
    if (reading->query->backward)
        STATUS_TRY(read_tables(reading));
    if (!reading->ended)
        STATUS_TRY(read_files(reading));
    return reading->query->backward ? status_ok() : read_tables(reading);
}

struct status embedded_read(struct event_store *base, const struct read_query *query, record_sink sink,
                            void *context)
{
    struct embedded_store *store = embedded_of(base);
    struct store_head head;
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, &head);
    struct read_query bounded = *query;
    if (bounded.to_position == 0 || bounded.to_position > head.position)
        bounded.to_position = head.position;
    if (bounded.after_position < 0)
        bounded.after_position = 0;
    if (bounded.to_position <= bounded.after_position)
        return status_ok();
    const bool all = query->by == READ_BY_POSITION;
    struct reading reading = {
        .store = store, .view = view, .query = &bounded, .sink = sink, .context = context};
    if (!all)
        reading.key = key_of(store, query->by, query->key);
    view_reader_init(&reading.reader, store, view, query->backward ? READ_BACKWARD : READ_FORWARD);
    const struct status status = all ? read_all(&reading) : read_by_key(&reading);
    view_reader_done(&reading.reader);
    return status;
}
