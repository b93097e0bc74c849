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
    if (events == connection->epoll_events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(connection->front->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        h1_connection_close(connection); /* out of kernel memory: it could never be woken again */
    else
        connection->epoll_events = events;
}

void h1_connection_open(struct front *front, int fd, const char *peer)
{
    struct h1_connection *connection = calloc(1, sizeof *connection);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = connection};
    if (connection == NULL || epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(connection);
        close(fd);
        return;
    }
    connection->front = front;
    connection->fd = fd;
    connection->epoll_events = event.events;
    connection->timer_kind = TIMER_NONE;
    (void)snprintf(connection->peer, sizeof connection->peer, "%s", peer); /* made to fit */
    link_init(&connection->timer);
    link_init(&connection->all);
    link_append(&front->connections, &connection->all);
    front->connection_count++;
    atomic_store(&front->connections_now, front->connection_count);
    front_timer(front, connection, TIMER_IDLE);
}

/* The connection leaves the front; its memory stays until the loop's round is over, events may still name it. */
static void retire(struct h1_connection *connection)
{
    struct front *front = connection->front;
    struct http_exchange *exchange = TAKE_PTR(connection->exchange);
    connection->fd = -1;
    front_timer(front, connection, TIMER_NONE);
    link_remove(&connection->all);
    link_append(&front->freed, &connection->all);
    front->connection_count--;
    atomic_store(&front->connections_now, front->connection_count);
    if (exchange == NULL)
        return;
    if (exchange->connection == NULL)
        exchange_unref(exchange); /* its body was still arriving: no handler has seen it */
    else
        exchange_detach(exchange, true);
}

void h1_connection_close(struct h1_connection *connection)
{
    if (connection->fd < 0)
        return;
    close(connection->fd); /* which also takes it out of epoll */
    retire(connection);
}

void h1_connection_reset(struct h1_connection *connection)
{
    if (connection->fd < 0)
        return;
    /* An orderly FIN would make an answer that ends by closing look complete. */
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    /* When it fails, the client sees at worst a FIN within a chunk. */
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    h1_connection_close(connection);
}

void h1_connection_free(struct h1_connection *connection)
{
    buffer_done(&connection->in);
    buffer_done(&connection->out);
    buffer_done(&connection->out_body);
    free(connection);
}

/* --- refusing --- */

/*
 * Answers without a handler. `intact`: the request was read to its end, so the connection can go on. The
 * exchange, when there is one, has not been handed over.
 */
static void refuse(struct h1_connection *connection, const struct h1_refusal *refusal, const char *extra,
                   bool intact)
{
    struct front *front = connection->front;
    char made[UUID_TEXT_BYTES];
    struct bytes id;
    if (connection->exchange != NULL && connection->exchange->request.request_id.size_bytes > 0) {
        id = connection->exchange->request.request_id;
    } else {
        uuid_v7(clock_now_us(front->clock), front->entropy, made);
        id = bytes_of_text(made);
    }
    atomic_fetch_add(&front->refused, 1);
    log_debug(front->log, "request refused", LOG_INT("status", refusal->http_status),
              LOG_TEXT("peer", connection->peer), LOG_TEXT("reason", refusal->status.message));
    connection->close_after |= !intact || !connection->keep_alive || front->draining;
    connection->linger |= !intact;
    connection->state = H1_STATE_BUSY;
    connection->answer_ended = true;
    h1_write_refusal(connection, refusal, id, extra);
    struct http_exchange *exchange = TAKE_PTR(connection->exchange);
    exchange_unref(exchange);
}

static void refuse_closing(struct h1_connection *connection, const struct h1_refusal *refusal)
{
    refuse(connection, refusal, "", false);
}

