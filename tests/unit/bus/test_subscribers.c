#include "unit/bus/bench.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "store/memory/memory_store.h"
#include "unit/store/failing_memory.h"

/* --- a handler that notes what it is given, and answers as the test says --- */

struct notes {
    struct bench *bench;
    int64_t seen[512]; /* guarded by the bench's lock, as all of it */
    size_t count;
    size_t calls;
    int32_t last_attempt;
    int64_t fail_at;        /* the position that is answered BUS_FAILED */
    int64_t done_at;        /* … BUS_DONE */
    int64_t unsubscribe_at; /* where it ends `unsubscribe_id` */
    int64_t unsubscribe_id;
    struct status unsubscribed;
    int returned; /* threads that have unsubscribed it */
    bool held;    /* does not return until this is false */
};

static enum bus_answer note(void *context, const struct bus_delivery *delivery)
{
    struct notes *notes = context;
    struct bench *bench = notes->bench;
    assert_int_equal(delivery->event->position, delivery->position);
    pthread_mutex_lock(&bench->lock);
    notes->calls++;
    notes->last_attempt = delivery->attempt;
    pthread_cond_broadcast(&bench->changed);
    while (notes->held)
        pthread_cond_wait(&bench->changed, &bench->lock);
    enum bus_answer answer = delivery->position == notes->done_at ? BUS_DONE : BUS_HANDLED;
    const bool ends = delivery->position == notes->unsubscribe_at;
    if (delivery->position == notes->fail_at)
        answer = BUS_FAILED;
    else
        notes->seen[notes->count++ % ARRAY_SIZE(notes->seen)] = delivery->position;
    told(bench);
    if (ends)
        notes->unsubscribed = bus_unsubscribe(bench->bus, notes->unsubscribe_id);
    return answer;
}

static int64_t subscribe(struct notes *notes, struct bus_subscribe_options options)
{
    int64_t id = 0;
    options.handler = note;
    options.context = notes;
    assert_status_ok(bus_subscribe(notes->bench->bus, &options, &id));
    assert_true(id > 0);
    return id;
}

static void expect_seen(const struct notes *notes, const int64_t *positions, size_t count)
{
    assert_int_equal(notes->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(notes->seen[i], positions[i]);
}
#define assert_seen(notes, ...)                                                                              \
    expect_seen(notes, (const int64_t[]){__VA_ARGS__},                                                       \
                sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void append_many(struct bench *bench, int count)
{
    for (int i = 0; i < count; i++)
        bench_append(bench, "custom", "a");
}

/* What the list says of a subscriber; state COUNT when it is not listed. */
static struct bus_subscriber look_up(struct bench *bench, int64_t id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bus_subscribers all;
    assert_status_ok(bus_subscribers(bench->bus, BYTES_NONE, arena, &all));
    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].id == id) {
            struct bus_subscriber found = all.items[i];
            found.name = NULL; /* the arena goes */
            return found;
        }
    return (struct bus_subscriber){.state = BUS_SUBSCRIBER_STATE_COUNT};
}

/* Its figures are those of its last turn, which the handler's call is part of. */
#define look_until(bench, id, found, condition)                                                              \
    do {                                                                                                     \
        sched_yield();                                                                                       \
        bus_wake((bench)->bus);                                                                              \
        (found) = look_up(bench, id);                                                                        \
    } while (!(condition))

/* --- getting events --- */

static void test_a_subscriber_gets_the_past_and_the_present_once_and_in_order(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes all = {.bench = &bench};
    struct notes late = {.bench = &bench};
    append_many(&bench, 200);
    const int64_t early_id =
        subscribe(&all, (struct bus_subscribe_options){.after_position = 0}); /* not started yet */
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 100);
    const int64_t late_id = subscribe(&late, (struct bus_subscribe_options){.after_position = BUS_FROM_NOW});
    append_many(&bench, 100);
    wait_until(&bench, all.count == 400 && late.count == 100);
    for (size_t i = 0; i < 400; i++)
        assert_int_equal(all.seen[i], i + 1);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(late.seen[i], i + 301);
    struct bus_subscriber found;
    look_until(&bench, early_id, found, found.position == 400);
    assert_int_equal(found.delivered, 400);
    assert_int_equal(found.lag, 0);
    assert_int_equal(found.state, BUS_SUBSCRIBER_ACTIVE);
    look_until(&bench, late_id, found, found.position == 400);
    assert_int_equal(found.delivered, 100);
    struct bus_stats stats;
    bus_stats(bench.bus, &stats);
    assert_int_equal(stats.handlers, 3); /* and the keeper of the checkpoint */
    assert_int_equal(stats.subscribers, 0);
    assert_int_equal(stats.delivered, 500);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.lag_max, 0);
    bench_close(&bench);
}

