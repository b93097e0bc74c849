#include <stdlib.h>

#include "rpc/call_internal.h"

#define SCRATCH_KEEP_BYTES ((size_t)64 * 1024)

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

/* Streams live long, many at a time, and their requests are small. */
static bool is_stream(const struct schema_method *method)
{
    return method->client_stream || method->server_stream;
}

static struct call *call_make(const struct schema_method *method)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->arena = is_stream(method) ? arena_new_small(0) : arena_new(0);
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

static struct call *kept_take(struct call_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct call *call = pool->calls;
    if (call != NULL) {
        pool->calls = call->next_free;
        pool->call_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return call;
}

struct call *call_pool_take(struct call_pool *pool, const struct schema_method *method)
{
    struct call *call = is_stream(method) ? NULL : kept_take(pool);
    if (call == NULL)
        call = call_make(method);
    if (call != NULL)
        call->method = method;
    return call;
}

void call_pool_put(struct call_pool *pool, struct call *call)
{
    if (is_stream(call->method)) {
        call_free(call);
        return;
    }
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

struct arena *call_pool_take_arena(struct call_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct arena *arena = pool->arena_count > 0 ? pool->arenas[--pool->arena_count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return arena != NULL ? arena : arena_new(0);
}

void call_pool_put_arena(struct call_pool *pool, struct arena *arena)
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