static void refuse_memory(struct h1_connection *connection)
{
    const struct h1_refusal refusal = {503,
                                       status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request")};
    refuse_closing(connection, &refusal);
}

/* --- from bytes to a request --- */

static void request_id_choose(struct http_exchange *exchange)
{
    struct http_request *request = &exchange->request;
    static const char *const names[] = {"strata-request-id", "x-request-id"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct bytes id;
        if (http_request_header_count(request, names[i], &id) == 1 && request_id_is_valid(id)) {
            memcpy(exchange->request_id, id.data, id.size_bytes);
            request->request_id = bytes_of(exchange->request_id, id.size_bytes);
            return;
        }
    }
    struct front *front = exchange->front;
    uuid_v7(clock_now_us(front->clock), front->entropy, exchange->request_id);
    request->request_id = bytes_of_text(exchange->request_id);
}

static void request_fill(struct http_exchange *exchange, const struct h1_message *message, const char *peer)
{
    (void)snprintf(exchange->peer, sizeof exchange->peer, "%s", peer); /* the same size */
    struct http_request *request = &exchange->request;
    request->method = message->method;
    request->target = message->target;
    request->path = message->path;
    request->query = message->query;
    request->headers = message->headers;
    request->header_count = message->header_count;
    request->peer = bytes_of_text(exchange->peer);
    request_id_choose(exchange);
}

/* Checks that need the head only, so that a refused client is not asked for its body. */
static bool head_is_allowed(struct h1_connection *connection, const struct h1_message *message, bool has_body)
{
    struct front *front = connection->front;
    const struct http_request *request = &connection->exchange->request;
    const struct access_rules rules = {front->options.development, front->options.allowed_hosts,
                                       front->options.allowed_host_count, front->options.allowed_origins,
                                       front->options.allowed_origin_count};
    struct h1_refusal refusal;
    const char *extra = "";
    bool allowed = access_allows(&rules, request, has_body, &refusal);
    if (allowed && websocket_path_is(front->options.websocket_path, request->path)) {
        if (front->options.handler->on_upgrade == NULL)
            return true;
        allowed = websocket_handshake_is_valid(request, message->minor_version, has_body, &refusal, &extra);
        if (allowed && unread(connection).size_bytes > 0) {
            refusal = (struct h1_refusal){400, status_error(STATUS_INVALID_ARGUMENT,
                                                            "data follows the WebSocket handshake before its "
                                                            "answer; wait for it")};
            has_body = true;
            allowed = false;
        }
    } else if (allowed && front->options.websocket_only) {
        refusal =
            (struct h1_refusal){404, status_error(STATUS_NOT_FOUND, "only the path %s is served on this port",
                                                  front->options.websocket_path)};
        allowed = false;
    }
    if (!allowed)
        refuse(connection, &refusal, extra, !has_body);
    return allowed;
}

/* Hands the socket over, or answers why not. */
static void upgrade(struct h1_connection *connection)
{
    struct front *front = connection->front;
    struct http_exchange *exchange = connection->exchange;
    struct epoll_event none = {.events = 0};
    (void)epoll_ctl(front->epoll_fd, EPOLL_CTL_DEL, connection->fd, &none); /* it is there */
    const struct status status =
        front->options.handler->on_upgrade(front->options.context, &exchange->request, connection->fd);
    if (status_is_ok(&status)) {
        retire(connection);
        return;
    }
    struct epoll_event again = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = connection};
    if (epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, connection->fd, &again) < 0) {
        h1_connection_close(connection);
        return;
    }
    connection->epoll_events = again.events;
    const struct h1_refusal refusal = {status_http(status.code, status.reason), status};
    refuse(connection, &refusal, status.code == STATUS_UNAUTHENTICATED ? "WWW-Authenticate: Bearer\r\n" : "",
           true);
}

static void dispatch(struct h1_connection *connection)
{
    struct front *front = connection->front;
    struct http_exchange *exchange = connection->exchange;
    exchange->request.body = buffer_bytes(&exchange->body);
    front_timer(front, connection, TIMER_NONE);
    connection->state = H1_STATE_BUSY;
    connection->answer_ended = false;
    if (front->options.handler->on_upgrade != NULL &&
        websocket_path_is(front->options.websocket_path, exchange->request.path)) {
        upgrade(connection);
        return;
    }
    exchange->connection_ops = &h1_connection_ops;
    exchange->connection = connection;
    front->exchange_count++;
    atomic_fetch_add(&front->requests, 1);
    front->options.handler->on_request(front->options.context, exchange);
}

/* The head is there: parse it, check it, and see whether a body follows. */
static void head_finish(struct h1_connection *connection, size_t head_bytes)
{
    struct front *front = connection->front;
    struct h1_refusal refusal;
    struct h1_message message;
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
    request_fill(exchange, &message, connection->peer);

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
    front_timer(front, connection, TIMER_BODY);
    if (message.expects_continue && unread(connection).size_bytes == 0)
        h1_write_continue(connection);
}

