#include "unit/gateway/upstream/upstream_suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/call.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/subscription_service.pb-c.h"

#define WAIT_S        60
#define MESSAGE_BYTES 8192U
#define THREADS       4U
#define THREAD_CALLS  100U

struct rpc_table *suite_table;
struct upstream *suite_upstream;
const struct upstream_suite *suite_now;
struct suite_handler suite_handler = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* --- waiting --- */

/* Waits under the lock until the number is reached. */
static void wait_number(pthread_cond_t *changed, pthread_mutex_t *lock, const unsigned *number,
                        unsigned least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    int error = 0;
    while (*number < least && error == 0)
        error = pthread_cond_timedwait(changed, lock, &until);
    if (error != 0) {
        fprintf(stderr, "waited for %u in vain, %u came\n", least, *number);
        abort(); /* with stacks of all threads in the core */
    }
}

void suite_wait_handler(const unsigned *number, unsigned least)
{
    pthread_mutex_lock(&suite_handler.lock);
    wait_number(&suite_handler.changed, &suite_handler.lock, number, least);
    pthread_mutex_unlock(&suite_handler.lock);
}

static void handler_count(unsigned *number)
{
    pthread_mutex_lock(&suite_handler.lock);
    ++*number;
    pthread_cond_broadcast(&suite_handler.changed);
    pthread_mutex_unlock(&suite_handler.lock);
}

void suite_seen_init(struct suite_seen *seen)
{
    memset(seen, 0, sizeof *seen);
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->changed, NULL);
}

void suite_wait_end(struct suite_seen *seen)
{
    pthread_mutex_lock(&seen->lock);
    wait_number(&seen->changed, &seen->lock, &seen->ends, 1);
    pthread_mutex_unlock(&seen->lock);
}

void suite_wait_messages(struct suite_seen *seen, unsigned count)
{
    pthread_mutex_lock(&seen->lock);
    wait_number(&seen->changed, &seen->lock, &seen->messages, count);
    pthread_mutex_unlock(&seen->lock);
}

void suite_resume(struct suite_seen *seen)
{
    pthread_mutex_lock(&seen->lock);
    seen->paused = false;
    pthread_mutex_unlock(&seen->lock);
    upstream_writable(seen->call);
}

/* --- the receiver --- */

