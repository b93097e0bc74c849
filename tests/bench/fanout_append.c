#include "fanout_append.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_stream.h"
#include "load_socket.h"
#include "load_wire.h"
#include "measure.h"

#define UNPACED_IN_FLIGHT 256
#define ANSWER_MAX_BYTES  4096U
#define SILENCE_MAX_MS    30000

struct appending {
    struct fanout_append *append;
    struct load_event_maker maker;
    struct load_bytes request;
    struct h2_stream *call; /* gRPC */
    int fd;                 /* Redis */
    struct load_bytes output;
    struct load_bytes input;
};

static void fail(struct fanout_append *append, const char *text)
{
    if (append->error[0] == '\0')
        (void)snprintf(append->error, sizeof append->error, "append: %.200s", text);
}

static void take_one(struct fanout_append *append)
{
    if (append->answered == append->sent)
        fail(append, "an answer without an append");
    else
        append->answered_ns[append->answered++] = measure_now_ns();
}

/* --- gRPC --- */

static void on_answer(void *context, const uint8_t *message, size_t size_bytes)
{
    enum { SEQUENCE = 1, APPENDED = 2 }; /* of strata.v1.AppendStreamResponse */
    struct fanout_append *append = context;
    uint64_t value = 0;
    const uint8_t *behind = NULL;
    const uint8_t *end = message + size_bytes;
    if (!load_find_field(message, end, SEQUENCE, &value, &behind) ||
        value != (uint64_t)append->answered + 1 || !load_find_field(message, end, APPENDED, &value, &behind))
        fail(append, "an answer is out of order, or says no");
    else
        take_one(append);
}

/* AppendStreamRequest with its `append`, whose `events` they are. */
static void send_grpc(struct appending *appending)
{
    static uint8_t event[LOAD_EVENT_BYTES_MAX];
    uint8_t head[16];
    struct load_bytes events = {0};
    for (long i = 0; i < appending->append->events; i++) {
        const size_t size = (size_t)(load_event_put(&appending->maker, event) - event);
        const uint8_t *end = load_put_varint(load_put_varint(head, 2 << 3 | 2), size);
        load_bytes_add(&events, head, (size_t)(end - head));
        load_bytes_add(&events, event, size);
    }
    const uint8_t *end = load_put_varint(load_put_varint(head, 1 << 3 | 2), load_bytes_left(&events));
    load_bytes_add(&appending->request, head, (size_t)(end - head));
    load_bytes_add(&appending->request, load_bytes_at(&events), load_bytes_left(&events));
    h2_stream_send(appending->call, load_bytes_at(&appending->request), load_bytes_left(&appending->request));
    load_bytes_take(&appending->request, load_bytes_left(&appending->request));
    load_bytes_done(&events);
}

/* --- Redis: the entry is the event, as it would be sent to Strata --- */

static void send_redis(struct appending *appending)
{
    static uint8_t event[LOAD_EVENT_BYTES_MAX];
    char head[128];
    const size_t size = (size_t)(load_event_put(&appending->maker, event) - event);
    char id[32];
    const int digits = snprintf(id, sizeof id, "0-%" PRIu64, appending->maker.made);
    const int length =
        snprintf(head, sizeof head, "*5\r\n$4\r\nXADD\r\n$6\r\nfanout\r\n$%d\r\n%s\r\n$1\r\ne\r\n$%zu\r\n",
                 digits, id, size);
    load_bytes_add(&appending->output, head, (size_t)length);
    load_bytes_add(&appending->output, event, size);
    load_bytes_add(&appending->output, "\r\n", 2);
}

/* An answer is "$4\r\n0-17\r\n". */
static void take_redis(struct appending *appending)
{
    struct load_bytes *input = &appending->input;
    while (load_bytes_left(input) > 0) {
        const uint8_t *at = load_bytes_at(input);
        const size_t left = load_bytes_left(input);
        const uint8_t *first = memchr(at, '\n', left);
        if (*at != '$') {
            fail(appending->append, "Redis answered with an error");
            return;
        }
        const uint8_t *second =
            first == NULL ? NULL : memchr(first + 1, '\n', (size_t)(at + left - first - 1));
        if (second == NULL)
            return;
        load_bytes_take(input, (size_t)(second - at) + 1);
        take_one(appending->append);
    }
}

