/*
 * An edge for tests: makes calls through the real method table and waits for what comes of them.
 *
 * Threads  One call or stream belongs to one test thread; replies may come from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/call.h"
#include "rpc/table.h"

#define TEST_FAULTS_MAX 8U

struct test_reply {
    struct status status; /* its faults are in the two below */
    int http_status;
    struct bytes bytes;               /* owned */
    char faults[TEST_FAULTS_MAX][64]; /* names of the faulty fields */
    size_t fault_count;
};

/* A unary call, from start to finish. */
struct test_reply test_call(struct rpc_table *table, enum schema_method_id method,
                            const ProtobufCMessage *request);
void test_reply_done(struct test_reply *reply);
/* The reply as a message of the method's; NULL after a failure. Free it with test_message_free. */
void *test_reply_message(const struct test_reply *reply, const ProtobufCMessageDescriptor *type);
void test_message_free(void *message);

/* A unary call that is waited for later, so that many can be under way. */
struct test_pending;
struct test_pending *test_call_begin(struct rpc_table *table, enum schema_method_id method,
                                     const ProtobufCMessage *request);
struct test_reply test_call_end(struct test_pending *pending);

/* A stream. `window` > 0: so many messages are taken before the stream asks to wait; test_stream_read makes room. */
struct test_stream;
struct test_stream *test_stream_open(struct rpc_table *table, enum schema_method_id method,
                                     const ProtobufCMessage *request, size_t window);
/* The same for a client of another kind; NULL texts: as it is else. */
struct test_client {
    const char *transport;        /* "test" */
    const char *peer;             /* "127.0.0.1:1" */
    const char *client_transport; /* nothing */
    const char *client_peer;      /* nothing */
};
struct test_stream *test_stream_open_by(struct rpc_table *table, enum schema_method_id method,
                                        const ProtobufCMessage *request, size_t window,
                                        const struct test_client *client);
/* The next message; false when the stream has ended. The bytes are the test's (free). Fails the test after 30 s. */
bool test_stream_read(struct test_stream *stream, struct bytes *ret);
bool test_stream_has(struct test_stream *stream); /* is a message there already? */
/* Waits for the window. */
void test_stream_write(struct test_stream *stream, const ProtobufCMessage *message);
void test_stream_half_close(struct test_stream *stream);
void test_stream_cancel(struct test_stream *stream);
/* Waits for the end, drops unread messages, frees. */
struct status test_stream_close(struct test_stream *stream);
