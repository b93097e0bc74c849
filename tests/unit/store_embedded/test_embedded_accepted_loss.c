/* --accept-data-loss: whenever the machine stops during that start, the loss is either recorded or refused once more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/faulty_files.h"
#include "support/memory_files.h"

#include "contract/store_driver.h"

#include "store/embedded/embedded_internal.h"

#define EVENTS    30
#define CALLS_MAX 2000U

struct world {
    struct memory_files disk;
    struct faulty_files faulty;
    struct store_driver driver;
    struct event_store *store;
};

static struct status open_store(struct world *world, bool accept)
{
    const struct embedded_options options = {
        .segment_max_bytes = 12288, .segment_max_events = 10, .accept_data_loss = accept};
    const struct status status =
        embedded_store_open_stepped(&world->faulty.files, &options, &world->driver.clock.clock,
                                    &world->driver.entropy.entropy, NULL, &world->store);
    if (status.code != STATUS_OK)
        world->store = NULL;
    world->driver.store = world->store;
    return status;
}

static void close_store(struct world *world)
{
    event_store_close(world->store);
    world->store = NULL;
}

/* A store that was stopped cleanly and has lost the last of its three segments since. */
static void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->disk = memory_files_empty();
    world->faulty = faulty_files_over(&world->disk.files, 0, FAULT_IO);
    world->faulty.sticky = true;
    store_driver_init(&world->driver, NULL);
    assert_status_ok(open_store(world, false));
    for (int i = 1; i <= EVENTS; i++) {
        const struct append_event event = numbered_event(&world->driver, i, "a", "changed", "user");
        const struct append append = sample_append(&event, 1);
        assert_int_equal(store_driver_append(&world->driver, &append).kind, APPEND_ACCEPTED);
    }
    close_store(world);
    assert_status_ok(files_remove(&world->disk.files, "main/log/00000000000000000021.seg"));
    assert_status_ok(files_sync_dir(&world->disk.files, "main/log"));
}

static void world_done(struct world *world)
{
    close_store(world);
    store_driver_done(&world->driver);
    assert_int_equal(memory_files_open_count(&world->disk), 0);
    memory_files_done(&world->disk);
}

static bool is_recorded(struct world *world)
{
    struct aggregate_head head;
    assert_status_ok(world->store->ops->aggregate(world->store, BYTES_LITERAL("$data_losses"),
                                                  world->driver.arena, &head));
    return head.exists;
}

/* From the n-th file call of the accepting start nothing works, then the power goes. */
static void test_a_loss_that_was_accepted_is_never_forgotten(void **state)
{
    (void)state;
    unsigned nth = 1;
    bool hit = true;
    for (; hit; nth++) {
        struct world world;
        world_init(&world);
        assert_status(open_store(&world, false), STATUS_FAILED_PRECONDITION);
        world.faulty.fail_at = world.faulty.fit_count + nth;
        (void)open_store(&world, true).code; /* fails when hit */
        hit = world.faulty.hit;
        world.faulty.fail_at = 1; /* a killed process does nothing more, not even stop cleanly */
        close_store(&world);
        world.faulty.fail_at = 0;
        memory_files_crash(&world.disk, nth);
        const struct status again = open_store(&world, false);
        if (again.code == STATUS_OK && !is_recorded(&world))
            fail_msg("after a crash at call %u the loss is gone from sight", nth);
        if (again.code != STATUS_OK)
            assert_status(again, STATUS_FAILED_PRECONDITION);
        if (!hit)
            assert_status_ok(again); /* the accepting start was enough */
        world_done(&world);
    }
    assert_in_range(nth, 20, CALLS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loss_that_was_accepted_is_never_forgotten),
    };
    return cmocka_run_group_tests_name("embedded_accepted_loss", tests, NULL, NULL);
}
