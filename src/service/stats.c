/* GetStats: kept counters, or a count of the whole store when asked for an exact one. */
#include <stdlib.h>
#include <string.h>

#include "service/replies_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static char *text_or_empty(const char *text)
{
    return text == NULL ? (char *)protobuf_c_empty_string : (char *)(uintptr_t)text;
}

/* --- an exact count --- */

struct tally {
    struct arena *arena;
    struct type_count *types;
    size_t count;
    size_t capacity;
    struct status status;
};

/* Types are few, and mostly the one that came last: found by looking through them. */
static void tally_add(struct tally *tally, struct bytes type)
{
    for (size_t i = 0; i < tally->count; i++)
        if (bytes_equal(tally->types[i].type, type)) {
            tally->types[i].count++;
            return;
        }
    if (tally->count == tally->capacity) {
        const size_t capacity = tally->capacity == 0 ? 16 : tally->capacity * 2;
        struct type_count *types = arena_array(tally->arena, capacity, sizeof *types);
        if (types == NULL) {
            tally->status = no_memory();
            return;
        }
        if (tally->count > 0)
            memcpy(types, tally->types, tally->count * sizeof *types);
        tally->types = types;
        tally->capacity = capacity;
    }
    tally->types[tally->count] = (struct type_count){arena_bytes(tally->arena, type), 1};
    if (tally->types[tally->count].type.data == NULL)
        tally->status = no_memory();
    else
        tally->count++;
}

struct event_tally {
    struct tally types;
    struct call *call;
    int64_t events;
    int64_t system_events;
};

static bool count_event(void *context, int64_t position, struct record record)
{
    struct event_tally *tally = context;
    struct event_fields header;
    tally->types.status = record_decode_header(record, &header);
    if (!status_is_ok(&tally->types.status))
        return false;
    if (header.type.size_bytes > 0 && header.type.data[0] == '$')
        tally->system_events++;
    else
        tally->events++;
    tally_add(&tally->types, header.type);
    if (position % 1024 == 0 && call_cancelled(tally->call))
        tally->types.status = status_error(STATUS_CANCELLED, "the caller gave up during the count");
    return status_is_ok(&tally->types.status);
}

static bool count_aggregate(void *context, struct bytes id, const struct aggregate_head *head)
{
    (void)id;
    struct tally *tally = context;
    tally_add(tally, head->type);
    return status_is_ok(&tally->status);
}

static struct status count_all(struct service *service, struct call *call, struct event_store_stats *ret)
{
    struct event_store *store = service->parts.store;
    struct event_tally events = {.types = {.arena = call_arena(call), .status = status_ok()}, .call = call};
    struct tally aggregates = {.arena = call_arena(call), .status = status_ok()};
    const struct read_query all = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    STATUS_TRY(store->ops->read(store, &all, count_event, &events));
    STATUS_TRY(events.types.status);
    STATUS_TRY(store->ops->aggregates(store, BYTES_NONE, 0, count_aggregate, &aggregates));
    STATUS_TRY(aggregates.status);
    ret->event_count = events.events;
    ret->system_event_count = events.system_events;
    ret->events_by_type = events.types.types;
    ret->event_type_count = events.types.count;
    ret->aggregates_by_type = aggregates.types;
    ret->aggregate_type_count = aggregates.count;
    return status_ok();
}

/* --- the answer --- */

struct stats {
    Strata__V1__Stats message;
    Strata__V1__StoreStats event_store;
    Strata__V1__StoreStats snapshot_store;
    Strata__V1__BusStats bus;
    Strata__V1__CacheStats cache;
    Strata__V1__StoreStats__CountersEntry counters[4];
    Strata__V1__StoreStats__CountersEntry *counter_list[4];
    struct event_store_stats events;
};

static struct status stats_types(struct arena *arena, struct stats *stats)
{
    const struct event_store_stats *events = &stats->events;
    Strata__V1__Stats *message = &stats->message;
    message->events_by_type =
        arena_array(arena, events->event_type_count, sizeof(Strata__V1__Stats__EventsByTypeEntry *));
    message->aggregates_by_type =
        arena_array(arena, events->aggregate_type_count, sizeof(Strata__V1__Stats__AggregatesByTypeEntry *));
    if (message->events_by_type == NULL || message->aggregates_by_type == NULL)
        return no_memory();
    for (size_t i = 0; i < events->event_type_count; i++) {
        const struct type_count *count = &events->events_by_type[i];
        if (count->type.size_bytes > 0 && count->type.data[0] == '$')
            continue; /* system events are counted apart */
        Strata__V1__Stats__EventsByTypeEntry *entry = arena_alloc(arena, sizeof *entry);
        if (entry == NULL)
            return no_memory();
        strata__v1__stats__events_by_type_entry__init(entry);
        entry->key = arena_text(arena, count->type);
        entry->value = count->count;
        if (entry->key == NULL)
            return no_memory();
        message->events_by_type[message->n_events_by_type++] = entry;
    }
    for (size_t i = 0; i < events->aggregate_type_count; i++) {
        Strata__V1__Stats__AggregatesByTypeEntry *entry = arena_alloc(arena, sizeof *entry);
        if (entry == NULL)
            return no_memory();
        strata__v1__stats__aggregates_by_type_entry__init(entry);
        entry->key = arena_text(arena, events->aggregates_by_type[i].type);
        entry->value = events->aggregates_by_type[i].count;
        if (entry->key == NULL)
            return no_memory();
        message->aggregates_by_type[message->n_aggregates_by_type++] = entry;
    }
    message->event_type_count = (int64_t)message->n_events_by_type;
    return status_ok();
}