static bool read_redis(struct appending *appending)
{
    uint8_t memory[ANSWER_MAX_BYTES];
    const ssize_t size = recv(appending->fd, memory, sizeof memory, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (size <= 0)
        return false;
    load_bytes_add(&appending->input, memory, (size_t)size);
    take_redis(appending);
    return true;
}

/* --- both --- */

static bool open_target(struct appending *appending)
{
    struct fanout_append *append = appending->append;
    const char *error = "cannot connect";
    appending->fd = -1;
    if (append->redis) {
        appending->fd = load_socket_open(append->host, append->port, 0);
    } else {
        const struct h2_stream_options options = {
            .host = append->host,
            .port = append->port,
            .path = "/strata.v1.EventService/AppendStream",
            .on_message = on_answer,
            .context = append,
        };
        appending->call = h2_stream_open(&options, &error);
    }
    if (appending->call != NULL || appending->fd >= 0)
        return true;
    fail(append, error);
    return false;
}

/* When append number `sent` is to be sent, counted from the beginning. */
static int64_t due_ns(const struct fanout_append *append)
{
    return (int64_t)((double)append->sent * 1e9 / append->appends_per_s);
}

/* Sends what is due; returns how long to wait for the next, -1 = until an answer comes. */
static int64_t send_due(struct appending *appending, int64_t begun_ns)
{
    struct fanout_append *append = appending->append;
    while (append->sent < append->count) {
        const int64_t now_ns = measure_now_ns();
        if (append->appends_per_s > 0) {
            const int64_t late_ns = now_ns - begun_ns - due_ns(append);
            if (late_ns < 0)
                return -late_ns;
            if (late_ns > append->late_max_ns)
                append->late_max_ns = late_ns;
        } else if (append->sent - append->answered >= UNPACED_IN_FLIGHT) {
            return -1;
        }
        append->sent_ns[append->sent++] = now_ns;
        if (append->redis)
            send_redis(appending);
        else
            send_grpc(appending);
    }
    return -1;
}

static bool flush(struct appending *appending)
{
    return appending->call != NULL ? h2_stream_flush(appending->call)
                                   : load_socket_send(appending->fd, &appending->output);
}

static bool wants_write(const struct appending *appending)
{
    return appending->call != NULL ? h2_stream_wants_write(appending->call)
                                   : load_bytes_left(&appending->output) > 0;
}

/* False: the connection is of no use any more. */
static bool turn(struct appending *appending, int64_t begun_ns)
{
    const int64_t wait_ns = send_due(appending, begun_ns);
    if (!flush(appending))
        return false;
    struct pollfd socket = {
        .fd = appending->call != NULL ? h2_stream_fd(appending->call) : appending->fd,
        .events = (short)(POLLIN | (wants_write(appending) ? POLLOUT : 0)),
    };
    const int64_t silence_ns = wait_ns < 0 ? SILENCE_MAX_MS * INT64_C(1000000) : wait_ns;
    const struct timespec timeout = {.tv_sec = silence_ns / 1000000000, .tv_nsec = silence_ns % 1000000000};
    const int ready = ppoll(&socket, 1, &timeout, NULL);
    if (ready == 0 && wait_ns < 0)
        fail(appending->append, "no answer comes");
    if (ready <= 0 || (socket.revents & (POLLIN | POLLERR | POLLHUP)) == 0)
        return true;
    return appending->call != NULL ? h2_stream_read(appending->call) : read_redis(appending);
}

void *fanout_append_run(void *context)
{
    struct fanout_append *append = context;
    struct appending appending = {.append = append, .maker = {.options = append->event}};
    if (!open_target(&appending))
        return NULL;
    const int64_t begun_ns = measure_now_ns();
    while (append->answered < append->count && append->error[0] == '\0')
        if (!turn(&appending, begun_ns))
            fail(append, appending.call != NULL ? h2_stream_error(appending.call) : "the connection broke");
    h2_stream_close(appending.call);
    if (appending.fd >= 0)
        (void)close(appending.fd);
    load_bytes_done(&appending.request);
    load_bytes_done(&appending.output);
    load_bytes_done(&appending.input);
    return NULL;
}
