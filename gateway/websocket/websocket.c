#include "gateway/websocket/websocket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/websocket/websocket_internal.h"

#define RECEIVE_BUFFER_BYTES 512U  /* each connection has one; messages are put together from such pieces */
#define SERVICE_BUFFER_BYTES 4096U /* of the thread */
/* What libwebsockets sends at once; left out it is the size of the receive buffer, and each message takes several writes. */
#define SEND_BYTES       65536U
#define WRITES_A_ROUND   32   /* messages to one connection before others have their turn */
#define TICK_S           0.25 /* granularity of heartbeat and time-outs */
#define FD_TABLE_MAX     ((rlim_t)1 << 20)
#define FULL_LOG_GAP_US  INT64_C(60000000)
#define CLOSE_POLICY     1008U
#define CLOSE_TOO_LARGE  1009U
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

static void closed_tell(struct ws_connection *connection)
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
    closed_tell(connection);
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

void ws_fail(struct ws_connection *connection, const struct ws_breach *breach)
{
    if (connection->failing)
        return;
    connection->failing = true;
    connection->breach = breach;
    connection->cut_due_us =
        clock_monotonic_us(connection->server->clock) + connection->server->options.close_timeout_ms * 1000;
    if (connection->wsi != NULL)
        lws_callback_on_writable(connection->wsi);
}

/* RFC 6455 5.5.3: when pings come faster than pongs can go, only the last one need be answered. */
void ws_pinged(struct ws_connection *connection)
{
    const struct ws_guard *guard = &connection->guard;
    if (connection->pongs.size_bytes + guard->ping_bytes >= WS_PONGS_MAX_BYTES) {
        buffer_clear(&connection->pongs);
        connection->pongs_at = 0;
    }
    buffer_add_byte(&connection->pongs, (uint8_t)guard->ping_bytes);
    buffer_add(&connection->pongs, guard->ping, guard->ping_bytes);
    if (connection->wsi != NULL)
        lws_callback_on_writable(connection->wsi);
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

/*
 * libwebsockets gets a handshake of our own making with nothing of the client's but the key: it limits
 * headers to a few KB, decodes paths and would negotiate extensions and subprotocols.
 */
static void adopt(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    char request[256];
    const int size =
        snprintf(request, sizeof request,
                 "GET / HTTP/1.1\r\nHost: strata\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n\r\n",
                 BYTES_FORMAT(connection->handshake.key));
    assert(size > 0 && (size_t)size < sizeof request);
    connection->next_open = server->open;
    if (server->open != NULL)
        server->open->former_open = connection;
    server->open = connection;
    connection->heard_us = clock_monotonic_us(server->clock);
    ws_pump_start(connection);

    server->adopting = connection; /* the callback below runs inside the call and cannot know otherwise */
    const int fd = connection->lws_fd;
    connection->lws_fd = -1; /* libwebsockets closes it, whatever happens */
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(server->vhost, fd, request, (size_t)size);
    server->adopting = NULL;
    if (wsi == NULL || connection->wsi == NULL) {
        log_warn(server->log, "a WebSocket handshake could not be answered, closing it",
                 LOG_INT("connections", atomic_load(&server->connection_count)));
        if (connection->wsi == NULL)
            ws_pump_cut(connection);
    }
}

/* Messages of the queue, until it is empty or libwebsockets has some of one left. False: broken. */
static bool queue_write(struct ws_connection *connection)
{
    for (int i = 0; i < WRITES_A_ROUND && !lws_partial_buffered(connection->wsi); i++) {
        struct ws_message *message = ws_queue_pop(connection);
        if (message == NULL)
            return true;
        const size_t size = message->size_bytes;
        const int written = lws_write(connection->wsi, message->room + LWS_PRE, size, LWS_WRITE_TEXT);
        free(message);
        if (written < 0)
            return false;
        ws_queue_sent(connection, size);
    }
    return true;
}

static bool has_only_messages(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    const bool only = !connection->overflowed && connection->close_code == 0;
    pthread_mutex_unlock(&connection->lock);
    return only && connection->opened && !connection->failing && !connection->ping_owed &&
           connection->pongs.size_bytes == 0;
}

/*
 * What was posted of a connection. Its messages are written at once, and from the pair on to the client: to wait for
 * libwebsockets' callback and then for the pair would cost two rounds of the loop and two changes of what epoll watches,
 * for each message. What is more than that, or does not fit, waits for the callback.
 */
static void posted_process(struct ws_connection *connection)
{
    bool waits = true;
    if (has_only_messages(connection)) {
        if (!queue_write(connection)) {
            ws_pump_cut(connection); /* a message was lost: the connection must end */
            return;
        }
        ws_pump_out(connection);
        waits = ws_queue_waits(connection);
    }
    if (waits && connection->wsi != NULL)
        lws_callback_on_writable(connection->wsi);
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
            posted_process(at);
        ws_unref(at);
        at = next;
    }
}

/* --- what libwebsockets calls --- */

static int close_with(struct ws_connection *connection, uint16_t code, const char *reason)
{
    unsigned char text[WS_REASON_MAX_BYTES];
    const size_t length = strnlen(reason, sizeof text);
    memcpy(text, reason, length);
    lws_close_reason(connection->wsi, (enum lws_close_status)code, text, length);
    connection->failing = true; /* what still arrives is dropped */
    if (connection->cut_due_us == 0)
        connection->cut_due_us = clock_monotonic_us(connection->server->clock) +
                                 connection->server->options.close_timeout_ms * 1000;
    ws_queue_drop(connection);
    return -1; /* libwebsockets sends the close frame and waits for the client's */
}

