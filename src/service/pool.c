#include "service/pool_internal.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define POOL_THREADS_MAX 64U

struct pool {
    pthread_mutex_t lock; /* a leaf; guards all below but the threads */
    pthread_cond_t filled;
    struct pool_task *first;
    struct pool_task *last;
    size_t count;
    size_t queue_max;
    size_t idle;
    size_t running; /* tasks that a worker is inside of */
    bool stopping;
    size_t thread_count;
    pthread_t threads[POOL_THREADS_MAX];
};

static void *worker_main(void *context)
{
    struct pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->first == NULL && !pool->stopping) {
            pool->idle++;
            pthread_cond_wait(&pool->filled, &pool->lock);
            pool->idle--;
        }
        struct pool_task *task = pool->first;
        if (task == NULL)
            break;
        pool->first = task->next;
        if (pool->first == NULL)
            pool->last = NULL;
        pool->count--;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        task->run(task);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct status pool_new(size_t thread_count, size_t queue_max, struct pool **ret)
{
    CLEANUP(pool_free_at) struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the worker pool");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->queue_max = queue_max;
    const size_t wanted = thread_count > POOL_THREADS_MAX ? POOL_THREADS_MAX : thread_count;
    while (pool->thread_count < wanted) {
        const int error = pthread_create(&pool->threads[pool->thread_count], NULL, worker_main, pool);
        if (error != 0)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "worker %zu of %zu could not start: error %d",
                                pool->thread_count + 1, wanted, error);
        pool->thread_count++;
    }
    *ret = TAKE_PTR(pool);
    return status_ok();
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

bool pool_is_idle(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    const bool idle = pool->first == NULL && pool->running == 0;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

static bool pool_put(struct pool *pool, struct pool_task *task, size_t most)
{
    pthread_mutex_lock(&pool->lock);
    const bool room = pool->count < most;
    if (room) {
        task->next = NULL;
        if (pool->last != NULL)
            pool->last->next = task;
        else
            pool->first = task;
        pool->last = task;
        pool->count++;
        if (pool->idle > 0)
            pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->lock);
    return room;
}

bool pool_submit(struct pool *pool, struct pool_task *task)
{
    return pool_put(pool, task, pool->queue_max);
}

void pool_resubmit(struct pool *pool, struct pool_task *task)
{
    (void)pool_put(pool, task, SIZE_MAX); /* always room */
}

bool pool_submit_background(struct pool *pool, struct pool_task *task)
{
    return pool_put(pool, task, pool->queue_max / 2);
}
