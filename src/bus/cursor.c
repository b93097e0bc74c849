#include "bus/bus_internal.h"

#include <stdlib.h>

#include "bus/read_plan.h"

/* Bounds of one call of cursor_next, so that all cursors get their turn. */
#define LOOKED_AT_MAX 2048
#define TAKEN_MAX     1024

/* --- copying the query --- */

static bool copy_list(struct arena *arena, const struct bytes_list *from, struct bytes_list *ret)
{
    struct bytes *items = arena_array(arena, from->count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < from->count; i++) {
        items[i] = arena_bytes(arena, from->items[i]);
        if (items[i].data == NULL && from->items[i].size_bytes > 0)
            return false;
    }
    *ret = (struct bytes_list){items, from->count};
    return true;
}

static bool copy_item(struct arena *arena, const struct query_item *from, struct query_item *ret)
{
    ret->correlation_id = arena_bytes(arena, from->correlation_id);
    return (ret->correlation_id.data != NULL || from->correlation_id.size_bytes == 0) &&
           copy_list(arena, &from->types, &ret->types) && copy_list(arena, &from->tags, &ret->tags) &&
           copy_list(arena, &from->aggregate_types, &ret->aggregate_types) &&
           copy_list(arena, &from->aggregate_ids, &ret->aggregate_ids) &&
           copy_list(arena, &from->aggregate_id_prefixes, &ret->aggregate_id_prefixes);
}

static bool copy_query(struct arena *arena, const struct event_query *from, struct event_query *ret)
{
    struct query_item *items = arena_array(arena, from->count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < from->count; i++)
        if (!copy_item(arena, &from->items[i], &items[i]))
            return false;
    *ret = (struct event_query){items, from->count};
    return true;
}

/* --- life --- */

void cursor_free(struct cursor *cursor)
{
    if (cursor == NULL)
        return;
    arena_free(cursor->arena);
    free(cursor);
}

struct status cursor_new(struct bus *bus, const struct cursor_options *options, struct cursor **ret)
{
    struct cursor *cursor = calloc(1, sizeof *cursor);
    struct arena *arena = arena_new_small(0);
    if (cursor == NULL || arena == NULL || !copy_query(arena, options->query, &cursor->query)) {
        arena_free(arena);
        free(cursor);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription; close some");
    }
    cursor->bus = bus;
    cursor->arena = arena;
    cursor->turn = options->turn;
    cursor->context = options->context;
    cursor->position = options->after_position;
    cursor->plan.to_version = INT32_MAX;
    read_plan_query(&cursor->query, &cursor->plan);
    atomic_init(&cursor->poked, true);
    *ret = cursor;
    return status_ok();
}

void cursor_start(struct cursor *cursor)
{
    struct bus *bus = cursor->bus;
    atomic_fetch_add(&bus->cursor_count, cursor->in_process ? 0 : 1);
    atomic_fetch_add(&bus->interests, 1);
    pthread_mutex_lock(&bus->lock);
    cursor->next = bus->newcomers;
    bus->newcomers = cursor;
    pthread_mutex_unlock(&bus->lock);
    bus_wake(bus);
}

void cursor_poke(struct cursor *cursor)
{
    if (!atomic_exchange(&cursor->poked, true))
        bus_wake(cursor->bus);
}

const struct event_query *cursor_query(const struct cursor *cursor)
{
    return &cursor->query;
}

void cursor_wake_at(struct cursor *cursor, int64_t monotonic_us)
{
    cursor->wake_at_us = monotonic_us;
}

int64_t cursor_position(const struct cursor *cursor)
{
    return cursor->position;
}

void cursor_move(struct cursor *cursor, int64_t after_position)
{
    cursor->position = after_position;
    cursor->time_us = 0;
    cursor->missing = false;
}

int64_t cursor_head(const struct cursor *cursor)
{
    return cursor->bus->pass_head;
}

int64_t cursor_time_us(const struct cursor *cursor)
{
    return cursor->position == cursor->bus->pass_head ? cursor->bus->pass_head_time_us : cursor->time_us;
}

bool cursor_waits_for_missing(const struct cursor *cursor)
{
    return cursor->missing;
}

bool cursor_behind(const struct cursor *cursor)
{
    return cursor->bus->pass_head - cursor->position > (int64_t)RING_EVENTS;
}

/* --- reading --- */

struct pass {
    struct cursor *cursor;
    cursor_sink sink;
    void *context;
    int64_t expected; /* by position: what must come next; 0 = any */
    int looked_at;
    int taken;
    bool full;    /* the sink had no room */
    bool missing; /* `expected` did not come */
    struct status status;
};

