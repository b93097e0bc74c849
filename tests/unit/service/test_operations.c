/* The life of operations: starting, following, cancelling, going on after a restart, being forgotten. */
#include "operations_world.h"

#include "support/manual_clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bus/subscribers.h"
#include "service/operation_store_internal.h"

static int set_up(void **state)
{
    static struct world world;
    gated_world_open(&world, &system_clock);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    gate_open(); /* a failed test may have left it closed, and somebody waiting */
    world_close(*state);
    return 0;
}

static const ProtobufCBinaryData none = {0, NULL};

static void assert_ended(Strata__V1__Operation *operation, int state)
{
    if ((int)operation->state != state)
        fail_msg("%s %s is in state %d: %s", operation->kind, operation->id, (int)operation->state,
                 operation->message);
    test_message_free(operation);
}

/* --- starting and looking --- */

static void test_a_started_one_is_answered_at_once_and_found_until_its_end(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    assert_int_equal(strlen(started->id), 36);
    assert_int_equal(started->id[14], '7');
    assert_string_equal(started->kind, "verify");
    assert_int_equal(started->state, RUNNING);
    assert_int_equal(started->total, 1);
    assert_non_null(started->started_at);
    assert_null(started->ended_at);
    assert_string_equal(started->started_by, "anonymous");
    gate_wait_reached(1);
    Strata__V1__Operation *found = get_operation(world, started->id, NULL);
    assert_int_equal(found->state, RUNNING);
    test_message_free(found);
    gate_open();
    Strata__V1__Operation *ended = wait_operation(world, started);
    assert_int_equal(ended->done, 1);
    assert_non_null(ended->ended_at);
    assert_ended(ended, SUCCEEDED);
}

static void test_start_answers_202_and_a_mere_check_200(void **state)
{
    struct world *world = *state;
    Strata__V1__Rebuild rebuild = STRATA__V1__REBUILD__INIT;
    rebuild.what = T("cache");
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_REBUILD;
    request.rebuild = &rebuild;
    request.validate_only = true;
    struct test_reply reply = test_call(world->table, METHOD_SYSTEM_SERVICE_START_OPERATION, &request.base);
    assert_int_equal(reply.http_status, 200);
    Strata__V1__Operation *checked = test_reply_message(&reply, &strata__v1__operation__descriptor);
    assert_string_equal(checked->id, ""); /* nothing was started */
    assert_string_equal(checked->kind, "rebuild");
    test_message_free(checked);
    test_reply_done(&reply);
    Strata__V1__ListOperationsRequest list = STRATA__V1__LIST_OPERATIONS_REQUEST__INIT;
    Strata__V1__ListOperationsResponse *all =
        call_method_of(world, METHOD_SYSTEM_SERVICE_LIST_OPERATIONS, &list.base,
                       &strata__v1__list_operations_response__descriptor, NULL);
    assert_int_equal(all->n_operations, 0);
    test_message_free(all);

    request.validate_only = false;
    reply = test_call(world->table, METHOD_SYSTEM_SERVICE_START_OPERATION, &request.base);
    assert_status_ok(reply.status);
    assert_int_equal(reply.http_status, 0); /* the method's: 202 */
    assert_int_equal(schema_method(METHOD_SYSTEM_SERVICE_START_OPERATION)->http_success, 202);
    test_reply_done(&reply);
}

static void test_one_of_a_kind_runs_at_a_time(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    Strata__V1__Operation *first = start_verify(world, 0, none);
    Strata__V1__Verify verify = STRATA__V1__VERIFY__INIT;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
    request.verify = &verify;
    struct status status;
    assert_null(start_operation(world, &request, &status));
    assert_int_equal(status.reason, REASON_OPERATION_RUNNING);
    assert_non_null(strstr(status.message, first->id)); /* so that it can be cancelled */
    assert_ended(wait_operation(world, start_rebuild(world, "cache")), SUCCEEDED);
    gate_open();
    assert_ended(wait_operation(world, first), SUCCEEDED);
    assert_ended(wait_operation(world, start_verify(world, 0, none)), SUCCEEDED);
}

