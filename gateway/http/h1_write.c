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

/* A line of the head in one piece; printf takes ten times as long, and heads go out with every answer. */
static void add_line(struct buffer *out, struct bytes name, struct bytes between, struct bytes value)
{
    uint8_t *at = buffer_extend(out, name.size_bytes + between.size_bytes + value.size_bytes + 2);
    if (at == NULL)
        return; /* the buffer tells */
    at = mempcpy(at, name.data, name.size_bytes);
    at = mempcpy(at, between.data, between.size_bytes);
    if (value.size_bytes > 0)
        at = mempcpy(at, value.data, value.size_bytes);
    *at++ = '\r';
    *at = '\n';
}

static void add_header_line(struct buffer *out, struct bytes name, struct bytes value)
{
    add_line(out, name, BYTES_LITERAL(": "), value);
}

static void add_length(struct buffer *out, size_t length)
{
    char digits[24];
    char *const end = digits + sizeof digits;
    char *at = end;
    do
        *--at = (char)('0' + length % 10);
    while ((length /= 10) > 0);
    add_header_line(out, BYTES_LITERAL("Content-Length"), bytes_of(at, (size_t)(end - at)));
}

static void head_begin(struct h1_connection *connection, int http_status, struct bytes request_id)
{
    struct buffer *out = &connection->out;
    const char digits[4] = {(char)('0' + http_status / 100 % 10), (char)('0' + http_status / 10 % 10),
                            (char)('0' + http_status % 10), ' '};
    add_line(out, BYTES_LITERAL("HTTP/1.1 "), bytes_of(digits, sizeof digits),
             bytes_of_text(http_reason_phrase(http_status)));
    add_header_line(out, BYTES_LITERAL("Date"), bytes_of_text(front_date(connection->base.front)));
    add_header_line(out, BYTES_LITERAL("Strata-Request-Id"), request_id);
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
    add_header_line(&connection->out, BYTES_LITERAL("Content-Type"), BYTES_LITERAL(PROBLEM_CONTENT_TYPE));
    add_length(&connection->out, text.size_bytes);
    buffer_add_text(&connection->out, extra);
    head_end(connection, strncmp(extra, "Upgrade:", 8) == 0);
    if (!connection->head_only)
        buffer_add_bytes(&connection->out, buffer_bytes(&text));
    buffer_done(&text);
}

static void exchange_head(struct h1_connection *connection, const struct http_exchange *exchange)
{
    head_begin(connection, exchange->http_status, exchange->request.request_id);
    for (size_t i = 0; i < exchange->header_count; i++)
        add_header_line(&connection->out, exchange->headers[i].name, exchange->headers[i].value);
}

/* RFC 9110 8.6 and 15.3.5, 15.4.5 */
static void write_whole(struct h1_connection *connection, const struct http_exchange *exchange,
                        struct buffer *body)
{
    const bool bodiless = exchange->http_status == 204 || exchange->http_status == 304;
    exchange_head(connection, exchange);
    if (!bodiless)
        add_length(&connection->out, body->size_bytes);
    head_end(connection, false);
    if (bodiless || connection->head_only)
        return;
    if (body->arena != NULL) { /* it goes with the exchange */
        buffer_add_bytes(&connection->out, buffer_bytes(body));
        return;
    }
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
