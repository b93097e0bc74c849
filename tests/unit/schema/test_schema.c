#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "schema/schema.h"

static const struct schema_message *message(const char *name)
{
    const struct schema_message *found = schema_message_by_name(bytes_of_text(name));
    if (found == NULL)
        fail_msg("no message %s", name);
    return found;
}

static const struct schema_field *field(const struct schema_message *of, const char *name)
{
    const struct schema_field *found = schema_field_by_name(of, bytes_of_text(name));
    if (found == NULL)
        fail_msg("%s has no field %s", of->name, name);
    return found;
}

static void test_every_field_is_found_by_number_and_by_both_spellings(void **state)
{
    (void)state;
    assert_true(schema_message_count > 40);
    for (size_t m = 0; m < schema_message_count; m++) {
        const struct schema_message *of = schema_messages[m];
        assert_ptr_equal(of, message(of->name));
        for (size_t i = 0; i < of->field_count; i++) {
            const struct schema_field *wanted = &of->fields[i];
            assert_ptr_equal(wanted, schema_field_by_number(of, wanted->number));
            assert_ptr_equal(wanted, field(of, wanted->name));
            assert_ptr_equal(wanted, field(of, wanted->json_name));
            if (i > 0)
                assert_true(of->fields[i - 1].number < wanted->number);
        }
        assert_null(schema_field_by_number(of, 0));
        assert_null(schema_field_by_number(of, 200));
        assert_null(schema_field_by_number(of, UINT32_MAX));
        assert_null(schema_field_by_name(of, BYTES_NONE));
        assert_null(schema_field_by_name(of, BYTES_LITERAL("expectedVerison")));
    }
}

static void test_a_name_is_compared_whole(void **state)
{
    (void)state;
    const struct schema_message *event = message("strata.v1.Event");
    assert_ptr_equal(schema_event, event);
    assert_null(schema_field_by_name(event, BYTES_LITERAL("aggregate_i")));
    assert_null(schema_field_by_name(event, BYTES_LITERAL("aggregate_idx")));
    assert_null(schema_field_by_name(event, BYTES_LITERAL("aggregate_id\0")));
    assert_null(schema_field_by_name(event, BYTES_LITERAL("AggregateId")));
    assert_null(schema_message_by_name(BYTES_LITERAL("strata.v1.Even")));
    assert_null(schema_message_by_name(BYTES_NONE));
}

static void test_options_of_fields_are_in_the_table(void **state)
{
    (void)state;
    const struct schema_message *event = message("strata.v1.Event");
    assert_int_equal(field(event, "data")->flags, SCHEMA_RAW_JSON);
    assert_int_equal(field(event, "payload_salt")->flags, SCHEMA_INTERNAL);
    assert_int_equal(field(event, "tags")->flags, SCHEMA_REPEATED);
    assert_int_equal(field(event, "timestamp")->flags, SCHEMA_PRESENCE);
    assert_int_equal(field(event, "timestamp")->message->special, SCHEMA_TIMESTAMP);

    const struct schema_message *publish = message("strata.v1.PublishEventRequest");
    assert_string_equal(field(publish, "idempotencyKey")->http_header, "Idempotency-Key");
    assert_int_equal(field(publish, "version")->flags, SCHEMA_PRESENCE);
    assert_int_equal(field(publish, "version")->oneof, -1); /* `optional` is no oneof */
    assert_int_equal(publish->oneof_count, 0);

    const struct schema_message *get = message("strata.v1.GetAggregateRequest");
    assert_int_equal(field(get, "as_of_version")->oneof, 0);
    assert_string_equal(get->oneofs[0], "as_of");

    assert_int_equal(field(message("strata.v1.OrderCreated"), "total_amount")->flags, SCHEMA_DECIMAL);
    const struct schema_field *counts = field(message("strata.v1.Stats"), "events_by_type");
    assert_int_equal(counts->flags, SCHEMA_REPEATED | SCHEMA_MAP | SCHEMA_JSON_NUMBER);
    assert_string_equal(counts->message->fields[0].name, "key");
    assert_string_equal(counts->message->fields[1].name, "value");
}

