#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/gateway_internal.h"
#include "gateway/gateway_ws_internal.h"
#include "gateway/http/front.h"
#include "gateway/http/problem.h"
#include "gateway/request_internal.h"

#define CALL_DEADLINE_US INT64_C(60000000)

/* --- the upstream's events, on any thread --- */

/* Takes a reference of the call under way, or NULL. */
static struct upstream_call *current_ref(struct gateway_call *call)
{
    pthread_mutex_lock(&call->lock);
    struct upstream_call *current = call->current;
    if (current != NULL)
        upstream_ref(current);
    pthread_mutex_unlock(&call->lock);
    return current;
}

/* Puts another call in its place; false when the client is gone, and the call is then not to begin. */
static bool current_set(struct gateway_call *call, struct upstream_call *next)
{
    pthread_mutex_lock(&call->lock);
    struct upstream_call *former = call->current;
    call->current = next;
    const bool closed = call->closed;
    pthread_mutex_unlock(&call->lock);
    upstream_release(former);
    return !closed;
}

static bool on_message(void *context, struct bytes message)
{
    return answer_message(context, message);
}

static void answer_ready(struct gateway_call *call, const struct status *status, struct bytes reply, int http_status)
{
    const bool ready = status->code == STATUS_OK && http_status != 503;
    if (ready) {
        exchange_respond(call->exchange, 200, NULL, 0, BYTES_LITERAL("ready\n"));
        return;
    }
    (void)reply; /* /health shows which part it is */
    const struct status why =
        status->code != STATUS_OK ? *status : status_error(STATUS_UNAVAILABLE, "not ready; GET /health says which part");
    answer_problem(call, &why, 503);
}

static void on_end(void *context, const struct status *status, struct bytes reply, int http_status)
{
    struct gateway_call *call = context;
    const bool pages = call->form == ANSWER_PAGES;
    if (call->form == ANSWER_SSE || call->form == ANSWER_NDJSON) {
        answer_stream_end(call, status);
    } else if (call->form == ANSWER_READY) {
        answer_ready(call, status, reply, http_status);
    } else if (status->code != STATUS_OK) {
        if (pages && call->begun)
            exchange_reset(call->exchange);
        else
            answer_problem(call, status, http_status);
    } else if (!pages) {
        answer_reply(call, reply, http_status);
    } else if (answer_page(call, reply)) {
        gateway_call_start(call);
    }
}

static const struct upstream_events upstream_events = {on_message, on_end};

void gateway_call_start(struct gateway_call *call)
{
    const struct http_request *http = exchange_request(call->exchange);
    const bool stream = call->method->server_stream;
    const struct upstream_request request = {
        .method = (enum schema_method_id)(call->method - schema_methods),
        .transport = "http",
        .peer = http->peer,
        .authorization = http_request_header(http, "authorization"),
        .traceparent = http_request_header(http, "traceparent"),
        .request_id = http->request_id,
        .deadline_us = stream ? 0 : clock_monotonic_us(call->gateway->clock) + CALL_DEADLINE_US,
    };
    struct upstream_call *next = upstream_make(call->gateway->upstream, &request, &upstream_events, call);
    if (next != NULL && current_set(call, next)) {
        upstream_begin(next, buffer_bytes(&call->wire));
    } else if (call->begun || next != NULL) {
        exchange_reset(call->exchange); /* in the middle of its pages, or nobody is there to see it */
    } else {
        const struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another call; retry later");
        answer_problem(call, &status, 0);
    }
}

/* --- the exchange's callbacks, on the front's thread --- */

static void on_writable(void *context)
{
    struct gateway_call *call = context;
    if (call->form == ANSWER_PAGES) {
        if (atomic_exchange(&call->waiting, 0) == 1)
            gateway_call_start(call);
        return;
    }
    struct upstream_call *current = current_ref(call);
    if (current != NULL)
        upstream_writable(current);
    upstream_release(current);
}

static void on_closed(void *context)
{
    struct gateway_call *call = context;
    pthread_mutex_lock(&call->lock);
    call->closed = true;
    pthread_mutex_unlock(&call->lock);
    struct upstream_call *current = current_ref(call);
    if (atomic_exchange(&call->waiting, 0) == 1)
        exchange_reset(call->exchange); /* between two pages: nothing is under way that would end it */
    else if (current != NULL)
        upstream_cancel(current);
    upstream_release(current);
}

static void on_done(void *context)
{
    struct gateway_call *call = context;
    (void)current_set(call, NULL); /* the end of all */
    (void)pthread_mutex_destroy(&call->lock); /* nobody holds it */
    free(call);
}

static const struct exchange_ops exchange_callbacks = {on_writable, on_closed, on_done};

/* --- requests --- */

static bool accepts(const struct http_request *http, const char *type)
{
    const struct bytes accept = http_request_header(http, "accept");
    return accept.size_bytes > 0 && memmem(accept.data, accept.size_bytes, type, strlen(type)) != NULL;
}

