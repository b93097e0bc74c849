/*
 * One connection holds up to 64 subscriptions, each a Subscribe call upstream whose messages become text
 * frames.
 *
 * Threads: calls are begun, told of room and cancelled on the WebSocket thread alone; their messages and ends
 * come on any thread, also before upstream_begin has returned. A subscription is entered before its call
 * begins and leaves the list when the call ends; so what is found in the list under the lock has a call that
 * can be referred to.
 *
 * Life: the socket lives until the connection is closed and its last subscription has ended.
 *
 * A slow client: once ws_send says false, each subscription stops at its next message, and all go on when
 * there is room again. So what waits is bounded by one message for each subscription.
 */
#include "gateway/gateway_ws_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/request_internal.h"
#include "gateway/transcode/transcode.h"
#include "gateway/websocket/websocket.h"

#define SUBSCRIPTIONS_MAX    64U
#define SUBSCRIPTION_ID_MAX  64U
#define DEFAULT_SUBSCRIPTION "default"
#define CLOSE_GOING_AWAY     1001
#define CLOSE_OUR_FAULT      1011
#define ARENA_MAX_BYTES      ((size_t)16 * 1024 * 1024)

/* 64 subscriptions that each have a message of 256 events on their way. Who has more waiting is cut off. */
#define QUEUE_MAX_BYTES ((size_t)32 * 1024 * 1024)

/* Field numbers of WsRequest. */
enum { REQUEST_ACTION = 1, REQUEST_ID = 2, REQUEST_FILTER = 3 };

struct subscription {
    struct socket *socket;
    struct subscription *next; /* guarded by the socket's lock */
    char id[SUBSCRIPTION_ID_MAX + 1];
    struct upstream_call *call; /* one reference, given back when the subscription is freed */
    /* Guarded by the socket's lock. */
    bool stopping;    /* unsubscribe was asked for */
    bool told_end;    /* "closing" was sent: nothing follows it */
    int64_t position; /* of the last frame sent; -1: none was */
    bool announced;   /* the client need not be told, or was told, that it is subscribed */
};

struct socket {
    struct gateway *gateway;          /* only on the WebSocket thread */
    struct ws_connection *connection; /* a reference of its own */
    atomic_int references;            /* the socket itself, and each subscription */
    struct bytes peer;                /* these three stand in `texts` */
    struct bytes request_id;
    struct bytes authorization;
    struct buffer texts;

    /*
     * Guards the list and `closed`. Frames are sent under it, so that they go out in the order of what they tell:
     * that a name is taken, how far a subscription has come. ws_send only copies, and takes but its own lock.
     */
    pthread_mutex_t lock;
    struct subscription *subscriptions;
    size_t subscription_count;
    bool closed;
};

static void socket_release(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->references, 1) != 1)
        return;
    ws_unref(socket->connection);
    buffer_done(&socket->texts);
    (void)pthread_mutex_destroy(&socket->lock); /* nobody is left */
    free(socket);
}

/* --- frames --- */

static void frame_begin(struct buffer *frame, const char *type, const char *subscription)
{
    buffer_add_text(frame, "{\"type\":\"");
    buffer_add_text(frame, type);
    buffer_add_text(frame, "\",\"subscription\":");
    json_add_string(frame, bytes_of_text(subscription));
}

/* A frame that cannot be made must not be missed silently: the connection ends instead. */
static bool frame_send(struct socket *socket, struct buffer *frame)
{
    buffer_add_byte(frame, '}');
    if (frame->failed)
        ws_close(socket->connection, CLOSE_OUR_FAULT, "no memory");
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
    buffer_printf(&frame, ",\"error\":{\"code\":\"%s\",\"reason\":\"%s\",\"message\":",
                  status_code_name(status->code), status_reason_name(status->reason));
    json_add_string(&frame, bytes_of_text(status->message));
    buffer_add_byte(&frame, '}');
    (void)frame_send(socket, &frame); /* as above */
}

/* Takes the frame. False also when the subscription has ended for the client. */
static bool send_item_frame(struct subscription *subscription, const struct stream_item *item,
                            struct buffer *frame)
{
    struct socket *socket = subscription->socket;
    bool room = false;
    pthread_mutex_lock(&socket->lock);
    if (!subscription->told_end) {
        room = frame_send(socket, frame);
        subscription->position = item->position;
        subscription->told_end = item->part == PART_CLOSING;
    }
    pthread_mutex_unlock(&socket->lock);
    buffer_done(frame);
    return room;
}

