/* A unary reply as JSON, with what its fields and the method's options put into headers; and failures. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/compress.h"
#include "gateway/fault_pointers_internal.h"
#include "gateway/gateway_internal.h"
#include "gateway/http/problem.h"
#include "gateway/transcode/transcode.h"

#define JSON_IN_ARENA_BYTES ((size_t)8 * 1024)

/* --- bodies --- */

/* A strong ETag names the bytes of one representation and comes back in If-Match, so what has one stays as it is. */
static bool has_tag(const struct answer_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        if (bytes_equal(headers->items[i].name, BYTES_LITERAL("ETag")))
            return true;
    return false;
}

/* Compresses the body into *packed where that pays and is wanted; says so in the headers. */
static bool body_packed(const struct http_exchange *exchange, struct answer_headers *headers,
                        struct bytes body, struct buffer *packed)
{
    if (body.size_bytes < COMPRESS_LEAST_BYTES || has_tag(headers))
        return false;
    add_header(headers, "Vary", BYTES_LITERAL("Accept-Encoding"));
    if (!wants_gzip(exchange_request(exchange)) || !gzip_whole(body, packed))
        return false;
    add_header(headers, "Content-Encoding", BYTES_LITERAL("gzip"));
    return true;
}

void respond_body(struct http_exchange *exchange, int http_status, struct answer_headers *headers,
                  struct bytes body)
{
    struct buffer packed = buffer_make(0);
    if (body_packed(exchange, headers, body, &packed))
        exchange_respond_buffer(exchange, http_status, headers->items, headers->count, &packed);
    else
        exchange_respond(exchange, http_status, headers->items, headers->count, body);
    buffer_done(&packed);
}

/* The same with a body that is taken. */
static void respond_buffer(struct http_exchange *exchange, int http_status, struct answer_headers *headers,
                           struct buffer *body)
{
    struct buffer packed = buffer_make(0);
    const bool pays = body_packed(exchange, headers, buffer_bytes(body), &packed);
    exchange_respond_buffer(exchange, http_status, headers->items, headers->count, pays ? &packed : body);
    buffer_done(&packed);
}

/* --- failures --- */

void respond_problem(struct http_exchange *exchange, const struct status *status, int http_status,
                     const char *allow)
{
    respond_problem_at(exchange, NULL, status, http_status, allow);
}

void respond_problem_at(struct http_exchange *exchange, const struct schema_route *route,
                        const struct status *status, int http_status, const char *allow)
{
    const struct http_request *http = exchange_request(exchange);
    struct answer_headers headers = {.count = 0};
    char seconds[16];
    const int code = http_status != 0 ? http_status : status_http(status->code, status->reason);
    add_header(&headers, "Content-Type", BYTES_LITERAL(PROBLEM_CONTENT_TYPE));
    add_cors(&headers, http);
    if (allow != NULL)
        add_header(&headers, "Allow", bytes_of_text(allow));
    if (code == 401) /* RFC 9110 11.6.1 */
        add_header(&headers, "WWW-Authenticate", BYTES_LITERAL("Bearer"));
    if (code == 415 && !body_is_plain(http)) /* RFC 9110 12.5.3 */
        add_header(&headers, "Accept-Encoding", BYTES_LITERAL("identity"));
    if (status->retry_after_ms > 0) {
        (void)snprintf(seconds, sizeof seconds, "%d", (status->retry_after_ms - 1) / 1000 + 1); /* fits */
        add_header(&headers, "Retry-After", bytes_of_text(seconds));
    }
    struct buffer body = buffer_make(0);
    problem_write_at(&body, status, code, http->request_id,
                     fault_pointers(http->arena, http, route, status->faults));
    respond_body(exchange, code, &headers, body.failed ? BYTES_NONE : buffer_bytes(&body));
    buffer_done(&body);
}

/* --- headers from the reply --- */

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

void add_reply_headers(struct answer_headers *headers, struct arena *arena,
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

/* "event.id": follows the names through the reply. */
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

/* None when a part of it is not in the reply: a half location leads to another thing. */
static void add_location(struct answer_headers *headers, struct arena *arena,
                         const struct schema_method *method, struct bytes reply)
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
        const struct bytes value = resolve(arena, method->reply, reply, path);
        if (value.size_bytes == 0)
            return;
        percent_encode(value, &location);
        at = close + 1;
    }
    if (!location.failed)
        add_header(headers, "Location", buffer_bytes(&location));
}

/* --- the reply --- */

static struct status reply_json(const struct gateway_call *call, struct bytes reply, struct buffer *json)
{
    const struct schema_message *message = call->method->reply;
    const char *part = call->route->response_body;
    if (part == NULL)
        return transcode_to_json(message, reply, json);
    const struct schema_field *field = schema_field_by_name(message, bytes_of_text(part));
    struct wire_field seen;
    (void)find_wire_field(reply, field->number, &seen); /* absent reads as an empty message */
    return transcode_to_json(field->message, seen.bytes, json);
}

void answer_reply(struct gateway_call *call, struct bytes reply, int http_status)
{
    const struct http_request *http = exchange_request(call->exchange);
    struct answer_headers headers = {.count = 0};
    const int code = http_status != 0 ? http_status : call->method->http_success;
    /* JSON is hardly ever more than half as large again, and what has room never moves. */
    const size_t room = reply.size_bytes * 3 / 2 + 512;
    struct buffer json = room <= JSON_IN_ARENA_BYTES ? buffer_in(http->arena, 0) : buffer_make(0);
    struct status status = status_ok();
    add_reply_headers(&headers, http->arena, call->method->reply, reply);
    add_cors(&headers, http);
    if (code != 304 && code != 204) {
        if (buffer_extend(&json, room) != NULL)
            buffer_clear(&json);
        status = reply_json(call, reply, &json);
        add_header(&headers, "Content-Type", BYTES_LITERAL("application/json"));
    }
    if (code == call->method->http_success)
        add_location(&headers, http->arena, call->method, reply);
    if (status.code == STATUS_OK) {
        call->answered = true;
        respond_buffer(call->exchange, code, &headers, &json);
    } else {
        answer_problem(call, &status, 0);
    }
    buffer_done(&json);
}
