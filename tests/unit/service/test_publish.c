#include "world.h"

#include <stdio.h>

static int set_up(void **state)
{
    static struct world world;
    world_open(&world, NULL);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

/* --- expectations: the table of the design --- */

enum situation { UNKNOWN, CREATED, AT_THREE };

static void bring_to(struct world *world, const char *id, enum situation situation)
{
    if (situation == CREATED)
        create(world, id, "custom", "{}");
    for (int i = 0; situation == AT_THREE && i < 3; i++)
        (void)publish_custom(world, id, "{}");
}

enum ask { ANY, VERSION, EXPECTED };
static const struct {
    const char *why;
    enum situation situation;
    enum ask ask;
    int32_t number;
    int32_t becomes; /* 0 = refused */
    int32_t current; /* of the refusal; -1 = no aggregate */
} expectations[] = {
    {"any, unknown", UNKNOWN, ANY, 0, 1, 0},
    {"any, created", CREATED, ANY, 0, 1, 0},
    {"any, at 3", AT_THREE, ANY, 0, 4, 0},
    {"version 1, unknown", UNKNOWN, VERSION, 1, 1, 0},
    {"version 1, created", CREATED, VERSION, 1, 1, 0},
    {"version 1, at 3", AT_THREE, VERSION, 1, 0, 3},
    {"expected 0, unknown", UNKNOWN, EXPECTED, 0, 1, 0},
    {"expected 0, created", CREATED, EXPECTED, 0, 1, 0},
    {"expected 0, at 3", AT_THREE, EXPECTED, 0, 0, 3},
    {"version 4, unknown", UNKNOWN, VERSION, 4, 0, -1},
    {"version 4, created", CREATED, VERSION, 4, 0, 0},
    {"version 4, at 3", AT_THREE, VERSION, 4, 4, 0},
    {"expected 3, unknown", UNKNOWN, EXPECTED, 3, 0, -1},
    {"expected 3, created", CREATED, EXPECTED, 3, 0, 0},
    {"expected 3, at 3", AT_THREE, EXPECTED, 3, 4, 0},
};

static void set_version(Strata__V1__PublishEventRequest *request, int32_t version)
{
    request->_version_case = STRATA__V1__PUBLISH_EVENT_REQUEST___VERSION_VERSION;
    request->version = version;
}

static void set_expected(Strata__V1__PublishEventRequest *request, int32_t version)
{
    request->_expected_version_case = STRATA__V1__PUBLISH_EVENT_REQUEST___EXPECTED_VERSION_EXPECTED_VERSION;
    request->expected_version = version;
}

static void test_publish_follows_the_table_of_expectations(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_SIZE(expectations); i++) {
        char id[32];
        snprintf(id, sizeof id, "row-%zu", i);
        bring_to(world, id, expectations[i].situation);
        Strata__V1__PublishEventRequest request = publish_request("custom", id, "custom", "{}");
        if (expectations[i].ask == VERSION)
            set_version(&request, expectations[i].number);
        if (expectations[i].ask == EXPECTED)
            set_expected(&request, expectations[i].number);
        struct status status;
        Strata__V1__PublishEventResponse *response = publish(world, &request, &status);
        if (expectations[i].becomes > 0) {
            if (response == NULL || response->event->version != expectations[i].becomes)
                fail_msg("%s: %s", expectations[i].why, status.message);
        } else if (status.reason != REASON_VERSION_CONFLICT ||
                   status.current_version != expectations[i].current) {
            fail_msg("%s: reason %d, current %d, \"%s\"", expectations[i].why, status.reason,
                     status.current_version, status.message);
        }
        test_message_free(response);
    }
}

