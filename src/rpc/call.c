/*
 * States of a call and who moves it:
 *
 *   new ──rpc_call_start──► running ──call_finish, call_reply*──► finished
 *                              └─rpc_call_cancel─► running, cancelled ─┘
 *
 * `finished` is set once, under `lock` when the handler has callbacks: a callback runs under the lock too, so
 * none is running and none can begin once call_finish has set it. The lock is recursive because a callback
 * may itself finish.
 */
#include "rpc/call.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "rpc/table_internal.h"

/*
 * What unpacking N bytes may allocate. protobuf-c can turn an empty submessage (2 bytes on the wire) into 300
 * bytes of memory: the base lets 1,000 of them pass, so that the service can name what is wrong with them;
 * the factor is what the smallest sensible fields need.
 */
#define UNPACK_BASE_BYTES  (512U * 1024U)
#define UNPACK_FACTOR      16U
#define SCRATCH_KEEP_BYTES (64U * 1024U)

enum { FLAG_CANCELLED = 1U, FLAG_FINISHED = 2U };

struct call {
    atomic_uint refs;
    atomic_uint flags;
    struct rpc_table *table;
    const struct schema_method *method;
    const struct method_entry *entry;
    const struct call_edge_ops *ops;
    void *edge;
    struct arena *arena;
    struct buffer scratch; /* the last packed reply or stream message */
    const char *transport;
    struct bytes peer;
    struct bytes authorization;
    struct bytes traceparent;
    struct bytes request_id;
    struct bytes principal;
    int64_t deadline_us;
    int http_status;
    void (*on_cancel)(void *context);
    void *cancel_context;
    void (*on_writable)(void *context);
    void *writable_context;
    atomic_uint undone_messages; /* delivered, not yet done */
    atomic_size_t undone_bytes;  /* of those, on the wire */
    pthread_mutex_t lock;        /* recursive; held while a callback runs and while `finished` is set */
    struct call *next_free;
};

/* A message and its size; it lives in its own arena and goes with it. */
struct message_box {
    struct call_message message; /* first: handlers see only this */
    size_t wire_bytes;
};

/* --- the store of used calls --- */

void call_pool_init(struct call_pool *pool)
{
    pthread_mutex_init(&pool->lock, NULL);
}

static void call_free(struct call *call)
{
    if (call == NULL)
        return;
    arena_free(call->arena);
    buffer_done(&call->scratch);
    pthread_mutex_destroy(&call->lock);
    free(call);
}

void call_pool_done(struct call_pool *pool)
{
    while (pool->calls != NULL) {
        struct call *next = pool->calls->next_free;
        call_free(pool->calls);
        pool->calls = next;
    }
    while (pool->arena_count > 0)
        arena_free(pool->arenas[--pool->arena_count]);
    pthread_mutex_destroy(&pool->lock);
}

static struct call *call_make(void)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->arena = arena_new(0);
    if (call->arena == NULL) {
        free(call);
        return NULL;
    }
    call->scratch = buffer_make(0);
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&call->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    return call;
}

static struct call *pool_take_call(struct call_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct call *call = pool->calls;
    if (call != NULL) {
        pool->calls = call->next_free;
        pool->call_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return call != NULL ? call : call_make();
}

static void pool_put_call(struct call_pool *pool, struct call *call)
{
    arena_reset(call->arena);
    if (call->scratch.capacity_bytes > SCRATCH_KEEP_BYTES) {
        buffer_done(&call->scratch);
        call->scratch = buffer_make(0);
    }
    pthread_mutex_lock(&pool->lock);
    const bool keep = pool->call_count < POOL_CALLS_MAX;
    if (keep) {
        call->next_free = pool->calls;
        pool->calls = call;
        pool->call_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep)
        call_free(call);
}

static struct arena *pool_take_arena(struct call_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct arena *arena = pool->arena_count > 0 ? pool->arenas[--pool->arena_count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return arena != NULL ? arena : arena_new(0);
}

static void pool_put_arena(struct call_pool *pool, struct arena *arena)
{
    arena_reset(arena);
    pthread_mutex_lock(&pool->lock);
    const bool keep = pool->arena_count < POOL_ARENAS_MAX;
    if (keep)
        pool->arenas[pool->arena_count++] = arena;
    pthread_mutex_unlock(&pool->lock);
    if (!keep)
        arena_free(arena);
}

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
    struct call *call = pool_take_call(&table->pool);
    if (call == NULL)
        return NULL;
    atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&call->flags, 0, memory_order_relaxed);
    call->table = table;
    call->method = &schema_methods[options->method];
    call->entry = &table->methods[options->method];
    call->ops = options->ops;
    call->edge = options->edge;
    call->transport = options->transport;
    call->principal = BYTES_LITERAL("anonymous");
    call->deadline_us = options->deadline_us;
    call->http_status = 0;
    call->on_cancel = NULL;
    call->on_writable = NULL;
    atomic_store_explicit(&call->undone_messages, 0, memory_order_relaxed);
    atomic_store_explicit(&call->undone_bytes, 0, memory_order_relaxed);
    if (copy_text(call->arena, options->peer, &call->peer) &&
        copy_text(call->arena, options->authorization, &call->authorization) &&
        copy_text(call->arena, options->traceparent, &call->traceparent) &&
        copy_text(call->arena, options->request_id, &call->request_id))
        return call;
    pool_put_call(&table->pool, call);
    return NULL;
}

