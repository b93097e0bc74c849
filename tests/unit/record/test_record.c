/* The hand-written codec against protobuf-c, and against bytes that no codec wrote. */
#include "support/cmocka.h"
#include "support/seeded_entropy.h"

#include <stdlib.h>
#include <string.h>

#include "strata/v1/event.pb-c.h"

#include "base/arena.h"
#include "record/record.h"

#define MICROS_A_SECOND    INT64_C(1000000)
#define TIME_TEST_RANGE_US INT64_C(1000000000000000) /* 31 years to both sides of 1970 */

static struct bytes random_text(struct arena *arena, uint64_t *random, size_t max_bytes)
{
    const size_t size = (size_t)random_below(random, max_bytes + 1);
    uint8_t *text = arena_alloc(arena, size + 1);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = (uint8_t)('a' + random_below(random, 26));
    text[size] = '\0'; /* protobuf-c wants C strings */
    return bytes_of(text, size);
}

/* Zero, small, negative and large numbers take different lengths on the wire. */
static int64_t random_number(uint64_t *random)
{
    const int64_t any = (int64_t)random_next(random);
    const int64_t numbers[] = {0, 1, -1, any, any % 300, any >> 30};
    return numbers[random_below(random, ARRAY_SIZE(numbers))];
}

static struct event_fields random_fields(struct arena *arena, uint64_t *random)
{
    struct event_fields fields = {
        .id = random_text(arena, random, 40),
        .type = random_text(arena, random, 20),
        .aggregate_id = random_text(arena, random, 255),
        .aggregate_type = random_text(arena, random, 20),
        .version = (int32_t)random_number(random),
        .position = random_number(random),
        .timestamp_us = random_number(random) % TIME_TEST_RANGE_US,
        .correlation_id = random_text(arena, random, 20),
        .causation_id = random_text(arena, random, 200),
        .content_type = random_text(arena, random, 3),
        .schema_version = (int32_t)random_number(random),
        .tag_count = (size_t)random_below(random, RECORD_TAGS_MAX + 1),
        .subject = random_text(arena, random, 9),
        .has_occurred_at = random_below(random, 2) == 0,
        .traceparent = random_text(arena, random, 55),
        .append_id = random_text(arena, random, 40),
        .append_index = (int32_t)random_below(random, 1000),
        .append_count = (int32_t)random_below(random, 1001),
        .actor = random_text(arena, random, 30),
        .data = random_text(arena, random, random_below(random, 50) == 0 ? 70000 : 600),
        .metadata = random_text(arena, random, 200),
    };
    if (fields.has_occurred_at)
        fields.occurred_at_us = random_number(random) % TIME_TEST_RANGE_US;
    for (size_t i = 0; i < fields.tag_count; i++) {
        fields.tags[i] = random_text(arena, random, 9);
        if (fields.tags[i].size_bytes == 0)
            fields.tags[i] = BYTES_LITERAL("tag");
    }
    uint8_t *salt = arena_alloc(arena, RECORD_SALT_BYTES);
    assert_non_null(salt);
    for (size_t i = 0; i < RECORD_SALT_BYTES; i++)
        salt[i] = (uint8_t)random_next(random);
    fields.salt = bytes_of(salt, RECORD_SALT_BYTES);
    return fields;
}

static struct bytes encode(struct arena *arena, const struct event_fields *fields, size_t *ret_header_bytes)
{
    struct buffer buffer = buffer_in(arena, 0);
    record_encode(fields, &buffer, ret_header_bytes);
    assert_status_ok(buffer_status(&buffer));
    assert_true(buffer.size_bytes <= record_encoded_bound(fields));
    return buffer_bytes(&buffer);
}

static char *c_text(struct bytes bytes)
{
    return bytes.size_bytes == 0 ? (char *)(uintptr_t) "" : (char *)(uintptr_t)bytes.data;
}

static ProtobufCBinaryData c_bytes(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.size_bytes, (uint8_t *)(uintptr_t)bytes.data};
}

static void set_time(Google__Protobuf__Timestamp *ret, int64_t time_us)
{
    int64_t micros = time_us % MICROS_A_SECOND;
    if (micros < 0)
        micros += MICROS_A_SECOND;
    ret->seconds = (time_us - micros) / MICROS_A_SECOND;
    ret->nanos = (int32_t)micros * 1000;
}

