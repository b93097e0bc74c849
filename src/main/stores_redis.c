/* Redis, as the configuration names it: snapshots, cache, hints between processes. */
#include <string.h>

#include "base/clock.h"
#include "bus/bus.h"
#include "main/stores_internal.h"
#include "store/redis/redis_store.h"

static enum redis_tls tls_of(const struct config *config)
{
    const char *word = config_text(config, CONFIG_REDIS_TLS);
    if (strcmp(word, "verified") == 0)
        return REDIS_TLS_VERIFIED;
    return strcmp(word, "required") == 0 ? REDIS_TLS_REQUIRED : REDIS_TLS_OFF;
}

static uint32_t milliseconds(const struct config *config, enum config_key key)
{
    const int64_t ms = config_duration_us(config, key) / 1000;
    return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

static const char *text_or_null(const struct config *config, enum config_key key)
{
    const char *text = config_text(config, key);
    return text[0] == '\0' ? NULL : text;
}

/* The password is the caller's to erase. */
static struct status read_options(const struct config *config, const char *store_id, enum config_key timeout,
                                  char password[PASSWORD_MAX_BYTES], struct redis_options *ret)
{
    STATUS_TRY(stores_password(config, CONFIG_REDIS_PASSWORD, CONFIG_REDIS_PASSWORD_FILE, password));
    *ret = (struct redis_options){
        .host = config_text(config, CONFIG_REDIS_HOST),
        .port = (uint16_t)config_int(config, CONFIG_REDIS_PORT),
        .username = text_or_null(config, CONFIG_REDIS_USERNAME),
        .password = password,
        .database = (unsigned)config_int(config, CONFIG_REDIS_DB),
        .tls = tls_of(config),
        .tls_ca_file = text_or_null(config, CONFIG_REDIS_TLS_CA_FILE),
        .tls_cert_file = text_or_null(config, CONFIG_REDIS_TLS_CERT_FILE),
        .tls_key_file = text_or_null(config, CONFIG_REDIS_TLS_KEY_FILE),
        .key_prefix = config_text(config, CONFIG_REDIS_KEY_PREFIX),
        .store_id = store_id,
        .pool_size = (unsigned)config_int(config, CONFIG_REDIS_POOL_SIZE),
        .connect_timeout_ms = milliseconds(config, CONFIG_REDIS_CONNECT_TIMEOUT),
        .io_timeout_ms = milliseconds(config, timeout),
    };
    return status_ok();
}

struct status stores_redis_snapshots(const struct config *config, const char *store_id, struct log *log,
                                     struct snapshot_store **ret)
{
    char password[PASSWORD_MAX_BYTES];
    struct redis_options options;
    STATUS_TRY(read_options(config, store_id, CONFIG_REDIS_IO_TIMEOUT, password, &options));
    const struct status status = redis_snapshots_open(&options, &system_clock, log, ret);
    explicit_bzero(password, sizeof password);
    return status;
}

struct status stores_redis_cache(const struct config *config, const char *store_id, struct log *log,
                                 struct snapshot_store **ret)
{
    char password[PASSWORD_MAX_BYTES];
    struct redis_options options;
    const struct redis_cache_bounds bounds = {
        .ttl_ms = config_duration_us(config, CONFIG_CACHE_TTL) / 1000,
        .entries_max = config_int(config, CONFIG_CACHE_MAX_SIZE),
    };
    STATUS_TRY(read_options(config, store_id, CONFIG_CACHE_TIMEOUT, password, &options));
    const struct status status = redis_cache_open(&options, &bounds, &system_clock, log, ret);
    explicit_bzero(password, sizeof password);
    return status;
}

static void heard(void *context, int64_t position)
{
    bus_hint(context, position);
}

static void listening(void *context, bool yes)
{
    bus_set_hinted(context, yes);
}

struct status stores_start_hints(const struct stores *stores, const struct config *config, struct bus *bus,
                                 struct log *log, struct redis_hints **ret)
{
    if (stores->events->pipelined || !config_has_redis(config) || !config_bool(config, CONFIG_REDIS_HINTS))
        return status_ok();
    char password[PASSWORD_MAX_BYTES];
    struct redis_options options;
    const struct redis_hint_listener listener = {heard, listening, bus};
    STATUS_TRY(read_options(config, stores->store_id, CONFIG_CACHE_TIMEOUT, password, &options));
    const struct status status = redis_hints_start(&options, &listener, &system_clock, log, ret);
    explicit_bzero(password, sizeof password);
    return status;
}
