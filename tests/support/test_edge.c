#include "support/test_edge.h"

#include "support/cmocka.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_MAX_S 30

struct message {
    struct message *next;
    struct bytes bytes;
};

struct test_stream {
    struct rpc_table *table;
    struct call *call;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct message *first;
    struct message **last;
    size_t count;
    size_t window;
    bool refused; /* the handler was asked to wait */
    size_t undone;
    bool finished;
    struct test_reply reply;
};
struct test_pending {
    struct test_stream stream;
};

static struct bytes copy_of(struct bytes from)
{
    uint8_t *copy = malloc(from.size_bytes + 1);
    assert_non_null(copy);
    if (from.size_bytes > 0)
        memcpy(copy, from.data, from.size_bytes);
    return bytes_of(copy, from.size_bytes);
}

static void wait_changed(struct test_stream *stream, const char *what)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += WAIT_MAX_S;
    if (pthread_cond_timedwait(&stream->changed, &stream->lock, &at) == ETIMEDOUT)
        fail_msg("nothing came within %d s: %s", WAIT_MAX_S, what);
}

/* --- what the handler does --- */

static bool edge_send(void *edge, struct call *call, struct bytes bytes)
{
    (void)call;
    struct test_stream *stream = edge;
    struct message *message = calloc(1, sizeof *message);
    message->bytes = copy_of(bytes);
    pthread_mutex_lock(&stream->lock);
    *stream->last = message;
    stream->last = &message->next;
    stream->count++;
    const bool room = stream->window == 0 || stream->count < stream->window;
    stream->refused = !room;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return room;
}

static void edge_finish(void *edge, struct call *call, const struct status *status, struct bytes reply,
                        int http_status)
{
    (void)call;
    struct test_stream *stream = edge;
    pthread_mutex_lock(&stream->lock);
    stream->reply.status = *status;
    for (size_t i = 0; status->faults != NULL && i < status->faults->count && i < TEST_FAULTS_MAX; i++)
        snprintf(stream->reply.faults[stream->reply.fault_count++], sizeof stream->reply.faults[0], "%s",
                 status->faults->items[i].field);
    stream->reply.status.faults = NULL;
    stream->reply.http_status = http_status;
    stream->reply.bytes = copy_of(reply);
    stream->finished = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static void edge_message_done(void *edge, struct call *call)
{
    (void)call;
    struct test_stream *stream = edge;
    pthread_mutex_lock(&stream->lock);
    stream->undone--;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static const struct call_edge_ops edge_ops = {edge_send, edge_finish, edge_message_done};

/* --- calls --- */

static const struct test_client plain_client = {.transport = NULL};

static struct bytes packed(const ProtobufCMessage *message)
{
    if (message == NULL)
        return BYTES_NONE;
    const size_t size_bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *memory = malloc(size_bytes + 1);
    assert_non_null(memory);
    protobuf_c_message_pack(message, memory);
    return bytes_of(memory, size_bytes);
}

static void begin(struct test_stream *stream, struct rpc_table *table, enum schema_method_id method,
                  const ProtobufCMessage *request, size_t window, const struct test_client *client)
{
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->last = &stream->first;
    stream->window = window;
    const struct call_options options = {
        .method = method,
        .ops = &edge_ops,
        .edge = stream,
        .transport = client->transport == NULL ? "test" : client->transport,
        .peer = client->peer == NULL ? BYTES_LITERAL("127.0.0.1:1") : bytes_of_text(client->peer),
        .client_transport = bytes_of_text(client->client_transport),
        .client_peer = bytes_of_text(client->client_peer),
    };
    stream->call = call_new(table, &options);
    assert_non_null(stream->call);
    const struct bytes bytes = packed(request);
    rpc_call_start(stream->call, bytes);
    free((void *)(uintptr_t)bytes.data);
}

static void wait_end(struct test_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    while (!stream->finished)
        wait_changed(stream, "the call does not finish");
    pthread_mutex_unlock(&stream->lock);
    call_unref(stream->call);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
}

struct test_pending *test_call_begin(struct rpc_table *table, enum schema_method_id method,
                                     const ProtobufCMessage *request)
{
    struct test_pending *pending = calloc(1, sizeof *pending);
    assert_non_null(pending);
    begin(&pending->stream, table, method, request, 0, &plain_client);
    return pending;
}

struct test_reply test_call_end(struct test_pending *pending)
{
    wait_end(&pending->stream);
    const struct test_reply reply = pending->stream.reply;
    free(pending);
    return reply;
}

struct test_reply test_call(struct rpc_table *table, enum schema_method_id method,
                            const ProtobufCMessage *request)
{
    return test_call_end(test_call_begin(table, method, request));
}

void test_reply_done(struct test_reply *reply)
{
    free((void *)(uintptr_t)reply->bytes.data);
    reply->bytes = BYTES_NONE;
}

void *test_reply_message(const struct test_reply *reply, const ProtobufCMessageDescriptor *type)
{
    if (!status_is_ok(&reply->status))
        return NULL;
    void *message = protobuf_c_message_unpack(type, NULL, reply->bytes.size_bytes, reply->bytes.data);
    assert_non_null(message);
    return message;
}

void test_message_free(void *message)
{
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, NULL);
}

/* --- streams --- */

struct test_stream *test_stream_open_by(struct rpc_table *table, enum schema_method_id method,
                                        const ProtobufCMessage *request, size_t window,
                                        const struct test_client *client)
{
    struct test_stream *stream = calloc(1, sizeof *stream);
    assert_non_null(stream);
    begin(stream, table, method, request, window, client);
    return stream;
}

struct test_stream *test_stream_open(struct rpc_table *table, enum schema_method_id method,
                                     const ProtobufCMessage *request, size_t window)
{
    return test_stream_open_by(table, method, request, window, &plain_client);
}

bool test_stream_read(struct test_stream *stream, struct bytes *ret)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->first == NULL && !stream->finished)
        wait_changed(stream, "no message of the stream");
    struct message *message = stream->first;
    bool wake = false;
    if (message != NULL) {
        stream->first = message->next;
        if (stream->first == NULL)
            stream->last = &stream->first;
        stream->count--;
        wake = stream->refused && stream->count < stream->window;
        stream->refused = stream->refused && !wake;
    }
    pthread_mutex_unlock(&stream->lock);
    if (wake)
        rpc_call_writable(stream->call);
    if (message == NULL)
        return false;
    *ret = message->bytes;
    free(message);
    return true;
}

bool test_stream_has(struct test_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    const bool has = stream->first != NULL;
    pthread_mutex_unlock(&stream->lock);
    return has;
}

void test_stream_write(struct test_stream *stream, const ProtobufCMessage *message)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->undone >= CALL_MESSAGES_MAX)
        wait_changed(stream, "the stream takes no more requests");
    stream->undone++;
    pthread_mutex_unlock(&stream->lock);
    const struct bytes bytes = packed(message);
    rpc_call_message(stream->call, bytes);
    free((void *)(uintptr_t)bytes.data);
}

void test_stream_half_close(struct test_stream *stream)
{
    rpc_call_half_close(stream->call);
}

void test_stream_cancel(struct test_stream *stream)
{
    rpc_call_cancel(stream->call);
}

struct status test_stream_close(struct test_stream *stream)
{
    wait_end(stream);
    while (stream->first != NULL) {
        struct message *message = stream->first;
        stream->first = message->next;
        free((void *)(uintptr_t)message->bytes.data);
        free(message);
    }
    const struct status status = stream->reply.status;
    test_reply_done(&stream->reply);
    free(stream);
    return status;
}
