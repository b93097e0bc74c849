#include "record_reader_internal.h"

#include <inttypes.h>

#include "segment_format_internal.h"
#include "segment_log_internal.h"

#define WINDOW_BYTES    (512U * 1024U) /* at most; begins with … */
#define AHEAD_BYTES     (16U * 1024U)  /* … and doubles with each filling */
#define SCATTERED_BYTES 1024U          /* holds most events; a larger one costs a second call */

struct record_reader record_reader_make(const struct segment_log *log, enum read_order order)
{
    return (struct record_reader){
        .log = log, .order = order, .ahead_bytes = AHEAD_BYTES, .window = buffer_make(0)};
}

void record_reader_done(struct record_reader *reader)
{
    buffer_done(&reader->window);
}

static struct status damaged(const struct segment *segment, int64_t position, struct location location,
                             const char *what)
{
    return status_reason(REASON_DAMAGED,
                         "%s is damaged: the event at position %" PRId64 ", offset %" PRIu32
                         ", %s; stop strata, run `strata verify` and restore the segment from a backup",
                         segment->path, position, location.offset, what);
}

/* Fills the window with `size` bytes from `start`, fewer at the end of the file. */
static struct status fill(struct record_reader *reader, const struct segment *segment, int64_t position,
                          struct location location, uint64_t start, size_t size)
{
    buffer_clear(&reader->window);
    uint8_t *memory = buffer_extend(&reader->window, size);
    STATUS_TRY(buffer_status(&reader->window));
    size_t got = 0;
    const struct status status = file_read_at(segment->file, start, memory, size, &got);
    reader->window.size_bytes = status.code == STATUS_OK ? got : 0;
    reader->window_segment = location.segment;
    reader->window_start = start;
    if (status.code != STATUS_OK)
        return damaged(segment, position, location, status.message);
    return status_ok();
}

/* The window that has the record and, when reading in order, what lies before or behind it. */
static struct status fill_around(struct record_reader *reader, const struct segment *segment,
                                 int64_t position, struct location location)
{
    const uint64_t end = (uint64_t)location.offset + location.room_bytes;
    const uint32_t ahead = reader->ahead_bytes;
    if (reader->order != READ_SCATTERED && ahead < WINDOW_BYTES)
        reader->ahead_bytes *= 2;
    if (reader->order == READ_FORWARD)
        return fill(reader, segment, position, location, location.offset, ahead);
    if (reader->order == READ_BACKWARD && location.room_bytes < ahead) {
        const uint64_t start = end > ahead ? end - ahead : 0;
        return fill(reader, segment, position, location, start, (size_t)(end - start));
    }
    const uint32_t size = location.room_bytes < SCATTERED_BYTES ? location.room_bytes : SCATTERED_BYTES;
    return fill(reader, segment, position, location, location.offset, size);
}

/*
 * NULL when the record is what was written, else what is wrong with it. *ret_size is then what its prefix claims, or 0:
 * more than the window holds may be worth another look.
 */
static const char *check(const struct record_reader *reader, struct location location, struct record *ret,
                         uint32_t *ret_size)
{
    const uint64_t window_end = reader->window_start + reader->window.size_bytes;
    *ret_size = 0;
    if (reader->window_segment != location.segment || location.offset < reader->window_start ||
        (uint64_t)location.offset + ENTRY_PREFIX_BYTES > window_end)
        return "lies beyond the end of the file";
    const uint8_t *entry_bytes = reader->window.data + (location.offset - reader->window_start);
    const uint64_t size =
        (uint64_t)ENTRY_PREFIX_BYTES + get_u32_le(entry_bytes) + get_u32_le(entry_bytes + 4);
    if (size > location.room_bytes)
        return "has another length than was written";
    *ret_size = (uint32_t)size;
    if (location.offset + size > window_end)
        return "lies beyond the end of the file";
    struct frame_entry entry;
    uint32_t at = 0;
    if (!frame_next_entry(entry_bytes, (uint32_t)size, &at, &entry))
        return "has another length than was written";
    if (entry_header_crc(0, entry_bytes, record_header(entry.record)) != location.header_crc)
        return "has a header whose checksum does not fit";
    if (!entry_payload_fits(&entry))
        return "has a payload whose checksum does not fit";
    *ret = entry.record;
    return NULL;
}

struct status record_reader_get(struct record_reader *reader, int64_t position, struct location location,
                                struct record *ret)
{
    const struct segment *segment = segment_log_at(reader->log, location.segment);
    uint32_t size = 0;
    if (reader->window.size_bytes > 0 && check(reader, location, ret, &size) == NULL)
        return status_ok();
    STATUS_TRY(fill_around(reader, segment, position, location));
    const char *what = check(reader, location, ret, &size);
    /* The record may be larger than the window; or that caught a frame which was just being written; or the reading itself
     * went wrong: look once more, and because the first of these hides the others, twice. */
    for (int looks = 0; what != NULL && looks < 2; looks++) {
        if (size == 0)
            size = location.room_bytes < WINDOW_BYTES ? location.room_bytes : WINDOW_BYTES;
        STATUS_TRY(fill(reader, segment, position, location, location.offset, size));
        what = check(reader, location, ret, &size);
    }
    return what == NULL ? status_ok() : damaged(segment, position, location, what);
}
