#include "unit/domain/history.h"

#include <string.h>

struct row {
    const char *type;
    const char *data;
    const char *message; /* NULL when accepted */
};

static struct domain *domain_new_with(bool validation_enabled, bool strict)
{
    struct domain *domain = NULL;
    struct domain_options options = {0};
    options.validation_enabled = validation_enabled;
    options.strict = strict;
    assert_status_ok(domain_new(&options, &domain));
    return domain;
}

static void check_rows(const struct domain *domain, enum status_reason reason, const struct row *rows,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        const struct status status = domain_check_payload(domain, arena, "data", bytes_of_text(rows[i].type),
                                                          BYTES_NONE, bytes_of_text(rows[i].data));
        if (rows[i].message == NULL) {
            assert_status_ok(status);
            continue;
        }
        assert_refused(status, reason, rows[i].message);
        assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
        assert_non_null(status.faults);
    }
}

static void test_sensible_payloads_are_accepted(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"user_created",
         "{\"user_id\":\"u\",\"email\":\"john@example.com\",\"first_name\":\"John\",\"last_name\":\"Doe\","
         "\"role\":\"user\"}",
         NULL},
        /* unknown members are kept; nulls count as absent */
        {"user_created", "{\"user_id\":\"u\",\"shoe_size\":42,\"email\":null,\"nested\":{\"user_id\":7}}",
         NULL},
        /* names are compared without their escapes */
        {"user_created", "{\"user\\u005fid\":\"u\"}", NULL},
        {"user_updated", "{\"changes\":[{\"field\":\"email\",\"old_value\":null,\"new_value\":{\"a\":[1]}}]}",
         NULL},
        {"user_updated", "{\"email\":\"x\"}", NULL},
        {"user_updated", "", NULL},
        {"user_deleted", "{}", NULL},
        {"user_deleted", "{\"reason\":\"left\",\"deleted_by\":\"admin\"}", NULL},
        {"order_created",
         "{\"order_id\":\"o\",\"items\":[{\"product_id\":\"p\",\"quantity\":2,\"unit_price\":9.990},{}],"
         "\"total_amount\":\"19.98\",\"currency\":\"EUR\",\"status\":\"pending\"}",
         NULL},
        {"order_created",
         "{\"order_id\":\"o\",\"items\":[{\"quantity\":-2147483648},{\"quantity\":2147483647}]}", NULL},
        {"order_status_changed", "{\"old_status\":\"anything\",\"new_status\":\"ship\\u0070ed\"}", NULL},
        {"payment_processed",
         "{\"payment_id\":\"p\",\"amount\":1e400,\"currency\":\"USD\",\"status\":\"authorized\"}", NULL},
        {"payment_processed", "{\"payment_id\":\"p\",\"amount\":\"-0.10\"}", NULL},
        {"payment_processed", "{\"payment_id\":\"p\",\"amount\":\"1.5E-3\"}", NULL},
        /* no shape is known of custom types, whatever a configuration calls them */
        {"custom", "{\"user_id\":5}", NULL},
        {"user_renamed", "{\"user_id\":5}", NULL},
        {TYPE_STATE_REPLACED, "{\"user_id\":5}", NULL},
    };
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, false);
    check_rows(domain, 0, rows, ARRAY_SIZE(rows));
}

