/* The embedded engine and its snapshots pass the suites of all engines, on the real disk and on the disk in memory. */
#include <stdio.h>
#include <stdlib.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "contract/event_store_suite.h"
#include "contract/snapshot_store_suite.h"
#include "contract/store_driver.h"

#include "base/entropy.h"
#include "store/embedded/embedded_store.h"

struct place {
    struct manual_clock clock;
    bool in_memory;
    struct memory_files memory;
    char path[64];
    struct files *files;
    struct event_store *events; /* of the snapshots */
    struct embedded_options options;
};

/* Small segments, so that the suites roll them. */
static const struct {
    const char *why;
    bool on_disk; /* too, not only in memory */
    struct embedded_options options;
} ways[] = {
    {"segments of an everyday sort", true, {.segment_max_bytes = 64 * 1024, .segment_max_events = 50}},
    {"tiny segments: files of the index are written and merged all the time",
     true,
     {.segment_max_bytes = 64 * 1024, .segment_max_events = 4}},
    {"every key's hash collides with every fourth one's: only records tell keys apart",
     false,
     {.segment_max_bytes = 64 * 1024, .segment_max_events = 7, .index_hash_bits = 2}},
    {"hardly any room in the caches of heads and places",
     false,
     {.segment_max_bytes = 64 * 1024,
      .segment_max_events = 4,
      .head_cache_bytes = 1,
      .place_cache_bytes = 1}},
};

static void place_make(struct place *place)
{
    if (place->in_memory) {
        place->memory = memory_files_empty();
        place->files = &place->memory.files;
        return;
    }
    snprintf(place->path, sizeof place->path, "/tmp/strata-contract-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    assert_status_ok(posix_files_new(place->path, &place->files));
}

static void place_remove(struct place *place)
{
    if (place->in_memory) {
        assert_int_equal(memory_files_open_count(&place->memory), 0);
        memory_files_done(&place->memory);
        return;
    }
    char command[128];
    posix_files_free(place->files);
    snprintf(command, sizeof command, "rm -r '%s'", place->path);
    assert_int_equal(system(command), 0);
}

static struct event_store *open_at(struct place *place)
{
    struct event_store *store = NULL;
    assert_status_ok(embedded_store_open(place->files, &place->options, &place->clock.clock, &system_entropy,
                                         NULL, &store));
    return store;
}

static struct event_store *open_events(void *context)
{
    place_make(context);
    return open_at(context);
}

static struct event_store *reopen_events(void *context, struct event_store *store)
{
    event_store_close(store);
    return open_at(context);
}

static void close_events(void *context, struct event_store *store)
{
    event_store_close(store);
    place_remove(context);
}

static void pass_time(void *context, int64_t ms)
{
    manual_clock_advance_ms(&((struct place *)context)->clock, ms);
}

static struct snapshot_store *open_snapshots_at(struct place *place)
{
    struct snapshot_store *snapshots = NULL;
    place->events = open_at(place);
    assert_status_ok(embedded_store_snapshots(place->events, &snapshots));
    return snapshots;
}

static struct snapshot_store *open_snapshots(void *context)
{
    place_make(context);
    return open_snapshots_at(context);
}

static struct snapshot_store *reopen_snapshots(void *context, struct snapshot_store *store)
{
    snapshot_store_close(store);
    event_store_close(((struct place *)context)->events);
    return open_snapshots_at(context);
}

static void close_snapshots(void *context, struct snapshot_store *store)
{
    snapshot_store_close(store);
    event_store_close(((struct place *)context)->events);
    place_remove(context);
}

static int run_suites(size_t way, bool in_memory)
{
    struct place place = {
        .in_memory = in_memory,
        .clock = manual_clock_at_us(STORE_DRIVER_START_US),
        .options = ways[way].options,
    };
    const struct event_store_kind events = {.name = "embedded",
                                            .open = open_events,
                                            .reopen = reopen_events,
                                            .close = close_events,
                                            .pass_time = pass_time,
                                            .context = &place};
    const struct snapshot_store_kind snapshots = {"embedded_snapshots", open_snapshots, reopen_snapshots,
                                                  close_snapshots, &place};
    fprintf(stderr, "%s, %s:\n", ways[way].why, in_memory ? "in memory" : "on the disk");
    int failed = event_store_suite_run(&events);
    if (way == 0) /* snapshots know no index */
        failed += snapshot_store_suite_run(&snapshots);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        failed += run_suites(i, true);
        if (ways[i].on_disk)
            failed += run_suites(i, false);
    }
    return failed;
}
