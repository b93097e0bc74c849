/* Health and reflection, as a prober and grpcurl use them. */
#include "server_fixture.h"

#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <string.h>

typedef Grpc__Reflection__V1__ServerReflectionResponse ReflectionResponse;

static int check_health(struct fixture *fixture, const char *service, struct client_reply *ret)
{
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct buffer request = buffer_make(0);
    wire_put_bytes(&request, 1, bytes_of_text(service));
    grpc_client_call(client, HEALTH_CHECK, buffer_bytes(&request), 0, NULL, ret);
    buffer_done(&request);
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, ret->body.size_bytes, ret->body.data);
    const int answer = response == NULL ? -1 : (int)response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    client_reply_done(ret);
    return answer;
}

static void test_health_follows_what_main_says(void **state)
{
    struct fixture *fixture = *state;
    struct client_reply reply;
    assert_int_equal(check_health(fixture, "", &reply), 2); /* NOT_SERVING until told */
    server_set_serving(fixture->server, true);
    assert_int_equal(check_health(fixture, "", &reply), 1);
    assert_int_equal(check_health(fixture, "strata.v1.EventService", &reply), 1);
    (void)check_health(fixture, "strata.v1.Unheard", &reply);
    assert_int_equal(reply.code, STATUS_NOT_FOUND);
}

static int read_health(struct grpc_stream *stream)
{
    struct buffer message = buffer_make(0);
    assert_true(grpc_stream_read(stream, &message));
    assert_int_equal(message.size_bytes, 2);
    const int answer = message.data[1];
    buffer_done(&message);
    return answer;
}

static void test_a_health_watcher_is_told_of_changes_and_of_the_end(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = grpc_stream_open(client, HEALTH_WATCH, 0);
    assert_true(grpc_stream_write(stream, BYTES_NONE));
    grpc_stream_half_close(stream);
    assert_int_equal(read_health(stream), 2);
    server_set_serving(fixture->server, true);
    assert_int_equal(read_health(stream), 1);
    server_stop(fixture->server, 600000); /* returns at once: a watcher must not hold the stop up */
    fixture->server = NULL;
    struct buffer rest = buffer_make(0);
    while (grpc_stream_read(stream, &rest)) /* NOT_SERVING, unless the closing connection was faster */
        assert_int_equal(rest.data[1], 2);
    struct client_reply reply = {0};
    grpc_stream_finish(stream, &reply);
    assert_int_equal(reply.code, STATUS_UNAVAILABLE);
    client_reply_done(&reply);
    buffer_done(&rest);
}

/* Asks one question; the response is to be freed. */
static ReflectionResponse *ask(struct grpc_stream *stream, uint32_t field, struct bytes about)
{
    struct buffer buffer = buffer_make(0);
    wire_put_bytes(&buffer, field, about);
    assert_true(grpc_stream_write(stream, buffer_bytes(&buffer)));
    assert_true(grpc_stream_read(stream, &buffer));
    ReflectionResponse *response =
        grpc__reflection__v1__server_reflection_response__unpack(NULL, buffer.size_bytes, buffer.data);
    assert_non_null(response);
    buffer_done(&buffer);
    return response;
}

static void done(ReflectionResponse *response)
{
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
}

static void end_stream(struct grpc_stream *stream)
{
    struct client_reply reply = {0};
    grpc_stream_half_close(stream);
    grpc_stream_finish(stream, &reply);
    assert_int_equal(reply.code, STATUS_OK);
    client_reply_done(&reply);
}

static void assert_services(struct grpc_stream *stream)
{
    static const char *const wanted[] = {"strata.v1.EventService", "strata.v1.SystemService",
                                         "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                         "grpc.reflection.v1alpha.ServerReflection"};
    ReflectionResponse *response = ask(stream, 7, BYTES_LITERAL("*"));
    assert_int_equal(
        response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE);
    for (size_t w = 0; w < ARRAY_SIZE(wanted); w++) {
        size_t found = 0;
        for (size_t i = 0; i < response->list_services_response->n_service; i++)
            found += strcmp(response->list_services_response->service[i]->name, wanted[w]) == 0;
        if (found != 1)
            fail_msg("%s is listed %zu times", wanted[w], found);
    }
    done(response);
}

/* The last file of an answer is the one asked for; before it stand its imports. */
static void assert_file(ReflectionResponse *response, const char *name)
{
    assert_int_equal(
        response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
    const Grpc__Reflection__V1__FileDescriptorResponse *files = response->file_descriptor_response;
    assert_true(files->n_file_descriptor_proto > 0);
    const ProtobufCBinaryData *last = &files->file_descriptor_proto[files->n_file_descriptor_proto - 1];
    struct wire_field field;
    size_t at = 0;
    assert_true(wire_next(bytes_of(last->data, last->len), &at, &field)); /* the name is field 1 */
    assert_true(bytes_equal(field.bytes, bytes_of_text(name)));
    done(response);
}

static void test_reflection_finds_services_symbols_files_and_extensions(void **state)
{
    static const struct {
        uint32_t field;
        const char *about;
        const char *file;
    } questions[] = {
        {4, "strata.v1.EventService", "strata/v1/event_service.proto"},
        {4, "strata.v1.EventService.PublishEvent", "strata/v1/event_service.proto"},
        {4, "strata.v1.Event", "strata/v1/event.proto"},
        {4, "strata.v1.Event.aggregate_id", "strata/v1/event.proto"},
        {4, "strata.v1.Health.Component", "strata/v1/system_service.proto"},
        {4, "strata.v1.BACKWARD", "strata/v1/event_service.proto"},
        {3, "strata/v1/event.proto", "strata/v1/event.proto"},
        {3, "google/protobuf/timestamp.proto", "google/protobuf/timestamp.proto"},
        {5, "\x0a\x1dgoogle.protobuf.MethodOptions\x10\xb2\x8b\x03", "strata/v1/options.proto"}, /* 50610 */
    };
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    static const char *const paths[] = {REFLECTION, REFLECTION_V1ALPHA};
    for (size_t p = 0; p < ARRAY_SIZE(paths); p++) {
        struct grpc_stream *stream = grpc_stream_open(client, paths[p], 0);
        assert_services(stream);
        for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
            assert_file(ask(stream, questions[i].field, bytes_of_text(questions[i].about)),
                        questions[i].file);
        end_stream(stream);
    }
}

static void test_reflection_answers_the_unknown_with_not_found(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(grpc_client_free_at)
    struct grpc_client *client = grpc_client_new(server_port(fixture->server), NULL);
    struct grpc_stream *stream = grpc_stream_open(client, REFLECTION, 0);
    for (uint32_t field = 3; field <= 6; field++) {
        const struct bytes extension = BYTES_LITERAL("\x0a\x01x\x10\x01"); /* number 1 of "x" */
        ReflectionResponse *response = ask(stream, field, field == 5 ? extension : BYTES_LITERAL("x"));
        assert_int_equal(response->message_response_case,
                         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE);
        assert_int_equal(response->error_response->error_code, STATUS_NOT_FOUND);
        done(response);
    }
    end_stream(stream);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_health_follows_what_main_says),
        WITH_SERVER(test_a_health_watcher_is_told_of_changes_and_of_the_end),
        WITH_SERVER(test_reflection_finds_services_symbols_files_and_extensions),
        WITH_SERVER(test_reflection_answers_the_unknown_with_not_found),
    };
    return cmocka_run_group_tests_name("server_services", tests, NULL, NULL);
}
