/* The rules about who may send what, before a handler sees it. Pure: a request in, a refusal out. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "gateway/http/front_internal.h"

/* Of a name that is refused; the longest of DNS. */
#define HOST_SHOWN_BYTES 253U

static bool refuse(struct http_refusal *ret, int http_status, struct status status)
{
    ret->http_status = http_status;
    ret->status = status;
    return false;
}

static bool text_is(struct bytes a, const char *text)
{
    return a.size_bytes == strlen(text) && strncasecmp((const char *)a.data, text, a.size_bytes) == 0;
}

static bool text_begins(struct bytes a, const char *prefix)
{
    const size_t length = strlen(prefix);
    return a.size_bytes >= length && strncasecmp((const char *)a.data, prefix, length) == 0;
}

static struct bytes trim(struct bytes text)
{
    while (text.size_bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size_bytes--;
    }
    while (text.size_bytes > 0 &&
           (text.data[text.size_bytes - 1] == ' ' || text.data[text.size_bytes - 1] == '\t'))
        text.size_bytes--;
    return text;
}

/* The host of "host[:port]"; the parser has checked its characters. */
static struct bytes host_of(struct bytes authority)
{
    const uint8_t *end = NULL;
    if (authority.size_bytes > 0 && authority.data[0] == '[') {
        end = memchr(authority.data, ']', authority.size_bytes);
        if (end != NULL)
            end++;
    } else if (authority.size_bytes > 0) {
        end = memchr(authority.data, ':', authority.size_bytes);
    }
    if (end != NULL)
        authority.size_bytes = (size_t)(end - authority.data);
    return authority;
}

static bool host_is_loopback(struct bytes host)
{
    return text_is(host, "localhost") || text_is(host, "127.0.0.1") || text_is(host, "[::1]");
}

/* 10.0.0.1, [2001:db8::1]; *ret_address is the address alone. */
static bool host_is_address(struct bytes host, char ret_address[INET6_ADDRSTRLEN])
{
    struct in6_addr parsed;
    const bool six = host.size_bytes > 2 && host.data[0] == '[' && host.data[host.size_bytes - 1] == ']';
    if (six)
        host = bytes_of(host.data + 1, host.size_bytes - 2);
    if (host.size_bytes == 0 || host.size_bytes >= INET6_ADDRSTRLEN)
        return false;
    memcpy(ret_address, host.data, host.size_bytes);
    ret_address[host.size_bytes] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, ret_address, &parsed) == 1;
}

/* An address is no name that DNS points elsewhere. Bound to all, the server has some that it does not know. */
static bool host_is_bound(const char *bound, struct bytes host)
{
    char address[INET6_ADDRSTRLEN];
    if (bound == NULL || !host_is_address(host, address))
        return false;
    return strcmp(bound, "0.0.0.0") == 0 || strcmp(bound, "::") == 0 || strcasecmp(bound, address) == 0;
}

static bool host_is_allowed(const struct access_rules *rules, struct bytes host)
{
    if (host_is_loopback(host) || host_is_bound(rules->address, host))
        return true;
    for (size_t i = 0; i < rules->host_count; i++)
        if (text_is(host, rules->hosts[i]))
            return true;
    return false;
}

/* "scheme://authority" → authority; empty for "null" and other schemes. */
static struct bytes origin_authority(struct bytes origin)
{
    const size_t skip = text_begins(origin, "http://") ? 7 : text_begins(origin, "https://") ? 8 : 0;
    if (skip == 0)
        return BYTES_NONE;
    return (struct bytes){origin.data + skip, origin.size_bytes - skip};
}

static bool origin_is_allowed(const struct access_rules *rules, struct bytes origin, struct bytes host)
{
    const struct bytes authority = origin_authority(origin);
    if (authority.size_bytes > 0 && authority.size_bytes == host.size_bytes &&
        strncasecmp((const char *)authority.data, (const char *)host.data, host.size_bytes) == 0)
        return true;
    for (size_t i = 0; i < rules->origin_count; i++) {
        if (strcmp(rules->origins[i], "*") == 0) {
            if (!rules->development || host_is_loopback(host_of(authority)))
                return true;
        } else if (text_is(origin, rules->origins[i])) {
            return true;
        }
    }
    return false;
}

static bool body_is_json(const struct http_request *request)
{
    struct bytes type = BYTES_NONE;
    if (http_request_header_count(request, "content-type", &type) != 1)
        return false;
    const uint8_t *parameters = memchr(type.data, ';', type.size_bytes);
    if (parameters != NULL)
        type.size_bytes = (size_t)(parameters - type.data);
    return text_is(trim(type), "application/json");
}

