/* One call of the gRPC upstream: its request as frames, its answer from frames, and how it ends. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "gateway/upstream/grpc_internal.h"
#include "rpc/status_details.h"

#define TRIES_MAX         2U
#define FAULTS_MAX_BYTES  ((size_t)256 * 1024)
#define TRAILER_MAX_BYTES ((size_t)64 * 1024)

void remote_call_release(struct remote_call *call)
{
    if (atomic_fetch_sub(&call->references, 1) != 1)
        return;
    buffer_done(&call->texts);
    buffer_done(&call->request);
    buffer_done(&call->text);
    buffer_done(&call->detail);
    buffer_done(&call->in);
    free(call);
}

/* --- ending --- */

static void end(struct remote_call *call, const struct status *status, struct bytes reply, int http_status)
{
    assert(call->state == CALL_WAITING || call->state == CALL_SENT);
    call->state = CALL_ENDED;
    call->link = NULL;
    link_remove(&call->all);
    if (call->deadline_us != 0)
        call->remote->timed_count--;
    call->events->on_end(call->context, status, reply, http_status);
    remote_call_release(call);
}

void remote_call_fail(struct remote_call *call, const struct status *status)
{
    if (call->link != NULL && !call->closed)
        grpc_link_cancel(call->link, call);
    end(call, status, BYTES_NONE, 0);
}

/* A core that has not got the whole message cannot have done anything with it. */
bool remote_call_in_doubt(const struct remote_call *call)
{
    return call->in_doubt || (call->state == CALL_SENT && call->sent_bytes == call->request.size_bytes);
}

void remote_call_give_up(struct remote_call *call, const struct status *status)
{
    if (!call->method->mutating || !remote_call_in_doubt(call)) {
        remote_call_fail(call, status);
        return;
    }
    const struct status unknown = status_reason(
        REASON_OUTCOME_UNKNOWN, "%s; repeat the request with the same ids or the same idempotency key",
        status->message);
    remote_call_fail(call, &unknown);
}

/* --- the request --- */

ssize_t remote_call_read(struct remote_call *call, uint8_t *to, size_t size_bytes, bool *ret_end)
{
    const size_t left = call->request.size_bytes - call->sent_bytes;
    const size_t count = left < size_bytes ? left : size_bytes;
    if (count > 0)
        memcpy(to, call->request.data + call->sent_bytes, count);
    call->sent_bytes += count;
    *ret_end = count == left;
    return (ssize_t)count;
}

/* --- the answer --- */

/* A field that comes twice counts once: what is kept of the fields is bounded. */
static void take_trailer(struct remote_call *call, struct bytes name, struct bytes value)
{
    if (bytes_equal(name, BYTES_LITERAL("grpc-status"))) {
        call->grpc_status = grpc_number(value);
    } else if (bytes_equal(name, BYTES_LITERAL("strata-http-status"))) {
        const int shown = grpc_number(value);
        call->shown_status = shown >= 200 && shown <= 599 ? shown : 0;
    } else if (bytes_equal(name, BYTES_LITERAL("strata-leaving"))) {
        grpc_link_leave(call->link); /* what is sent when it has left would be ended without a word */
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-message"))) {
        buffer_clear(&call->text);
        grpc_message_decode(value, &call->text);
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-status-details-bin"))) {
        buffer_clear(&call->detail);
        if (!base64_decode(value, &call->detail))
            buffer_clear(&call->detail);
    }
}

void remote_call_header(struct remote_call *call, struct bytes name, struct bytes value, bool last)
{
    if (value.size_bytes > TRAILER_MAX_BYTES)
        return;
    if (bytes_equal(name, BYTES_LITERAL(":status")))
        call->http_status = grpc_number(value);
    else if (last)
        take_trailer(call, name, value);
}

static struct bytes undelivered(const struct remote_call *call)
{
    return (struct bytes){call->in.data + call->in_at, call->in.size_bytes - call->in_at};
}

