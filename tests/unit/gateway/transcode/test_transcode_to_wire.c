/*
 * What goes in comes out by transcode_to_json, whose own tests are apart: so a row shows both forms of a
 * value.
 */
#include "base/json.h"
#include "strata/v1/event_service.pb-c.h"
#include "unit/gateway/transcode/transcode_fixture.h"

static const struct {
    const char *why, *message, *in, *out;
} good[] = {
    {"both spellings of a name", "Expectation", "{\"aggregateId\":\"a\",\"not_exist\":true}",
     "{\"aggregate_id\":\"a\",\"not_exist\":true}"},
    {"names may be escaped", "GetEventRequest", "{\"event\\u005fid\":\"a\"}", "{\"event_id\":\"a\"}"},
    {"escapes in strings are undone", "GetEventRequest", "{\"event_id\":\"\\u00e4\\ud83d\\ude00\\n\\\"\"}",
     "{\"event_id\":\"\xc3\xa4\xf0\x9f\x98\x80\\n\\\"\"}"},
    {"nothing is the default of everything", "GetEventRequest", "{}", "{\"event_id\":\"\"}"},
    {"white space everywhere", "GetEventRequest", " \n{ \"event_id\"\t: \"a\" } \r\n",
     "{\"event_id\":\"a\"}"},
    {"null is absent", "Expectation", "{\"aggregate_id\":null,\"exist\":null}", "{\"aggregate_id\":\"\"}"},
    {"a null beside the oneof's other member is no second one", "Expectation",
     "{\"not_exist\":null,\"exist\":true}", "{\"aggregate_id\":\"\",\"exist\":true}"},
    {"zero of a oneof is there", "Expectation", "{\"be_at_version\":0}",
     "{\"aggregate_id\":\"\",\"be_at_version\":0}"},
    {"zero of an optional field is there", "AppendCondition", "{\"after_position\":\"0\"}",
     "{\"after_position\":\"0\"}"},
    {"an empty message is there", "AppendCondition", "{\"fail_if_match\":{}}",
     "{\"fail_if_match\":{\"items\":[]}}"},
    {"int64 as a string", "Checkpoint", "{\"position\":\"9223372036854775807\",\"head_position\":\"-1\"}",
     "{\"position\":\"9223372036854775807\",\"head_position\":\"-1\"}"},
    {"int64 as a number, beyond what doubles hold", "Checkpoint",
     "{\"position\":9007199254740993,\"head_position\":1e3}",
     "{\"position\":\"9007199254740993\",\"head_position\":\"1000\"}"},
    {"int32 as a number and as a string", "AggregateHead",
     "{\"aggregate_id\":\"a\",\"version\":\"-2147483648\",\"position\":-0}",
     "{\"aggregate_id\":\"a\",\"version\":-2147483648,\"position\":\"0\"}"},
    {"double", "StoreStats", "{\"engine\":\"e\",\"appends_per_second\":0.25}",
     "{\"engine\":\"e\",\"bytes\":0,\"appends\":0,\"conflicts\":0,\"queue_depth\":0,"
     "\"appends_per_second\":0.25,\"counters\":{}}"},
    {"double as a string", "StoreStats", "{\"appends_per_second\":\"NaN\",\"bytes\":\"12\"}",
     "{\"engine\":\"\",\"bytes\":12,\"appends\":0,\"conflicts\":0,\"queue_depth\":0,"
     "\"appends_per_second\":\"NaN\",\"counters\":{}}"},
    {"times with an offset", "Checkpoint", "{\"timestamp\":\"2026-01-31T13:00:00.000001+01:00\"}",
     "{\"position\":\"0\",\"timestamp\":\"2026-01-31T12:00:00.000001Z\",\"head_position\":\"0\"}"},
    {"times before 1970", "Checkpoint", "{\"timestamp\":\"1969-12-31T23:59:59.999999Z\"}",
     "{\"position\":\"0\",\"timestamp\":\"1969-12-31T23:59:59.999999Z\",\"head_position\":\"0\"}"},
    {"zeros finer than microseconds", "Checkpoint", "{\"timestamp\":\"1970-01-01T00:00:00.123456000Z\"}",
     "{\"position\":\"0\",\"timestamp\":\"1970-01-01T00:00:00.123456Z\",\"head_position\":\"0\"}"},
    {"durations", "Health.Component", "{\"latency\":\"0.250s\"}",
     "{\"name\":\"\",\"state\":\"STATE_UNSPECIFIED\",\"reason\":\"\",\"latency\":\"0.250s\",\"required\":false}"},
    {"enums by name", "Health.Component", "{\"state\":\"DEGRADED\",\"required\":true}",
     "{\"name\":\"\",\"state\":\"DEGRADED\",\"reason\":\"\",\"required\":true}"},
    {"enums by number", "Health.Component", "{\"state\":3}",
     "{\"name\":\"\",\"state\":\"UNHEALTHY\",\"reason\":\"\",\"required\":false}"},
    {"decimals as numbers keep their digits", "OrderItem", "{\"unit_price\":10.10}",
     "{\"product_id\":\"\",\"name\":\"\",\"quantity\":0,\"unit_price\":\"10.10\"}"},
    {"decimals as strings", "OrderItem", "{\"unit_price\":\"0.000000000000000000001\"}",
     "{\"product_id\":\"\",\"name\":\"\",\"quantity\":0,\"unit_price\":\"0.000000000000000000001\"}"},
    {"lists of strings and of messages", "EventQuery",
     "{\"items\":[{\"types\":[\"a\",\"b\"]},{},{\"tags\":[]}]}",
     "{\"items\":[{\"types\":[\"a\",\"b\"],\"tags\":[],\"aggregate_types\":[],\"aggregate_ids\":[],"
     "\"aggregate_id_prefixes\":[],\"correlation_id\":\"\"},"
     "{\"types\":[],\"tags\":[],\"aggregate_types\":[],\"aggregate_ids\":[],"
     "\"aggregate_id_prefixes\":[],\"correlation_id\":\"\"},"
     "{\"types\":[],\"tags\":[],\"aggregate_types\":[],\"aggregate_ids\":[],"
     "\"aggregate_id_prefixes\":[],\"correlation_id\":\"\"}]}"},
    {"raw JSON token for token", "Change",
     "{\"field\":\"f\",\"old_value\":[10.10,1e400,-0,\"\\u00e4\\/\"],\"new_value\":{\"b\":1,\"a\":2}}",
     "{\"field\":\"f\",\"old_value\":[10.10,1e400,-0,\"\\u00e4\\/\"],\"new_value\":{\"b\":1,\"a\":2}}"},
};

