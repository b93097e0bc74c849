#include "fake_edge.h"

#include <pthread.h>
#include <stdlib.h>
#include <strata/v1/event_service.pb-c.h>
#include <string.h>

#define PUBLISH METHOD_EVENT_SERVICE_PUBLISH_EVENT
#define READ    METHOD_EVENT_SERVICE_READ_EVENTS

/* What the handler of this test saw, and what it is to do. */
struct stage {
    struct rpc_table *table;
    struct fake_edge edge;
    struct call *call;
    int starts;
    int cancels;
    int writables;
    char type[64];
    size_t tag_count;
    bool watch;     /* set on_cancel and on_writable */
    bool hold;      /* do not answer in start */
    char trace[64]; /* of interceptors */
    enum status_code refuse;
};

static void see_cancel(void *context)
{
    ((struct stage *)context)->cancels++;
}

static void see_writable(void *context)
{
    ((struct stage *)context)->writables++;
}

static void answer(struct call *call, const char *type)
{
    Strata__V1__Event event = STRATA__V1__EVENT__INIT;
    event.type = (char *)type;
    Strata__V1__PublishEventResponse response = STRATA__V1__PUBLISH_EVENT_RESPONSE__INIT;
    response.event = &event;
    call_reply(call, &response.base);
}

static void publish_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    struct stage *stage = service;
    const Strata__V1__PublishEventRequest *request = (const Strata__V1__PublishEventRequest *)message;
    stage->starts++;
    (void)snprintf(stage->type, sizeof stage->type, "%s", request->type);
    stage->tag_count = request->n_tags;
    if (stage->watch) {
        call_on_cancel(call, see_cancel, stage);
        call_on_writable(call, see_writable, stage);
    }
    if (!stage->hold)
        answer(call, request->type);
}

static void read_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    (void)message;
    struct stage *stage = service;
    call_on_writable(call, see_writable, stage);
}

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->table = rpc_table_new();
    const struct method_handler publish = {.start = publish_start};
    const struct method_handler read = {.start = read_start};
    rpc_table_set(stage->table, PUBLISH, &publish, stage);
    rpc_table_set(stage->table, READ, &read, stage);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    rpc_table_free(stage->table);
    free(stage);
    return 0;
}

static const struct bytes good = {(const uint8_t *)"\x12\x04"
                                                   "good",
                                  6};

static void test_a_unary_call_unpacks_starts_and_packs(void **state)
{
    struct stage *stage = *state;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, good);
    assert_string_equal(stage->type, "good");
    assert_int_equal(stage->edge.finishes, 1);
    assert_int_equal(stage->edge.status.code, STATUS_OK);
    Strata__V1__PublishEventResponse *response =
        strata__v1__publish_event_response__unpack(NULL, stage->edge.reply_bytes, stage->edge.reply);
    assert_string_equal(response->event->type, "good");
    strata__v1__publish_event_response__free_unpacked(response, NULL);
    call_unref(call);
}

static void test_an_empty_request_is_a_request(void **state)
{
    struct stage *stage = *state;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, BYTES_NONE);
    assert_int_equal(stage->starts, 1);
    assert_string_equal(stage->type, "");
    call_unref(call);
}

static void test_what_cannot_be_read_reaches_no_handler(void **state)
{
    struct stage *stage = *state;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, BYTES_LITERAL("\x12\x02\xff\xfe"));
    assert_int_equal(stage->starts, 0);
    assert_int_equal(stage->edge.finishes, 1);
    assert_int_equal(stage->edge.status.reason, REASON_INVALID_FIELD);
    assert_non_null(strstr(stage->edge.status.message, "type"));
    call_unref(call);
}

/* 2 bytes of wire become 16 of text, 8 of pointer and as much again while reading: the budget stops it. */
static void test_unpacking_is_bounded_by_the_size_of_the_request(void **state)
{
    struct stage *stage = *state;
    const size_t count = 60000;
    struct buffer wire = buffer_make(0);
    for (size_t i = 0; i < count; i++)
        buffer_add(&wire, "\x62\x00", 2); /* tags: "" */
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, buffer_bytes(&wire));
    assert_int_equal(stage->starts, 0);
    assert_int_equal(stage->edge.status.code, STATUS_INVALID_ARGUMENT);
    if (strstr(stage->edge.status.message, "send fewer") == NULL)
        fail_msg("the message does not help: %s", stage->edge.status.message);
    call_unref(call);
    buffer_done(&wire);
}

