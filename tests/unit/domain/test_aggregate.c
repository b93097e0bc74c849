#include "unit/domain/history.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "domain/aggregate.h"
#include "support/seeded_entropy.h"
#include "unit/domain/random_events.h"
#include "unit/store/failing_memory.h"

/* --- the rules once more, straight from domain.h, to hold the aggregate against --- */

struct reference {
    const struct domain *domain;
    struct arena *arena;
    struct fold *fold;
    int32_t version; /* -1 = no event yet */
};

static bool is_system(struct bytes type)
{
    return type.size_bytes > 0 && type.data[0] == '$';
}

static struct status reference_place(const struct reference *reference, const struct event_fields *event)
{
    const bool creates = bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
    if (!is_system(event->type))
        return status_ok();
    if (creates == (reference->version >= 0))
        return status_reason(creates ? REASON_AGGREGATE_EXISTS : REASON_AGGREGATE_UNKNOWN,
                             "in the wrong place");
    return event->content_type.size_bytes > 0 ? status_reason(REASON_INVALID_FIELD, "opaque") : status_ok();
}

static struct status reference_compact(const struct reference *reference, bool empty_allowed,
                                       struct bytes *text)
{
    if (text->size_bytes == 0 && empty_allowed)
        return status_ok();
    struct buffer compact = buffer_in(reference->arena, 0);
    STATUS_TRY(
        json_compact(reference->arena, text->size_bytes == 0 ? BYTES_LITERAL("{}") : *text, true, &compact));
    *text = buffer_bytes(&compact);
    return status_ok();
}

static struct status reference_shape(const struct reference *reference, const struct event_fields *event)
{
    if (event->content_type.size_bytes > 0)
        return domain_check_opaque(reference->domain, reference->arena, event->type, event->content_type);
    if (!is_system(event->type))
        return domain_check_payload(reference->domain, reference->arena, "data", event->type,
                                    event->aggregate_id, event->data);
    if (bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ||
        bytes_equal(event->type, BYTES_LITERAL(TYPE_STATE_REPLACED)))
        return domain_check_state(reference->domain, reference->arena, "data", event->aggregate_type,
                                  event->data);
    return status_ok();
}

static struct status reference_check(const struct reference *reference, struct event_fields *event)
{
    if (is_system(event->type) && strncmp((const char *)event->type.data, "$payload", 8) == 0)
        return status_reason(REASON_INVALID_ID, "nobody's to apply");
    STATUS_TRY(domain_check_types(reference->domain, event->type, event->aggregate_type));
    STATUS_TRY(reference_place(reference, event));
    if (event->content_type.size_bytes == 0)
        STATUS_TRY(reference_compact(reference, false, &event->data));
    STATUS_TRY(reference_compact(reference, true, &event->metadata));
    STATUS_TRY(reference_shape(reference, event));
    return domain_check(reference->domain, reference->fold, event);
}

/* --- comparing --- */

static bool same_event(const struct event_fields *a, const struct event_fields *b)
{
    return bytes_equal(a->type, b->type) && bytes_equal(a->aggregate_id, b->aggregate_id) &&
           bytes_equal(a->aggregate_type, b->aggregate_type) && a->version == b->version &&
           bytes_equal(a->data, b->data) && bytes_equal(a->metadata, b->metadata) &&
           bytes_equal(a->content_type, b->content_type);
}

enum { WITHOUT_POSITION, WITH_POSITION };

static void expect_state(const char *where, const struct aggregate *aggregate, const struct fold *fold,
                         int what)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_state found;
    struct aggregate_state wanted;
    assert_status_ok(aggregate_state(aggregate, arena, &found));
    assert_status_ok(fold_result_in(fold, arena, &wanted));
    const bool same = found.version == wanted.version && bytes_equal(found.state, wanted.state) &&
                      bytes_equal(found.metadata, wanted.metadata) && found.active == wanted.active &&
                      found.event_count == wanted.event_count &&
                      (what == WITHOUT_POSITION ||
                       (found.position == wanted.position && found.updated_at_us == wanted.updated_at_us &&
                        found.created_at_us == wanted.created_at_us));
    if (!same)
        fail_msg("%s: version %d, position %lld, created %lld is %.*s; wanted %d, %lld, %lld, %.*s", where,
                 found.version, (long long)found.position, (long long)found.created_at_us,
                 BYTES_FORMAT(found.state), wanted.version, (long long)wanted.position,
                 (long long)wanted.created_at_us, BYTES_FORMAT(wanted.state));
    assert_int_equal(aggregate_version(aggregate), wanted.version);
    assert_int_equal(aggregate_active(aggregate), wanted.active);
    assert_int_equal(aggregate_exists(aggregate), fold_exists(fold));
}