static void test_values_of_every_kind_are_read(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct buffer wire;
        struct buffer json = buffer_in(arena, 0);
        struct status status = read_json(arena, good[i].message, good[i].in, &wire);
        if (status.code == STATUS_OK)
            status = schema_wire_check(message_called(good[i].message), buffer_bytes(&wire));
        if (status.code == STATUS_OK)
            status = transcode_to_json(message_called(good[i].message), buffer_bytes(&wire), &json);
        if (status.code != STATUS_OK)
            fail_msg("%s: %s", good[i].why, status.message);
        if (strcmp(text_of(&json), good[i].out) != 0)
            fail_msg("%s: got %s", good[i].why, (const char *)json.data);
    }
    arena_free(arena);
}

static const struct {
    const char *why, *message, *in;
    enum status_reason reason;
    const char *fields; /* all faulty ones, in order, each followed by a space */
    const char *message_part;
} faulty[] = {
    {"a string is no number", "GetEventRequest", "{\"event_id\":1}", REASON_INVALID_FIELD, "event_id ",
     "event_id is 1; it must be a string"},
    {"and no object", "GetEventRequest", "{\"event_id\":{\"a\":[1,{}]}}", REASON_INVALID_FIELD, "event_id ",
     "event_id is {\"a\":[1,{}]}; it must be a string"},
    {"NUL would end a string early", "GetEventRequest", "{\"event_id\":\"a\\u0000b\"}", REASON_INVALID_FIELD,
     "event_id ", "without NUL"},
    {"bool is not its name", "Expectation", "{\"exist\":\"true\"}", REASON_INVALID_FIELD, "exist ",
     "it must be true or false"},
    {"int32 has 32 bits", "AggregateHead", "{\"version\":2147483648}", REASON_INVALID_FIELD, "version ",
     "whole number of 32 bits"},
    {"int64 has 64", "Checkpoint", "{\"position\":9223372036854775808,\"head_position\":\"1.5\"}",
     REASON_INVALID_FIELD, "position head_position ", "position is 9223372036854775808; it must be a whole"},
    {"integers are no bools", "Checkpoint", "{\"position\":true}", REASON_INVALID_FIELD, "position ",
     "is true"},
    {"nanoseconds would be rounded", "Checkpoint", "{\"timestamp\":\"2026-01-31T12:00:00.0000001Z\"}",
     REASON_INVALID_FIELD, "timestamp ", "no finer than microseconds"},
    {"times are no numbers", "Checkpoint", "{\"timestamp\":1700000000}", REASON_INVALID_FIELD, "timestamp ",
     "must be a time"},
    {"nor objects", "Checkpoint", "{\"timestamp\":{\"seconds\":1}}", REASON_INVALID_FIELD, "timestamp ",
     "must be a time"},
    {"durations have a unit", "Health.Component", "{\"latency\":\"1\"}", REASON_INVALID_FIELD, "latency ",
     "a duration such as 1.5s"},
    {"unknown enum names and numbers", "Health", "{\"state\":\"FINE\",\"components\":[{\"state\":99}]}",
     REASON_INVALID_FIELD, "state components[0].state ", "must be one of HEALTHY, DEGRADED, UNHEALTHY"},
    {"a list is no single value", "EventQuery", "{\"items\":{\"types\":[]}}", REASON_INVALID_FIELD, "items ",
     "it must be a list in [ ]"},
    {"elements are of their type", "EventQuery", "{\"items\":[{\"types\":[\"a\",1,null]},7]}",
     REASON_INVALID_FIELD, "items[0].types[1] items[0].types[2] items[1] ", "items[0].types[1] is 1"},
    {"a message is an object", "AppendCondition", "{\"fail_if_match\":[1]}", REASON_INVALID_FIELD,
     "fail_if_match ", "is [1]; it must be a JSON object"},
    {"an unknown member, with a suggestion", "PublishEventRequest", "{\"expectedVerison\":1}",
     REASON_UNKNOWN_FIELD, "expectedVerison ", "did you mean expected_version?"},
    {"an unknown member without one", "PublishEventRequest", "{\"foo\":{\"bar\":[1,2]},\"type\":1}",
     REASON_UNKNOWN_FIELD, "foo type ", "foo is not a field of strata.v1.PublishEventRequest; leave it out"},
    {"internal fields are unknown", "Event", "{\"payload_salt\":\"\"}", REASON_UNKNOWN_FIELD, "payload_salt ",
     "payload_salt is not a field of strata.v1.Event; leave it out"},
    {"two spellings of one field", "PublishEventRequest", "{\"aggregate_id\":\"a\",\"aggregateId\":\"a\"}",
     REASON_INVALID_FIELD, "aggregate_id ", "given twice, as aggregate_id and aggregateId"},
    {"two of a oneof", "Expectation", "{\"exist\":true,\"not_exist\":false}", REASON_INVALID_FIELD,
     "not_exist ", "cannot be given together with exist"},
    {"paths lead to the place", "AppendEventsRequest",
     "{\"events\":[{},{\"version\":1},{\"occurred_at\":\"now\",\"tags\":[1]}],\"condition\":{\"after_position\":{}}}",
     REASON_UNKNOWN_FIELD,
     "events[1].version events[2].occurred_at events[2].tags[0] condition.after_position ",
     "events[1].version is not a field of strata.v1.NewEvent"},
    {"opaque data is base64", "PublishEventRequest", "{\"content_type\":\"image/png\",\"data\":{\"a\":1}}",
     REASON_INVALID_FIELD, "data ", "base64 string, since content_type is \"image/png\""},
    {"and good base64", "PublishEventRequest", "{\"data\":\"?\",\"content_type\":\"image/png\"}",
     REASON_INVALID_FIELD, "data ", "base64"},
    {"not JSON", "GetEventRequest", "{\"event_id\":\"a\"", REASON_INVALID_JSON, "", "not valid JSON"},
    {"more than JSON", "GetEventRequest", "{} {}", REASON_INVALID_JSON, "", "more text"},
    {"no text", "GetEventRequest", "", REASON_INVALID_JSON, "", "the text ends"},
    {"not an object", "GetEventRequest", "[]", REASON_INVALID_JSON, "", "is not a JSON object"},
    {"one name twice", "GetEventRequest", "{\"event_id\":\"a\",\"event_id\":\"a\"}", REASON_INVALID_JSON, "",
     "two members of this name"},
    {"also deep inside of raw JSON", "PublishEventRequest", "{\"data\":{\"a\":{\"b\":1,\"b\":1}}}",
     REASON_INVALID_JSON, "", "two members of this name"},
    {"a lone surrogate", "PublishEventRequest", "{\"data\":{\"a\":\"\\ud800\"}}", REASON_INVALID_JSON, "",
     "surrogate"},
};

