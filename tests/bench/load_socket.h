/*
 * Sockets to loopback for load programs, and bytes that wait for one.
 *
 * Ownership  The caller closes what load_socket_open returns. load_bytes own their memory until load_bytes_done; all
 *            zero is empty.
 * Threads    One at a time for each.
 * Blocking   load_socket_open waits for the connection; nothing else does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_bytes {
    uint8_t *data;
    size_t at; /* what stands before was taken */
    size_t size_bytes;
    size_t capacity_bytes;
};

/* No memory ends the program, as everywhere here. */
void load_bytes_add(struct load_bytes *bytes, const void *data, size_t size_bytes);
void load_bytes_take(struct load_bytes *bytes, size_t size_bytes);
void load_bytes_done(struct load_bytes *bytes);

static inline size_t load_bytes_left(const struct load_bytes *bytes)
{
    return bytes->size_bytes - bytes->at;
}

static inline const uint8_t *load_bytes_at(const struct load_bytes *bytes)
{
    return bytes->data + bytes->at;
}

/* A connected socket that does not block and does not delay; -1: errno says why. `receive_bytes` is SO_RCVBUF, 0 = the
 * system's. `host` is an address in numbers. */
int load_socket_open(const char *host, uint16_t port, int receive_bytes);
/* Sends what the socket takes of it. False: broken. */
bool load_socket_send(int fd, struct load_bytes *bytes);
/* "127.0.0.1:50051" → its parts; false when it is none. */
bool load_target_parse(const char *target, char host[64], uint16_t *ret_port);
