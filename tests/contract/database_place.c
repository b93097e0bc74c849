#include "contract/database_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/cmocka.h"

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"

#include "base/clock.h"
#include "base/log.h"

bool database_place_begin(struct database_place *place, const char *variable, const char *script)
{
    const char *port = getenv(variable);
    if (port == NULL) {
        (void)fprintf(stderr, "%s is not set: run %s, which starts a server\n", variable, script);
        return false;
    }
    place->port = (uint16_t)strtoul(port, NULL, 10);
    place->opened = (int)(time(NULL) % 100000) * 1000; /* a server that is used again has older ones */
    place->log = log_new(2, LOG_WARN, LOG_FORMAT_TEXT, &system_clock);
    return true;
}

void database_place_end(struct database_place *place)
{
    log_free(place->log);
}

struct event_store *database_place_again(struct database_place *place)
{
    char name[32];
    struct event_store *store = NULL;
    (void)snprintf(name, sizeof name, "suite-%d", place->opened); /* fits */
    assert_status_ok(place->open(place, name, &store));
    return store;
}

struct event_store *database_place_new(struct database_place *place)
{
    place->opened++;
    return database_place_again(place);
}

/* ---- events ---- */

static struct event_store *open_events(void *context)
{
    return database_place_new(context);
}

static struct event_store *reopen_events(void *context, struct event_store *store)
{
    event_store_close(store);
    return database_place_again(context);
}

static void close_events(void *context, struct event_store *store)
{
    (void)context;
    event_store_close(store);
}

/* Leases end by the clock of the server or of the system, which wait for nobody. */
static void pass_time(void *context, int64_t ms)
{
    (void)context;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL); /* nothing interrupts a test */
}

/* ---- snapshots ---- */

static struct snapshot_store *snapshots_over(struct database_place *place, struct event_store *below)
{
    struct snapshot_store *store = NULL;
    place->below = below;
    assert_status_ok(place->snapshots(below, &store));
    return store;
}

static struct snapshot_store *open_snapshots(void *context)
{
    return snapshots_over(context, database_place_new(context));
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    struct database_place *place = context;
    snapshot_store_close(store);
    event_store_close(place->below);
}

static struct snapshot_store *reopen_snapshots(void *context, struct snapshot_store *store)
{
    close_snapshots(context, store);
    return snapshots_over(context, database_place_again(context));
}

/* ---- the largest values ---- */

static void keep_values(struct event_store *store, uint8_t *large)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const size_t sizes[] = {
        STATE_VALUE_MAX_BYTES, 8U * 1024 * 1024 + 1, 8U * 1024 * 1024, 7U * 1024 * 1024, 1024 * 1024, 3, 0,
        STATE_VALUE_MAX_BYTES};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct bytes got = BYTES_NONE;
        large[0] = (uint8_t)i;
        assert_status_ok(store->ops->state_put(store, BYTES_LITERAL("large"), bytes_of(large, sizes[i])));
        assert_status_ok(store->ops->state_get(store, BYTES_LITERAL("large"), arena, &got));
        assert_true(bytes_equal(got, bytes_of(large, sizes[i])));
        arena_reset(arena);
    }
    assert_status_ok(store->ops->state_remove(store, BYTES_LITERAL("large")));
}

static void keep_snapshot(struct snapshot_store *snapshots, const uint8_t *large)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct snapshot snapshot = {.aggregate_id = BYTES_LITERAL("a"),
                                      .aggregate_type = BYTES_LITERAL("custom"),
                                      .version = 1,
                                      .state = SNAPSHOT_VERIFIED,
                                      .data = bytes_of(large, 10U * 1024 * 1024),
                                      .metadata = bytes_of(large, 900U * 1024),
                                      .folded = bytes_of(large, 12U * 1024 * 1024)};
    struct snapshot got;
    bool found = false;
    assert_status_ok(snapshots->ops->put(snapshots, &snapshot));
    assert_status_ok(
        snapshots->ops->get(snapshots, snapshot.aggregate_id, SNAPSHOT_PICK_BEST, 9, arena, &got, &found));
    assert_true(found);
    assert_true(bytes_equal(got.data, snapshot.data));
    assert_true(bytes_equal(got.metadata, snapshot.metadata));
    assert_true(bytes_equal(got.folded, snapshot.folded));
    assert_status_ok(snapshots->ops->remove(snapshots, snapshot.aggregate_id, 1));
}

void database_place_keeps_the_largest(struct database_place *place, void (*fill)(uint8_t *to, size_t size))
{
    struct event_store *store = database_place_new(place);
    struct snapshot_store *snapshots = snapshots_over(place, store);
    uint8_t *large = malloc(STATE_VALUE_MAX_BYTES);
    assert_non_null(large);
    fill(large, STATE_VALUE_MAX_BYTES);
    keep_values(store, large);
    keep_snapshot(snapshots, large);
    close_snapshots(place, snapshots);
    free(large);
}

int database_place_run_suites(struct database_place *place)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s_snapshots", place->engine); /* engines have short names */
    const struct event_store_kind events = {.name = place->engine,
                                            .open = open_events,
                                            .reopen = reopen_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .append_by_append = place->append_by_append,
                                            .context = place};
    const struct snapshot_store_kind snapshots = {.name = name,
                                                  .open = open_snapshots,
                                                  .reopen = reopen_snapshots,
                                                  .close = close_snapshots,
                                                  .context = place};
    return event_store_suite_run(&events) + snapshot_store_suite_run(&snapshots);
}
