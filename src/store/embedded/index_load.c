#include "index_load_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/entropy.h"
#include "base/log.h"
#include "embedded_internal.h"
#include "pool_file_internal.h"
#include "store/embedded/index/index_manifest.h"
#include "totals_internal.h"

struct loading {
    struct embedded_store *store;
    struct arena *arena;
    char folder[INDEX_FOLDER_BYTES];
    int64_t *segments; /* first positions, ascending */
    size_t segment_count;
    bool has_begun; /* the last of them has no header yet, and maybe no position: 0 */
    struct index_manifest manifest;
    struct view_part **parts;
    size_t part_count;
    struct view_run **runs;
    size_t run_count;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to open the index");
}

static struct status misfit(const char *what, int64_t position)
{
    return status_error(STATUS_FAILED_PRECONDITION, "%s at position %" PRId64, what, position);
}

static struct status list_segments(struct loading *loading)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/log", loading->store->id);
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(files_list(loading->store->files, path, loading->arena, &entries, &count));
    loading->segments = arena_array(loading->arena, count + 1, sizeof *loading->segments);
    if (loading->segments == NULL)
        return no_memory();
    for (size_t i = 0; i < count; i++) { /* 20 digits each: the order of names is the order of positions */
        const int64_t first = segment_name_parse(entries[i].name);
        if (first > 0)
            loading->segments[loading->segment_count++] = first;
    }
    struct begun_segment begun;
    STATUS_TRY(pool_find_begun(loading->store->files, loading->store->id, &begun));
    loading->has_begun = begun.found;
    if (begun.found)
        loading->segments[loading->segment_count++] = begun.first_position;
    return status_ok();
}

/* ---- does it fit the log? ---- */

static void segment_path_of(const struct embedded_store *store, int64_t first_position,
                            char ret[STORE_PATH_BYTES])
{
    char name[SEGMENT_NAME_BYTES];
    segment_name_format(first_position, name);
    snprintf(ret, STORE_PATH_BYTES, "%s/log/%s", store->id, name);
}

static struct status read_header(struct loading *loading, int64_t first_position, struct segment_header *ret,
                                 uint64_t *ret_size)
{
    char path[STORE_PATH_BYTES];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_path_of(loading->store, first_position, path);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(loading->store->files, path, FILE_READ, &file));
    STATUS_TRY(file_size(file, ret_size));
    STATUS_TRY(file_read_exactly(file, 0, bytes, sizeof bytes));
    return segment_header_decode(bytes, ret);
}

/* The segment number `at`, whose history before it is as `former` ends (NULL = nothing before). */
static struct status check_segment(struct loading *loading, size_t at, const struct part_facts *former)
{
    static const struct sha256 zero;
    struct segment_header header;
    uint64_t size = 0;
    STATUS_TRY(read_header(loading, loading->segments[at], &header, &size));
    const struct sha256 *chain = former == NULL ? &zero : &former->chain;
    const int64_t before = former == NULL ? 0 : former->first_position + former->count - 1;
    const int64_t timestamp_us = former == NULL ? 0 : former->timestamp_us;
    if (memcmp(header.store_uuid, loading->store->identity.uuid, STORE_UUID_BYTES) != 0 ||
        header.first_position != loading->segments[at] || header.first_position != before + 1 ||
        memcmp(&header.chain, chain, sizeof *chain) != 0 || header.timestamp_us != timestamp_us)
        return misfit("the log goes on otherwise", loading->segments[at]);
    if (at == loading->part_count)
        return status_ok(); /* the first one without a part */
    const struct part_facts *facts = part_facts(loading->parts[at]->part);
    if (facts->first_position != header.first_position || facts->segment_epoch != header.epoch ||
        facts->end_offset > size)
        return misfit("the log has another segment", header.first_position);
    return status_ok();
}

/* It is the last, so it has no part, and its frames are read in any case. */
static struct status check_begun(struct loading *loading, const struct part_facts *former)
{
    int64_t *first = &loading->segments[loading->segment_count - 1];
    const int64_t next = former == NULL ? 1 : former->first_position + former->count;
    if (*first == 0)
        *first = next;
    return *first == next ? status_ok() : misfit("the log goes on otherwise", *first);
}

