#include "bus/ring_internal.h"

#include <stdlib.h>
#include <string.h>

/* One read of the store fills at most this much, so that a turn stays short. */
#define FILL_EVENTS 512

static struct ring_entry *entry_at(struct ring *ring, int64_t position)
{
    return &ring->entries[(uint64_t)position % RING_EVENTS];
}

static void drop_first(struct ring *ring)
{
    struct ring_entry *entry = entry_at(ring, ring->first);
    ring->size_bytes -= entry->record.bytes.size_bytes;
    free(entry->bytes);
    *entry = (struct ring_entry){0};
    if (ring->first == ring->last)
        ring->first = ring->last = 0;
    else
        ring->first++;
}

static void ring_clear(struct ring *ring)
{
    while (ring->first != 0)
        drop_first(ring);
}

void ring_done(struct ring *ring)
{
    ring_clear(ring);
    free(ring->entries);
    ring->entries = NULL;
}

struct fill {
    struct ring *ring;
    int64_t expected;
    int left;
    struct status status;
};

static bool fill_take(void *context, int64_t position, struct record record)
{
    struct fill *fill = context;
    struct ring *ring = fill->ring;
    if (position != fill->expected || fill->left == 0)
        return false;
    uint8_t *copy = malloc(record.bytes.size_bytes);
    if (copy == NULL) {
        fill->status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an event of %zu bytes on the bus",
                         record.bytes.size_bytes);
        return false;
    }
    memcpy(copy, record.bytes.data, record.bytes.size_bytes);
    struct ring_entry entry = {
        .bytes = copy,
        .record = {bytes_of(copy, record.bytes.size_bytes), record.header_bytes},
    };
    fill->status = record_decode_header(entry.record, &entry.header);
    if (!status_is_ok(&fill->status)) {
        free(copy);
        return false;
    }
    while (ring->first != 0 && (ring->last - ring->first + 1 >= RING_EVENTS ||
                                ring->size_bytes + record.bytes.size_bytes > RING_BYTES_MAX))
        drop_first(ring);
    *entry_at(ring, position) = entry;
    ring->size_bytes += record.bytes.size_bytes;
    ring->last = position;
    if (ring->first == 0)
        ring->first = position;
    fill->expected++;
    fill->left--;
    return true;
}

static struct status ring_fill(struct ring *ring, struct event_store *store, int64_t after, int64_t head)
{
    if (ring->entries == NULL) {
        ring->entries = calloc(RING_EVENTS, sizeof *ring->entries);
        if (ring->entries == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the bus's ring of %u events",
                                RING_EVENTS);
    }
    const struct read_query query = {
        .by = READ_BY_POSITION,
        .after_position = after,
        .to_position = head < after + FILL_EVENTS ? head : after + FILL_EVENTS,
        .to_version = INT32_MAX,
    };
    struct fill fill = {ring, after + 1, FILL_EVENTS, status_ok()};
    STATUS_TRY(store->ops->read(store, &query, fill_take, &fill));
    return fill.status;
}

struct status ring_get(struct ring *ring, struct event_store *store, int64_t position, int64_t head,
                       const struct ring_entry **ret)
{
    *ret = NULL;
    if (ring->first != 0 && position < ring->first)
        return status_ok();
    if (ring->first == 0 || position > ring->last) {
        /* A jump would leave a gap; what the ring held is then too old for anyone near the head. */
        if (ring->first != 0 && position != ring->last + 1)
            ring_clear(ring);
        STATUS_TRY(ring_fill(ring, store, position - 1, head));
    }
    if (ring->first != 0 && position >= ring->first && position <= ring->last)
        *ret = entry_at(ring, position);
    return status_ok();
}
