/*
 * What the files of the service share.
 *
 * Lock order: a call's own lock (callbacks run under it) → streams.lock → a stream's lock → lanes->lock → bus
 * and pool. None of ours is held while a call is finished.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/entropy.h"
#include "base/log.h"
#include "bus/bus.h"
#include "domain/domain.h"
#include "rpc/call.h"
#include "rpc/table.h"
#include "schema/schema.h"
#include "service/pool_internal.h"
#include "service/service.h"
#include "store/event_store.h"
#include "store/snapshot_store.h"
#include "store/writer.h"
#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/snapshot_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"

#define PAGE_SIZE_DEFAULT    100
#define PAGE_SIZE_MAX        1000
#define PAGE_BYTES_MAX       ((size_t)2 * 1024 * 1024) /* of records in a page */
#define BATCH_EVENTS_MAX     256U
#define BATCH_BYTES_MAX      ((size_t)150 * 1024)
#define MIN_POSITION_WAIT_US INT64_C(5000000)
#define RETRY_SOON_MS        1000

struct lanes;
struct operations;
struct snapshot_keeper;
struct stream_link;

/* Calls that live long and must be told when the service stops. */
struct streams {
    pthread_mutex_t lock;
    struct stream_link *first; /* the oldest */
    struct stream_link **end;  /* where the next one is put */
    int64_t last_number;
};

struct service {
    struct service_options options;
    struct service_parts parts;
    struct pool *pool;
    struct lanes *lanes;
    struct snapshot_keeper *snapshots;
    struct operations *operations;
    struct streams streams;
    int64_t started_at_us;

    atomic_int_fast64_t in_flight; /* calls and background work under way */
    atomic_bool stopping;

    atomic_int_fast64_t cache_hits;
    atomic_int_fast64_t cache_misses;
    atomic_int_fast64_t
        snapshots_warned_at_us; /* monotonic: when the log was told last that they do not answer */

    pthread_mutex_t origin_lock; /* a leaf; guards the two below */
    bool origin_known;
    struct sha256 origin; /* leaf of the store's first event */
};

/* --- counting what is under way (service.c) --- */
/* False while stopping: the call was finished with UNAVAILABLE. Pair with service_leave. */
bool service_enter(struct service *service, struct call *call);
void service_leave(struct service *service);
static inline bool service_stopping(const struct service *service)
{
    return atomic_load_explicit(&service->stopping, memory_order_acquire);
}
struct status status_stopping(void);

/* Ends the call and leaves. */
void service_finish(struct service *service, struct call *call, const struct status *status);
void service_reply_bytes(struct service *service, struct call *call, struct bytes reply);

/* --- calls that run on the pool (service.c) --- */
struct reply {
    const ProtobufCMessage *message; /* or */
    struct bytes bytes;
    int http_status; /* 0 = the method's */
    bool later;      /* the call was handed on, and is finished by someone else */
};
/* On a worker. Memory comes from the call's arena. */
typedef struct status (*service_run)(struct service *service, struct call *call, const void *request,
                                     struct reply *ret);
/* Runs now, or when the store has reached `min_position` (0 = none), or answers BEHIND. A run that answers
 * POSITION_MISSING is run again until the position is there, for as long as the bus waits for one. */
void service_start(struct service *service, struct call *call, const void *request, int64_t min_position,
                   service_run run);
STATUS_MUST_CHECK struct status status_position_missing(int64_t position);

/* Work without a caller, dropped when there is too much: `run` gets `id` copied. */
void service_background(struct service *service, struct bytes id,
                        void (*run)(struct service *service, struct bytes id));

/* --- long streams (streams.c) --- */
struct stream_link {
    void (*stop)(struct stream_link *link); /* under streams.lock, any thread: only wakes the stream */
    bool is_subscription;                   /* streams_each shows it */
    int64_t number;                         /* set by streams_add: rises from 1 */
    struct stream_link *next;
    struct stream_link **previous;
};
void streams_init(struct streams *streams);
void streams_done(struct streams *streams);
/* Once the service stops, `stop` is called (perhaps at once). */
void streams_add(struct service *service, struct stream_link *link);
void streams_remove(struct service *service, struct stream_link *link);
void streams_stop_all(struct service *service);
/* Shows the subscriptions, the oldest first, under streams.lock, which is given up in between: what begins or ends
 * meanwhile may be shown or not. */
void streams_each(struct service *service, void (*see)(void *context, struct stream_link *link),
                  void *context);

/* --- handlers --- */
extern const struct method_handler publish_event_handler;
extern const struct method_handler append_events_handler;
extern const struct method_handler append_stream_handler;
extern const struct method_handler get_event_handler;
extern const struct method_handler list_events_handler;
extern const struct method_handler read_events_handler;
extern const struct method_handler subscribe_handler;
extern const struct method_handler list_subscriptions_handler;
extern const struct method_handler create_aggregate_handler;
extern const struct method_handler get_aggregate_handler;
extern const struct method_handler save_aggregate_handler;
extern const struct method_handler list_aggregates_handler;
extern const struct method_handler create_snapshot_handler;
extern const struct method_handler get_snapshot_handler;
extern const struct method_handler get_latest_snapshot_handler;
extern const struct method_handler list_snapshots_handler;
extern const struct method_handler get_health_handler;
extern const struct method_handler get_info_handler;
extern const struct method_handler get_stats_handler;
extern const struct method_handler start_operation_handler;
extern const struct method_handler get_operation_handler;
extern const struct method_handler list_operations_handler;
extern const struct method_handler cancel_operation_handler;
extern const struct method_handler watch_operation_handler;
