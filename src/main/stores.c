#include "main/stores_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/files.h"
#include "base/log.h"
#include "store/embedded/embedded_store.h"
#include "store/memory/memory_store.h"
#include "store/mongodb/mongodb_store.h"
#include "store/mysql/mysql_store.h"

static bool is(const char *engine, const char *name)
{
    return strcmp(engine, name) == 0;
}

/* ---- embedded ---- */

static struct status open_embedded(const struct config *config, const struct serve_options *once,
                                   struct log *log, struct stores *ret)
{
    const char *path = config_text(config, CONFIG_EMBEDDED_PATH);
    const struct embedded_options options = {
        .store_id = config_text(config, CONFIG_EMBEDDED_STORE_ID),
        .segment_max_bytes = (uint64_t)config_int(config, CONFIG_EMBEDDED_SEGMENT_SIZE),
        .segment_max_events = (uint32_t)config_int(config, CONFIG_EMBEDDED_SEGMENT_EVENTS),
        .head_cache_bytes = (uint64_t)config_int(config, CONFIG_EMBEDDED_HEAD_CACHE_SIZE),
        .accept_data_loss = once->accept_data_loss,
        .accept_state_loss = once->accept_state_loss,
    };
    ret->store_id = options.store_id;
    struct status status = posix_files_new(path, &ret->files);
    if (status.code == STATUS_OK)
        status = embedded_store_open(ret->files, &options, &system_clock, &system_entropy, log, &ret->events);
    return status.code == STATUS_OK ? status : status_prefix(status, "database.embedded.path \"%s\"", path);
}

/* ---- MySQL ---- */

struct status stores_password(const struct config *config, enum config_key key, enum config_key file_key,
                              char to[PASSWORD_MAX_BYTES])
{
    const char *path = config_text(config, file_key);
    (void)snprintf(to, PASSWORD_MAX_BYTES, "%s", config_text(config, key)); /* a cut one is refused */
    if (path[0] == '\0')
        return status_ok();
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return status_error(STATUS_INVALID_ARGUMENT, "%s \"%s\" cannot be read: %s",
                            config_key_path(file_key), path, strerror(errno));
    if (fgets(to, PASSWORD_MAX_BYTES, file) == NULL)
        to[0] = '\0';
    (void)fclose(file); /* was only read */
    to[strcspn(to, "\r\n")] = '\0';
    return status_ok();
}

static enum mysql_tls tls_of(const struct config *config)
{
    const char *word = config_text(config, CONFIG_MYSQL_TLS);
    if (is(word, "verified"))
        return MYSQL_TLS_VERIFIED;
    return is(word, "required") ? MYSQL_TLS_REQUIRED : MYSQL_TLS_OFF;
}

static struct status open_mysql(const struct config *config, struct log *log, struct event_store **ret)
{
    char password[PASSWORD_MAX_BYTES];
    const char *ca_file = config_text(config, CONFIG_MYSQL_TLS_CA_FILE);
    STATUS_TRY(stores_password(config, CONFIG_MYSQL_PASSWORD, CONFIG_MYSQL_PASSWORD_FILE, password));
    const struct mysql_store_options options = {
        .host = config_text(config, CONFIG_MYSQL_HOST),
        .port = (uint16_t)config_int(config, CONFIG_MYSQL_PORT),
        .username = config_text(config, CONFIG_MYSQL_USERNAME),
        .password = password,
        .database = config_text(config, CONFIG_MYSQL_DATABASE),
        .store_id = config_text(config, CONFIG_MYSQL_STORE_ID),
        .tls = tls_of(config),
        .tls_ca_file = ca_file[0] == '\0' ? NULL : ca_file,
        .pool_size = (unsigned)config_int(config, CONFIG_MYSQL_POOL_SIZE),
        .connect_timeout_ms = (uint32_t)(config_duration_us(config, CONFIG_MYSQL_CONNECT_TIMEOUT) / 1000),
        .io_timeout_ms = (uint32_t)(config_duration_us(config, CONFIG_MYSQL_IO_TIMEOUT) / 1000),
        .settle_timeout_ms = (uint32_t)(config_duration_us(config, CONFIG_MYSQL_SETTLE_TIMEOUT) / 1000),
        .allow_weak_durability = config_bool(config, CONFIG_MYSQL_ALLOW_WEAK_DURABILITY),
    };
    const struct status status = mysql_store_open(&options, &system_clock, log, ret);
    explicit_bzero(password, sizeof password);
    return status;
}

/* ---- the choice ---- */

static struct status open_events(const struct config *config, const struct serve_options *once,
                                 struct log *log, struct stores *ret)
{
    const char *engine = config_event_store(config);
    if (!is(engine, "embedded") && (once->accept_data_loss || once->accept_state_loss))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "%s is about the embedded store and database.event_store is \"%s\"; leave it out",
                            once->accept_data_loss ? "--accept-data-loss" : "--accept-state-loss", engine);
    ret->store_id = "main";
    if (is(engine, "memory"))
        return memory_store_open(&system_clock, &ret->events);
    if (is(engine, "embedded"))
        return open_embedded(config, once, log, ret);
    if (is(engine, "mongodb")) {
        ret->store_id = config_text(config, CONFIG_MONGODB_STORE_ID);
        return stores_mongodb(config, log, &ret->events);
    }
    ret->store_id = config_text(config, CONFIG_MYSQL_STORE_ID);
    return open_mysql(config, log, &ret->events);
}