static void test_filters_take_names_beginnings_and_aggregates(void **state)
{
    (void)state;
    static const struct bytes exact[] = {BYTES_LITERAL("paid")};
    static const struct bytes two[] = {BYTES_LITERAL("paid"), BYTES_LITERAL("order_*")};
    static const struct bytes star[] = {BYTES_LITERAL("*")};
    static const struct bytes system[] = {BYTES_LITERAL("$*")};
    static const struct bytes custom[] = {BYTES_LITERAL("cus*")};
    static const struct bytes other[] = {BYTES_LITERAL("order")};
    static const struct bytes id_b[] = {BYTES_LITERAL("b")};
    static const struct {
        struct bus_subscribe_options options;
        size_t count;
        int64_t positions[8];
    } cases[] = {
        {{.types = {exact, 1}}, 1, {3}},
        {{.types = {two, 2}}, 3, {1, 2, 3}},
        {{.types = {star, 1}}, 4, {1, 2, 3, 5}},
        {{.types = {system, 1}}, 1, {4}},
        {{.aggregate_types = {custom, 1}}, 5, {1, 2, 3, 4, 5}},
        {{.aggregate_types = {other, 1}}, 0, {0}},
        {{.aggregate_ids = {id_b, 1}}, 2, {2, 5}},
        {{.types = {two, 2}, .aggregate_ids = {id_b, 1}}, 1, {2}},
        {{.after_position = 3}, 2, {4, 5}},
    };
    static struct bench bench;
    bench_open(&bench);
    assert_status_ok(bus_start(bench.bus));
    bench_append(&bench, "order_created", "a");
    bench_append(&bench, "order_paid", "b");
    bench_append(&bench, "paid", "a");
    bench_append(&bench, "$activated", "a");
    bench_append(&bench, "paid_late", "b");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct notes notes = {.bench = &bench};
        const int64_t id = subscribe(&notes, cases[i].options);
        struct bus_subscriber found;
        look_until(&bench, id, found, found.position == 5); /* over what does not match, too */
        assert_status_ok(bus_unsubscribe(bench.bus, id));
        expect_seen(&notes, cases[i].positions, cases[i].count);
    }
    bench_close(&bench);
}

static void test_more_events_than_a_turn_holds_are_caught_up_by_index(void **state)
{
    (void)state;
    static const struct bytes rare[] = {BYTES_LITERAL("rare")};
    static struct bench bench;
    bench_open(&bench);
    for (int i = 0; i < 1200; i++)
        bench_append(&bench, i % 3 == 0 ? "rare" : "custom", "a");
    struct notes notes = {.bench = &bench};
    (void)subscribe(&notes, (struct bus_subscribe_options){.types = {rare, 1}});
    assert_status_ok(bus_start(bench.bus));
    wait_until(&bench, notes.count == 400);
    for (size_t i = 0; i < 400; i++)
        assert_int_equal(notes.seen[i], 3 * i + 1);
    bench_close(&bench);
}

/* --- ending --- */

static void test_a_handler_may_end_itself_and_is_not_called_again(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes itself = {.bench = &bench, .unsubscribe_at = 2};
    struct notes other = {.bench = &bench};
    append_many(&bench, 5);
    itself.unsubscribe_id = subscribe(&itself, (struct bus_subscribe_options){.name = "itself"});
    (void)subscribe(&other, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 5);
    wait_until(&bench, other.count == 10);
    struct bus_subscriber found;
    look_until(&bench, itself.unsubscribe_id, found, found.state == BUS_SUBSCRIBER_STATE_COUNT);
    assert_seen(&itself, 1, 2);
    assert_status_ok(itself.unsubscribed);
    assert_status(bus_unsubscribe(bench.bus, itself.unsubscribe_id), STATUS_NOT_FOUND);
    struct notes next = {.bench = &bench};
    (void)subscribe(&next,
                    (struct bus_subscribe_options){.name = "itself"}); /* its event is handled and saved */
    wait_until(&bench, next.count == 8);
    assert_int_equal(next.seen[0], 3);
    bench_close(&bench);
}