static void test_every_kind_of_fault_is_named_with_its_remedy(void **state)
{
    (void)state;
#define NOT_INT32                                                                                            \
    "data.items[0].quantity is no whole number from -2147483648 to 2147483647, written without point or "    \
    "exponent"
#define NOT_DECIMAL    "data.total_amount is a string that holds no decimal; write it like \"12.50\""
#define NOT_CURRENCY   "data.currency is no currency code; give three capital letters such as EUR (ISO 4217)"
#define ORDER_STATUSES "pending, confirmed, paid, shipped, delivered, cancelled or refunded"
    static const struct row rows[] = {
        {"user_created", "{}", "data.user_id is missing; it is required in user_created"},
        {"user_created", "", "data.user_id is missing; it is required in user_created"},
        {"user_created", "{\"user_id\":null}", "data.user_id is missing; it is required in user_created"},
        {"user_created", "{\"user_id\":\"\"}", "data.user_id is empty; it is required"},
        {"user_created", "{\"user_id\":7}", "data.user_id is a number; give a string"},
        {"user_created", "{\"user_id\":\"u\",\"role\":[]}", "data.role is a list; give a string"},
        {"user_created", "{\"user_id\":\"u\",\"role\":{}}", "data.role is an object; give a string"},
        {"user_created", "{\"user_id\":\"u\",\"role\":true}", "data.role is a boolean; give a string"},
        {"user_created", "[]", "data is a list; give an object"},
        {"user_created", "\"x\"", "data is a string; give an object"},
        {"user_updated", "{\"changes\":{}}", "data.changes is an object; give a list of objects"},
        {"user_updated", "{\"changes\":[null]}", "data.changes[0] is null; give an object, a change"},
        {"user_updated", "{\"changes\":[{\"field\":\"a\"},{\"new_value\":1}]}",
         "data.changes[1].field is missing; it is required in a change"},
        {"user_updated", "{\"changes\":[{\"field\":\"\"}]}",
         "data.changes[0].field is empty; it is required"},
        {"user_deleted", "{\"reason\":1}", "data.reason is a number; give a string"},
        {"order_created", "{}", "data.order_id is missing; it is required in order_created"},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":\"2\"}]}",
         "data.items[0].quantity is a string; give a whole number"},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":2147483648}]}", NOT_INT32},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":-2147483649}]}", NOT_INT32},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":99999999999999999999}]}", NOT_INT32},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":1.0}]}", NOT_INT32},
        {"order_created", "{\"order_id\":\"o\",\"items\":[{\"quantity\":1e0}]}", NOT_INT32},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":true}",
         "data.total_amount is a boolean; give a number, or a string that holds a decimal"},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"1,50\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"01.50\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\" 1\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"1.\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\".5\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"1e\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"-\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"NaN\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"total_amount\":\"0x10\"}", NOT_DECIMAL},
        {"order_created", "{\"order_id\":\"o\",\"currency\":\"eur\"}", NOT_CURRENCY},
        {"order_created", "{\"order_id\":\"o\",\"currency\":\"EURO\"}", NOT_CURRENCY},
        {"order_created", "{\"order_id\":\"o\",\"currency\":\"\"}", NOT_CURRENCY},
        {"order_created", "{\"order_id\":\"o\",\"status\":\"lost\"}",
         "data.status is no status of order aggregates; choose " ORDER_STATUSES},
        {"order_status_changed", "{\"old_status\":\"pending\"}",
         "data.new_status is missing; it is required in order_status_changed"},
        {"order_status_changed", "{\"new_status\":\"Paid\"}",
         "data.new_status is no status of order aggregates; choose " ORDER_STATUSES},
        {"payment_processed", "{\"amount\":1}",
         "data.payment_id is missing; it is required in payment_processed"},
        {"payment_processed", "{\"payment_id\":\"p\",\"status\":\"paid\"}",
         "data.status is no status of payment aggregates; choose pending, authorized, completed, failed or "
         "refunded"},
    };
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, false);
    check_rows(domain, REASON_INVALID_FIELD, rows, ARRAY_SIZE(rows));
}

static void test_all_faulty_fields_are_listed_with_their_paths(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, true);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct status status = domain_check_payload(
        domain, arena, "events[2].data", BYTES_LITERAL("order_created"), BYTES_LITERAL("o"),
        BYTES_LITERAL(
            "{\"user_id\":5,\"items\":[{\"product_id\":\"p\"},{\"quantity\":\"x\",\"unit_price\":[],"
            "\"colour\":1},7],\"currency\":\"e\"}"));
    assert_refused(status, REASON_INVALID_FIELD,
                   "7 fields of the order_created payload are wrong; the first: events[2].data.user_id is a "
                   "number; give a string");
    static const char *const fields[] = {
        "events[2].data.user_id",
        "events[2].data.items[1].quantity",
        "events[2].data.items[1].unit_price",
        "events[2].data.items[1].colour",
        "events[2].data.items[2]",
        "events[2].data.currency",
        "events[2].data.order_id",
    };
    assert_int_equal(status.faults->count, ARRAY_SIZE(fields));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        assert_string_equal(status.faults->items[i].field, fields[i]);
    assert_string_equal(status.faults->items[2].message,
                        "is a list; give a number, or a string that holds a decimal");
}

