#include "store/embedded/log_scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_file_internal.h"
#include "segment_format_internal.h"

#define WINDOW_BYTES (1024U * 1024U)

/* What a scan carries from segment to segment and from frame to frame. */
struct scan {
    struct files *files;
    const char *store_id;
    const struct store_identity *identity;
    struct log_scan_options options;
    const struct log_sink *sink;
    struct log_end end;
    struct buffer leaves; /* of the append being checked */

    /* The segment being read. */
    struct file *file;
    struct scanned_segment segment;
    bool check_leaves;
    struct buffer window; /* file bytes from window_start */
    uint64_t window_start;
};

/* A judgement about one frame: `bad` is a phrase that completes "the frame at offset N …"; NULL = good. */
struct verdict {
    const char *bad;
    bool foreign;    /* valid, but made by a newer version */
    bool written_so; /* wrong, but byte for byte what was written into this space: no crash did that */
    bool zero;
};

static struct status damage(const struct scan *scan, uint64_t offset, const char *what)
{
    return status_reason(REASON_DAMAGED,
                         "%s/log/%s is damaged: the frame at offset %" PRIu64
                         " %s; run `strata verify` and restore the segment from a backup",
                         scan->store_id, scan->segment.name, offset, what);
}

/* `size` bytes at `offset`, which lie inside the file; valid until the next call. */
static struct status window_at(struct scan *scan, uint64_t offset, size_t size, const uint8_t **ret)
{
    if (offset < scan->window_start || offset + size > scan->window_start + scan->window.size_bytes) {
        const uint64_t left = scan->segment.file_bytes - offset;
        size_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
        if (wanted > left)
            wanted = (size_t)left;
        buffer_clear(&scan->window);
        scan->window_start = offset;
        uint8_t *memory = buffer_extend(&scan->window, wanted);
        STATUS_TRY(buffer_status(&scan->window));
        const struct status status = file_read_exactly(scan->file, offset, memory, wanted);
        if (status.code != STATUS_OK) {
            buffer_clear(&scan->window);
            return status_prefix(status, "while reading %s/log/%s", scan->store_id, scan->segment.name);
        }
    }
    *ret = scan->window.data + (offset - scan->window_start);
    return status_ok();
}

/* The chain moves on when an append is complete; appends never cross frames. */
static const char *check_leaf(struct scan *scan, const struct event_fields *fields, struct record record,
                              struct sha256 *chain)
{
    const size_t have = scan->leaves.size_bytes / sizeof(struct sha256);
    if (fields->append_count < 1 || fields->append_index < 0 || (size_t)fields->append_index != have ||
        fields->append_index >= fields->append_count)
        return "holds an append with a missing event";
    const struct sha256 leaf = record_leaf(record);
    buffer_add(&scan->leaves, &leaf, sizeof leaf);
    if (fields->append_index + 1 < fields->append_count)
        return NULL;
    *chain = chain_next(chain, fields->position - fields->append_index,
                        (const struct sha256 *)(const void *)scan->leaves.data, have + 1);
    buffer_clear(&scan->leaves);
    return NULL;
}

/* The first pass: are these the bytes that were written? A crash may say no. */
static const char *check_sums(const struct frame_header *header, const uint8_t *frame)
{
    const uint32_t end = FRAME_HEADER_BYTES + header->entries_bytes;
    uint32_t at = FRAME_HEADER_BYTES;
    uint32_t headers_crc = 0;
    for (uint32_t i = 0; i < header->count; i++) {
        struct frame_entry entry;
        if (!frame_next_entry(frame, end, &at, &entry))
            return "holds an entry that does not fit into it";
        headers_crc = entry_header_crc(headers_crc, frame + entry.offset, record_header(entry.record));
        if (!entry_payload_fits(&entry))
            return "holds a payload whose checksum does not fit";
    }
    if (at != end)
        return "holds bytes behind its last entry";
    if (headers_crc != header->headers_crc)
        return "holds entries whose checksum does not fit";
    if (!bytes_are_zero(frame + end, (size_t)frame_padded_bytes(header->entries_bytes) - end))
        return "is followed by padding that is not zero";
    return NULL;
}

