#include "load_events.h"

#include <stdio.h>
#include <string.h>

#include "load_wire.h"

#define UUID_TEXT_BYTES 36U

/* Steele, Lea and Flood's splitmix64. */
static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

static void uuid_text(uint64_t seed, uint64_t number, char text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t halves[2] = {mix(seed ^ mix(number)), mix(seed + mix(~number))};
    size_t at = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            text[at++] = '-';
        text[at++] = digits[halves[i / 16] >> (i % 16 * 4) & 15];
    }
    text[14] = '4'; /* RFC 9562: version and variant of a random one */
    text[19] = 'a';
}

uint8_t *load_data_put(uint8_t *to, size_t data_bytes, uint64_t number)
{
    char head[LOAD_DATA_BYTES_LEAST];
    static const char tail[] = "\"}";
    const int used = snprintf(
        head, sizeof head,
        "{\"order\":\"o-%llu\",\"amount\":\"1234.50\",\"currency\":\"EUR\",\"count\":3,\"rate\":0.0725,"
        "\"paid\":true,\"due\":null,\"customer\":{\"name\":\"Jane Doe\",\"city\":\"Utrecht\",\"zip\":\"3511\"},"
        "\"lines\":[{\"sku\":\"A-100\",\"n\":2},{\"sku\":\"B-7\",\"n\":1}],\"note\":\"",
        (unsigned long long)number);
    memcpy(to, head, (size_t)used);
    const size_t padding = data_bytes - (size_t)used - (sizeof tail - 1);
    memset(to + used, 'x', padding);
    memcpy(to + data_bytes - (sizeof tail - 1), tail, sizeof tail - 1);
    return to + data_bytes;
}

uint8_t *load_event_put(struct load_event_maker *maker, uint8_t *to)
{
    const struct load_event_options *options = &maker->options;
    const uint64_t number = maker->made++;
    char text[LOAD_TEXT_MAX + 32];
    if (options->client_ids) {
        uuid_text(options->seed, number, text);
        to = load_put_field(to, 1, text, UUID_TEXT_BYTES);
    }
    to = load_put_field(to, 2, options->type, strlen(options->type));
    const int length = snprintf(text, sizeof text, "%s-%llu", options->prefix,
                                (unsigned long long)(number % (uint64_t)options->aggregates));
    to = load_put_field(to, 3, text, (size_t)length);
    to = load_put_field(to, 4, options->aggregate_type, strlen(options->aggregate_type));
    to = load_put_varint(to, 30 << 3 | 2);
    to = load_put_varint(to, (uint64_t)options->data_bytes);
    return load_data_put(to, (size_t)options->data_bytes, number);
}