/* True: the state changed, go on. */
static bool head_step(struct h1_connection *connection)
{
    struct front *front = connection->front;
    if (unread(connection).size_bytes == 0)
        return false;
    if (connection->state == H1_STATE_IDLE) {
        connection->state = H1_STATE_HEAD;
        /* What an answer to a request that cannot even be read needs to know. */
        connection->minor_version = 1;
        connection->head_only = false;
        connection->keep_alive = true;
        front_timer(front, connection, TIMER_HEAD);
    }
    struct h1_refusal refusal;
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
    struct h1_refusal refusal;
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
            h1_connection_close(connection);
            return false;
        }
        connection->state = H1_STATE_CLOSING;
        return true;
    }
    connection->state = H1_STATE_IDLE;
    front_timer(connection->front, connection, TIMER_IDLE);
    return true;
}

static bool linger(struct h1_connection *connection)
{
    if (connection->peer_finished || shutdown(connection->fd, SHUT_WR) < 0) {
        h1_connection_close(connection);
        return false;
    }
    consume(connection, unread(connection).size_bytes);
    connection->state = H1_STATE_LINGER;
    front_timer(connection->front, connection, TIMER_LINGER);
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
        if (connection->fd < 0 || !h1_flush(connection))
            return;
        /* An answer that waits for the client holds up the next request, not the reading of a body. */
        if (h1_has_output(connection) &&
            (connection->state == H1_STATE_BUSY || connection->state == H1_STATE_CLOSING))
            break;
    } while (step(connection));
    if (connection->fd < 0 || !h1_flush(connection))
        return;
    const bool incomplete = connection->state < H1_STATE_BUSY && connection->peer_finished;
    if (incomplete) {
        h1_connection_close(connection);
        return;
    }
    if (connection->exchange != NULL && connection->exchange->head_written)
        exchange_sent(connection->exchange, connection->out.size_bytes - connection->out_at);
    if (connection->fd >= 0)
        watch(connection);
}

/* --- events --- */

static void receive(struct h1_connection *connection)
{
    struct front *front = connection->front;
    const ssize_t size = recv(connection->fd, front->scratch, sizeof front->scratch, 0);
    if (size < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            h1_connection_close(connection);
        return;
    }
    if (size == 0) {
        connection->half_closed = true;
        connection->peer_finished = true;
        if (connection->state == H1_STATE_LINGER)
            h1_connection_close(connection);
        return;
    }
    if (connection->in_at > 0) {
        memmove(connection->in.data, connection->in.data + connection->in_at, unread(connection).size_bytes);
        connection->in.size_bytes -= connection->in_at;
        connection->in_at = 0;
    }
    buffer_add(&connection->in, front->scratch, (size_t)size);
    if (connection->in.failed)
        h1_connection_close(connection);
}

/* FIN while a stream is on its way: the client will not read it to its end, which it never reaches. */
static bool stream_abandoned(const struct h1_connection *connection)
{
    return connection->half_closed && connection->exchange != NULL && connection->exchange->head_written;
}

void h1_connection_event(struct h1_connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        h1_connection_close(connection);
        return;
    }
    if (events & EPOLLRDHUP)
        connection->half_closed = true;
    if (events & EPOLLIN)
        receive(connection);
    if (connection->fd >= 0 && stream_abandoned(connection))
        h1_connection_close(connection);
    if (connection->fd >= 0)
        h1_connection_proceed(connection);
}

void h1_connection_timeout(struct h1_connection *connection)
{
    struct h1_refusal refusal = {
        408, status_error(STATUS_DEADLINE_EXCEEDED, "the request did not arrive in time; send it again")};
    switch (connection->timer_kind) {
    case TIMER_HEAD:
    case TIMER_BODY:
        refuse_closing(connection, &refusal);
        h1_connection_proceed(connection);
        return;
    case TIMER_WRITE:
        h1_connection_reset(connection);
        return;
    default:
        h1_connection_close(connection);
        return;
    }
}

void h1_connection_drain(struct h1_connection *connection)
{
    connection->close_after = true;
    if (connection->state == H1_STATE_IDLE || connection->state == H1_STATE_LINGER)
        h1_connection_close(connection);
}
