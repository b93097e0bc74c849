/* Operations of two services on one store that says others may write to it: one runs each, both know of all. */
#include "operations_world.h"

#include "support/manual_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "service/operation_store_internal.h"

#define LOOKS_MAX 60000 /* of a millisecond */

static struct manual_clock clock_of_leases;
static atomic_bool list_fails;
static atomic_int listings;

/* The threads whose listing has failed: the keepers. */
static struct {
    pthread_mutex_t lock;
    pthread_t threads[2];
    size_t count;
} refused = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void refused_note(void)
{
    const pthread_t self = pthread_self();
    pthread_mutex_lock(&refused.lock);
    if (refused.count < 2 && (refused.count == 0 || !pthread_equal(refused.threads[0], self)))
        refused.threads[refused.count++] = self;
    pthread_mutex_unlock(&refused.lock);
}

static size_t refused_count(void)
{
    pthread_mutex_lock(&refused.lock);
    const size_t count = refused.count;
    pthread_mutex_unlock(&refused.lock);
    return count;
}

static struct status counting_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                   state_sink sink, void *context)
{
    if (atomic_load(&list_fails)) {
        refused_note();
        return status_reason(REASON_STORE_UNREACHABLE, "nobody answers");
    }
    atomic_fetch_add(&listings, 1);
    return gate_inner()->state_list(store, prefix, after_key, sink, context);
}

static struct pair {
    struct world a;
    struct world b;
    bool b_is_open;
} worlds;

static const struct service_options options = {.name = "test",
                                               .version = "1",
                                               .security_mode = "development",
                                               .store_id = "main",
                                               .cache_kind = "memory",
                                               .holder = "a",
                                               .operation_look_us = 5000};

static void open_beside(struct world *world, const struct world *other, const struct clock *clock)
{
    const struct world_stores stores = {other->store, other->snapshots, other->cache};
    struct service_options others = options;
    others.holder = NULL; /* its own, new each time */
    world_open_over(world, &others, clock, &stores);
}

static void open_both(const struct clock *clock)
{
    gated_world_open_shared(&worlds.a, &options, clock);
    gate_state_list_by(counting_list);
    open_beside(&worlds.b, &worlds.a, clock);
    worlds.b_is_open = true;
}

static int set_up(void **state)
{
    clock_of_leases = manual_clock_at_us(INT64_C(1700000000000000));
    open_both(&clock_of_leases.clock);
    *state = &worlds;
    return 0;
}

static int set_up_in_time(void **state)
{
    open_both(&system_clock);
    *state = &worlds;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    gate_open(); /* a failed test may have left it closed, and somebody waiting */
    atomic_store(&list_fails, false);
    if (pair->b_is_open)
        world_leave(&pair->b);
    world_close(&pair->a);
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

static struct bytes key_of(const char *prefix, const char *id, char text[80])
{
    const int length = snprintf(text, 80, "%s%s", prefix, id);
    return bytes_of(text, (size_t)length);
}

static bool is_stored(const char *prefix, const char *id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct event_store *store = worlds.a.store;
    struct bytes value;
    char text[80];
    return store->ops->state_get(store, key_of(prefix, id, text), arena, &value).code == STATUS_OK;
}

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

/* Until both keepers have listed what there is, and looked at it, twice at least. */
static void wait_for_looks(void)
{
    const int wanted = atomic_load(&listings) + 16;
    for (int looks = 0; atomic_load(&listings) < wanted; looks++) {
        if (looks == LOOKS_MAX)
            fail_msg("nobody looks at the operations of others");
        rest();
    }
}

/* Until both have failed to list. A keeper does not list each time it looks, and may still go on with what it knows. */
static void wait_for_refusals(void)
{
    for (int looks = 0; refused_count() < 2; looks++) {
        if (looks == LOOKS_MAX)
            fail_msg("nobody lists the operations of others");
        rest();
    }
}

/* Which holder has an operation's lease: a look that takes it only if it is free. */
static enum status_code lease_of(const char *id, const char *holder, int64_t *ret_epoch)
{
    struct event_store *store = worlds.a.store;
    struct lease lease = {0};
    char text[80];
    const struct status status = store->ops->lease(store, key_of("operation/", id, text),
                                                   bytes_of_text(holder), OPERATION_LEASE_TTL_MS, &lease);
    *ret_epoch = lease.epoch;
    return status.code;
}

static Strata__V1__Operation *start_at_gate(struct world *world)
{
    gate_close(0);
    Strata__V1__Operation *started = start_verify(world, 0, none);
    gate_wait_reached(1);
    return started;
}

static void test_each_sees_what_the_other_runs(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 1);
    Strata__V1__Operation *started = start_at_gate(&pair->a);
    Strata__V1__Operation *seen = get_operation(&pair->b, started->id, NULL);
    assert_int_equal(seen->state, RUNNING);
    assert_int_equal(seen->total, 1000);
    assert_string_equal(seen->started_by, "anonymous");
    test_message_free(seen);
    Strata__V1__ListOperationsRequest request = STRATA__V1__LIST_OPERATIONS_REQUEST__INIT;
    Strata__V1__ListOperationsResponse *all =
        call_method_of(&pair->b, METHOD_SYSTEM_SERVICE_LIST_OPERATIONS, &request.base,
                       &strata__v1__list_operations_response__descriptor, NULL);
    assert_int_equal(all->n_operations, 1);
    assert_string_equal(all->operations[0]->id, started->id);
    test_message_free(all);
    gate_open();
    started = wait_operation(&pair->b, started);
    assert_string_equal(result_of(started, "events"), "1000");
    assert_ended(get_operation(&pair->a, started->id, NULL), SUCCEEDED);
    assert_ended(started, SUCCEEDED);
}

