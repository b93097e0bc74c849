/* Server streams: Server-Sent Events (HTML 9.2) and NDJSON. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "gateway/gateway_internal.h"
#include "gateway/transcode/transcode.h"

/* Field numbers of strata.v1.SubscribeResponse, Event and Checkpoint that the stream's forms need. */
enum {
    RESPONSE_BATCH = 1,
    RESPONSE_CLOSING = 5,
    BATCH_EVENTS = 1,
    EVENT_POSITION = 6,
    CHECKPOINT_POSITION = 1,
    CLOSING_REASON = 1,
    CLOSING_POSITION = 2
};

static const struct {
    uint32_t number;
    enum stream_part part;
    const char *name;
} parts[] = {
    {2, PART_CAUGHT_UP, "caught_up"},
    {3, PART_CHECKPOINT, "checkpoint"},
    {4, PART_FELL_BEHIND, "fell_behind"},
    {RESPONSE_CLOSING, PART_CLOSING, "closing"},
};

bool find_wire_field(struct bytes wire, uint32_t number, struct wire_field *ret)
{
    bool found = false;
    *ret = (struct wire_field){.number = number};
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

/*
 * What is written has one position, so the first one is it and the payload behind it is not walked through.
 */
static int64_t position_in(struct bytes wire, uint32_t number)
{
    for (size_t at = 0; at < wire.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen))
            return 0;
        if (seen.number == number)
            return (int64_t)seen.value;
    }
    return 0;
}

static bool batch_items(struct bytes batch, bool (*take)(void *context, const struct stream_item *item),
                        void *context)
{
    bool room = true;
    for (size_t at = 0; at < batch.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(batch, &at, &seen))
            return room;
        if (seen.number != BATCH_EVENTS)
            continue;
        const struct stream_item item = {PART_EVENT, "event", schema_event, seen.bytes,
                                         position_in(seen.bytes, EVENT_POSITION)};
        room = take(context, &item) && room;
    }
    return room;
}

bool stream_items(struct bytes response, bool (*take)(void *context, const struct stream_item *item),
                  void *context)
{
    const struct schema_message *message = schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)->reply;
    bool room = true;
    for (size_t at = 0; at < response.size_bytes;) {
        struct wire_field seen;
        if (!wire_next(response, &at, &seen))
            return room;
        if (seen.number == RESPONSE_BATCH)
            room = batch_items(seen.bytes, take, context) && room;
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            if (parts[i].number != seen.number)
                continue;
            const uint32_t place = parts[i].part == PART_CLOSING ? CLOSING_POSITION : CHECKPOINT_POSITION;
            const struct stream_item item = {parts[i].part, parts[i].name,
                                             schema_field_by_number(message, seen.number)->message,
                                             seen.bytes, position_in(seen.bytes, place)};
            room = take(context, &item) && room;
        }
    }
    return room;
}

struct writing {
    enum answer_form form;
    struct buffer text;
    struct status status;
    int64_t position; /* of the last item */
    bool closing;     /* the stream's end was among them */
};

/*
 * Every part carries its position as id, so that a browser that saw only checkpoints resumes behind them.
 * Events have no name: they arrive at onmessage.
 */
static bool write_item(void *context, const struct stream_item *item)
{
    struct writing *writing = context;
    struct buffer *text = &writing->text;
    if (writing->status.code != STATUS_OK)
        return false;
    writing->position = item->position;
    writing->closing |= item->part == PART_CLOSING;
    if (writing->form == ANSWER_SSE) {
        if (item->part != PART_EVENT)
            buffer_printf(text, "event: %s\n", item->name);
        char id[48]; /* buffer_printf would go over its format twice, for every event */
        const int length = snprintf(id, sizeof id, "id: %" PRId64 "\ndata: ", item->position);
        buffer_add(text, id, (size_t)length);
        writing->status = transcode_to_json(item->message, item->wire, text);
        buffer_add_text(text, "\n\n");
    } else {
        buffer_add_text(text, "{\"");
        buffer_add_text(text, item->name);
        buffer_add_text(text, "\":");
        writing->status = transcode_to_json(item->message, item->wire, text);
        buffer_add_text(text, "}\n");
    }
    return true;
}

static void begin(struct gateway_call *call)
{
    struct answer_headers headers = {.count = 0};
    if (call->begun)
        return;
    call->begun = true;
    add_cors(&headers, exchange_request(call->exchange));
    add_header(&headers, "Content-Type",
               call->form == ANSWER_SSE ? BYTES_LITERAL("text/event-stream")
                                        : BYTES_LITERAL("application/x-ndjson"));
    add_header(&headers, "Cache-Control", BYTES_LITERAL("no-store"));
    add_header(&headers, "X-Accel-Buffering", BYTES_LITERAL("no")); /* a proxy must not hold events back */
    answer_begin(call, &headers);
}

bool answer_message(struct gateway_call *call, struct bytes message)
{
    struct writing writing = {
        .form = call->form, .text = buffer_make(0), .status = status_ok(), .position = call->told_position};
    assert(call->method == schema_method(METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE)); /* no other has a route */
    if (call->answered)
        return false;
    begin(call);
    (void)stream_items(message, write_item, &writing); /* room is asked for once, below */
    const bool whole =
        writing.status.code == STATUS_OK && !writing.text.failed && answer_encode(call, &writing.text);
    const bool room = whole && exchange_write(call->exchange, buffer_bytes(&writing.text));
    buffer_done(&writing.text);
    call->told_position = writing.position;
    call->told_closing |= writing.closing;
    if (!whole)
        answer_reset(call); /* what cannot be shown must not be stepped over; on_done cancels the call */
    return room;
}

/* What the service says when it stops, said by the gateway, which stops alone. */
static void write_closing(struct gateway_call *call)
{
    uint8_t memory[2][64];
    struct buffer closing = {
        .data = memory[0], .capacity_bytes = sizeof memory[0], .limit_bytes = sizeof memory[0]};
    struct buffer response = {
        .data = memory[1], .capacity_bytes = sizeof memory[1], .limit_bytes = sizeof memory[1]};
    wire_put_bytes(&closing, CLOSING_REASON, BYTES_LITERAL("SHUTTING_DOWN"));
    wire_put_uint(&closing, CLOSING_POSITION, (uint64_t)call->told_position);
    wire_put_bytes(&response, RESPONSE_CLOSING, buffer_bytes(&closing));
    (void)answer_message(call, buffer_bytes(&response)); /* the last one: nobody waits for room */
}

void answer_stream_end(struct gateway_call *call, const struct status *status)
{
    /* A client that knows no position goes on from where it began. */
    const bool stopped = atomic_load(&call->stopping) && status->code == STATUS_CANCELLED;
    if (stopped && call->told_position >= 0 && !call->told_closing)
        write_closing(call);
    if (call->answered)
        return;
    if (status->code == STATUS_OK || stopped) {
        begin(call);
        answer_end(call);
    } else if (call->begun) {
        answer_reset(call);
    } else {
        answer_problem(call, status, 0);
    }
}