static const char *check_event(struct scan *scan, struct record record, int64_t position,
                               int64_t *timestamp_us, struct sha256 *chain)
{
    struct event_fields fields;
    if (record_decode_header(record, &fields).code != STATUS_OK)
        return "holds a record that is no event";
    if (fields.position != position)
        return "holds an event whose position is not the next";
    if (fields.timestamp_us < *timestamp_us)
        return "holds an event that is older than the one before";
    *timestamp_us = fields.timestamp_us;
    if (scan->options.check_digests && record_check_digest(record).code != STATUS_OK)
        return "holds a payload whose digest does not fit";
    return scan->check_leaves ? check_leaf(scan, &fields, record, chain) : NULL;
}

/* The second pass: is it what a right writer would have written? No crash makes it otherwise. */
static const char *check_events(struct scan *scan, const struct frame_header *header, const uint8_t *frame)
{
    const uint32_t end = FRAME_HEADER_BYTES + header->entries_bytes;
    uint32_t at = FRAME_HEADER_BYTES;
    int64_t timestamp_us = scan->end.timestamp_us;
    struct sha256 chain = header->chain_before;
    buffer_clear(&scan->leaves);
    for (uint32_t i = 0; i < header->count; i++) {
        struct frame_entry entry;
        if (!frame_next_entry(frame, end, &at, &entry))
            return "changed while it was read";
        const char *bad = check_event(scan, entry.record, header->first_position + i, &timestamp_us, &chain);
        if (bad != NULL)
            return bad;
    }
    if (timestamp_us != header->commit_time_us)
        return "has a commit time that is not its last event's";
    if (scan->leaves.size_bytes != 0)
        return "ends inside an append";
    if (scan->check_leaves && memcmp(&chain, &header->chain_after, sizeof chain) != 0)
        return "holds events that do not hash to its chain";
    return NULL;
}

static const char *check_links(const struct scan *scan, const struct frame_header *header)
{
    if (header->segment_epoch != scan->segment.epoch)
        return "is left over from an earlier use of the space";
    if (header->first_position != scan->end.position + 1)
        return "does not begin at the next position";
    if (memcmp(&header->chain_before, &scan->end.chain, sizeof header->chain_before) != 0)
        return "does not continue the chain";
    if (header->kind == FRAME_SEAL &&
        (memcmp(&header->chain_after, &scan->end.chain, sizeof header->chain_after) != 0 ||
         header->commit_time_us != scan->end.timestamp_us))
        return "is a seal over something else";
    return NULL;
}

/* Judges the frame at `offset`; when it is good, *ret_frame holds all its bytes. */
static struct status judge_frame(struct scan *scan, uint64_t offset, struct frame_header *header,
                                 const uint8_t **ret_frame, struct verdict *ret)
{
    const uint64_t left = scan->segment.file_bytes - offset;
    *ret = (struct verdict){0};
    if (left < FRAME_HEADER_BYTES) {
        ret->zero = true; /* no room for another; the caller sees whether the rest is zero */
        return status_ok();
    }
    STATUS_TRY(window_at(scan, offset, FRAME_HEADER_BYTES, ret_frame));
    const enum frame_verdict verdict = frame_header_decode(*ret_frame, header, &ret->bad);
    if (verdict == FRAME_ZERO) {
        ret->zero = true;
        return status_ok();
    }
    if (verdict == FRAME_BAD)
        return status_ok();
    const char *bad_link = check_links(scan, header);
    if (bad_link != NULL) {
        ret->bad = bad_link;
        ret->written_so = header->segment_epoch == scan->segment.epoch;
        return status_ok();
    }
    if (verdict == FRAME_FOREIGN) {
        ret->foreign = true;
        return status_ok();
    }
    const uint64_t size = frame_padded_bytes(header->entries_bytes);
    if (size > left) {
        ret->bad = "is longer than its segment";
        return status_ok();
    }
    STATUS_TRY(window_at(scan, offset, (size_t)size, ret_frame));
    ret->bad = check_sums(header, *ret_frame);
    if (ret->bad == NULL) {
        ret->bad = check_events(scan, header, *ret_frame);
        ret->written_so = ret->bad != NULL;
    }
    return buffer_status(&scan->leaves);
}

