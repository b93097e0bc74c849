/*
 * The listening socket: accepts, bounds the number of connections, and hands them over.
 *
 * gRPC's C core (1.51) has no bound on connections, and each is a file descriptor that the store may need. So
 * accepting is done here. gRPC closes what it was given without telling; a descriptor whose inode is another
 * now is a connection that has gone, which is looked at only when the bound is reached.
 *
 * Threads  grpc_listener_open, _start, _stop, _free by one thread; grpc_listener_peer from any.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct listener;
struct log;

#define PEER_MAX_BYTES 64U

struct grpc_listener_options {
    const char *bind; /* HOST:PORT */
    uint32_t max_connections;
    struct log *log;
    /* Called on the listener's thread; the descriptor is the callee's. */
    void (*accepted)(void *context, int fd);
    void *context;
};

/* Binds and listens. INVALID_ARGUMENT: not HOST:PORT; UNAVAILABLE: why it cannot be listened on. */
STATUS_MUST_CHECK struct status grpc_listener_open(const struct grpc_listener_options *options,
                                                   struct listener **ret);
uint16_t grpc_listener_port(const struct listener *listener);
STATUS_MUST_CHECK struct status grpc_listener_start(struct listener *listener);
void grpc_listener_stop(struct listener *listener); /* no `accepted` after this; connections stay */
void grpc_listener_free(struct listener *listener); /* stopped or never started; NULL is fine */

/* "127.0.0.1:4711" of a connection that is open now; empty when it is not one of this listener's. */
struct bytes grpc_listener_peer(struct listener *listener, int fd, char text[PEER_MAX_BYTES]);
