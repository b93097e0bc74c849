/* NDJSON of a list: the gateway walks its pages, one at a time, so that memory stays that of one page. */
#include <assert.h>
#include <string.h>

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
    assert(items != NULL && token != NULL); /* asked before this form was chosen */
    for (size_t at = 0; at < reply.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(reply, &at, &seen))
            return status_reason(REASON_DAMAGED, "a page cannot be read");
        if (seen.number == token->number)
            *ret_token = seen.bytes;
        if (seen.number != items->number)
            continue;
        STATUS_TRY(transcode_to_json(items->message, seen.bytes, lines));
        buffer_add_byte(lines, '\n');
    }
    return buffer_status(lines);
}

static void begin(struct gateway_call *call)
{
    struct answer_headers headers = {.count = 0};
    if (call->begun)
        return;
    call->begun = true;
    add_common_headers(&headers, call);
    add_header(&headers, "Content-Type", BYTES_LITERAL("application/x-ndjson"));
    exchange_begin(call->exchange, 200, headers.items, headers.count);
}

/* The request again with the token of the next page in place of the former. */
static bool next_request(struct gateway_call *call, struct bytes token, size_t request_size)
{
    const struct schema_field *field =
        schema_field_by_name(call->method->request, BYTES_LITERAL("page_token"));
    call->wire.size_bytes = request_size;
    wire_put_bytes(&call->wire, field->number, token);
    return !call->wire.failed;
}

bool answer_page(struct gateway_call *call, struct bytes reply)
{
    struct buffer lines = buffer_make(0);
    struct bytes token = BYTES_NONE;
    begin(call);
    struct status status = write_lines(call, reply, &lines, &token);
    pthread_mutex_lock(&call->lock);
    const bool closed = call->closed;
    pthread_mutex_unlock(&call->lock);
    const bool last = token.size_bytes == 0;
    bool next = false;
    if (status.code != STATUS_OK || closed || (!last && !next_request(call, token, call->first_request_bytes))) {
        exchange_reset(call->exchange);
    } else if (last) {
        (void)exchange_write(call->exchange, buffer_bytes(&lines)); /* nothing follows that would have to wait */
        exchange_end(call->exchange);
    } else {
        /* on_writable may come before exchange_write has returned, so who finds the mark goes on. */
        atomic_store(&call->waiting, 1);
        if (exchange_write(call->exchange, buffer_bytes(&lines)))
            next = atomic_exchange(&call->waiting, 0) == 1;
    }
    buffer_done(&lines);
    return next;
}
