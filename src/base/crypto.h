/*
 * Digests and checksums. Contexts are kept per thread: fetching SHA-256 anew costs
 * three times the hashing of a short text.
 *
 * Threads  Any; a digest in progress belongs to the thread that began it, one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define SHA256_BYTES 32U

struct sha256 {
    uint8_t bytes[SHA256_BYTES];
};

/* One digest over the concatenation of `parts`. */
struct sha256 sha256_of(const struct bytes *parts, size_t part_count);

/* The same in steps; begin, add …, end, all on one thread without another digest between. */
void sha256_begin(void);
void sha256_add(struct bytes part);
struct sha256 sha256_end(void);

/* CRC-32C (Castagnoli), as iSCSI and ext4 use it; crc32c("123456789") = 0xE3069283. Start from 0 and
 * continue by passing the former result. */
uint32_t crc32c(uint32_t former, struct bytes bytes);

/* Fixed-width little-endian numbers, as on disk and in the digests. */
static inline void put_u32_le(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}
static inline void put_u64_le(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}
static inline uint32_t get_u32_le(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}
static inline uint64_t get_u64_le(const uint8_t *from)
{
    return (uint64_t)get_u32_le(from) | (uint64_t)get_u32_le(from + 4) << 32;
}
