/* The server: its thread and loop, what other threads hand it, the life of its connections, heartbeat and time-outs. */
#include "gateway/websocket/websocket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/websocket/websocket_internal.h"

#define TICK_S           0.25 /* granularity of heartbeat and time-outs */
#define FULL_LOG_GAP_US  INT64_C(60000000)
#define CLOSE_GOING_AWAY 1001U

/* --- the inbox --- */

bool ws_post(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    pthread_mutex_lock(&server->inbox_lock);
    const bool taken = !server->ended;
    if (taken && !connection->posted) {
        connection->posted = true;
        connection->next_posted = NULL;
        ws_ref(connection);
        if (server->first_posted == NULL)
            server->first_posted = connection;
        else
            server->last_posted->next_posted = connection;
        server->last_posted = connection;
        /* Under the lock: once `ended` is set nobody may touch the loop. It only writes to an eventfd, and
         * only when no wake-up is under way. */
        ev_async_send(server->loop, &server->wake);
    }
    pthread_mutex_unlock(&server->inbox_lock);
    return taken;
}

/* --- one connection's life --- */

void ws_closed_tell(struct ws_connection *connection)
{
    ws_queue_drop(connection);
    if (!connection->opened || connection->closed_told)
        return;
    connection->closed_told = true;
    connection->server->options.ops->on_closed(connection->context);
}

/* Both sides are gone: the server lets go of it. */
static void retire(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    ws_closed_tell(connection);
    if (connection->former_open == NULL)
        server->open = connection->next_open;
    else
        connection->former_open->next_open = connection->next_open;
    if (connection->next_open != NULL)
        connection->next_open->former_open = connection->former_open;
    atomic_fetch_sub(&server->connection_count, 1);
    ws_unref(connection);
}

void ws_ended(struct ws_connection *connection)
{
    if (connection->wsi == NULL && connection->socket_fd < 0 && connection->server->adopting != connection)
        retire(connection);
}

static bool pair_open(struct ws_connection *connection)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    const int size = WS_PAIR_BUFFER_BYTES;
    (void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* the default is only larger */
    connection->pair_fd = ends[0];
    connection->lws_fd = ends[1];
    return true;
}

static void adopt(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    connection->next_open = server->open;
    if (server->open != NULL)
        server->open->former_open = connection;
    server->open = connection;
    connection->heard_us = clock_monotonic_us(server->clock);
    ws_pump_start(connection);
    if (ws_lws_adopt(connection))
        return;
    log_warn(server->log, "a WebSocket handshake could not be answered, closing it",
             LOG_INT("connections", atomic_load(&server->connection_count)));
    if (connection->wsi == NULL)
        ws_pump_cut(connection);
}

static void inbox_process(struct websocket_server *server)
{
    pthread_mutex_lock(&server->inbox_lock);
    struct ws_connection *at = server->first_posted;
    server->first_posted = NULL;
    server->last_posted = NULL;
    pthread_mutex_unlock(&server->inbox_lock);
    while (at != NULL) {
        pthread_mutex_lock(&server->inbox_lock); /* only now may it be posted again: its link was in use */
        struct ws_connection *next = at->next_posted;
        at->posted = false;
        pthread_mutex_unlock(&server->inbox_lock);
        if (at->lws_fd >= 0)
            adopt(at);
        if (at->wsi != NULL)
            ws_lws_write_posted(at);
        ws_unref(at);
        at = next;
    }
}

/* --- heartbeat, time-outs, stopping --- */

