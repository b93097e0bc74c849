/*
 * Load for the HTTP port: N requests, a fixed number of them in flight, on one thread with epoll.
 *
 * Over HTTP/1.1 a connection has one request at a time, so there are as many connections as requests in flight; over
 * HTTP/2 (--http2, by its preface) the streams are spread on --connections. Requests publish the events that bench_client
 * publishes over gRPC: the same texts, as many bytes of data, the same aggregates in turn. With --get they read
 * those aggregates instead. Prints one JSON line like bench_client's; an answer without the status of success is an error.
 */
#include <errno.h>
#include <limits.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load_events.h"
#include "load_options.h"
#include "load_report.h"
#include "load_socket.h"
#include "measure.h"

#define CONNECTIONS_MAX 1024
#define STREAMS_MAX     128 /* what the server allows a connection */
#define BODY_BYTES      8192
#define DATA_BYTES_MAX  7000
#define EVENTS_A_ROUND  256
#define READ_BYTES      65536
#define PUBLISH_PATH    "/api/v1/events/publish"
#define AGGREGATE_PATH  "/api/v1/aggregates/"
#define USER_AGENT      "rest_client/1"

struct options {
    const char *target;
    const char *prefix;
    long in_flight;
    long count;
    long warm_up;
    long connections; /* of HTTP/2 */
    long aggregates;
    long event_bytes;
    long data_bytes; /* > 0: data of many members instead */
    bool http2;
    bool get;
};

/* A request under way; used again for the next one. */
struct shot {
    int64_t begun_ns;
    char path[160];
    char body[BODY_BYTES];
    size_t body_bytes;
    size_t body_at; /* HTTP/2: framed so far */
    int status;
};

struct connection {
    struct load *load;
    int fd;
    nghttp2_session *session; /* HTTP/2 only */
    struct load_bytes out;
    struct load_bytes in; /* HTTP/1.1: the answer so far */
    struct shot *shots;
    long shot_count; /* HTTP/1.1: 1 */
    bool waits;      /* the socket had no room */
};

struct load {
    struct options options;
    int epoll_fd;
    struct connection connections[CONNECTIONS_MAX];
    long connection_count;
    long sent;
    long done;
    long wanted; /* of this run */
    long errors;
    long aggregate; /* next to use */
    size_t reply_bytes;
    int64_t *times_ns;
    char first_error[512];
};

