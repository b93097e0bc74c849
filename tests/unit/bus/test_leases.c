/*
 * Handlers of scope CLUSTER: two buses over one store stand for two processes, and a clock that stands still for time.
 * Over the engine in memory and the embedded one.
 */
#include "unit/bus/bench.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "store/embedded/embedded_store.h"
#include "store/memory/memory_store.h"
#include "support/memory_files.h"

#define TTL_US   (BUS_LEASE_TTL_MS * 1000)
#define SAVE_US  INT64_C(1000000) /* between two saved checkpoints */
#define FIRST    0
#define SECOND   1
#define SEEN_MAX 64

/* One of the two processes, and what its handler was given. */
struct side {
    struct bench *bench;
    struct bus *bus;
    int64_t id;
    int64_t seen[SEEN_MAX]; /* guarded by the bench's lock, as all that follows */
    int64_t epochs[SEEN_MAX];
    size_t count;
    int64_t done_at; /* where it answers BUS_DONE */
    bool failing;
    int64_t hold_at; /* does not return from there until this is another position */
    int64_t inside;  /* where it is being held; 0 = nowhere */
};

struct cluster {
    struct bench bench;
    struct side sides[2];
};

static struct memory_files disk;
static bool on_disk;

/* --- the store's leases, watched and, where a test says so, not to be had --- */

static struct event_store_ops watched_ops;
static const struct event_store_ops *real_ops;
static const struct clock *store_clock;
static atomic_bool unreachable;
static _Atomic int64_t first_asked_us; /* when the process "first" was last given the lease */

static struct status watched_lease(struct event_store *store, struct bytes name, struct bytes holder,
                                   int64_t ttl_ms, struct lease *ret)
{
    const int64_t now_us = clock_monotonic_us(store_clock);
    if (atomic_load(&unreachable))
        return status_reason(REASON_STORE_UNREACHABLE, "the store does not answer");
    const struct status status = real_ops->lease(store, name, holder, ttl_ms, ret);
    if (status.code == STATUS_OK && bytes_equal(holder, BYTES_LITERAL("first")))
        atomic_store(&first_asked_us, now_us);
    return status;
}

static struct status open_engine(const struct clock *clock, struct event_store **ret)
{
    const struct embedded_options options = {.segment_max_bytes = 64 * 1024, .segment_max_events = 40};
    if (!on_disk)
        return memory_store_open(clock, ret);
    disk = memory_files_empty();
    return embedded_store_open(&disk.files, &options, clock, &system_entropy, NULL, ret);
}

static struct status open_store(const struct clock *clock, struct event_store **ret)
{
    STATUS_TRY(open_engine(clock, ret));
    store_clock = clock;
    real_ops = (*ret)->ops;
    watched_ops = *real_ops;
    watched_ops.lease = watched_lease;
    (*ret)->ops = &watched_ops; /* while nobody uses it */
    return status_ok();
}

static enum bus_answer note(void *context, const struct bus_delivery *delivery)
{
    struct side *side = context;
    struct bench *bench = side->bench;
    pthread_mutex_lock(&bench->lock);
    side->inside = delivery->position == side->hold_at ? side->hold_at : 0;
    pthread_cond_broadcast(&bench->changed);
    while (side->hold_at == delivery->position)
        pthread_cond_wait(&bench->changed, &bench->lock);
    enum bus_answer answer = delivery->position == side->done_at ? BUS_DONE : BUS_HANDLED;
    if (side->failing)
        answer = BUS_FAILED;
    else if (side->count < SEEN_MAX) {
        side->seen[side->count] = delivery->position;
        side->epochs[side->count++] = delivery->epoch;
    }
    told(bench);
    return answer;
}

static void subscribe(struct side *side, int64_t after_position)
{
    const struct bus_subscribe_options options = {
        .name = "relay",
        .scope = BUS_SCOPE_CLUSTER,
        .after_position = after_position,
        .handler = note,
        .context = side,
    };
    assert_status_ok(bus_subscribe(side->bus, &options, &side->id));
}

/* The bus of a process that starts: a name of its own, and the handler from there on. */
static void side_start(struct cluster *cluster, int index, const char *holder, int64_t after_position)
{
    struct side *side = &cluster->sides[index];
    struct bench *bench = &cluster->bench;
    if (side->bus == NULL)
        assert_status_ok(bus_new(bench->store, &bench->clock.clock, NULL, &side->bus));
    if (index == FIRST)
        bench->bus = side->bus;
    else
        bench->second = side->bus;
    side->bench = bench;
    side->count = 0;
    assert_status_ok(bus_set_holder(side->bus, bytes_of_text(holder)));
    assert_status_ok(bus_start(side->bus));
    subscribe(side, after_position);
}

