/* A bus over a store in memory with its writer and a clock that stands still, and a place to note what arrives. */
#pragma once

#include "support/cmocka.h"

#include <pthread.h>
#include <time.h>

#include "bus/subscribers.h"
#include "store/event_store.h"
#include "store/writer.h"
#include "support/manual_clock.h"

#define WAIT_MAX_S 60

struct bench {
    struct manual_clock clock;
    struct event_store *store;
    struct bus *bus;
    struct bus *second; /* NULL, or another bus that is told of commits; the test's */
    struct writer *writer;
    pthread_mutex_t lock; /* guards what follows, and what tests wait for */
    pthread_cond_t changed;
    int64_t seen[8192]; /* positions that a cursor or handler took */
    size_t seen_count;
    size_t turns;
    bool closing;
    bool closed;
    size_t batch_max; /* events taken a turn */
    int answered;
    bool reached;
    struct status failure;
};

/* The bus is not started. */
void bench_open(struct bench *bench);
/* The same over another engine: `open` makes the store, which bench_close closes, and gets the bench's clock. */
void bench_open_over(struct bench *bench,
                     struct status (*open)(const struct clock *clock, struct event_store **ret));
void bench_close(struct bench *bench);
/* One event, durable when this returns. Any thread. */
void bench_append(struct bench *bench, const char *type, const char *aggregate_id);

/* After a change, with the lock: gives it back. */
static inline void told(struct bench *bench)
{
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

#define wait_until(bench, condition)                                                                         \
    do {                                                                                                     \
        pthread_mutex_lock(&(bench)->lock);                                                                  \
        struct timespec at_;                                                                                 \
        clock_gettime(CLOCK_REALTIME, &at_);                                                                 \
        at_.tv_sec += WAIT_MAX_S;                                                                            \
        int late_ = 0;                                                                                       \
        while (!(condition) && late_ == 0)                                                                   \
            late_ = pthread_cond_timedwait(&(bench)->changed, &(bench)->lock, &at_);                         \
        pthread_mutex_unlock(&(bench)->lock);                                                                \
        assert_int_equal(late_, 0);                                                                          \
    } while (0)
