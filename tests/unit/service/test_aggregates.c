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

static Strata__V1__Aggregate *save(struct world *world, const Strata__V1__SaveAggregateRequest *request,
                                   struct status *ret)
{
    return call_method_of(world, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &request->base,
                          &strata__v1__aggregate__descriptor, ret);
}

static Strata__V1__SaveAggregateRequest save_request(const char *id)
{
    Strata__V1__SaveAggregateRequest request = STRATA__V1__SAVE_AGGREGATE_REQUEST__INIT;
    request.id = T(id);
    return request;
}

static void set_expected(Strata__V1__SaveAggregateRequest *request, int32_t version)
{
    request->_expected_version_case = STRATA__V1__SAVE_AGGREGATE_REQUEST___EXPECTED_VERSION_EXPECTED_VERSION;
    request->expected_version = version;
}

/* --- create and get --- */

static void test_create_answers_version_zero_and_refuses_a_second_time(void **state)
{
    struct world *world = *state;
    Strata__V1__CreateAggregateRequest request = STRATA__V1__CREATE_AGGREGATE_REQUEST__INIT;
    request.id = T("user-123");
    request.type = T("user");
    request.initial_state = json("{\"email\": \"john@example.com\"}");
    request.metadata = json("{\"team\":1}");
    Strata__V1__Aggregate *created = call_method_of(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE,
                                                    &request.base, &strata__v1__aggregate__descriptor, NULL);
    assert_int_equal(created->version, 0);
    assert_string_equal(created->etag, "\"0\"");
    assert_json(created->state, "{\"email\":\"john@example.com\"}");
    assert_json(created->metadata, "{\"team\":1}");
    assert_true(created->active);
    assert_int_equal(created->event_count, 1);
    assert_int_equal(created->position, 1);
    test_message_free(created);
    struct status status;
    assert_null(call_method_of(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, &request.base,
                               &strata__v1__aggregate__descriptor, &status));
    assert_int_equal(status.reason, REASON_AGGREGATE_EXISTS);
}

static void test_a_creation_repeated_with_its_key_is_answered_as_of_then(void **state)
{
    struct world *world = *state;
    Strata__V1__CreateAggregateRequest request = STRATA__V1__CREATE_AGGREGATE_REQUEST__INIT;
    request.type = T("custom");
    request.initial_state = json("{\"n\":0}");
    request.idempotency_key = T("create-1");
    Strata__V1__Aggregate *first = call_method_of(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE,
                                                  &request.base, &strata__v1__aggregate__descriptor, NULL);
    (void)publish_custom(world, first->id, "{\"n\":1}");
    Strata__V1__Aggregate *again = call_method_of(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE,
                                                  &request.base, &strata__v1__aggregate__descriptor, NULL);
    assert_true(again->replayed);
    assert_string_equal(first->id, again->id);
    assert_int_equal(again->version, 0);
    assert_json(again->state, "{\"n\":0}");
    test_message_free(first);
    test_message_free(again);
}

static void test_get_folds_every_moment_of_the_past(void **state)
{
    struct world *world = *state;
    create(world, "a", "custom", "{\"n\":0}");
    (void)publish_custom(world, "other", "{}");
    (void)publish_custom(world, "a", "{\"n\":1}");
    (void)publish_custom(world, "a", "{\"n\":2,\"m\":1.0}");
    for (int round = 0; round < 2; round++) { /* the second time from the cache */
        Strata__V1__Aggregate *now = get_state(world, "a");
        assert_int_equal(now->version, 2);
        assert_json(now->state, "{\"n\":2,\"m\":1.0}");
        assert_int_equal(now->position, 4);
        assert_int_equal(now->event_count, 3);
        assert_int_equal(now->as_of_position, 0);
        test_message_free(now);
    }
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION;
    request.as_of_version = 0;
    Strata__V1__Aggregate *then = get_aggregate(world, &request, NULL, NULL);
    assert_json(then->state, "{\"n\":0}");
    assert_int_equal(then->as_of_position, 1);
    test_message_free(then);
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_POSITION;
    request.as_of_position = 3;
    then = get_aggregate(world, &request, NULL, NULL);
    assert_int_equal(then->version, 1);
    assert_int_equal(then->as_of_position, 3);
    test_message_free(then);
    request.as_of_position = 1000;
    then = get_aggregate(world, &request, NULL, NULL);
    assert_int_equal(then->version, 2);
    assert_int_equal(then->as_of_position, 4);
    Google__Protobuf__Timestamp time = *then->updated_at;
    time.nanos -= 1000;
    if (time.nanos < 0) {
        time.nanos += 1000000000;
        time.seconds--;
    }
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_TIME;
    request.as_of_time = &time;
    test_message_free(then);
    then = get_aggregate(world, &request, NULL, NULL);
    assert_int_equal(then->version, 1);
    assert_int_equal(then->as_of_position, 3);
    test_message_free(then);
}

