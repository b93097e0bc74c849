/* StartOperation, GetOperation, ListOperations and CancelOperation. */
#include "service/operations_internal.h"
#include "service/page_token_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static struct status reply_operation(struct service *service, struct arena *arena, const char *id,
                                     struct reply *ret)
{
    Strata__V1__Operation *operation = NULL;
    STATUS_TRY(operations_refresh(service->operations, id));
    STATUS_TRY(operations_get(service->operations, id, arena, &operation, NULL));
    ret->message = &operation->base;
    return status_ok();
}

/* --- StartOperation --- */

static const struct {
    Strata__V1__StartOperationRequest__WorkCase work;
    enum operation_kind kind;
    const struct operation_kind_ops *ops;
} works[] = {
    {STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY, OPERATION_VERIFY, &operation_verify},
    {STRATA__V1__START_OPERATION_REQUEST__WORK_CLEANUP, OPERATION_CLEANUP, &operation_cleanup},
    {STRATA__V1__START_OPERATION_REQUEST__WORK_REBUILD, OPERATION_REBUILD, &operation_rebuild},
};

static struct status reply_plan(struct arena *arena, enum operation_kind kind,
                                const struct operation_plan *plan, struct reply *ret)
{
    Strata__V1__Operation *operation = arena_alloc(arena, sizeof *operation);
    if (operation == NULL)
        return no_memory();
    strata__v1__operation__init(operation);
    operation->kind = arena_text(arena, bytes_of_text(operation_kind_name(kind)));
    operation->total = plan->total;
    operation->message = arena_text(arena, bytes_of_text(plan->message));
    if (operation->kind == NULL || operation->message == NULL)
        return no_memory();
    ret->message = &operation->base;
    ret->http_status = 200; /* nothing was accepted, and nothing has a location */
    return status_ok();
}

static struct status start_run(struct service *service, struct call *call, const void *context,
                               struct reply *ret)
{
    const Strata__V1__StartOperationRequest *request = context;
    struct arena *arena = call_arena(call);
    struct operation_plan *plan = arena_zalloc(arena, sizeof *plan);
    if (plan == NULL)
        return no_memory();
    size_t at = 0;
    while (at < ARRAY_COUNT(works) && works[at].work != request->work_case)
        at++;
    struct faults faults;
    faults_init(&faults, arena);
    if (at == ARRAY_COUNT(works))
        faults_add(&faults, "work",
                   status_reason(REASON_INVALID_FIELD,
                                 "what to do is missing; give one of verify, cleanup and rebuild"));
    else
        STATUS_TRY(works[at].ops->plan(service, request, request->validate_only, &faults, plan));
    STATUS_TRY(faults_status(&faults));
    if (request->validate_only)
        return reply_plan(arena, works[at].kind, plan, ret);
    char id[UUID_TEXT_BYTES];
    STATUS_TRY(
        operations_start(service->operations, works[at].kind, request, plan, call_principal(call), id));
    return reply_operation(service, arena, id, ret);
}

static void start_operation_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, start_run);
}

const struct method_handler start_operation_handler = {.start = start_operation_start};

/* --- GetOperation, CancelOperation --- */

static struct status get_run(struct service *service, struct call *call, const void *context,
                             struct reply *ret)
{
    const Strata__V1__GetOperationRequest *request = context;
    return reply_operation(service, call_arena(call), request->id, ret);
}

static void get_operation_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_run);
}

const struct method_handler get_operation_handler = {.start = get_operation_start};

static struct status cancel_run(struct service *service, struct call *call, const void *context,
                                struct reply *ret)
{
    const Strata__V1__CancelOperationRequest *request = context;
    STATUS_TRY(operations_cancel(service->operations, request->id));
    return reply_operation(service, call_arena(call), request->id, ret);
}

static void cancel_operation_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, cancel_run);
}

const struct method_handler cancel_operation_handler = {.start = cancel_operation_start};

/* --- ListOperations --- */

static struct status list_run(struct service *service, struct call *call, const void *context,
                              struct reply *ret)
{
    const Strata__V1__ListOperationsRequest *request = context;
    struct arena *arena = call_arena(call);
    size_t page_size = 0;
    FIELD_TRY(arena, "page_size", page_size_check(request->page_size, &page_size));
    Strata__V1__ListOperationsRequest same = STRATA__V1__LIST_OPERATIONS_REQUEST__INIT;
    uint64_t filter = 0;
    STATUS_TRY(page_filter(service, &same.base, arena, &filter));
    struct page_token token = {0};
    const char *before = "";
    if (request->page_token[0] != '\0') {
        FIELD_TRY(arena, "page_token",
                  page_token_read(request->page_token, filter, INT64_MAX, arena, &token));
        before = arena_text(arena, token.id);
    }
    Strata__V1__ListOperationsResponse *response = arena_alloc(arena, sizeof *response);
    if (response == NULL || before == NULL)
        return no_memory();
    strata__v1__list_operations_response__init(response);
    bool more = false;
    STATUS_TRY(operations_refresh(service->operations, NULL));
    STATUS_TRY(operations_list(service->operations, before, page_size, arena, &response->operations,
                               &response->n_operations, &more));
    if (more) {
        token.id = bytes_of_text(response->operations[response->n_operations - 1]->id);
        response->next_page_token = page_token_write(arena, filter, &token);
        if (response->next_page_token == NULL)
            return no_memory();
    }
    ret->message = &response->base;
    return status_ok();
}

static void list_operations_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, list_run);
}

const struct method_handler list_operations_handler = {.start = list_operations_start};
