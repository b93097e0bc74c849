#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "offline/records_file.h"
#include "record/walk.h"
#include "records_format_internal.h"

struct records_writer {
    struct records_header header;
    int64_t first_position;
    records_sink sink;
    void *context;
    struct record_walk walk; /* over all records, from position 1 */
    bool begun;              /* the header was written */
    int64_t count;
};

struct status records_writer_new(const uint8_t store_uuid[RECORDS_FILE_UUID_BYTES], int64_t created_at_us,
                                 int64_t first_position, records_sink sink, void *context,
                                 struct records_writer **ret)
{
    assert(first_position >= 1);
    struct records_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to write records");
    const struct walk_point nothing = {0};
    memcpy(writer->header.store_uuid, store_uuid, sizeof writer->header.store_uuid);
    writer->header.created_at_us = created_at_us;
    writer->first_position = first_position;
    writer->sink = sink;
    writer->context = context;
    writer->walk = record_walk_from(&nothing);
    *ret = writer;
    return status_ok();
}

void records_writer_free(struct records_writer *writer)
{
    if (writer == NULL)
        return;
    record_walk_done(&writer->walk);
    free(writer);
}

static struct status begin(struct records_writer *writer)
{
    uint8_t bytes[RECORDS_HEADER_BYTES] = {0};
    const struct walk_point *before = &writer->walk.at;
    if (!record_walk_is_whole(&writer->walk))
        return status_error(STATUS_FAILED_PRECONDITION,
                            "position %" PRId64 " is inside the append that begins at %" PRId64
                            "; begin there, records are kept in whole appends",
                            writer->first_position, writer->walk.append_first);
    memcpy(bytes, records_magic, sizeof records_magic);
    bytes[RECORDS_HEADER_MAJOR] = RECORDS_FORMAT_MAJOR;
    bytes[RECORDS_HEADER_MINOR] = RECORDS_FORMAT_MINOR;
    put_u32_le(bytes + RECORDS_HEADER_SIZE, RECORDS_HEADER_BYTES);
    memcpy(bytes + RECORDS_HEADER_UUID, writer->header.store_uuid, RECORDS_FILE_UUID_BYTES);
    put_u64_le(bytes + RECORDS_HEADER_POSITION, (uint64_t)before->position);
    put_u64_le(bytes + RECORDS_HEADER_TIME, (uint64_t)before->timestamp_us);
    memcpy(bytes + RECORDS_HEADER_CHAIN, before->chain.bytes, SHA256_BYTES);
    put_u64_le(bytes + RECORDS_HEADER_CREATED, (uint64_t)writer->header.created_at_us);
    put_u32_le(bytes + RECORDS_HEADER_CRC, crc32c(0, bytes_of(bytes, RECORDS_HEADER_CRC)));
    writer->begun = true;
    return writer->sink(writer->context, bytes_of(bytes, sizeof bytes));
}

static struct status write_record(struct records_writer *writer, struct record record)
{
    uint8_t entry[RECORDS_ENTRY_BYTES];
    put_u32_le(entry, (uint32_t)record.header_bytes);
    put_u32_le(entry + 4, (uint32_t)(record.bytes.size_bytes - record.header_bytes));
    const uint32_t crc = crc32c(crc32c(0, bytes_of(entry, RECORDS_ENTRY_CRC)), record.bytes);
    put_u32_le(entry + RECORDS_ENTRY_CRC, crc);
    writer->count++;
    STATUS_TRY(writer->sink(writer->context, bytes_of(entry, sizeof entry)));
    return writer->sink(writer->context, record.bytes);
}

struct status records_writer_add(struct records_writer *writer, struct bytes bytes)
{
    const int64_t position = writer->walk.at.position + 1;
    struct record record;
    struct event_fields fields;
    struct status status = record_split(bytes, &record);
    if (status.code == STATUS_OK)
        status = record_decode_header(record, &fields);
    if (status.code == STATUS_OK)
        status = record_check_digest(record);
    if (status.code != STATUS_OK)
        return status_prefix(status, "position %" PRId64, position);
    if (!writer->begun && position == writer->first_position)
        STATUS_TRY(begin(writer));
    STATUS_TRY(record_walk_take(&writer->walk, record, &fields));
    return writer->begun ? write_record(writer, record) : status_ok();
}

struct status records_writer_finish(struct records_writer *writer, struct records_trailer *ret)
{
    const struct record_walk *walk = &writer->walk;
    if (!record_walk_is_whole(walk))
        return status_error(STATUS_FAILED_PRECONDITION,
                            "position %" PRId64 " is inside an append; end at %" PRId64 " or %" PRId64
                            ", records are kept in whole appends",
                            walk->at.position, walk->append_first - 1,
                            walk->append_first + walk->append_count - 1);
    if (!writer->begun && walk->at.position + 1 == writer->first_position)
        STATUS_TRY(begin(writer));
    if (!writer->begun)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the history ends at position %" PRId64 ", before %" PRId64, walk->at.position,
                            writer->first_position);
    uint8_t bytes[RECORDS_TRAILER_BYTES] = {0};
    put_u32_le(bytes + RECORDS_TRAILER_SIZE, RECORDS_TRAILER_BYTES);
    put_u64_le(bytes + RECORDS_TRAILER_COUNT, (uint64_t)writer->count);
    put_u64_le(bytes + RECORDS_TRAILER_POSITION, (uint64_t)walk->at.position);
    put_u64_le(bytes + RECORDS_TRAILER_TIME, (uint64_t)walk->at.timestamp_us);
    memcpy(bytes + RECORDS_TRAILER_CHAIN, walk->at.chain.bytes, SHA256_BYTES);
    put_u32_le(bytes + RECORDS_TRAILER_CRC, crc32c(0, bytes_of(bytes, RECORDS_TRAILER_CRC)));
    *ret =
        (struct records_trailer){writer->count, {walk->at.position, walk->at.timestamp_us, walk->at.chain}};
    return writer->sink(writer->context, bytes_of(bytes, sizeof bytes));
}
