/*
 * One HTTP/2 stream: header fields become an exchange, its answer becomes frames. What a request may be is decided by the
 * same checks as over HTTP/1.1 (request_head.h, request.c); nghttp2 has seen to RFC 9113's own rules before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/h2_internal.h"
#include "gateway/http/problem.h"

/* Bodies of one connection that are still arriving, together: a client that sends many at once is asked to slow down. */
#define ARRIVING_MAX_BYTES(limits) (2 * (limits)->body_max_bytes)
#define DROPPED_MAX_BYTES          ((size_t)256 * 1024)
#define FIELD_OVERHEAD_BYTES       32U /* RFC 9113 6.5.2: what a header field counts besides its text */

/* --- the request --- */

int h2_stream_begin(struct h2_connection *connection, int32_t id)
{
    struct h2_stream *stream = malloc(sizeof *stream);
    struct http_exchange *exchange = stream == NULL ? NULL : exchange_new(connection->base.front);
    if (exchange == NULL) {
        free(stream);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    *stream = (struct h2_stream){
        .connection = connection,
        .id = id,
        .began_us = connection->base.front->now_us,
        .exchange = exchange,
        .head = {.major_version = 2},
        .arriving = true,
    };
    link_init(&stream->all);
    link_append(&connection->streams, &stream->all);
    connection->stream_count++;
    connection->arriving_count++;
    if (connection->base.timer_kind == TIMER_IDLE)
        connection_timer(&connection->base, TIMER_NONE); /* begins anew, however short the request is */
    return nghttp2_session_set_stream_user_data(connection->session, id, stream);
}

/* No more of the request will come. */
static void arrived(struct h2_stream *stream)
{
    if (!stream->arriving)
        return;
    stream->arriving = false;
    stream->connection->arriving_count--;
    if (stream->exchange != NULL)
        stream->connection->arriving_bytes -= stream->exchange->body.size_bytes;
}

/* Parts from a request that no handler has; what still arrives of it is dropped. */
static void request_drop(struct h2_stream *stream)
{
    struct http_exchange *exchange = TAKE_PTR(stream->exchange);
    if (stream->arriving)
        stream->connection->arriving_bytes -= exchange->body.size_bytes;
    exchange_unref(exchange);
}

static void reset(struct h2_stream *stream, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id, code);
}

static void give_up(struct h2_stream *stream, uint32_t code)
{
    reset(stream, code);
    request_drop(stream);
}

static bool has_room(struct h2_stream *stream)
{
    struct request_head *head = &stream->head;
    if (head->header_count < stream->header_capacity)
        return true;
    const size_t capacity = stream->header_capacity == 0 ? 16 : stream->header_capacity * 2;
    struct http_header *headers = arena_array(stream->exchange->request.arena, capacity, sizeof *headers);
    if (headers == NULL)
        return false;
    if (head->header_count > 0)
        memcpy(headers, head->headers, head->header_count * sizeof *headers);
    head->headers = headers;
    stream->header_capacity = capacity;
    return true;
}

void h2_stream_header(struct h2_stream *stream, struct bytes name, struct bytes value)
{
    if (stream->exchange == NULL || stream->too_large)
        return;
    const struct request_limits *limits = &stream->connection->base.front->limits;
    struct request_head *head = &stream->head;
    stream->header_bytes += name.size_bytes + value.size_bytes + FIELD_OVERHEAD_BYTES;
    /* One more than HTTP/1.1 has: the authority becomes Host. */
    stream->too_large = stream->header_bytes > limits->header_max_bytes + limits->target_max_bytes ||
                        head->header_count > limits->header_max_count || !has_room(stream);
    struct arena *arena = stream->exchange->request.arena;
    const struct bytes kept = stream->too_large ? BYTES_NONE : arena_bytes(arena, value);
    if (kept.data == NULL) {
        stream->too_large = true;
        return;
    }
    if (bytes_equal(name, BYTES_LITERAL(":method")))
        head->method = kept;
    else if (bytes_equal(name, BYTES_LITERAL(":path")))
        head->target = kept;
    else if (bytes_equal(name, BYTES_LITERAL(":authority")))
        stream->authority = kept;
    else if (name.size_bytes > 0 && name.data[0] != ':')
        head->headers[head->header_count++] = (struct http_header){arena_bytes(arena, name), kept};
}

/* --- the answer --- */

