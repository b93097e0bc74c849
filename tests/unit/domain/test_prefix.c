/*
 * A fold that begins at a state that an earlier fold gave goes on exactly as one from the first event: the same
 * bytes of state, and the same verdict about everything that could come next. This is what makes snapshots and
 * caches safe, so it is tried on random histories of events good and bad.
 */
#include "unit/domain/history.h"

#include <string.h>

#include "unit/domain/random_events.h"

enum { EVENTS = 24, HISTORIES = 150 };

static const char *const aggregate_types[] = {"user", "order", "payment", "custom", "ledger"};

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
