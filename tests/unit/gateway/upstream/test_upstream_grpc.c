/* The gRPC upstream over the real server in this process: the suite, and what only a core elsewhere brings about. */
#include <stdio.h>

#include "base/entropy.h"
#include "gateway/upstream/upstream_grpc.h"
#include "server/server.h"
#include "unit/gateway/upstream/upstream_suite.h"

static struct server *server;

static struct status make(const char *const *addresses, size_t count, struct upstream **ret)
{
    const struct upstream_grpc_options options = {
        .addresses = addresses,
        .address_count = count,
        .clock = &system_clock,
        .entropy = &system_entropy,
    };
    return upstream_grpc_new(&options, ret);
}

static struct upstream *open_grpc(struct rpc_table *table)
{
    const struct server_options options = {.bind = "127.0.0.1:0", .table = table, .clock = &system_clock};
    struct status status = server_start(&options, &server);
    assert_true(status_is_ok(&status));
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server_port(server));
    const char *const addresses[] = {address};
    struct upstream *upstream = NULL;
    status = make(addresses, 1, &upstream);
    assert_true(status_is_ok(&status));
    return upstream;
}

static void close_grpc(struct upstream *upstream)
{
    upstream_grpc_free(upstream);
    server_stop(server, 0);
    server = NULL;
}

static void test_the_deadline_ends_a_call_on_both_sides(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    struct upstream_call *call = suite_get(&seen, "hold", clock_monotonic_us(&system_clock) + 300000);
    upstream_begin(call, BYTES_LITERAL("\x0a\x04hold"));
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_DEADLINE_EXCEEDED);
    upstream_release(call);
}

static void test_a_core_that_is_gone_is_said_to_have_done_nothing(void **state)
{
    (void)state;
    server_stop(server, 0);
    server = NULL;
    struct suite_seen seen;
    suite_seen_init(&seen);
    struct upstream_call *call = suite_make(METHOD_EVENT_SERVICE_PUBLISH_EVENT, &seen, 0);
    upstream_begin(call, BYTES_NONE);
    suite_wait_end(&seen);
    assert_int_equal(seen.status.reason, REASON_STORE_UNREACHABLE);
    upstream_release(call);
}

/* Whoever frees the upstream with calls on it gets their ends first, and nothing leaks. */
static void test_it_can_be_freed_with_calls_under_way(void **state)
{
    (void)state;
    struct suite_seen seen[3];
    struct upstream_call *calls[3];
    for (int i = 0; i < 3; i++)
        suite_seen_init(&seen[i]);
    calls[0] = suite_make(METHOD_EVENT_SERVICE_PUBLISH_EVENT, &seen[0], 0);
    upstream_begin(calls[0], BYTES_NONE);
    calls[1] = suite_get(&seen[1], "hold", 0);
    upstream_begin(calls[1], BYTES_LITERAL("\x0a\x04hold"));
    seen[2].pause_every = 1;
    calls[2] = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen[2], 0);
    upstream_begin(calls[2], BYTES_NONE);
    suite_wait_handler(&suite_handler.held, 2);
    suite_wait_messages(&seen[2], 1);
    upstream_grpc_free(suite_upstream);
    suite_upstream = NULL;
    assert_int_equal(seen[0].status.reason, REASON_OUTCOME_UNKNOWN);
    assert_int_equal(seen[1].status.code, STATUS_CANCELLED);
    assert_int_equal(seen[2].status.code, STATUS_CANCELLED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].ends, 1);
        upstream_release(calls[i]);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",     "core",     ":1",      "core:",   "core:0", "core:65536",        "::1:1",    "[::1",
        "[]:1", "[::1]1:1", "core:1x", "core:-1", "a:b:1",  "[::1]:99999999999", "core:0x1", "core: 1"};
    static const char *const right[] = {"127.0.0.1:1", "[::1]:1", "localhost:65535"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct upstream *upstream = NULL;
        const struct status status = make(&wrong[i], 1, &upstream);
        if (status.code != STATUS_INVALID_ARGUMENT)
            fail_msg("\"%s\" is taken: %s", wrong[i], status.message);
        assert_null(upstream);
    }
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        struct upstream *upstream = NULL;
        const struct status status = make(&right[i], 1, &upstream);
        if (!status_is_ok(&status))
            fail_msg("\"%s\" is refused: %s", right[i], status.message);
        upstream_grpc_free(upstream);
    }
    const char *many[UPSTREAM_ADDRESSES_MAX + 1];
    struct upstream *upstream = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i] = "127.0.0.1:1";
    assert_int_equal(make(many, ARRAY_COUNT(many), &upstream).code, STATUS_INVALID_ARGUMENT);
    assert_int_equal(make(many, 0, &upstream).code, STATUS_INVALID_ARGUMENT);
    upstream_grpc_free(NULL);
}

int main(void)
{
    static const struct upstream_suite suite = {open_grpc, close_grpc};
#define IN_SUITE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        IN_SUITE(test_the_deadline_ends_a_call_on_both_sides),
        IN_SUITE(test_a_core_that_is_gone_is_said_to_have_done_nothing),
        IN_SUITE(test_it_can_be_freed_with_calls_under_way),
        cmocka_unit_test(test_addresses),
    };
    const int failed = upstream_suite_run(&suite);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