static void test_enums_are_found_by_name_and_number(void **state)
{
    (void)state;
    const struct schema_enum *direction = field(message("strata.v1.ListEventsRequest"), "direction")->values;
    assert_int_equal(schema_enum_by_name(direction, BYTES_LITERAL("BACKWARD"))->number, 2);
    assert_string_equal(schema_enum_by_number(direction, 1)->name, "FORWARD");
    assert_null(schema_enum_by_name(direction, BYTES_LITERAL("BACK")));
    assert_null(schema_enum_by_number(direction, 3));
}

/* The tables and protobuf-c are made from one contract, so they must name the same things. */
static void test_methods_agree_with_protobuf_c(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCHEMA_METHOD_COUNT; i++) {
        const struct schema_method *method = schema_method((enum schema_method_id)i);
        assert_string_equal(method->request->name, method->request_descriptor->name);
        assert_string_equal(method->reply->name, method->reply_descriptor->name);
        assert_int_equal(method->request->field_count, method->request_descriptor->n_fields);
        assert_true(method->request->unpacked_bytes >= method->request_descriptor->sizeof_message);
        assert_true(method->role >= SCHEMA_ROLE_PUBLIC && method->role <= SCHEMA_ROLE_ADMIN);
        assert_true(method->http_success >= 200 && method->http_success < 300);
        char path[128];
        (void)snprintf(path, sizeof path, "/%s/%s", method->service, method->name);
        assert_string_equal(path, method->path);
    }
}

static void test_publish_has_its_rule(void **state)
{
    (void)state;
    const struct schema_method *publish = schema_method(METHOD_EVENT_SERVICE_PUBLISH_EVENT);
    assert_string_equal(publish->path, "/strata.v1.EventService/PublishEvent");
    assert_int_equal(publish->http_success, 201);
    assert_int_equal(publish->role, SCHEMA_ROLE_WRITER);
    assert_int_equal(publish->rate, SCHEMA_RATE_WRITE);
    assert_true(publish->mutating);
    assert_false(publish->retry_safe);
    assert_string_equal(publish->http_location, "/api/v1/events/id/{event.id}");
    assert_true(schema_method(METHOD_EVENT_SERVICE_APPEND_STREAM)->client_stream);
    assert_true(schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->server_stream);
    assert_false(schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->client_stream);
}

/* The documented calls, as clients type them. */
static void test_documented_routes_are_in_the_table(void **state)
{
    (void)state;
    static const struct {
        const char *verb, *path;
        enum schema_method_id method;
    } documented[] = {
        {"POST", "/api/v1/aggregates", METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE},
        {"GET", "/api/v1/aggregates", METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES},
        {"GET", "/api/v1/aggregates/{id}", METHOD_AGGREGATE_SERVICE_GET_AGGREGATE},
        {"PUT", "/api/v1/aggregates/{id}", METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE},
        {"POST", "/api/v1/events/publish", METHOD_EVENT_SERVICE_PUBLISH_EVENT},
        {"POST", "/api/v1/events/append", METHOD_EVENT_SERVICE_APPEND_EVENTS},
        {"GET", "/api/v1/events", METHOD_EVENT_SERVICE_LIST_EVENTS},
        {"GET", "/api/v1/events/id/{event_id}", METHOD_EVENT_SERVICE_GET_EVENT},
        {"GET", "/api/v1/events/aggregate/{aggregate_id}", METHOD_EVENT_SERVICE_LIST_EVENTS},
        {"GET", "/api/v1/events/type/{type}", METHOD_EVENT_SERVICE_LIST_EVENTS},
        {"GET", "/api/v1/events/aggregate-type/{aggregate_type}", METHOD_EVENT_SERVICE_LIST_EVENTS},
        {"GET", "/api/v1/events/subscribe", METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE},
        {"GET", "/api/v1/subscriptions", METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS},
        {"POST", "/api/v1/snapshots", METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT},
        {"GET", "/api/v1/snapshots", METHOD_SNAPSHOT_SERVICE_LIST_SNAPSHOTS},
        {"GET", "/api/v1/snapshots/{aggregate_id}", METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT},
        {"GET", "/api/v1/snapshots/{aggregate_id}/latest", METHOD_SNAPSHOT_SERVICE_GET_LATEST_SNAPSHOT},
        {"GET", "/api/v1/stats", METHOD_SYSTEM_SERVICE_GET_STATS},
        {"GET", "/api/v1/info", METHOD_SYSTEM_SERVICE_GET_INFO},
        {"GET", "/health", METHOD_SYSTEM_SERVICE_GET_HEALTH},
        {"POST", "/api/v1/operations", METHOD_SYSTEM_SERVICE_START_OPERATION},
        {"GET", "/api/v1/operations", METHOD_SYSTEM_SERVICE_LIST_OPERATIONS},
        {"GET", "/api/v1/operations/{id}", METHOD_SYSTEM_SERVICE_GET_OPERATION},
        {"POST", "/api/v1/operations/{id}/cancel", METHOD_SYSTEM_SERVICE_CANCEL_OPERATION},
    };
    assert_int_equal(schema_route_count, ARRAY_SIZE(documented));
    for (size_t i = 0; i < ARRAY_SIZE(documented); i++) {
        bool found = false;
        for (size_t r = 0; r < schema_route_count; r++)
            found = found || (strcmp(schema_routes[r].verb, documented[i].verb) == 0 &&
                              strcmp(schema_routes[r].path, documented[i].path) == 0 &&
                              schema_routes[r].method == documented[i].method);
        if (!found)
            fail_msg("no route %s %s", documented[i].verb, documented[i].path);
    }
}

