/*
 * An echo over the gateway's front and WebSocket room, for suites that judge a server by what it echoes. Prints its port
 * and serves ws://127.0.0.1:PORT/ws until its standard input ends.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/entropy.h"
#include "gateway/http/front.h"
#include "gateway/websocket/websocket.h"

#define MESSAGE_MAX_BYTES ((size_t)1024 * 1024)

static void *on_open(void *context, struct ws_connection *connection,
                     const struct websocket_handshake *handshake)
{
    (void)context;
    (void)handshake;
    return connection;
}

static void on_text(void *socket_context, struct bytes text)
{
    (void)ws_send(socket_context, text); /* an echo has no more to say than its client */
}

static void on_closed(void *socket_context)
{
    (void)socket_context;
}

static const struct websocket_ops echo = {.on_open = on_open, .on_text = on_text, .on_closed = on_closed};

static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange_respond(exchange, 404, NULL, 0, BYTES_NONE);
}

static struct status on_upgrade(void *context, const struct http_request *request, int fd)
{
    const struct websocket_handshake handshake = {
        .key = http_request_header(request, "sec-websocket-key"),
        .path = request->path,
        .query = request->query,
        .peer = request->peer,
        .request_id = request->request_id,
    };
    return websocket_server_adopt(context, fd, &handshake);
}

static const struct front_handler_ops handler = {.on_request = on_request, .on_upgrade = on_upgrade};

int main(void)
{
    const struct websocket_options websocket = {.message_max_bytes = MESSAGE_MAX_BYTES, .ops = &echo};
    struct websocket_server *server = NULL;
    struct front *front = NULL;
    struct status status = websocket_server_start(&websocket, NULL, &system_clock, &server);
    const struct front_options options = {.development = true, .handler = &handler, .context = server};
    if (status_is_ok(&status))
        status = front_start(&options, NULL, &system_clock, &system_entropy, &front);
    if (status_is_ok(&status)) {
        char byte;
        printf("%d\n", front_port(front));
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            continue;
    } else {
        fprintf(stderr, "%s\n", status.message);
    }
    front_stop(front, 1000);
    websocket_server_stop(server, 1000);
    return status_is_ok(&status) ? 0 : 1;
}
