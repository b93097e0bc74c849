/* Moving a store to another engine: everything, once, with an equal chain; or a refusal by name. */
#include <string.h>

#include "support/cmocka.h"

#include "contract/store_driver.h"
#include "history.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "offline/migrate.h"
#include "store/adopt.h"
#include "store/memory/memory_store.h"

struct fixture {
    struct history history;
    struct event_store *source;
    struct event_store *target;
    struct snapshot_store *source_snapshots;
    struct snapshot_store *target_snapshots;
    int asked;
    int64_t progress;
};

static struct event_store *open_events(void)
{
    struct event_store *store = NULL;
    assert_status_ok(memory_store_open(&system_clock, &store));
    return store;
}

static int open_both(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    history_init(&fixture.history);
    fixture.source = open_events();
    fixture.target = open_events();
    struct store_head head;
    assert_status_ok(event_store_adopt(fixture.source, fixture.history.records, fixture.history.count,
                                       &system_entropy, &head));
    assert_status_ok(memory_snapshots_open(0, &fixture.source_snapshots));
    assert_status_ok(memory_snapshots_open(0, &fixture.target_snapshots));
    *state = &fixture;
    return 0;
}

static int close_both(void **state)
{
    struct fixture *fixture = *state;
    snapshot_store_close(fixture->source_snapshots);
    snapshot_store_close(fixture->target_snapshots);
    event_store_close(fixture->source);
    event_store_close(fixture->target);
    history_done(&fixture->history);
    return 0;
}

static void on_progress(void *context, int64_t position, int64_t head)
{
    struct fixture *fixture = context;
    assert_true(position <= head);
    fixture->progress = position;
}

static struct status migrate(struct fixture *fixture, bool (*is_closed)(void *context),
                             struct migrate_report *ret)
{
    const struct migrate_side source = {fixture->source, fixture->source_snapshots};
    const struct migrate_side target = {fixture->target, fixture->target_snapshots};
    const struct migrate_options options = {on_progress, is_closed, fixture};
    return migrate_store(&source, &target, &options, &system_entropy, ret);
}

static bool compare(void *context, int64_t position, struct record record)
{
    struct fixture *fixture = context;
    const struct bytes wanted = fixture->history.records[position - 1];
    assert_true(bytes_equal(record.bytes, wanted));
    fixture->asked++;
    return true;
}

static void assert_moved(struct fixture *fixture)
{
    struct store_head head;
    assert_status_ok(fixture->target->ops->head(fixture->target, &head));
    assert_int_equal(head.position, fixture->history.head.position);
    assert_int_equal(head.aggregate_count, fixture->history.head.aggregate_count);
    assert_memory_equal(&head.chain, &fixture->history.head.chain, sizeof head.chain);
    const struct read_query all = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    fixture->asked = 0;
    assert_status_ok(fixture->target->ops->read(fixture->target, &all, compare, fixture));
    assert_int_equal(fixture->asked, fixture->history.count);
}

static void test_all_events_move_with_an_equal_chain(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    assert_status_ok(migrate(fixture, NULL, &report));
    assert_moved(fixture);
    assert_int_equal(report.moved, fixture->history.count);
    assert_int_equal(report.found, 0);
    assert_int_equal(fixture->progress, (int64_t)fixture->history.count);
    assert_status_ok(migrate(fixture, NULL, &report)); /* again: nothing is left to do */
    assert_int_equal(report.moved, 0);
    assert_int_equal(report.found, fixture->history.count);
}

static void test_an_interrupted_move_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct store_head head;
    struct migrate_report report;
    assert_status_ok(event_store_adopt(fixture->target, fixture->history.records, 4, &system_entropy, &head));
    assert_status_ok(migrate(fixture, NULL, &report));
    assert_moved(fixture);
    assert_int_equal(report.found, 4);
    assert_int_equal(report.moved, fixture->history.count - 4);
}