static void test_one_of_a_kind_runs_in_all_of_them(void **state)
{
    struct pair *pair = *state;
    (void)publish_custom(&pair->a, "a", "{}");
    Strata__V1__Operation *first = start_at_gate(&pair->a);
    Strata__V1__Verify verify = STRATA__V1__VERIFY__INIT;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
    request.verify = &verify;
    struct status status;
    assert_null(start_operation(&pair->b, &request, &status));
    assert_int_equal(status.reason, REASON_OPERATION_RUNNING);
    assert_non_null(strstr(status.message, first->id));
    assert_ended(wait_operation(&pair->b, start_rebuild(&pair->b, "cache")), SUCCEEDED);
    gate_open();
    assert_ended(wait_operation(&pair->b, first), SUCCEEDED);
    assert_ended(wait_operation(&pair->b, start_verify(&pair->b, 0, none)), SUCCEEDED);
}

/* The epoch that the next holder of its lease gets, when it is free. */
static int64_t next_epoch(const char *id)
{
    int64_t epoch = 0;
    for (int looks = 0; lease_of(id, "anybody", &epoch) != STATUS_OK; looks++) {
        if (looks == LOOKS_MAX)
            fail_msg("the lease of an operation is not given back");
        rest();
    }
    return epoch;
}

/* There are many operations, and nobody takes the lease of one that has ended. */
static void test_nothing_is_left_of_the_lease_of_one_that_has_ended(void **state)
{
    struct pair *pair = *state;
    (void)publish_custom(&pair->a, "a", "{}");
    Strata__V1__Operation *ended = wait_operation(&pair->a, start_verify(&pair->a, 0, none));
    Strata__V1__Operation *cancelled = start_at_gate(&pair->a);
    test_message_free(cancel_operation(&pair->b, cancelled->id, NULL));
    gate_open();
    assert_int_equal(next_epoch(ended->id), 1); /* as if there had been none */
    assert_int_equal(next_epoch(cancelled->id), 1);
    assert_ended(ended, SUCCEEDED);
    test_message_free(cancelled);
}

/* Its thread hears of it, and what it records later does not undo it. */
static void test_a_cancel_at_the_other_reaches_the_one_that_runs(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 1);
    Strata__V1__Operation *started = start_at_gate(&pair->a);
    assert_ended(cancel_operation(&pair->b, started->id, NULL), CANCELLED);
    assert_ended(get_operation(&pair->b, started->id, NULL), CANCELLED);
    assert_ended(get_operation(&pair->a, started->id, NULL), CANCELLED);
    assert_ended(cancel_operation(&pair->a, started->id, NULL), CANCELLED); /* once more changes nothing */
    gate_open();
    for (int looks = 0; is_stored("operation-cancel/", started->id); looks++) {
        if (looks == LOOKS_MAX)
            fail_msg("the runner has not recorded the cancel");
        rest();
    }
    assert_int_equal(gate_calls(), 1); /* it stopped where it was */
    assert_ended(get_operation(&pair->b, started->id, NULL), CANCELLED);
    assert_ended(wait_operation(&pair->b, start_verify(&pair->b, 0, none)), SUCCEEDED);
    test_message_free(started);
}

