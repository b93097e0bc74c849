#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "offline/records_file.h"
#include "record/walk.h"
#include "records_format_internal.h"

#define WINDOW_BYTES (1024U * 1024U)

static struct status damaged(const struct records_reader *reader, const char *what)
{
    return status_reason(REASON_DAMAGED,
                         "%s is damaged at offset %" PRIu64 ", after %" PRId64
                         " records: %s; export again or take another copy",
                         reader->name, reader->offset, reader->count, what);
}

/* `size` bytes at the reader's offset, valid until the next call; damage when the file ends before. */
static struct status peek(struct records_reader *reader, size_t size, const uint8_t **ret)
{
    const uint64_t left = reader->file_bytes - reader->offset;
    if (size > left)
        return damaged(reader, "the file ends here, without its end mark");
    const uint64_t end = reader->offset + size;
    if (reader->offset < reader->window_start || end > reader->window_start + reader->window.size_bytes) {
        size_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
        wanted = wanted > left ? (size_t)left : wanted;
        buffer_clear(&reader->window);
        uint8_t *memory = buffer_extend(&reader->window, wanted);
        STATUS_TRY(buffer_status(&reader->window));
        reader->window_start = reader->offset;
        const struct status status = file_read_exactly(reader->file, reader->offset, memory, wanted);
        if (status.code != STATUS_OK) {
            buffer_clear(&reader->window);
            return status_prefix(status, "while reading %s", reader->name);
        }
    }
    *ret = reader->window.data + (reader->offset - reader->window_start);
    return status_ok();
}

static struct records_point point_at(const uint8_t *position, const uint8_t *time, const uint8_t *chain)
{
    struct records_point point = {(int64_t)get_u64_le(position), (int64_t)get_u64_le(time), {{0}}};
    memcpy(point.chain.bytes, chain, SHA256_BYTES);
    return point;
}

/* The header's bytes, which are all there. */
static struct status decode_header(struct records_reader *reader, const uint8_t *bytes)
{
    const unsigned major = (unsigned)bytes[RECORDS_HEADER_MAJOR] | (unsigned)bytes[RECORDS_HEADER_MAJOR + 1]
                                                                       << 8;
    if (get_u32_le(bytes + RECORDS_HEADER_CRC) != crc32c(0, bytes_of(bytes, RECORDS_HEADER_CRC)))
        return damaged(reader, "the checksum of the header does not fit");
    if (major != RECORDS_FORMAT_MAJOR)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s has format version %u and this program reads %d; use a newer strata",
                            reader->name, major, RECORDS_FORMAT_MAJOR);
    if (get_u32_le(bytes + RECORDS_HEADER_SIZE) != RECORDS_HEADER_BYTES)
        return damaged(reader, "the header has another size");
    memcpy(reader->header.store_uuid, bytes + RECORDS_HEADER_UUID, RECORDS_FILE_UUID_BYTES);
    reader->header.created_at_us = (int64_t)get_u64_le(bytes + RECORDS_HEADER_CREATED);
    reader->header.before =
        point_at(bytes + RECORDS_HEADER_POSITION, bytes + RECORDS_HEADER_TIME, bytes + RECORDS_HEADER_CHAIN);
    if (reader->header.before.position < 0 || reader->header.before.timestamp_us < 0)
        return damaged(reader, "the header begins at no position");
    reader->offset = RECORDS_HEADER_BYTES;
    return status_ok();
}

struct status records_reader_open(struct file *file, const char *name, struct records_reader *ret)
{
    struct records_reader reader = {.file = file, .name = name, .window = buffer_make(0)};
    uint8_t bytes[RECORDS_HEADER_BYTES] = {0};
    size_t got = 0;
    STATUS_TRY(file_size(file, &reader.file_bytes));
    STATUS_TRY(file_read_at(file, 0, bytes, sizeof bytes, &got));
    if (got < sizeof records_magic || memcmp(bytes, records_magic, sizeof records_magic) != 0)
        return status_reason(
            REASON_DAMAGED,
            "%s is no file of records: it does not begin with STRATARX; `strata export --records` "
            "makes one",
            name);
    if (got < sizeof bytes)
        return damaged(&reader, "the file ends inside its header");
    STATUS_TRY(decode_header(&reader, bytes));
    *ret = reader;
    return status_ok();
}

void records_reader_done(struct records_reader *reader)
{
    buffer_done(&reader->window);
}

static struct status read_trailer(struct records_reader *reader)
{
    const uint8_t *bytes = NULL;
    STATUS_TRY(peek(reader, RECORDS_TRAILER_BYTES, &bytes));
    assert(bytes != NULL);
    if (get_u32_le(bytes + RECORDS_TRAILER_SIZE) != RECORDS_TRAILER_BYTES ||
        get_u32_le(bytes + RECORDS_TRAILER_CRC) != crc32c(0, bytes_of(bytes, RECORDS_TRAILER_CRC)))
        return damaged(reader, "the end mark's checksum does not fit");
    reader->trailer =
        (struct records_trailer){(int64_t)get_u64_le(bytes + RECORDS_TRAILER_COUNT),
                                 point_at(bytes + RECORDS_TRAILER_POSITION, bytes + RECORDS_TRAILER_TIME,
                                          bytes + RECORDS_TRAILER_CHAIN)};
    if (reader->trailer.count != reader->count)
        return damaged(reader, "the end mark counts other records");
    reader->offset += RECORDS_TRAILER_BYTES;
    if (reader->offset != reader->file_bytes)
        return damaged(reader, "bytes follow the end mark");
    return status_ok();
}