static struct bus_subscriber look_up(const struct side *side)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bus_subscribers all;
    assert_status_ok(bus_subscribers(side->bus, BYTES_NONE, arena, &all));
    assert_int_equal(all.count, 1);
    struct bus_subscriber found = all.items[0];
    found.name = NULL; /* the arena goes */
    return found;
}

#define look_until(side, found, condition)                                                                   \
    do {                                                                                                     \
        sched_yield();                                                                                       \
        bus_wake((side)->bus);                                                                               \
        (found) = look_up(side);                                                                             \
    } while (!(condition))

static void wait_state(const struct side *side, enum bus_subscriber_state state)
{
    struct bus_subscriber found;
    look_until(side, found, found.state == state);
}

/* The first process has the lease, the second one waits for it; both begin with the first event. */
static void cluster_open(struct cluster *cluster)
{
    memset(cluster, 0, sizeof *cluster);
    bench_open_over(&cluster->bench, open_store);
    cluster->sides[FIRST].bus = cluster->bench.bus;
    side_start(cluster, FIRST, "first", 0);
    struct bus_subscriber found;
    look_until(&cluster->sides[FIRST], found, found.epoch != 0);
    side_start(cluster, SECOND, "second", 0);
    wait_state(&cluster->sides[SECOND], BUS_SUBSCRIBER_STANDBY);
}

static void cluster_close(struct cluster *cluster)
{
    bus_free(cluster->bench.second);
    cluster->bench.second = NULL;
    bench_close(&cluster->bench);
    if (on_disk)
        memory_files_done(&disk);
}

static void append(struct cluster *cluster, int count)
{
    for (int i = 0; i < count; i++)
        bench_append(&cluster->bench, "custom", "a");
}

/* Gives both threads the new time. */
static void advance(struct cluster *cluster, int64_t by_us)
{
    manual_clock_advance_us(&cluster->bench.clock, by_us);
    bus_wake(cluster->bench.bus);
    if (cluster->bench.second != NULL)
        bus_wake(cluster->bench.second);
}

static void assert_seen(const struct side *side, int64_t first, int64_t last)
{
    assert_int_equal(side->count, last - first + 1);
    for (size_t i = 0; i < side->count; i++)
        assert_int_equal(side->seen[i], first + (int64_t)i);
}

static int64_t stored_position(const struct cluster *cluster, int64_t *ret_epoch)
{
    struct checkpoint checkpoint;
    struct event_store *store = cluster->bench.store;
    assert_status_ok(store->ops->checkpoint_get(store, BYTES_LITERAL("handler/relay"), &checkpoint));
    *ret_epoch = checkpoint.epoch;
    return checkpoint.position;
}

static void test_one_of_two_gets_the_events_for_as_long_as_it_renews(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    for (int i = 0; i < 10; i++) { /* longer than a lease lasts */
        append(&cluster, 1);
        wait_until(&cluster.bench, first->count == (size_t)i + 1);
        struct bus_subscriber found;
        look_until(first, found, found.position == i + 1);
        advance(&cluster, BUS_LEASE_RENEW_US);
        look_until(first, found,
                   found.checkpoint == i + 1); /* its turn has come, so the lease was asked for too */
        advance(&cluster, BUS_LEASE_POLL_US);
        look_until(second, found, found.position == i + 1); /* it saw whose the lease is */
    }
    assert_seen(first, 1, 10);
    assert_int_equal(second->count, 0);
    assert_int_equal(first->epochs[0], first->epochs[9]);
    const struct bus_subscriber holding = look_up(first), waiting = look_up(second);
    assert_int_equal(holding.scope, BUS_SCOPE_CLUSTER);
    assert_int_equal(holding.state, BUS_SUBSCRIBER_ACTIVE);
    assert_int_equal(holding.epoch, first->epochs[0]);
    assert_int_equal(waiting.state, BUS_SUBSCRIBER_STANDBY);
    assert_int_equal(waiting.epoch, 0);
    assert_int_equal(waiting.position, 10); /* the checkpoint's */
    struct bus_stats stats;
    bus_stats(second->bus, &stats);
    assert_int_equal(stats.standby, 1);
    assert_int_equal(stats.handlers, 2); /* and the keeper of the checkpoint */
    bus_stats(first->bus, &stats);
    assert_int_equal(stats.standby, 0);
    assert_status_ok(bus_health(second->bus)); /* to wait is no failure */
    int64_t epoch = 0;
    assert_int_equal(stored_position(&cluster, &epoch), 10);
    assert_int_equal(epoch, holding.epoch);
    cluster_close(&cluster);
}