static void heartbeat(struct ws_connection *connection, int64_t now_us)
{
    const struct websocket_options *options = &connection->server->options;
    const bool lingering = connection->lws_finished || connection->wsi == NULL;
    if (lingering && connection->cut_due_us == 0)
        connection->cut_due_us = now_us + options->close_timeout_ms * 1000;
    pthread_mutex_lock(&connection->lock);
    const bool closing = connection->close_code != 0 || connection->overflowed;
    pthread_mutex_unlock(&connection->lock);
    if (closing && connection->cut_due_us == 0)
        connection->cut_due_us = now_us + options->close_timeout_ms * 1000;

    const int64_t silent_us = now_us - connection->heard_us;
    if ((connection->cut_due_us != 0 && now_us >= connection->cut_due_us) ||
        silent_us >= (options->ping_interval_ms + options->pong_timeout_ms) * 1000) {
        ws_pump_cut(connection);
        return;
    }
    if (silent_us >= options->ping_interval_ms * 1000 && connection->opened && connection->wsi != NULL &&
        now_us - connection->pinged_us >= options->ping_interval_ms * 1000) {
        connection->pinged_us = now_us;
        connection->ping_owed = true;
        ws_lws_wants_write(connection);
    }
}

static void drain_begin(struct websocket_server *server, int64_t now_us)
{
    server->draining = true;
    server->cut_all_us = now_us + atomic_load(&server->drain_ms) * 1000;
    const struct websocket_ops *ops = server->options.ops;
    for (struct ws_connection *at = server->open; at != NULL; at = at->next_open) {
        if (at->opened && !at->closed_told && ops->on_stopping != NULL)
            ops->on_stopping(at->context);
        ws_close(at, CLOSE_GOING_AWAY, "the server is stopping");
    }
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct websocket_server *server = watcher->data;
    const int64_t now_us = clock_monotonic_us(server->clock);
    if (!server->draining && atomic_load(&server->stopping))
        drain_begin(server, now_us);
    struct ws_connection *next;
    for (struct ws_connection *at = server->open; at != NULL; at = next) {
        next = at->next_open;
        if (server->draining && now_us >= server->cut_all_us)
            ws_pump_cut(at);
        else
            heartbeat(at, now_us);
    }
    if (server->draining && server->open == NULL)
        ev_break(loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
    struct websocket_server *server = watcher->data;
    inbox_process(server);
    if (atomic_load(&server->stopping))
        on_tick(loop, &server->tick, events); /* do not wait for the next tick */
}

static void *server_run(void *context)
{
    struct websocket_server *server = context;
    ev_run(server->loop, 0);

    pthread_mutex_lock(&server->inbox_lock);
    server->ended = true;
    struct ws_connection *at = server->first_posted;
    server->first_posted = NULL;
    pthread_mutex_unlock(&server->inbox_lock);
    while (at != NULL) { /* adopted too late, or answered after its end */
        struct ws_connection *next = at->next_posted;
        if (at->lws_fd >= 0) {
            close(at->lws_fd);
            close(at->pair_fd);
            close(at->socket_fd);
            atomic_fetch_sub(&server->connection_count, 1);
            ws_unref(at);
        }
        ws_unref(at);
        at = next;
    }
    ev_timer_stop(server->loop, &server->tick);
    ev_async_stop(server->loop, &server->wake);
    lws_context_destroy(server->lws);
    ev_loop_destroy(server->loop);
    return NULL;
}

/* --- start and stop --- */

static void options_fill(struct websocket_options *options)
{
    if (options->message_max_bytes == 0)
        options->message_max_bytes = (size_t)64 * 1024;
    if (options->connections_max == 0)
        options->connections_max = 10000;
    if (options->ping_interval_ms == 0)
        options->ping_interval_ms = 20000;
    if (options->pong_timeout_ms == 0)
        options->pong_timeout_ms = 20000;
    if (options->close_timeout_ms == 0)
        options->close_timeout_ms = 5000;
    if (options->queue_high_bytes == 0)
        options->queue_high_bytes = WS_HIGH_WATER_BYTES;
    if (options->queue_max_bytes == 0)
        options->queue_max_bytes = 4 * options->queue_high_bytes;
}

struct status websocket_server_start(const struct websocket_options *options, struct log *log,
                                     const struct clock *clock, struct websocket_server **ret)
{
    assert(options->ops != NULL);
    struct websocket_server *server = calloc(1, sizeof *server);
    struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (server == NULL || loop == NULL) {
        free(server);
        if (loop != NULL)
            ev_loop_destroy(loop);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory or descriptors for the WebSocket server");
    }
    server->options = *options;
    options_fill(&server->options);
    server->log = log;
    server->clock = clock;
    server->loop = loop;
    atomic_init(&server->references, 1);
    pthread_mutex_init(&server->inbox_lock, NULL);
    ev_async_init(&server->wake, on_wake);
    ev_timer_init(&server->tick, on_tick, TICK_S, TICK_S);
    server->wake.data = server;
    server->tick.data = server;
    ev_async_start(loop, &server->wake);
    ev_timer_start(loop, &server->tick);
    server->lws = ws_lws_open(server);
    struct status status = status_ok();
    if (server->lws == NULL)
        status = status_error(STATUS_UNAVAILABLE, "libwebsockets cannot start on libev; install the package "
                                                  "libwebsockets-evlib-ev");
    else if ((errno = pthread_create(&server->thread, NULL, server_run, server)) != 0)
        status = status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for the WebSocket server: %s",
                              strerror(errno));
    if (!status_is_ok(&status)) {
        if (server->lws != NULL)
            lws_context_destroy(server->lws);
        ev_loop_destroy(loop);
        pthread_mutex_destroy(&server->inbox_lock);
        free(server);
        return status;
    }
    *ret = server;
    return status_ok();
}

