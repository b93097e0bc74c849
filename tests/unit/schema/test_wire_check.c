#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema.h"

#define PUBLISH  (schema_method(METHOD_EVENT_SERVICE_PUBLISH_EVENT))
#define APPEND   (schema_method(METHOD_EVENT_SERVICE_APPEND_EVENTS))
#define TEXT(at) at, sizeof(at) - 1

/* An allocator that counts what it gives, rounded as an arena rounds, and frees all at the end. */
struct meter {
    size_t used_bytes;
    void *all[8192];
    size_t count;
};

static void *meter_alloc(void *data, size_t size_bytes)
{
    struct meter *meter = data;
    meter->used_bytes += (size_bytes + 15) & ~(size_t)15;
    assert_true(meter->count < ARRAY_SIZE(meter->all));
    return meter->all[meter->count++] = malloc(size_bytes + 1);
}

static void meter_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

/* What the check promises: whatever it lets pass, protobuf-c unpacks, within the budget. */
static void unpack(const struct schema_method *method, struct bytes wire)
{
    struct meter meter = {0};
    ProtobufCAllocator allocator = {meter_alloc, meter_free, &meter};
    const ProtobufCMessage *message =
        protobuf_c_message_unpack(method->request_descriptor, &allocator, wire.size_bytes, wire.data);
    const bool unpacked = message != NULL;
    for (size_t i = 0; i < meter.count; i++)
        free(meter.all[i]);
    if (!unpacked || meter.used_bytes > wire_unpacked_max_bytes(wire.size_bytes))
        fail_msg("%s of %zu bytes passed the check; unpacked %d, %zu of at most %zu bytes", method->name,
                 wire.size_bytes, unpacked, meter.used_bytes, wire_unpacked_max_bytes(wire.size_bytes));
}

static void pack_publish(struct buffer *to)
{
    wire_put_bytes(to, 1, BYTES_LITERAL("0190f3b0-7f3e-7c3a-9c5b-2f1e8d6a4b10"));
    wire_put_bytes(to, 2, BYTES_LITERAL("user_created"));
    wire_put_bytes(to, 3, BYTES_LITERAL("user-123"));
    wire_put_bytes(to, 4, BYTES_LITERAL("user"));
    wire_put_uint(to, 5, 1);
    wire_put_bytes(to, 8, BYTES_LITERAL("corr-123"));
    wire_put_bytes(to, 12, BYTES_LITERAL("region:eu"));
    wire_put_bytes(to, 12,
                   BYTES_LITERAL("stra\xC3\x9F"
                                 "e:1"));
    wire_put_bytes(to, 14, BYTES_LITERAL("\x08\x80\xE2\xCF\xAA\x06\x10\x01"));
    wire_put_bytes(to, 30, BYTES_LITERAL("{\"user_id\":\"user-123\",\"email\":\"john@example.com\"}"));
    wire_put_bytes(to, 31, BYTES_LITERAL("{\"source\":\"user-service\"}"));
}

static void test_a_good_request_passes(void **state)
{
    (void)state;
    struct buffer wire = buffer_make(0);
    pack_publish(&wire);
    assert_status_ok(buffer_status(&wire));
    assert_status_ok(schema_wire_check(PUBLISH->request, buffer_bytes(&wire)));
    unpack(PUBLISH, buffer_bytes(&wire));
    assert_status_ok(schema_wire_check(PUBLISH->request, BYTES_NONE));
    buffer_done(&wire);
}

struct fault {
    const char *why;
    const char *wire;
    size_t size_bytes;
    const char *says; /* the message begins so; NULL: passes */
};

static void check_faults(const struct schema_method *method, const struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bytes wire = bytes_of(faults[i].wire, faults[i].size_bytes);
        const struct status got = schema_wire_check(method->request, wire);
        const bool passes = faults[i].says == NULL;
        if (passes ? got.code != STATUS_OK
                   : got.reason != REASON_INVALID_FIELD ||
                         strncmp(got.message, faults[i].says, strlen(faults[i].says)) != 0)
            fail_msg("%s: code %d, \"%s\"", faults[i].why, got.code, got.message);
        if (passes)
            unpack(method, wire);
    }
}

