/* From a checked head to an exchange that may be handed to the handler; the same for both protocols. */
#include <string.h>

#include "gateway/http/front_internal.h"

/* What a client says it will send gets its room at once, up to here. */
#define BODY_EXPECTED_MAX_BYTES 4096U

static void request_id_choose(struct http_exchange *exchange)
{
    struct http_request *request = &exchange->request;
    static const char *const names[] = {"strata-request-id", "x-request-id"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct bytes id;
        if (http_request_header_count(request, names[i], &id) == 1 && request_id_is_valid(id)) {
            memcpy(exchange->request_id, id.data, id.size_bytes);
            request->request_id = bytes_of(exchange->request_id, id.size_bytes);
            return;
        }
    }
    struct front *front = exchange->front;
    uuid_v7(clock_now_us(front->clock), front->entropy, exchange->request_id);
    request->request_id = bytes_of_text(exchange->request_id);
}

void request_fill(struct http_exchange *exchange, const struct request_head *head, const char *peer)
{
    const struct bytes from = bytes_of_text(peer);
    memcpy(exchange->peer, from.data, from.size_bytes); /* as large */
    struct http_request *request = &exchange->request;
    request->method = head->method;
    request->target = head->target;
    request->path = head->path;
    request->query = head->query;
    request->headers = head->headers;
    request->header_count = head->header_count;
    if (head->content_length > 0 && head->content_length <= BODY_EXPECTED_MAX_BYTES &&
        buffer_extend(&exchange->body, (size_t)head->content_length) != NULL)
        buffer_clear(&exchange->body);
    request->peer = bytes_of(exchange->peer, from.size_bytes);
    request_id_choose(exchange);
}

bool request_is_for_websocket(const struct front *front, const struct http_request *request)
{
    return front->options.handler->on_upgrade != NULL &&
           websocket_path_is(front->options.websocket_path, request->path);
}

bool request_is_allowed(struct front *front, const struct http_request *request, bool has_body,
                        struct http_refusal *ret)
{
    const struct access_rules rules = {
        .development = front->options.development,
        .hosts = front->options.allowed_hosts,
        .host_count = front->options.allowed_host_count,
        .origins = front->options.allowed_origins,
        .origin_count = front->options.allowed_origin_count,
        .address = front->options.bind_address,
        .forwarded = front->options.forwarded,
    };
    if (!access_allows(&rules, request, has_body, ret))
        return false;
    if (!front->options.websocket_only || websocket_path_is(front->options.websocket_path, request->path))
        return true;
    *ret =
        (struct http_refusal){404, status_error(STATUS_NOT_FOUND, "only the path %s is served on this port",
                                                front->options.websocket_path)};
    return false;
}

void request_dispatch(struct http_exchange *exchange, const struct connection_ops *ops, void *connection)
{
    struct front *front = exchange->front;
    exchange->request.body = buffer_bytes(&exchange->body);
    exchange->connection_ops = ops;
    exchange->connection = connection;
    front->exchange_count++;
    atomic_fetch_add(&front->requests, 1);
    const struct front_handler_ops *handler = front->options.handler;
    if (!request_is_for_websocket(front, &exchange->request))
        handler->on_request(front->options.context, exchange);
    else if (handler->on_handshake != NULL)
        handler->on_handshake(front->options.context, exchange);
    else
        exchange_upgrade(exchange);
}

struct bytes request_id_for(struct front *front, const struct http_exchange *exchange,
                            char made[UUID_TEXT_BYTES])
{
    if (exchange != NULL && exchange->request.request_id.size_bytes > 0)
        return exchange->request.request_id;
    uuid_v7(clock_now_us(front->clock), front->entropy, made);
    return bytes_of_text(made);
}

void request_refused(struct connection *connection, const struct http_refusal *refusal)
{
    struct front *front = connection->front;
    atomic_fetch_add(&front->refused, 1);
    log_debug(front->log, "request refused", LOG_INT("status", refusal->http_status),
              LOG_TEXT("peer", connection->peer), LOG_TEXT("reason", refusal->status.message));
}
