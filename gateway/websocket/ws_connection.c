/* A connection's queue and its calls of any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/websocket/websocket_internal.h"

static struct bytes keep(uint8_t **at, struct bytes text)
{
    const struct bytes kept = {*at, text.size_bytes};
    if (text.size_bytes > 0)
        *at = mempcpy(*at, text.data, text.size_bytes);
    return kept;
}

/* In one piece, with its texts behind it; NULL: no memory. */
static struct websocket_handshake *handshake_copy(const struct websocket_handshake *from)
{
    const size_t sum = from->key.size_bytes + from->path.size_bytes + from->query.size_bytes +
                       from->peer.size_bytes + from->request_id.size_bytes + from->authorization.size_bytes;
    struct websocket_handshake *copy = malloc(sizeof *copy + sum);
    if (copy == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(copy + 1);
    copy->key = keep(&at, from->key);
    copy->path = keep(&at, from->path);
    copy->query = keep(&at, from->query);
    copy->peer = keep(&at, from->peer);
    copy->request_id = keep(&at, from->request_id);
    copy->authorization = keep(&at, from->authorization);
    return copy;
}

struct ws_connection *ws_connection_new(struct websocket_server *server, int fd,
                                        const struct websocket_handshake *handshake)
{
    struct ws_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->handshake = handshake_copy(handshake);
    if (connection->handshake == NULL) {
        free(connection);
        return NULL;
    }
    atomic_init(&connection->references, 1);
    pthread_mutex_init(&connection->lock, NULL);
    connection->server = server;
    atomic_fetch_add(&server->references, 1);
    connection->socket_fd = fd;
    connection->pair_fd = -1;
    connection->lws_fd = -1;
    connection->message = buffer_make(0);
    connection->pongs = buffer_make(0);
    connection->to_lws = buffer_make(0);
    connection->to_client = buffer_make(0);
    connection->guard.message_max_bytes = server->options.message_max_bytes;
    return connection;
}

void ws_ref(struct ws_connection *connection)
{
    atomic_fetch_add(&connection->references, 1);
}

void server_unref(struct websocket_server *server)
{
    if (atomic_fetch_sub(&server->references, 1) != 1)
        return;
    pthread_mutex_destroy(&server->inbox_lock);
    free(server);
}

void ws_unref(struct ws_connection *connection)
{
    if (connection == NULL || atomic_fetch_sub(&connection->references, 1) != 1)
        return;
    struct websocket_server *server = connection->server;
    ws_queue_drop(connection);
    free(connection->handshake);
    free(connection->close_reason);
    buffer_done(&connection->message);
    buffer_done(&connection->pongs);
    buffer_done(&connection->to_lws);
    buffer_done(&connection->to_client);
    pthread_mutex_destroy(&connection->lock);
    free(connection);
    server_unref(server);
}

bool ws_send(struct ws_connection *connection, struct bytes text)
{
    struct ws_message *message = malloc(sizeof *message + LWS_PRE + text.size_bytes + 1);
    if (message != NULL) {
        message->next = NULL;
        message->size_bytes = text.size_bytes;
        if (text.size_bytes > 0)
            memcpy(message->room + LWS_PRE, text.data, text.size_bytes);
    }
    const struct websocket_options *options = &connection->server->options;
    pthread_mutex_lock(&connection->lock);
    /* What waited before counts, so that one large message is no fault of the sender. */
    const bool ignored = connection->queued_bytes > options->queue_max_bytes;
    const bool taken = message != NULL && !connection->dead && connection->close_code == 0;
    bool room = false;
    if (taken) {
        if (connection->first == NULL)
            connection->first = message;
        else
            connection->last->next = message;
        connection->last = message;
        connection->queued_bytes += text.size_bytes;
        /* Once a sender was told false, all are until on_writable: it must come, and it comes to all. */
        connection->starved = connection->starved || connection->queued_bytes >= options->queue_high_bytes;
        room = !connection->starved;
    }
    /* A message that is lost for lack of memory must not be missed silently: the connection ends instead. */
    if (ignored || message == NULL) {
        connection->overflowed = true;
        connection->dead = true;
        room = false;
    }
    const bool corked = connection->corks > 0;
    pthread_mutex_unlock(&connection->lock);
    if (!taken)
        free(message);
    if (!corked)
        (void)ws_post(connection); /* when the server has ended there is nobody to send to */
    return room;
}

void ws_cork(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    connection->corks++;
    pthread_mutex_unlock(&connection->lock);
}

void ws_uncork(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    connection->corks--;
    const bool due = connection->corks == 0 && (connection->first != NULL || connection->overflowed);
    pthread_mutex_unlock(&connection->lock);
    if (due)
        (void)ws_post(connection); /* as in ws_send */
}

void ws_close(struct ws_connection *connection, uint16_t code, const char *reason)
{
    size_t length = strnlen(reason, WS_REASON_MAX_BYTES);
    while (length > 0 && reason[length] != '\0' && ((uint8_t)reason[length] & 0xc0) == 0x80)
        length--; /* not within a character */
    pthread_mutex_lock(&connection->lock);
    if (connection->close_code == 0) {
        connection->close_code = code;
        connection->close_reason = strndup(reason, length); /* for want of memory the code goes alone */
    }
    pthread_mutex_unlock(&connection->lock);
    (void)ws_post(connection); /* when the server has ended there is nobody to send to */
}

struct ws_message *ws_queue_pop(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    struct ws_message *message = connection->first;
    if (message != NULL)
        connection->first = message->next;
    pthread_mutex_unlock(&connection->lock);
    return message;
}

bool ws_queue_waits(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    const bool waits = connection->first != NULL;
    pthread_mutex_unlock(&connection->lock);
    return waits;
}

void ws_queue_sent(struct ws_connection *connection, size_t size_bytes)
{
    pthread_mutex_lock(&connection->lock);
    connection->queued_bytes -= size_bytes;
    const bool tell = connection->starved && !connection->dead &&
                      connection->queued_bytes <= connection->server->options.queue_high_bytes / 4;
    if (tell)
        connection->starved = false;
    pthread_mutex_unlock(&connection->lock);
    const struct websocket_ops *ops = connection->server->options.ops;
    if (tell && ops->on_writable != NULL)
        ops->on_writable(connection->context);
}

void ws_queue_drop(struct ws_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    struct ws_message *message = connection->first;
    connection->first = NULL;
    connection->queued_bytes = 0;
    connection->dead = true;
    pthread_mutex_unlock(&connection->lock);
    while (message != NULL) {
        struct ws_message *next = message->next;
        free(message);
        message = next;
    }
}