void call_ref(struct call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void call_unref(struct call *call)
{
    const unsigned before = atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        pool_put_call(&call->table->pool, call);
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

/* --- reading requests --- */

struct budget {
    struct arena *arena;
    size_t left_bytes;
    bool exceeded;
};

static void *budget_alloc(void *data, size_t size_bytes)
{
    struct budget *budget = data;
    if (size_bytes > budget->left_bytes) {
        budget->exceeded = true;
        return NULL;
    }
    budget->left_bytes -= size_bytes;
    return arena_alloc(budget->arena, size_bytes);
}

static void budget_free(void *data, void *memory)
{
    (void)data; /* goes with the arena */
    (void)memory;
}

static struct status request_read(const struct schema_method *method, struct bytes packed,
                                  struct arena *arena, const ProtobufCMessage **ret)
{
    const ProtobufCMessageDescriptor *type = method->request_descriptor;
    STATUS_TRY(schema_wire_check(method->request, packed));
    struct budget budget = {.arena = arena,
                            .left_bytes = UNPACK_BASE_BYTES + UNPACK_FACTOR * packed.size_bytes};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    static const uint8_t nothing[1]; /* protobuf-c does arithmetic on the pointer even of an empty message */
    *ret = protobuf_c_message_unpack(type, &allocator, packed.size_bytes,
                                     packed.data != NULL ? packed.data : nothing);
    if (*ret != NULL)
        return status_ok();
    if (budget.exceeded)
        return status_reason(
            REASON_INVALID_FIELD,
            "the request has %zu bytes and needs more than %zu once read; send fewer items in one "
            "request",
            packed.size_bytes, UNPACK_BASE_BYTES + UNPACK_FACTOR * packed.size_bytes);
    return status_reason(REASON_INVALID_FIELD,
                         "the request's %zu bytes are not a %s; check the client's .proto files",
                         packed.size_bytes, type->name);
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
    struct arena *arena = pool_take_arena(pool);
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
        pool_put_arena(pool, arena);
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
    if (pack(call, message, &packed))
        return call_send_bytes(call, packed);
    /* A stream with a message missing must not go on: the edge ends it as soon as the handler does. */
    rpc_call_cancel(call);
    return true;
}

bool call_send_bytes(struct call *call, struct bytes message)
{
    assert(call->method->server_stream);
    assert(!has_flag(call, FLAG_FINISHED));
    return call->ops->send(call->edge, call, message);
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
    call_end(call, status, BYTES_NONE);
}

void call_message_done(struct call_message *message)
{
    const struct message_box *box = (const struct message_box *)message;
    struct call *call = message->call;
    atomic_fetch_sub_explicit(&call->undone_bytes, box->wire_bytes, memory_order_acq_rel);
    call_ref(call); /* once the count is down, another thread may finish the call */
    pool_put_arena(&call->table->pool, message->arena);
    atomic_fetch_sub_explicit(&call->undone_messages, 1, memory_order_acq_rel);
    call->ops->message_done(call->edge, call);
    call_unref(call);
}
