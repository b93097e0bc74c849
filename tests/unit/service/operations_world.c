#include "operations_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static Strata__V1__Operation *call_operation(struct world *world, enum schema_method_id method,
                                             const ProtobufCMessage *request, struct status *ret_status)
{
    return call_method_of(world, method, request, &strata__v1__operation__descriptor, ret_status);
}

Strata__V1__Operation *start_operation(struct world *world, const Strata__V1__StartOperationRequest *request,
                                       struct status *ret_status)
{
    return call_operation(world, METHOD_SYSTEM_SERVICE_START_OPERATION, &request->base, ret_status);
}

Strata__V1__Operation *start_verify(struct world *world, int64_t from_position,
                                    ProtobufCBinaryData checkpoint)
{
    Strata__V1__Verify verify = STRATA__V1__VERIFY__INIT;
    verify.from_position = from_position;
    verify.trusted_checkpoint = checkpoint;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
    request.verify = &verify;
    return start_operation(world, &request, NULL);
}

Strata__V1__Operation *start_rebuild(struct world *world, const char *what)
{
    Strata__V1__Rebuild rebuild = STRATA__V1__REBUILD__INIT;
    rebuild.what = T(what);
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_REBUILD;
    request.rebuild = &rebuild;
    return start_operation(world, &request, NULL);
}

Strata__V1__Operation *get_operation(struct world *world, const char *id, struct status *ret_status)
{
    Strata__V1__GetOperationRequest request = STRATA__V1__GET_OPERATION_REQUEST__INIT;
    request.id = T(id);
    return call_operation(world, METHOD_SYSTEM_SERVICE_GET_OPERATION, &request.base, ret_status);
}

Strata__V1__Operation *cancel_operation(struct world *world, const char *id, struct status *ret_status)
{
    Strata__V1__CancelOperationRequest request = STRATA__V1__CANCEL_OPERATION_REQUEST__INIT;
    request.id = T(id);
    return call_operation(world, METHOD_SYSTEM_SERVICE_CANCEL_OPERATION, &request.base, ret_status);
}

Strata__V1__Operation *wait_operation(struct world *world, Strata__V1__Operation *started)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int looks = 0; started->state == RUNNING; looks++) {
        if (looks == 60000)
            fail_msg("operation %s still runs after a minute: %s", started->id, started->message);
        nanosleep(&pause, NULL);
        Strata__V1__Operation *now = get_operation(world, started->id, NULL);
        test_message_free(started);
        started = now;
    }
    return started;
}

const char *result_of(const Strata__V1__Operation *operation, const char *key)
{
    for (size_t i = 0; i < operation->n_result; i++)
        if (strcmp(operation->result[i]->key, key) == 0)
            return operation->result[i]->value;
    return "";
}

void append_thousands(struct world *world, int count)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    Strata__V1__NewEvent *events = calloc(1000, sizeof *events);
    Strata__V1__NewEvent **list = calloc(1000, sizeof *list);
    assert_true(events != NULL && list != NULL);
    for (size_t i = 0; i < 1000; i++) {
        strata__v1__new_event__init(&events[i]);
        events[i].type = T("custom");
        events[i].aggregate_id = T(ids[i % ARRAY_SIZE(ids)]);
        events[i].aggregate_type = T("custom");
        events[i].data = json("{\"n\":1}");
        list[i] = &events[i];
    }
    Strata__V1__AppendEventsRequest request = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    request.events = list;
    request.n_events = 1000;
    for (int i = 0; i < count; i++)
        test_message_free(call_method_of(world, METHOD_EVENT_SERVICE_APPEND_EVENTS, &request.base,
                                         &strata__v1__append_events_response__descriptor, NULL));
    free(list);
    free(events);
}

/* --- the gate --- */