static void test_an_unknown_one_is_not_found(void **state)
{
    struct world *world = *state;
    struct status status;
    assert_null(get_operation(world, "nothing", &status));
    assert_int_equal(status.reason, REASON_OPERATION_UNKNOWN);
    assert_int_equal(status.code, STATUS_NOT_FOUND);
    assert_null(cancel_operation(world, "", &status));
    assert_int_equal(status.reason, REASON_OPERATION_UNKNOWN);
    Strata__V1__WatchOperationRequest request = STRATA__V1__WATCH_OPERATION_REQUEST__INIT;
    request.id = T("nothing");
    struct test_stream *stream =
        test_stream_open(world->table, METHOD_SYSTEM_SERVICE_WATCH_OPERATION, &request.base, 0);
    assert_reason(test_stream_close(stream), REASON_OPERATION_UNKNOWN);
}

static struct status put_fails(struct event_store *store, struct bytes key, struct bytes value)
{
    (void)store;
    (void)key;
    (void)value;
    return status_reason(REASON_STORE_FAILED, "the disk is gone");
}

/* Who is told of an operation must find it after a restart too. */
static void test_one_that_cannot_be_recorded_is_not_started(void **state)
{
    struct world *world = *state;
    gate_state_put_by(put_fails);
    Strata__V1__Verify verify = STRATA__V1__VERIFY__INIT;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
    request.verify = &verify;
    struct status status;
    assert_null(start_operation(world, &request, &status));
    assert_int_equal(status.reason, REASON_STORE_FAILED);
    gate_state_put_by(NULL);
    assert_ended(wait_operation(world, start_verify(world, 0, none)), SUCCEEDED); /* none is in the way */
}

/* --- cancelling --- */

/* What a start after a kill would find. */
static struct operation *recorded(struct world *world, const char *id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct operation *operation = NULL;
    struct bytes record;
    char key[64];
    const int length = snprintf(key, sizeof key, "operation/%s", id);
    assert_status_ok(
        world->store->ops->state_get(world->store, bytes_of(key, (size_t)length), arena, &record));
    assert_status_ok(operation_decode(record, &operation));
    return operation;
}

static void test_a_cancelled_one_has_ended_when_the_answer_comes_and_stays_so(void **state)
{
    struct world *world = *state;
    append_thousands(world, 1);
    gate_close(10);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    gate_wait_reached(1);
    Strata__V1__Operation *cancelled = cancel_operation(world, started->id, NULL);
    assert_int_equal(cancelled->state, CANCELLED);
    assert_non_null(cancelled->ended_at);
    test_message_free(cancelled);
    struct operation *kept = recorded(world, started->id); /* a kill from here on changes nothing */
    assert_int_equal(kept->state, OPERATION_CANCELLED);
    operation_free(kept);
    gate_open();
    assert_ended(wait_operation(world, start_verify(world, 0, none)), SUCCEEDED);
    world_restart(world, NULL, &system_clock); /* waits for the threads */
    assert_int_equal(gate_calls(), 1011);      /* the first one stopped where it was */
    assert_ended(get_operation(world, started->id, NULL), CANCELLED);
    assert_ended(cancel_operation(world, started->id, NULL), CANCELLED);
    test_message_free(started);
}

static void test_cancelling_one_that_has_ended_changes_nothing(void **state)
{
    struct world *world = *state;
    Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
    assert_ended(cancel_operation(world, ended->id, NULL), SUCCEEDED);
    assert_ended(ended, SUCCEEDED);
}

/* A cancelled one that hangs in the store is in nobody's way, but there may not be ever more of them. */
static void test_another_starts_while_a_cancelled_one_comes_to_its_end(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    for (int i = 0; i < 4; i++) {
        Strata__V1__Operation *started = start_verify(world, 0, none);
        gate_wait_reached(i + 1);
        assert_ended(cancel_operation(world, started->id, NULL), CANCELLED);
        test_message_free(started);
    }
    Strata__V1__Verify verify = STRATA__V1__VERIFY__INIT;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
    request.verify = &verify;
    struct status status;
    assert_null(start_operation(world, &request, &status));
    assert_int_equal(status.reason, REASON_OPERATION_RUNNING);
    gate_open();
}

/* --- a restart --- */

