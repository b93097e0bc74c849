#include <assert.h>
#include <string.h>

#include "embedded_internal.h"

#define TOUCHES_A_ROUND 4 /* some 100 µs: a commit may be waiting for the next round */

/*
 * A segment has a table. When a frame begins a new segment, the former one's table is frozen (the builder writes it out)
 * and a new one is published together with the batch.
 */

static bool is_empty(const struct view_table *table)
{
    return event_index_last_position(table->index) == table->base;
}

bool embedded_prepare_table(struct embedded_store *store)
{
    struct view_table **table = &store->preparing;
    if (store->spare != NULL || store->options.read_only || !segment_log_nearly_full(store->segments))
        return false;
    if (*table == NULL) {
        *table = view_table_new(store->index_seed, 0, 0, store->options.segment_max_events);
        store->touched = 0;
    }
    if (*table == NULL)
        return false; /* the commit that needs it makes it, if there is memory then */
    for (int i = 0; i < TOUCHES_A_ROUND; i++)
        if (!event_index_touch((*table)->index, &store->touched)) {
            store->spare = TAKE_PTR(*table);
            return false;
        }
    return true;
}

static struct status make_next(struct embedded_store *store, int64_t base)
{
    STATUS_TRY(builder_make_room(store));
    if (store->next != NULL && store->next->base == base)
        return status_ok(); /* of an append that was not written */
    view_table_unref(store->next);
    const uint32_t segment = segment_log_count(store->segments);
    store->next = atomic_exchange(&store->spare, NULL);
    if (store->next != NULL)
        view_table_rebase(store->next, base, segment);
    else
        store->next = view_table_new(store->index_seed, base, segment, store->options.segment_max_events);
    if (store->next == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the index of a new segment");
    return status_ok();
}

struct status embedded_make_table(struct embedded_store *store, const struct commit_batch *batch,
                                  size_t frame_bytes)
{
    /* An append that had begun a segment and found no space in it has left one without a table. */
    const uint32_t count = segment_log_count(store->segments);
    const bool is_last = count == 0 || store->open->segment == count - 1;
    const bool stays = is_empty(store->open) || (is_last && segment_log_fits(store->segments, frame_bytes,
                                                                             (uint32_t)batch->record_count));
    if (!stays)
        STATUS_TRY(make_next(store, batch->before.position));
    return locations_reserve(stays ? &store->open->locations : &store->next->locations, batch->record_count);
}

/* What will be said of the open segment, which is full. */
static struct part_facts facts_of_open(struct embedded_store *store, const struct commit_batch *batch)
{
    const struct segment *segment = segment_log_at(store->segments, store->open->segment);
    return (struct part_facts){
        .first_position = segment->first_position,
        .segment_epoch = segment->epoch,
        .end_offset = segment->end,
        .chain = batch->before.chain,
        .timestamp_us = batch->before.timestamp_us,
        .writer_epoch = store->frame_epoch,
    };
}

static struct status enter(struct embedded_store *store, struct view_table *table,
                           const struct commit_batch *batch)
{
    const struct location *locations = (const struct location *)(const void *)store->places.data;
    const bool *firsts = (const bool *)(const void *)store->firsts.data;
    for (size_t i = 0; i < batch->append_count; i++) {
        const struct commit_append *append = &batch->appends[i];
        STATUS_TRY(event_index_add(table->index, append->fields, firsts, append->count));
        for (size_t j = 0; j < append->count; j++)
            locations_add(&table->locations, locations[j]);
        locations += append->count;
        firsts += append->count;
    }
    assert(event_index_last_position(table->index) == table->base + table->locations.count);
    return status_ok();
}

/* Under view_lock. Whole or not at all: nobody else holds the lock, so nobody saw the part that was entered. */
static struct status enter_or_cut(struct embedded_store *store, struct view_table *table,
                                  const struct commit_batch *batch)
{
    const struct status status = enter(store, table, batch);
    if (status.code == STATUS_OK) {
        store->head = batch->after;
        embedded_mark(store);
        return status;
    }
    event_index_cut(table->index, batch->before.position);
    table->locations.count = batch->before.position - table->base;
    return status;
}

static struct status publish_in_open(struct embedded_store *store, const struct commit_batch *batch)
{
    pthread_rwlock_wrlock(&store->view_lock);
    const struct status status = enter_or_cut(store, store->open, batch);
    pthread_rwlock_unlock(&store->view_lock);
    return status;
}

/* change_lock is held. */
static struct status publish_in_next(struct embedded_store *store, const struct commit_batch *batch)
{
    struct index_view *view = view_with_table(store->view, store->next);
    if (view == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the index of a new segment");
    store->open->facts = facts_of_open(store, batch);
    pthread_rwlock_wrlock(&store->view_lock);
    const struct status status = enter_or_cut(store, store->next, batch);
    if (status.code == STATUS_OK) {
        struct index_view *former = store->view;
        store->view = view;
        view = former;
        store->open->frozen = true;
    }
    pthread_rwlock_unlock(&store->view_lock);
    view_unref(view); /* the one that is not needed any more */
    return status;
}

static struct status begin_next(struct embedded_store *store, const struct commit_batch *batch,
                                uint32_t segment)
{
    assert(store->next != NULL); /* embedded_make_table has seen to it */
    assert(store->next->segment == segment);
    assert(store->next->base == batch->before.position);
    pthread_mutex_lock(&store->change_lock);
    const struct status status = publish_in_next(store, batch);
    pthread_mutex_unlock(&store->change_lock);
    if (status.code != STATUS_OK)
        return status;
    store->open = store->next; /* the view's reference */
    view_table_unref(store->next);
    store->next = NULL;
    builder_note_frozen(store);
    return status;
}

struct status embedded_publish(struct embedded_store *store, const struct commit_batch *batch,
                               uint32_t segment, uint64_t frame_offset)
{
    struct location *locations = (struct location *)(void *)store->places.data;
    for (size_t i = 0; i < batch->record_count; i++) {
        locations[i].segment = segment;
        locations[i].offset += (uint32_t)frame_offset;
    }
    const struct status status =
        segment == store->open->segment ? publish_in_open(store, batch) : begin_next(store, batch, segment);
    store->frame_epoch = store->writer_epoch;
    if (status.code == STATUS_OK)
        return status;
    return status_prefix(status, "events were synced and could not be entered into the index");
}
