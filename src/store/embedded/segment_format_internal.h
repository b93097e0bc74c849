/*
 * The bytes of a segment file. docs/storage-format.md says the same for other programs; keep both equal.
 *
 *   segment  4 KiB header, frames end to end, zeros to the end of the file
 *   frame    128-byte header, entries, zeros up to a multiple of FRAME_ALIGN_BYTES
 *   entry    header length u32, payload length u32, CRC-32C of the payload u32, header bytes, payload bytes
 *
 * All numbers are little-endian. Every byte of a segment is covered by a checksum or must be zero, so that no
 * flipped bit passes: the header CRCs cover both headers, "CRC of headers" both lengths, the payload CRC and
 * the header bytes of all entries in order, the payload CRC the payload. A payload alone can be destroyed in
 * place.
 *
 * A crash can leave behind any part of the one frame whose sync had not returned, and nothing else: the next
 * frame is written only afterwards. What follows the last good frame is then no valid frame of the same
 * segment epoch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"
#include "record/record.h"

#define STORE_UUID_BYTES     16U
#define FORMAT_MAJOR         1U
#define FORMAT_MINOR         0U
#define SEGMENT_HEADER_BYTES 4096U
#define FRAME_HEADER_BYTES   128U
#define FRAME_ALIGN_BYTES    8U
#define ENTRY_PREFIX_BYTES   12U
/* A batch holds 4 MiB, or one append of 8 MiB, plus salts, prefixes and whatever a field costs: never near
 * this. */
#define FRAME_BYTES_MAX (64U * 1024U * 1024U)

enum frame_kind {
    FRAME_EVENTS = 1,
    FRAME_SEAL = 2,      /* empty; says that what precedes it was synced */
    FRAME_AUDIT = 3,     /* reserved: format 1.0 refuses it by name */
    FRAME_TREE_HEAD = 4, /* reserved */
};

enum frame_flags { /* reserved: format 1.0 refuses both by name */
                   FRAME_COMPRESSED = 1 << 0,
                   FRAME_SEALED = 1 << 1,
};

struct segment_header {
    uint8_t store_uuid[STORE_UUID_BYTES];
    int64_t first_position;
    uint64_t epoch; /* random at each use of the space, never 0: tells frames from those of an earlier use */
    int64_t created_at_us;
    struct sha256 chain;  /* of everything before first_position */
    int64_t timestamp_us; /* of the event before first_position; 0 = none */
};

struct frame_header {
    enum frame_kind kind;
    uint32_t entries_bytes;
    uint32_t count;
    int64_t first_position; /* a seal: of the event that comes next */
    uint64_t segment_epoch;
    uint64_t writer_epoch;
    int64_t commit_time_us; /* timestamp of the last event; a seal: of the event before it */
    struct sha256 chain_before;
    struct sha256 chain_after;
    uint32_t headers_crc;
};

/* One entry inside a frame; borrowed from the frame's bytes. */
struct frame_entry {
    struct record record; /* header and payload lie side by side */
    uint32_t payload_crc; /* as stored; entry_check_payload compares */
    uint32_t offset;      /* of the entry's prefix, from the frame's first byte */
};

static inline uint64_t frame_padded_bytes(uint64_t entries_bytes)
{
    const uint64_t size = FRAME_HEADER_BYTES + entries_bytes;
    return (size + FRAME_ALIGN_BYTES - 1) / FRAME_ALIGN_BYTES * FRAME_ALIGN_BYTES;
}

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_BYTES]);

/*
 * DATA_LOSS/DAMAGED     no segment header, or a byte of it is wrong
 * FAILED_PRECONDITION   another major version
 */
STATUS_MUST_CHECK struct status segment_header_decode(const uint8_t from[SEGMENT_HEADER_BYTES],
                                                      struct segment_header *ret);

/* Appends prefix, header and payload of one record and continues `headers_crc`; returns the entry's own. */
uint32_t entry_encode(struct record record, struct buffer *to, uint32_t *headers_crc);

/* CRC-32C of an entry's prefix and header bytes: what a reader of a single entry compares with memory. */
uint32_t entry_header_crc(uint32_t former, const uint8_t prefix[ENTRY_PREFIX_BYTES],
                          struct bytes header_bytes);

void frame_header_encode(const struct frame_header *header, uint8_t to[FRAME_HEADER_BYTES]);

enum frame_verdict {
    FRAME_GOOD,
    FRAME_ZERO,    /* nothing was written here */
    FRAME_BAD,     /* not a frame header, or a byte of it is wrong */
    FRAME_FOREIGN, /* valid, but of a kind or with flags that this version does not know */
};

/* `why` gets the reason for BAD and FOREIGN: a phrase that completes "the frame at offset N …". */
enum frame_verdict frame_header_decode(const uint8_t from[FRAME_HEADER_BYTES], struct frame_header *ret,
                                       const char **why);

/*
 * The next entry of a frame; `at` counts from the frame's first byte and moves on. False when lengths do not
 * fit into `end` (the frame's size without padding). Payloads are not compared here.
 */
bool frame_next_entry(const uint8_t *frame, uint32_t end, uint32_t *at, struct frame_entry *ret);

bool entry_payload_fits(const struct frame_entry *entry);

/* "<20-digit first position>.seg" and back; -1 when the name is not of that form. */
#define SEGMENT_NAME_BYTES 25U
void segment_name_format(int64_t first_position, char ret[SEGMENT_NAME_BYTES]);
int64_t segment_name_parse(const char *name);

bool bytes_are_zero(const uint8_t *data, size_t size_bytes);
