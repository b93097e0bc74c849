/* What single keys cannot see. */
#include <string.h>

#include "config/config_internal.h"

#define SECRET_MIN_BYTES 32U

#define ADDRESS_LETTERS "0123456789abcdefABCDEF:."
#define NAME_LETTERS    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_"

enum config_security config_security(const struct config *config)
{
    if (!config_bool(config, CONFIG_SECURITY_ENABLED))
        return CONFIG_SECURITY_DEVELOPMENT;
    if (config_text(config, CONFIG_SECURITY_JWT_SECRET_FILE)[0] != '\0')
        return CONFIG_SECURITY_ENFORCED;
    const char *secret = config_text(config, CONFIG_SECURITY_JWT_SECRET);
    const bool weak = strlen(secret) < SECRET_MIN_BYTES || strcmp(secret, CONFIG_SAMPLE_SECRET) == 0;
    return weak ? CONFIG_SECURITY_DEVELOPMENT : CONFIG_SECURITY_ENFORCED;
}

bool config_is_loopback(const struct config *config)
{
    const char *address = config_text(config, CONFIG_SERVER_BIND);
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "localhost") == 0 ||
           strcmp(address, "::1") == 0;
}

void config_settle(struct config *config)
{
    struct config_value *http = &config->values[CONFIG_SERVER_HTTP_PORT];
    struct config_value *websocket = &config->values[CONFIG_WEBSOCKET_PORT];
    if (!http->set)
        http->number = websocket->number;
    else if (!websocket->set)
        websocket->number = http->number;
}

static struct status check_ports(const struct config *config)
{
    const enum config_key keys[] = {CONFIG_SERVER_HTTP_PORT, CONFIG_WEBSOCKET_PORT};
    const int64_t grpc_port = config_int(config, CONFIG_SERVER_GRPC_PORT);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (grpc_port != 0 && grpc_port == config_int(config, keys[i]))
            return status_error(STATUS_INVALID_ARGUMENT,
                                "server.grpc_port and %s are both %lld; give each a port of its own",
                                config_key_path(keys[i]), (long long)grpc_port);
    return status_ok();
}

/* Which of the two counts would be a guess. */
static struct status check_secrets(const struct config *config)
{
    static const enum config_key keys[][2] = {{CONFIG_MYSQL_PASSWORD, CONFIG_MYSQL_PASSWORD_FILE},
                                              {CONFIG_REDIS_PASSWORD, CONFIG_REDIS_PASSWORD_FILE},
                                              {CONFIG_MONGODB_URI, CONFIG_MONGODB_URI_FILE},
                                              {CONFIG_SECURITY_JWT_SECRET, CONFIG_SECURITY_JWT_SECRET_FILE}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (config_is_set(config, keys[i][0]) && config_text(config, keys[i][0])[0] != '\0' &&
            config_text(config, keys[i][1])[0] != '\0')
            return status_error(STATUS_INVALID_ARGUMENT, "%s and %s are both given; keep one of them",
                                config_key_path(keys[i][0]), config_key_path(keys[i][1]));
    return status_ok();
}

/* As a Host names them, without its port. */
static struct status check_hosts(const struct config *config)
{
    size_t count = 0;
    const char *const *hosts = config_list(config, CONFIG_SECURITY_ALLOWED_HOSTS, &count);
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(hosts[i]);
        const bool six = hosts[i][0] == '[' && hosts[i][length - 1] == ']';
        const size_t plain = strspn(hosts[i] + six, six ? ADDRESS_LETTERS : NAME_LETTERS);
        if (plain == 0 || plain + 2 * (size_t)six != length)
            return status_error(
                STATUS_INVALID_ARGUMENT,
                "security.allowed_hosts names \"%s\"; write a host's name or address as it stands in a URL, "
                "without scheme, port, path and *, such as strata.internal or [2001:db8::1]",
                hosts[i]);
    }
    return status_ok();
}

