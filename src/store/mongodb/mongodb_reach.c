/*
 * Whether the server can be reached. The driver looks for a primary for as long as connect_timeout_ms, so an attempt that
 * failed spares all others theirs, until the driver's own monitors, which look each second, have found one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mongodb_internal.h"

/* What the driver's monitors know; asks nobody. */
static bool sees_primary(mongoc_client_t *client)
{
    static const char *const usable[] = {"RSPrimary", "Mongos", "Standalone", "LoadBalancer"};
    size_t count = 0;
    bool found = false;
    mongoc_server_description_t **servers = mongoc_client_get_server_descriptions(client, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof usable / sizeof *usable; j++)
            found = found || strcmp(mongoc_server_description_type(servers[i]), usable[j]) == 0;
    mongoc_server_descriptions_destroy_all(servers, count);
    return found;
}

/* Told once, until a server is reached again. */
static struct status note_forgotten(struct mongodb_store *store)
{
    const char *set = mongoc_uri_get_replica_set(store->settings.uri);
    const struct status why = status_reason(
        REASON_STORE_UNREACHABLE,
        "none of the database servers at %s says that it is of the replica set \"%s\"; start them as its "
        "members (--replSet), or correct replicaSet in database.mongodb.uri; they are asked again until then",
        store->settings.hosts, set == NULL ? "" : set);
    pthread_mutex_lock(&store->reach_lock);
    const bool first = !store->forgotten;
    store->forgotten = true;
    store->failure = why;
    pthread_mutex_unlock(&store->reach_lock);
    if (first)
        log_warn(store->log, "the driver knows no database server any more and is made anew",
                 LOG_TEXT("reason", why.message));
    return why;
}

struct status mongodb_reach_may_try(struct mongodb_store *store, mongoc_client_t *client)
{
    pthread_mutex_lock(&store->reach_lock);
    const struct status status = store->unreachable ? store->failure : status_ok();
    pthread_mutex_unlock(&store->reach_lock);
    if (status.code == STATUS_OK || sees_primary(client))
        return status_ok();
    return mongodb_clients_forgotten(store, client) ? note_forgotten(store) : status;
}

static void note(struct mongodb_store *store, const struct status *why, bool unreachable)
{
    pthread_mutex_lock(&store->reach_lock);
    const bool first = unreachable ? !store->unreachable : store->failure.code == STATUS_OK;
    store->failure = *why;
    store->unreachable = store->unreachable || unreachable;
    pthread_mutex_unlock(&store->reach_lock);
    if (first && unreachable)
        log_warn(store->log,
                 "the database server is out of reach; appends and reads are refused until it is back",
                 LOG_TEXT("reason", why->message));
    else if (first)
        log_info(store->log, "a connection to the database server was lost",
                 LOG_TEXT("reason", why->message));
}

void mongodb_reach_failed(struct mongodb_store *store, const struct status *why)
{
    note(store, why, true);
}

void mongodb_reach_lost(struct mongodb_store *store, const struct status *why)
{
    note(store, why, false);
}

void mongodb_reach_succeeded(struct mongodb_store *store)
{
    pthread_mutex_lock(&store->reach_lock);
    const bool back = store->failure.code != STATUS_OK;
    store->failure = status_ok();
    store->unreachable = false;
    store->forgotten = false;
    pthread_mutex_unlock(&store->reach_lock);
    if (back)
        log_info(store->log, "the database server is reached again");
}

struct status mongodb_reach_status(struct mongodb_store *store)
{
    pthread_mutex_lock(&store->reach_lock);
    const struct status status = store->failure;
    pthread_mutex_unlock(&store->reach_lock);
    return status;
}