static void test_wrong_values_are_refused_with_their_path(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(faulty); i++) {
        struct buffer wire;
        char fields[512] = "";
        const struct status status = read_json(arena, faulty[i].message, faulty[i].in, &wire);
        for (size_t j = 0; status.faults != NULL && j < status.faults->count; j++) {
            strcat(fields, status.faults->items[j].field);
            strcat(fields, " ");
        }
        if (status.reason != faulty[i].reason || strcmp(fields, faulty[i].fields) != 0 ||
            strstr(status.message, faulty[i].message_part) == NULL)
            fail_msg("%s: %s %s, fields %s", faulty[i].why, status_reason_name(status.reason), status.message,
                     fields);
    }
    arena_free(arena);
}

static void test_a_flood_of_faults_is_told_up_to_a_bound(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    struct buffer json = buffer_make(0);
    struct buffer wire;
    buffer_add_text(&json, "{\"x0\":0");
    for (int i = 1; i < 10000; i++)
        buffer_printf(&json, ",\"x%d\":%d", i, i);
    buffer_add_text(&json, "}");
    const struct status status = read_json(arena, "GetEventRequest", text_of(&json), &wire);
    assert_int_equal(status.reason, REASON_UNKNOWN_FIELD);
    assert_int_equal(status.faults->count, 64);
    buffer_done(&json);
    arena_free(arena);
}

