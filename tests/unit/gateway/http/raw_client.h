/*
 * A client that sends exactly the bytes it is told to, and reads what comes.
 *
 * Nothing waits longer than RAW_CLIENT_WAIT_S: a server that does not answer fails the test instead of
 * hanging it.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/cmocka.h"

#include "base/bytes.h"

#define RAW_CLIENT_WAIT_S 60

static inline int raw_connect(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval wait = {.tv_sec = RAW_CLIENT_WAIT_S};
    const int on = 1;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The server may have closed already: what could not be sent is dropped. */
static inline void raw_send(int fd, const void *data, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes;) {
        const ssize_t size = send(fd, (const char *)data + at, size_bytes - at, MSG_NOSIGNAL);
        if (size <= 0)
            return;
        at += (size_t)size;
    }
}

static inline void raw_send_text(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

/* Reads once into `to`. 0 at the end, also when the peer has reset. */
static inline size_t raw_receive(int fd, struct buffer *to)
{
    uint8_t part[65536];
    const ssize_t size = recv(fd, part, sizeof part, 0);
    if (size < 0 && errno != ECONNRESET)
        fail_msg("nothing came from the server within %d s: %s", RAW_CLIENT_WAIT_S, strerror(errno));
    if (size <= 0)
        return 0;
    buffer_add(to, part, (size_t)size);
    return (size_t)size;
}

static inline void raw_receive_to_end(int fd, struct buffer *to)
{
    while (raw_receive(fd, to) > 0)
        ;
}

/* Reads until `needle` has come, or to the end. A NUL that does not count stands behind what was read. */
static inline const char *raw_receive_until(int fd, struct buffer *to, const char *needle)
{
    for (;;) {
        buffer_add_byte(to, 0);
        to->size_bytes--;
        if (memmem(to->data, to->size_bytes, needle, strlen(needle)) != NULL || raw_receive(fd, to) == 0)
            break;
    }
    buffer_add_byte(to, 0);
    to->size_bytes--;
    return (const char *)to->data;
}

/* One request that asks to close, and the whole answer as text; free() it. */
static inline char *raw_exchange(uint16_t port, const char *request)
{
    const int fd = raw_connect(port);
    struct buffer answer = buffer_make(0);
    raw_send_text(fd, request);
    raw_receive_to_end(fd, &answer);
    buffer_add_byte(&answer, 0);
    close(fd);
    return (char *)answer.data;
}
