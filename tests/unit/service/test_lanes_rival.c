/* A lane beside another replica: what it has checked is out of date again and again. */
#include "world.h"

#include <stdatomic.h>
#include <time.h>

#include "contract/store_driver.h"

#define ROUNDS 8 /* after so many a checked append is given up */

/* Another replica over the same store: it appends to "u" just before the writer learns what the store holds. */
static struct {
    const struct event_store_ops *real;
    struct event_store_ops ops;
    struct store_driver driver;
    bool at_work;
    int appends_left; /* set while the writer rests */
    int appended;
    bool cancels;        /* order "o", instead of an event of "u" */
    atomic_bool held;    /* the writer waits at its next facts, and the rival lets that batch pass */
    atomic_bool reached; /* it waits there */
} rival;

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static struct append_event rival_event(void)
{
    if (!rival.cancels)
        return numbered_event(&rival.driver, ++rival.appended, "u", "custom", "user");
    struct append_event event =
        numbered_event(&rival.driver, ++rival.appended, "o", "order_status_changed", "order");
    event.data = BYTES_LITERAL("{\"new_status\":\"cancelled\"}");
    return event;
}

static struct status rival_facts(struct event_store *store, const struct facts_request *request,
                                 struct arena *arena, struct facts *ret)
{
    if (atomic_load(&rival.held)) {
        atomic_store(&rival.reached, true);
        while (atomic_load(&rival.held))
            rest();
        return rival.real->facts(store, request, arena, ret);
    }
    if (!rival.at_work && rival.appends_left > 0) {
        rival.at_work = true;
        rival.appends_left--;
        const struct append_event event = rival_event();
        const struct append append = sample_append(&event, 1);
        assert_int_equal(store_driver_append(&rival.driver, &append).kind, APPEND_ACCEPTED);
        rival.at_work = false;
    }
    return rival.real->facts(store, request, arena, ret);
}

static int set_up(void **state)
{
    static struct world world;
    struct world_stores stores;
    assert_status_ok(memory_store_open(&system_clock, &stores.store));
    assert_status_ok(memory_snapshots_open(0, &stores.snapshots));
    assert_status_ok(memory_snapshots_open(1000, &stores.cache));
    rival.real = stores.store->ops;
    rival.ops = *rival.real;
    rival.ops.facts = rival_facts;
    rival.appends_left = 0;
    rival.appended = 0;
    rival.cancels = false;
    atomic_store(&rival.reached, false);
    stores.store->ops = &rival.ops;
    stores.store->pipelined = false; /* as every engine that several may write to */
    store_driver_init(&rival.driver, stores.store);
    world_open_over(&world, NULL, &system_clock, &stores);
    Strata__V1__PublishEventRequest request =
        publish_request("user_created", "u", "user", "{\"user_id\":\"u\"}");
    test_message_free(publish(&world, &request, NULL));
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    store_driver_done(&rival.driver);
    return 0;
}

/* What a checked event is answered when the rival comes before it `times` times. */
static int32_t update(struct world *world, int times, struct status *ret_status)
{
    Strata__V1__PublishEventRequest request = publish_request("user_updated", "u", "user", "{\"x\":1}");
    rival.appends_left = times;
    *ret_status = status_ok();
    Strata__V1__PublishEventResponse *response = publish(world, &request, ret_status);
    const int32_t version = response == NULL ? STATUS_VERSION_NONE : response->event->version;
    if (response != NULL)
        test_message_free(response);
    return version;
}

static void test_it_is_checked_again_after_each_foreign_append(void **state)
{
    struct status status;
    assert_int_equal(update(*state, ROUNDS - 1, &status), 1 + (ROUNDS - 1) + 1);
    assert_status_ok(status);
    assert_int_equal(rival.appends_left, 0);
}

static void test_it_is_given_up_after_eight_of_them(void **state)
{
    struct status status;
    assert_int_equal(update(*state, ROUNDS, &status), STATUS_VERSION_NONE);
    assert_int_equal(status.code, STATUS_ABORTED);
    assert_int_equal(status.reason, REASON_REVALIDATE_EXHAUSTED);
    assert_int_equal(world_head(*state), 1 + ROUNDS); /* nothing of it was recorded */
    assert_int_equal(update(*state, 0, &status), 1 + ROUNDS + 1);
    assert_status_ok(status);
}

/* The verdict is that of the state as it is at last. */
static void test_a_foreign_append_changes_the_verdict(void **state)
{
    struct world *world = *state;
    struct status status;
    Strata__V1__PublishEventRequest request = publish_request("user_deleted", "u", "user", "{}");
    test_message_free(publish(world, &request, NULL));
    assert_int_equal(update(world, 3, &status), STATUS_VERSION_NONE);
    assert_int_equal(status.reason, REASON_TRANSITION_REFUSED);
    assert_int_equal(rival.appends_left, 0);
}

static struct test_pending *move_begin(struct world *world, const char *data)
{
    const Strata__V1__PublishEventRequest request =
        publish_request("order_status_changed", "o", "order", data);
    return test_call_begin(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
}

static struct status move_end(struct test_pending *pending)
{
    struct test_reply reply = test_call_end(pending);
    const struct status status = reply.status;
    test_reply_done(&reply);
    return status;
}

/* Two moves that wait behind another one are judged together: the second on what the first was to make of the order. The
 * rival's event takes the version that was meant for the first: the second's is right, and what stands there is not. */
static void test_a_verdict_on_a_predecessor_that_did_not_come_is_none(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest created =
        publish_request("order_created", "o", "order", "{\"order_id\":\"o\"}");
    test_message_free(publish(world, &created, NULL));
    const int64_t before = world_head(world);
    atomic_store(&rival.held, true);
    struct test_pending *confirmed = move_begin(world, "{\"new_status\":\"confirmed\"}");
    while (!atomic_load(&rival.reached))
        rest();
    struct test_pending *paid = move_begin(world, "{\"new_status\":\"paid\"}");
    struct test_pending *shipped = move_begin(world, "{\"new_status\":\"shipped\"}");
    rival.cancels = true;
    rival.appends_left = 1;
    atomic_store(&rival.held, false);
    assert_status_ok(move_end(confirmed));
    assert_reason(move_end(paid), REASON_TRANSITION_REFUSED);
    assert_reason(move_end(shipped), REASON_TRANSITION_REFUSED);
    assert_int_equal(rival.appends_left, 0);
    assert_int_equal(world_head(world), before + 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_it_is_checked_again_after_each_foreign_append),
        CASE(test_it_is_given_up_after_eight_of_them),
        CASE(test_a_foreign_append_changes_the_verdict),
        CASE(test_a_verdict_on_a_predecessor_that_did_not_come_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