static void test_cancelling_what_has_ended_elsewhere_changes_nothing(void **state)
{
    struct pair *pair = *state;
    Strata__V1__Operation *ended = wait_operation(&pair->a, start_verify(&pair->a, 0, none));
    assert_ended(cancel_operation(&pair->b, ended->id, NULL), SUCCEEDED);
    assert_false(is_stored("operation-cancel/", ended->id));
    assert_ended(get_operation(&pair->a, ended->id, NULL), SUCCEEDED);
    struct status status;
    assert_null(cancel_operation(&pair->b, "01890a5d-ac96-774b-bcce-b302099a8057", &status));
    assert_int_equal(status.reason, REASON_OPERATION_UNKNOWN);
    test_message_free(ended);
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

static void test_a_watch_follows_what_the_other_runs(void **state)
{
    struct pair *pair = *state;
    (void)publish_custom(&pair->a, "a", "{}");
    Strata__V1__Operation *started = start_at_gate(&pair->a);
    Strata__V1__WatchOperationRequest request = STRATA__V1__WATCH_OPERATION_REQUEST__INIT;
    request.id = started->id;
    struct test_stream *stream =
        test_stream_open(pair->b.table, METHOD_SYSTEM_SERVICE_WATCH_OPERATION, &request.base, 0);
    assert_int_equal(watch_read(stream), RUNNING);
    gate_open();
    int last = RUNNING;
    for (int now = last; now != 0; now = watch_read(stream))
        last = now;
    assert_int_equal(last, SUCCEEDED);
    assert_status_ok(test_stream_close(stream));
    test_message_free(started);
}

/* --- whose process ends --- */

/* A clean stop gives the lease back: nobody waits for its end. */
static void test_what_a_stopped_one_leaves_the_other_goes_on_with(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 5);
    gate_close(3000);
    Strata__V1__Operation *started = start_verify(&pair->b, 0, none);
    gate_wait_reached(1);
    world_stop_at_gate(&pair->b, started->id);
    world_leave(&pair->b);
    pair->b_is_open = false;
    Strata__V1__Operation *ended = wait_operation(&pair->a, started);
    assert_string_equal(ended->message, "went on at 2000 of 5000 after a restart");
    assert_string_equal(result_of(ended, "events"), "5000");
    assert_int_equal(next_epoch(ended->id), 1); /* of whoever ended it */
    assert_ended(ended, SUCCEEDED);
}

/* The record and the lease of a process that has died: as one was when it began. */
static char *orphan(struct pair *pair)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct event_store *store = pair->a.store;
    struct operation *operation = NULL;
    struct bytes record;
    char text[80];
    Strata__V1__Operation *started = start_at_gate(&pair->a);
    assert_status_ok(store->ops->state_get(store, key_of("operation/", started->id, text), arena, &record));
    gate_open();
    test_message_free(wait_operation(&pair->a, started));
    assert_status_ok(operation_decode(record, &operation));
    operation->id[35] = operation->id[35] == '0' ? '1' : '0';
    struct buffer changed = buffer_make(0);
    assert_status_ok(operation_encode(operation, &changed));
    int64_t epoch = 0;
    assert_int_equal(lease_of(operation->id, "the dead", &epoch), STATUS_OK);
    assert_status_ok(
        store->ops->state_put(store, key_of("operation/", operation->id, text), buffer_bytes(&changed)));
    char *id = strdup(operation->id);
    buffer_done(&changed);
    operation_free(operation);
    return id;
}

