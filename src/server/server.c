#include "server/server.h"

#include <assert.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "server/descriptors_internal.h"
#include "server/server_internal.h"

#define MAX_MESSAGE_BYTES    (12U * 1024U * 1024U)
#define SLOTS_PER_METHOD     64U
#define MAX_CALLS            16384U
#define MAX_STREAMS          1000U
#define MAX_CONNECTIONS      4096U
#define MAX_METADATA_BYTES   16384U
#define MEMORY_BYTES         (512U * 1024U * 1024U)
#define KEEPALIVE_MS         60000U
#define SHOWN_PATH_MAX       256U
#define KEEPALIVE_TIMEOUT_MS 20000
#define PING_INTERVAL_MIN_MS 4000 /* who pings more often is disconnected; gateways do it every 5 s */

#define QUIET_MS          25 /* without a new call, at the end */
#define QUIET_WAIT_MAX_MS 500

/* --- slots --- */

/* Hands one more slot to gRPC, or remembers that one is owed. */
static void post_slot(struct server *server, struct exchange_method *method)
{
    pthread_mutex_lock(&server->stop_lock);
    const bool full = server->live >= server->options.max_calls;
    pthread_mutex_unlock(&server->stop_lock);
    struct exchange *exchange = full ? NULL : server_exchange_new(server, method);
    if (exchange == NULL) {
        server->unposted++;
        return;
    }
    void *tag = &exchange->tags[TAG_ARRIVED];
    grpc_byte_buffer **payload = method->client_stream ? NULL : &exchange->payload;
    const grpc_call_error error =
        method->registered == NULL
            ? grpc_server_request_call(server->grpc, &exchange->call, &exchange->details, &exchange->metadata,
                                       server->queue, server->queue, tag)
            : grpc_server_request_registered_call(server->grpc, method->registered, &exchange->call,
                                                  &exchange->deadline, &exchange->metadata, payload,
                                                  server->queue, server->queue, tag);
    assert(error == GRPC_CALL_OK);
    method->posted++;
}

static void post_owed_slots(struct server *server)
{
    server->unposted = 0;
    for (size_t i = 0; i <= METHOD_UNKNOWN; i++)
        for (uint32_t n = server->methods[i].posted; n < server->options.slots_per_method; n++)
            post_slot(server, &server->methods[i]);
}

static void add_live(struct server *server, int change)
{
    pthread_mutex_lock(&server->stop_lock);
    server->live = (uint32_t)((int64_t)server->live + change);
    server->arrivals += change > 0;
    if (server->live == 0)
        pthread_cond_broadcast(&server->stop_changed);
    pthread_mutex_unlock(&server->stop_lock);
}

void server_recycle(struct server *server, struct exchange *exchange)
{
    exchange->next_free = server->free_exchanges;
    server->free_exchanges = exchange;
    add_live(server, -1);
    if (server->unposted > 0)
        post_owed_slots(server);
}

/* --- the sending thread --- */

bool server_on_poller(const struct server *server)
{
    return pthread_equal(pthread_self(), server->poller) != 0;
}

void server_enqueue(struct server *server, struct exchange *exchange)
{
    if (exchange->queued)
        return;
    exchange->queued = true;
    exchange->next_queued = NULL;
    if (server->queued_last != NULL)
        server->queued_last->next_queued = exchange;
    else
        server->queued_first = exchange;
    server->queued_last = exchange;
    pthread_cond_signal(&server->outbox_filled); /* a system call only when the thread waits: once for many */
}

/*
 * Starting a batch may write to the socket, 5 us and more. While this thread starts batches and the poller
 * reads, gRPC puts what both have for one connection into one write.
 */
static void *send_main(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->outbox_lock);
    for (;;) {
        while (server->queued_first == NULL && !server->send_stop)
            pthread_cond_wait(&server->outbox_filled, &server->outbox_lock);
        struct exchange *exchange = server->queued_first;
        if (exchange == NULL)
            break;
        server->queued_first = exchange->next_queued;
        if (server->queued_first == NULL)
            server->queued_last = NULL;
        exchange->queued = false;
        exchange_pump_locked(exchange);
        pthread_mutex_lock(&server->outbox_lock);
    }
    pthread_mutex_unlock(&server->outbox_lock);
    return NULL;
}

