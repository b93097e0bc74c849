/* Appends: a batch of events a call, by themselves or over one stream a client. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_internal.h"
#include "strata/v1/event_service.pb-c.h"

#define AGGREGATES_PER_CLIENT 100

/* Numbers of NewEvent, AppendEventsRequest and AppendStreamRequest. */
enum { EVENT_TYPE = 2, EVENT_AGGREGATE_ID = 3, EVENT_AGGREGATE_TYPE = 4, EVENT_DATA = 30 };
enum { REQUEST_EVENTS = 2, STREAM_APPEND = 1 };

#define MADE_AT "{\"made_at_us\":"

/* Of exactly the size asked for, when that is enough for the time and the braces. */
static void add_data(struct buffer *to, int64_t now_us, int64_t size_bytes)
{
    const size_t start = to->size_bytes;
    buffer_printf(to, MADE_AT "%" PRId64, now_us);
    const size_t frame = sizeof ",\"filler\":\"\"}" - 1;
    const size_t used = to->size_bytes - start + frame;
    if ((size_t)size_bytes < used) {
        buffer_add_byte(to, '}');
        return;
    }
    buffer_add_text(to, ",\"filler\":\"");
    const size_t missing = (size_t)size_bytes - used;
    uint8_t *filler = buffer_extend(to, missing);
    if (filler != NULL)
        memset(filler, 'x', missing);
    buffer_add_text(to, "\"}");
}

int64_t bench_made_at_us(struct bytes data)
{
    const size_t size = sizeof MADE_AT - 1;
    char digits[24];
    if (data.size_bytes <= size || memcmp(data.data, MADE_AT, size) != 0)
        return -1;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)(data.size_bytes - size),
                   (const char *)data.data + size);
    return strtoll(digits, NULL, 10);
}

struct status bench_append_request(struct bench_worker *worker, int64_t now_us, struct bytes *ret)
{
    const struct bench *bench = worker->bench;
    struct buffer request = buffer_in(worker->arena, 0);
    struct buffer event = buffer_in(worker->arena, 0);
    struct buffer data = buffer_in(worker->arena, 0);
    char aggregate[96];
    for (int64_t i = 0; i < bench->options->batch; i++) {
        (void)snprintf(aggregate, sizeof aggregate, "%s-%d-%d", bench->name, worker->index,
                       (int)((worker->events + i) % AGGREGATES_PER_CLIENT));
        buffer_clear(&event);
        buffer_clear(&data);
        add_data(&data, now_us, bench->options->size_bytes);
        wire_put_bytes(&event, EVENT_TYPE, BYTES_LITERAL("custom"));
        wire_put_bytes(&event, EVENT_AGGREGATE_ID, bytes_of_text(aggregate));
        wire_put_bytes(&event, EVENT_AGGREGATE_TYPE, BYTES_LITERAL("custom"));
        wire_put_bytes(&event, EVENT_DATA, buffer_bytes(&data));
        wire_put_bytes(&request, REQUEST_EVENTS, buffer_bytes(&event));
    }
    STATUS_TRY(buffer_status(&event));
    STATUS_TRY(buffer_status(&data));
    *ret = buffer_bytes(&request);
    return buffer_status(&request);
}

static struct status begin(struct bench_worker *worker)
{
    struct client_turns *stream = NULL;
    if (!worker->bench->options->stream)
        return status_ok();
    STATUS_TRY(
        client_turns_new(worker->client, schema_method(METHOD_EVENT_SERVICE_APPEND_STREAM)->path, &stream));
    worker->own = stream;
    return status_ok();
}

static struct status send_by_itself(struct bench_worker *worker, struct bytes request)
{
    struct bytes reply = BYTES_NONE;
    return client_unary(worker->client, schema_method(METHOD_EVENT_SERVICE_APPEND_EVENTS)->path, request,
                        CLI_TIMEOUT_MS, worker->arena, &reply);
}

static struct status send_over_stream(struct bench_worker *worker, struct bytes request)
{
    struct buffer wrapped = buffer_in(worker->arena, 0);
    struct bytes reply = BYTES_NONE;
    wire_put_bytes(&wrapped, STREAM_APPEND, request);
    STATUS_TRY(buffer_status(&wrapped));
    STATUS_TRY(client_turns_send(worker->own, buffer_bytes(&wrapped)));
    STATUS_TRY(client_turns_receive(worker->own, worker->arena, &reply));
    Strata__V1__AppendStreamResponse *answer =
        strata__v1__append_stream_response__unpack(NULL, reply.size_bytes, reply.data);
    struct status status = status_ok();
    if (answer == NULL)
        status = status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    else if (answer->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR)
        status = status_error((enum status_code)answer->error->code, "%s", answer->error->message);
    if (answer != NULL)
        strata__v1__append_stream_response__free_unpacked(answer, NULL);
    return status;
}

static void call(struct bench_worker *worker)
{
    const struct bench_options *options = worker->bench->options;
    const int64_t since_us = bench_now_us();
    struct bytes request = BYTES_NONE;
    struct status status = bench_append_request(worker, since_us, &request);
    if (status.code == STATUS_OK)
        status = options->stream ? send_over_stream(worker, request) : send_by_itself(worker, request);
    if (status.code == STATUS_OK)
        bench_done(worker, since_us, options->batch, options->batch * options->size_bytes);
    else
        bench_failed(worker, status);
}

static void end(struct bench_worker *worker)
{
    client_turns_free(worker->own);
}

const struct bench_kind bench_append = {
    .name = "append",
    .latency_of = "an append, from sending it to its answer",
    .begin = begin,
    .call = call,
    .end = end,
};