static bool accepts_json(const struct http_request *http)
{
    return http_request_header_count(http, "accept", NULL) == 0 || accepts(http, "*/*") || accepts(http, "application/*") ||
           accepts(http, "application/json") || accepts(http, "application/problem+json");
}

static bool is_list(const struct schema_method *method)
{
    return schema_field_by_name(method->reply, BYTES_LITERAL("next_page_token")) != NULL;
}

/* False: nothing that the client accepts can be given. */
static bool choose_form(const struct http_request *http, struct gateway_call *call)
{
    const bool ndjson = accepts(http, "application/x-ndjson");
    if (call->method->server_stream) {
        call->form = ndjson ? ANSWER_NDJSON : ANSWER_SSE;
        return ndjson || http_request_header_count(http, "accept", NULL) == 0 || accepts(http, "*/*") ||
               accepts(http, "text/event-stream") || accepts(http, "text/*");
    }
    call->form = ndjson && is_list(call->method) ? ANSWER_PAGES : ANSWER_JSON;
    return call->form == ANSWER_PAGES || accepts_json(http);
}

static void respond_text(struct http_exchange *exchange, const char *type, struct bytes body)
{
    const struct http_header header = {BYTES_LITERAL("Content-Type"), bytes_of_text(type)};
    exchange_respond(exchange, 200, &header, 1, body);
}

static void respond_options(struct http_exchange *exchange, struct bytes origin, const char *allow)
{
    struct answer_headers headers = {.count = 0};
    const struct http_request *http = exchange_request(exchange);
    add_header(&headers, "Allow", bytes_of_text(allow));
    if (origin.size_bytes > 0) {
        const struct bytes wanted = http_request_header(http, "access-control-request-headers");
        add_header(&headers, "Access-Control-Allow-Origin", origin);
        add_header(&headers, "Access-Control-Allow-Methods", bytes_of_text(allow));
        if (wanted.size_bytes > 0)
            add_header(&headers, "Access-Control-Allow-Headers", wanted);
        add_header(&headers, "Access-Control-Max-Age", BYTES_LITERAL("600"));
        add_header(&headers, "Vary", BYTES_LITERAL("Origin"));
    }
    exchange_respond(exchange, 204, headers.items, headers.count, BYTES_NONE);
}

/* Paths that are the gateway's own. True when it answered. */
static bool own_path(struct gateway *gateway, struct http_exchange *exchange, struct bytes path);

static struct gateway_call *call_make(struct gateway *gateway, struct http_exchange *exchange,
                                      const struct schema_method *method)
{
    struct gateway_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    const struct http_request *http = exchange_request(exchange);
    call->gateway = gateway;
    call->exchange = exchange;
    call->method = method;
    call->origin = http_request_header(http, "origin");
    call->wire = buffer_in(http->arena, 0);
    (void)pthread_mutex_init(&call->lock, NULL); /* fails only for attributes that are not used */
    exchange_listen(exchange, &exchange_callbacks, call);
    return call;
}

static void refuse(struct http_exchange *exchange, int http_status, enum status_code code, const char *message)
{
    const struct status status = status_error(code, "%s", message);
    exchange_problem(exchange, &status, http_status);
}

static void serve_route(struct gateway *gateway, struct http_exchange *exchange, const struct route_match *match)
{
    const struct http_request *http = exchange_request(exchange);
    struct gateway_call *call = call_make(gateway, exchange, schema_method(match->route->method));
    if (call == NULL) {
        refuse(exchange, 503, STATUS_RESOURCE_EXHAUSTED, "no memory for another request; retry later");
        return;
    }
    call->route = match->route;
    if (match->route->body != NULL && !request_is_json(http)) {
        refuse(exchange, 415, STATUS_INVALID_ARGUMENT, "the body must be JSON; send Content-Type: application/json");
        return;
    }
    if (!choose_form(http, call)) {
        refuse(exchange, 406, STATUS_INVALID_ARGUMENT,
               "Accept leaves out what this path gives: application/json, lists and streams also application/x-ndjson, "
               "streams text/event-stream");
        return;
    }
    struct status status = request_build(http->arena, http, match, &call->wire);
    if (status.code != STATUS_OK) {
        answer_problem(call, &status, 0);
        return;
    }
    call->first_request_bytes = call->wire.size_bytes;
    gateway_call_start(call);
}

