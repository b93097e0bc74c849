/*
 * Random messages: wire → JSON → wire is the same message, JSON → wire → JSON the same text. A seed that
 * fails is printed; the bytes come from it alone. And damaged texts and bytes end in an error, never
 * elsewhere.
 */
#include "unit/gateway/transcode/transcode_fixture.h"

#define ROUNDS 3000U

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13; /* xorshift64 */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void random_text(struct buffer *to)
{
    static const char *const pieces[] = {"a",        "Z9",   "\"",       "\\",           "/",
                                         "\n",       "\x01", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                         "user-123", " ",    "{",        "\x7f"};
    for (uint64_t i = draw(6); i > 0; i--)
        buffer_add_text(to, pieces[draw(ARRAY_SIZE(pieces))]);
}

static void random_json(struct buffer *to, unsigned depth)
{
    static const char *const tokens[] = {"1",
                                         "10.10",
                                         "-0",
                                         "1e400",
                                         "true",
                                         "null",
                                         "\"x\"",
                                         "\"\"",
                                         "0.5",
                                         "\"\\u00e4\\/\"",
                                         "123456789012345678901234567890"};
    const uint64_t kind = depth == 0 ? 3 : draw(4);
    if (kind == 0 || depth == 4) {
        buffer_add_byte(to, '{');
        for (uint64_t i = 0, count = draw(4); i < count; i++) {
            buffer_printf(to, "%s\"m%u\":", i == 0 ? "" : ",", (unsigned)i);
            random_json(to, depth == 0 ? 0 : depth - 1);
        }
        buffer_add_byte(to, '}');
    } else if (kind == 1) {
        buffer_add_byte(to, '[');
        for (uint64_t i = 0, count = draw(4); i < count; i++) {
            buffer_add_text(to, i == 0 ? "" : ",");
            random_json(to, depth - 1);
        }
        buffer_add_byte(to, ']');
    } else {
        buffer_add_text(to, tokens[draw(ARRAY_SIZE(tokens))]);
    }
}

static void random_fields(const struct schema_message *message, struct buffer *to);

static void random_pair(struct buffer *to)
{
    const uint64_t seconds = draw(253402300800);
    const uint64_t micros = draw(1000000);
    if (seconds != 0)
        wire_put_uint(to, 1, seconds);
    if (micros != 0)
        wire_put_uint(to, 2, micros * 1000);
}

static void random_value(const struct schema_field *field, bool opaque, struct buffer *to)
{
    struct buffer part = buffer_make(0);
    switch (field->kind) {
    case SCHEMA_BOOL:
        wire_put_uint(to, field->number, draw(2));
        break;
    case SCHEMA_INT32:
        wire_put_uint(to, field->number, (uint64_t)(int64_t)(int32_t)draw(UINT32_MAX));
        break;
    case SCHEMA_INT64:
        wire_put_uint(to, field->number, draw(UINT64_MAX));
        break;
    case SCHEMA_ENUM:
        wire_put_uint(to, field->number, (uint64_t)field->values->values[draw(field->values->count)].number);
        break;
    case SCHEMA_DOUBLE: {
        const double value = (double)draw(1000000) / 64;
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        wire_put_tag(to, field->number, WIRE_I64);
        for (int i = 0; i < 8; i++)
            buffer_add_byte(to, (uint8_t)(bits >> (8 * i)));
        break;
    }
    case SCHEMA_STRING:
        if (strcmp(field->name, "content_type") == 0)
            buffer_add_text(&part, opaque ? "image/png" : "application/json");
        else
            random_text(&part);
        wire_put_bytes(to, field->number, buffer_bytes(&part));
        break;
    case SCHEMA_BYTES:
        if ((field->flags & SCHEMA_RAW_JSON) != 0 && !(opaque && strcmp(field->name, "data") == 0))
            random_json(&part, 4);
        else
            for (uint64_t i = draw(40); i > 0; i--)
                buffer_add_byte(&part, (uint8_t)draw(256));
        wire_put_bytes(to, field->number, buffer_bytes(&part));
        break;
    case SCHEMA_MESSAGE:
        if (field->message->special == SCHEMA_PLAIN)
            random_fields(field->message, &part);
        else
            random_pair(&part);
        wire_put_bytes(to, field->number, buffer_bytes(&part));
        break;
    }
    buffer_done(&part);
}

/* In field order and with every field that has no presence, as the JSON way back gives them; no maps. */
static void random_fields(const struct schema_message *message, struct buffer *to)
{
    const bool opaque = draw(4) == 0 && schema_field_by_name(message, BYTES_LITERAL("content_type")) != NULL;
    int oneof_taken = -1;
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        const bool presence = (field->flags & SCHEMA_PRESENCE) != 0;
        if ((field->flags & (SCHEMA_INTERNAL | SCHEMA_MAP)) != 0)
            continue;
        if ((field->flags & SCHEMA_REPEATED) != 0) {
            for (uint64_t count = draw(4); count > 0; count--)
                random_value(field, opaque, to);
        } else if (!presence || (draw(2) == 0 && (field->oneof < 0 || field->oneof != oneof_taken))) {
            random_value(field, opaque, to);
            oneof_taken = field->oneof >= 0 ? field->oneof : oneof_taken;
        }
    }
}

