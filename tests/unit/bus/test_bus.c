#include "unit/bus/bench.h"

#include <string.h>

#include "store/memory/memory_store.h"

/* --- a cursor that notes what it gets --- */

struct turn {
    struct bench *bench;
    size_t taken;
};

static bool take(void *context, int64_t position, struct record record)
{
    (void)record;
    struct turn *turn = context;
    if (turn->taken == turn->bench->batch_max)
        return false;
    turn->taken++;
    turn->bench->seen[turn->bench->seen_count++] = position;
    return true;
}

static enum cursor_turn note_turn(void *context, struct cursor *cursor)
{
    struct bench *bench = context;
    pthread_mutex_lock(&bench->lock);
    bench->turns++;
    enum cursor_turn answer = CURSOR_CLOSED;
    if (!bench->closing) {
        struct turn turn = {bench, 0};
        bench->failure = cursor_next(cursor, take, &turn);
        answer = status_is_ok(&bench->failure) && cursor_position(cursor) < cursor_head(cursor) &&
                         !cursor_waits_for_missing(cursor)
                     ? CURSOR_AGAIN
                     : CURSOR_WAIT;
    }
    bench->closed = answer == CURSOR_CLOSED;
    told(bench);
    return answer;
}

static struct cursor *cursor_begin(struct bench *bench, int64_t after, const struct event_query *query)
{
    static const struct event_query everything = {NULL, 0};
    const struct cursor_options options = {query == NULL ? &everything : query, after, note_turn, bench};
    struct cursor *cursor = NULL;
    assert_status_ok(cursor_new(bench->bus, &options, &cursor));
    cursor_start(cursor);
    return cursor;
}

static void cursor_end(struct bench *bench, struct cursor *cursor)
{
    pthread_mutex_lock(&bench->lock);
    bench->closing = true;
    pthread_mutex_unlock(&bench->lock);
    cursor_poke(cursor);
    wait_until(bench, bench->closed);
}

static void assert_seen(const struct bench *bench, int64_t first, size_t count)
{
    assert_int_equal(bench->seen_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bench->seen[i], first + (int64_t)i);
}

static void test_a_cursor_goes_from_the_past_to_live_without_gap_or_repetition(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    bench.batch_max = 7;
    assert_status_ok(bus_start(bench.bus));
    for (int i = 0; i < 100; i++)
        bench_append(&bench, "custom", "a");
    struct cursor *cursor = cursor_begin(&bench, 10, NULL);
    for (int i = 0; i < 100; i++)
        bench_append(&bench, "custom", "a");
    wait_until(&bench, bench.seen_count >= 190);
    assert_seen(&bench, 11, 190);
    struct bus_stats stats;
    bus_stats(bench.bus, &stats);
    assert_int_equal(stats.subscribers, 1);
    assert_int_equal(stats.delivered, 190);
    cursor_end(&bench, cursor);
    bench_close(&bench);
}

static void test_a_filtered_cursor_skips_and_still_advances(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    assert_status_ok(bus_start(bench.bus));
    const struct bytes id = BYTES_LITERAL("b");
    const struct query_item item = {.aggregate_ids = {&id, 1}};
    const struct event_query query = {&item, 1};
    bench_append(&bench, "custom", "a");
    bench_append(&bench, "custom", "b");
    struct cursor *cursor = cursor_begin(&bench, 0, &query);
    bench_append(&bench, "custom", "a");
    bench_append(&bench, "custom", "b");
    wait_until(&bench, bench.seen_count == 2);
    assert_int_equal(bench.seen[0], 2);
    assert_int_equal(bench.seen[1], 4);
    cursor_end(&bench, cursor);
    bench_close(&bench);
}

/* --- waiting for a position --- */

struct waiting {
    struct bus_waiter waiter;
    struct bench *bench;
};

static void waited(struct bus_waiter *waiter, bool reached)
{
    struct bench *bench = ((struct waiting *)waiter)->bench;
    pthread_mutex_lock(&bench->lock);
    bench->answered++;
    bench->reached = reached;
    told(bench);
}

static void test_a_waiter_is_told_of_the_position_or_of_the_deadline(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    assert_status_ok(bus_start(bench.bus));
    struct waiting waiting = {{.position = 2, .deadline_us = 5000000, .done = waited}, &bench};
    bus_wait(bench.bus, &waiting.waiter);
    bench_append(&bench, "custom", "a");
    bench_append(&bench, "custom", "a");
    wait_until(&bench, bench.answered == 1);
    assert_true(bench.reached);
    waiting.waiter.position = 3;
    bus_wait(bench.bus, &waiting.waiter);
    manual_clock_advance_ms(&bench.clock, 6000);
    bus_wake(bench.bus);
    wait_until(&bench, bench.answered == 2);
    assert_false(bench.reached);
    waiting.waiter.deadline_us = INT64_MAX;
    bus_wait(bench.bus, &waiting.waiter);
    assert_true(bus_forget(bench.bus, &waiting.waiter));
    assert_false(bus_forget(bench.bus, &waiting.waiter));
    bus_wait(bench.bus, &waiting.waiter);
    bus_stop(bench.bus); /* ends every wait */
    assert_int_equal(bench.answered, 3);
    bench_close(&bench);
}

