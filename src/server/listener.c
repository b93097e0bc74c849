#include "server/listener_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG           1024
#define DESCRIPTORS_MAX   65536U /* larger ones are not accepted: the table below is indexed by them */
#define OUT_OF_FILES_MS   100    /* pause after EMFILE, which would else come back at once */
#define REFUSALS_PER_LINE 1000U  /* of the log */
#define HOST_MAX_BYTES    256U

struct connection {
    ino_t inode; /* 0 = none; else what the descriptor was when it was accepted */
    char peer[PEER_MAX_BYTES];
};

struct listener {
    struct grpc_listener_options options;
    int fd;
    uint16_t port;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    uint64_t refused; /* the thread's */

    pthread_mutex_t lock;           /* guards the group below; a leaf */
    struct connection *connections; /* by descriptor */
    uint32_t slots;
    uint32_t open;
};

/* --- addresses --- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool split_address(const char *bind, char host[HOST_MAX_BYTES], const char **ret_port)
{
    const char *colon = strrchr(bind, ':');
    if (colon == NULL || colon == bind || colon[1] == '\0' || (size_t)(colon - bind) >= HOST_MAX_BYTES)
        return false;
    const bool brackets = bind[0] == '[' && colon[-1] == ']';
    const char *from = brackets ? bind + 1 : bind;
    const size_t size_bytes = (size_t)(colon - from) - (brackets ? 1 : 0);
    memcpy(host, from, size_bytes);
    host[size_bytes] = '\0';
    *ret_port = colon + 1;
    return size_bytes > 0 && (brackets || memchr(host, ':', size_bytes) == NULL);
}

static void format_peer(const union address *address, char text[PEER_MAX_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        (void)snprintf(text, PEER_MAX_BYTES, "%s:%u", host, ntohs(address->v4.sin_port));
    } else {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, PEER_MAX_BYTES, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    }
}

static int listen_on(const struct addrinfo *address, uint16_t *ret_port)
{
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    const int on = 1;
    const int off = 0;
    union address bound = {.v6 = {0}};
    socklen_t length = sizeof bound;
    /* Without it a restart waits for old connections. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6) /* [::] listens for IPv4 too; refused where there is none */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &bound.any, &length) != 0) {
        const int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    *ret_port = ntohs(bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
    return fd;
}

static struct status bind_socket(struct listener *listener, const char *bind)
{
    char host[HOST_MAX_BYTES];
    const char *port = NULL;
    if (!split_address(bind, host, &port))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the gRPC address is \"%s\"; give it as HOST:PORT, an IPv6 host in brackets",
                            bind);
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    const int error = getaddrinfo(host, port, &hints, &addresses);
    if (error != 0)
        return status_error(STATUS_INVALID_ARGUMENT, "the gRPC address is \"%s\": %s; give it as HOST:PORT",
                            bind, gai_strerror(error));
    for (const struct addrinfo *each = addresses; each != NULL && listener->fd < 0; each = each->ai_next)
        listener->fd = listen_on(each, &listener->port);
    const int reason = errno;
    freeaddrinfo(addresses);
    if (listener->fd >= 0)
        return status_ok();
    return status_error(
        STATUS_UNAVAILABLE,
        "cannot listen on %s for gRPC: %s; choose another server.grpc_port or server.bind, or stop what "
        "uses it",
        bind, strerror(reason));
}

/* --- connections --- */

static ino_t inode_of(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

/* Forgets connections that gRPC has closed. The lock is held. */
static void sweep(struct listener *listener)
{
    for (uint32_t fd = 0; fd < listener->slots; fd++) {
        struct connection *connection = &listener->connections[fd];
        if (connection->inode != 0 && inode_of((int)fd) != connection->inode) {
            connection->inode = 0;
            listener->open--;
        }
    }
}

static bool admit(struct listener *listener, int fd, const union address *address)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->open >= listener->options.max_connections)
        sweep(listener);
    const bool admitted =
        (uint32_t)fd < listener->slots && listener->open < listener->options.max_connections;
    if (admitted) {
        struct connection *connection = &listener->connections[fd];
        listener->open += connection->inode == 0 ? 1 : 0; /* else the descriptor is used again */
        connection->inode = inode_of(fd);
        format_peer(address, connection->peer);
    }
    pthread_mutex_unlock(&listener->lock);
    return admitted;
}

struct bytes grpc_listener_peer(struct listener *listener, int fd, char text[PEER_MAX_BYTES])
{
    size_t size_bytes = 0;
    pthread_mutex_lock(&listener->lock);
    if (fd >= 0 && (uint32_t)fd < listener->slots && listener->connections[fd].inode != 0) {
        size_bytes = strlen(listener->connections[fd].peer);
        memcpy(text, listener->connections[fd].peer, size_bytes);
    }
    pthread_mutex_unlock(&listener->lock);
    return bytes_of(text, size_bytes);
}

static void refuse(struct listener *listener, int fd)
{
    (void)close(fd);
    if (listener->refused++ % REFUSALS_PER_LINE == 0)
        log_warn(listener->options.log, "refused a gRPC connection, too many are open",
                 LOG_INT("max_connections", listener->options.max_connections),
                 LOG_INT("refused", (int64_t)listener->refused));
}

static void *accept_main(void *argument)
{
    struct listener *listener = argument;
    while (!atomic_load(&listener->stop)) {
        struct pollfd readable = {.fd = listener->fd, .events = POLLIN};
        (void)poll(&readable, 1, -1); /* shutdown() of the socket wakes it */
        union address address = {.v6 = {0}};
        socklen_t length = sizeof address;
        const int fd = accept4(listener->fd, &address.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                (void)poll(NULL, 0, OUT_OF_FILES_MS);
            continue;
        }
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (admit(listener, fd, &address))
            listener->options.accepted(listener->options.context, fd);
        else
            refuse(listener, fd);
    }
    return NULL;
}

/* --- life --- */

static uint32_t descriptor_slots(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > DESCRIPTORS_MAX)
        return DESCRIPTORS_MAX;
    return (uint32_t)limit.rlim_cur;
}

struct status grpc_listener_open(const struct grpc_listener_options *options, struct listener **ret)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the gRPC listener");
    listener->options = *options;
    listener->fd = -1;
    pthread_mutex_init(&listener->lock, NULL);
    listener->slots = descriptor_slots();
    listener->connections = calloc(listener->slots, sizeof *listener->connections);
    const struct status status =
        listener->connections == NULL
            ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the gRPC listener")
            : bind_socket(listener, options->bind);
    if (!status_is_ok(&status)) {
        grpc_listener_free(listener);
        return status;
    }
    *ret = listener;
    return status_ok();
}

uint16_t grpc_listener_port(const struct listener *listener)
{
    return listener->port;
}

struct status grpc_listener_start(struct listener *listener)
{
    if (pthread_create(&listener->thread, NULL, accept_main, listener) != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "cannot start the gRPC listener's thread; raise its limit");
    listener->started = true;
    return status_ok();
}

void grpc_listener_stop(struct listener *listener)
{
    if (!listener->started)
        return;
    atomic_store(&listener->stop, true);
    (void)shutdown(listener->fd, SHUT_RDWR);
    pthread_join(listener->thread, NULL);
    listener->started = false;
    (void)close(listener->fd); /* the port is free while the last calls end */
    listener->fd = -1;
}

void grpc_listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    if (listener->fd >= 0)
        (void)close(listener->fd);
    free(listener->connections);
    pthread_mutex_destroy(&listener->lock);
    free(listener);
}