static ssize_t answer_read(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t size_bytes,
                           uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)session, (void)stream_id, (void)context;
    struct h2_stream *stream = source->ptr;
    const size_t left = stream->body.size_bytes - stream->body_at;
    const size_t count = left < size_bytes ? left : size_bytes;
    if (count > 0)
        memcpy(to, stream->body.data + stream->body_at, count);
    stream->body_at += count;
    stream->moved |= count > 0;
    if (count == left) {
        buffer_clear(&stream->body);
        stream->body_at = 0;
    }
    if (count == left && stream->body_ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (count == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)count;
}

static nghttp2_nv field(struct bytes name, struct bytes value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.size_bytes,
                        value.size_bytes, NGHTTP2_NV_FLAG_NONE}; /* nghttp2 copies, and lowers the names */
}

#define FIELDS_OF_OURS 5U

struct answer_head {
    int http_status;
    const struct http_header *headers;
    size_t header_count;
    bool has_length;
    size_t length;
    bool has_body;
    struct bytes request_id;
};

/* The head of an answer; its body comes from stream->body. */
static void respond(struct h2_stream *stream, const struct answer_head *head)
{
    struct h2_connection *connection = stream->connection;
    char status_text[12], length_text[24];
    (void)snprintf(status_text, sizeof status_text, "%d", head->http_status);
    (void)snprintf(length_text, sizeof length_text, "%zu", head->length);
    nghttp2_nv *fields = malloc((head->header_count + FIELDS_OF_OURS) * sizeof *fields);
    if (fields == NULL) {
        reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    size_t count = 0;
    fields[count++] = field(BYTES_LITERAL(":status"), bytes_of_text(status_text));
    fields[count++] = field(BYTES_LITERAL("date"), bytes_of_text(front_date(connection->base.front)));
    fields[count++] = field(BYTES_LITERAL("strata-request-id"), head->request_id);
    fields[count - 1].flags =
        NGHTTP2_NV_FLAG_NO_INDEX; /* no other answer has it: it would only push out the others */
    for (size_t i = 0; i < head->header_count; i++)
        fields[count++] = field(head->headers[i].name, head->headers[i].value);
    if (head->has_length)
        fields[count++] = field(BYTES_LITERAL("content-length"), bytes_of_text(length_text));
    const nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = answer_read};
    if (nghttp2_submit_response(connection->session, stream->id, fields, count,
                                head->has_body && !stream->head_only ? &body : NULL) != 0)
        reset(stream, NGHTTP2_INTERNAL_ERROR);
    free(fields);
}

/*
 * Answers without a handler, and does not wait for the rest of the request. That is dropped for a while before the
 * stream is reset: clients lose an answer whose stream is reset before they have sent everything.
 */
static void refuse(struct h2_stream *stream, const struct http_refusal *refusal)
{
    struct front *front = stream->connection->base.front;
    char made[UUID_TEXT_BYTES];
    request_refused(&stream->connection->base, refusal);
    const struct bytes id = request_id_for(front, stream->exchange, made);
    problem_write(&stream->body, &refusal->status, refusal->http_status, id);
    const struct http_header type = {BYTES_LITERAL("content-type"), BYTES_LITERAL(PROBLEM_CONTENT_TYPE)};
    stream->body_ended = true;
    respond(stream, &(struct answer_head){.http_status = refusal->http_status,
                                          .headers = &type,
                                          .header_count = 1,
                                          .has_length = true,
                                          .length = stream->body.size_bytes,
                                          .has_body = true,
                                          .request_id = id});
    request_drop(stream);
}

/* RFC 9110 8.6 and 15.3.5, 15.4.5 */
static void answer_whole(struct h2_stream *stream, const struct http_exchange *exchange, struct buffer *part)
{
    const bool bodiless = exchange->http_status == 204 || exchange->http_status == 304;
    if (part->arena != NULL) { /* it goes with the exchange */
        buffer_add_bytes(&stream->body, buffer_bytes(part));
    } else {
        stream->body = *part;
        *part = buffer_make(0);
    }
    stream->body_ended = true;
    respond(stream, &(struct answer_head){.http_status = exchange->http_status,
                                          .headers = exchange->headers,
                                          .header_count = exchange->header_count,
                                          .has_length = !bodiless,
                                          .length = stream->body.size_bytes,
                                          .has_body = !bodiless && stream->body.size_bytes > 0,
                                          .request_id = exchange->request.request_id});
}