static void test_an_outside_name_in_a_message_stays_utf_8(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    struct buffer json = buffer_make(0);
    struct buffer wire;
    buffer_add_text(&json, "{\"");
    for (int i = 0; i < 2000; i++)
        buffer_add_text(&json, "\xf0\x9f\x98\x80");
    buffer_add_text(
        &json,
        "\":1,\"event_id\":[\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"]}");
    const struct status status = read_json(arena, "GetEventRequest", text_of(&json), &wire);
    assert_int_equal(status.faults->count, 2);
    for (size_t i = 0; i < 2; i++) {
        struct buffer copy = buffer_in(arena, 0);
        struct bytes back;
        json_add_string(&copy, bytes_of_text(status.faults->items[i].field));
        json_add_string(&copy, bytes_of_text(status.faults->items[i].message));
        assert_true(strlen(status.faults->items[i].message) < 300);
        struct json_reader *reader = json_reader_new(
            arena,
            bytes_of(copy.data, (size_t)((uint8_t *)strchr((char *)copy.data + 1, '"') + 1 - copy.data)));
        assert_status_ok(json_skip_value(reader, NULL, &back)); /* a reader refuses what is not UTF-8 */
    }
    buffer_done(&json);
    arena_free(arena);
}

/* --- raw JSON --- */

static Strata__V1__PublishEventRequest *unpack(struct arena *arena, const char *json)
{
    struct buffer wire;
    assert_status_ok(read_json(arena, "PublishEventRequest", json, &wire));
    Strata__V1__PublishEventRequest *request =
        strata__v1__publish_event_request__unpack(NULL, wire.size_bytes, wire.data);
    assert_non_null(request);
    return request;
}

static void test_data_and_metadata_keep_every_token(void **state)
{
    (void)state;
    static const char data[] =
        "{ \"z\" : 10.10, \"a\":1e400 ,\"n\":-0,\"big\":123456789012345678901234567890, "
        "\"t\":\"\\u00e4 \\/ \xc3\xa4\", \"o\":{}, \"l\":[ ] }";
    struct arena *arena = arena_new(0);
    char json[512];
    snprintf(json, sizeof json, "{\"data\":%s,\"metadata\":{\"b\":1,\"a\":[true,null]}}", data);
    Strata__V1__PublishEventRequest *request = unpack(arena, json);
    assert_int_equal(request->data.len, sizeof data - 1);
    assert_memory_equal(request->data.data, data, sizeof data - 1);
    assert_int_equal(request->metadata.len, 23);
    assert_memory_equal(request->metadata.data, "{\"b\":1,\"a\":[true,null]}", 23);
    strata__v1__publish_event_request__free_unpacked(request, NULL);
    arena_free(arena);
}

