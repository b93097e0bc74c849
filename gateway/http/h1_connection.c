/*
 * One HTTP/1.1 connection. Requests are executed one after the other: the next one is read from what the
 * client sent ahead only when the answer before it has left, so pipelined appends keep their order and a
 * client can make the server hold no more than PIPELINE_MAX_BYTES.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/front_internal.h"

#define PIPELINE_MAX_BYTES                                                                                   \
    ((size_t)16 * 1024) /* sent ahead while a request is executed; more stays in the kernel */
#define IN_KEEP_BYTES ((size_t)16 * 1024)

static struct bytes unread(const struct h1_connection *connection)
{
    return (struct bytes){connection->in.data + connection->in_at,
                          connection->in.size_bytes - connection->in_at};
}

static void consume(struct h1_connection *connection, size_t size_bytes)
{
    connection->in_at += size_bytes;
    if (connection->in_at < connection->in.size_bytes)
        return;
    if (connection->in.capacity_bytes > IN_KEEP_BYTES)
        buffer_done(&connection->in);
    buffer_clear(&connection->in);
    connection->in_at = 0;
}

/* Tells epoll what this connection waits for. */
static void watch(struct h1_connection *connection)
{
    const bool full =
        connection->state == H1_STATE_BUSY && unread(connection).size_bytes >= PIPELINE_MAX_BYTES;
    uint32_t events = 0;
    if (!connection->half_closed)
        events |= EPOLLRDHUP;
    if (!connection->peer_finished && !full)
        events |= EPOLLIN;
    if (h1_has_output(connection))
        events |= EPOLLOUT;
    (void)connection_watch(&connection->base, events); /* closed when it fails, and nothing follows */
}

/* --- refusing --- */

/*
 * Answers without a handler. `intact`: the request was read to its end, so the connection can go on. The
 * exchange, when there is one, has not been handed over.
 */
static void refuse(struct h1_connection *connection, const struct http_refusal *refusal, const char *extra,
                   bool intact)
{
    struct front *front = connection->base.front;
    char made[UUID_TEXT_BYTES];
    const struct bytes id = request_id_for(front, connection->exchange, made);
    request_refused(&connection->base, refusal);
    connection->close_after |= !intact || !connection->keep_alive || front->draining;
    connection->linger |= !intact;
    connection->state = H1_STATE_BUSY;
    connection->answer_ended = true;
    h1_write_refusal(connection, refusal, id, extra);
    struct http_exchange *exchange = TAKE_PTR(connection->exchange);
    exchange_unref(exchange);
}

static void refuse_closing(struct h1_connection *connection, const struct http_refusal *refusal)
{
    refuse(connection, refusal, "", false);
}

static void refuse_memory(struct h1_connection *connection)
{
    const struct http_refusal refusal = {
        503, status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request")};
    refuse_closing(connection, &refusal);
}

/* --- from bytes to a request --- */

/* True: what the head says may be asked here. Else it was answered. */
static bool head_is_allowed(struct h1_connection *connection, const struct request_head *head, bool has_body)
{
    struct front *front = connection->base.front;
    const struct http_request *request = &connection->exchange->request;
    struct http_refusal refusal;
    const char *extra = "";
    bool allowed = request_is_allowed(front, request, has_body, &refusal);
    if (allowed && request_is_for_websocket(front, request))
        allowed = websocket_handshake_is_valid(request, head->minor_version, has_body, &refusal, &extra);
    if (!allowed)
        refuse(connection, &refusal, extra, !has_body);
    return allowed;
}

static void dispatch(struct h1_connection *connection)
{
    connection_timer(&connection->base, TIMER_NONE);
    connection->state = H1_STATE_BUSY;
    connection->answer_ended = false;
    request_dispatch(connection->exchange, &h1_connection_ops, connection);
}

/* Offers the socket to the handler. False: it is still the front's, or closed; *ret says why. */
static bool socket_hand_over(struct h1_connection *connection, const struct http_request *request,
                             struct http_refusal *ret)
{
    struct front *front = connection->base.front;
    struct epoll_event none = {.events = 0};
    (void)epoll_ctl(front->epoll_fd, EPOLL_CTL_DEL, connection->base.fd, &none); /* it is there */
    const struct status status =
        front->options.handler->on_upgrade(front->options.context, request, connection->base.fd);
    if (status_is_ok(&status))
        return true;
    struct epoll_event again = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = connection};
    if (epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, connection->base.fd, &again) < 0)
        connection_close(&connection->base);
    connection->base.epoll_events = again.events;
    *ret = (struct http_refusal){status_http(status.code, status.reason), status};
    return false;
}

