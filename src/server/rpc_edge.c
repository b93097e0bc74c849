/*
 * The table's methods as exchanges: gRPC's metadata, deadline and peer become call_options, the handler's
 * answers the exchange's messages.
 */
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/call.h"
#include "rpc/status_details.h"
#include "server/server_internal.h"

static bool edge_send(void *edge, struct call *call, struct bytes message)
{
    (void)call;
    return exchange_send(edge, message);
}

static void edge_finish(void *edge, struct call *call, const struct status *status, struct bytes reply,
                        int http_status)
{
    (void)call; /* given back when the exchange is over: until then the poller may still tell it things */
    exchange_finish(edge, status, reply, http_status);
}

static void edge_message_done(void *edge, struct call *call)
{
    (void)call;
    exchange_resume(edge);
}

static const struct call_edge_ops edge_ops = {edge_send, edge_finish, edge_message_done};

/* gRPC names a connection that it was given "fd:12"; the listener knows who is behind it. */
static struct bytes peer_text(struct exchange *exchange, char text[PEER_MAX_BYTES])
{
    static const char prefix[] = "fd:";
    char *uri = grpc_call_get_peer(exchange->call);
    long fd = -1;
    if (strncmp(uri, prefix, sizeof prefix - 1) == 0)
        fd = strtol(uri + sizeof prefix - 1, NULL, 10);
    gpr_free(uri);
    return grpc_listener_peer(exchange->server->listener, (int)fd, text);
}

static bool key_is(const grpc_slice *key, const char *name, size_t length)
{
    return GRPC_SLICE_LENGTH(*key) == length && memcmp(GRPC_SLICE_START_PTR(*key), name, length) == 0;
}

/* What a client says it takes; more than we would send is no more than that. */
static size_t details_max_bytes(struct bytes text)
{
    size_t value = 0;
    for (size_t i = 0; i < text.size_bytes && value <= STATUS_DETAILS_MOST_BYTES; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return STATUS_DETAILS_MAX_BYTES;
        value = value * 10 + (size_t)(text.data[i] - '0');
    }
    if (value > STATUS_DETAILS_MOST_BYTES)
        return STATUS_DETAILS_MOST_BYTES;
    return value < STATUS_DETAILS_MAX_BYTES ? STATUS_DETAILS_MAX_BYTES : value;
}

static void read_metadata(struct exchange *exchange, struct call_options *options)
{
    const grpc_metadata_array *metadata = &exchange->metadata;
    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_slice *key = &metadata->metadata[i].key;
        const grpc_slice *value = &metadata->metadata[i].value;
        const struct bytes text = bytes_of(GRPC_SLICE_START_PTR(*value), GRPC_SLICE_LENGTH(*value));
        if (key_is(key, "authorization", 13))
            options->authorization = text;
        else if (key_is(key, "traceparent", 11))
            options->traceparent = text;
        else if (key_is(key, "strata-request-id", 17))
            options->request_id = text;
        else if (key_is(key, "strata-client-transport", 23))
            options->client_transport = text;
        else if (key_is(key, "strata-client-peer", 18))
            options->client_peer = text;
        else if (key_is(key, STATUS_DETAILS_METADATA, sizeof STATUS_DETAILS_METADATA - 1))
            exchange->details_max_bytes = details_max_bytes(text);
    }
}

/* On the server's monotonic clock; 0 = none. */
static int64_t deadline_us(const struct clock *clock, gpr_timespec deadline)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return 0;
    const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    const int64_t left_us = left.tv_sec * 1000000 + left.tv_nsec / 1000;
    const int64_t at_us = clock_monotonic_us(clock) + left_us;
    return at_us > 0 ? at_us : 1;
}

static void begin(struct exchange *exchange, struct bytes request)
{
    const struct server_options *server = &exchange->server->options;
    char peer[PEER_MAX_BYTES];
    struct call_options options = {
        .method = (enum schema_method_id)exchange->method->id,
        .ops = &edge_ops,
        .edge = exchange,
        .transport = "grpc",
        .peer = peer_text(exchange, peer),
        .deadline_us = deadline_us(server->clock, exchange->deadline),
    };
    read_metadata(exchange, &options);
    struct call *call = call_new(server->table, &options);
    if (call == NULL) {
        const struct status status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another call; try later");
        exchange_finish(exchange, &status, BYTES_NONE, 0);
        return;
    }
    exchange->context = call;
    rpc_call_start(call, request);
}

static void message(struct exchange *exchange, struct bytes bytes)
{
    rpc_call_message(exchange->context, bytes);
}

static void half_close(struct exchange *exchange)
{
    rpc_call_half_close(exchange->context);
}

static bool wants_message(const struct exchange *exchange)
{
    return rpc_call_wants_message(exchange->context);
}

static void writable(struct exchange *exchange)
{
    rpc_call_writable(exchange->context);
}

static void cancel(struct exchange *exchange)
{
    rpc_call_cancel(exchange->context);
}

static bool watches_cancel(const struct exchange *exchange)
{
    return exchange->context != NULL && rpc_call_watches_cancel(exchange->context);
}

static void over(struct exchange *exchange)
{
    call_unref(exchange->context);
}

const struct exchange_handler rpc_edge_handler = {begin,    message, half_close,     wants_message,
                                                  writable, cancel,  watches_cancel, over};