static void test_who_ends_or_stops_hands_over_at_once(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    append(&cluster, 3);
    wait_until(&cluster.bench, first->count == 3);
    assert_status_ok(bus_unsubscribe(first->bus, first->id));
    append(&cluster, 2);
    advance(&cluster, BUS_LEASE_POLL_US); /* much less than a lease lasts */
    wait_until(&cluster.bench, second->count == 2);
    assert_seen(second, 4, 5);
    assert_true(second->epochs[0] > first->epochs[0]);

    first->count = 0;
    subscribe(first, 0);
    wait_state(first, BUS_SUBSCRIBER_STANDBY);
    bus_stop(second->bus);
    append(&cluster, 1);
    advance(&cluster, BUS_LEASE_POLL_US);
    wait_until(&cluster.bench, first->count == 1);
    assert_seen(first, 6, 6);
    cluster_close(&cluster);
}

static void test_a_handler_that_is_done_hands_over(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    first->done_at = 2;
    append(&cluster, 3);
    struct bus_subscriber found;
    look_until(first, found, found.state == BUS_SUBSCRIBER_DONE && found.epoch == 0); /* its turn is over */
    advance(&cluster, BUS_LEASE_POLL_US);
    wait_until(&cluster.bench, second->count == 1);
    assert_seen(first, 1, 2);
    assert_seen(second, 3, 3);
    cluster_close(&cluster);
}

/* As a process that hangs: its handler does not return from that position, so nothing is renewed. 0: it goes on. */
static void hang_at(struct cluster *cluster, struct side *side, int64_t position)
{
    pthread_mutex_lock(&cluster->bench.lock);
    side->hold_at = position;
    told(&cluster->bench);
}

/* What it had handled and not saved comes again; what it handles when it wakes up moves nothing any more. */
static void test_who_hangs_loses_it_and_stops(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    append(&cluster, 2);
    wait_until(&cluster.bench, first->count == 2);
    advance(&cluster, SAVE_US);
    struct bus_subscriber found;
    look_until(first, found, found.checkpoint == 2);
    hang_at(&cluster, first, 3);
    append(&cluster, 1);
    wait_until(&cluster.bench, first->inside == 3);
    append(&cluster, 4);
    hang_at(&cluster, first, 4); /* it has the four of them, and has handled the third event without saving */
    wait_until(&cluster.bench, first->inside == 4);
    advance(&cluster, TTL_US - SAVE_US - 1); /* since it was taken, but for a microsecond */
    look_until(second, found, found.position == 2);
    assert_int_equal(second->count, 0);
    advance(&cluster, BUS_LEASE_POLL_US);
    wait_until(&cluster.bench, second->count == 5);
    assert_seen(second, 3, 7);

    hang_at(&cluster, first, 0);
    wait_state(first, BUS_SUBSCRIBER_STANDBY);
    assert_seen(first, 1, 4); /* the one that it was in, and none behind it */
    advance(&cluster, SAVE_US);
    look_until(second, found, found.checkpoint == 7);
    int64_t epoch = 0;
    assert_int_equal(stored_position(&cluster, &epoch), 7);
    assert_int_equal(epoch, found.epoch);
    assert_int_equal(epoch, second->epochs[0]);

    append(&cluster, 1); /* it stays with the second one */
    wait_until(&cluster.bench, second->count == 6);
    assert_seen(first, 1, 4);
    cluster_close(&cluster);
}

/* Nobody else was there: it takes the lease anew, and what it had handled is not handled again, however long a call takes. */
static void test_who_hangs_alone_goes_on_where_it_was(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    bus_stop(second->bus);
    append(&cluster, 2);
    wait_until(&cluster.bench, first->count == 2);
    hang_at(&cluster, first, 3);
    append(&cluster, 3);
    wait_until(&cluster.bench, first->inside == 3);
    advance(&cluster, 3 * TTL_US);
    hang_at(&cluster, first, 0);
    wait_until(&cluster.bench, first->count == 5);
    assert_seen(first, 1, 5);
    assert_true(first->epochs[4] > first->epochs[0]);
    cluster_close(&cluster);
}

/* It was never said where to begin but by the first holder: whoever comes later begins behind the same event. */
static void test_from_now_is_when_the_first_holder_came(void **state)
{
    (void)state;
    static struct cluster cluster;
    memset(&cluster, 0, sizeof cluster);
    bench_open_over(&cluster.bench, open_store);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    first->bus = cluster.bench.bus;
    append(&cluster, 2);
    first->failing = true;
    side_start(&cluster, FIRST, "first", BUS_FROM_NOW);
    struct bus_subscriber found;
    look_until(first, found, found.epoch != 0);
    append(&cluster, 1);
    wait_state(first, BUS_SUBSCRIBER_FAILING); /* and so nothing is saved */
    side_start(&cluster, SECOND, "second", BUS_FROM_NOW);
    assert_status_ok(bus_unsubscribe(first->bus, first->id));
    append(&cluster, 1);
    advance(&cluster, BUS_LEASE_POLL_US);
    wait_until(&cluster.bench, second->count == 2);
    assert_seen(second, 3, 4);
    cluster_close(&cluster);
}