static void test_a_handler_may_end_another_one(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes other = {.bench = &bench};
    struct notes ender = {.bench = &bench, .unsubscribe_at = 3};
    ender.unsubscribe_id = subscribe(&other, (struct bus_subscribe_options){.name = "other"});
    (void)subscribe(&ender, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 3);
    wait_until(&bench, ender.count == 3);
    struct bus_subscriber found;
    look_until(&bench, ender.unsubscribe_id, found, found.state == BUS_SUBSCRIBER_STATE_COUNT);
    const size_t count = other.count;
    append_many(&bench, 3);
    wait_until(&bench, ender.count == 6);
    assert_int_equal(other.count, count);
    assert_true(count <= 3);
    assert_status_ok(ender.unsubscribed);
    bench_close(&bench);
}

static void *unsubscribe_main(void *context)
{
    struct notes *notes = context;
    const struct status status = bus_unsubscribe(notes->bench->bus, notes->unsubscribe_id);
    pthread_mutex_lock(&notes->bench->lock);
    assert_false(notes->held); /* it waited for the handler */
    notes->unsubscribed = status;
    notes->returned++;
    told(notes->bench);
    return NULL;
}

static void test_unsubscribing_waits_for_the_call_that_is_under_way(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes notes = {.bench = &bench, .held = true};
    notes.unsubscribe_id = subscribe(&notes, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 3);
    wait_until(&bench, notes.calls == 1);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) /* two at once: both may rely on it */
        assert_int_equal(pthread_create(&threads[i], NULL, unsubscribe_main, &notes), 0);
    struct bus_subscriber found;
    look_until(&bench, 1, found,
               found.state == BUS_SUBSCRIBER_STATE_COUNT); /* no longer listed, but not over */
    pthread_mutex_lock(&bench.lock);
    assert_int_equal(notes.returned, 0);
    notes.held = false;
    told(&bench);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_seen(&notes, 1); /* the others never come */
    bench_close(&bench);
}

static void test_those_that_are_done_or_abandoned_are_listed_until_cleaned_up(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes done = {.bench = &bench, .done_at = 2};
    struct notes owned[2] = {{.bench = &bench}, {.bench = &bench}};
    struct notes other = {.bench = &bench};
    const int64_t done_id = subscribe(&done, (struct bus_subscribe_options){.owner = 8});
    const int64_t owned_id =
        subscribe(&owned[0], (struct bus_subscribe_options){.owner = 7, .name = "owned"});
    (void)subscribe(&owned[1], (struct bus_subscribe_options){.owner = 7});
    (void)subscribe(&other, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 3);
    wait_until(&bench, other.count == 3 && owned[0].count == 3 && owned[1].count == 3);
    struct bus_subscriber found;
    look_until(&bench, done_id, found, found.state == BUS_SUBSCRIBER_DONE);
    assert_int_equal(found.position, 2);
    assert_int_equal(found.delivered, 2);
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), 3);
    assert_int_equal(bus_abandon(bench.bus, 0), 0);
    assert_int_equal(bus_abandon(bench.bus, 7), 2);
    assert_int_equal(bus_abandon(bench.bus, 7), 0);
    assert_int_equal(look_up(&bench, owned_id).state, BUS_SUBSCRIBER_ABANDONED);
    append_many(&bench, 2);
    wait_until(&bench, other.count == 5);
    assert_seen(&done, 1, 2);
    assert_int_equal(owned[0].count + owned[1].count, 6);
    struct bus_stats stats;
    bus_stats(bench.bus, &stats);
    assert_int_equal(stats.ended, 3);
    assert_int_equal(stats.handlers, 2);
    assert_int_equal(bus_cleanup(bench.bus), 3);
    assert_int_equal(bus_cleanup(bench.bus), 0);
    assert_int_equal(look_up(&bench, done_id).state, BUS_SUBSCRIBER_STATE_COUNT);
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), 1);
    struct checkpoint checkpoint; /* an abandoned durable one is saved, and its checkpoint stays */
    assert_status_ok(
        bench.store->ops->checkpoint_get(bench.store, BYTES_LITERAL("handler/owned"), &checkpoint));
    assert_int_equal(checkpoint.position, 3);
    assert_string_equal(bus_subscriber_state_name(BUS_SUBSCRIBER_ABANDONED), "abandoned");
    bench_close(&bench);
}

/* --- failing --- */

