#include "server/exchange_internal.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/status_details.h"
#include "server/server_internal.h"

/* --- memory --- */

struct exchange *exchange_new(struct server *server, struct exchange_method *method)
{
    struct exchange *exchange = server->free_exchanges;
    if (exchange != NULL) {
        server->free_exchanges = exchange->next;
    } else {
        exchange = calloc(1, sizeof *exchange);
        if (exchange == NULL)
            return NULL;
        exchange->server = server;
        grpc_metadata_array_init(&exchange->metadata);
        for (int kind = 0; kind < TAG_KINDS; kind++)
            exchange->tags[kind] = (struct tag){(enum tag_kind)kind, exchange};
    }
    exchange->method = method;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    assert(exchange->operations == 0);
    grpc_metadata_array_destroy(&exchange->metadata);
    if (exchange->payload != NULL)
        grpc_byte_buffer_destroy(exchange->payload);
    free(exchange);
}

/* Everything as calloc left it, but for what is kept: server, tags and the array of metadata. */
static void exchange_reset(struct exchange *exchange)
{
    exchange->call = NULL;
    exchange->metadata.count = 0;
    exchange->payload = NULL;
    exchange->context = NULL;
    exchange->cancelled = 0;
    exchange->begun = exchange->initial_sent = exchange->watching = false;
    exchange->reading = exchange->read_ended = false;
    exchange->writing = exchange->writing_message = exchange->ended = false;
    exchange->unsent = 0;
    exchange->blocked = exchange->read_paused = exchange->broken = exchange->finishing = false;
    exchange->trailer_count = 0;
}

static void outgoing_free(struct outgoing *outgoing)
{
    while (outgoing != NULL) {
        struct outgoing *next = outgoing->next;
        grpc_byte_buffer_destroy(outgoing->bytes);
        free(outgoing);
        outgoing = next;
    }
}

/* A message as one range: borrowed when gRPC has it in one piece, else joined into *slice, which is to be
 * released. */
static struct bytes payload_bytes(grpc_byte_buffer *payload, grpc_slice *slice)
{
    *slice = grpc_empty_slice();
    if (payload->type == GRPC_BB_RAW && payload->data.raw.compression == GRPC_COMPRESS_NONE &&
        payload->data.raw.slice_buffer.count == 1) {
        const grpc_slice *only = &payload->data.raw.slice_buffer.slices[0];
        return bytes_of(GRPC_SLICE_START_PTR(*only), GRPC_SLICE_LENGTH(*only));
    }
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, payload))
        return BYTES_NONE;
    *slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return bytes_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
}

/* --- batches: polling thread --- */

static void start_batch(struct exchange *exchange, const grpc_op *ops, size_t count, enum tag_kind kind)
{
    exchange->operations++;
    const grpc_call_error error =
        grpc_call_start_batch(exchange->call, ops, count, &exchange->tags[kind], NULL);
    assert(error == GRPC_CALL_OK); /* anything else is a batch that gRPC does not allow: our bug */
}

static void start_watching(struct exchange *exchange)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &exchange->cancelled;
    exchange->watching = true;
    start_batch(exchange, &op, 1, TAG_CLOSED);
}

/* Lets a client see that its stream is open before there is anything to send. */
static void start_headers(struct exchange *exchange)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_INITIAL_METADATA;
    exchange->initial_sent = true;
    exchange->writing = true;
    start_batch(exchange, &op, 1, TAG_WRITTEN);
}

static void start_reading(struct exchange *exchange)
{
    struct server *server = exchange->server;
    const struct exchange_handler *handler = exchange->method->handler;
    if (!exchange->method->client_stream || exchange->reading || exchange->read_ended || exchange->ended)
        return;
    /* Asked under the lock, so that an exchange_resume() in between is either seen here or sees
     * `read_paused`. */
    pthread_mutex_lock(&server->outbox_lock);
    const bool wanted = !exchange->finishing && exchange->unsent < EXCHANGE_READ_BELOW &&
                        (handler->wants_message == NULL || handler->wants_message(exchange));
    exchange->read_paused = !wanted;
    pthread_mutex_unlock(&server->outbox_lock);
    if (!wanted)
        return;
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &exchange->payload;
    exchange->reading = true;
    start_batch(exchange, &op, 1, TAG_READ);
}

/* Message and status share a batch where both are there: a unary reply is one batch in all. */
static void start_writing(struct exchange *exchange, struct outgoing *outgoing, bool end)
{
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    size_t count = 0;
    if (!exchange->initial_sent)
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (outgoing != NULL) {
        ops[count].op = GRPC_OP_SEND_MESSAGE;
        ops[count++].data.send_message.send_message = outgoing->bytes;
    }
    if (end) {
        ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[count].data.send_status_from_server.status = exchange->code;
        ops[count].data.send_status_from_server.status_details = &exchange->message;
        ops[count].data.send_status_from_server.trailing_metadata_count = exchange->trailer_count;
        ops[count++].data.send_status_from_server.trailing_metadata = exchange->trailers;
    }
    if (end && !exchange->watching) {
        ops[count].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[count++].data.recv_close_on_server.cancelled = &exchange->cancelled;
    }
    exchange->initial_sent = true;
    exchange->writing = true;
    exchange->writing_message = outgoing != NULL;
    exchange->ended = end;
    start_batch(exchange, ops, count, end ? TAG_ENDED : TAG_WRITTEN);
    outgoing_free(outgoing); /* gRPC has taken the bytes */
}

