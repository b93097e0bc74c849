#include "unit/domain/history.h"

#include <stdio.h>
#include <string.h>

static struct domain *domain_with(const char *const *events, size_t event_count,
                                  const char *const *aggregates, size_t aggregate_count)
{
    const struct domain_options options = {
        .event_types = events,
        .event_type_count = event_count,
        .aggregate_types = aggregates,
        .aggregate_type_count = aggregate_count,
    };
    struct domain *domain = NULL;
    assert_status_ok(domain_new(&options, &domain));
    return domain;
}

struct row {
    const char *event_type;
    const char *aggregate_type;
    enum status_reason reason;
    const char *message; /* NULL when allowed */
};

static void check_rows(const struct domain *domain, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct status status = domain_check_types(domain, bytes_of_text(rows[i].event_type),
                                                        bytes_of_text(rows[i].aggregate_type));
        if (rows[i].message == NULL)
            assert_status_ok(status);
        else
            assert_refused(status, rows[i].reason, rows[i].message);
    }
}

static void test_built_in_types_are_allowed_where_they_fit(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    static const struct row rows[] = {
        {"user_created", "user", 0, NULL},
        {"user_updated", "user", 0, NULL},
        {"user_deleted", "user", 0, NULL},
        {"order_created", "order", 0, NULL},
        {"order_status_changed", "order", 0, NULL},
        {"payment_processed", "payment", 0, NULL},
        /* custom events fit any aggregate */
        {"custom", "user", 0, NULL},
        {"custom", "custom", 0, NULL},
        /* the aggregate type is not known yet */
        {"order_created", "", 0, NULL},
        /* only an aggregate is created */
        {TYPE_AGGREGATE_CREATED, "payment", 0, NULL},
        {"", "payment", 0, NULL},
        {"user_created", "order", REASON_TYPE_MISMATCH,
         "type \"user_created\" does not fit aggregate type \"order\"; user_* events go to aggregates of "
         "type user"},
        {"payment_processed", "custom", REASON_TYPE_MISMATCH,
         "type \"payment_processed\" does not fit aggregate type \"custom\"; payment_* events go to "
         "aggregates of type payment"},
        {"user_renamed", "user", REASON_TYPE_NOT_ALLOWED,
         "type \"user_renamed\" may not be appended; use one of user_created, user_updated, user_deleted, "
         "order_created, order_status_changed, payment_processed, custom, or add it to "
         "supported_event_types"},
        {"custom", "cart", REASON_TYPE_NOT_ALLOWED,
         "aggregate type \"cart\" may not be appended to; use one of user, order, payment, custom, or add it "
         "to supported_aggregate_types"},
        {"", "cart", REASON_TYPE_NOT_ALLOWED,
         "aggregate type \"cart\" may not be appended to; use one of user, order, payment, custom, or add it "
         "to supported_aggregate_types"},
    };
    check_rows(domain, rows, ARRAY_SIZE(rows));
}

static void test_configured_types_are_custom_ones_and_may_end_in_a_star(void **state)
{
    (void)state;
    static const char *const events[] = {"order_*", "ledger_entry"};
    static const char *const aggregates[] = {"order", "ledger*"};
    CLEANUP(domain_free_at) struct domain *domain = domain_with(events, 2, aggregates, 2);
    static const struct row rows[] = {
        {"ledger_entry", "ledger", 0, NULL},
        {"ledger_entry", "ledger-eur", 0, NULL},
        {"ledger_entry", "order", 0, NULL},
        {"order_shipped_late", "order", 0, NULL},
        {"order_", "order", 0, NULL},
        /* a prefix binds configured names too */
        {"order_shipped_late", "ledger", REASON_TYPE_MISMATCH,
         "type \"order_shipped_late\" does not fit aggregate type \"ledger\"; order_* events go to "
         "aggregates of type order"},
        {"ledger_entry2", "ledger", REASON_TYPE_NOT_ALLOWED,
         "type \"ledger_entry2\" may not be appended; use one of order_*, ledger_entry, or add it to "
         "supported_event_types"},
        /* a list restricts: what it leaves out is no longer allowed */
        {"user_created", "", REASON_TYPE_NOT_ALLOWED,
         "type \"user_created\" may not be appended; use one of order_*, ledger_entry, or add it to "
         "supported_event_types"},
        /* types are part of paths */
        {"order_a/b", "order", REASON_TYPE_NOT_ALLOWED,
         "type \"order_a/b\" may not be appended; use one of order_*, ledger_entry, or add it to "
         "supported_event_types"},
    };
    check_rows(domain, rows, ARRAY_SIZE(rows));
    size_t count = 0;
    const char *const *names = domain_event_types(domain, &count);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "order_*");
    names = domain_aggregate_types(domain, &count);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "ledger*");
}

