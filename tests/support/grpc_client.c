#include "support/grpc_client.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 8U

struct grpc_client {
    grpc_completion_queue *queue;
    grpc_channel *channel;
    bool wait_for_server;
};

struct grpc_stream {
    struct grpc_client *client;
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice message;
    char status_tag; /* addresses serve as tags */
    char initial_tag;
};

struct grpc_client *grpc_client_new(uint16_t port, const struct grpc_client_options *options)
{
    struct grpc_client *client = calloc(1, sizeof *client);
    assert(client != NULL);
    grpc_init();
    client->queue = grpc_completion_queue_create_for_pluck(NULL);
    client->wait_for_server = options != NULL && options->wait_for_server;
    grpc_arg settings[6] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
    };
    size_t count = 4;
    if (options != NULL && options->compress)
        settings[count++] = (grpc_arg){.type = GRPC_ARG_INTEGER,
                                       .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                                       .value.integer = GRPC_COMPRESS_GZIP};
    if (options != NULL && options->receive_window_bytes > 0)
        settings[count++] = (grpc_arg){.type = GRPC_ARG_INTEGER,
                                       .key = (char *)GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                                       .value.integer = options->receive_window_bytes};
    const grpc_channel_args args = {count, settings};
    char target[32];
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", port);
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    client->channel = grpc_channel_create(target, plain, &args);
    grpc_channel_credentials_release(plain);
    return client;
}

void grpc_client_free(struct grpc_client *client)
{
    if (client == NULL)
        return;
    grpc_channel_destroy(client->channel);
    grpc_completion_queue_shutdown(client->queue);
    grpc_completion_queue_destroy(client->queue);
    grpc_shutdown();
    free(client);
}

void client_reply_done(struct client_reply *reply)
{
    buffer_done(&reply->body);
    buffer_done(&reply->details);
}

static bool wait_for(struct grpc_client *client, void *tag)
{
    const grpc_event event =
        grpc_completion_queue_pluck(client->queue, tag, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    assert(event.type == GRPC_OP_COMPLETE);
    return event.success != 0;
}

static bool run_batch(struct grpc_stream *stream, const grpc_op *ops, size_t count)
{
    char tag;
    const grpc_call_error error = grpc_call_start_batch(stream->call, ops, count, &tag, NULL);
    assert(error == GRPC_CALL_OK);
    return wait_for(stream->client, &tag);
}

static void start(struct grpc_stream *stream, const grpc_op *op, void *tag)
{
    const grpc_call_error error = grpc_call_start_batch(stream->call, op, 1, tag, NULL);
    assert(error == GRPC_CALL_OK);
}

static struct grpc_stream *stream_open(struct grpc_client *client, const char *path, int64_t timeout_ms,
                                       const struct client_header *headers)
{
    struct grpc_stream *stream = calloc(1, sizeof *stream);
    assert(stream != NULL);
    stream->client = client;
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    const gpr_timespec deadline =
        timeout_ms == 0
            ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
            : gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    stream->call = grpc_channel_create_call(client->channel, NULL, 0, client->queue,
                                            grpc_slice_from_static_string(path), NULL, deadline, NULL);
    grpc_metadata metadata[HEADERS_MAX];
    grpc_op op;
    memset(metadata, 0, sizeof metadata);
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_INITIAL_METADATA;
    if (client->wait_for_server)
        op.flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    op.data.send_initial_metadata.metadata = metadata;
    for (size_t i = 0; headers != NULL && headers[i].name != NULL; i++) {
        assert(i < HEADERS_MAX);
        metadata[i].key = grpc_slice_from_static_string(headers[i].name);
        metadata[i].value = grpc_slice_from_static_string(headers[i].value);
        op.data.send_initial_metadata.count++;
    }
    (void)run_batch(stream, &op, 1); /* a call that cannot be sent says so in its status */
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op.data.recv_status_on_client.trailing_metadata = &stream->trailing;
    op.data.recv_status_on_client.status = &stream->code;
    op.data.recv_status_on_client.status_details = &stream->message;
    start(stream, &op, &stream->status_tag);
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_INITIAL_METADATA;
    op.data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    start(stream, &op, &stream->initial_tag);
    return stream;
}

struct grpc_stream *grpc_stream_open(struct grpc_client *client, const char *path, int64_t timeout_ms)
{
    return stream_open(client, path, timeout_ms, NULL);
}

bool grpc_stream_write(struct grpc_stream *stream, struct bytes message)
{
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message.data, message.size_bytes);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = bytes;
    const bool sent = run_batch(stream, &op, 1);
    grpc_byte_buffer_destroy(bytes);
    grpc_slice_unref(slice);
    return sent;
}

