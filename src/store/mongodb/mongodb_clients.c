/*
 * The driver's clients, lent to one thread at a time, and a new driver in place of one that is of no use any more.
 *
 * The driver forgets a server that says it is no member of the replica set: one that was started alone for maintenance, or
 * that is just stopping. Who names the members afterwards are the others; when none is left, the driver looks for nobody
 * ever after. So a driver without servers is retired and one is made anew, of the URI. A retired one goes with the last
 * client that was lent.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "mongodb_internal.h"

/* Where all servers are started alone, a driver forgets them as soon as it has asked them. */
#define RENEW_INTERVAL_US INT64_C(1000000)

struct mongodb_driver {
    mongoc_client_pool_t *clients;
    int64_t made_at_us;
    size_t lent; /* guarded by pool_lock */
    atomic_int servers;
};

/* ---- drivers ---- */

/* These come from its monitors' threads, and from who takes the first client. Its list of servers has only those that answer. */
static void on_server(const mongoc_apm_server_opening_t *event)
{
    struct mongodb_driver *driver = mongoc_apm_server_opening_get_context(event);
    atomic_fetch_add(&driver->servers, 1);
}

static void on_server_forgotten(const mongoc_apm_server_closed_t *event)
{
    struct mongodb_driver *driver = mongoc_apm_server_closed_get_context(event);
    atomic_fetch_sub(&driver->servers, 1);
}

static void count_servers(struct mongodb_driver *driver)
{
    mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new();
    mongoc_apm_set_server_opening_cb(callbacks, on_server);
    mongoc_apm_set_server_closed_cb(callbacks, on_server_forgotten);
    (void)mongoc_client_pool_set_apm_callbacks(driver->clients, callbacks,
                                               driver); /* once, before the first client */
    mongoc_apm_callbacks_destroy(callbacks);
}

static struct status make_driver(struct mongodb_store *store, struct mongodb_driver **ret)
{
    bson_error_t error;
    struct mongodb_driver *driver = calloc(1, sizeof *driver);
    if (driver == NULL)
        return mongodb_no_memory();
    driver->made_at_us = clock_monotonic_us(store->clock);
    driver->clients = mongoc_client_pool_new_with_error(store->settings.uri, &error);
    if (driver->clients == NULL) {
        free(driver);
        return status_error(STATUS_INVALID_ARGUMENT, "database.mongodb.uri cannot be used: %s",
                            error.message);
    }
    count_servers(driver);
    (void)mongoc_client_pool_set_error_api(driver->clients, MONGOC_ERROR_API_VERSION_2);
    (void)mongoc_client_pool_set_appname(driver->clients, "strata");
    mongoc_client_pool_max_size(driver->clients, LENT_MOST); /* so that none waits for another */
    *ret = driver;
    return status_ok();
}

static void free_driver(struct mongodb_driver *driver)
{
    if (driver == NULL)
        return;
    mongoc_client_pool_destroy(driver->clients);
    free(driver);
}

/* Under pool_lock: takes it out of the list when nobody needs it any more. */
static struct mongodb_driver *retired_if_unused(struct mongodb_store *store, struct mongodb_driver *driver)
{
    if (driver == store->driver || driver->lent > 0)
        return NULL;
    atomic_fetch_sub(&store->retired, 1);
    return driver;
}

struct status mongodb_clients_open(struct mongodb_store *store)
{
    return make_driver(store, &store->driver);
}

void mongodb_clients_close(struct mongodb_store *store)
{
    assert(store->lent_count == 0 && atomic_load(&store->retired) == 0);
    free_driver(store->driver);
}

/* ---- lending ---- */

mongoc_client_t *mongodb_client_lend(struct mongodb_store *store)
{
    pthread_mutex_lock(&store->pool_lock);
    struct mongodb_driver *driver = store->driver;
    driver->lent++;
    pthread_mutex_unlock(&store->pool_lock);
    mongoc_client_t *client = mongoc_client_pool_pop(driver->clients);
    pthread_mutex_lock(&store->pool_lock);
    assert(store->lent_count < LENT_MOST);
    store->lent[store->lent_count++] = (struct mongodb_lent){client, driver};
    pthread_mutex_unlock(&store->pool_lock);
    return client;
}

