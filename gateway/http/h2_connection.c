/*
 * One HTTP/2 connection: nghttp2's server session between a socket and its streams. Requests of one connection are
 * executed side by side, at most STREAMS_MAX of them.
 *
 * What a client can make the server hold or do is bounded: streams and their header fields, bodies that are arriving
 * together, bytes waiting to be sent, streams opened only to be reset, CONTINUATION frames of one header, and
 * acknowledgements of its PINGs and SETTINGS (the last three by nghttp2). Beyond a bound the stream or the connection
 * ends with an error code of RFC 9113.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "gateway/http/h2_internal.h"

#define STREAMS_MAX             128U
#define STREAM_WINDOW_BYTES     ((uint32_t)256 * 1024)
#define CONNECTION_WINDOW_BYTES (1024 * 1024)
#define RESETS_BURST            1000U /* streams a client may reset at once, */
#define RESETS_A_SECOND         33U   /* and for long */
#define CONTINUATIONS_MAX       8U
#define UNACKNOWLEDGED_MAX      1000U
#define CUTS_BURST              RESETS_BURST /* requests cut off in any way, also by a client's protocol errors */
#define CUT_COSTS_US            (INT64_C(1000000) / RESETS_A_SECOND)

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* --- what the session tells --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers */
    return h2_stream_begin(context, frame->hd.stream_id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *context)
{
    (void)flags, (void)context;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_stream_header(stream, (struct bytes){name, name_bytes}, (struct bytes){value, value_bytes});
    return 0;
}

/* Without this nghttp2 would leave out what it does not like, and the rest would be served. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                             void *context)
{
    (void)name, (void)name_bytes, (void)value, (void)value_bytes, (void)flags, (void)context;
    (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame_received(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)context;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_stream_head(stream, ended);
    else if (ended)
        h2_stream_ended(stream);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size_bytes, void *context)
{
    (void)flags, (void)context;
    struct h2_stream *stream = stream_of(session, id);
    if (stream != NULL)
        h2_stream_data(stream, (struct bytes){data, size_bytes});
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    (void)code, (void)context;
    struct h2_stream *stream = stream_of(session, id);
    if (stream != NULL)
        h2_stream_closed(stream);
    return 0;
}

/* --- the session --- */

static nghttp2_session_callbacks *callbacks_make(void)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    return callbacks;
}

static nghttp2_option *bounds_make(void)
{
    nghttp2_option *option = NULL;
    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_stream_reset_rate_limit(option, RESETS_BURST, RESETS_A_SECOND);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    nghttp2_option_set_max_outbound_ack(option, UNACKNOWLEDGED_MAX);
    return option;
}

static bool session_make(struct h2_connection *connection, const struct request_limits *limits)
{
    nghttp2_session_callbacks *callbacks = callbacks_make();
    nghttp2_option *option = bounds_make();
    bool made = callbacks != NULL && option != NULL &&
                nghttp2_session_server_new2(&connection->session, callbacks, connection, option) == 0;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (!made)
        return false;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         (uint32_t)(limits->header_max_bytes + limits->target_max_bytes)},
    };
    return nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings)) ==
               0 &&
           nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW_BYTES) == 0;
}

/* --- the socket --- */

/* Frames and sends until the kernel takes no more. False: the connection was closed. */
static bool flush(struct h2_connection *connection, bool *ret_progress)
{
    switch (h2_output_flush(&connection->out, connection->session, connection->base.fd, ret_progress)) {
    case H2_FLUSHED:
    case H2_FLUSH_WAITS:
        return true;
    case H2_FLUSH_CLOSED:
        connection_close(&connection->base);
        return false;
    case H2_FLUSH_FAILED:
        connection_reset(&connection->base);
        return false;
    }
    return false;
}

/* Everything was said: FIN, then the rest of the input is dropped, or its RST could destroy what was sent. */
static void linger(struct h2_connection *connection)
{
    if (shutdown(connection->base.fd, SHUT_WR) < 0) {
        connection_close(&connection->base);
        return;
    }
    connection->lingering = true;
    connection_timer(&connection->base, TIMER_LINGER);
    (void)connection_watch(&connection->base, EPOLLIN | EPOLLRDHUP);
}

/*
 * BODY and WRITE both look at everything that is overdue, and one that runs goes on, unless the other would be due sooner,
 * while anything could become so: a client that lets the reasons change can put off nothing.
 */
static void timer_choose(struct h2_connection *connection)
{
    const struct front *front = connection->base.front;
    const enum timer_kind now = connection->base.timer_kind;
    const bool leaving = h2_output_waits(&connection->out) || connection->unsent_count > 0;
    const bool arriving = connection->arriving_count > 0;
    enum timer_kind kind = connection->stream_count == 0 ? TIMER_IDLE : TIMER_NONE;
    if (leaving)
        kind = TIMER_WRITE;
    if (arriving && (!leaving || front->timeout_us[TIMER_BODY] < front->timeout_us[TIMER_WRITE]))
        kind = TIMER_BODY;
    const bool goes_on = (leaving || arriving) && (now == TIMER_WRITE || now == TIMER_BODY) &&
                         connection->base.timer_due_us <= front->now_us + front->timeout_us[kind];
    if (kind != now && !goes_on)
        connection_timer(&connection->base, kind);
}