void exchange_pump(struct exchange *exchange)
{
    start_reading(exchange);
    if (exchange->writing || exchange->ended)
        return;
    pthread_mutex_lock(&exchange->server->outbox_lock);
    struct outgoing *outgoing = exchange->out_first;
    if (outgoing != NULL) {
        exchange->out_first = outgoing->next;
        outgoing->next = NULL;
    }
    if (exchange->out_first == NULL)
        exchange->out_last = NULL;
    const bool end = exchange->finishing && exchange->out_first == NULL;
    pthread_mutex_unlock(&exchange->server->outbox_lock);
    if (outgoing != NULL || end)
        start_writing(exchange, outgoing, end);
}

/* --- events: polling thread --- */

static bool is_finishing(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->server->outbox_lock);
    const bool finishing = exchange->finishing;
    pthread_mutex_unlock(&exchange->server->outbox_lock);
    return finishing;
}

static void begin(struct exchange *exchange)
{
    const struct exchange_method *method = exchange->method;
    grpc_byte_buffer *payload = exchange->payload;
    exchange->payload = NULL;
    if (method->client_stream) {
        method->handler->begin(exchange, BYTES_NONE);
    } else if (payload == NULL) {
        /* gRPC reports a call that was half-closed without a message like any other. */
        const struct status status =
            status_error(STATUS_INVALID_ARGUMENT, "the call ended without a request; send one message");
        exchange_finish(exchange, &status, BYTES_NONE, 0);
    } else {
        grpc_slice joined;
        const struct bytes request = payload_bytes(payload, &joined);
        method->handler->begin(exchange, request);
        grpc_slice_unref(joined);
    }
    if (payload != NULL)
        grpc_byte_buffer_destroy(payload);
}

void exchange_arrived(struct exchange *exchange)
{
    const struct exchange_method *method = exchange->method;
    const bool stream = method->client_stream || method->server_stream;
    exchange->begun = true;
    if (stream)
        start_watching(exchange);
    begin(exchange);
    if (exchange->ended)
        return;
    if (!stream && method->handler->watches_cancel != NULL && method->handler->watches_cancel(exchange))
        start_watching(exchange);
    exchange_pump(exchange);
    if (method->server_stream && !exchange->writing && !exchange->initial_sent)
        start_headers(exchange);
}

static void message_read(struct exchange *exchange, bool success)
{
    const struct exchange_handler *handler = exchange->method->handler;
    grpc_byte_buffer *payload = exchange->payload;
    exchange->payload = NULL;
    exchange->reading = false;
    const bool deliver = !is_finishing(exchange);
    if (!success || payload == NULL) {
        exchange->read_ended = true;
        if (deliver)
            handler->half_close(exchange);
    } else if (deliver) {
        grpc_slice joined;
        const struct bytes message = payload_bytes(payload, &joined);
        handler->message(exchange, message);
        grpc_slice_unref(joined);
    }
    if (payload != NULL)
        grpc_byte_buffer_destroy(payload);
    exchange_pump(exchange);
}

static void message_written(struct exchange *exchange, bool success)
{
    struct outgoing *dropped = NULL;
    exchange->writing = false;
    pthread_mutex_lock(&exchange->server->outbox_lock);
    if (exchange->writing_message)
        exchange->unsent--;
    if (!success) { /* the peer is gone; its close is on the way */
        exchange->broken = true;
        dropped = exchange->out_first;
        exchange->out_first = exchange->out_last = NULL;
        exchange->unsent = 0;
    }
    const bool tell = exchange->blocked && exchange->unsent < EXCHANGE_SEND_AHEAD && !exchange->finishing;
    if (tell)
        exchange->blocked = false;
    pthread_mutex_unlock(&exchange->server->outbox_lock);
    exchange->writing_message = false;
    outgoing_free(dropped);
    exchange_pump(exchange);
    if (tell && exchange->method->handler->writable != NULL)
        exchange->method->handler->writable(exchange);
}

static void over(struct exchange *exchange)
{
    assert(!exchange->queued);
    assert(exchange->out_first == NULL);
    if (exchange->method->handler->over != NULL && exchange->context != NULL)
        exchange->method->handler->over(exchange);
    grpc_call_unref(exchange->call);
    grpc_slice_unref(exchange->message);
    for (size_t i = 0; i < exchange->trailer_count; i++)
        grpc_slice_unref(exchange->trailers[i].value);
    struct server *server = exchange->server;
    exchange_reset(exchange);
    server_recycle(server, exchange);
}