void h1_connection_upgrade(struct h1_connection *connection)
{
    struct http_exchange *exchange = TAKE_PTR(connection->exchange);
    struct http_refusal refusal;
    const bool early = unread(connection).size_bytes > 0;
    exchange_detach(exchange, false); /* it is finished, and referred to by the caller */
    if (connection->half_closed) {
        connection_close(&connection->base);
        return;
    }
    if (early)
        refusal = (struct http_refusal){
            400, status_error(STATUS_INVALID_ARGUMENT,
                              "data follows the WebSocket handshake before its answer; wait for it")};
    else if (socket_hand_over(connection, &exchange->request, &refusal)) {
        connection_retire(&connection->base);
        return;
    }
    if (connection->base.fd < 0)
        return;
    exchange_ref(exchange);
    connection->exchange = exchange; /* its id stands in the refusal */
    refuse(connection, &refusal, early ? "" : "Retry-After: 1\r\n", !early); /* full, or out of memory */
    h1_connection_proceed(connection);
}

/* The head is there: parse it, check it, and see whether a body follows. */
static void head_finish(struct h1_connection *connection, size_t head_bytes)
{
    struct front *front = connection->base.front;
    struct http_refusal refusal;
    struct request_head message;
    struct http_exchange *exchange = exchange_new(front);
    connection->exchange = exchange;
    const struct bytes head =
        exchange == NULL
            ? BYTES_NONE
            : arena_bytes(exchange->request.arena, (struct bytes){unread(connection).data, head_bytes});
    if (head.data == NULL) {
        refuse_memory(connection);
        return;
    }
    consume(connection, head_bytes);
    connection->head = (struct h1_head){0};
    if (h1_head_parse(exchange->request.arena, head, &front->limits, &message, &refusal) == H1_REFUSED) {
        refuse_closing(connection, &refusal);
        return;
    }
    connection->minor_version = message.minor_version;
    connection->head_only = bytes_equal(message.method, BYTES_LITERAL("HEAD"));
    connection->keep_alive = message.keep_alive;
    connection->close_after |= !message.keep_alive;
    request_fill(exchange, &message, connection->base.peer);

    const enum h1_step step = h1_body_begin(&connection->body, &message, &front->limits, &refusal);
    if (step == H1_REFUSED) {
        refuse_closing(connection, &refusal);
        return;
    }
    if (!head_is_allowed(connection, &message, step == H1_MORE))
        return;
    if (step == H1_DONE) {
        dispatch(connection);
        return;
    }
    connection->state = H1_STATE_BODY;
    connection_timer(&connection->base, TIMER_BODY);
    if (message.expects_continue && unread(connection).size_bytes == 0)
        h1_write_continue(connection);
}

/* Do these first bytes of a connection begin the preface of HTTP/2 (RFC 9113 3.4)? No HTTP/1 request does. */
static bool may_be_preface(struct bytes input)
{
    const size_t length = sizeof H2_PREFACE - 1;
    return memcmp(input.data, H2_PREFACE, input.size_bytes < length ? input.size_bytes : length) == 0;
}