static void test_version_zero_and_contradictions_are_refused(void **state)
{
    struct status status;
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    set_version(&request, 0);
    assert_null(publish(*state, &request, &status));
    assert_int_equal(status.reason, REASON_VERSION_ZERO);
    set_version(&request, 4);
    set_expected(&request, 2);
    assert_null(publish(*state, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    set_expected(&request, 3);
    assert_null(publish(*state, &request, &status));
    assert_int_equal(status.reason, REASON_VERSION_CONFLICT);
}

/* --- what is stored --- */

static void test_publish_answers_the_stored_event_with_compact_json(void **state)
{
    Strata__V1__PublishEventRequest request = publish_request(
        "user_created", "user-1", "user",
        " { \"user_id\" : \"user-1\",\n \"email\":\"a@b.de\", \"first_name\":\"A\", \"last_name\":\"B\", "
        "\"role\":\"user\", \"n\": 1.50e+02 } ");
    request.metadata = json("{\"source\": \"s\", \"correlation_id\": \"corr-123\"}");
    char *tags[] = {T("a:1"), T("a:1"), T("b:2")};
    request.tags = tags;
    request.n_tags = 3;
    Strata__V1__PublishEventResponse *response = publish(*state, &request, NULL);
    const Strata__V1__Event *event = response->event;
    assert_json(event->data,
                "{\"user_id\":\"user-1\",\"email\":\"a@b.de\",\"first_name\":\"A\",\"last_name\":\"B\","
                "\"role\":\"user\",\"n\":1.50e+02}");
    assert_string_equal(event->correlation_id, "corr-123");
    assert_int_equal(event->version, 1);
    assert_int_equal(event->position, 1);
    assert_int_equal(event->n_tags, 2);
    assert_string_equal(event->actor, "anonymous");
    assert_string_equal(event->append_id, event->id);
    assert_int_equal(event->payload_digest.len, 32);
    test_message_free(response);
}

static const struct {
    const char *why;
    const char *type, *aggregate_id, *aggregate_type, *data, *metadata, *correlation_id, *id, *key;
    enum status_reason reason;
    const char *field;
} refusals[] = {
    {"no type", "", "a", "custom", "{}", NULL, "", "", "", REASON_INVALID_ID, "type"},
    {"a system type", "$activated", "a", "custom", "{}", NULL, "", "", "", REASON_INVALID_ID, "type"},
    {"a slash in a type", "a/b", "a", "custom", "{}", NULL, "", "", "", REASON_INVALID_ID, "type"},
    {"an id of dots", "custom", "..", "custom", "{}", NULL, "", "", "", REASON_INVALID_ID, "aggregate_id"},
    {"a type nobody knows", "surprise", "a", "custom", "{}", NULL, "", "", "", REASON_TYPE_NOT_ALLOWED,
     "type"},
    {"an aggregate type nobody knows", "custom", "a", "cart", "{}", NULL, "", "", "", REASON_TYPE_NOT_ALLOWED,
     "aggregate_type"},
    {"a type for others", "user_created", "a", "order",
     "{\"user_id\":\"a\",\"email\":\"a@b.de\",\"first_name\":\"A\",\"last_name\":\"B\",\"role\":\"user\"}",
     NULL, "", "", "", REASON_TYPE_MISMATCH, "type"},
    {"no object", "custom", "a", "custom", "[1]", NULL, "", "", "", REASON_INVALID_JSON, "data"},
    {"a name twice", "custom", "a", "custom", "{\"a\":1,\"a\":2}", NULL, "", "", "", REASON_INVALID_JSON,
     "data"},
    {"metadata is text", "custom", "a", "custom", "{}", "\"x\"", "", "", "", REASON_INVALID_JSON, "metadata"},
    {"contradicting correlation", "custom", "a", "custom", "{}", "{\"correlation_id\":\"x\"}", "y", "", "",
     REASON_INVALID_FIELD, "metadata.correlation_id"},
    {"a correlation that is a number", "custom", "a", "custom", "{}", "{\"correlation_id\":7}", "", "", "",
     REASON_INVALID_FIELD, "metadata.correlation_id"},
    {"a number beside the event's own", "custom", "a", "custom", "{}", "{\"correlation_id\":7}", "7", "", "",
     REASON_INVALID_FIELD, "metadata.correlation_id"},
    {"a causation that is an object", "custom", "a", "custom", "{}",
     "{\"x\":1,\"causation_id\":{\"correlation_id\":\"deep\"},\"correlation_id\":\"c\"}", "", "", "",
     REASON_INVALID_FIELD, "metadata.causation_id"},
    {"a causation that is a list", "custom", "a", "custom", "{}", "{\"causation_id\":[\"c\"]}", "", "", "",
     REASON_INVALID_FIELD, "metadata.causation_id"},
    {"another aggregate's user_id", "user_created", "a", "user", "{\"user_id\":\"b\"}", NULL, "", "", "",
     REASON_INVALID_FIELD, "data.user_id"},
    {"key and id", "custom", "a", "custom", "{}", NULL, "", "e-1", "k-1", REASON_INVALID_FIELD,
     "idempotency_key"},
};

static void test_publish_refuses_by_name_and_field(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        Strata__V1__PublishEventRequest request = publish_request(
            refusals[i].type, refusals[i].aggregate_id, refusals[i].aggregate_type, refusals[i].data);
        request.metadata = json(refusals[i].metadata);
        request.correlation_id = T(refusals[i].correlation_id);
        request.id = T(refusals[i].id);
        request.idempotency_key = T(refusals[i].key);
        struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
        if (reply.status.reason != refusals[i].reason || reply.fault_count != 1 ||
            strcmp(reply.faults[0], refusals[i].field) != 0)
            fail_msg("%s: %s, field %s: %s", refusals[i].why, status_reason_name(reply.status.reason),
                     reply.fault_count > 0 ? reply.faults[0] : "none", reply.status.message);
        test_reply_done(&reply);
    }
    assert_int_equal(world_head(world), 0);
}

static void test_null_ids_in_metadata_are_as_good_as_none(void **state)
{
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    request.metadata = json("{\"correlation_id\":null,\"causation_id\":\"c-1\"}");
    request.correlation_id = T("own");
    Strata__V1__PublishEventResponse *response = publish(*state, &request, NULL);
    assert_string_equal(response->event->correlation_id, "own");
    assert_string_equal(response->event->causation_id, "c-1");
    test_message_free(response);
}

static void test_all_faulty_fields_are_listed(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = publish_request("a/b", "..", "custom", "{");
    struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
    assert_int_equal(reply.fault_count, 3);
    assert_string_equal(reply.faults[0], "type");
    assert_string_equal(reply.faults[1], "aggregate_id");
    assert_string_equal(reply.faults[2], "data");
    test_reply_done(&reply);
}

static void test_times_finer_than_a_microsecond_are_refused(void **state)
{
    struct status status;
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = 1;
    time.nanos = 1500;
    request.occurred_at = &time;
    assert_null(publish(*state, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    time.nanos = 1000;
    Strata__V1__PublishEventResponse *response = publish(*state, &request, NULL);
    assert_int_equal(response->event->occurred_at->nanos, 1000);
    test_message_free(response);
}

static void test_too_large_an_event_is_413(void **state)
{
    (void)state;
    struct world world;
    const struct service_options options = {.limits = {.event_data_max_bytes = 20}};
    world_open(&world, &options);
    struct status status;
    Strata__V1__PublishEventRequest request =
        publish_request("custom", "a", "custom", "{\"a\":\"0123456789abcdef\"}");
    assert_null(publish(&world, &request, &status));
    assert_int_equal(status.reason, REASON_EVENT_TOO_LARGE);
    assert_non_null(strstr(status.message, "max_event_data_size is 20"));
    world_close(&world);
}

/* --- idempotency --- */

static void test_a_repeated_key_answers_the_first_result(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{\"n\":1}");
    request.idempotency_key = T("key-1");
    Strata__V1__PublishEventResponse *first = publish(world, &request, NULL);
    (void)publish_custom(world, "a", "{}");
    set_version(&request, 9); /* a replay wins over every expectation */
    Strata__V1__PublishEventResponse *again = publish(world, &request, NULL);
    assert_false(first->replayed);
    assert_true(again->replayed);
    assert_string_equal(first->event->id, again->event->id);
    assert_int_equal(again->event->version, 1);
    assert_string_equal(again->event->append_id, "key-1");
    assert_int_equal(world_head(world), 2);
    test_message_free(first);
    test_message_free(again);
}

static void test_an_id_with_other_content_is_refused(void **state)
{
    struct status status;
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{\"n\":1}");
    request.id = T("event-1");
    test_message_free(publish(*state, &request, NULL));
    request.data = json("{\"n\": 1}"); /* the same tokens */
    Strata__V1__PublishEventResponse *again = publish(*state, &request, NULL);
    assert_true(again->replayed);
    test_message_free(again);
    request.data = json("{\"n\":2}");
    assert_null(publish(*state, &request, &status));
    assert_int_equal(status.reason, REASON_EVENT_ID_USED);
}

static void test_validate_only_records_nothing(void **state)
{
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    request.validate_only = 1;
    Strata__V1__PublishEventResponse *response = publish(*state, &request, NULL);
    assert_int_equal(response->event->version, 1);
    assert_int_equal(world_head(*state), 0);
    test_message_free(response);
}

/* 201 and a Location would say that it is there: the gateway adds the latter to the former only. */
static void test_validate_only_is_no_201(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    request.validate_only = 1;
    struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
    assert_status_ok(reply.status);
    assert_int_equal(reply.http_status, 200);
    test_reply_done(&reply);
    request.validate_only = 0;
    reply = test_call(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
    assert_int_equal(reply.http_status, 0); /* the method's */
    test_reply_done(&reply);

    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.aggregate_id = T("a");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    append.events = events;
    append.n_events = 1;
    append.validate_only = 1;
    reply = test_call(world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &append.base);
    assert_status_ok(reply.status);
    assert_int_equal(reply.http_status, 200);
    test_reply_done(&reply);
}

/* --- AppendEvents --- */

static void *append(struct world *world, const Strata__V1__AppendEventsRequest *request, struct status *ret)
{
    return call_method_of(world, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request->base,
                          &strata__v1__append_events_response__descriptor, ret);
}

static Strata__V1__NewEvent new_event(const char *aggregate_id, const char *data)
{
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.aggregate_id = T(aggregate_id);
    event.aggregate_type = T("custom");
    event.data = json(data);
    return event;
}

static void test_append_to_several_aggregates_is_all_or_nothing(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent one = new_event("a", "{}");
    Strata__V1__NewEvent two = new_event("b", "{}");
    Strata__V1__NewEvent three = new_event("a", "{}");
    Strata__V1__NewEvent *events[] = {&one, &two, &three};
    Strata__V1__Expectation expectation = STRATA__V1__EXPECTATION__INIT;
    Strata__V1__Expectation *expected[] = {&expectation};
    expectation.aggregate_id = T("c");
    expectation.must_case = STRATA__V1__EXPECTATION__MUST_EXIST;
    expectation.exist = 1;
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = events;
    request.n_events = 3;
    request.expectations = expected;
    request.n_expectations = 1;
    struct status status;
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_VERSION_CONFLICT);
    assert_int_equal(world_head(world), 0);

    request.n_expectations = 0;
    Strata__V1__AppendEventsResponse *response = append(world, &request, NULL);
    assert_int_equal(response->first_position, 1);
    assert_int_equal(response->last_position, 3);
    assert_int_equal(response->n_heads, 2);
    assert_string_equal(response->heads[0]->aggregate_id, "a");
    assert_int_equal(response->heads[0]->version, 2);
    assert_int_equal(response->heads[0]->position, 3);
    assert_int_equal(response->n_event_ids, 3);
    assert_string_equal(response->append_id, response->event_ids[0]);
    test_message_free(response);
}

static void test_expectations_are_one_an_aggregate(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent event = new_event("a", "{}");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__Expectation given[3];
    Strata__V1__Expectation *expected[3];
    for (size_t i = 0; i < 3; i++) {
        given[i] = (Strata__V1__Expectation)STRATA__V1__EXPECTATION__INIT;
        given[i].aggregate_id = T(i == 1 ? "b" : "a");
        given[i].must_case = STRATA__V1__EXPECTATION__MUST_NOT_EXIST;
        given[i].not_exist = 1;
        expected[i] = &given[i];
    }
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = events;
    request.n_events = 1;
    request.expectations = expected;
    request.n_expectations = 3;
    struct status status;
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_non_null(strstr(status.message, "\"a\""));
    request.n_expectations = 2;
    test_message_free(append(world, &request, NULL));
}

static void test_a_condition_fails_on_a_later_match_only(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    (void)publish_custom(world, "b", "{}");
    Strata__V1__NewEvent event = new_event("c", "{}");
    Strata__V1__NewEvent *events[] = {&event};
    char *ids[] = {T("b")};
    Strata__V1__QueryItem item = STRATA__V1__QUERY_ITEM__INIT;
    item.aggregate_ids = ids;
    item.n_aggregate_ids = 1;
    Strata__V1__QueryItem *items[] = {&item};
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    query.items = items;
    query.n_items = 1;
    Strata__V1__AppendCondition condition = STRATA__V1__APPEND_CONDITION__INIT;
    condition.fail_if_match = &query;
    condition._after_position_case = STRATA__V1__APPEND_CONDITION___AFTER_POSITION_AFTER_POSITION;
    condition.after_position = 1;
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.append_id = T("dcb-1");
    request.events = events;
    request.n_events = 1;
    request.condition = &condition;
    struct status status;
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_CONDITION_FAILED);
    condition.after_position = 2;
    test_message_free(append(world, &request, NULL));
    condition.after_position = 0; /* would fail now, but a replay wins */
    Strata__V1__AppendEventsResponse *again = append(world, &request, NULL);
    assert_true(again->replayed);
    test_message_free(again);
}

static void test_bad_appends_name_the_path(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent good = new_event("a", "{}");
    Strata__V1__NewEvent bad = new_event("..", "{");
    Strata__V1__NewEvent *events[] = {&good, &bad};
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    struct status status;
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    request.events = events;
    request.n_events = 2;
    struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base);
    assert_int_equal(reply.fault_count, 2);
    assert_string_equal(reply.faults[0], "events[1].aggregate_id");
    assert_string_equal(reply.faults[1], "events[1].data");
    test_reply_done(&reply);
    bad = new_event("a", "{}");
    good.id = bad.id = T("same");
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
}

/* What was found out of one event's types is nobody else's but of those that have the same. */
static void test_each_events_types_are_judged(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent given[5];
    Strata__V1__NewEvent *events[5];
    for (size_t i = 0; i < 5; i++) {
        given[i] = new_event((const char *[]){"a", "b", "c", "d", "e"}[i], "{}");
        events[i] = &given[i];
    }
    given[1].type = T("never heard of");
    given[2].aggregate_type = T("nor_of_this");
    given[3].type = T("user_deleted"); /* of aggregates of another type */
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = events;
    request.n_events = 5;
    struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base);
    assert_int_equal(reply.fault_count, 3);
    assert_string_equal(reply.faults[0], "events[1].type");
    assert_string_equal(reply.faults[1], "events[2].aggregate_type");
    assert_string_equal(reply.faults[2], "events[3].type");
    test_reply_done(&reply);
}

