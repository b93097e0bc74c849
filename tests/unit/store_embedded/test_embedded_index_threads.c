/*
 * The index builder beside commits and readers: segments of 4 events, so that files are written and merged all the time, and a
 * stop nearly always comes in the middle of that. Under the thread sanitizer this is the test of the views.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "contract/store_driver.h"

#include "store/embedded/embedded_internal.h"

#define AGGREGATES 6
#define READERS    3U
#define EVENTS     1200
#define STOPS      25
#define DAMAGES    3

struct world {
    struct memory_files disk;
    struct store_driver driver;
    struct event_store *store;
    _Atomic bool stop;
    _Atomic bool damaged;
    _Atomic int wrong;
    struct index_view *former; /* before the damage */
    int numbers;
};

static void open_store(struct world *world)
{
    const struct embedded_options options = {.segment_max_bytes = 64 * 1024,
                                             .segment_max_events = 4,
                                             .head_cache_bytes = 1024,
                                             .place_cache_bytes = 1024};
    assert_status_ok(embedded_store_open(&world->disk.files, &options, &system_clock, &system_entropy, NULL,
                                         &world->store));
    world->driver.store = world->store;
}

static void world_init(struct world *world)
{
    *world = (struct world){.disk = memory_files_empty()};
    store_driver_init(&world->driver, NULL);
    open_store(world);
}

