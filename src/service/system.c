/* GetHealth and GetInfo. */
#include <string.h>

#include "service/replies_internal.h"

#define NEAR_LIMIT_PERCENT 80

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static char *text_or_empty(const char *text)
{
    return text == NULL ? (char *)protobuf_c_empty_string : (char *)(uintptr_t)text;
}

/* --- GetHealth --- */

struct health {
    struct service *service;
    struct arena *arena;
    Strata__V1__Health message;
    Strata__V1__Health__Component *components[8];
};

static void component_add(struct health *health, const char *name, bool required, struct status status,
                          bool near_limit, int64_t began_us)
{
    Strata__V1__Health__Component *component = arena_alloc(health->arena, sizeof *component);
    Google__Protobuf__Duration *latency = arena_alloc(health->arena, sizeof *latency);
    char *reason = arena_text(health->arena, bytes_of_text(status.message));
    if (component == NULL || latency == NULL || reason == NULL)
        return; /* what is missing from the list was not well either */
    strata__v1__health__component__init(component);
    google__protobuf__duration__init(latency);
    const int64_t took_us = clock_monotonic_us(health->service->parts.clock) - began_us;
    latency->seconds = took_us / 1000000;
    latency->nanos = (int32_t)(took_us % 1000000) * 1000;
    component->name = text_or_empty(name);
    component->required = required;
    component->latency = latency;
    component->reason = reason;
    component->state = STRATA__V1__HEALTH__STATE__HEALTHY;
    if (!status_is_ok(&status))
        component->state = required && !near_limit ? STRATA__V1__HEALTH__STATE__UNHEALTHY
                                                   : STRATA__V1__HEALTH__STATE__DEGRADED;
    if (component->state > health->message.state)
        health->message.state = component->state;
    health->components[health->message.n_components++] = component;
}

/* OK below 80 % of a limit. */
static struct status near_limit(const char *what, int64_t now, int64_t most)
{
    if (most <= 0 || now < most / 100 * NEAR_LIMIT_PERCENT + most % 100 * NEAR_LIMIT_PERCENT / 100)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "%s is %lld and %lld are there; raise the limit before it is reached", what,
                        (long long)most, (long long)now);
}

static void event_store_health(struct health *health)
{
    struct service *service = health->service;
    struct event_store *store = service->parts.store;
    const int64_t began_us = clock_monotonic_us(service->parts.clock);
    struct store_head head = {0};
    struct status status = store->ops->health(store);
    bool near = status.code == STATUS_RESOURCE_EXHAUSTED;
    if (status_is_ok(&status))
        status = store->ops->head(store, &head);
    if (status_is_ok(&status)) {
        status = near_limit("max_events", head.position, service->options.limits.events_max);
        if (status_is_ok(&status))
            status =
                near_limit("max_aggregates", head.aggregate_count, service->options.limits.aggregates_max);
        near = !status_is_ok(&status);
    }
    component_add(health, "event_store", true, status, near, began_us);
}

static void snapshots_health(struct health *health, const char *name, struct snapshot_store *store,
                             const char *limit, int64_t most)
{
    const int64_t began_us = clock_monotonic_us(health->service->parts.clock);
    struct snapshot_store_stats stats = {0};
    struct status status = store->ops->stats(store, &stats);
    if (status_is_ok(&status) && limit != NULL)
        status = near_limit(limit, stats.snapshot_count, most);
    component_add(health, name, false, status, false, began_us);
}

static struct status get_health_run(struct service *service, struct call *call, const void *request,
                                    struct reply *ret)
{
    (void)request;
    struct health *health = arena_zalloc(call_arena(call), sizeof *health);
    if (health == NULL)
        return no_memory();
    health->service = service;
    health->arena = call_arena(call);
    strata__v1__health__init(&health->message);
    health->message.state = STRATA__V1__HEALTH__STATE__HEALTHY;
    health->message.components = health->components;
    health->message.security_mode = text_or_empty(service->options.security_mode);
    event_store_health(health);
    snapshots_health(health, "snapshot_store", service->parts.snapshots, "max_snapshots",
                     service->options.snapshots_max);
    if (service->parts.cache != NULL) /* a full cache is as it should be */
        snapshots_health(health, "cache", service->parts.cache, NULL, 0);
    const int64_t began_us = clock_monotonic_us(service->parts.clock);
    component_add(health, "bus", false, bus_health(service->parts.bus), false, began_us);
    if (service->parts.hints_health != NULL)
        component_add(health, "hints", false, service->parts.hints_health(service->parts.hints_context),
                      false, began_us);
    ret->message = &health->message.base;
    if (health->message.state == STRATA__V1__HEALTH__STATE__UNHEALTHY)
        ret->http_status = 503;
    return status_ok();
}

