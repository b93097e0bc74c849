/*
 * What the two files of HTTP/2 share: h2_connection.c owns session, socket and bounds, h2_stream.c the way from header
 * fields to an exchange and back. All on the front's thread; nothing here is locked.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "gateway/h2/h2_output.h"
#include "gateway/http/front_internal.h"

struct h2_connection {
    struct connection base;
    nghttp2_session *session;
    struct link streams;
    size_t stream_count;
    size_t arriving_count; /* of them: requests that are not complete yet */
    size_t arriving_bytes; /* bodies of those */
    size_t unsent_count;   /* streams whose answer waits for the client's window */
    struct h2_output out;
    int64_t sent_us;     /* when bytes last left, or there were none */
    int64_t cuts_us;     /* until when they are forgiven */
    unsigned cuts_count; /* requests that the client has cut off while they were worked on */
    bool leaving;        /* GOAWAY was sent: closes with its last stream */
    bool lingering;      /* everything was sent, input is dropped until the client closes */
};

/* A stream lives from its first header field until nghttp2 says that it is closed, or the connection is lost. */
struct h2_stream {
    struct h2_connection *connection;
    struct link all;
    int32_t id;
    int64_t began_us;
    /* Its request, first arriving, then with the handler. NULL: refused, or the answer is all here. */
    struct http_exchange *exchange;
    struct request_head head;
    struct bytes authority;
    size_t header_capacity;
    size_t header_bytes;
    bool too_large;       /* its header fields: the answer is 431 */
    bool arriving;        /* END_STREAM has not come; counted in arriving_count */
    bool dispatched;      /* the handler has it */
    size_t dropped_bytes; /* of the request, after it was refused */

    struct buffer body; /* of the answer, not yet framed: [body_at, size) */
    size_t body_at;
    bool head_only;   /* HEAD */
    bool body_ended;  /* nothing will be added to body */
    bool moved;       /* bytes of body were framed since exchange_sent was last told */
    int64_t moved_us; /* when bytes of body were last framed, or the first ones came; 0 = none wait */
};

/* Callbacks of the session. What they cannot do they say in nghttp2's words. */
int h2_stream_begin(struct h2_connection *connection, int32_t id);
void h2_stream_header(struct h2_stream *stream, struct bytes name, struct bytes value);
void h2_stream_head(struct h2_stream *stream, bool ended); /* all header fields are there */
void h2_stream_data(struct h2_stream *stream, struct bytes data);
void h2_stream_ended(struct h2_stream *stream);  /* END_STREAM of a request with a body */
void h2_stream_closed(struct h2_stream *stream); /* frees it */
/* Answers 408 if its request is arriving since before `arriving_us`; ends it if its answer does not move since `moved_us`. */
void h2_stream_overdue(struct h2_stream *stream, int64_t arriving_us, int64_t moved_us);
/* Tells the handlers of streams how much has left, and counts what waits. */
void h2_streams_sent(struct h2_connection *connection);
/* A request was cut off by its client while the handler worked on it. */
void h2_connection_cut(struct h2_connection *connection);

/* Frames what can be framed and sends what can be sent; may close the connection. */
void h2_connection_proceed(struct h2_connection *connection);
