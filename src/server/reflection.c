/*
 * grpc.reflection.v1 and v1alpha, which are the same on the wire, read and written there:
 *
 *   ServerReflectionRequest  { string host = 1; oneof { string file_by_filename = 3; string
 * file_containing_symbol = 4; ExtensionRequest file_containing_extension = 5; string
 * all_extension_numbers_of_type = 6; string list_services = 7; } } ExtensionRequest         { string
 * containing_type = 1; int32 extension_number = 2; } ServerReflectionResponse { string valid_host = 1;
 * ServerReflectionRequest original_request = 2; oneof { FileDescriptorResponse  { repeated bytes
 * file_descriptor_proto = 1; } = 4; ExtensionNumberResponse { string base_type_name = 1; repeated int32
 * number = 2; } = 5; ListServiceResponse     { repeated ServiceResponse { string name = 1; } = 1; } = 6;
 *                              ErrorResponse           { int32 error_code = 1; string error_message = 2; } =
 * 7; } }
 */
#include <stdio.h>
#include <string.h>

#include "server/descriptors_internal.h"
#include "server/server_internal.h"

enum request_field {
    ASK_NOTHING = 0,
    ASK_FILE = 3,
    ASK_SYMBOL = 4,
    ASK_EXTENSION = 5,
    ASK_EXTENSION_NUMBERS = 6,
    ASK_SERVICES = 7,
};

enum response_field {
    ANSWER_HOST = 1,
    ANSWER_REQUEST = 2,
    ANSWER_FILES = 4,
    ANSWER_EXTENSION_NUMBERS = 5,
    ANSWER_SERVICES = 6,
    ANSWER_ERROR = 7,
};

struct question {
    uint32_t asked; /* enum request_field */
    struct bytes about;
    struct bytes host;
};

#define NAME_SHOWN_MAX 256

static bool read_question(struct bytes request, struct question *ret)
{
    *ret = (struct question){.asked = ASK_NOTHING};
    for (size_t at = 0; at < request.size_bytes;) {
        struct wire_field field;
        if (request.size_bytes > INTERNAL_REQUEST_MAX_BYTES || !wire_next(request, &at, &field))
            return false;
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == 1)
            ret->host = field.bytes;
        else if (field.number >= ASK_FILE && field.number <= ASK_SERVICES)
            *ret = (struct question){field.number, field.bytes, ret->host};
    }
    return true;
}

static void answer_error(struct buffer *to, enum status_code code, const char *what, struct bytes name)
{
    char text[NAME_SHOWN_MAX + 128];
    const size_t shown = name.size_bytes < NAME_SHOWN_MAX ? name.size_bytes : NAME_SHOWN_MAX;
    (void)snprintf(text, sizeof text, what, (int)shown, name.data == NULL ? "" : (const char *)name.data);
    struct buffer error = buffer_make(0);
    wire_put_uint(&error, 1, (uint64_t)code);
    wire_put_bytes(&error, 2, bytes_of_text(text));
    wire_put_bytes(to, ANSWER_ERROR, buffer_bytes(&error));
    buffer_done(&error);
}

static void add_file(void *context, struct bytes packed)
{
    wire_put_bytes(context, 1, packed);
}

static void answer_file(const struct server *server, size_t file, const char *missing, struct bytes name,
                        struct buffer *to)
{
    if (file == DESCRIPTOR_FILE_NONE) {
        answer_error(to, STATUS_NOT_FOUND, missing, name);
        return;
    }
    struct buffer files = buffer_make(0);
    descriptor_index_visit(server->descriptors, file, add_file, &files);
    wire_put_bytes(to, ANSWER_FILES, buffer_bytes(&files));
    buffer_done(&files);
}

static void answer_extension(const struct server *server, struct bytes request, struct buffer *to)
{
    struct bytes type = BYTES_NONE;
    int32_t number = 0;
    struct wire_field field;
    for (size_t at = 0; at < request.size_bytes && wire_next(request, &at, &field);) {
        if (field.number == 1 && field.type == WIRE_LEN)
            type = field.bytes;
        else if (field.number == 2 && field.type == WIRE_VARINT)
            number = (int32_t)field.value;
    }
    answer_file(server, descriptor_index_extension(server->descriptors, type, number),
                "no extension with that number of \"%.*s\" is known", type, to);
}

