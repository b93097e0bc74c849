#include "load_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CAPACITY_LEAST 4096U

void load_bytes_add(struct load_bytes *bytes, const void *data, size_t size_bytes)
{
    if (size_bytes == 0)
        return;
    if (bytes->at > 0 && bytes->size_bytes + size_bytes > bytes->capacity_bytes) {
        memmove(bytes->data, bytes->data + bytes->at, bytes->size_bytes - bytes->at);
        bytes->size_bytes -= bytes->at;
        bytes->at = 0;
    }
    if (bytes->size_bytes + size_bytes > bytes->capacity_bytes) {
        size_t capacity = bytes->capacity_bytes == 0 ? CAPACITY_LEAST : bytes->capacity_bytes;
        while (capacity < bytes->size_bytes + size_bytes)
            capacity *= 2;
        bytes->data = realloc(bytes->data, capacity);
        if (bytes->data == NULL)
            abort();
        bytes->capacity_bytes = capacity;
    }
    memcpy(bytes->data + bytes->size_bytes, data, size_bytes);
    bytes->size_bytes += size_bytes;
}

void load_bytes_take(struct load_bytes *bytes, size_t size_bytes)
{
    bytes->at += size_bytes;
    if (bytes->at == bytes->size_bytes)
        bytes->at = bytes->size_bytes = 0;
}

void load_bytes_done(struct load_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct load_bytes){0};
}

int load_socket_open(const char *host, uint16_t port, int receive_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0)
        return -1;
    /* Before the connection: its window is made from it. */
    if ((receive_bytes > 0 &&
         setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        const int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bool load_socket_send(int fd, struct load_bytes *bytes)
{
    while (load_bytes_left(bytes) > 0) {
        const ssize_t size = send(fd, load_bytes_at(bytes), load_bytes_left(bytes), MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        load_bytes_take(bytes, (size_t)size);
    }
    return true;
}

bool load_target_parse(const char *target, char host[64], uint16_t *ret_port)
{
    const char *colon = strrchr(target, ':');
    if (colon == NULL || (size_t)(colon - target) >= 64)
        return false;
    char *end = NULL;
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535)
        return false;
    (void)snprintf(host, 64, "%.*s", (int)(colon - target), target);
    *ret_port = (uint16_t)port;
    return true;
}
