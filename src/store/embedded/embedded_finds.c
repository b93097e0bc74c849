#include <inttypes.h>

#include "embedded_internal.h"
#include "lookup_internal.h"
#include "totals_internal.h"

/*
 * The open table is asked under view_lock, so that a batch shows as a whole: its events, its heads, the store's head.
 * Everything else never changes: it is asked without a lock, through a reference to the view.
 */

struct status embedded_head(struct event_store *base, struct store_head *ret)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    *ret = store->head;
    pthread_rwlock_unlock(&store->view_lock);
    return status_ok();
}

struct status embedded_find_id(struct event_store *base, struct bytes event_id, int64_t *ret_position)
{
    struct embedded_store *store = embedded_of(base);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to find an event");
    struct id_lookup lookup = {.id = event_id};
    pthread_rwlock_rdlock(&store->view_lock);
    CLEANUP(view_unref_at) struct index_view *view = view_ref(store->view);
    lookup_ids_in_table(view_open_table(view), &lookup, 1);
    pthread_rwlock_unlock(&store->view_lock);
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_SCATTERED);
    struct status status = lookup_ids(&reader, &lookup, 1, arena);
    view_reader_done(&reader);
    if (status.code == STATUS_OK && lookup.unreadable != NULL)
        status = *lookup.unreadable;
    if (status.code == STATUS_OK)
        *ret_position = lookup.position;
    return status;
}

/* ---- time ---- */

/* The last part that begins at time_us or before; its number plus 1, 0 = none. */
static size_t part_at_time(const struct index_view *view, int64_t time_us)
{
    size_t low = 0;
    size_t high = view->part_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (part_facts(view->parts[middle]->part)->first_timestamp_us <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* From a sample on, of which few are left out, the records themselves say. */
static struct status find_time_in_part(struct embedded_store *store, struct index_view *view,
                                       const struct view_part *part, int64_t time_us, int64_t *ret_position)
{
    int64_t position = 0;
    const struct status sampled = part_sample(part->part, time_us, &position);
    if (sampled.code != STATUS_OK)
        return embedded_index_trouble(store, &sampled);
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_FORWARD);
    struct status status = status_ok();
    for (int64_t next = position + 1; next <= part->last && status.code == STATUS_OK; next++) {
        struct event_fields fields;
        status = view_reader_fields(&reader, next, &fields);
        if (status.code == STATUS_OK && fields.timestamp_us > time_us)
            break;
        position = next;
    }
    view_reader_done(&reader);
    *ret_position = position;
    return status;
}

struct status embedded_find_time(struct event_store *base, int64_t time_us, int64_t *ret_position)
{
    struct embedded_store *store = embedded_of(base);
    pthread_rwlock_rdlock(&store->view_lock);
    CLEANUP(view_unref_at) struct index_view *view = view_ref(store->view);
    int64_t position = event_index_find_time(view_open_table(view)->index, time_us);
    pthread_rwlock_unlock(&store->view_lock);
    for (size_t i = view->table_count - 1; i-- > 0 && position == 0;)
        position = event_index_find_time(view->tables[i]->index, time_us);
    *ret_position = position;
    const size_t part = position == 0 ? part_at_time(view, time_us) : 0;
    if (part == 0)
        return status_ok();
    return find_time_in_part(store, view, view->parts[part - 1], time_us, ret_position);
}

/* ---- counts ---- */

/* The open table's counts while view_lock is held, those of the others afterwards. */
static struct status count_tables(struct embedded_store *store, struct arena *arena,
                                  struct index_view **ret_view, struct event_store_stats **ret)
{
    pthread_rwlock_rdlock(&store->view_lock);
    struct index_view *view = view_ref(store->view);
    *ret_view = view;
    struct event_store_stats *tables = arena_array(arena, view->table_count, sizeof *tables);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to count events");
    if (tables != NULL)
        status = event_index_stats(view_open_table(view)->index, arena, &tables[view->table_count - 1]);
    pthread_rwlock_unlock(&store->view_lock);
    for (size_t i = 0; i + 1 < view->table_count && status.code == STATUS_OK; i++)
        status = event_index_stats(view->tables[i]->index, arena, &tables[i]);
    *ret = tables;
    return status;
}

struct status embedded_stats(struct event_store *base, struct arena *arena, struct event_store_stats *ret)
{
    struct embedded_store *store = embedded_of(base);
    CLEANUP(view_unref_at) struct index_view *view = NULL;
    struct event_store_stats *tables = NULL;
    STATUS_TRY(count_tables(store, arena, &view, &tables));
    STATUS_TRY(totals_stats(view->totals, tables, view->table_count, arena, ret));
    ret->engine = "embedded";
    ret->size_bytes = (int64_t)segment_log_bytes(store->segments);
    return status_ok();
}
