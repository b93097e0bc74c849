/* Whether the server can be reached: one failed attempt spares all others theirs, for a while that doubles. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "mysql_internal.h"

#define BACKOFF_FIRST_US INT64_C(50000)
#define BACKOFF_MOST_US  INT64_C(2000000)

struct status mysql_reach_may_try(struct mysql_store *store)
{
    const int64_t now_us = clock_monotonic_us(store->clock);
    struct status status = status_ok();
    pthread_mutex_lock(&store->reach_lock);
    if (store->try_again_us > now_us)
        status = store->failure;
    pthread_mutex_unlock(&store->reach_lock);
    return status;
}

static void tell(struct mysql_store *store, bool first, const struct status *why)
{
    if (first)
        log_warn(store->log,
                 "the database server is out of reach; appends and reads are refused until it is back",
                 LOG_TEXT("reason", why->message));
}

void mysql_reach_failed(struct mysql_store *store, const struct status *why)
{
    pthread_mutex_lock(&store->reach_lock);
    const bool first = store->failure.code == STATUS_OK;
    store->failure = *why;
    store->backoff_us = store->backoff_us == 0 ? BACKOFF_FIRST_US : store->backoff_us * 2;
    if (store->backoff_us > BACKOFF_MOST_US)
        store->backoff_us = BACKOFF_MOST_US;
    store->try_again_us = clock_monotonic_us(store->clock) + store->backoff_us;
    pthread_mutex_unlock(&store->reach_lock);
    tell(store, first, why);
}

void mysql_reach_lost(struct mysql_store *store, const struct status *why)
{
    pthread_mutex_lock(&store->reach_lock);
    const bool first = store->failure.code == STATUS_OK;
    if (first) /* why nobody can connect says more */
        store->failure = *why;
    pthread_mutex_unlock(&store->reach_lock);
    if (first)
        log_info(store->log, "a connection to the database server was lost",
                 LOG_TEXT("reason", why->message));
}

void mysql_reach_succeeded(struct mysql_store *store)
{
    pthread_mutex_lock(&store->reach_lock);
    const bool back = store->failure.code != STATUS_OK;
    store->failure = status_ok();
    store->try_again_us = 0;
    store->backoff_us = 0;
    pthread_mutex_unlock(&store->reach_lock);
    if (back)
        log_info(store->log, "the database server is reached again");
}

struct status mysql_reach_status(struct mysql_store *store)
{
    pthread_mutex_lock(&store->reach_lock);
    const struct status status = store->failure;
    pthread_mutex_unlock(&store->reach_lock);
    return status;
}
