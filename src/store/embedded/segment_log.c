#include "segment_log_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "segment_space_internal.h"

struct status segment_log_new(const struct segment_log_options *options, struct segment_log **ret)
{
    struct segment_log *log = calloc(1, sizeof *log);
    /* Untouched pages of this table cost nothing. */
    struct segment **segments = calloc(SEGMENTS_MAX, sizeof *segments);
    if (log == NULL || segments == NULL) {
        free(log);
        free(segments);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the log");
    }
    log->options = *options;
    log->segments = segments;
    log->space.trouble = status_ok();
    log->space.broken = status_ok();
    pthread_mutex_init(&log->space.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->space.wanted, &monotonic);
    pthread_cond_init(&log->space.ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = log;
    return status_ok();
}

void segment_log_free(struct segment_log *log)
{
    if (log == NULL)
        return;
    file_close(log->preparing);
    for (uint32_t i = 0; i < log->count; i++) {
        file_close(log->segments[i]->file);
        free(log->segments[i]);
    }
    pthread_cond_destroy(&log->space.ready);
    pthread_cond_destroy(&log->space.wanted);
    pthread_mutex_destroy(&log->space.lock);
    free(log->segments);
    free(log);
}

void segment_path(const struct segment_log *log, const char *name, char ret[STORE_PATH_BYTES])
{
    snprintf(ret, STORE_PATH_BYTES, "%s/log/%s", log->options.store_id, name);
}

/* `unnamed` = NULL when the file has its name. */
static struct status add_segment(struct segment_log *log, int64_t first_position, uint64_t epoch,
                                 uint64_t end, uint64_t file_bytes, uint32_t event_count, struct file *file,
                                 const struct unnamed *unnamed)
{
    struct segment *segment = log->count < SEGMENTS_MAX ? calloc(1, sizeof *segment) : NULL;
    if (segment == NULL) {
        file_close(file);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for one more segment after %u",
                            (unsigned)log->count);
    }
    char name[SEGMENT_NAME_BYTES];
    segment_name_format(first_position, name);
    segment_path(log, name, segment->path);
    segment->first_position = first_position;
    segment->epoch = epoch;
    segment->end = end;
    segment->event_count = event_count;
    segment->file = file;

    pthread_mutex_lock(&log->space.lock);
    log->segments[log->count] = segment;
    if (unnamed != NULL)
        log->space.unnamed = *unnamed;
    log->space.used_end = end;
    log->space.prepared_end = file_bytes;
    /* With the lock held, so that a round never takes the new numbers for the former segment's. */
    atomic_store_explicit(&log->count, log->count + 1, memory_order_release);
    pthread_mutex_unlock(&log->space.lock);
    atomic_fetch_add(&log->bytes, end);
    return status_ok();
}

struct status segment_log_adopt(struct segment_log *log, int64_t first_position, uint64_t epoch, uint64_t end,
                                uint64_t file_bytes, uint32_t event_count, struct file *file)
{
    return add_segment(log, first_position, epoch, end, file_bytes, event_count, file, NULL);
}

void segment_log_use_thread(struct segment_log *log, bool on)
{
    log->threaded = on;
}

bool segment_log_fits(const struct segment_log *log, size_t size, uint32_t events)
{
    const struct segment *last = last_segment(log);
    if (last == NULL)
        return false;
    if (last->event_count == 0)
        return true; /* a frame larger than a segment gets one of its own */
    return last->end + size + FRAME_HEADER_BYTES <= log->options.segment_max_bytes &&
           last->event_count + events <= log->options.segment_max_events;
}

