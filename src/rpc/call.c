/*
 * States of a call and who moves it:
 *
 *   new ──rpc_call_start──► running ──call_finish, call_reply*──► finished
 *                              └─rpc_call_cancel─► running, cancelled ─┘
 *
 * `finished` is set once, under `lock` when the handler has callbacks: a callback runs under the
 * lock too, so none is running and none can begin once call_finish has set it. The lock is
 * recursive because a callback may itself finish.
 */
#include "rpc/call.h"

#include <assert.h>

#include "rpc/call_internal.h"

/* --- life --- */

/* A text of `size_bytes` 0 costs nothing; a failed copy shows as NULL data. */
static bool copy_text(struct arena *arena, struct bytes from, struct bytes *ret)
{
    *ret = from.size_bytes == 0 ? BYTES_NONE : arena_bytes(arena, from);
    return from.size_bytes == 0 || ret->data != NULL;
}

struct call *call_new(struct rpc_table *table, const struct call_options *options)
{
    assert(options->method < SCHEMA_METHOD_COUNT);
    struct call *call = call_pool_take(&table->pool, &schema_methods[options->method]);
    if (call == NULL)
        return NULL;
    atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&call->flags, 0, memory_order_relaxed);
    call->table = table;
    call->entry = &table->methods[options->method];
    call->ops = options->ops;
    call->edge = options->edge;
    call->transport = options->transport;
    call->principal = BYTES_LITERAL("anonymous");
    call->deadline_us = options->deadline_us;
    call->http_status = 0;
    call->incomplete = false;
    call->on_cancel = NULL;
    call->on_writable = NULL;
    call->handler_data = NULL;
    atomic_store_explicit(&call->undone_messages, 0, memory_order_relaxed);
    atomic_store_explicit(&call->undone_bytes, 0, memory_order_relaxed);
    if (copy_text(call->arena, options->peer, &call->peer) &&
        copy_text(call->arena, options->client_transport, &call->client_transport) &&
        copy_text(call->arena, options->client_peer, &call->client_peer) &&
        copy_text(call->arena, options->authorization, &call->authorization) &&
        copy_text(call->arena, options->traceparent, &call->traceparent) &&
        copy_text(call->arena, options->request_id, &call->request_id))
        return call;
    call_pool_put(&table->pool, call);
    return NULL;
}