static void test_a_running_one_goes_on_after_a_restart_from_where_it_was(void **state)
{
    struct world *world = *state;
    append_thousands(world, 5);
    gate_close(3000); /* in the second slice: two appends of the first are whole */
    Strata__V1__Operation *started = start_verify(world, 0, none);
    world_stop_at_gate(world, started->id);
    gate_close(INT64_MAX);
    world_restart(world, NULL, &system_clock);
    Strata__V1__Operation *ended = wait_operation(world, started);
    assert_string_equal(ended->message, "went on at 2000 of 5000 after a restart");
    assert_int_equal(gate_calls(), 3000);
    assert_int_equal(ended->done, 5000);
    assert_int_equal(ended->total, 5000);
    assert_string_equal(result_of(ended, "events"), "5000");
    assert_string_equal(result_of(ended, "chain_checked"), "true");
    assert_string_equal(ended->started_by, "anonymous");
    assert_ended(ended, SUCCEEDED);
}

/* So that a kill loses little of the work: here 4,000 of 5,000 events. */
static void test_a_running_one_is_recorded_each_second(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    const struct timespec pause = {.tv_nsec = 1000000};
    gated_world_open(&world, &clock.clock);
    append_thousands(&world, 5);
    gate_close(3000);
    Strata__V1__Operation *started = start_verify(&world, 0, none);
    gate_wait_reached(1);
    struct operation *kept = recorded(&world, started->id);
    assert_int_equal(kept->done, 0); /* the first slice took no time */
    operation_free(kept);
    manual_clock_advance_ms(&clock, 1000);
    gate_close(1600); /* to the middle of the third slice */
    int64_t done = 0;
    for (int looks = 0; done == 0; looks++) {
        if (looks == 30000)
            fail_msg("nothing was recorded in half a minute of looking");
        nanosleep(&pause, NULL);
        kept = recorded(&world, started->id);
        done = kept->done;
        operation_free(kept);
    }
    assert_int_equal(done, 4000);
    gate_open();
    assert_ended(wait_operation(&world, started), SUCCEEDED);
    world_close(&world);
}

static void test_an_ended_one_is_known_after_a_restart(void **state)
{
    struct world *world = *state;
    append_thousands(world, 1);
    Strata__V1__Operation *before = wait_operation(world, start_verify(world, 0, none));
    world_restart(world, NULL, &system_clock);
    Strata__V1__Operation *after = get_operation(world, before->id, NULL);
    assert_int_equal(after->state, SUCCEEDED);
    assert_string_equal(after->kind, "verify");
    assert_string_equal(after->message, before->message);
    assert_int_equal(after->started_at->seconds, before->started_at->seconds);
    assert_int_equal(after->ended_at->nanos, before->ended_at->nanos);
    assert_string_equal(result_of(after, "chain"), result_of(before, "chain"));
    assert_int_equal(strlen(result_of(after, "chain")), 64);
    test_message_free(before);
    test_message_free(after);
}

static void test_a_foreign_record_is_no_reason_not_to_start(void **state)
{
    struct world *world = *state;
    static const char *const records[] = {"", "\1", "\1\377\377\377\377", "\2\0\0\0\0\0\0\0\0",
                                          "\1\0\0\0\0\2\0\0\0\377\377"};
    static const size_t sizes[] = {0, 1, 5, 9, 11};
    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        char key[32];
        const int length = snprintf(key, sizeof key, "operation/%zu", i);
        assert_status_ok(world->store->ops->state_put(world->store, bytes_of(key, (size_t)length),
                                                      bytes_of(records[i], sizes[i])));
    }
    world_restart(world, NULL, &system_clock);
    assert_ended(wait_operation(world, start_verify(world, 0, none)), SUCCEEDED);
}

/* --- listing and forgetting --- */

static Strata__V1__ListOperationsResponse *list(struct world *world, int32_t page_size, const char *token)
{
    Strata__V1__ListOperationsRequest request = STRATA__V1__LIST_OPERATIONS_REQUEST__INIT;
    request.page_size = page_size;
    request.page_token = T(token);
    return call_method_of(world, METHOD_SYSTEM_SERVICE_LIST_OPERATIONS, &request.base,
                          &strata__v1__list_operations_response__descriptor, NULL);
}

static size_t list_count(struct world *world)
{
    Strata__V1__ListOperationsResponse *all = list(world, 1000, "");
    const size_t count = all->n_operations;
    assert_string_equal(all->next_page_token, "");
    test_message_free(all);
    return count;
}

