/* What events make of a state: the folds of docs/domain.md. */
#include "unit/domain/history.h"

#include <stdio.h>
#include <string.h>

struct row {
    const char *why;
    const char *events[4][2];
    const char *state;
};

static void check_rows(const char *aggregate_type, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct history history = history_begin(aggregate_type);
        for (size_t k = 0; k < 4 && rows[i].events[k][0] != NULL; k++)
            history_store(&history, rows[i].events[k][0], rows[i].events[k][1]);
        const struct aggregate_state result = history_result(&history);
        if (!bytes_equal(result.state, bytes_of_text(rows[i].state)))
            fail_msg("%s: the state is %.*s, wanted %s", rows[i].why, BYTES_FORMAT(result.state),
                     rows[i].state);
        history_end(&history);
    }
}

static void test_users(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"the documented flow",
         {{TYPE_AGGREGATE_CREATED, "{\"email\":\"john@example.com\",\"role\":\"user\"}"},
          {"user_created", "{\"user_id\":\"u\",\"email\":\"john@example.com\",\"role\":\"admin\"}"}},
         "{\"email\":\"john@example.com\",\"role\":\"admin\",\"user_id\":\"u\"}"},
        {"tokens stay as written",
         {{"user_created",
           "{\"user_id\":\"\\u0075\",\"credit\":1.500,\"limit\":1E+2,\"na\\u006de\":\"é\\u00e9\"}"}},
         "{\"user_id\":\"\\u0075\",\"credit\":1.500,\"limit\":1E+2,\"na\\u006de\":\"é\\u00e9\"}"},
        {"null members are absent members, at any depth outside lists",
         {{"user_created", "{\"user_id\":\"u\",\"email\":null,\"a\":{\"b\":null,\"c\":[null]}}"}},
         "{\"user_id\":\"u\",\"a\":{\"c\":[null]}}"},
        {"direct members first, then changes in their order",
         {{"user_created", "{\"user_id\":\"u\",\"email\":\"a\",\"role\":\"user\"}"},
          {"user_updated", "{\"changes\":[{\"field\":\"email\",\"old_value\":\"a\",\"new_value\":\"c\"},"
                           "{\"field\":\"age\",\"new_value\":41.0}],\"email\":\"b\",\"name\":\"N\"}"}},
         "{\"user_id\":\"u\",\"email\":\"c\",\"role\":\"user\",\"name\":\"N\",\"age\":41.0}"},
        {"a change without a new value removes; the name is one member, whatever it looks like",
         {{"user_created", "{\"a\":1,\"b\":2,\"c.d\":3,\"c\":{\"d\":4}}"},
          {"user_updated", "{\"changes\":[{\"field\":\"a\"},{\"field\":\"b\",\"new_value\":null},"
                           "{\"field\":\"c.d\",\"new_value\":5},{\"field\":\"never\"}]}"}},
         "{\"c.d\":5,\"c\":{\"d\":4}}"},
        {"a change replaces an object, a direct member merges into it",
         {{"user_created", "{\"a\":{\"x\":1},\"b\":{\"x\":1}}"},
          {"user_updated",
           "{\"a\":{\"y\":2},\"changes\":[{\"field\":\"b\",\"new_value\":{\"y\":2,\"z\":null}}]}"}},
         "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":2}}"},
        {"names of changes are compared without escapes",
         {{"user_created", "{\"name\":1}"},
          {"user_updated", "{\"changes\":[{\"field\":\"n\\u0061me\",\"new_value\":2},"
                           "{\"field\":\"\\u006eew\",\"new_value\":3}]}"}},
         "{\"name\":2,\"\\u006eew\":3}"},
        {"changes that are none are passed over",
         {{"user_created", "{\"a\":1}"},
          {"user_updated", "{\"changes\":[1,[],{\"new_value\":2},{\"field\":7,\"new_value\":2},{\"field\":"
                           "\"a\",\"new_value\":3}]}"}},
         "{\"a\":3}"},
        {"changes that are no list are not a member either",
         {{"user_created", "{\"a\":1}"}, {"user_updated", "{\"changes\":{\"a\":2},\"b\":3}"}},
         "{\"a\":1,\"b\":3}"},
        {"deleting keeps the state",
         {{"user_created", "{\"user_id\":\"u\"}"},
          {"user_deleted", "{\"user_id\":\"u\",\"reason\":\"left\"}"}},
         "{\"user_id\":\"u\",\"status\":\"deleted\"}"},
        {"custom events leave the state",
         {{"user_created", "{\"a\":1}"}, {"custom", "{\"a\":2}"}, {"user_renamed", "{\"a\":3}"}},
         "{\"a\":1}"},
        {"events of another kind leave the state",
         {{"user_created", "{\"a\":1}"}, {"order_created", "{\"a\":2}"}},
         "{\"a\":1}"},
    };
    check_rows("user", rows, ARRAY_SIZE(rows));
}