/* --- random histories --- */

enum { TRIED = 40, HISTORIES = 100 };

static const struct good_event {
    const char *aggregate_type;
    const char *type;
    const char *data;
} good_events[] = {
    {"user", "user_created", "{ \"user_id\": \"x-1\", \"email\" : \"a@b\" }"},
    {"user", "user_updated", "{\"changes\":[{\"field\":\"email\",\"new_value\":\"c@d\"}]}"},
    {"user", "user_updated", "{\"role\":\"\\u0061dmin\"}"},
    {"user", "user_deleted", "{\"reason\":\"left\"}"},
    {"order", "order_created", "{\"order_id\":\"x-1\",\"total_amount\":1.50}"},
    {"order", "order_status_changed", "{\"new_status\":\"confirmed\"}"},
    {"order", "order_status_changed", "{\"new_status\":\"paid\",\"old_status\":\"confirmed\"}"},
    {"order", "order_status_changed", "{\"new_status\":\"shipped\"}"},
    {"order", "order_status_changed", "{\"new_status\":\"refunded\"}"},
    {"payment", "payment_processed", "{\"payment_id\":\"x-1\",\"status\":\"pending\"}"},
    {"payment", "payment_processed",
     "{\"payment_id\":\"x-1\",\"status\":\"authorized\",\"amount\":\"9.90\"}"},
    {"payment", "payment_processed", "{\"payment_id\":\"x-1\",\"status\":\"completed\"}"},
    {"ledger", "deposit", "{\"amount\": 12.0, \"balance\": {\"eur\": 1e2}}"},
    {"ledger", "deposit", "{\"amount\":null,\"balance\":{\"usd\":-0}}"},
};

static const char *const kinds[] = {"user", "order", "payment", "ledger"};

static struct event_fields next_event(struct arena *arena, uint64_t *random, const char *kind)
{
    struct event_fields event = random_event(arena, random, kind, 0);
    event.position = 0;
    event.timestamp_us = 0;
    if (random_below(random, 3) == 0)
        return event;
    const struct good_event *good;
    do
        good = &good_events[random_below(random, ARRAY_SIZE(good_events))];
    while (strcmp(good->aggregate_type, kind) != 0);
    event.type = bytes_of_text(good->type);
    event.data = bytes_of_text(good->data);
    return event;
}

struct accepted {
    struct event_fields events[TRIED]; /* as they would be stored, an append each */
    size_t count;
    size_t refused;
};

static struct domain *wide_domain(void)
{
    static const char *const types[] = {"user_*", "order_*", "payment_*", "custom", "deposit"};
    static const char *const aggregates[] = {"user", "order", "payment", "ledger"};
    struct domain *domain = NULL;
    assert_status_ok(domain_new(&(struct domain_options){.validation_enabled = true,
                                                         .event_types = types,
                                                         .event_type_count = ARRAY_SIZE(types),
                                                         .aggregate_types = aggregates,
                                                         .aggregate_type_count = ARRAY_SIZE(aggregates)},
                                &domain));
    return domain;
}