static void test_a_failing_handler_is_asked_again_and_holds_nobody_up(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes failing = {.bench = &bench, .fail_at = 2};
    struct notes other = {.bench = &bench};
    const int64_t id = subscribe(&failing, (struct bus_subscribe_options){.name = "failing"});
    (void)subscribe(&other, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 4);
    wait_until(&bench, other.count == 4 && failing.calls == 2);
    struct bus_subscriber found;
    look_until(&bench, id, found, found.state == BUS_SUBSCRIBER_FAILING);
    assert_int_equal(found.position, 1);
    assert_int_equal(found.lag, 3);
    assert_int_equal(found.failures, 1);
    assert_int_equal(found.attempt, 1);
    assert_non_null(strstr(found.failure.message, "\"failing\" failed at position 2 in attempt 1"));
    const struct status health = bus_health(bench.bus);
    assert_string_equal(health.message, found.failure.message);
    int64_t wait_ms = BUS_RETRY_FIRST_US / 1000;
    for (size_t calls = 3; calls <= 5; calls++, wait_ms *= 2) { /* longer each time, and not before */
        manual_clock_advance_ms(&bench.clock, wait_ms - 1);
        append_many(&bench, 1); /* commits wake it, and are no reason */
        wait_until(&bench, other.count == calls + 2);
        assert_int_equal(failing.calls, calls - 1);
        manual_clock_advance_ms(&bench.clock, 1);
        bus_wake(bench.bus);
        wait_until(&bench, failing.calls == calls);
        assert_int_equal(failing.last_attempt, calls - 1);
        look_until(&bench, id, found, found.failures == (int64_t)calls - 1);
    }
    manual_clock_advance_ms(&bench.clock, 5000); /* and `processed` stays before it */
    bus_wake(bench.bus);
    wait_until(&bench, failing.calls == 6);
    while (bus_checkpoint(bench.bus) < 1)
        bus_wake(bench.bus);
    assert_int_equal(bus_checkpoint(bench.bus), 1);
    pthread_mutex_lock(&bench.lock);
    failing.fail_at = 0;
    pthread_mutex_unlock(&bench.lock);
    manual_clock_advance_ms(&bench.clock, BUS_RETRY_MAX_US / 1000);
    bus_wake(bench.bus);
    wait_until(&bench, failing.count == 7);
    assert_seen(&failing, 1, 2, 3, 4, 5, 6, 7);
    look_until(&bench, id, found, found.position == 7);
    assert_int_equal(found.state, BUS_SUBSCRIBER_ACTIVE);
    assert_int_equal(found.attempt, 0);
    assert_status_ok(bus_health(bench.bus));
    while (bus_checkpoint(bench.bus) < 7) {
        manual_clock_advance_ms(&bench.clock, 1000);
        bus_wake(bench.bus);
    }
    bench_close(&bench);
}

static struct event_store_ops changed_ops;
static const struct event_store_ops *whole_ops;
static atomic_bool breaks;

static struct status read_or_break(struct event_store *store, const struct read_query *query,
                                   record_sink sink, void *context)
{
    if (atomic_load(&breaks))
        return status_reason(REASON_STORE_FAILED, "the disk is gone");
    return whole_ops->read(store, query, sink, context);
}

static struct status put_or_break(struct event_store *store, struct bytes name, int64_t position,
                                  int64_t epoch)
{
    if (atomic_load(&breaks))
        return status_reason(REASON_STORE_FAILED, "the disk is gone");
    return whole_ops->checkpoint_put(store, name, position, epoch);
}

/* Before the bus's thread begins. */
static void break_ops(struct bench *bench)
{
    whole_ops = bench->store->ops;
    changed_ops = *whole_ops;
    changed_ops.read = read_or_break;
    changed_ops.checkpoint_put = put_or_break;
    bench->store->ops = &changed_ops;
}

static void test_a_read_that_fails_is_shown_and_tried_again(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    append_many(&bench, 3);
    atomic_store(&breaks, true);
    break_ops(&bench);
    struct notes notes = {.bench = &bench};
    const int64_t id = subscribe(&notes, (struct bus_subscribe_options){.after_position = 0});
    assert_status_ok(bus_start(bench.bus));
    struct bus_subscriber found;
    look_until(&bench, id, found, found.state == BUS_SUBSCRIBER_FAILING);
    assert_int_equal(found.failure.reason, REASON_STORE_FAILED);
    assert_int_equal(found.position, 0);
    atomic_store(&breaks, false);
    manual_clock_advance_us(&bench.clock, BUS_RETRY_MAX_US);
    bus_wake(bench.bus);
    wait_until(&bench, notes.count == 3);
    assert_seen(&notes, 1, 2, 3);
    look_until(&bench, id, found, found.state == BUS_SUBSCRIBER_ACTIVE);
    bench_close(&bench);
}

