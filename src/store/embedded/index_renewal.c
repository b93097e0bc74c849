#include "index_renewal_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "embedded_internal.h"
#include "scanned_index_internal.h"
#include "store/embedded/index/index_manifest.h"
#include "totals_internal.h"

/*
 * The new index grows in a store of its own, which has nothing but what making an index takes: files and log of the damaged
 * one, and a view that begins empty. So its files, its MANIFEST and its faults are those of a start.
 */
struct renewal {
    struct embedded_store *store;
    struct embedded_store made;
    struct scanned_index index;
    struct log_end end;
    size_t
        wanted; /* full segments whose files are damaged; the builder is here, so no more get files meanwhile */
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to make a new index");
}

static struct status init(struct renewal *renewal, struct embedded_store *store)
{
    struct embedded_store *made = &renewal->made;
    renewal->store = store;
    made->files = store->files;
    made->clock = store->clock;
    made->entropy = store->entropy;
    made->log = store->log;
    memcpy(made->id, store->id, sizeof made->id);
    made->identity = store->identity;
    made->options = store->options;
    made->segments = store->segments;
    made->page_places = store->page_places;
    made->index_seed = store->index_seed; /* hashes in tables must fit those in the new files */
    pthread_rwlock_init(&made->view_lock, NULL);
    pthread_mutex_init(&made->change_lock, NULL);
    builder_init(&made->builder);
    const struct totals *none = totals_new(made->index_seed);
    made->view = none == NULL ? NULL : view_of_files(NULL, 0, NULL, 0, none);
    totals_unref(none);
    return made->view == NULL ? no_memory() : scanned_index_init(&renewal->index, made);
}

static void done(struct renewal *renewal)
{
    struct embedded_store *made = &renewal->made;
    scanned_index_done(&renewal->index);
    view_unref(made->view);
    builder_done(&made->builder);
    pthread_mutex_destroy(&made->change_lock);
    pthread_rwlock_destroy(&made->view_lock);
}

/* ---- reading the log ---- */

static struct status on_segment_begin(void *context, const struct scanned_segment *segment)
{
    struct renewal *renewal = context;
    if (renewal->made.view->part_count == renewal->wanted)
        return status_error(STATUS_CANCELLED, "the rest is in memory");
    return scanned_index_begin(&renewal->index, segment);
}

static struct status on_event(void *context, const struct scanned_event *event)
{
    return scanned_index_add(&((struct renewal *)context)->index, event);
}

static struct status on_frame(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame)
{
    struct renewal *renewal = context;
    (void)segment;
    (void)frame;
    renewal->end = *end;
    return builder_is_stopping(&renewal->store->builder)
               ? status_error(STATUS_CANCELLED, "the store is being closed")
               : status_ok();
}

static struct status on_segment_end(void *context, const struct scanned_segment *segment)
{
    struct renewal *renewal = context;
    STATUS_TRY(scanned_index_end(&renewal->index, segment, &renewal->end));
    return builder_catch_up(&renewal->made,
                            0); /* one table at a time: those of the open store are in memory too */
}

static struct status read_log(struct renewal *renewal)
{
    struct embedded_store *made = &renewal->made;
    const struct log_sink sink = {renewal, on_segment_begin, on_event, on_frame, on_segment_end};
    const struct log_scan_options options = {.resume = NULL};
    struct log_scan_result found;
    const struct status status =
        log_scan_run(made->files, made->id, &made->identity, &options, &sink, &found);
    if (made->view->part_count == renewal->wanted)
        return status_ok();
    return status.code != STATUS_OK
               ? status
               : status_reason(REASON_DAMAGED, "%s/log lacks a full segment; run `strata verify`", made->id);
}

/* ---- the new files take the place of the damaged ones ---- */

/* The caller's reference; NULL when out of memory. change_lock is held. */
static struct index_view *joined(const struct index_view *files, const struct index_view *tables)
{
    struct index_view *view =
        view_of_files(files->parts, files->part_count, files->runs, files->run_count, files->totals);
    for (size_t i = 0; view != NULL && i < tables->table_count; i++) {
        struct index_view *next = view_with_table(view, tables->tables[i]);
        view_unref(view);
        view = next;
    }
    return view;
}

static struct status install(struct renewal *renewal)
{
    struct embedded_store *store = renewal->store;
    pthread_mutex_lock(&store->change_lock);
    assert(renewal->made.view->built == store->view->built);
    struct index_view *view = joined(renewal->made.view, store->view);
    if (view != NULL) {
        embedded_view_put(store, view);
        store->index_damaged = false;
    }
    pthread_mutex_unlock(&store->change_lock);
    return view == NULL ? no_memory() : status_ok();
}

/* Handles of the old files stay open until the last reader has gone; the new ones have the same names. */
static struct status remove_damaged(struct embedded_store *store)
{
    char folder[INDEX_FOLDER_BYTES];
    builder_folder(store, folder);
    pthread_mutex_lock(
        &store->builder.manifest_lock); /* who found the damage has removed MANIFEST by now, or failed to */
    const struct status status = index_remove_others(store->files, folder, NULL);
    pthread_mutex_unlock(&store->builder.manifest_lock);
    return status.code == STATUS_NOT_FOUND ? status_ok() : status;
}

static struct status renew(struct renewal *renewal)
{
    struct embedded_store *store = renewal->store;
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, NULL);
    renewal->wanted = view->part_count;
    STATUS_TRY(remove_damaged(store));
    STATUS_TRY(read_log(renewal));
    return install(renewal);
}

struct status index_renew(struct embedded_store *store)
{
    struct renewal *renewal = calloc(1, sizeof *renewal);
    if (renewal == NULL)
        return no_memory();
    struct status status = init(renewal, store);
    if (status.code == STATUS_OK)
        status = renew(renewal);
    done(renewal);
    free(renewal);
    return status;
}
