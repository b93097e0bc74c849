#include "scanned_index_internal.h"

#include <inttypes.h>

#include "embedded_internal.h"
#include "layer_list_internal.h"
#include "lookup_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
}

struct status scanned_index_init(struct scanned_index *index, struct embedded_store *store)
{
    index->store = store;
    index->view = NULL;
    index->entering = false;
    index->arena = arena_new(0);
    return index->arena == NULL ? no_memory() : status_ok();
}

static void let_view_go(struct scanned_index *index)
{
    if (index->view != NULL)
        view_reader_done(&index->reader);
    view_unref(index->view);
    index->view = NULL;
}

void scanned_index_done(struct scanned_index *index)
{
    let_view_go(index);
    arena_free(index->arena);
    index->arena = NULL;
}

/* A table for the segment that comes next in the log becomes the view's last. */
static struct status add_table(struct scanned_index *index, int64_t base)
{
    struct embedded_store *store = index->store;
    /* Of the segment that follows those which have a layer. */
    const uint32_t segment = (uint32_t)(store->view->part_count + store->view->table_count);
    CLEANUP(view_table_unref_at)
    struct view_table *table =
        view_table_new(store->index_seed, base, segment, store->options.segment_max_events);
    struct index_view *view = table == NULL ? NULL : view_with_table(store->view, table);
    if (view == NULL)
        return no_memory();
    let_view_go(index);
    embedded_view_put(store, view);
    store->open = table;
    index->view = view_ref(view);
    view_reader_init(&index->reader, store, view, READ_SCATTERED);
    return status_ok();
}

struct status scanned_index_begin(struct scanned_index *index, const struct scanned_segment *segment)
{
    index->entering = segment_log_count(index->store->segments) >= index->store->view->part_count;
    return index->entering ? add_table(index, segment->first_position - 1) : status_ok();
}

/* Whether the event is the first of its aggregate; it must continue what older layers hold of that. */
static struct status check_aggregate(struct scanned_index *index, const struct event_fields *fields,
                                     bool *ret_first)
{
    struct head_lookup lookup = {.id = fields->aggregate_id};
    bool fits_some = false;
    *ret_first = false;
    /* Records and chain are what was written; this is about what was written, and costs a start its time. */
    if (fields->version > 1)
        STATUS_TRY(lookup_version(&index->reader, fields->aggregate_id, fields->version - 1, &fits_some));
    if (fits_some)
        return status_ok();
    STATUS_TRY(lookup_heads(&index->reader, &lookup, 1, index->arena));
    if (lookup.unreadable != NULL)
        return *lookup.unreadable;
    *ret_first = !lookup.head.exists;
    const bool fits = lookup.head.exists ? fields->version == lookup.head.version + 1
                                         : fields->version == 0 || fields->version == 1;
    if (fits)
        return status_ok();
    return status_reason(REASON_DAMAGED, "it has version %d of aggregate \"%.*s\", which was at %d",
                         fields->version, BYTES_FORMAT(fields->aggregate_id),
                         lookup.head.exists ? lookup.head.version : -1);
}

static struct status check_id(struct scanned_index *index, const struct event_fields *fields)
{
    struct id_lookup lookup = {.id = fields->id};
    STATUS_TRY(lookup_ids(&index->reader, &lookup, 1, index->arena));
    if (lookup.unreadable != NULL)
        return *lookup.unreadable;
    if (lookup.position == 0)
        return status_ok();
    return status_reason(REASON_DAMAGED, "it repeats the event id \"%.*s\" of position %" PRId64,
                         BYTES_FORMAT(fields->id), lookup.position);
}

static struct status enter(struct scanned_index *index, const struct event_fields *fields,
                           struct location location)
{
    struct view_table *table = index->store->open;
    const struct key key = key_of(index->store, READ_BY_AGGREGATE, fields->aggregate_id);
    bool first = false;
    arena_reset(index->arena);
    if (layer_list_of_table(table, &key).count == 0)
        STATUS_TRY(check_aggregate(index, fields, &first));
    STATUS_TRY(check_id(index, fields));
    STATUS_TRY(locations_reserve(&table->locations, 1));
    STATUS_TRY(event_index_add(table->index, fields, &first, 1));
    locations_add(&table->locations, location);
    return status_ok();
}

struct status scanned_index_add(struct scanned_index *index, const struct scanned_event *event)
{
    if (!index->entering)
        return status_ok();
    if (event->offset > UINT32_MAX)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "a segment of %s/log is larger than 4 GiB; use a newer strata", index->store->id);
    const struct location location = {
        .segment = index->store->open->segment,
        .offset = (uint32_t)event->offset,
        .room_bytes = ENTRY_PREFIX_BYTES + (uint32_t)event->record.bytes.size_bytes,
        .header_crc = event->header_crc,
    };
    return enter(index, event->fields, location);
}

struct status scanned_index_end(struct scanned_index *index, const struct scanned_segment *segment,
                                const struct log_end *end)
{
    struct embedded_store *store = index->store;
    if (!index->entering)
        return status_ok();
    store->open->facts = (struct part_facts){
        .first_position = segment->first_position,
        .segment_epoch = segment->epoch,
        .end_offset = segment->end_offset,
        .chain = end->chain,
        .timestamp_us = end->timestamp_us,
        .writer_epoch = end->writer_epoch,
    };
    store->open->frozen = true;
    if (store->options.read_only)
        return status_ok();
    const struct status status = builder_catch_up(store, BUILDER_WAITING_MAX);
    return status.code == STATUS_OK ? status
                                    : status_prefix(status, "while making the index of the log anew");
}

struct status scanned_index_finish(struct scanned_index *index)
{
    struct embedded_store *store = index->store;
    return store->open == NULL ? add_table(index, 0) : status_ok();
}

int64_t scanned_index_aggregate_count(const struct scanned_index *index)
{
    const struct index_view *view = index->store->view;
    int64_t count = 0;
    for (size_t i = 0; i < view->part_count; i++)
        count += part_facts(view->parts[i]->part)->created_count;
    for (size_t i = 0; i < view->table_count; i++)
        count += event_index_aggregate_count(view->tables[i]->index);
    return count;
}