static struct status check_segments(struct loading *loading)
{
    if (loading->part_count >= loading->segment_count)
        return misfit("the log ends",
                      loading->segment_count == 0 ? 0 : loading->segments[loading->segment_count - 1]);
    for (size_t i = 0; i <= loading->part_count; i++) {
        const struct part_facts *former = i == 0 ? NULL : part_facts(loading->parts[i - 1]->part);
        const bool begun = loading->has_begun && i + 1 == loading->segment_count;
        STATUS_TRY(begun ? check_begun(loading, former) : check_segment(loading, i, former));
    }
    return status_ok();
}

/* Runs cover what the parts cover, each ends with a part, and both say the same chain there. */
static struct status check_runs(struct loading *loading)
{
    size_t part = 0;
    int64_t end = 0;
    for (size_t i = 0; i < loading->run_count; i++) {
        const struct view_run *run = loading->runs[i];
        while (part < loading->part_count && loading->parts[part]->last < run->last)
            part++;
        if (run->first != end + 1 || part == loading->part_count || loading->parts[part]->last != run->last)
            return misfit("its files leave a gap", end + 1);
        const struct sha256 *chain = &part_facts(loading->parts[part]->part)->chain;
        if (memcmp(&run_facts(run->run)->chain, chain, sizeof *chain) != 0)
            return misfit("its files are of two histories", run->last);
        end = run->last;
    }
    const int64_t built = loading->part_count == 0 ? 0 : loading->parts[loading->part_count - 1]->last;
    return end == built ? status_ok() : misfit("its files leave a gap", end + 1);
}

/* ---- opening ---- */

static struct status open_part(struct loading *loading, int64_t first_position)
{
    CLEANUP(part_close_at) struct part *part = NULL;
    STATUS_TRY(part_open(loading->store->files, loading->folder, first_position,
                         loading->store->identity.uuid, &part));
    struct view_part *layer = view_part_new(part);
    if (layer == NULL)
        return no_memory();
    TAKE_PTR(part);
    loading->parts[loading->part_count++] = layer;
    return status_ok();
}

static struct status open_run(struct loading *loading, const struct part_range *range)
{
    CLEANUP(run_close_at) struct run *run = NULL;
    STATUS_TRY(run_open(loading->store->files, loading->folder, range->first_position, range->last_position,
                        loading->store->identity.uuid, NULL, &run));
    struct view_run *layer = view_run_new(run);
    if (layer == NULL)
        return no_memory();
    TAKE_PTR(run);
    loading->runs[loading->run_count++] = layer;
    return status_ok();
}

static struct status open_files(struct loading *loading)
{
    const struct index_manifest *manifest = &loading->manifest;
    loading->parts = arena_array(loading->arena, manifest->part_count, sizeof *loading->parts);
    loading->runs = arena_array(loading->arena, manifest->run_count, sizeof *loading->runs);
    if (loading->parts == NULL || loading->runs == NULL)
        return no_memory();
    for (size_t i = 0; i < manifest->part_count; i++)
        STATUS_TRY(open_part(loading, manifest->parts[i].first_position));
    for (size_t i = 0; i < manifest->run_count; i++)
        STATUS_TRY(open_run(loading, &manifest->runs[i]));
    return status_ok();
}

static void release(struct loading *loading)
{
    for (size_t i = 0; i < loading->part_count; i++)
        view_part_unref(loading->parts[i]);
    for (size_t i = 0; i < loading->run_count; i++)
        view_run_unref(loading->runs[i]);
    loading->part_count = 0;
    loading->run_count = 0;
}

static struct status sum_up(struct loading *loading, const struct totals **ret)
{
    for (size_t i = 0; i < loading->part_count; i++) {
        const struct totals *former = *ret;
        STATUS_TRY(totals_with_part(former, loading->parts[i]->part, ret));
        totals_unref(former);
    }
    return status_ok();
}

static struct status make_view(struct loading *loading)
{
    struct embedded_store *store = loading->store;
    const struct totals *totals = totals_new(store->index_seed);
    struct status status = totals == NULL ? no_memory() : sum_up(loading, &totals);
    struct index_view *view =
        status.code != STATUS_OK
            ? NULL
            : view_of_files(loading->parts, loading->part_count, loading->runs, loading->run_count, totals);
    totals_unref(totals);
    STATUS_TRY(status);
    if (view == NULL)
        return no_memory();
    embedded_view_put(store, view);
    return status;
}

