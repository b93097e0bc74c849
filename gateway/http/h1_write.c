/* Answers as HTTP/1.1 bytes, and their way into the socket. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/http/front_internal.h"
#include "gateway/http/problem.h"

#define OUT_KEEP_BYTES ((size_t)64 * 1024) /* a connection that waits keeps no larger buffer */

static size_t unsent_bytes(const struct h1_connection *connection)
{
    return connection->out.size_bytes - connection->out_at + connection->out_body.size_bytes -
           connection->out_body_at;
}

bool h1_has_output(const struct h1_connection *connection)
{
    return unsent_bytes(connection) > 0;
}

static void output_clear(struct h1_connection *connection)
{
    if (connection->out.capacity_bytes > OUT_KEEP_BYTES)
        buffer_done(&connection->out);
    buffer_clear(&connection->out);
    buffer_done(&connection->out_body);
    connection->out_at = 0;
    connection->out_body_at = 0;
}

/* Returns what sendmsg does. `out_body` holds the body of a whole answer, so nothing follows it in `out`. */
static ssize_t send_once(struct h1_connection *connection)
{
    struct iovec parts[2];
    size_t count = 0;
    if (connection->out_at < connection->out.size_bytes)
        parts[count++] = (struct iovec){connection->out.data + connection->out_at,
                                        connection->out.size_bytes - connection->out_at};
    if (connection->out_body_at < connection->out_body.size_bytes)
        parts[count++] = (struct iovec){connection->out_body.data + connection->out_body_at,
                                        connection->out_body.size_bytes - connection->out_body_at};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(connection->base.fd, &message, MSG_NOSIGNAL);
}

static void sent(struct h1_connection *connection, size_t size_bytes)
{
    const size_t in_out = connection->out.size_bytes - connection->out_at;
    const size_t from_out = size_bytes < in_out ? size_bytes : in_out;
    connection->out_at += from_out;
    connection->out_body_at += size_bytes - from_out;
    /* A stream that never drains must not grow the buffer's dead beginning. */
    if (connection->out_at > OUT_KEEP_BYTES && connection->out_at > connection->out.size_bytes / 2) {
        memmove(connection->out.data, connection->out.data + connection->out_at,
                connection->out.size_bytes - connection->out_at);
        connection->out.size_bytes -= connection->out_at;
        connection->out_at = 0;
    }
}

bool h1_flush(struct h1_connection *connection)
{
    if (connection->out.failed || connection->out_body.failed) {
        connection_reset(&connection->base); /* no memory: a part of an answer is missing */
        return false;
    }
    bool progress = false;
    while (h1_has_output(connection)) {
        const ssize_t size = send_once(connection);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (size < 0) {
            connection_close(&connection->base);
            return false;
        }
        sent(connection, (size_t)size);
        progress = true;
    }
    const bool waits = h1_has_output(connection);
    if (!waits)
        output_clear(connection);
    if (connection->state != H1_STATE_BUSY && connection->state != H1_STATE_CLOSING)
        return true; /* the request's own timer runs */
    if (waits && (progress || connection->base.timer_kind != TIMER_WRITE))
        connection_timer(&connection->base, TIMER_WRITE);
    else if (!waits)
        connection_timer(&connection->base, TIMER_NONE);
    return true;
}

