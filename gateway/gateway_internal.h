/* What the parts of the gateway share: a request on its way through the upstream, and the forms of its answer. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/gateway.h"
#include "gateway/http/exchange.h"
#include "gateway/router_internal.h"
#include "gateway/upstream/upstream.h"

struct gateway {
    struct upstream *upstream;
    struct log *log;
    const struct clock *clock;
    struct front *front;
    struct websocket_server *websockets; /* NULL = off */
};

enum answer_form {
    ANSWER_JSON,
    ANSWER_PAGES,  /* NDJSON of a list: one page after the other */
    ANSWER_SSE,    /* a stream as Server-Sent Events */
    ANSWER_NDJSON, /* a stream as NDJSON */
    ANSWER_READY,  /* /readyz over GetHealth */
};

/* One exchange. Made by on_request, freed by on_done. */
struct gateway_call {
    struct gateway *gateway;
    struct http_exchange *exchange;
    const struct schema_route *route; /* NULL for ANSWER_READY */
    const struct schema_method *method;
    enum answer_form form;
    struct bytes origin; /* empty = none */
    struct buffer wire;  /* the request, in the exchange's arena */
    bool begun;          /* the stream's head is out; touched by one completing thread at a time */
    atomic_int waiting;  /* ANSWER_PAGES: a page has been written and the next one not asked for */
    size_t first_request_bytes; /* ANSWER_PAGES: of `wire` without a page token */
    pthread_mutex_t lock; /* guards `current` and `closed`: the front cancels while a page may be changing hands */
    struct upstream_call *current;
    bool closed;
};

/* Headers of an answer, in the arena of the exchange. */
#define ANSWER_HEADERS_MAX 24U
struct answer_headers {
    struct http_header items[ANSWER_HEADERS_MAX];
    size_t count;
};

void add_header(struct answer_headers *headers, const char *name, struct bytes value);
/* CORS, when the request came from another origin. */
void add_common_headers(struct answer_headers *headers, const struct gateway_call *call);
void answer_problem(struct gateway_call *call, const struct status *status, int http_status);

/* answer.c: a unary reply as JSON with its headers. */
void answer_reply(struct gateway_call *call, struct bytes reply, int http_status);

/* stream.c: messages of Subscribe and of other streams. False = wait for on_writable. */
bool answer_message(struct gateway_call *call, struct bytes message);
void answer_stream_end(struct gateway_call *call, const struct status *status);

/* pages.c: one page of a list. True when the next page is to be asked for at once. */
bool answer_page(struct gateway_call *call, struct bytes reply);

/* Starts the upstream call of `call->wire`. */
void gateway_call_start(struct gateway_call *call);

/* The last occurrence of a field in packed bytes; false when it is not there. */
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
bool stream_items(struct bytes response, bool (*take)(void *context, const struct stream_item *item), void *context);
