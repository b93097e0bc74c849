/*
 * A fold that begins at a state that an earlier fold gave goes on exactly as one from the first event: the same
 * bytes of state, and the same verdict about everything that could come next. This is what makes snapshots and
 * caches safe, so it is tried on random histories of events good and bad.
 */
#include "unit/domain/history.h"

#include <string.h>

#include "support/seeded_entropy.h"

enum { EVENTS = 24, HISTORIES = 150 };

static const char *const aggregate_types[] = {"user", "order", "payment", "custom", "ledger"};

static const char *const event_types[] = {
    "user_created",
    "user_updated",
    "user_deleted",
    "order_created",
    "order_status_changed",
    "order_status_changed",
    "payment_processed",
    "payment_processed",
    "custom",
    "deposit",
    TYPE_AGGREGATE_CREATED,
    TYPE_STATE_REPLACED,
    TYPE_METADATA_CHANGED,
    TYPE_ACTIVATED,
    TYPE_DEACTIVATED,
    "$payload_erased",
};

static const char *const member_names[] = {"user_id",      "order_id",   "payment_id", "status",
                                           "new_status",   "old_status", "email",      "changes",
                                           "st\\u0061tus", "x"};

static const char *const values[] = {
    "null",
    "1.50",
    "-0",
    "\"text\"",
    "\"p\\u0065nding\"",
    "\"pending\"",
    "\"confirmed\"",
    "\"paid\"",
    "\"shipped\"",
    "\"cancelled\"",
    "\"authorized\"",
    "\"completed\"",
    "\"failed\"",
    "\"deleted\"",
    "\"foreign\"",
    "[1,null]",
    "{}",
    "{\"a\":null,\"b\":1}",
    "{\"b\":{\"c\":\"\\u00e9\"}}",
    "[{\"field\":\"email\",\"new_value\":{\"k\":null,\"l\":2}},{\"field\":\"x\"}]",
    "[{\"field\":\"status\",\"new_value\":\"deleted\"},3]",
};

#define PICK(random, table) (table)[random_below(random, ARRAY_SIZE(table))]

static const char *random_data(struct arena *arena, uint64_t *random)
{
    static const char *const unusable[] = {"", "[1]", "{\"a\":", "null"};
    if (random_below(random, 12) == 0)
        return PICK(random, unusable);
    struct buffer text = buffer_in(arena, 0);
    bool used[ARRAY_SIZE(member_names)] = {false};
    const uint64_t count = random_below(random, 5);
    buffer_add_byte(&text, '{');
    size_t written = 0;
    for (uint64_t i = 0; i < count; i++) {
        const size_t name = random_below(random, ARRAY_SIZE(member_names));
        const bool status = name == 3 || name == 8; /* two spellings of one name */
        if (used[status ? 3 : name])
            continue;
        used[status ? 3 : name] = true;
        buffer_printf(&text, "%s\"%s\":%s", written++ == 0 ? "" : ",", member_names[name],
                      PICK(random, values));
    }
    buffer_add_text(&text, "}");
    buffer_add_byte(&text, '\0');
    return (const char *)text.data;
}

static struct event_fields random_event(struct arena *arena, uint64_t *random, const char *aggregate_type,
                                        int32_t version)
{
    struct event_fields event = {
        .type = bytes_of_text(PICK(random, event_types)),
        .aggregate_id = BYTES_LITERAL("x-1"),
        .aggregate_type = bytes_of_text(aggregate_type),
        .version = version,
        .position = version * 3 + 1,
        .timestamp_us = version * 7,
        .data = bytes_of_text(random_data(arena, random)),
        .metadata = bytes_of_text(random_data(arena, random)),
    };
    if (random_below(random, 15) == 0)
        event.content_type = BYTES_LITERAL("image/png");
    return event;
}

static void assert_same(const struct aggregate_state *a, const struct aggregate_state *b, int history,
                        int from)
{
    const bool same = bytes_equal(a->id, b->id) && bytes_equal(a->type, b->type) &&
                      a->version == b->version && bytes_equal(a->state, b->state) &&
                      bytes_equal(a->metadata, b->metadata) && a->active == b->active &&
                      a->created_at_us == b->created_at_us && a->updated_at_us == b->updated_at_us &&
                      a->position == b->position && a->event_count == b->event_count;
    if (!same)
        fail_msg("history %d from event %d: version %d is %.*s and was %.*s", history, from, a->version,
                 BYTES_FORMAT(a->state), BYTES_FORMAT(b->state));
}

/* What is remembered of the fold from the start, after each event. */
struct remembered {
    struct event_fields event;
    struct aggregate_state after;
    struct status verdict; /* about the event, before it */
};

static void fold_from(const struct domain *domain, struct arena *arena, const struct remembered *history,
                      int from, int number)
{
    struct fold *fold = fold_new(domain, arena, &history[from].after);
    assert_non_null(fold);
    for (int i = from + 1; i < EVENTS; i++) {
        const struct status verdict = domain_check(domain, fold, &history[i].event);
        if (verdict.code != history[i].verdict.code ||
            strcmp(verdict.message, history[i].verdict.message) != 0)
            fail_msg("history %d from event %d: the verdict about event %d is \"%s\" and was \"%s\"", number,
                     from, i, verdict.message, history[i].verdict.message);
        assert_status_ok(fold_apply(fold, &history[i].event));
        struct aggregate_state after;
        assert_status_ok(fold_result(fold, &after));
        assert_same(&after, &history[i].after, number, from);
    }
}

static void test_a_fold_from_any_state_goes_on_as_one_from_the_start(void **state)
{
    (void)state;
    CLEANUP(domain_free_at) struct domain *domain = default_domain();
    uint64_t random = 11;
    int refused = 0;
    for (int number = 0; number < HISTORIES; number++) {
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        const char *aggregate_type = aggregate_types[number % (int)ARRAY_SIZE(aggregate_types)];
        static struct remembered history[EVENTS];
        struct fold *fold = fold_new(domain, arena, NULL);
        assert_non_null(fold);
        for (int i = 0; i < EVENTS; i++) {
            history[i].event = random_event(arena, &random, aggregate_type, i + 1);
            history[i].verdict = domain_check(domain, fold, &history[i].event);
            refused += !status_is_ok(&history[i].verdict);
            assert_status_ok(fold_apply(fold, &history[i].event)); /* also what was refused: folds take all */
            assert_status_ok(fold_result(fold, &history[i].after));
        }
        for (int from = 0; from < EVENTS - 1; from++)
            fold_from(domain, arena, history, from, number);
    }
    assert_in_range(refused, 100, HISTORIES * EVENTS - 100); /* both verdicts were met often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fold_from_any_state_goes_on_as_one_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
