/* Reading single values of the wire format; inline, since the check runs before every unpack. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "schema/schema.h"

/* What protobuf-c accepts: a tag or a length may take 5 bytes, a value 10. */
#define WIRE_TAG_MAX_BYTES    5U
#define WIRE_VARINT_MAX_BYTES 10U
#define WIRE_NUMBER_MAX       536870911U /* 2^29 - 1 */

static inline bool wire_read_varint(struct bytes wire, size_t *at, size_t max_bytes, uint64_t *ret)
{
    const size_t start = *at;
    if (start < wire.size_bytes && wire.data[start] < 0x80) { /* nearly all tags and lengths */
        *ret = wire.data[start];
        *at = start + 1;
        return true;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < max_bytes; i++) {
        if (start + i >= wire.size_bytes)
            return false;
        const uint8_t byte = wire.data[start + i];
        if (i == WIRE_VARINT_MAX_BYTES - 1 && byte > 1)
            return false; /* beyond 64 bits */
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *ret = value;
            *at = start + i + 1;
            return true;
        }
    }
    return false;
}

static inline bool wire_read_fixed(struct bytes wire, size_t *at, size_t size_bytes, uint64_t *ret)
{
    if (wire.size_bytes - *at < size_bytes)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < size_bytes; i++)
        value |= (uint64_t)wire.data[*at + i] << (8 * i);
    *at += size_bytes;
    *ret = value;
    return true;
}

static inline bool wire_read_field(struct bytes wire, size_t *at, struct wire_field *ret)
{
    uint64_t tag = 0;
    if (!wire_read_varint(wire, at, WIRE_TAG_MAX_BYTES, &tag) || tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
        return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->type = (enum wire_type)(tag & 7);
    ret->bytes = BYTES_NONE;
    ret->value = 0;
    switch (ret->type) {
    case WIRE_VARINT:
        return wire_read_varint(wire, at, WIRE_VARINT_MAX_BYTES, &ret->value);
    case WIRE_I64:
        return wire_read_fixed(wire, at, 8, &ret->value);
    case WIRE_I32:
        return wire_read_fixed(wire, at, 4, &ret->value);
    case WIRE_LEN:
        if (!wire_read_varint(wire, at, WIRE_TAG_MAX_BYTES, &ret->value) ||
            ret->value > wire.size_bytes - *at)
            return false;
        ret->bytes = bytes_of(wire.data + *at, (size_t)ret->value);
        *at += (size_t)ret->value;
        return true;
    default:
        return false; /* groups (3, 4) were never part of proto3; 6 and 7 never existed */
    }
}
