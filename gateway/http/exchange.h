/*
 * An exchange: one HTTP request and its one answer, whatever protocol carried it.
 *
 * The front makes an exchange when a whole request (body included) is there and hands it to the handler's
 * on_request. The handler answers now or later, from any thread:
 *
 *     exchange_respond(…)                                        an answer that is all there, or
 *     exchange_begin(…) → exchange_write(…) … → exchange_end()   a stream, or at any time
 *     exchange_reset()                                           the answer cannot be completed
 *     exchange_upgrade()                                         a WebSocket handshake is let through
 *
 * Life      Valid from on_request until the handler's finishing call: exactly one of exchange_respond,
 *           exchange_end, exchange_reset, exchange_upgrade, made exactly once, also when the client is gone
 *           (it then has no effect on the wire). After it the handler must not touch the exchange, unless it
 *           holds a reference of its own (exchange_ref). The request and its arena live as long as the
 *           exchange. `on_done` is the last callback: after it nothing refers to the handler's context.
 * Threads   exchange_ref/unref from any thread. The answering calls from any thread, one at a time. They
 *           never call back: callbacks (exchange_ops) run on the front's thread only. The request is
 *           immutable; its arena belongs to whoever works on the exchange, one thread at a time, and the
 *           front never uses it after on_request was called.
 * Blocking  Never. Every call copies what it is given and hops to the
 *           front's loop; many calls share one wake-up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

struct http_header {
    struct bytes name;  /* as sent; compared without regard to case */
    struct bytes value; /* without white space at its ends */
};

/* Everything is borrowed from the exchange and as it was sent: nothing is decoded. */
struct http_request {
    struct bytes method; /* "GET"; any token but CONNECT */
    struct bytes target; /* the request target as sent */
    /* From "/" up to "?"; percent-encoding, "//", "..", ";" and "+" untouched. "*" for OPTIONS *. */
    struct bytes path;
    struct bytes query; /* after the "?", without it; empty when there is none */
    const struct http_header *headers;
    size_t header_count;
    struct bytes body;       /* de-chunked */
    struct bytes peer;       /* "127.0.0.1:4711", "[::1]:4711" */
    struct bytes request_id; /* the client's Strata-Request-Id or X-Request-Id if valid, else a UUIDv7 */
    struct arena *arena;     /* the handler's to use */
};

/* A request id that is taken from a client: 1 to this many of [A-Za-z0-9._:+/=@-]. */
#define REQUEST_ID_MAX_BYTES 128U

/* How many headers have this name, and the value of the first; `ret_value` may be NULL. 0 leaves it empty. */
size_t http_request_header_count(const struct http_request *request, const char *name,
                                 struct bytes *ret_value);

/*
 * The header's value, repeated ones joined by ", " in the request's arena (RFC 9110 5.3; so never for Cookie
 * or dates); empty when absent. Use http_request_header_count where more than one is a fault.
 */
struct bytes http_request_header(const struct http_request *request, const char *name);

struct http_exchange;

/* Any entry may be NULL. All run on the front's thread and must not block. None runs after on_done. */
struct exchange_ops {
    /* exchange_write said false before and there is room again. */
    void (*on_writable)(void *context);
    /*
     * The client went away before the answer was complete; at most once. The handler should stop early, and
     * must still make its finishing call (here, or later from another thread).
     */
    void (*on_closed)(void *context);
    /* The finishing call has been processed: free the context. Exactly once for each exchange_listen. */
    void (*on_done)(void *context);
};

const struct http_request *exchange_request(const struct http_exchange *exchange);

/* Registers the callbacks; only inside on_request, at most once. `ops` must outlive the exchange. */
void exchange_listen(struct http_exchange *exchange, const struct exchange_ops *ops, void *context);

/* on_request may pass the exchange to another thread, which holds a reference of its own. Any thread. */
void exchange_ref(struct http_exchange *exchange);
void exchange_unref(struct http_exchange *exchange);

/*
 * A whole answer; finishes the exchange. Headers and body are copied. The front adds Date, Content-Length,
 * Strata-Request-Id and Connection, which the handler must not give. A HEAD request gets the length and no
 * body, 204 and 304 neither. A header that holds CR, LF or NUL, or a name that is no token, is never sent:
 * the client gets a 500 instead.
 */
void exchange_respond(struct http_exchange *exchange, int http_status, const struct http_header *headers,
                      size_t header_count, struct bytes body);

/*
 * The same with a body that may stand in the request's arena or in memory of its own; it is taken, and *body is empty
 * then. What was made in the arena anyway need not be copied for another thread.
 */
void exchange_respond_buffer(struct http_exchange *exchange, int http_status,
                             const struct http_header *headers, size_t header_count, struct buffer *body);

/* Begins a stream: its head goes out at once. HTTP/1.1 gets chunked transfer-encoding, 1.0 ends by closing. */
void exchange_begin(struct http_exchange *exchange, int http_status, const struct http_header *headers,
                    size_t header_count);

#define EXCHANGE_HIGH_WATER_BYTES ((size_t)256 * 1024)
#define EXCHANGE_LOW_WATER_BYTES  ((size_t)64 * 1024)

/*
 * More of the stream's body; all of it is taken. False: at least EXCHANGE_HIGH_WATER_BYTES are waiting to be
 * sent, so the handler writes no more until on_writable (at EXCHANGE_LOW_WATER_BYTES), or the client is gone
 * and the bytes were dropped (on_closed was or will be called). A handler that goes on regardless is cut off:
 * when more than four times the high-water mark wait already, the stream is reset.
 * on_writable may come before the false has returned to a handler on another thread.
 */
bool exchange_write(struct http_exchange *exchange, struct bytes bytes);

/* The stream is complete; finishes the exchange. */
void exchange_end(struct http_exchange *exchange);

/*
 * The stream failed late: the connection is closed so that the client sees an incomplete answer, never one
 * that ends as if it were whole; finishes the exchange. Before exchange_begin it sends nothing and closes.
 */
void exchange_reset(struct http_exchange *exchange);

/*
 * Of an exchange that on_handshake was given: on_upgrade gets its socket, unless the client has gone; finishes
 * the exchange.
 */
void exchange_upgrade(struct http_exchange *exchange);