static void test_a_list_shows_the_newest_first_in_pages(void **state)
{
    struct world *world = *state;
    char ids[5][40];
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        Strata__V1__Operation *ended = wait_operation(world, start_rebuild(world, "cache"));
        snprintf(ids[i], sizeof ids[i], "%s", ended->id);
        test_message_free(ended);
    }
    Strata__V1__ListOperationsResponse *page = list(world, 2, "");
    size_t at = ARRAY_SIZE(ids);
    for (size_t pages = 1;; pages++) {
        for (size_t i = 0; i < page->n_operations; i++)
            assert_string_equal(page->operations[i]->id, ids[--at]);
        if (page->next_page_token[0] == '\0') {
            assert_int_equal(pages, 3);
            break;
        }
        Strata__V1__ListOperationsResponse *next = list(world, 2, page->next_page_token);
        test_message_free(page);
        page = next;
    }
    assert_int_equal(at, 0);
    test_message_free(page);
}

static bool count_record(void *context, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(size_t *)context;
    return true;
}

static size_t record_count(struct world *world)
{
    size_t count = 0;
    assert_status_ok(world->store->ops->state_list(world->store, BYTES_LITERAL("operation/"), BYTES_NONE,
                                                   count_record, &count));
    return count;
}

static void test_the_oldest_goes_when_there_are_too_many(void **state)
{
    struct world *world = *state;
    Strata__V1__Operation *first = wait_operation(world, start_rebuild(world, "cache"));
    for (int i = 0; i < 1000; i++)
        test_message_free(wait_operation(world, start_rebuild(world, "cache")));
    struct status status;
    assert_null(get_operation(world, first->id, &status));
    assert_int_equal(status.reason, REASON_OPERATION_UNKNOWN);
    test_message_free(first);
    assert_int_equal(list_count(world), 1000);
    assert_int_equal(record_count(world), 1000);
}

static void take_snapshot_at(struct world *world, int32_t version)
{
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T("a");
    request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
    request.version = version;
    test_message_free(call_method_of(world, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, &request.base,
                                     &strata__v1__snapshot__descriptor, NULL));
}

/* Lets the timer of the cleanup fire, and waits until a superseded snapshot has gone, which comes last in it. */
static void pass_cleanup(struct world *world, struct manual_clock *clock)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct snapshot_store_stats stats = {0};
    (void)publish_custom(world, "a", "{}");
    const int32_t version = publish_custom(world, "a", "{}");
    take_snapshot_at(world, version - 1);
    take_snapshot_at(world, version);
    for (int looks = 0; stats.snapshot_count != 1; looks++) {
        if (looks == 30000)
            fail_msg("no cleanup has come to its end in half a minute of looking");
        manual_clock_advance_ms(clock, 1000);
        bus_wake(world->bus);
        nanosleep(&pause, NULL);
        assert_status_ok(world->snapshots->ops->stats(world->snapshots, &stats));
    }
}

static void test_an_ended_one_is_forgotten_after_a_day(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    const struct service_options options = {.store_id = "main", .cleanup_interval_us = 1000000};
    world_open_at(&world, &options, &clock.clock);
    test_message_free(wait_operation(&world, start_rebuild(&world, "cache")));
    const int64_t hour_ms = 3600000;
    manual_clock_advance_ms(&clock, 23 * hour_ms);
    pass_cleanup(&world, &clock);
    assert_int_equal(list_count(&world), 1);
    manual_clock_advance_ms(&clock, hour_ms);
    pass_cleanup(&world, &clock);
    assert_int_equal(list_count(&world), 0);
    assert_int_equal(record_count(&world), 0);
    world_close(&world);
}

static enum bus_answer handle(void *context, const struct bus_delivery *delivery)
{
    (void)context;
    (void)delivery;
    return BUS_HANDLED;
}

static void test_abandoned_handlers_are_forgotten_with_the_time(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    const struct service_options options = {.store_id = "main", .cleanup_interval_us = 1000000};
    world_open_at(&world, &options, &clock.clock);
    const struct bus_subscribe_options left = {.owner = 7, .handler = handle};
    const struct bus_subscribe_options kept = {.owner = 8, .handler = handle};
    int64_t id = 0;
    assert_status_ok(bus_subscribe(world.bus, &left, &id));
    assert_status_ok(bus_subscribe(world.bus, &kept, &id));
    assert_int_equal(bus_abandon(world.bus, 7), 1);
    struct bus_stats stats;
    bus_stats(world.bus, &stats);
    assert_int_equal(stats.ended, 1);
    pass_cleanup(&world, &clock);
    bus_stats(world.bus, &stats);
    assert_int_equal(stats.ended, 0);
    assert_status_ok(bus_unsubscribe(world.bus, id));
    world_close(&world);
}

