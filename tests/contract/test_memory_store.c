/* The engine and the snapshots in memory pass the suites of all engines. */
#include "support/cmocka.h"

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"

#include "store/memory/memory_store.h"

static struct event_store *open_events(void *context)
{
    (void)context;
    struct event_store *store = NULL;
    assert_status_ok(memory_store_open(&store));
    return store;
}

static void close_events(void *context, struct event_store *store)
{
    (void)context;
    event_store_close(store);
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
    const struct event_store_kind events = {.name = "memory", .open = open_events, .close = close_events};
    const struct snapshot_store_kind snapshots = {
        .name = "memory_snapshots", .open = open_snapshots, .close = close_snapshots};
    return event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots);
}
