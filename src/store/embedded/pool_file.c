#include "pool_file_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)256 * 1024)

bool pool_name_is(const char *name)
{
    const size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".pool") == 0;
}

struct status pool_write_first_page(struct file *file, const uint8_t uuid[STORE_UUID_BYTES], uint64_t epoch,
                                    int64_t created_at_us)
{
    struct segment_header header = {.epoch = epoch, .created_at_us = created_at_us};
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    memcpy(header.store_uuid, uuid, STORE_UUID_BYTES);
    segment_header_encode(&header, bytes);
    return file_write_at(file, 0, bytes, sizeof bytes);
}

/* Whether anything was written behind the first page. */
static struct status is_written(struct file *file, uint64_t size, bool *ret)
{
    uint8_t *bytes = malloc(PIECE_BYTES);
    struct status status = bytes != NULL
                               ? status_ok()
                               : status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to read a pool file");
    *ret = false;
    for (uint64_t at = SEGMENT_HEADER_BYTES; at < size && !*ret && status.code == STATUS_OK;
         at += PIECE_BYTES) {
        const size_t piece = size - at < PIECE_BYTES ? (size_t)(size - at) : PIECE_BYTES;
        status = file_read_exactly(file, at, bytes, piece);
        *ret = status.code == STATUS_OK && !bytes_are_zero(bytes, piece);
    }
    free(bytes);
    return status;
}

/*
 * The page is durable before any frame is written, so without it nothing was begun; unless the header of the named segment
 * was being written over it, and then the first frame is durable.
 */
static struct status look(struct file *file, struct begun_segment *ret)
{
    uint8_t page[SEGMENT_HEADER_BYTES];
    uint8_t first[FRAME_HEADER_BYTES];
    uint64_t size = 0;
    STATUS_TRY(file_size(file, &size));
    if (size < sizeof page + sizeof first)
        return status_ok();
    struct segment_header header;
    struct frame_header frame;
    const char *why = NULL;
    STATUS_TRY(file_read_exactly(file, 0, page, sizeof page));
    STATUS_TRY(file_read_exactly(file, sizeof page, first, sizeof first));
    const struct status whole = segment_header_decode(page, &header);
    if (whole.code != STATUS_OK && whole.code != STATUS_DATA_LOSS)
        return whole;
    const enum frame_verdict verdict = frame_header_decode(first, &frame, &why);
    ret->has_uuid = whole.code == STATUS_OK;
    ret->found = (verdict == FRAME_GOOD || verdict == FRAME_FOREIGN) &&
                 (!ret->has_uuid || frame.segment_epoch == header.epoch);
    ret->first_position = ret->found ? frame.first_position : 0;
    ret->epoch = ret->found ? frame.segment_epoch : 0;
    if (!ret->has_uuid)
        return status_ok();
    memcpy(ret->uuid, header.store_uuid, STORE_UUID_BYTES);
    ret->epoch = header.epoch;
    /* A torn or damaged first frame, behind which others may follow: for the scan to judge. */
    return ret->found ? status_ok() : is_written(file, size, &ret->found);
}

/* A file that is not there any more, or has no name of ours, is none. */
static struct status look_at(struct files *files, const char *folder, const char *name,
                             struct begun_segment *ret)
{
    *ret = (struct begun_segment){.found = false};
    if (strlen(name) >= sizeof ret->name)
        return status_ok();
    char path[STORE_PATH_BYTES + sizeof ret->name];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, FILE_READ, &file));
    const struct status status = look(file, ret);
    return status.code == STATUS_OK ? status : status_prefix(status, "%s", path);
}

static struct status list(struct files *files, const char *store_id, char ret_folder[STORE_PATH_BYTES],
                          struct arena *arena, struct file_entry **ret, size_t *ret_count)
{
    snprintf(ret_folder, STORE_PATH_BYTES, "%s/log", store_id);
    *ret_count = 0;
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", ret_folder);
    const struct status status = files_list(files, ret_folder, arena, ret, ret_count);
    return status.code == STATUS_NOT_FOUND ? status_ok() : status;
}

struct status pool_find_begun(struct files *files, const char *store_id, struct begun_segment *ret)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    char folder[STORE_PATH_BYTES];
    struct file_entry *entries = NULL;
    size_t count = 0;
    *ret = (struct begun_segment){.found = false};
    STATUS_TRY(list(files, store_id, folder, arena, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        struct begun_segment begun;
        if (!pool_name_is(entries[i].name))
            continue;
        STATUS_TRY(look_at(files, folder, entries[i].name, &begun));
        if (begun.found && ret->found)
            return status_reason(REASON_DAMAGED,
                                 "%s/%s and %s are both the last segment; restore log/ from one backup",
                                 folder, ret->name, begun.name);
        if (begun.found)
            *ret = begun;
    }
    return status_ok();
}

struct status pool_remove_unused(struct files *files, const char *store_id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    char folder[STORE_PATH_BYTES];
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(list(files, store_id, folder, arena, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        struct begun_segment begun;
        if (!pool_name_is(entries[i].name))
            continue;
        STATUS_TRY(look_at(files, folder, entries[i].name, &begun));
        if (begun.found)
            continue;
        char path[2 * STORE_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)STORE_PATH_BYTES - 2, entries[i].name);
        STATUS_TRY(files_remove(files, path));
    }
    return status_ok();
}

struct status pool_make_segment(struct files *files, const char *store_id, const char *path,
                                struct file *file, const struct segment_header *header)
{
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    char name[SEGMENT_NAME_BYTES];
    char folder[STORE_PATH_BYTES];
    char segment[STORE_PATH_BYTES + SEGMENT_NAME_BYTES];
    segment_header_encode(header, bytes);
    segment_name_format(header->first_position, name);
    snprintf(folder, sizeof folder, "%s/log", store_id);
    snprintf(segment, sizeof segment, "%s/%s", folder, name);
    STATUS_TRY(file_write_at(file, 0, bytes, sizeof bytes));
    STATUS_TRY(file_sync(file));
    STATUS_TRY(files_rename(files, path, segment));
    return files_sync_dir(files, folder);
}
