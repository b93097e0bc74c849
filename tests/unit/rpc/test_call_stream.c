/* Client streams: messages in, each with memory of its own. */
#include "fake_edge.h"

#include <stdlib.h>
#include <strata/v1/event_service.pb-c.h>
#include <string.h>

#define APPEND METHOD_EVENT_SERVICE_APPEND_STREAM

struct stage {
    struct rpc_table *table;
    struct fake_edge edge;
    struct call *call;
    struct call_message *messages[CALL_MESSAGES_MAX];
    unsigned count;
    int half_closes;
};

static void append_start(void *service, struct call *call, const ProtobufCMessage *message)
{
    (void)service;
    (void)call;
    assert_null(message);
}

static void append_message(void *service, struct call *call, struct call_message *message)
{
    struct stage *stage = service;
    assert_ptr_equal(message->call, call);
    assert_true(stage->count < CALL_MESSAGES_MAX);
    stage->messages[stage->count++] = message;
}

static void append_half_close(void *service, struct call *call)
{
    (void)call;
    ((struct stage *)service)->half_closes++;
}

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->table = rpc_table_new();
    const struct method_handler append = {append_start, append_message, append_half_close};
    rpc_table_set(stage->table, APPEND, &append, stage);
    stage->call = fake_call(stage->table, APPEND, &stage->edge);
    rpc_call_start(stage->call, BYTES_NONE);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    call_unref(stage->call);
    rpc_table_free(stage->table);
    free(stage);
    return 0;
}

static void finish(struct stage *stage)
{
    for (unsigned i = 0; i < stage->count; i++)
        call_message_done(stage->messages[i]);
    const struct status ok = status_ok();
    call_finish(stage->call, &ok);
    assert_int_equal(stage->edge.finishes, 1);
}

static const struct bytes good = {(const uint8_t *)"\x0a\x04\x0a\x02"
                                                   "id",
                                  6};

static void test_messages_are_unpacked_one_by_one(void **state)
{
    struct stage *stage = *state;
    rpc_call_message(stage->call, good);
    rpc_call_message(stage->call, good);
    assert_int_equal(stage->count, 2);
    assert_ptr_not_equal(stage->messages[0]->arena, stage->messages[1]->arena);
    assert_string_equal(
        ((const Strata__V1__AppendStreamRequest *)stage->messages[1]->request)->append->append_id, "id");
    call_message_done(stage->messages[0]); /* in any order */
    assert_int_equal(atomic_load(&stage->edge.messages_done), 1);
    stage->messages[0] = stage->messages[--stage->count];
    finish(stage);
    assert_int_equal(atomic_load(&stage->edge.messages_done), 2);
}

static void test_an_unreadable_message_is_delivered_with_its_error(void **state)
{
    struct stage *stage = *state;
    rpc_call_message(stage->call, BYTES_LITERAL("\x0a\x04\x0a\x02\xff\xfe"));
    assert_int_equal(stage->count, 1);
    assert_null(stage->messages[0]->request);
    assert_int_equal(stage->messages[0]->status.reason, REASON_INVALID_FIELD);
    finish(stage);
}

static void test_the_window_closes_at_its_count(void **state)
{
    struct stage *stage = *state;
    for (unsigned i = 0; i < CALL_MESSAGES_MAX; i++) {
        assert_true(rpc_call_wants_message(stage->call));
        rpc_call_message(stage->call, good);
    }
    assert_false(rpc_call_wants_message(stage->call));
    call_message_done(stage->messages[--stage->count]);
    assert_true(rpc_call_wants_message(stage->call));
    finish(stage);
}

static void test_the_window_closes_at_its_bytes(void **state)
{
    struct stage *stage = *state;
    struct buffer large = buffer_make(0);
    struct buffer event = buffer_make(0);
    struct buffer append = buffer_make(0);
    uint8_t *data = calloc(1, CALL_MESSAGE_BYTES_MAX);
    assert_non_null(data);
    wire_put_bytes(&event, 30, bytes_of(data, CALL_MESSAGE_BYTES_MAX));
    wire_put_bytes(&append, 2, buffer_bytes(&event));
    wire_put_bytes(&large, 1, buffer_bytes(&append));
    assert_status_ok(buffer_status(&large));
    rpc_call_message(stage->call, buffer_bytes(&large)); /* larger than the window: it goes alone */
    assert_non_null(stage->messages[0]->request);
    assert_false(rpc_call_wants_message(stage->call));
    finish(stage);
    free(data);
    buffer_done(&large);
    buffer_done(&event);
    buffer_done(&append);
}

static void test_what_comes_after_the_end_is_dropped(void **state)
{
    struct stage *stage = *state;
    finish(stage);
    rpc_call_message(stage->call, good);
    rpc_call_half_close(stage->call);
    assert_int_equal(stage->count, 0);
    assert_int_equal(stage->half_closes, 0);
}

static void test_half_close_is_told(void **state)
{
    struct stage *stage = *state;
    rpc_call_half_close(stage->call);
    assert_int_equal(stage->half_closes, 1);
    finish(stage);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(test_messages_are_unpacked_one_by_one),
        STAGED(test_an_unreadable_message_is_delivered_with_its_error),
        STAGED(test_the_window_closes_at_its_count),
        STAGED(test_the_window_closes_at_its_bytes),
        STAGED(test_what_comes_after_the_end_is_dropped),
        STAGED(test_half_close_is_told),
    };
    return cmocka_run_group_tests_name("call_stream", tests, NULL, NULL);
}