static void deliver_end(struct remote_call *call);

static void fail_wrong(struct remote_call *call)
{
    const struct status status = status_error(
        STATUS_INTERNAL, "the core's answer is no gRPC message; is something else listening at %s?",
        call->link->authority);
    remote_call_fail(call, &status);
}

/* Hands over what is there of a stream, as far as the receiver has room. A unary reply stays until the end. */
static void deliver(struct remote_call *call)
{
    struct bytes message;
    while (call->method->server_stream && !call->paused && call->state == CALL_SENT) {
        const enum grpc_frame frame = grpc_frame_next(undelivered(call), &message);
        if (frame == GRPC_FRAME_WRONG)
            fail_wrong(call);
        if (frame != GRPC_FRAME_WHOLE)
            break;
        call->in_at += GRPC_FRAME_HEAD_BYTES + message.size_bytes;
        call->delivered = true;
        call->paused = !call->events->on_message(call->context, message);
    }
    if (call->state != CALL_SENT)
        return;
    if (call->method->server_stream && call->in_at == call->in.size_bytes) {
        buffer_done(&call->in); /* an idle stream keeps none */
        call->in_at = 0;
    }
    if (call->closed && !call->paused)
        deliver_end(call);
}

/* Delivers, and opens the window again as far as the receiver has room. Ending inside gives references back. */
static void take(struct remote_call *call)
{
    atomic_fetch_add(&call->references, 1);
    deliver(call);
    if (call->state == CALL_SENT && !call->paused && !call->closed) {
        grpc_link_consumed(call->link, call, call->held_bytes);
        call->held_bytes = 0;
    }
    remote_call_release(call);
}

/* Known from a message's head, before the rest of it has come. */
static bool is_too_large(const struct remote_call *call)
{
    const struct bytes here = undelivered(call);
    struct bytes message;
    return here.size_bytes > GRPC_MESSAGE_MAX_BYTES + SCRATCH_BYTES ||
           (!call->method->server_stream && grpc_frame_next(here, &message) == GRPC_FRAME_WRONG &&
            here.data[0] == 0);
}

void remote_call_data(struct remote_call *call, struct bytes data)
{
    if (call->state != CALL_SENT)
        return;
    if (call->in_at > SCRATCH_BYTES) { /* a slow receiver must not grow the buffer's dead beginning */
        memmove(call->in.data, call->in.data + call->in_at, undelivered(call).size_bytes);
        call->in.size_bytes -= call->in_at;
        call->in_at = 0;
    }
    buffer_add_bytes(&call->in, data);
    if (call->in.failed || is_too_large(call)) {
        const struct status status = status_error(
            STATUS_RESOURCE_EXHAUSTED,
            "the core's answer is larger than %zu MiB, which is all that a gateway of its own passes on; read the "
            "aggregate's events instead, or ask the core by gRPC",
            GRPC_MESSAGE_MAX_BYTES >> 20);
        remote_call_give_up(call, &status);
        return;
    }
    call->held_bytes += data.size_bytes;
    take(call);
}

void remote_call_room(struct remote_call *call)
{
    if (call->state != CALL_SENT || !call->paused)
        return;
    call->paused = false;
    take(call);
}

/* --- the end of the stream --- */

/* The core's own refusals have details. Without, these come from libraries and proxies, at any time of a call. */
static bool says_nothing(enum status_code code)
{
    return code == STATUS_UNAVAILABLE || code == STATUS_CANCELLED || code == STATUS_UNKNOWN ||
           code == STATUS_INTERNAL || code == STATUS_ABORTED;
}