static void test_a_thousand_small_items_may_pass(void **state)
{
    struct stage *stage = *state;
    struct buffer wire = buffer_make(0);
    for (size_t i = 0; i < 1000; i++)
        buffer_add(&wire, "\x62\x01x", 3);
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, buffer_bytes(&wire));
    if (stage->tag_count != 1000)
        fail_msg("%zu tags: %s", stage->tag_count, stage->edge.status.message);
    call_unref(call);
    buffer_done(&wire);
}

static void test_cancel_is_told_once_and_the_call_still_finishes(void **state)
{
    struct stage *stage = *state;
    stage->watch = stage->hold = true;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, good);
    assert_true(rpc_call_watches_cancel(call));
    assert_false(call_cancelled(call));
    rpc_call_cancel(call);
    rpc_call_cancel(call);
    assert_true(call_cancelled(call));
    assert_int_equal(stage->cancels, 1);
    assert_int_equal(stage->edge.finishes, 0);
    answer(call, "late");
    assert_int_equal(stage->edge.finishes, 1);
    call_unref(call);
}

static void test_nothing_is_told_after_the_end(void **state)
{
    struct stage *stage = *state;
    stage->watch = true;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, good);
    rpc_call_cancel(call);
    rpc_call_writable(call);
    assert_int_equal(stage->cancels, 0);
    assert_int_equal(stage->writables, 0);
    call_unref(call);
}

static void test_a_call_cancelled_before_its_start_reaches_no_handler(void **state)
{
    struct stage *stage = *state;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_cancel(call);
    rpc_call_start(call, good);
    assert_int_equal(stage->starts, 0);
    assert_int_equal(stage->edge.status.code, STATUS_CANCELLED);
    call_unref(call);
}

static void test_a_stream_passes_back_pressure_on(void **state)
{
    struct stage *stage = *state;
    struct call *call = fake_call(stage->table, READ, &stage->edge);
    rpc_call_start(call, BYTES_NONE);
    assert_true(call_send_bytes(call, BYTES_LITERAL("abc")));
    stage->edge.full = true;
    Strata__V1__ReadEventsResponse response = STRATA__V1__READ_EVENTS_RESPONSE__INIT;
    response.position = 5;
    assert_false(call_send(call, &response.base));
    assert_int_equal(stage->edge.reply_bytes, 2);
    rpc_call_writable(call);
    assert_int_equal(stage->writables, 1);
    const struct status ok = status_ok();
    call_finish(call, &ok);
    assert_int_equal(stage->edge.sends, 2);
    call_unref(call);
}

static void test_a_used_call_forgets_its_past(void **state)
{
    struct stage *stage = *state;
    for (int round = 0; round < 3; round++) {
        struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
        assert_true(bytes_equal(call_principal(call), BYTES_LITERAL("anonymous")));
        assert_false(call_cancelled(call));
        assert_false(rpc_call_watches_cancel(call));
        assert_true(bytes_equal(call_peer(call), BYTES_LITERAL("[::1]:9")));
        stage->watch = stage->hold = true;
        rpc_call_start(call, good);
        call_set_principal(call, BYTES_LITERAL("alice"));
        call_set_http_status(call, 304);
        rpc_call_cancel(call);
        answer(call, "x");
        assert_int_equal(stage->edge.http_status, 304);
        call_unref(call);
    }
}

/* --- interceptors --- */

static void trace(struct stage *stage, const char *what)
{
    const size_t used = strlen(stage->trace);
    (void)snprintf(stage->trace + used, sizeof stage->trace - used, "%s ", what);
}

static struct status before_first(void *context, struct call *call)
{
    trace(context, "first");
    call_set_principal(call, BYTES_LITERAL("bob"));
    return status_ok();
}

static struct status before_second(void *context, struct call *call)
{
    struct stage *stage = context;
    trace(stage, "second");
    assert_true(bytes_equal(call_principal(call), BYTES_LITERAL("bob")));
    return stage->refuse == STATUS_OK ? status_ok() : status_error(stage->refuse, "not you");
}