static void answer_part(struct h2_stream *stream, struct http_exchange *exchange, struct bytes part,
                        bool ended)
{
    /* A stream that never drains must not grow the buffer's dead beginning. */
    if (stream->body_at > EXCHANGE_LOW_WATER_BYTES) {
        memmove(stream->body.data, stream->body.data + stream->body_at,
                stream->body.size_bytes - stream->body_at);
        stream->body.size_bytes -= stream->body_at;
        stream->body_at = 0;
    }
    if (!stream->head_only)
        buffer_add_bytes(&stream->body, part);
    stream->body_ended = ended;
    if (exchange->head_written) {
        (void)nghttp2_session_resume_data(stream->connection->session, stream->id); /* or it is not waiting */
        return;
    }
    exchange->head_written = true;
    respond(stream, &(struct answer_head){.http_status = exchange->http_status,
                                          .headers = exchange->headers,
                                          .header_count = exchange->header_count,
                                          .has_body = true,
                                          .request_id = exchange->request.request_id});
}

static void h2_answer(void *context, struct http_exchange *exchange)
{
    struct h2_stream *stream = context;
    pthread_mutex_lock(&exchange->lock);
    const enum answer answer = exchange->overflowed ? ANSWER_RESET : exchange->answer;
    struct buffer part = exchange->pending;
    if (answer != ANSWER_NONE) {
        exchange->pending = buffer_make(0);
        exchange->in_flight_bytes += part.size_bytes;
    }
    pthread_mutex_unlock(&exchange->lock);
    if (answer == ANSWER_NONE)
        return;
    if (answer == ANSWER_WHOLE)
        answer_whole(stream, exchange, &part);
    else if (answer != ANSWER_RESET)
        answer_part(stream, exchange, buffer_bytes(&part), answer == ANSWER_ENDED);
    buffer_done(&part);
    if (answer == ANSWER_RESET || stream->body.failed)
        reset(stream, NGHTTP2_INTERNAL_ERROR);

    /* HEAD has the whole answer with the head, and an endless stream would never end. */
    const bool enough = answer == ANSWER_STREAM && stream->head_only;
    if (answer != ANSWER_STREAM || enough || stream->body.failed) {
        stream->exchange = NULL;
        exchange_detach(exchange, answer == ANSWER_STREAM);
    }
    connection_settle_later(&stream->connection->base);
}

static const struct connection_ops stream_ops = {.answer = h2_answer};

/* --- from fields to the handler --- */

static void dispatch(struct h2_stream *stream)
{
    arrived(stream);
    stream->dispatched = true;
    request_dispatch(stream->exchange, &stream_ops, stream);
}

/* RFC 9113 8.3.1: the authority stands for Host. */
static bool host_from_authority(struct h2_stream *stream, struct http_refusal *ret)
{
    struct request_head *head = &stream->head;
    if (stream->authority.size_bytes == 0)
        return true;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!bytes_equal(head->headers[i].name, BYTES_LITERAL("host")))
            continue;
        if (bytes_equal(head->headers[i].value, stream->authority))
            return true;
        *ret = (struct http_refusal){
            400, status_error(STATUS_INVALID_ARGUMENT, "Host and :authority name different hosts; send one")};
        return false;
    }
    head->headers[head->header_count++] = (struct http_header){BYTES_LITERAL("host"), stream->authority};
    return true;
}

static bool head_is_allowed(struct h2_stream *stream, bool ended, struct http_refusal *ret)
{
    struct front *front = stream->connection->base.front;
    struct request_head *head = &stream->head;
    if (stream->too_large || !has_room(stream)) {
        *ret = (struct http_refusal){
            431, status_error(STATUS_INVALID_ARGUMENT,
                              "the request has more than %zu headers or %zu bytes of "
                              "them; send fewer",
                              front->limits.header_max_count, front->limits.header_max_bytes)};
        return false;
    }
    if (!host_from_authority(stream, ret) || !request_line_check(head, &front->limits, ret))
        return false;
    if (!request_head_check(head, ret))
        return false;
    if (head->content_length > front->limits.body_max_bytes) {
        *ret = request_body_too_large(front->limits.body_max_bytes);
        return false;
    }
    request_fill(stream->exchange, head, stream->connection->base.peer);
    const bool has_body = !ended && !(head->has_length && head->content_length == 0);
    return request_is_allowed(front, &stream->exchange->request, has_body, ret);
}