static bool on_message(void *context, struct bytes message)
{
    struct suite_seen *seen = context;
    char expected[16];
    (void)snprintf(expected, sizeof expected, "%05u", seen->messages);
    pthread_mutex_lock(&seen->lock);
    seen->overrun |= seen->paused || seen->ends > 0 || message.size_bytes != MESSAGE_BYTES ||
                     memcmp(message.data, expected, 5) != 0;
    seen->messages++;
    seen->paused = seen->pause_every > 0 && seen->messages % seen->pause_every == 0;
    const bool room = !seen->paused;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
    return room;
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct suite_seen *seen = context;
    if (seen->chain > 0) {
        struct upstream_call *former = seen->call;
        seen->chain--;
        struct upstream_call *next = suite_get(seen, "again", 0);
        upstream_ref(next);
        seen->call = next;
        upstream_begin(next, BYTES_LITERAL("\x0a\x05"
                                           "again"));
        upstream_release(next); /* as whoever begins what may end at once must do */
        upstream_release(former);
        return;
    }
    if (seen->drop)
        upstream_release(seen->call);
    pthread_mutex_lock(&seen->lock);
    seen->ends++;
    seen->status = *status;
    seen->status.faults = NULL; /* they live as long as the call's arena */
    if (status->faults != NULL && status->faults->count == 1)
        (void)snprintf(seen->reply, sizeof seen->reply, "%s", status->faults->items[0].field);
    else
        (void)snprintf(seen->reply, sizeof seen->reply, "%.*s", BYTES_FORMAT(reply));
    seen->reply_bytes = reply.size_bytes;
    seen->http_status = http_status;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static const struct upstream_events events = {on_message, on_end};

struct upstream_call *suite_make_on(struct upstream *upstream, const struct upstream_request *request,
                                    struct suite_seen *seen)
{
    struct upstream_call *call = upstream_make(upstream, request, &events, seen);
    assert_non_null(call);
    return call;
}

struct upstream_call *suite_make(enum schema_method_id method, struct suite_seen *seen, int64_t deadline_us)
{
    const struct upstream_request request = {
        .method = method,
        .transport = "http",
        .peer = BYTES_LITERAL("127.0.0.1:1"),
        .authorization = BYTES_LITERAL("Bearer x"),
        .request_id = BYTES_LITERAL("r1"),
        .deadline_us = deadline_us,
    };
    return suite_make_on(suite_upstream, &request, seen);
}

struct upstream_call *suite_get(struct suite_seen *seen, const char *id, int64_t deadline_us)
{
    (void)id; /* the packed request says it */
    return suite_make(METHOD_EVENT_SERVICE_GET_EVENT, seen, deadline_us);
}

static void get_begin(struct suite_seen *seen, const char *id)
{
    char packed[64];
    const int size = snprintf(packed, sizeof packed, "\x0a%c%s", (char)strlen(id), id);
    seen->call = suite_get(seen, id, 0);
    upstream_ref(seen->call);
    struct upstream_call *call = seen->call;
    upstream_begin(call, (struct bytes){(const uint8_t *)packed, (size_t)size});
    upstream_release(call);
}

/* --- handlers --- */

static void note(const struct call *call)
{
    struct suite_handler *to = &suite_handler;
    pthread_mutex_lock(&to->lock);
    (void)snprintf(to->transport, sizeof to->transport, "%s", call_transport(call));
    (void)snprintf(to->peer, sizeof to->peer, "%.*s", BYTES_FORMAT(call_peer(call)));
    (void)snprintf(to->client_transport, sizeof to->client_transport, "%.*s",
                   BYTES_FORMAT(call_client_transport(call)));
    (void)snprintf(to->client_peer, sizeof to->client_peer, "%.*s", BYTES_FORMAT(call_client_peer(call)));
    (void)snprintf(to->request_id, sizeof to->request_id, "%.*s", BYTES_FORMAT(call_request_id(call)));
    (void)snprintf(to->authorization, sizeof to->authorization, "%.*s",
                   BYTES_FORMAT(call_authorization(call)));
    pthread_mutex_unlock(&to->lock);
}

static void *answer_late(void *context)
{
    call_reply_bytes(context, BYTES_LITERAL("late"));
    handler_count(&suite_handler.late_done); /* the end may have been seen long before */
    return NULL;
}

static void on_cancel_held(void *context)
{
    const struct status status = status_error(STATUS_CANCELLED, "gone");
    handler_count(&suite_handler.cancelled);
    call_finish(context, &status);
}

static void hold(struct call *call)
{
    call_on_cancel(call, on_cancel_held, call);
    handler_count(&suite_handler.held);
}

static void fail_with_fault(struct call *call)
{
    const struct field_fault fault = {"event_id", "is not one"};
    const struct field_faults faults = {&fault, 1};
    struct status status = status_reason(REASON_INVALID_FIELD, "a field is wrong");
    status.faults = &faults;
    call_finish(call, &status);
}

static void get_event(void *service, struct call *call, const ProtobufCMessage *request)
{
    const char *id = ((const Strata__V1__GetEventRequest *)request)->event_id;
    pthread_t thread;
    (void)service;
    note(call);
    if (strcmp(id, "none") == 0) {
        const struct status status = status_reason(REASON_EVENT_UNKNOWN, "no such \"event\": 100 %% näher");
        call_finish(call, &status);
    } else if (strcmp(id, "faults") == 0) {
        fail_with_fault(call);
    } else if (strcmp(id, "hold") == 0) {
        hold(call);
    } else if (strcmp(id, "late") == 0) {
        handler_count(&suite_handler.late_begun);
        assert_int_equal(pthread_create(&thread, NULL, answer_late, call), 0);
        assert_int_equal(pthread_detach(thread), 0);
    } else if (strcmp(id, "large") == 0) {
        uint8_t *large = calloc(1, SUITE_LARGE_BYTES);
        call_reply_bytes(call, (struct bytes){large, SUITE_LARGE_BYTES});
        free(large);
    } else {
        call_set_http_status(call, 304);
        call_reply_bytes(call, bytes_of_text(id));
    }
}

static void publish_event(void *service, struct call *call, const ProtobufCMessage *request)
{
    (void)service, (void)request;
    hold(call);
}

/* One stream: messages as long as there is room. Callbacks of a call come one at a time. */
struct following {
    struct call *call;
    unsigned sent;
};

static void follow(void *context)
{
    struct following *following = context;
    char message[MESSAGE_BYTES] = "";
    bool room = true;
    while (room && following->sent < SUITE_MESSAGES) {
        (void)snprintf(message, sizeof message, "%05u", following->sent++);
        room = call_send_bytes(following->call, (struct bytes){(const uint8_t *)message, sizeof message});
    }
    if (!room || following->sent < SUITE_MESSAGES)
        return;
    struct call *call = following->call;
    const struct status ok = status_ok();
    free(following);
    call_finish(call, &ok);
}

static void on_cancel_following(void *context)
{
    struct following *following = context;
    struct call *call = following->call;
    const struct status status = status_error(STATUS_CANCELLED, "gone");
    free(following);
    handler_count(&suite_handler.cancelled);
    call_finish(call, &status);
}

static void subscribe(void *service, struct call *call, const ProtobufCMessage *request)
{
    struct following *following = calloc(1, sizeof *following);
    (void)service, (void)request;
    following->call = call;
    note(call);
    call_on_writable(call, follow, following);
    call_on_cancel(call, on_cancel_following, following);
    follow(following);
}

int suite_setup(void **state)
{
    static const struct method_handler get = {.start = get_event};
    static const struct method_handler publish = {.start = publish_event};
    static const struct method_handler stream = {.start = subscribe};
    (void)state;
    suite_handler.held = suite_handler.cancelled = suite_handler.late_begun = suite_handler.late_done = 0;
    suite_table = rpc_table_new();
    rpc_table_set(suite_table, METHOD_EVENT_SERVICE_GET_EVENT, &get, NULL);
    rpc_table_set(suite_table, METHOD_EVENT_SERVICE_PUBLISH_EVENT, &publish, NULL);
    rpc_table_set(suite_table, METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &stream, NULL);
    suite_upstream = suite_now->open(suite_table);
    return suite_upstream == NULL;
}

int suite_teardown(void **state)
{
    (void)state;
    suite_now->close(suite_upstream);
    suite_wait_handler(&suite_handler.late_done,
                       suite_handler.late_begun); /* they return through the table */
    rpc_table_free(suite_table);
    return 0;
}

/* --- the contract --- */

static void test_a_unary_call_ends_with_its_reply_and_http_status(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    get_begin(&seen, "e-1");
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_OK);
    assert_string_equal(seen.reply, "e-1");
    assert_int_equal(seen.http_status, 304);
    pthread_mutex_lock(&suite_handler.lock);
    assert_string_equal(suite_handler.request_id, "r1");
    assert_string_equal(suite_handler.authorization, "Bearer x");
    pthread_mutex_unlock(&suite_handler.lock);
    upstream_cancel(seen.call); /* too late: nothing happens */
    upstream_writable(seen.call);
    upstream_release(seen.call);
    assert_int_equal(seen.ends, 1);
}

