/*
 * A gRPC client for tests: one connection, every function waits for its outcome.
 *
 * Threads  One at a time for each client.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct grpc_client;
struct grpc_stream;

struct grpc_client_options {
    bool compress;            /* gzip requests */
    int receive_window_bytes; /* 0 = gRPC's; what the server may send before this side reads */
    bool wait_for_server;     /* a connection that fails is tried again, instead of failing the call */
};

/* `options` may be NULL. */
struct grpc_client *grpc_client_new(uint16_t port, const struct grpc_client_options *options);
void grpc_client_free(struct grpc_client *client);
DEFINE_CLEANUP(struct grpc_client, grpc_client_free);

/* How a call ended. End it with client_reply_done(). */
struct client_reply {
    int code; /* a status_code */
    char message[4096];
    struct buffer body;    /* a unary reply */
    struct buffer details; /* grpc-status-details-bin */
    int http_status;       /* strata-http-status; 0 = none */
};
void client_reply_done(struct client_reply *reply);

struct client_header {
    const char *name;
    const char *value;
};

/* `timeout_ms` 0 = none. `headers` ends with a NULL name; NULL = none. */
void grpc_client_call(struct grpc_client *client, const char *path, struct bytes request, int64_t timeout_ms,
                      const struct client_header *headers, struct client_reply *ret);

/* A call with streams. Sends headers and waits for nothing. */
struct grpc_stream *grpc_stream_open(struct grpc_client *client, const char *path, int64_t timeout_ms);
bool grpc_stream_write(struct grpc_stream *stream, struct bytes message); /* false: the call has ended */
void grpc_stream_half_close(struct grpc_stream *stream);
bool grpc_stream_read(struct grpc_stream *stream, struct buffer *ret); /* replaced; false: no more messages */
void grpc_stream_cancel(struct grpc_stream *stream);
/* Waits for the status, and frees. */
void grpc_stream_finish(struct grpc_stream *stream, struct client_reply *ret);
