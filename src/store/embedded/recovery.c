#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "embedded_internal.h"
#include "index_load_internal.h"
#include "pool_file_internal.h"
#include "scanned_index_internal.h"
#include "torn_tail_internal.h"

/*
 * Recovery reads what the index does not cover of the log (log_scan.h, index_load_internal.h), compares its end with the
 * remembered head, and makes the end durable before anything is built upon it:
 *
 *   - After an unclean stop the page cache may show frames that the disk lacks, because a sync of the former
 * process failed. Everything in the last segment behind the remembered head is therefore written once more
 * and synced.
 *   - A segment that was begun gets its header and name (pool_file_internal.h).
 *   - A torn tail is cleared: its bytes are kept as <name>.torn and become zeros (torn_tail_internal.h).
 */
struct recovery {
    struct embedded_store *store;
    struct scanned_index *index;
    struct remembered_head remembered;
    bool remembered_seen;   /* the log passed the remembered head */
    struct log_end end;     /* after the last frame that was read */
    struct file *rewriting; /* the last segment, while its tail is written once more */
};

static void path_of(const struct embedded_store *store, const char *name, const char *suffix,
                    char ret[STORE_PATH_BYTES])
{
    snprintf(ret, STORE_PATH_BYTES, "%s/log/%s%s", store->id, name, suffix);
}

