/*
 * The front: the one HTTP port of the gateway.
 *
 * One thread with one epoll loop accepts connections, reads strict HTTP/1.1 (keep-alive, pipelined requests
 * answered in order and executed one after the other, chunked bodies, Expect: 100-continue, HEAD), refuses
 * what is malformed or not allowed with application/problem+json, and hands each whole request to the handler
 * as an exchange (exchange.h). It knows no route but the WebSocket path, and nothing of events.
 *
 * Ownership  front_start() → front_stop(), which frees. Options are copied; log, clock, entropy and the
 *            handler's context are borrowed until front_stop() returns.
 * Threads    front_start and front_stop from one thread, not the front's
 *            own. Handler ops run on the front's thread.
 * Blocking   front_stop() waits for the thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "base/status.h"
#include "gateway/http/exchange.h"

struct front;

/* Run on the front's thread; must not block. */
struct front_handler_ops {
    /* A whole request that passed the front's checks, any method but CONNECT, any path. Required. */
    void (*on_request)(void *context, struct http_exchange *exchange);

    /*
     * A well-formed WebSocket handshake on the WebSocket path: GET, HTTP/1.1, version 13, a valid key, Host
     * and Origin allowed. Answered now or later like any request, either with a refusal (exchange_respond) or
     * by exchange_upgrade, which lets it through to on_upgrade. NULL: all are let through.
     */
    void (*on_handshake)(void *context, struct http_exchange *exchange);

    /*
     * A handshake that was let through. `request` is borrowed for the call. OK: `fd` (non-blocking) is the
     * callee's, which sends the 101. Anything else (503 when full …) is answered as a problem and the front
     * keeps the socket. NULL: the path is an ordinary one. Bytes sent behind the handshake before its answer
     * are refused (RFC 6455 4.1: a client must wait), so there is never a rest to hand over.
     */
    struct status (*on_upgrade)(void *context, const struct http_request *request, int fd);

    /* front_stop has begun: streams that would go on for ever can still be told, and end. NULL: nothing to tell. */
    void (*on_drain)(void *context);
};

/* 0 stands for the default in brackets. */
struct front_limits {
    size_t target_max_bytes;   /* [8 KiB] else 414 */
    size_t header_max_bytes;   /* [16 KiB] request line and headers together, else 431 */
    size_t header_max_count;   /* [100] else 431 */
    size_t body_max_bytes;     /* [12 MiB] else 413 */
    size_t connections_max;    /* [10000] the next one is closed at once, and logged once a minute */
    int64_t idle_timeout_ms;   /* [75 s] between requests; closes silently */
    int64_t header_timeout_ms; /* [10 s] from a request's first byte to the end of its head, else 408 */
    int64_t body_timeout_ms;   /* [60 s] from the head to the end of the body, else 408 */
    int64_t write_timeout_ms; /* [60 s] without the client taking a single byte of what waits for it; reset */
};

struct front_options {
    const char *bind_address; /* NULL = "127.0.0.1"; a numeric IPv4 or IPv6 address */
    uint16_t port;            /* 0 = the kernel chooses, see front_port */
    struct front_limits limits;

    /*
     * Development mode (any web page can reach a loopback port, by a name that DNS points at it): the Host must
     * be localhost, 127.0.0.1, [::1], `bind_address` (any address where that stands for all) or one of
     * `allowed_hosts`, with any port, else 421; a forwarded request (Forwarded, X-Forwarded-*) is
     * 403 unless `forwarded`; a body that is not application/json is 415; the origin "*" means loopback origins.
     */
    bool development;
    bool forwarded;
    const char *const *allowed_hosts;
    size_t allowed_host_count;

    /*
     * A request that carries an Origin which is neither its own Host's nor listed is 403, on every path. "*"
     * allows all (development: those of loopback hosts). Entries are "https://shop.example:8443", compared as
     * text. So an Origin that reaches on_request is allowed and can be echoed in Access-Control-Allow-Origin.
     */
    const char *const *allowed_origins;
    size_t allowed_origin_count;

    const char *websocket_path; /* NULL = "/ws"; a trailing slash in the request does not matter */
    bool websocket_only;        /* everything else is 404: a second listener for /ws */

    const struct front_handler_ops *handler;
    void *context;
};

/*
 * Binds, listens and starts the thread.
 *   INVALID_ARGUMENT    the address is not numeric
 *   UNAVAILABLE         cannot bind or listen: in use, not permitted; the message names address and port
 *   RESOURCE_EXHAUSTED  no memory, descriptors or threads
 */
STATUS_MUST_CHECK struct status front_start(const struct front_options *options, struct log *log,
                                            const struct clock *clock, const struct entropy *entropy,
                                            struct front **ret);

uint16_t front_port(const struct front *front); /* the port it listens on */

/* Any thread; for /health and metrics. */
struct front_counts {
    uint64_t connections; /* open now */
    uint64_t accepted;
    uint64_t requests; /* handed to the handler */
    uint64_t refused;  /* answered by the front itself */
};
struct front_counts front_counts(const struct front *front);

/*
 * Accepts no more, closes idle connections, lets requests in flight finish for up to `drain_ms` (their
 * answers say Connection: close), then closes the rest (on_closed), waits for the handlers' finishing calls
 * for up to FRONT_ABANDON_MS and frees. A handler that finishes even later does no harm: its on_done then
 * runs on its own thread. NULL is fine.
 */
#define FRONT_ABANDON_MS 5000
void front_stop(struct front *front, int64_t drain_ms);
