/*
 * The server's inside: what the polling loop, the exchanges and the services share.
 */
#pragma once

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "schema/schema.h"
#include "server/exchange_internal.h"
#include "server/listener_internal.h"
#include "server/server.h"

#define INTERNAL_METHODS 4U /* health Check and Watch, reflection v1 and v1alpha */
#define METHOD_COUNT     (SCHEMA_METHOD_COUNT + INTERNAL_METHODS)
#define METHOD_UNKNOWN   METHOD_COUNT /* takes the calls of all other methods */

/* Requests to health and reflection are names; more is refused. */
#define INTERNAL_REQUEST_MAX_BYTES 65536U

struct descriptor_index;
struct health_watcher;

struct server {
    struct server_options options; /* defaults filled in; `bind` is not kept */
    grpc_server *grpc;
    grpc_completion_queue *queue;
    struct listener *listener;
    struct exchange_method methods[METHOD_COUNT + 1];

    pthread_t poll_thread;
    pthread_t poller; /* the polling thread's name for itself; set before the first call arrives */
    struct tag shutdown_tag;

    pthread_t send_thread;
    pthread_mutex_t outbox_lock; /* guards the group below and most of each exchange; a leaf */
    pthread_cond_t outbox_filled;
    struct exchange *queued_first; /* waits for the sending thread */
    struct exchange *queued_last;
    bool send_stop;

    /* the polling thread's */
    struct exchange *free_exchanges;
    uint32_t unposted; /* slots that await an exchange's end, because of max_calls */

    struct descriptor_index *descriptors; /* constant */

    pthread_mutex_t health_lock; /* guards the group below; outbox_lock is taken under it */
    struct health_watcher *watchers;
    bool serving;
    bool stopping;

    pthread_mutex_t stop_lock; /* guards the group below; a leaf */
    pthread_cond_t stop_changed;
    bool grpc_stopped;
    uint32_t live; /* exchanges begun and not over */
    uint64_t arrivals;
    atomic_bool leaving; /* peers are told in the trailers, so that they go elsewhere before the end */
};

bool server_on_poller(const struct server *server);
/* Leaves the exchange to the sending thread. Called with outbox_lock held. */
void server_enqueue(struct server *server, struct exchange *exchange);
/* An exchange is over: its memory may be used again. Polling thread. */
void server_recycle(struct server *server, struct exchange *exchange);

/* "strata.v1.EventService" of "/strata.v1.EventService/PublishEvent". */
struct bytes method_service(const struct exchange_method *method);

/* The handler of every method of the table; exchange_method.id is the schema's. */
extern const struct exchange_handler rpc_edge_handler;

/* --- health.c --- */
extern const struct exchange_handler health_check_handler;
extern const struct exchange_handler health_watch_handler;
/* What to answer from now on; watchers are told, and sent home when the server is stopping. Any thread. */
void health_set(struct server *server, bool serving, bool stopping);

/* --- reflection.c --- */
extern const struct exchange_handler reflection_handler;