static const struct {
    const char *json, *data;
} opaque[] = {
    {"{\"content_type\":\"image/png\",\"data\":\"3q2+7w==\"}", "\xde\xad\xbe\xef"},
    {"{\"data\":\"3q2-7w\",\"content_type\":\"image/png\"}", "\xde\xad\xbe\xef"}, /* the type comes later */
    {"{\"data\":\"\\u0033q2+7w==\",\"contentType\":\"image/png\"}", "\xde\xad\xbe\xef"},
    {"{\"data\":{\"a\":1},\"content_type\":\"application/json\"}", "{\"a\":1}"},
    {"{\"data\":{\"a\":1},\"content_type\":\"\"}", "{\"a\":1}"},
    {"{\"data\":{\"a\":1},\"content_type\":null}", "{\"a\":1}"},
    {"{\"data\":null,\"content_type\":\"image/png\"}", ""},
};

static void test_data_is_bytes_when_the_content_type_says_so(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(opaque); i++) {
        Strata__V1__PublishEventRequest *request = unpack(arena, opaque[i].json);
        if (!bytes_equal(bytes_of(request->data.data, request->data.len), bytes_of_text(opaque[i].data)))
            fail_msg("%s", opaque[i].json);
        strata__v1__publish_event_request__free_unpacked(request, NULL);
    }
    arena_free(arena);
}

/* Lengths of one, two and three bytes are put in front of what was written. */
static void test_messages_of_any_size_have_their_length(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,   1,   100, 118, 119,   120,   121,   122,   123,  124,
                                   125, 126, 127, 128, 16000, 16375, 16380, 16384, 70000};
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *text = malloc(sizes[i] + 1);
        struct buffer json = buffer_make(0);
        struct buffer wire;
        memset(text, 'x', sizes[i]);
        text[sizes[i]] = '\0';
        buffer_printf(&json,
                      "{\"events\":[{\"type\":\"%s\"},{\"id\":\"%s\",\"type\":\"t\"}],\"append_id\":\"k\"}",
                      text, text);
        assert_status_ok(read_json(arena, "AppendEventsRequest", text_of(&json), &wire));
        Strata__V1__AppendEventsRequest *request =
            strata__v1__append_events_request__unpack(NULL, wire.size_bytes, wire.data);
        assert_non_null(request);
        assert_int_equal(request->n_events, 2);
        assert_string_equal(request->events[0]->type, text);
        assert_string_equal(request->events[1]->id, text);
        assert_string_equal(request->append_id, "k");
        strata__v1__append_events_request__free_unpacked(request, NULL);
        buffer_done(&json);
        free(text);
    }
    arena_free(arena);
}

static void test_an_arena_that_is_spent_is_an_error_and_no_half_request(void **state)
{
    (void)state;
    static const char json[] =
        "{\"events\":[{\"id\":\"\\u0061\",\"data\":{\"a\":1}},{\"bad\":1}],\"append_id\":\"\\u0062\"}";
    bool through = false;
    for (size_t budget = 64; !through; budget += 256) {
        struct arena *arena = arena_new(budget);
        struct buffer wire;
        if (arena == NULL)
            continue;
        const struct status status = read_json(arena, "AppendEventsRequest", json, &wire);
        through = status.reason == REASON_UNKNOWN_FIELD;
        if (!through)
            assert_int_equal(status.code, STATUS_RESOURCE_EXHAUSTED);
        arena_free(arena);
        assert_true(budget < 1000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_kind_are_read),
        cmocka_unit_test(test_wrong_values_are_refused_with_their_path),
        cmocka_unit_test(test_a_flood_of_faults_is_told_up_to_a_bound),
        cmocka_unit_test(test_an_outside_name_in_a_message_stays_utf_8),
        cmocka_unit_test(test_data_and_metadata_keep_every_token),
        cmocka_unit_test(test_data_is_bytes_when_the_content_type_says_so),
        cmocka_unit_test(test_messages_of_any_size_have_their_length),
        cmocka_unit_test(test_an_arena_that_is_spent_is_an_error_and_no_half_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