/* --- watching --- */

static struct test_stream *watch(struct world *world, const char *id)
{
    Strata__V1__WatchOperationRequest request = STRATA__V1__WATCH_OPERATION_REQUEST__INIT;
    request.id = T(id);
    return test_stream_open(world->table, METHOD_SYSTEM_SERVICE_WATCH_OPERATION, &request.base, 0);
}

/* The state that the next message says; 0 at the end. */
static int watch_read(struct test_stream *stream)
{
    struct bytes bytes;
    if (!test_stream_read(stream, &bytes))
        return 0;
    Strata__V1__Operation *operation = strata__v1__operation__unpack(NULL, bytes.size_bytes, bytes.data);
    assert_non_null(operation);
    const int now = (int)operation->state;
    test_message_free(operation);
    free((void *)(uintptr_t)bytes.data);
    return now;
}

static void test_a_watch_sees_the_end_and_ends(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    struct test_stream *stream = watch(world, started->id);
    assert_int_equal(watch_read(stream), RUNNING);
    gate_open();
    int now = RUNNING;
    while (now == RUNNING)
        now = watch_read(stream);
    assert_int_equal(now, SUCCEEDED);
    assert_int_equal(watch_read(stream), 0);
    assert_status_ok(test_stream_close(stream));
    /* One that ended before, or before the last restart, is shown once. */
    world_restart(world, NULL, &system_clock);
    stream = watch(world, started->id);
    assert_int_equal(watch_read(stream), SUCCEEDED);
    assert_int_equal(watch_read(stream), 0);
    assert_status_ok(test_stream_close(stream));
    test_message_free(started);
}

static void test_a_watcher_that_goes_ends_nothing_but_his_watch(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    struct test_stream *stream = watch(world, started->id);
    assert_int_equal(watch_read(stream), RUNNING);
    test_stream_cancel(stream);
    assert_status(test_stream_close(stream), STATUS_CANCELLED);
    gate_open();
    assert_ended(wait_operation(world, started), SUCCEEDED);
}

static void test_a_watch_is_told_when_the_service_stops(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    gate_close(0);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    struct test_stream *stream = watch(world, started->id);
    assert_int_equal(watch_read(stream), RUNNING);
    world_stop_at_gate(world, started->id);
    while (watch_read(stream) != 0)
        continue;
    assert_status(test_stream_close(stream), STATUS_UNAVAILABLE);
    world_restart(world, NULL, &system_clock);
    assert_ended(wait_operation(world, started), SUCCEEDED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_started_one_is_answered_at_once_and_found_until_its_end),
        CASE(test_start_answers_202_and_a_mere_check_200),
        CASE(test_one_of_a_kind_runs_at_a_time),
        CASE(test_an_unknown_one_is_not_found),
        CASE(test_one_that_cannot_be_recorded_is_not_started),
        CASE(test_a_cancelled_one_has_ended_when_the_answer_comes_and_stays_so),
        CASE(test_cancelling_one_that_has_ended_changes_nothing),
        CASE(test_another_starts_while_a_cancelled_one_comes_to_its_end),
        CASE(test_a_running_one_goes_on_after_a_restart_from_where_it_was),
        cmocka_unit_test(test_a_running_one_is_recorded_each_second),
        CASE(test_an_ended_one_is_known_after_a_restart),
        CASE(test_a_foreign_record_is_no_reason_not_to_start),
        CASE(test_a_list_shows_the_newest_first_in_pages),
        CASE(test_the_oldest_goes_when_there_are_too_many),
        cmocka_unit_test(test_an_ended_one_is_forgotten_after_a_day),
        cmocka_unit_test(test_abandoned_handlers_are_forgotten_with_the_time),
        CASE(test_a_watch_sees_the_end_and_ends),
        CASE(test_a_watcher_that_goes_ends_nothing_but_his_watch),
        CASE(test_a_watch_is_told_when_the_service_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