static void test_segments_are_the_template(void **state)
{
    (void)state;
    for (size_t r = 0; r < schema_route_count; r++) {
        const struct schema_route *route = &schema_routes[r];
        char path[256] = "";
        for (size_t i = 0; i < route->segment_count; i++) {
            const struct schema_segment *segment = &route->segments[i];
            const size_t end = strlen(path);
            if (segment->field == NULL) {
                (void)snprintf(path + end, sizeof path - end, "/%s", segment->literal);
                continue;
            }
            (void)snprintf(path + end, sizeof path - end, "/{%s}", segment->field->name);
            const struct schema_message *request = schema_method(route->method)->request;
            assert_ptr_equal(segment->field, schema_field_by_number(request, segment->field->number));
        }
        assert_string_equal(path, route->path);
    }
}

static void test_blobs_are_whole(void **state)
{
    (void)state;
    assert_int_equal(strlen(schema_openapi_json), schema_openapi_json_bytes);
    assert_non_null(strstr(schema_openapi_json, "\"openapi\": \"3.1.0\""));
    assert_non_null(strstr(schema_openapi_json, "/api/v1/events/publish"));
    assert_int_equal(strlen(schema_asyncapi_json), schema_asyncapi_json_bytes);
    assert_non_null(strstr(schema_asyncapi_json, "\"asyncapi\": \"3.0.0\""));

    const struct bytes set = bytes_of(schema_descriptor_set, schema_descriptor_set_bytes);
    static const char *const files[] = {
        "strata/v1/event_service.proto",   "google/api/annotations.proto",
        "google/protobuf/timestamp.proto", "google/rpc/error_details.proto",
        "grpc/health/v1/health.proto",     "grpc/reflection/v1alpha/reflection.proto"};
    bool seen[ARRAY_SIZE(files)] = {false};
    struct wire_field file, name;
    for (size_t at = 0; at < set.size_bytes;) {
        assert_true(wire_next(set, &at, &file));
        size_t inner = 0;
        assert_true(wire_next(file.bytes, &inner, &name)); /* FileDescriptorProto.name = 1 comes first */
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
            seen[i] = seen[i] || bytes_equal(name.bytes, bytes_of_text(files[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (!seen[i])
            fail_msg("the descriptor set lacks %s", files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_found_by_number_and_by_both_spellings),
        cmocka_unit_test(test_a_name_is_compared_whole),
        cmocka_unit_test(test_options_of_fields_are_in_the_table),
        cmocka_unit_test(test_enums_are_found_by_name_and_number),
        cmocka_unit_test(test_methods_agree_with_protobuf_c),
        cmocka_unit_test(test_publish_has_its_rule),
        cmocka_unit_test(test_documented_routes_are_in_the_table),
        cmocka_unit_test(test_segments_are_the_template),
        cmocka_unit_test(test_blobs_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
