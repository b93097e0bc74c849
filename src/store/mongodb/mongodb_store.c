#include "store/mongodb/mongodb_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "mongodb_internal.h"

#define POOL_DEFAULT       8U
#define CONNECT_DEFAULT_MS 5000U
#define IO_DEFAULT_MS      30000U
#define SETTLE_DEFAULT_MS  15000U
/* So often the driver looks for a primary that it has lost. */
#define HEARTBEAT_MS  1000
#define STORE_ID_MOST 64U
/* A health that was seen so lately is not asked for again. */
#define HEALTH_FRESH_US INT64_C(1000000)

struct status mongodb_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to talk to the database server");
}

void mongodb_know_head(struct mongodb_store *store, int64_t position)
{
    int64_t known = atomic_load(&store->known_head);
    while (known < position && !atomic_compare_exchange_weak(&store->known_head, &known, position))
        ;
}

void mongodb_pause(int64_t most_us)
{
    uint32_t random = 0;
    entropy_fill(&system_entropy, &random, sizeof random);
    const int64_t pause_us = 1 + (int64_t)random % most_us;
    const struct timespec pause = {.tv_sec = pause_us / 1000000, .tv_nsec = pause_us % 1000000 * 1000};
    (void)nanosleep(&pause, NULL); /* shorter is as good */
}

/* ---- health ---- */

static struct status mongodb_store_health(struct event_store *base)
{
    struct mongodb_store *store = mongodb_of(base);
    mongoc_client_t *client = NULL;
    const int64_t now_us = clock_monotonic_us(store->clock);
    if (now_us - atomic_load(&store->healthy_at_us) < HEALTH_FRESH_US)
        return mongodb_reach_status(store);
    STATUS_TRY(mongodb_client_take(store, &client));
    const struct status status = mongodb_check_server(store, client);
    mongodb_client_give(store, client);
    if (status.code == STATUS_OK)
        atomic_store(&store->healthy_at_us, now_us);
    return status;
}

/* ---- the driver's log ---- */

/*
 * One for all stores of the process, as the driver has it: the log of the store that was opened last. Its warnings are
 * about connections, which this room reports itself, once.
 */
static pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next one; held for one line */
static struct log *driver_log;

static void log_for_driver(mongoc_log_level_t level, const char *domain, const char *message, void *context)
{
    static const enum log_level levels[] = {
        [MONGOC_LOG_LEVEL_ERROR] = LOG_WARN,    [MONGOC_LOG_LEVEL_CRITICAL] = LOG_WARN,
        [MONGOC_LOG_LEVEL_WARNING] = LOG_DEBUG, [MONGOC_LOG_LEVEL_MESSAGE] = LOG_DEBUG,
        [MONGOC_LOG_LEVEL_INFO] = LOG_DEBUG,    [MONGOC_LOG_LEVEL_DEBUG] = LOG_DEBUG,
        [MONGOC_LOG_LEVEL_TRACE] = LOG_DEBUG,
    };
    (void)context;
    pthread_mutex_lock(&driver_lock);
    if ((size_t)level < sizeof levels / sizeof *levels)
        log_write(driver_log, levels[level], "the MongoDB driver says",
                  (struct log_field[]){LOG_TEXT("domain", domain), LOG_TEXT("message", message)}, 2);
    pthread_mutex_unlock(&driver_lock);
}

static void set_driver_log(struct log *log)
{
    pthread_mutex_lock(&driver_lock);
    driver_log = log;
    pthread_mutex_unlock(&driver_lock);
    mongoc_log_set_handler(log_for_driver, NULL); /* before its first word, which else goes to stderr */
    mongoc_init();
}

static void leave_driver_log(const struct log *log)
{
    pthread_mutex_lock(&driver_lock);
    if (driver_log == log)
        driver_log = NULL;
    pthread_mutex_unlock(&driver_lock);
}

/* ---- open and close ---- */

static void free_settings(struct mongodb_settings *settings)
{
    if (settings->uri != NULL)
        mongoc_uri_destroy(settings->uri);
    free(settings->hosts);
    free(settings->database);
    free(settings->store_id);
}