/* "events[1]: events[1].data.user_id …" would send its reader looking for a list within a list. */
static void test_a_path_is_told_once(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent good = new_event("a", "{}");
    Strata__V1__NewEvent bad = new_event("u", "{\"user_id\":7}");
    bad.type = T("user_deleted");
    bad.aggregate_type = T("user");
    Strata__V1__NewEvent *events[] = {&good, &bad};
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = events;
    request.n_events = 2;
    struct status status;
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    const char *path = strstr(status.message, "events[1].data.user_id");
    assert_non_null(path);
    assert_ptr_equal(strstr(status.message, "events[1]"), path);
    assert_null(strstr(path + 1, "events[1]"));
    bad = new_event("a", "{");
    assert_null(append(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_JSON);
    assert_ptr_equal(strstr(status.message, "events[1]: data: "), status.message);
}

/* How many fields are faulty is said once. */
static void test_several_faults_of_one_payload_are_counted_once(void **state)
{
    struct world *world = *state;
    struct status status;
    Strata__V1__PublishEventRequest request =
        publish_request("order_created", "a", "order", "{\"currency\":\"eur\",\"items\":5}");
    assert_null(publish(world, &request, &status));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_ptr_equal(strstr(status.message, "3 fields of the order_created payload are wrong; the first: "),
                     status.message);
    request.subject = T("a b");
    assert_null(publish(world, &request, &status));
    assert_ptr_equal(strstr(status.message, "4 fields are faulty; the first: subject "), status.message);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_publish_follows_the_table_of_expectations),
        CASE(test_version_zero_and_contradictions_are_refused),
        CASE(test_publish_answers_the_stored_event_with_compact_json),
        CASE(test_publish_refuses_by_name_and_field),
        CASE(test_several_faults_of_one_payload_are_counted_once),
        CASE(test_null_ids_in_metadata_are_as_good_as_none),
        CASE(test_all_faulty_fields_are_listed),
        CASE(test_times_finer_than_a_microsecond_are_refused),
        CASE(test_too_large_an_event_is_413),
        CASE(test_a_repeated_key_answers_the_first_result),
        CASE(test_an_id_with_other_content_is_refused),
        CASE(test_validate_only_records_nothing),
        CASE(test_validate_only_is_no_201),
        CASE(test_append_to_several_aggregates_is_all_or_nothing),
        CASE(test_expectations_are_one_an_aggregate),
        CASE(test_a_condition_fails_on_a_later_match_only),
        CASE(test_bad_appends_name_the_path),
        CASE(test_a_path_is_told_once),
        CASE(test_each_events_types_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