static struct bytes pack_with_protobuf_c(struct arena *arena, const struct event_fields *fields)
{
    const struct sha256 digest = record_payload_digest(fields->salt, fields->data, fields->metadata);
    Google__Protobuf__Timestamp timestamp = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Timestamp occurred_at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    set_time(&timestamp, fields->timestamp_us);
    set_time(&occurred_at, fields->occurred_at_us);
    char *tags[RECORD_TAGS_MAX];
    for (size_t i = 0; i < fields->tag_count; i++)
        tags[i] = c_text(fields->tags[i]);
    Strata__V1__Event event = STRATA__V1__EVENT__INIT;
    event.id = c_text(fields->id);
    event.type = c_text(fields->type);
    event.aggregate_id = c_text(fields->aggregate_id);
    event.aggregate_type = c_text(fields->aggregate_type);
    event.version = fields->version;
    event.position = fields->position;
    event.timestamp = &timestamp;
    event.correlation_id = c_text(fields->correlation_id);
    event.causation_id = c_text(fields->causation_id);
    event.content_type = c_text(fields->content_type);
    event.schema_version = fields->schema_version;
    event.n_tags = fields->tag_count;
    event.tags = tags;
    event.subject = c_text(fields->subject);
    event.occurred_at = fields->has_occurred_at ? &occurred_at : NULL;
    event.traceparent = c_text(fields->traceparent);
    event.append_id = c_text(fields->append_id);
    event.append_index = fields->append_index;
    event.append_count = fields->append_count;
    event.actor = c_text(fields->actor);
    event.payload_digest = c_bytes(bytes_of(digest.bytes, sizeof digest.bytes));
    event.data = c_bytes(fields->data);
    event.metadata = c_bytes(fields->metadata);
    event.payload_salt = c_bytes(fields->salt);
    const size_t size = strata__v1__event__get_packed_size(&event);
    uint8_t *packed = arena_alloc(arena, size);
    assert_non_null(packed);
    assert_int_equal(strata__v1__event__pack(&event, packed), size);
    return bytes_of(packed, size);
}

static void assert_same_fields(const struct event_fields *a, const struct event_fields *b)
{
    const struct bytes texts[][2] = {
        {a->id, b->id},
        {a->type, b->type},
        {a->aggregate_id, b->aggregate_id},
        {a->aggregate_type, b->aggregate_type},
        {a->correlation_id, b->correlation_id},
        {a->causation_id, b->causation_id},
        {a->content_type, b->content_type},
        {a->subject, b->subject},
        {a->traceparent, b->traceparent},
        {a->append_id, b->append_id},
        {a->actor, b->actor},
        {a->data, b->data},
        {a->metadata, b->metadata},
        {a->salt, b->salt},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_true(bytes_equal(texts[i][0], texts[i][1]));
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->position, b->position);
    assert_int_equal(a->timestamp_us, b->timestamp_us);
    assert_int_equal(a->schema_version, b->schema_version);
    assert_int_equal(a->has_occurred_at, b->has_occurred_at);
    assert_int_equal(a->occurred_at_us, b->occurred_at_us);
    assert_int_equal(a->append_index, b->append_index);
    assert_int_equal(a->append_count, b->append_count);
    assert_int_equal(a->tag_count, b->tag_count);
    for (size_t i = 0; i < a->tag_count; i++)
        assert_true(bytes_equal(a->tags[i], b->tags[i]));
}

#define RANDOM_EVENTS 3000

static void test_the_bytes_are_those_of_protobuf_c(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    uint64_t random = 42;
    for (int i = 0; i < RANDOM_EVENTS; i++) {
        arena_reset(arena);
        const struct event_fields fields = random_fields(arena, &random);
        size_t header_bytes = 0;
        const struct bytes ours = encode(arena, &fields, &header_bytes);
        const struct bytes theirs = pack_with_protobuf_c(arena, &fields);
        assert_int_equal(ours.size_bytes, theirs.size_bytes);
        assert_memory_equal(ours.data, theirs.data, ours.size_bytes);
    }
}

static void test_what_is_encoded_is_decoded(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    uint64_t random = 43;
    for (int i = 0; i < RANDOM_EVENTS; i++) {
        arena_reset(arena);
        const struct event_fields fields = random_fields(arena, &random);
        size_t header_bytes = 0;
        struct record record;
        assert_status_ok(record_split(encode(arena, &fields, &header_bytes), &record));
        assert_int_equal(record.header_bytes, header_bytes);
        struct event_fields decoded;
        assert_status_ok(record_decode(record, &decoded));
        assert_same_fields(&decoded, &fields);
        assert_status_ok(record_check_digest(record));

        struct event_fields header_only;
        struct event_fields expected = fields;
        expected.data = expected.metadata = expected.salt = BYTES_NONE;
        assert_status_ok(record_decode_header(record, &header_only));
        assert_same_fields(&header_only, &expected);
    }
}