static void add_number(void *context, int32_t number)
{
    wire_put_uint(context, 2, (uint64_t)number);
}

static void answer_extension_numbers(const struct server *server, struct bytes type, struct buffer *to)
{
    struct buffer numbers = buffer_make(0);
    wire_put_bytes(&numbers, 1, type);
    if (descriptor_index_visit_extensions(server->descriptors, type, add_number, &numbers))
        wire_put_bytes(to, ANSWER_EXTENSION_NUMBERS, buffer_bytes(&numbers));
    else
        answer_error(to, STATUS_NOT_FOUND, "there is no message \"%.*s\"", type);
    buffer_done(&numbers);
}

/* Each service once: methods of a service stand together. */
static void answer_services(const struct server *server, struct buffer *to)
{
    struct buffer services = buffer_make(0);
    struct bytes last = BYTES_NONE;
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        const struct bytes name = method_service(&server->methods[i]);
        if (bytes_equal(name, last))
            continue;
        last = name;
        struct buffer service = buffer_make(0);
        wire_put_bytes(&service, 1, name);
        wire_put_bytes(&services, 1, buffer_bytes(&service));
        buffer_done(&service);
    }
    wire_put_bytes(to, ANSWER_SERVICES, buffer_bytes(&services));
    buffer_done(&services);
}

static void answer(const struct server *server, const struct question *question, struct buffer *to)
{
    switch (question->asked) {
    case ASK_FILE:
        answer_file(server, descriptor_index_file(server->descriptors, question->about),
                    "there is no file \"%.*s\"", question->about, to);
        break;
    case ASK_SYMBOL:
        answer_file(server, descriptor_index_symbol(server->descriptors, question->about),
                    "there is no symbol \"%.*s\"", question->about, to);
        break;
    case ASK_EXTENSION:
        answer_extension(server, question->about, to);
        break;
    case ASK_EXTENSION_NUMBERS:
        answer_extension_numbers(server, question->about, to);
        break;
    case ASK_SERVICES:
        answer_services(server, to);
        break;
    default:
        answer_error(to, STATUS_INVALID_ARGUMENT, "the request asks for nothing%.*s", BYTES_NONE);
        break;
    }
}

/* A finished exchange has no context: nothing is told to it any more. */
static void finish(struct exchange *exchange, const struct status *status)
{
    exchange->context = NULL;
    exchange_finish(exchange, status, BYTES_NONE, 0);
}

static void begin(struct exchange *exchange, struct bytes request)
{
    (void)request;
    exchange->context = exchange;
}

static void message(struct exchange *exchange, struct bytes request)
{
    struct question question;
    struct status status = status_ok();
    if (!read_question(request, &question))
        status = status_error(STATUS_INVALID_ARGUMENT, "the %zu bytes are not a ServerReflectionRequest",
                              request.size_bytes);
    struct buffer response = buffer_make(0);
    if (status_is_ok(&status)) {
        wire_put_bytes(&response, ANSWER_HOST, question.host);
        wire_put_bytes(&response, ANSWER_REQUEST, request);
        answer(exchange->server, &question, &response);
        status = buffer_status(&response);
    }
    if (status_is_ok(&status))
        (void)exchange_send(exchange, buffer_bytes(&response)); /* wants_message waits until it is gone */
    else
        finish(exchange, &status);
    buffer_done(&response);
}

static void half_close(struct exchange *exchange)
{
    const struct status ok = status_ok();
    finish(exchange, &ok);
}

static void cancel(struct exchange *exchange)
{
    const struct status status = status_error(STATUS_CANCELLED, "the caller is gone");
    finish(exchange, &status);
}

/* One answer at a time: an answer is a hundred times as large as the question. Asked with outbox_lock held. */
static bool wants_message(const struct exchange *exchange)
{
    return exchange->unsent == 0;
}

const struct exchange_handler reflection_handler = {.begin = begin,
                                                    .message = message,
                                                    .half_close = half_close,
                                                    .wants_message = wants_message,
                                                    .cancel = cancel};