struct status records_reader_next(struct records_reader *reader, struct bytes *ret, bool *ret_more)
{
    const uint8_t *bytes = NULL;
    STATUS_TRY(peek(reader, RECORDS_ENTRY_BYTES, &bytes));
    assert(bytes != NULL);
    const uint32_t header_bytes = get_u32_le(bytes);
    const uint32_t payload_bytes = get_u32_le(bytes + 4);
    *ret_more = header_bytes != 0;
    if (header_bytes == 0)
        return read_trailer(reader);
    if (header_bytes > RECORDS_ENTRY_MAX || payload_bytes > RECORDS_ENTRY_MAX)
        return damaged(reader, "a record is longer than any can be");
    const size_t size = (size_t)header_bytes + payload_bytes;
    STATUS_TRY(peek(reader, RECORDS_ENTRY_BYTES + size, &bytes));
    const struct bytes record = bytes_of(bytes + RECORDS_ENTRY_BYTES, size);
    const uint32_t crc = crc32c(crc32c(0, bytes_of(bytes, RECORDS_ENTRY_CRC)), record);
    if (get_u32_le(bytes + RECORDS_ENTRY_CRC) != crc)
        return damaged(reader, "the checksum of a record does not fit");
    reader->offset += RECORDS_ENTRY_BYTES + size;
    reader->count++;
    *ret = record;
    return status_ok();
}

/* --- the whole file --- */

/* Data that is not compact JSON would be served as it is and break whoever reads it. */
static struct status check_json(struct arena *arena, const struct event_fields *fields, const char *name,
                                struct bytes text)
{
    if (text.size_bytes == 0)
        return status_ok();
    arena_reset(arena);
    struct buffer compact = buffer_in(arena, 0);
    struct status status = json_compact(arena, text, true, &compact);
    if (status.code == STATUS_OK && !bytes_equal(buffer_bytes(&compact), text))
        status = status_error(STATUS_DATA_LOSS, "white space between tokens");
    if (status.code == STATUS_OK)
        return status;
    return status_reason(REASON_DAMAGED, "position %" PRId64 ": %s: %s", fields->position, name,
                         status.message);
}

static struct status check_one(struct record_walk *walk, struct arena *arena, struct bytes bytes)
{
    struct record record;
    struct event_fields fields;
    STATUS_TRY(record_split(bytes, &record));
    STATUS_TRY(record_decode(record, &fields));
    STATUS_TRY(record_walk_take(walk, record, &fields));
    STATUS_TRY(record_check_digest(record));
    if (fields.content_type.size_bytes == 0)
        STATUS_TRY(check_json(arena, &fields, "data", fields.data));
    return check_json(arena, &fields, "metadata", fields.metadata);
}

static struct status check_end(const struct records_reader *reader, const struct record_walk *walk)
{
    const struct records_point *after = &reader->trailer.after;
    if (!record_walk_is_whole(walk))
        return damaged(reader, "the last append is not whole");
    if (after->position != walk->at.position || after->timestamp_us != walk->at.timestamp_us ||
        memcmp(&after->chain, &walk->at.chain, sizeof after->chain) != 0)
        return damaged(reader, "the records do not make the chain that the end mark states");
    return status_ok();
}

static struct status check_all(struct records_reader *reader, struct arena *arena,
                               void (*on_progress)(void *context, uint64_t bytes), void *context)
{
    const struct records_point *before = &reader->header.before;
    const struct walk_point from = {before->position, before->timestamp_us, before->chain};
    struct record_walk walk = record_walk_from(&from);
    struct status status = status_ok();
    for (bool more = true; status.code == STATUS_OK && more;) {
        struct bytes record = BYTES_NONE;
        status = records_reader_next(reader, &record, &more);
        if (status.code == STATUS_OK && more) {
            status = check_one(&walk, arena, record);
            if (status.code != STATUS_OK)
                status = status_prefix(status, "%s", reader->name);
        }
        if (on_progress != NULL)
            on_progress(context, reader->offset);
    }
    if (status.code == STATUS_OK)
        status = check_end(reader, &walk);
    record_walk_done(&walk);
    return status;
}

struct status records_file_check(struct file *file, const char *name,
                                 void (*on_progress)(void *context, uint64_t bytes), void *context,
                                 struct records_header *ret_header, struct records_trailer *ret_trailer)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct records_reader reader;
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to check %s", name);
    STATUS_TRY(records_reader_open(file, name, &reader));
    const struct status status = check_all(&reader, arena, on_progress, context);
    *ret_header = reader.header;
    *ret_trailer = reader.trailer;
    records_reader_done(&reader);
    return status;
}
