/* Carries bytes between the client's socket and libwebsockets. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/websocket/websocket_internal.h"

static void watch(struct ws_connection *connection, ev_io *watcher, bool on)
{
    if (on)
        ev_io_start(connection->server->loop, watcher);
    else
        ev_io_stop(connection->server->loop, watcher);
}

static size_t left(const struct buffer *buffer, size_t at)
{
    return buffer->size_bytes - at;
}

/* Sends what waits. False: this direction is broken. */
static bool drain(int fd, struct buffer *buffer, size_t *at)
{
    while (left(buffer, *at) > 0) {
        const ssize_t size = send(fd, buffer->data + *at, left(buffer, *at), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        *at += (size_t)size;
    }
    buffer_done(buffer); /* an idle connection keeps none */
    *at = 0;
    return true;
}

static void pair_close(struct ws_connection *connection)
{
    if (connection->pair_fd < 0)
        return;
    watch(connection, &connection->pair_in, false);
    watch(connection, &connection->pair_out, false);
    close(connection->pair_fd);
    connection->pair_fd = -1;
}

static void pump_done(struct ws_connection *connection)
{
    pair_close(connection);
    if (connection->socket_fd < 0)
        return;
    watch(connection, &connection->socket_in, false);
    watch(connection, &connection->socket_out, false);
    close(connection->socket_fd);
    connection->socket_fd = -1;
}

void ws_pump_cut(struct ws_connection *connection)
{
    pump_done(connection);
    ws_ended(connection); /* libwebsockets sees its end closed and follows */
}

/* Shuts what has come to its end, and watches for what can go on. */
static void pump_settle(struct ws_connection *connection)
{
    const bool to_lws = left(&connection->to_lws, connection->to_lws_at) > 0;
    const bool to_client = left(&connection->to_client, connection->to_client_at) > 0;
    if (connection->client_finished && !to_lws && connection->pair_fd >= 0)
        (void)shutdown(connection->pair_fd, SHUT_WR); /* its end may be closed already */
    if (connection->lws_finished && !to_client) {
        if (connection->client_finished) {
            ws_pump_cut(connection);
            return;
        }
        if (!connection->half_shut) {
            /* Closing with unread bytes would send RST, which can overtake the close frame. */
            connection->half_shut = true;
            (void)shutdown(connection->socket_fd, SHUT_WR); /* the client may be gone already */
        }
    }
    watch(connection, &connection->socket_in, !connection->client_finished && !to_lws);
    watch(connection, &connection->socket_out, to_client);
    if (connection->pair_fd >= 0) {
        watch(connection, &connection->pair_in, !connection->lws_finished && !to_client);
        watch(connection, &connection->pair_out, to_lws);
    }
}

/* A broken pair means that libwebsockets has closed; what it said before is still to be read from it. */
static void drain_to_lws(struct ws_connection *connection)
{
    if (drain(connection->pair_fd, &connection->to_lws, &connection->to_lws_at))
        return;
    buffer_done(&connection->to_lws);
    connection->to_lws_at = 0;
}

/* From the client: look, then pass on. */
static bool pump_in(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    const ssize_t size = recv(connection->socket_fd, server->scratch, sizeof server->scratch, MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (size == 0) {
        connection->client_finished = true;
        return true;
    }
    connection->heard_us = clock_monotonic_us(server->clock);
    /* Behind a breach nothing can be read; the answer to a close frame of ours must reach libwebsockets, which
     * ends then. */
    if ((connection->failing && connection->breach != NULL) || connection->lws_finished)
        return true; /* read and dropped */
    const struct ws_breach *breach = NULL;
    size_t at = 0;
    do {
        at += ws_guard_step(&connection->guard, server->scratch + at, (size_t)size - at, &breach);
        if (connection->guard.pinged)
            ws_pinged(connection);
    } while (connection->guard.pinged);
    buffer_add(&connection->to_lws, server->scratch, at);
    if (connection->to_lws.failed || connection->pongs.failed)
        return false;
    if (breach != NULL)
        ws_fail(connection, breach);
    drain_to_lws(connection);
    return true;
}

static bool pump_out(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    const ssize_t size = recv(connection->pair_fd, server->scratch, sizeof server->scratch, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return true;
    /* libwebsockets ended with something unread. A Unix socket says so once, before it gives what was sent last: the close
     * frame. The next reads find that, and then the end. */
    if (size < 0 && errno == ECONNRESET)
        return true;
    if (size <= 0) {
        connection->lws_finished = true;
        pair_close(connection);
        return true;
    }
    const ssize_t sent =
        send(connection->socket_fd, server->scratch, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == size)
        return true;
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return false;
    const size_t done = sent < 0 ? 0 : (size_t)sent;
    buffer_add(&connection->to_client, server->scratch + done, (size_t)size - done);
    return !connection->to_client.failed;
}

static void after(struct ws_connection *connection, bool good)
{
    if (good)
        pump_settle(connection);
    else
        ws_pump_cut(connection);
}

static void on_socket_in(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct ws_connection *connection = watcher->data;
    after(connection, pump_in(connection));
}

static void on_socket_out(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct ws_connection *connection = watcher->data;
    after(connection, drain(connection->socket_fd, &connection->to_client, &connection->to_client_at));
}

static void on_pair_in(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct ws_connection *connection = watcher->data;
    after(connection, pump_out(connection));
}

static void on_pair_out(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct ws_connection *connection = watcher->data;
    drain_to_lws(connection);
    after(connection, true);
}

void ws_pump_out(struct ws_connection *connection)
{
    if (connection->pair_fd >= 0 && left(&connection->to_client, connection->to_client_at) == 0)
        after(connection, pump_out(connection));
}

void ws_pump_start(struct ws_connection *connection)
{
    ev_io_init(&connection->socket_in, on_socket_in, connection->socket_fd, EV_READ);
    ev_io_init(&connection->socket_out, on_socket_out, connection->socket_fd, EV_WRITE);
    ev_io_init(&connection->pair_in, on_pair_in, connection->pair_fd, EV_READ);
    ev_io_init(&connection->pair_out, on_pair_out, connection->pair_fd, EV_WRITE);
    connection->socket_in.data = connection;
    connection->socket_out.data = connection;
    connection->pair_in.data = connection;
    connection->pair_out.data = connection;
    pump_settle(connection);
}