static bool send_item(void *context, const struct stream_item *item)
{
    struct subscription *subscription = context;
    struct buffer frame = buffer_make(0);
    frame_begin(&frame, item->name, subscription->id);
    buffer_add_text(&frame, item->part == PART_EVENT     ? ",\"event\":"
                            : item->part == PART_CLOSING ? ",\"closing\":"
                                                         : ",\"checkpoint\":");
    struct status status = transcode_to_json(item->message, item->wire, &frame);
    if (status.code == STATUS_OK)
        return send_item_frame(subscription, item, &frame);
    /* What cannot be shown must not be stepped over. */
    buffer_done(&frame);
    send_error(subscription->socket, subscription->id, &status);
    ws_close(subscription->socket->connection, CLOSE_OUR_FAULT, "an event cannot be shown");
    return false;
}

/* Under the lock. What the service says when it stops, said by the gateway, which may stop alone. */
static void send_closing(struct subscription *subscription)
{
    /* Who was told of no position goes on from where he began. */
    if (subscription->told_end || subscription->position < 0)
        return;
    subscription->told_end = true;
    struct buffer frame = buffer_make(0);
    frame_begin(&frame, "closing", subscription->id);
    buffer_printf(&frame, ",\"closing\":{\"reason\":\"SHUTTING_DOWN\",\"position\":\"%" PRId64 "\"}",
                  subscription->position);
    (void)frame_send(subscription->socket, &frame); /* the last one: nobody waits for room */
}

/* --- a subscription's call, on any thread --- */

/* With the service's first word: only then what is appended from now on will come. */
static void announce(struct subscription *subscription)
{
    pthread_mutex_lock(&subscription->socket->lock);
    if (!subscription->announced && !subscription->told_end)
        send_simple(subscription->socket, "subscribed", subscription->id);
    subscription->announced = true;
    pthread_mutex_unlock(&subscription->socket->lock);
}

static bool on_message(void *context, struct bytes message)
{
    struct subscription *subscription = context;
    ws_cork(subscription->socket->connection); /* one frame for each event, but not one write */
    announce(subscription);
    const bool room = stream_items(message, send_item, context);
    ws_uncork(subscription->socket->connection);
    return room;
}

/* Under the lock. */
static void leave(struct socket *socket, const struct subscription *subscription)
{
    struct subscription **link = &socket->subscriptions;
    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    socket->subscription_count--;
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct subscription *subscription = context;
    struct socket *socket = subscription->socket;
    (void)reply; /* a stream has none */
    (void)http_status;
    pthread_mutex_lock(&socket->lock);
    leave(socket, subscription);
    const bool last = socket->subscription_count == 0;
    if (socket->closed) {
        /* nobody is there to be told */
    } else if (subscription->stopping && !subscription->told_end) {
        send_simple(socket, "unsubscribed", subscription->id);
    } else if (status->code != STATUS_OK && !subscription->told_end) {
        send_error(socket, subscription->id, status);
    } else if (last) {
        ws_close(socket->connection, CLOSE_GOING_AWAY, "the service ended the last subscription");
    }
    pthread_mutex_unlock(&socket->lock);
    upstream_release(subscription->call);
    free(subscription);
    socket_release(socket);
}

static const struct upstream_events subscription_events = {on_message, on_end};

/* --- subscribing, on the WebSocket thread --- */

/* Under the lock. A name is free as soon as the client was told of the end, which the call's own may follow late. */
static struct subscription *find(const struct socket *socket, const char *id)
{
    for (struct subscription *at = socket->subscriptions; at != NULL; at = at->next)
        if (!at->told_end && strcmp(at->id, id) == 0)
            return at;
    return NULL;
}

/* Enters the subscription, unless its name is taken or there are too many. */
static struct status enter(struct socket *socket, struct subscription *subscription)
{
    struct status status = status_ok();
    pthread_mutex_lock(&socket->lock);
    if (find(socket, subscription->id) != NULL)
        status =
            status_reason(REASON_INVALID_FIELD,
                          "id \"%s\" is in use on this connection; unsubscribe it first or choose another",
                          subscription->id);
    else if (socket->subscription_count == SUBSCRIPTIONS_MAX)
        status =
            status_reason(REASON_INVALID_FIELD,
                          "this connection has %u subscriptions, which is the most; open another connection",
                          SUBSCRIPTIONS_MAX);
    if (status.code == STATUS_OK) {
        subscription->next = socket->subscriptions;
        socket->subscriptions = subscription;
        socket->subscription_count++;
    }
    pthread_mutex_unlock(&socket->lock);
    return status;
}

