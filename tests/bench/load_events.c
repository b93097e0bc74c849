#include "load_events.h"

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

static uint8_t *text_put(uint8_t *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

static uint8_t *number_put(uint8_t *to, uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return text_put(to, (const char *)digits + at, sizeof digits - at);
}

/* By hand: printf would be a third of what a client on the same processors spends on an event. */
uint8_t *load_data_put(uint8_t *to, size_t data_bytes, uint64_t number)
{
    static const char head[] = "{\"order\":\"o-";
    static const char body[] =
        "\",\"amount\":\"1234.50\",\"currency\":\"EUR\",\"count\":3,\"rate\":0.0725,"
        "\"paid\":true,\"due\":null,\"customer\":{\"name\":\"Jane Doe\",\"city\":\"Utrecht\",\"zip\":\"3511\"},"
        "\"lines\":[{\"sku\":\"A-100\",\"n\":2},{\"sku\":\"B-7\",\"n\":1}],\"note\":\"";
    static const char tail[] = "\"}";
    _Static_assert(sizeof head + sizeof body + 20 + sizeof tail <= LOAD_DATA_BYTES_LEAST,
                   "the least has room");
    uint8_t *const end = to + data_bytes;
    to = text_put(to, head, sizeof head - 1);
    to = number_put(to, number);
    to = text_put(to, body, sizeof body - 1);
    memset(to, 'x', (size_t)(end - to) - (sizeof tail - 1));
    return text_put(end - (sizeof tail - 1), tail, sizeof tail - 1);
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
    uint8_t *id = text_put((uint8_t *)text, options->prefix, strlen(options->prefix));
    *id++ = '-';
    id = number_put(id, number % (uint64_t)options->aggregates);
    to = load_put_field(to, 3, text, (size_t)(id - (uint8_t *)text));
    to = load_put_field(to, 4, options->aggregate_type, strlen(options->aggregate_type));
    to = load_put_varint(to, 30 << 3 | 2);
    to = load_put_varint(to, (uint64_t)options->data_bytes);
    return load_data_put(to, (size_t)options->data_bytes, number);
}
