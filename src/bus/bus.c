#include "bus/bus_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

/* A sleep is never longer: a clock handed in by a test may run differently from the system's. */
#define SLEEP_MAX_US INT64_C(60000000)

struct status bus_new(struct event_store *store, const struct clock *clock, struct log *log, struct bus **ret)
{
    CLEANUP(bus_free_at) struct bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the bus");
    bus->store = store;
    bus->clock = clock;
    bus->log = log;
    pthread_mutex_init(&bus->lock, NULL);
    subscribers_init(bus);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&bus->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);

    struct store_head head;
    STATUS_TRY(store->ops->head(store, &head));
    atomic_store(&bus->head, head.position);
    bus->head_time_us = head.timestamp_us;
    STATUS_TRY(dispatcher_load(bus));
    *ret = TAKE_PTR(bus);
    return status_ok();
}

static void adopt_newcomers(struct bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    struct cursor *newcomers = bus->newcomers;
    bus->newcomers = NULL;
    pthread_mutex_unlock(&bus->lock);
    while (newcomers != NULL) {
        struct cursor *cursor = newcomers;
        newcomers = cursor->next;
        cursor->next = bus->cursors;
        bus->cursors = cursor;
    }
}

/* When no thread runs. */
static void free_cursors(struct bus *bus)
{
    subscribers_detach(bus);
    adopt_newcomers(bus);
    while (bus->cursors != NULL) {
        struct cursor *cursor = bus->cursors;
        bus->cursors = cursor->next;
        cursor_free(cursor);
    }
}

