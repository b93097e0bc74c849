#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static void on_commit(void *context, const struct store_head *head)
{
    bus_committed(context, head);
}

void world_open(struct world *world, const struct service_options *options)
{
    world_open_at(world, options, &system_clock);
}

void world_open_at(struct world *world, const struct service_options *options, const struct clock *clock)
{
    struct world_stores stores;
    assert_status_ok(memory_store_open(clock, &stores.store));
    assert_status_ok(memory_snapshots_open(0, &stores.snapshots));
    assert_status_ok(memory_snapshots_open(1000, &stores.cache));
    world_open_over(world, options, clock, &stores);
}

void world_open_over(struct world *world, const struct service_options *options, const struct clock *clock,
                     const struct world_stores *stores)
{
    static const struct domain_options domain = {.validation_enabled = true};
    const struct service_options plain = {.name = "test",
                                          .version = "1",
                                          .security_mode = "development",
                                          .store_id = "main",
                                          .cache_kind = "memory"};
    if (options == NULL)
        options = &plain;
    *world = (struct world){.store = stores->store, .snapshots = stores->snapshots, .cache = stores->cache};
    assert_status_ok(domain_new(&domain, &world->domain));
    assert_status_ok(bus_new(world->store, clock, NULL, &world->bus));
    assert_status_ok(bus_start(world->bus));
    const struct writer_options writing = {
        .limits = options->limits, .on_commit = on_commit, .on_commit_context = world->bus};
    assert_status_ok(writer_start(world->store, &writing, clock, &system_entropy, &world->writer));
    const struct service_parts parts = {
        .store = world->store,
        .writer = world->writer,
        .snapshots = world->snapshots,
        .cache = world->cache,
        .bus = world->bus,
        .domain = world->domain,
        .clock = clock,
        .entropy = &system_entropy,
    };
    assert_status_ok(service_new(&parts, options, &world->service));
    world->table = rpc_table_new();
    assert_non_null(world->table);
    service_register(world->service, world->table);
    assert_status_ok(rpc_table_check(world->table));
}

static void stop_all_but_stores(struct world *world)
{
    service_stop(world->service);
    writer_stop(world->writer);
    service_free(world->service);
    bus_free(world->bus);
    rpc_table_free(world->table);
    domain_free(world->domain);
}

void world_restart(struct world *world, const struct service_options *options, const struct clock *clock)
{
    stop_all_but_stores(world);
    const struct world_stores stores = {world->store, world->snapshots, world->cache};
    world_open_over(world, options, clock, &stores);
}

void world_leave(struct world *world)
{
    stop_all_but_stores(world);
}

void world_close(struct world *world)
{
    stop_all_but_stores(world);
    snapshot_store_close(world->cache);
    snapshot_store_close(world->snapshots);
    event_store_close(world->store);
}

ProtobufCBinaryData json(const char *text)
{
    return (ProtobufCBinaryData){text == NULL ? 0 : strlen(text), (uint8_t *)(uintptr_t)text};
}

void assert_json_at(ProtobufCBinaryData blob, const char *text, const char *file, int line)
{
    if (blob.len != strlen(text) || memcmp(blob.data, text, blob.len) != 0)
        fail_msg("%s:%d: wanted %s, got %.*s", file, line, text, (int)blob.len, (const char *)blob.data);
}

void *call_method_of(struct world *world, enum schema_method_id method, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *reply, struct status *ret_status)
{
    struct test_reply got = test_call(world->table, method, request);
    void *message = test_reply_message(&got, reply);
    if (ret_status != NULL)
        *ret_status = got.status;
    else
        assert_status_ok(got.status);
    test_reply_done(&got);
    return message;
}

Strata__V1__PublishEventRequest publish_request(const char *type, const char *aggregate_id,
                                                const char *aggregate_type, const char *data)
{
    Strata__V1__PublishEventRequest request = STRATA__V1__PUBLISH_EVENT_REQUEST__INIT;
    request.type = T(type);
    request.aggregate_id = T(aggregate_id);
    request.aggregate_type = T(aggregate_type);
    request.data = json(data);
    return request;
}

Strata__V1__PublishEventResponse *publish(struct world *world, const Strata__V1__PublishEventRequest *request,
                                          struct status *ret_status)
{
    return call_method_of(world, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request->base,
                          &strata__v1__publish_event_response__descriptor, ret_status);
}

int32_t publish_custom(struct world *world, const char *aggregate_id, const char *data)
{
    const Strata__V1__PublishEventRequest request = publish_request("custom", aggregate_id, "custom", data);
    Strata__V1__PublishEventResponse *response = publish(world, &request, NULL);
    const int32_t version = response->event->version;
    test_message_free(response);
    return version;
}

void create(struct world *world, const char *id, const char *type, const char *state)
{
    Strata__V1__CreateAggregateRequest request = STRATA__V1__CREATE_AGGREGATE_REQUEST__INIT;
    request.id = T(id);
    request.type = T(type);
    request.initial_state = json(state);
    test_message_free(call_method_of(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, &request.base,
                                     &strata__v1__aggregate__descriptor, NULL));
}

Strata__V1__Aggregate *get_aggregate(struct world *world, const Strata__V1__GetAggregateRequest *request,
                                     struct status *ret_status, int *ret_http)
{
    struct test_reply got = test_call(world->table, METHOD_AGGREGATE_SERVICE_GET_AGGREGATE, &request->base);
    void *message = test_reply_message(&got, &strata__v1__aggregate__descriptor);
    if (ret_status != NULL)
        *ret_status = got.status;
    else
        assert_status_ok(got.status);
    if (ret_http != NULL)
        *ret_http = got.http_status;
    test_reply_done(&got);
    return message;
}

Strata__V1__Aggregate *get_state(struct world *world, const char *id)
{
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T(id);
    return get_aggregate(world, &request, NULL, NULL);
}

int64_t world_head(struct world *world)
{
    struct store_head head;
    assert_status_ok(world->store->ops->head(world->store, &head));
    return head.position;
}
