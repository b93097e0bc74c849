#include <assert.h>
#include <inttypes.h>

#include "creations_internal.h"
#include "embedded_internal.h"
#include "lookup_internal.h"

#define TABLE_PIECE 64U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to look up aggregates");
}

/* ---- one aggregate ---- */

/* The newest event and, when its layer does not know it, the first one. */
static struct status complete_head(struct view_reader *reader, struct head_lookup *lookup,
                                   struct arena *arena)
{
    STATUS_TRY(lookup_heads(reader, lookup, 1, arena));
    if (lookup->unreadable != NULL)
        return *lookup->unreadable;
    struct aggregate_head *head = &lookup->head;
    if (!head->exists || head->first_position != 0)
        return status_ok();
    int32_t first_version = 0;
    STATUS_TRY(lookup_first(reader, lookup->id, &head->first_position, &first_version));
    if (head->first_position == 0) {
        const struct status wrong = status_reason(
            REASON_DAMAGED, "the index has version %" PRId32 " of aggregate \"%.*s\" and not its first event",
            head->version, BYTES_FORMAT(lookup->id));
        return embedded_index_trouble(reader->store, &wrong);
    }
    head->event_count = head->version - first_version + 1;
    return status_ok();
}

struct status embedded_aggregate(struct event_store *base, struct bytes id, struct arena *arena,
                                 struct aggregate_head *ret)
{
    struct embedded_store *store = embedded_of(base);
    struct head_lookup lookup = {.id = id};
    pthread_rwlock_rdlock(&store->view_lock);
    CLEANUP(view_unref_at) struct index_view *view = view_ref(store->view);
    struct status status = lookup_heads_in_table(view_open_table(view), &lookup, 1, arena);
    pthread_rwlock_unlock(&store->view_lock);
    STATUS_TRY(status);
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_SCATTERED);
    status = complete_head(&reader, &lookup, arena);
    view_reader_done(&reader);
    if (status.code == STATUS_OK)
        *ret = lookup.head;
    return status;
}

/* ---- all aggregates ---- */

struct listing {
    struct embedded_store *store;
    const struct index_view *view;
    int64_t head_position; /* when the listing began: what was created later is left out */
    struct bytes type;
    int64_t after;
    struct arena *arena; /* for one aggregate, or one piece of a table */
    aggregate_sink sink;
    void *context;
    bool ended;
};

/* The head is the present one, which may be newer than the view. */
static struct status hand_over(struct listing *listing, struct bytes id, int64_t first_position,
                               int32_t first_version)
{
    struct embedded_store *store = listing->store;
    struct head_lookup lookup = {.id = id};
    pthread_rwlock_rdlock(&store->view_lock);
    CLEANUP(view_unref_at) struct index_view *view = view_ref(store->view);
    struct status status = lookup_heads_in_table(view_open_table(view), &lookup, 1, listing->arena);
    pthread_rwlock_unlock(&store->view_lock);
    struct view_reader reader;
    view_reader_init(&reader, store, view, READ_SCATTERED);
    if (status.code == STATUS_OK)
        status = lookup_heads(&reader, &lookup, 1, listing->arena);
    view_reader_done(&reader);
    if (status.code == STATUS_OK && lookup.unreadable != NULL)
        status = *lookup.unreadable;
    STATUS_TRY(status);
    lookup.head.first_position = first_position;
    lookup.head.event_count = lookup.head.version - first_version + 1;
    listing->after = first_position;
    listing->ended = !listing->sink(listing->context, id, &lookup.head);
    return status;
}

static struct status list_part(struct listing *listing, const struct view_part *part)
{
    struct creations creations;
    struct view_reader reader;
    view_reader_init(&reader, listing->store, listing->view, READ_SCATTERED);
    struct status status = creations_open(&creations, listing->store, part, listing->type, listing->after);
    while (status.code == STATUS_OK && !listing->ended) {
        int64_t position = 0;
        struct event_fields fields;
        status = creations_next(&creations, &position);
        if (status.code != STATUS_OK || position == 0)
            break;
        arena_reset(listing->arena);
        status = view_reader_fields(&reader, position, &fields);
        if (status.code == STATUS_OK)
            status = hand_over(listing, fields.aggregate_id, position, fields.version);
    }
    creations_close(&creations);
    view_reader_done(&reader);
    return status;
}

static struct status list_table(struct listing *listing, const struct view_table *table)
{
    size_t count = TABLE_PIECE;
    while (count == TABLE_PIECE && !listing->ended) {
        struct indexed_aggregate piece[TABLE_PIECE];
        arena_reset(listing->arena);
        STATUS_TRY(event_index_aggregates(table->index, listing->type, listing->after, listing->arena, piece,
                                          TABLE_PIECE, &count));
        for (size_t i = 0; i < count && !listing->ended; i++) {
            const struct aggregate_head *head = &piece[i].head;
            if (head->first_position > listing->head_position)
                return status_ok();
            STATUS_TRY(
                hand_over(listing, piece[i].id, head->first_position, head->version - head->event_count + 1));
        }
    }
    return status_ok();
}

static struct status list_all(struct listing *listing)
{
    const struct index_view *view = listing->view;
    for (size_t i = 0; i < view->part_count && !listing->ended; i++)
        if (view->parts[i]->last > listing->after)
            STATUS_TRY(list_part(listing, view->parts[i]));
    for (size_t i = 0; i < view->table_count && !listing->ended; i++)
        STATUS_TRY(list_table(listing, view->tables[i]));
    return status_ok();
}

struct status embedded_aggregates(struct event_store *base, struct bytes type, int64_t after_first_position,
                                  aggregate_sink sink, void *context)
{
    struct embedded_store *store = embedded_of(base);
    struct store_head head;
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, &head);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct listing listing = {
        .store = store,
        .view = view,
        .head_position = head.position,
        .type = type,
        .after = after_first_position,
        .arena = arena,
        .sink = sink,
        .context = context,
    };
    return list_all(&listing);
}