static void give_up(const char *what)
{
    (void)fprintf(stderr, "rest_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- requests --- */

/* One long text, so that the encoded event would be of event_bytes: bench_client counts alike. */
static char *put_note(char *to, const struct options *options, size_t id_bytes)
{
    static const char head[] = "{\"note\":\"";
    static const char tail[] = "\"}";
    const size_t others = 3 * 2 + 2 * strlen("custom") + id_bytes + 4 + sizeof head + sizeof tail - 2;
    const size_t all = (size_t)options->event_bytes;
    to = mempcpy(to, head, sizeof head - 1);
    if (all > others) {
        memset(to, 'x', all - others);
        to += all - others;
    }
    return mempcpy(to, tail, sizeof tail - 1);
}

static void shot_fill(struct load *load, struct shot *shot)
{
    const struct options *options = &load->options;
    char id[128];
    const int id_bytes = snprintf(id, sizeof id, "%s-%ld", options->prefix, load->aggregate);
    load->aggregate = (load->aggregate + 1) % options->aggregates;
    load->sent++;
    shot->status = 0;
    shot->body_at = 0;
    shot->body_bytes = 0;
    (void)snprintf(shot->path, sizeof shot->path, "%s%s", options->get ? AGGREGATE_PATH : PUBLISH_PATH,
                   options->get ? id : "");
    if (!options->get) {
        const int head = snprintf(
            shot->body, sizeof shot->body,
            "{\"type\":\"custom\",\"aggregate_id\":\"%s\",\"aggregate_type\":\"custom\",\"data\":", id);
        char *end = shot->body + head;
        if (options->data_bytes > 0)
            end =
                (char *)load_data_put((uint8_t *)end, (size_t)options->data_bytes, (uint64_t)load->aggregate);
        else
            end = put_note(end, options, (size_t)id_bytes);
        *end++ = '}';
        shot->body_bytes = (size_t)(end - shot->body);
    }
    shot->begun_ns = measure_now_ns();
}

static void shot_end(struct load *load, const struct shot *shot, const char *text, size_t text_bytes)
{
    const int wanted = load->options.get ? 200 : 201;
    load->times_ns[load->done++] = measure_now_ns() - shot->begun_ns;
    load->reply_bytes = text_bytes;
    if (shot->status != wanted && load->errors++ == 0)
        (void)snprintf(load->first_error, sizeof load->first_error, "%d: %.*s", shot->status,
                       (int)(text_bytes < 400 ? text_bytes : 400), text);
}

/* --- the socket --- */

static void flush(struct connection *connection)
{
    if (!load_socket_send(connection->fd, &connection->out))
        give_up("send");
    const bool waits = load_bytes_left(&connection->out) > 0;
    if (waits == connection->waits)
        return;
    struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0U), .data.ptr = connection};
    if (epoll_ctl(connection->load->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        give_up("epoll");
    connection->waits = waits;
}

/* 0: nothing is there now. */
static size_t receive(struct connection *connection, uint8_t *to)
{
    const ssize_t size = recv(connection->fd, to, READ_BYTES, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size <= 0)
        give_up("the server closed a connection");
    return (size_t)size;
}

/* --- HTTP/1.1 --- */

static void h1_fire(struct connection *connection)
{
    struct load *load = connection->load;
    struct shot *shot = connection->shots;
    char head[512];
    shot_fill(load, shot);
    int size = snprintf(head, sizeof head,
                        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: " USER_AGENT "\r\nAccept: */*\r\n",
                        load->options.get ? "GET" : "POST", shot->path, load->options.target);
    if (!load->options.get)
        size += snprintf(head + size, sizeof head - (size_t)size,
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n", shot->body_bytes);
    load_bytes_add(&connection->out, head, (size_t)size);
    load_bytes_add(&connection->out, "\r\n", 2);
    load_bytes_add(&connection->out, shot->body, shot->body_bytes);
    flush(connection);
}

/* False: more of the answer is to come. */
static bool h1_answer(struct connection *connection)
{
    const char *in = (const char *)load_bytes_at(&connection->in);
    const size_t here = load_bytes_left(&connection->in);
    const char *end = memmem(in, here, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    const size_t head = (size_t)(end + 4 - in);
    static const char name[] = "\r\nContent-Length: ";
    const char *length = memmem(in, head, name, sizeof name - 1);
    const size_t body = length == NULL ? 0 : strtoul(length + sizeof name - 1, NULL, 10);
    if (here < head + body)
        return false;
    connection->shots->status = atoi(in + sizeof "HTTP/1.1");
    shot_end(connection->load, connection->shots, in + head, body);
    load_bytes_take(&connection->in, head + body);
    return true;
}

static void h1_event(struct connection *connection)
{
    static uint8_t input[READ_BYTES];
    struct load *load = connection->load;
    load_bytes_add(&connection->in, input, receive(connection, input));
    if (load_bytes_left(&connection->in) > 0 && h1_answer(connection) && load->sent < load->wanted)
        h1_fire(connection);
    else if (connection->waits)
        flush(connection);
}

/* --- HTTP/2 --- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
    (void)session, (void)id, (void)context;
    struct shot *shot = source->ptr;
    const size_t left = shot->body_bytes - shot->body_at;
    const size_t take = left < room ? left : room;
    memcpy(to, shot->body + shot->body_at, take);
    shot->body_at += take;
    if (take == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)take;
}

static void h2_fire(struct connection *connection, struct shot *shot)
{
    struct load *load = connection->load;
    const bool get = load->options.get;
    char length[24];
    shot_fill(load, shot);
    (void)snprintf(length, sizeof length, "%zu", shot->body_bytes);
    const nghttp2_nv fields[] = {
        field(":method", get ? "GET" : "POST"),    field(":scheme", "http"),
        field(":authority", load->options.target), field(":path", shot->path),
        field("user-agent", USER_AGENT),           field("accept", "*/*"),
        field("content-type", "application/json"), field("content-length", length),
    };
    const size_t count = sizeof fields / sizeof fields[0] - (get ? 2 : 0); /* the last two are the body's */
    const nghttp2_data_provider body = {.source = {.ptr = shot}, .read_callback = body_read};
    if (nghttp2_submit_request(connection->session, NULL, fields, count, get ? NULL : &body, shot) < 0)
        give_up("submitting a request");
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *context)
{
    (void)flags, (void)context;
    struct shot *shot = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (shot != NULL && name_bytes == 7 && memcmp(name, ":status", 7) == 0 && value_bytes == 3)
        shot->status = atoi((const char *)value);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct connection *connection = context;
    struct load *load = connection->load;
    struct shot *shot = nghttp2_session_get_stream_user_data(session, id);
    if (code != NGHTTP2_NO_ERROR)
        shot->status = 0;
    shot_end(load, shot, "", 0);
    if (load->sent < load->wanted)
        h2_fire(connection, shot);
    return 0;
}

static void h2_flush(struct connection *connection)
{
    const uint8_t *frame = NULL;
    ssize_t size = 0;
    while ((size = nghttp2_session_mem_send(connection->session, &frame)) > 0)
        load_bytes_add(&connection->out, frame, (size_t)size);
    if (size < 0)
        give_up("framing");
    flush(connection);
}

static void h2_event(struct connection *connection)
{
    static uint8_t input[READ_BYTES];
    const size_t size = receive(connection, input);
    if (nghttp2_session_mem_recv(connection->session, input, size) < 0)
        give_up("the server does not speak HTTP/2");
    h2_flush(connection);
}

static void h2_open(struct connection *connection)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        give_up("nghttp2");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    if (nghttp2_session_client_new(&connection->session, callbacks, connection) != 0 ||
        nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
        nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, 1 << 24) != 0)
        give_up("nghttp2");
    nghttp2_session_callbacks_del(callbacks);
}

/* --- load --- */

static void connection_open(struct load *load, struct connection *connection, long shot_count)
{
    char host[64];
    uint16_t port = 0;
    if (!load_target_parse(load->options.target, host, &port))
        give_up("the target is not HOST:PORT");
    connection->load = load;
    connection->fd = load_socket_open(host, port, 0);
    connection->shots = calloc((size_t)shot_count, sizeof *connection->shots);
    connection->shot_count = shot_count;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection->fd < 0 || connection->shots == NULL ||
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        give_up("connect");
    if (load->options.http2)
        h2_open(connection);
}

static void connection_start(struct connection *connection)
{
    const struct load *load = connection->load;
    for (long i = 0; i < connection->shot_count && load->sent < load->wanted; i++) {
        if (load->options.http2)
            h2_fire(connection, &connection->shots[i]);
        else
            h1_fire(connection);
    }
    if (load->options.http2)
        h2_flush(connection);
}

static void load_run(struct load *load, long count)
{
    load->sent = 0;
    load->done = 0;
    load->wanted = count;
    for (long i = 0; i < load->connection_count; i++)
        connection_start(&load->connections[i]);
    struct epoll_event events[EVENTS_A_ROUND];
    while (load->done < count) {
        const int ready = epoll_wait(load->epoll_fd, events, EVENTS_A_ROUND, -1);
        for (int i = 0; i < ready; i++)
            (load->options.http2 ? h2_event : h1_event)(events[i].data.ptr);
    }
}

static void report(struct load *load, double seconds)
{
    load_report(&(struct load_figures){.seconds = seconds,
                                       .times_ns = load->times_ns,
                                       .calls = (size_t)load->options.count,
                                       .reply_bytes = load->reply_bytes,
                                       .errors = load->errors,
                                       .first_error = load->first_error});
}

#define PLACE(member) .place = offsetof(struct options, member)

static const struct load_option option_table[] = {
    {"target", "HOST:PORT", "the server (127.0.0.1:8080)", LOAD_TEXT, 't', PLACE(target)},
    {"in-flight", "N", "requests in flight (256)", LOAD_NUMBER, 'i', PLACE(in_flight), 1, LONG_MAX},
    {"count", "N", "requests to measure (100000)", LOAD_NUMBER, 'n', PLACE(count), 1, LONG_MAX},
    {"warm-up", "N", "requests before those (1000)", LOAD_NUMBER, 'w', PLACE(warm_up), 0, LONG_MAX},
    {"http2", NULL, "HTTP/2 instead of HTTP/1.1", LOAD_SWITCH, '2', PLACE(http2)},
    {"connections", "N", "connections of HTTP/2 (4)", LOAD_NUMBER, 'c', PLACE(connections)},
    {"aggregates", "M", "aggregates to spread events on (10000)", LOAD_NUMBER, 'a', PLACE(aggregates), 1,
     LONG_MAX},
    {"prefix", "TEXT", "of aggregate ids (bench)", LOAD_TEXT, 'x', PLACE(prefix), 0, 99},
    {"event-bytes", "N", "bytes that an event has encoded for gRPC (500)", LOAD_NUMBER, 's',
     PLACE(event_bytes), 1, DATA_BYTES_MAX},
    {"data-bytes", "N", "N bytes of data with many members instead", LOAD_NUMBER, 'd', PLACE(data_bytes), 0,
     DATA_BYTES_MAX},
    {"get", NULL, "read the aggregates instead", LOAD_SWITCH, 'g', PLACE(get)},
    {0},
};

static bool options_fit(const struct options *options)
{
    const long connections = options->http2 ? options->connections : options->in_flight;
    return connections >= 1 && connections <= CONNECTIONS_MAX && options->in_flight >= connections &&
           options->in_flight / connections <= STREAMS_MAX &&
           (options->data_bytes == 0 || options->data_bytes >= LOAD_DATA_BYTES_LEAST);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .options = {"127.0.0.1:8080", "bench", 256, 100000, 1000, 4, 10000, 500, 0, false, false}};
    load_options_read(option_table, "REST load.", argc, argv, &load.options);
    const struct options *options = &load.options;
    if (!options_fit(options))
        load_options_refuse("the numbers do not go together");
    const long most = options->count > options->warm_up ? options->count : options->warm_up;
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load.times_ns = calloc((size_t)most, sizeof *load.times_ns);
    if (load.epoll_fd < 0 || load.times_ns == NULL)
        give_up("starting");
    load.connection_count = options->http2 ? options->connections : options->in_flight;
    for (long i = 0; i < load.connection_count; i++)
        connection_open(&load, &load.connections[i], options->in_flight / load.connection_count);
    if (options->warm_up > 0)
        load_run(&load, options->warm_up);
    load.errors = 0;
    load.first_error[0] = '\0';
    const int64_t begin_ns = measure_now_ns();
    load_run(&load, options->count);
    report(&load, (double)(measure_now_ns() - begin_ns) / 1e9);
    return load.errors == 0 ? 0 : 1;
}
