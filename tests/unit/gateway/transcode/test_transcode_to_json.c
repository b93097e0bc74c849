/* Messages are made by protobuf-c and, where it would not make them, by hand. */
#include "strata/v1/event.pb-c.h"
#include "strata/v1/snapshot_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"
#include "unit/gateway/transcode/transcode_fixture.h"

static char *json_of(const ProtobufCMessage *message)
{
    struct buffer wire = buffer_make(0);
    struct buffer json = buffer_make(0);
    uint8_t *room = buffer_extend(&wire, protobuf_c_message_get_packed_size(message) + 1);
    wire.size_bytes = protobuf_c_message_pack(message, room);
    assert_status_ok(
        transcode_to_json(message_called(message->descriptor->name), buffer_bytes(&wire), &json));
    buffer_done(&wire);
    (void)text_of(&json);
    return (char *)json.data;
}

static void assert_json(const ProtobufCMessage *message, const char *wanted)
{
    char *json = json_of(message);
    assert_string_equal(json, wanted);
    free(json);
}

static ProtobufCBinaryData binary(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void test_an_event_shows_everything_but_what_is_internal(void **state)
{
    (void)state;
    Strata__V1__Event event = STRATA__V1__EVENT__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char *tags[] = {(char[]){"a:1"}, (char[]){"b\"2"}};
    time.seconds = 1769860800;
    time.nanos = 1000;
    event.id = (char[]){"e-1"};
    event.type = (char[]){"user_created"};
    event.version = 2;
    event.position = INT64_MAX;
    event.timestamp = &time;
    event.tags = tags;
    event.n_tags = 2;
    event.data = binary("{\"m\":10.10,\"s\":\"\\u00e4\"}");
    event.payload_digest = binary("\xff\xfe\xfd");
    event.payload_salt = binary("secret");
    event.processed = 1;
    assert_json(
        &event.base,
        "{\"id\":\"e-1\",\"type\":\"user_created\",\"aggregate_id\":\"\",\"aggregate_type\":\"\","
        "\"version\":2,\"position\":\"9223372036854775807\",\"timestamp\":\"2026-01-31T12:00:00.000001Z\","
        "\"correlation_id\":\"\",\"causation_id\":\"\",\"content_type\":\"\",\"schema_version\":0,"
        "\"tags\":[\"a:1\",\"b\\\"2\"],\"subject\":\"\",\"traceparent\":\"\",\"append_id\":\"\","
        "\"append_index\":0,\"append_count\":0,\"actor\":\"\",\"payload_digest\":\"//79\","
        "\"data\":{\"m\":10.10,\"s\":\"\\u00e4\"},\"metadata\":{},\"processed\":true}");
}

static void test_opaque_data_is_base64_and_the_rest_stays_json(void **state)
{
    (void)state;
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.content_type = (char[]){"image/png"};
    event.data = binary("\xde\xad\xbe\xef");
    event.metadata = binary("{\"a\":1}");
    char *json = json_of(&event.base);
    assert_non_null(strstr(json, "\"data\":\"3q2+7w==\",\"metadata\":{\"a\":1}"));
    free(json);
    event.content_type = (char[]){"application/json"};
    event.data = binary("{}");
    json = json_of(&event.base);
    assert_non_null(strstr(json, "\"data\":{},"));
    free(json);
}

/* A line break between tokens would end a line of NDJSON, and an event of a stream. */
static void test_raw_json_is_one_line(void **state)
{
    (void)state;
    Strata__V1__Snapshot snapshot = STRATA__V1__SNAPSHOT__INIT;
    snapshot.data = binary("{\r\n  \"a\": \"x\\n\"\n}");
    snapshot.state = STRATA__V1__SNAPSHOT__STATE__PENDING;
    char *json = json_of(&snapshot.base);
    assert_null(strpbrk(json, "\r\n"));
    assert_non_null(strstr(json, "\"data\":{    \"a\": \"x\\n\" },\"state\":\"PENDING\""));
    free(json);
}

static void test_maps_counters_and_doubles(void **state)
{
    (void)state;
    Strata__V1__StoreStats store = STRATA__V1__STORE_STATS__INIT;
    Strata__V1__StoreStats__CountersEntry one = STRATA__V1__STORE_STATS__COUNTERS_ENTRY__INIT;
    Strata__V1__StoreStats__CountersEntry two = STRATA__V1__STORE_STATS__COUNTERS_ENTRY__INIT;
    Strata__V1__StoreStats__CountersEntry *counters[] = {&one, &two};
    one.key = (char[]){"a\"b"};
    one.value = 7;
    two.key = (char[]){""};
    store.counters = counters;
    store.n_counters = 2;
    store.bytes = INT64_MIN;
    store.appends_per_second = 0.1;
    assert_json(&store.base,
                "{\"engine\":\"\",\"bytes\":-9223372036854775808,\"appends\":0,\"conflicts\":0,"
                "\"queue_depth\":0,\"appends_per_second\":0.1,\"counters\":{\"a\\\"b\":7,\"\":0}}");

    Strata__V1__Info__MetadataEntry entry = STRATA__V1__INFO__METADATA_ENTRY__INIT;
    Strata__V1__Info__MetadataEntry *metadata[] = {&entry};
    Strata__V1__Info info = STRATA__V1__INFO__INIT;
    entry.key = (char[]){"region"};
    entry.value = (char[]){"eu\n"};
    info.metadata = metadata;
    info.n_metadata = 1;
    char *json = json_of(&info.base);
    assert_non_null(strstr(json, "\"metadata\":{\"region\":\"eu\\n\"},\"event_types\":[]"));
    free(json);
}

static void test_absent_members_of_oneofs_and_messages_are_left_out(void **state)
{
    (void)state;
    Strata__V1__SubscribeResponse response = STRATA__V1__SUBSCRIBE_RESPONSE__INIT;
    Strata__V1__Checkpoint checkpoint = STRATA__V1__CHECKPOINT__INIT;
    assert_json(&response.base, "{}");
    response.message_case = STRATA__V1__SUBSCRIBE_RESPONSE__MESSAGE_CAUGHT_UP;
    response.caught_up = &checkpoint;
    assert_json(&response.base, "{\"caught_up\":{\"position\":\"0\",\"head_position\":\"0\"}}");
}

static void test_enums_of_a_newer_server_are_numbers(void **state)
{
    (void)state;
    Strata__V1__Health health = STRATA__V1__HEALTH__INIT;
    health.state = (Strata__V1__Health__State)77;
    assert_json(&health.base, "{\"state\":77,\"components\":[],\"security_mode\":\"\"}");
}

/* --- bytes that protobuf-c would not make --- */

struct wire_row {
    const char *why, *message;
    const char *wire;
    size_t size;
    const char *json; /* NULL: DAMAGED */
};

#define WIRE(text) text, sizeof(text) - 1

static const struct wire_row by_hand[] = {
    {"the last one of a scalar counts", "Checkpoint", WIRE("\x08\x01\x08\x02"),
     "{\"position\":\"2\",\"head_position\":\"0\"}"},
    {"unknown fields are not shown", "Checkpoint", WIRE("\xf8\x07\x05\x08\x01"),
     "{\"position\":\"1\",\"head_position\":\"0\"}"},
    {"fields may come in any order", "Checkpoint", WIRE("\x18\x03\x08\x01"),
     "{\"position\":\"1\",\"head_position\":\"3\"}"},
    {"a map entry without key and value", "StoreStats", WIRE("\x3a\x00"),
     "{\"engine\":\"\",\"bytes\":0,\"appends\":0,\"conflicts\":0,\"queue_depth\":0,\"appends_per_second\":0,"
     "\"counters\":{\"\":0}}"},
    {"a negative int32 of ten bytes", "AggregateHead", WIRE("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "{\"aggregate_id\":\"\",\"version\":-1,\"position\":\"0\"}"},
    {"an empty timestamp is 1970", "Checkpoint", WIRE("\x12\x00"),
     "{\"position\":\"0\",\"timestamp\":\"1970-01-01T00:00:00.000000Z\",\"head_position\":\"0\"}"},
    {"cut off in a number", "Checkpoint", WIRE("\x08\x80"), NULL},
    {"cut off in a text", "GetEventRequest",
     WIRE("\x0a\x05"
          "ab"),
     NULL},
    {"another wire type", "Checkpoint",
     WIRE("\x0a\x01"
          "a"),
     NULL},
    {"a group", "Checkpoint", WIRE("\x0b\x0c"), NULL},
    {"a time beyond the year 9999", "Checkpoint", WIRE("\x12\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
     NULL},
    {"negative nanoseconds", "Checkpoint", WIRE("\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     NULL},
    {"a duration of 300 milliard years", "Health.Component",
     WIRE("\x22\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), NULL},
    {"a time that is no time", "Checkpoint",
     WIRE("\x12\x03"
          "abc"),
     NULL},
    {"damage inside of a submessage", "ListEventsResponse", WIRE("\x0a\x02\x0a\x05"), NULL},
};

static void test_wire_is_read_as_it_stands_or_refused_as_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(by_hand); i++) {
        struct buffer json = buffer_make(0);
        const struct status status = transcode_to_json(message_called(by_hand[i].message),
                                                       bytes_of(by_hand[i].wire, by_hand[i].size), &json);
        if (by_hand[i].json == NULL
                ? status.reason != REASON_DAMAGED
                : status.code != STATUS_OK || strcmp(text_of(&json), by_hand[i].json) != 0)
            fail_msg("%s: %s %s %.*s", by_hand[i].why, status_reason_name(status.reason), status.message,
                     BYTES_FORMAT(buffer_bytes(&json)));
        buffer_done(&json);
    }
}

/* The list of occurrences moves to the heap beyond 48 of them. */
static void test_a_page_of_many_events(void **state)
{
    (void)state;
    struct buffer wire = buffer_make(0);
    struct buffer json = buffer_make(0);
    for (int i = 0; i < 1000; i++) {
        struct buffer event = buffer_make(0);
        wire_put_uint(&event, 6, (uint64_t)i + 1);
        wire_put_bytes(&wire, 1, buffer_bytes(&event));
        buffer_done(&event);
    }
    wire_put_bytes(&wire, 2, BYTES_LITERAL("next"));
    assert_status_ok(transcode_to_json(message_called("ListEventsResponse"), buffer_bytes(&wire), &json));
    const char *text = text_of(&json);
    int count = 0;
    for (const char *at = strstr(text, "\"position\":"); at != NULL; at = strstr(at + 1, "\"position\":"))
        count++;
    assert_int_equal(count, 1000);
    assert_non_null(strstr(text, "\"position\":\"1000\""));
    assert_non_null(strstr(text, "],\"next_page_token\":\"next\""));
    buffer_done(&wire);
    buffer_done(&json);
}

static void test_a_buffer_that_cannot_grow_is_an_error(void **state)
{
    (void)state;
    struct buffer json = buffer_make(20);
    assert_status(transcode_to_json(message_called("Checkpoint"), BYTES_LITERAL("\x08\x01"), &json),
                  STATUS_RESOURCE_EXHAUSTED);
    buffer_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_shows_everything_but_what_is_internal),
        cmocka_unit_test(test_opaque_data_is_base64_and_the_rest_stays_json),
        cmocka_unit_test(test_raw_json_is_one_line),
        cmocka_unit_test(test_maps_counters_and_doubles),
        cmocka_unit_test(test_absent_members_of_oneofs_and_messages_are_left_out),
        cmocka_unit_test(test_enums_of_a_newer_server_are_numbers),
        cmocka_unit_test(test_wire_is_read_as_it_stands_or_refused_as_damaged),
        cmocka_unit_test(test_a_page_of_many_events),
        cmocka_unit_test(test_a_buffer_that_cannot_grow_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
