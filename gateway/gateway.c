#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/gateway_internal.h"
#include "gateway/gateway_ws_internal.h"
#include "gateway/http/front.h"
#include "gateway/request_internal.h"
#include "gateway/transcode/transcode.h"

#define OWN_VERBS "GET, HEAD, OPTIONS"
#define ALL_VERBS "GET, HEAD, POST, PUT, OPTIONS"

static bool verb_is(const struct http_request *http, const char *verb)
{
    return bytes_equal(http->method, bytes_of_text(verb));
}

static void refuse(struct http_exchange *exchange, int http_status, enum status_code code,
                   const char *message)
{
    const struct status status = status_error(code, "%s", message);
    respond_problem(exchange, &status, http_status, NULL);
}

static void refuse_verb(struct http_exchange *exchange, const char *allow)
{
    const struct http_request *http = exchange_request(exchange);
    const struct status status =
        status_error(STATUS_UNIMPLEMENTED, "%s is not possible on this path, which has %s",
                     transcode_shown(http->arena, http->method), allow);
    respond_problem(exchange, &status, 405, allow);
}

static void refuse_path(struct http_exchange *exchange)
{
    const struct http_request *http = exchange_request(exchange);
    const struct status status = status_error(
        STATUS_NOT_FOUND, "there is nothing at %s; GET /openapi.json lists what there is, /docs shows it",
        transcode_shown(http->arena, http->path));
    respond_problem(exchange, &status, 404, NULL);
}

static void refuse_memory(struct http_exchange *exchange)
{
    refuse(exchange, 503, STATUS_RESOURCE_EXHAUSTED, "no memory for another request; retry later");
}

/* --- routes of the contract --- */

/* Nothing at all, not even a body of no bytes. */
static bool has_no_body(const struct http_request *http)
{
    return http->body.size_bytes == 0 && http_request_header_count(http, "content-length", NULL) == 0 &&
           http_request_header_count(http, "transfer-encoding", NULL) == 0;
}

/* Before it is read. False: refused. */
static bool body_is_right(struct http_exchange *exchange, const struct route_match *match)
{
    const struct http_request *http = exchange_request(exchange);
    const bool left_out = http->body.size_bytes == 0 && request_body_is_optional(match);
    const bool wanted = match->route->body != NULL && !left_out;
    if (wanted && has_no_body(http)) /* RFC 9110 15.5.12 */
        refuse(exchange, 411, STATUS_INVALID_ARGUMENT,
               "the request has neither a body nor a Content-Length; send JSON and its length");
    else if (wanted && !request_is_json(http))
        refuse(exchange, 415, STATUS_INVALID_ARGUMENT,
               "the body must be JSON; send Content-Type: application/json");
    else if (http->body.size_bytes > 0 && !body_is_plain(http))
        refuse(exchange, 415, STATUS_INVALID_ARGUMENT,
               "the body is compressed; send it as it is, without Content-Encoding");
    else
        return true;
    return false;
}

static void serve_route(struct gateway *gateway, struct http_exchange *exchange,
                        const struct route_match *match)
{
    const struct http_request *http = exchange_request(exchange);
    const struct schema_method *method = schema_method(match->route->method);
    enum answer_form form = ANSWER_JSON;
    if (!body_is_right(exchange, match))
        return;
    if (!choose_form(http, method, &form)) {
        refuse(
            exchange, 406, STATUS_INVALID_ARGUMENT,
            method->server_stream
                ? "Accept leaves out what this path gives, text/event-stream and application/x-ndjson"
                : "Accept leaves out what this path gives, application/json and of lists application/x-ndjson");
        return;
    }
    struct gateway_call *call = gateway_call_make(gateway, exchange, method);
    if (call == NULL) {
        refuse_memory(exchange);
        return;
    }
    call->route = match->route;
    call->form = form;
    struct status status = request_build(http->arena, http, match, &call->wire);
    if (status.code != STATUS_OK) {
        answer_problem(call, &status, 0);
        return;
    }
    call->first_request_bytes = call->wire.size_bytes;
    if (!method->server_stream) {
        gateway_call_start(call);
        return;
    }
    if (!gateway->draining)
        link_append(&gateway->streams, &call->stream);
    gateway_call_start(
        call); /* what it answers is told to the call on this thread only, so it is still there */
    if (gateway->draining)
        gateway_call_stop(call);
}

/* --- paths of the gateway itself --- */

static void serve_live(struct gateway *gateway, struct http_exchange *exchange)
{
    struct answer_headers headers = {.count = 0};
    (void)gateway; /* the same for all */
    add_header(&headers, "Content-Type", BYTES_LITERAL("text/plain"));
    add_cors(&headers, exchange_request(exchange));
    respond_body(exchange, 200, &headers, BYTES_LITERAL("alive\n"));
}

static void serve_ready(struct gateway *gateway, struct http_exchange *exchange)
{
    struct gateway_call *call =
        gateway_call_make(gateway, exchange, schema_method(METHOD_SYSTEM_SERVICE_GET_HEALTH));
    if (call == NULL) {
        refuse_memory(exchange);
        return;
    }
    call->form = ANSWER_READY;
    gateway_call_start(call);
}

static const struct own_path {
    const char *path;
    void (*serve)(struct gateway *gateway, struct http_exchange *exchange);
} own_paths[] = {
    {"/livez", serve_live},
    {"/readyz", serve_ready},
};

bool path_is(struct bytes path, const char *wanted)
{
    const size_t size = strlen(wanted);
    return path.size_bytes >= size && memcmp(path.data, wanted, size) == 0 &&
           (path.size_bytes == size || (path.size_bytes == size + 1 && path.data[size] == '/'));
}

