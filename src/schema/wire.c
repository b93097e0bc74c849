/* The wire format of protocol buffers, read and written field by field. */
#include "schema/schema.h"
#include "schema/wire_internal.h"

bool wire_next(struct bytes wire, size_t *at, struct wire_field *ret)
{
    return wire_read_field(wire, at, ret);
}

void wire_put_varint(struct buffer *to, uint64_t value)
{
    uint8_t bytes[WIRE_VARINT_MAX_BYTES];
    size_t count = 0;
    do {
        bytes[count++] = (uint8_t)((value & 0x7F) | (value >= 0x80 ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    buffer_add(to, bytes, count);
}

void wire_put_tag(struct buffer *to, uint32_t number, enum wire_type type)
{
    wire_put_varint(to, (uint64_t)number << 3 | (uint64_t)type);
}

void wire_put_bytes(struct buffer *to, uint32_t number, struct bytes bytes)
{
    wire_put_tag(to, number, WIRE_LEN);
    wire_put_varint(to, bytes.size_bytes);
    buffer_add_bytes(to, bytes);
}

void wire_put_uint(struct buffer *to, uint32_t number, uint64_t value)
{
    wire_put_tag(to, number, WIRE_VARINT);
    wire_put_varint(to, value);
}
