/*
 * Each allocation of a commit fails in turn. Either nothing was written, and the store says so and goes on; or the batch is
 * durable and could not be entered: then its fate is "unknown", no append is taken any more, nobody sees a part of it,
 * and the next start has the whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#include "contract/store_driver.h"
#include "unit/store/failing_memory.h"

#include "base/files.h"
#include "store/embedded/embedded_internal.h"

#define BATCH 40 /* in two appends, so that the first may be entered when the second fails */

struct world {
    char path[64];
    struct files *files;
    struct event_store *store;
    struct store_driver driver;
    int batches; /* attempted: names of aggregates and events */
    struct append_event events[BATCH];
};

static void open_store(struct world *world)
{
    const struct embedded_options options = {.segment_max_bytes = 1024 * 1024};
    assert_status_ok(embedded_store_open_stepped(world->files, &options, &world->driver.clock.clock,
                                                 &world->driver.entropy.entropy, NULL, &world->store));
    world->driver.store = world->store;
}

static void world_init(struct world *world)
{
    *world = (struct world){0};
    (void)snprintf(world->path, sizeof world->path, "/tmp/strata-memory-XXXXXX");
    assert_non_null(mkdtemp(world->path));
    assert_status_ok(posix_files_new(world->path, &world->files));
    store_driver_init(&world->driver, NULL);
    open_store(world);
}

static void world_done(struct world *world)
{
    char command[96];
    event_store_close(world->store);
    store_driver_done(&world->driver);
    posix_files_free(world->files);
    (void)snprintf(command, sizeof command, "rm -r '%s'", world->path);
    assert_int_equal(system(command), 0);
}

/* Everything that an index can grow by: new aggregates, ids, correlations, tags. */
static struct decision decide_next(struct world *world, struct append appends[2])
{
    struct arena *arena = world->driver.arena;
    world->batches++;
    for (int i = 0; i < BATCH; i++) {
        const char *name = arena_printf(arena, "x%d-%d", world->batches, i);
        assert_non_null(name);
        world->events[i] = sample_event(name, name, "changed", "custom");
        world->events[i].correlation_id = bytes_of_text(name);
        world->events[i].tags[0] = bytes_of_text(name);
        world->events[i].tag_count = 1;
    }
    appends[0] = sample_append(world->events, BATCH / 2);
    appends[1] = sample_append(world->events + BATCH / 2, BATCH / 2);
    const struct append *const list[] = {&appends[0], &appends[1]};
    return store_driver_decide(&world->driver, list, 2);
}

static bool count_record(void *context, int64_t position, struct record record)
{
    (void)position;
    (void)record;
    ++*(int64_t *)context;
    return true;
}

static bool check_listed(void *context, struct bytes id, const struct aggregate_head *head)
{
    (void)id;
    assert_true(head->position <= *(const int64_t *)context);
    return true;
}

static int64_t count_read(struct world *world, enum read_by by, struct bytes key)
{
    int64_t count = 0;
    const struct read_query query = {.by = by, .key = key, .to_version = INT32_MAX};
    assert_status_ok(world->store->ops->read(world->store, &query, count_record, &count));
    return count;
}

