/*
 * The gRPC edge: serves the method table on a port, and health and reflection beside it.
 *
 * Every method of the table is registered with gRPC's C core; unknown ones are answered UNIMPLEMENTED by
 * gRPC. grpc.health.v1 and grpc.reflection (v1, v1alpha) are answered here, so that probes and grpcurl work
 * without files. Read from a call's metadata: authorization, traceparent, strata-request-id, and what a
 * gateway says of its client, strata-client-transport and strata-client-peer, which nothing is decided by. Written to its
 * trailers: grpc-status-details-bin on failure, strata-http-status when the handler set one, strata-leaving when
 * the server is about to stop.
 *
 * Ownership  server_start()/server_stop(). Table, clock and log are borrowed and must outlive the server.
 * Threads    One of its own: every handler starts and is called back on it, so handlers must not block. The
 *            functions below: from any thread, server_stop() once and not from a handler.
 * Blocking   server_start() resolves the address; server_stop() waits for calls.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct clock;
struct log;
struct rpc_table;
struct server;

struct server_options {
    const char *bind; /* "127.0.0.1:50051", "[::1]:50051"; port 0 = any free one, see server_port() */
    struct rpc_table *table;
    const struct clock *clock;
    struct log *log; /* NULL = silent */

    /* 0 = the default */
    uint32_t max_message_bytes;  /* 12 MiB; a larger request is RESOURCE_EXHAUSTED */
    uint32_t slots_per_method;   /* 64: calls of a method that can arrive before the first is looked at */
    uint32_t max_calls;          /* 16,384 at a time; more wait in gRPC */
    uint32_t max_streams;        /* 1,000 calls at a time on one connection */
    uint32_t max_connections;    /* 4,096; more are closed at once */
    uint32_t max_metadata_bytes; /* 16 KiB of headers a call */
    uint32_t memory_bytes; /* 512 MiB for what gRPC counts of its buffers; near it, it frees and refuses */
    uint32_t keepalive_ms; /* 60,000: pings a silent connection; two without an answer in 20 s close it */
};

/*
 * Listens and serves; health answers NOT_SERVING until server_set_serving(). On success *ret is the caller's:
 *   INVALID_ARGUMENT    `bind` is not HOST:PORT
 *   UNAVAILABLE         the address cannot be listened on
 *   RESOURCE_EXHAUSTED  out of memory or threads
 */
STATUS_MUST_CHECK struct status server_start(const struct server_options *options, struct server **ret);

uint16_t server_port(const struct server *server);

/* What grpc.health.v1 answers for "" and for every service of the contract. Not any more: calls go on, and their trailers
 * tell the peers to go elsewhere. */
void server_set_serving(struct server *server, bool serving);

/*
 * Takes no new connections, waits for a moment without new calls, then takes none, lets those under way finish for
 * `drain_ms`, cancels the rest, waits until their handlers have finished, and frees the server. NULL is fine.
 */
void server_stop(struct server *server, int64_t drain_ms);
