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
    bool (*may_retry)(void *context, const struct status *why);
    int retries;
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
    const struct migrate_options options = {.on_progress = on_progress,
                                            .is_closed = is_closed,
                                            .may_retry = fixture->may_retry,
                                            .context = fixture};
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

/* A target that the last batch of a killed migration reaches after this one has asked how far it is. */
struct late_target {
    struct event_store store;
    struct fixture *fixture;
    size_t arrives; /* so many records */
};
static struct late_target late;

static struct status late_head(struct event_store *store, struct store_head *ret)
{
    (void)store;
    struct event_store *below = late.fixture->target;
    STATUS_TRY(below->ops->head(below, ret));
    struct store_head ignored;
    const size_t arrives = late.arrives;
    late.arrives = 0;
    return arrives == 0
               ? status_ok()
               : event_store_adopt(below, late.fixture->history.records, arrives, &system_entropy, &ignored);
}

static struct status late_facts(struct event_store *store, const struct facts_request *request,
                                struct arena *arena, struct facts *ret)
{
    (void)store;
    return late.fixture->target->ops->facts(late.fixture->target, request, arena, ret);
}

static void late_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                        void *context)
{
    (void)store;
    late.fixture->target->ops->commit(late.fixture->target, batch, done, context);
}

static void test_what_a_killed_move_had_sent_may_arrive_late(void **state)
{
    struct fixture *fixture = *state;
    static const struct event_store_ops ops = {.head = late_head, .facts = late_facts, .commit = late_commit};
    late = (struct late_target){.store = {.ops = &ops}, .fixture = fixture, .arrives = 4};
    const struct migrate_side source = {fixture->source, NULL};
    const struct migrate_side target = {&late.store, NULL};
    const struct migrate_options options = {.on_progress = on_progress, .context = fixture};
    struct migrate_report report;
    assert_status_ok(migrate_store(&source, &target, &options, &system_entropy, &report));
    assert_moved(fixture);
}

/* A mistyped database or store_id is a new store: to call its nothing moved would be a success that is none. */
static void test_a_source_without_events_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    event_store_close(fixture->source);
    fixture->source = open_events();
    const struct status status = migrate(fixture, NULL, &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "the source holds no event"));
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

/* ---- stores that are out of reach for a while ---- */

/* How often each operation fails before it works; `arrives` = the first failed commit took place all the same. */
struct breaks {
    int heads;
    int reads;
    int commits;
    int puts;
    bool arrives;
    enum status_reason reason; /* of the failures */
    int asked;                 /* how often a retry is asked for */
};

static struct breaks breaks;
static const struct event_store_ops *whole;
static struct event_store_ops broken;

static struct status away(void)
{
    return status_reason(breaks.reason, "the server is away");
}

static struct status head_or_break(struct event_store *store, struct store_head *ret)
{
    return breaks.heads-- > 0 ? away() : whole->head(store, ret);
}

struct half {
    record_sink sink;
    void *context;
    int left;
};

static bool take_half(void *context, int64_t position, struct record record)
{
    struct half *half = context;
    return half->left-- > 0 && half->sink(half->context, position, record);
}

/* The connection is lost on the way. */
static struct status read_or_break(struct event_store *store, const struct read_query *query,
                                   record_sink sink, void *context)
{
    if (breaks.reads-- <= 0)
        return whole->read(store, query, sink, context);
    struct half half = {sink, context, 3};
    assert_status_ok(whole->read(store, query, take_half, &half));
    return away();
}

static void forget_answer(void *context, const struct status *status)
{
    (void)context;
    assert_status_ok(*status);
}

static void commit_or_break(struct event_store *store, const struct commit_batch *batch, commit_done done,
                            void *context)
{
    if (breaks.commits-- <= 0) {
        whole->commit(store, batch, done, context);
        return;
    }
    if (breaks.arrives)
        whole->commit(store, batch, forget_answer, NULL);
    breaks.arrives = false;
    const struct status status = away();
    done(context, &status);
}

static struct status put_or_break(struct event_store *store, struct bytes key, struct bytes value)
{
    return breaks.puts-- > 0 ? away() : whole->state_put(store, key, value);
}