static void test_faults_of_one_message_are_named(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"cut in a tag", TEXT("\x92"), "the request is not a well-formed strata.v1.PublishEventRequest"},
        {"cut in a length", TEXT("\x12"), "the request is not a well-formed"},
        {"cut in a string", TEXT("\x12\x05type"), "the request is not a well-formed"},
        {"cut in a number", TEXT("\x28\x80"), "the request is not a well-formed"},
        {"a field has number 0", TEXT("\x02\x01x"), "the request is not a well-formed"},
        {"a group begins", TEXT("\x9B\x06"), "the request is not a well-formed"},
        {"a wire type that never existed", TEXT("\x9E\x06"), "the request is not a well-formed"},
        {"a tag of six bytes, which protobuf-c does not read", TEXT("\x92\x80\x80\x80\x80\x00\x01x"),
         "the request is not a well-formed"},
        {"a length of six bytes, which protobuf-c does not read", TEXT("\x12\x81\x80\x80\x80\x80\x00x"),
         "the request is not a well-formed"},
        {"a length of 4 GiB", TEXT("\x12\xFF\xFF\xFF\xFF\x0Fx"), "the request is not a well-formed"},
        {"a number of more than 64 bits", TEXT("\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),
         "the request is not a well-formed"},
        {"a number where a string belongs", TEXT("\x10\x01"), "type has another type on the wire"},
        {"a string where a number belongs", TEXT("\x2A\x01x"), "version has another type on the wire"},
        {"a fixed number where a varint belongs", TEXT("\x2D\x01\x00\x00\x00"),
         "version has another type on the wire"},
        {"a NUL would cut the string",
         TEXT("\x12\x08user\0"
              "123"),
         "type holds a NUL character"},
        {"a NUL at the end too", TEXT("\x12\x02x\0"), "type holds a NUL character"},
        {"a stray continuation byte", TEXT("\x12\x02x\x80"), "type is not valid UTF-8"},
        {"an overlong slash", TEXT("\x12\x02\xC0\xAF"), "type is not valid UTF-8"},
        {"a surrogate", TEXT("\x12\x03\xED\xA0\x80"), "type is not valid UTF-8"},
        {"bad UTF-8 behind good words",
         TEXT("\x12\x12"
              "aggregate_created\xFF"),
         "type is not valid UTF-8"},
        {"the third tag",
         TEXT("\x62\x01"
              "a\x62\x01"
              "b\x62\x01\xFF"),
         "tags[2] is not valid UTF-8"},
        {"counting is not disturbed by what stands between",
         TEXT("\x62\x01"
              "a\x28\x01\x62\x01\xFF"),
         "tags[1] is not valid UTF-8"},
        {"2^31 does not fit", TEXT("\x28\x80\x80\x80\x80\x08"), "version is 2147483648; it must fit"},
        {"2^32 + 1 would become version 1", TEXT("\x28\x81\x80\x80\x80\x10"),
         "version is 4294967297; it must fit"},
        {"-2^31 - 1 does not fit", TEXT("\x28\xFF\xFF\xFF\xFF\xF7\xFF\xFF\xFF\xFF\x01"),
         "version is -2147483649; it must fit"},
        {"occurred_at is cut inside", TEXT("\x72\x02\x08\x80"),
         "occurred_at is not a well-formed google.protobuf.Timestamp"},
        {"occurred_at is there twice", TEXT("\x72\x02\x08\x01\x72\x02\x10\x01"),
         "occurred_at is there twice"},
        {"nanos do not fit", TEXT("\x72\x06\x10\x80\x80\x80\x80\x08"), "occurred_at.nanos is 2147483648"},
    };
    check_faults(PUBLISH, faults, ARRAY_SIZE(faults));
}

static void test_what_is_merely_unusual_passes(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"-1 takes ten bytes", TEXT("\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), NULL},
        {"the least int32", TEXT("\x28\x80\x80\x80\x80\xF8\xFF\xFF\xFF\xFF\x01"), NULL},
        {"a longer form of 1", TEXT("\x28\x81\x80\x00"), NULL},
        {"a scalar twice: the last one counts", TEXT("\x28\x01\x28\x02"), NULL},
        {"bytes may hold anything", TEXT("\xF2\x01\x02\x00\xFF"), NULL},
        {"an unknown number", TEXT("\xA8\x06\x01"), NULL},
        {"an unknown string, of which nothing is looked at", TEXT("\xAA\x06\x02\x00\xFF"), NULL},
        {"an unknown fixed number", TEXT("\xAD\x06\x01\x02\x03\x04"), NULL},
        {"the highest field number", TEXT("\xF8\xFF\xFF\xFF\x0F\x01"), NULL},
        {"an empty message", TEXT("\x72\x00"), NULL},
    };
    check_faults(PUBLISH, faults, ARRAY_SIZE(faults));
}

