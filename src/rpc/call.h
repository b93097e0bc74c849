/*
 * A call: one request on its way through the method table, the same for every edge.
 *
 * An edge (gRPC server, gateway's local upstream) makes a call, feeds it packed bytes and is told of replies
 * through its call_edge_ops. rpc runs the interceptors, checks the wire, unpacks into the call's arena and
 * starts the handler. The handler answers now or later, from any thread, with a packed message, its own
 * stored bytes, or a status. Everything crosses as packed bytes, so that stored records are forwarded without
 * unpacking and all edges see the same.
 *
 * Life     The edge: call_new → rpc_call_start → (rpc_call_message … rpc_call_half_close); the handler:
 *          (call_send …) → call_finish exactly once, after which it must not touch the call. The edge ends it
 *          with call_unref() once finish was called on it. A cancelled call is still finished by its handler.
 * Threads  rpc_call_* from one edge thread at a time. call_send and call_finish from any thread, one at a
 *          time. Edge ops run on the completing thread: they must not block and hop to the edge's loop
 *          themselves. Handler callbacks (message, half_close, on_cancel, on_writable) run on the edge's
 *          thread, never after call_finish has begun; they must not block. call_finish waits for one that is
 *          running on another thread, so it must not be called with a lock held that a callback takes; a
 *          callback may itself finish the call.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "schema/schema.h"

struct call;
struct rpc_table;

/* What an edge must do when a handler answers. Bytes are valid only during the call: copy them. */
struct call_edge_ops {
    /* One message of a server stream; returns false when the peer should not
     * be sent more until rpc_call_writable. */
    bool (*send)(void *edge, struct call *call, struct bytes message);
    /* The end. `status` OK: a unary reply is `reply` (streams: empty). http_status 0 = the method's. */
    void (*finish)(void *edge, struct call *call, const struct status *status, struct bytes reply,
                   int http_status);
    /* Client streams: a message was dealt with, another may be delivered. */
    void (*message_done)(void *edge, struct call *call);
};

struct call_options {
    enum schema_method_id method;
    const struct call_edge_ops *ops;
    void *edge;
    const char *transport; /* "grpc", "http", "websocket" */
    struct bytes peer;     /* "127.0.0.1:4711" */
    /* What a gateway in between says of its client: the same two. Anybody can say so: for showing, never for deciding.
     * Empty = nothing was said. */
    struct bytes client_transport;
    struct bytes client_peer;
    struct bytes authorization; /* value of the Authorization header or metadata; empty = none */
    struct bytes traceparent;
    struct bytes request_id;
    int64_t deadline_us; /* monotonic clock; 0 = none */
};

/* The caller's, with one reference; NULL when out of memory. Texts are copied into its arena. */
struct call *call_new(struct rpc_table *table, const struct call_options *options);
void call_unref(struct call *call);

/* --- the edge's side --- */
/* Unary and server streams: with the request. Client streams: empty bytes, messages follow. */
void rpc_call_start(struct call *call, struct bytes request);
/* At most so many undone messages and bytes at a time (one larger message goes alone). */
#define CALL_MESSAGES_MAX      64U
#define CALL_MESSAGE_BYTES_MAX ((size_t)8 * 1024 * 1024)
/* May another message be delivered? If not, the edge asks again at message_done. */
bool rpc_call_wants_message(const struct call *call);
/* These three do nothing once the handler has finished. */
void rpc_call_message(struct call *call, struct bytes message);
void rpc_call_half_close(struct call *call);
void rpc_call_writable(struct call *call);
void rpc_call_cancel(struct call *call); /* the peer is gone or the deadline has passed */
/* Did the handler ask to be told? If not, an edge may save itself watching the peer of a unary call. */
bool rpc_call_watches_cancel(const struct call *call);

/* --- the handler's side --- */
struct arena *call_arena(struct call *call); /* until call_finish */
const struct schema_method *call_method(const struct call *call);
int64_t call_deadline_us(const struct call *call);
/* Any thread. An edge may learn of a unary call's end only if the handler has set on_cancel. */
bool call_cancelled(const struct call *call);
struct bytes call_peer(const struct call *call);
struct bytes call_authorization(const struct call *call);
struct bytes call_traceparent(const struct call *call);
struct bytes call_request_id(const struct call *call);
const char *call_transport(const struct call *call);
struct bytes call_client_transport(const struct call *call);
struct bytes call_client_peer(const struct call *call);
struct bytes call_principal(const struct call *call);             /* subject; "anonymous" in development */
void call_set_principal(struct call *call, struct bytes subject); /* interceptors; copied */

/* What the handler keeps of the call between its callbacks; set in its start. */
void call_set_handler_data(struct call *call, void *data);
void *call_handler_data(const struct call *call);

/* Set before the handler's start returns. */
void call_on_cancel(struct call *call, void (*callback)(void *context), void *context);
void call_on_writable(struct call *call, void (*callback)(void *context), void *context);

/* Another success than the method's, or a failure with a body (304, 503): travels as strata-http-status. */
void call_set_http_status(struct call *call, int http_status);
/* Streams: taken in any case; false asks the handler to wait for on_writable before it sends more. */
bool call_send(struct call *call, const ProtobufCMessage *message);
bool call_send_bytes(struct call *call, struct bytes message);
/* Unary calls: finish with OK and a reply. */
void call_reply(struct call *call, const ProtobufCMessage *message);
void call_reply_bytes(struct call *call, struct bytes message);
void call_finish(struct call *call, const struct status *status); /* streams: OK; any: failure */

/* One message of a client stream: an arena of its own, so that a long stream
 * needs no more memory than its window. */
struct call_message {
    struct call *call;
    struct arena *arena;
    const ProtobufCMessage *request; /* NULL when `status` says why it could not be read */
    struct status status;
};
/* Frees it. Exactly once, from any thread; it must have returned before call_finish is called. */
void call_message_done(struct call_message *message);
