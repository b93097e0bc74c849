#include "gateway/upstream/grpc_format_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void grpc_frame_add(struct buffer *to, struct bytes message)
{
    const uint32_t length = (uint32_t)message.size_bytes;
    const uint8_t head[GRPC_FRAME_HEAD_BYTES] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                                                 (uint8_t)(length >> 8), (uint8_t)length};
    uint8_t *at =
        buffer_extend(to, sizeof head + message.size_bytes); /* in one piece: it grows once at most */
    if (at == NULL)
        return; /* the buffer tells */
    at = mempcpy(at, head, sizeof head);
    if (message.size_bytes > 0)
        memcpy(at, message.data, message.size_bytes);
}

enum grpc_frame grpc_frame_next(struct bytes input, struct bytes *ret_message)
{
    if (input.size_bytes < GRPC_FRAME_HEAD_BYTES)
        return GRPC_FRAME_MORE;
    const size_t length = (size_t)input.data[1] << 24 | (size_t)input.data[2] << 16 |
                          (size_t)input.data[3] << 8 | input.data[4];
    if (input.data[0] != 0 || length > GRPC_MESSAGE_MAX_BYTES)
        return GRPC_FRAME_WRONG;
    if (input.size_bytes - GRPC_FRAME_HEAD_BYTES < length)
        return GRPC_FRAME_MORE;
    *ret_message = (struct bytes){input.data + GRPC_FRAME_HEAD_BYTES, length};
    return GRPC_FRAME_WHOLE;
}

void grpc_timeout_write(int64_t left_us, char ret[GRPC_TIMEOUT_TEXT_BYTES])
{
    int64_t left_ms = left_us < 1000 ? 1 : left_us / 1000;
    if (left_ms > 99999999)
        left_ms = 99999999;
    (void)snprintf(ret, GRPC_TIMEOUT_TEXT_BYTES, "%" PRId64 "m", left_ms); /* fits: 8 digits */
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

void grpc_message_decode(struct bytes text, struct buffer *to)
{
    for (size_t i = 0; i < text.size_bytes; i++) {
        const bool escape = text.data[i] == '%' && i + 2 < text.size_bytes;
        const int high = escape ? hex_value(text.data[i + 1]) : -1;
        const int low = escape ? hex_value(text.data[i + 2]) : -1;
        if (high < 0 || low < 0) {
            buffer_add_byte(to, text.data[i]);
            continue;
        }
        buffer_add_byte(to, (uint8_t)(high * 16 + low));
        i += 2;
    }
}

int grpc_number(struct bytes text)
{
    int value = 0;
    if (text.size_bytes == 0 || text.size_bytes > 9)
        return -1;
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}
