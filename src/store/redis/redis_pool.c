/* A server as one of our purposes uses it: options, connections, and calls that spare a server in trouble. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis_internal.h"

#define POOL_DEFAULT       8U
#define PORT_DEFAULT       6379U
#define CONNECT_DEFAULT_MS 1000U
#define IO_DEFAULT_MS      5000U
#define PREFIX_DEFAULT     "strata"

struct status redis_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to talk to Redis");
}

/* ---- connections ---- */

/* The first ones do the work, so that the others may fall idle. */
static struct redis_link *pool_take(struct redis *redis)
{
    struct redis_link *link = NULL;
    pthread_mutex_lock(&redis->pool_lock);
    while (link == NULL) {
        for (size_t i = 0; i < redis->settings.pool_size && link == NULL; i++)
            if (!redis->pool_used[i]) {
                redis->pool_used[i] = true;
                link = &redis->pool[i];
            }
        if (link == NULL)
            pthread_cond_wait(&redis->pool_free, &redis->pool_lock);
    }
    pthread_mutex_unlock(&redis->pool_lock);
    return link;
}

static void pool_give(struct redis *redis, struct redis_link *link)
{
    pthread_mutex_lock(&redis->pool_lock);
    redis->pool_used[link - redis->pool] = false;
    pthread_cond_signal(&redis->pool_free);
    pthread_mutex_unlock(&redis->pool_lock);
}

/* ---- calls ---- */

/* *ret_again: the connection had been ended since its last use, as by a restart; so another try may do. */
static struct status run_once(struct redis_link *link, const struct redis_command *commands, size_t count,
                              redisReply **ret_replies, bool *ret_again)
{
    const bool used_before = link->reader != NULL;
    *ret_again = false;
    STATUS_TRY(redis_link_connect(link));
    const struct status status = redis_link_run(link, commands, count, ret_replies);
    *ret_again = status.code != STATUS_OK && used_before && link->reader == NULL && link->socket.lost;
    return status;
}

static struct status run_on_pool(struct redis *redis, const struct redis_command *commands, size_t count,
                                 redisReply **ret_replies, bool *ret_connected)
{
    struct redis_link *link = pool_take(redis);
    bool again = false;
    struct status status = run_once(link, commands, count, ret_replies, &again);
    if (again)
        status = run_once(link, commands, count, ret_replies, &again);
    *ret_connected = link->reader != NULL;
    pool_give(redis, link);
    return status;
}

/* A write that is refused over a connection that works says nothing about reads. */
struct status redis_run(struct redis *redis, enum redis_use use, const struct redis_command *commands,
                        size_t count, redisReply **ret_replies)
{
    bool connected = false;
    if (use == REDIS_WRITES)
        STATUS_TRY(redis_breaker_may_try(redis, &redis->writes));
    STATUS_TRY(redis_breaker_may_try(redis, &redis->reach));
    const struct status status = run_on_pool(redis, commands, count, ret_replies, &connected);
    const bool refused_write = use == REDIS_WRITES && connected && status.code != STATUS_OK;
    if (status.code == STATUS_OK || refused_write)
        redis_breaker_succeeded(redis, &redis->reach);
    else
        redis_breaker_failed(redis, &redis->reach, &status);
    if (refused_write)
        redis_breaker_failed(redis, &redis->writes, &status);
    else if (use == REDIS_WRITES && status.code == STATUS_OK)
        redis_breaker_succeeded(redis, &redis->writes);
    return status;
}

struct status redis_run_one(struct redis *redis, enum redis_use use, const struct bytes *words, size_t count,
                            redisReply **ret)
{
    const struct redis_command command = {words, count};
    return redis_run(redis, use, &command, 1, ret);
}

void redis_try(struct redis *redis)
{
    const struct bytes ping[] = {BYTES_LITERAL("PING")};
    redisReply *reply = NULL;
    const struct status status = redis_run_one(redis, REDIS_READS, ping, 1, &reply);
    if (status.code == STATUS_OK) /* else the log has it */
        freeReplyObject(reply);
}

/* A server that is no longer full shows it only to who writes. */
static struct status try_to_write(struct redis *redis)
{
    CLEANUP(buffer_done) struct buffer key = buffer_make(0);
    CLEANUP(redis_reply_free_at) redisReply *reply = NULL;
    STATUS_TRY(redis_key(redis, "probe", BYTES_NONE, &key));
    const struct bytes words[] = {BYTES_LITERAL("SET"), buffer_bytes(&key), BYTES_LITERAL("1"),
                                  BYTES_LITERAL("PX"), BYTES_LITERAL("1000")};
    return redis_run_one(redis, REDIS_WRITES, words, ARRAY_COUNT(words), &reply);
}