static void mongodb_store_close(struct event_store *base)
{
    struct mongodb_store *store = mongodb_of(base);
    mongodb_crew_stop(&store->crew);
    if (store->writer != NULL)
        mongodb_client_return(store, store->writer);
    mongodb_clients_close(store);
    leave_driver_log(store->log);
    mongodb_cache_done(&store->cache);
    mongodb_tallies_done(&store->events);
    mongodb_tallies_done(&store->aggregates);
    free_settings(&store->settings);
    (void)pthread_mutex_destroy(&store->reach_lock);
    (void)pthread_mutex_destroy(&store->ready_lock);
    (void)pthread_mutex_destroy(&store->pool_lock);
    (void)pthread_mutex_destroy(&store->tally_lock);
    (void)pthread_mutex_destroy(&store->crew.lock);
    (void)pthread_cond_destroy(&store->pool_free);
    (void)pthread_cond_destroy(&store->crew.work);
    (void)pthread_cond_destroy(&store->crew.finished);
    free(store);
}

static const struct event_store_ops mongodb_ops = {
    .facts = mongodb_store_facts,
    .release = NULL, /* facts hold nothing: a commit finds out whether somebody was first */
    .commit = mongodb_store_commit,
    .read = mongodb_store_read,
    .head = mongodb_store_head,
    .aggregate = mongodb_store_aggregate,
    .aggregates = mongodb_store_aggregates,
    .find_id = mongodb_store_find_id,
    .find_time = mongodb_store_find_time,
    .stats = mongodb_store_stats,
    .state_get = mongodb_store_state_get,
    .state_put = mongodb_store_state_put,
    .state_swap = mongodb_store_state_swap,
    .state_remove = mongodb_store_state_remove,
    .state_list = mongodb_store_state_list,
    .lease = mongodb_store_lease,
    .lease_release = mongodb_store_lease_release,
    .lease_forget = mongodb_store_lease_forget,
    .checkpoint_put = mongodb_store_checkpoint_put,
    .checkpoint_get = mongodb_store_checkpoint_get,
    .checkpoint_remove = mongodb_store_checkpoint_remove,
    .checkpoints = mongodb_store_checkpoints,
    .health = mongodb_store_health,
    .close = mongodb_store_close,
};

static bool is_name(const char *text, size_t most)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const size_t length = text == NULL ? 0 : strlen(text);
    return length >= 1 && length <= most && strspn(text, letters) == length;
}

static struct status check_options(const struct mongodb_store_options *options)
{
    if (options->uri == NULL || options->uri[0] == '\0')
        return status_error(
            STATUS_INVALID_ARGUMENT,
            "database.mongodb.uri is empty; give it as mongodb://host:27017/?replicaSet=name");
    if (!is_name(options->database, 63))
        return status_error(
            STATUS_INVALID_ARGUMENT,
            "database.mongodb.database is \"%s\"; give a name of 1 to 63 letters, digits, '-' "
            "and '_'",
            options->database == NULL ? "" : options->database);
    if (!is_name(options->store_id, STORE_ID_MOST))
        return status_error(
            STATUS_INVALID_ARGUMENT,
            "database.mongodb.store_id is \"%s\"; give a name of 1 to %u letters, digits, '-' "
            "and '_'",
            options->store_id == NULL ? "" : options->store_id, STORE_ID_MOST);
    if (options->pool_size > POOL_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "database.mongodb.pool_size is %u; at most %u are used",
                            options->pool_size, POOL_MAX);
    return status_ok();
}

/* The hosts as text, without user and password. */
static struct status list_hosts(struct mongodb_settings *settings)
{
    CLEANUP(buffer_done) struct buffer text = buffer_make(0);
    const mongoc_host_list_t *host = mongoc_uri_get_hosts(settings->uri);
    for (; host != NULL; host = host->next)
        buffer_printf(&text, "%s%s", text.size_bytes == 0 ? "" : ",", host->host_and_port);
    if (text.size_bytes == 0) /* mongodb+srv:// */
        buffer_add_text(&text, "the host of database.mongodb.uri");
    buffer_add_byte(&text, 0);
    STATUS_TRY(buffer_status(&text));
    settings->hosts = strdup((const char *)text.data);
    return settings->hosts != NULL ? status_ok() : mongodb_no_memory();
}

/* What is promised does not depend on what the text says: a majority has on disk what is acknowledged, and what is read. */
static void set_concerns(const struct mongodb_settings *settings)
{
    mongoc_write_concern_t *write = mongoc_write_concern_new();
    mongoc_read_concern_t *read = mongoc_read_concern_new();
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_write_concern_set_wmajority(write, (int32_t)settings->io_timeout_ms / 2);
    mongoc_write_concern_set_journal(write, true);
    (void)mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_uri_set_write_concern(settings->uri, write);
    mongoc_uri_set_read_concern(settings->uri, read);
    mongoc_uri_set_read_prefs_t(settings->uri, primary);
    mongoc_read_prefs_destroy(primary);
    mongoc_read_concern_destroy(read);
    mongoc_write_concern_destroy(write);
}