static void test_paths_reach_into_repeated_messages(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"the second event's tag", TEXT("\x12\x03\x0A\x01x\x12\x03\x62\x01\xFF"),
         "events[1].tags[0] is not valid UTF-8"},
        {"the second event is cut", TEXT("\x12\x00\x12\x01\x12"),
         "events[1] is not a well-formed strata.v1.NewEvent"},
        {"the condition's query", TEXT("\x22\x09\x0A\x07\x0A\x00\x0A\x03\x0A\x01\xFF"),
         "condition.fail_if_match.items[1].types[0] is not valid UTF-8"},
        {"two members of one oneof: the last one counts", TEXT("\x1A\x04\x10\x01\x18\x01"), NULL},
    };
    check_faults(APPEND, faults, ARRAY_SIZE(faults));
}

static void test_an_enum_value_that_is_unknown_is_refused(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"3 is no direction", TEXT("\x68\x03"), "direction is 3, which is no value of strata.v1.Direction"},
        {"BACKWARD is one", TEXT("\x68\x02"), NULL},
    };
    check_faults(schema_method(METHOD_EVENT_SERVICE_LIST_EVENTS), faults, ARRAY_SIZE(faults));
}

/* A message of one kind of small field, over and over, until it is refused:
 * before that it must unpack in budget. */
static void flood(const struct schema_method *method, const char *piece, size_t piece_bytes)
{
    struct buffer wire = buffer_make(0);
    bool refused = false;
    for (size_t i = 0; i < 600000 && !refused; i++) {
        buffer_add(&wire, piece, piece_bytes);
        const bool look = (i & (i + 1)) == 0; /* 1, 2, 4, 8 … pieces */
        if (look)
            refused = schema_wire_check(method->request, buffer_bytes(&wire)).code != STATUS_OK;
        if (look && !refused && i < 4096)
            unpack(method, buffer_bytes(&wire));
    }
    if (!refused)
        fail_msg("%zu bytes passed", wire.size_bytes);
    buffer_done(&wire);
}

static void test_many_small_fields_are_refused_by_the_memory_they_need(void **state)
{
    (void)state;
    flood(APPEND, TEXT("\x12\x00"));      /* empty events: a struct of hundreds of bytes each */
    flood(APPEND, TEXT("\x28\x01"));      /* one flag, over and over: protobuf-c lists every one */
    flood(APPEND, TEXT("\xF8\x07\x01"));  /* unknown numbers */
    flood(PUBLISH, TEXT("\xFA\x07\x00")); /* unknown empty strings */
    const struct status status = schema_wire_check(APPEND->request, BYTES_LITERAL("\x12\x00"));
    assert_status_ok(status);
}

/* The smallest events that may be appended, with all the tags they may have: legal, so never refused. */
static void test_the_largest_legal_append_of_small_events_passes(void **state)
{
    (void)state;
    struct buffer event = buffer_make(0);
    struct buffer wire = buffer_make(0);
    wire_put_bytes(&event, 2, BYTES_LITERAL("c"));
    wire_put_bytes(&event, 3, BYTES_LITERAL("a"));
    wire_put_bytes(&event, 4, BYTES_LITERAL("t"));
    wire_put_bytes(&event, 8, BYTES_LITERAL("c"));
    wire_put_bytes(&event, 9, BYTES_LITERAL("c"));
    wire_put_uint(&event, 11, 1);
    wire_put_bytes(&event, 13, BYTES_LITERAL("s"));
    wire_put_bytes(&event, 14, BYTES_LITERAL("\x08\x01"));
    for (size_t i = 0; i < 16; i++)
        wire_put_bytes(&event, 12, BYTES_LITERAL("t"));
    wire_put_bytes(&event, 30, BYTES_LITERAL("{}"));
    for (size_t i = 0; i < 1000; i++)
        wire_put_bytes(&wire, 2, buffer_bytes(&event));
    for (size_t i = 0; i < 1000; i++)
        wire_put_bytes(&wire, 3, BYTES_LITERAL("\x0A\x01x\x10\x01"));
    assert_status_ok(schema_wire_check(APPEND->request, buffer_bytes(&wire)));

    buffer_clear(&wire); /* with nothing optional at all */
    for (size_t i = 0; i < 1000; i++)
        wire_put_bytes(&wire, 2, BYTES_LITERAL("\x12\x01x\x1A\x01x"));
    assert_status_ok(schema_wire_check(APPEND->request, buffer_bytes(&wire)));
    buffer_done(&wire);
    buffer_done(&event);
}

