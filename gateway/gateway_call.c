/*
 * A request's way through the upstream, and the end of it from either side.
 *
 *     on_request ── make ── start ─┬─► on_end: answer
 *                            ▲     └─► on_end: a page ── written, room? ──► start the next
 *                            └── on_writable ◄── page_waits ◄── no room
 *
 * The exchange is finished exactly once: by the thread on which the upstream answers, by a start that cannot
 * be, or, while a page waits, by on_closed; never by on_closed while a call is under way: that is cancelled,
 * and its end finishes the exchange.
 *
 * A call upstream is begun, told of room and cancelled by one thread at a time: streams by the front's thread
 * alone, pages by whoever walks, which is one thread at a time.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "gateway/compress.h"
#include "gateway/gateway_internal.h"

/* Longer than any handler waits by itself (min_position: 5 s). */
#define CALL_DEADLINE_US INT64_C(60000000)

static void call_ref(struct gateway_call *call)
{
    atomic_fetch_add(&call->references, 1);
}

static void call_unref(struct gateway_call *call)
{
    if (atomic_fetch_sub(&call->references, 1) != 1)
        return;
    (void)pthread_mutex_destroy(&call->lock); /* nobody is left to hold it */
    gzip_free(call->gzip);
    free(call);
}

/* --- finishing --- */

void answer_problem(struct gateway_call *call, const struct status *status, int http_status)
{
    call->answered = true;
    respond_problem_at(call->exchange, call->route, status, http_status, NULL);
}

void answer_reset(struct gateway_call *call)
{
    call->answered = true;
    exchange_reset(call->exchange);
}

void answer_end(struct gateway_call *call)
{
    struct buffer trailer = buffer_make(0);
    const bool whole = call->gzip == NULL || gzip_end(call->gzip, &trailer);
    if (whole && trailer.size_bytes > 0)
        (void)exchange_write(call->exchange, buffer_bytes(&trailer)); /* nothing follows that would wait */
    buffer_done(&trailer);
    call->answered = true;
    if (whole)
        exchange_end(call->exchange);
    else
        exchange_reset(call->exchange);
}

/* --- content coding of streams --- */

void answer_begin(struct gateway_call *call, struct answer_headers *headers)
{
    add_header(headers, "Vary", BYTES_LITERAL("Accept-Encoding"));
    if (wants_gzip(exchange_request(call->exchange)))
        call->gzip = gzip_new(); /* without memory for it, it goes as it is */
    if (call->gzip != NULL)
        add_header(headers, "Content-Encoding", BYTES_LITERAL("gzip"));
    exchange_begin(call->exchange, 200, headers->items, headers->count);
}

bool answer_encode(struct gateway_call *call, struct buffer *piece)
{
    if (call->gzip == NULL)
        return true;
    struct buffer packed = buffer_make(0);
    const bool good = gzip_add(call->gzip, buffer_bytes(piece), &packed);
    buffer_done(piece);
    *piece = packed;
    return good;
}

/* --- the upstream's events, on any thread --- */

static bool on_message(void *context, struct bytes message)
{
    return answer_message(context, message);
}

static void answer_ready(struct gateway_call *call, const struct status *status, int http_status)
{
    struct answer_headers headers = {.count = 0};
    if (status->code == STATUS_OK && http_status != 503) {
        add_header(&headers, "Content-Type", BYTES_LITERAL("text/plain"));
        add_cors(&headers, exchange_request(call->exchange));
        call->answered = true;
        exchange_respond(call->exchange, 200, headers.items, headers.count, BYTES_LITERAL("ready\n"));
        return;
    }
    const struct status why =
        status->code != STATUS_OK
            ? *status
            : status_error(STATUS_UNAVAILABLE, "not ready; GET /health says which part");
    answer_problem(call, &why, 503);
}

static void answer_handshake(struct gateway_call *call, const struct status *status, int http_status)
{
    if (status->code != STATUS_OK) {
        answer_problem(call, status, http_status);
        return;
    }
    call->answered = true;
    exchange_upgrade(call->exchange);
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct gateway_call *call = context;
    pthread_mutex_lock(&call->lock);
    struct upstream_call *ended = call->current; /* set before it began: this one */
    call->current = NULL;
    pthread_mutex_unlock(&call->lock);

    if (call->form == ANSWER_SSE || call->form == ANSWER_NDJSON)
        answer_stream_end(call, status);
    else if (call->form == ANSWER_READY)
        answer_ready(call, status, http_status);
    else if (call->form == ANSWER_SOCKET)
        answer_handshake(call, status, http_status);
    else if (status->code != STATUS_OK && call->begun)
        answer_reset(call); /* in the middle of the pages: never ended as if complete */
    else if (status->code != STATUS_OK)
        answer_problem(call, status, http_status);
    else if (call->form == ANSWER_PAGES)
        answer_page(call, reply);
    else
        answer_reply(call, reply, http_status);
    upstream_release(ended);
    call_unref(call);
}

static const struct upstream_events upstream_events = {on_message, on_end};

/* --- starting --- */

