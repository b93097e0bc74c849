/* One connection of the gRPC upstream to a core: connecting again and again, and its nghttp2 client session. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "gateway/upstream/grpc_internal.h"
#include "rpc/status_details.h"

#define CONNECT_TIMEOUT_US      INT64_C(5000000)
#define BACKOFF_LEAST_US        INT64_C(50000)
#define BACKOFF_MOST_US         INT64_C(5000000)
#define STEADY_US               INT64_C(1000000) /* a connection that lasted so long is made again at once */
#define UNACKNOWLEDGED_MS       15000U           /* of TCP: a core that vanished is noticed after so long */
#define STREAM_WINDOW_BYTES     ((uint32_t)256 * 1024)
#define CONNECTION_WINDOW_BYTES (4 * 1024 * 1024)
#define HEADER_LIST_MAX_BYTES   ((uint32_t)64 * 1024)

/* --- making --- */

static struct grpc_link *link_make(struct remote *remote)
{
    struct grpc_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->remote = remote;
    link->fd = -1;
    link_init(&link->calls);
    link_init(&link->all);
    (void)snprintf(link->trouble, sizeof link->trouble, "not connected yet"); /* fits */
    return link;
}

struct status grpc_link_new(struct remote *remote, const char *address, struct grpc_link **ret)
{
    struct grpc_link *link = link_make(remote);
    if (link == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the upstream");
    const struct status status = grpc_lookup_first(link, address);
    if (!status_is_ok(&status)) {
        grpc_link_free(link);
        return status;
    }
    *ret = link;
    return status_ok();
}

struct grpc_link *grpc_link_another(const struct grpc_link *link)
{
    struct grpc_link *another = link_make(link->remote);
    if (another == NULL)
        return NULL;
    memcpy(another->host, link->host, sizeof another->host);
    memcpy(another->port, link->port, sizeof another->port);
    memcpy(another->authority, link->authority, sizeof another->authority);
    another->addresses = link->addresses;
    another->address_at = link->address_at;
    another->failures = link->failures;
    return another;
}

/* --- down --- */

static int64_t backoff_us(struct grpc_link *link)
{
    int64_t most_us = BACKOFF_LEAST_US << (link->failures < 8 ? link->failures : 8);
    if (most_us > BACKOFF_MOST_US)
        most_us = BACKOFF_MOST_US;
    uint32_t random;
    entropy_fill(link->remote->entropy, &random, sizeof random);
    return most_us / 2 + (int64_t)(random % (uint32_t)(most_us / 2));
}

static void calls_lost(struct grpc_link *link)
{
    struct link lost; /* placing them again enters them in other lists, or in this link's */
    link_init(&lost);
    while (!link_is_alone(&link->calls)) {
        struct link *first = link->calls.next;
        link_remove(first);
        link_append(&lost, first);
    }
    while (!link_is_alone(&lost)) {
        struct remote_call *call = LINK_OWNER(lost.next, struct remote_call, all);
        link_remove(&call->all);
        link_append(&link->calls, &call->all);
        if (!call->closed)
            remote_call_closed(call, false);
    }
}

/*
 * When to connect again: at once after a connection that worked, or to the name's next address. One that is taken and
 * closed again, as proxies do whose core is away, counts as a failure.
 */
static void again_later(struct grpc_link *link, bool was_up)
{
    struct remote *remote = link->remote;
    const bool steady = was_up && remote->now_us - link->up_us >= STEADY_US;
    const bool next = !was_up && link->address_at + 1 < link->addresses.count;
    if (steady)
        link->failures = 0;
    link->due_us = remote->now_us;
    if (next)
        link->address_at++;
    else if (link->failures == 0 && !link->aside)
        log_warn(remote->log, "the core cannot be reached, trying again", LOG_TEXT("core", link->authority),
                 LOG_TEXT("reason", link->trouble));
    if (steady || next)
        return;
    if (!was_up)
        link->address_at = 0;
    link->due_us += backoff_us(link);
    link->failures++;
}

/* Closes what there is, ends or moves its calls, and tries again later. */
static void down(struct grpc_link *link, const char *trouble)
{
    const bool was_up = link->state == LINK_UP;
    if (link->state == LINK_DOWN)
        return;
    (void)snprintf(link->trouble, sizeof link->trouble, "%s", trouble); /* cut, if need be */
    link->state = LINK_DOWN;
    link->leaving = false;
    link->stream_count = 0;
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    again_later(link, was_up);
    if (!link->aside)
        grpc_lookup_again(link);
    calls_lost(link);
    nghttp2_session_del(link->session);
    link->session = NULL;
    h2_output_done(&link->out);
}

void grpc_link_free(struct grpc_link *link)
{
    grpc_lookup_release(link->lookup);
    if (link->fd >= 0)
        close(link->fd);
    nghttp2_session_del(link->session);
    h2_output_done(&link->out);
    free(link);
}

/* --- what the session tells --- */

static struct remote_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *context)
{
    (void)flags, (void)context;
    struct remote_call *call = call_of(session, frame->hd.stream_id);
    if (call != NULL)
        remote_call_header(call, (struct bytes){name, name_bytes}, (struct bytes){value, value_bytes},
                           frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t size_bytes, void *context)
{
    (void)flags, (void)context;
    struct remote_call *call = call_of(session, stream_id);
    /* The connection's window opens whoever waits: one slow receiver must not hold up the others. */
    (void)nghttp2_session_consume_connection(session, size_bytes);
    if (call != NULL)
        remote_call_data(call, (struct bytes){data, size_bytes});
    else
        (void)nghttp2_session_consume_stream(session, stream_id, size_bytes);
    return 0;
}

/* Calls that wait are placed at the end of the round. */
static void greeted(struct grpc_link *link)
{
    if (link->failures > 0)
        log_info(link->remote->log, "the core can be reached", LOG_TEXT("core", link->authority));
    link->state = LINK_UP;
    link->up_us = link->remote->now_us;
    link->heard_us = link->remote->now_us;
    link->pinged_us = 0;
}

static int on_frame_received(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct grpc_link *link = context;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        link->leaving = true;
    if (frame->hd.type == NGHTTP2_SETTINGS && link->state == LINK_GREETING &&
        !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        greeted(link);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t stream_id, uint32_t code, void *context)
{
    struct grpc_link *link = context;
    struct remote_call *call = call_of(session, stream_id);
    link->stream_count--;
    if (call == NULL)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    remote_call_closed(call, code == NGHTTP2_REFUSED_STREAM);
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t size_bytes,
                       uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)source, (void)context;
    struct remote_call *call = call_of(session, stream_id);
    bool ends = false;
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled: the stream is reset anyway */
    const ssize_t size = remote_call_read(call, to, size_bytes, &ends);
    if (ends)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return size;
}

static bool session_make(struct grpc_link *link)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_received);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    bool made = nghttp2_option_new(&option) == 0;
    if (made) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        made = nghttp2_session_client_new2(&link->session, callbacks, link, option) == 0;
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX_BYTES},
    };
    return made &&
           nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings)) == 0 &&
           nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW_BYTES) == 0;
}

