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

struct exchange *server_exchange_new(struct server *server, struct exchange_method *method)
{
    struct exchange *exchange = server->free_exchanges;
    if (exchange != NULL) {
        server->free_exchanges = exchange->next_free;
    } else {
        exchange = calloc(1, sizeof *exchange);
        if (exchange == NULL)
            return NULL;
        exchange->server = server;
        grpc_metadata_array_init(&exchange->metadata);
        grpc_call_details_init(&exchange->details);
        for (int kind = 0; kind < TAG_KINDS; kind++)
            exchange->tags[kind] = (struct tag){(enum tag_kind)kind, exchange};
    }
    exchange->method = method;
    exchange->details_max_bytes = STATUS_DETAILS_MAX_BYTES;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    assert(exchange->operations == 0);
    grpc_metadata_array_destroy(&exchange->metadata);
    grpc_call_details_destroy(&exchange->details);
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
    exchange->cancelled = 0;
    exchange->context = NULL;
    exchange->unsent = 0;
    exchange->initial_sent = exchange->headers_due = exchange->watching = false;
    exchange->reading = exchange->read_ended = false;
    exchange->writing = exchange->writing_message = exchange->ended = false;
    exchange->blocked = exchange->broken = exchange->finishing = false;
    exchange->ending = (struct ending){.code = GRPC_STATUS_OK};
}

static void ending_free(struct ending *ending)
{
    grpc_slice_unref(ending->message);
    for (size_t i = 0; i < ending->trailer_count; i++)
        grpc_slice_unref(ending->trailers[i].value);
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

/* A message as one range: borrowed when gRPC has it in one piece, else joined
 * into *slice, which is to be released. */
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

/* --- batches --- */

/*
 * What is to be started, decided under outbox_lock. Once a batch has been started the exchange
 * may be over and in use again on the polling thread, so only what is copied here and
 * addresses inside the exchange are used for it.
 */
struct batch {
    struct exchange *exchange;
    grpc_call *call;
    bool headers;
    struct outgoing *message; /* NULL = none */
    bool more;                /* another message waits behind it */
    bool end;
    bool close; /* RECV_CLOSE_ON_SERVER, if nothing has asked for it before */
    grpc_status_code code;
    size_t trailer_count;
};

static void start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct tag *tag)
{
    const grpc_call_error error = grpc_call_start_batch(call, ops, count, tag, NULL);
    assert(error == GRPC_CALL_OK); /* anything else is a batch that gRPC does not allow: our bug */
}

static void start_watching(struct exchange *exchange)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &exchange->cancelled;
    start_batch(exchange->call, &op, 1, &exchange->tags[TAG_CLOSED]);
}

static void start_reading(struct exchange *exchange, grpc_call *call)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &exchange->payload;
    start_batch(call, &op, 1, &exchange->tags[TAG_READ]);
}

/* Message and status share a batch where both are there: a unary reply is one batch in all. */
static void start_writing(const struct batch *batch)
{
    struct exchange *exchange = batch->exchange;
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    size_t count = 0;
    if (batch->headers)
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (batch->message != NULL) {
        ops[count].op = GRPC_OP_SEND_MESSAGE;
        /* What comes behind it at once may share its system call. With headers in the batch gRPC would hang. */
        ops[count].flags = batch->more && !batch->headers ? GRPC_WRITE_BUFFER_HINT : 0;
        ops[count++].data.send_message.send_message = batch->message->bytes;
    }
    if (batch->end) {
        ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[count].data.send_status_from_server.status = batch->code;
        ops[count].data.send_status_from_server.status_details = &exchange->ending.message;
        ops[count].data.send_status_from_server.trailing_metadata_count = batch->trailer_count;
        ops[count++].data.send_status_from_server.trailing_metadata = exchange->ending.trailers;
    }
    if (batch->close) {
        ops[count].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[count++].data.recv_close_on_server.cancelled = &exchange->cancelled;
    }
    start_batch(batch->call, ops, count, &exchange->tags[batch->end ? TAG_ENDED : TAG_WRITTEN]);
    outgoing_free(batch->message); /* gRPC has taken the bytes */
}

/* outbox_lock is held. */
static bool decide_read(struct exchange *exchange)
{
    const struct exchange_handler *handler = exchange->method->handler;
    if (!exchange->method->client_stream || exchange->context == NULL || exchange->reading ||
        exchange->read_ended || exchange->finishing || exchange->unsent >= EXCHANGE_READ_BELOW)
        return false;
    if (handler->wants_message != NULL && !handler->wants_message(exchange))
        return false;
    exchange->reading = true;
    exchange->operations++;
    return true;
}