void exchange_completed(struct exchange *exchange, enum tag_kind kind, bool success)
{
    assert(exchange->operations > 0);
    exchange->operations--;
    switch (kind) {
    case TAG_READ:
        message_read(exchange, success);
        break;
    case TAG_WRITTEN:
        message_written(exchange, success);
        break;
    case TAG_CLOSED:
        if (exchange->cancelled != 0 && exchange->context != NULL &&
            exchange->method->handler->cancel != NULL)
            exchange->method->handler->cancel(exchange);
        break;
    default:
        assert(kind == TAG_ENDED);
        break;
    }
    if (exchange->ended && exchange->operations == 0)
        over(exchange);
}

/* --- for handlers: any thread --- */

/* The poller acts at once when it is the caller, else it is told. Called with outbox_lock held, which it
 * releases. */
static void release_and_wake(struct exchange *exchange)
{
    struct server *server = exchange->server;
    if (server_on_poller(server)) {
        pthread_mutex_unlock(&server->outbox_lock);
        exchange_pump(exchange);
        return;
    }
    const bool ring = server_enqueue(server, exchange);
    pthread_mutex_unlock(&server->outbox_lock);
    if (ring)
        server_ring(server);
}

static struct outgoing *outgoing_new(struct bytes message)
{
    struct outgoing *outgoing = malloc(sizeof *outgoing);
    if (outgoing == NULL)
        return NULL;
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message.data, message.size_bytes);
    outgoing->next = NULL;
    outgoing->bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return outgoing;
}

/* Called with outbox_lock held. */
static void outbox_add(struct exchange *exchange, struct outgoing *outgoing)
{
    if (exchange->out_last != NULL)
        exchange->out_last->next = outgoing;
    else
        exchange->out_first = outgoing;
    exchange->out_last = outgoing;
    exchange->unsent++;
    assert(exchange->unsent <= EXCHANGE_UNSENT_MAX); /* a handler that never heeds `false` */
}

bool exchange_send(struct exchange *exchange, struct bytes message)
{
    struct server *server = exchange->server;
    struct outgoing *outgoing = outgoing_new(message);
    pthread_mutex_lock(&server->outbox_lock);
    assert(!exchange->finishing);
    if (outgoing == NULL)
        exchange->broken = true; /* a stream with a message missing must not go on */
    if (exchange->broken) {
        pthread_mutex_unlock(&server->outbox_lock);
        outgoing_free(outgoing);
        return true;
    }
    outbox_add(exchange, outgoing);
    const bool more = exchange->unsent < EXCHANGE_SEND_AHEAD;
    exchange->blocked = !more;
    release_and_wake(exchange);
    return more;
}

static void set_trailers(struct exchange *exchange, const struct status *status, int http_status)
{
    if (!status_is_ok(status)) {
        struct buffer details = buffer_make(0);
        status_details_encode(status, &details);
        exchange->trailers[exchange->trailer_count++] = (grpc_metadata){
            .key = grpc_slice_from_static_string("grpc-status-details-bin"),
            .value = grpc_slice_from_copied_buffer((const char *)details.data, details.size_bytes),
        };
        buffer_done(&details);
    }
    if (http_status != 0) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", http_status);
        exchange->trailers[exchange->trailer_count++] = (grpc_metadata){
            .key = grpc_slice_from_static_string("strata-http-status"),
            .value = grpc_slice_from_copied_string(text),
        };
    }
}

void exchange_finish(struct exchange *exchange, const struct status *status, struct bytes reply,
                     int http_status)
{
    struct server *server = exchange->server;
    const bool has_reply = status_is_ok(status) && !exchange->method->server_stream;
    struct outgoing *outgoing = has_reply ? outgoing_new(reply) : NULL;
    const struct status failure = has_reply && outgoing == NULL
                                      ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the reply")
                                      : status_ok();
    const struct status *end = status_is_ok(&failure) ? status : &failure;
    exchange->code = (grpc_status_code)end->code;
    exchange->message = status_is_ok(end) ? grpc_empty_slice() : grpc_slice_from_copied_string(end->message);
    set_trailers(exchange, end, http_status);

    pthread_mutex_lock(&server->outbox_lock);
    assert(!exchange->finishing);
    if (outgoing != NULL)
        outbox_add(exchange, outgoing);
    if (exchange->broken && status_is_ok(end))
        exchange->code = GRPC_STATUS_DATA_LOSS; /* never ended as if complete */
    exchange->finishing = true;
    release_and_wake(exchange);
}

void exchange_resume(struct exchange *exchange)
{
    struct server *server = exchange->server;
    if (server_on_poller(server)) {
        start_reading(exchange);
        return;
    }
    pthread_mutex_lock(&server->outbox_lock);
    const bool ring = exchange->read_paused && server_enqueue(server, exchange);
    pthread_mutex_unlock(&server->outbox_lock);
    if (ring)
        server_ring(server);
}