/* True when it answered. */
static bool serve_own(struct gateway *gateway, struct http_exchange *exchange)
{
    const struct http_request *http = exchange_request(exchange);
    const struct own_path *own = NULL;
    for (size_t i = 0; i < sizeof own_paths / sizeof own_paths[0]; i++)
        if (path_is(http->path, own_paths[i].path))
            own = &own_paths[i];
    const struct document *document = documents_find(gateway->documents, http->path);
    const bool all = verb_is(http, "OPTIONS") && path_is(http->path, "*"); /* about the server itself */
    if (all)
        respond_options(exchange, ALL_VERBS);
    else if (own == NULL && document == NULL)
        return false;
    else if (verb_is(http, "OPTIONS"))
        respond_options(exchange, OWN_VERBS);
    else if (!verb_is(http, "GET") && !verb_is(http, "HEAD"))
        refuse_verb(exchange, OWN_VERBS);
    else if (document != NULL)
        document_serve(document, exchange);
    else
        own->serve(gateway, exchange);
    return true;
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct gateway *gateway = context;
    const struct http_request *http = exchange_request(exchange);
    struct route_match match;
    if (serve_own(gateway, exchange))
        return;
    struct status status = route_find(http->arena, http->method, http->path, &match);
    if (status.code != STATUS_OK)
        respond_problem(exchange, &status, 0, NULL);
    else if (match.route != NULL)
        serve_route(gateway, exchange, &match);
    else if (match.allow == NULL)
        refuse_path(exchange);
    else if (verb_is(http, "OPTIONS"))
        respond_options(exchange, match.allow);
    else
        refuse_verb(exchange, match.allow);
}

/*
 * A WebSocket's first subscription is answered by frames, so a token that is not accepted must be found before. Who
 * may read may subscribe, and GetInfo is the cheapest call that asks for no more: its end is the verdict on the token.
 */
static void on_handshake(void *context, struct http_exchange *exchange)
{
    struct gateway *gateway = context;
    const struct http_request *http = exchange_request(exchange);
    const struct status status = gateway_ws_check(http);
    if (status.code != STATUS_OK) {
        respond_problem(exchange, &status, 0, NULL);
        return;
    }
    if (http_request_header_count(http, "authorization", NULL) == 0) {
        exchange_upgrade(exchange);
        return;
    }
    struct gateway_call *call =
        gateway_call_make(gateway, exchange, schema_method(METHOD_SYSTEM_SERVICE_GET_INFO));
    if (call == NULL) {
        refuse_memory(exchange);
        return;
    }
    call->form = ANSWER_SOCKET;
    call->request.transport = "websocket";
    gateway_call_start(call);
}

static struct status on_upgrade(void *context, const struct http_request *request, int fd)
{
    struct gateway *gateway = context;
    return gateway_ws_adopt(gateway, request, fd);
}

/* Afterwards none is in the ring: their ends may come when the gateway is gone. */
static void on_drain(void *context)
{
    struct gateway *gateway = context;
    gateway->draining = true;
    while (!link_is_alone(&gateway->streams)) {
        struct gateway_call *call = LINK_OWNER(gateway->streams.next, struct gateway_call, stream);
        link_remove(&call->stream);
        gateway_call_stop(call);
    }
}

static const struct front_handler_ops handler_of_all = {
    .on_request = on_request, .on_handshake = on_handshake, .on_upgrade = on_upgrade, .on_drain = on_drain};
static const struct front_handler_ops handler_without_websocket = {.on_request = on_request,
                                                                   .on_drain = on_drain};
static const struct front_handler_ops handler_of_websocket = {
    .on_request = on_request, .on_handshake = on_handshake, .on_upgrade = on_upgrade};

/* --- life --- */

static struct status start_parts(struct gateway *gateway, const struct gateway_options *options,
                                 const struct entropy *entropy)
{
    const bool here = options->websocket && !options->websocket_apart;
    struct front_options front = {
        .bind_address = options->bind_address,
        .port = options->port,
        .limits = {.header_timeout_ms = options->header_timeout_ms,
                   .connections_max = options->http_connections_max},
        .development = options->development,
        .forwarded = options->forwarded,
        .allowed_hosts = options->allowed_hosts,
        .allowed_host_count = options->allowed_host_count,
        .allowed_origins = options->allowed_origins,
        .allowed_origin_count = options->allowed_origin_count,
        .handler = here ? &handler_of_all : &handler_without_websocket,
        .context = gateway,
    };
    if (options->websocket)
        STATUS_TRY(gateway_ws_start(gateway, options));
    struct status status = front_start(&front, gateway->log, gateway->clock, entropy, &gateway->front);
    if (status.code != STATUS_OK)
        return status_prefix(status, "server.http_port");
    if (!options->websocket || here)
        return status_ok();
    front.port = options->websocket_port;
    front.handler = &handler_of_websocket;
    front.websocket_only = true;
    status = front_start(&front, gateway->log, gateway->clock, entropy, &gateway->websocket_front);
    return status.code == STATUS_OK ? status : status_prefix(status, "websocket.port");
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
    link_init(&gateway->streams);
    struct status status = documents_new(&gateway->documents);
    if (status.code == STATUS_OK)
        status = start_parts(gateway, options, entropy);
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

uint16_t gateway_websocket_port(const struct gateway *gateway)
{
    if (gateway->websockets == NULL)
        return 0;
    return front_port(gateway->websocket_front != NULL ? gateway->websocket_front : gateway->front);
}

void gateway_stop(struct gateway *gateway, int64_t drain_ms)
{
    if (gateway == NULL)
        return;
    front_stop(gateway->websocket_front, drain_ms);
    front_stop(gateway->front, drain_ms);
    gateway_ws_stop(gateway, drain_ms);
    documents_free(gateway->documents);
    free(gateway);
}
