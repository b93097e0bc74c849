#include "torn_tail_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"

#define PIECE_BYTES    (64U * 1024U)
#define TORN_FILES_MAX 1000

static struct status create_torn_file(struct files *files, const char *path, char ret_path[STORE_PATH_BYTES],
                                      struct file **ret)
{
    struct status status = status_ok();
    for (int i = 1; i <= TORN_FILES_MAX; i++) {
        char suffix[24];
        snprintf(suffix, sizeof suffix, i == 1 ? ".torn" : ".torn.%d", i);
        snprintf(ret_path, STORE_PATH_BYTES, "%.*s%s", (int)(STORE_PATH_BYTES - sizeof suffix), path, suffix);
        status = files_open(files, ret_path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, ret);
        if (status.code != STATUS_ALREADY_EXISTS)
            return status;
    }
    return status;
}

static struct status copy(struct file *from, uint64_t offset, uint64_t end, struct file *to)
{
    uint8_t bytes[PIECE_BYTES];
    for (uint64_t at = offset; at < end;) {
        const size_t size = end - at < sizeof bytes ? (size_t)(end - at) : sizeof bytes;
        STATUS_TRY(file_read_exactly(from, at, bytes, size));
        STATUS_TRY(file_write_at(to, at - offset, bytes, size));
        at += size;
    }
    return file_sync(to);
}

/* Nothing is thrown away that somebody may want to look at, unless keeping it would keep the store from starting. */
static struct status set_aside(struct files *files, const char *folder, const char *path, struct file *from,
                               const struct scanned_segment *segment, struct log *log)
{
    char torn_path[STORE_PATH_BYTES];
    struct file *to = NULL;
    struct status status = create_torn_file(files, path, torn_path, &to);
    if (status.code == STATUS_OK)
        status = copy(from, segment->end_offset, segment->dirty_end, to);
    const bool made = to != NULL;
    file_close(to);
    if (status.code == STATUS_OK)
        return files_sync_dir(files, folder);
    if (status.code != STATUS_RESOURCE_EXHAUSTED)
        return status;
    log_warn(log, "no space to keep the torn bytes, going on without", LOG_TEXT("segment", path),
             LOG_INT("torn_bytes", segment->dirty_end - segment->end_offset),
             LOG_TEXT("why", status.message));
    return made ? files_remove(files, torn_path) : status_ok();
}

static struct status write_zeros(struct file *file, uint64_t offset, uint64_t end)
{
    static const uint8_t zeros[PIECE_BYTES];
    for (uint64_t at = offset; at < end;) {
        const size_t size = end - at < sizeof zeros ? (size_t)(end - at) : sizeof zeros;
        STATUS_TRY(file_write_at(file, at, zeros, size));
        at += size;
    }
    return file_sync(file);
}

struct status torn_tail_clear(struct files *files, const char *store_id,
                              const struct scanned_segment *segment, struct log *log)
{
    char folder[STORE_PATH_BYTES];
    char path[STORE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/log", store_id);
    snprintf(path, sizeof path, "%s/log/%s", store_id, segment->name);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, FILE_WRITE, &file));
    STATUS_TRY(set_aside(files, folder, path, file, segment, log));
    return write_zeros(file, segment->end_offset, segment->dirty_end);
}
