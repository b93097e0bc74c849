/*
 * Of a store that other processes append to, the head moves without our writer: it is asked for while somebody waits for
 * events, and now and then otherwise. A store that could not be reached when the bus was made is loaded here too.
 */
#include "bus/bus_internal.h"

#define POLL_US      INT64_C(20000)
#define POLL_IDLE_US INT64_C(1000000)

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

int64_t head_poll(struct bus *bus)
{
    if (bus->store->pipelined)
        return INT64_MAX;
    const int64_t now_us = clock_monotonic_us(bus->clock);
    if (now_us < bus->poll_at_us)
        return bus->poll_at_us;
    /* One that fails is tried again; health tells of a store out of reach. */
    const struct status status = poll(bus);
    const bool waited_for = atomic_load_explicit(&bus->interests, memory_order_relaxed) > 0;
    bus->poll_at_us = now_us + (waited_for && status_is_ok(&status) ? POLL_US : POLL_IDLE_US);
    return bus->poll_at_us;
}