static void stats_writer(struct service *service, struct stats *stats)
{
    struct writer_stats writer;
    writer_stats(service->parts.writer, &writer);
    Strata__V1__StoreStats *store = &stats->event_store;
    strata__v1__store_stats__init(store);
    store->engine = text_or_empty(stats->events.engine);
    store->bytes = stats->events.size_bytes;
    store->appends = writer.appends;
    store->conflicts = writer.conflicts;
    store->queue_depth = writer.queue_depth;
    store->appends_per_second = writer.appends_per_second;
    const struct {
        const char *name;
        int64_t value;
    } counters[] = {
        {"batches", writer.batches},
        {"events", writer.events},
        {"refused", writer.refused},
        {"replays", writer.replays},
    };
    store->counters = stats->counter_list;
    for (size_t i = 0; i < ARRAY_COUNT(counters); i++) {
        strata__v1__store_stats__counters_entry__init(&stats->counters[i]);
        stats->counters[i].key = text_or_empty(counters[i].name);
        stats->counters[i].value = counters[i].value;
        stats->counter_list[store->n_counters++] = &stats->counters[i];
    }
    stats->message.event_store = store;
}

static void stats_snapshots(struct service *service, struct stats *stats)
{
    struct snapshot_store_stats snapshots = {0};
    struct status status = service->parts.snapshots->ops->stats(service->parts.snapshots, &snapshots);
    strata__v1__store_stats__init(&stats->snapshot_store);
    stats->snapshot_store.engine = text_or_empty(status_is_ok(&status) ? snapshots.engine : "unreachable");
    stats->snapshot_store.bytes = snapshots.size_bytes;
    stats->message.snapshot_count = snapshots.snapshot_count;
    stats->message.snapshot_store = &stats->snapshot_store;

    strata__v1__cache_stats__init(&stats->cache);
    stats->message.cache = &stats->cache;
    stats->cache.kind = text_or_empty(service->parts.cache == NULL ? "none" : service->options.cache_kind);
    stats->cache.hits = atomic_load(&service->cache_hits);
    stats->cache.misses = atomic_load(&service->cache_misses);
    if (service->parts.cache == NULL)
        return;
    struct snapshot_store_stats cached = {0};
    status = service->parts.cache->ops->stats(service->parts.cache, &cached);
    stats->cache.entries = status_is_ok(&status) ? cached.snapshot_count : 0;
}

static void stats_bus(struct service *service, struct stats *stats)
{
    struct bus_stats bus;
    bus_stats(service->parts.bus, &bus);
    strata__v1__bus_stats__init(&stats->bus);
    stats->bus.subscribers = bus.subscribers;
    stats->bus.handlers = bus.handlers;
    stats->bus.delivered = bus.delivered;
    stats->bus.ended = bus.ended;
    stats->bus.failures = bus.failures;
    stats->bus.handler_lag = bus.lag_max;
    stats->bus.processed_position = bus.checkpoint;
    stats->bus.standby = bus.standby;
    stats->message.bus = &stats->bus;
}

static struct status get_stats_run(struct service *service, struct call *call, const void *request,
                                   struct reply *ret)
{
    struct arena *arena = call_arena(call);
    struct event_store *store = service->parts.store;
    struct stats *stats = arena_zalloc(arena, sizeof *stats);
    if (stats == NULL)
        return no_memory();
    strata__v1__stats__init(&stats->message);
    struct store_head head;
    STATUS_TRY(store->ops->stats(store, arena, &stats->events));
    STATUS_TRY(store->ops->head(store, &head));
    if (((const Strata__V1__GetStatsRequest *)request)->exact)
        STATUS_TRY(count_all(service, call, &stats->events));
    stats->message.event_count = stats->events.event_count;
    stats->message.system_event_count = stats->events.system_event_count;
    stats->message.aggregate_count = head.aggregate_count;
    stats->message.head_position = head.position;
    stats->message.head_timestamp = time_to_proto(arena, head.timestamp_us);
    STATUS_TRY(stats_types(arena, stats));
    stats_writer(service, stats);
    stats_snapshots(service, stats);
    stats_bus(service, stats);
    ret->message = &stats->message.base;
    return status_ok();
}

static void get_stats_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_stats_run);
}

const struct method_handler get_stats_handler = {.start = get_stats_start};
