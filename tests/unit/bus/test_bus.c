#include "support/cmocka.h"
#include "support/manual_clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/entropy.h"
#include "bus/bus.h"
#include "store/event_store.h"
#include "store/memory/memory_store.h"
#include "store/writer.h"

#define WAIT_MAX_S 30

struct bench {
    struct manual_clock clock;
    struct event_store *store;
    struct bus *bus;
    struct writer *writer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t seen[8192]; /* positions that a cursor or handler took */
    size_t seen_count;
    size_t turns;
    bool closing;
    bool closed;
    size_t batch_max; /* events taken a turn */
    int answered;
    bool reached;
    struct status failure;
};

static void on_commit(void *context, const struct store_head *head)
{
    bus_committed(((struct bench *)context)->bus, head);
}

static void bench_open(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->clock = manual_clock_at_us(INT64_C(1700000000000000));
    bench->batch_max = 1000;
    bench->failure = status_ok();
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    assert_status_ok(memory_store_open(&bench->clock.clock, &bench->store));
    assert_status_ok(bus_new(bench->store, &bench->clock.clock, NULL, &bench->bus));
    const struct writer_options options = {.on_commit = on_commit, .on_commit_context = bench};
    assert_status_ok(
        writer_start(bench->store, &options, &bench->clock.clock, &system_entropy, &bench->writer));
}

static void bench_close(struct bench *bench)
{
    writer_stop(bench->writer);
    bus_free(bench->bus);
    event_store_close(bench->store);
    pthread_cond_destroy(&bench->changed);
    pthread_mutex_destroy(&bench->lock);
}

static void told(struct bench *bench)
{
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

#define wait_until(bench, condition)                                                                         \
    do {                                                                                                     \
        pthread_mutex_lock(&(bench)->lock);                                                                  \
        struct timespec at_;                                                                                 \
        clock_gettime(CLOCK_REALTIME, &at_);                                                                 \
        at_.tv_sec += WAIT_MAX_S;                                                                            \
        int late_ = 0;                                                                                       \
        while (!(condition) && late_ == 0)                                                                   \
            late_ = pthread_cond_timedwait(&(bench)->changed, &(bench)->lock, &at_);                         \
        pthread_mutex_unlock(&(bench)->lock);                                                                \
        assert_int_equal(late_, 0);                                                                          \
    } while (0)

/* --- appending --- */

struct sent {
    struct append append;
    struct append_event event;
    struct bench *bench;
    bool done;
};

static void sent_done(struct append *append, const struct append_outcome *outcome)
{
    struct sent *sent = (struct sent *)append;
    pthread_mutex_lock(&sent->bench->lock);
    sent->done = outcome->kind == APPEND_ACCEPTED;
    told(sent->bench);
}

static void append_one(struct bench *bench, const char *aggregate_id)
{
    char id[UUID_TEXT_BYTES];
    uuid_v7(clock_now_us(&bench->clock.clock), &system_entropy, id);
    struct sent sent = {
        .event = {.id = bytes_of_text(id),
                  .type = BYTES_LITERAL("custom"),
                  .aggregate_id = bytes_of_text(aggregate_id),
                  .aggregate_type = BYTES_LITERAL("custom"),
                  .data = BYTES_LITERAL("{}")},
        .bench = bench,
    };
    sent.append.append_id = sent.event.id;
    sent.append.ids_server_made = true;
    sent.append.events = &sent.event;
    sent.append.event_count = 1;
    sent.append.encoded_bytes = 300;
    sent.append.on_done = sent_done;
    assert_status_ok(writer_submit(bench->writer, &sent.append));
    wait_until(bench, sent.done);
}

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
        append_one(&bench, "a");
    struct cursor *cursor = cursor_begin(&bench, 10, NULL);
    for (int i = 0; i < 100; i++)
        append_one(&bench, "a");
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
    append_one(&bench, "a");
    append_one(&bench, "b");
    struct cursor *cursor = cursor_begin(&bench, 0, &query);
    append_one(&bench, "a");
    append_one(&bench, "b");
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
    append_one(&bench, "a");
    append_one(&bench, "a");
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

static void note_event(void *context, int64_t position, const struct event_fields *event)
{
    struct bench *bench = context;
    assert_int_equal(event->position, position);
    pthread_mutex_lock(&bench->lock);
    bench->seen[bench->seen_count++] = position;
    told(bench);
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
    assert_status_ok(bus_handler_add(bench.bus, "notes", NULL, note_event, &bench));
    assert_status_ok(bus_start(bench.bus));
    append_one(&bench, "a");
    wait_until(&bench, bench.seen_count == 1);
    assert_int_equal(bus_processed_at_us(bench.bus, 1), 0);
    manual_clock_advance_ms(&bench.clock, 1500);
    while (!is_processed(&bench, 1))
        ;
    const int64_t at_us = bus_processed_at_us(bench.bus, 1);
    assert_int_equal(at_us, clock_now_us(&bench.clock.clock));
    append_one(&bench, "a");
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
        append_one(&bench, "a");
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
    append_one(&bench, "a");
    append_one(&bench, "a");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cursor_goes_from_the_past_to_live_without_gap_or_repetition),
        cmocka_unit_test(test_a_filtered_cursor_skips_and_still_advances),
        cmocka_unit_test(test_a_waiter_is_told_of_the_position_or_of_the_deadline),
        cmocka_unit_test(test_the_checkpoint_moves_once_a_second_and_survives),
        cmocka_unit_test(test_a_long_journal_stays_ordered_and_bounded),
        cmocka_unit_test(test_a_missing_position_is_waited_for_and_then_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
