#include "segment_format_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char segment_magic[8] = {'S', 'T', 'R', 'A', 'T', 'A', 'S', 'G'};
static const char frame_magic[4] = {'S', 'T', 'F', 'R'};

/* Offsets inside the segment header. */
enum {
    SEGMENT_MAJOR = 8,
    SEGMENT_MINOR = 10,
    SEGMENT_HEADER_SIZE = 12,
    SEGMENT_UUID = 16,
    SEGMENT_FIRST_POSITION = 32,
    SEGMENT_EPOCH = 40,
    SEGMENT_CREATED = 48,
    SEGMENT_CHAIN = 56,
    SEGMENT_TIMESTAMP = 88,
    SEGMENT_ZEROS = 96,
    SEGMENT_CRC = SEGMENT_HEADER_BYTES - 4,
};

/* Offsets inside the frame header. */
enum {
    FRAME_KIND = 4,
    FRAME_FLAGS = 5,
    FRAME_ZEROS_1 = 6,
    FRAME_ENTRIES_BYTES = 8,
    FRAME_COUNT = 12,
    FRAME_FIRST_POSITION = 16,
    FRAME_SEGMENT_EPOCH = 24,
    FRAME_WRITER_EPOCH = 32,
    FRAME_COMMIT_TIME = 40,
    FRAME_CHAIN_BEFORE = 48,
    FRAME_CHAIN_AFTER = 80,
    FRAME_HEADERS_CRC = 112,
    FRAME_ZEROS_2 = 116,
    FRAME_CRC = FRAME_HEADER_BYTES - 4,
};

static void put_u16_le(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static uint16_t get_u16_le(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

bool bytes_are_zero(const uint8_t *data, size_t size_bytes)
{
    /* Comparing a range with itself shifted by one lets memcmp do the work. */
    return size_bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, size_bytes - 1) == 0);
}

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_BYTES])
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to, segment_magic, sizeof segment_magic);
    put_u16_le(to + SEGMENT_MAJOR, FORMAT_MAJOR);
    put_u16_le(to + SEGMENT_MINOR, FORMAT_MINOR);
    put_u32_le(to + SEGMENT_HEADER_SIZE, SEGMENT_HEADER_BYTES);
    memcpy(to + SEGMENT_UUID, header->store_uuid, STORE_UUID_BYTES);
    put_u64_le(to + SEGMENT_FIRST_POSITION, (uint64_t)header->first_position);
    put_u64_le(to + SEGMENT_EPOCH, header->epoch);
    put_u64_le(to + SEGMENT_CREATED, (uint64_t)header->created_at_us);
    memcpy(to + SEGMENT_CHAIN, header->chain.bytes, SHA256_BYTES);
    put_u64_le(to + SEGMENT_TIMESTAMP, (uint64_t)header->timestamp_us);
    put_u32_le(to + SEGMENT_CRC, crc32c(0, bytes_of(to, SEGMENT_CRC)));
}

struct status segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES], struct segment_header *ret)
{
    if (memcmp(from, segment_magic, sizeof segment_magic) != 0)
        return status_reason(REASON_DAMAGED, "the segment does not begin with the magic word STRATASG");
    /* The checksum's place belongs to the major version: another version must be named before it is judged.
     */
    const unsigned major = get_u16_le(from + SEGMENT_MAJOR);
    const bool sum_fits = get_u32_le(from + SEGMENT_CRC) == crc32c(0, bytes_of(from, SEGMENT_CRC));
    if (sum_fits && major != FORMAT_MAJOR)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "the segment has format version %u.%u and this program reads %u.x; use a newer strata", major,
            (unsigned)get_u16_le(from + SEGMENT_MINOR), FORMAT_MAJOR);
    if (!sum_fits)
        return status_reason(REASON_DAMAGED, "the checksum of the segment header does not fit");
    if (get_u32_le(from + SEGMENT_HEADER_SIZE) != SEGMENT_HEADER_BYTES)
        return status_reason(REASON_DAMAGED, "the segment header gives its size as %u bytes, not %u",
                             get_u32_le(from + SEGMENT_HEADER_SIZE), SEGMENT_HEADER_BYTES);
    memcpy(ret->store_uuid, from + SEGMENT_UUID, STORE_UUID_BYTES);
    ret->first_position = (int64_t)get_u64_le(from + SEGMENT_FIRST_POSITION);
    ret->epoch = get_u64_le(from + SEGMENT_EPOCH);
    ret->created_at_us = (int64_t)get_u64_le(from + SEGMENT_CREATED);
    memcpy(ret->chain.bytes, from + SEGMENT_CHAIN, SHA256_BYTES);
    ret->timestamp_us = (int64_t)get_u64_le(from + SEGMENT_TIMESTAMP);
    return status_ok();
}

