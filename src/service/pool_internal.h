/*
 * Worker threads for what reads, folds or waits for a disk. A bounded queue of tasks that their owners embed.
 *
 * Threads   Any.
 * Blocking  pool_free waits until the queue is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/status.h"

struct pool;

struct pool_task {
    void (*run)(struct pool_task *task); /* on a worker; the task is its owner's again */
    struct pool_task *next;
};

/* RESOURCE_EXHAUSTED when out of memory or threads. */
STATUS_MUST_CHECK struct status pool_new(size_t thread_count, size_t queue_max, struct pool **ret);
void pool_free(struct pool *pool); /* NULL is fine */
DEFINE_CLEANUP(struct pool, pool_free);

/* Nothing is queued, and no worker is inside a task. */
bool pool_is_idle(struct pool *pool);

/* False when the queue is full: the caller refuses the work. */
bool pool_submit(struct pool *pool, struct pool_task *task);
/* For work that was let in before and goes on (another step of a stream, a second round): never refused.
 * Bounded by what was let in. */
void pool_resubmit(struct pool *pool, struct pool_task *task);
/* For what may as well be left undone: false already when the queue is half full. */
bool pool_submit_background(struct pool *pool, struct pool_task *task);