static bool development_allows(const struct access_rules *rules, const struct http_request *request,
                               struct bytes host, bool has_body, struct http_refusal *ret)
{
    const struct bytes name = host_of(host);
    if (!host_is_allowed(rules, name))
        return refuse(
            ret, 421,
            status_error(STATUS_PERMISSION_DENIED,
                         "Host \"%.*s\" is no name of this server; use localhost, 127.0.0.1 or [::1], "
                         "or have its operator add the name to security.allowed_hosts",
                         name.size_bytes < HOST_SHOWN_BYTES ? (int)name.size_bytes : (int)HOST_SHOWN_BYTES,
                         name.size_bytes == 0 ? "" : (const char *)name.data));
    for (size_t i = 0; !rules->forwarded && i < request->header_count; i++)
        if (text_is(request->headers[i].name, "forwarded") ||
            text_begins(request->headers[i].name, "x-forwarded-"))
            return refuse(
                ret, 403,
                status_reason(REASON_PERMISSION_DENIED,
                              "the request was forwarded by a proxy (%.*s), and no token is checked "
                              "in development mode; ask the server itself, or have its operator set "
                              "security.allow_insecure_bind: true if all whom the proxy lets through "
                              "may read and write everything",
                              BYTES_FORMAT(request->headers[i].name)));
    if (has_body && !body_is_json(request))
        return refuse(ret, 415,
                      status_error(STATUS_INVALID_ARGUMENT,
                                   "the body's Content-Type is not application/json; send "
                                   "\"Content-Type: application/json\""));
    return true;
}

bool access_allows(const struct access_rules *rules, const struct http_request *request, bool has_body,
                   struct http_refusal *ret)
{
    struct bytes host = BYTES_NONE, origin = BYTES_NONE;
    (void)http_request_header_count(request, "host", &host); /* the parser lets at most one pass */
    const size_t origins = http_request_header_count(request, "origin", &origin);
    if (origins > 1 || (origins == 1 && !origin_is_allowed(rules, origin, host)))
        return refuse(ret, 403,
                      status_reason(REASON_PERMISSION_DENIED,
                                    "the page's origin may not use this server; add it to "
                                    "security.allowed_origins"));
    return !rules->development || development_allows(rules, request, host, has_body, ret);
}

bool websocket_path_is(const char *websocket_path, struct bytes path)
{
    const size_t length = strlen(websocket_path);
    if (path.size_bytes == length + 1 && path.data[length] == '/')
        path.size_bytes--;
    return path.size_bytes == length && memcmp(path.data, websocket_path, length) == 0;
}

/* Does a comma-separated header hold this token? */
static bool header_has_token(const struct http_request *request, const char *name, const char *token)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (!text_is(request->headers[i].name, name))
            continue;
        struct bytes rest = request->headers[i].value;
        while (rest.size_bytes > 0) {
            const uint8_t *comma = memchr(rest.data, ',', rest.size_bytes);
            const size_t length = comma == NULL ? rest.size_bytes : (size_t)(comma - rest.data);
            if (text_is(trim((struct bytes){rest.data, length}), token))
                return true;
            const size_t skip = comma == NULL ? length : length + 1;
            rest.data += skip;
            rest.size_bytes -= skip;
        }
    }
    return false;
}

/* Base64 of 16 bytes: 22 characters and "==". */
static bool websocket_key_is_valid(struct bytes key)
{
    if (key.size_bytes != 24 || key.data[22] != '=' || key.data[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        const uint8_t c = key.data[i];
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && c != '+' && c != '/')
            return false;
    }
    return true;
}

bool websocket_handshake_is_valid(const struct http_request *request, unsigned minor_version, bool has_body,
                                  struct http_refusal *ret, const char **ret_headers)
{
    *ret_headers = "";
    if (!text_is(request->method, "GET")) {
        *ret_headers = "Allow: GET\r\n";
        return refuse(ret, 405, status_error(STATUS_UNIMPLEMENTED, "a WebSocket is opened with GET"));
    }
    if (minor_version == 0 || !header_has_token(request, "upgrade", "websocket")) {
        *ret_headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return refuse(ret, 426,
                      status_error(STATUS_FAILED_PRECONDITION,
                                   "this path speaks WebSocket; connect with a WebSocket client"));
    }
    struct bytes version = BYTES_NONE, key = BYTES_NONE;
    if (http_request_header_count(request, "sec-websocket-version", &version) != 1 ||
        !text_is(version, "13")) {
        *ret_headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return refuse(ret, 426,
                      status_error(STATUS_FAILED_PRECONDITION,
                                   "the WebSocket version is not 13, the only one spoken here"));
    }
    if (!header_has_token(request, "connection", "upgrade"))
        return refuse(ret, 400,
                      status_error(STATUS_INVALID_ARGUMENT,
                                   "\"Connection: Upgrade\" is missing from the WebSocket handshake"));
    if (http_request_header_count(request, "sec-websocket-key", &key) != 1 || !websocket_key_is_valid(key))
        return refuse(ret, 400,
                      status_error(STATUS_INVALID_ARGUMENT,
                                   "Sec-WebSocket-Key is not the base64 of 16 bytes, given once"));
    if (has_body)
        return refuse(ret, 400, status_error(STATUS_INVALID_ARGUMENT, "a WebSocket handshake has no body"));
    return true;
}

bool request_id_is_valid(struct bytes id)
{
    if (id.size_bytes == 0 || id.size_bytes > REQUEST_ID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < id.size_bytes; i++) {
        const uint8_t c = id.data[i];
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr("._:+/=@-", c) == NULL))
            return false;
    }
    return true;
}