static struct {
    const struct event_store_ops *inner;
    struct event_store_ops ops;
    _Atomic(__typeof__(((struct event_store_ops *)NULL)->read)) read;
    _Atomic(__typeof__(((struct event_store_ops *)NULL)->find_id)) find_id;
    _Atomic(__typeof__(((struct event_store_ops *)NULL)->state_put)) state_put;
    _Atomic(__typeof__(((struct event_store_ops *)NULL)->state_list)) state_list;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool closed;
    int64_t pass;
    int64_t calls;
    int waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

const struct event_store_ops *gate_inner(void)
{
    return gate.inner;
}

static struct status gated_read(struct event_store *store, const struct read_query *query, record_sink sink,
                                void *context)
{
    __typeof__(gate.inner->read) hook = atomic_load(&gate.read);
    return (hook != NULL ? hook : gate.inner->read)(store, query, sink, context);
}

static struct status gated_state_put(struct event_store *store, struct bytes key, struct bytes value)
{
    __typeof__(gate.inner->state_put) hook = atomic_load(&gate.state_put);
    return (hook != NULL ? hook : gate.inner->state_put)(store, key, value);
}

static struct status gated_state_list(struct event_store *store, struct bytes prefix, struct bytes after_key,
                                      state_sink sink, void *context)
{
    __typeof__(gate.inner->state_list) hook = atomic_load(&gate.state_list);
    return (hook != NULL ? hook : gate.inner->state_list)(store, prefix, after_key, sink, context);
}

static struct status gated_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    pthread_mutex_lock(&gate.lock);
    gate.calls++;
    while (gate.closed && gate.calls > gate.pass) {
        gate.waiting++;
        pthread_cond_broadcast(&gate.changed);
        pthread_cond_wait(&gate.changed, &gate.lock);
        gate.waiting--;
    }
    pthread_mutex_unlock(&gate.lock);
    __typeof__(gate.inner->find_id) hook = atomic_load(&gate.find_id);
    return (hook != NULL ? hook : gate.inner->find_id)(store, event_id, ret_position);
}

static void open_gated(struct world *world, const struct service_options *options, const struct clock *clock,
                       bool shared)
{
    struct world_stores stores;
    assert_status_ok(memory_store_open(clock, &stores.store));
    assert_status_ok(memory_snapshots_open(0, &stores.snapshots));
    assert_status_ok(memory_snapshots_open(1000, &stores.cache));
    gate_read_by(NULL);
    gate_find_id_by(NULL);
    gate_state_put_by(NULL);
    gate_state_list_by(NULL);
    gate_open();
    gate.inner = stores.store->ops;
    gate.ops = *gate.inner;
    gate.ops.read = gated_read;
    gate.ops.find_id = gated_find_id;
    gate.ops.state_put = gated_state_put;
    gate.ops.state_list = gated_state_list;
    stores.store->ops = &gate.ops;
    if (shared)
        stores.store->pipelined = false;
    world_open_over(world, options, clock, &stores);
}

void gated_world_open(struct world *world, const struct clock *clock)
{
    open_gated(world, NULL, clock, false);
}

void gated_world_open_shared(struct world *world, const struct service_options *options,
                             const struct clock *clock)
{
    open_gated(world, options, clock, true);
}

void gate_read_by(__typeof__(gate.inner->read) hook)
{
    atomic_store(&gate.read, hook);
}

void gate_find_id_by(__typeof__(gate.inner->find_id) hook)
{
    atomic_store(&gate.find_id, hook);
}

void gate_state_put_by(__typeof__(gate.inner->state_put) hook)
{
    atomic_store(&gate.state_put, hook);
}

void gate_state_list_by(__typeof__(gate.inner->state_list) hook)
{
    atomic_store(&gate.state_list, hook);
}

struct stopper {
    struct world *world;
    pthread_t thread;
};

static void *stop_main(void *context)
{
    service_stop(((struct stopper *)context)->world->service);
    return NULL;
}

void world_stop_at_gate(struct world *world, const char *id)
{
    struct stopper stopper = {.world = world};
    gate_wait_reached(1);
    assert_int_equal(pthread_create(&stopper.thread, NULL, stop_main, &stopper), 0);
    struct status status = status_ok();
    while (status.code != STATUS_UNAVAILABLE)
        test_message_free(get_operation(world, id, &status));
    gate_open();
    pthread_join(stopper.thread, NULL);
}

void gate_close(int64_t pass)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = true;
    gate.pass = pass;
    gate.calls = 0;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

void gate_wait_reached(int count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting < count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

void gate_open(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

int64_t gate_calls(void)
{
    pthread_mutex_lock(&gate.lock);
    const int64_t calls = gate.calls;
    pthread_mutex_unlock(&gate.lock);
    return calls;
}
