#include "rpc/table.h"

#include <string.h>

#include "support/cmocka.h"

static void start(void *service, struct call *call, const ProtobufCMessage *request)
{
    (void)service;
    (void)call;
    (void)request;
}

static void message(void *service, struct call *call, struct call_message *received)
{
    (void)service;
    (void)call;
    (void)received;
}

static void half_close(void *service, struct call *call)
{
    (void)service;
    (void)call;
}

static const struct method_handler handler = {start, message, half_close};

static void test_check_names_the_first_method_without_a_handler(void **state)
{
    (void)state;
    CLEANUP(rpc_table_free_at) struct rpc_table *table = rpc_table_new();
    for (int i = 0; i < SCHEMA_METHOD_COUNT; i++)
        if (i != METHOD_EVENT_SERVICE_GET_EVENT)
            rpc_table_set(table, (enum schema_method_id)i, &handler, NULL);
    const struct status status = rpc_table_check(table);
    assert_int_equal(status.code, STATUS_INTERNAL);
    assert_non_null(strstr(status.message, "/strata.v1.EventService/GetEvent"));
}

static void test_check_passes_a_full_table(void **state)
{
    (void)state;
    CLEANUP(rpc_table_free_at) struct rpc_table *table = rpc_table_new();
    for (int i = 0; i < SCHEMA_METHOD_COUNT; i++)
        rpc_table_set(table, (enum schema_method_id)i, &handler, NULL);
    assert_status_ok(rpc_table_check(table));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_names_the_first_method_without_a_handler),
        cmocka_unit_test(test_check_passes_a_full_table),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