/* --- handlers and what is processed --- */

static enum bus_answer note_event(void *context, const struct bus_delivery *delivery)
{
    struct bench *bench = context;
    assert_int_equal(delivery->event->position, delivery->position);
    pthread_mutex_lock(&bench->lock);
    bench->seen[bench->seen_count++] = delivery->position;
    told(bench);
    return BUS_HANDLED;
}

static bool is_processed(struct bench *bench, int64_t position)
{
    bus_wake(bench->bus);
    return bus_checkpoint(bench->bus) >= position;
}

static void test_the_checkpoint_moves_once_a_second_and_survives(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    const struct bus_subscribe_options notes = {.name = "notes", .handler = note_event, .context = &bench};
    int64_t id = 0;
    assert_status_ok(bus_subscribe(bench.bus, &notes, &id));
    assert_status_ok(bus_start(bench.bus));
    bench_append(&bench, "custom", "a");
    wait_until(&bench, bench.seen_count == 1);
    assert_int_equal(bus_processed_at_us(bench.bus, 1), 0);
    manual_clock_advance_ms(&bench.clock, 1500);
    while (!is_processed(&bench, 1))
        ;
    const int64_t at_us = bus_processed_at_us(bench.bus, 1);
    assert_int_equal(at_us, clock_now_us(&bench.clock.clock));
    bench_append(&bench, "custom", "a");
    wait_until(&bench, bench.seen_count == 2);
    assert_int_equal(bus_checkpoint(bench.bus), 1);
    manual_clock_advance_ms(&bench.clock, 100);
    bus_free(bench.bus); /* a clean stop saves */
    assert_status_ok(bus_new(bench.store, &bench.clock.clock, NULL, &bench.bus));
    assert_int_equal(bus_checkpoint(bench.bus), 2);
    assert_int_equal(bus_processed_at_us(bench.bus, 1), at_us);
    assert_int_equal(bus_processed_at_us(bench.bus, 2), at_us + 100000);
    bench_close(&bench);
}

static void test_a_long_journal_stays_ordered_and_bounded(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    assert_status_ok(bus_start(bench.bus));
    int64_t last_us = 0;
    for (int i = 1; i <= 1200; i++) { /* more seconds than the journal has entries */
        bench_append(&bench, "custom", "a");
        manual_clock_advance_ms(&bench.clock, 1100);
        while (!is_processed(&bench, i))
            ;
    }
    for (int64_t position = 1; position <= 1200; position++) {
        const int64_t at_us = bus_processed_at_us(bench.bus, position);
        assert_true(at_us >= last_us);
        assert_true(at_us > 0);
        last_us = at_us;
    }
    bench_close(&bench);
}

/* --- a position that does not come --- */

static struct status read_without_the_last(struct event_store *store, const struct read_query *query,
                                           record_sink sink, void *context);
static const struct event_store_ops *whole_ops;

static struct status read_without_the_last(struct event_store *store, const struct read_query *query,
                                           record_sink sink, void *context)
{
    struct read_query shorter = *query;
    if (shorter.to_position >= 2)
        shorter.to_position = 1;
    return shorter.to_position <= shorter.after_position ? status_ok()
                                                         : whole_ops->read(store, &shorter, sink, context);
}

static void test_a_missing_position_is_waited_for_and_then_reported(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    whole_ops = bench.store->ops;
    struct event_store_ops gap = *whole_ops;
    gap.read = read_without_the_last;
    bench_append(&bench, "custom", "a");
    bench_append(&bench, "custom", "a");
    bench.store->ops = &gap; /* before the bus's thread begins */
    assert_status_ok(bus_start(bench.bus));
    struct cursor *cursor = cursor_begin(&bench, 0, NULL);
    wait_until(&bench, bench.turns >= 1);
    assert_seen(&bench, 1, 1);
    assert_status_ok(bench.failure);
    manual_clock_advance_ms(&bench.clock, 5100);
    bus_wake(bench.bus);
    wait_until(&bench, !status_is_ok(&bench.failure));
    assert_int_equal(bench.failure.reason, REASON_POSITION_MISSING);
    assert_non_null(strstr(bench.failure.message, "position 2"));
    assert_seen(&bench, 1, 1);
    cursor_end(&bench, cursor);
    bus_stop(bench.bus);
    bench.store->ops = whole_ops;
    bench_close(&bench);
}