void grpc_stream_half_close(struct grpc_stream *stream)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    (void)run_batch(stream, &op, 1); /* a call that has ended says so in its status */
}

static void copy_payload(grpc_byte_buffer *payload, struct buffer *to)
{
    grpc_byte_buffer_reader reader;
    const int readable = grpc_byte_buffer_reader_init(&reader, payload);
    assert(readable);
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    buffer_clear(to);
    buffer_add(to, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
}

bool grpc_stream_read(struct grpc_stream *stream, struct buffer *ret)
{
    grpc_byte_buffer *payload = NULL;
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &payload;
    (void)run_batch(stream, &op, 1);
    if (payload == NULL)
        return false;
    copy_payload(payload, ret);
    grpc_byte_buffer_destroy(payload);
    return true;
}

void grpc_stream_cancel(struct grpc_stream *stream)
{
    grpc_call_cancel(stream->call, NULL);
}

static bool has_key(const grpc_metadata *entry, const char *key)
{
    return GRPC_SLICE_LENGTH(entry->key) == strlen(key) &&
           memcmp(GRPC_SLICE_START_PTR(entry->key), key, strlen(key)) == 0;
}

static void read_trailers(const grpc_metadata_array *trailers, struct client_reply *ret)
{
    for (size_t i = 0; i < trailers->count; i++) {
        const grpc_metadata *entry = &trailers->metadata[i];
        const void *value = GRPC_SLICE_START_PTR(entry->value);
        const size_t size_bytes = GRPC_SLICE_LENGTH(entry->value);
        char text[16] = "";
        if (has_key(entry, "grpc-status-details-bin")) {
            buffer_add(&ret->details, value, size_bytes);
        } else if (has_key(entry, "strata-http-status") && size_bytes < sizeof text) {
            memcpy(text, value, size_bytes);
            ret->http_status = atoi(text);
        }
    }
}

void grpc_stream_finish(struct grpc_stream *stream, struct client_reply *ret)
{
    struct buffer body = ret->body;
    *ret = (struct client_reply){.body = body, .details = buffer_make(0)};
    (void)wait_for(stream->client, &stream->initial_tag);
    (void)wait_for(stream->client, &stream->status_tag);
    ret->code = (int)stream->code;
    (void)snprintf(ret->message, sizeof ret->message, "%.*s", (int)GRPC_SLICE_LENGTH(stream->message),
                   (const char *)GRPC_SLICE_START_PTR(stream->message));
    read_trailers(&stream->trailing, ret);
    grpc_slice_unref(stream->message);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_call_unref(stream->call);
    free(stream);
}

void grpc_client_call(struct grpc_client *client, const char *path, struct bytes request, int64_t timeout_ms,
                      const struct client_header *headers, struct client_reply *ret)
{
    struct grpc_stream *stream = stream_open(client, path, timeout_ms, headers);
    ret->body = buffer_make(0);
    (void)grpc_stream_write(stream, request);
    grpc_stream_half_close(stream);
    (void)grpc_stream_read(stream, &ret->body);
    grpc_stream_finish(stream, ret);
}
