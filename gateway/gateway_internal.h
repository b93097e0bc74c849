/*
 * What the parts of the gateway share.
 *
 *     gateway.c       start and stop; where a request goes
 *     router.c        path and verb → route
 *     negotiate.c     Accept → form of the answer; content codings; CORS
 *     compress.c      gzip
 *     documents.c     descriptions of the API and pages, served as they are
 *     query.c         query string → packed fields
 *     request.c       body, path, query and headers → the packed request
 *     gateway_call.c  the request's way through the upstream; its cancellation; the walk over pages
 *     answer.c        a unary reply or a failure → HTTP
 *     stream.c        messages of Subscribe → SSE or NDJSON
 *     pages.c         pages of a list → NDJSON
 *     gateway_ws.c    /ws
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "gateway/documents_internal.h"
#include "gateway/gateway.h"
#include "gateway/http/exchange.h"
#include "gateway/router_internal.h"
#include "gateway/upstream/upstream.h"

struct gateway {
    struct upstream *upstream;
    struct log *log;
    const struct clock *clock;
    struct front *front;
    struct front *websocket_front;       /* NULL: /ws is on `front` or off */
    struct websocket_server *websockets; /* NULL = off */
    struct documents *documents;

    /* The thread of `front` only. */
    struct link streams; /* SSE and NDJSON that go on until their client, or the gateway, ends them */
    bool draining;
};

/* --- headers, negotiation --- */

/* Headers of an answer, in the arena of the exchange. */
#define ANSWER_HEADERS_MAX 24U
struct answer_headers {
    struct http_header items[ANSWER_HEADERS_MAX];
    size_t count;
};

void add_header(struct answer_headers *headers, const char *name, struct bytes value);
/* The part of a header before the next separator, trimmed; *rest goes on behind it. */
struct bytes header_next_part(struct bytes *rest, char separator);
/* CORS, when the request came from another origin (the front has checked it). */
void add_cors(struct answer_headers *headers, const struct http_request *http);
/* The answer to OPTIONS, also to a browser's preflight. */
void respond_options(struct http_exchange *exchange, const char *allow);
/* exchange_respond; a large body is compressed for who wants it. */
void respond_body(struct http_exchange *exchange, int http_status, struct answer_headers *headers,
                  struct bytes body);
/* A failure as problem+json; http_status 0 = the status' own. `allow` NULL = no such header. */
void respond_problem(struct http_exchange *exchange, const struct status *status, int http_status,
                     const char *allow);
/* The same of a call whose route is known, with pointers to the faulty fields in its body. */
void respond_problem_at(struct http_exchange *exchange, const struct schema_route *route,
                        const struct status *status, int http_status, const char *allow);

enum answer_form {
    ANSWER_JSON,
    ANSWER_PAGES,  /* NDJSON of a list: one page after the other */
    ANSWER_SSE,    /* a stream as Server-Sent Events */
    ANSWER_NDJSON, /* a stream as NDJSON */
    ANSWER_READY,  /* /readyz over GetHealth */
    ANSWER_SOCKET, /* a WebSocket handshake, let through when GetInfo is answered */
};

/* Is the path the wanted one, with or without a trailing slash? */
bool path_is(struct bytes path, const char *wanted);

/* False: nothing that the client accepts can be given. */
bool choose_form(const struct http_request *http, const struct schema_method *method, enum answer_form *ret);

/* Does Accept-Encoding prefer gzip? */
bool wants_gzip(const struct http_request *http);
/* False: the request's Content-Encoding says that its body is compressed. */
bool body_is_plain(const struct http_request *http);

/* --- a request on its way --- */

/*
 * One exchange, from on_request until on_done and the end of its upstream call.
 *
 * What follows no other rule is written before the upstream call begins, or by the one completing thread that
 * answers.
 */
struct gateway_call {
    atomic_uint references; /* the exchange's, one of an upstream call under way, one of a walk */
    struct gateway *gateway;
    struct http_exchange *exchange;   /* not touched once `answered` */
    const struct schema_route *route; /* NULL for ANSWER_READY and ANSWER_SOCKET */
    const struct schema_method *method;
    enum answer_form form;
    struct upstream_request request;
    struct buffer wire;         /* the packed request, in the exchange's arena */
    size_t first_request_bytes; /* ANSWER_PAGES: of `wire` without the token of a later page */
    struct link stream;         /* in gateway->streams, until on_done or on_drain; the front's thread only */
    bool begun;                 /* the stream's head is out */
    struct gzip *gzip;          /* of a stream or of pages whose client wants it; else NULL */
    bool told_closing;          /* its client knows that the stream ends, and why */
    int64_t told_position;      /* the last one that its client knows; -1: none */
    atomic_bool stopping;       /* the gateway has cancelled it and its client is still to be told */
    bool answered;              /* the finishing call was made */

    pthread_mutex_t lock;          /* guards what follows; a leaf */
    struct upstream_call *current; /* the call under way, with a reference; NULL when it has ended */
    bool closed;                   /* the client is gone */
    bool walking;                  /* a thread is in gateway_call_start */
    bool start_wanted;             /* and shall start another call */
    bool page_waits;               /* a page has been written and the next one waits for on_writable */
    bool page_writable;            /* on_writable came while a page was being written */
};

/* On the front's thread, in on_request; listens to the exchange. NULL when out of memory. */
struct gateway_call *gateway_call_make(struct gateway *gateway, struct http_exchange *exchange,
                                       const struct schema_method *method);
/* Starts the upstream call of `call->wire`. Any thread. */
void gateway_call_start(struct gateway_call *call);
/* The gateway stops: ends a stream so that its client is told. On the front's thread. */
void gateway_call_stop(struct gateway_call *call);

/* Finishing calls. */
void answer_problem(struct gateway_call *call, const struct status *status, int http_status);
void answer_reset(struct gateway_call *call);
void answer_end(struct gateway_call *call);

/* The head of a stream or of pages; all of it is compressed, when the client wants that. */
void answer_begin(struct gateway_call *call, struct answer_headers *headers);
/* Compresses a piece in place, if need be. False when out of memory: the answer cannot go on. */
bool answer_encode(struct gateway_call *call, struct buffer *piece);

/* answer.c */
void answer_reply(struct gateway_call *call, struct bytes reply, int http_status); /* a unary reply as JSON */
void add_reply_headers(struct answer_headers *headers, struct arena *arena,
                       const struct schema_message *message, struct bytes reply);

/* stream.c: messages of Subscribe. False = wait for on_writable. */
bool answer_message(struct gateway_call *call, struct bytes message);
void answer_stream_end(struct gateway_call *call, const struct status *status);

/* pages.c */
void answer_page(struct gateway_call *call, struct bytes reply);

/* --- packed bytes --- */

/*
 * The last occurrence of a field in packed bytes; false when it is not there, *ret then reads as the default.
 */
bool find_wire_field(struct bytes wire, uint32_t number, struct wire_field *ret);

/* One SubscribeResponse taken apart. */
enum stream_part { PART_EVENT, PART_CAUGHT_UP, PART_CHECKPOINT, PART_FELL_BEHIND, PART_CLOSING };
struct stream_item {
    enum stream_part part;
    const char *name;                     /* "event", "caught_up", … */
    const struct schema_message *message; /* Event, Checkpoint or Closing */
    struct bytes wire;
    int64_t position;
};
/* Calls `take` for each item; false from it does not stop the walk, it is only remembered and returned. */
bool stream_items(struct bytes response, bool (*take)(void *context, const struct stream_item *item),
                  void *context);
