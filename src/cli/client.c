#include "cli/client_internal.h"

#include <assert.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/status_details.h"

#define RECEIVE_MAX_BYTES (16 * 1024 * 1024)
#define DETAILS_KEY       "grpc-status-details-bin"
#define TURN_WAIT_MS      60000
#define STOP_ASKED_MS     250
#define HTTP_ANSWER       "Received http2 header with status: " /* as gRPC core puts it */

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    char address[256];
};

/* One call in progress and everything that its batches fill. */
struct exchange {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *message;
    size_t under_way; /* batches of a struct client_turns that were started and have not completed */
};

/* What fails is a status, which is said once and in our words. */
static void log_nothing(gpr_log_func_args *arguments)
{
    (void)arguments;
}

struct status client_new(const char *address, struct client **ret)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the client");
    (void)snprintf(client->address, sizeof client->address, "%s", address); /* shown in messages only */
    if (getenv("GRPC_VERBOSITY") == NULL)
        gpr_set_log_function(log_nothing);
    grpc_init();
    grpc_arg items[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = RECEIVE_MAX_BYTES},
        /* A connection of its own, so that a new client tries at once what an earlier one waits for. */
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
    };
    const grpc_channel_args arguments = {sizeof items / sizeof items[0], items};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    client->channel = grpc_channel_create(address, credentials, &arguments);
    grpc_channel_credentials_release(credentials);
    client->queue = grpc_completion_queue_create_for_next(NULL);
    *ret = client;
    return status_ok();
}

/* Nothing is under way on it. */
static void queue_free(grpc_completion_queue *queue)
{
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(queue);
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    grpc_channel_destroy(client->channel);
    queue_free(client->queue);
    grpc_shutdown();
    free(client);
}

/* Batches carry their own address as tag, and only one call is under way: the order of completion is enough. */
static void batch_start(struct exchange *exchange, const grpc_op *ops, size_t count, void *tag)
{
    const grpc_call_error error = grpc_call_start_batch(exchange->call, ops, count, tag, NULL);
    assert(error == GRPC_CALL_OK);
}

static void exchange_begin(struct client *client, struct exchange *exchange, const char *path,
                           struct bytes request, int timeout_ms, void *status_tag)
{
    *exchange = (struct exchange){.details = grpc_empty_slice()};
    grpc_metadata_array_init(&exchange->initial);
    grpc_metadata_array_init(&exchange->trailing);
    const gpr_timespec deadline =
        timeout_ms == 0
            ? gpr_inf_future(GPR_CLOCK_REALTIME)
            : gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    grpc_slice method = grpc_slice_from_copied_string(path);
    exchange->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                              method, NULL, deadline, NULL);
    grpc_slice_unref(method);
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)request.data, request.size_bytes);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op ops[5];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = buffer;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &exchange->initial;
    ops[4].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[4].data.recv_status_on_client.trailing_metadata = &exchange->trailing;
    ops[4].data.recv_status_on_client.status = &exchange->code;
    ops[4].data.recv_status_on_client.status_details = &exchange->details;
    batch_start(exchange, ops, 4, exchange);
    batch_start(exchange, &ops[4], 1, status_tag);
    grpc_byte_buffer_destroy(buffer);
}

