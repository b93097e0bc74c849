#include "offline/info.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "store/embedded/embedded_store.h"
#include "store_reading_internal.h"

/* docs/storage-format.md: where STORE has its format. */
enum { STORE_MAJOR = 8, STORE_MINOR = 10 };

static struct status folder_bytes(struct files *files, const char *store_id, const char *name,
                                  struct arena *arena, uint64_t *ret)
{
    char folder[STORE_PATH_BYTES];
    struct file_entry *entries = NULL;
    size_t count = 0;
    *ret = 0;
    snprintf(folder, sizeof folder, "%s/%s", store_id, name);
    const struct status status = files_list(files, folder, arena, &entries, &count);
    if (status.code == STATUS_NOT_FOUND)
        return status_ok(); /* the index may be missing */
    STATUS_TRY(status);
    for (size_t i = 0; i < count; i++) {
        char path[2 * STORE_PATH_BYTES];
        uint64_t size = 0;
        if (entries[i].is_folder || strlen(entries[i].name) >= STORE_PATH_BYTES)
            continue;
        snprintf(path, sizeof path, "%s/%.127s", folder, entries[i].name);
        CLEANUP(file_close_at) struct file *file = NULL;
        const struct status opened = files_open(files, path, FILE_READ, &file);
        if (opened.code == STATUS_NOT_FOUND)
            continue; /* a running service removes files */
        STATUS_TRY(opened);
        STATUS_TRY(file_size(file, &size));
        *ret += size;
    }
    return status_ok();
}

static struct status read_identity(struct files *files, const char *store_id, struct store_info *ret)
{
    struct store_identity identity;
    char path[STORE_PATH_BYTES];
    uint8_t start[STORE_MINOR + 2];
    struct status status = store_identity_read(files, store_id, &identity);
    if (status.code == STATUS_NOT_FOUND)
        return status_prefix(status, "there is no store \"%s\" here", store_id);
    STATUS_TRY(status);
    snprintf(path, sizeof path, "%s/STORE", store_id);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, FILE_READ, &file));
    STATUS_TRY(file_read_exactly(file, 0, start, sizeof start));
    memcpy(ret->uuid, identity.uuid, sizeof ret->uuid);
    ret->created_at_us = identity.created_at_us;
    ret->format_major = (unsigned)start[STORE_MAJOR] | (unsigned)start[STORE_MAJOR + 1] << 8;
    ret->format_minor = (unsigned)start[STORE_MINOR] | (unsigned)start[STORE_MINOR + 1] << 8;
    return status_ok();
}

static struct status measure(struct files *files, const char *store_id, struct store_info *ret)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to look into the store");
    struct segment_file *segments = NULL;
    size_t count = 0;
    STATUS_TRY(store_segments_list(files, store_id, arena, &segments, &count));
    ret->segment_count = (uint32_t)count;
    STATUS_TRY(folder_bytes(files, store_id, "log", arena, &ret->log_bytes));
    STATUS_TRY(folder_bytes(files, store_id, "index", arena, &ret->index_bytes));
    return folder_bytes(files, store_id, "state", arena, &ret->state_bytes);
}

/* The head as the service would show it after a start. */
static struct status read_head(struct files *files, const char *store_id, const struct clock *clock,
                               const struct entropy *entropy, struct store_info *ret)
{
    struct store_reading reading;
    const struct status status = store_reading_open(files, store_id, clock, entropy, &reading);
    if (status.code == STATUS_UNAVAILABLE && status.reason == STATUS_REASON_NONE) { /* of the lock */
        ret->held = true;
        snprintf(ret->holder, sizeof ret->holder, "%.255s", status.message);
        return status_ok();
    }
    STATUS_TRY(status);
    ret->clean_known = true;
    ret->clean = reading.remembered.clean;
    store_reading_close(&reading);
    const struct embedded_options options = {.store_id = store_id, .read_only = true};
    CLEANUP(event_store_close_at) struct event_store *store = NULL;
    STATUS_TRY(embedded_store_open(files, &options, clock, entropy, NULL, &store));
    struct store_head head;
    STATUS_TRY(store->ops->head(store, &head));
    ret->head_position = head.position;
    ret->head_time_us = head.timestamp_us;
    ret->chain = head.chain;
    ret->aggregate_count = head.aggregate_count;
    ret->head_known = true;
    return status_ok();
}

struct status store_info_read(struct files *files, const char *store_id, const struct clock *clock,
                              const struct entropy *entropy, struct store_info *ret)
{
    *ret = (struct store_info){.trouble = status_ok()};
    if (store_id == NULL)
        store_id = "main";
    STATUS_TRY(store_id_check(store_id));
    STATUS_TRY(read_identity(files, store_id, ret));
    STATUS_TRY(measure(files, store_id, ret));
    ret->trouble = read_head(files, store_id, clock, entropy, ret);
    return status_ok();
}
