#include "world.h"

#include <time.h>

#include "bus/subscribers.h"

static void test_health_is_degraded_near_a_limit(void **state)
{
    (void)state;
    struct world world;
    const struct service_options options = {.limits = {.events_max = 5}, .security_mode = "development"};
    world_open(&world, &options);
    Strata__V1__GetHealthRequest request = STRATA__V1__GET_HEALTH_REQUEST__INIT;
    Strata__V1__Health *health = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_HEALTH, &request.base,
                                                &strata__v1__health__descriptor, NULL);
    assert_int_equal(health->state, STRATA__V1__HEALTH__STATE__HEALTHY);
    assert_int_equal(health->n_components, 4);
    assert_string_equal(health->components[0]->name, "event_store");
    assert_true(health->components[0]->required);
    assert_string_equal(health->security_mode, "development");
    test_message_free(health);
    for (int i = 0; i < 4; i++)
        (void)publish_custom(&world, "a", "{}");
    health = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_HEALTH, &request.base,
                            &strata__v1__health__descriptor, NULL);
    assert_int_equal(health->state, STRATA__V1__HEALTH__STATE__DEGRADED);
    assert_non_null(strstr(health->components[0]->reason, "max_events is 5"));
    test_message_free(health);
    world_close(&world);
}

static struct status sick(struct event_store *store)
{
    (void)store;
    return status_reason(REASON_STORE_FAILED, "the disk is gone");
}

static void test_health_of_a_failed_store_is_503_with_a_body(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    struct event_store_ops ops = *world.store->ops;
    const struct event_store_ops *well = world.store->ops;
    ops.health = sick;
    world.store->ops = &ops;
    Strata__V1__GetHealthRequest request = STRATA__V1__GET_HEALTH_REQUEST__INIT;
    struct test_reply reply = test_call(world.table, METHOD_SYSTEM_SERVICE_GET_HEALTH, &request.base);
    assert_int_equal(reply.http_status, 503);
    Strata__V1__Health *health = test_reply_message(&reply, &strata__v1__health__descriptor);
    assert_int_equal(health->state, STRATA__V1__HEALTH__STATE__UNHEALTHY);
    assert_string_equal(health->components[0]->reason, "the disk is gone");
    test_message_free(health);
    test_reply_done(&reply);
    world.store->ops = well;
    world_close(&world);
}

static struct status short_of_space(struct event_store *store)
{
    (void)store;
    return status_error(STATUS_RESOURCE_EXHAUSTED, "space runs out");
}

/* Appends still go on, so no balancer may take the service out. */
static void test_health_is_degraded_while_space_runs_out(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    struct event_store_ops ops = *world.store->ops;
    const struct event_store_ops *well = world.store->ops;
    ops.health = short_of_space;
    world.store->ops = &ops;
    Strata__V1__GetHealthRequest request = STRATA__V1__GET_HEALTH_REQUEST__INIT;
    Strata__V1__Health *health = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_HEALTH, &request.base,
                                                &strata__v1__health__descriptor, NULL);
    assert_int_equal(health->state, STRATA__V1__HEALTH__STATE__DEGRADED);
    assert_string_equal(health->components[0]->reason, "space runs out");
    test_message_free(health);
    world.store->ops = well;
    world_close(&world);
}

static void test_info_shows_the_configuration(void **state)
{
    (void)state;
    struct world world;
    static const struct service_pair metadata[] = {{"region", "local"}};
    const struct service_options options = {.name = "bank",
                                            .version = "3",
                                            .metadata = metadata,
                                            .metadata_count = 1,
                                            .store_id = "main",
                                            .cache_kind = "memory"};
    world_open(&world, &options);
    Strata__V1__GetInfoRequest request = STRATA__V1__GET_INFO_REQUEST__INIT;
    Strata__V1__Info *info = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_INFO, &request.base,
                                            &strata__v1__info__descriptor, NULL);
    assert_string_equal(info->name, "bank");
    assert_string_equal(info->event_store, "memory");
    assert_string_equal(info->cache, "memory");
    assert_int_equal(info->n_metadata, 1);
    assert_string_equal(info->metadata[0]->value, "local");
    assert_int_equal(info->n_aggregate_types, 4);
    test_message_free(info);
    world_close(&world);
}

