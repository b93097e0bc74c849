/*
 * The gateway: REST/JSON, Server-Sent Events, NDJSON and WebSocket on one HTTP port, in front of an upstream. It knows the
 * contract's tables (routes, fields, options) and no operation by itself but Subscribe's stream and GetHealth's state.
 *
 * Ownership  gateway_start() → gateway_stop(), which frees. Upstream, log, clock, entropy are borrowed until then; texts
 *            of the options are copied.
 * Threads    start and stop from one thread. The front's thread and the WebSocket thread are its own.
 * Blocking   gateway_stop waits for both.
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

struct gateway_options {
    const char *bind_address;
    uint16_t port; /* 0 = the kernel chooses, see gateway_port */
    bool development;
    const char *const *allowed_origins;
    size_t allowed_origin_count;
    bool websocket;                  /* serve /ws */
    size_t websocket_read_max_bytes; /* 0 = 64 KiB */
    int64_t header_timeout_ms;       /* 0 = 10 s */
};

/* INVALID_ARGUMENT, UNAVAILABLE (in use, not permitted), RESOURCE_EXHAUSTED; the message names the address. */
STATUS_MUST_CHECK struct status gateway_start(const struct gateway_options *options, struct upstream *upstream,
                                              struct log *log, const struct clock *clock, const struct entropy *entropy,
                                              struct gateway **ret);
uint16_t gateway_port(const struct gateway *gateway);
void gateway_stop(struct gateway *gateway, int64_t drain_ms); /* NULL is fine */
