/*
 * One connection holds up to 64 subscriptions, each a Subscribe call upstream whose messages become text frames.
 *
 * References: the connection's state lives until the socket is closed and the last subscription has ended. A subscription
 * that is told to stop is cancelled upstream and removed when its end arrives.
 */
#include "gateway/gateway_ws_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/request_internal.h"
#include "gateway/transcode/transcode.h"
#include "gateway/websocket/websocket.h"

#define SUBSCRIPTIONS_MAX     64U
#define SUBSCRIPTION_ID_MAX   64U
#define DEFAULT_SUBSCRIPTION  "default"
#define CLOSE_GOING_AWAY      1001

/* Field numbers of WsRequest. */
enum { REQUEST_ACTION = 1, REQUEST_ID = 2, REQUEST_FILTER = 3 };

struct subscription {
    struct socket *socket;
    struct subscription *next; /* guarded by the socket's lock */
    char id[SUBSCRIPTION_ID_MAX + 1];
    struct upstream_call *call; /* one reference, given back when the subscription is freed */
    bool stopping;              /* guarded by the socket's lock: unsubscribe was asked for */
};

struct socket {
    struct gateway *gateway;
    struct ws_connection *connection; /* a reference of its own */
    atomic_int references;            /* the socket itself, and each subscription */
    pthread_mutex_t lock;             /* guards the list and `closed`; a leaf */
    struct subscription *subscriptions;
    size_t subscription_count;
    bool closed;
    struct bytes peer;
    struct bytes request_id;
    char texts[256]; /* behind peer and request_id */
};

static void socket_release(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->references, 1) != 1)
        return;
    ws_unref(socket->connection);
    (void)pthread_mutex_destroy(&socket->lock); /* nobody is left */
    free(socket);
}

/* --- frames --- */

static void frame_begin(struct buffer *frame, const char *type, const char *subscription)
{
    buffer_printf(frame, "{\"type\":\"%s\",\"subscription\":", type);
    json_add_string(frame, bytes_of_text(subscription));
}

static bool frame_send(struct socket *socket, struct buffer *frame)
{
    buffer_add_byte(frame, '}');
    const bool room = !frame->failed && ws_send(socket->connection, buffer_bytes(frame));
    buffer_done(frame);
    return room;
}

static void send_simple(struct socket *socket, const char *type, const char *subscription)
{
    struct buffer frame = buffer_make(0);
    frame_begin(&frame, type, subscription);
    (void)frame_send(socket, &frame); /* a slow client is slowed at its events, not at answers to itself */
}

static void send_error(struct socket *socket, const char *subscription, const struct status *status)
{
    struct buffer frame = buffer_make(0);
    frame_begin(&frame, "error", subscription);
    buffer_printf(&frame, ",\"error\":{\"code\":\"%s\",\"reason\":\"%s\",\"message\":", status_code_name(status->code),
                  status_reason_name(status->reason));
    json_add_string(&frame, bytes_of_text(status->message));
    buffer_add_byte(&frame, '}');
    (void)frame_send(socket, &frame); /* as above */
}

static bool send_item(void *context, const struct stream_item *item)
{
    const struct subscription *subscription = context;
    struct buffer frame = buffer_make(0);
    frame_begin(&frame, item->name, subscription->id);
    buffer_add_text(&frame, item->part == PART_EVENT ? ",\"event\":" : item->part == PART_CLOSING ? ",\"closing\":"
                                                                                                  : ",\"checkpoint\":");
    struct status status = transcode_to_json(item->message, item->wire, &frame);
    if (status.code == STATUS_OK)
        return frame_send(subscription->socket, &frame);
    buffer_done(&frame);
    send_error(subscription->socket, subscription->id, &status);
    return false;
}

/* --- subscriptions --- */

static void remove_subscription(struct subscription *subscription)
{
    struct socket *socket = subscription->socket;
    pthread_mutex_lock(&socket->lock);
    struct subscription **link = &socket->subscriptions;
    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    socket->subscription_count--;
    pthread_mutex_unlock(&socket->lock);
    upstream_release(subscription->call);
    free(subscription);
    socket_release(socket);
}

static bool on_message(void *context, struct bytes message)
{
    return stream_items(message, send_item, context);
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct subscription *subscription = context;
    struct socket *socket = subscription->socket;
    (void)reply; /* a stream has none */
    (void)http_status;
    pthread_mutex_lock(&socket->lock);
    const bool asked = subscription->stopping;
    const bool closed = socket->closed;
    pthread_mutex_unlock(&socket->lock);
    if (asked)
        send_simple(socket, "unsubscribed", subscription->id);
    else if (status->code != STATUS_OK)
        send_error(socket, subscription->id, status);
    else if (!closed)
        ws_close(socket->connection, CLOSE_GOING_AWAY, "the service is stopping");
    remove_subscription(subscription);
}

