#include "builder_work_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/entropy.h"
#include "builder_remove_internal.h"
#include "builder_rest_internal.h"
#include "embedded_internal.h"
#include "store/embedded/index/index_manifest.h"
#include "table_files_internal.h"
#include "totals_internal.h"

#define SYNC_EVERY_BYTES   (256U * 1024U) /* what a commit's sync may have to wait for */
#define INDEX_LEAVES_BYTES (32U * 1024U * 1024U)
#define EVENT_BYTES_MOST   64U /* of an event in part and run; more only with many tags */
#define FILES_BYTES_MOST   (64U * 1024U)

void builder_folder(const struct embedded_store *store, char ret[INDEX_FOLDER_BYTES])
{
    snprintf(ret, INDEX_FOLDER_BYTES, "%s/index", store->id);
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to write the index");
}

uint32_t work_waiting(struct embedded_store *store)
{
    pthread_rwlock_rdlock(&store->view_lock);
    const size_t tables = store->view->table_count;
    const bool frozen = tables > 0 && store->view->tables[tables - 1]->frozen; /* only while it is opened */
    pthread_rwlock_unlock(&store->view_lock);
    return tables == 0 ? 0 : (uint32_t)(tables - (frozen ? 0 : 1));
}

/*
 * The last bytes of a disk are for state/ and the next start, as segment_space.c leaves them: the index can wait. A disk
 * that does not tell how much is free is asked by writing.
 */
static struct status check_space(struct embedded_store *store, uint64_t wanted)
{
    uint64_t free_bytes = 0;
    if (files_free_bytes(store->files, &free_bytes).code != STATUS_OK ||
        free_bytes >= wanted + INDEX_LEAVES_BYTES)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "no space for the index: %" PRIu64 " bytes are free, %" PRIu64
                        " are needed and %u stay for the next start; free some space",
                        free_bytes, wanted, INDEX_LEAVES_BYTES);
}

/* ---- MANIFEST ---- */

/* The ranges of a view; the caller frees. */
static struct status write_manifest(struct embedded_store *store, const struct index_view *view,
                                    const char *folder)
{
    struct part_range *ranges = calloc(view->part_count + view->run_count + 1, sizeof *ranges);
    if (ranges == NULL)
        return no_memory();
    const struct index_manifest manifest = {
        .seed = store->index_seed,
        .parts = ranges,
        .runs = ranges + view->part_count,
        .part_count = view->part_count,
        .run_count = view->run_count,
    };
    for (size_t i = 0; i < view->part_count; i++)
        ranges[i] = (struct part_range){view->parts[i]->first, view->parts[i]->last};
    for (size_t i = 0; i < view->run_count; i++)
        ranges[view->part_count + i] = (struct part_range){view->runs[i]->first, view->runs[i]->last};
    pthread_mutex_lock(&store->builder.manifest_lock);
    const struct status status =
        store->index_damaged ? status_error(STATUS_CANCELLED, "the index is damaged")
                             : index_manifest_write(store->files, folder, store->identity.uuid, &manifest);
    pthread_mutex_unlock(&store->builder.manifest_lock);
    free(ranges);
    return status;
}

static struct status remove_manifest(struct embedded_store *store)
{
    char folder[INDEX_FOLDER_BYTES];
    char path[INDEX_FOLDER_BYTES + 16];
    builder_folder(store, folder);
    snprintf(path, sizeof path, "%s/MANIFEST", folder);
    const struct status status = files_remove(store->files, path);
    if (status.code != STATUS_OK && status.code != STATUS_NOT_FOUND)
        return status;
    return files_sync_dir(store->files, folder);
}

bool builder_end_index(struct embedded_store *store, struct status *ret)
{
    /* Both in one: the MANIFEST that is removed must not be that of the new index, which is made as soon as this is said. */
    pthread_mutex_lock(&store->builder.manifest_lock);
    const bool first = !atomic_exchange(&store->index_damaged, true);
    *ret = first ? remove_manifest(store) : status_ok();
    pthread_mutex_unlock(&store->builder.manifest_lock);
    return first;
}

/*
 * Puts a view that was made from the present one into its place, once MANIFEST names its files. Frozen tables may have been
 * added meanwhile, but parts and runs are this thread's: so the view is made anew under the lock.
 */
struct change {
    struct view_part *part; /* NULL = a merge */
    struct view_run *run;
    const struct totals *totals;
    size_t first; /* of the runs that were merged … */
    size_t count; /* … and how many */
};

static struct index_view *changed(const struct index_view *view, const struct change *change)
{
    return change->part != NULL ? view_with_files(view, change->part, change->run, change->totals)
                                : view_with_merged(view, change->first, change->count, change->run);
}

static struct status install(struct embedded_store *store, const struct change *change, const char *folder)
{
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, NULL);
    CLEANUP(view_unref_at) struct index_view *planned = changed(view, change);
    if (planned == NULL)
        return no_memory();
    STATUS_TRY(write_manifest(store, planned, folder));
    pthread_mutex_lock(&store->change_lock);
    struct index_view *now = changed(store->view, change);
    if (now != NULL)
        embedded_view_put(store, now);
    pthread_mutex_unlock(&store->change_lock);
    return now != NULL ? status_ok() : no_memory();
}

/* ---- a table ---- */

static bool go_on_always(void *context)
{
    (void)context;
    return true;
}