static struct upstream_call *call_make(const struct socket *socket, struct subscription *subscription)
{
    const struct upstream_request request = {
        .method = METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE,
        .transport = "websocket",
        .peer = socket->peer,
        .request_id = socket->request_id,
        .authorization = socket->authorization,
    };
    /* cppcheck-suppress returnDanglingLifetime ; the request is copied */
    return upstream_make(socket->gateway->upstream, &request, &subscription_events, subscription);
}

/* `filter` is a packed SubscribeRequest. */
static struct status subscribe(struct socket *socket, struct bytes id, struct bytes filter, bool named)
{
    if (id.size_bytes == 0 || id.size_bytes > SUBSCRIPTION_ID_MAX)
        return status_reason(REASON_INVALID_FIELD,
                             "id has %zu bytes; give the subscription a name of 1 to %u bytes", id.size_bytes,
                             SUBSCRIPTION_ID_MAX);
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription");
    memcpy(subscription->id, id.data, id.size_bytes);
    subscription->socket = socket;
    subscription->position = -1;
    subscription->announced = !named;
    subscription->call = call_make(socket, subscription);
    struct status status = subscription->call == NULL
                               ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscription")
                               : enter(socket, subscription);
    if (status.code != STATUS_OK) {
        upstream_release(subscription->call);
        free(subscription);
        return status;
    }
    atomic_fetch_add(&socket->references, 1); /* on_end's */
    struct upstream_call *call = subscription->call;
    upstream_ref(call); /* the subscription may have ended before begin returns */
    upstream_begin(call, filter);
    upstream_release(call);
    return status_ok();
}

static struct status unsubscribe(struct socket *socket, struct arena *arena, struct bytes id)
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
        return status_reason(REASON_INVALID_FIELD,
                             "id is \"%s\", and this connection has no such subscription",
                             transcode_shown(arena, id));
    upstream_cancel(call);
    upstream_release(call);
    return status_ok();
}

/* Does something with every call, without the lock: what it does may end the subscription. */
static void each_call(struct socket *socket, void (*act)(struct upstream_call *call))
{
    struct upstream_call *calls[SUBSCRIPTIONS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&socket->lock);
    for (struct subscription *at = socket->subscriptions; at != NULL; at = at->next) {
        calls[count++] = at->call;
        upstream_ref(at->call);
    }
    pthread_mutex_unlock(&socket->lock);
    for (size_t i = 0; i < count; i++) {
        act(calls[i]);
        upstream_release(calls[i]);
    }
}

/* --- the connection's callbacks, on the WebSocket thread --- */

/* The default subscription, from the URL's query. *ret_wanted: not switched off by subscribe=none. */
static struct status default_filter(struct arena *arena, struct bytes query, struct buffer *wire,
                                    bool *ret_wanted)
{
    const struct schema_message *message = schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->request;
    struct request_faults faults = {.arena = arena};
    struct bytes said = BYTES_NONE;
    STATUS_TRY(query_build(&faults, message, query, "subscribe", &said, wire));
    *ret_wanted = !bytes_equal(said, BYTES_LITERAL("none"));
    if (said.size_bytes > 0 && *ret_wanted)
        request_fault(&faults, REASON_INVALID_FIELD, "subscribe",
                      arena_printf(arena, "is \"%s\"; leave it out, or write subscribe=none",
                                   transcode_shown(arena, said)));
    return request_faults_status(&faults);
}

static struct bytes keep(struct buffer *texts, struct bytes text)
{
    const size_t at = texts->size_bytes;
    buffer_add_bytes(texts, text);
    return bytes_of(texts->data + at, text.size_bytes);
}

static struct socket *socket_make(struct gateway *gateway, struct ws_connection *connection,
                                  const struct websocket_handshake *handshake)
{
    struct socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        return NULL;
    socket->texts = buffer_make(0);
    const size_t sum =
        handshake->peer.size_bytes + handshake->request_id.size_bytes + handshake->authorization.size_bytes;
    buffer_reserve(&socket->texts, sum + 1);
    if (buffer_extend(&socket->texts, sum + 1) == NULL) { /* all at once: what is kept must not move */
        free(socket);
        return NULL;
    }
    buffer_clear(&socket->texts);
    socket->peer = keep(&socket->texts, handshake->peer);
    socket->request_id = keep(&socket->texts, handshake->request_id);
    socket->authorization = keep(&socket->texts, handshake->authorization);
    socket->gateway = gateway;
    socket->connection = connection;
    ws_ref(connection);
    atomic_init(&socket->references, 1);
    (void)pthread_mutex_init(&socket->lock, NULL); /* fails only for attributes that are not used */
    return socket;
}