struct status config_check(const struct config *config)
{
    const char *bind = config_text(config, CONFIG_SERVER_BIND);
    if (config_security(config) == CONFIG_SECURITY_DEVELOPMENT && !config_is_loopback(config) &&
        !config_bool(config, CONFIG_SECURITY_ALLOW_INSECURE_BIND))
        return status_error(
            STATUS_INVALID_ARGUMENT,
            "server.bind is \"%s\" and security is in development mode, in which no token is checked and only this "
            "machine is let in; bind 127.0.0.1, or, if all who reach that address may read and write everything, "
            "set security.allow_insecure_bind: true",
            bind);
    STATUS_TRY(check_ports(config));
    STATUS_TRY(check_secrets(config));
    STATUS_TRY(check_hosts(config));
    size_t brokers = 0;
    (void)config_list(config, CONFIG_MESSAGE_QUEUE_BROKERS, &brokers); /* only the count */
    if (config_bool(config, CONFIG_MESSAGE_QUEUE_ENABLED) && brokers == 0)
        return status_error(
            STATUS_INVALID_ARGUMENT,
            "message_queue.enabled is true and message_queue.brokers is empty; name a broker");
    if (config_text(config, CONFIG_EMBEDDED_PATH)[0] == '\0')
        return status_error(STATUS_INVALID_ARGUMENT, "database.embedded.path is empty; name a folder");
    if (config_text(config, CONFIG_MONITORING_PATH)[0] != '/')
        return status_error(STATUS_INVALID_ARGUMENT, "monitoring.path is \"%s\"; it must begin with /",
                            config_text(config, CONFIG_MONITORING_PATH));
    return status_ok();
}

static struct status not_built(const char *what, const char *remedy)
{
    return status_error(STATUS_UNIMPLEMENTED, "%s is configured and not part of this build; %s", what,
                        remedy);
}

static bool any_set(const struct config *config, const char *section)
{
    const size_t length = strlen(section);
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++)
        if (config_is_set(config, key) && strncmp(config_key_path(key), section, length) == 0)
            return true;
    return false;
}

const char *config_event_store(const struct config *config)
{
    const char *chosen = config_text(config, CONFIG_EVENT_STORE);
    if (chosen[0] != '\0')
        return chosen;
    if (any_set(config, "database.mysql."))
        return "mysql";
    return any_set(config, "database.mongodb.") ? "mongodb" : "embedded";
}

const char *config_snapshot_store(const struct config *config)
{
    const char *chosen = config_text(config, CONFIG_SNAPSHOT_STORE);
    if (chosen[0] != '\0')
        return chosen;
    if (any_set(config, "database.mongodb."))
        return "mongodb";
    return any_set(config, "database.mysql.") ? "mysql" : "embedded";
}

bool config_caches_in_redis(const struct config *config)
{
    return config_bool(config, CONFIG_CACHING_ENABLED) && config_bool(config, CONFIG_CACHE_ENABLED) &&
           strcmp(config_text(config, CONFIG_CACHE_TYPE), "redis") == 0;
}

bool config_has_redis(const struct config *config)
{
    return any_set(config, "database.redis.") || config_caches_in_redis(config) ||
           strcmp(config_snapshot_store(config), "redis") == 0;
}

/* Snapshots live in the events' files, or on a server. */
static struct status check_engines(const struct config *config)
{
    const char *events = config_event_store(config);
    const char *snapshots = config_snapshot_store(config);
    if (strcmp(snapshots, "memory") == 0 || strcmp(snapshots, events) == 0)
        return status_ok();
    if (strcmp(snapshots, "embedded") != 0 || strcmp(events, "memory") == 0) /* on a server */
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "database.snapshot_store is \"embedded\" and the events are in \"%s\"; choose \"%s\" or "
        "\"memory\" for the snapshots",
        events, events);
}

struct status config_check_built(const struct config *config, bool embedded)
{
    if (!embedded)
        STATUS_TRY(check_engines(config));
    if (config_security(config) == CONFIG_SECURITY_ENFORCED)
        return not_built("security.enabled with a strong secret (enforced mode)",
                         "set security.enabled: false, which serves loopback only in development mode");
    if (config_bool(config, CONFIG_SECURITY_RATE_LIMIT_ENABLED))
        return not_built("security.rate_limit_enabled", "set it to false");
    if (config_bool(config, CONFIG_MESSAGE_QUEUE_ENABLED))
        return not_built("message_queue.enabled", "set it to false");
    if (config_bool(config, CONFIG_MONITORING_ENABLED) &&
        config_bool(config, CONFIG_MONITORING_SECTION_ENABLED))
        return not_built("monitoring.enabled", "set it or monitoring_enabled to false");
    if (config_bool(config, CONFIG_AUDITING_ENABLED))
        return not_built("auditing_enabled", "set it to false");
    return status_ok();
}
