#include "server_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strata/v1/event_service.pb-c.h>

#define WAIT_STEP_MS 2
#define WAIT_MAX_MS  60000

/* --- a thread that completes what handlers leave to it --- */

struct task {
    struct task *next;
    void (*run)(void *argument);
    void *argument;
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *first;
    struct task *last;
    bool stop;
};

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        while (worker->first == NULL && !worker->stop)
            pthread_cond_wait(&worker->changed, &worker->lock);
        struct task *task = worker->first;
        if (task == NULL)
            break;
        worker->first = task->next;
        if (worker->first == NULL)
            worker->last = NULL;
        pthread_mutex_unlock(&worker->lock);
        task->run(task->argument);
        free(task);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static struct worker *worker_start(void)
{
    struct worker *worker = calloc(1, sizeof *worker);
    assert_non_null(worker);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->changed, NULL);
    assert_int_equal(pthread_create(&worker->thread, NULL, worker_main, worker), 0);
    return worker;
}

static void worker_stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->stop = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

static void worker_run(struct worker *worker, void (*run)(void *argument), void *argument)
{
    struct task *task = calloc(1, sizeof *task);
    assert_non_null(task);
    task->run = run;
    task->argument = argument;
    pthread_mutex_lock(&worker->lock);
    if (worker->last != NULL)
        worker->last->next = task;
    else
        worker->first = task;
    worker->last = task;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

/* --- PublishEvent --- */

static void reply_event(struct call *call, const char *id, const char *type)
{
    Strata__V1__Event event = STRATA__V1__EVENT__INIT;
    event.id = (char *)id;
    event.type = (char *)type;
    Strata__V1__PublishEventResponse response = STRATA__V1__PUBLISH_EVENT_RESPONSE__INIT;
    response.event = &event;
    call_reply(call, &response.base);
}

static void reply_late(void *argument)
{
    reply_event(argument, "late", "late");
}

static void reply_who(struct call *call)
{
    const char *text =
        arena_printf(call_arena(call), "%.*s|%.*s|%.*s|%s|%s", BYTES_FORMAT(call_authorization(call)),
                     BYTES_FORMAT(call_traceparent(call)), BYTES_FORMAT(call_request_id(call)),
                     call_transport(call), call_deadline_us(call) != 0 ? "deadline" : "forever");
    const char *peer = arena_text(call_arena(call), call_peer(call));
    reply_event(call, text, peer);
}

static void fail_with_faults(struct call *call)
{
    static const struct field_fault items[] = {{"data.email", "must not be empty"},
                                               {"tags[3]", "holds a space"}};
    static const struct field_faults faults = {items, 2};
    struct status status = status_reason(REASON_INVALID_FIELD, "2 fields are faulty");
    status.faults = &faults;
    call_finish(call, &status);
}

struct held {
    struct fixture *fixture;
    struct call *call;
};

static void held_cancelled(void *context)
{
    struct held *held = context;
    const struct status status = status_error(STATUS_CANCELLED, "the handler saw the end");
    atomic_fetch_add(&held->fixture->cancelled, 1);
    call_finish(held->call, &status);
    free(held);
}

static void hold(struct fixture *fixture, struct call *call)
{
    struct held *held = malloc(sizeof *held);
    assert_non_null(held);
    *held = (struct held){fixture, call};
    call_on_cancel(call, held_cancelled, held);
}

static void publish_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    struct fixture *fixture = service;
    const Strata__V1__PublishEventRequest *request = (const Strata__V1__PublishEventRequest *)message;
    atomic_fetch_add(&fixture->started, 1);
    if (strcmp(request->type, "late") == 0) {
        worker_run(fixture->worker, reply_late, call);
    } else if (strcmp(request->type, "hold") == 0) {
        hold(fixture, call);
    } else if (strcmp(request->type, "who") == 0) {
        reply_who(call);
    } else if (strcmp(request->type, "faults") == 0) {
        fail_with_faults(call);
    } else if (strcmp(request->type, "conflict") == 0) {
        struct status status = status_reason(
            REASON_VERSION_CONFLICT, "aggregate \"%s\" is at version 7, not 3", request->aggregate_id);
        status.expected_version = 3;
        status.current_version = 7;
        call_finish(call, &status);
    } else {
        if (strcmp(request->type, "not_modified") == 0)
            call_set_http_status(call, 304);
        reply_event(call, request->aggregate_id, request->type);
    }
}

/* --- ReadEvents --- */

struct reading {
    struct fixture *fixture;
    struct call *call;
    int64_t limit; /* 0 = endless */
    int64_t sent;
};

static void reading_end(struct reading *reading, enum status_code code)
{
    const struct status status = code == STATUS_OK ? status_ok() : status_error(code, "the reader is gone");
    call_finish(reading->call, &status);
    free(reading);
}