/* Any thread. Once a minute; two threads at once may both say it. */
static void log_full(struct websocket_server *server)
{
    const int64_t now_us = clock_monotonic_us(server->clock);
    const int64_t refused = (int64_t)atomic_fetch_add(&server->refused_count, 1) + 1;
    const int64_t logged_us = atomic_load(&server->full_logged_us);
    if (logged_us != 0 && now_us - logged_us < FULL_LOG_GAP_US)
        return;
    atomic_store(&server->full_logged_us, now_us);
    log_warn(server->log, "too many WebSocket connections, refusing new ones",
             LOG_INT("connections_max", (int64_t)server->options.connections_max),
             LOG_INT("refused_so_far", refused));
}

struct status websocket_server_adopt(struct websocket_server *server, int fd,
                                     const struct websocket_handshake *handshake)
{
    assert(handshake->key.size_bytes == WS_KEY_BYTES);
    if (atomic_load(&server->stopping))
        return status_error(STATUS_UNAVAILABLE, "the server is stopping; connect again");
    if (atomic_fetch_add(&server->connection_count, 1) >= server->options.connections_max) {
        atomic_fetch_sub(&server->connection_count, 1);
        log_full(server);
        return status_error(STATUS_UNAVAILABLE,
                            "%zu WebSocket connections are open, no more are taken; try later",
                            server->options.connections_max);
    }
    struct ws_connection *connection = ws_connection_new(server, fd, handshake);
    if (connection == NULL || !pair_open(connection)) {
        atomic_fetch_sub(&server->connection_count, 1);
        ws_unref(connection);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory or descriptors for another WebSocket");
    }
    if (ws_post(connection))
        return status_ok();
    atomic_fetch_sub(&server->connection_count, 1);
    close(connection->pair_fd);
    close(connection->lws_fd);
    ws_unref(connection);
    return status_error(STATUS_UNAVAILABLE, "the server is stopping; connect again");
}

size_t websocket_server_connections(const struct websocket_server *server)
{
    return atomic_load(&server->connection_count);
}

void websocket_server_stop(struct websocket_server *server, int64_t drain_ms)
{
    if (server == NULL)
        return;
    atomic_store(&server->drain_ms, drain_ms);
    atomic_store(&server->stopping, true);
    ev_async_send(server->loop, &server->wake);
    pthread_join(server->thread, NULL);
    server_unref(server);
}