static void test_orders(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"an order is pending unless it says something else",
         {{"order_created",
           "{\"order_id\":\"o\",\"total_amount\":19.90,\"items\":[{\"unit_price\":\"9.950\"}]}"}},
         "{\"order_id\":\"o\",\"total_amount\":19.90,\"items\":[{\"unit_price\":\"9.950\"}],\"status\":"
         "\"pending\"}"},
        {"its own status",
         {{"order_created", "{\"status\":\"paid\",\"a\":1}"}},
         "{\"status\":\"paid\",\"a\":1}"},
        {"the initial state's",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"confirmed\"}"}, {"order_created", "{\"a\":1}"}},
         "{\"status\":\"confirmed\",\"a\":1}"},
        {"a null status is none: the member goes and pending comes",
         {{TYPE_AGGREGATE_CREATED, "{\"status\":\"confirmed\"}"}, {"order_created", "{\"status\":null}"}},
         "{\"status\":\"pending\"}"},
        {"a change sets the status alone",
         {{"order_created", "{\"order_id\":\"o\"}"},
          {"order_status_changed",
           "{\"order_id\":\"other\",\"new_status\":\"confirm\\u0065d\",\"reason\":\"r\"}"}},
         "{\"order_id\":\"o\",\"status\":\"confirm\\u0065d\"}"},
        {"lists are replaced",
         {{"order_created", "{\"items\":[{\"a\":1},{\"b\":2}]}"}, {"order_created", "{\"items\":[{}]}"}},
         "{\"items\":[{}],\"status\":\"pending\"}"},
        {"a new status that is no string changes nothing",
         {{"order_created", "{}"},
          {"order_status_changed", "{\"new_status\":7}"},
          {"order_status_changed", "{\"new_status\":{}}"},
          {"order_status_changed", "{}"}},
         "{\"status\":\"pending\"}"},
        {"a status of an order that nobody created",
         {{"order_status_changed", "{\"new_status\":\"paid\"}"}},
         "{\"status\":\"paid\"}"},
    };
    check_rows("order", rows, ARRAY_SIZE(rows));
}

static void test_payments_and_custom_aggregates(void **state)
{
    (void)state;
    static const struct row payments[] = {
        {"members merge",
         {{"payment_processed", "{\"payment_id\":\"p\",\"amount\":99.90,\"status\":\"authorized\"}"},
          {"payment_processed", "{\"payment_id\":\"p\",\"status\":\"completed\",\"transaction_id\":\"t\"}"}},
         "{\"payment_id\":\"p\",\"amount\":99.90,\"status\":\"completed\",\"transaction_id\":\"t\"}"},
        {"no status is made up", {{"payment_processed", "{\"payment_id\":\"p\"}"}}, "{\"payment_id\":\"p\"}"},
        {"custom events leave the state", {{"custom", "{\"status\":\"failed\"}"}}, "{}"},
    };
    check_rows("payment", payments, ARRAY_SIZE(payments));
    static const struct row customs[] = {
        {"merge patch",
         {{"custom", "{\"a\":{\"b\":1,\"c\":2}}"}, {"deposit", "{\"a\":{\"b\":null},\"d\":0.10}"}},
         "{\"a\":{\"c\":2},\"d\":0.10}"},
        {"types of other aggregates are custom here",
         {{"user_deleted", "{\"a\":1}"}, {"order_created", "{\"b\":2}"}},
         "{\"a\":1,\"b\":2}"},
        {"the system's are not", {{"custom", "{\"a\":1}"}, {"$payload_erased", "{\"a\":2}"}}, "{\"a\":1}"},
    };
    check_rows("custom", customs, ARRAY_SIZE(customs));
    check_rows("ledger", customs, ARRAY_SIZE(customs));
}