static void preface_step(struct h1_connection *connection)
{
    if (unread(connection).size_bytes >= sizeof H2_PREFACE - 1)
        h2_connection_adopt(&connection->base, unread(connection));
    else if (connection->base.timer_kind != TIMER_HEAD)
        connection_timer(&connection->base, TIMER_HEAD);
}

/* True: the state changed, go on. */
static bool head_step(struct h1_connection *connection)
{
    struct front *front = connection->base.front;
    if (unread(connection).size_bytes == 0)
        return false;
    if (!connection->begun && may_be_preface(unread(connection))) {
        preface_step(connection);
        return false;
    }
    if (connection->state == H1_STATE_IDLE) {
        connection->state = H1_STATE_HEAD;
        connection->begun = true;
        /* What an answer to a request that cannot even be read needs to know. */
        connection->minor_version = 1;
        connection->head_only = false;
        connection->keep_alive = true;
        connection_timer(&connection->base, TIMER_HEAD);
    }
    struct http_refusal refusal;
    size_t head_bytes = 0;
    switch (h1_head_step(&connection->head, unread(connection), &front->limits, &head_bytes, &refusal)) {
    case H1_MORE:
        return false;
    case H1_REFUSED:
        refuse_closing(connection, &refusal);
        return true;
    case H1_DONE:
        head_finish(connection, head_bytes);
        return true;
    }
    return false;
}

static bool body_step(struct h1_connection *connection)
{
    struct http_refusal refusal;
    size_t used = 0;
    const enum h1_step step =
        h1_body_step(&connection->body, unread(connection), &connection->exchange->body, &used, &refusal);
    consume(connection, used);
    if (step == H1_MORE)
        return false;
    if (step == H1_REFUSED)
        refuse_closing(connection, &refusal);
    else
        dispatch(connection);
    return true;
}

/* The answer has left. True: another request may follow. */
static bool next_request(struct h1_connection *connection)
{
    connection->answer_ended = false;
    const bool nothing_sent_ahead = unread(connection).size_bytes == 0;
    if (connection->close_after || (connection->peer_finished && nothing_sent_ahead)) {
        /* Bytes that are never read would make the kernel send RST, which can overtake the answer. */
        if (!connection->linger && nothing_sent_ahead) {
            connection_close(&connection->base);
            return false;
        }
        connection->state = H1_STATE_CLOSING;
        return true;
    }
    connection->state = H1_STATE_IDLE;
    connection_timer(&connection->base, TIMER_IDLE);
    return true;
}

static bool linger(struct h1_connection *connection)
{
    if (connection->peer_finished || shutdown(connection->base.fd, SHUT_WR) < 0) {
        connection_close(&connection->base);
        return false;
    }
    consume(connection, unread(connection).size_bytes);
    connection->state = H1_STATE_LINGER;
    connection_timer(&connection->base, TIMER_LINGER);
    return false;
}

/* True: the state changed, go on. */
static bool step(struct h1_connection *connection)
{
    switch (connection->state) {
    case H1_STATE_IDLE:
    case H1_STATE_HEAD:
        return head_step(connection);
    case H1_STATE_BODY:
        return body_step(connection);
    case H1_STATE_BUSY:
        return connection->answer_ended && next_request(connection);
    case H1_STATE_CLOSING:
        return linger(connection);
    case H1_STATE_LINGER:
        consume(connection, unread(connection).size_bytes);
        return false;
    }
    return false;
}

void h1_connection_proceed(struct h1_connection *connection)
{
    do {
        if (connection->base.fd < 0 || !h1_flush(connection))
            return;
        /* An answer that waits for the client holds up the next request, not the reading of a body. */
        if (h1_has_output(connection) &&
            (connection->state == H1_STATE_BUSY || connection->state == H1_STATE_CLOSING))
            break;
    } while (step(connection));
    if (connection->base.fd < 0 || !h1_flush(connection))
        return;
    const bool incomplete = connection->state < H1_STATE_BUSY && connection->peer_finished;
    if (incomplete) {
        connection_close(&connection->base);
        return;
    }
    if (connection->exchange != NULL && connection->exchange->head_written)
        exchange_sent(connection->exchange, connection->out.size_bytes - connection->out_at);
    if (connection->base.fd >= 0)
        watch(connection);
}

