/* Carries bytes between the client's socket and libwebsockets, and looks at the client's frames on the way. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/websocket/websocket_internal.h"

/* --- the guard --- */

/*
 * RFC 6455 5.2 and 5.4, client to server. What libwebsockets would refuse is refused here too: it cuts such connections, and
 * the close frame that says why is then lost now and then.
 *
 *     FIRST ─► SECOND ─► LENGTH (0, 2 or 8 bytes) ─► MASK (4) ─► PAYLOAD ─► FIRST
 */
enum guard_state { GUARD_FIRST, GUARD_SECOND, GUARD_LENGTH, GUARD_MASK, GUARD_PAYLOAD };

#define CLOSE_PROTOCOL_ERROR 1002U
#define CLOSE_NOT_UNDERSTOOD 1003U
#define CLOSE_TOO_LARGE      1009U
#define CONTROL_MAX_BYTES    125U

/* May a frame that begins with this byte come now? Remembers whether a message stays open behind it. */
static bool guard_first_is_good(struct ws_guard *guard)
{
    const bool final = (guard->first & 0x80U) != 0;
    const unsigned opcode = guard->first & 0x0fU;
    if ((guard->first & 0x70U) != 0) /* reserved bits: no extension was agreed on */
        return false;
    if (opcode >= 0x8)
        return final && opcode <= 0xa; /* close, ping, pong: never in pieces */
    if (opcode > 2 || (opcode == 0) != guard->message_open)
        return false;
    guard->message_open = !final;
    return true;
}

static uint16_t guard_second(struct ws_guard *guard, uint8_t byte)
{
    const unsigned length = byte & 0x7fU;
    const bool control = (guard->first & 0x08U) != 0;
    if ((byte & 0x80U) == 0) /* RFC 6455 5.1: the server must close */
        return CLOSE_PROTOCOL_ERROR;
    if (!guard_first_is_good(guard) || (control && length > CONTROL_MAX_BYTES))
        return CLOSE_PROTOCOL_ERROR;
    if ((guard->first & 0x0fU) == 2)
        return CLOSE_NOT_UNDERSTOOD; /* binary */
    guard->mask_left = 4;
    guard->length_left = length == 127 ? 8 : length == 126 ? 2 : 0;
    guard->payload_left = guard->length_left == 0 ? length : 0;
    guard->state = guard->length_left == 0 ? GUARD_MASK : GUARD_LENGTH;
    return 0;
}

static uint16_t guard_length(struct ws_guard *guard, uint8_t byte)
{
    guard->payload_left = guard->payload_left << 8 | byte;
    /* Checked at each byte, so that it cannot overflow. */
    if (guard->payload_left > guard->message_max_bytes)
        return CLOSE_TOO_LARGE;
    if (--guard->length_left == 0)
        guard->state = GUARD_MASK;
    return 0;
}

static uint16_t guard_byte(struct ws_guard *guard, uint8_t byte)
{
    switch ((enum guard_state)guard->state) {
    case GUARD_FIRST:
        guard->first = byte;
        guard->state = GUARD_SECOND;
        return 0;
    case GUARD_SECOND:
        return guard_second(guard, byte);
    case GUARD_LENGTH:
        return guard_length(guard, byte);
    case GUARD_MASK:
        if (--guard->mask_left == 0)
            guard->state = guard->payload_left > 0 ? GUARD_PAYLOAD : GUARD_FIRST;
        return 0;
    case GUARD_PAYLOAD:
        break;
    }
    return 0;
}

size_t ws_guard_step(struct ws_guard *guard, struct bytes bytes, uint16_t *ret_code)
{
    size_t at = 0;
    while (at < bytes.size_bytes) {
        if (guard->state == GUARD_PAYLOAD) {
            const size_t there = bytes.size_bytes - at;
            const size_t skip = there < guard->payload_left ? there : (size_t)guard->payload_left;
            at += skip;
            guard->payload_left -= skip;
            if (guard->payload_left == 0)
                guard->state = GUARD_FIRST;
            continue;
        }
        const uint16_t code = guard_byte(guard, bytes.data[at]);
        if (code != 0) {
            *ret_code = code;
            return at;
        }
        at++;
    }
    return at;
}

/* --- the pump --- */

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
    if ((connection->failing && connection->fail_code != 0) || connection->lws_finished)
        return true; /* read and dropped */
    uint16_t code = 0;
    const struct bytes bytes = {server->scratch, (size_t)size};
    const size_t good = ws_guard_step(&connection->guard, bytes, &code);
    buffer_add(&connection->to_lws, bytes.data, good);
    if (connection->to_lws.failed)
        return false;
    if (code != 0)
        ws_fail(connection, code,
                code == CLOSE_TOO_LARGE        ? "the message is too large"
                : code == CLOSE_NOT_UNDERSTOOD ? "binary is not understood; send text"
                                               : "not a masked RFC 6455 frame");
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
