#include "builder_rest_internal.h"

#include <stdint.h>
#include <time.h>

#include "embedded_internal.h"

#define REST_AFTER_US    100
#define REST_DISK_NS     1000000
#define REST_WAITING_MAX 1U /* full tables: with more, the builder hurries */

/* Only how long to compute: nothing is decided by it. */
static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool hurries(struct index_builder *builder)
{
    pthread_mutex_lock(&builder->lock);
    const bool hurries = builder->stopping || builder->waiting > REST_WAITING_MAX;
    pthread_mutex_unlock(&builder->lock);
    return hurries;
}

void builder_rest(void *context)
{
    struct embedded_store *store = context;
    struct index_builder *builder = &store->builder;
    if (!builder->rests || now_us() - builder->rested_at_us < REST_AFTER_US)
        return;
    const struct timespec moment = {.tv_nsec = 1}; /* and what the timer's slack adds, some 50 µs */
    if (!hurries(builder))
        (void)nanosleep(&moment, NULL); /* shorter when a signal comes: no matter */
    builder->rested_at_us = now_us();
}

void builder_rest_disk(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    const struct timespec moment = {.tv_nsec = REST_DISK_NS};
    if (!builder->rests)
        return;
    if (!hurries(builder))
        (void)nanosleep(&moment, NULL); /* as above */
    builder->rested_at_us = now_us();
}
