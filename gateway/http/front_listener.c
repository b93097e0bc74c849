/* Binding and accepting. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/front_internal.h"

#define ACCEPT_BATCH    64  /* connections a round, so that a flood does not starve those that are open */
#define ACCEPT_PAUSE_MS 100 /* after a lack of descriptors */
#define FULL_LOG_GAP_US INT64_C(60000000)
#define LISTEN_BACKLOG  1024

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct status address_parse(const char *text, uint16_t port, union address *ret, socklen_t *ret_size)
{
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_size = sizeof ret->v4;
        return status_ok();
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        *ret_size = sizeof ret->v6;
        return status_ok();
    }
    return status_error(STATUS_INVALID_ARGUMENT,
                        "the HTTP bind address is \"%s\"; set it to a numeric IPv4 or IPv6 address", text);
}

static uint16_t port_of(const union address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static void peer_text(const union address *address, char ret[PEER_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    const bool v6 = address->any.sa_family == AF_INET6;
    const void *raw = v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
    (void)inet_ntop(address->any.sa_family, raw, host, sizeof host); /* the buffer is large enough */
    (void)snprintf(ret, PEER_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", host, port_of(address)); /* fits */
}

struct status listener_open(struct front *front)
{
    const char *text = front->options.bind_address;
    const uint16_t port = front->options.port;
    union address address;
    socklen_t size;
    STATUS_TRY(address_parse(text, port, &address, &size));

    front->listen_fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (front->listen_fd < 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no socket for HTTP: %s", strerror(errno));
    const int on = 1;
    if (setsockopt(front->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(front->listen_fd, &address.any, size) < 0 || listen(front->listen_fd, LISTEN_BACKLOG) < 0)
        return status_error(STATUS_UNAVAILABLE,
                            "cannot listen for HTTP on %s port %u: %s; choose another address or port", text,
                            port, strerror(errno));
    size = sizeof address;
    if (getsockname(front->listen_fd, &address.any, &size) < 0)
        return status_error(STATUS_UNAVAILABLE, "cannot tell the HTTP port: %s", strerror(errno));
    front->port = port_of(&address);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &front->listen_fd};
    if (epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, front->listen_fd, &event) < 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "cannot watch the HTTP port: %s", strerror(errno));
    return status_ok();
}

static void listener_watch(struct front *front, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = &front->listen_fd};
    (void)epoll_ctl(front->epoll_fd, EPOLL_CTL_MOD, front->listen_fd,
                    &event); /* changes no memory: cannot fail */
}

/* A listener that cannot accept stays readable: without the pause the loop would spin. */
static void pause_accepting(struct front *front, int error)
{
    log_warn(front->log, "cannot accept an HTTP connection, trying again shortly",
             LOG_TEXT("error", strerror(error)), LOG_INT("pause_ms", ACCEPT_PAUSE_MS),
             LOG_INT("connections", front->connection_count));
    front->accept_paused_until_us = front->now_us + ACCEPT_PAUSE_MS * INT64_C(1000);
    listener_watch(front, 0);
}

void listener_resume(struct front *front)
{
    front->accept_paused_until_us = 0;
    listener_watch(front, EPOLLIN);
}

void listener_close(struct front *front)
{
    if (front->listen_fd >= 0)
        close(front->listen_fd);
    front->listen_fd = -1;
    front->accept_paused_until_us = 0;
}

static void refuse_full(struct front *front, int fd)
{
    close(fd);
    front->full_count++;
    if (front->full_logged_us != 0 && front->now_us - front->full_logged_us < FULL_LOG_GAP_US)
        return;
    front->full_logged_us = front->now_us;
    log_warn(front->log, "too many HTTP connections, closing new ones",
             LOG_INT("connections_max", front->options.limits.connections_max),
             LOG_INT("closed_so_far", front->full_count));
}

void listener_accept(struct front *front)
{
    for (int i = 0; i < ACCEPT_BATCH && front->listen_fd >= 0; i++) {
        union address address = {.v6 = {0}};
        socklen_t size = sizeof address;
        const int fd = accept4(front->listen_fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(front, errno);
            return; /* EAGAIN; or one connection failed before it was accepted, epoll will tell of the next */
        }
        if (front->connection_count >= front->options.limits.connections_max) {
            refuse_full(front, fd);
            continue;
        }
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only slower without */
        char peer[PEER_TEXT_BYTES];
        peer_text(&address, peer);
        atomic_fetch_add(&front->accepted, 1);
        h1_connection_open(front, fd, peer);
    }
}