static const struct upstream_events subscription_events = {on_message, on_end};

static struct subscription *find(const struct socket *socket, const char *id)
{
    for (struct subscription *at = socket->subscriptions; at != NULL; at = at->next)
        if (strcmp(at->id, id) == 0)
            return at;
    return NULL;
}

/* Enters the subscription, unless its name is taken or there are too many. */
static struct status enter(struct socket *socket, struct subscription *subscription)
{
    struct status status = status_ok();
    pthread_mutex_lock(&socket->lock);
    if (find(socket, subscription->id) != NULL)
        status = status_reason(REASON_INVALID_FIELD, "id \"%s\" is in use on this connection; unsubscribe it first or "
                               "choose another",
                               subscription->id);
    else if (socket->subscription_count == SUBSCRIPTIONS_MAX)
        status = status_reason(REASON_INVALID_FIELD, "this connection has %u subscriptions, which is the most; open another",
                               SUBSCRIPTIONS_MAX);
    if (status.code == STATUS_OK) {
        subscription->next = socket->subscriptions;
        socket->subscriptions = subscription;
        socket->subscription_count++;
    }
    pthread_mutex_unlock(&socket->lock);
    return status;
}

/* On the WebSocket thread. `filter` is a packed SubscribeRequest. */
static struct status subscribe(struct socket *socket, struct bytes id, struct bytes filter, bool announce)
{
    if (id.size_bytes == 0 || id.size_bytes > SUBSCRIPTION_ID_MAX)
        return status_reason(REASON_INVALID_FIELD, "id is %zu bytes; give the subscription a name of 1 to %u bytes",
                             id.size_bytes, SUBSCRIPTION_ID_MAX);
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription");
    memcpy(subscription->id, id.data, id.size_bytes);
    subscription->socket = socket;
    const struct upstream_request request = {
        .method = METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE,
        .transport = "websocket",
        .peer = socket->peer,
        .request_id = socket->request_id,
    };
    subscription->call = upstream_make(socket->gateway->upstream, &request, &subscription_events, subscription);
    struct status status = subscription->call == NULL
                               ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription")
                               : enter(socket, subscription);
    if (status.code != STATUS_OK) {
        upstream_release(subscription->call);
        free(subscription);
        return status;
    }
    atomic_fetch_add(&socket->references, 1);
    if (announce)
        send_simple(socket, "subscribed", subscription->id);
    upstream_begin(subscription->call, filter);
    return status_ok();
}

static struct status unsubscribe(struct socket *socket, struct bytes id)
{
    char name[SUBSCRIPTION_ID_MAX + 1] = "";
    if (id.size_bytes <= SUBSCRIPTION_ID_MAX && id.size_bytes > 0)
        memcpy(name, id.data, id.size_bytes);
    struct upstream_call *call = NULL;
    pthread_mutex_lock(&socket->lock);
    struct subscription *subscription = find(socket, name);
    if (subscription != NULL) {
        subscription->stopping = true;
        call = subscription->call;
        upstream_ref(call);
    }
    pthread_mutex_unlock(&socket->lock);
    if (call == NULL)
        return status_reason(REASON_INVALID_FIELD, "there is no subscription \"%.*s\" on this connection",
                             BYTES_FORMAT(id));
    upstream_cancel(call);
    upstream_release(call);
    return status_ok();
}

/* Takes a reference of every call, so that they can be used without the lock. */
static size_t all_calls(struct socket *socket, struct upstream_call *ret[SUBSCRIPTIONS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&socket->lock);
    for (struct subscription *at = socket->subscriptions; at != NULL; at = at->next) {
        ret[count++] = at->call;
        upstream_ref(at->call);
    }
    pthread_mutex_unlock(&socket->lock);
    return count;
}

/* --- the socket's callbacks, on the WebSocket thread --- */

static struct status default_filter(struct arena *arena, struct bytes query, struct buffer *wire, bool *ret_wanted)
{
    const struct schema_message *message = schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->request;
    struct bytes wanted = BYTES_NONE;
    STATUS_TRY(query_string_build(arena, message, query, "subscribe", &wanted, wire));
    *ret_wanted = !bytes_equal(wanted, BYTES_LITERAL("none"));
    if (wanted.size_bytes > 0 && *ret_wanted)
        return status_reason(REASON_INVALID_FIELD, "subscribe is \"%.*s\"; leave it out, or write subscribe=none",
                             BYTES_FORMAT(wanted));
    return status_ok();
}