static void set_timeouts(const struct mongodb_settings *settings)
{
    const int32_t connect_ms = (int32_t)settings->connect_timeout_ms;
    /* These fail for unknown options only. */
    (void)mongoc_uri_set_option_as_int32(settings->uri, MONGOC_URI_CONNECTTIMEOUTMS, connect_ms);
    (void)mongoc_uri_set_option_as_int32(settings->uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, connect_ms);
    (void)mongoc_uri_set_option_as_int32(settings->uri, MONGOC_URI_HEARTBEATFREQUENCYMS, HEARTBEAT_MS);
    (void)mongoc_uri_set_option_as_int32(settings->uri, MONGOC_URI_SOCKETTIMEOUTMS,
                                         (int32_t)settings->io_timeout_ms);
}

/* The driver says of a file that is not there only that TLS cannot be initialized, after it has looked for a server. */
static struct status check_file(const mongoc_uri_t *uri, const char *option, const char *name)
{
    struct stat about;
    const char *path = mongoc_uri_get_option_as_utf8(uri, option, "");
    if (path[0] == '\0')
        return status_ok();
    const bool folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    if (!folder && access(path, R_OK) == 0)
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "%s in database.mongodb.uri is \"%s\", which cannot be read: %s; correct the path, or let the "
        "service read the file",
        name, path, strerror(folder ? EISDIR : errno));
}

static struct status copy_options(const struct mongodb_store_options *options, struct mongodb_settings *ret)
{
    bson_error_t error;
    ret->pool_size = options->pool_size == 0 ? POOL_DEFAULT : options->pool_size;
    ret->connect_timeout_ms =
        options->connect_timeout_ms == 0 ? CONNECT_DEFAULT_MS : options->connect_timeout_ms;
    ret->io_timeout_ms = options->io_timeout_ms == 0 ? IO_DEFAULT_MS : options->io_timeout_ms;
    ret->settle_timeout_ms = options->settle_timeout_ms == 0 ? SETTLE_DEFAULT_MS : options->settle_timeout_ms;
    ret->database = strdup(options->database);
    ret->store_id = strdup(options->store_id);
    if (ret->database == NULL || ret->store_id == NULL)
        return mongodb_no_memory();
    ret->uri = mongoc_uri_new_with_error(options->uri, &error);
    if (ret->uri == NULL)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.mongodb.uri is not one: %s; give it as "
                            "mongodb://user:password@host:27017/?replicaSet=name",
                            error.message);
    STATUS_TRY(check_file(ret->uri, MONGOC_URI_TLSCAFILE, "tlsCAFile"));
    STATUS_TRY(check_file(ret->uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, "tlsCertificateKeyFile"));
    set_concerns(ret);
    set_timeouts(ret);
    return list_hosts(ret);
}

static void init_parts(struct mongodb_store *store)
{
    store->store.ops = &mongodb_ops;
    store->failure = status_ok();
    entropy_fill(&system_entropy, &store->seed, sizeof store->seed);
    (void)pthread_mutex_init(&store->reach_lock, NULL); /* these fail only for attributes that are not used */
    (void)pthread_mutex_init(&store->ready_lock, NULL);
    (void)pthread_mutex_init(&store->pool_lock, NULL);
    (void)pthread_mutex_init(&store->tally_lock, NULL);
    (void)pthread_mutex_init(&store->crew.lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->pool_free, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_cond_init(&store->crew.work, NULL);
    (void)pthread_cond_init(&store->crew.finished, NULL);
}

static struct status open_parts(struct mongodb_store *store, const struct mongodb_store_options *options)
{
    STATUS_TRY(copy_options(options, &store->settings));
    STATUS_TRY(mongodb_cache_init(&store->cache, store->seed));
    STATUS_TRY(mongodb_clients_open(store));
    store->writer = mongodb_client_lend(store);
    STATUS_TRY(mongodb_crew_start(&store->crew, store));
    return mongodb_store_ready(store, store->writer);
}

struct status mongodb_store_open(const struct mongodb_store_options *options, const struct clock *clock,
                                 struct log *log, struct event_store **ret)
{
    STATUS_TRY(check_options(options));
    struct mongodb_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return mongodb_no_memory();
    store->clock = clock;
    store->log = log;
    set_driver_log(log);
    init_parts(store);
    const struct status status = open_parts(store, options);
    /* One that is only away may come back. */
    if (status.code != STATUS_OK &&
        (status.reason != REASON_STORE_UNREACHABLE || mongodb_is_distrusted(&status))) {
        mongodb_store_close(&store->store);
        return status;
    }
    *ret = &store->store;
    return status_ok();
}