static struct status open_index(struct loading *loading)
{
    struct embedded_store *store = loading->store;
    STATUS_TRY(index_manifest_read(store->files, loading->folder, store->identity.uuid, loading->arena,
                                   &loading->manifest));
    STATUS_TRY(open_files(loading));
    STATUS_TRY(check_runs(loading));
    STATUS_TRY(check_segments(loading));
    store->index_seed = loading->manifest.seed;
    return make_view(loading);
}

/* ---- dropping ---- */

/* What stays is no harm: files that no MANIFEST names, or one that did not fit and is written anew. */
static void remove_files(struct loading *loading, const struct index_manifest *but)
{
    struct embedded_store *store = loading->store;
    if (store->options.read_only)
        return;
    const struct status status = index_remove_others(store->files, loading->folder, but);
    if (status.code != STATUS_OK && status.code != STATUS_NOT_FOUND)
        log_warn(store->log, "files that are not of the index could not be removed, going on",
                 LOG_TEXT("store", store->id), LOG_TEXT("why", status.message));
}

/* Durable, or a power loss takes the whole index with it. Without the folder the builder will tell. */
static void make_folder(struct loading *loading)
{
    struct embedded_store *store = loading->store;
    if (store->options.read_only)
        return;
    struct status status = files_mkdir(store->files, loading->folder);
    if (status.code == STATUS_OK)
        status = files_sync_dir(store->files, store->id);
    if (status.code != STATUS_OK)
        log_warn(store->log, "the folder of the index could not be made, going on",
                 LOG_TEXT("store", store->id), LOG_TEXT("why", status.message));
}

static struct status begin_anew(struct loading *loading, const struct status *why)
{
    struct embedded_store *store = loading->store;
    release(loading);
    if (why->code != STATUS_NOT_FOUND || loading->manifest.part_count > 0)
        log_warn(store->log,
                 store->options.read_only ? "the index does not fit the log, reading the log instead"
                                          : "the index does not fit the log, making a new one",
                 LOG_TEXT("store", store->id), LOG_TEXT("why", why->message));
    remove_files(loading, NULL);
    make_folder(loading);
    entropy_fill(store->entropy, &store->index_seed, sizeof store->index_seed);
    return make_view(loading);
}

/* ---- where reading begins ---- */

static struct status adopt(struct embedded_store *store, const struct part_facts *facts)
{
    char path[STORE_PATH_BYTES];
    uint64_t size = 0;
    segment_path_of(store, facts->first_position, path);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(store->files, path, FILE_READ, &file));
    STATUS_TRY(file_size(file, &size));
    return segment_log_adopt(store->segments, facts->first_position, facts->segment_epoch, facts->end_offset,
                             size, facts->count, TAKE_PTR(file));
}

static struct status skip_segments(struct loading *loading, const struct remembered_head *remembered,
                                   struct log_resume *ret)
{
    size_t first = loading->part_count;
    for (size_t i = 0; i < first; i++)
        if (loading->segments[i] == remembered->segment)
            first = i;
    for (size_t i = 0; i < first; i++)
        STATUS_TRY(adopt(loading->store, part_facts(loading->parts[i]->part)));
    if (first == 0)
        return status_ok();
    const struct part_facts *former = part_facts(loading->parts[first - 1]->part);
    ret->first_position = loading->segments[first];
    ret->end = (struct log_end){
        .position = former->first_position + former->count - 1,
        .timestamp_us = former->timestamp_us,
        .chain = former->chain,
        .writer_epoch = former->writer_epoch,
    };
    return status_ok();
}

static struct status load(struct loading *loading, const struct remembered_head *remembered, bool anew,
                          struct log_resume *ret)
{
    struct status status = anew ? status_error(STATUS_NOT_FOUND, "it was damaged") : open_index(loading);
    if (status.code == STATUS_RESOURCE_EXHAUSTED)
        return status;
    if (status.code == STATUS_OK)
        remove_files(loading, &loading->manifest);
    else
        STATUS_TRY(begin_anew(loading, &status));
    return skip_segments(loading, remembered, ret);
}

struct status index_load(struct embedded_store *store, const struct remembered_head *remembered, bool anew,
                         struct log_resume *ret)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct loading loading = {.store = store, .arena = arena};
    builder_folder(store, loading.folder);
    *ret = (struct log_resume){0};
    STATUS_TRY(list_segments(&loading));
    const struct status status = load(&loading, remembered, anew, ret);
    release(&loading); /* the view has references of its own */
    return status;
}