/* ws_guard.c has seen to it that it is text, valid and not too large. */
static int receive(struct ws_connection *connection, struct bytes part)
{
    if (connection->failing)
        return 0;
    buffer_add_bytes(&connection->message, part);
    if (connection->message.failed)
        return close_with(connection, CLOSE_TOO_LARGE, "no memory for the message");
    if (!lws_is_final_fragment(connection->wsi) || lws_remaining_packet_payload(connection->wsi) > 0)
        return 0;
    connection->server->options.ops->on_text(connection->context, buffer_bytes(&connection->message));
    buffer_done(&connection->message); /* most clients say little: an idle connection keeps none */
    return 0;
}

static int ping(struct ws_connection *connection)
{
    unsigned char room[LWS_PRE];
    connection->ping_owed = false;
    if (lws_write(connection->wsi, room + LWS_PRE, 0, LWS_WRITE_PING) < 0)
        return -1;
    lws_callback_on_writable(connection->wsi);
    return 0;
}

static int pong(struct ws_connection *connection)
{
    unsigned char room[LWS_PRE + WS_CONTROL_MAX_BYTES];
    const uint8_t *owed = connection->pongs.data + connection->pongs_at;
    const size_t size = owed[0];
    memcpy(room + LWS_PRE, owed + 1, size);
    connection->pongs_at += 1 + size;
    if (connection->pongs_at == connection->pongs.size_bytes) {
        buffer_done(&connection->pongs); /* an idle connection keeps none */
        connection->pongs_at = 0;
    }
    if (lws_write(connection->wsi, room + LWS_PRE, size, LWS_WRITE_PONG) < 0)
        return -1;
    lws_callback_on_writable(connection->wsi);
    return 0;
}

/* The queue is empty: is the connection to end? */
static int settle(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    const uint16_t code = connection->close_code;
    pthread_mutex_unlock(&connection->lock);
    return code == 0 ? 0
                     : close_with(connection, code, connection->close_reason); /* written once, before code */
}

static int writeable(struct ws_connection *connection)
{
    if (connection->failing && connection->breach != NULL)
        return close_with(connection, connection->breach->code, connection->breach->reason);
    if (connection->failing)
        return 0;
    if (connection->ping_owed)
        return ping(connection);
    if (connection->pongs.size_bytes > 0)
        return pong(connection);
    pthread_mutex_lock(&connection->lock);
    const bool overflowed = connection->overflowed;
    pthread_mutex_unlock(&connection->lock);
    if (overflowed)
        return close_with(connection, CLOSE_POLICY, "too slow: more was sent than may wait");
    if (!queue_write(connection))
        return -1;
    if (!ws_queue_waits(connection))
        return settle(connection);
    lws_callback_on_writable(connection->wsi);
    return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user;
    if (wsi == NULL)
        return 0;
    struct ws_connection *connection = lws_get_opaque_user_data(wsi);
    if (connection == NULL) {
        struct websocket_server *server = lws_context_user(lws_get_context(wsi));
        if (reason != LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED || server->adopting == NULL)
            return 0; /* about the context, not about a connection */
        lws_set_opaque_user_data(wsi, server->adopting);
        server->adopting->wsi = wsi;
        return 0;
    }
    struct websocket_server *server = connection->server;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        connection->opened = true;
        connection->context =
            server->options.ops->on_open(server->options.context, connection, &connection->handshake);
        buffer_done(&connection->texts); /* the handshake was borrowed for the call */
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return receive(connection, bytes_of(in, length));
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writeable(connection);
    case LWS_CALLBACK_HTTP:
        return -1; /* not a WebSocket after all: cannot be, the handshake is ours */
    case LWS_CALLBACK_CLOSED:
        closed_tell(connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        connection->wsi = NULL;
        closed_tell(connection);
        ws_ended(connection);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "strata",
     .callback = on_lws,
     .rx_buffer_size = RECEIVE_BUFFER_BYTES,
     .tx_packet_size = SEND_BYTES},
    {.name = NULL},
};

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
        lws_callback_on_writable(connection->wsi);
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

/*
 * A context without a listening socket on a loop of ours: libwebsockets' own poll() loop costs 878 µs a wake
 * at 2,000 connections, and two libev loops of its own in one process abort.
 */
static struct lws_context *context_open(struct websocket_server *server)
{
    lws_set_log_level(0, NULL); /* it logs an error at each adoption; what matters is logged here */
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    void *loops[1] = {server->loop};
    info.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.foreign_loops = loops;
    info.gid = -1;
    info.uid = -1;
    info.user = server;
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.pt_serv_buf_size = SERVICE_BUFFER_BYTES;
    struct rlimit limit;
    /* It allocates a table by the largest descriptor, which containers set to a thousand million. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > FD_TABLE_MAX)
        info.fd_limit_per_thread = (unsigned)server->options.connections_max + 64;
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL)
        return NULL;
    server->vhost = lws_create_vhost(context, &info);
    if (server->vhost != NULL)
        return context;
    lws_context_destroy(context);
    return NULL;
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
    server->lws = context_open(server);
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