static void call_ref(struct call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void call_unref(struct call *call)
{
    const unsigned before = atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        call_pool_put(&call->table->pool, call);
}

static bool has_flag(const struct call *call, unsigned flag)
{
    return (atomic_load_explicit(&call->flags, memory_order_acquire) & flag) != 0;
}

/* Only such handlers are called back, so only they need the lock. */
static bool has_callbacks(const struct call *call)
{
    return call->on_cancel != NULL || call->on_writable != NULL || call->method->client_stream;
}

static void set_finished(struct call *call)
{
    const bool guarded = has_callbacks(call);
    if (guarded)
        pthread_mutex_lock(&call->lock);
    const unsigned before = atomic_fetch_or_explicit(&call->flags, FLAG_FINISHED, memory_order_acq_rel);
    assert((before & FLAG_FINISHED) == 0);
    assert(atomic_load_explicit(&call->undone_messages, memory_order_acquire) == 0);
    if (guarded)
        pthread_mutex_unlock(&call->lock);
}

static void call_end(struct call *call, const struct status *status, struct bytes reply)
{
    call_ref(call); /* the edge may give up its reference as soon as it is told */
    set_finished(call);
    const struct rpc_table *table = call->table;
    for (size_t i = table->interceptor_count; i > 0; i--)
        if (table->interceptors[i - 1].after != NULL)
            table->interceptors[i - 1].after(table->interceptors[i - 1].context, call, status);
    call->ops->finish(call->edge, call, status, reply, call->http_status);
    call_unref(call);
}

/* --- the edge's side --- */

static struct status intercept(struct call *call)
{
    const struct rpc_table *table = call->table;
    for (size_t i = 0; i < table->interceptor_count; i++)
        if (table->interceptors[i].before != NULL)
            STATUS_TRY(table->interceptors[i].before(table->interceptors[i].context, call));
    return status_ok();
}

void rpc_call_start(struct call *call, struct bytes request)
{
    struct status status = has_flag(call, FLAG_CANCELLED)
                               ? status_error(STATUS_CANCELLED, "the caller cancelled before the call began")
                               : intercept(call);
    const ProtobufCMessage *message = NULL;
    if (status_is_ok(&status) && !call->method->client_stream)
        status = request_read(call->method, request, call->arena, &message);
    if (!status_is_ok(&status)) {
        call_finish(call, &status);
        return;
    }
    assert(call->entry->handler.start != NULL); /* rpc_table_check said so */
    call->entry->handler.start(call->entry->service, call, message);
}

void rpc_call_message(struct call *call, struct bytes message)
{
    struct call_pool *pool = &call->table->pool;
    struct arena *arena = call_pool_take_arena(pool);
    struct message_box *box = arena == NULL ? NULL : arena_zalloc(arena, sizeof *box);
    if (box == NULL) {
        /* A message that is lost must not look like one that was never sent. */
        arena_free(arena);
        rpc_call_cancel(call);
        return;
    }
    box->message.call = call;
    box->message.arena = arena;
    box->wire_bytes = message.size_bytes;
    box->message.status = request_read(call->method, message, arena, &box->message.request);
    if (!status_is_ok(&box->message.status))
        box->message.request = NULL;

    pthread_mutex_lock(&call->lock);
    if (has_flag(call, FLAG_FINISHED)) {
        pthread_mutex_unlock(&call->lock);
        call_pool_put_arena(pool, arena);
        return;
    }
    const unsigned undone = atomic_fetch_add_explicit(&call->undone_messages, 1, memory_order_acq_rel);
    assert(undone < CALL_MESSAGES_MAX);
    atomic_fetch_add_explicit(&call->undone_bytes, box->wire_bytes, memory_order_acq_rel);
    call->entry->handler.message(call->entry->service, call, &box->message);
    pthread_mutex_unlock(&call->lock);
}

bool rpc_call_wants_message(const struct call *call)
{
    const unsigned undone = atomic_load_explicit(&call->undone_messages, memory_order_acquire);
    return undone == 0 ||
           (undone < CALL_MESSAGES_MAX &&
            atomic_load_explicit(&call->undone_bytes, memory_order_acquire) < CALL_MESSAGE_BYTES_MAX);
}

void rpc_call_half_close(struct call *call)
{
    pthread_mutex_lock(&call->lock);
    if (!has_flag(call, FLAG_FINISHED))
        call->entry->handler.half_close(call->entry->service, call);
    pthread_mutex_unlock(&call->lock);
}

void rpc_call_writable(struct call *call)
{
    pthread_mutex_lock(&call->lock);
    if (call->on_writable != NULL && !has_flag(call, FLAG_FINISHED))
        call->on_writable(call->writable_context);
    pthread_mutex_unlock(&call->lock);
}

void rpc_call_cancel(struct call *call)
{
    pthread_mutex_lock(&call->lock);
    const unsigned before = atomic_fetch_or_explicit(&call->flags, FLAG_CANCELLED, memory_order_acq_rel);
    if (before == 0 && call->on_cancel != NULL) /* neither told before nor finished */
        call->on_cancel(call->cancel_context);
    pthread_mutex_unlock(&call->lock);
}

bool rpc_call_watches_cancel(const struct call *call)
{
    return call->on_cancel != NULL;
}

/* --- the handler's side --- */

struct arena *call_arena(struct call *call)
{
    return call->arena;
}

const struct schema_method *call_method(const struct call *call)
{
    return call->method;
}

int64_t call_deadline_us(const struct call *call)
{
    return call->deadline_us;
}

bool call_cancelled(const struct call *call)
{
    return has_flag(call, FLAG_CANCELLED);
}

struct bytes call_peer(const struct call *call)
{
    return call->peer;
}

struct bytes call_authorization(const struct call *call)
{
    return call->authorization;
}

struct bytes call_traceparent(const struct call *call)
{
    return call->traceparent;
}

struct bytes call_request_id(const struct call *call)
{
    return call->request_id;
}

struct bytes call_client_transport(const struct call *call)
{
    return call->client_transport;
}

struct bytes call_client_peer(const struct call *call)
{
    return call->client_peer;
}

const char *call_transport(const struct call *call)
{
    return call->transport;
}

struct bytes call_principal(const struct call *call)
{
    return call->principal;
}

void call_set_principal(struct call *call, struct bytes subject)
{
    if (!copy_text(call->arena, subject, &call->principal))
        call->principal = BYTES_NONE;
}

void call_on_cancel(struct call *call, void (*callback)(void *context), void *context)
{
    call->cancel_context = context;
    call->on_cancel = callback;
}

void call_on_writable(struct call *call, void (*callback)(void *context), void *context)
{
    call->writable_context = context;
    call->on_writable = callback;
}

void call_set_handler_data(struct call *call, void *data)
{
    call->handler_data = data;
}

void *call_handler_data(const struct call *call)
{
    return call->handler_data;
}

void call_set_http_status(struct call *call, int http_status)
{
    call->http_status = http_status;
}

/* Packs into the scratch, which is valid until the next message. */
static bool pack(struct call *call, const ProtobufCMessage *message, struct bytes *ret)
{
    buffer_clear(&call->scratch);
    const size_t size_bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *memory = size_bytes == 0 ? NULL : buffer_extend(&call->scratch, size_bytes);
    if (size_bytes > 0 && memory == NULL)
        return false;
    if (size_bytes > 0) {
        const size_t written = protobuf_c_message_pack(message, memory);
        assert(written == size_bytes);
    }
    *ret = bytes_of(memory, size_bytes);
    return true;
}

bool call_send(struct call *call, const ProtobufCMessage *message)
{
    assert(call->method->server_stream);
    struct bytes packed = BYTES_NONE;
    if (!call->incomplete && pack(call, message, &packed))
        return call_send_bytes(call, packed);
    call->incomplete = true; /* what follows is dropped and the end is an error: see call_finish */
    return true;
}

bool call_send_bytes(struct call *call, struct bytes message)
{
    assert(call->method->server_stream);
    assert(!has_flag(call, FLAG_FINISHED));
    return call->incomplete || call->ops->send(call->edge, call, message);
}

void call_reply(struct call *call, const ProtobufCMessage *message)
{
    assert(message->descriptor == call->method->reply_descriptor);
    struct bytes packed = BYTES_NONE;
    if (pack(call, message, &packed)) {
        call_reply_bytes(call, packed);
        return;
    }
    const struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the reply");
    call_end(call, &status, BYTES_NONE);
}

void call_reply_bytes(struct call *call, struct bytes message)
{
    assert(!call->method->server_stream);
    const struct status ok = status_ok();
    call_end(call, &ok, message);
}

void call_finish(struct call *call, const struct status *status)
{
    assert(call->method->server_stream || !status_is_ok(status)); /* a unary success has a reply */
    if (call->incomplete && status_is_ok(status)) {
        const struct status lost =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a message of the stream");
        call_end(call, &lost, BYTES_NONE);
    } else {
        call_end(call, status, BYTES_NONE);
    }
}

void call_message_done(struct call_message *message)
{
    const struct message_box *box = (const struct message_box *)message;
    struct call *call = message->call;
    atomic_fetch_sub_explicit(&call->undone_bytes, box->wire_bytes, memory_order_acq_rel);
    call_ref(call); /* once the count is down, another thread may finish the call */
    call_pool_put_arena(&call->table->pool, message->arena);
    atomic_fetch_sub_explicit(&call->undone_messages, 1, memory_order_acq_rel);
    call->ops->message_done(call->edge, call);
    call_unref(call);
}
