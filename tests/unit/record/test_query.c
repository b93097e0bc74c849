#include "support/cmocka.h"

#include "record/query.h"

#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const struct bytes[]){__VA_ARGS__},                                                                 \
            sizeof((const struct bytes[]){__VA_ARGS__}) / sizeof(struct bytes)                               \
    }
#define T(text) BYTES_LITERAL(text)

static const struct event_fields event = {
    .type = {(const uint8_t *)"order_placed", 12},
    .aggregate_id = {(const uint8_t *)"order-17", 8},
    .aggregate_type = {(const uint8_t *)"order", 5},
    .correlation_id = {(const uint8_t *)"corr-1", 6},
    .tags = {{(const uint8_t *)"color:red", 9}, {(const uint8_t *)"size:1", 6}},
    .tag_count = 2,
};

static void test_an_item_matches_when_every_kind_does(void **state)
{
    (void)state;
    const struct {
        const char *why;
        struct query_item item;
        bool matches;
    } rows[] = {
        {"nothing asked matches all", {.correlation_id = BYTES_NONE}, true},
        {"its type", {.types = LIST(T("order_placed"))}, true},
        {"one of several types", {.types = LIST(T("x"), T("order_placed"))}, true},
        {"another type", {.types = LIST(T("order"))}, false},
        {"its tag", {.tags = LIST(T("size:1"))}, true},
        {"all its tags, in any order", {.tags = LIST(T("size:1"), T("color:red"))}, true},
        {"of tags all must match", {.tags = LIST(T("size:1"), T("color:blue"))}, false},
        {"a tag is no prefix", {.tags = LIST(T("size:"))}, false},
        {"its aggregate type", {.aggregate_types = LIST(T("user"), T("order"))}, true},
        {"another aggregate type", {.aggregate_types = LIST(T("user"))}, false},
        {"its aggregate", {.aggregate_ids = LIST(T("order-17"))}, true},
        {"an id is no prefix", {.aggregate_ids = LIST(T("order-1"))}, false},
        {"a prefix", {.aggregate_id_prefixes = LIST(T("user-"), T("order-1"))}, true},
        {"the whole id is a prefix too", {.aggregate_id_prefixes = LIST(T("order-17"))}, true},
        {"longer than the id", {.aggregate_id_prefixes = LIST(T("order-170"))}, false},
        {"its correlation", {.correlation_id = T("corr-1")}, true},
        {"another correlation", {.correlation_id = T("corr-2")}, false},
        {"kinds are and-ed", {.types = LIST(T("order_placed")), .correlation_id = T("corr-2")}, false},
        {"ids and prefixes are two kinds",
         {.aggregate_ids = LIST(T("order-17")), .aggregate_id_prefixes = LIST(T("user-"))},
         false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (query_item_matches(&rows[i].item, &event) != rows[i].matches)
            fail_msg("%s: should%s match", rows[i].why, rows[i].matches ? "" : " not");
    }
}

static void test_items_are_or_ed_and_none_means_all(void **state)
{
    (void)state;
    const struct query_item items[] = {{.types = LIST(T("x"))}, {.types = LIST(T("order_placed"))}};
    assert_true(query_matches(&(struct event_query){NULL, 0}, &event));
    assert_false(query_matches(&(struct event_query){items, 1}, &event));
    assert_true(query_matches(&(struct event_query){items, 2}, &event));
}

/* A filter by domain types must not bring the bookkeeping of aggregates along. */
static void test_system_events_match_types_only_by_name(void **state)
{
    (void)state;
    const struct event_fields created = {.type = T(TYPE_AGGREGATE_CREATED), .aggregate_id = T("order-17")};
    const struct query_item domain = {.types = LIST(T("order_placed"))};
    const struct query_item named = {.types = LIST(T("order_placed"), T(TYPE_AGGREGATE_CREATED))};
    const struct query_item untyped = {.aggregate_ids = LIST(T("order-17"))};
    assert_false(query_item_matches(&domain, &created));
    assert_true(query_item_matches(&named, &created));
    assert_true(query_item_matches(&untyped, &created));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_item_matches_when_every_kind_does),
        cmocka_unit_test(test_items_are_or_ed_and_none_means_all),
        cmocka_unit_test(test_system_events_match_types_only_by_name),
    };
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