static void append_one(struct event_store *store, const char *id)
{
    struct store_driver driver;
    store_driver_init(&driver, store);
    const struct append_event event = sample_event(id, "other", "changed", "custom");
    const struct append append = sample_append(&event, 1);
    assert_int_equal(store_driver_append(&driver, &append).kind, APPEND_ACCEPTED);
    store_driver_done(&driver);
}

static void test_a_target_with_other_events_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    append_one(fixture->target, "stranger");
    const struct status status = migrate(fixture, NULL, &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "not the first ones of the source"));
    assert_int_equal(report.moved, 0);
}

static void test_a_target_that_holds_more_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    assert_status_ok(migrate(fixture, NULL, &report));
    append_one(fixture->target, "new");
    const struct status status = migrate(fixture, NULL, &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "the wrong way round"));
}

/* Twice something came meanwhile; then the source is closed, with one event that came just before. */
static bool close_after_three(void *context)
{
    static const char *const ids[] = {"late-1", "late-2", "late-3"};
    struct fixture *fixture = context;
    append_one(fixture->source, ids[fixture->asked]);
    return ++fixture->asked == 3;
}

static void test_a_source_is_followed_until_it_is_closed(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    assert_status_ok(migrate(fixture, close_after_three, &report));
    assert_int_equal(report.moved, fixture->history.count + 3);
    struct store_head source;
    struct store_head target;
    assert_status_ok(fixture->source->ops->head(fixture->source, &source));
    assert_status_ok(fixture->target->ops->head(fixture->target, &target));
    assert_int_equal(source.position, target.position);
    assert_memory_equal(&source.chain, &target.chain, sizeof source.chain);
}

static void test_snapshots_values_and_checkpoints_move_too(void **state)
{
    struct fixture *fixture = *state;
    struct event_store *source = fixture->source;
    struct event_store *target = fixture->target;
    const struct snapshot snapshot = {.aggregate_id = BYTES_LITERAL("a"),
                                      .aggregate_type = BYTES_LITERAL("custom"),
                                      .version = 1,
                                      .state = SNAPSHOT_DIVERGENT,
                                      .data = BYTES_LITERAL("{}")};
    assert_status_ok(fixture->source_snapshots->ops->put(fixture->source_snapshots, &snapshot));
    assert_status_ok(source->ops->state_put(source, BYTES_LITERAL("key"), BYTES_LITERAL("value")));
    struct lease lease;
    assert_status_ok(source->ops->lease(source, BYTES_LITERAL("mail"), BYTES_LITERAL("h"), 1000, &lease));
    assert_status_ok(source->ops->checkpoint_put(source, BYTES_LITERAL("mail"), 3, lease.epoch));
    struct migrate_report report;
    for (int round = 0; round < 2; round++) {
        assert_status_ok(migrate(fixture, NULL, &report));
        assert_int_equal(report.snapshots, 1);
        assert_int_equal(report.values, 1);
        assert_int_equal(report.checkpoints, round == 0);
    }
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct bytes value;
    struct checkpoint checkpoint;
    assert_status_ok(target->ops->state_get(target, BYTES_LITERAL("key"), arena, &value));
    assert_true(bytes_equal(value, BYTES_LITERAL("value")));
    assert_status_ok(target->ops->checkpoint_get(target, BYTES_LITERAL("mail"), &checkpoint));
    assert_int_equal(checkpoint.position, 3);
    /* Its consumer begins with the first epoch of the new store. */
    assert_status_ok(target->ops->lease(target, BYTES_LITERAL("mail"), BYTES_LITERAL("h2"), 1000, &lease));
    assert_status_ok(target->ops->checkpoint_put(target, BYTES_LITERAL("mail"), 4, lease.epoch));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_both, close_both)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_events_move_with_an_equal_chain),
        TEST(test_an_interrupted_move_goes_on),
        TEST(test_a_target_with_other_events_is_refused),
        TEST(test_a_target_that_holds_more_is_refused),
        TEST(test_a_source_is_followed_until_it_is_closed),
        TEST(test_snapshots_values_and_checkpoints_move_too),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