static void after_first(void *context, const struct call *call, const struct status *status)
{
    assert_non_null(call_method(call));
    trace(context, status_is_ok(status) ? "/first" : "/first!");
}

static void after_third(void *context, const struct call *call, const struct status *status)
{
    (void)call;
    trace(context, status_is_ok(status) ? "/third" : "/third!");
}

static void intercept(struct stage *stage)
{
    const struct interceptor chain[] = {
        {stage, before_first, after_first}, {stage, before_second, NULL}, {stage, NULL, after_third}};
    for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
        rpc_table_intercept(stage->table, &chain[i]);
}

static void test_interceptors_enclose_the_handler(void **state)
{
    struct stage *stage = *state;
    intercept(stage);
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, good);
    assert_string_equal(stage->trace, "first second /third /first ");
    call_unref(call);
}

static void test_a_refusal_skips_the_handler_and_is_seen_by_all(void **state)
{
    struct stage *stage = *state;
    intercept(stage);
    stage->refuse = STATUS_PERMISSION_DENIED;
    struct call *call = fake_call(stage->table, PUBLISH, &stage->edge);
    rpc_call_start(call, BYTES_LITERAL("\xff")); /* refused before it is even looked at */
    assert_int_equal(stage->starts, 0);
    assert_int_equal(stage->edge.status.code, STATUS_PERMISSION_DENIED);
    assert_string_equal(stage->trace, "first second /third! /first! ");
    call_unref(call);
}

/* --- the race of cancel and finish --- */

/* Its memory goes with call_finish, as a handler's does: a callback after that would be seen by the sanitizers. */
struct ticket {
    struct call *call;
    pthread_mutex_t lock;
    int told;
};

static void ticket_told(void *context)
{
    struct ticket *ticket = context;
    pthread_mutex_lock(&ticket->lock);
    ticket->told++;
    pthread_mutex_unlock(&ticket->lock);
}

static void ticket_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    (void)message;
    struct ticket *ticket = malloc(sizeof *ticket);
    assert_non_null(ticket);
    *ticket = (struct ticket){call, PTHREAD_MUTEX_INITIALIZER, 0};
    call_on_cancel(call, ticket_told, ticket);
    call_on_writable(call, ticket_told, ticket);
    *(struct ticket **)service = ticket;
}

static void *ticket_finish(void *argument)
{
    struct ticket *ticket = argument;
    answer(ticket->call, "x");
    pthread_mutex_destroy(&ticket->lock);
    memset(ticket, 0xEE, sizeof *ticket);
    free(ticket);
    return NULL;
}

static void test_a_callback_never_meets_a_finished_handler(void **state)
{
    (void)state;
    struct ticket *ticket = NULL;
    struct rpc_table *table = rpc_table_new();
    const struct method_handler handler = {.start = ticket_start};
    rpc_table_set(table, PUBLISH, &handler, &ticket);
    for (int round = 0; round < 500; round++) {
        struct fake_edge edge = {0};
        struct call *call = fake_call(table, PUBLISH, &edge);
        rpc_call_start(call, good);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ticket_finish, ticket), 0);
        for (int i = 0; i < 20; i++)
            rpc_call_writable(call);
        rpc_call_cancel(call);
        pthread_join(thread, NULL);
        assert_int_equal(edge.finishes, 1);
        call_unref(call);
    }
    rpc_table_free(table);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(test_a_unary_call_unpacks_starts_and_packs),
        STAGED(test_an_empty_request_is_a_request),
        STAGED(test_what_cannot_be_read_reaches_no_handler),
        STAGED(test_unpacking_is_bounded_by_the_size_of_the_request),
        STAGED(test_a_thousand_small_items_may_pass),
        STAGED(test_cancel_is_told_once_and_the_call_still_finishes),
        STAGED(test_nothing_is_told_after_the_end),
        STAGED(test_a_call_cancelled_before_its_start_reaches_no_handler),
        STAGED(test_a_stream_passes_back_pressure_on),
        STAGED(test_a_used_call_forgets_its_past),
        STAGED(test_interceptors_enclose_the_handler),
        STAGED(test_a_refusal_skips_the_handler_and_is_seen_by_all),
        cmocka_unit_test(test_a_callback_never_meets_a_finished_handler),
    };
    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