static void test_system_events(void **state)
{
    (void)state;
    struct history history = history_begin("user");
    struct event_fields created = history_next(&history, TYPE_AGGREGATE_CREATED, "{\"a\":1,\"n\":null}");
    created.metadata = BYTES_LITERAL("{\"team\":\"x\",\"old\":null,\"deep\":{\"k\":1}}");
    history_store_event(&history, &created);
    struct aggregate_state result = history_result(&history);
    assert_int_equal(result.version, 0);
    assert_int_equal(result.event_count, 1);
    assert_true(result.active);
    assert_true(bytes_equal(result.state, BYTES_LITERAL("{\"a\":1}")));
    assert_true(bytes_equal(result.metadata, BYTES_LITERAL("{\"team\":\"x\",\"deep\":{\"k\":1}}")));

    history_store(&history, TYPE_STATE_REPLACED, "{\"b\":2.0,\"n\":null,\"o\":{\"p\":null}}");
    assert_state(&history, "{\"b\":2.0,\"o\":{}}");
    history_store(&history, TYPE_METADATA_CHANGED, "{\"team\":null,\"deep\":{\"l\":2}}");
    history_store(&history, TYPE_DEACTIVATED, "");
    result = history_result(&history);
    assert_true(bytes_equal(result.metadata, BYTES_LITERAL("{\"deep\":{\"k\":1,\"l\":2}}")));
    assert_true(bytes_equal(result.state, BYTES_LITERAL("{\"b\":2.0,\"o\":{}}")));
    assert_false(result.active);
    history_store(&history, TYPE_ACTIVATED, "{}");
    history_store(&history, TYPE_STATE_REPLACED, "{}");
    result = history_result(&history);
    assert_true(result.active);
    assert_true(bytes_equal(result.state, BYTES_LITERAL("{}")));
    assert_int_equal(result.version, 5);
    assert_int_equal(result.event_count, 6);
    history_end(&history);
}

static void test_an_aggregate_carries_its_names_times_and_position(void **state)
{
    (void)state;
    struct history history = history_begin("order");
    assert_false(fold_exists(history.fold));
    struct aggregate_state result = history_result(&history);
    assert_true(bytes_equal(result.state, BYTES_LITERAL("{}")));
    assert_true(bytes_equal(result.metadata, BYTES_LITERAL("{}")));
    history_store(&history, "order_created", "{}");
    history_store(&history, "custom", "{}");
    assert_true(fold_exists(history.fold));
    result = history_result(&history);
    assert_true(bytes_equal(result.id, BYTES_LITERAL("x-1")));
    assert_true(bytes_equal(result.type, BYTES_LITERAL("order")));
    assert_true(result.active);
    assert_int_equal(result.version, 2);
    assert_int_equal(result.event_count, 2);
    assert_int_equal(result.created_at_us, 1000);
    assert_int_equal(result.updated_at_us, 2000);
    assert_int_equal(result.position, 21);
    history_end(&history);
}

static void test_what_cannot_be_read_only_advances_the_version(void **state)
{
    (void)state;
    static const char *const unusable[] = {"[1]", "\"text\"", "null", "{\"a\":", "{\"a\":2,\"a\":3}",
                                           "{}x", "\xff"};
    static const char *const types[] = {"user_created", "user_updated", "user_deleted", TYPE_STATE_REPLACED,
                                        TYPE_METADATA_CHANGED};
    struct history history = history_begin("user");
    history_store(&history, "user_created", "{\"a\":1}");
    for (size_t t = 0; t < ARRAY_SIZE(types); t++)
        for (size_t i = 0; i < ARRAY_SIZE(unusable); i++) {
            const int32_t before = history_result(&history).version;
            history_store(&history, types[t], unusable[i]);
            const struct aggregate_state result = history_result(&history);
            assert_int_equal(result.version, before + 1);
            assert_true(bytes_equal(result.state, BYTES_LITERAL("{\"a\":1}")));
            assert_true(bytes_equal(result.metadata, BYTES_LITERAL("{}")));
        }
    struct event_fields opaque = history_next(&history, "user_created", "{\"a\":2}");
    opaque.content_type = BYTES_LITERAL("application/protobuf");
    history_store_event(&history, &opaque);
    assert_state(&history, "{\"a\":1}");
    struct event_fields named = history_next(&history, "user_created", "{\"a\":2}");
    named.content_type = BYTES_LITERAL("application/json");
    history_store_event(&history, &named);
    assert_state(&history, "{\"a\":2}");
    /* No data at all (none was given, or it was erased) counts as an empty object. */
    history_store(&history, "user_deleted", "");
    assert_state(&history, "{\"a\":2,\"status\":\"deleted\"}");
    history_end(&history);
}

