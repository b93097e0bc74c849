/*
 * Of a store that other processes append to, the head moves without our writer: it is asked for while somebody waits for
 * events, and now and then otherwise. A store that could not be reached when the bus was made is loaded here too.
 */
#include "bus/bus_internal.h"

#define POLL_US INT64_C(20000)
/* Where other processes say when the head moves, a poll is for what they could not say. */
#define POLL_HINTED_US INT64_C(250000)
#define POLL_IDLE_US   INT64_C(1000000)

struct status head_load(struct bus *bus)
{
    struct store_head head;
    STATUS_TRY(bus->store->ops->head(bus->store, &head));
    bus_committed(bus, &head);
    STATUS_TRY(dispatcher_load(bus));
    bus->loaded = true;
    return status_ok();
}

static struct status poll(struct bus *bus)
{
    if (!bus->loaded)
        return head_load(bus);
    struct store_head head;
    STATUS_TRY(bus->store->ops->head(bus->store, &head));
    bus_committed(bus, &head);
    return status_ok();
}

static int64_t interval_us(const struct bus *bus, bool waited_for)
{
    if (!waited_for || bus->poll_failed) /* health tells of a store out of reach */
        return POLL_IDLE_US;
    return atomic_load_explicit(&bus->hinted, memory_order_relaxed) ? POLL_HINTED_US : POLL_US;
}

int64_t head_poll(struct bus *bus)
{
    if (bus->store->pipelined)
        return INT64_MAX;
    const int64_t now_us = clock_monotonic_us(bus->clock);
    const bool waited_for = atomic_load_explicit(&bus->interests, memory_order_relaxed) > 0;
    /* Taken: one that is wrong, or ahead of what can be read, is no reason to look again and again. */
    const bool hinted = waited_for && !bus->poll_failed && atomic_exchange(&bus->hint, 0) > bus_head(bus);
    if (!hinted && bus->polled && now_us - bus->polled_at_us < interval_us(bus, waited_for))
        return bus->polled_at_us + interval_us(bus, waited_for);
    const struct status status = poll(bus);
    bus->poll_failed = !status_is_ok(&status);
    bus->polled = true;
    bus->polled_at_us = now_us;
    return now_us + interval_us(bus, waited_for);
}

void bus_hint(struct bus *bus, int64_t position)
{
    int_fast64_t known = atomic_load(&bus->hint);
    if (position <= bus_head(bus))
        return;
    while (position > known && !atomic_compare_exchange_weak(&bus->hint, &known, position))
        ;
    if (atomic_load_explicit(&bus->interests, memory_order_relaxed) > 0)
        bus_wake(bus);
}

void bus_set_hinted(struct bus *bus, bool hinted)
{
    atomic_store(&bus->hinted, hinted);
    bus_wake(bus); /* which polls by the new interval */
}
