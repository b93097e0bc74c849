/*
 * The stored bytes of one event: the wire message strata.v1.Event (proto/strata/v1/event.proto), fields in
 * number order, so that the header (1–29) is an exact prefix and the payload (30–39) the rest.
 *
 * Records are encoded once, when decide() accepts them, and never unpacked and packed again: unknown header
 * fields and the digests over the bytes survive everything.
 *
 * Ownership  Everything here borrows; encoding appends to a buffer of the caller's.
 * Threads    Any (digests use a context per thread).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"

#define RECORD_TAGS_MAX   16U
#define RECORD_SALT_BYTES 16U

#define TYPE_AGGREGATE_CREATED "$aggregate_created"
#define TYPE_STATE_REPLACED    "$state_replaced"
#define TYPE_METADATA_CHANGED  "$metadata_changed"
#define TYPE_ACTIVATED         "$activated"
#define TYPE_DEACTIVATED       "$deactivated"

/* One stored event as bytes. `bytes` = header ‖ payload. */
struct record {
    struct bytes bytes;
    size_t header_bytes;
};

static inline struct bytes record_header(struct record record)
{
    return bytes_of(record.bytes.data, record.header_bytes);
}
static inline struct bytes record_payload(struct record record)
{
    return bytes_of(record.bytes.data + record.header_bytes, record.bytes.size_bytes - record.header_bytes);
}

/* The fields of an event, for encoding and as a view into a record. Empty = absent (proto3). */
struct event_fields {
    struct bytes id;
    struct bytes type;
    struct bytes aggregate_id;
    struct bytes aggregate_type;
    int32_t version;
    int64_t position;
    int64_t timestamp_us;
    struct bytes correlation_id;
    struct bytes causation_id;
    struct bytes content_type;
    int32_t schema_version;
    struct bytes tags[RECORD_TAGS_MAX];
    size_t tag_count;
    struct bytes subject;
    bool has_occurred_at;
    int64_t occurred_at_us;
    struct bytes traceparent;
    struct bytes append_id;
    int32_t append_index;
    int32_t append_count;
    struct bytes actor;
    struct bytes payload_digest; /* SHA256_BYTES, or empty to have record_encode compute it */
    struct bytes data;
    struct bytes metadata;
    struct bytes salt; /* RECORD_SALT_BYTES */
};

/*
 * Writes header and payload at `to`, which has room for record_encoded_bound(fields), and lets all texts of `fields`
 * point there: afterwards they are what record_decode would give. A missing payload_digest is computed from salt, data
 * and metadata.
 */
struct record record_write(struct event_fields *fields, uint8_t *to);

/* Appends header and payload to `to`; *ret_header_bytes is the header's share. A missing payload_digest is
 * computed from salt, data and metadata. Failure of the buffer stays in it (buffer_status). */
void record_encode(const struct event_fields *fields, struct buffer *to, size_t *ret_header_bytes);

/* At most so many bytes are written, and asked of a buffer: one with that much room won't move. */
size_t record_encoded_bound(const struct event_fields *fields);

/* Where the header ends: before the first tag ≥ 30. DATA_LOSS/DAMAGED when the bytes are not well formed, or a
 * header field stands behind the payload. */
STATUS_MUST_CHECK struct status record_split(struct bytes bytes, struct record *ret);

/* A view of header and payload, borrowed from the record. DATA_LOSS/DAMAGED when it is not an Event. */
STATUS_MUST_CHECK struct status record_decode(struct record record, struct event_fields *ret);

/* Only the header (data, metadata and salt stay empty). */
STATUS_MUST_CHECK struct status record_decode_header(struct record record, struct event_fields *ret);

/* SHA-256(salt16 ‖ len(data) as u32 LE ‖ data ‖ metadata) */
struct sha256 record_payload_digest(struct bytes salt, struct bytes data, struct bytes metadata);

/* SHA-256(0x00 ‖ header bytes) */
struct sha256 record_leaf(struct record record);

/* SHA-256(0x02 ‖ previous ‖ first_position as u64 LE ‖ leaf …), one step an append; starts from 32 zero bytes. */
struct sha256 chain_next(const struct sha256 *previous, int64_t first_position, const struct sha256 *leaves,
                         size_t leaf_count);

/* Recomputes the payload digest and compares it with the header's. DATA_LOSS/DAMAGED naming the position. */
STATUS_MUST_CHECK struct status record_check_digest(struct record record);