static void test_stats_count_events_apart_from_the_systems(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    create(&world, "a", "custom", "{}");
    (void)publish_custom(&world, "a", "{}");
    (void)publish_custom(&world, "b", "{}");
    Strata__V1__GetStatsRequest request = STRATA__V1__GET_STATS_REQUEST__INIT;
    Strata__V1__Stats *stats = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_STATS, &request.base,
                                              &strata__v1__stats__descriptor, NULL);
    assert_int_equal(stats->event_count, 2);
    assert_int_equal(stats->system_event_count, 1);
    assert_int_equal(stats->aggregate_count, 2);
    assert_int_equal(stats->event_type_count, 1);
    assert_int_equal(stats->head_position, 3);
    assert_string_equal(stats->events_by_type[0]->key, "custom");
    assert_int_equal(stats->events_by_type[0]->value, 2);
    assert_int_equal(stats->event_store->appends, 3);
    assert_int_equal(stats->bus->handlers, 1);
    assert_true(stats->event_store->appends_per_second > 0);
    test_message_free(stats);
    request.exact = 1; /* counted, with the same outcome */
    stats = call_method_of(&world, METHOD_SYSTEM_SERVICE_GET_STATS, &request.base,
                           &strata__v1__stats__descriptor, NULL);
    assert_int_equal(stats->event_count, 2);
    assert_int_equal(stats->system_event_count, 1);
    assert_int_equal(stats->n_events_by_type, 1);
    assert_int_equal(stats->events_by_type[0]->value, 2);
    assert_int_equal(stats->n_aggregates_by_type, 1);
    assert_int_equal(stats->aggregates_by_type[0]->value, 2);
    test_message_free(stats);
    world_close(&world);
}

static enum bus_answer answer_of(void *context, const struct bus_delivery *delivery)
{
    (void)delivery;
    return *(const enum bus_answer *)context;
}

static Strata__V1__Stats *stats_of(struct world *world)
{
    Strata__V1__GetStatsRequest request = STRATA__V1__GET_STATS_REQUEST__INIT;
    return call_method_of(world, METHOD_SYSTEM_SERVICE_GET_STATS, &request.base,
                          &strata__v1__stats__descriptor, NULL);
}

/* An operator sees that a handler fails, how far behind it is and what it keeps from being processed. */
static void test_stats_tell_of_the_handlers_in_the_process(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    enum bus_answer failing = BUS_FAILED;
    enum bus_answer done = BUS_DONE;
    int64_t id = 0;
    const struct bus_subscribe_options durable = {
        .name = "ledger", .handler = answer_of, .context = &failing};
    const struct bus_subscribe_options once = {.handler = answer_of, .context = &done};
    assert_status_ok(bus_subscribe(world.bus, &durable, &id));
    assert_status_ok(bus_subscribe(world.bus, &once, &id));
    (void)publish_custom(&world, "a", "{}");
    (void)publish_custom(&world, "a", "{}");
    const struct timespec pause = {0, 1000000};
    Strata__V1__Stats *stats = stats_of(&world);
    while (stats->bus->failures == 0 || stats->bus->ended == 0) {
        nanosleep(&pause, NULL);
        test_message_free(stats);
        stats = stats_of(&world);
    }
    assert_int_equal(stats->bus->ended, 1);
    assert_int_equal(stats->bus->handlers, 2); /* the failing one, and the keeper of the checkpoint */
    assert_int_equal(stats->bus->handler_lag, 2);
    assert_int_equal(stats->bus->processed_position, 0);
    test_message_free(stats);
    world_close(&world);
}

/* It gets no events here, so nobody looks for it among those who do. */
static void test_a_handler_that_another_process_has_the_lease_of_stands_by(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    struct lease lease;
    assert_status_ok(world.store->ops->lease(world.store, BYTES_LITERAL("handler/relay"),
                                             BYTES_LITERAL("another-process"), 60000, &lease));
    enum bus_answer handled = BUS_HANDLED;
    int64_t id = 0;
    const struct bus_subscribe_options options = {
        .name = "relay", .scope = BUS_SCOPE_CLUSTER, .handler = answer_of, .context = &handled};
    assert_status_ok(bus_set_holder(world.bus, BYTES_LITERAL("this-process")));
    assert_status_ok(bus_subscribe(world.bus, &options, &id));
    (void)publish_custom(&world, "a", "{}");
    Strata__V1__Stats *stats = stats_of(&world);
    assert_int_equal(stats->bus->standby, 1);
    assert_int_equal(stats->bus->handlers, 2); /* and the keeper of the checkpoint */
    assert_int_equal(stats->bus->handler_lag, 0);
    test_message_free(stats);
    Strata__V1__ListSubscriptionsRequest request = STRATA__V1__LIST_SUBSCRIPTIONS_REQUEST__INIT;
    Strata__V1__ListSubscriptionsResponse *page =
        call_method_of(&world, METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS, &request.base,
                       &strata__v1__list_subscriptions_response__descriptor, NULL);
    assert_int_equal(page->n_subscriptions, 0);
    test_message_free(page);
    world_close(&world);
}

static void test_a_stopped_service_refuses(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    service_stop(world.service);
    struct status status;
    const Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{}");
    assert_null(publish(&world, &request, &status));
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health_is_degraded_near_a_limit),
        cmocka_unit_test(test_health_of_a_failed_store_is_503_with_a_body),
        cmocka_unit_test(test_health_is_degraded_while_space_runs_out),
        cmocka_unit_test(test_info_shows_the_configuration),
        cmocka_unit_test(test_stats_count_events_apart_from_the_systems),
        cmocka_unit_test(test_stats_tell_of_the_handlers_in_the_process),
        cmocka_unit_test(test_a_handler_that_another_process_has_the_lease_of_stands_by),
        cmocka_unit_test(test_a_stopped_service_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
