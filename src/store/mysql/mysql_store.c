#include "store/mysql/mysql_store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "mysql_internal.h"

#define POOL_DEFAULT       8U
#define CONNECT_DEFAULT_MS 5000U
#define IO_DEFAULT_MS      30000U
#define SETTLE_DEFAULT_MS  15000U
#define PORT_DEFAULT       3306U
/* A health that was seen so lately is not asked for again. */
#define HEALTH_FRESH_US INT64_C(1000000)

struct status mysql_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to talk to the database server");
}

/* ---- health ---- */

static void write_probe(void *context, struct mysql_link *link)
{
    (void)context;
    sql_text(&link->sql, "DO 0");
}

static struct status mysql_store_health(struct event_store *base)
{
    struct mysql_store *store = mysql_of(base);
    const struct mysql_call call = {write_probe, NULL, NULL, NULL};
    const int64_t now_us = clock_monotonic_us(store->clock);
    if (now_us - atomic_load(&store->healthy_at_us) < HEALTH_FRESH_US)
        return mysql_reach_status(store);
    STATUS_TRY(mysql_call_run(store, &call));
    mysql_reach_succeeded(store); /* a connection that was lost since may not have been needed again */
    atomic_store(&store->healthy_at_us, now_us);
    return status_ok();
}

void mysql_store_counts(struct event_store *base, struct mysql_counts *ret)
{
    struct mysql_store *store = mysql_of(base);
    *ret = (struct mysql_counts){
        .writer_round_trips = atomic_load(&store->writer_round_trips),
        .batches = atomic_load(&store->batches),
        .connects = atomic_load(&store->connects),
        .settled = atomic_load(&store->settled),
    };
}

/* ---- open and close ---- */

static void free_settings(struct mysql_settings *settings)
{
    free(settings->host);
    free(settings->username);
    if (settings->password != NULL)
        explicit_bzero(settings->password, strlen(settings->password));
    free(settings->password);
    free(settings->database);
    free(settings->store_id);
    free(settings->tls_ca_file);
}

static void mysql_store_close(struct event_store *base)
{
    struct mysql_store *store = mysql_of(base);
    mysql_committer_stop(store);
    mysql_link_done(&store->writer);
    mysql_link_done(&store->ahead);
    for (size_t i = 0; i < 2; i++)
        buffer_done(&store->commits[i].text.sql);
    mysql_known_done(&store->known);
    mysql_known_done(&store->asked_ahead);
    for (size_t i = 0; i < POOL_MAX; i++)
        mysql_link_done(&store->pool[i]);
    free_settings(&store->settings);
    (void)pthread_mutex_destroy(&store->reach_lock);
    (void)pthread_mutex_destroy(&store->ready_lock);
    (void)pthread_mutex_destroy(&store->pool_lock);
    (void)pthread_cond_destroy(&store->pool_free);
    (void)pthread_mutex_destroy(&store->committer.lock);
    (void)pthread_cond_destroy(&store->committer.more);
    free(store);
}

static const struct event_store_ops mysql_ops = {
    .facts = mysql_store_facts,
    .facts_ahead = mysql_store_facts_ahead,
    .release = mysql_store_release,
    .commit = mysql_store_commit,
    .read = mysql_store_read,
    .head = mysql_store_head,
    .aggregate = mysql_store_aggregate,
    .aggregates = mysql_store_aggregates,
    .find_id = mysql_store_find_id,
    .find_time = mysql_store_find_time,
    .stats = mysql_store_stats,
    .state_get = mysql_store_state_get,
    .state_put = mysql_store_state_put,
    .state_swap = mysql_store_state_swap,
    .state_remove = mysql_store_state_remove,
    .state_list = mysql_store_state_list,
    .lease = mysql_store_lease,
    .lease_release = mysql_store_lease_release,
    .lease_forget = mysql_store_lease_forget,
    .checkpoint_put = mysql_store_checkpoint_put,
    .checkpoint_get = mysql_store_checkpoint_get,
    .checkpoint_remove = mysql_store_checkpoint_remove,
    .checkpoints = mysql_store_checkpoints,
    .health = mysql_store_health,
    .close = mysql_store_close,
};