static void apply_both(struct aggregate *aggregate, struct reference *reference, struct event_fields event,
                       struct accepted *accepted)
{
    const struct status status = aggregate_apply(aggregate, &event);
    event.version = reference->version >= 0                                          ? reference->version + 1
                    : bytes_equal(event.type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ? 0
                                                                                     : 1;
    const struct status wanted = reference_check(reference, &event);
    if (status.code != wanted.code || status.reason != wanted.reason)
        fail_msg("%.*s %.*s: got %s \"%s\", wanted %s \"%s\"", BYTES_FORMAT(event.type),
                 BYTES_FORMAT(event.data), status_reason_name(status.reason), status.message,
                 status_reason_name(wanted.reason), wanted.message);
    if (wanted.reason == REASON_TRANSITION_REFUSED)
        assert_string_equal(status.message, wanted.message);
    if (status_is_ok(&status)) {
        struct event_fields *stored = &accepted->events[accepted->count++];
        *stored = event;
        assert_status_ok(fold_apply(reference->fold, stored));
        reference->version = event.version;
        stored->position = (int64_t)accepted->count * 3;
        stored->timestamp_us = (int64_t)accepted->count * 1000;
    } else {
        accepted->refused++;
    }
    expect_state("after an event", aggregate, reference->fold, WITHOUT_POSITION);
}

/* The first `stored` events are history, the others are applied: these are the uncommitted ones, and committed one after
 * the other, an append each, nothing tells the aggregate from one that was loaded. */
static void split_at(const struct domain *domain, const struct accepted *accepted, size_t stored)
{
    CLEANUP(aggregate_free_at) struct aggregate *aggregate = NULL;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields *events = accepted->events;
    assert_status_ok(aggregate_new(domain, events[0].aggregate_id, events[0].aggregate_type, &aggregate));
    assert_status_ok(aggregate_load(aggregate, events, stored));
    struct fold *fold = fold_new(domain, arena, NULL);
    for (size_t i = 0; i < stored; i++)
        assert_status_ok(fold_apply(fold, &events[i]));
    expect_state("loaded", aggregate, fold, WITH_POSITION);
    for (size_t i = stored; i < accepted->count; i++)
        assert_status_ok(aggregate_apply(aggregate, &events[i]));
    size_t count = 0;
    const struct event_fields *uncommitted = aggregate_uncommitted(aggregate, &count);
    assert_int_equal(count, accepted->count - stored);
    for (size_t i = 0; i < count; i++)
        assert_true(same_event(&uncommitted[i], &events[stored + i]));
    for (size_t i = stored; i < accepted->count; i++) {
        assert_int_equal(aggregate_committed_version(aggregate), i == 0 ? 0 : events[i - 1].version);
        assert_status_ok(aggregate_mark_committed(aggregate, events[i].version, events[i].position,
                                                  events[i].timestamp_us));
        uncommitted = aggregate_uncommitted(aggregate, &count);
        assert_int_equal(count, accepted->count - i - 1);
        if (count > 0)
            assert_true(same_event(uncommitted, &events[i + 1]));
        assert_status_ok(fold_apply(fold, &events[i]));
    }
    expect_state("committed", aggregate, fold, WITH_POSITION);
}

static void test_random_histories_split_anywhere_give_what_folds_and_checks_give(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = wide_domain();
    uint64_t random = 29;
    size_t accepted_count = 0;
    size_t refused_count = 0;
    for (int number = 0; number < HISTORIES; number++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        CLEANUP(aggregate_free_at) struct aggregate *aggregate = NULL;
        const char *kind = kinds[number % (int)ARRAY_SIZE(kinds)];
        assert_status_ok(aggregate_new(domain, BYTES_LITERAL("x-1"), bytes_of_text(kind), &aggregate));
        struct reference reference = {domain, arena, fold_new(domain, arena, NULL), -1};
        struct accepted accepted = {.count = 0};
        for (int i = 0; i < TRIED; i++)
            apply_both(aggregate, &reference, next_event(arena, &random, kind), &accepted);
        for (size_t stored = 0; stored <= accepted.count && accepted.count > 0; stored++)
            split_at(domain, &accepted, stored);
        accepted_count += accepted.count;
        refused_count += accepted.refused;
    }
    assert_in_range(accepted_count, 500, HISTORIES * TRIED); /* both were met often */
    assert_in_range(refused_count, 500, HISTORIES * TRIED);
}

/* --- refusals by name --- */

static struct aggregate *order_begin(const struct domain *domain)
{
    struct aggregate *order = NULL;
    assert_status_ok(aggregate_new(domain, BYTES_LITERAL("o-1"), BYTES_LITERAL("order"), &order));
    const struct event_fields created = {
        .type = BYTES_LITERAL("order_created"),
        .data = BYTES_LITERAL("{\"order_id\":\"o-1\",\"total_amount\":\"7.00\"}")};
    assert_status_ok(aggregate_apply(order, &created));
    return order;
}

#define STATUS_CHANGED(new_status)                                                                           \
    {                                                                                                        \
        .type = BYTES_LITERAL("order_status_changed"),                                                       \
        .data = BYTES_LITERAL("{\"new_status\":\"" new_status "\"}")                                         \
    }

static void test_a_refused_event_changes_nothing_and_names_the_reason(void **state)
{
    (void)state;
    static const struct {
        struct event_fields event;
        enum status_reason reason;
        const char *says;
    } cases[] = {
        {STATUS_CHANGED("shipped"), REASON_TRANSITION_REFUSED, "pending"},
        {STATUS_CHANGED("lost"), REASON_INVALID_FIELD, "data.new_status"},
        {{.type = BYTES_LITERAL("order_created"), .data = BYTES_LITERAL("{\"order_id\":\"o-2\"}")},
         REASON_INVALID_FIELD,
         "data.order_id"},
        {{.type = BYTES_LITERAL("order_created"), .data = BYTES_LITERAL("{\"a\":1,\"a\":2}")},
         REASON_INVALID_JSON,
         "data"},
        {{.type = BYTES_LITERAL("custom"), .metadata = BYTES_LITERAL("[]")}, REASON_INVALID_JSON, "metadata"},
        {{.type = BYTES_LITERAL("order_created"), .content_type = BYTES_LITERAL("image/png")},
         REASON_INVALID_FIELD,
         "image/png"},
        {{.type = BYTES_LITERAL("user_created")}, REASON_TYPE_MISMATCH, "user_created"},
        {{.type = BYTES_LITERAL("deposit")}, REASON_TYPE_NOT_ALLOWED, "deposit"},
        {{.type = BYTES_LITERAL("custom"), .aggregate_type = BYTES_LITERAL("custom")},
         REASON_TYPE_MISMATCH,
         "order"},
        {{.type = BYTES_LITERAL("custom"), .aggregate_id = BYTES_LITERAL("o-2")},
         REASON_INVALID_FIELD,
         "o-2"},
        {{.type = BYTES_LITERAL("custom"), .version = 7}, REASON_VERSION_CONFLICT, "7"},
        {{.type = BYTES_LITERAL("custom"), .version = 1}, REASON_VERSION_CONFLICT, "is 2"},
        {{.type = BYTES_LITERAL("custom"), .id = BYTES_LITERAL("a b")}, REASON_INVALID_ID, "id"},
        {{.type = BYTES_LITERAL("custom"), .tags = {BYTES_LITERAL("")}, .tag_count = 1},
         REASON_INVALID_ID,
         "tags"},
        {{.type = BYTES_LITERAL("custom"), .tag_count = 17}, REASON_INVALID_FIELD, "17"},
        {{.type = BYTES_LITERAL("custom"), .schema_version = -1}, REASON_INVALID_FIELD, "schema_version"},
        {{.type = BYTES_LITERAL("")}, REASON_INVALID_ID, "type"},
        {{.type = BYTES_LITERAL("$payload_erased")}, REASON_INVALID_ID, "$"},
        {{.type = BYTES_LITERAL(TYPE_AGGREGATE_CREATED)}, REASON_AGGREGATE_EXISTS, "o-1"},
        {{.type = BYTES_LITERAL(TYPE_STATE_REPLACED), .data = BYTES_LITERAL("{\"status\":\"paid\"}")},
         REASON_TRANSITION_REFUSED,
         "paid"},
    };
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = order_begin(domain);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct fold *before = fold_new(domain, arena, NULL);
    size_t count = 0;
    assert_status_ok(fold_apply(before, aggregate_uncommitted(order, &count)));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct status status = aggregate_apply(order, &cases[i].event);
        if (status.reason != cases[i].reason || strstr(status.message, cases[i].says) == NULL)
            fail_msg("case %zu: got %s \"%s\", wanted %s and \"%s\"", i, status_reason_name(status.reason),
                     status.message, status_reason_name(cases[i].reason), cases[i].says);
        expect_state("after a refusal", order, before, WITHOUT_POSITION);
        (void)aggregate_uncommitted(order, &count);
        assert_int_equal(count, 1);
    }
    const struct event_fields confirmed = STATUS_CHANGED("confirmed");
    assert_status_ok(aggregate_apply(order, &confirmed)); /* and it goes on */
    assert_int_equal(aggregate_version(order), 2);
}

