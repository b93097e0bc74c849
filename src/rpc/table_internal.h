/*
 * What call.c and table.c share: the table's inside and the store of used calls and arenas.
 *
 * A call's own memory and its arena are kept for the next call, so that a unary call costs no malloc. The
 * store is bounded; what does not fit is freed.
 */
#pragma once

#include <pthread.h>

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

void call_pool_init(struct call_pool *pool);
void call_pool_done(struct call_pool *pool);
