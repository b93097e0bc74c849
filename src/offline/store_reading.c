#include "store_reading_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define SEGMENT_NAME_DIGITS 20U

/* The first position in a name such as "00000000000000000001.seg"; 0 for any other file. */
static int64_t segment_position(const char *name)
{
    if (strspn(name, "0123456789") != SEGMENT_NAME_DIGITS || strcmp(name + SEGMENT_NAME_DIGITS, ".seg") != 0)
        return 0;
    return strtoll(name, NULL, 10);
}

static struct status size_of(struct files *files, const char *path, uint64_t *ret)
{
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, FILE_READ, &file));
    return file_size(file, ret);
}

struct status store_segments_list(struct files *files, const char *store_id, struct arena *arena,
                                  struct segment_file **ret, size_t *ret_count)
{
    char folder[STORE_PATH_BYTES];
    struct file_entry *entries = NULL;
    size_t count = 0;
    snprintf(folder, sizeof folder, "%s/log", store_id);
    STATUS_TRY(files_list(files, folder, arena, &entries, &count));
    struct segment_file *segments = arena_array(arena, count, sizeof *segments);
    if (segments == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", folder);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        char path[STORE_PATH_BYTES + 40];
        struct segment_file segment = {.first_position = segment_position(entries[i].name)};
        if (segment.first_position == 0)
            continue;
        snprintf(path, sizeof path, "%s/%.32s", folder, entries[i].name);
        STATUS_TRY(size_of(files, path, &segment.size_bytes));
        segments[(*ret_count)++] = segment;
    }
    *ret = segments;
    return status_ok();
}

/* The last segment is written with zeros ahead of its frames; what is remembered says how far those reach. */
static struct status measure(struct store_reading *reading)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct segment_file *segments = NULL;
    size_t count = 0;
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list the segments");
    STATUS_TRY(store_segments_list(reading->files, reading->store_id, arena, &segments, &count));
    reading->log_bytes = 0;
    for (size_t i = 0; i < count; i++)
        reading->log_bytes += i + 1 == count && segments[i].first_position == reading->remembered.segment
                                  ? reading->remembered.end_offset
                                  : segments[i].size_bytes;
    return status_ok();
}

static struct status open_parts(struct store_reading *reading)
{
    STATUS_TRY(store_id_check(reading->store_id));
    struct status status = store_lock(reading->files, reading->store_id, false, &reading->lock);
    if (status.code == STATUS_NOT_FOUND)
        return status_prefix(status, "there is no store \"%s\" here", reading->store_id);
    STATUS_TRY(status);
    STATUS_TRY(store_identity_read(reading->files, reading->store_id, &reading->identity));
    status = remembered_head_read(reading->files, reading->store_id, &reading->identity, reading->clock,
                                  reading->entropy, &reading->remembered);
    if (status.code == STATUS_NOT_FOUND)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s/state/state.db is missing beside the log; restore it from a backup, or start once with "
            "--accept-state-loss",
            reading->store_id);
    STATUS_TRY(status);
    return measure(reading);
}

struct status store_reading_open(struct files *files, const char *store_id, const struct clock *clock,
                                 const struct entropy *entropy, struct store_reading *ret)
{
    *ret = (struct store_reading){
        .files = files,
        .store_id = store_id == NULL ? "main" : store_id,
        .clock = clock,
        .entropy = entropy,
    };
    const struct status status = open_parts(ret);
    if (status.code != STATUS_OK)
        store_reading_close(ret);
    return status;
}

void store_reading_close(struct store_reading *reading)
{
    file_close(reading->lock);
    reading->lock = NULL;
}

void store_reading_note(struct store_reading *reading, const struct log_end *end)
{
    reading->remembered_seen = reading->remembered_seen || remembered_head_is(&reading->remembered, end);
}

static struct status compare_end(const struct store_reading *reading, const struct log_scan_result *found)
{
    char difference[300];
    if (!remembered_head_differs(&reading->remembered, reading->remembered_seen, found, difference,
                                 sizeof difference))
        return status_ok();
    return status_error(STATUS_FAILED_PRECONDITION,
                        "%s/log: %s%s%s; restore log/ and state/ from one backup, or start once with "
                        "--accept-data-loss",
                        reading->store_id, difference, found->torn ? "; " : "",
                        found->torn ? found->last.why.message : "");
}

struct status store_reading_scan(struct store_reading *reading, const struct log_sink *sink,
                                 const struct log_resume *resume, struct log_scan_result *ret)
{
    const struct log_scan_options options = {
        .check_every_leaf = true, .check_digests = true, .resume = resume};
    STATUS_TRY(log_scan_run(reading->files, reading->store_id, &reading->identity, &options, sink, ret));
    return compare_end(reading, ret);
}