static void test_strict_refuses_unknown_members_at_every_depth(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"user_created", "{\"user_id\":\"u\",\"shoe_size\":42}",
         "data.shoe_size is not a member of user_created and validation_rules.strict is true; leave it out"},
        {"user_created", "{\"user_id\":\"u\",\"x\":null}",
         "data.x is not a member of user_created and validation_rules.strict is true; leave it out"},
        {"user_updated", "{\"changes\":[{\"field\":\"a\",\"why\":{}}]}",
         "data.changes[0].why is not a member of a change and validation_rules.strict is true; leave it out"},
        /* control characters stay escaped in a path, and a long name is cut */
        {"user_deleted", "{\"a\\u0007b\":1}",
         "data.a\\u0007b is not a member of user_deleted and validation_rules.strict is true; leave it out"},
        {"user_deleted", "{\"0123456789012345678901234567890123456789012345678901234567890123456789\":1}",
         "data.012345678901234567890123456789012345678901234567 is not a member of user_deleted and "
         "validation_rules.strict is true; leave it out"},
    };
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, true);
    check_rows(domain, REASON_UNKNOWN_FIELD, rows, ARRAY_SIZE(rows));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(domain_check_payload(domain, arena, "data", BYTES_LITERAL("custom"), BYTES_NONE,
                                          BYTES_LITERAL("{\"a\":1}")));
}

static void test_faults_are_counted_beyond_what_is_listed(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, false);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer data = buffer_in(arena, 0);
    buffer_add_text(&data, "{\"order_id\":\"o\",\"items\":[0");
    for (int i = 1; i < 5000; i++)
        buffer_add_text(&data, ",0");
    buffer_add_text(&data, "]}");
    const struct status status = domain_check_payload(domain, arena, "data", BYTES_LITERAL("order_created"),
                                                      BYTES_LITERAL("o"), buffer_bytes(&data));
    assert_refused(
        status, REASON_INVALID_FIELD,
        "5000 fields of the order_created payload are wrong; the first: data.items[0] is a number; give an "
        "object, an order item");
    assert_int_equal(status.faults->count, 100);
    assert_string_equal(status.faults->items[99].field, "data.items[99]");
}

static void test_broken_json_is_refused_as_such(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, false);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    static const char *const broken[] = {"{\"user_id\":\"u\"", "{\"user_id\":\"u\",\"user_id\":\"v\"}",
                                         "{\"user_id\":\"u\"} x", "{\"other\":[1,}"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        const struct status status =
            domain_check_payload(domain, arena, "data", BYTES_LITERAL("user_created"), BYTES_LITERAL("u"),
                                 bytes_of_text(broken[i]));
        assert_int_equal(status.reason, REASON_INVALID_JSON);
        assert_memory_equal(status.message, "data: ", 6);
    }
}

static void test_shapes_are_off_when_validation_is(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(false, true);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(domain_check_payload(domain, arena, "data", BYTES_LITERAL("user_created"),
                                          BYTES_LITERAL("u"), BYTES_LITERAL("{\"user_id\":\"v\"}")));
    assert_status_ok(
        domain_check_state(domain, arena, "state", BYTES_LITERAL("user"), BYTES_LITERAL("{\"email\":5}")));
}