static struct status hand_over_events(struct scan *scan, const struct frame_header *header,
                                      const uint8_t *frame)
{
    if (scan->sink->on_event == NULL)
        return status_ok();
    const uint32_t end = FRAME_HEADER_BYTES + header->entries_bytes;
    uint32_t at = FRAME_HEADER_BYTES;
    for (uint32_t i = 0; i < header->count; i++) {
        struct frame_entry entry;
        struct event_fields fields;
        if (!frame_next_entry(frame, end, &at, &entry))
            return damage(scan, scan->segment.end_offset, "changed while it was read");
        STATUS_TRY(record_decode_header(entry.record, &fields));
        const struct scanned_event event = {
            .position = fields.position,
            .record = entry.record,
            .fields = &fields,
            .offset = scan->segment.end_offset + entry.offset,
            .header_crc = entry_header_crc(0, frame + entry.offset, record_header(entry.record)),
        };
        STATUS_TRY(scan->sink->on_event(scan->sink->context, &event));
    }
    return status_ok();
}

static struct status take_frame(struct scan *scan, const struct frame_header *header, const uint8_t *frame)
{
    STATUS_TRY(hand_over_events(scan, header, frame));
    scan->end.position += header->count;
    scan->end.timestamp_us = header->commit_time_us;
    scan->end.chain = header->chain_after;
    scan->end.writer_epoch = header->writer_epoch;
    scan->end.sealed = header->kind == FRAME_SEAL;
    const struct bytes bytes = bytes_of(frame, (size_t)frame_padded_bytes(header->entries_bytes));
    scan->segment.event_count += header->count;
    scan->segment.end_offset += bytes.size_bytes;
    scan->segment.crc = crc32c(scan->segment.crc, bytes);
    if (scan->sink->on_frame == NULL)
        return status_ok();
    return scan->sink->on_frame(scan->sink->context, &scan->segment, &scan->end, bytes);
}

/* Looks at everything behind the last good frame: the end of what is not zero, and a later valid frame. */
static struct status look_behind(struct scan *scan, uint64_t *ret_dirty_end, bool *ret_frame_follows)
{
    struct scanned_segment *segment = &scan->segment;
    uint64_t dirty_end = segment->end_offset;
    *ret_frame_follows = false;
    for (uint64_t at = segment->end_offset; at < segment->file_bytes;) {
        const uint64_t left = segment->file_bytes - at;
        /* Windows overlap by a frame header, so that none is missed at a border. */
        const size_t size = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        const uint8_t *bytes = NULL;
        STATUS_TRY(window_at(scan, at, size, &bytes));
        assert(bytes != NULL);
        if (!bytes_are_zero(bytes, size)) {
            size_t used = size;
            while (bytes[used - 1] == 0)
                used--;
            dirty_end = at + used;
            for (size_t i = 0; i + FRAME_HEADER_BYTES <= size && !*ret_frame_follows;
                 i += FRAME_ALIGN_BYTES) {
                struct frame_header header;
                const char *why = NULL;
                const bool first = at + i == segment->end_offset;
                if (first || bytes[i] == 0)
                    continue;
                const enum frame_verdict verdict = frame_header_decode(bytes + i, &header, &why);
                *ret_frame_follows = (verdict == FRAME_GOOD || verdict == FRAME_FOREIGN) &&
                                     header.segment_epoch == segment->epoch;
            }
        }
        at += size == left ? size : size - FRAME_HEADER_BYTES;
    }
    *ret_dirty_end = dirty_end;
    return status_ok();
}