static void test_faulty_fields_are_all_listed(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = order_begin(domain);
    const struct event_fields bad = {.type = BYTES_LITERAL("order_created"),
                                     .data = BYTES_LITERAL("{\"currency\":\"x\",\"total_amount\":{}}")};
    const struct status status = aggregate_apply(order, &bad);
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_int_equal(status.faults->count, 3); /* order_id is missing */
    assert_string_equal(status.faults->items[0].field, "data.currency");
}

static void test_the_systems_events_begin_change_and_park_an_aggregate(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *note = NULL;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_status_ok(aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("custom"), &note));
    assert_false(aggregate_exists(note));
    assert_false(aggregate_active(note));
    const struct event_fields early = {.type = BYTES_LITERAL(TYPE_DEACTIVATED)};
    assert_reason(aggregate_apply(note, &early), REASON_AGGREGATE_UNKNOWN);
    static const struct event_fields events[] = {
        {.type = BYTES_LITERAL(TYPE_AGGREGATE_CREATED),
         .data = BYTES_LITERAL("{ \"a\": 1, \"b\": null }"),
         .metadata = BYTES_LITERAL("{\"who\":\"me\"}")},
        {.type = BYTES_LITERAL("custom"), .data = BYTES_LITERAL("{\"c\":[1, 2.50]}")},
        {.type = BYTES_LITERAL(TYPE_METADATA_CHANGED), .data = BYTES_LITERAL("{\"who\":null,\"why\":1}")},
        {.type = BYTES_LITERAL(TYPE_DEACTIVATED)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        assert_status_ok(aggregate_apply(note, &events[i]));
    assert_int_equal(aggregate_version(note), 3);
    assert_int_equal(aggregate_committed_version(note), 0);
    assert_true(aggregate_exists(note));
    assert_false(aggregate_active(note));
    struct aggregate_state found;
    assert_status_ok(aggregate_state(note, arena, &found));
    assert_true(bytes_equal(found.state, BYTES_LITERAL("{\"a\":1,\"c\":[1,2.50]}")));
    assert_true(bytes_equal(found.metadata, BYTES_LITERAL("{\"why\":1}")));
    assert_true(bytes_equal(found.id, BYTES_LITERAL("n-1")));
    assert_true(bytes_equal(found.type, BYTES_LITERAL("custom")));
    size_t count = 0;
    const struct event_fields *uncommitted = aggregate_uncommitted(note, &count);
    assert_int_equal(uncommitted[0].version, 0);
    assert_int_equal(uncommitted[3].version, 3);
    assert_true(
        bytes_equal(uncommitted[1].data, BYTES_LITERAL("{\"c\":[1,2.50]}"))); /* compact, token for token */
    assert_true(bytes_equal(uncommitted[3].data, BYTES_LITERAL("{}")));
    assert_status_ok(aggregate_mark_committed(note, 0, 5, 50)); /* the creation alone */
    (void)aggregate_uncommitted(note, &count);
    assert_int_equal(count, 3);
}

static void test_what_is_kept_of_an_event_is_the_aggregates_own(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = order_begin(domain);
    char texts[] = "custom c-1 v-1 s-1 red {\"m\":1}";
    const struct event_fields event = {
        .id = bytes_of(texts + 7, 3),
        .type = bytes_of(texts, 6),
        .correlation_id = bytes_of(texts + 7, 3),
        .causation_id = bytes_of(texts + 11, 3),
        .subject = bytes_of(texts + 15, 3),
        .tags = {bytes_of(texts + 19, 3), bytes_of(texts + 19, 3)},
        .tag_count = 2,
        .metadata = bytes_of(texts + 23, 7),
        .content_type = BYTES_LITERAL("application/json"),
        .schema_version = 3,
        .has_occurred_at = true,
        .occurred_at_us = 77,
        .actor = BYTES_LITERAL("not the caller's to say"),
        .position = 9,
        .timestamp_us = 9,
    };
    assert_status_ok(aggregate_apply(order, &event));
    memset(texts, 'x', sizeof texts - 1);
    size_t count = 0;
    const struct event_fields *kept = &aggregate_uncommitted(order, &count)[1];
    assert_int_equal(count, 2);
    assert_true(bytes_equal(kept->id, BYTES_LITERAL("c-1")));
    assert_true(bytes_equal(kept->type, BYTES_LITERAL("custom")));
    assert_true(bytes_equal(kept->correlation_id, BYTES_LITERAL("c-1")));
    assert_true(bytes_equal(kept->causation_id, BYTES_LITERAL("v-1")));
    assert_true(bytes_equal(kept->subject, BYTES_LITERAL("s-1")));
    assert_true(bytes_equal(kept->metadata, BYTES_LITERAL("{\"m\":1}")));
    assert_true(bytes_equal(kept->tags[0], BYTES_LITERAL("red")));
    assert_int_equal(kept->tag_count, 1); /* a tag given twice says nothing more */
    assert_int_equal(kept->schema_version, 3);
    assert_int_equal(kept->occurred_at_us, 77);
    assert_int_equal(kept->content_type.size_bytes, 0);
    assert_int_equal(kept->actor.size_bytes, 0);
    assert_int_equal(kept->position, 0);
    assert_int_equal(kept->timestamp_us, 0);
}

/* --- history --- */

static struct event_fields stored(int32_t version, const char *type)
{
    return (struct event_fields){.type = bytes_of_text(type),
                                 .aggregate_id = BYTES_LITERAL("n-1"),
                                 .aggregate_type = BYTES_LITERAL("custom"),
                                 .version = version,
                                 .position = 10 + version,
                                 .timestamp_us = 100 + version,
                                 .data = BYTES_LITERAL("{\"k\":1}")};
}

static void test_history_with_a_gap_a_repetition_or_foreign_events_is_refused_by_name(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    struct event_fields foreign = stored(2, "custom");
    foreign.aggregate_id = BYTES_LITERAL("n-2");
    struct event_fields other_type = stored(2, "custom");
    other_type.aggregate_type = BYTES_LITERAL("order");
    const struct {
        struct event_fields first, second;
        enum status_reason reason;
        const char *says;
    } cases[] = {
        {stored(1, "custom"), stored(3, "custom"), REASON_DAMAGED,
         "from version 1 to 3: version 2 is missing"},
        {stored(0, TYPE_AGGREGATE_CREATED), stored(2, "custom"), REASON_DAMAGED, "version 1 is missing"},
        {stored(2, "custom"), stored(3, "custom"), REASON_DAMAGED,
         "begins at version 2: version 1 is missing"},
        {stored(1, "custom"), stored(1, "custom"), REASON_INVALID_FIELD, "version 1 after version 1"},
        {stored(0, "custom"), stored(1, "custom"), REASON_INVALID_FIELD, "custom at version 0"},
        {stored(1, TYPE_AGGREGATE_CREATED), stored(2, "custom"), REASON_INVALID_FIELD, "at version 1"},
        {stored(1, "custom"), foreign, REASON_INVALID_FIELD, "n-2"},
        {stored(1, "custom"), other_type, REASON_TYPE_MISMATCH, "order"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(aggregate_free_at) struct aggregate *note = NULL;
        assert_status_ok(aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("custom"), &note));
        const struct event_fields events[] = {cases[i].first, cases[i].second};
        const struct status status = aggregate_load(note, events, 2);
        if (status.reason != cases[i].reason || strstr(status.message, cases[i].says) == NULL)
            fail_msg("case %zu: got %s \"%s\", wanted %s and \"%s\"", i, status_reason_name(status.reason),
                     status.message, status_reason_name(cases[i].reason), cases[i].says);
        assert_false(aggregate_exists(note)); /* all or none */
    }
}

static void test_history_may_be_what_no_check_would_let_pass_today(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *old = NULL;
    assert_status_ok(aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("retired"), &old));
    struct event_fields event = stored(1, "retired_type");
    event.aggregate_type = BYTES_LITERAL("retired");
    assert_status_ok(aggregate_load(old, &event, 1));
    const struct event_fields next = {.type = BYTES_LITERAL("custom")};
    assert_reason(aggregate_apply(old, &next), REASON_TYPE_NOT_ALLOWED);
}