/* --- durable ones --- */

static struct checkpoint stored_checkpoint(struct bench *bench, const char *name)
{
    struct checkpoint checkpoint = {.position = -1};
    const struct status status =
        bench->store->ops->checkpoint_get(bench->store, bytes_of_text(name), &checkpoint);
    assert_true(status_is_ok(&status) || status.code == STATUS_NOT_FOUND);
    return checkpoint;
}

static void test_a_durable_one_goes_on_where_its_name_ended(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    append_many(&bench, 4);
    struct notes first = {.bench = &bench};
    struct notes second = {.bench = &bench};
    struct notes third = {.bench = &bench};
    const int64_t id = subscribe(&first, (struct bus_subscribe_options){.name = "mail", .after_position = 2});
    assert_status_ok(bus_start(bench.bus));
    wait_until(&bench, first.count == 2);
    assert_int_equal(stored_checkpoint(&bench, "handler/mail").position, -1); /* not every event is saved */
    manual_clock_advance_ms(&bench.clock, 1001);
    bus_wake(bench.bus);
    while (stored_checkpoint(&bench, "handler/mail").position < 4)
        bus_wake(bench.bus);
    bench_append(&bench, "custom", "a");
    wait_until(&bench, first.count == 3);
    assert_status_ok(bus_unsubscribe(bench.bus, id)); /* saves */
    assert_int_equal(stored_checkpoint(&bench, "handler/mail").position, 5);
    bench_append(&bench, "custom", "a");
    (void)subscribe(&second, (struct bus_subscribe_options){.name = "mail", .after_position = 0});
    wait_until(&bench, second.count == 1);
    assert_seen(&second, 6);
    bus_free(bench.bus); /* a clean stop saves */
    assert_int_equal(stored_checkpoint(&bench, "handler/mail").position, 6);
    assert_status_ok(bus_new(bench.store, &bench.clock.clock, NULL, &bench.bus));
    bench_append(&bench, "custom", "a");
    (void)subscribe(&third, (struct bus_subscribe_options){.name = "mail"});
    assert_status_ok(bus_start(bench.bus));
    wait_until(&bench, third.count == 1);
    assert_seen(&third, 7);
    bench_close(&bench);
}

static void test_what_was_not_saved_comes_again(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    atomic_store(&breaks, false);
    break_ops(&bench);
    struct notes first = {.bench = &bench};
    struct notes second = {.bench = &bench};
    const int64_t id = subscribe(&first, (struct bus_subscribe_options){.name = "mail"});
    assert_status_ok(bus_start(bench.bus));
    append_many(&bench, 2);
    wait_until(&bench, first.count == 2);
    struct bus_subscriber found;
    look_until(&bench, id, found, found.position == 2);
    atomic_store(&breaks, true);
    manual_clock_advance_ms(&bench.clock, 1001);
    look_until(&bench, id, found, found.state == BUS_SUBSCRIBER_FAILING);
    assert_int_equal(found.checkpoint, 0);
    assert_reason(bus_unsubscribe(bench.bus, id), REASON_STORE_FAILED);
    assert_status(bus_unsubscribe(bench.bus, id), STATUS_NOT_FOUND); /* it has ended all the same */
    atomic_store(&breaks, false);
    (void)subscribe(&second, (struct bus_subscribe_options){.name = "mail"});
    wait_until(&bench, second.count == 2);
    assert_seen(&second, 1, 2);
    bench_close(&bench);
}

/* --- what is asked --- */