void bus_free(struct bus *bus)
{
    if (bus == NULL)
        return;
    bus_stop(bus);
    free_cursors(bus); /* of a bus that never started */
    subscribers_done(bus);
    ring_done(&bus->ring);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

/* --- waking --- */

void bus_wake(struct bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    bus->woken = true;
    if (bus->sleeping)
        pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

void bus_committed(struct bus *bus, const struct store_head *head)
{
    pthread_mutex_lock(&bus->lock);
    if (head->position > atomic_load_explicit(&bus->head, memory_order_relaxed)) {
        atomic_store(&bus->head, head->position);
        bus->head_time_us = head->timestamp_us;
    }
    /* Nobody listens: the checkpoint's timer alone will look, once it runs. */
    const bool interesting =
        bus->sleeps_for_ever || atomic_load_explicit(&bus->interests, memory_order_relaxed) > 0;
    bus->woken = bus->woken || interesting;
    if (bus->sleeping && interesting)
        pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

int64_t bus_head(const struct bus *bus)
{
    return atomic_load_explicit(&bus->head, memory_order_acquire);
}

/* Until a wake-up or `until_us` (the handed-in clock); INT64_MAX = a wake-up only. */
static void sleep_until(struct bus *bus, int64_t until_us)
{
    const int64_t left_us = until_us == INT64_MAX ? SLEEP_MAX_US : until_us - clock_monotonic_us(bus->clock);
    const int64_t sleep_us = left_us > SLEEP_MAX_US ? SLEEP_MAX_US : left_us;
    if (sleep_us <= 0)
        return;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    const int64_t nanoseconds = at.tv_nsec + sleep_us % 1000000 * 1000;
    at.tv_sec += sleep_us / 1000000 + nanoseconds / 1000000000;
    at.tv_nsec = nanoseconds % 1000000000;

    pthread_mutex_lock(&bus->lock);
    bus->sleeping = true;
    bus->sleeps_for_ever = until_us == INT64_MAX;
    while (!bus->woken && !bus->stopping &&
           pthread_cond_timedwait(&bus->changed, &bus->lock, &at) != ETIMEDOUT)
        ;
    bus->sleeping = false;
    bus->sleeps_for_ever = false;
    pthread_mutex_unlock(&bus->lock);
}

/* --- waiters --- */

void bus_wait(struct bus *bus, struct bus_waiter *waiter)
{
    atomic_fetch_add(&bus->interests, 1);
    pthread_mutex_lock(&bus->lock);
    waiter->next = bus->waiters;
    bus->waiters = waiter;
    pthread_mutex_unlock(&bus->lock);
    bus_wake(bus);
}

bool bus_forget(struct bus *bus, struct bus_waiter *waiter)
{
    bool found = false;
    pthread_mutex_lock(&bus->lock);
    for (struct bus_waiter **link = &bus->waiters; *link != NULL && !found; link = &(*link)->next) {
        found = *link == waiter;
        if (found) {
            *link = waiter->next;
            break;
        }
    }
    pthread_mutex_unlock(&bus->lock);
    if (found)
        atomic_fetch_sub(&bus->interests, 1);
    return found;
}

void bus_end_waits(struct bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    bus->ending_waits = true;
    pthread_mutex_unlock(&bus->lock);
    bus_wake(bus);
}

/* Calls those that are over; returns when the next one will be. */
static int64_t run_waiters(struct bus *bus, bool all)
{
    const int64_t now_us = clock_monotonic_us(bus->clock);
    struct bus_waiter *over = NULL;
    int64_t next_us = INT64_MAX;

    pthread_mutex_lock(&bus->lock);
    for (struct bus_waiter **link = &bus->waiters; *link != NULL;) {
        struct bus_waiter *waiter = *link;
        if (all || waiter->position <= bus->pass_head || waiter->deadline_us <= now_us) {
            *link = waiter->next;
            waiter->next = over;
            over = waiter;
            continue;
        }
        if (waiter->deadline_us < next_us)
            next_us = waiter->deadline_us;
        link = &waiter->next;
    }
    pthread_mutex_unlock(&bus->lock);

    while (over != NULL) {
        struct bus_waiter *waiter = over;
        over = waiter->next;
        atomic_fetch_sub(&bus->interests, 1);
        waiter->done(waiter, waiter->position <= bus->pass_head);
    }
    return next_us;
}

/* --- cursors --- */

/* Gives a turn to each cursor that has a reason; returns when the next one is due, 0 = at once. */
static int64_t run_cursors(struct bus *bus)
{
    int64_t next_us = INT64_MAX;
    const int64_t now_us = bus->cursors == NULL ? 0 : clock_monotonic_us(bus->clock);
    for (struct cursor **link = &bus->cursors; *link != NULL;) {
        struct cursor *cursor = *link;
        const bool poked = atomic_exchange(&cursor->poked, false);
        const bool timely = cursor->wake_at_us != 0 && cursor->wake_at_us <= now_us;
        if (poked || cursor->again || timely || cursor->seen_head < bus->pass_head) {
            cursor->seen_head = bus->pass_head;
            if (timely)
                cursor->wake_at_us = 0;
            const enum cursor_turn turn = cursor->turn(cursor->context, cursor);
            if (turn == CURSOR_CLOSED) {
                *link = cursor->next;
                atomic_fetch_sub(&bus->cursor_count, cursor->in_process ? 0 : 1);
                cursor_free(cursor);
                atomic_fetch_sub(&bus->interests, 1);
                continue;
            }
            cursor->again = turn == CURSOR_AGAIN;
        }
        if (cursor->again)
            next_us = 0;
        else if (cursor->wake_at_us != 0 && cursor->wake_at_us < next_us)
            next_us = cursor->wake_at_us;
        link = &cursor->next;
    }
    return next_us;
}

/* --- the thread --- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void *bus_main(void *context)
{
    struct bus *bus = context;
    for (;;) {
        pthread_mutex_lock(&bus->lock);
        const bool stopping = bus->stopping;
        const bool ending_waits = bus->ending_waits;
        bus->ending_waits = false;
        bus->woken = false;
        bus->pass_head = atomic_load(&bus->head);
        bus->pass_head_time_us = bus->head_time_us;
        pthread_mutex_unlock(&bus->lock);
        if (stopping)
            break;
        adopt_newcomers(bus);
        int64_t next_us = run_waiters(bus, ending_waits);
        next_us = earliest(next_us, run_cursors(bus));
        next_us = earliest(next_us, dispatcher_run(bus));
        if (next_us > 0)
            sleep_until(bus, next_us);
    }
    (void)run_waiters(bus, true);
    subscribers_save(bus);
    (void)dispatcher_run(bus);
    dispatcher_save(bus);
    return NULL;
}

struct status bus_start(struct bus *bus)
{
    assert(!bus->started);
    const int error = pthread_create(&bus->thread, NULL, bus_main, bus);
    if (error != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the bus's thread could not start: error %d", error);
    bus->started = true;
    return status_ok();
}

void bus_stop(struct bus *bus)
{
    if (!bus->started)
        return;
    subscribers_stop(bus);
    pthread_mutex_lock(&bus->lock);
    bus->stopping = true;
    pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
    pthread_join(bus->thread, NULL);
    bus->started = false;
    free_cursors(bus);
}

void bus_stats(struct bus *bus, struct bus_stats *ret)
{
    *ret = (struct bus_stats){
        .subscribers = atomic_load(&bus->cursor_count),
        .handlers = 1,
        .delivered = atomic_load(&bus->delivered),
        .checkpoint = bus_checkpoint(bus),
    };
    subscribers_count(bus, ret);
}