static void stop_sending(struct server *server)
{
    pthread_mutex_lock(&server->outbox_lock);
    server->send_stop = true;
    pthread_cond_signal(&server->outbox_filled);
    pthread_mutex_unlock(&server->outbox_lock);
    pthread_join(server->send_thread, NULL);
}

/* --- the polling thread --- */

static void handle_arrival(struct server *server, struct exchange *exchange, bool success)
{
    struct exchange_method *method = exchange->method;
    method->posted--;
    if (!success) { /* the server is stopping: the slot comes back unused */
        exchange_free(exchange);
        return;
    }
    add_live(server, 1);
    post_slot(server, method);
    exchange_arrived(exchange);
}

static void *poll_main(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->outbox_lock);
    server->poller = pthread_self();
    pthread_mutex_unlock(&server->outbox_lock);
    post_owed_slots(server);
    for (;;) {
        const grpc_event event =
            grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        const struct tag *tag = event.tag;
        switch (tag->kind) {
        case TAG_ARRIVED:
            handle_arrival(server, tag->exchange, event.success != 0);
            break;
        case TAG_SHUTDOWN:
            pthread_mutex_lock(&server->stop_lock);
            server->grpc_stopped = true;
            pthread_cond_broadcast(&server->stop_changed);
            pthread_mutex_unlock(&server->stop_lock);
            break;
        default:
            exchange_completed(tag->exchange, tag->kind, event.success != 0);
            break;
        }
    }
}

/* --- start --- */

static uint32_t value_or(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void fill_defaults(struct server_options *options)
{
    options->max_message_bytes = value_or(options->max_message_bytes, MAX_MESSAGE_BYTES);
    options->slots_per_method = value_or(options->slots_per_method, SLOTS_PER_METHOD);
    options->max_calls = value_or(options->max_calls, MAX_CALLS);
    options->max_streams = value_or(options->max_streams, MAX_STREAMS);
    options->max_metadata_bytes = value_or(options->max_metadata_bytes, MAX_METADATA_BYTES);
    options->max_connections = value_or(options->max_connections, MAX_CONNECTIONS);
    options->memory_bytes = value_or(options->memory_bytes, MEMORY_BYTES);
    options->keepalive_ms = value_or(options->keepalive_ms, KEEPALIVE_MS);
}

static grpc_arg integer(const char *key, int64_t value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER,
                      .key = (char *)key,
                      .value.integer = value > INT32_MAX ? INT32_MAX : (int)value};
}

