/* What serves: built bottom-up, taken down in reverse. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "bus/bus.h"
#include "domain/domain.h"
#include "gateway/gateway.h"
#include "gateway/upstream/upstream.h"
#include "gateway/upstream/upstream_grpc.h"
#include "main/serve_internal.h"
#include "main/stores_internal.h"
#include "rpc/table.h"
#include "server/server.h"
#include "service/service.h"
#include "store/redis/redis_store.h"
#include "store/writer.h"

#define DRAIN_MS      5000
#define METADATA_MAX  64U
#define ADDRESS_BYTES 128U

/*
 * What malloc keeps for the next call rather than giving it back to the system: by default a thread that frees its reply
 * returns the pages and faults them in again for the next one, a fifth of the CPU of a list of 100 events. The second is
 * the greatest that glibc knows; left to itself it would move there too. Really large pieces are store/pages.h's.
 */
#define MALLOC_KEEPS_BYTES     (8 * 1024 * 1024)
#define MALLOC_MAPS_FROM_BYTES (32 * 1024 * 1024)

/* Of a store behind a network the service's threads wait for answers: as many as it has connections, unless told
 * otherwise. */
#define WAITING_THREADS 8U

/* Everything that runs; a member is NULL until it was built. */
struct running {
    const struct config *config;
    const struct serve_options *options;
    struct log *log;
    int log_fd;
    size_t descriptors; /* that may be open */
    struct stores stores;
    struct domain *domain;
    struct bus *bus;
    char holder[UUID_TEXT_BYTES]; /* our name where we take leases: new with each start, as they want it */
    struct redis_hints *hints;    /* NULL = none */
    struct writer *writer;
    struct service *service;
    struct rpc_table *table;
    struct upstream *upstream;
    struct server *server;
    struct gateway *gateway;
    struct service_pair metadata[METADATA_MAX];
    struct service_pair libraries[LIBRARIES_MAX];
    struct buffer configuration; /* JSON */
};

static void stop_all(struct running *running)
{
    if (running->server != NULL)
        server_set_serving(running->server, false);
    if (running->service != NULL)
        service_stop(running->service);
    gateway_stop(running->gateway, DRAIN_MS);
    server_stop(running->server, DRAIN_MS);
    if (running->options->parts == SERVE_GATEWAY)
        upstream_grpc_free(running->upstream);
    else
        upstream_local_free(running->upstream);
    rpc_table_free(running->table);
    service_free(running->service);
    writer_stop(running->writer);
    redis_hints_stop(running->hints);
    bus_free(running->bus);
    domain_free(running->domain);
    stores_close(&running->stores);
    buffer_done(&running->configuration);
    log_free(running->log);
    if (running->log_fd > STDERR_FILENO)
        (void)close(running->log_fd); /* nothing is left to write */
}

static struct status open_log(struct running *running)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *output = config_text(running->config, CONFIG_LOGGING_OUTPUT);
    enum log_level least = LOG_DEBUG;
    while (strcmp(levels[least], config_text(running->config, CONFIG_LOGGING_LEVEL)) != 0)
        least++; /* the configuration holds one of them */
    running->log_fd = strcmp(output, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
    if (strcmp(output, "stdout") != 0 && strcmp(output, "stderr") != 0)
        running->log_fd = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (running->log_fd < 0)
        return status_error(STATUS_INVALID_ARGUMENT, "logging.output \"%s\" cannot be opened: %s", output,
                            strerror(errno));
    const bool json = strcmp(config_text(running->config, CONFIG_LOGGING_FORMAT), "json") == 0;
    running->log = log_new(running->log_fd, least, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, &system_clock);
    return running->log != NULL ? status_ok()
                                : status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the log");
}

static struct status make_domain(const struct config *config, struct domain **ret)
{
    struct domain_options options = {
        .validation_enabled = config_bool(config, CONFIG_VALIDATION_ENABLED),
        .strict = config_bool(config, CONFIG_VALIDATION_STRICT),
    };
    options.event_types = config_list(config, CONFIG_SUPPORTED_EVENT_TYPES, &options.event_type_count);
    options.aggregate_types =
        config_list(config, CONFIG_SUPPORTED_AGGREGATE_TYPES, &options.aggregate_type_count);
    return domain_new(&options, ret);
}

struct status serve_check(const struct config *config)
{
    struct domain *domain = NULL;
    const struct status status = make_domain(config, &domain);
    domain_free(domain);
    return status;
}

static struct append_limits limits_of(const struct config *config)
{
    return (struct append_limits){
        .events_max = config_int(config, CONFIG_MAX_EVENTS),
        .aggregates_max = config_int(config, CONFIG_MAX_AGGREGATES),
        .aggregate_events_max = (int32_t)config_int(config, CONFIG_MAX_AGGREGATE_EVENTS),
        .event_data_max_bytes = (size_t)config_int(config, CONFIG_MAX_EVENT_DATA_SIZE),
    };
}

