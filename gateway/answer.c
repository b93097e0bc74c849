/* A unary reply as JSON, with what its fields and the method's options put into headers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/gateway_internal.h"
#include "gateway/transcode/transcode.h"

#define EXPOSED "ETag, Location, Strata-Position, Strata-Replayed, Strata-Request-Id"

void add_header(struct answer_headers *headers, const char *name, struct bytes value)
{
    if (headers->count < ANSWER_HEADERS_MAX)
        headers->items[headers->count++] = (struct http_header){bytes_of_text(name), value};
}

void add_common_headers(struct answer_headers *headers, const struct gateway_call *call)
{
    if (call->origin.size_bytes == 0)
        return;
    add_header(headers, "Access-Control-Allow-Origin", call->origin);
    add_header(headers, "Access-Control-Expose-Headers", BYTES_LITERAL(EXPOSED));
    add_header(headers, "Vary", BYTES_LITERAL("Origin"));
}

void answer_problem(struct gateway_call *call, const struct status *status, int http_status)
{
    exchange_problem(call->exchange, status, http_status);
}

bool find_wire_field(struct bytes wire, uint32_t number, struct wire_field *ret)
{
    bool found = false;
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen))
            return false;
        if (seen.number == number) {
            *ret = seen;
            found = true;
        }
    }
    return found;
}

/* A scalar of the reply as header text; empty when it has its default value. */
static struct bytes header_text(struct arena *arena, const struct schema_field *field, struct bytes reply)
{
    struct wire_field seen;
    if (!find_wire_field(reply, field->number, &seen))
        return BYTES_NONE;
    if (field->kind == SCHEMA_STRING)
        return seen.bytes;
    if (field->kind == SCHEMA_BOOL)
        return seen.value != 0 ? BYTES_LITERAL("true") : BYTES_NONE;
    return bytes_of_text(arena_printf(arena, "%" PRId64, (int64_t)seen.value));
}

static void add_reply_headers(struct answer_headers *headers, struct arena *arena,
                              const struct schema_message *message, struct bytes reply)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (field->http_header == NULL)
            continue;
        const struct bytes text = header_text(arena, field, reply);
        if (text.size_bytes > 0)
            add_header(headers, field->http_header, text);
    }
}

/* "{event.id}": follows the names through the reply. */
static struct bytes resolve(struct arena *arena, const struct schema_message *message, struct bytes wire,
                            struct bytes path)
{
    for (;;) {
        const uint8_t *dot = path.size_bytes == 0 ? NULL : memchr(path.data, '.', path.size_bytes);
        const size_t size = dot == NULL ? path.size_bytes : (size_t)(dot - path.data);
        const struct schema_field *field = schema_field_by_name(message, bytes_of(path.data, size));
        struct wire_field seen;
        if (field == NULL || !find_wire_field(wire, field->number, &seen))
            return BYTES_NONE;
        if (dot == NULL)
            return header_text(arena, field, wire);
        message = field->message;
        wire = seen.bytes;
        path = bytes_of(dot + 1, path.size_bytes - size - 1);
    }
}

static void add_location(struct answer_headers *headers, struct arena *arena, const struct schema_method *method,
                         struct bytes reply)
{
    if (method->http_location == NULL)
        return;
    struct buffer location = buffer_in(arena, 0);
    for (const char *at = method->http_location; *at != '\0';) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (close == NULL) {
            buffer_add_byte(&location, (uint8_t)*at++);
            continue;
        }
        const struct bytes path = bytes_of(at + 1, (size_t)(close - at - 1));
        percent_encode(resolve(arena, method->reply, reply, path), &location);
        at = close + 1;
    }
    if (!location.failed)
        add_header(headers, "Location", buffer_bytes(&location));
}

static struct status reply_json(const struct gateway_call *call, struct bytes reply, struct buffer *json)
{
    const struct schema_message *message = call->method->reply;
    const char *part = call->route->response_body;
    if (part == NULL)
        return transcode_to_json(message, reply, json);
    const struct schema_field *field = schema_field_by_name(message, bytes_of_text(part));
    struct wire_field seen = {0};
    (void)find_wire_field(reply, field->number, &seen); /* absent reads as an empty message */
    return transcode_to_json(field->message, seen.bytes, json);
}

void answer_reply(struct gateway_call *call, struct bytes reply, int http_status)
{
    struct arena *arena = exchange_request(call->exchange)->arena;
    struct answer_headers headers = {.count = 0};
    const int code = http_status != 0 ? http_status : call->method->http_success;
    add_reply_headers(&headers, arena, call->method->reply, reply);
    add_common_headers(&headers, call);
    if (code == 304 || code == 204) {
        exchange_respond(call->exchange, code, headers.items, headers.count, BYTES_NONE);
        return;
    }
    struct buffer json = buffer_make(0);
    struct status status = reply_json(call, reply, &json);
    if (status.code != STATUS_OK) {
        answer_problem(call, &status, 0);
    } else {
        if (code == call->method->http_success)
            add_location(&headers, arena, call->method, reply);
        add_header(&headers, "Content-Type", BYTES_LITERAL("application/json"));
        exchange_respond(call->exchange, code, headers.items, headers.count, buffer_bytes(&json));
    }
    buffer_done(&json);
}
