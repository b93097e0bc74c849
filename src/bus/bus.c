#include "bus/bus_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

/* A sleep is never longer: a clock handed in by a test may run differently from the system's. */
#define SLEEP_MAX_US INT64_C(60000000)
/* Times at which cursors want to be woken count by this: ten thousand subscriptions with a checkpoint a second each would
 * else make ten thousand passes, each over all of them. */
#define TIMER_GRID_US INT64_C(16000)

struct status bus_new(struct event_store *store, const struct clock *clock, struct log *log, struct bus **ret)
{
    CLEANUP(bus_free_at) struct bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the bus");
    bus->store = store;
    bus->clock = clock;
    bus->log = log;
    pthread_mutex_init(&bus->lock, NULL);
    bus->dispatcher.failure = status_ok();
    subscribers_init(bus);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&bus->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);

    const struct status status = head_load(bus);
    if (store->pipelined || status.reason != REASON_STORE_UNREACHABLE)
        STATUS_TRY(status); /* else it is loaded when it can be reached */
    *ret = TAKE_PTR(bus);
    return status_ok();
}

struct status bus_set_holder(struct bus *bus, struct bytes holder)
{
    STATUS_TRY(id_check("holder", holder, ID_REQUIRED));
    (void)snprintf(bus->holder, sizeof bus->holder, "%.*s", BYTES_FORMAT(holder)); /* an id fits */
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

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

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
        bus->waiters != NULL ||
        (!bus->pauses &&
         (bus->sleeps_for_ever || atomic_load_explicit(&bus->interests, memory_order_relaxed) > 0));
    bus->woken = bus->woken || interesting;
    if (bus->sleeping && interesting)
        pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

int64_t bus_head(const struct bus *bus)
{
    return atomic_load_explicit(&bus->head, memory_order_acquire);
}

static int64_t system_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Until a wake-up, `until_us` (the handed-in clock; INT64_MAX = a wake-up only), or the end of the pause. */
static void sleep_until(struct bus *bus, int64_t until_us)
{
    const int64_t now_us = system_us();
    int64_t sleep_us = until_us == INT64_MAX ? SLEEP_MAX_US : until_us - clock_monotonic_us(bus->clock);
    sleep_us = earliest(sleep_us, SLEEP_MAX_US);
    if (bus->pause_until_us != 0)
        sleep_us = earliest(sleep_us, bus->pause_until_us - now_us);
    if (sleep_us <= 0)
        return;
    const struct timespec at = {.tv_sec = (now_us + sleep_us) / 1000000,
                                .tv_nsec = (now_us + sleep_us) % 1000000 * 1000};

    pthread_mutex_lock(&bus->lock);
    bus->sleeping = true;
    bus->sleeps_for_ever = until_us == INT64_MAX;
    bus->pauses = bus->pause_until_us != 0;
    while (!bus->woken && !bus->stopping &&
           pthread_cond_timedwait(&bus->changed, &bus->lock, &at) != ETIMEDOUT)
        ;
    bus->sleeping = false;
    bus->sleeps_for_ever = false;
    bus->pauses = false;
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
        if (all || waiter->position <= bus->heard_head || waiter->deadline_us <= now_us) {
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
        waiter->done(waiter, waiter->position <= bus->heard_head);
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
        /* Looked at first: an exchange takes the line from who shares it, which most passes need not do. */
        const bool poked = atomic_load_explicit(&cursor->poked, memory_order_relaxed) &&
                           atomic_exchange(&cursor->poked, false);
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
    const bool at_a_time = next_us > 0 && next_us < INT64_MAX - TIMER_GRID_US;
    return at_a_time ? (next_us + TIMER_GRID_US - 1) / TIMER_GRID_US * TIMER_GRID_US : next_us;
}

/* --- the thread --- */

/* Under the lock. Lets cursors know the newest head unless there is a pause; true = it is another one. */
static bool hears_news(struct bus *bus, int64_t now_us)
{
    if (bus->pause_until_us > now_us && !bus->stopping)
        return false;
    bus->pause_until_us = 0;
    const bool news = bus->pass_head != bus->heard_head;
    bus->pass_head = bus->heard_head;
    bus->pass_head_time_us = bus->head_time_us;
    return news;
}

static void pause_begin(struct bus *bus, int64_t begun_us)
{
    const int64_t pause_us = earliest(bus->pass_messages * BUS_MESSAGE_US, BUS_PAUSE_MAX_US);
    bus->pause_until_us = begun_us + pause_us > system_us() ? begun_us + pause_us : 0;
}

static void *bus_main(void *context)
{
    struct bus *bus = context;
    for (;;) {
        /* First: who wakes us from here on wants what this pass may have looked past. */
        pthread_mutex_lock(&bus->lock);
        bus->woken = false;
        pthread_mutex_unlock(&bus->lock);
        const int64_t polled_again_us = head_poll(bus);
        const int64_t begun_us = system_us();
        pthread_mutex_lock(&bus->lock);
        const bool stopping = bus->stopping;
        const bool ending_waits = bus->ending_waits;
        bus->ending_waits = false;
        bus->heard_head = atomic_load(&bus->head);
        const bool news = hears_news(bus, begun_us);
        pthread_mutex_unlock(&bus->lock);
        if (stopping)
            break;
        adopt_newcomers(bus);
        bus->pass_messages = 0;
        int64_t next_us = earliest(polled_again_us, run_waiters(bus, ending_waits));
        next_us = earliest(next_us, run_cursors(bus));
        next_us = earliest(next_us, dispatcher_run(bus));
        if (news)
            pause_begin(bus, begun_us);
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
