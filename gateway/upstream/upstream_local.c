/* The upstream that is this process: an edge of rpc like the gRPC server. */
#include "gateway/upstream/upstream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "rpc/call.h"
#include "rpc/table.h"

struct local {
    struct upstream upstream;
    struct rpc_table *table;
};

struct local_call {
    struct upstream_call base;
    atomic_int references; /* the receiver's, and one from begin to end */
    struct call *call;
    const struct upstream_events *events;
    void *context;
};

static void local_ref(struct upstream_call *call)
{
    atomic_fetch_add(&((struct local_call *)call)->references, 1);
}

static void local_release(struct upstream_call *call)
{
    struct local_call *local = (struct local_call *)call;
    if (atomic_fetch_sub(&local->references, 1) != 1)
        return;
    call_unref(local->call);
    free(local);
}

static bool local_send(void *edge, struct call *call, struct bytes message)
{
    (void)call; /* known through the edge */
    const struct local_call *local = edge;
    return local->events->on_message(local->context, message);
}

static void local_finish(void *edge, struct call *call, const struct status *status, struct bytes reply,
                         int http_status)
{
    (void)call; /* known through the edge */
    struct local_call *local = edge;
    local->events->on_end(local->context, status, reply, http_status);
    local_release(&local->base);
}

static void local_message_done(void *edge, struct call *call)
{
    (void)edge; /* client streams have no HTTP route, so no message is ever delivered */
    (void)call;
}

static const struct call_edge_ops edge_ops = {local_send, local_finish, local_message_done};

static struct upstream_call *local_make(struct upstream *upstream, const struct upstream_request *request,
                                        const struct upstream_events *events, void *context)
{
    const struct local *self = (const struct local *)upstream;
    struct local_call *local = malloc(sizeof *local); /* all of it is set below */
    const struct call_options options = {
        .method = request->method,
        .ops = &edge_ops,
        .edge = local,
        .transport = request->transport,
        .peer = request->peer,
        .authorization = request->authorization,
        .traceparent = request->traceparent,
        .request_id = request->request_id,
        .deadline_us = request->deadline_us,
    };
    struct call *call = local == NULL ? NULL : call_new(self->table, &options);
    if (call == NULL) {
        free(local);
        return NULL;
    }
    local->base.ops = upstream->ops;
    local->call = call;
    local->events = events;
    local->context = context;
    atomic_init(&local->references, 1);
    return &local->base;
}

/* The reference keeps the call over its end, and over a start that is still running when it has ended. */
static void local_begin(struct upstream_call *call, struct bytes message)
{
    local_ref(call); /* local_finish gives it back */
    rpc_call_start(((struct local_call *)call)->call, message);
}

static void local_writable(struct upstream_call *call)
{
    rpc_call_writable(((struct local_call *)call)->call);
}

static void local_cancel(struct upstream_call *call)
{
    rpc_call_cancel(((struct local_call *)call)->call);
}

static const struct upstream_ops local_ops = {local_make,   local_begin, local_writable,
                                              local_cancel, local_ref,   local_release};

struct upstream *upstream_local_new(struct rpc_table *table)
{
    struct local *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->upstream.ops = &local_ops;
    self->table = table;
    return &self->upstream;
}

void upstream_local_free(struct upstream *upstream)
{
    free(upstream);
}