/* A failing handler keeps its lease: who takes over would fail at the same event. */
static void test_a_failing_handler_keeps_its_lease(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    pthread_mutex_lock(&cluster.bench.lock);
    first->failing = true;
    pthread_mutex_unlock(&cluster.bench.lock);
    append(&cluster, 1);
    wait_state(first, BUS_SUBSCRIBER_FAILING);
    int64_t failures = look_up(first).failures;
    for (int i = 0; i < 5; i++) {
        struct bus_subscriber found;
        advance(&cluster, BUS_RETRY_MAX_US / 4);
        while (clock_monotonic_us(store_clock) - atomic_load(&first_asked_us) >= BUS_LEASE_RENEW_US) {
            sched_yield();
            bus_wake(first->bus);
        }
        look_until(second, found, found.state == BUS_SUBSCRIBER_STANDBY);
        look_until(first, found, found.epoch != 0);
        assert_true(found.failures >= failures);
        assert_int_equal(found.state, BUS_SUBSCRIBER_FAILING);
        failures = found.failures;
    }
    assert_int_equal(second->count, 0);
    cluster_close(&cluster);
}

/* --- a store that does not answer --- */

/* What was taken holds until its end, and not a moment longer. */
static void test_a_store_that_does_not_answer_ends_it_with_the_lease(void **state)
{
    (void)state;
    static struct cluster cluster;
    cluster_open(&cluster);
    struct side *first = &cluster.sides[FIRST], *second = &cluster.sides[SECOND];
    wait_state(first, BUS_SUBSCRIBER_ACTIVE);

    atomic_store(&unreachable, true);
    advance(&cluster, TTL_US - BUS_LEASE_MARGIN_US - 1);
    append(&cluster, 1);
    wait_until(&cluster.bench, first->count == 1);
    wait_state(second, BUS_SUBSCRIBER_FAILING);
    assert_int_equal(bus_health(second->bus).reason, REASON_STORE_UNREACHABLE);
    advance(&cluster, BUS_LEASE_POLL_US);
    wait_state(first, BUS_SUBSCRIBER_FAILING);
    assert_int_equal(look_up(first).epoch, 0);
    append(&cluster, 1);
    advance(&cluster, BUS_LEASE_POLL_US);
    int64_t failures = look_up(first).failures;
    struct bus_subscriber found;
    do { /* it asks again, and does nothing else */
        advance(&cluster, BUS_RETRY_MAX_US);
        look_until(first, found, found.failures > failures);
    } while (found.failures < failures + 3);
    assert_int_equal(first->count, 1);

    atomic_store(&unreachable, false);
    advance(&cluster, BUS_RETRY_MAX_US);
    wait_until(&cluster.bench, first->count + second->count >= 2);
    const struct side *holder = second->count > 0 ? second : first;
    assert_int_equal(holder->seen[holder->count - 1], 2);
    wait_state(holder, BUS_SUBSCRIBER_ACTIVE);
    wait_state(holder == first ? second : first, BUS_SUBSCRIBER_STANDBY);
    cluster_close(&cluster);
}

static void test_what_cannot_be_is_refused_by_name(void **state)
{
    (void)state;
    struct bench bench;
    bench_open_over(&bench, open_store);
    int64_t id = 0;
    const struct bus_subscribe_options options = {
        .name = "relay", .scope = BUS_SCOPE_CLUSTER, .handler = note};
    struct status status = bus_subscribe(bench.bus, &options, &id);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "bus_set_holder"));
    assert_int_equal(bus_set_holder(bench.bus, BYTES_NONE).reason, REASON_INVALID_ID);
    bench_close(&bench);
    if (on_disk)
        memory_files_done(&disk);
}

static int in_memory(void **state)
{
    (void)state;
    on_disk = false;
    return 0;
}

static int embedded(void **state)
{
    (void)state;
    on_disk = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_two_gets_the_events_for_as_long_as_it_renews),
        cmocka_unit_test(test_who_ends_or_stops_hands_over_at_once),
        cmocka_unit_test(test_a_handler_that_is_done_hands_over),
        cmocka_unit_test(test_who_hangs_loses_it_and_stops),
        cmocka_unit_test(test_who_hangs_alone_goes_on_where_it_was),
        cmocka_unit_test(test_from_now_is_when_the_first_holder_came),
        cmocka_unit_test(test_a_failing_handler_keeps_its_lease),
        cmocka_unit_test(test_a_store_that_does_not_answer_ends_it_with_the_lease),
        cmocka_unit_test(test_what_cannot_be_is_refused_by_name),
    };
    const int failed = cmocka_run_group_tests_name("memory", tests, in_memory, NULL);
    return failed + cmocka_run_group_tests_name("embedded", tests, embedded, NULL);
}