static void *on_open(void *context, struct ws_connection *connection, const struct websocket_handshake *handshake)
{
    struct socket *socket = calloc(1, sizeof *socket);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (socket == NULL || arena == NULL) {
        free(socket);
        ws_close(connection, 1011, "no memory");
        return NULL;
    }
    socket->gateway = context;
    socket->connection = connection;
    ws_ref(connection);
    atomic_init(&socket->references, 1);
    (void)pthread_mutex_init(&socket->lock, NULL); /* fails only for attributes that are not used */
    const size_t peer = handshake->peer.size_bytes < 96 ? handshake->peer.size_bytes : 96;
    const size_t id = handshake->request_id.size_bytes < 128 ? handshake->request_id.size_bytes : 128;
    memcpy(socket->texts, handshake->peer.data, peer);
    memcpy(socket->texts + peer, handshake->request_id.data, id);
    socket->peer = bytes_of(socket->texts, peer);
    socket->request_id = bytes_of(socket->texts + peer, id);
    struct buffer wire = buffer_in(arena, 0);
    bool wanted = false;
    struct status status = default_filter(arena, handshake->query, &wire, &wanted);
    if (status.code == STATUS_OK && wanted)
        status = subscribe(socket, BYTES_LITERAL(DEFAULT_SUBSCRIPTION), buffer_bytes(&wire), false);
    if (status.code != STATUS_OK)
        send_error(socket, DEFAULT_SUBSCRIPTION, &status);
    return socket;
}

static struct status take_request(struct socket *socket, struct arena *arena, struct bytes text, struct bytes *ret_id)
{
    struct buffer wire = buffer_in(arena, 0);
    struct wire_field action = {0};
    struct wire_field id = {0};
    struct wire_field filter = {0};
    STATUS_TRY(transcode_to_wire(arena, schema_ws_request, text, &wire));
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_ACTION, &action); /* absent reads as empty */
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_ID, &id);
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_FILTER, &filter);
    *ret_id = id.bytes;
    if (bytes_equal(action.bytes, BYTES_LITERAL("subscribe")))
        return subscribe(socket, id.bytes, filter.bytes, true);
    if (bytes_equal(action.bytes, BYTES_LITERAL("unsubscribe")))
        return unsubscribe(socket, id.bytes);
    return status_reason(REASON_INVALID_FIELD, "action is \"%.*s\"; it must be subscribe or unsubscribe",
                         BYTES_FORMAT(action.bytes));
}

static void on_text(void *socket_context, struct bytes text)
{
    struct socket *socket = socket_context;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (socket == NULL || arena == NULL)
        return;
    struct bytes id = BYTES_NONE;
    struct status status = take_request(socket, arena, text, &id);
    if (status.code == STATUS_OK)
        return;
    const char *name = arena_text(arena, id);
    send_error(socket, name == NULL ? "" : name, &status);
}

static void on_writable(void *socket_context)
{
    struct socket *socket = socket_context;
    struct upstream_call *calls[SUBSCRIPTIONS_MAX];
    if (socket == NULL)
        return;
    const size_t count = all_calls(socket, calls);
    for (size_t i = 0; i < count; i++) {
        upstream_writable(calls[i]);
        upstream_release(calls[i]);
    }
}

static void on_closed(void *socket_context)
{
    struct socket *socket = socket_context;
    struct upstream_call *calls[SUBSCRIPTIONS_MAX];
    if (socket == NULL)
        return;
    pthread_mutex_lock(&socket->lock);
    socket->closed = true;
    pthread_mutex_unlock(&socket->lock);
    const size_t count = all_calls(socket, calls);
    for (size_t i = 0; i < count; i++) {
        upstream_cancel(calls[i]);
        upstream_release(calls[i]);
    }
    socket_release(socket);
}

static const struct websocket_ops websocket_ops = {on_open, on_text, on_writable, on_closed};

/* --- life --- */

struct status gateway_ws_start(struct gateway *gateway, size_t read_max_bytes)
{
    const struct websocket_options options = {
        .message_max_bytes = read_max_bytes,
        .ops = &websocket_ops,
        .context = gateway,
    };
    return websocket_server_start(&options, gateway->log, gateway->clock, &gateway->websockets);
}

void gateway_ws_stop(struct gateway *gateway, int64_t drain_ms)
{
    websocket_server_stop(gateway->websockets, drain_ms);
}

struct status gateway_ws_adopt(struct gateway *gateway, const struct http_request *request, int fd)
{
    struct buffer wire = buffer_in(request->arena, 0);
    bool wanted = false;
    STATUS_TRY(default_filter(request->arena, request->query, &wire, &wanted));
    const struct websocket_handshake handshake = {
        .key = http_request_header(request, "sec-websocket-key"),
        .path = request->path,
        .query = request->query,
        .peer = request->peer,
        .request_id = request->request_id,
    };
    return websocket_server_adopt(gateway->websockets, fd, &handshake);
}