/* --- random bytes: the check never reads beyond its input, and what passes unpacks --- */

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void make_random(struct buffer *to, const struct schema_message *message, uint64_t *seed,
                        unsigned depth)
{
    const size_t count = random_next(seed) % 6;
    for (size_t i = 0; i < count && message->field_count > 0; i++) {
        const struct schema_field *field = &message->fields[random_next(seed) % message->field_count];
        uint8_t bytes[24];
        const size_t size_bytes = random_next(seed) % sizeof bytes;
        for (size_t b = 0; b < size_bytes; b++)
            bytes[b] = (uint8_t)(32 + random_next(seed) % 96 + (random_next(seed) % 64 == 0 ? 100 : 0));
        struct buffer inner = buffer_make(0);
        if (field->kind == SCHEMA_MESSAGE && depth < 6)
            make_random(&inner, field->message, seed, depth + 1);
        else
            buffer_add(&inner, bytes, size_bytes);
        if (field->kind == SCHEMA_MESSAGE || field->kind == SCHEMA_STRING || field->kind == SCHEMA_BYTES)
            wire_put_bytes(to, field->number, buffer_bytes(&inner));
        else if (field->kind != SCHEMA_DOUBLE)
            wire_put_uint(to, field->number, random_next(seed) >> (random_next(seed) % 64));
        buffer_done(&inner);
    }
}

static void test_random_messages_with_random_damage_unpack_when_they_pass(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252U;
    size_t passed = 0;
    size_t refused = 0;
    for (size_t round = 0; round < 60000; round++) {
        const struct schema_method *method = &schema_methods[random_next(&seed) % SCHEMA_METHOD_COUNT];
        struct buffer wire = buffer_make(0);
        make_random(&wire, method->request, &seed, 0);
        for (size_t flips = random_next(&seed) % 3; flips > 0 && wire.size_bytes > 0; flips--)
            wire.data[random_next(&seed) % wire.size_bytes] ^= (uint8_t)(1U << random_next(&seed) % 8);
        /* A copy of just the size, so that AddressSanitizer sees a read beyond the end. */
        const size_t size_bytes = wire.size_bytes == 0 ? 0 : wire.size_bytes - random_next(&seed) % 2;
        uint8_t *exact = malloc(size_bytes + (size_bytes == 0));
        if (size_bytes > 0)
            memcpy(exact, wire.data, size_bytes);
        const struct bytes bytes = bytes_of(exact, size_bytes);
        if (schema_wire_check(method->request, bytes).code == STATUS_OK) {
            passed++;
            unpack(method, bytes);
        } else {
            refused++;
        }
        free(exact);
        buffer_done(&wire);
    }
    assert_true(passed > 1000 && refused > 1000); /* else the generator proves nothing */
}

static void test_written_fields_are_read_again(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    struct buffer wire = buffer_make(0);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        wire_put_uint(&wire, (uint32_t)(i * 40 + 1), values[i]);
    wire_put_bytes(&wire, 536870911, BYTES_LITERAL("the last number"));
    size_t at = 0;
    struct wire_field field;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        assert_true(wire_next(buffer_bytes(&wire), &at, &field));
        assert_int_equal(field.number, i * 40 + 1);
        assert_int_equal(field.type, WIRE_VARINT);
        assert_true(field.value == values[i]);
    }
    assert_true(wire_next(buffer_bytes(&wire), &at, &field));
    assert_true(bytes_equal(field.bytes, BYTES_LITERAL("the last number")));
    assert_int_equal(at, wire.size_bytes);
    buffer_done(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_request_passes),
        cmocka_unit_test(test_faults_of_one_message_are_named),
        cmocka_unit_test(test_what_is_merely_unusual_passes),
        cmocka_unit_test(test_paths_reach_into_repeated_messages),
        cmocka_unit_test(test_an_enum_value_that_is_unknown_is_refused),
        cmocka_unit_test(test_many_small_fields_are_refused_by_the_memory_they_need),
        cmocka_unit_test(test_the_largest_legal_append_of_small_events_passes),
        cmocka_unit_test(test_random_messages_with_random_damage_unpack_when_they_pass),
        cmocka_unit_test(test_written_fields_are_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
