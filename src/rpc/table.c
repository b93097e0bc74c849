#include "rpc/table.h"

#include <assert.h>
#include <stdlib.h>

#include "rpc/call_internal.h"

struct rpc_table *rpc_table_new(void)
{
    struct rpc_table *table = calloc(1, sizeof *table);
    if (table != NULL)
        call_pool_init(&table->pool);
    return table;
}

void rpc_table_free(struct rpc_table *table)
{
    if (table == NULL)
        return;
    call_pool_done(&table->pool);
    free(table);
}

void rpc_table_set(struct rpc_table *table, enum schema_method_id method,
                   const struct method_handler *handler, void *service)
{
    assert(method < SCHEMA_METHOD_COUNT);
    assert(handler->start != NULL);
    assert(!schema_methods[method].client_stream ||
           (handler->message != NULL && handler->half_close != NULL));
    assert(table->methods[method].handler.start == NULL); /* an operation is implemented once */
    table->methods[method] = (struct method_entry){*handler, service};
}

void rpc_table_intercept(struct rpc_table *table, const struct interceptor *interceptor)
{
    assert(table->interceptor_count < INTERCEPTORS_MAX);
    table->interceptors[table->interceptor_count++] = *interceptor;
}

struct status rpc_table_check(const struct rpc_table *table)
{
    for (size_t i = 0; i < SCHEMA_METHOD_COUNT; i++)
        if (table->methods[i].handler.start == NULL)
            return status_error(STATUS_INTERNAL,
                                "the method table has no handler for %s; this build is incomplete",
                                schema_methods[i].path);
    return status_ok();
}