static void create_grpc_server(struct server *server)
{
    const struct server_options *options = &server->options;
    grpc_resource_quota *quota = grpc_resource_quota_create("strata");
    grpc_resource_quota_resize(quota, options->memory_bytes);
    grpc_arg settings[] = {
        integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options->max_message_bytes),
        integer(GRPC_ARG_MAX_METADATA_SIZE, options->max_metadata_bytes),
        integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, options->max_streams),
        integer(GRPC_ARG_KEEPALIVE_TIME_MS, options->keepalive_ms),
        integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
        integer(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        /* Compressed requests are refused: 12 MiB of them could unfold to any size. */
        integer(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
        /* So nothing is to be (de)compressed, and each call need not carry what does it. */
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        {.type = GRPC_ARG_POINTER,
         .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
    };
    const grpc_channel_args args = {ARRAY_COUNT(settings), settings};
    server->grpc = grpc_server_create(&args, NULL);
    grpc_resource_quota_unref(quota);
    grpc_server_register_completion_queue(server->grpc, server->queue, NULL);
}

/* gRPC would let a call of a method that nobody has registered wait for ever. */
static void unknown_begin(struct exchange *exchange, struct bytes request)
{
    (void)request;
    const grpc_slice path = exchange->details.method;
    const size_t size_bytes = GRPC_SLICE_LENGTH(path);
    const struct status status = status_error(
        STATUS_UNIMPLEMENTED, "there is no method \"%.*s\"; ask the server's reflection for its methods",
        (int)(size_bytes < SHOWN_PATH_MAX ? size_bytes : SHOWN_PATH_MAX),
        (const char *)GRPC_SLICE_START_PTR(path));
    exchange_finish(exchange, &status, BYTES_NONE, 0);
}

static const struct exchange_handler unknown_handler = {.begin = unknown_begin};

static void register_methods(struct server *server)
{
    for (int i = 0; i < (int)SCHEMA_METHOD_COUNT; i++) {
        const struct schema_method *method = schema_method((enum schema_method_id)i);
        server->methods[i] = (struct exchange_method){
            .path = method->path,
            .client_stream = method->client_stream,
            .server_stream = method->server_stream,
            .handler = &rpc_edge_handler,
            .id = i,
        };
    }
    static const struct exchange_method internal[INTERNAL_METHODS] = {
        {.path = "/grpc.health.v1.Health/Check", .handler = &health_check_handler},
        {.path = "/grpc.health.v1.Health/Watch", .server_stream = true, .handler = &health_watch_handler},
        {.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
         .client_stream = true,
         .server_stream = true,
         .handler = &reflection_handler},
        {.path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
         .client_stream = true,
         .server_stream = true,
         .handler = &reflection_handler},
    };
    memcpy(&server->methods[SCHEMA_METHOD_COUNT], internal, sizeof internal);
    server->methods[METHOD_UNKNOWN] = (struct exchange_method){
        .path = "", .client_stream = true, .server_stream = true, .handler = &unknown_handler};
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        struct exchange_method *method = &server->methods[i];
        method->registered = grpc_server_register_method(
            server->grpc, method->path, NULL,
            method->client_stream ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        assert(method->registered != NULL); /* a path registered twice */
    }
}

struct bytes method_service(const struct exchange_method *method)
{
    const char *service = method->path + 1;
    return bytes_of(service, (size_t)(strchr(service, '/') - service));
}

static void init_locks(struct server *server)
{
    pthread_mutex_init(&server->outbox_lock, NULL);
    pthread_cond_init(&server->outbox_filled, NULL);
    pthread_mutex_init(&server->health_lock, NULL);
    pthread_mutex_init(&server->stop_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->stop_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* Frees what is there; no thread must run. */
static void server_free(struct server *server)
{
    if (server == NULL)
        return;
    if (server->grpc != NULL)
        grpc_server_destroy(server->grpc);
    if (server->queue != NULL)
        grpc_completion_queue_destroy(server->queue);
    while (server->free_exchanges != NULL) {
        struct exchange *next = server->free_exchanges->next_free;
        exchange_free(server->free_exchanges);
        server->free_exchanges = next;
    }
    grpc_listener_free(server->listener);
    descriptor_index_free(server->descriptors);
    pthread_cond_destroy(&server->stop_changed);
    pthread_mutex_destroy(&server->stop_lock);
    pthread_mutex_destroy(&server->health_lock);
    pthread_cond_destroy(&server->outbox_filled);
    pthread_mutex_destroy(&server->outbox_lock);
    free(server);
    grpc_shutdown();
}

/* For a server whose polling thread does not run: gRPC wants its queue drained before it is destroyed. */
static void abandon(struct server *server)
{
    if (server->grpc != NULL)
        grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shutdown_tag);
    grpc_completion_queue_shutdown(server->queue);
    while (grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    server_free(server);
}

/* On the listener's thread. */
static void connection_accepted(void *context, int fd)
{
    struct server *server = context;
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(server->grpc, fd, plain);
    grpc_server_credentials_release(plain);
}

static struct status listen_on(struct server *server, const char *bind)
{
    const struct grpc_listener_options options = {
        .bind = bind,
        .max_connections = server->options.max_connections,
        .log = server->options.log,
        .accepted = connection_accepted,
        .context = server,
    };
    return grpc_listener_open(&options, &server->listener);
}

/* The polling thread last: what it has begun could not be abandoned. */
static struct status start_threads(struct server *server)
{
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED,
                                        "cannot start the gRPC server's threads; raise the limit of threads");
    if (pthread_create(&server->send_thread, NULL, send_main, server) != 0)
        return status;
    grpc_server_start(server->grpc);
    const struct status listening = grpc_listener_start(server->listener);
    if (!status_is_ok(&listening))
        status = listening;
    else if (pthread_create(&server->poll_thread, NULL, poll_main, server) == 0)
        return status_ok();
    grpc_listener_stop(server->listener);
    stop_sending(server);
    return status;
}

/* gRPC writes lines to stderr about what its peers do, as many as they like. What matters is in statuses. */
static void log_nothing(gpr_log_func_args *args)
{
    (void)args;
}

struct status server_start(const struct server_options *options, struct server **ret)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the gRPC server");
    gpr_set_log_function(log_nothing);
    grpc_init();
    server->options = *options;
    fill_defaults(&server->options);
    init_locks(server);
    server->queue = grpc_completion_queue_create_for_next(NULL);
    create_grpc_server(server);
    register_methods(server);
    server->shutdown_tag = (struct tag){TAG_SHUTDOWN, NULL};
    struct status status = descriptor_index_new(bytes_of(schema_descriptor_set, schema_descriptor_set_bytes),
                                                &server->descriptors);
    if (status_is_ok(&status))
        status = listen_on(server, options->bind);
    if (status_is_ok(&status))
        status = start_threads(server);
    if (!status_is_ok(&status)) {
        abandon(server);
        return status;
    }
    *ret = server;
    return status_ok();
}

uint16_t server_port(const struct server *server)
{
    return grpc_listener_port(server->listener);
}

/* --- while it runs, and its end --- */

void server_set_serving(struct server *server, bool serving)
{
    health_set(server, serving, false);
    atomic_store(&server->leaving, !serving);
}

/*
 * gRPC ends calls that come once its shutdown has begun with a bare CANCELLED, and nobody can tell whether they were carried
 * out. So whoever was told by a trailer that the server leaves gets the time to go: until no call has come for a while.
 */
static void wait_quiet(struct server *server)
{
    uint64_t seen = 0;
    pthread_mutex_lock(&server->stop_lock);
    for (int waited_ms = 0; waited_ms < QUIET_WAIT_MAX_MS; waited_ms += QUIET_MS) {
        const struct timespec until = deadline_after_ms(QUIET_MS);
        seen = server->arrivals;
        while (pthread_cond_timedwait(&server->stop_changed, &server->stop_lock, &until) == 0)
            ;
        if (server->arrivals == seen)
            break;
    }
    pthread_mutex_unlock(&server->stop_lock);
}

/* True when everything has ended before `until`; NULL = however long it takes. */
static bool wait_stopped(struct server *server, const struct timespec *until)
{
    int error = 0;
    pthread_mutex_lock(&server->stop_lock);
    while (error == 0 && !(server->grpc_stopped && server->live == 0))
        error = until == NULL ? pthread_cond_wait(&server->stop_changed, &server->stop_lock)
                              : pthread_cond_timedwait(&server->stop_changed, &server->stop_lock, until);
    const bool stopped = server->grpc_stopped && server->live == 0;
    pthread_mutex_unlock(&server->stop_lock);
    return stopped;
}

void server_stop(struct server *server, int64_t drain_ms)
{
    if (server == NULL)
        return;
    const struct timespec until = deadline_after_ms(drain_ms);
    grpc_listener_stop(server->listener);
    server_set_serving(server, false);
    wait_quiet(server);
    health_set(server, false, true);
    grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shutdown_tag);
    if (!wait_stopped(server, &until)) {
        log_info(server->options.log, "cancelling the gRPC calls that are left",
                 LOG_INT("drain_ms", drain_ms));
        grpc_server_cancel_all_calls(server->grpc);
        /* Handlers finish their calls, also cancelled ones: that is the contract. */
        (void)wait_stopped(server, NULL);
    }
    stop_sending(server);
    grpc_completion_queue_shutdown(server->queue);
    pthread_join(server->poll_thread, NULL);
    server_free(server);
}