static struct status sync_log_folder(struct embedded_store *store)
{
    char folder[STORE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/log", store->id);
    return files_sync_dir(store->files, folder);
}

/*
 * After a clean stop the disk has what is shown. But a start that accepts a loss may follow one that had written the
 * record of it and then failed.
 */
static bool trusts_what_is_shown(const struct recovery *recovery)
{
    return recovery->remembered.clean && !recovery->store->options.accept_data_loss;
}

/* ---- while scanning ---- */

static struct status on_segment_begin(void *context, const struct scanned_segment *segment)
{
    struct recovery *recovery = context;
    struct embedded_store *store = recovery->store;
    if (segment->skipped)
        return status_ok(); /* index_load() has compared it with the index */
    STATUS_TRY(scanned_index_begin(recovery->index, segment));
    if (!segment->last || trusts_what_is_shown(recovery) || store->options.read_only)
        return status_ok();
    char path[STORE_PATH_BYTES];
    path_of(store, segment->name, "", path);
    return files_open(store->files, path, FILE_WRITE, &recovery->rewriting);
}

static struct status on_event(void *context, const struct scanned_event *event)
{
    struct recovery *recovery = context;
    const struct status status = scanned_index_add(recovery->index, event);
    if (status.code != STATUS_DATA_LOSS)
        return status;
    return status_prefix(status, "%s/log: the event at position %" PRId64, recovery->store->id,
                         event->position);
}

static struct status on_frame(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame)
{
    struct recovery *recovery = context;
    const struct remembered_head *remembered = &recovery->remembered;
    if (remembered_head_is(remembered, end))
        recovery->remembered_seen = true;
    recovery->end = *end;
    const bool known_durable =
        segment->first_position == remembered->segment && segment->end_offset <= remembered->end_offset;
    if (recovery->rewriting == NULL || known_durable)
        return status_ok();
    return file_write_at(recovery->rewriting, segment->end_offset - frame.size_bytes, frame.data,
                         frame.size_bytes);
}

static struct status adopt(struct embedded_store *store, const struct scanned_segment *segment,
                           uint64_t file_bytes)
{
    char path[STORE_PATH_BYTES];
    path_of(store, segment->name, "", path);
    const bool writes = segment->last && !store->options.read_only;
    struct file *file = NULL;
    STATUS_TRY(files_open(store->files, path, writes ? FILE_WRITE : FILE_READ, &file));
    return segment_log_adopt(store->segments, segment->first_position, segment->epoch, segment->end_offset,
                             file_bytes, segment->event_count, file);
}

static struct status on_segment_end(void *context, const struct scanned_segment *segment)
{
    struct recovery *recovery = context;
    if (segment->last)
        return status_ok(); /* its tail is repaired first */
    STATUS_TRY(adopt(recovery->store, segment, segment->file_bytes));
    return scanned_index_end(recovery->index, segment, &recovery->end);
}

/* ---- comparing with the remembered head ---- */

/* The torn frame, if any, explains what is missing: its own fault comes first in the message. */
static struct status compare(struct recovery *recovery, const struct log_scan_result *found, bool *ret_lost)
{
    struct embedded_store *store = recovery->store;
    char difference[300];
    *ret_lost = remembered_head_differs(&recovery->remembered, recovery->remembered_seen, found, difference,
                                        sizeof difference);
    if (!*ret_lost)
        return status_ok();
    if (store->options.accept_data_loss) {
        log_warn(store->log, "the log differs from what was remembered, accepted",
                 LOG_TEXT("store", store->id), LOG_TEXT("difference", difference));
        return status_ok();
    }
    return status_error(
        STATUS_FAILED_PRECONDITION,
        "%s/log: %s%s%s; run `strata verify`, restore log/ and state/ from one backup, or start once "
        "with --accept-data-loss",
        store->id, difference, found->torn ? "; " : "", found->torn ? found->last.why.message : "");
}

/* ---- repairing the tail ---- */

/* A name that the former process could not sync may be missing on the disk though it is shown here. */
static struct status sync_folders(struct embedded_store *store)
{
    char folder[STORE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/state", store->id);
    STATUS_TRY(sync_log_folder(store));
    STATUS_TRY(files_sync_dir(store->files, folder));
    STATUS_TRY(files_sync_dir(store->files, store->id));
    return files_sync_dir(store->files, ".");
}

static struct status name_last(struct embedded_store *store, struct scanned_segment *last)
{
    struct segment_header header = {
        .first_position = last->first_position,
        .epoch = last->epoch,
        .created_at_us = clock_now_us(store->clock),
        .chain = last->chain,
        .timestamp_us = last->timestamp_us,
    };
    memcpy(header.store_uuid, store->identity.uuid, sizeof header.store_uuid);
    char path[STORE_PATH_BYTES];
    path_of(store, last->name, "", path);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(store->files, path, FILE_WRITE, &file));
    STATUS_TRY(pool_make_segment(store->files, store->id, path, file, &header));
    segment_name_format(last->first_position, last->name);
    return status_ok();
}

static struct status repair_tail(struct recovery *recovery, const struct log_scan_result *found)
{
    struct embedded_store *store = recovery->store;
    if (!store->options.read_only && !trusts_what_is_shown(recovery))
        STATUS_TRY(sync_folders(store));
    if (found->segment_count == 0)
        return status_ok();
    if (recovery->rewriting != NULL)
        STATUS_TRY(file_sync(recovery->rewriting));
    struct scanned_segment last = found->last;
    if (last.unnamed && !store->options.read_only)
        STATUS_TRY(name_last(store, &last));
    if (last.dirty_end != last.end_offset && !store->options.read_only) {
        STATUS_TRY(torn_tail_clear(store->files, store->id, &last, store->log));
        store->recovery.torn_bytes = last.dirty_end - last.end_offset;
    }
    return adopt(store, &last, last.file_bytes);
}

/* What an interrupted repair leaves behind; the pool was removed before state/ was opened. */
static struct status remove_leftovers(struct embedded_store *store)
{
    char folder[STORE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/log", store->id);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", folder);
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(files_list(store->files, folder, arena, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].name;
        const size_t length = strlen(name);
        const bool temporary = length > 4 && strcmp(name + length - 4, ".tmp") == 0;
        if (!temporary)
            continue;
        char path[STORE_PATH_BYTES];
        path_of(store, name, "", path);
        STATUS_TRY(files_remove(store->files, path));
    }
    return status_ok();
}

static struct status remember_start(struct recovery *recovery, const struct log_scan_result *found)
{
    struct embedded_store *store = recovery->store;
    const uint64_t former = recovery->remembered.writer_epoch > found->end.writer_epoch
                                ? recovery->remembered.writer_epoch
                                : found->end.writer_epoch;
    store->writer_epoch = former + 1;
    store->remembered = recovery->remembered;
    if (store->lost_position > 0)
        return status_ok(); /* what was remembered speaks against the log until the loss is recorded */
    /* Not clean from here on, and durably so before the first frame is written. */
    return embedded_remember(store, false);
}

/* `anew`: without the index that is there. */
static struct status scan(struct recovery *recovery, bool anew, struct log_scan_result *ret_found)
{
    struct embedded_store *store = recovery->store;
    struct log_resume resume = {0};
    STATUS_TRY(index_load(store, &recovery->remembered, anew, &resume));
    /* When the remembered head is where reading begins, no frame that is read ends there. */
    recovery->remembered_seen = remembered_head_is(&recovery->remembered, &resume.end);
    recovery->end = resume.end;
    const struct log_sink sink = {recovery, on_segment_begin, on_event, on_frame, on_segment_end};
    const struct log_scan_options options = {.resume = resume.first_position > 0 ? &resume : NULL};
    return log_scan_run(store->files, store->id, &store->identity, &options, &sink, ret_found);
}

static struct status recover(struct recovery *recovery, bool anew)
{
    struct embedded_store *store = recovery->store;
    STATUS_TRY(state_db_head_get(store->state, &recovery->remembered));
    if (!store->options.read_only)
        STATUS_TRY(remove_leftovers(store));
    struct log_scan_result found;
    STATUS_TRY(scan(recovery, anew, &found));
    bool lost = false;
    STATUS_TRY(compare(recovery, &found, &lost));
    STATUS_TRY(repair_tail(recovery, &found));
    STATUS_TRY(scanned_index_finish(recovery->index));
    store->head.position = found.end.position;
    store->head.timestamp_us = found.end.timestamp_us;
    store->head.chain = found.end.chain;
    store->head.aggregate_count = scanned_index_aggregate_count(recovery->index);
    store->sealed = found.end.sealed || found.end.position == 0;
    store->frame_epoch = found.end.writer_epoch;
    store->lost_position = lost ? recovery->remembered.position : 0;
    embedded_mark(store);
    store->recovery.clean = recovery->remembered.clean && !lost;
    store->recovery.head_position = found.end.position;
    store->recovery.segment_count = found.segment_count;
    return store->options.read_only ? status_ok() : remember_start(recovery, &found);
}

static struct status recover_once(struct embedded_store *store, bool anew)
{
    struct scanned_index index = {0};
    struct recovery recovery = {.store = store, .index = &index};
    struct status status = scanned_index_init(&index, store);
    if (status.code == STATUS_OK)
        status = recover(&recovery, anew);
    scanned_index_done(&index);
    file_close(recovery.rewriting);
    return status;
}

struct status embedded_recover(struct embedded_store *store)
{
    STATUS_TRY(embedded_reset_parts(store));
    const struct status status = recover_once(store, false);
    if (status.code == STATUS_OK || !store->index_damaged)
        return status;
    /* A page of the index turned out to be damaged on the way. It is only an index. */
    store->index_damaged = false;
    STATUS_TRY(embedded_reset_parts(store));
    return recover_once(store, true);
}