/* outbox_lock is held. */
static bool decide_write(struct exchange *exchange, struct batch *ret)
{
    if (exchange->writing || exchange->ended)
        return false;
    struct outgoing *message = exchange->out_first;
    if (message != NULL) {
        exchange->out_first = message->next;
        message->next = NULL;
    }
    if (exchange->out_first == NULL)
        exchange->out_last = NULL;
    const bool end = exchange->finishing && exchange->out_first == NULL;
    if (message == NULL && !end && !exchange->headers_due)
        return false;
    *ret = (struct batch){
        .exchange = exchange,
        .call = exchange->call,
        .headers = !exchange->initial_sent,
        .message = message,
        .more = exchange->out_first != NULL,
        .end = end,
        .close = end && !exchange->watching,
        .code = exchange->ending.code,
        .trailer_count = exchange->ending.trailer_count,
    };
    exchange->initial_sent = true;
    exchange->headers_due = false;
    exchange->writing = true;
    exchange->writing_message = message != NULL;
    exchange->ended = end;
    exchange->operations++;
    return true;
}

/* gRPC lets a batch that only sends and one that only receives be started by two threads at a time. */
void exchange_pump_locked(struct exchange *exchange)
{
    assert(!exchange->queued);
    struct batch batch;
    grpc_call *call = exchange->call;
    const bool reads = decide_read(exchange);
    const bool writes = decide_write(exchange, &batch);
    pthread_mutex_unlock(&exchange->server->outbox_lock);
    if (reads)
        start_reading(exchange, call);
    if (writes)
        start_writing(&batch);
}

/* --- events: polling thread --- */

static void lock(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->server->outbox_lock);
}

static void unlock(struct exchange *exchange)
{
    pthread_mutex_unlock(&exchange->server->outbox_lock);
}