static void on_commit(void *context, const struct store_head *head)
{
    const struct running *running = context;
    bus_committed(running->bus, head);
    redis_hints_tell(running->hints, head->position);
}

static struct status hints_health(void *context)
{
    return redis_hints_health(context);
}

static struct status start_writer(struct running *running)
{
    const struct writer_options options = {
        .limits = limits_of(running->config),
        .on_commit = on_commit,
        .on_commit_context = running,
    };
    return writer_start(running->stores.events, &options, &system_clock, &system_entropy, &running->writer);
}

static const char *security_mode(const struct config *config)
{
    return config_security(config) == CONFIG_SECURITY_ENFORCED ? "enforced" : "development";
}

static struct status make_service(struct running *running)
{
    const struct config *config = running->config;
    size_t pairs = 0;
    const struct config_pair *metadata = config_map(config, CONFIG_METADATA, &pairs);
    if (pairs > METADATA_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "metadata has %zu entries; at most %u are shown", pairs,
                            METADATA_MAX);
    for (size_t i = 0; i < pairs; i++)
        running->metadata[i] = (struct service_pair){metadata[i].name, metadata[i].value};
    STATUS_TRY(config_json(config, &running->configuration));
    const struct service_parts parts = {
        .store = running->stores.events,
        .writer = running->writer,
        .snapshots = running->stores.snapshots,
        .cache = running->stores.cache,
        .bus = running->bus,
        .hints_health = running->hints == NULL ? NULL : hints_health,
        .hints_context = running->hints,
        .domain = running->domain,
        .clock = &system_clock,
        .entropy = &system_entropy,
        .log = running->log,
    };
    const struct service_options options = {
        .name = config_text(config, CONFIG_NAME),
        .version = config_text(config, CONFIG_VERSION),
        .description = config_text(config, CONFIG_DESCRIPTION),
        .metadata = running->metadata,
        .metadata_count = pairs,
        .build_version = STRATA_BUILD_VERSION,
        .commit = STRATA_COMMIT,
        .libraries = running->libraries,
        .library_count = library_versions(running->libraries),
        .configuration = buffer_bytes(&running->configuration),
        .store_id = running->stores.store_id,
        .holder = running->holder,
        .security_mode = security_mode(config),
        .cache_kind = config_caches_in_redis(config) ? "redis" : "memory",
        .limits = limits_of(config),
        .pool_threads = parts.store->pipelined ? 0 : WAITING_THREADS,
        .snapshots_max = config_int(config, CONFIG_MAX_SNAPSHOTS),
        .snapshot_events = (int32_t)config_int(config, CONFIG_SNAPSHOT_EVENTS),
        .snapshot_interval_us = config_duration_us(config, CONFIG_SNAPSHOT_INTERVAL),
        .cleanup_interval_us = config_duration_us(config, CONFIG_CLEANUP_INTERVAL),
        /* Redis ends what is over by itself. */
        .cache_ttl_us = config_caches_in_redis(config) ? 0 : config_duration_us(config, CONFIG_CACHE_TTL),
    };
    return service_new(&parts, &options, &running->service);
}

/* Until tokens are built, a call that brings one must not run as if it had none (DESIGN §7). */
static struct status refuse_tokens(void *context, struct call *call)
{
    (void)context;
    if (call_authorization(call).size_bytes == 0) {
        call_set_principal(call, BYTES_LITERAL("anonymous"));
        return status_ok();
    }
    return status_reason(REASON_UNAUTHENTICATED,
                         "the service runs in development mode and cannot check tokens; leave the "
                         "Authorization header out");
}

