/*
 * Any bytes behind the preface of HTTP/2, at a front on loopback: nothing may crash, every request that was handed over is
 * finished, and every connection ends when its client has.
 *
 *     build/…/fuzz_h2 -max_total_time=60 <folder for finds> tests/fuzz/corpus_h2
 *
 * The first byte says whether a request is answered at once, by a stream, or never.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/entropy.h"
#include "gateway/http/front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define WAIT_S  10

static struct front *front;
static atomic_uint behaviour, begun, done;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void on_closed(void *context)
{
    exchange_reset(context);
}

static void on_done(void *context)
{
    (void)context;
    atomic_fetch_add(&done, 1);
}

static const struct exchange_ops watching = {.on_closed = on_closed, .on_done = on_done};

static void on_request(void *context, struct http_exchange *exchange)
{
    static const struct http_header type = {{(const uint8_t *)"Content-Type", 12}, {(const uint8_t *)"x", 1}};
    (void)context;
    atomic_fetch_add(&begun, 1);
    exchange_listen(exchange, &watching, exchange);
    const unsigned kind = atomic_load(&behaviour) % 3;
    if (kind == 0) {
        exchange_respond(exchange, 200, &type, 1, exchange_request(exchange)->body);
    } else if (kind == 1) {
        exchange_begin(exchange, 200, &type, 1);
        (void)exchange_write(exchange, exchange_request(exchange)->path); /* small */
        exchange_end(exchange);
    }
}

static const struct front_handler_ops handler = {.on_request = on_request};

static void start(void)
{
    const struct front_options options = {
        .development = true,
        .limits = {.body_max_bytes = 1024, .header_max_bytes = 2048, .header_max_count = 16},
        .handler = &handler,
    };
    const struct status status = front_start(&options, NULL, &system_clock, &system_entropy, &front);
    require(status_is_ok(&status));
}

/* What cannot be sent any more is not: the front may have closed. */
static void say(int fd, const void *data, size_t size_bytes)
{
    if (size_bytes > 0)
        (void)!send(fd, data, size_bytes, MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    uint8_t answer[4096];
    ssize_t received;
    if (front == NULL)
        start();
    if (size == 0)
        return 0;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(front_port(front)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct linger now = {.l_onoff = 1}; /* no port is left waiting */
    require(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    require(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    require(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    atomic_store(&behaviour, data[0]);
    say(fd, PREFACE, sizeof PREFACE - 1);
    say(fd, data + 1, size - 1);
    (void)shutdown(fd, SHUT_WR); /* or it is closed already */
    do
        received = recv(fd, answer, sizeof answer, 0);
    while (received > 0);
    close(fd);
    for (unsigned i = 0; atomic_load(&begun) != atomic_load(&done) && i < WAIT_S * 1000; i++)
        usleep(1000);
    require(atomic_load(&begun) == atomic_load(&done));
    return 0;
}