static void test_lists_types_and_counts_say_who_is_there(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    static const struct bytes orders[] = {BYTES_LITERAL("order_*"), BYTES_LITERAL("paid"),
                                          BYTES_LITERAL("paid")};
    static const struct bytes paid[] = {BYTES_LITERAL("paid")};
    static const struct bytes ids[] = {BYTES_LITERAL("o-1")};
    struct notes notes = {.bench = &bench, .done_at = 1};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bus_types types;
    assert_status_ok(bus_types(bench.bus, arena, &types));
    assert_int_equal(types.count, 0);
    const int64_t first =
        subscribe(&notes, (struct bus_subscribe_options){.types = {orders, 3}, .name = "o"});
    (void)subscribe(
        &notes, (struct bus_subscribe_options){.types = {paid, 1}, .aggregate_ids = {ids, 1}, .owner = 5});
    (void)subscribe(&notes, (struct bus_subscribe_options){.aggregate_types = {paid, 1}});
    assert_status_ok(bus_types(bench.bus, arena, &types));
    static const struct {
        const char *type;
        size_t subscriber_count;
    } wanted[] = {{"*", 1}, {"order_*", 1}, {"paid", 2}};
    assert_int_equal(types.count, ARRAY_SIZE(wanted));
    for (size_t i = 0; i < types.count; i++) {
        assert_true(bytes_equal(types.items[i].type, bytes_of_text(wanted[i].type)));
        assert_int_equal(types.items[i].subscriber_count, wanted[i].subscriber_count);
    }
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), 3);
    assert_int_equal(bus_count(bench.bus, BYTES_LITERAL("paid")), 3);
    assert_int_equal(bus_count(bench.bus, BYTES_LITERAL("order_created")), 2);
    assert_int_equal(bus_count(bench.bus, BYTES_LITERAL("$activated")), 1);
    struct bus_subscribers list;
    assert_status_ok(bus_subscribers(bench.bus, BYTES_LITERAL("order_created"), arena, &list));
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].id, first);
    assert_string_equal(list.items[0].name, "o");
    assert_int_equal(list.items[0].types.count, 3);
    assert_true(bytes_equal(list.items[0].types.items[0], orders[0]));
    assert_int_equal(list.items[1].aggregate_types.count, 1);
    assert_status_ok(bus_subscribers(bench.bus, BYTES_NONE, arena, &list));
    assert_int_equal(list.items[1].owner, 5);
    assert_true(bytes_equal(list.items[1].aggregate_ids.items[0], ids[0]));
    assert_status_ok(bus_unsubscribe(bench.bus, first));
    assert_status_ok(bus_types(bench.bus, arena, &types));
    assert_int_equal(types.count, 2);
    bench_close(&bench);
}

static void expect_no_subscriber(struct bench *bench, struct bus_subscribe_options options,
                                 enum status_code code, const char *says)
{
    int64_t id = -1;
    options.handler = note;
    const struct status status = bus_subscribe(bench->bus, &options, &id);
    assert_int_equal(status.code, code);
    if (strstr(status.message, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", status.message, says);
    assert_int_equal(id, -1);
}

static void test_what_cannot_be_is_refused_by_name(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    append_many(&bench, 1);
    static const struct bytes nothing[] = {BYTES_LITERAL("")};
    struct notes notes = {.bench = &bench};
    (void)subscribe(&notes, (struct bus_subscribe_options){.name = "mail"});
    char long_name[BUS_NAME_MAX_BYTES + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct bus_subscribe_options plain = {.after_position = 0};
    struct bus_subscribe_options options = plain;
    options.types = (struct bytes_list){nothing, 1};
    expect_no_subscriber(&bench, options, STATUS_INVALID_ARGUMENT, "types");
    options.types.count = BUS_PATTERNS_MAX + 1;
    expect_no_subscriber(&bench, options, STATUS_INVALID_ARGUMENT, "257 entries");
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.name = "a b"}, STATUS_INVALID_ARGUMENT,
                         "name");
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.name = long_name}, STATUS_INVALID_ARGUMENT,
                         "241");
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.after_position = 2}, STATUS_INVALID_ARGUMENT,
                         "the head is 1");
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.after_position = -2},
                         STATUS_INVALID_ARGUMENT, "-2");
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.name = "mail"}, STATUS_ALREADY_EXISTS,
                         "subscriber 1 has the name \"mail\"");
    for (unsigned i = 1; i < BUS_DURABLE_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "mail%u", i);
        (void)subscribe(&notes, (struct bus_subscribe_options){.name = name});
    }
    expect_no_subscriber(&bench, (struct bus_subscribe_options){.name = "more"}, STATUS_RESOURCE_EXHAUSTED,
                         "32 durable");
    for (unsigned i = BUS_DURABLE_MAX; i < BUS_SUBSCRIBERS_MAX; i++)
        (void)subscribe(&notes, plain);
    expect_no_subscriber(&bench, plain, STATUS_RESOURCE_EXHAUSTED, "1024 subscribers");
    assert_status(bus_unsubscribe(bench.bus, 0), STATUS_NOT_FOUND);
    assert_status(bus_unsubscribe(bench.bus, -1), STATUS_NOT_FOUND);
    assert_status_ok(bus_unsubscribe(bench.bus, 40));
    assert_status_ok(bus_start(bench.bus));
    bus_stop(bench.bus);
    expect_no_subscriber(&bench, plain, STATUS_FAILED_PRECONDITION, "stopped");
    assert_status_ok(bus_unsubscribe(bench.bus, 41)); /* still possible, and there is nobody to wait for */
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), BUS_SUBSCRIBERS_MAX - 2);
    bench_close(&bench);
}

