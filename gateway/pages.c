/* NDJSON of a list: the gateway walks its pages, one at a time, so that memory stays that of one page. */
#include <assert.h>

#include "gateway/gateway_internal.h"
#include "gateway/transcode/transcode.h"

static const struct schema_field *items_field(const struct schema_message *reply)
{
    for (size_t i = 0; i < reply->field_count; i++)
        if ((reply->fields[i].flags & SCHEMA_REPEATED) != 0 && reply->fields[i].kind == SCHEMA_MESSAGE)
            return &reply->fields[i];
    return NULL;
}

static struct status write_lines(const struct gateway_call *call, struct bytes reply, struct buffer *lines,
                                 struct bytes *ret_token)
{
    const struct schema_field *items = items_field(call->method->reply);
    const struct schema_field *token =
        schema_field_by_name(call->method->reply, BYTES_LITERAL("next_page_token"));
    assert(items != NULL);
    assert(token != NULL); /* choose_form asked for it */
    for (size_t at = 0; at < reply.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(reply, &at, &seen))
            return status_reason(REASON_DAMAGED, "the bytes are not a %s", call->method->reply->name);
        if (seen.number == token->number)
            *ret_token = seen.bytes;
        if (seen.number != items->number)
            continue;
        STATUS_TRY(transcode_to_json(items->message, seen.bytes, lines));
        buffer_add_byte(lines, '\n');
    }
    return buffer_status(lines);
}

/* The headers are those of the first page. */
static void begin(struct gateway_call *call, struct bytes reply)
{
    struct answer_headers headers = {.count = 0};
    const struct http_request *http = exchange_request(call->exchange);
    if (call->begun)
        return;
    call->begun = true;
    add_reply_headers(&headers, http->arena, call->method->reply, reply);
    add_cors(&headers, http);
    add_header(&headers, "Content-Type", BYTES_LITERAL("application/x-ndjson"));
    answer_begin(call, &headers);
}

/* The request again, with the token of the next page in place of the former. */
static struct status next_request(struct gateway_call *call, struct bytes token)
{
    const struct schema_field *field =
        schema_field_by_name(call->method->request, BYTES_LITERAL("page_token"));
    call->wire.size_bytes = call->first_request_bytes;
    wire_put_bytes(&call->wire, field->number,
                   token); /* of a scalar that is there twice the last one counts */
    return buffer_status(&call->wire);
}

/* on_writable and on_closed may come at any time, also before exchange_write has returned. */
static void write_and_go_on(struct gateway_call *call, struct bytes lines)
{
    pthread_mutex_lock(&call->lock);
    call->page_writable = false;
    pthread_mutex_unlock(&call->lock);
    const bool room = exchange_write(call->exchange, lines);
    pthread_mutex_lock(&call->lock);
    const bool closed = call->closed;
    const bool waits = !closed && !room && !call->page_writable;
    call->page_waits = waits; /* from here on on_writable or on_closed goes on */
    pthread_mutex_unlock(&call->lock);
    if (closed)
        answer_reset(call);
    else if (!waits)
        gateway_call_start(call);
}

void answer_page(struct gateway_call *call, struct bytes reply)
{
    struct buffer lines = buffer_make(0);
    struct bytes token = BYTES_NONE;
    struct status status = write_lines(call, reply, &lines, &token);
    if (status.code == STATUS_OK && token.size_bytes > 0)
        status = next_request(call, token);
    if (status.code != STATUS_OK && call->begun) {
        answer_reset(call);
    } else if (status.code != STATUS_OK) {
        answer_problem(call, &status, 0);
    } else {
        begin(call, reply);
        if (!answer_encode(call, &lines)) {
            answer_reset(call);
        } else if (token.size_bytes > 0) {
            write_and_go_on(call, buffer_bytes(&lines));
        } else {
            (void)exchange_write(call->exchange, buffer_bytes(&lines)); /* nothing follows that would wait */
            answer_end(call);
        }
    }
    buffer_done(&lines);
}
