/*
 * How the gateway reaches operations: packed bytes to a method, packed bytes back. Two implementations are
 * meant: local (this process) and grpc (a remote core).
 *
 * Life       upstream_make (one reference) → upstream_begin → (on_message …) → on_end exactly once.
 *            upstream_release gives a reference back, the last one only when on_end has begun or upstream_begin
 *            was never called.
 * Threads    upstream_begin, _writable and _cancel of one call from one thread at a time, references from any.
 *            Events come from any thread, one at a time, also before upstream_begin or _cancel has returned; they
 *            must not block. Whoever begins a call that may end at once holds a reference over it.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "schema/schema.h"

struct upstream;
struct upstream_call;

struct upstream_request {
    enum schema_method_id method;
    const char *transport; /* "http", "websocket"; static */
    struct bytes peer;
    struct bytes authorization;
    struct bytes traceparent;
    struct bytes request_id;
    int64_t deadline_us; /* monotonic clock; 0 = none */
};

struct upstream_events {
    /* A message of a server stream, valid during the call; false = send no more until upstream_writable. */
    bool (*on_message)(void *context, struct bytes message);
    /* The end: of a unary call with its reply. http_status 0 = the method's own. */
    void (*on_end)(void *context, const struct status *status, struct bytes reply, int http_status);
};

struct upstream_ops {
    struct upstream_call *(*make)(struct upstream *upstream, const struct upstream_request *request,
                                  const struct upstream_events *events, void *context);
    void (*begin)(struct upstream_call *call, struct bytes message);
    void (*writable)(struct upstream_call *call);
    void (*cancel)(struct upstream_call *call);
    void (*ref)(struct upstream_call *call);
    void (*release)(struct upstream_call *call);
};

struct upstream {
    const struct upstream_ops *ops;
};

struct upstream_call {
    const struct upstream_ops *ops;
};

/* NULL when out of memory. No event comes before upstream_begin. */
static inline struct upstream_call *upstream_make(struct upstream *upstream,
                                                  const struct upstream_request *request,
                                                  const struct upstream_events *events, void *context)
{
    return upstream->ops->make(upstream, request, events, context);
}
/* Sends the packed request; copied where it is needed longer. */
static inline void upstream_begin(struct upstream_call *call, struct bytes message)
{
    call->ops->begin(call, message);
}
static inline void upstream_writable(struct upstream_call *call)
{
    call->ops->writable(call);
}
static inline void upstream_cancel(struct upstream_call *call)
{
    call->ops->cancel(call);
}
static inline void upstream_ref(struct upstream_call *call)
{
    call->ops->ref(call);
}
static inline void upstream_release(struct upstream_call *call) /* NULL is fine */
{
    if (call != NULL)
        call->ops->release(call);
}

struct rpc_table;

/* Calls the table in this process. NULL when out of memory; the table is borrowed. */
struct upstream *upstream_local_new(struct rpc_table *table);
void upstream_local_free(struct upstream *upstream);
