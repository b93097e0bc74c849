/*
 * A WebSocket server for text messages, on sockets whose handshake somebody else has read and checked.
 *
 * One thread runs a libev loop with a libwebsockets context, which answers the handshake and speaks the
 * frames. What is sent is text; what arrives is whole text messages of valid UTF-8. The rest is refused here:
 * binary (close code 1003), too large (1009), invalid UTF-8 (1007), frames without a mask and other breaches
 * of RFC 6455 (1002). There are no extensions: permessage-deflate costs 90 KB a connection.
 *
 * Ownership  websocket_server_start() → websocket_server_stop(), which frees. A connection is counted: the
 *            server holds one reference until on_closed has returned; whoever uses it from another thread, or
 *            later, takes its own with ws_ref. log and clock are borrowed until stop returns.
 * Threads    start and stop from one thread, not the server's own. websocket_server_adopt, ws_* from any.
 *            Callbacks run on the server's thread and must not block; ws_* never calls back.
 * Blocking   Only stop, for the thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

struct websocket_server;
struct ws_connection;

/* What the handshake said. Borrowed during the call it is given to. */
struct websocket_handshake {
    struct bytes key;           /* Sec-WebSocket-Key: base64 of 16 bytes, checked by the caller */
    struct bytes path;          /* as sent */
    struct bytes query;         /* as sent, without "?" */
    struct bytes peer;          /* "127.0.0.1:4711" */
    struct bytes request_id;    /* for logs */
    struct bytes authorization; /* value of the Authorization header, for on_open; empty = none */
};

/* On the server's thread. `socket_context` is what on_open returned. */
struct websocket_ops {
    /* The handshake was answered. First of a connection's callbacks. May call ws_send and ws_close. Required. */
    void *(*on_open)(void *context, struct ws_connection *connection,
                     const struct websocket_handshake *handshake);
    /* One whole message; borrowed. Required. */
    void (*on_text)(void *socket_context, struct bytes text);
    /* ws_send said false before and there is room again. NULL: not interested. */
    void (*on_writable)(void *socket_context);
    /* The server stops and closes the connection with 1001 behind what is sent now. NULL: no last words. */
    void (*on_stopping)(void *socket_context);
    /* The connection has ended, by whichever side; ws_send drops from here on. Last and exactly once. Required. */
    void (*on_closed)(void *socket_context);
};

/* 0 stands for the default in brackets. */
struct websocket_options {
    size_t message_max_bytes; /* [64 KiB] of what clients send, else 1009 */
    size_t connections_max;   /* [10000] */
    int64_t ping_interval_ms; /* [20 s] a ping when the client was silent that long */
    int64_t pong_timeout_ms;  /* [20 s] silent for interval and this together: closed */
    int64_t close_timeout_ms; /* [5 s] from ws_close until the connection is cut */
    size_t queue_high_bytes;  /* [WS_HIGH_WATER_BYTES] ws_send says false; on_writable at a quarter of it */
    size_t queue_max_bytes;   /* [4 × queue_high_bytes] see ws_send */
    const struct websocket_ops *ops;
    void *context;
};

/* UNAVAILABLE when libwebsockets cannot start (the message names its libev package), RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status websocket_server_start(const struct websocket_options *options,
                                                       struct log *log, const struct clock *clock,
                                                       struct websocket_server **ret);

/*
 * Takes over a connected, non-blocking socket from which the handshake and nothing more has been read; the
 * server answers with 101. On failure `fd` stays the caller's:
 *   UNAVAILABLE         connections_max are open, or the server is stopping
 *   RESOURCE_EXHAUSTED  no memory or descriptors
 */
STATUS_MUST_CHECK struct status websocket_server_adopt(struct websocket_server *server, int fd,
                                                       const struct websocket_handshake *handshake);

size_t websocket_server_connections(const struct websocket_server *server);

/*
 * Closes what is open with 1001 (what was sent before goes out first), cuts what is left after `drain_ms`,
 * frees. Each connection gets its on_closed. NULL is fine.
 */
void websocket_server_stop(struct websocket_server *server, int64_t drain_ms);

/* --- connections, any thread --- */

void ws_ref(struct ws_connection *connection);
void ws_unref(struct ws_connection *connection);

#define WS_HIGH_WATER_BYTES ((size_t)256 * 1024)

/*
 * Queues one text message, copied. False: at least queue_high_bytes wait (this message among them), send
 * no more until on_writable; or the connection is closing and the message was dropped. Who goes on regardless
 * is cut off with 1008 when more than queue_max_bytes wait already.
 * on_writable may come before the false has returned to a sender on another thread.
 */
bool ws_send(struct ws_connection *connection, struct bytes text);
/*
 * Between the two nothing is begun to be written because of ws_send: several messages then go out with few system calls.
 * Any thread; each cork is followed by its uncork soon, and the caller's reference lasts so long.
 */
void ws_cork(struct ws_connection *connection);
void ws_uncork(struct ws_connection *connection);

/*
 * Sends a close frame after all that is queued, and waits for the client's. `reason` at most 123 bytes of
 * UTF-8, cut if longer. Only the first call counts.
 */
void ws_close(struct ws_connection *connection, uint16_t code, const char *reason);