/* --- a store that other processes append to --- */

static struct status open_shared(const struct clock *clock, struct event_store **ret)
{
    const struct status status = memory_store_open(clock, ret);
    if (status_is_ok(&status))
        (*ret)->pipelined = false;
    return status;
}

#define JOURNAL_KEY BYTES_LITERAL("bus/checkpoint")

/* Version 1, one entry: position 9, at 1 µs. */
static const uint8_t journal_of_another[] = {1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0,
                                             0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
static const struct event_store_ops *inner_ops;
static int puts_of_another; /* that are still to come */

static struct status get_and_another_puts(struct event_store *store, struct bytes key, struct arena *arena,
                                          struct bytes *ret)
{
    const struct status status = inner_ops->state_get(store, key, arena, ret);
    if (puts_of_another-- > 0)
        assert_status_ok(inner_ops->state_put(store, JOURNAL_KEY,
                                              bytes_of(journal_of_another, sizeof journal_of_another)));
    return status;
}

static void test_the_checkpoint_does_not_step_back_behind_another_process(void **state)
{
    (void)state;
    static struct bench bench;
    static struct event_store_ops ops;
    for (int known = 0; known < 2; known++) { /* nothing is stored yet; what we have put is */
        bench_open_over(&bench, open_shared);
        inner_ops = bench.store->ops;
        ops = *inner_ops;
        ops.state_get = get_and_another_puts;
        puts_of_another = 0;
        bench.store->ops = &ops;
        assert_status_ok(bus_start(bench.bus));
        for (int i = 0; i < known; i++) {
            bench_append(&bench, "custom", "a");
            manual_clock_advance_ms(&bench.clock, 1500);
            while (!is_processed(&bench, i + 1))
                ;
        }
        bench_append(&bench, "custom", "a");
        puts_of_another = 1; /* between our look and our put */
        bus_stop(bench.bus); /* which saves */
        CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
        struct bytes stored;
        assert_status_ok(inner_ops->state_get(bench.store, JOURNAL_KEY, arena, &stored));
        assert_true(bytes_equal(stored, bytes_of(journal_of_another, sizeof journal_of_another)));
        bench.store->ops = inner_ops;
        bench_close(&bench);
    }
}

static void test_a_hint_brings_what_was_appended_elsewhere_and_is_not_believed(void **state)
{
    (void)state;
    static struct bench bench;
    static const struct event_query everything = {NULL, 0};
    struct bus *other = NULL; /* told of no commit, and its clock stands still: it does not poll again */
    struct cursor *cursor = NULL;
    bench_open_over(&bench, open_shared);
    assert_status_ok(bus_new(bench.store, &bench.clock.clock, NULL, &other));
    assert_status_ok(bus_start(other));
    const struct cursor_options options = {&everything, 0, note_turn, &bench};
    assert_status_ok(cursor_new(other, &options, &cursor));
    cursor_start(cursor);
    wait_until(&bench, bench.turns >= 1);

    bench_append(&bench, "custom", "a");
    bus_hint(other, 1);
    wait_until(&bench, bench.seen_count == 1);
    bus_hint(other, INT64_MAX); /* somebody lies, or is ahead of what we can read */
    bench_append(&bench, "custom", "a");
    bus_hint(other, 2);
    wait_until(&bench, bench.seen_count == 2);
    assert_status_ok(bench.failure);
    assert_int_equal(bus_head(other), 2);

    bus_set_hinted(other, true); /* a lost hint costs the poll */
    bench_append(&bench, "custom", "a");
    manual_clock_advance_ms(&bench.clock, 250);
    bus_wake(other);
    wait_until(&bench, bench.seen_count == 3);
    assert_seen(&bench, 1, 3);
    cursor_end(&bench, cursor);
    bus_free(other);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cursor_goes_from_the_past_to_live_without_gap_or_repetition),
        cmocka_unit_test(test_a_filtered_cursor_skips_and_still_advances),
        cmocka_unit_test(test_a_waiter_is_told_of_the_position_or_of_the_deadline),
        cmocka_unit_test(test_the_checkpoint_moves_once_a_second_and_survives),
        cmocka_unit_test(test_a_long_journal_stays_ordered_and_bounded),
        cmocka_unit_test(test_a_missing_position_is_waited_for_and_then_reported),
        cmocka_unit_test(test_the_checkpoint_does_not_step_back_behind_another_process),
        cmocka_unit_test(test_a_hint_brings_what_was_appended_elsewhere_and_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