uint32_t entry_header_crc(uint32_t former, const uint8_t prefix[ENTRY_PREFIX_BYTES],
                          struct bytes header_bytes)
{
    return crc32c(crc32c(former, bytes_of(prefix, ENTRY_PREFIX_BYTES)), header_bytes);
}

uint32_t entry_encode(struct record record, struct buffer *to, uint32_t *headers_crc)
{
    const struct bytes header = record_header(record);
    const struct bytes payload = record_payload(record);
    assert(header.size_bytes <= UINT32_MAX && payload.size_bytes <= UINT32_MAX);
    uint8_t prefix[ENTRY_PREFIX_BYTES];
    put_u32_le(prefix, (uint32_t)header.size_bytes);
    put_u32_le(prefix + 4, (uint32_t)payload.size_bytes);
    put_u32_le(prefix + 8, crc32c(0, payload));
    *headers_crc = entry_header_crc(*headers_crc, prefix, header);
    buffer_add(to, prefix, sizeof prefix);
    buffer_add_bytes(to, record.bytes);
    return entry_header_crc(0, prefix, header);
}

void frame_header_encode(const struct frame_header *header, uint8_t to[FRAME_HEADER_BYTES])
{
    memset(to, 0, FRAME_HEADER_BYTES);
    memcpy(to, frame_magic, sizeof frame_magic);
    to[FRAME_KIND] = (uint8_t)header->kind;
    put_u32_le(to + FRAME_ENTRIES_BYTES, header->entries_bytes);
    put_u32_le(to + FRAME_COUNT, header->count);
    put_u64_le(to + FRAME_FIRST_POSITION, (uint64_t)header->first_position);
    put_u64_le(to + FRAME_SEGMENT_EPOCH, header->segment_epoch);
    put_u64_le(to + FRAME_WRITER_EPOCH, header->writer_epoch);
    put_u64_le(to + FRAME_COMMIT_TIME, (uint64_t)header->commit_time_us);
    memcpy(to + FRAME_CHAIN_BEFORE, header->chain_before.bytes, SHA256_BYTES);
    memcpy(to + FRAME_CHAIN_AFTER, header->chain_after.bytes, SHA256_BYTES);
    put_u32_le(to + FRAME_HEADERS_CRC, header->headers_crc);
    put_u32_le(to + FRAME_CRC, crc32c(0, bytes_of(to, FRAME_CRC)));
}

static const char *foreign_reason(const uint8_t *from)
{
    const uint8_t flags = from[FRAME_FLAGS];
    if (flags & FRAME_COMPRESSED)
        return "is compressed, which this version cannot read; use a newer strata";
    if (flags & FRAME_SEALED)
        return "is encrypted, which this version cannot read; use a newer strata";
    if (flags != 0)
        return "has a flag that this version does not know; use a newer strata";
    switch (from[FRAME_KIND]) {
    case FRAME_EVENTS:
    case FRAME_SEAL:
        return NULL;
    case FRAME_AUDIT:
        return "is of kind 3 (audit), which this version does not know; use a newer strata";
    case FRAME_TREE_HEAD:
        return "is of kind 4 (tree head), which this version does not know; use a newer strata";
    default:
        return "is of a kind that this version does not know; use a newer strata";
    }
}

