/*
 * The gateway: REST/JSON, Server-Sent Events, NDJSON and WebSocket on one HTTP port, in front of an upstream.
 * It knows the contract's tables (routes, fields, options) and no operation by itself but Subscribe's stream
 * and GetHealth's state.
 *
 * Ownership  gateway_start() → gateway_stop(), which frees. Upstream, log, clock, entropy are borrowed until
 *            then; texts of the options are copied.
 * Threads    start and stop from one thread. The fronts' threads and the WebSocket thread are its own.
 * Blocking   gateway_stop waits for them. Calls that were cancelled may end later, on the upstream's threads:
 *            their events then touch nothing of the gateway.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct clock;
struct entropy;
struct gateway;
struct log;
struct upstream;

/* Of a WebSocket: its socket, and the two ends of a pair (gateway/websocket). */
#define GATEWAY_WEBSOCKET_DESCRIPTORS 3U

struct gateway_options {
    const char *bind_address; /* NULL = 127.0.0.1 */
    uint16_t port;            /* 0 = the kernel chooses, see gateway_port */
    bool development;
    bool forwarded; /* in development mode: serve also what a proxy passes on */
    const char *const
        *allowed_hosts; /* in development mode: names of this server, beside those of loopback */
    size_t allowed_host_count;
    const char *const *allowed_origins;
    size_t allowed_origin_count;
    int64_t header_timeout_ms;   /* 0 = 10 s */
    size_t http_connections_max; /* beside WebSockets; 0 = 10,000 */

    bool websocket;                   /* serve /ws */
    bool websocket_apart;             /* on a port of its own, which serves nothing else */
    uint16_t websocket_port;          /* with websocket_apart; 0 = the kernel chooses */
    size_t websocket_connections_max; /* 0 = 10,000 */
    size_t websocket_read_max_bytes;  /* of a client's message; 0 = 64 KiB */
    size_t
        websocket_write_high_bytes; /* queued for a slow client before its subscriptions wait; 0 = 256 KiB */
};

/*
 * INVALID_ARGUMENT, UNAVAILABLE (in use, not permitted), RESOURCE_EXHAUSTED; the message names the address.
 */
STATUS_MUST_CHECK struct status gateway_start(const struct gateway_options *options,
                                              struct upstream *upstream, struct log *log,
                                              const struct clock *clock, const struct entropy *entropy,
                                              struct gateway **ret);
uint16_t gateway_port(const struct gateway *gateway);
uint16_t gateway_websocket_port(const struct gateway *gateway); /* where /ws is; 0 = off */
/*
 * Lets requests in flight finish for up to `drain_ms`, then cancels them; streams end when the upstream ends
 * them, so stop what feeds them first. NULL is fine.
 */
void gateway_stop(struct gateway *gateway, int64_t drain_ms);