static void world_done(struct world *world)
{
    event_store_close(world->store);
    store_driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

/* Event n is of aggregate n mod AGGREGATES: so all that can be asked of a history of so many is known. */
static void append_numbered(struct world *world)
{
    struct store_driver *driver = &world->driver;
    const int number = world->numbers++;
    const char *aggregate = arena_printf(driver->arena, "aggregate-%d", number % AGGREGATES);
    assert_non_null(aggregate);
    struct append_event event = numbered_event(driver, number, aggregate, "changed", "custom");
    event.tags[0] = bytes_of_text(number % 2 == 0 ? "even" : "odd");
    event.tag_count = 1;
    const struct append append = sample_append(&event, 1);
    assert_int_equal(store_driver_append(driver, &append).kind, APPEND_ACCEPTED);
}

/* ---- readers ---- */

static _Thread_local bool refused; /* the last look of this thread */

struct seen {
    int64_t last;
    int64_t step;
    int64_t count;
    bool wrong;
};

static bool see(void *context, int64_t position, struct record record)
{
    struct seen *seen = context;
    struct event_fields fields;
    seen->wrong = seen->wrong || record_decode_header(record, &fields).code != STATUS_OK ||
                  fields.position != position || (seen->count > 0 && position != seen->last + seen->step);
    seen->last = position;
    seen->count++;
    return !seen->wrong;
}

/* A refusal because of a damaged index is no answer, and no wrong one. */
static bool is_ok(struct world *world, struct status status)
{
    if (status.code == STATUS_OK)
        return true;
    if (world->damaged && status.reason == REASON_STORE_FAILED)
        refused = true;
    return false;
}

/* Every step-th event from `first` on, all there are, none twice. */
static bool check_read(struct world *world, enum read_by by, const char *key, int64_t step, bool backward)
{
    struct event_store *store = world->store;
    struct store_head before;
    struct seen seen = {.step = backward ? -step : step};
    const struct read_query query = {
        .by = by, .key = bytes_of_text(key), .to_version = INT32_MAX, .backward = backward};
    if (!is_ok(world, store->ops->head(store, &before)) ||
        !is_ok(world, store->ops->read(store, &query, see, &seen)))
        return false;
    return !seen.wrong && seen.count >= before.position / step;
}

static bool check_head(struct world *world, struct arena *arena, int which)
{
    struct event_store *store = world->store;
    struct store_head before;
    struct aggregate_head head;
    char id[32];
    snprintf(id, sizeof id, "aggregate-%d", which);
    if (!is_ok(world, store->ops->head(store, &before)) ||
        !is_ok(world, store->ops->aggregate(store, bytes_of_text(id), arena, &head)))
        return false;
    if (!head.exists)
        return before.position <= which;
    return head.version >= before.position / AGGREGATES && head.event_count == head.version &&
           head.first_position == which + 1 &&
           head.position == head.first_position + (int64_t)(head.version - 1) * AGGREGATES;
}

static bool check_id(struct world *world, uint64_t *random)
{
    struct event_store *store = world->store;
    struct store_head before;
    int64_t position = 0;
    if (!is_ok(world, store->ops->head(store, &before)))
        return false;
    if (before.position == 0)
        return true;
    const int64_t number = (int64_t)random_below(random, (uint64_t)before.position);
    char id[32];
    snprintf(id, sizeof id, "e%" PRId64, number);
    return is_ok(world, store->ops->find_id(store, bytes_of_text(id), &position)) && position == number + 1;
}

struct counting {
    int64_t count;
    int64_t last;
    bool wrong;
};

static bool count_aggregate(void *context, struct bytes id, const struct aggregate_head *head)
{
    struct counting *counting = context;
    (void)id;
    counting->wrong = counting->wrong || head->first_position <= counting->last || !head->exists;
    counting->last = head->first_position;
    counting->count++;
    return true;
}

static bool check_lists(struct world *world, struct arena *arena)
{
    struct event_store *store = world->store;
    struct store_head before;
    struct event_store_stats stats;
    struct counting counting = {0};
    if (!is_ok(world, store->ops->head(store, &before)) ||
        !is_ok(world, store->ops->aggregates(store, BYTES_NONE, 0, count_aggregate, &counting)) ||
        !is_ok(world, store->ops->stats(store, arena, &stats)))
        return false;
    const int64_t known = before.position < AGGREGATES ? before.position : AGGREGATES;
    return !counting.wrong && counting.count >= known && stats.event_count >= before.position;
}

struct reader {
    struct world *world;
    uint64_t random;
};

static void *read_all_the_time(void *context)
{
    struct reader *reader = context;
    struct world *world = reader->world;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    while (arena != NULL && !world->stop) {
        const int which = (int)random_below(&reader->random, AGGREGATES);
        char id[32];
        snprintf(id, sizeof id, "aggregate-%d", which);
        arena_reset(arena);
        refused = false;
        const bool fits = check_read(world, READ_BY_AGGREGATE, id, AGGREGATES, which % 2 == 0) &&
                          check_read(world, READ_BY_TAG, "odd", 2, which % 2 == 1) &&
                          check_read(world, READ_BY_POSITION, "", 1, which % 2 == 0) &&
                          check_head(world, arena, which) && check_id(world, &reader->random) &&
                          check_lists(world, arena);
        world->wrong += !fits && !refused;
    }
    return NULL;
}

struct crowd {
    pthread_t threads[READERS];
    struct reader readers[READERS];
};

static void crowd_start(struct crowd *crowd, struct world *world)
{
    for (size_t i = 0; i < READERS; i++) {
        crowd->readers[i] = (struct reader){world, i + 1};
        assert_int_equal(pthread_create(&crowd->threads[i], NULL, read_all_the_time, &crowd->readers[i]), 0);
    }
}

static void crowd_stop(struct crowd *crowd, struct world *world)
{
    world->stop = true;
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(crowd->threads[i], NULL), 0);
    world->stop = false;
    assert_int_equal(world->wrong, 0);
}

static void test_readers_see_all_while_files_are_written_and_merged(void **state)
{
    (void)state;
    struct world world;
    struct crowd crowd;
    world_init(&world);
    crowd_start(&crowd, &world);
    for (int i = 0; i < EVENTS; i++)
        append_numbered(&world);
    crowd_stop(&crowd, &world);
    world_done(&world);
}

/* ---- a damaged index is made anew meanwhile ---- */

/* One byte of a page of each file. */
static void damage_files(struct world *world)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct file_entry *files = NULL;
    size_t count = 0;
    world->damaged = true;
    assert_status_ok(files_list(&world->disk.files, "main/index", arena, &files, &count));
    for (size_t i = 0; i < count; i++) {
        char path[200];
        snprintf(path, sizeof path, "main/index/%s", files[i].name);
        if (strcmp(files[i].name, "MANIFEST") != 0)
            (void)memory_files_damage(&world->disk, path, 4096 + 10, 0x10); /* or it was merged just now */
    }
}

static void wait_until(struct world *world, bool (*is_so)(struct world *world), const char *what)
{
    struct timespec begun;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    while (!is_so(world)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - begun.tv_sec > 60)
            fail_msg("after a minute %s", what);
        sched_yield();
    }
}