void h1_write_continue(struct h1_connection *connection)
{
    buffer_add_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void head_begin(struct h1_connection *connection, int http_status, struct bytes request_id)
{
    buffer_printf(&connection->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nStrata-Request-Id: %.*s\r\n", http_status,
                  http_reason_phrase(http_status), front_date(connection->base.front),
                  BYTES_FORMAT(request_id));
}

static void head_end(struct h1_connection *connection, bool upgrade)
{
    struct buffer *out = &connection->out;
    if (upgrade)
        buffer_add_text(out, connection->close_after ? "Connection: Upgrade, close\r\n"
                                                     : "Connection: Upgrade\r\n");
    else if (connection->close_after)
        buffer_add_text(out, "Connection: close\r\n");
    else if (connection->minor_version == 0)
        buffer_add_text(out, "Connection: keep-alive\r\n");
    buffer_add_text(out, "\r\n");
}

void h1_write_refusal(struct h1_connection *connection, const struct http_refusal *refusal,
                      struct bytes request_id, const char *extra)
{
    struct buffer text = buffer_make(0);
    problem_write(&text, &refusal->status, refusal->http_status, request_id);
    head_begin(connection, refusal->http_status, request_id);
    buffer_printf(&connection->out, "Content-Type: " PROBLEM_CONTENT_TYPE "\r\nContent-Length: %zu\r\n%s",
                  text.size_bytes, extra);
    head_end(connection, strncmp(extra, "Upgrade:", 8) == 0);
    if (!connection->head_only)
        buffer_add_bytes(&connection->out, buffer_bytes(&text));
    buffer_done(&text);
}

static void exchange_head(struct h1_connection *connection, const struct http_exchange *exchange)
{
    head_begin(connection, exchange->http_status, exchange->request.request_id);
    for (size_t i = 0; i < exchange->header_count; i++) {
        buffer_add_bytes(&connection->out, exchange->headers[i].name);
        buffer_add_text(&connection->out, ": ");
        buffer_add_bytes(&connection->out, exchange->headers[i].value);
        buffer_add_text(&connection->out, "\r\n");
    }
}

/* RFC 9110 8.6 and 15.3.5, 15.4.5 */
static void write_whole(struct h1_connection *connection, const struct http_exchange *exchange,
                        struct buffer *body)
{
    const bool bodiless = exchange->http_status == 204 || exchange->http_status == 304;
    exchange_head(connection, exchange);
    if (!bodiless)
        buffer_printf(&connection->out, "Content-Length: %zu\r\n", body->size_bytes);
    head_end(connection, false);
    if (bodiless || connection->head_only)
        return;
    connection->out_body = *body;
    connection->out_body_at = 0;
    *body = buffer_make(0);
}

static void write_stream(struct h1_connection *connection, struct http_exchange *exchange, struct bytes part,
                         bool ended)
{
    const bool chunked = connection->minor_version > 0;
    if (!exchange->head_written) {
        exchange->head_written = true;
        if (!chunked)
            connection->close_after = true;
        exchange_head(connection, exchange);
        if (chunked)
            buffer_add_text(&connection->out, "Transfer-Encoding: chunked\r\n");
        head_end(connection, false);
    }
    if (connection->head_only)
        return;
    if (part.size_bytes > 0) {
        if (chunked)
            buffer_printf(&connection->out, "%zx\r\n", part.size_bytes);
        buffer_add_bytes(&connection->out, part);
        if (chunked)
            buffer_add_text(&connection->out, "\r\n");
    }
    if (ended && chunked)
        buffer_add_text(&connection->out, "0\r\n\r\n");
}

static void h1_answer(void *context, struct http_exchange *exchange)
{
    struct h1_connection *connection = context;
    pthread_mutex_lock(&exchange->lock);
    const enum answer answer = exchange->overflowed ? ANSWER_RESET : exchange->answer;
    if (answer == ANSWER_NONE) {
        pthread_mutex_unlock(&exchange->lock);
        return;
    }
    struct buffer part = exchange->pending;
    exchange->pending = buffer_make(0);
    exchange->in_flight_bytes += part.size_bytes;
    pthread_mutex_unlock(&exchange->lock);

    if (answer == ANSWER_UPGRADE) {
        h1_connection_upgrade(connection);
        return;
    }
    /* A client that has finished sending may still want its answer, but
     * nobody is told to wait for a stream's end. */
    const bool abandoned = answer == ANSWER_STREAM && connection->half_closed;
    if (answer == ANSWER_RESET || abandoned) {
        buffer_done(&part);
        connection_reset(&connection->base);
        return;
    }
    connection->close_after |= connection->base.front->draining;
    if (answer == ANSWER_WHOLE)
        write_whole(connection, exchange, &part);
    else
        write_stream(connection, exchange, buffer_bytes(&part), answer == ANSWER_ENDED);
    buffer_done(&part);

    /* HEAD has the whole answer with the head, and an endless stream would never end. */
    const bool enough = answer == ANSWER_STREAM && connection->head_only;
    if (answer != ANSWER_STREAM || enough) {
        connection->answer_ended = true;
        connection->exchange = NULL;
        exchange_detach(exchange, enough);
    }
    h1_connection_proceed(connection);
}

const struct connection_ops h1_connection_ops = {.answer = h1_answer};
