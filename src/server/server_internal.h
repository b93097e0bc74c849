/*
 * The server's inside: what the polling loop, the exchanges and the services share.
 */
#pragma once

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "schema/schema.h"
#include "server/exchange_internal.h"
#include "server/server.h"

#define INTERNAL_METHODS 4U /* health Check and Watch, reflection v1 and v1alpha */
#define METHOD_COUNT     (SCHEMA_METHOD_COUNT + INTERNAL_METHODS)

/* Requests to health and reflection are names; more is refused. */
#define INTERNAL_REQUEST_MAX_BYTES 65536U

struct descriptor_index;
struct health_watcher;

struct server {
    struct server_options options; /* defaults filled in; `bind` is not kept */
    grpc_server *grpc;
    grpc_completion_queue *queue;
    int port;
    struct exchange_method methods[METHOD_COUNT];

    pthread_t thread;
    pthread_t poller; /* the polling thread's name for itself; set before the first call arrives */

    /* Rings the poller: an empty batch on a call that leads nowhere completes at once. */
    grpc_channel *bell_channel;
    grpc_call *bell;
    pthread_mutex_t bell_lock; /* serializes the empty batches; a leaf */
    struct tag bell_tag;
    struct tag shutdown_tag;

    pthread_mutex_t
        outbox_lock; /* guards the group below and each exchange's outbox; a leaf, but for bell_lock */
    struct exchange *pump_first;
    struct exchange *pump_last;
    bool bell_rung;
    bool serving;
    bool stopping; /* health watchers are to be sent home */

    /* the polling thread's */
    struct exchange *free_exchanges;
    struct descriptor_index *descriptors;
    struct health_watcher *watchers;
    uint32_t unposted; /* slots that await an exchange's end, because of max_calls */

    pthread_mutex_t stop_lock; /* guards the group below; a leaf */
    pthread_cond_t stop_changed;
    bool grpc_stopped;
    uint32_t live; /* exchanges begun and not over */
};

bool server_on_poller(const struct server *server);
/* Puts the exchange on the list to be pumped. Called with outbox_lock held; true: ring the bell once it is
 * released. */
bool server_enqueue(struct server *server, struct exchange *exchange);
void server_ring(struct server *server);
/* An exchange is over: its memory may be used again. Polling thread. */
void server_recycle(struct server *server, struct exchange *exchange);

/* "strata.v1.EventService" of "/strata.v1.EventService/PublishEvent". */
struct bytes method_service(const struct exchange_method *method);

/* The handler of every method of the table; exchange_method.id is the schema's. */
extern const struct exchange_handler rpc_edge_handler;

/* --- health.c --- */
extern const struct exchange_handler health_check_handler;
extern const struct exchange_handler health_watch_handler;
/* The answer may have changed, or the server is stopping. Polling thread. */
void health_update(struct server *server, bool stopping);

/* --- reflection.c --- */
extern const struct exchange_handler reflection_handler;