static struct status failure_of(struct remote_call *call, struct arena *arena)
{
    struct status status;
    if (call->detail.size_bytes > 0 && arena != NULL) {
        const struct status decoded = status_details_decode(buffer_bytes(&call->detail), arena, &status);
        if (status_is_ok(&decoded) && !status_is_ok(&status))
            return status;
    }
    const enum status_code code =
        call->grpc_status <= STATUS_UNAUTHENTICATED ? (enum status_code)call->grpc_status : STATUS_UNKNOWN;
    if (call->method->mutating && says_nothing(code))
        return status_reason(
            REASON_OUTCOME_UNKNOWN,
            "something between here and the core %s ended the request (%s: %.*s); repeat it with "
            "the same ids or the same idempotency key",
            call->link->authority, status_code_name(code), BYTES_FORMAT(buffer_bytes(&call->text)));
    return status_error(code, "%.*s", BYTES_FORMAT(buffer_bytes(&call->text)));
}

static void end_failed(struct remote_call *call)
{
    struct arena *arena = arena_new(FAULTS_MAX_BYTES); /* without it the faults of single fields are lost */
    const struct status status = failure_of(call, arena);
    end(call, &status, BYTES_NONE, call->shown_status > 0 ? call->shown_status : 0);
    arena_free(arena);
}

static void end_answered(struct remote_call *call)
{
    struct bytes reply = BYTES_NONE;
    const bool whole = call->method->server_stream
                           ? undelivered(call).size_bytes == 0
                           : grpc_frame_next(undelivered(call), &reply) == GRPC_FRAME_WHOLE;
    if (!whole) {
        const struct status status =
            status_error(STATUS_INTERNAL, "the core's answer ended within a message");
        remote_call_give_up(call, &status);
        return;
    }
    const struct status ok = status_ok();
    end(call, &ok, reply, call->shown_status > 0 ? call->shown_status : 0);
}

static void again(struct remote_call *call)
{
    link_remove(&call->all);
    call->state = CALL_WAITING;
    call->link = NULL;
    call->sent_bytes = 0;
    call->held_bytes = 0;
    call->http_status = 0;
    call->grpc_status = -1;
    call->shown_status = 0;
    call->closed = false;
    call->in_at = 0;
    buffer_clear(&call->in);
    buffer_clear(&call->text);
    buffer_clear(&call->detail);
    remote_place(call->remote, call);
}

/* The connection or the stream broke off before the answer was complete. */
static void end_lost(struct remote_call *call, bool refused)
{
    if (!refused)
        call->in_doubt = remote_call_in_doubt(call);
    const bool may_repeat = !call->in_doubt || (call->method->retry_safe && !call->delivered);
    if (may_repeat && call->tries < TRIES_MAX) {
        again(call);
        return;
    }
    const struct status status =
        call->in_doubt && call->method->mutating
            ? status_reason(
                  REASON_OUTCOME_UNKNOWN,
                  "the connection to the core %s was lost before it answered; repeat the request with the "
                  "same ids or the same idempotency key",
                  call->link->authority)
            : status_reason(REASON_STORE_UNREACHABLE,
                            "the connection to the core %s was lost (%s); try again", call->link->authority,
                            call->link->state == LINK_UP ? "it ended the stream" : call->link->trouble);
    end(call, &status, BYTES_NONE, 0);
}

/* RFC 9110: below 500 nothing was done. Above, a proxy may have lost the core's answer. */
static void end_not_grpc(struct remote_call *call)
{
    const struct status status = status_reason(
        REASON_STORE_UNREACHABLE, "the core at %s answered HTTP %d instead of gRPC; is it a core?",
        call->link->authority, call->http_status);
    if (call->http_status >= 500)
        remote_call_give_up(call, &status);
    else
        remote_call_fail(call, &status);
}

static void deliver_end(struct remote_call *call)
{
    if (call->grpc_status == STATUS_OK)
        end_answered(call);
    else
        end_failed(call);
}

void remote_call_closed(struct remote_call *call, bool refused)
{
    if (call->state != CALL_SENT)
        return;
    call->closed = true;
    if (call->grpc_status >= 0) {
        if (!call->paused)
            deliver_end(call);
        return;
    }
    if (call->http_status > 199 && call->http_status != 200)
        end_not_grpc(call);
    else
        end_lost(call, refused);
}