/* Offers one event; false when this call is over. The position moves only over what was taken or did not match. */
static bool offer(struct pass *pass, int64_t position, struct record record,
                  const struct event_fields *header)
{
    struct cursor *cursor = pass->cursor;
    if (query_matches(&cursor->query, header) &&
        (cursor->filter == NULL || filter_matches(cursor->filter, header))) {
        if (!pass->sink(pass->context, position, record)) {
            pass->full = true;
            return false;
        }
        pass->taken++;
    }
    cursor->position = position;
    cursor->time_us = header->timestamp_us;
    pass->looked_at++;
    return pass->looked_at < LOOKED_AT_MAX && pass->taken < TAKEN_MAX;
}

static struct status next_from_ring(struct pass *pass)
{
    struct cursor *cursor = pass->cursor;
    struct bus *bus = cursor->bus;
    while (cursor->position < bus->pass_head) {
        const struct ring_entry *entry = NULL;
        STATUS_TRY(ring_get(&bus->ring, bus->store, cursor->position + 1, bus->pass_head, &entry));
        if (entry == NULL) {
            /* Older than the ring only when many large events came at once: the store then serves it. */
            pass->missing = bus->ring.first == 0 || cursor->position + 1 > bus->ring.last;
            pass->full = !pass->missing;
            return status_ok();
        }
        if (!offer(pass, cursor->position + 1, entry->record, &entry->header)) {
            pass->full = true;
            return status_ok();
        }
    }
    return status_ok();
}

static bool take_stored(void *context, int64_t position, struct record record)
{
    struct pass *pass = context;
    if (pass->expected != 0 && position != pass->expected) {
        pass->missing = true;
        return false;
    }
    struct event_fields header;
    pass->status = record_decode_header(record, &header);
    if (!status_is_ok(&pass->status))
        return false;
    if (pass->expected != 0)
        pass->expected++;
    if (offer(pass, position, record, &header))
        return true;
    pass->full = true;
    return false;
}

static struct status next_from_store(struct pass *pass)
{
    struct cursor *cursor = pass->cursor;
    struct bus *bus = cursor->bus;
    struct read_query query = cursor->plan;
    query.after_position = cursor->position;
    query.to_position = bus->pass_head;
    pass->expected = query.by == READ_BY_POSITION ? cursor->position + 1 : 0;
    STATUS_TRY(bus->store->ops->read(bus->store, &query, take_stored, pass));
    STATUS_TRY(pass->status);
    if (pass->full || pass->missing)
        return status_ok();
    if (query.by == READ_BY_POSITION)
        pass->missing = cursor->position < bus->pass_head;
    else
        cursor->position = bus->pass_head;
    return status_ok();
}

/* A position that is not there yet is waited for, and after a while reported. */
static struct status judge_missing(struct cursor *cursor, bool missing)
{
    const bool was_missing = cursor->missing;
    cursor->missing = missing;
    if (!missing)
        return status_ok();
    const int64_t now_us = clock_monotonic_us(cursor->bus->clock);
    if (!was_missing)
        cursor->missing_since_us = now_us;
    if (now_us - cursor->missing_since_us >= BUS_MISSING_AFTER_US)
        return status_reason(
            REASON_POSITION_MISSING,
            "position %lld is missing although the head is %lld; run strata verify on the store",
            (long long)cursor->position + 1, (long long)cursor->bus->pass_head);
    if (cursor->wake_at_us == 0 || cursor->wake_at_us > now_us + BUS_MISSING_RETRY_US)
        cursor->wake_at_us = now_us + BUS_MISSING_RETRY_US;
    return status_ok();
}

struct status cursor_next(struct cursor *cursor, cursor_sink sink, void *context)
{
    struct bus *bus = cursor->bus;
    if (cursor->position >= bus->pass_head)
        return status_ok();
    struct pass pass = {.cursor = cursor, .sink = sink, .context = context, .status = status_ok()};
    const int64_t wanted = cursor->position + 1;
    const bool in_ring = bus->ring.first != 0 && wanted >= bus->ring.first && wanted <= bus->ring.last;
    const bool near_head = bus->pass_head - cursor->position <= (int64_t)RING_EVENTS / 2;
    if (in_ring || (near_head && (bus->ring.first == 0 || cursor->position >= bus->ring.last)))
        STATUS_TRY(next_from_ring(&pass));
    else
        STATUS_TRY(next_from_store(&pass));
    if (!cursor->in_process) {
        atomic_fetch_add_explicit(&bus->delivered, pass.taken, memory_order_relaxed);
        bus->pass_messages += pass.taken > 0;
    }
    return judge_missing(cursor, pass.missing);
}