/* The bus's thread is not there to close those that end; that is no reason to wait for it. */
static void test_a_name_and_a_place_are_free_as_soon_as_they_are_left(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    struct notes notes = {.bench = &bench};
    const struct bus_subscribe_options options = {.name = "mail"};
    int64_t id = subscribe(&notes, options);
    for (unsigned i = 0; i < BUS_SUBSCRIBERS_MAX + 10; i++) {
        expect_no_subscriber(&bench, options, STATUS_ALREADY_EXISTS, "mail");
        assert_status_ok(bus_unsubscribe(bench.bus, id));
        id = subscribe(&notes, options);
    }
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), 1);
    bench_append(&bench, "custom", "a");
    assert_status_ok(bus_start(bench.bus));
    wait_until(&bench, notes.count == 1);
    bench_close(&bench);
}

static void test_without_memory_nobody_is_half_subscribed(void **state)
{
    (void)state;
    struct manual_clock clock = manual_clock_at_us(1);
    CLEANUP(event_store_close_at) struct event_store *store = NULL;
    CLEANUP(bus_free_at) struct bus *bus = NULL; /* not started, and no writer: nobody else takes memory */
    assert_status_ok(memory_store_open(&clock.clock, &store));
    assert_status_ok(bus_new(store, &clock.clock, NULL, &bus));
    static const struct bytes types[] = {BYTES_LITERAL("order_*"), BYTES_LITERAL("paid")};
    const struct bus_subscribe_options options = {.name = "mail", .types = {types, 2}, .handler = note};
    bool failed = true;
    for (unsigned fail_at = 1; failed; fail_at++) {
        int64_t id = 0;
        struct bus_subscribers list;
        struct bus_types asked;
        struct arena *arena = NULL;
        failing_memory_from(fail_at);
        struct status status = bus_subscribe(bus, &options, &id);
        if (status_is_ok(&status)) {
            arena = arena_new(0);
            status = arena == NULL ? status_error(STATUS_RESOURCE_EXHAUSTED, "no arena")
                                   : bus_subscribers(bus, BYTES_NONE, arena, &list);
        }
        if (status_is_ok(&status))
            status = bus_types(bus, arena, &asked);
        failed = failing_memory_stop();
        assert_int_equal(status.code, failed ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK);
        assert_int_equal(bus_count(bus, BYTES_NONE), id == 0 ? 0 : 1);
        if (id != 0)
            assert_status_ok(bus_unsubscribe(bus, id));
        arena_free(arena);
        assert_in_range(fail_at, 1, 100);
    }
}

/* --- many threads --- */

/* Each turn of a churn has a context of its own, freed as soon as unsubscribing has returned: a call that comes later is
 * a use after free, and one beside it a race. */
struct visit {
    struct bench *bench;
    int64_t last; /* guarded by nothing: unsubscribing is the fence */
    int64_t count;
    int64_t *handled; /* a durable one's, over all its visits */
};

static enum bus_answer visit_event(void *context, const struct bus_delivery *delivery)
{
    struct visit *visit = context;
    if (visit->last != 0)
        assert_int_equal(delivery->position, visit->last + 1); /* no gap, no repetition, in order */
    visit->last = delivery->position;
    visit->count++;
    if (visit->handled != NULL)
        assert_int_equal(delivery->position, ++*visit->handled); /* nor from one visit to the next */
    return BUS_HANDLED;
}

enum { CHURNERS = 4, APPENDERS = 2 };
struct churn {
    struct bench *bench;
    pthread_t thread;
    int number;
    int appends;
    atomic_bool *over;
    int64_t handled; /* the first two are durable */
    int visits;
};

