#include "fanout_subscriber.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_stream.h"
#include "load_wire.h"

#define READ_BYTES          (256U * 1024U)
#define STALL_RECEIVE_BYTES (64 * 1024) /* so that the server, and not the kernel, has to wait for it */

struct fanout_subscriber {
    struct fanout_parser parser;
    struct h2_stream *call; /* gRPC */
    int fd;                 /* any other */
};

static const char *const requests[FANOUT_TRANSPORT_COUNT] = {
    [FANOUT_SSE] = "GET /api/v1/events/subscribe?from_end=true HTTP/1.1\r\nHost: localhost\r\n"
                   "Accept: text/event-stream\r\n\r\n",
    [FANOUT_NDJSON] = "GET /api/v1/events/subscribe?from_end=true HTTP/1.1\r\nHost: localhost\r\n"
                      "Accept: application/x-ndjson\r\n\r\n",
    [FANOUT_WEBSOCKET] = "GET /ws?from_end=true HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
};

static void on_message(void *context, const uint8_t *message, size_t size_bytes)
{
    fanout_parse_message(&((struct fanout_subscriber *)context)->parser, message, size_bytes);
}

static bool open_grpc(struct fanout_subscriber *subscriber, const struct fanout_subscriber_options *options,
                      const char **ret_error)
{
    enum { FROM_END = 5 }; /* of strata.v1.SubscribeRequest */
    const struct h2_stream_options call = {
        .host = options->host,
        .port = options->port,
        .path = "/strata.v1.SubscriptionService/Subscribe",
        .shut_window = options->stall == FANOUT_STALLS_WINDOW,
        .receive_bytes = options->stall == FANOUT_STALLS_SOCKET ? STALL_RECEIVE_BYTES : 0,
        .on_message = on_message,
        .context = subscriber,
    };
    subscriber->call = h2_stream_open(&call, ret_error);
    if (subscriber->call == NULL)
        return false;
    uint8_t request[8];
    const uint8_t *end = load_put_number(request, FROM_END, 1);
    h2_stream_send(subscriber->call, request, (size_t)(end - request));
    h2_stream_end(subscriber->call);
    return h2_stream_flush(subscriber->call);
}

static bool send_reply(struct fanout_subscriber *subscriber)
{
    struct load_bytes *reply = &subscriber->parser.reply;
    if (load_socket_send(subscriber->fd, reply) && load_bytes_left(reply) == 0)
        return true;
    subscriber->parser.error = "the socket takes nothing"; /* so little always fits */
    return false;
}

static bool open_socket(struct fanout_subscriber *subscriber, const struct fanout_subscriber_options *options,
                        const char **ret_error)
{
    subscriber->fd = load_socket_open(options->host, options->port,
                                      options->stall == FANOUT_READS ? 0 : STALL_RECEIVE_BYTES);
    if (subscriber->fd < 0) {
        *ret_error = "cannot connect";
        return false;
    }
    struct load_bytes *question = &subscriber->parser.reply;
    if (options->transport == FANOUT_REDIS)
        fanout_put_question(question, 0);
    else
        load_bytes_add(question, requests[options->transport], strlen(requests[options->transport]));
    *ret_error = "cannot send the request";
    return send_reply(subscriber);
}

struct fanout_subscriber *fanout_subscriber_open(const struct fanout_subscriber_options *options,
                                                 const char **ret_error)
{
    struct fanout_subscriber *subscriber = calloc(1, sizeof *subscriber);
    *ret_error = "no memory";
    if (subscriber == NULL)
        return NULL;
    subscriber->fd = -1;
    subscriber->parser.transport = options->transport;
    subscriber->parser.events = options->events;
    if (options->transport == FANOUT_GRPC ? open_grpc(subscriber, options, ret_error)
                                          : open_socket(subscriber, options, ret_error))
        return subscriber;
    fanout_subscriber_close(subscriber);
    return NULL;
}

void fanout_subscriber_close(struct fanout_subscriber *subscriber)
{
    if (subscriber == NULL)
        return;
    h2_stream_close(subscriber->call);
    if (subscriber->fd >= 0)
        (void)close(subscriber->fd);
    fanout_parser_done(&subscriber->parser);
    free(subscriber);
}

int fanout_subscriber_fd(const struct fanout_subscriber *subscriber)
{
    return subscriber->call != NULL ? h2_stream_fd(subscriber->call) : subscriber->fd;
}

bool fanout_subscriber_read(struct fanout_subscriber *subscriber)
{
    static uint8_t memory[READ_BYTES];
    if (subscriber->call != NULL)
        return h2_stream_read(subscriber->call) && subscriber->parser.error == NULL;
    const ssize_t size = recv(subscriber->fd, memory, sizeof memory, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (size <= 0) {
        subscriber->parser.error = "the server closed the connection";
        return false;
    }
    return fanout_parse(&subscriber->parser, memory, (size_t)size) && send_reply(subscriber);
}

bool fanout_subscriber_open_window(struct fanout_subscriber *subscriber)
{
    return h2_stream_open_window(subscriber->call);
}

const char *fanout_subscriber_error(const struct fanout_subscriber *subscriber)
{
    if (subscriber->parser.error != NULL)
        return subscriber->parser.error;
    if (subscriber->call != NULL && h2_stream_error(subscriber->call)[0] != '\0')
        return h2_stream_error(subscriber->call);
    return "the server ended the stream";
}