static struct status check_options(const struct mysql_store_options *options)
{
    if (options->host == NULL || options->host[0] == '\0')
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.mysql.host is empty; give the database server's name");
    if (options->database == NULL || options->database[0] == '\0')
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.mysql.database is empty; give the database's name");
    if (options->store_id == NULL || options->store_id[0] == '\0' || strlen(options->store_id) > 255)
        return status_error(STATUS_INVALID_ARGUMENT, "the store's name must have 1 to 255 bytes");
    if (options->pool_size > POOL_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "database.mysql.pool_size is %u; at most %u are used",
                            options->pool_size, POOL_MAX);
    return status_ok();
}

static bool copy_text(const char *text, char **ret)
{
    *ret = text == NULL ? NULL : strdup(text);
    return text == NULL || *ret != NULL;
}

static bool copy_options(const struct mysql_store_options *options, struct mysql_settings *ret)
{
    ret->port = options->port == 0 ? PORT_DEFAULT : options->port;
    ret->tls = options->tls;
    ret->pool_size = options->pool_size == 0 ? POOL_DEFAULT : options->pool_size;
    ret->connect_timeout_ms =
        options->connect_timeout_ms == 0 ? CONNECT_DEFAULT_MS : options->connect_timeout_ms;
    ret->io_timeout_ms = options->io_timeout_ms == 0 ? IO_DEFAULT_MS : options->io_timeout_ms;
    ret->settle_timeout_ms = options->settle_timeout_ms == 0 ? SETTLE_DEFAULT_MS : options->settle_timeout_ms;
    ret->allow_weak_durability = options->allow_weak_durability;
    ret->lease_clock = options->lease_clock;
    return copy_text(options->host, &ret->host) && copy_text(options->username, &ret->username) &&
           copy_text(options->password, &ret->password) && copy_text(options->database, &ret->database) &&
           copy_text(options->store_id, &ret->store_id) && copy_text(options->tls_ca_file, &ret->tls_ca_file);
}

static void init_parts(struct mysql_store *store)
{
    store->store.ops = &mysql_ops;
    store->failure = status_ok();
    entropy_fill(&system_entropy, &store->seed, sizeof store->seed);
    (void)pthread_mutex_init(&store->reach_lock, NULL); /* these fail only for attributes that are not used */
    (void)pthread_mutex_init(&store->ready_lock, NULL);
    (void)pthread_mutex_init(&store->pool_lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->pool_free, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&store->committer.lock, NULL);
    (void)pthread_cond_init(&store->committer.more, NULL);
    mysql_link_init(&store->writer, store, true);
    mysql_link_init(&store->ahead, store, false);
    for (size_t i = 0; i < 2; i++)
        store->commits[i].text.sql = buffer_make(0);
    mysql_known_init(&store->known, store->seed);
    mysql_known_init(&store->asked_ahead, store->seed);
    for (size_t i = 0; i < POOL_MAX; i++)
        mysql_link_init(&store->pool[i], store, false);
}

struct status mysql_store_open(const struct mysql_store_options *options, const struct clock *clock,
                               struct log *log, struct event_store **ret)
{
    STATUS_TRY(check_options(options));
    if (mysql_library_init(0, NULL, NULL) != 0)
        return status_error(STATUS_INTERNAL, "the MySQL client library cannot be initialised");
    struct mysql_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return mysql_no_memory();
    store->clock = clock;
    store->log = log;
    init_parts(store);
    struct status status = copy_options(options, &store->settings) ? status_ok() : mysql_no_memory();
    if (status.code == STATUS_OK)
        status = mysql_link_begin(&store->writer);
    if (status.code == STATUS_OK || status.reason == REASON_STORE_UNREACHABLE) {
        store->opened = true;
        status = mysql_committer_start(store);
    }
    if (status.code != STATUS_OK) {
        mysql_store_close(&store->store);
        return status;
    }
    *ret = &store->store;
    return status_ok();
}