static void visit_once(struct churn *churn)
{
    struct visit *visit = calloc(1, sizeof *visit);
    assert_non_null(visit);
    visit->bench = churn->bench;
    char name[16] = "";
    if (churn->number < 2) {
        snprintf(name, sizeof name, "c%d", churn->number);
        visit->handled = &churn->handled;
    }
    const struct bus_subscribe_options options = {.name = name,
                                                  .after_position = churn->number == 2 ? BUS_FROM_NOW : 0,
                                                  .owner = churn->number == 3 ? 9 : 0,
                                                  .handler = visit_event,
                                                  .context = visit};
    int64_t id = 0;
    assert_status_ok(bus_subscribe(churn->bench->bus, &options, &id));
    for (int i = 0; i < 20; i++)
        sched_yield();
    if (churn->number == 3) {
        assert_int_equal(bus_abandon(churn->bench->bus, 9), 1);
        free(visit);
        (void)bus_cleanup(churn->bench->bus);
    } else {
        assert_status_ok(bus_unsubscribe(churn->bench->bus, id));
        free(visit);
    }
    churn->visits++;
}

static void *churn_main(void *context)
{
    struct churn *churn = context;
    do
        visit_once(churn);
    while (!atomic_load(churn->over));
    return NULL;
}

static void *append_main(void *context)
{
    struct churn *churn = context;
    append_many(churn->bench, churn->appends);
    return NULL;
}

static int appends_by_scale(void)
{
    const char *percent = getenv("STRATA_TEST_SCALE");
    return 10 * (percent == NULL ? 100 : atoi(percent));
}

static void test_subscribers_come_and_go_while_events_are_committed(void **state)
{
    (void)state;
    static struct bench bench;
    bench_open(&bench);
    assert_status_ok(bus_start(bench.bus));
    atomic_bool over = false;
    struct churn churns[CHURNERS + APPENDERS];
    for (int i = 0; i < CHURNERS + APPENDERS; i++) {
        churns[i] =
            (struct churn){.bench = &bench, .number = i, .appends = appends_by_scale(), .over = &over};
        assert_int_equal(
            pthread_create(&churns[i].thread, NULL, i < CHURNERS ? churn_main : append_main, &churns[i]), 0);
    }
    for (int i = CHURNERS; i < CHURNERS + APPENDERS; i++)
        pthread_join(churns[i].thread, NULL);
    atomic_store(&over, true);
    for (int i = 0; i < CHURNERS; i++) {
        pthread_join(churns[i].thread, NULL);
        assert_true(churns[i].visits > 0);
    }
    const int64_t head = bus_head(bench.bus);
    assert_int_equal(head, (int64_t)APPENDERS * appends_by_scale());
    for (int i = 0; i < 2; i++) { /* what the durable ones have not got yet they get now */
        while (churns[i].handled < head)
            visit_once(&churns[i]);
        assert_int_equal(churns[i].handled, head);
    }
    (void)bus_cleanup(bench.bus);
    assert_int_equal(bus_count(bench.bus, BYTES_NONE), 0);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_subscriber_gets_the_past_and_the_present_once_and_in_order),
        cmocka_unit_test(test_filters_take_names_beginnings_and_aggregates),
        cmocka_unit_test(test_more_events_than_a_turn_holds_are_caught_up_by_index),
        cmocka_unit_test(test_a_handler_may_end_itself_and_is_not_called_again),
        cmocka_unit_test(test_a_handler_may_end_another_one),
        cmocka_unit_test(test_unsubscribing_waits_for_the_call_that_is_under_way),
        cmocka_unit_test(test_those_that_are_done_or_abandoned_are_listed_until_cleaned_up),
        cmocka_unit_test(test_a_failing_handler_is_asked_again_and_holds_nobody_up),
        cmocka_unit_test(test_a_read_that_fails_is_shown_and_tried_again),
        cmocka_unit_test(test_a_durable_one_goes_on_where_its_name_ended),
        cmocka_unit_test(test_what_was_not_saved_comes_again),
        cmocka_unit_test(test_lists_types_and_counts_say_who_is_there),
        cmocka_unit_test(test_what_cannot_be_is_refused_by_name),
        cmocka_unit_test(test_a_name_and_a_place_are_free_as_soon_as_they_are_left),
        cmocka_unit_test(test_without_memory_nobody_is_half_subscribed),
        cmocka_unit_test(test_subscribers_come_and_go_while_events_are_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
