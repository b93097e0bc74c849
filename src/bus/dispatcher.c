/*
 * The durable handler `bus`: sees how far the durable subscribers have come, and remembers it at most once a second in
 * the event store's state under "bus/checkpoint":
 *
 *     u32 LE version 1 · u32 LE count · count × (i64 LE position, i64 LE time in µs)
 *
 * The entries are the journal from which processed_at is answered; the last one is the checkpoint. A crash
 * leaves an older checkpoint: the events after it are not processed yet.
 */
#include "bus/bus_internal.h"

#include <string.h>

#include "base/crypto.h"
#include "base/log.h"

#define STATE_KEY     BYTES_LITERAL("bus/checkpoint")
#define STATE_VERSION 1U
#define HEAD_BYTES    8U
#define ENTRY_BYTES   16U

/* Entries older than this are thinned to one a minute. */
#define JOURNAL_FINE_US   INT64_C(60000000)
#define JOURNAL_COARSE_US INT64_C(60000000)

/* What is stored, by this process or by another one on the same store; count 0 = nothing yet. */
static struct status read_journal(struct bus *bus, struct journal_entry ret[JOURNAL_ENTRIES_MAX],
                                  size_t *ret_count)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the bus");
    *ret_count = 0;
    struct bytes stored = BYTES_NONE;
    struct status status = bus->store->ops->state_get(bus->store, STATE_KEY, arena, &stored);
    if (status.code == STATUS_NOT_FOUND)
        return status_ok();
    STATUS_TRY(status);
    const uint32_t count = stored.size_bytes < HEAD_BYTES ? 0 : get_u32_le(stored.data + 4);
    if (stored.size_bytes < HEAD_BYTES || get_u32_le(stored.data) != STATE_VERSION ||
        count > JOURNAL_ENTRIES_MAX || stored.size_bytes != HEAD_BYTES + count * ENTRY_BYTES)
        return status_reason(
            REASON_DAMAGED,
            "the bus's checkpoint in the store's state has %zu bytes and is not one of this version; "
            "run strata verify",
            stored.size_bytes);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = stored.data + HEAD_BYTES + (size_t)i * ENTRY_BYTES;
        ret[i] = (struct journal_entry){(int64_t)get_u64_le(at), (int64_t)get_u64_le(at + 8)};
    }
    *ret_count = count;
    return status_ok();
}

static void take_journal(struct bus *bus, const struct journal_entry *journal, size_t count)
{
    pthread_mutex_lock(&bus->lock);
    memcpy(bus->dispatcher.journal, journal, count * sizeof *journal);
    bus->dispatcher.journal_count = count;
    pthread_mutex_unlock(&bus->lock);
}

struct status dispatcher_load(struct bus *bus)
{
    struct dispatcher *dispatcher = &bus->dispatcher;
    struct journal_entry journal[JOURNAL_ENTRIES_MAX];
    size_t count = 0;
    STATUS_TRY(read_journal(bus, journal, &count));
    take_journal(bus, journal, count);
    const int64_t position = count > 0 ? journal[count - 1].position : 0;
    const int64_t head = atomic_load(&bus->head);
    /* A store that was restored to an earlier time has fewer events than were processed once. */
    dispatcher->reached = position < head ? position : head;
    atomic_store(&dispatcher->checkpoint, dispatcher->reached);
    return status_ok();
}

/* --- saving --- */

static void note_outcome(struct bus *bus, struct status status)
{
    pthread_mutex_lock(&bus->lock);
    const bool first = status_is_ok(&bus->dispatcher.failure) && !status_is_ok(&status);
    bus->dispatcher.failure = status;
    pthread_mutex_unlock(&bus->lock);
    if (first)
        log_warn(bus->log, "the bus could not move its checkpoint, retrying",
                 LOG_TEXT("reason", status.message));
}

/* --- the journal --- */

/* Makes room: first by thinning what is old to one entry a minute, then by dropping every second entry of the
 * older half. The last entry always stays. */
static void journal_thin(struct dispatcher *dispatcher, int64_t now_us)
{
    struct journal_entry *journal = dispatcher->journal;
    size_t kept = 0;
    for (size_t i = 0; i < dispatcher->journal_count; i++) {
        const bool old = journal[i].time_us < now_us - JOURNAL_FINE_US;
        const bool same_minute =
            kept > 0 && i + 1 < dispatcher->journal_count &&
            journal[i + 1].time_us / JOURNAL_COARSE_US == journal[i].time_us / JOURNAL_COARSE_US;
        if (!old || !same_minute)
            journal[kept++] = journal[i];
    }
    if (kept == JOURNAL_ENTRIES_MAX) {
        kept = 0;
        for (size_t i = 0; i < JOURNAL_ENTRIES_MAX; i++)
            if (i >= JOURNAL_ENTRIES_MAX / 2 || i % 2 == 1)
                journal[kept++] = journal[i];
    }
    dispatcher->journal_count = kept;
}

static void journal_add(struct bus *bus, int64_t position)
{
    struct dispatcher *dispatcher = &bus->dispatcher;
    int64_t now_us = clock_now_us(bus->clock);
    pthread_mutex_lock(&bus->lock);
    if (dispatcher->journal_count == JOURNAL_ENTRIES_MAX)
        journal_thin(dispatcher, now_us);
    if (dispatcher->journal_count > 0 && dispatcher->journal[dispatcher->journal_count - 1].time_us > now_us)
        now_us = dispatcher->journal[dispatcher->journal_count - 1]
                     .time_us; /* times rise, whatever the clock does */
    dispatcher->journal[dispatcher->journal_count++] = (struct journal_entry){position, now_us};
    pthread_mutex_unlock(&bus->lock);
}

