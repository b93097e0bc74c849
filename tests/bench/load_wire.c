#include "load_wire.h"

#include <string.h>

uint8_t *load_put_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

uint8_t *load_put_number(uint8_t *to, uint32_t field, uint64_t value)
{
    return load_put_varint(load_put_varint(to, (uint64_t)field << 3), value);
}

uint8_t *load_put_field(uint8_t *to, uint32_t field, const void *data, size_t size)
{
    to = load_put_varint(to, (uint64_t)field << 3 | 2);
    to = load_put_varint(to, size);
    memcpy(to, data, size);
    return to + size;
}

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        const uint8_t byte = *(*at)++;
        *ret |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

bool load_get_field(const uint8_t **at, const uint8_t *end, uint64_t *ret_number, uint64_t *ret_value)
{
    uint64_t tag = 0;
    if (!get_varint(at, end, &tag) || !get_varint(at, end, ret_value))
        return false;
    *ret_number = tag >> 3;
    if ((tag & 7) == 2) {
        if (*ret_value > (uint64_t)(end - *at))
            return false;
        *at += *ret_value;
    }
    return (tag & 7) == 0 || (tag & 7) == 2;
}

bool load_find_field(const uint8_t *at, const uint8_t *end, uint64_t number, uint64_t *ret_value,
                     const uint8_t **ret_end)
{
    uint64_t seen = 0;
    while (at < end && load_get_field(&at, end, &seen, ret_value)) {
        if (seen != number)
            continue;
        *ret_end = at;
        return true;
    }
    return false;
}