/* Nothing is written here: the prepared file and its name are durable, and the first frame makes it a segment. */
static struct status begin_segment(struct segment_log *log, const struct log_point *before,
                                   const struct next_file *next)
{
    struct unnamed unnamed = {
        .pending = true,
        .header =
            {
                .first_position = before->position + 1,
                .epoch = next->epoch,
                .created_at_us = clock_now_us(log->options.clock),
                .chain = before->chain,
                .timestamp_us = before->timestamp_us,
            },
    };
    memcpy(unnamed.header.store_uuid, log->options.identity->uuid, STORE_UUID_BYTES);
    memcpy(unnamed.path, next->path, sizeof unnamed.path);
    struct file *file = NULL;
    STATUS_TRY(files_open(log->options.files, next->path, FILE_WRITE, &file));
    return add_segment(log, unnamed.header.first_position, next->epoch, SEGMENT_HEADER_BYTES,
                       next->size_bytes, 0, file, &unnamed);
}

/* A failure to begin a segment is not one of space (that was prepared): no caller may take it for that. */
static struct status roll(struct segment_log *log, size_t size, const struct log_point *before)
{
    if (log->count >= log->options.segments_max)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s/log has %u segments, as many as a store can have; take a new store for what "
                            "comes next, this one can be read as before",
                            log->options.store_id, (unsigned)log->count);
    struct next_file next;
    STATUS_TRY(space_take_next(log, SEGMENT_HEADER_BYTES + size + FRAME_HEADER_BYTES, &next));
    struct status status = begin_segment(log, before, &next);
    if (status.code == STATUS_RESOURCE_EXHAUSTED)
        status.code = STATUS_DATA_LOSS;
    return status;
}

/* A seal must always find room, so each frame leaves that of one behind it. */
static struct status make_room(struct segment_log *log, const struct frame_header *header, size_t size,
                               const struct log_point *before)
{
    if (header->kind == FRAME_SEAL)
        return space_demand_end(log, last_segment(log)->end + size, true);
    if (!segment_log_fits(log, size, header->count))
        STATUS_TRY(roll(log, size, before));
    return space_demand_end(log, last_segment(log)->end + size + FRAME_HEADER_BYTES, false);
}

struct status segment_log_append(struct segment_log *log, struct frame_header *header, uint8_t *frame,
                                 size_t size, const struct log_point *before, enum append_fate *ret_fate,
                                 uint32_t *ret_segment, uint64_t *ret_offset)
{
    assert(size == frame_padded_bytes(header->entries_bytes));
    *ret_fate = FRAME_NOT_WRITTEN;
    STATUS_TRY(segment_log_health(log));
    STATUS_TRY(make_room(log, header, size, before));
    struct segment *segment = last_segment(log);
    header->segment_epoch = segment->epoch;
    frame_header_encode(header, frame);

    *ret_fate = FRAME_UNKNOWN;
    log->failed = true;
    STATUS_TRY(file_write_at(segment->file, segment->end, frame, size));
    STATUS_TRY(file_sync(segment->file));
    *ret_fate = FRAME_SYNCED;
    log->failed = false;
    *ret_segment = log->count - 1;
    *ret_offset = segment->end;
    space_note_appended(log, segment, size, header->count);
    return status_ok();
}

struct status segment_log_health(struct segment_log *log)
{
    pthread_mutex_lock(&log->space.lock);
    const struct status status = log->space.broken;
    pthread_mutex_unlock(&log->space.lock);
    return status;
}

const struct segment *segment_log_at(const struct segment_log *log, uint32_t number)
{
    assert(number < atomic_load_explicit(&log->count, memory_order_acquire));
    return log->segments[number];
}

uint32_t segment_log_count(const struct segment_log *log)
{
    return atomic_load_explicit(&log->count, memory_order_acquire);
}

void segment_log_end(const struct segment_log *log, int64_t *ret_segment, uint64_t *ret_offset)
{
    const struct segment *last = last_segment(log);
    *ret_segment = last == NULL ? 0 : last->first_position;
    *ret_offset = last == NULL ? 0 : last->end;
}

uint64_t segment_log_bytes(const struct segment_log *log)
{
    return atomic_load(&log->bytes);
}
