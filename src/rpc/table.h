/*
 * The method table: every operation once. Service fills it, server and
 * gateway drive it, neither knows the other.
 *
 * Ownership  rpc_table_new()/rpc_table_free(). Handlers and interceptors are copied; their contexts are borrowed.
 * Threads    Filled by main before any edge starts; never changed afterwards.
 * Blocking   Never.
 */
#pragma once

#include "rpc/call.h"

struct method_handler {
    /* Unary and server streams: `request` lives in the call's arena. Client streams: request is NULL. */
    void (*start)(void *service, struct call *call, const ProtobufCMessage *request);
    /* Client streams only. `message` is the handler's until call_message_done. */
    void (*message)(void *service, struct call *call, struct call_message *message);
    void (*half_close)(void *service, struct call *call);
};

/*
 * `before` runs ahead of the handler, in the order of addition; the first failure finishes the call. `after`
 * runs at the end of every call, in reverse order and on the completing thread, also for a call that an
 * earlier interceptor refused: what observes must see refusals.
 */
struct interceptor {
    void *context;
    struct status (*before)(void *context, struct call *call);                          /* NULL = none */
    void (*after)(void *context, const struct call *call, const struct status *status); /* NULL = none */
};

struct rpc_table *rpc_table_new(void);        /* NULL when out of memory */
void rpc_table_free(struct rpc_table *table); /* NULL is fine; no call is left */
DEFINE_CLEANUP(struct rpc_table, rpc_table_free);
void rpc_table_set(struct rpc_table *table, enum schema_method_id method,
                   const struct method_handler *handler, void *service);
void rpc_table_intercept(struct rpc_table *table, const struct interceptor *interceptor);
/* INTERNAL naming the first method without a handler: nothing answers UNIMPLEMENTED. */
STATUS_MUST_CHECK struct status rpc_table_check(const struct rpc_table *table);
