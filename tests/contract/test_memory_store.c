/* The engine and the snapshots in memory pass the suites of all engines. */
#include "support/cmocka.h"

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"
#include "contract/store_driver.h"

#include "store/memory/memory_store.h"

static struct event_store *open_events(void *context)
{
    struct manual_clock *clock = context;
    struct event_store *store = NULL;
    assert_status_ok(memory_store_open(&clock->clock, &store));
    return store;
}

static void close_events(void *context, struct event_store *store)
{
    (void)context;
    event_store_close(store);
}

static void pass_time(void *context, int64_t ms)
{
    manual_clock_advance_ms(context, ms);
}

static struct snapshot_store *open_snapshots(void *context)
{
    (void)context;
    struct snapshot_store *store = NULL;
    assert_status_ok(memory_snapshots_open(0, &store));
    return store;
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    (void)context;
    snapshot_store_close(store);
}

int main(void)
{
    struct manual_clock clock = manual_clock_at_us(STORE_DRIVER_START_US);
    const struct event_store_kind events = {.name = "memory",
                                            .open = open_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .context = &clock};
    const struct snapshot_store_kind snapshots = {
        .name = "memory_snapshots", .open = open_snapshots, .close = close_snapshots};
    return event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots);
}
