/*
 * A gateway on a real port, over a real method table whose handlers belong to the test.
 *
 * Handlers start on the front's or the WebSocket's thread, as in the product. fixture_later() takes a piece
 * of work to another thread, as stores do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#include "gateway/gateway.h"
#include "rpc/call.h"
#include "rpc/table.h"
#include "schema/schema.h"
#include "unit/gateway/http/raw_client.h"

typedef void fixture_handler(struct call *call, const ProtobufCMessage *request);

/* `options` NULL = development mode with /ws and pages of every loopback origin. */
void fixture_start(const struct gateway_options *options);
void fixture_stop(void);
uint16_t fixture_port(void);
struct gateway *fixture_gateway(void);
/* Without one a method is UNAVAILABLE. */
void fixture_handle(enum schema_method_id method, fixture_handler *handler);

/* On the worker thread, in the order of the calls. */
void fixture_later(void (*act)(void *context), void *context);

/* Counters that another thread raises and the test waits for, 20 s at most. */
struct gate;
struct gate *gate_new(void);
void gate_free(struct gate *gate);
void gate_raise(struct gate *gate);
void gate_wait(struct gate *gate, unsigned count);
unsigned gate_count(struct gate *gate);

/* --- a feed: what the bus does for Subscribe --- */

struct feed_options {
    int64_t first, last; /* positions to send, in batches of `batch`; then it stays live */
    size_t batch;
    size_t padding_bytes;     /* in each event's data */
    bool ends;                /* closes in order behind the last one */
    enum status_reason fails; /* or fails with this */
};
/* Answers Subscribe by a thread of its own. */
void feed_serve(const struct feed_options *options);
unsigned feed_count(void); /* feeds begun */
unsigned feed_ended(void); /* of which ended, cancelled or not */
void feed_wait_ended(unsigned count);
int64_t feed_sent(void);        /* the highest position sent by any */
const char *feed_request(void); /* the last one's SubscribeRequest as JSON */
void feed_wait_blocked(void);   /* until a feed was told to wait */

/* --- HTTP --- */

/* Closes with RST: the client is gone for certain. */
void raw_reset(int fd);

/* One request that asks to close: status, and head and body as text. Free with answer_done. */
struct answer {
    int http_status; /* 0: the connection was cut before the head */
    char *text;      /* all of it */
    const char *body;
};
struct answer ask(const char *verb, const char *path, const char *headers, const char *body);
void answer_done(struct answer *answer);
/* The parts are in the answer's text. */
void answer_has(const struct answer *answer, const char *part);
void answer_lacks(const struct answer *answer, const char *part);