static void pump(struct exchange *exchange)
{
    lock(exchange);
    if (exchange->queued)
        unlock(exchange);
    else
        exchange_pump_locked(exchange);
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

static void metadata_drop(struct exchange *exchange)
{
    grpc_metadata_array_destroy(&exchange->metadata);
    grpc_metadata_array_init(&exchange->metadata);
}

/* A unary call that its handler has answered needs no watching: the close comes with the end. */
static void watch(struct exchange *exchange)
{
    lock(exchange);
    const bool needed = !exchange->ended;
    exchange->watching = needed;
    exchange->operations += needed ? 1 : 0;
    unlock(exchange);
    if (needed)
        start_watching(exchange);
}

void exchange_arrived(struct exchange *exchange)
{
    const struct exchange_method *method = exchange->method;
    const bool stream = method->client_stream || method->server_stream;
    if (stream)
        watch(exchange);
    begin(exchange);
    if (stream) /* it may live for days, and its handler has seen it */
        metadata_drop(exchange);
    if (!stream && method->handler->watches_cancel != NULL && method->handler->watches_cancel(exchange))
        watch(exchange);
    if (!stream)
        return;
    lock(exchange);
    exchange->headers_due = method->server_stream && !exchange->initial_sent;
    unlock(exchange);
    pump(exchange);
}

static void message_read(struct exchange *exchange, bool success)
{
    const struct exchange_handler *handler = exchange->method->handler;
    grpc_byte_buffer *payload = exchange->payload;
    exchange->payload = NULL;
    lock(exchange);
    exchange->read_ended = !success || payload == NULL;
    const bool deliver = !exchange->finishing;
    unlock(exchange);
    if (!success || payload == NULL) {
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
    lock(exchange);
    /* Not before the handler has the message: another thread would not see it in wants_message and read one too many. */
    exchange->reading = false;
    if (exchange->queued)
        unlock(exchange);
    else
        exchange_pump_locked(exchange);
}

static void message_written(struct exchange *exchange, bool success)
{
    struct outgoing *dropped = NULL;
    lock(exchange);
    if (exchange->writing_message)
        exchange->unsent--;
    exchange->writing = exchange->writing_message = false;
    if (!success) { /* the peer is gone; its close is on the way */
        exchange->broken = true;
        dropped = exchange->out_first;
        exchange->out_first = exchange->out_last = NULL;
        exchange->unsent = 0;
    }
    const bool tell = exchange->blocked && !exchange->broken && !exchange->finishing &&
                      exchange->unsent < EXCHANGE_RESUME_BELOW;
    if (tell)
        exchange->blocked = false;
    unlock(exchange);
    outgoing_free(dropped);
    pump(exchange);
    if (tell && exchange->method->handler->writable != NULL)
        exchange->method->handler->writable(exchange);
}

static void over(struct exchange *exchange)
{
    assert(!exchange->queued);
    assert(exchange->out_first == NULL);
    if (exchange->method->handler->over != NULL && exchange->context != NULL)
        exchange->method->handler->over(exchange);
    grpc_call_details_destroy(&exchange->details); /* empty unless the method is unknown */
    grpc_call_details_init(&exchange->details);
    grpc_call_unref(exchange->call);
    ending_free(&exchange->ending);
    struct server *server = exchange->server;
    exchange_reset(exchange);
    server_recycle(server, exchange);
}

void exchange_completed(struct exchange *exchange, enum tag_kind kind, bool success)
{
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
    lock(exchange);
    assert(exchange->operations > 0);
    exchange->operations--;
    const bool is_over = exchange->ended && exchange->operations == 0;
    unlock(exchange);
    if (is_over)
        over(exchange);
}

/* --- for handlers: any thread --- */

/* Called with outbox_lock held, which it releases. */
static void pump_or_queue(struct exchange *exchange)
{
    if (server_on_poller(exchange->server) && !exchange->queued) {
        exchange_pump_locked(exchange);
    } else {
        server_enqueue(exchange->server, exchange);
        unlock(exchange);
    }
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
    const bool lost = outgoing == NULL && !exchange->broken;
    exchange->broken = exchange->broken || lost;
    if (exchange->broken) {
        pthread_mutex_unlock(&server->outbox_lock);
        outgoing_free(outgoing);
        if (lost) /* a stream with a message missing must not go on; its close tells the handler */
            grpc_call_cancel(exchange->call, NULL);
        return false;
    }
    outbox_add(exchange, outgoing);
    const bool more = exchange->unsent < EXCHANGE_SEND_AHEAD;
    exchange->blocked = !more;
    pump_or_queue(exchange);
    return more;
}

static struct ending ending_make(const struct exchange *exchange, const struct status *status,
                                 int http_status)
{
    struct ending ending = {.code = (grpc_status_code)status->code, .message = grpc_empty_slice()};
    if (!status_is_ok(status)) {
        struct buffer details = buffer_make(0);
        status_details_encode(status, exchange->details_max_bytes, &details);
        ending.message = grpc_slice_from_copied_string(status->message);
        ending.trailers[ending.trailer_count++] = (grpc_metadata){
            .key = grpc_slice_from_static_string("grpc-status-details-bin"),
            .value = grpc_slice_from_copied_buffer((const char *)details.data, details.size_bytes),
        };
        buffer_done(&details);
    }
    if (http_status != 0) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", http_status);
        ending.trailers[ending.trailer_count++] = (grpc_metadata){
            .key = grpc_slice_from_static_string("strata-http-status"),
            .value = grpc_slice_from_copied_string(text),
        };
    }
    if (atomic_load_explicit(&exchange->server->leaving, memory_order_relaxed))
        ending.trailers[ending.trailer_count++] = (grpc_metadata){
            .key = grpc_slice_from_static_string("strata-leaving"),
            .value = grpc_slice_from_static_string("true"),
        };
    return ending;
}

void exchange_finish(struct exchange *exchange, const struct status *status, struct bytes reply,
                     int http_status)
{
    const bool has_reply = status_is_ok(status) && !exchange->method->server_stream;
    struct outgoing *outgoing = has_reply ? outgoing_new(reply) : NULL;
    struct ending ending;
    if (has_reply && outgoing == NULL) {
        const struct status failure = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the reply");
        ending = ending_make(exchange, &failure, 0);
    } else {
        ending = ending_make(exchange, status, http_status);
    }

    lock(exchange);
    assert(!exchange->finishing);
    if (outgoing != NULL)
        outbox_add(exchange, outgoing);
    if (exchange->broken && ending.code == GRPC_STATUS_OK)
        ending.code = GRPC_STATUS_DATA_LOSS; /* never ended as if complete */
    exchange->ending = ending;
    exchange->finishing = true;
    pump_or_queue(exchange);
}

void exchange_resume(struct exchange *exchange)
{
    lock(exchange);
    if (exchange->reading) /* it will be asked again when the message has come */
        unlock(exchange);
    else
        pump_or_queue(exchange);
}