/* What a valid checksum cannot promise: that our own writer kept its rules. */
static const char *inner_reason(const uint8_t *from, const struct frame_header *header)
{
    if (!bytes_are_zero(from + FRAME_ZEROS_1, FRAME_ENTRIES_BYTES - FRAME_ZEROS_1) ||
        !bytes_are_zero(from + FRAME_ZEROS_2, FRAME_CRC - FRAME_ZEROS_2))
        return "has bytes that must be zero and are not";
    if (header->entries_bytes > FRAME_BYTES_MAX)
        return "claims to be larger than 64 MiB";
    if (header->first_position < 1)
        return "has no position";
    if (header->kind == FRAME_SEAL && (header->count != 0 || header->entries_bytes != 0))
        return "is a seal and not empty";
    if (header->kind == FRAME_EVENTS && header->count == 0)
        return "holds no event";
    return NULL;
}

enum frame_verdict frame_header_decode(const uint8_t from[FRAME_HEADER_BYTES], struct frame_header *ret,
                                       const char **why)
{
    if (bytes_are_zero(from, FRAME_HEADER_BYTES))
        return FRAME_ZERO;
    if (memcmp(from, frame_magic, sizeof frame_magic) != 0) {
        *why = "does not begin with the magic word STFR";
        return FRAME_BAD;
    }
    if (get_u32_le(from + FRAME_CRC) != crc32c(0, bytes_of(from, FRAME_CRC))) {
        *why = "has a header whose checksum does not fit";
        return FRAME_BAD;
    }
    ret->kind = (enum frame_kind)from[FRAME_KIND];
    ret->entries_bytes = get_u32_le(from + FRAME_ENTRIES_BYTES);
    ret->count = get_u32_le(from + FRAME_COUNT);
    ret->first_position = (int64_t)get_u64_le(from + FRAME_FIRST_POSITION);
    ret->segment_epoch = get_u64_le(from + FRAME_SEGMENT_EPOCH);
    ret->writer_epoch = get_u64_le(from + FRAME_WRITER_EPOCH);
    ret->commit_time_us = (int64_t)get_u64_le(from + FRAME_COMMIT_TIME);
    memcpy(ret->chain_before.bytes, from + FRAME_CHAIN_BEFORE, SHA256_BYTES);
    memcpy(ret->chain_after.bytes, from + FRAME_CHAIN_AFTER, SHA256_BYTES);
    ret->headers_crc = get_u32_le(from + FRAME_HEADERS_CRC);
    *why = foreign_reason(from);
    if (*why != NULL)
        return FRAME_FOREIGN;
    *why = inner_reason(from, ret);
    return *why == NULL ? FRAME_GOOD : FRAME_BAD;
}

bool frame_next_entry(const uint8_t *frame, uint32_t end, uint32_t *at, struct frame_entry *ret)
{
    if (end < *at || end - *at < ENTRY_PREFIX_BYTES)
        return false;
    const uint8_t *prefix = frame + *at;
    const uint64_t header_bytes = get_u32_le(prefix);
    const uint64_t payload_bytes = get_u32_le(prefix + 4);
    if (header_bytes + payload_bytes > end - *at - ENTRY_PREFIX_BYTES)
        return false;
    ret->offset = *at;
    ret->payload_crc = get_u32_le(prefix + 8);
    ret->record.bytes = bytes_of(prefix + ENTRY_PREFIX_BYTES, (size_t)(header_bytes + payload_bytes));
    ret->record.header_bytes = (size_t)header_bytes;
    *at += ENTRY_PREFIX_BYTES + (uint32_t)(header_bytes + payload_bytes);
    return true;
}

bool entry_payload_fits(const struct frame_entry *entry)
{
    return crc32c(0, record_payload(entry->record)) == entry->payload_crc;
}

void segment_name_format(int64_t first_position, char ret[SEGMENT_NAME_BYTES])
{
    snprintf(ret, SEGMENT_NAME_BYTES, "%020lld.seg", (long long)first_position);
}

int64_t segment_name_parse(const char *name)
{
    if (strlen(name) != SEGMENT_NAME_BYTES - 1 || strcmp(name + 20, ".seg") != 0)
        return -1;
    int64_t position = 0;
    for (size_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || position > (INT64_MAX - 9) / 10)
            return -1;
        position = position * 10 + (name[i] - '0');
    }
    return position >= 1 ? position : -1;
}
