/*
 * Merging adjacent runs: the entries of all inputs go by twice in the order of their classes. The first time they are
 * written; the second time their lists are, and the filter of the keys is filled, whose size only the first has told.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "run_internal.h"
#include "run_writer_internal.h"

#define CLASS_NONE UINT64_MAX /* a class has 42 bits */

/* One table of all inputs, going by in order. */
struct merge {
    struct run *const *runs; /* oldest first */
    struct run_cursor *cursors;
    struct index_stream *lists;
    uint64_t *classes; /* of the cursors' entries, side by side: the least is sought for every entry */
    size_t count;
    size_t current; /* whose cursor stands on the next entry */
};

static void merge_done(struct merge *merge)
{
    for (size_t i = 0; i < merge->count; i++) {
        run_cursor_done(&merge->cursors[i]);
        index_stream_done(&merge->lists[i]);
    }
    free(merge->cursors);
    free(merge->lists);
    free(merge->classes);
}

static struct status merge_init(struct merge *merge, struct run *const *runs, size_t count)
{
    *merge = (struct merge){.runs = runs,
                            .cursors = calloc(count, sizeof *merge->cursors),
                            .lists = calloc(count, sizeof *merge->lists),
                            .classes = calloc(count, sizeof *merge->classes)};
    if (merge->cursors == NULL || merge->lists == NULL || merge->classes == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to merge %zu index files", count);
    merge->count = count;
    return status_ok();
}

static void class_keep(struct merge *merge, size_t i)
{
    merge->classes[i] = merge->cursors[i].ended ? CLASS_NONE : merge->cursors[i].entry->class;
}

/* From the first entry on; `keys` also opens the lists. */
static struct status merge_begin(struct merge *merge, bool keys)
{
    for (size_t i = 0; i < merge->count; i++) {
        const struct run *run = merge->runs[i];
        run_cursor_done(&merge->cursors[i]);
        STATUS_TRY(run_cursor_init(&merge->cursors[i], keys ? &run->keys : &run->ids));
        class_keep(merge, i);
        index_stream_done(&merge->lists[i]);
        if (keys)
            STATUS_TRY(index_stream_init(&merge->lists[i], run->reader, run->layout.lists_at,
                                         run->layout.id_directory_at));
    }
    return status_ok();
}

/* The next entry, its position told from the result's first; NULL at the end. Equal classes come oldest first. */
static const struct run_entry *merge_entry(struct merge *merge, struct run_entry *ret)
{
    size_t least = 0;
    uint64_t class = merge->classes[0];
    for (size_t i = 1; i < merge->count; i++) {
        const uint64_t other = merge->classes[i];
        least = other < class ? i : least;
        class = other < class ? other : class;
    }
    if (class == CLASS_NONE)
        return NULL;
    merge->current = least;
    *ret = *merge->cursors[least].entry;
    ret->delta += (uint32_t)(merge->runs[least]->layout.facts.first_position -
                             merge->runs[0]->layout.facts.first_position);
    return ret;
}

static struct status merge_next(struct merge *merge)
{
    STATUS_TRY(run_cursor_next(&merge->cursors[merge->current]));
    class_keep(merge, merge->current);
    return status_ok();
}

/* How long the current entry's list is, 0 = it has none; and its first bytes. */
static struct status list_look(struct merge *merge, const struct run_entry *entry, uint32_t *ret_bytes)
{
    const struct run *run = merge->runs[merge->current];
    const uint8_t *list = NULL;
    size_t got = 0;
    *ret_bytes = 0;
    if (entry->list == 0)
        return status_ok();
    STATUS_TRY(index_stream_at(&merge->lists[merge->current], run_list_at(run, entry),
                               POSTING_SHORT_MAX_BYTES, &list, &got));
    *ret_bytes = posting_size(list, got);
    if (*ret_bytes == 0 || *ret_bytes > run->layout.id_directory_at - run_list_at(run, entry))
        return index_damaged(index_reader_path(run->reader), "a list of positions contradicts itself");
    return status_ok();
}

static struct status list_copy(struct merge *merge, const struct run_entry *entry, uint32_t bytes,
                               struct run_writer *writer)
{
    uint64_t at = run_list_at(merge->runs[merge->current], entry);
    while (bytes > 0) {
        const uint8_t *piece = NULL;
        size_t got = 0;
        STATUS_TRY(index_stream_at(&merge->lists[merge->current], at, 1, &piece, &got));
        if (got == 0)
            return index_damaged(index_reader_path(merge->runs[merge->current]->reader), "a list is cut");
        const size_t size = bytes < got ? bytes : got;
        STATUS_TRY(run_writer_bytes(writer, piece, size));
        at += size;
        bytes -= (uint32_t)size;
    }
    return run_writer_pad(writer);
}

static struct status ids_write(struct merge *merge, struct run_writer *writer)
{
    struct run_entry entry;
    STATUS_TRY(merge_begin(merge, false));
    while (merge_entry(merge, &entry) != NULL) {
        STATUS_TRY(run_writer_id(writer, entry.class, entry.delta));
        STATUS_TRY(merge_next(merge));
    }
    return status_ok();
}

static struct status keys_write(struct merge *merge, struct run_writer *writer)
{
    struct run_entry entry;
    STATUS_TRY(merge_begin(merge, true));
    while (merge_entry(merge, &entry) != NULL) {
        uint32_t list_bytes = 0;
        STATUS_TRY(list_look(merge, &entry, &list_bytes));
        STATUS_TRY(run_writer_key(writer, &entry, list_bytes));
        STATUS_TRY(merge_next(merge));
    }
    return run_writer_lists(writer);
}

static struct status lists_write(struct merge *merge, struct run_writer *writer)
{
    struct run_entry entry;
    STATUS_TRY(merge_begin(merge, true));
    while (merge_entry(merge, &entry) != NULL) {
        uint32_t list_bytes = 0;
        run_writer_mark(writer, entry.class);
        STATUS_TRY(list_look(merge, &entry, &list_bytes));
        if (list_bytes > 0)
            STATUS_TRY(list_copy(merge, &entry, list_bytes, writer));
        STATUS_TRY(merge_next(merge));
    }
    return status_ok();
}

/* What the result is, and that it can be. */
struct sum {
    struct run_facts facts;
    uint64_t id_count;
    uint64_t key_count;
    uint64_t list_bytes;
    int64_t uuid7_min_ms;
    int64_t uuid7_max_ms;
};

static struct status inputs_sum(struct run *const *runs, size_t count, struct sum *ret)
{
    const struct run_facts *last = &runs[count - 1]->layout.facts;
    *ret = (struct sum){.facts = *last, .uuid7_min_ms = INT64_MAX, .uuid7_max_ms = -1};
    ret->facts.first_position = runs[0]->layout.facts.first_position;
    ret->facts.level = runs[0]->layout.facts.level + 1;
    for (size_t i = 0; i < count; i++) {
        const struct run_layout *layout = &runs[i]->layout;
        if (i > 0 && layout->facts.first_position != runs[i - 1]->layout.facts.last_position + 1)
            return status_error(STATUS_INVALID_ARGUMENT,
                                "index files that end at position %" PRId64 " and begin at %" PRId64
                                " cannot be merged; they must be adjacent",
                                runs[i - 1]->layout.facts.last_position, layout->facts.first_position);
        ret->id_count += layout->id_count;
        ret->key_count += layout->key_count;
        ret->list_bytes += layout->list_bytes;
        if (layout->uuid7_min_ms < ret->uuid7_min_ms)
            ret->uuid7_min_ms = layout->uuid7_min_ms;
        if (layout->uuid7_max_ms > ret->uuid7_max_ms)
            ret->uuid7_max_ms = layout->uuid7_max_ms;
    }
    if (ret->id_count > UINT32_MAX || ret->key_count > UINT32_MAX || ret->list_bytes > RUN_LIST_BYTES_MAX ||
        ret->facts.last_position - ret->facts.first_position > UINT32_MAX)
        return status_error(STATUS_OUT_OF_RANGE,
                            "index files of the positions %" PRId64 " to %" PRId64
                            " are too large to be merged; they work as they are",
                            ret->facts.first_position, ret->facts.last_position);
    return status_ok();
}

bool run_merge_fits(struct run *const *runs, size_t count)
{
    struct sum sum;
    return inputs_sum(runs, count, &sum).code == STATUS_OK;
}

static struct status merge_write(struct merge *merge, const struct sum *sum, const struct index_place *place,
                                 uint32_t nonce, const struct index_pace *pace)
{
    CLEANUP(run_writer_free_at) struct run_writer *writer = NULL;
    STATUS_TRY(run_writer_open(place, nonce, pace, &sum->facts, (uint32_t)sum->id_count,
                               (uint32_t)sum->key_count, &writer));
    STATUS_TRY(ids_write(merge, writer));
    STATUS_TRY(keys_write(merge, writer));
    STATUS_TRY(lists_write(merge, writer));
    return run_writer_finish(writer, sum->uuid7_min_ms, sum->uuid7_max_ms);
}

struct status run_merge(struct files *files, const char *folder, struct run *const *runs, size_t count,
                        const uint8_t store_uuid[INDEX_UUID_BYTES], uint32_t nonce,
                        const struct index_pace *pace)
{
    assert(count >= 1);
    struct sum sum;
    STATUS_TRY(inputs_sum(runs, count, &sum));
    char name[INDEX_NAME_MAX_BYTES];
    index_run_name(sum.facts.first_position, sum.facts.last_position, name);
    const struct index_place place = {files, folder, name, store_uuid};
    struct merge merge;
    struct status status = merge_init(&merge, runs, count);
    if (status.code == STATUS_OK)
        status = merge_write(&merge, &sum, &place, nonce, pace);
    merge_done(&merge);
    return status;
}
