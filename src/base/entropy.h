/*
 * Randomness, handed in so that a test can repeat it; and the UUIDs made from it (RFC 9562).
 *
 * Threads   Any.
 * Blocking  Never after the system's generator is seeded.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct entropy;
struct entropy_ops {
    void (*fill)(const struct entropy *entropy, void *memory, size_t size_bytes);
};
struct entropy {
    const struct entropy_ops *ops;
};

extern const struct entropy system_entropy; /* getrandom(2), a pool for each thread */

static inline void entropy_fill(const struct entropy *entropy, void *memory, size_t size_bytes)
{
    entropy->ops->fill(entropy, memory, size_bytes);
}

#define UUID_TEXT_BYTES 37U /* 36 characters and a NUL */

/* Version 7 from a wall-clock time and randomness; ordered by microsecond (RFC 9562 6.2, method 3), then random. */
void uuid_v7(int64_t now_us, const struct entropy *entropy, char ret_text[UUID_TEXT_BYTES]);

/* Version 5 in the OID namespace (6ba7b812-9dad-11d1-80b4-00c04fd430c8) of `name`. */
void uuid_v5_oid(struct bytes name, char ret_text[UUID_TEXT_BYTES]);