static bool retry_ten_times(void *context, const struct status *why)
{
    struct fixture *fixture = context;
    assert_string_equal(why->message, "the server is away");
    return ++fixture->retries <= 10;
}

static void break_both(struct fixture *fixture, const struct breaks *how)
{
    breaks = *how;
    whole = fixture->source->ops;
    broken = *whole;
    broken.read = read_or_break;
    broken.commit = commit_or_break;
    broken.state_put = put_or_break;
    fixture->source->ops = fixture->target->ops = &broken;
    fixture->may_retry = retry_ten_times;
}

static void mend_both(struct fixture *fixture)
{
    fixture->source->ops = fixture->target->ops = whole;
}

static bool break_heads(void *context)
{
    (void)context;
    broken.head =
        head_or_break; /* not before it is followed: that both can be asked is a matter of its start */
    return true;
}

static void test_what_passes_is_outlived_and_nothing_comes_twice(void **state)
{
    const struct breaks table[] = {
        {.reads = 2, .reason = REASON_STORE_UNREACHABLE, .asked = 2}, /* within an append */
        {.commits = 2, .reason = REASON_STORE_UNREACHABLE, .asked = 2},
        {.commits = 1, .arrives = true, .reason = REASON_OUTCOME_UNKNOWN, .asked = 1},
        {.commits = 1, .arrives = true, .reads = 1, .reason = REASON_STORE_UNREACHABLE, .asked = 2},
        {.heads = 3, .reason = REASON_STORE_UNREACHABLE, .asked = 3},
        {.puts = 1, .reason = REASON_STORE_UNREACHABLE, .asked = 1},
        {.heads = 1, .reads = 1, .commits = 1, .puts = 1, .reason = REASON_STORE_UNREACHABLE, .asked = 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct fixture *fixture = *state;
        struct migrate_report report;
        struct event_store *source = fixture->source;
        assert_status_ok(source->ops->state_put(source, BYTES_LITERAL("key"), BYTES_LITERAL("value")));
        break_both(fixture, &table[i]);
        assert_status_ok(migrate(fixture, break_heads, &report));
        mend_both(fixture);
        assert_int_equal(fixture->retries, table[i].asked);
        assert_moved(fixture);
        assert_int_equal(report.moved, fixture->history.count);
        assert_int_equal(report.found, 0);
        assert_int_equal(report.values, 1);
        (void)close_both(state);
        (void)open_both(state);
    }
}

static void test_what_does_not_pass_ends_it(void **state)
{
    const struct breaks table[] = {
        {.commits = 1, .reason = REASON_STORE_FAILED}, /* it is read-only from then on */
        {.reads = 1, .reason = REASON_DAMAGED},
        {.commits = 100, .reason = REASON_STORE_UNREACHABLE, .asked = 11}, /* until the caller has enough */
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct fixture *fixture = *state;
        struct migrate_report report;
        break_both(fixture, &table[i]);
        const struct status status = migrate(fixture, break_heads, &report);
        mend_both(fixture);
        assert_int_equal(status.reason, table[i].reason);
        assert_int_equal(fixture->retries, table[i].asked);
        (void)close_both(state);
        (void)open_both(state);
    }
}

/* Somebody wrote to the target while it could not be reached. */
static bool append_to_target(void *context, const struct status *why)
{
    struct fixture *fixture = context;
    (void)why;
    mend_both(fixture);
    append_one(fixture->target, "stranger");
    return true;
}

static void test_a_target_that_another_one_wrote_to_meanwhile_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct migrate_report report;
    const struct breaks once = {.commits = 1, .reason = REASON_STORE_UNREACHABLE};
    break_both(fixture, &once);
    fixture->may_retry = append_to_target;
    const struct status status = migrate(fixture, break_heads, &report);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "not the first ones of the source"));
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
        TEST(test_what_a_killed_move_had_sent_may_arrive_late),
        TEST(test_a_source_without_events_is_refused),
        TEST(test_a_source_is_followed_until_it_is_closed),
        TEST(test_what_passes_is_outlived_and_nothing_comes_twice),
        TEST(test_what_does_not_pass_ends_it),
        TEST(test_a_target_that_another_one_wrote_to_meanwhile_is_refused),
        TEST(test_snapshots_values_and_checkpoints_move_too),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