/* A journal as it is stored. */
struct journal_bytes {
    uint8_t bytes[HEAD_BYTES + JOURNAL_ENTRIES_MAX * ENTRY_BYTES];
    size_t size_bytes; /* 0 = none is stored */
};

static void write_journal(const struct journal_entry *journal, size_t count, struct journal_bytes *ret)
{
    put_u32_le(ret->bytes, STATE_VERSION);
    put_u32_le(ret->bytes + 4, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_u64_le(ret->bytes + HEAD_BYTES + i * ENTRY_BYTES, (uint64_t)journal[i].position);
        put_u64_le(ret->bytes + HEAD_BYTES + i * ENTRY_BYTES + 8, (uint64_t)journal[i].time_us);
    }
    ret->size_bytes = HEAD_BYTES + count * ENTRY_BYTES;
}

/* Another process may have written further: then its journal is ours. False = there is nothing to write, or now no way. */
static bool catch_up(struct bus *bus, int64_t position, struct journal_bytes *ret_stored)
{
    struct dispatcher *dispatcher = &bus->dispatcher;
    struct journal_entry journal[JOURNAL_ENTRIES_MAX];
    size_t count = 0;
    const struct status status = read_journal(bus, journal, &count);
    if (!status_is_ok(&status)) {
        note_outcome(bus, status);
        return false;
    }
    if (count > 0)
        write_journal(journal, count, ret_stored);
    const int64_t stored = count > 0 ? journal[count - 1].position : 0;
    if (stored <= atomic_load(&dispatcher->checkpoint))
        return true;
    take_journal(bus, journal, count);
    atomic_store(&dispatcher->checkpoint, stored);
    if (stored > dispatcher->reached)
        dispatcher->reached = stored;
    return stored < position;
}

/* Only over what was looked at: a process that looked before and put later would set the checkpoint back. */
static struct status put_journal(struct bus *bus, const struct journal_bytes *stored, bool *ret_put)
{
    struct event_store *store = bus->store;
    struct journal_bytes own; /* only this thread changes the journal */
    write_journal(bus->dispatcher.journal, bus->dispatcher.journal_count, &own);
    const struct bytes value = bytes_of(own.bytes, own.size_bytes);
    const struct bytes expected = bytes_of(stored->bytes, stored->size_bytes);
    if (!store->pipelined)
        return store->ops->state_swap(store, STATE_KEY, stored->size_bytes == 0 ? NULL : &expected, value,
                                      ret_put);
    *ret_put = true;
    return store->ops->state_put(store, STATE_KEY, value);
}

void dispatcher_save(struct bus *bus)
{
    struct dispatcher *dispatcher = &bus->dispatcher;
    const int64_t position = dispatcher->reached;
    struct journal_bytes stored = {.size_bytes = 0};
    bool put = false;
    dispatcher->saved_at_us = clock_monotonic_us(bus->clock);
    if (!bus->loaded || position <= atomic_load(&dispatcher->checkpoint))
        return;
    if (!bus->store->pipelined && !catch_up(bus, position, &stored))
        return;
    journal_add(bus, position);
    const struct status status = put_journal(bus, &stored, &put);
    note_outcome(bus, status);
    if (status_is_ok(&status) && put) {
        atomic_store(&dispatcher->checkpoint, position);
        return;
    }
    /* The entry says when the checkpoint passed; it has not. */
    pthread_mutex_lock(&bus->lock);
    dispatcher->journal_count--;
    pthread_mutex_unlock(&bus->lock);
}

int64_t dispatcher_run(struct bus *bus)
{
    struct dispatcher *dispatcher = &bus->dispatcher;
    const int64_t now_us = clock_monotonic_us(bus->clock);
    if (!bus->loaded)
        return INT64_MAX; /* what is stored is not known yet and must not be written over */
    const int64_t reached = subscribers_durable_position(bus, bus->pass_head);
    if (reached > dispatcher->reached)
        dispatcher->reached = reached;
    const int64_t due_us = dispatcher->saved_at_us + BUS_CHECKPOINT_INTERVAL_US;
    if (dispatcher->reached > atomic_load(&dispatcher->checkpoint) && now_us >= due_us)
        dispatcher_save(bus);
    if (dispatcher->reached > atomic_load(&dispatcher->checkpoint))
        return dispatcher->saved_at_us + BUS_CHECKPOINT_INTERVAL_US;
    return INT64_MAX;
}

/* --- what others ask --- */

int64_t bus_checkpoint(const struct bus *bus)
{
    return atomic_load_explicit(&bus->dispatcher.checkpoint, memory_order_acquire);
}

int64_t bus_processed_at_us(struct bus *bus, int64_t position)
{
    const struct dispatcher *dispatcher = &bus->dispatcher;
    if (position > bus_checkpoint(bus))
        return 0;
    int64_t time_us = 0;
    pthread_mutex_lock(&bus->lock);
    size_t low = 0;
    for (size_t high = dispatcher->journal_count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (dispatcher->journal[middle].position < position)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < dispatcher->journal_count)
        time_us = dispatcher->journal[low].time_us;
    pthread_mutex_unlock(&bus->lock);
    return time_us;
}

struct status bus_health(struct bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    const struct status failure = bus->dispatcher.failure;
    pthread_mutex_unlock(&bus->lock);
    return status_is_ok(&failure) ? subscribers_health(bus) : failure;
}
