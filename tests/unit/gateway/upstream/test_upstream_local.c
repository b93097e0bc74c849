/* The local upstream: the suite, and what only it can pass on. */
#include "unit/gateway/upstream/upstream_suite.h"

static struct upstream *open_local(struct rpc_table *table)
{
    return upstream_local_new(table);
}

static void test_the_handler_sees_who_is_at_the_other_end_of_the_gateway(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    struct upstream_call *call = suite_get(&seen, "e-1", 0);
    upstream_begin(call, BYTES_LITERAL("\x0a\x03"
                                       "e-1"));
    suite_wait_end(&seen);
    assert_string_equal(suite_handler.transport, "http");
    assert_string_equal(suite_handler.peer, "127.0.0.1:1");
    upstream_release(call);
}

int main(void)
{
    static const struct upstream_suite suite = {open_local, upstream_local_free};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_handler_sees_who_is_at_the_other_end_of_the_gateway,
                                        suite_setup, suite_teardown),
    };
    const int failed = upstream_suite_run(&suite);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
