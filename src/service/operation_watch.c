/*
 * WatchOperation: a look on the bus's thread four times a second. What has changed since the last look is sent once, so a
 * watch costs the same however fast an operation moves. A client that cannot take more gets the newest state when it can.
 * Where several processes share the store, each fourth look also reads what others have recorded. That may wait for the
 * store, so it is on the pool.
 */
#include <stdlib.h>
#include <string.h>

#include "service/operations_internal.h"
#include "service/pool_internal.h"

#define LOOK_EVERY_US   INT64_C(250000)
#define LOOKS_A_REFRESH 4U

struct watch {
    struct bus_waiter waiter; /* first: found from it */
    struct pool_task task;
    unsigned looks;
    struct service *service;
    struct call *call;
    uint64_t sent_revision; /* 0 = none was sent */
    atomic_bool writable;
    const char *id; /* of the request */
};

static void watch_end(struct watch *watch, const struct status *status)
{
    struct service *service = watch->service;
    struct call *call = watch->call;
    call_finish(call, status); /* from here on rpc calls nothing back */
    free(watch);
    service_leave(service);
}

/* Sends what is new. *ret_over: it has ended, and that was sent. */
static struct status watch_look(struct watch *watch, bool *ret_over)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to watch an operation");
    Strata__V1__Operation *operation = NULL;
    uint64_t revision = 0;
    STATUS_TRY(operations_get(watch->service->operations, watch->id, arena, &operation, &revision));
    if (revision != watch->sent_revision && atomic_load(&watch->writable)) {
        /* Before sending: on_writable may come before the answer does. */
        atomic_store(&watch->writable, false);
        if (call_send(watch->call, &operation->base))
            atomic_store(&watch->writable, true);
        watch->sent_revision = revision;
    }
    *ret_over = operation->state != STRATA__V1__OPERATION__STATE__RUNNING && revision == watch->sent_revision;
    return status_ok();
}

static void watch_go_on(struct watch *watch)
{
    struct service *service = watch->service;
    bool over = false;
    struct status status;
    if (call_cancelled(watch->call))
        status = status_error(STATUS_CANCELLED, "the watcher is gone");
    else if (service_stopping(service))
        status = status_stopping();
    else
        status = watch_look(watch, &over);
    if (over || !status_is_ok(&status)) {
        watch_end(watch, &status);
        return;
    }
    watch->waiter.deadline_us = clock_monotonic_us(service->parts.clock) + LOOK_EVERY_US;
    bus_wait(service->parts.bus, &watch->waiter);
}

static void watch_refresh(struct pool_task *task)
{
    struct watch *watch = (struct watch *)((uint8_t *)task - offsetof(struct watch, task));
    const struct status status = operations_refresh(watch->service->operations, watch->id);
    if (!status_is_ok(&status) && watch->sent_revision == 0) {
        watch_end(watch, &status);
        return;
    }
    watch_go_on(watch); /* a store out of reach shows nothing new */
}

static void watch_fired(struct bus_waiter *waiter, bool reached)
{
    (void)reached;
    struct watch *watch = (struct watch *)waiter;
    struct service *service = watch->service;
    if (operations_are_shared(service->operations) && watch->looks++ % LOOKS_A_REFRESH == 0)
        pool_resubmit(service->pool, &watch->task);
    else
        watch_go_on(watch);
}

static void watch_writable(void *context)
{
    struct watch *watch = context;
    atomic_store(&watch->writable, true);
}

static void watch_operation_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        const struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another watch");
        service_finish(service, call, &status);
        return;
    }
    watch->service = service;
    watch->call = call;
    watch->id = ((const Strata__V1__WatchOperationRequest *)request)->id;
    atomic_init(&watch->writable, true);
    watch->waiter.position = INT64_MAX; /* never reached: only the deadline counts */
    watch->waiter.deadline_us = clock_monotonic_us(service->parts.clock);
    watch->waiter.done = watch_fired;
    watch->task.run = watch_refresh;
    call_on_writable(call, watch_writable, watch);
    bus_wait(service->parts.bus, &watch->waiter); /* may end it: nothing is touched afterwards */
}

const struct method_handler watch_operation_handler = {.start = watch_operation_start};