/* Tables are small: only merges are worth interrupting. */
static struct index_pace table_pace(struct embedded_store *store)
{
    return (struct index_pace){SYNC_EVERY_BYTES, go_on_always, store, builder_rest};
}

static struct status open_part(struct embedded_store *store, const struct view_table *table,
                               const char *folder, struct view_part **ret)
{
    CLEANUP(part_close_at) struct part *part = NULL;
    STATUS_TRY(part_open(store->files, folder, table->base + 1, store->identity.uuid, &part));
    *ret = view_part_new(part);
    if (*ret == NULL)
        return no_memory();
    TAKE_PTR(part);
    return status_ok();
}

static struct status open_run(struct embedded_store *store, int64_t first, int64_t last, const char *folder,
                              const struct index_pace *pace, struct view_run **ret)
{
    CLEANUP(run_close_at) struct run *run = NULL;
    STATUS_TRY(run_open(store->files, folder, first, last, store->identity.uuid, pace, &run));
    *ret = view_run_new(run);
    if (*ret == NULL)
        return no_memory();
    TAKE_PTR(run);
    return status_ok();
}

static struct status build(struct embedded_store *store, const struct index_view *view, const char *folder)
{
    const struct view_table *table = view->tables[0];
    assert(table->frozen);
    const struct index_pace pace = table_pace(store);
    STATUS_TRY(check_space(store, (uint64_t)table->locations.count * EVENT_BYTES_MOST + FILES_BYTES_MOST));
    STATUS_TRY(files_mkdir(store->files, folder));
    STATUS_TRY(table_write_part(store, table, folder, &pace));
    builder_rest(store);
    STATUS_TRY(table_write_run(store, table, folder, &pace));
    builder_rest(store);
    CLEANUP(view_part_unref_at) struct view_part *part = NULL;
    CLEANUP(view_run_unref_at) struct view_run *run = NULL;
    STATUS_TRY(open_part(store, table, folder, &part));
    STATUS_TRY(open_run(store, part->first, part->last, folder, &pace, &run));
    struct change change = {.part = part, .run = run};
    STATUS_TRY(totals_with_part(view->totals, part->part, &change.totals));
    builder_rest(store);
    const struct status status = install(store, &change, folder);
    totals_unref(change.totals);
    builder_rest(store);
    return status;
}

struct status work_build_oldest(struct embedded_store *store)
{
    char folder[INDEX_FOLDER_BYTES];
    builder_folder(store, folder);
    struct index_view *view = embedded_view_take(store, NULL);
    struct view_table *table = view_table_ref(view->tables[0]);
    const struct status status = build(store, view, folder);
    view_unref(view);
    view_table_unref_resting(table, builder_rest, store); /* once it is written, mostly the last reference */
    return status;
}

/* ---- a merge ---- */

static bool neighbours_fit(const struct index_view *view, size_t first)
{
    struct run *runs[BUILDER_MERGED_RUNS];
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++)
        runs[i] = view->runs[first + i]->run;
    return run_merge_fits(runs, BUILDER_MERGED_RUNS);
}

bool work_find_merge(struct embedded_store *store, size_t *ret_first)
{
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, NULL);
    size_t same = 0; /* neighbours of one level up to here */
    for (size_t i = 0; i < view->run_count; i++) {
        const uint32_t level = run_facts(view->runs[i]->run)->level;
        const bool goes_on = i > 0 && run_facts(view->runs[i - 1]->run)->level == level;
        same = goes_on ? same + 1 : 1;
        /* Runs that would make too large a one stay, and must not keep newer ones from being merged. */
        if (same >= BUILDER_MERGED_RUNS && neighbours_fit(view, i + 1 - BUILDER_MERGED_RUNS)) {
            *ret_first = i + 1 - BUILDER_MERGED_RUNS;
            return true;
        }
    }
    return false;
}

struct status work_merge(struct embedded_store *store, size_t first, bool (*go_on)(void *store))
{
    char folder[INDEX_FOLDER_BYTES];
    builder_folder(store, folder);
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(store, NULL);
    struct run *runs[BUILDER_MERGED_RUNS];
    uint64_t wanted = FILES_BYTES_MOST;
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        runs[i] = view->runs[first + i]->run;
        wanted += run_size_bytes(runs[i]);
    }
    STATUS_TRY(check_space(store, wanted));
    uint32_t nonce = 0;
    entropy_fill(store->entropy, &nonce, sizeof nonce);
    const struct index_pace pace = {SYNC_EVERY_BYTES, go_on, store, builder_rest};
    struct status status =
        run_merge(store->files, folder, runs, BUILDER_MERGED_RUNS, store->identity.uuid, nonce, &pace);
    if (status.reason == REASON_DAMAGED)
        status = embedded_index_trouble(store, &status);
    STATUS_TRY(status);
    CLEANUP(view_run_unref_at) struct view_run *run = NULL;
    STATUS_TRY(open_run(store, view->runs[first]->first, view->runs[first + BUILDER_MERGED_RUNS - 1]->last,
                        folder, &pace, &run));
    builder_rest(store);
    const struct change change = {.run = run, .first = first, .count = BUILDER_MERGED_RUNS};
    STATUS_TRY(install(store, &change, folder));
    builder_rest(store);
    builder_remove_runs(store, TAKE_PTR(view), first, go_on);
    return status;
}