static void test_history_does_not_come_after_uncommitted_events(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *note = NULL;
    assert_status_ok(aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("custom"), &note));
    const struct event_fields first = {.type = BYTES_LITERAL("custom")};
    assert_status_ok(aggregate_apply(note, &first));
    const struct event_fields second = stored(2, "custom");
    assert_status(aggregate_load(note, &second, 1), STATUS_FAILED_PRECONDITION);
    assert_status_ok(aggregate_mark_committed(note, 1, 11, 101));
    assert_status_ok(aggregate_load(note, &second, 1)); /* somebody else's, for instance */
    assert_int_equal(aggregate_committed_version(note), 2);
}

static void test_records_are_loaded_as_they_are_stored(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *note = NULL;
    assert_status_ok(aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("custom"), &note));
    struct event_fields event = stored(1, "custom");
    uint8_t bytes[512];
    assert_in_range(record_encoded_bound(&event), 1, sizeof bytes);
    struct record record = record_write(&event, bytes);
    assert_status_ok(aggregate_load_record(note, record));
    assert_int_equal(aggregate_version(note), 1);
    record.bytes.size_bytes--;
    assert_reason(aggregate_load_record(note, record), REASON_DAMAGED);
    assert_int_equal(aggregate_version(note), 1);
}

static void test_an_aggregate_goes_on_from_a_snapshot(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = NULL;
    struct aggregate_state from = {.id = BYTES_LITERAL("o-1"),
                                   .type = BYTES_LITERAL("order"),
                                   .version = 8,
                                   .state = BYTES_LITERAL("{\"status\":\"paid\"}"),
                                   .active = true,
                                   .created_at_us = 5,
                                   .event_count = 8};
    assert_status_ok(aggregate_new_from(domain, &from, &order));
    assert_int_equal(aggregate_committed_version(order), 8);
    const struct event_fields back = STATUS_CHANGED("confirmed");
    assert_reason(aggregate_apply(order, &back), REASON_TRANSITION_REFUSED);
    const struct event_fields shipped = STATUS_CHANGED("shipped");
    assert_status_ok(aggregate_apply(order, &shipped));
    assert_status_ok(aggregate_mark_committed(order, 9, 90, 900));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_state found;
    assert_status_ok(aggregate_state(order, arena, &found));
    assert_int_equal(found.created_at_us, 5);
    assert_int_equal(found.updated_at_us, 900);
    assert_int_equal(found.position, 90);
    from.metadata = BYTES_LITERAL("[1]");
    struct aggregate *none = NULL;
    const struct status status = aggregate_new_from(domain, &from, &none);
    assert_int_equal(status.reason, REASON_INVALID_JSON);
    assert_non_null(strstr(status.message, "metadata"));
    assert_null(none);
}

