/*
 * The most recent records, copied once from the store and shared by all cursors near the
 * head. Positions in it are without a gap.
 *
 * Threads  The bus's thread only.
 */
#pragma once

#include "record/record.h"
#include "store/event_store.h"

#define RING_EVENTS    4096U /* a power of two */
#define RING_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct ring_entry {
    uint8_t *bytes; /* owned */
    struct record record;
    struct event_fields header; /* views into `bytes` */
};

struct ring {
    struct ring_entry *entries; /* RING_EVENTS, at position % RING_EVENTS; NULL before the first use */
    int64_t first;              /* 0 = empty */
    int64_t last;
    size_t size_bytes;
};

void ring_done(struct ring *ring);

/*
 * Makes the ring hold `position` if it exists and is not older than what the ring holds, reading up to `head`.
 * *ret is its entry, or NULL when the store did not deliver it (not there yet, or older than the ring).
 */
STATUS_MUST_CHECK struct status ring_get(struct ring *ring, struct event_store *store, int64_t position,
                                         int64_t head, const struct ring_entry **ret);