/* Under the sanitizers: whatever stands there, nothing is read beyond it, and a changed payload is noticed. */
static void test_damaged_bytes_are_refused_or_differ(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    uint64_t random = 44;
    for (int i = 0; i < RANDOM_EVENTS; i++) {
        arena_reset(arena);
        const struct event_fields fields = random_fields(arena, &random);
        size_t header_bytes = 0;
        const struct bytes whole = encode(arena, &fields, &header_bytes);
        const bool cut = random_below(&random, 2) == 0;
        const size_t size = cut ? (size_t)random_below(&random, whole.size_bytes) : whole.size_bytes;
        uint8_t *bytes = malloc(size + 1); /* of its own, so that the sanitizer sees its end */
        assert_non_null(bytes);
        memcpy(bytes, whole.data, size);
        const size_t flipped = (size_t)random_below(&random, whole.size_bytes);
        if (!cut)
            bytes[flipped] ^= (uint8_t)(1U << random_below(&random, 8));
        struct record record;
        struct status status = record_split(bytes_of(bytes, size), &record);
        if (status.code == STATUS_OK)
            status = record_check_digest(record);
        if (status.code != STATUS_OK)
            assert_int_equal(status.reason, REASON_DAMAGED);
        else
            assert_true(cut ? size <= header_bytes || fields.salt.size_bytes == 0 : flipped < header_bytes);
        free(bytes);
    }
}

static struct event_fields small_event(void)
{
    return (struct event_fields){
        .id = BYTES_LITERAL("e1"),
        .type = BYTES_LITERAL("changed"),
        .aggregate_id = BYTES_LITERAL("a"),
        .position = 7,
        .data = BYTES_LITERAL("{}"),
        .salt = BYTES_LITERAL("0123456789abcdef"),
    };
}

static const uint8_t unknown_header_field[] = {0xC8, 0x01, 0x05}; /* field 25, a number */

static void test_unknown_header_fields_survive(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields fields = small_event();
    size_t header_bytes = 0;
    const struct bytes known = encode(arena, &fields, &header_bytes);
    struct buffer newer = buffer_in(arena, 0);
    buffer_add(&newer, known.data, header_bytes);
    buffer_add(&newer, unknown_header_field, sizeof unknown_header_field);
    buffer_add(&newer, known.data + header_bytes, known.size_bytes - header_bytes);
    struct record record;
    assert_status_ok(record_split(buffer_bytes(&newer), &record));
    assert_int_equal(record.header_bytes, header_bytes + sizeof unknown_header_field);
    struct event_fields decoded;
    assert_status_ok(record_decode(record, &decoded));
    assert_same_fields(&decoded, &fields);
    assert_status_ok(record_check_digest(record));
}

/* It would be part of what is read and of no hash. */
static void test_a_header_field_behind_the_payload_is_damage(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields fields = small_event();
    size_t header_bytes = 0;
    struct buffer longer = buffer_in(arena, 0);
    record_encode(&fields, &longer, &header_bytes);
    buffer_add(&longer, unknown_header_field, sizeof unknown_header_field);
    struct record record;
    assert_reason(record_split(buffer_bytes(&longer), &record), REASON_DAMAGED);
    record = (struct record){buffer_bytes(&longer), header_bytes};
    struct event_fields decoded;
    assert_reason(record_decode(record, &decoded), REASON_DAMAGED);
}

static void test_a_changed_payload_is_named_by_its_position(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields fields = small_event();
    size_t header_bytes = 0;
    const struct bytes whole = encode(arena, &fields, &header_bytes);
    uint8_t *changed = (uint8_t *)(uintptr_t)arena_bytes(arena, whole).data;
    changed[whole.size_bytes - 1] ^= 1; /* in the salt */
    const struct status status =
        record_check_digest((struct record){bytes_of(changed, whole.size_bytes), header_bytes});
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_non_null(strstr(status.message, "position 7"));
}

static struct sha256 digest_of(const void *data, size_t size)
{
    const struct bytes all = bytes_of(data, size);
    return sha256_of(&all, 1);
}

/* The same place, not just the same text; absent texts may be anywhere. */
static void assert_same_range(const char *name, struct bytes written, struct bytes decoded)
{
    if (written.size_bytes != decoded.size_bytes || (written.size_bytes > 0 && written.data != decoded.data))
        fail_msg("%s: written at %p (%zu bytes), decoded at %p (%zu bytes)", name, (const void *)written.data,
                 written.size_bytes, (const void *)decoded.data, decoded.size_bytes);
}