/* --- committing --- */

static void test_a_commit_may_take_a_part_and_never_what_is_not_there(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = order_begin(domain);
    const struct event_fields custom = {.type = BYTES_LITERAL("custom")};
    assert_status_ok(aggregate_apply(order, &custom));
    assert_status_ok(aggregate_apply(order, &custom));
    const struct status beyond = aggregate_mark_committed(order, 4, 1, 1);
    assert_int_equal(beyond.code, STATUS_OUT_OF_RANGE);
    assert_non_null(strstr(beyond.message, "committed to version 0 and at version 3"));
    size_t count = 0;
    (void)aggregate_uncommitted(order, &count);
    assert_int_equal(count, 3);
    assert_status_ok(aggregate_mark_committed(order, 2, 20, 200));
    assert_int_equal(aggregate_uncommitted(order, &count)[0].version, 3);
    assert_int_equal(count, 1);
    assert_status_ok(aggregate_mark_committed(order, 2, 21, 201)); /* once more says nothing new */
    assert_status(aggregate_mark_committed(order, 1, 1, 1), STATUS_OUT_OF_RANGE);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_state found;
    assert_status_ok(aggregate_state(order, arena, &found));
    assert_int_equal(found.created_at_us, 200);
    assert_int_equal(found.position, 0); /* the last event is nowhere yet */
    assert_status_ok(aggregate_mark_committed(order, 3, 22, 300));
    assert_null(aggregate_uncommitted(order, &count));
    assert_status_ok(aggregate_state(order, arena, &found));
    assert_int_equal(found.created_at_us, 200);
    assert_int_equal(found.updated_at_us, 300);
    assert_int_equal(found.position, 22);
}

