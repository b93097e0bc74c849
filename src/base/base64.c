#include "base/base64.h"

static int base64_value(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    if (byte == '+' || byte == '-')
        return 62;
    if (byte == '/' || byte == '_')
        return 63;
    return -1;
}

bool base64_decode(struct bytes text, struct buffer *to)
{
    size_t size = text.size_bytes;
    while (size > 0 && text.data[size - 1] == '=' && text.size_bytes - size < 2)
        size--;
    if (size % 4 == 1 || (size != text.size_bytes && text.size_bytes % 4 != 0))
        return false;
    if (size == 0)
        return true;
    uint8_t *out = buffer_extend(to, size / 4 * 3 + size % 4 * 3 / 4);
    if (out == NULL)
        return true; /* the buffer tells */
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < size; i++) {
        const int value = base64_value(text.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            *out++ = (uint8_t)(bits >> bit_count);
        }
    }
    return (bits & ((1U << bit_count) - 1)) == 0; /* what no byte takes must be zero */
}

void base64_encode(struct bytes bytes, struct buffer *to)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t groups = (bytes.size_bytes + 2) / 3;
    uint8_t *out = groups == 0 ? NULL : buffer_extend(to, groups * 4);
    if (out == NULL)
        return; /* nothing to write, or the buffer tells */
    for (size_t i = 0; i < groups; i++) {
        const size_t left = bytes.size_bytes - i * 3;
        const uint8_t *in = bytes.data + i * 3;
        const uint32_t bits =
            (uint32_t)in[0] << 16 | (uint32_t)(left > 1 ? in[1] : 0) << 8 | (uint32_t)(left > 2 ? in[2] : 0);
        out[i * 4] = (uint8_t)alphabet[bits >> 18];
        out[i * 4 + 1] = (uint8_t)alphabet[bits >> 12 & 63];
        out[i * 4 + 2] = left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        out[i * 4 + 3] = left > 2 ? (uint8_t)alphabet[bits & 63] : '=';
    }
}