static void test_a_payload_names_no_other_aggregate(void **state)
{
    (void)state;
#define OTHER(member, found)                                                                                 \
    "data." member " is \"" found "\" and the event belongs to aggregate \"x-1\"; give that id, or correct " \
    "aggregate_id"
    static const struct row rows[] = {
        {"user_created", "{\"user_id\":\"x-1\"}", NULL},
        {"user_created", "{\"user_id\":\"\\u0078-1\"}", NULL},
        {"user_created", "{\"user_id\":\"x-2\"}", OTHER("user_id", "x-2")},
        {"user_updated", "{\"email\":\"e\",\"user_id\":null}", NULL},
        {"user_updated", "{\"user_id\":\"X-1\"}", OTHER("user_id", "X-1")},
        {"user_updated", "{\"user_id\":\"\"}", OTHER("user_id", "")},
        {"user_updated", "{\"changes\":[{\"field\":\"user_id\",\"new_value\":\"x-2\"}]}", NULL},
        {"user_deleted", "{\"user_id\":\"x\",\"deleted_by\":\"x-2\"}", OTHER("user_id", "x")},
        {"order_created", "{\"order_id\":\"x-1\",\"user_id\":\"x-2\"}", NULL},
        {"order_created", "{\"order_id\":\"x-12\"}", OTHER("order_id", "x-12")},
        {"order_status_changed", "{\"order_id\":\"o\",\"new_status\":\"paid\"}", OTHER("order_id", "o")},
        {"payment_processed", "{\"payment_id\":\"x-1\",\"order_id\":\"o\",\"user_id\":\"u\"}", NULL},
        {"payment_processed", "{\"payment_id\":\"p\"}", OTHER("payment_id", "p")},
        {"custom", "{\"user_id\":\"x-2\"}", NULL},
        /* long ids are cut, never in the middle of a character */
        {"user_deleted", "{\"user_id\":\"0123456789012345678901234567890123456789012345678901234567890\"}",
         OTHER("user_id", "012345678901234567890123456789012345678901234567…")},
    };
    CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, false);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        const struct status status = domain_check_payload(domain, arena, "data", bytes_of_text(rows[i].type),
                                                          BYTES_LITERAL("x-1"), bytes_of_text(rows[i].data));
        if (rows[i].message == NULL)
            assert_status_ok(status);
        else
            assert_refused(status, REASON_INVALID_FIELD, rows[i].message);
    }
}

static void test_states_have_the_shape_of_their_type_and_need_no_member(void **state)
{
    (void)state;
    /* type = of the aggregate */
    static const struct row rows[] = {
        {"user", "", NULL},
        {"user", "{}", NULL},
        {"user", "{\"user_id\":\"\",\"email\":null,\"status\":5,\"shoe_size\":42}", NULL},
        {"user", "{\"email\":5}", "state.email is a number; give a string"},
        {"user", "{\"user_id\":[],\"role\":{}}",
         "2 members of the user's state are wrong; the first: state.user_id is a list; give a string"},
        {"order", "{\"items\":[{\"quantity\":1,\"colour\":2}],\"total_amount\":\"1.50\"}", NULL},
        {"order", "{\"items\":[{\"quantity\":\"1\"}]}",
         "state.items[0].quantity is a string; give a whole number"},
        {"order", "{\"currency\":\"euro\"}",
         "state.currency is no currency code; give three capital letters such as EUR (ISO 4217)"},
        {"order", "{\"status\":\"lost\"}",
         "state.status is no status of order aggregates; choose " ORDER_STATUSES},
        {"payment", "{\"amount\":1e400,\"status\":\"completed\"}", NULL},
        {"payment", "{\"amount\":[]}",
         "state.amount is a list; give a number, or a string that holds a decimal"},
        {"custom", "{\"email\":5}", NULL},
        {"account", "{\"amount\":[]}", NULL},
    };
    for (int strict = 0; strict < 2; strict++) { /* what else a state holds is the client's own */
        CLEANUP(domain_free_at) struct domain *domain = domain_new_with(true, strict == 1);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
            const struct status status = domain_check_state(
                domain, arena, "state", bytes_of_text(rows[i].type), bytes_of_text(rows[i].data));
            if (rows[i].message == NULL)
                assert_status_ok(status);
            else
                assert_refused(status, REASON_INVALID_FIELD, rows[i].message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sensible_payloads_are_accepted),
        cmocka_unit_test(test_every_kind_of_fault_is_named_with_its_remedy),
        cmocka_unit_test(test_all_faulty_fields_are_listed_with_their_paths),
        cmocka_unit_test(test_strict_refuses_unknown_members_at_every_depth),
        cmocka_unit_test(test_faults_are_counted_beyond_what_is_listed),
        cmocka_unit_test(test_broken_json_is_refused_as_such),
        cmocka_unit_test(test_shapes_are_off_when_validation_is),
        cmocka_unit_test(test_a_payload_names_no_other_aggregate),
        cmocka_unit_test(test_states_have_the_shape_of_their_type_and_need_no_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