/* Under pool_lock. */
static struct mongodb_lent *find_lent(struct mongodb_store *store, const mongoc_client_t *client)
{
    struct mongodb_lent *lent = store->lent;
    while (lent->client != client)
        lent++;
    return lent;
}

void mongodb_client_return(struct mongodb_store *store, mongoc_client_t *client)
{
    pthread_mutex_lock(&store->pool_lock);
    struct mongodb_lent *lent = find_lent(store, client);
    struct mongodb_driver *driver = lent->driver;
    *lent = store->lent[--store->lent_count];
    pthread_mutex_unlock(&store->pool_lock);
    mongoc_client_pool_push(driver->clients, client);
    pthread_mutex_lock(&store->pool_lock);
    driver->lent--;
    driver = retired_if_unused(store, driver);
    pthread_mutex_unlock(&store->pool_lock);
    free_driver(driver);
}

void mongodb_client_refresh(struct mongodb_store *store, mongoc_client_t **client)
{
    if (atomic_load_explicit(&store->retired, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&store->pool_lock);
    const bool old = find_lent(store, *client)->driver != store->driver;
    pthread_mutex_unlock(&store->pool_lock);
    if (!old)
        return;
    mongodb_client_return(store, *client);
    *client = mongodb_client_lend(store);
}

/* ---- those of the pool ---- */

/* Those who have them may be waiting for a server that is known to be away: that says more. */
static struct status all_taken(struct mongodb_store *store)
{
    STATUS_TRY(mongodb_reach_status(store));
    return status_reason(
        REASON_STORE_UNREACHABLE,
        "all %u connections to the database server were busy for %u ms "
        "(database.mongodb.connect_timeout); raise database.mongodb.pool_size, or find out what "
        "the server is slow with",
        store->settings.pool_size, store->settings.connect_timeout_ms);
}

static bool take_turn(struct mongodb_store *store)
{
    const struct timespec end = deadline_after_ms(store->settings.connect_timeout_ms);
    int error = 0;
    pthread_mutex_lock(&store->pool_lock);
    while (store->pool_taken == store->settings.pool_size && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&store->pool_free, &store->pool_lock, &end);
    const bool free = store->pool_taken < store->settings.pool_size;
    store->pool_taken += free;
    pthread_mutex_unlock(&store->pool_lock);
    return free;
}

struct status mongodb_client_take(struct mongodb_store *store, mongoc_client_t **ret)
{
    if (!take_turn(store))
        return all_taken(store);
    mongoc_client_t *client = mongodb_client_lend(store);
    const struct status status = mongodb_store_ready(store, client);
    if (status.code == STATUS_OK)
        *ret = client;
    else
        mongodb_client_give(store, client);
    return status;
}

void mongodb_client_give(struct mongodb_store *store, mongoc_client_t *client)
{
    mongodb_client_return(store, client);
    pthread_mutex_lock(&store->pool_lock);
    store->pool_taken--;
    pthread_cond_signal(&store->pool_free);
    pthread_mutex_unlock(&store->pool_lock);
}

/* ---- a new driver ---- */

/* Under pool_lock: the driver is the one in use, and not a new one. */
static bool may_renew(const struct mongodb_store *store, const struct mongodb_driver *driver)
{
    return driver == store->driver &&
           clock_monotonic_us(store->clock) - driver->made_at_us >= RENEW_INTERVAL_US;
}

static void renew(struct mongodb_store *store, const struct mongodb_driver *driver)
{
    struct mongodb_driver *made = NULL;
    const struct status status = make_driver(store, &made);
    if (status.code != STATUS_OK) /* tried again by the next who finds out */
        return;
    pthread_mutex_lock(&store->pool_lock);
    const bool first = may_renew(store, driver);
    if (first) {
        store->driver = made;
        atomic_fetch_add(&store->retired, 1); /* it goes with its clients, of which the caller has one */
    }
    pthread_mutex_unlock(&store->pool_lock);
    if (!first)
        free_driver(made);
}

bool mongodb_clients_forgotten(struct mongodb_store *store, const mongoc_client_t *client)
{
    pthread_mutex_lock(&store->pool_lock);
    const struct mongodb_driver *driver = find_lent(store, client)->driver;
    const bool forgotten = atomic_load(&driver->servers) == 0;
    const bool may = forgotten && may_renew(store, driver);
    pthread_mutex_unlock(&store->pool_lock);
    if (may)
        renew(store, driver);
    return forgotten;
}
