#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "embedded_internal.h"

#define COPY_BYTES     (1024U * 1024U)
#define TORN_FILES_MAX 1000

/*
 * Recovery reads the whole log (log_scan.h), compares its end with the remembered head, and makes the end
 * durable before anything is built upon it:
 *
 *   - After an unclean stop the page cache may show frames that the disk lacks, because a sync of the former
 * process failed. Everything in the last segment behind the remembered head is therefore written once more
 * and synced.
 *   - A torn tail is cut: the good part of the last segment goes to <name>.tmp, is synced and renamed over,
 * and the torn bytes are kept as <name>.torn.
 */
struct recovery {
    struct embedded_store *store;
    struct remembered_head remembered;
    bool remembered_seen;   /* the log passed the remembered head */
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
    if (!segment->last || trusts_what_is_shown(recovery) || store->options.read_only)
        return status_ok();
    char path[STORE_PATH_BYTES];
    path_of(store, segment->name, "", path);
    return files_open(store->files, path, FILE_WRITE, &recovery->rewriting);
}

static struct status on_event(void *context, const struct scanned_event *event)
{
    struct embedded_store *store = ((struct recovery *)context)->store;
    if (event->offset > UINT32_MAX)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "a segment of %s/log is larger than 4 GiB; use a newer strata", store->id);
    const struct location location = {
        .segment = segment_log_count(store->segments), /* the scanned one is adopted when it ends */
        .offset = (uint32_t)event->offset,
        .size_bytes = ENTRY_PREFIX_BYTES + (uint32_t)event->record.bytes.size_bytes,
        .header_crc = event->header_crc,
    };
    STATUS_TRY(locations_reserve(&store->locations, 1));
    const struct status status = embedded_publish(store, event->fields, &location, 1);
    if (status.code == STATUS_OK)
        return status;
    return status_prefix(status, "%s/log: the event at position %" PRId64, store->id, event->position);
}

static struct status on_frame(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame)
{
    struct recovery *recovery = context;
    const struct remembered_head *remembered = &recovery->remembered;
    if (remembered_head_is(remembered, end))
        recovery->remembered_seen = true;
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
    return adopt(recovery->store, segment, segment->file_bytes);
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

static struct status copy_bytes(struct file *from, uint64_t offset, uint64_t end, struct file *to,
                                uint32_t *ret_crc)
{
    struct buffer buffer = buffer_make(0);
    uint8_t *memory = buffer_extend(&buffer, COPY_BYTES);
    struct status status = buffer_status(&buffer);
    *ret_crc = 0;
    for (uint64_t at = offset; at < end && status.code == STATUS_OK;) {
        const size_t size = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
        status = file_read_exactly(from, at, memory, size);
        if (status.code == STATUS_OK)
            status = file_write_at(to, at - offset, memory, size);
        *ret_crc = crc32c(*ret_crc, bytes_of(memory, size));
        at += size;
    }
    buffer_done(&buffer);
    return status;
}

/* Nothing is thrown away that somebody may want to look at. */
static struct status keep_torn_bytes(struct embedded_store *store, const struct scanned_segment *segment,
                                     struct file *from)
{
    char path[STORE_PATH_BYTES];
    CLEANUP(file_close_at) struct file *to = NULL;
    for (int i = 1; to == NULL; i++) {
        char suffix[24];
        snprintf(suffix, sizeof suffix, i == 1 ? ".torn" : ".torn.%d", i);
        path_of(store, segment->name, suffix, path);
        const struct status status =
            files_open(store->files, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &to);
        if (status.code != STATUS_OK && (status.code != STATUS_ALREADY_EXISTS || i == TORN_FILES_MAX))
            return status;
    }
    uint32_t unused = 0;
    STATUS_TRY(copy_bytes(from, segment->end_offset, segment->dirty_end, to, &unused));
    return file_sync(to);
}

static struct status cut_torn_tail(struct embedded_store *store, const struct scanned_segment *segment)
{
    char path[STORE_PATH_BYTES];
    char temporary[STORE_PATH_BYTES];
    path_of(store, segment->name, "", path);
    path_of(store, segment->name, ".tmp", temporary);
    CLEANUP(file_close_at) struct file *from = NULL;
    CLEANUP(file_close_at) struct file *to = NULL;
    STATUS_TRY(files_open(store->files, path, FILE_READ, &from));
    STATUS_TRY(keep_torn_bytes(store, segment, from));
    STATUS_TRY(files_open(store->files, temporary, FILE_WRITE | FILE_CREATE, &to));
    STATUS_TRY(file_truncate(to, 0));
    uint32_t crc = 0;
    STATUS_TRY(copy_bytes(from, 0, segment->end_offset, to, &crc));
    if (crc != segment->crc) /* what was checked and what was copied must be the same bytes */
        return status_reason(REASON_DAMAGED, "%s reads differently each time; look at the disk", path);
    STATUS_TRY(file_sync(to));
    STATUS_TRY(files_rename(store->files, temporary, path));
    return sync_log_folder(store);
}

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

static struct status repair_tail(struct recovery *recovery, const struct log_scan_result *found)
{
    struct embedded_store *store = recovery->store;
    uint64_t file_bytes = found->last.file_bytes;
    if (!store->options.read_only && !trusts_what_is_shown(recovery))
        STATUS_TRY(sync_folders(store));
    if (found->segment_count == 0)
        return status_ok();
    if (recovery->rewriting != NULL)
        STATUS_TRY(file_sync(recovery->rewriting));
    if (found->last.dirty_end != found->last.end_offset && !store->options.read_only) {
        STATUS_TRY(cut_torn_tail(store, &found->last));
        file_bytes = found->last.end_offset;
        store->recovery.torn_bytes = found->last.dirty_end - found->last.end_offset;
    }
    return adopt(store, &found->last, file_bytes);
}

/* What an interrupted preparation or repair leaves behind. */
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
        const bool pool = length > 5 && strcmp(name + length - 5, ".pool") == 0;
        if (!temporary && !pool)
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

static struct status recover(struct recovery *recovery)
{
    struct embedded_store *store = recovery->store;
    STATUS_TRY(state_db_head_get(store->state, &recovery->remembered));
    if (!store->options.read_only)
        STATUS_TRY(remove_leftovers(store));
    const struct log_sink sink = {recovery, on_segment_begin, on_event, on_frame, on_segment_end};
    const struct log_scan_options options = {0};
    struct log_scan_result found;
    STATUS_TRY(log_scan_run(store->files, store->id, &store->identity, &options, &sink, &found));
    bool lost = false;
    STATUS_TRY(compare(recovery, &found, &lost));
    STATUS_TRY(repair_tail(recovery, &found));
    store->head.position = found.end.position;
    store->head.timestamp_us = found.end.timestamp_us;
    store->head.chain = found.end.chain;
    store->head.aggregate_count = event_index_aggregate_count(store->index);
    store->sealed = found.end.sealed || found.end.position == 0;
    store->lost_position = lost ? recovery->remembered.position : 0;
    embedded_mark(store);
    store->recovery.clean = recovery->remembered.clean && !lost;
    store->recovery.head_position = found.end.position;
    store->recovery.segment_count = found.segment_count;
    return store->options.read_only ? status_ok() : remember_start(recovery, &found);
}

struct status embedded_recover(struct embedded_store *store)
{
    struct recovery recovery = {.store = store};
    const struct status status = recover(&recovery);
    file_close(recovery.rewriting);
    return status;
}