/* The wire form with its fields sorted by number (stable), which JSON does not keep for `data`. */
static void add_sorted(const struct schema_message *message, struct bytes wire, struct buffer *to)
{
    for (size_t i = 0; i < message->field_count; i++) {
        for (size_t at = 0; at < wire.size_bytes;) {
            const size_t start = at;
            struct wire_field seen;
            assert_true(wire_next(wire, &at, &seen));
            if (seen.number != message->fields[i].number)
                continue;
            if (message->fields[i].kind == SCHEMA_MESSAGE &&
                message->fields[i].message->special == SCHEMA_PLAIN) {
                struct buffer inner = buffer_make(0);
                add_sorted(message->fields[i].message, seen.bytes, &inner);
                wire_put_bytes(to, seen.number, buffer_bytes(&inner));
                buffer_done(&inner);
            } else {
                buffer_add(to, wire.data + start, at - start);
            }
        }
    }
}

static const char *const messages[] = {"Event",
                                       "PublishEventRequest",
                                       "AppendEventsRequest",
                                       "SubscribeRequest",
                                       "GetAggregateRequest",
                                       "SaveAggregateRequest",
                                       "ListEventsRequest",
                                       "Health",
                                       "Snapshot",
                                       "OrderCreated",
                                       "WsRequest",
                                       "ListEventsResponse"};

static void test_random_messages_come_back_the_same(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        seed = round * 0x9E3779B97F4A7C15U + 1;
        const struct schema_message *message = message_called(messages[round % ARRAY_SIZE(messages)]);
        struct buffer wire = buffer_in(arena, 0), json = buffer_in(arena, 0), back = buffer_in(arena, 0);
        struct buffer sorted = buffer_in(arena, 0), sorted_back = buffer_in(arena, 0),
                      again = buffer_in(arena, 0);
        random_fields(message, &wire);
        assert_status_ok(transcode_to_json(message, buffer_bytes(&wire), &json));
        const struct status status = transcode_to_wire(arena, message, buffer_bytes(&json), &back);
        if (status.code != STATUS_OK)
            fail_msg("round %llu: %s: %.*s", (unsigned long long)round, status.message,
                     BYTES_FORMAT(buffer_bytes(&json)));
        add_sorted(message, buffer_bytes(&wire), &sorted);
        add_sorted(message, buffer_bytes(&back), &sorted_back);
        if (!bytes_equal(buffer_bytes(&sorted), buffer_bytes(&sorted_back)))
            fail_msg("round %llu: another message came back: %.*s", (unsigned long long)round,
                     BYTES_FORMAT(buffer_bytes(&json)));
        assert_status_ok(transcode_to_json(message, buffer_bytes(&back), &again));
        assert_true(bytes_equal(buffer_bytes(&json), buffer_bytes(&again)));
        arena_reset(arena);
    }
    arena_free(arena);
}

/* Under a sanitizer this looks for reads beyond the end; elsewhere for hangs and failed assertions. */
static void test_damaged_texts_and_bytes_end_in_an_answer(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        seed = round * 0x9E3779B97F4A7C15U + 7;
        const struct schema_message *message = message_called(messages[round % ARRAY_SIZE(messages)]);
        struct buffer wire = buffer_in(arena, 0), json = buffer_in(arena, 0);
        random_fields(message, &wire);
        assert_status_ok(transcode_to_json(message, buffer_bytes(&wire), &json));
        for (int i = 0; i < 8; i++) {
            struct buffer out = buffer_in(arena, 0);
            struct buffer *victim = i % 2 == 0 ? &wire : &json;
            const size_t size = victim->size_bytes == 0 ? 0 : (size_t)draw(victim->size_bytes + 1);
            uint8_t *copy = malloc(size == 0 ? 1 : size); /* of its own, so that its end is the end */
            memcpy(copy, victim->data == NULL ? (const uint8_t *)"" : victim->data, size);
            if (size > 0)
                copy[draw(size)] ^= (uint8_t)(1U << draw(8));
            const struct status status = i % 2 == 0
                                             ? transcode_to_json(message, bytes_of(copy, size), &out)
                                             : transcode_to_wire(arena, message, bytes_of(copy, size), &out);
            assert_true(status.code == STATUS_OK || status.reason == REASON_DAMAGED ||
                        status.code == STATUS_INVALID_ARGUMENT);
            free(copy);
        }
        arena_reset(arena);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_messages_come_back_the_same),
        cmocka_unit_test(test_damaged_texts_and_bytes_end_in_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