static void test_nothing_of_an_event_is_kept(void **state)
{
    (void)state;
    struct history history = history_begin("custom");
    char data[] = "{\"name\":\"before\",\"list\":[1,2],\"o\":{\"p\":1.0}}";
    char id[] = "the-id";
    struct event_fields event = history_next(&history, "custom", data);
    event.aggregate_id = bytes_of_text(id);
    history_store_event(&history, &event);
    memset(data, 'z', sizeof data);
    memset(id, 'z', sizeof id);
    assert_state(&history, "{\"name\":\"before\",\"list\":[1,2],\"o\":{\"p\":1.0}}");
    assert_true(bytes_equal(history_result(&history).id, BYTES_LITERAL("the-id")));
    history_end(&history);
}

static void test_many_events_cost_as_much_as_they_are_large(void **state)
{
    (void)state;
    struct history history = history_begin("custom");
    struct buffer wide = buffer_in(history.arena, 0);
    for (int i = 0; i < 50000; i++)
        buffer_printf(&wide, "%c\"member-%d\":\"%040d\"", i == 0 ? '{' : ',', i, i);
    buffer_add_byte(&wide, '}');
    buffer_add_byte(&wide, '\0');
    history_store(&history, "custom", (const char *)wide.data);
    const size_t before_bytes = arena_used_bytes(history.arena);
    /* 2 MB of state: were it touched by each event, this would move 40 GB. */
    for (int i = 0; i < 20000; i++) {
        char data[120];
        snprintf(data, sizeof data, "{\"member-%d\":\"%038d\",\"gone\":%s,\"o\":{\"n\":%d}}", i, i,
                 i % 2 == 0 ? "null" : "{\"x\":[1,2,3]}", i);
        history_store(&history, "custom", data);
    }
    /* And what the events replaced was used again. */
    assert_in_range(arena_used_bytes(history.arena) - before_bytes, 0, 5000);
    history_end(&history);
}

static void test_a_former_state_that_is_no_object_begins_no_fold(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_state from = {.id = BYTES_LITERAL("a"), .type = BYTES_LITERAL("user")};
    from.state = BYTES_LITERAL("[]");
    from.metadata = BYTES_LITERAL("{}");
    assert_null(fold_new(domain, arena, &from));
    from.state = BYTES_LITERAL("{}");
    from.metadata = BYTES_LITERAL("{\"a\":");
    assert_null(fold_new(domain, arena, &from));
    from.metadata = BYTES_NONE;
    assert_non_null(fold_new(domain, arena, &from));
}

static void test_exhausted_memory_is_an_error(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(arena_free_at) struct arena *arena = arena_new(6000);
    struct fold *fold = fold_new(domain, arena, NULL);
    assert_non_null(fold);
    char data[3000];
    memset(data, 'x', sizeof data);
    memcpy(data, "{\"a\":\"", 6);
    memcpy(data + sizeof data - 3, "\"}", 3);
    struct status status = status_ok();
    for (int i = 0; i < 4 && status_is_ok(&status); i++) {
        data[2] = (char)('a' + i);
        const struct event_fields event = {.type = BYTES_LITERAL("custom"),
                                           .aggregate_id = BYTES_LITERAL("a"),
                                           .aggregate_type = BYTES_LITERAL("custom"),
                                           .data = bytes_of_text(data)};
        status = fold_apply(fold, &event);
    }
    assert_int_equal(status.code, STATUS_RESOURCE_EXHAUSTED);
    struct aggregate_state result;
    assert_status(fold_result(fold, &result), STATUS_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_payments_and_custom_aggregates),
        cmocka_unit_test(test_system_events),
        cmocka_unit_test(test_an_aggregate_carries_its_names_times_and_position),
        cmocka_unit_test(test_what_cannot_be_read_only_advances_the_version),
        cmocka_unit_test(test_nothing_of_an_event_is_kept),
        cmocka_unit_test(test_many_events_cost_as_much_as_they_are_large),
        cmocka_unit_test(test_a_former_state_that_is_no_object_begins_no_fold),
        cmocka_unit_test(test_exhausted_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
