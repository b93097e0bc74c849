/*
 * What the files of this room share: a call, the table's inside, and the store of used calls and arenas.
 *
 * A unary call's own memory and its arena are kept for the next one, so that it costs no malloc. The store is bounded;
 * what does not fit is freed. Streams are few a second, and there may be thousands at a time: theirs is small and is freed.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/table.h"

#define INTERCEPTORS_MAX 16U
#define POOL_CALLS_MAX   1024U
#define POOL_ARENAS_MAX  256U

struct method_entry {
    struct method_handler handler;
    void *service;
};

struct call_pool {
    pthread_mutex_t lock; /* guards all below; a leaf: nothing is locked under it */
    struct call *calls;   /* linked by next_free; each has its arena, reset */
    size_t call_count;
    struct arena *arenas[POOL_ARENAS_MAX]; /* for messages of client streams, reset */
    size_t arena_count;
};

struct rpc_table {
    struct method_entry methods[SCHEMA_METHOD_COUNT];
    struct interceptor interceptors[INTERCEPTORS_MAX];
    size_t interceptor_count;
    struct call_pool pool;
};

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
    struct bytes client_transport;
    struct bytes client_peer;
    struct bytes authorization;
    struct bytes traceparent;
    struct bytes request_id;
    struct bytes principal;
    int64_t deadline_us;
    int http_status;
    bool incomplete; /* a message of the stream could not be packed for want of memory */
    void (*on_cancel)(void *context);
    void *cancel_context;
    void (*on_writable)(void *context);
    void *writable_context;
    void *handler_data;
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

void call_pool_init(struct call_pool *pool);
void call_pool_done(struct call_pool *pool);
/* NULL when out of memory. Method, arena, scratch and lock are ready, all else is as it was. */
struct call *call_pool_take(struct call_pool *pool, const struct schema_method *method);
void call_pool_put(struct call_pool *pool, struct call *call);
struct arena *call_pool_take_arena(struct call_pool *pool); /* NULL when out of memory */
void call_pool_put_arena(struct call_pool *pool, struct arena *arena);

/* Checks the wire, then unpacks into the arena within a budget. INVALID_FIELD says what is wrong. */
STATUS_MUST_CHECK struct status request_read(const struct schema_method *method, struct bytes packed,
                                             struct arena *arena, const ProtobufCMessage **ret);
