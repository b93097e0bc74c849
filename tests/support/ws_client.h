/*
 * A WebSocket client (RFC 6455) of few lines: one handshake, text frames out, text and close frames in. It
 * answers no ping and checks only what a test would stumble over.
 *
 * Nothing waits longer than RAW_CLIENT_WAIT_S: then the test fails.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "unit/gateway/http/raw_client.h"

struct ws_client {
    int fd;
    struct buffer in; /* bytes that have come and are not used up */
    char *text;       /* the payload of the last frame, ended by a NUL */
    uint16_t close_code;
};

static inline void ws_client_close(struct ws_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buffer_done(&client->in);
    free(client->text);
    client->text = NULL;
}

/* Sends the handshake; `headers` are more lines, each ended by CRLF. The answer's status; 101: it is open. */
static inline int ws_client_open(struct ws_client *client, uint16_t port, const char *path,
                                 const char *headers)
{
    char request[1024];
    *client = (struct ws_client){.fd = raw_connect(port), .in = buffer_make(0)};
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                   path, headers); /* fits */
    raw_send_text(client->fd, request);
    const char *head = raw_receive_until(client->fd, &client->in, "\r\n\r\n");
    int http_status = 0;
    assert_int_equal(sscanf(head, "HTTP/1.1 %d ", &http_status), 1);
    if (http_status == 101) {
        const size_t used = (size_t)(strstr(head, "\r\n\r\n") + 4 - head);
        memmove(client->in.data, client->in.data + used, client->in.size_bytes - used);
        client->in.size_bytes -= used;
    }
    return http_status;
}

static inline void ws_client_send(struct ws_client *client, const char *text)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    const size_t size = strlen(text);
    struct buffer frame = buffer_make(0);
    buffer_add_byte(&frame, 0x81);
    if (size < 126) {
        buffer_add_byte(&frame, (uint8_t)(0x80 | size));
    } else {
        assert_true(size < 65536);
        buffer_add_byte(&frame, 0x80 | 126);
        buffer_add_byte(&frame, (uint8_t)(size >> 8));
        buffer_add_byte(&frame, (uint8_t)size);
    }
    buffer_add(&frame, mask, sizeof mask);
    for (size_t i = 0; i < size; i++)
        buffer_add_byte(&frame, (uint8_t)text[i] ^ mask[i % 4]);
    raw_send(client->fd, frame.data, frame.size_bytes);
    buffer_done(&frame);
}

/* Size of the frame at the beginning of `in`, head and all; 0: not all of it is there. */
static inline size_t ws_client_frame(const struct buffer *in, size_t *ret_head)
{
    if (in->size_bytes < 2)
        return 0;
    size_t size = in->data[1];
    const size_t more = size == 127 ? 8 : size == 126 ? 2 : 0;
    assert_int_equal(size & 0x80, 0); /* a server never masks */
    if (in->size_bytes < 2 + more)
        return 0;
    for (size_t i = 0; i < more; i++)
        size = (i == 0 ? 0 : size << 8) | in->data[2 + i];
    *ret_head = 2 + more;
    return in->size_bytes < 2 + more + size ? 0 : 2 + more + size;
}

/* The next text, valid until the following call; NULL at a close frame or the end. Pings are skipped. */
static inline const char *ws_client_next(struct ws_client *client)
{
    for (;;) {
        size_t head = 0;
        size_t size = ws_client_frame(&client->in, &head);
        while (size == 0) {
            if (raw_receive(client->fd, &client->in) == 0)
                return NULL;
            size = ws_client_frame(&client->in, &head);
        }
        const uint8_t first = client->in.data[0];
        free(client->text);
        client->text = strndup((const char *)client->in.data + head, size - head);
        if (first == 0x88 && size >= head + 2)
            client->close_code = (uint16_t)(client->in.data[head] << 8 | client->in.data[head + 1]);
        memmove(client->in.data, client->in.data + size, client->in.size_bytes - size);
        client->in.size_bytes -= size;
        if (first == 0x88)
            return NULL;
        if (first == 0x81)
            return client->text;
    }
}

/* The next text must be there, and contain `part`. */
static inline const char *ws_client_expect(struct ws_client *client, const char *part)
{
    const char *text = ws_client_next(client);
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("\"%s\" was to come, not %s", part, text == NULL ? "the end" : text);
    return text;
}
