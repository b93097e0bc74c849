/*
 * One gRPC call on a connection of its own, over nghttp2's client session: light enough that a hundred of them with
 * 200,000 messages a second do not decide the figure, which gRPC's own client would. Loopback only, nothing encrypted.
 *
 * The socket does not block; its owner waits for it (h2_stream_fd) and calls h2_stream_read and h2_stream_flush.
 *
 * Ownership  The caller ends it with h2_stream_close. Messages are borrowed by the callback while it runs.
 * Threads    One at a time.
 * Blocking   h2_stream_open waits for the connection.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h2_stream;

struct h2_stream_options {
    const char *host; /* an address in numbers */
    uint16_t port;
    const char *path; /* "/strata.v1.EventService/AppendStream" */
    /* The client's window is 64 KiB and not opened again before h2_stream_open_window: what a subscriber that does not take
     * its messages looks like, although its connection is read. */
    bool shut_window;
    int receive_bytes; /* SO_RCVBUF; 0 = the system's */
    void (*on_message)(void *context, const uint8_t *message, size_t size_bytes);
    void *context;
};

/* NULL: *ret_error says why; constant text. */
struct h2_stream *h2_stream_open(const struct h2_stream_options *options, const char **ret_error);
void h2_stream_close(struct h2_stream *stream); /* NULL is fine */

/* Queues a message. h2_stream_flush sends it. */
void h2_stream_send(struct h2_stream *stream, const uint8_t *message, size_t size_bytes);
void h2_stream_end(struct h2_stream *stream); /* no more messages of ours */

/* Sends what the socket and the server's window take. False: broken. */
bool h2_stream_flush(struct h2_stream *stream);
bool h2_stream_wants_write(const struct h2_stream *stream); /* the socket had no room */

/* Takes what is there, and answers what the protocol wants answered. False: the call has ended or is broken. */
bool h2_stream_read(struct h2_stream *stream);

/* Of a shut one: from here on it takes what comes. False: broken. */
bool h2_stream_open_window(struct h2_stream *stream);

int h2_stream_fd(const struct h2_stream *stream);
/* "" while it runs and when it has ended with status 0. */
const char *h2_stream_error(const struct h2_stream *stream);