struct status redis_health(struct redis *redis)
{
    STATUS_TRY(redis_breaker_status(&redis->reach));
    const struct status status = redis_breaker_status(&redis->writes);
    return status.code == STATUS_OK ? status : try_to_write(redis);
}

struct status redis_key(const struct redis *redis, const char *kind, struct bytes name, struct buffer *ret)
{
    const struct redis_settings *settings = &redis->settings;
    *ret = buffer_make(0);
    buffer_printf(ret, "%s:%s:%zu:%s:", settings->key_prefix, kind, strlen(settings->store_id),
                  settings->store_id);
    buffer_add_bytes(ret, name);
    return buffer_status(ret);
}

/* ---- options ---- */

static struct status check_options(const struct redis_options *options)
{
    if (options->host == NULL || options->host[0] == '\0')
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.redis.host is empty; give the name of the Redis server");
    if (options->store_id == NULL || options->store_id[0] == '\0')
        return status_error(STATUS_INVALID_ARGUMENT, "the store's name is empty");
    if (options->username != NULL && options->username[0] != '\0' &&
        (options->password == NULL || options->password[0] == '\0'))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "database.redis.username is \"%s\" and there is no password; give "
                            "database.redis.password or password_file",
                            options->username);
    if (options->pool_size > POOL_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "database.redis.pool_size is %u; at most %u are used",
                            options->pool_size, POOL_MAX);
    return status_ok();
}

/* NULL for none. */
static bool copy_text(const char *text, char **ret)
{
    const bool none = text == NULL || text[0] == '\0';
    *ret = none ? NULL : strdup(text);
    return none || *ret != NULL;
}

static bool copy_options(const struct redis_options *options, struct redis_settings *ret)
{
    ret->port = options->port == 0 ? PORT_DEFAULT : options->port;
    ret->database = options->database;
    ret->tls = options->tls;
    ret->pool_size = options->pool_size == 0 ? POOL_DEFAULT : options->pool_size;
    ret->connect_timeout_ms =
        options->connect_timeout_ms == 0 ? CONNECT_DEFAULT_MS : options->connect_timeout_ms;
    ret->io_timeout_ms = options->io_timeout_ms == 0 ? IO_DEFAULT_MS : options->io_timeout_ms;
    const char *prefix =
        options->key_prefix == NULL || options->key_prefix[0] == '\0' ? PREFIX_DEFAULT : options->key_prefix;
    return copy_text(options->host, &ret->host) && copy_text(options->username, &ret->username) &&
           copy_text(options->password, &ret->password) && copy_text(prefix, &ret->key_prefix) &&
           copy_text(options->store_id, &ret->store_id);
}

static void free_settings(struct redis_settings *settings)
{
    free(settings->host);
    free(settings->username);
    if (settings->password != NULL)
        explicit_bzero(settings->password, strlen(settings->password));
    free(settings->password);
    free(settings->key_prefix);
    free(settings->store_id);
}

struct status redis_new(const struct redis_options *options, const char *purpose, const struct clock *clock,
                        struct log *log, struct redis **ret)
{
    STATUS_TRY(check_options(options));
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL)
        return redis_no_memory();
    redis->purpose = purpose;
    redis->clock = clock;
    redis->log = log;
    redis_breaker_init(&redis->reach);
    redis_breaker_init(&redis->writes);
    (void)pthread_mutex_init(&redis->pool_lock, NULL); /* these fail only for attributes that are not used */
    (void)pthread_cond_init(&redis->pool_free, NULL);
    for (size_t i = 0; i < POOL_MAX; i++)
        redis->pool[i] = (struct redis_link){.redis = redis, .socket = {.fd = -1}};
    struct status status = copy_options(options, &redis->settings) ? status_ok() : redis_no_memory();
    if (status.code == STATUS_OK)
        status = redis_tls_new(options, &redis->tls);
    if (status.code != STATUS_OK)
        redis_free(redis);
    else
        *ret = redis;
    return status;
}

void redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    for (size_t i = 0; i < POOL_MAX; i++)
        redis_link_drop(&redis->pool[i]);
    SSL_CTX_free(redis->tls);
    redis_breaker_done(&redis->reach);
    redis_breaker_done(&redis->writes);
    (void)pthread_mutex_destroy(&redis->pool_lock);
    (void)pthread_cond_destroy(&redis->pool_free);
    free_settings(&redis->settings);
    free(redis);
}
