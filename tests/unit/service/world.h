/* A whole service over the engine in memory, and short ways to call it. */
#pragma once

#include "support/cmocka.h"

#include "support/test_edge.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "bus/bus.h"
#include "domain/domain.h"
#include "service/service.h"
#include "store/event_store.h"
#include "store/memory/memory_store.h"
#include "store/snapshot_store.h"
#include "store/writer.h"
#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/snapshot_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"

struct world {
    struct event_store *store;
    struct snapshot_store *snapshots;
    struct snapshot_store *cache;
    struct bus *bus;
    struct writer *writer;
    struct domain *domain;
    struct service *service;
    struct rpc_table *table;
};

/* NULL = plain options. */
void world_open(struct world *world, const struct service_options *options);
/* The same with a clock of the test's. */
void world_open_at(struct world *world, const struct service_options *options, const struct clock *clock);
/* The same over stores of the test's, which world_close closes; `cache` NULL = none. */
struct world_stores {
    struct event_store *store;
    struct snapshot_store *snapshots;
    struct snapshot_store *cache;
};
void world_open_over(struct world *world, const struct service_options *options, const struct clock *clock,
                     const struct world_stores *stores);
/* Another service over the same stores. */
void world_restart(struct world *world, const struct service_options *options, const struct clock *clock);
void world_close(struct world *world);
/* But its stores, which another world goes on with. */
void world_leave(struct world *world);

/* --- requests --- */
#define REQUEST(Type, name) (Strata__V1__##Type) STRATA__V1__##name##__INIT
ProtobufCBinaryData json(const char *text);
#define T(text) ((char *)(uintptr_t)(text))

Strata__V1__PublishEventRequest publish_request(const char *type, const char *aggregate_id,
                                                const char *aggregate_type, const char *data);
/* The event, or NULL with *ret_status set. */
Strata__V1__PublishEventResponse *publish(struct world *world, const Strata__V1__PublishEventRequest *request,
                                          struct status *ret_status);
/* A custom event that must succeed; returns its version. */
int32_t publish_custom(struct world *world, const char *aggregate_id, const char *data);
void create(struct world *world, const char *id, const char *type, const char *state);
Strata__V1__Aggregate *get_aggregate(struct world *world, const Strata__V1__GetAggregateRequest *request,
                                     struct status *ret_status, int *ret_http);
Strata__V1__Aggregate *get_state(struct world *world, const char *id); /* must exist */
#define assert_json(blob, text) assert_json_at((blob), (text), __FILE__, __LINE__)
void assert_json_at(ProtobufCBinaryData blob, const char *text, const char *file, int line);

/* Any method, as a message or a status. */
void *call_method_of(struct world *world, enum schema_method_id method, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *reply, struct status *ret_status);

int64_t world_head(struct world *world);