static void get_health_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_health_run);
}

const struct method_handler get_health_handler = {.start = get_health_start};

/* --- GetInfo --- */

static struct status info_pairs(struct arena *arena, const struct service_options *options,
                                Strata__V1__Info *info)
{
    info->metadata = arena_array(arena, options->metadata_count, sizeof(Strata__V1__Info__MetadataEntry *));
    info->libraries = arena_array(arena, options->library_count, sizeof(Strata__V1__Info__LibrariesEntry *));
    if (info->metadata == NULL || info->libraries == NULL)
        return no_memory();
    for (size_t i = 0; i < options->metadata_count; i++) {
        Strata__V1__Info__MetadataEntry *entry = arena_alloc(arena, sizeof *entry);
        if (entry == NULL)
            return no_memory();
        strata__v1__info__metadata_entry__init(entry);
        entry->key = text_or_empty(options->metadata[i].key);
        entry->value = text_or_empty(options->metadata[i].value);
        info->metadata[info->n_metadata++] = entry;
    }
    for (size_t i = 0; i < options->library_count; i++) {
        Strata__V1__Info__LibrariesEntry *entry = arena_alloc(arena, sizeof *entry);
        if (entry == NULL)
            return no_memory();
        strata__v1__info__libraries_entry__init(entry);
        entry->key = text_or_empty(options->libraries[i].key);
        entry->value = text_or_empty(options->libraries[i].value);
        info->libraries[info->n_libraries++] = entry;
    }
    return status_ok();
}

static struct status info_engines(struct service *service, struct arena *arena, Strata__V1__Info *info)
{
    struct event_store_stats events;
    STATUS_TRY(service->parts.store->ops->stats(service->parts.store, arena, &events));
    info->event_store = text_or_empty(events.engine);
    struct snapshot_store_stats snapshots;
    const struct status status = service->parts.snapshots->ops->stats(service->parts.snapshots, &snapshots);
    info->snapshot_store = text_or_empty(status_is_ok(&status) ? snapshots.engine : "unreachable");
    info->cache = text_or_empty(service->parts.cache == NULL ? "none" : service->options.cache_kind);
    return status_ok();
}

static struct status get_info_run(struct service *service, struct call *call, const void *request,
                                  struct reply *ret)
{
    (void)request;
    struct arena *arena = call_arena(call);
    const struct service_options *options = &service->options;
    Strata__V1__Info *info = arena_alloc(arena, sizeof *info);
    if (info == NULL)
        return no_memory();
    strata__v1__info__init(info);
    info->name = text_or_empty(options->name);
    info->version = text_or_empty(options->version);
    info->description = text_or_empty(options->description);
    info->build_version = text_or_empty(options->build_version);
    info->commit = text_or_empty(options->commit);
    info->store_id = text_or_empty(options->store_id);
    info->started_at = time_to_proto(arena, service->started_at_us);
    info->configuration = (ProtobufCBinaryData){options->configuration.size_bytes,
                                                (uint8_t *)(uintptr_t)options->configuration.data};
    info->event_types = (char **)(uintptr_t)domain_event_types(service->parts.domain, &info->n_event_types);
    info->aggregate_types =
        (char **)(uintptr_t)domain_aggregate_types(service->parts.domain, &info->n_aggregate_types);
    STATUS_TRY(info_pairs(arena, options, info));
    STATUS_TRY(info_engines(service, arena, info));
    ret->message = &info->base;
    return status_ok();
}

static void get_info_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_info_run);
}

const struct method_handler get_info_handler = {.start = get_info_start};