static void test_a_bare_star_allows_everything_but_the_systems_types(void **state)
{
    (void)state;
    static const char *const any[] = {"*"};
    CLEANUP(domain_free_at) struct domain *domain = domain_with(any, 1, any, 1);
    assert_status_ok(domain_check_types(domain, BYTES_LITERAL("anything"), BYTES_LITERAL("whatever")));
    assert_reason(domain_check_types(domain, BYTES_LITERAL("anything"), BYTES_LITERAL("$system")),
                  REASON_TYPE_NOT_ALLOWED);
}

static void test_impossible_entries_stop_the_start_naming_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        const char *message;
    } rows[] = {
        {"a*b", "supported_event_types[1] is \"a*b\"; a '*' may only stand at the end"},
        {"**", "supported_event_types[1] is \"**\"; a '*' may only stand at the end"},
        {"a/b", "supported_event_types[1] is \"a/b\"; a type has no '/'"},
        {"$mine", NULL},
        {"", NULL},
        {"two words", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *const entries[] = {"fine", rows[i].entry};
        struct domain *domain = NULL;
        const struct status status =
            domain_new(&(struct domain_options){.event_types = entries, .event_type_count = 2}, &domain);
        assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(status.message, "supported_event_types[1]"));
        if (rows[i].message != NULL)
            assert_string_equal(status.message, rows[i].message);
        assert_null(domain);
    }
}

static void test_a_long_list_is_shortened_in_messages(void **state)
{
    (void)state;
    char names[100][16];
    const char *entries[100];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "type_number_%d", i);
        entries[i] = names[i];
    }
    CLEANUP(domain_free_at) struct domain *domain = domain_with(entries, 100, NULL, 0);
    assert_status_ok(domain_check_types(domain, BYTES_LITERAL("type_number_99"), BYTES_NONE));
    const struct status status = domain_check_types(domain, BYTES_LITERAL("other"), BYTES_NONE);
    assert_non_null(strstr(status.message, "type_number_20"));
    assert_null(strstr(status.message, "type_number_60"));
    assert_non_null(strstr(status.message, ", …, or add it to supported_event_types"));
}

static void test_only_events_that_a_kind_of_aggregate_looks_at_need_a_check(void **state)
{
    (void)state;
    static const struct {
        const char *event_type;
        const char *aggregate_type;
        bool needed;
    } rows[] = {
        {"user_created", "user", true},
        {"user_updated", "user", true},
        {"user_deleted", "user", true},
        {"order_created", "order", true},
        {"order_status_changed", "order", true},
        {"payment_processed", "payment", true},
        {"payment_processed", "", true}, /* what its type suggests */
        {"custom", "user", false},
        {"custom", "custom", false},
        {"custom", "", false},
        {"user_renamed", "user", false},
        {"user_created", "ledger", false},
        {TYPE_AGGREGATE_CREATED, "user", false},
        {TYPE_AGGREGATE_CREATED, "order", true},
        {TYPE_AGGREGATE_CREATED, "payment", true},
        {TYPE_AGGREGATE_CREATED, "custom", false},
        {TYPE_STATE_REPLACED, "user", true},
        {TYPE_STATE_REPLACED, "order", true},
        {TYPE_STATE_REPLACED, "payment", true},
        {TYPE_STATE_REPLACED, "custom", false},
        {TYPE_STATE_REPLACED, "", true}, /* it may turn out to be an order's */
        {TYPE_METADATA_CHANGED, "order", false},
        {TYPE_ACTIVATED, "order", false},
        {TYPE_DEACTIVATED, "order", false},
        {"$payload_erased", "order", false},
    };
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    static const char *const any[] = {"*"};
    CLEANUP(domain_free_at) struct domain *unchecked = domain_with(any, 1, any, 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct bytes event = bytes_of_text(rows[i].event_type);
        const struct bytes aggregate = bytes_of_text(rows[i].aggregate_type);
        if (domain_needs_check(domain, event, aggregate) != rows[i].needed)
            fail_msg("%s on \"%s\": wanted %d", rows[i].event_type, rows[i].aggregate_type, rows[i].needed);
        assert_false(domain_needs_check(unchecked, event, aggregate));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_types_are_allowed_where_they_fit),
        cmocka_unit_test(test_configured_types_are_custom_ones_and_may_end_in_a_star),
        cmocka_unit_test(test_a_bare_star_allows_everything_but_the_systems_types),
        cmocka_unit_test(test_impossible_entries_stop_the_start_naming_the_key),
        cmocka_unit_test(test_a_long_list_is_shortened_in_messages),
        cmocka_unit_test(test_only_events_that_a_kind_of_aggregate_looks_at_need_a_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