/* Merges exchange runs, only a renewal exchanges parts. */
static bool is_made_anew(struct world *world)
{
    CLEANUP(view_unref_at) struct index_view *view = embedded_view_take(embedded_of(world->store), NULL);
    return view->parts[0] != world->former->parts[0];
}

static bool is_well(struct world *world)
{
    return world->store->ops->health(world->store).code == STATUS_OK;
}

static void test_readers_see_all_or_are_refused_while_a_damaged_index_is_made_anew(void **state)
{
    (void)state;
    struct world world;
    struct crowd crowd;
    world_init(&world);
    for (int i = 0; i < EVENTS / 4; i++)
        append_numbered(&world);
    for (int round = 0; round < DAMAGES; round++) {
        world.former = embedded_view_take(embedded_of(world.store), NULL);
        damage_files(&world);
        crowd_start(&crowd, &world);
        wait_until(&world, is_made_anew,
                   "the index was not made anew"); /* readers met the damage, or a merge did */
        wait_until(&world, is_well, "the index is not well again");
        crowd_stop(&crowd, &world);
        wait_until(&world, is_well,
                   "the index is not well again"); /* an old view may have told of it once more */
        view_unref(world.former);
    }
    world.damaged = false;
    crowd_start(&crowd, &world);
    for (int i = 0; i < EVENTS / 8; i++)
        append_numbered(&world);
    crowd_stop(&crowd, &world);
    world_done(&world);
}

static void test_a_stop_while_a_damaged_index_is_made_anew_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    world_init(&world);
    for (int i = 0; i < EVENTS / 8; i++)
        append_numbered(&world);
    for (int i = 0; i < STOPS / 3; i++) {
        damage_files(&world);
        (void)check_read(&world, READ_BY_TAG, "odd", 2, false); /* meets it, most of the time */
        for (int j = 0; j < i; j++)
            sched_yield();
        event_store_close(world.store);
        open_store(&world);
        world.damaged = false;
        assert_int_equal(store_driver_head(&world.driver).position, world.numbers);
        wait_until(&world, is_well, "the index was not made anew");
        assert_true(check_read(&world, READ_BY_TAG, "even", 2, i % 2 == 0));
        assert_true(check_lists(&world, arena));
    }
    world_done(&world);
}

/* Whatever the builder was at, the next start answers the same and the builder goes on. */
static void test_a_stop_in_the_middle_of_building_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (int i = 0; i < STOPS; i++) {
        for (int j = 0; j < 20 + i % 7; j++)
            append_numbered(&world);
        event_store_close(world.store);
        open_store(&world);
        assert_int_equal(store_driver_head(&world.driver).position, world.numbers);
        assert_true(check_read(&world, READ_BY_TAG, "even", 2, i % 2 == 0));
        for (int which = 0; which < AGGREGATES; which++)
            assert_true(check_head(&world, arena, which));
        assert_true(check_lists(&world, arena));
    }
    world_done(&world);
}

/* Whoever waits for room may have looked at the index just before it was found damaged: the builder must not leave it waiting. */
static void test_who_waits_for_the_builder_is_told_of_a_damaged_index(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct embedded_store *store = embedded_of(world.store);
    struct index_builder *builder = &store->builder;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 30;
    store->index_damaged = true;
    pthread_mutex_lock(&builder->lock);
    const uint64_t before = builder->attempts;
    pthread_mutex_unlock(&builder->lock);
    builder_note_frozen(store); /* wakes it, as who waits does */
    pthread_mutex_lock(&builder->lock);
    while (builder->attempts == before)
        if (pthread_cond_timedwait(&builder->changed, &builder->lock, &until) != 0)
            break;
    const bool ended = builder->attempts != before;
    pthread_mutex_unlock(&builder->lock);
    assert_true(ended);
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_for_the_builder_is_told_of_a_damaged_index),
        cmocka_unit_test(test_readers_see_all_while_files_are_written_and_merged),
        cmocka_unit_test(test_readers_see_all_or_are_refused_while_a_damaged_index_is_made_anew),
        cmocka_unit_test(test_a_stop_while_a_damaged_index_is_made_anew_loses_nothing),
        cmocka_unit_test(test_a_stop_in_the_middle_of_building_loses_nothing),
    };
    return cmocka_run_group_tests_name("embedded_index_threads", tests, NULL, NULL);
}
