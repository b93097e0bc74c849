/* Appends that the domain looks at: order and verdicts under concurrency. */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state)
{
    static struct world world;
    world_open(&world, NULL);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

#define USER_DATA                                                                                            \
    "{\"user_id\":\"u\",\"email\":\"a@b.de\",\"first_name\":\"A\",\"last_name\":\"B\",\"role\":\"user\"}"

static Strata__V1__PublishEventRequest user_created(const char *id)
{
    static char data[128];
    snprintf(
        data, sizeof data,
        "{\"user_id\":\"%s\",\"email\":\"a@b.de\",\"first_name\":\"A\",\"last_name\":\"B\",\"role\":\"user\"}",
        id);
    return publish_request("user_created", id, "user", data);
}

static Strata__V1__PublishEventRequest user_updated(const char *id)
{
    static char data[128];
    snprintf(data, sizeof data, "{\"user_id\":\"%s\",\"email\":\"c@d.de\"}", id);
    return publish_request("user_updated", id, "user", data);
}

static void test_a_rule_refuses_and_leaves_no_trace(void **state)
{
    struct world *world = *state;
    struct status status;
    Strata__V1__PublishEventRequest request = user_created("u");
    request.id = T("first");
    test_message_free(publish(world, &request, NULL));
    Strata__V1__PublishEventRequest second = user_created("u");
    assert_null(publish(world, &second, &status));
    assert_int_equal(status.reason, REASON_TRANSITION_REFUSED);
    assert_int_equal(world_head(world), 1);
    Strata__V1__PublishEventResponse *again =
        publish(world, &request, NULL); /* a replay wins over the rule */
    assert_true(again->replayed);
    test_message_free(again);
}

#define PUBLISHERS 256

static void test_concurrent_publishers_of_any_are_never_refused(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = user_created("u");
    test_message_free(publish(world, &request, NULL));
    struct test_pending *pending[PUBLISHERS];
    for (int round = 0; round < 4; round++) {
        request = user_updated("u");
        /* Every fourth is not looked at by a rule, yet changes the version. */
        Strata__V1__PublishEventRequest free_request = publish_request("custom", "u", "user", "{}");
        for (int i = 0; i < PUBLISHERS; i++)
            pending[i] = test_call_begin(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT,
                                         i % 4 == 3 ? &free_request.base : &request.base);
        int32_t before = 0;
        for (int i = 0; i < PUBLISHERS; i++) {
            struct test_reply reply = test_call_end(pending[i]);
            assert_status_ok(reply.status);
            Strata__V1__PublishEventResponse *response =
                test_reply_message(&reply, &strata__v1__publish_event_response__descriptor);
            if (i % 4 != 3) { /* in the order of their arrival */
                assert_true(response->event->version > before);
                before = response->event->version;
            }
            test_message_free(response);
            test_reply_done(&reply);
        }
    }
    assert_int_equal(world_head(world), 1 + 4 * PUBLISHERS);
    Strata__V1__Aggregate *user = get_state(world, "u");
    assert_int_equal(user->version, 1 + 4 * PUBLISHERS);
    test_message_free(user);
}

static void test_exact_versions_let_one_of_many_win(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = user_created("u");
    test_message_free(publish(world, &request, NULL));
    for (int32_t version = 2; version <= 9; version++) {
        struct test_pending *pending[100];
        request = user_updated("u");
        request._version_case = STRATA__V1__PUBLISH_EVENT_REQUEST___VERSION_VERSION;
        request.version = version;
        for (int i = 0; i < 100; i++)
            pending[i] = test_call_begin(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
        int won = 0;
        for (int i = 0; i < 100; i++) {
            struct test_reply reply = test_call_end(pending[i]);
            won += status_is_ok(&reply.status);
            if (!status_is_ok(&reply.status)) {
                assert_int_equal(reply.status.reason, REASON_VERSION_CONFLICT);
                assert_int_equal(reply.status.current_version, version);
            }
            test_reply_done(&reply);
        }
        assert_int_equal(won, 1);
    }
}

static void test_replays_among_others_cost_nobody_their_append(void **state)
{
    struct world *world = *state;
    Strata__V1__PublishEventRequest request = user_created("u");
    test_message_free(publish(world, &request, NULL));
    struct test_pending *pending[PUBLISHERS];
    char keys[PUBLISHERS][16];
    for (int i = 0; i < PUBLISHERS; i++) {
        request = user_updated("u");
        snprintf(keys[i], sizeof keys[i], "key-%d", i / 2); /* each twice: the second is a replay */
        request.idempotency_key = keys[i];
        pending[i] = test_call_begin(world->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &request.base);
    }
    int replayed = 0;
    for (int i = 0; i < PUBLISHERS; i++) {
        struct test_reply reply = test_call_end(pending[i]);
        assert_status_ok(reply.status);
        Strata__V1__PublishEventResponse *response =
            test_reply_message(&reply, &strata__v1__publish_event_response__descriptor);
        replayed += response->replayed;
        test_message_free(response);
        test_reply_done(&reply);
    }
    assert_int_equal(replayed, PUBLISHERS / 2);
    assert_int_equal(world_head(world), 1 + PUBLISHERS / 2);
}

/* Appends over overlapping pairs of aggregates, from several threads: each waits in two lanes. */
#define RING_USERS  5
#define RING_ROUNDS 40

struct ring_thread {
    struct world *world;
    int offset;
    int failures;
};

static void *ring_main(void *context)
{
    struct ring_thread *thread = context;
    for (int i = 0; i < RING_ROUNDS; i++) {
        char ids[2][8];
        char data[2][64];
        Strata__V1__NewEvent events[2];
        Strata__V1__NewEvent *list[2];
        for (int j = 0; j < 2; j++) {
            snprintf(ids[j], sizeof ids[j], "u%d", (thread->offset + i + j) % RING_USERS);
            snprintf(data[j], sizeof data[j], "{\"user_id\":\"%s\",\"email\":\"c@d.de\"}", ids[j]);
            events[j] = (Strata__V1__NewEvent)STRATA__V1__NEW_EVENT__INIT;
            events[j].type = T("user_updated");
            events[j].aggregate_id = ids[j];
            events[j].data = json(data[j]);
            list[j] = &events[j];
        }
        Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
        request.events = list;
        request.n_events = 2;
        struct test_reply reply =
            test_call(thread->world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base);
        thread->failures += !status_is_ok(&reply.status);
        test_reply_done(&reply);
    }
    return NULL;
}

static void test_appends_over_several_lanes_do_not_block_each_other(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < RING_USERS; i++) {
        char id[8];
        snprintf(id, sizeof id, "u%d", i);
        const Strata__V1__PublishEventRequest request = user_created(id);
        test_message_free(publish(world, &request, NULL));
    }
    struct ring_thread threads[6];
    pthread_t handles[6];
    for (int i = 0; i < 6; i++) {
        threads[i] = (struct ring_thread){world, i, 0};
        assert_int_equal(pthread_create(&handles[i], NULL, ring_main, &threads[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(handles[i], NULL);
        assert_int_equal(threads[i].failures, 0);
    }
    assert_int_equal(world_head(world), RING_USERS + 6 * RING_ROUNDS * 2);
}

/* Events of one append are checked one after the other. */
static void test_events_of_one_append_follow_each_other(void **state)
{
    struct world *world = *state;
    Strata__V1__NewEvent created = STRATA__V1__NEW_EVENT__INIT;
    created.type = T("user_created");
    created.aggregate_id = T("u");
    created.aggregate_type = T("user");
    created.data = json(USER_DATA);
    Strata__V1__NewEvent deleted = created;
    deleted.type = T("user_deleted");
    deleted.data = json("{\"user_id\":\"u\",\"reason\":\"x\",\"deleted_by\":\"y\"}");
    Strata__V1__NewEvent updated = created;
    updated.type = T("user_updated");
    updated.data = json("{\"user_id\":\"u\",\"email\":\"c@d.de\"}");
    Strata__V1__NewEvent *wrong[] = {&created, &deleted, &updated};
    Strata__V1__NewEvent *right[] = {&created, &updated, &deleted};
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = wrong;
    request.n_events = 3;
    struct test_reply reply = test_call(world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base);
    assert_int_equal(reply.status.reason, REASON_TRANSITION_REFUSED);
    test_reply_done(&reply);
    request.events = right;
    reply = test_call(world->table, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base);
    assert_status_ok(reply.status);
    test_reply_done(&reply);
    assert_int_equal(world_head(world), 3);
}

/* --- a foreign write between a lane's look and its append --- */

struct foreign {
    struct append append; /* first: found from it */
    struct append_event event;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    enum append_outcome_kind kind;
};

static void foreign_done(struct append *append, const struct append_outcome *outcome)
{
    struct foreign *foreign = (struct foreign *)append;
    pthread_mutex_lock(&foreign->lock);
    foreign->kind = outcome->kind;
    foreign->done = true;
    pthread_cond_signal(&foreign->changed);
    pthread_mutex_unlock(&foreign->lock);
}

/* As another replica would: past the service and its lanes. */
static void delete_user_behind_the_back(struct writer *writer, const char *id)
{
    struct foreign foreign = {.event = {.id = BYTES_LITERAL("foreign-1"),
                                        .type = BYTES_LITERAL("user_deleted"),
                                        .aggregate_id = bytes_of_text(id),
                                        .data = BYTES_LITERAL("{}")}};
    foreign.append = (struct append){.append_id = BYTES_LITERAL("foreign-1"),
                                     .events = &foreign.event,
                                     .event_count = 1,
                                     .encoded_bytes = 200,
                                     .on_done = foreign_done};
    pthread_mutex_init(&foreign.lock, NULL);
    pthread_cond_init(&foreign.changed, NULL);
    assert_status_ok(writer_submit(writer, &foreign.append));
    pthread_mutex_lock(&foreign.lock);
    while (!foreign.done)
        pthread_cond_wait(&foreign.changed, &foreign.lock);
    pthread_mutex_unlock(&foreign.lock);
    assert_int_equal(foreign.kind, APPEND_ACCEPTED);
    pthread_cond_destroy(&foreign.changed);
    pthread_mutex_destroy(&foreign.lock);
}

static struct {
    const struct event_store_ops *real;
    struct event_store_ops ops;
    struct writer *writer;
    atomic_bool armed;
} hook;

/* A round asks for a client's id after it has read the state and before it submits. */
static struct status hooked_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    if (bytes_equal(event_id, BYTES_LITERAL("unchecked-1")) && atomic_exchange(&hook.armed, false))
        delete_user_behind_the_back(hook.writer, "u");
    return hook.real->find_id(store, event_id, ret_position);
}

/* An append without a verdict is accepted at whatever version: what the lane made of it must then be dropped, or the
 * foreign event would never be folded. */
static void test_an_unchecked_append_at_another_version_costs_the_lane_its_state(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    hook.real = world.store->ops;
    hook.ops = *world.store->ops;
    hook.ops.find_id = hooked_find_id;
    hook.writer = world.writer;
    atomic_store(&hook.armed, true);
    world.store->ops = &hook.ops;
    Strata__V1__PublishEventRequest request = user_created("u");
    test_message_free(publish(&world, &request, NULL));

    char *types[] = {T("nothing")};
    Strata__V1__QueryItem item = STRATA__V1__QUERY_ITEM__INIT;
    item.types = types;
    item.n_types = 1;
    Strata__V1__QueryItem *items[] = {&item};
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    query.items = items;
    query.n_items = 1;
    Strata__V1__AppendCondition condition = STRATA__V1__APPEND_CONDITION__INIT; /* brings it into the lane */
    condition.fail_if_match = &query;
    Strata__V1__NewEvent event = STRATA__V1__NEW_EVENT__INIT;
    event.id = T("unchecked-1");
    event.type = T("custom");
    event.aggregate_id = T("u");
    Strata__V1__NewEvent *events[] = {&event};
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    append.events = events;
    append.n_events = 1;
    append.condition = &condition;
    Strata__V1__AppendEventsResponse *response =
        call_method_of(&world, METHOD_EVENT_SERVICE_APPEND_EVENTS, &append.base,
                       &strata__v1__append_events_response__descriptor, NULL);
    assert_int_equal(response->heads[0]->version, 3);
    test_message_free(response);
    assert_false(atomic_load(&hook.armed));

    struct status status;
    request = user_updated("u");
    assert_null(publish(&world, &request, &status));
    assert_int_equal(status.reason, REASON_TRANSITION_REFUSED);
    assert_int_equal(world_head(&world), 3);
    world_close(&world);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_rule_refuses_and_leaves_no_trace),
        CASE(test_concurrent_publishers_of_any_are_never_refused),
        CASE(test_exact_versions_let_one_of_many_win),
        CASE(test_replays_among_others_cost_nobody_their_append),
        CASE(test_appends_over_several_lanes_do_not_block_each_other),
        CASE(test_events_of_one_append_follow_each_other),
        CASE(test_an_unchecked_append_at_another_version_costs_the_lane_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
