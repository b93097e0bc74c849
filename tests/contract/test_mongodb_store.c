/*
 * The engine and the snapshots on MongoDB pass the suites of all engines, against the server on loopback that
 * STRATA_TEST_MONGODB_PORT names (no user, database strata_test); tests/engines starts one.
 */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"
#include "contract/store_driver.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/mongodb/mongodb_store.h"

struct place {
    uint16_t port;
    int opened; /* each store has a name of its own in the one database */
    struct log *log;
    struct event_store *below; /* of the snapshots */
};

static struct event_store *open_named(struct place *place)
{
    char name[32];
    char uri[64];
    struct event_store *store = NULL;
    (void)snprintf(name, sizeof name, "suite-%d", place->opened);
    (void)snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%u/?replicaSet=secantus", (unsigned)place->port);
    const struct mongodb_store_options options = {.uri = uri, .database = "strata_test", .store_id = name};
    assert_status_ok(mongodb_store_open(&options, &system_clock, place->log, &store));
    return store;
}

static struct event_store *open_events(void *context)
{
    struct place *place = context;
    place->opened++;
    return open_named(place);
}

static struct event_store *reopen_events(void *context, struct event_store *store)
{
    event_store_close(store);
    return open_named(context);
}

static void close_events(void *context, struct event_store *store)
{
    (void)context;
    event_store_close(store);
}

/* Leases end by the system's clock, which waits for nobody. */
static void pass_time(void *context, int64_t ms)
{
    (void)context;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static struct snapshot_store *open_snapshots(void *context)
{
    struct place *place = context;
    struct snapshot_store *store = NULL;
    place->opened++;
    place->below = open_named(place);
    assert_status_ok(mongodb_store_snapshots(place->below, &store));
    return store;
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    struct place *place = context;
    snapshot_store_close(store);
    event_store_close(place->below);
}

static struct snapshot_store *reopen_snapshots(void *context, struct snapshot_store *store)
{
    struct place *place = context;
    close_snapshots(context, store);
    place->below = open_named(place);
    assert_status_ok(mongodb_store_snapshots(place->below, &store));
    return store;
}

int main(void)
{
    const char *port = getenv("STRATA_TEST_MONGODB_PORT");
    if (port == NULL) {
        (void)fputs(
            "STRATA_TEST_MONGODB_PORT is not set: run tests/engines/test_mongodb_contract.py, which starts a server\n",
            stderr);
        return 1;
    }
    struct place place = {.port = (uint16_t)strtoul(port, NULL, 10),
                          .opened = (int)(time(NULL) % 100000) *
                                    1000, /* a server that is used again has older ones */
                          .log = log_new(2, LOG_WARN, LOG_FORMAT_TEXT, &system_clock)};
    const struct event_store_kind events = {.name = "mongodb",
                                            .open = open_events,
                                            .reopen = reopen_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .context = &place};
    const struct snapshot_store_kind snapshots = {.name = "mongodb_snapshots",
                                                  .open = open_snapshots,
                                                  .reopen = reopen_snapshots,
                                                  .close = close_snapshots,
                                                  .context = &place};
    const int failed = event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots);
    log_free(place.log);
    return failed;
}