static void start_one(struct gateway_call *call)
{
    if (!call->method->server_stream)
        call->request.deadline_us = clock_monotonic_us(call->gateway->clock) + CALL_DEADLINE_US;
    struct upstream_call *next =
        upstream_make(call->gateway->upstream, &call->request, &upstream_events, call);
    pthread_mutex_lock(&call->lock);
    const bool closed = call->closed;
    if (!closed)
        call->current = next;
    pthread_mutex_unlock(&call->lock);

    if (next != NULL && !closed) {
        call_ref(call);     /* on_end's */
        upstream_ref(next); /* on_end gives back the one of `current`, perhaps before begin has returned */
        upstream_begin(next, buffer_bytes(&call->wire));
    } else if (call->begun || closed) {
        answer_reset(call);
    } else {
        const struct status status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another call; retry later");
        answer_problem(call, &status, 503);
    }
    upstream_release(next);
}

/* Takes the wish for another start. Without one the walk is over, and what on_closed left to it is done. */
static bool take_wish(struct gateway_call *call)
{
    struct upstream_call *cancelled = NULL;
    pthread_mutex_lock(&call->lock);
    const bool wanted = call->start_wanted;
    call->start_wanted = false;
    call->walking = wanted;
    if (!wanted && call->closed && call->current != NULL) {
        cancelled = call->current;
        upstream_ref(cancelled);
    }
    pthread_mutex_unlock(&call->lock);
    if (cancelled != NULL)
        upstream_cancel(cancelled);
    upstream_release(cancelled);
    return wanted;
}

/*
 * A page may be answered before upstream_begin has returned. The wish for the next one is then left to the
 * thread that is in there: so the stack does not grow with the pages, and no call is cancelled while it
 * begins.
 */
void gateway_call_start(struct gateway_call *call)
{
    pthread_mutex_lock(&call->lock);
    const bool other = call->walking;
    call->walking = true;
    call->start_wanted = true;
    pthread_mutex_unlock(&call->lock);
    if (other)
        return;
    call_ref(call);
    while (take_wish(call))
        start_one(call);
    call_unref(call);
}

/* --- the exchange's callbacks, on the front's thread --- */

/* The call under way with a reference, unless a walk is just beginning it. Under the lock. */
static struct upstream_call *current_ref(struct gateway_call *call)
{
    if (call->current == NULL || call->walking)
        return NULL;
    upstream_ref(call->current);
    return call->current;
}

static void on_writable(void *context)
{
    struct gateway_call *call = context;
    pthread_mutex_lock(&call->lock);
    const bool next_page = call->page_waits;
    struct upstream_call *current = call->form == ANSWER_PAGES ? NULL : current_ref(call);
    call->page_writable = !next_page;
    call->page_waits = false;
    pthread_mutex_unlock(&call->lock);
    if (next_page)
        gateway_call_start(call);
    if (current != NULL)
        upstream_writable(current);
    upstream_release(current);
}

static void on_closed(void *context)
{
    struct gateway_call *call = context;
    pthread_mutex_lock(&call->lock);
    call->closed = true;
    const bool between = call->page_waits;
    call->page_waits = false;
    struct upstream_call *current = current_ref(call);
    pthread_mutex_unlock(&call->lock);
    if (between)
        answer_reset(call); /* nothing is under way that would end it */
    if (current != NULL)
        upstream_cancel(current);
    upstream_release(current);
}

void gateway_call_stop(struct gateway_call *call)
{
    atomic_store(&call->stopping, true);
    pthread_mutex_lock(&call->lock);
    struct upstream_call *current = current_ref(call);
    pthread_mutex_unlock(&call->lock);
    if (current != NULL)
        upstream_cancel(current);
    upstream_release(current);
}

static void on_done(void *context)
{
    struct gateway_call *call = context;
    link_remove(&call->stream);
    pthread_mutex_lock(&call->lock);
    call->closed = true;
    struct upstream_call *current = current_ref(call); /* a stream that was reset in its middle */
    pthread_mutex_unlock(&call->lock);
    if (current != NULL)
        upstream_cancel(current);
    upstream_release(current);
    call_unref(call);
}

static const struct exchange_ops exchange_callbacks = {on_writable, on_closed, on_done};

struct gateway_call *gateway_call_make(struct gateway *gateway, struct http_exchange *exchange,
                                       const struct schema_method *method)
{
    struct gateway_call *call = malloc(sizeof *call);
    if (call == NULL)
        return NULL;
    const struct http_request *http = exchange_request(exchange);
    *call = (struct gateway_call){.told_position = -1}; /* calloc knows no cache of the thread */
    atomic_init(&call->references, 1);
    call->gateway = gateway;
    call->exchange = exchange;
    call->method = method;
    link_init(&call->stream);
    atomic_init(&call->stopping, false);
    call->wire = buffer_in(http->arena, 0);
    call->request = (struct upstream_request){
        .method = (enum schema_method_id)(method - schema_methods),
        .transport = "http",
        .peer = http->peer,
        .authorization = http_request_header(http, "authorization"),
        .traceparent = http_request_header(http, "traceparent"),
        .request_id = http->request_id,
    };
    (void)pthread_mutex_init(&call->lock, NULL); /* fails only for attributes that are not used */
    exchange_listen(exchange, &exchange_callbacks, call);
    return call;
}