static void *on_open(void *context, struct ws_connection *connection,
                     const struct websocket_handshake *handshake)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(ARENA_MAX_BYTES);
    struct socket *socket = arena == NULL ? NULL : socket_make(context, connection, handshake);
    if (socket == NULL) {
        ws_close(connection, CLOSE_OUR_FAULT, "no memory");
        return NULL;
    }
    struct buffer wire = buffer_in(arena, 0);
    bool wanted = false;
    struct status status = default_filter(arena, handshake->query, &wire, &wanted);
    if (status.code == STATUS_OK && wanted)
        status = subscribe(socket, BYTES_LITERAL(DEFAULT_SUBSCRIPTION), buffer_bytes(&wire), false);
    if (status.code != STATUS_OK)
        send_error(socket, DEFAULT_SUBSCRIPTION, &status);
    return socket;
}

static struct status take_request(struct socket *socket, struct arena *arena, struct bytes text,
                                  struct bytes *ret_id)
{
    struct buffer wire = buffer_in(arena, 0);
    struct wire_field action;
    struct wire_field id;
    struct wire_field filter;
    STATUS_TRY(transcode_to_wire(arena, schema_ws_request, text, &wire));
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_ACTION, &action); /* absent reads as empty */
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_ID, &id);
    (void)find_wire_field(buffer_bytes(&wire), REQUEST_FILTER, &filter);
    *ret_id = id.bytes;
    if (bytes_equal(action.bytes, BYTES_LITERAL("subscribe")))
        return subscribe(socket, id.bytes, filter.bytes, true);
    if (bytes_equal(action.bytes, BYTES_LITERAL("unsubscribe")))
        return unsubscribe(socket, arena, id.bytes);
    return status_reason(REASON_INVALID_FIELD, "action is \"%s\"; it must be subscribe or unsubscribe",
                         transcode_shown(arena, action.bytes));
}

static void on_text(void *socket_context, struct bytes text)
{
    struct socket *socket = socket_context;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(ARENA_MAX_BYTES);
    struct bytes id = BYTES_NONE;
    if (socket == NULL)
        return; /* it is closing for lack of memory */
    struct status status = arena == NULL ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a request")
                                         : take_request(socket, arena, text, &id);
    if (status.code == STATUS_OK)
        return;
    const char *name = arena == NULL ? NULL : arena_text(arena, id);
    send_error(socket, name == NULL ? "" : name, &status);
}

static void on_writable(void *socket_context)
{
    if (socket_context != NULL)
        each_call(socket_context, upstream_writable);
}

static void on_stopping(void *socket_context)
{
    struct socket *socket = socket_context;
    if (socket == NULL)
        return;
    pthread_mutex_lock(&socket->lock);
    for (struct subscription *at = socket->subscriptions; at != NULL; at = at->next)
        send_closing(at);
    pthread_mutex_unlock(&socket->lock);
}

static void on_closed(void *socket_context)
{
    struct socket *socket = socket_context;
    if (socket == NULL)
        return;
    pthread_mutex_lock(&socket->lock);
    socket->closed = true;
    pthread_mutex_unlock(&socket->lock);
    each_call(socket, upstream_cancel);
    socket_release(socket);
}

static const struct websocket_ops websocket_ops = {on_open, on_text, on_writable, on_stopping, on_closed};

/* --- life --- */

struct status gateway_ws_start(struct gateway *gateway, const struct gateway_options *options)
{
    const struct websocket_options websocket = {
        .message_max_bytes = options->websocket_read_max_bytes,
        .connections_max = options->websocket_connections_max,
        .queue_high_bytes = options->websocket_write_high_bytes,
        .queue_max_bytes = QUEUE_MAX_BYTES,
        .ops = &websocket_ops,
        .context = gateway,
    };
    return websocket_server_start(&websocket, gateway->log, gateway->clock, &gateway->websockets);
}

void gateway_ws_stop(struct gateway *gateway, int64_t drain_ms)
{
    websocket_server_stop(gateway->websockets, drain_ms);
}

struct status gateway_ws_check(const struct http_request *request)
{
    struct buffer wire = buffer_in(request->arena, 0);
    bool wanted = false;
    return default_filter(request->arena, request->query, &wire, &wanted);
}

struct status gateway_ws_adopt(struct gateway *gateway, const struct http_request *request, int fd)
{
    const struct websocket_handshake handshake = {
        .key = http_request_header(request, "sec-websocket-key"),
        .path = request->path,
        .query = request->query,
        .peer = request->peer,
        .request_id = request->request_id,
        .authorization = http_request_header(request, "authorization"),
    };
    return websocket_server_adopt(gateway->websockets, fd, &handshake);
}