static struct status read_segment_header(struct scan *scan)
{
    struct scanned_segment *segment = &scan->segment;
    STATUS_TRY(file_size(scan->file, &segment->file_bytes));
    struct segment_header header;
    struct status status = status_reason(REASON_DAMAGED, "the file ends inside the segment header");
    const uint8_t *bytes = NULL;
    if (segment->file_bytes >= SEGMENT_HEADER_BYTES) {
        STATUS_TRY(window_at(scan, 0, SEGMENT_HEADER_BYTES, &bytes));
        status = segment_header_decode(bytes, &header);
    }
    if (status.code == STATUS_DATA_LOSS)
        return status_reason(
            REASON_DAMAGED,
            "%s/log/%s is damaged: %s; run `strata verify` and restore the segment from a backup",
            scan->store_id, segment->name, status.message);
    if (status.code != STATUS_OK)
        return status_prefix(status, "%s/log/%s", scan->store_id, segment->name);
    if (memcmp(header.store_uuid, scan->identity->uuid, STORE_UUID_BYTES) != 0)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s/log/%s is a segment of another store; move it back to where it came from",
                            scan->store_id, segment->name);
    if (header.first_position != segment->first_position)
        return status_reason(REASON_DAMAGED,
                             "%s/log/%s begins at position %" PRId64 "; give it back its name",
                             scan->store_id, segment->name, header.first_position);
    segment->epoch = header.epoch;
    segment->chain = header.chain;
    segment->timestamp_us = header.timestamp_us;
    if (segment->skipped)
        return status_ok();
    if (header.first_position != scan->end.position + 1)
        return status_reason(REASON_DAMAGED,
                             "%s/log: position %" PRId64
                             " is followed by %s: what lies between is missing; restore "
                             "the missing segments from a backup",
                             scan->store_id, scan->end.position, segment->name);
    if (memcmp(&header.chain, &scan->end.chain, sizeof header.chain) != 0 ||
        header.timestamp_us != scan->end.timestamp_us)
        return status_reason(
            REASON_DAMAGED,
            "%s/log/%s does not continue the segment before it: it belongs to another history; "
            "restore the segments from one backup",
            scan->store_id, segment->name);
    segment->end_offset = SEGMENT_HEADER_BYTES;
    segment->crc = crc32c(0, bytes_of(bytes, SEGMENT_HEADER_BYTES));
    return status_ok();
}

/* Its header is not written yet: it says no more than what follows from the segments before. */
static struct status take_begun(struct scan *scan, const struct begun_segment *begun)
{
    struct scanned_segment *segment = &scan->segment;
    STATUS_TRY(file_size(scan->file, &segment->file_bytes));
    if (begun->has_uuid && memcmp(begun->uuid, scan->identity->uuid, STORE_UUID_BYTES) != 0)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s/log/%s is of another store; move it back to where it came from",
                            scan->store_id, segment->name);
    segment->first_position = scan->end.position + 1;
    if (begun->first_position != 0 && begun->first_position != segment->first_position)
        return status_reason(REASON_DAMAGED,
                             "%s/log: position %" PRId64 " is followed by %s, which begins at %" PRId64
                             "; restore the missing segments from a backup",
                             scan->store_id, scan->end.position, segment->name, begun->first_position);
    segment->epoch = begun->epoch;
    segment->chain = scan->end.chain;
    segment->timestamp_us = scan->end.timestamp_us;
    segment->end_offset = SEGMENT_HEADER_BYTES;
    return status_ok();
}

/* Reads the frames of the open segment. Ends at zeros or at the first bad frame, which is damage unless it is
 * the log's last. */
