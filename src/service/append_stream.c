/*
 * AppendStream: each request is an append of its own; the answers go out in the order of the requests.
 *
 * A request keeps its message (and with it its arena) until its answer has been sent, so the
 * window that rpc allows (CALL_MESSAGES_MAX) bounds the stream's memory, and a client that does
 * not read its answers stops its own requests.
 *
 * Lock order  The call's lock is held while rpc delivers a message or calls back, and stream->lock is taken under it;
 *             so the call is finished only after stream->lock was given back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/append_internal.h"
#include "service/replies_internal.h"

struct stream_request {
    struct append_job job; /* first: the answer finds the request from it */
    struct append_stream *stream;
    struct call_message *message;
    int64_t sequence;
    bool answered;
    struct bytes answer; /* packed AppendStreamResponse, in the message's arena */
};

struct append_stream {
    struct stream_link link; /* first: stop finds the stream from it */
    struct pool_task stop_task;
    bool stop_queued; /* guarded by lock: the stream stays until stop_task has run */
    struct service *service;
    struct call *call;
    pthread_mutex_t lock; /* guards all below; answers are sent under it, which only copies bytes */
    struct stream_request *window[CALL_MESSAGES_MAX]; /* by sequence */
    int64_t received;
    int64_t sent;
    bool writable;
    bool half_closed;
    bool gone; /* cancelled, or the service stops: answers are dropped */
    bool finishing;
    struct status end;
};

/* All answered and nothing more to come: true for exactly one caller, who then finishes the call. */
static bool stream_is_over(struct append_stream *stream)
{
    const bool over = !stream->finishing && !stream->stop_queued && (stream->half_closed || stream->gone) &&
                      stream->sent == stream->received;
    stream->finishing = stream->finishing || over;
    return over;
}

static void stream_finish(struct append_stream *stream)
{
    struct service *service = stream->service;
    struct call *call = stream->call;
    const struct status end = stream->end;
    streams_remove(service, &stream->link);
    call_finish(call, &end); /* from here on rpc calls nothing back */
    pthread_mutex_destroy(&stream->lock);
    free(stream);
    service_leave(service);
}

/* Sends the answers that are due, in order. Under stream->lock. */
static void stream_flush(struct append_stream *stream)
{
    while (stream->sent < stream->received) {
        struct stream_request *request = stream->window[(uint64_t)stream->sent % CALL_MESSAGES_MAX];
        if (!request->answered || (!stream->writable && !stream->gone))
            return;
        if (!stream->gone)
            stream->writable = call_send_bytes(stream->call, request->answer);
        stream->sent++;
        call_message_done(request->message);
    }
}

/* Takes stream->lock over from the caller and gives it back; the stream may be gone afterwards. */
static void stream_advance(struct append_stream *stream)
{
    stream_flush(stream);
    const bool over = stream_is_over(stream);
    pthread_mutex_unlock(&stream->lock);
    if (over)
        stream_finish(stream);
}

/* --- answers --- */

static void put_fact(struct buffer *to, const char *key, struct bytes value)
{
    uint8_t memory[320]; /* an id has at most 255 bytes */
    struct buffer part = {.data = memory, .capacity_bytes = sizeof memory, .limit_bytes = sizeof memory};
    wire_put_text(&part, 1, bytes_of_text(key));
    wire_put_text(&part, 2, value);
    wire_put_bytes(to, 4, buffer_bytes(&part));
}

static void put_number(struct buffer *to, const char *key, int64_t number, int64_t none)
{
    if (number == none)
        return;
    char text[24];
    const int length = snprintf(text, sizeof text, "%" PRId64, number);
    put_fact(to, key, bytes_of(text, (size_t)length));
}

static void put_error(struct buffer *to, const struct status *status)
{
    wire_put_int(to, 1, status->code);
    wire_put_text(to, 2, bytes_of_text(status_reason_name(status->reason)));
    wire_put_text(to, 3, bytes_of_text(status->message));
    put_number(to, "expected_version", status->expected_version, STATUS_VERSION_NONE);
    put_number(to, "current_version", status->current_version, STATUS_VERSION_NONE);
    put_number(to, "position", status->position, 0);
    if (status->aggregate_id != NULL)
        put_fact(to, "aggregate_id", bytes_of(status->aggregate_id, status->aggregate_id_bytes));
}