static void test_a_failure_arrives_with_all_that_it_says(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.drop = true; /* the last reference goes inside of on_end, perhaps while begin is on the stack */
    get_begin(&seen, "none");
    suite_wait_end(&seen);
    assert_int_equal(seen.status.reason, REASON_EVENT_UNKNOWN);
    assert_int_equal(seen.status.code, STATUS_NOT_FOUND);
    assert_string_equal(seen.status.message, "no such \"event\": 100 % näher");
    suite_seen_init(&seen);
    seen.drop = true;
    get_begin(&seen, "faults");
    suite_wait_end(&seen);
    assert_int_equal(seen.status.reason, REASON_INVALID_FIELD);
    assert_string_equal(seen.reply, "event_id");
}

static void test_bytes_that_rpc_refuses_end_the_call(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.call = suite_get(&seen, "", 0);
    upstream_begin(seen.call, BYTES_LITERAL("\x0a\x09short"));
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_INVALID_ARGUMENT);
    upstream_release(seen.call);
}

static void test_an_answer_from_another_thread_and_a_large_one(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.drop = true;
    get_begin(&seen, "late");
    suite_wait_end(&seen);
    assert_string_equal(seen.reply, "late");
    suite_seen_init(&seen);
    seen.drop = true;
    get_begin(&seen, "large");
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_OK);
    assert_int_equal(seen.reply_bytes, SUITE_LARGE_BYTES);
}