static void test_what_a_dead_one_leaves_goes_on_when_its_lease_has_ended(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 1);
    char *id = orphan(pair);
    wait_for_looks();
    gate_close(INT64_MAX);
    Strata__V1__Operation *operation = get_operation(&pair->b, id, NULL);
    assert_int_equal(operation->state, RUNNING);
    assert_null(strstr(operation->message, "went on")); /* its process may be alive */
    manual_clock_advance_ms(&clock_of_leases, OPERATION_LEASE_TTL_MS);
    operation = wait_operation(&pair->b, operation);
    assert_non_null(strstr(operation->message, "went on"));
    assert_ended(operation, SUCCEEDED);
    wait_for_looks();
    assert_int_equal(gate_calls(), 1000); /* one of the two took it, once */
    free(id);
}

static void test_a_cancelled_one_of_a_dead_process_is_not_gone_on_with(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 1);
    char *id = orphan(pair);
    assert_ended(cancel_operation(&pair->a, id, NULL), CANCELLED);
    assert_ended(get_operation(&pair->b, id, NULL), CANCELLED);
    wait_for_looks();
    manual_clock_advance_ms(&clock_of_leases, OPERATION_LEASE_TTL_MS);
    wait_for_looks();
    assert_ended(get_operation(&pair->b, id, NULL), CANCELLED);
    int64_t epoch = 0;
    assert_int_equal(lease_of(id, "anybody", &epoch), STATUS_OK);
    assert_int_equal(epoch, 2); /* nobody took it */
    free(id);
}

/* It was held up for so long that the other went on: it stops, and records nothing any more. */
static void test_who_is_late_stops_and_leaves_the_record_to_the_other(void **state)
{
    struct pair *pair = *state;
    struct event_store *store = pair->a.store;
    char text[80];
    int64_t epoch = 0;
    world_leave(&pair->b); /* which might be the other */
    pair->b_is_open = false;
    (void)publish_custom(&pair->a, "a", "{}");
    Strata__V1__Operation *started = start_at_gate(&pair->a);
    assert_status_ok(store->ops->lease_release(store, key_of("operation/", started->id, text),
                                               bytes_of_text(options.holder), 1));
    assert_int_equal(lease_of(started->id, "a third", &epoch), STATUS_OK);
    manual_clock_advance_ms(&clock_of_leases, OPERATION_LEASE_RENEW_US / 1000);
    wait_for_looks();
    gate_open();
    wait_for_looks();
    assert_int_equal(gate_calls(), 1);
    Strata__V1__Operation *seen = get_operation(&pair->a, started->id, NULL);
    assert_int_equal(seen->state, RUNNING); /* at the third */
    test_message_free(seen);
    test_message_free(started);
}

/* --- a store that cannot be reached --- */

static void test_what_could_not_be_read_at_the_start_goes_on_later(void **state)
{
    struct pair *pair = *state;
    append_thousands(&pair->a, 5);
    gate_close(3000);
    Strata__V1__Operation *started = start_verify(&pair->b, 0, none);
    gate_wait_reached(1);
    atomic_store(&list_fails, true);
    wait_for_refusals();
    world_stop_at_gate(&pair->b, started->id);
    world_leave(&pair->b);
    open_beside(&pair->b, &pair->a, &clock_of_leases.clock);
    Strata__V1__Operation *seen = get_operation(&pair->b, started->id, NULL);
    assert_int_equal(seen->state, RUNNING);
    assert_int_equal(seen->done, 2000);
    test_message_free(seen);
    atomic_store(&list_fails, false);
    assert_ended(wait_operation(&pair->b, started), SUCCEEDED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_each_sees_what_the_other_runs),
        CASE(test_one_of_a_kind_runs_in_all_of_them),
        CASE(test_nothing_is_left_of_the_lease_of_one_that_has_ended),
        CASE(test_a_cancel_at_the_other_reaches_the_one_that_runs),
        CASE(test_cancelling_what_has_ended_elsewhere_changes_nothing),
        cmocka_unit_test_setup_teardown(test_a_watch_follows_what_the_other_runs, set_up_in_time, tear_down),
        CASE(test_what_a_stopped_one_leaves_the_other_goes_on_with),
        CASE(test_what_a_dead_one_leaves_goes_on_when_its_lease_has_ended),
        CASE(test_a_cancelled_one_of_a_dead_process_is_not_gone_on_with),
        CASE(test_who_is_late_stops_and_leaves_the_record_to_the_other),
        CASE(test_what_could_not_be_read_at_the_start_goes_on_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
