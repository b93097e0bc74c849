#include "gateway/http/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/http/front_internal.h"

/* A body up to here stays in the arena and is copied when it is sent: cheaper than memory that one thread takes and another
 * gives back. */
#define BODY_IN_ARENA_BYTES ((size_t)16 * 1024)

/* --- the request --- */

static bool name_is(struct bytes a, const char *name, size_t length)
{
    return a.size_bytes == length && strncasecmp((const char *)a.data, name, length) == 0;
}

size_t http_request_header_count(const struct http_request *request, const char *name,
                                 struct bytes *ret_value)
{
    const size_t length = strlen(name);
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (name_is(request->headers[i].name, name, length) && count++ == 0 && ret_value != NULL)
            *ret_value = request->headers[i].value;
    if (count == 0 && ret_value != NULL)
        *ret_value = BYTES_NONE;
    return count;
}

struct bytes http_request_header(const struct http_request *request, const char *name)
{
    struct bytes value = BYTES_NONE;
    if (http_request_header_count(request, name, &value) < 2)
        return value;
    struct buffer joined = buffer_in(request->arena, 0);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!name_is(request->headers[i].name, name, strlen(name)))
            continue;
        if (joined.size_bytes > 0)
            buffer_add_text(&joined, ", ");
        buffer_add_bytes(&joined, request->headers[i].value);
    }
    return joined.failed ? value : buffer_bytes(&joined);
}

/* --- life --- */

struct http_exchange *exchange_new(struct front *front)
{
    struct http_exchange *exchange = malloc(sizeof *exchange);
    struct arena *arena = exchange == NULL ? NULL : front_arena_take(front);
    if (arena == NULL) {
        free(exchange);
        return NULL;
    }
    *exchange = (struct http_exchange){.request = {.arena = arena}};
    atomic_init(&exchange->references, 1);
    pthread_mutex_init(&exchange->lock, NULL);
    exchange->front = front;
    front_ref(front);
    return exchange;
}

void exchange_ref(struct http_exchange *exchange)
{
    atomic_fetch_add(&exchange->references, 1);
}

void exchange_unref(struct http_exchange *exchange)
{
    if (exchange == NULL || atomic_fetch_sub(&exchange->references, 1) != 1)
        return;
    struct front *front = exchange->front;
    buffer_done(&exchange->body);
    buffer_done(&exchange->pending);
    front_arena_give(front, exchange->request.arena);
    pthread_mutex_destroy(&exchange->lock);
    free(exchange);
    front_unref(front);
}

const struct http_request *exchange_request(const struct http_exchange *exchange)
{
    return &exchange->request;
}

void exchange_listen(struct http_exchange *exchange, const struct exchange_ops *ops, void *context)
{
    assert(exchange->ops == NULL);
    exchange->ops = ops;
    exchange->context = context;
}

/* --- answering, any thread --- */

static bool header_is_sendable(const struct http_header *header)
{
    if (header->name.size_bytes == 0)
        return false;
    for (size_t i = 0; i < header->name.size_bytes; i++) {
        const uint8_t c = header->name.data[i];
        if (c <= 0x20 || c >= 0x7f || c == ':')
            return false;
    }
    for (size_t i = 0; i < header->value.size_bytes; i++) {
        const uint8_t c = header->value.data[i];
        if (c == '\r' || c == '\n' || c == '\0')
            return false;
    }
    return true;
}

static bool header_list_is_sendable(const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!header_is_sendable(&headers[i]))
            return false;
    return true;
}

/* One allocation: the array, then the texts. False: no memory. */
static bool headers_copy(struct arena *arena, const struct http_header *headers, size_t count,
                         struct http_header **ret)
{
    size_t text_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        text_bytes += headers[i].name.size_bytes + headers[i].value.size_bytes;
    }
    struct http_header *copy = arena_alloc(arena, count * sizeof *copy + text_bytes);
    if (copy == NULL)
        return false;
    uint8_t *text = (uint8_t *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        copy[i].name = (struct bytes){text, headers[i].name.size_bytes};
        text = (uint8_t *)mempcpy(text, headers[i].name.data, headers[i].name.size_bytes);
        copy[i].value = (struct bytes){text, headers[i].value.size_bytes};
        if (headers[i].value.size_bytes > 0)
            text = (uint8_t *)mempcpy(text, headers[i].value.data, headers[i].value.size_bytes);
    }
    *ret = copy;
    return true;
}