/* Whatever is asked ends at the head; the last batch shows whole or not at all. */
static void check_view(struct world *world, int64_t head_position, bool batch_shows)
{
    struct event_store *store = world->store;
    int64_t position = 0;
    assert_int_equal(store_driver_head(&world->driver).position, head_position);
    assert_int_equal(count_read(world, READ_BY_POSITION, BYTES_NONE), head_position);
    assert_int_equal(count_read(world, READ_BY_TYPE, BYTES_LITERAL("changed")), head_position);
    assert_status_ok(store->ops->find_time(store, INT64_MAX, &position));
    assert_int_equal(position, head_position);
    struct event_store_stats stats;
    assert_status_ok(store->ops->stats(store, world->driver.arena, &stats));
    assert_int_equal(stats.event_count, head_position);
    assert_status_ok(store->ops->aggregates(store, BYTES_NONE, 0, check_listed, &head_position));
    for (int i = 0; i < BATCH; i++) {
        const struct bytes name = world->events[i].id;
        struct aggregate_head head;
        assert_status_ok(store->ops->aggregate(store, name, world->driver.arena, &head));
        assert_int_equal(head.exists, batch_shows);
        assert_status_ok(store->ops->find_id(store, name, &position));
        assert_int_equal(position > 0, batch_shows);
        assert_int_equal(count_read(world, READ_BY_AGGREGATE, name), batch_shows);
        assert_int_equal(count_read(world, READ_BY_TAG, name), batch_shows);
    }
    /* What the writer asks when it decides the next batch while this one is being entered. */
    const struct bytes ids[] = {world->events[0].id, world->events[BATCH - 1].id};
    const struct facts_request request = {ids, 2, ids, 2};
    struct facts facts = {0};
    assert_status_ok(store->ops->facts(store, &request, world->driver.arena, &facts));
    assert_int_equal(facts.heads[0].exists, batch_shows);
    assert_int_equal(facts.earlier[1].count, batch_shows ? BATCH / 2 : 0);
}

static void check_unknown(struct world *world, int64_t before, const struct status *status)
{
    struct append appends[2];
    assert_int_equal(status->reason, REASON_OUTCOME_UNKNOWN);
    check_view(world, before, false);
    const struct status health = world->store->ops->health(world->store);
    assert_int_equal(health.reason, REASON_STORE_FAILED);
    if (strstr(health.message, "memory") == NULL)
        fail_msg("\"%s\" does not say what was wanting", health.message);
    struct append_event saved[BATCH];
    memcpy(saved, world->events, sizeof saved);
    struct decision next = decide_next(world, appends);
    assert_reason(store_driver_commit(&world->driver, &next), REASON_STORE_FAILED);
    memcpy(world->events, saved, sizeof saved);
    event_store_close(world->store);
    open_store(world);
    check_view(world, before + BATCH, true);
}

struct seen {
    int unknown;
    int refused;
};

/* The commit of one batch behind so many, whose n-th allocation fails; false when it has not so many. */
static bool commit_without_memory(int batches_before, unsigned nth, struct seen *seen)
{
    struct world world;
    struct append appends[2];
    world_init(&world);
    for (int i = 0; i < batches_before; i++) {
        struct decision decision = decide_next(&world, appends);
        assert_status_ok(store_driver_commit(&world.driver, &decision));
    }
    struct decision decision = decide_next(&world, appends);
    const int64_t before = store_driver_head(&world.driver).position;
    failing_memory_from(nth);
    const struct status status = store_driver_commit(&world.driver, &decision);
    const bool hit = failing_memory_stop();
    if (status.code == STATUS_OK) {
        check_view(&world, before + BATCH, true);
    } else if (status.reason == REASON_STORE_FAILED) {
        seen->refused++;
        check_view(&world, before, false);
        event_store_close(world.store);
        open_store(&world);
        check_view(&world, before, false);
    } else {
        seen->unknown++;
        check_unknown(&world, before, &status);
    }
    world_done(&world);
    return hit;
}

static struct seen sweep(int batches_before)
{
    struct seen seen = {0};
    unsigned nth = 1;
    while (commit_without_memory(batches_before, nth, &seen))
        nth++;
    return seen;
}

static void test_a_first_commit_without_memory_never_shows_a_part_of_itself(void **state)
{
    (void)state;
    const struct seen seen = sweep(0);
    assert_in_range(seen.refused, 1, 1000);
    assert_in_range(seen.unknown, 15, 1000); /* all that an index begins with */
}

static void test_nor_does_a_later_one(void **state)
{
    (void)state;
    int unknown = 0;
    for (int batches_before = 1; batches_before < 4; batches_before++)
        unknown += sweep(batches_before).unknown;
    assert_in_range(unknown, 3, 1000); /* tables of the index that grow */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_first_commit_without_memory_never_shows_a_part_of_itself),
        cmocka_unit_test(test_nor_does_a_later_one),
    };
    return cmocka_run_group_tests_name("embedded_out_of_memory", tests, NULL, NULL);
}