static void refuse_path(struct http_exchange *exchange, const struct route_match *match)
{
    const struct http_request *http = exchange_request(exchange);
    if (match->allow == NULL) {
        const struct status status = status_error(STATUS_NOT_FOUND, "there is no path %.*s; GET /openapi.json lists them",
                                                  BYTES_FORMAT(http->path));
        exchange_problem(exchange, &status, 404);
        return;
    }
    const struct status status = status_error(STATUS_UNIMPLEMENTED, "%.*s is not possible on this path; it has %s",
                                              BYTES_FORMAT(http->method), match->allow);
    struct buffer body = buffer_in(http->arena, 0);
    problem_write(&body, &status, 405, http->request_id);
    const struct http_header headers[] = {{BYTES_LITERAL("Allow"), bytes_of_text(match->allow)},
                                          {BYTES_LITERAL("Content-Type"), BYTES_LITERAL(PROBLEM_CONTENT_TYPE)}};
    exchange_respond(exchange, 405, headers, 2, buffer_bytes(&body));
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct gateway *gateway = context;
    const struct http_request *http = exchange_request(exchange);
    struct route_match match;
    if (own_path(gateway, exchange, http->path))
        return;
    struct status status = route_find(http->arena, http->method, http->path, &match);
    if (status.code != STATUS_OK)
        exchange_problem(exchange, &status, 0);
    else if (bytes_equal(http->method, BYTES_LITERAL("OPTIONS")) && match.allow != NULL)
        respond_options(exchange, http_request_header(http, "origin"), match.allow);
    else if (match.route == NULL)
        refuse_path(exchange, &match);
    else
        serve_route(gateway, exchange, &match);
}

static bool path_is(struct bytes path, const char *wanted)
{
    const size_t size = strlen(wanted);
    return path.size_bytes >= size && memcmp(path.data, wanted, size) == 0 &&
           (path.size_bytes == size || (path.size_bytes == size + 1 && path.data[size] == '/'));
}

static void serve_ready(struct gateway *gateway, struct http_exchange *exchange)
{
    struct gateway_call *call = call_make(gateway, exchange, schema_method(METHOD_SYSTEM_SERVICE_GET_HEALTH));
    if (call == NULL) {
        refuse(exchange, 503, STATUS_RESOURCE_EXHAUSTED, "no memory for another request; retry later");
        return;
    }
    call->form = ANSWER_READY;
    gateway_call_start(call);
}

static bool own_path(struct gateway *gateway, struct http_exchange *exchange, struct bytes path)
{
    const struct http_request *http = exchange_request(exchange);
    const bool live = path_is(path, "/livez");
    const bool ready = path_is(path, "/readyz");
    const bool openapi = path_is(path, "/openapi.json");
    if (!live && !ready && !openapi)
        return false;
    const bool reads = bytes_equal(http->method, BYTES_LITERAL("GET")) || bytes_equal(http->method, BYTES_LITERAL("HEAD"));
    const struct route_match match = {.allow = "GET, HEAD, OPTIONS"};
    if (bytes_equal(http->method, BYTES_LITERAL("OPTIONS")))
        respond_options(exchange, http_request_header(http, "origin"), match.allow);
    else if (!reads)
        refuse_path(exchange, &match);
    else if (live)
        respond_text(exchange, "text/plain", BYTES_LITERAL("alive\n"));
    else if (ready)
        serve_ready(gateway, exchange);
    else
        respond_text(exchange, "application/json", bytes_of(schema_openapi_json, schema_openapi_json_bytes));
    return true;
}

/* --- life --- */

static struct status on_upgrade(void *context, const struct http_request *request, int fd)
{
    struct gateway *gateway = context;
    return gateway_ws_adopt(gateway, request, fd);
}

static const struct front_handler_ops handler_with_websocket = {on_request, on_upgrade};
static const struct front_handler_ops handler_without_websocket = {on_request, NULL};

static struct status start_parts(struct gateway *gateway, const struct gateway_options *options,
                                 const struct entropy *entropy)
{
    if (options->websocket)
        STATUS_TRY(gateway_ws_start(gateway, options->websocket_read_max_bytes));
    const struct front_options front = {
        .bind_address = options->bind_address,
        .port = options->port,
        .limits = {.header_timeout_ms = options->header_timeout_ms},
        .development = options->development,
        .allowed_origins = options->allowed_origins,
        .allowed_origin_count = options->allowed_origin_count,
        .handler = options->websocket ? &handler_with_websocket : &handler_without_websocket,
        .context = gateway,
    };
    return front_start(&front, gateway->log, gateway->clock, entropy, &gateway->front);
}

struct status gateway_start(const struct gateway_options *options, struct upstream *upstream, struct log *log,
                            const struct clock *clock, const struct entropy *entropy, struct gateway **ret)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the gateway");
    gateway->upstream = upstream;
    gateway->log = log;
    gateway->clock = clock;
    struct status status = start_parts(gateway, options, entropy);
    if (status.code != STATUS_OK) {
        gateway_stop(gateway, 0);
        return status;
    }
    *ret = gateway;
    return status_ok();
}

uint16_t gateway_port(const struct gateway *gateway)
{
    return front_port(gateway->front);
}

void gateway_stop(struct gateway *gateway, int64_t drain_ms)
{
    if (gateway == NULL)
        return;
    front_stop(gateway->front, drain_ms);
    gateway_ws_stop(gateway, drain_ms);
    free(gateway);
}