void h2_connection_proceed(struct h2_connection *connection)
{
    bool progress = false;
    if (connection->base.fd < 0 || connection->lingering || !flush(connection, &progress))
        return;
    h2_streams_sent(connection);
    const bool said = !h2_output_waits(&connection->out);
    if (progress || said)
        connection->sent_us = connection->base.front->now_us;
    const bool over =
        !nghttp2_session_want_read(connection->session) && !nghttp2_session_want_write(connection->session);
    if (said && (over || (connection->leaving && connection->stream_count == 0))) {
        linger(connection);
        return;
    }
    timer_choose(connection);
    (void)connection_watch(&connection->base, EPOLLIN | EPOLLRDHUP | (said ? 0U : (uint32_t)EPOLLOUT));
}

static void take(struct h2_connection *connection, struct bytes input)
{
    const ssize_t used = nghttp2_session_mem_recv(connection->session, input.data, input.size_bytes);
    if (used == NGHTTP2_ERR_FLOODED || used == NGHTTP2_ERR_NOMEM)
        connection_reset(&connection->base);
    else if (used < 0)
        (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_PROTOCOL_ERROR);
}

static void receive(struct h2_connection *connection)
{
    struct front *front = connection->base.front;
    const ssize_t size = recv(connection->base.fd, front->scratch, sizeof front->scratch, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (size <= 0)
        connection_close(&connection->base);
    else if (!connection->lingering)
        take(connection, (struct bytes){front->scratch, (size_t)size});
}

/* --- events --- */

static void h2_event(struct connection *base, uint32_t events)
{
    struct h2_connection *connection = (struct h2_connection *)base;
    if (events & (EPOLLERR | EPOLLHUP)) {
        connection_close(base);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP))
        receive(connection);
    h2_connection_proceed(connection);
}

static void h2_settle(struct connection *base)
{
    h2_connection_proceed((struct h2_connection *)base);
}

static void leave(struct h2_connection *connection)
{
    connection->leaving = true;
    (void)nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(connection->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

/* What waits is given up after its time, or at most twice that. */
static void overdue(struct h2_connection *connection)
{
    struct front *front = connection->base.front;
    const int64_t arriving_us = front->now_us - front->timeout_us[TIMER_BODY];
    const int64_t moved_us = front->now_us - front->timeout_us[TIMER_WRITE];
    if (h2_output_waits(&connection->out) && connection->sent_us <= moved_us) {
        connection_reset(&connection->base);
        return;
    }
    struct link *next;
    for (struct link *at = connection->streams.next; at != &connection->streams; at = next) {
        next = at->next;
        h2_stream_overdue(LINK_OWNER(at, struct h2_stream, all), arriving_us, moved_us);
    }
    connection_timer(&connection->base, TIMER_NONE); /* chosen anew */
    h2_connection_proceed(connection);
}

static void h2_timeout(struct connection *base)
{
    struct h2_connection *connection = (struct h2_connection *)base;
    switch (base->timer_kind) {
    case TIMER_IDLE:
        leave(connection);
        h2_connection_proceed(connection);
        return;
    case TIMER_BODY:
    case TIMER_WRITE:
        overdue(connection);
        return;
    default:
        connection_close(base);
        return;
    }
}

/* nghttp2 counts the client's resets, but not the ones that its errors make nghttp2 send. */
void h2_connection_cut(struct h2_connection *connection)
{
    const int64_t now_us = connection->base.front->now_us;
    const int64_t forgiven = (now_us - connection->cuts_us) / CUT_COSTS_US;
    if (connection->base.fd < 0)
        return; /* cut off together with their connection */
    connection->cuts_us += forgiven * CUT_COSTS_US;
    connection->cuts_count =
        forgiven >= connection->cuts_count ? 1 : connection->cuts_count - (unsigned)forgiven + 1;
    if (connection->cuts_count > CUTS_BURST)
        (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void h2_drain(struct connection *base)
{
    struct h2_connection *connection = (struct h2_connection *)base;
    leave(connection);
    h2_connection_proceed(connection);
}

static void h2_lost(struct connection *base)
{
    struct h2_connection *connection = (struct h2_connection *)base;
    while (!link_is_alone(&connection->streams)) {
        struct h2_stream *stream = LINK_OWNER(connection->streams.next, struct h2_stream, all);
        (void)nghttp2_session_set_stream_user_data(connection->session, stream->id, NULL);
        h2_stream_closed(stream);
    }
}

static void h2_free(struct connection *base)
{
    struct h2_connection *connection = (struct h2_connection *)base;
    nghttp2_session_del(connection->session);
    h2_output_done(&connection->out);
    free(connection);
}

static const struct protocol_ops h2_protocol = {.event = h2_event,
                                                .settle = h2_settle,
                                                .timeout = h2_timeout,
                                                .drain = h2_drain,
                                                .lost = h2_lost,
                                                .free = h2_free};

void h2_connection_adopt(struct connection *from, struct bytes input)
{
    struct h2_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL || !session_make(connection, &from->front->limits)) {
        if (connection != NULL)
            h2_free(&connection->base);
        connection_reset(from);
        return;
    }
    link_init(&connection->streams);
    connection->cuts_us = from->front->now_us;
    connection->sent_us = from->front->now_us;
    if (!connection_replace(from, &connection->base, &h2_protocol)) {
        h2_free(&connection->base);
        return;
    }
    take(connection, input);
    if (connection->base.front->draining)
        leave(connection);
    h2_connection_proceed(connection);
}