/* --- events --- */

static void receive(struct h1_connection *connection)
{
    struct front *front = connection->base.front;
    const ssize_t size = recv(connection->base.fd, front->scratch, sizeof front->scratch, 0);
    if (size < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            connection_close(&connection->base);
        return;
    }
    if (size == 0) {
        connection->half_closed = true;
        connection->peer_finished = true;
        if (connection->state == H1_STATE_LINGER)
            connection_close(&connection->base);
        return;
    }
    if (connection->in_at > 0) {
        memmove(connection->in.data, connection->in.data + connection->in_at, unread(connection).size_bytes);
        connection->in.size_bytes -= connection->in_at;
        connection->in_at = 0;
    }
    buffer_add(&connection->in, front->scratch, (size_t)size);
    if (connection->in.failed)
        connection_close(&connection->base);
}

/* FIN while a stream is on its way: the client will not read it to its end, which it never reaches. */
static bool stream_abandoned(const struct h1_connection *connection)
{
    return connection->half_closed && connection->exchange != NULL && connection->exchange->head_written;
}

static void h1_event(struct connection *base, uint32_t events)
{
    struct h1_connection *connection = (struct h1_connection *)base;
    if (events & (EPOLLERR | EPOLLHUP)) {
        connection_close(&connection->base);
        return;
    }
    if (events & EPOLLRDHUP)
        connection->half_closed = true;
    if (events & EPOLLIN)
        receive(connection);
    if (connection->base.fd >= 0 && stream_abandoned(connection))
        connection_close(&connection->base);
    if (connection->base.fd >= 0)
        h1_connection_proceed(connection);
}

static void h1_timeout(struct connection *base)
{
    struct h1_connection *connection = (struct h1_connection *)base;
    struct http_refusal refusal = {
        408, status_error(STATUS_DEADLINE_EXCEEDED, "the request did not arrive in time; send it again")};
    switch (connection->base.timer_kind) {
    case TIMER_HEAD:
    case TIMER_BODY:
        refuse_closing(connection, &refusal);
        h1_connection_proceed(connection);
        return;
    case TIMER_WRITE:
        connection_reset(&connection->base);
        return;
    default:
        connection_close(&connection->base);
        return;
    }
}

static void h1_drain(struct connection *base)
{
    struct h1_connection *connection = (struct h1_connection *)base;
    connection->close_after = true;
    if (connection->state == H1_STATE_IDLE || connection->state == H1_STATE_LINGER)
        connection_close(&connection->base);
}

/* --- beginning and end --- */

static void h1_lost(struct connection *base)
{
    struct h1_connection *connection = (struct h1_connection *)base;
    struct http_exchange *exchange = TAKE_PTR(connection->exchange);
    if (exchange == NULL)
        return;
    if (exchange->connection == NULL)
        exchange_unref(exchange); /* its body was still arriving: no handler has seen it */
    else
        exchange_detach(exchange, true);
}

static void h1_free(struct connection *base)
{
    struct h1_connection *connection = (struct h1_connection *)base;
    buffer_done(&connection->in);
    buffer_done(&connection->out);
    buffer_done(&connection->out_body);
    free(connection);
}

static const struct protocol_ops h1_protocol = {
    .event = h1_event, .timeout = h1_timeout, .drain = h1_drain, .lost = h1_lost, .free = h1_free};

void h1_connection_open(struct front *front, int fd, const char *peer)
{
    struct h1_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        close(fd);
    else if (!connection_open(&connection->base, &h1_protocol, front, fd, peer))
        free(connection);
}