static void test_get_refuses_what_is_not_there(void **state)
{
    struct world *world = *state;
    struct status status;
    (void)publish_custom(world, "other", "{}");
    (void)publish_custom(world, "a", "{}");
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("nobody");
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    request.id = T("a");
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_POSITION;
    request.as_of_position = 1;
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION;
    request.as_of_version = 0;
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    request.as_of_version = 2;
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
}

static void test_a_known_etag_is_answered_304(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    static const struct {
        const char *tag;
        int http;
    } rows[] = {{"\"1\"", 304}, {"W/\"1\"", 304}, {"\"7\", \"1\"", 304},
                {"*", 304},     {"\"2\"", 0},     {"\"11\"", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int http = -1;
        request.if_none_match = T(rows[i].tag);
        Strata__V1__Aggregate *got = get_aggregate(world, &request, NULL, &http);
        if (http != rows[i].http)
            fail_msg("%s: %d", rows[i].tag, http);
        assert_string_equal(got->etag, "\"1\"");
        test_message_free(got);
    }
}

static void test_effective_at_leaves_out_what_takes_effect_later(void **state)
{
    struct world *world = *state;
    Google__Protobuf__Timestamp when = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    when.seconds = 100;
    Strata__V1__PublishEventRequest event = publish_request("custom", "a", "custom", "{\"n\":1}");
    event.occurred_at = &when;
    test_message_free(publish(world, &event, NULL));
    when.seconds = 300;
    event.data = json("{\"n\":2}");
    test_message_free(publish(world, &event, NULL));
    when.seconds = 200;
    event.data = json("{\"m\":3}");
    test_message_free(publish(world, &event, NULL));
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.effective_at = &when;
    request.include_events = 1;
    Strata__V1__Aggregate *got = get_aggregate(world, &request, NULL, NULL);
    assert_json(got->state, "{\"n\":1,\"m\":3}");
    assert_string_equal(got->etag, "");
    assert_int_equal(got->n_events, 2);
    test_message_free(got);
    when.seconds = 99;
    struct status status;
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
}

static void test_include_events_is_bounded(void **state)
{
    struct world *world = *state;
    create(world, "a", "custom", "{}");
    for (int i = 0; i < 999; i++)
        (void)publish_custom(world, "a", "{}");
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.include_events = 1;
    Strata__V1__Aggregate *got = get_aggregate(world, &request, NULL, NULL);
    assert_int_equal(got->n_events, 1000);
    test_message_free(got);
    (void)publish_custom(world, "a", "{}");
    struct status status;
    assert_null(get_aggregate(world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_EVENTS_TOO_MANY);
    assert_non_null(strstr(status.message, "ListEvents"));
}

static void test_a_minimum_position_is_waited_for_then_refused(void **state)
{
    (void)state;
    struct world world;
    const struct service_options options = {.min_position_wait_us = 50000};
    world_open(&world, &options);
    (void)publish_custom(&world, "a", "{}");
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    request.id = T("a");
    request.min_position = 2;
    struct status status;
    assert_null(get_aggregate(&world, &request, &status, NULL));
    assert_int_equal(status.reason, REASON_BEHIND);
    world_close(&world);

    world_open(&world, NULL);
    (void)publish_custom(&world, "a", "{}");
    struct test_pending *waiting =
        test_call_begin(world.table, METHOD_AGGREGATE_SERVICE_GET_AGGREGATE, &request.base);
    (void)publish_custom(&world, "a", "{}");
    struct test_reply reply = test_call_end(waiting);
    Strata__V1__Aggregate *got = test_reply_message(&reply, &strata__v1__aggregate__descriptor);
    assert_non_null(got);
    assert_int_equal(got->version, 2);
    test_message_free(got);
    test_reply_done(&reply);
    world_close(&world);
}

/* --- save --- */

static void test_save_records_its_parts_in_order(void **state)
{
    struct world *world = *state;
    create(world, "a", "custom", "{\"n\":0}");
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.type = T("custom");
    event.data = json("{\"n\":1}");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__SaveAggregateRequest request = save_request("a");
    request.events = events;
    request.n_events = 1;
    request.set_metadata = json("{\"k\":\"v\"}");
    request._active_case = STRATA__V1__SAVE_AGGREGATE_REQUEST___ACTIVE_ACTIVE;
    request.active = 0;
    request.idempotency_key = T("save-1");

    request.validate_only = 1;
    Strata__V1__Aggregate *would = save(world, &request, NULL);
    assert_int_equal(would->version, 3);
    assert_int_equal(would->n_events, 3);
    assert_string_equal(would->events[1]->type, "$metadata_changed");
    test_message_free(would);
    assert_int_equal(world_head(world), 1);

    request.validate_only = 0;
    Strata__V1__Aggregate *saved = save(world, &request, NULL);
    assert_int_equal(saved->version, 3);
    assert_json(saved->state, "{\"n\":1}");
    assert_json(saved->metadata, "{\"k\":\"v\"}");
    assert_false(saved->active);
    assert_string_equal(saved->etag, "\"3\"");
    test_message_free(saved);

    (void)publish_custom(world, "a", "{\"n\":2}");
    Strata__V1__Aggregate *again = save(world, &request, NULL);
    assert_true(again->replayed);
    assert_int_equal(again->version, 3);
    assert_json(again->state, "{\"n\":1}");
    test_message_free(again);
}

static void test_save_with_ids_is_recognised_when_repeated(void **state)
{
    struct world *world = *state;
    create(world, "a", "custom", "{}");
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.id = T("e-1");
    event.type = T("custom");
    event.data = json("{\"n\":1}");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__SaveAggregateRequest request = save_request("a");
    request.events = events;
    request.n_events = 1;
    request.set_metadata = json("{\"k\":1}");
    test_message_free(save(world, &request, NULL));
    Strata__V1__Aggregate *again = save(world, &request, NULL);
    assert_true(again->replayed);
    test_message_free(again);
}

static const struct {
    const char *why;
    const char *if_match;
    int32_t expected; /* -1 = not given */
    const char *body;
    enum status_reason reason;
} saves[] = {
    {"a state needs a precondition", "", -1, "{\"n\":1}", REASON_PRECONDITION_REQUIRED},
    {"an old tag is 412", "\"0\"", -1, "{\"n\":1}", REASON_IF_MATCH_FAILED},
    {"an old version in the body is 409", "", 0, "{\"n\":1}", REASON_VERSION_CONFLICT},
    {"both must agree", "\"1\"", 0, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a tag without quotes", "1", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a list of tags", "\"1\", \"2\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a weak tag", "W/\"1\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a leading zero", "\"01\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"two zeros", "\"00\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a space in the tag", "\" 1\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"a sign", "\"+1\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"an open tag", "\"1", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"an empty tag", "\"\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"beyond a version", "\"2147483648\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"far beyond a version", "\"99999999999999999999999\"", -1, "{\"n\":1}", REASON_INVALID_FIELD},
    {"the highest version", "\"2147483647\"", -1, "{\"n\":1}", REASON_IF_MATCH_FAILED},
    {"not an object", "*", -1, "[]", REASON_INVALID_JSON},
    {"nothing to save", "*", -1, "", REASON_INVALID_FIELD},
};

static void test_save_refuses_by_name(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":0}");
    for (size_t i = 0; i < ARRAY_SIZE(saves); i++) {
        Strata__V1__SaveAggregateRequest request = save_request("a");
        request.if_match = T(saves[i].if_match);
        request.state = json(saves[i].body);
        if (saves[i].expected >= 0)
            set_expected(&request, saves[i].expected);
        struct status status;
        assert_null(save(world, &request, &status));
        if (status.reason != saves[i].reason)
            fail_msg("%s: %s", saves[i].why, status.message);
    }
    Strata__V1__SaveAggregateRequest request = save_request("nobody");
    request.set_metadata = json("{}");
    struct status status;
    assert_null(save(world, &request, &status));
    assert_int_equal(status.reason, REASON_AGGREGATE_UNKNOWN);
    assert_int_equal(world_head(world), 1);
}

static void test_a_weak_tag_is_refused_by_name(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    Strata__V1__SaveAggregateRequest request = save_request("a");
    request.if_match = T("W/\"1\"");
    request.state = json("{}");
    struct status status;
    assert_null(save(world, &request, &status));
    assert_non_null(strstr(status.message, "weak"));
}

/* Nothing may point at what is not there: no 201, no ETag, no position to wait for. */
static void test_validate_only_does_not_look_recorded(void **state)
{
    struct world *world = *state;
    Strata__V1__CreateAggregateRequest creation = STRATA__V1__CREATE_AGGREGATE_REQUEST__INIT;
    creation.id = T("a");
    creation.type = T("custom");
    creation.validate_only = 1;
    struct test_reply reply =
        test_call(world->table, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, &creation.base);
    assert_status_ok(reply.status);
    assert_int_equal(reply.http_status, 200);
    Strata__V1__Aggregate *would = test_reply_message(&reply, &strata__v1__aggregate__descriptor);
    assert_string_equal(would->etag, "");
    assert_int_equal(would->position, 0);
    assert_int_equal(would->n_events, 1);
    assert_int_equal(would->events[0]->position, 1);
    test_message_free(would);
    test_reply_done(&reply);
    assert_int_equal(world_head(world), 0);

    (void)publish_custom(world, "a", "{}");
    Strata__V1__SaveAggregateRequest saving = save_request("a");
    saving.set_metadata = json("{\"k\":1}");
    saving.idempotency_key = T("save-1");
    saving.validate_only = 1;
    reply = test_call(world->table, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &saving.base);
    assert_int_equal(reply.http_status, 200);
    would = test_reply_message(&reply, &strata__v1__aggregate__descriptor);
    assert_int_equal(would->version, 2);
    assert_string_equal(would->etag, "");
    assert_int_equal(would->position, 0);
    test_message_free(would);
    test_reply_done(&reply);

    saving.validate_only = 0;
    test_message_free(save(world, &saving, NULL));
    saving.validate_only = 1; /* a replay is there */
    Strata__V1__Aggregate *again = save(world, &saving, NULL);
    assert_true(again->replayed);
    assert_string_equal(again->etag, "\"2\"");
    assert_int_equal(again->position, 2);
    test_message_free(again);
}

static void assert_state_fault(struct world *world, enum schema_method_id method,
                               const ProtobufCMessage *request, const char *field)
{
    struct test_reply reply = test_call(world->table, method, request);
    if (reply.status.reason != REASON_INVALID_FIELD || reply.fault_count != 1 ||
        strcmp(reply.faults[0], field) != 0)
        fail_msg("wanted %s, got %s: %s", field, reply.fault_count > 0 ? reply.faults[0] : "no field",
                 reply.status.message);
    test_reply_done(&reply);
}

static void test_states_of_known_types_have_members_of_their_types(void **state)
{
    struct world *world = *state;
    Strata__V1__CreateAggregateRequest creation = STRATA__V1__CREATE_AGGREGATE_REQUEST__INIT;
    creation.id = T("u");
    creation.type = T("user");
    creation.initial_state = json("{\"note\":1,\"email\":5}");
    assert_state_fault(world, METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE, &creation.base,
                       "initial_state.email");
    create(world, "u", "user", "{\"note\":1,\"email\":null,\"role\":\"x\"}");
    Strata__V1__SaveAggregateRequest saving = save_request("u");
    saving.if_match = T("\"0\"");
    saving.state = json("{\"email\":{}}");
    assert_state_fault(world, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &saving.base, "state.email");
    saving.state = json("{\"email\":\"e\",\"note\":{}}");
    test_message_free(save(world, &saving, NULL));
    assert_int_equal(world_head(world), 2);
}

static void test_a_new_state_replaces_and_drops_nulls(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{\"n\":0,\"m\":1}");
    Strata__V1__SaveAggregateRequest request = save_request("a");
    request.if_match = T("\"1\"");
    request.state =
        json("{\"n\": 1.50, \"gone\": null, \"deep\": {\"x\": null, \"y\": [null, {\"z\": null}]}}");
    Strata__V1__Aggregate *saved = save(world, &request, NULL);
    assert_json(saved->state, "{\"n\":1.50,\"deep\":{\"y\":[null,{}]}}");
    test_message_free(saved);
    request.if_match = T("*");
    request.state = json("{}");
    saved = save(world, &request, NULL);
    assert_int_equal(saved->version, 3);
    assert_json(saved->state, "{}");
    test_message_free(saved);
}

/* --- list --- */

static void test_list_pages_through_all_aggregates_once(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 25; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%d", i);
        create(world, id, i % 5 == 0 ? "user" : "custom", "{\"n\":1}");
    }
    Strata__V1__ListAggregatesRequest request = STRATA__V1__LIST_AGGREGATES_REQUEST__INIT;
    request.page_size = 10;
    size_t seen = 0;
    int pages = 0;
    char token[256] = "";
    do {
        request.page_token = token;
        Strata__V1__ListAggregatesResponse *page =
            call_method_of(world, METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES, &request.base,
                           &strata__v1__list_aggregates_response__descriptor, NULL);
        for (size_t i = 0; i < page->n_aggregates; i++, seen++) {
            char id[16];
            snprintf(id, sizeof id, "a-%zu", seen);
            assert_string_equal(page->aggregates[i]->id, id);
            assert_int_equal(page->aggregates[i]->state.len, 0);
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        test_message_free(page);
        if (pages++ == 0)
            create(world, "later", "custom", "{}"); /* after the first page: not in this listing */
    } while (token[0] != '\0');
    assert_int_equal(seen, 25);
    assert_int_equal(pages, 3);

    Strata__V1__SaveAggregateRequest change = save_request("a-5");
    change._active_case = STRATA__V1__SAVE_AGGREGATE_REQUEST___ACTIVE_ACTIVE;
    change.active = 0;
    test_message_free(save(world, &change, NULL));
    request = (Strata__V1__ListAggregatesRequest)STRATA__V1__LIST_AGGREGATES_REQUEST__INIT;
    request.type = T("user");
    request.include_state = 1;
    request._active_case = STRATA__V1__LIST_AGGREGATES_REQUEST___ACTIVE_ACTIVE;
    request.active = 1;
    Strata__V1__ListAggregatesResponse *page =
        call_method_of(world, METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES, &request.base,
                       &strata__v1__list_aggregates_response__descriptor, NULL);
    assert_int_equal(page->n_aggregates, 4);
    assert_json(page->aggregates[0]->state, "{\"n\":1}");
    assert_string_equal(page->next_page_token, "");
    test_message_free(page);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_create_answers_version_zero_and_refuses_a_second_time),
        CASE(test_a_creation_repeated_with_its_key_is_answered_as_of_then),
        CASE(test_get_folds_every_moment_of_the_past),
        CASE(test_get_refuses_what_is_not_there),
        CASE(test_a_known_etag_is_answered_304),
        CASE(test_effective_at_leaves_out_what_takes_effect_later),
        CASE(test_include_events_is_bounded),
        CASE(test_a_minimum_position_is_waited_for_then_refused),
        CASE(test_save_records_its_parts_in_order),
        CASE(test_save_with_ids_is_recognised_when_repeated),
        CASE(test_save_refuses_by_name),
        CASE(test_a_weak_tag_is_refused_by_name),
        CASE(test_validate_only_does_not_look_recorded),
        CASE(test_states_of_known_types_have_members_of_their_types),
        CASE(test_a_new_state_replaces_and_drops_nulls),
        CASE(test_list_pages_through_all_aggregates_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