static void test_a_call_may_be_begun_where_another_ends(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.chain = 20;
    get_begin(&seen, "first");
    suite_wait_end(&seen);
    assert_string_equal(seen.reply, "again");
    upstream_release(seen.call);
}

static void test_a_held_call_is_cancelled(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    get_begin(&seen, "hold");
    suite_wait_handler(&suite_handler.held, 1);
    upstream_cancel(seen.call);
    upstream_cancel(seen.call); /* twice does no harm */
    suite_wait_end(&seen);
    suite_wait_handler(&suite_handler.cancelled, 1);
    assert_int_equal(seen.status.code, STATUS_CANCELLED);
    upstream_release(seen.call);
    assert_int_equal(seen.ends, 1);
}

static void test_a_stream_gives_all_messages_in_order_and_ends(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.call = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen, 0);
    upstream_begin(seen.call, BYTES_NONE);
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_OK);
    assert_int_equal(seen.messages, SUITE_MESSAGES);
    assert_false(seen.overrun);
    upstream_release(seen.call);
}

static void test_a_stream_waits_for_room(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.pause_every = 50;
    seen.call = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen, 0);
    upstream_begin(seen.call, BYTES_NONE);
    for (unsigned count = seen.pause_every; count <= SUITE_MESSAGES; count += seen.pause_every) {
        suite_wait_messages(&seen, count);
        suite_resume(&seen);
    }
    suite_wait_end(&seen);
    assert_int_equal(seen.status.code, STATUS_OK);
    assert_int_equal(seen.messages, SUITE_MESSAGES);
    assert_false(seen.overrun);
    upstream_release(seen.call);
}

static void test_a_waiting_stream_is_cancelled(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    seen.pause_every = 1;
    seen.call = suite_make(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE, &seen, 0);
    upstream_begin(seen.call, BYTES_NONE);
    suite_wait_messages(&seen, 1);
    upstream_cancel(seen.call);
    suite_wait_end(&seen);
    suite_resume(&seen); /* too late */
    assert_int_equal(seen.status.code, STATUS_CANCELLED);
    assert_int_equal(seen.messages, 1);
    assert_false(seen.overrun);
    upstream_release(seen.call);
}

static void test_a_call_that_never_began_is_given_back(void **state)
{
    (void)state;
    struct suite_seen seen;
    suite_seen_init(&seen);
    upstream_release(suite_get(&seen, "never", 0));
    upstream_release(NULL);
    assert_int_equal(seen.ends, 0);
}

static void *ask_many(void *context)
{
    static const char *const ids[] = {"one", "none", "late", "three"};
    unsigned *wrong = context;
    for (unsigned i = 0; i < THREAD_CALLS; i++) {
        struct suite_seen seen;
        const char *id = ids[i % 4];
        suite_seen_init(&seen);
        get_begin(&seen, id);
        suite_wait_end(&seen);
        upstream_release(seen.call);
        const bool failed = strcmp(id, "none") == 0;
        *wrong += failed ? seen.status.reason != REASON_EVENT_UNKNOWN : strcmp(seen.reply, id) != 0;
    }
    return NULL;
}

static void test_many_threads_at_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned wrong[THREADS] = {0};
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &wrong[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(wrong[i], 0);
    }
}

int upstream_suite_run(const struct upstream_suite *suite)
{
#define IN_SUITE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        IN_SUITE(test_a_unary_call_ends_with_its_reply_and_http_status),
        IN_SUITE(test_a_failure_arrives_with_all_that_it_says),
        IN_SUITE(test_bytes_that_rpc_refuses_end_the_call),
        IN_SUITE(test_an_answer_from_another_thread_and_a_large_one),
        IN_SUITE(test_a_call_may_be_begun_where_another_ends),
        IN_SUITE(test_a_held_call_is_cancelled),
        IN_SUITE(test_a_stream_gives_all_messages_in_order_and_ends),
        IN_SUITE(test_a_stream_waits_for_room),
        IN_SUITE(test_a_waiting_stream_is_cancelled),
        IN_SUITE(test_a_call_that_never_began_is_given_back),
        IN_SUITE(test_many_threads_at_once),
    };
    suite_now = suite;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
