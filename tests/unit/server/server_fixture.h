/*
 * A server with a tiny table, and the handlers that tests drive it with.
 *
 *   PublishEvent   by the request's type: "echo" answers at once; "late" from another thread; "conflict",
 * "faults" and "limit" fail; "hold" waits until it is cancelled; "not_modified" sets an HTTP status; "who"
 * answers with what came in the metadata ReadEvents     sends `limit` messages of STREAM_MESSAGE_BYTES as
 * fast as the peer takes them; 0 = until cancelled AppendStream   answers each message with its number, from
 * another thread; unreadable ones with their error
 */
#pragma once

#include <stdatomic.h>

#include "base/log.h"
#include "rpc/table.h"
#include "server/server.h"
#include "support/cmocka.h"
#include "support/grpc_client.h"

#define PUBLISH            "/strata.v1.EventService/PublishEvent"
#define READ_EVENTS        "/strata.v1.EventService/ReadEvents"
#define APPEND_STREAM      "/strata.v1.EventService/AppendStream"
#define HEALTH_CHECK       "/grpc.health.v1.Health/Check"
#define HEALTH_WATCH       "/grpc.health.v1.Health/Watch"
#define REFLECTION         "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECTION_V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

#define STREAM_MESSAGE_BYTES 16384U

struct worker; /* a thread that finishes calls */

struct fixture {
    struct rpc_table *table;
    struct server *server;
    struct worker *worker;
    atomic_int started;   /* handlers begun */
    atomic_int cancelled; /* on_cancel seen */
    atomic_int sent;      /* messages given to call_send by ReadEvents */
};

/* cmocka's setup and teardown: *state is the fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A packed PublishEventRequest in `to`; returns its bytes. */
struct bytes publish_request(struct buffer *to, const char *type, const char *aggregate_id);

/* Waits (bounded) until the counter has the value; a failed wait fails the test. */
void wait_for_count(const atomic_int *counter, int value, const char *what);
