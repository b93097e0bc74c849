/* What is said to libwebsockets and what it says: messages, pings and pongs, the close frame; adoption; its context. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gateway/websocket/websocket_internal.h"

#define RECEIVE_BUFFER_BYTES 128U  /* each connection has one; messages are put together from such pieces */
#define SERVICE_BUFFER_BYTES 4096U /* of the thread */
/* What libwebsockets sends at once; left out it is the size of the receive buffer, and each message takes several writes. */
#define SEND_BYTES      65536U
#define WRITES_A_ROUND  32 /* messages to one connection before others have their turn */
#define FD_TABLE_MAX    ((rlim_t)1 << 20)
#define CLOSE_POLICY    1008U
#define CLOSE_TOO_LARGE 1009U

void ws_lws_wants_write(struct ws_connection *connection)
{
    if (connection->wsi != NULL)
        lws_callback_on_writable(connection->wsi);
}

/* --- out --- */

void ws_fail(struct ws_connection *connection, const struct ws_breach *breach)
{
    if (connection->failing)
        return;
    connection->failing = true;
    connection->breach = breach;
    connection->cut_due_us =
        clock_monotonic_us(connection->server->clock) + connection->server->options.close_timeout_ms * 1000;
    ws_lws_wants_write(connection);
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
    ws_lws_wants_write(connection);
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
    const char *reason = connection->close_reason != NULL ? connection->close_reason : ""; /* written once */
    pthread_mutex_unlock(&connection->lock);
    return code == 0 ? 0 : close_with(connection, code, reason);
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
void ws_lws_write_posted(struct ws_connection *connection)
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
    if (waits)
        ws_lws_wants_write(connection);
}

/* --- in --- */

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
            server->options.ops->on_open(server->options.context, connection, connection->handshake);
        free(connection->handshake); /* it was borrowed for the call */
        connection->handshake = NULL;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return receive(connection, bytes_of(in, length));
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writeable(connection);
    case LWS_CALLBACK_HTTP:
        return -1; /* not a WebSocket after all: cannot be, the handshake is ours */
    case LWS_CALLBACK_CLOSED:
        ws_closed_tell(connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        connection->wsi = NULL;
        ws_closed_tell(connection);
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

/* --- adoption --- */

/*
 * libwebsockets gets a handshake of our own making with nothing of the client's but the key: it limits
 * headers to a few KB, decodes paths and would negotiate extensions and subprotocols.
 */
bool ws_lws_adopt(struct ws_connection *connection)
{
    struct websocket_server *server = connection->server;
    char request[256];
    const int size =
        snprintf(request, sizeof request,
                 "GET / HTTP/1.1\r\nHost: strata\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n\r\n",
                 BYTES_FORMAT(connection->handshake->key));
    assert(size > 0 && (size_t)size < sizeof request);
    server->adopting = connection; /* the callback runs inside the call and cannot know otherwise */
    const int fd = connection->lws_fd;
    connection->lws_fd = -1; /* libwebsockets closes it, whatever happens */
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(server->vhost, fd, request, (size_t)size);
    server->adopting = NULL;
    return wsi != NULL && connection->wsi != NULL;
}

/*
 * A context without a listening socket on a loop of ours: libwebsockets' own poll() loop costs 878 µs a wake
 * at 2,000 connections, and two libev loops of its own in one process abort.
 */
struct lws_context *ws_lws_open(struct websocket_server *server)
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