/* --- connecting --- */

static void socket_configure(int fd)
{
    const int on = 1;
    const unsigned unacknowledged_ms = UNACKNOWLEDGED_MS;
    const int idle_s = 10, gap_s = 3;
    /* Each only makes it faster, or notices a core that vanished without a word. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &gap_s, sizeof gap_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static void watch(struct grpc_link *link, uint32_t epoll_events)
{
    if (link->epoll_events == epoll_events)
        return;
    struct epoll_event event = {.events = epoll_events, .data.ptr = link};
    if (epoll_ctl(link->remote->epoll_fd, EPOLL_CTL_MOD, link->fd, &event) < 0)
        down(link, strerror(errno));
    else
        link->epoll_events = epoll_events;
}

static void connect_begin(struct grpc_link *link)
{
    struct remote *remote = link->remote;
    grpc_lookup_take(link);
    const struct grpc_address *to = &link->addresses.items[link->address_at];
    link->state = LINK_CONNECTING;
    link->due_us = remote->now_us + CONNECT_TIMEOUT_US;
    link->fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = link};
    if (link->fd < 0 || epoll_ctl(remote->epoll_fd, EPOLL_CTL_ADD, link->fd, &event) < 0) {
        down(link, strerror(errno));
        return;
    }
    link->epoll_events = event.events;
    socket_configure(link->fd);
    if (connect(link->fd, (const struct sockaddr *)&to->address, to->size_bytes) < 0 && errno != EINPROGRESS)
        down(link, strerror(errno));
}

static void connect_finish(struct grpc_link *link)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error != 0) {
        down(link, strerror(error));
        return;
    }
    if (!session_make(link)) {
        down(link, "no memory");
        return;
    }
    link->state = LINK_GREETING;
}

/*
 * A core that hangs keeps its connection: its kernel acknowledges what nobody reads. So who has been quiet is asked, and who
 * does not answer loses the connection and with it its calls, which a hung core would hold for as long as they may take.
 */
static void keep_alive(struct grpc_link *link)
{
    const struct remote *remote = link->remote;
    if (link->pinged_us != 0) {
        if (remote->now_us - link->pinged_us >= remote->answer_us)
            down(link, "it does not answer");
        return;
    }
    if (remote->now_us - link->heard_us < remote->quiet_us)
        return;
    if (nghttp2_submit_ping(link->session, NGHTTP2_FLAG_NONE, NULL) ==
        0) /* without memory: in the next round */
        link->pinged_us = remote->now_us;
}

void grpc_link_tick(struct grpc_link *link)
{
    if (link->state == LINK_UP)
        keep_alive(link);
    if (link->state == LINK_UP || link->remote->now_us < link->due_us)
        return;
    if (link->state == LINK_DOWN)
        connect_begin(link);
    else
        down(link, link->state == LINK_CONNECTING ? "no answer" : "it does not speak HTTP/2");
}

/* --- calls --- */

static bool is_full(const struct grpc_link *link)
{
    return link->stream_count >=
           nghttp2_session_get_remote_settings(link->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool grpc_link_takes_calls(const struct grpc_link *link)
{
    return link->state == LINK_UP && !link->leaving && !is_full(link);
}

void grpc_link_leave(struct grpc_link *link)
{
    if (link != NULL)
        link->leaving = true;
}

bool grpc_link_is_spent(const struct grpc_link *link)
{
    return link->state == LINK_UP && !link_is_alone(&link->calls) && (link->leaving || is_full(link));
}

static nghttp2_nv field(const char *name, struct bytes value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.data, strlen(name),
                        value.size_bytes, NGHTTP2_NV_FLAG_NONE}; /* nghttp2 copies */
}

/* One whose value no other call has: in the compression's table it would only push out those that all have. */
static nghttp2_nv field_of_one(const char *name, struct bytes value)
{
    nghttp2_nv made = field(name, value);
    made.flags = NGHTTP2_NV_FLAG_NO_INDEX;
    return made;
}

void grpc_link_send(struct grpc_link *link, struct remote_call *call)
{
    char timeout[GRPC_TIMEOUT_TEXT_BYTES];
    nghttp2_nv fields[14];
    size_t count = 0;
    fields[count++] = field(":method", BYTES_LITERAL("POST"));
    fields[count++] = field(":scheme", BYTES_LITERAL("http"));
    fields[count++] = field(":path", bytes_of_text(call->method->path));
    fields[count++] = field(":authority", bytes_of_text(link->authority));
    fields[count++] = field("te", BYTES_LITERAL("trailers"));
    fields[count++] = field("content-type", BYTES_LITERAL("application/grpc"));
    fields[count++] = field(STATUS_DETAILS_METADATA, BYTES_LITERAL(STATUS_DETAILS_MOST_TEXT));
    if (call->deadline_us != 0) {
        grpc_timeout_write(call->deadline_us - link->remote->now_us, timeout);
        fields[count++] = field_of_one("grpc-timeout", bytes_of_text(timeout));
    }
    if (call->authorization.size_bytes > 0)
        fields[count++] = field("authorization", call->authorization);
    if (call->traceparent.size_bytes > 0)
        fields[count++] = field_of_one("traceparent", call->traceparent);
    if (call->request_id.size_bytes > 0)
        fields[count++] = field_of_one("strata-request-id", call->request_id);
    if (call->peer.size_bytes > 0) {
        fields[count++] = field("strata-client-transport", bytes_of_text(call->transport));
        fields[count++] = field("strata-client-peer", call->peer);
    }

    const nghttp2_data_provider body = {.read_callback = on_read};
    const int32_t stream_id = nghttp2_submit_request(link->session, NULL, fields, count, &body, call);
    link_remove(&call->all);
    link_append(&link->calls, &call->all);
    call->link = link;
    call->state = CALL_SENT;
    call->tries++;
    call->stream_id = stream_id;
    link->stream_count += stream_id > 0;
    if (stream_id < 0) { /* no memory, or its 2^30 streams are used up: a new connection has new ones */
        link->leaving = true;
        call->stream_id = 0;
        remote_call_closed(call, true);
    }
}

void grpc_link_consumed(struct grpc_link *link, const struct remote_call *call, size_t size_bytes)
{
    if (link->session != NULL)
        (void)nghttp2_session_consume_stream(link->session, call->stream_id,
                                             size_bytes); /* closed: no matter */
}

void grpc_link_cancel(struct grpc_link *link, const struct remote_call *call)
{
    if (link->session == NULL || call->stream_id <= 0)
        return;
    (void)nghttp2_session_set_stream_user_data(link->session, call->stream_id, NULL);
    (void)nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
}

/* --- the socket --- */

void grpc_link_flush(struct grpc_link *link)
{
    bool progress = false;
    if (link->session == NULL)
        return;
    switch (h2_output_flush(&link->out, link->session, link->fd, &progress)) {
    case H2_FLUSHED:
        watch(link, EPOLLIN);
        break;
    case H2_FLUSH_WAITS:
        watch(link, EPOLLIN | EPOLLOUT);
        break;
    case H2_FLUSH_CLOSED:
    case H2_FLUSH_FAILED:
        down(link, "closed while sending");
        return;
    }
    if (link->session == NULL)
        return;
    const bool over = !nghttp2_session_want_read(link->session) && !nghttp2_session_want_write(link->session);
    if (over || ((link->leaving || link->aside) && link_is_alone(&link->calls)))
        down(link, "closed by the core");
}

static void receive(struct grpc_link *link)
{
    struct remote *remote = link->remote;
    const ssize_t size = recv(link->fd, remote->scratch, sizeof remote->scratch, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    link->heard_us = remote->now_us;
    link->pinged_us = 0;
    if (size <= 0)
        down(link, size == 0 ? "closed by the core" : strerror(errno));
    else if (nghttp2_session_mem_recv(link->session, remote->scratch, (size_t)size) < 0)
        down(link, "it does not speak HTTP/2");
}

void grpc_link_event(struct grpc_link *link, uint32_t epoll_events)
{
    if (link->state == LINK_CONNECTING)
        connect_finish(link);
    else if (link->session != NULL && (epoll_events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        receive(link);
    grpc_link_flush(link);
}