static void test_uncommitted_events_are_bounded(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    CLEANUP(aggregate_free_at) struct aggregate *order = order_begin(domain);
    const struct event_fields custom = {.type = BYTES_LITERAL("custom")};
    for (unsigned i = 1; i < AGGREGATE_UNCOMMITTED_MAX; i++)
        assert_status_ok(aggregate_apply(order, &custom));
    assert_reason(aggregate_apply(order, &custom), REASON_APPEND_TOO_LARGE);
    assert_status_ok(aggregate_mark_committed(order, 1, 1, 1));
    assert_status_ok(aggregate_apply(order, &custom));
}

/* Each allocation of making, loading and applying fails once. Either the event is in, whole, or the aggregate is as
 * it was, or it refuses everything from then on: never something between. */
static void test_without_memory_nothing_is_half_done(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    const struct event_fields history = stored(1, "custom");
    const struct event_fields next = {.type = BYTES_LITERAL("custom"), .data = BYTES_LITERAL("{\"l\":[1]}")};
    bool failed = true;
    for (unsigned fail_at = 1; failed; fail_at++) {
        struct aggregate *note = NULL;
        size_t count = 0;
        failing_memory_from(fail_at);
        struct status status = aggregate_new(domain, BYTES_LITERAL("n-1"), BYTES_LITERAL("custom"), &note);
        if (status_is_ok(&status))
            status = aggregate_load(note, &history, 1);
        if (status_is_ok(&status))
            status = aggregate_apply(note, &next);
        failed = failing_memory_stop();
        assert_int_equal(status_is_ok(&status), !failed);
        if (failed)
            assert_int_equal(status.code, STATUS_RESOURCE_EXHAUSTED);
        if (note != NULL && failed) {
            assert_null(aggregate_uncommitted(note, &count));
            const struct status again = aggregate_apply(note, &next);
            const struct event_fields *uncommitted = aggregate_uncommitted(note, &count);
            assert_int_equal(count, status_is_ok(&again) ? 1 : 0);
            if (count > 0)
                assert_int_equal(uncommitted[0].version, aggregate_committed_version(note) + 1);
        }
        aggregate_free(note);
        assert_in_range(fail_at, 1, 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories_split_anywhere_give_what_folds_and_checks_give),
        cmocka_unit_test(test_a_refused_event_changes_nothing_and_names_the_reason),
        cmocka_unit_test(test_faulty_fields_are_all_listed),
        cmocka_unit_test(test_the_systems_events_begin_change_and_park_an_aggregate),
        cmocka_unit_test(test_what_is_kept_of_an_event_is_the_aggregates_own),
        cmocka_unit_test(test_history_with_a_gap_a_repetition_or_foreign_events_is_refused_by_name),
        cmocka_unit_test(test_history_may_be_what_no_check_would_let_pass_today),
        cmocka_unit_test(test_history_does_not_come_after_uncommitted_events),
        cmocka_unit_test(test_records_are_loaded_as_they_are_stored),
        cmocka_unit_test(test_an_aggregate_goes_on_from_a_snapshot),
        cmocka_unit_test(test_a_commit_may_take_a_part_and_never_what_is_not_there),
        cmocka_unit_test(test_uncommitted_events_are_bounded),
        cmocka_unit_test(test_without_memory_nothing_is_half_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