/* The handler's status and headers become the answer's; what cannot be sent makes it a 500 without body. */
static void answer_head(struct http_exchange *exchange, enum answer answer, bool sendable, int http_status,
                        const struct http_header *headers, size_t header_count)
{
    struct http_header *copy = NULL;
    sendable = sendable && headers_copy(exchange->request.arena, headers, header_count, &copy);
    if (!sendable)
        buffer_clear(&exchange->pending); /* as in exchange_respond, nobody else looks at it yet */
    pthread_mutex_lock(&exchange->lock);
    assert(exchange->answer == ANSWER_NONE);
    exchange->answer = sendable ? answer : ANSWER_WHOLE;
    exchange->http_status = sendable ? http_status : 500;
    exchange->headers = copy;
    exchange->header_count = sendable ? header_count : 0;
    exchange->finished = answer == ANSWER_WHOLE;
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_respond(struct http_exchange *exchange, int http_status, const struct http_header *headers,
                      size_t header_count, struct bytes body)
{
    struct buffer copy =
        body.size_bytes <= BODY_IN_ARENA_BYTES ? buffer_in(exchange->request.arena, 0) : buffer_make(0);
    buffer_add_bytes(&copy, body);
    exchange_respond_buffer(exchange, http_status, headers, header_count, &copy);
}

void exchange_respond_buffer(struct http_exchange *exchange, int http_status,
                             const struct http_header *headers, size_t header_count, struct buffer *body)
{
    /* The loop may drop the front's reference as soon as the answer is marked finished. */
    exchange_ref(exchange);
    /* The loop takes nothing from an exchange without an answer, so the body needs no lock. */
    assert(exchange->pending.data == NULL);
    exchange->pending = *body;
    *body = buffer_make(0);
    const bool sendable = !exchange->pending.failed && header_list_is_sendable(headers, header_count);
    answer_head(exchange, ANSWER_WHOLE, sendable, http_status, headers, header_count);
    front_post(exchange->front, exchange);
    exchange_unref(exchange);
}

void exchange_begin(struct http_exchange *exchange, int http_status, const struct http_header *headers,
                    size_t header_count)
{
    /* A head that cannot be sent has become a whole 500; what the handler still writes is then dropped. */
    answer_head(exchange, ANSWER_STREAM, header_list_is_sendable(headers, header_count), http_status, headers,
                header_count);
    front_post(exchange->front, exchange);
}

bool exchange_write(struct http_exchange *exchange, struct bytes bytes)
{
    pthread_mutex_lock(&exchange->lock);
    assert(!exchange->finished);
    assert(exchange->answer != ANSWER_NONE);
    const bool post = !exchange->gone && exchange->answer == ANSWER_STREAM;
    bool room = false;
    if (post) {
        /* What waited before counts, so that one large piece is no fault of the handler. */
        const bool ignored = exchange->pending.size_bytes + exchange->in_flight_bytes > STREAM_LIMIT_BYTES;
        buffer_add_bytes(&exchange->pending, bytes);
        const size_t waiting = exchange->pending.size_bytes + exchange->in_flight_bytes;
        exchange->overflowed = exchange->pending.failed || ignored;
        exchange->gone = exchange->overflowed;
        room = !exchange->gone && waiting < EXCHANGE_HIGH_WATER_BYTES;
        exchange->starved = !room;
    }
    pthread_mutex_unlock(&exchange->lock);
    if (post)
        front_post(exchange->front, exchange);
    return room;
}

static void finish(struct http_exchange *exchange, enum answer answer)
{
    exchange_ref(exchange); /* as in exchange_respond */
    pthread_mutex_lock(&exchange->lock);
    assert(!exchange->finished);
    exchange->finished = true;
    if (exchange->answer == ANSWER_NONE || exchange->answer == ANSWER_STREAM)
        exchange->answer = answer;
    pthread_mutex_unlock(&exchange->lock);
    front_post(exchange->front, exchange);
    exchange_unref(exchange);
}

void exchange_end(struct http_exchange *exchange)
{
    finish(exchange, ANSWER_ENDED);
}

void exchange_reset(struct http_exchange *exchange)
{
    finish(exchange, ANSWER_RESET);
}

void exchange_upgrade(struct http_exchange *exchange)
{
    finish(exchange, ANSWER_UPGRADE);
}

/* --- the front's side --- */

bool exchange_process(struct http_exchange *exchange)
{
    /* Read first: an answer that is finished after the connection has looked comes with a post of its own. */
    pthread_mutex_lock(&exchange->lock);
    const bool finished = exchange->finished;
    pthread_mutex_unlock(&exchange->lock);

    if (exchange->connection_ops != NULL)
        exchange->connection_ops->answer(exchange->connection, exchange);
    if (!finished || exchange->done_told)
        return false;
    exchange->done_told = true;
    if (exchange->ops != NULL && exchange->ops->on_done != NULL)
        exchange->ops->on_done(exchange->context);
    exchange_unref(exchange);
    return true;
}

void exchange_detach(struct http_exchange *exchange, bool client_gone)
{
    exchange->connection_ops = NULL;
    exchange->connection = NULL;
    pthread_mutex_lock(&exchange->lock);
    exchange->gone = true;
    const bool tell = client_gone && !exchange->finished && !exchange->closed_told;
    pthread_mutex_unlock(&exchange->lock);
    if (!tell)
        return;
    exchange->closed_told = true;
    if (exchange->ops != NULL && exchange->ops->on_closed != NULL)
        exchange->ops->on_closed(exchange->context);
}

void exchange_sent(struct http_exchange *exchange, size_t in_flight_bytes)
{
    pthread_mutex_lock(&exchange->lock);
    exchange->in_flight_bytes = in_flight_bytes;
    const bool tell = exchange->starved && !exchange->finished &&
                      exchange->pending.size_bytes + in_flight_bytes <= EXCHANGE_LOW_WATER_BYTES;
    if (tell)
        exchange->starved = false;
    pthread_mutex_unlock(&exchange->lock);
    if (tell && exchange->ops != NULL && exchange->ops->on_writable != NULL)
        exchange->ops->on_writable(exchange->context);
}