/* Beside the events where they are in the same database, else over a store that holds nothing else. */
static struct status open_mongodb_snapshots(const struct config *config, struct log *log, struct stores *ret)
{
    if (is(config_event_store(config), "mongodb"))
        return mongodb_store_snapshots(ret->events, &ret->snapshots);
    STATUS_TRY(stores_mongodb(config, log, &ret->snapshot_base));
    return mongodb_store_snapshots(ret->snapshot_base, &ret->snapshots);
}

/* Snapshots in memory have no bound of their own: which of them go, the service knows. */
static struct status open_snapshots(const struct config *config, struct log *log, struct stores *ret)
{
    const char *events = config_event_store(config);
    const char *engine = config_snapshot_store(config);
    if (is(engine, "memory") || (is(events, "memory") && is(engine, "embedded")))
        return memory_snapshots_open(0, &ret->snapshots);
    if (is(engine, "embedded"))
        return embedded_store_snapshots(ret->events, &ret->snapshots);
    if (is(engine, "redis"))
        return stores_redis_snapshots(config, ret->store_id, log, &ret->snapshots);
    if (is(engine, "mongodb"))
        return open_mongodb_snapshots(config, log, ret);
    if (is(events, "mysql"))
        return mysql_store_snapshots(ret->events, &ret->snapshots);
    STATUS_TRY(open_mysql(config, log, &ret->snapshot_base));
    return mysql_store_snapshots(ret->snapshot_base, &ret->snapshots);
}

static struct status open_cache(const struct config *config, struct log *log, struct stores *ret)
{
    if (config_caches_in_redis(config))
        return stores_redis_cache(config, ret->store_id, log, &ret->cache);
    if (!config_bool(config, CONFIG_CACHING_ENABLED) || !config_bool(config, CONFIG_CACHE_ENABLED))
        return status_ok();
    return memory_snapshots_open((size_t)config_int(config, CONFIG_CACHE_MAX_SIZE), &ret->cache);
}

struct status stores_open(const struct config *config, const struct serve_options *once, struct log *log,
                          struct stores *ret)
{
    STATUS_TRY(open_events(config, once, log, ret));
    STATUS_TRY(open_snapshots(config, log, ret));
    return open_cache(config, log, ret);
}

void stores_close(struct stores *stores)
{
    snapshot_store_close(stores->cache);
    snapshot_store_close(stores->snapshots);
    event_store_close(stores->snapshot_base);
    event_store_close(stores->events);
    posix_files_free(stores->files);
}

/* ---- what people are told ---- */

void stores_log_exposures(const struct config *config, struct log *log)
{
    struct config_exposure exposures[CONFIG_EXPOSURES_MAX];
    const size_t count = config_exposures(config, exposures);
    for (size_t i = 0; i < count; i++) {
        char mode[8];
        (void)snprintf(mode, sizeof mode, "%04o", exposures[i].mode); /* four digits */
        log_warn(log, "a file with a secret can be read by others than its owner; chmod 600 it",
                 LOG_TEXT("file", exposures[i].file), LOG_TEXT("key", config_key_path(exposures[i].key)),
                 LOG_TEXT("mode", mode));
    }
}

void stores_log(const struct stores *stores, struct log *log)
{
    if (stores->files == NULL)
        return;
    struct embedded_recovery recovery;
    embedded_store_recovery(stores->events, &recovery);
    if (recovery.torn_bytes > 0)
        log_warn(log, "a torn tail was set aside; nothing that was answered is in it",
                 LOG_INT("torn_bytes", recovery.torn_bytes),
                 LOG_INT("head_position", recovery.head_position));
    log_info(log, recovery.created ? "made a new store" : "opened the store",
             LOG_INT("head_position", recovery.head_position), LOG_BOOL("clean", recovery.clean),
             LOG_INT("segments", recovery.segment_count));
}

void stores_describe(const struct config *config, char *to, size_t size_bytes)
{
    const char *engine = config_event_store(config);
    if (is(engine, "memory"))
        (void)snprintf(to, size_bytes, "in memory: gone when it stops"); /* a cut text is still one */
    else if (is(engine, "mysql"))
        (void)snprintf(to, size_bytes, "MySQL at %s:%d, database %s", config_text(config, CONFIG_MYSQL_HOST),
                       (int)config_int(config, CONFIG_MYSQL_PORT),
                       config_text(config, CONFIG_MYSQL_DATABASE));
    else if (is(engine, "mongodb")) /* not the URI: it may hold a password */
        (void)snprintf(to, size_bytes, "MongoDB, database %s", config_text(config, CONFIG_MONGODB_DATABASE));
    else
        (void)snprintf(to, size_bytes, "embedded store in %s", config_text(config, CONFIG_EMBEDDED_PATH));
}