/* Moves the message that came into the arena; false when there is none. */
static bool exchange_take(struct exchange *exchange, struct arena *arena, struct bytes *ret)
{
    if (exchange->message == NULL)
        return false;
    grpc_byte_buffer_reader reader;
    const int usable = grpc_byte_buffer_reader_init(&reader, exchange->message);
    assert(usable != 0);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    *ret = arena_bytes(arena, bytes_of(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(exchange->message);
    exchange->message = NULL;
    return true;
}

/* Asks for the next message. */
static void exchange_ask(struct exchange *exchange)
{
    grpc_op receive = {.op = GRPC_OP_RECV_MESSAGE};
    receive.data.recv_message.recv_message = &exchange->message;
    batch_start(exchange, &receive, 1, &exchange->message);
}

/* Waits for whatever completes until what was asked for has, at most `wait_ms` (-1: for ever); false when the time
 * is over. */
static bool exchange_wait(struct client *client, struct exchange *exchange, int wait_ms, bool *status_seen,
                          const void *status_tag)
{
    const gpr_timespec until =
        wait_ms < 0 ? gpr_inf_future(GPR_CLOCK_REALTIME)
                    : gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
    for (;;) {
        const grpc_event event = grpc_completion_queue_next(client->queue, until, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            return false;
        *status_seen = *status_seen || event.tag == status_tag;
        if (event.tag == &exchange->message)
            return true;
    }
}

static struct status exchange_status(const struct client *client, const struct exchange *exchange,
                                     struct arena *arena)
{
    if (exchange->code == GRPC_STATUS_OK)
        return status_ok();
    for (size_t i = 0; i < exchange->trailing.count; i++) {
        const grpc_metadata *item = &exchange->trailing.metadata[i];
        struct status status;
        if (grpc_slice_str_cmp(item->key, DETAILS_KEY) == 0 &&
            status_details_decode(bytes_of(GRPC_SLICE_START_PTR(item->value), GRPC_SLICE_LENGTH(item->value)),
                                  arena, &status)
                    .code == STATUS_OK)
            return status;
    }
    const int length = (int)GRPC_SLICE_LENGTH(exchange->details);
    const char *text = (const char *)GRPC_SLICE_START_PTR(exchange->details);
    if (exchange->code == GRPC_STATUS_UNAVAILABLE)
        return status_error(
            STATUS_UNAVAILABLE,
            "no answer from %s (%.*s); start the service with `strata serve` or name it with --address",
            client->address, length, text);
    if (length >= (int)strlen(HTTP_ANSWER) && memcmp(text, HTTP_ANSWER, strlen(HTTP_ANSWER)) == 0)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s speaks HTTP, not gRPC (%.*s); give the service's gRPC port (server.grpc_port) "
            "with --address",
            client->address, length, text);
    return status_error((enum status_code)exchange->code, "%.*s", length, text);
}

static struct status exchange_end(struct client *client, struct exchange *exchange, bool status_seen,
                                  void *status_tag, struct arena *arena)
{
    while (!status_seen) {
        const grpc_event event =
            grpc_completion_queue_next(client->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        status_seen = event.tag == status_tag;
    }
    struct status status = exchange_status(client, exchange, arena);
    grpc_metadata_array_destroy(&exchange->initial);
    grpc_metadata_array_destroy(&exchange->trailing);
    grpc_slice_unref(exchange->details);
    grpc_call_unref(exchange->call);
    return status;
}

struct status client_unary(struct client *client, const char *path, struct bytes request, int timeout_ms,
                           struct arena *arena, struct bytes *ret)
{
    struct exchange exchange;
    char status_tag = 0;
    bool status_seen = false;
    struct bytes reply = BYTES_NONE;
    exchange_begin(client, &exchange, path, request, timeout_ms, &status_tag);
    exchange_ask(&exchange);
    (void)exchange_wait(client, &exchange, -1, &status_seen, &status_tag); /* the call's deadline ends it */
    const bool got = exchange_take(&exchange, arena, &reply);
    STATUS_TRY(exchange_end(client, &exchange, status_seen, &status_tag, arena));
    if (!got || (reply.data == NULL && reply.size_bytes > 0))
        return status_error(STATUS_INTERNAL, "%s answered without a message", client->address);
    *ret = reply;
    return status_ok();
}

enum stream_end { STREAM_GOES_ON, STREAM_STOPPED, STREAM_SILENT };

/* Waits for the message that was asked for, with patience. */
static enum stream_end stream_wait(struct client *client, struct exchange *exchange,
                                   const struct client_patience *patience, void *context, bool *status_seen,
                                   const void *status_tag)
{
    const bool asks = patience->stop != NULL || patience->silence_ms > 0;
    int waited_ms = 0;
    while (!exchange_wait(client, exchange, asks ? STOP_ASKED_MS : -1, status_seen, status_tag)) {
        waited_ms += STOP_ASKED_MS;
        if (patience->stop != NULL && patience->stop(context))
            return STREAM_STOPPED;
        if (patience->silence_ms > 0 && waited_ms >= patience->silence_ms)
            return STREAM_SILENT;
    }
    return STREAM_GOES_ON;
}

struct status client_stream(struct client *client, const char *path, struct bytes request,
                            const struct client_patience *patience, struct arena *arena,
                            client_message on_message, void *context)
{
    static const struct client_patience none;
    struct exchange exchange;
    char status_tag = 0;
    bool status_seen = false;
    bool asked = false;
    enum stream_end end = STREAM_GOES_ON;
    patience = patience == NULL ? &none : patience;
    exchange_begin(client, &exchange, path, request, 0, &status_tag);
    while (end == STREAM_GOES_ON) {
        struct bytes message = BYTES_NONE;
        exchange_ask(&exchange);
        end = stream_wait(client, &exchange, patience, context, &status_seen, &status_tag);
        asked = end != STREAM_GOES_ON;
        if (asked || !exchange_take(&exchange, arena, &message))
            break;
        if (!on_message(context, message))
            end = STREAM_STOPPED;
        arena_reset(arena);
        if (end == STREAM_GOES_ON && patience->stop != NULL && patience->stop(context))
            end = STREAM_STOPPED;
    }
    if (end != STREAM_GOES_ON)
        (void)grpc_call_cancel(exchange.call, NULL); /* the end is read below whatever it says */
    if (asked) {
        (void)exchange_wait(client, &exchange, -1, &status_seen, &status_tag);
        grpc_byte_buffer_destroy(exchange.message);
    }
    struct status status = exchange_end(client, &exchange, status_seen, &status_tag, arena);
    if (end == STREAM_SILENT)
        return status_error(STATUS_UNAVAILABLE, "%s has said nothing for %d s", client->address,
                            patience->silence_ms / 1000);
    return end == STREAM_STOPPED ? status_ok() : status;
}

/* --- in turns --- */

struct client_turns {
    struct client *client;
    grpc_completion_queue *queue; /* its own: unary calls of the client take what completes on the client's */
    struct exchange exchange;
    bool ended; /* the call's status has come */
    char status_tag;
    char send_tag;
};

static void turns_start(struct client_turns *turns, const grpc_op *ops, size_t count, void *tag)
{
    turns->exchange.under_way++;
    batch_start(&turns->exchange, ops, count, tag);
}

/* Waits for `tag`, at most `wait_ms` for each thing that completes; false when nothing did. */
static bool turns_wait(struct client_turns *turns, const void *tag, int wait_ms)
{
    while (turns->exchange.under_way > 0) {
        const gpr_timespec until =
            gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
        const grpc_event event = grpc_completion_queue_next(turns->queue, until, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            return false;
        turns->exchange.under_way--;
        turns->ended = turns->ended || event.tag == &turns->status_tag;
        if (event.tag == tag)
            return true;
    }
    return false;
}

struct status client_turns_new(struct client *client, const char *path, struct client_turns **ret)
{
    struct client_turns *turns = calloc(1, sizeof *turns);
    if (turns == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the call");
    struct exchange *exchange = &turns->exchange;
    turns->client = client;
    turns->queue = grpc_completion_queue_create_for_next(NULL);
    exchange->details = grpc_empty_slice();
    grpc_metadata_array_init(&exchange->initial);
    grpc_metadata_array_init(&exchange->trailing);
    grpc_slice method = grpc_slice_from_copied_string(path);
    exchange->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, turns->queue,
                                              method, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_slice_unref(method);
    grpc_op ops[3];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &exchange->initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &exchange->trailing;
    ops[2].data.recv_status_on_client.status = &exchange->code;
    ops[2].data.recv_status_on_client.status_details = &exchange->details;
    turns_start(turns, ops, 1, exchange);
    turns_start(turns, &ops[1], 1, &exchange->initial);
    turns_start(turns, &ops[2], 1, &turns->status_tag);
    *ret = turns;
    return status_ok();
}

void client_turns_free(struct client_turns *turns)
{
    if (turns == NULL)
        return;
    struct exchange *exchange = &turns->exchange;
    if (!turns->ended)
        (void)grpc_call_cancel(exchange->call, NULL); /* then all batches complete */
    while (exchange->under_way > 0)
        (void)turns_wait(turns, NULL, TURN_WAIT_MS);
    grpc_byte_buffer_destroy(exchange->message);
    grpc_metadata_array_destroy(&exchange->initial);
    grpc_metadata_array_destroy(&exchange->trailing);
    grpc_slice_unref(exchange->details);
    grpc_call_unref(exchange->call);
    queue_free(turns->queue);
    free(turns);
}

static struct status silent(const struct client_turns *turns)
{
    return status_error(STATUS_UNAVAILABLE, "%s has not answered for %d s", turns->client->address,
                        TURN_WAIT_MS / 1000);
}

struct status client_turns_send(struct client_turns *turns, struct bytes message)
{
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message.data, message.size_bytes);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op sending = {.op = GRPC_OP_SEND_MESSAGE};
    sending.data.send_message.send_message = buffer;
    turns_start(turns, &sending, 1, &turns->send_tag);
    /* A send that failed is told by the status, which receiving asks for. */
    const bool sent = turns_wait(turns, &turns->send_tag, TURN_WAIT_MS);
    grpc_byte_buffer_destroy(buffer);
    return sent ? status_ok() : silent(turns);
}

struct status client_turns_receive(struct client_turns *turns, struct arena *arena, struct bytes *ret)
{
    struct exchange *exchange = &turns->exchange;
    grpc_op receive = {.op = GRPC_OP_RECV_MESSAGE};
    receive.data.recv_message.recv_message = &exchange->message;
    turns_start(turns, &receive, 1, &exchange->message);
    if (!turns_wait(turns, &exchange->message, TURN_WAIT_MS))
        return silent(turns);
    struct bytes reply = BYTES_NONE;
    if (exchange_take(exchange, arena, &reply)) {
        if (reply.data == NULL && reply.size_bytes > 0)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an answer");
        *ret = reply;
        return status_ok();
    }
    if (!turns->ended && !turns_wait(turns, &turns->status_tag, TURN_WAIT_MS))
        return silent(turns);
    STATUS_TRY(exchange_status(turns->client, exchange, arena));
    return status_error(STATUS_INTERNAL, "%s ended the stream without an answer", turns->client->address);
}