static struct status scan_frames(struct scan *scan)
{
    struct scanned_segment *segment = &scan->segment;
    struct verdict verdict;
    for (;;) {
        struct frame_header header;
        const uint8_t *frame = NULL;
        STATUS_TRY(judge_frame(scan, segment->end_offset, &header, &frame, &verdict));
        if (verdict.bad != NULL) {
            /* What is cut off as torn is gone for ever, so a reading that went wrong on its way must not
             * decide it. */
            buffer_clear(&scan->window);
            STATUS_TRY(judge_frame(scan, segment->end_offset, &header, &frame, &verdict));
        }
        if (verdict.foreign)
            return status_error(STATUS_FAILED_PRECONDITION, "%s/log/%s: the frame at offset %" PRIu64 " %s",
                                scan->store_id, segment->name, segment->end_offset, verdict.bad);
        if (verdict.zero || verdict.bad != NULL)
            break;
        STATUS_TRY(take_frame(scan, &header, frame));
    }
    bool frame_follows = false;
    STATUS_TRY(look_behind(scan, &segment->dirty_end, &frame_follows));
    if (segment->dirty_end == segment->end_offset)
        return status_ok();
    const char *bad = verdict.zero ? "is missing although bytes follow" : verdict.bad;
    segment->why = damage(scan, segment->end_offset, bad);
    if (!segment->last || frame_follows || verdict.written_so)
        return segment->why;
    return status_ok();
}

/* `begun` = NULL, or what is known of one without a name, which has no position of its own. */
static struct status scan_segment(struct scan *scan, const char *name, int64_t first_position, bool last,
                                  const struct begun_segment *begun)
{
    struct scanned_segment *segment = &scan->segment;
    *segment = (struct scanned_segment){
        .first_position = first_position, .last = last, .unnamed = begun != NULL, .why = status_ok()};
    snprintf(segment->name, sizeof segment->name, "%s", name);
    const struct log_resume *resume = scan->options.resume;
    segment->skipped = resume != NULL && begun == NULL && first_position < resume->first_position;
    if (resume != NULL && !segment->skipped && scan->end.position == 0)
        scan->end = resume->end;
    scan->check_leaves = last || scan->options.check_every_leaf;
    buffer_clear(&scan->window);
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/log/%s", scan->store_id, name);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(scan->files, path, FILE_READ, &file));
    scan->file = file;
    STATUS_TRY(begun == NULL ? read_segment_header(scan) : take_begun(scan, begun));
    if (scan->sink->on_segment_begin != NULL)
        STATUS_TRY(scan->sink->on_segment_begin(scan->sink->context, segment));
    if (segment->skipped)
        return status_ok();
    STATUS_TRY(scan_frames(scan));
    if (scan->sink->on_segment_end != NULL)
        STATUS_TRY(scan->sink->on_segment_end(scan->sink->context, segment));
    return status_ok();
}

static void count_segment(const struct scan *scan, struct log_scan_result *ret)
{
    ret->segment_count++;
    ret->bytes += scan->segment.skipped ? scan->segment.file_bytes : scan->segment.end_offset;
}

static struct status scan_all(struct scan *scan, struct log_scan_result *ret)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/log", scan->store_id);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", path);
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(files_list(scan->files, path, arena, &entries, &count));
    struct begun_segment begun;
    STATUS_TRY(pool_find_begun(scan->files, scan->store_id, &begun));
    size_t last = count; /* 20 digits each: the order of names is the order of positions */
    for (size_t i = 0; i < count; i++) {
        if (segment_name_parse(entries[i].name) > 0 && !begun.found)
            last = i;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t first_position = segment_name_parse(entries[i].name);
        if (first_position < 0)
            continue;
        STATUS_TRY(scan_segment(scan, entries[i].name, first_position, i == last, NULL));
        count_segment(scan, ret);
    }
    if (begun.found) {
        STATUS_TRY(scan_segment(scan, begun.name, 0, true, &begun));
        count_segment(scan, ret);
    }
    ret->end = scan->end;
    ret->last = scan->segment;
    ret->torn = ret->segment_count > 0 && scan->segment.why.code != STATUS_OK;
    return status_ok();
}

struct status log_scan_run(struct files *files, const char *store_id, const struct store_identity *identity,
                           const struct log_scan_options *options, const struct log_sink *sink,
                           struct log_scan_result *ret)
{
    struct scan scan = {
        .files = files,
        .store_id = store_id,
        .identity = identity,
        .options = *options,
        .sink = sink,
        .leaves = buffer_make(0),
        .window = buffer_make(0),
    };
    *ret = (struct log_scan_result){0};
    const struct status status = scan_all(&scan, ret);
    buffer_done(&scan.leaves);
    buffer_done(&scan.window);
    return status;
}