static struct status make_table(struct running *running)
{
    const struct interceptor authenticate = {.before = refuse_tokens};
    running->table = rpc_table_new();
    if (running->table == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the method table");
    rpc_table_intercept(running->table, &authenticate);
    service_register(running->service, running->table);
    return rpc_table_check(running->table);
}

static const char *bind_address(const struct config *config)
{
    const char *bind = config_text(config, CONFIG_SERVER_BIND);
    return strcmp(bind, "localhost") == 0 ? "127.0.0.1" : bind;
}

static struct status start_server(struct running *running)
{
    const char *numeric = bind_address(running->config);
    char address[ADDRESS_BYTES];
    (void)snprintf(
        address, sizeof address, strchr(numeric, ':') != NULL ? "[%s]:%d" : "%s:%d", numeric,
        (int)config_int(running->config, CONFIG_SERVER_GRPC_PORT)); /* a cut address is refused below */
    const struct server_options server = {
        .bind = address,
        .table = running->table,
        .clock = &system_clock,
        .log = running->log,
    };
    return server_start(&server, &running->server);
}

static struct status make_upstream(struct running *running)
{
    if (running->options->parts == SERVE_GATEWAY) {
        const struct upstream_grpc_options options = {
            .addresses = running->options->upstreams,
            .address_count = running->options->upstream_count,
            .clock = &system_clock,
            .entropy = &system_entropy,
            .log = running->log,
        };
        return upstream_grpc_new(&options, &running->upstream);
    }
    running->upstream = upstream_local_new(running->table);
    return running->upstream != NULL ? status_ok()
                                     : status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the gateway");
}

static struct connection_limits connection_limits(const struct running *running)
{
    const size_t wanted = config_bool(running->config, CONFIG_WEBSOCKET_ENABLED)
                              ? (size_t)config_int(running->config, CONFIG_WEBSOCKET_MAX_CONNECTIONS)
                              : 0;
    const struct connection_limits limits = connections_share(running->descriptors, wanted);
    if (limits.websocket < wanted)
        log_info(running->log,
                 "the descriptor limit allows fewer WebSockets than websocket.max_connections; raise it "
                 "(ulimit -Hn, LimitNOFILE= of systemd) for more",
                 LOG_INT("max_connections", (int64_t)wanted), LOG_INT("allowed", (int64_t)limits.websocket),
                 LOG_INT("descriptors", (int64_t)running->descriptors));
    return limits;
}

static struct status start_gateway(struct running *running)
{
    const struct config *config = running->config;
    STATUS_TRY(make_upstream(running));
    const struct connection_limits limits = connection_limits(running);
    struct gateway_options gateway = {
        .bind_address = bind_address(config),
        .port = (uint16_t)config_int(config, CONFIG_SERVER_HTTP_PORT),
        .development = config_security(config) == CONFIG_SECURITY_DEVELOPMENT,
        .forwarded = config_bool(config, CONFIG_SECURITY_ALLOW_INSECURE_BIND),
        .websocket = config_bool(config, CONFIG_WEBSOCKET_ENABLED),
        .websocket_apart =
            config_int(config, CONFIG_WEBSOCKET_PORT) != config_int(config, CONFIG_SERVER_HTTP_PORT),
        .websocket_port = (uint16_t)config_int(config, CONFIG_WEBSOCKET_PORT),
        .websocket_connections_max = limits.websocket,
        .http_connections_max = limits.http,
        .websocket_read_max_bytes = (size_t)config_int(config, CONFIG_WEBSOCKET_READ_BUFFER_SIZE),
        .websocket_write_high_bytes = (size_t)config_int(config, CONFIG_WEBSOCKET_WRITE_BUFFER_SIZE),
        .header_timeout_ms = config_duration_us(config, CONFIG_WEBSOCKET_HANDSHAKE_TIMEOUT) / 1000,
    };
    gateway.allowed_hosts = config_list(config, CONFIG_SECURITY_ALLOWED_HOSTS, &gateway.allowed_host_count);
    gateway.allowed_origins =
        config_list(config, CONFIG_SECURITY_ALLOWED_ORIGINS, &gateway.allowed_origin_count);
    return gateway_start(&gateway, running->upstream, running->log, &system_clock, &system_entropy,
                         &running->gateway);
}

static struct status build_core(struct running *running)
{
    STATUS_TRY(stores_open(running->config, running->options, running->log, &running->stores));
    STATUS_TRY(make_domain(running->config, &running->domain));
    STATUS_TRY(bus_new(running->stores.events, &system_clock, running->log, &running->bus));
    uuid_v7(clock_now_us(&system_clock), &system_entropy, running->holder);
    STATUS_TRY(bus_set_holder(running->bus, bytes_of_text(running->holder)));
    STATUS_TRY(bus_start(running->bus));
    STATUS_TRY(
        stores_start_hints(&running->stores, running->config, running->bus, running->log, &running->hints));
    STATUS_TRY(start_writer(running));
    STATUS_TRY(make_service(running));
    STATUS_TRY(make_table(running));
    return start_server(running);
}

/* Keys that look as if they did something and do not. */
static void log_idle_keys(const struct running *running)
{
    const struct config *config = running->config;
    if (config_bool(config, CONFIG_SECURITY_ENABLED) &&
        config_security(config) == CONFIG_SECURITY_DEVELOPMENT)
        log_warn(running->log,
                 "security.enabled is true, but security.jwt_secret is the sample or shorter than 32 bytes: "
                 "development mode, in which no token is needed");
    if (config_bool(config, CONFIG_MONITORING_ENABLED) !=
        config_bool(config, CONFIG_MONITORING_SECTION_ENABLED))
        log_warn(running->log, "monitoring_enabled and monitoring.enabled are both needed: no metrics",
                 LOG_BOOL("monitoring_enabled", config_bool(config, CONFIG_MONITORING_ENABLED)));
    if (config_bool(config, CONFIG_SECURITY_ALLOW_INSECURE_BIND))
        log_warn(
            running->log,
            "security.allow_insecure_bind: whoever reaches this address, or a proxy before it, may read and "
            "write everything",
            LOG_TEXT("bind", config_text(config, CONFIG_SERVER_BIND)));
}

static struct status build(struct running *running)
{
    STATUS_TRY(open_log(running));
    log_idle_keys(running);
    stores_log_exposures(running->config, running->log);
    running->descriptors = descriptors_claim(running->log);
    if (running->options->parts != SERVE_GATEWAY)
        STATUS_TRY(build_core(running));
    return running->options->parts != SERVE_CORE ? start_gateway(running) : status_ok();
}

/* As it stands before a port. */
static const char *shown_bind(const struct config *config, char text[ADDRESS_BYTES])
{
    const char *bind = config_text(config, CONFIG_SERVER_BIND);
    /* It is an address that could be bound, so it fits. */
    (void)snprintf(text, ADDRESS_BYTES, strchr(bind, ':') != NULL ? "[%s]" : "%s", bind);
    return text;
}

static void print_gateway(const struct running *running)
{
    char text[ADDRESS_BYTES];
    const char *bind = shown_bind(running->config, text);
    const int port = gateway_port(running->gateway);
    const int websocket_port = gateway_websocket_port(running->gateway);
    (void)printf("  REST, SSE%s   http://%s:%d\n", websocket_port == port ? ", WebSocket" : "           ",
                 bind, port);
    if (websocket_port != port && websocket_port != 0)
        (void)printf("  WebSocket              ws://%s:%d/ws\n", bind, websocket_port);
    for (size_t i = 0; i < running->options->upstream_count; i++)
        (void)printf("  core                   %s\n", running->options->upstreams[i]);
}

static void print_core(const struct running *running)
{
    char events[512];
    stores_describe(running->config, events, sizeof events);
    char bind[ADDRESS_BYTES];
    (void)printf("  gRPC                   %s:%d\n"
                 "  events                 %s\n",
                 shown_bind(running->config, bind), server_port(running->server), events);
}

/* A person reads this; the log has the same for programs. */
static void print_banner(const struct running *running)
{
    (void)printf("Strata %s is serving.\n", STRATA_BUILD_VERSION);
    if (running->gateway != NULL)
        print_gateway(running);
    if (running->server != NULL)
        print_core(running);
    (void)printf("  security               development mode: %s, no tokens\n\n",
                 config_is_loopback(running->config) ? "loopback only" : "NOT loopback only");
    if (running->gateway != NULL)
        (void)printf(
            "Try:\n"
            "  curl -X POST http://localhost:%d/api/v1/aggregates/ -H 'Content-Type: application/json' "
            "-d '{\"type\":\"user\",\"id\":\"user-123\",\"initial_state\":{\"email\":\"john@example.com\"}}'\n",
            gateway_port(running->gateway));
    (void)printf("Ctrl-C stops it cleanly.\n");
    (void)fflush(stdout); /* the log says the same */
}

static void wait_for_signal(const sigset_t *signals, struct log *log)
{
    int number = 0;
    while (sigwait(signals, &number) != 0)
        continue;
    log_info(log, "stopping", LOG_TEXT("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
}

struct status serve_run(const struct config *config, const struct serve_options *options)
{
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEPS_BYTES); /* advice: without it all is the same, but slower */
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_MAPS_FROM_BYTES);
    sigset_t signals;
    (void)sigemptyset(&signals); /* a set and valid signals cannot fail */
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread, so that all inherit it */
    (void)signal(SIGPIPE, SIG_IGN);
    struct running running = {
        .config = config, .options = options, .log_fd = -1, .configuration = buffer_make(0)};
    struct status status = build(&running);
    if (status.code == STATUS_OK) {
        stores_log(&running.stores, running.log);
        if (running.server != NULL)
            server_set_serving(running.server, true);
        print_banner(&running);
        log_info(
            running.log, "serving",
            LOG_INT("http_port", running.gateway == NULL ? 0 : gateway_port(running.gateway)),
            LOG_INT("websocket_port", running.gateway == NULL ? 0 : gateway_websocket_port(running.gateway)),
            LOG_INT("grpc_port", running.server == NULL ? 0 : server_port(running.server)),
            LOG_TEXT("bind", config_text(config, CONFIG_SERVER_BIND)),
            LOG_TEXT("security", security_mode(config)));
        wait_for_signal(&signals, running.log);
    }
    stop_all(&running);
    return status;
}