void h2_stream_head(struct h2_stream *stream, bool ended)
{
    struct h2_connection *connection = stream->connection;
    struct http_refusal refusal;
    if (stream->exchange == NULL) { /* its time was over within its fields: it was answered then */
        if (ended)
            arrived(stream);
        return;
    }
    stream->head_only = bytes_equal(stream->head.method, BYTES_LITERAL("HEAD"));
    if (!head_is_allowed(stream, ended, &refusal)) {
        refuse(stream, &refusal);
        if (ended)
            arrived(stream);
        return;
    }
    if (request_is_for_websocket(connection->base.front, &stream->exchange->request)) {
        give_up(stream,
                NGHTTP2_HTTP_1_1_REQUIRED); /* clients then open a connection of HTTP/1.1 by themselves */
        return;
    }
    if (ended) {
        dispatch(stream);
        return;
    }
    if (stream->head.expects_continue) {
        const nghttp2_nv go_on = field(BYTES_LITERAL(":status"), BYTES_LITERAL("100"));
        (void)nghttp2_submit_headers(connection->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &go_on, 1,
                                     NULL);
    }
}

/* Of a request that was answered already. RFC 9113 8.1: asks for its end without calling it an error. */
static void data_drop(struct h2_stream *stream, size_t size_bytes)
{
    stream->dropped_bytes += size_bytes;
    if (stream->dropped_bytes > DROPPED_MAX_BYTES)
        reset(stream, NGHTTP2_NO_ERROR);
}

void h2_stream_data(struct h2_stream *stream, struct bytes data)
{
    if (stream->exchange == NULL || !stream->arriving) {
        data_drop(stream, data.size_bytes);
        return;
    }
    struct h2_connection *connection = stream->connection;
    const struct request_limits *limits = &connection->base.front->limits;
    struct buffer *body = &stream->exchange->body;
    if (body->size_bytes + data.size_bytes > limits->body_max_bytes) {
        const struct http_refusal refusal = request_body_too_large(limits->body_max_bytes);
        refuse(stream, &refusal);
        return;
    }
    if (connection->arriving_bytes + data.size_bytes > ARRIVING_MAX_BYTES(limits)) {
        give_up(stream, NGHTTP2_REFUSED_STREAM); /* not executed: clients repeat it */
        return;
    }
    buffer_add_bytes(body, data);
    if (body->failed)
        give_up(stream, NGHTTP2_INTERNAL_ERROR);
    else
        connection->arriving_bytes += data.size_bytes;
}

void h2_stream_ended(struct h2_stream *stream)
{
    if (stream->arriving && stream->exchange != NULL)
        dispatch(stream);
    else
        arrived(stream);
}

void h2_stream_overdue(struct h2_stream *stream, int64_t arriving_us, int64_t moved_us)
{
    if (stream->moved_us != 0 && stream->moved_us <= moved_us) {
        reset(stream, NGHTTP2_CANCEL);
        return;
    }
    if (!stream->arriving || stream->began_us > arriving_us)
        return;
    const struct http_refusal refusal = {
        408, status_error(STATUS_DEADLINE_EXCEEDED, "the request did not arrive in time; send it again")};
    if (stream->exchange != NULL)
        refuse(stream, &refusal);
    else
        reset(stream, NGHTTP2_NO_ERROR);
}

/* --- the end --- */

void h2_stream_closed(struct h2_stream *stream)
{
    arrived(stream);
    struct http_exchange *exchange = TAKE_PTR(stream->exchange);
    if (exchange != NULL && stream->dispatched) {
        h2_connection_cut(stream->connection);
        exchange_detach(exchange, true);
    } else {
        exchange_unref(exchange);
    }
    stream->connection->stream_count--;
    link_remove(&stream->all);
    buffer_done(&stream->body);
    free(stream);
}

/* Since when its answer waits for the client to open its window. */
static void note_moved(struct h2_stream *stream)
{
    struct h2_connection *connection = stream->connection;
    if (stream->body.size_bytes == stream->body_at) {
        stream->moved_us = 0;
        return;
    }
    connection->unsent_count++;
    if (stream->moved || stream->moved_us == 0)
        stream->moved_us = connection->base.front->now_us;
}

void h2_streams_sent(struct h2_connection *connection)
{
    struct link *next;
    connection->unsent_count = 0;
    for (struct link *at = connection->streams.next; at != &connection->streams; at = next) {
        next = at->next;
        struct h2_stream *stream = LINK_OWNER(at, struct h2_stream, all);
        note_moved(stream);
        if (!stream->moved)
            continue;
        stream->moved = false;
        if (stream->exchange != NULL && stream->dispatched)
            exchange_sent(stream->exchange, stream->body.size_bytes - stream->body_at);
    }
}