static void reading_send(void *context)
{
    struct reading *reading = context;
    static uint8_t padding[STREAM_MESSAGE_BYTES];
    struct buffer message = buffer_make(0);
    bool more = true;
    while (more && (reading->limit == 0 || reading->sent < reading->limit)) {
        buffer_clear(&message);
        wire_put_uint(&message, 2, (uint64_t)++reading->sent);
        wire_put_bytes(&message, 15, bytes_of(padding, sizeof padding));
        more = call_send_bytes(reading->call, buffer_bytes(&message));
        atomic_fetch_add(&reading->fixture->sent, 1);
    }
    buffer_done(&message);
    if (reading->limit > 0 && reading->sent == reading->limit)
        reading_end(reading, STATUS_OK);
}

static void reading_cancelled(void *context)
{
    struct reading *reading = context;
    atomic_fetch_add(&reading->fixture->cancelled, 1);
    reading_end(reading, STATUS_CANCELLED);
}

static void read_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    struct fixture *fixture = service;
    struct reading *reading = calloc(1, sizeof *reading);
    assert_non_null(reading);
    *reading = (struct reading){fixture, call, ((const Strata__V1__ReadEventsRequest *)message)->limit, 0};
    call_on_cancel(call, reading_cancelled, reading);
    call_on_writable(call, reading_send, reading);
    atomic_fetch_add(&fixture->started, 1);
    reading_send(reading);
}

/* --- AppendStream: one worker thread answers in order, so the counters need no lock --- */

struct appending {
    struct fixture *fixture;
    struct call *call;
    int64_t answered;
};

static struct appending *appending_of; /* one stream at a time */

static void answer_message(void *argument)
{
    struct call_message *message = argument;
    struct appending *appending = appending_of;
    Strata__V1__AppendError error = STRATA__V1__APPEND_ERROR__INIT;
    Strata__V1__AppendEventsResponse appended = STRATA__V1__APPEND_EVENTS_RESPONSE__INIT;
    Strata__V1__AppendStreamResponse response = STRATA__V1__APPEND_STREAM_RESPONSE__INIT;
    response.sequence = ++appending->answered;
    if (message->request != NULL) {
        appended.append_id = ((const Strata__V1__AppendStreamRequest *)message->request)->append->append_id;
        response.outcome_case = STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED;
        response.appended = &appended;
    } else {
        error.message = message->status.message;
        response.outcome_case = STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR;
        response.error = &error;
    }
    (void)call_send(appending->call, &response.base); /* few answers: no need to wait for room */
    call_message_done(message);
}

static void end_appending(void *argument)
{
    struct appending *appending = argument;
    const struct status ok = status_ok();
    call_finish(appending->call, &ok);
    free(appending);
}

static void append_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    assert_null(message);
    struct appending *appending = calloc(1, sizeof *appending);
    assert_non_null(appending);
    *appending = (struct appending){service, call, 0};
    appending_of = appending;
}

static void append_message(void *service, struct call *call, struct call_message *message)
{
    (void)call;
    worker_run(((struct fixture *)service)->worker, answer_message, message);
}

static void append_half_close(void *service, struct call *call)
{
    (void)call;
    worker_run(((struct fixture *)service)->worker, end_appending, appending_of);
}

/* --- the fixture --- */

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->worker = worker_start();
    fixture->table = rpc_table_new();
    assert_non_null(fixture->table);
    const struct method_handler publish = {.start = publish_start};
    const struct method_handler read = {.start = read_start};
    const struct method_handler append = {append_start, append_message, append_half_close};
    rpc_table_set(fixture->table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &publish, fixture);
    rpc_table_set(fixture->table, METHOD_EVENT_SERVICE_READ_EVENTS, &read, fixture);
    rpc_table_set(fixture->table, METHOD_EVENT_SERVICE_APPEND_STREAM, &append, fixture);
    const struct server_options options = {.bind = "127.0.0.1:0",
                                           .table = fixture->table,
                                           .clock = &system_clock,
                                           .max_message_bytes = 1024 * 1024};
    assert_status_ok(server_start(&options, &fixture->server));
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    server_stop(fixture->server, 0);
    worker_stop(fixture->worker);
    rpc_table_free(fixture->table);
    free(fixture);
    return 0;
}

struct bytes publish_request(struct buffer *to, const char *type, const char *aggregate_id)
{
    buffer_clear(to);
    wire_put_bytes(to, 2, bytes_of_text(type));
    wire_put_bytes(to, 3, bytes_of_text(aggregate_id));
    return buffer_bytes(to);
}

void wait_for_count(const atomic_int *counter, int value, const char *what)
{
    for (int waited_ms = 0; atomic_load(counter) != value; waited_ms += WAIT_STEP_MS) {
        if (waited_ms >= WAIT_MAX_MS)
            fail_msg("%s: wanted %d, still %d after %d ms", what, value, atomic_load(counter), waited_ms);
        (void)poll(NULL, 0, WAIT_STEP_MS);
    }
}