static void test_writing_leaves_the_view_that_decoding_gives(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (int round = 0; round < 300; round++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        assert_non_null(arena);
        const struct event_fields given = random_fields(arena, &random);
        size_t header_bytes = 0;
        const struct bytes expected = encode(arena, &given, &header_bytes);
        struct event_fields view = given;
        uint8_t *memory = arena_alloc(arena, record_encoded_bound(&given));
        assert_non_null(memory);
        const struct record record = record_write(&view, memory);
        assert_true(bytes_equal(record.bytes, expected));
        assert_int_equal(record.header_bytes, header_bytes);

        struct event_fields decoded;
        assert_status_ok(record_decode(record, &decoded));
        const struct {
            const char *name;
            struct bytes written;
            struct bytes decoded;
        } texts[] = {
            {"id", view.id, decoded.id},
            {"type", view.type, decoded.type},
            {"aggregate_id", view.aggregate_id, decoded.aggregate_id},
            {"aggregate_type", view.aggregate_type, decoded.aggregate_type},
            {"correlation_id", view.correlation_id, decoded.correlation_id},
            {"causation_id", view.causation_id, decoded.causation_id},
            {"content_type", view.content_type, decoded.content_type},
            {"subject", view.subject, decoded.subject},
            {"traceparent", view.traceparent, decoded.traceparent},
            {"append_id", view.append_id, decoded.append_id},
            {"actor", view.actor, decoded.actor},
            {"payload_digest", view.payload_digest, decoded.payload_digest},
            {"data", view.data, decoded.data},
            {"metadata", view.metadata, decoded.metadata},
            {"salt", view.salt, decoded.salt},
        };
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
            assert_same_range(texts[i].name, texts[i].written, texts[i].decoded);
        assert_int_equal(view.tag_count, decoded.tag_count);
        for (size_t i = 0; i < view.tag_count; i++)
            assert_same_range("tag", view.tags[i], decoded.tags[i]);
        assert_true(view.version == decoded.version && view.position == decoded.position &&
                    view.timestamp_us == decoded.timestamp_us &&
                    view.schema_version == decoded.schema_version &&
                    view.has_occurred_at == decoded.has_occurred_at &&
                    view.occurred_at_us == decoded.occurred_at_us &&
                    view.append_index == decoded.append_index && view.append_count == decoded.append_count);
    }
}

/* The three formulas of docs/storage-format.md, spelt out. */
static void test_digests_follow_their_formulas(void **state)
{
    (void)state;
    static const char payload[] = "0123456789abcdef\x02\0\0\0{}{\"m\":1}";
    const struct sha256 expected_payload = digest_of(payload, sizeof payload - 1);
    const struct sha256 got_payload = record_payload_digest(BYTES_LITERAL("0123456789abcdef"),
                                                            BYTES_LITERAL("{}"), BYTES_LITERAL("{\"m\":1}"));
    assert_memory_equal(&got_payload, &expected_payload, sizeof got_payload);

    static const char leaf[] = "\0header";
    const struct sha256 expected_leaf = digest_of(leaf, sizeof leaf - 1);
    const struct sha256 got_leaf = record_leaf((struct record){BYTES_LITERAL("headerpayload"), 6});
    assert_memory_equal(&got_leaf, &expected_leaf, sizeof got_leaf);

    uint8_t chain[1 + SHA256_BYTES + 8 + 2 * SHA256_BYTES] = {0x02};
    chain[1 + SHA256_BYTES] = 0x34; /* 0x1234, little-endian, behind 32 zero bytes */
    chain[1 + SHA256_BYTES + 1] = 0x12;
    const struct sha256 leaves[] = {expected_payload, expected_leaf};
    memcpy(chain + 1 + SHA256_BYTES + 8, leaves, sizeof leaves);
    const struct sha256 expected_chain = digest_of(chain, sizeof chain);
    const struct sha256 start = {{0}};
    const struct sha256 got_chain = chain_next(&start, 0x1234, leaves, 2);
    assert_memory_equal(&got_chain, &expected_chain, sizeof got_chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_are_those_of_protobuf_c),
        cmocka_unit_test(test_what_is_encoded_is_decoded),
        cmocka_unit_test(test_writing_leaves_the_view_that_decoding_gives),
        cmocka_unit_test(test_damaged_bytes_are_refused_or_differ),
        cmocka_unit_test(test_unknown_header_fields_survive),
        cmocka_unit_test(test_a_header_field_behind_the_payload_is_damage),
        cmocka_unit_test(test_a_changed_payload_is_named_by_its_position),
        cmocka_unit_test(test_digests_follow_their_formulas),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