static void request_answer(struct append_job *job, const struct append_outcome *outcome)
{
    struct stream_request *request = (struct stream_request *)job;
    struct append_stream *stream = request->stream;
    struct buffer part = buffer_in(request->message->arena, 0);
    struct buffer answer = buffer_in(request->message->arena, 0);
    const bool good = status_is_ok(&outcome->status);
    if (good)
        append_events_reply(job, outcome, &part);
    else
        put_error(&part, &outcome->status);
    wire_put_int(&answer, 1, request->sequence);
    wire_put_bytes(&answer, good ? 2 : 3, buffer_bytes(&part));

    pthread_mutex_lock(&stream->lock);
    request->answer = buffer_bytes(&answer);
    request->answered = true;
    struct status built = buffer_status(&part);
    if (status_is_ok(&built))
        built = buffer_status(&answer);
    if (!status_is_ok(
            &built)) { /* an answer that cannot be given ends the stream; the append may have been made */
        stream->gone = true;
        stream->end = built;
    }
    stream_advance(stream);
}

/* --- requests --- */

static struct status request_build(struct stream_request *request, struct call_message *message)
{
    STATUS_TRY(message->status);
    const Strata__V1__AppendStreamRequest *from = (const Strata__V1__AppendStreamRequest *)message->request;
    if (from->append == NULL)
        return status_reason(REASON_INVALID_FIELD,
                             "append is missing; each request of the stream is one append");
    return append_events_build(request->stream->service, message->arena, message->call, from->append,
                               &request->job);
}

static void append_stream_message(void *context, struct call *call, struct call_message *message)
{
    (void)context;
    struct append_stream *stream = call_handler_data(call);
    struct stream_request *request = arena_zalloc(message->arena, sizeof *request);
    pthread_mutex_lock(&stream->lock);
    if (request == NULL) {
        stream->gone = true;
        stream->end = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a request of the stream");
    }
    if (stream->gone) {
        call_message_done(message);
        stream_advance(stream);
        return;
    }
    request->stream = stream;
    request->message = message;
    request->sequence = ++stream->received;
    stream->window[(uint64_t)(request->sequence - 1) % CALL_MESSAGES_MAX] = request;
    pthread_mutex_unlock(&stream->lock);

    request->job.answer = request_answer;
    request->job.service = stream->service;
    request->job.arena = message->arena;
    request->job.call = call;
    const struct status status = request_build(request, message);
    if (status_is_ok(&status))
        append_job_run(&request->job);
    else
        append_job_refuse(&request->job, &status);
}

static void append_stream_half_close(void *context, struct call *call)
{
    (void)context;
    struct append_stream *stream = call_handler_data(call);
    pthread_mutex_lock(&stream->lock);
    stream->half_closed = true;
    stream_advance(stream);
}

/* --- the stream --- */

static void stream_cancelled(void *context)
{
    struct append_stream *stream = context;
    pthread_mutex_lock(&stream->lock);
    if (!stream->gone)
        stream->end =
            status_error(STATUS_CANCELLED, "the caller cancelled; appends on their way are still made");
    stream->gone = true;
    stream_advance(stream);
}

static void stream_stop_run(struct pool_task *task)
{
    struct append_stream *stream =
        (struct append_stream *)((uint8_t *)task - offsetof(struct append_stream, stop_task));
    pthread_mutex_lock(&stream->lock);
    stream->stop_queued = false;
    stream_advance(stream);
}

/* Under streams.lock, so it cannot finish the stream itself. */
static void stream_stop(struct stream_link *link)
{
    struct append_stream *stream = (struct append_stream *)link;
    pthread_mutex_lock(&stream->lock);
    const bool queue = !stream->finishing && !stream->stop_queued;
    if (queue) {
        if (!stream->gone)
            stream->end = status_stopping();
        stream->gone = true;
        stream->stop_queued = true;
    }
    pthread_mutex_unlock(&stream->lock);
    if (queue)
        pool_resubmit(stream->service->pool, &stream->stop_task);
}

static void stream_writable(void *context)
{
    struct append_stream *stream = context;
    pthread_mutex_lock(&stream->lock);
    stream->writable = true;
    stream_advance(stream);
}

static void append_stream_start(void *context, struct call *call, const ProtobufCMessage *none)
{
    (void)none;
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct append_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        const struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the stream");
        service_finish(service, call, &status);
        return;
    }
    stream->link.stop = stream_stop;
    stream->stop_task.run = stream_stop_run;
    stream->service = service;
    stream->call = call;
    stream->writable = true;
    stream->end = status_ok();
    pthread_mutex_init(&stream->lock, NULL);
    call_set_handler_data(call, stream);
    call_on_cancel(call, stream_cancelled, stream);
    call_on_writable(call, stream_writable, stream);
    streams_add(service, &stream->link);
}

const struct method_handler append_stream_handler = {
    .start = append_stream_start,
    .message = append_stream_message,
    .half_close = append_stream_half_close,
};
