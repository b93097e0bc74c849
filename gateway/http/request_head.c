#include "gateway/http/request_head.h"

#include <string.h>
#include <strings.h>

#include "gateway/http/request_head_internal.h"

static bool refuse(struct http_refusal *ret, int http_status, struct status status)
{
    ret->http_status = http_status;
    ret->status = status;
    return false;
}

#define REFUSE_400(ret, ...) refuse(ret, 400, status_error(STATUS_INVALID_ARGUMENT, __VA_ARGS__))

static bool bytes_is(struct bytes a, const char *text)
{
    return a.size_bytes == strlen(text) && strncasecmp((const char *)a.data, text, a.size_bytes) == 0;
}

static bool is_http_1_0(const struct request_head *head)
{
    return head->major_version == 1 && head->minor_version == 0;
}

struct http_refusal request_target_too_long(size_t max_bytes)
{
    return (struct http_refusal){414, status_error(STATUS_INVALID_ARGUMENT,
                                                   "the request target is longer than %zu bytes; shorten it",
                                                   max_bytes)};
}

bool request_line_check(const struct request_head *head, const struct request_limits *limits,
                        struct http_refusal *ret)
{
    for (size_t i = 0; i < head->method.size_bytes; i++)
        if (!is_token_char(head->method.data[i]))
            return REFUSE_400(ret, "the request method contains the byte 0x%02x", head->method.data[i]);
    if (bytes_equal(head->method, BYTES_LITERAL("CONNECT")))
        return refuse(ret, 501,
                      status_error(STATUS_UNIMPLEMENTED, "the method %.*s is not served here",
                                   BYTES_FORMAT(head->method)));
    const struct bytes target = head->target;
    if (target.size_bytes > limits->target_max_bytes) {
        *ret = request_target_too_long(limits->target_max_bytes);
        return false;
    }
    for (size_t i = 0; i < target.size_bytes; i++)
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f || target.data[i] == '#')
            return REFUSE_400(ret, "the request target contains the byte 0x%02x; percent-encode it",
                              target.data[i]);
    return true;
}

/* Counts headers of this name and gives the first one's value. */
static size_t header_count(const struct request_head *head, const char *name, struct bytes *ret_value)
{
    size_t count = 0;
    for (size_t i = 0; i < head->header_count; i++)
        if (bytes_is(head->headers[i].name, name) && count++ == 0)
            *ret_value = head->headers[i].value;
    return count;
}

/* How the body is framed; two opinions about that are how requests are smuggled. */
static bool framing_check(struct request_head *head, struct http_refusal *ret)
{
    struct bytes length = BYTES_NONE, coding = BYTES_NONE;
    const size_t lengths = header_count(head, "content-length", &length);
    const size_t codings = header_count(head, "transfer-encoding", &coding);
    if (lengths > 0 && codings > 0)
        return REFUSE_400(ret, "Content-Length and Transfer-Encoding are both given; send one");
    if (lengths > 1)
        return REFUSE_400(ret, "Content-Length is given %zu times; send it once", lengths);
    if (codings > 0) {
        if (is_http_1_0(head))
            return REFUSE_400(ret, "Transfer-Encoding is not part of HTTP/1.0; send Content-Length");
        if (codings > 1 || !bytes_is(coding, "chunked"))
            return refuse(
                ret, 501,
                status_error(STATUS_UNIMPLEMENTED, "a transfer coding other than chunked is not known here"));
        head->chunked = true;
    }
    if (lengths == 1) {
        uint64_t value = 0;
        for (size_t i = 0; i < length.size_bytes; i++) {
            if (length.data[i] < '0' || length.data[i] > '9' || i >= 18)
                return REFUSE_400(ret, "Content-Length is not a number of bytes");
            value = value * 10 + (uint64_t)(length.data[i] - '0');
        }
        if (length.size_bytes == 0)
            return REFUSE_400(ret, "Content-Length is empty");
        head->has_length = true;
        head->content_length = value;
    }
    return true;
}

/* RFC 3986 3.2.2 without user information: host [ ":" port ]. */
static bool authority_is_valid(struct bytes authority)
{
    size_t i = 0;
    if (authority.size_bytes > 0 && authority.data[0] == '[') {
        const uint8_t *close = memchr(authority.data, ']', authority.size_bytes);
        if (close == NULL)
            return false;
        for (i = 1; authority.data + i < close; i++)
            if (strchr("0123456789abcdefABCDEF:.", authority.data[i]) == NULL || authority.data[i] == '\0')
                return false;
        i++;
    } else {
        while (i < authority.size_bytes && authority.data[i] != ':') {
            const uint8_t c = authority.data[i];
            if (!is_token_char(c) && strchr("(),;=", c) == NULL)
                return false;
            if (strchr("#^`|", c) != NULL) /* token characters that no host has */
                return false;
            i++;
        }
        if (i == 0)
            return false;
    }
    if (i == authority.size_bytes)
        return true;
    if (authority.data[i] != ':')
        return false;
    for (i++; i < authority.size_bytes; i++)
        if (authority.data[i] < '0' || authority.data[i] > '9')
            return false;
    return true;
}

/* RFC 9112 3.2: origin-form, absolute-form, or the asterisk of OPTIONS. */
static bool target_parse(struct request_head *head, struct http_refusal *ret)
{
    struct bytes host = BYTES_NONE;
    const size_t hosts = header_count(head, "host", &host);
    if (hosts > 1)
        return REFUSE_400(ret, "Host is given %zu times; send it once", hosts);
    if (hosts == 0 && !is_http_1_0(head))
        return REFUSE_400(ret, "Host is missing; send it");
    if (hosts == 1 && !authority_is_valid(host))
        return REFUSE_400(ret, "Host is not a host name or address with an optional port");

    struct bytes rest = head->target;
    const size_t scheme = rest.size_bytes > 7 && strncasecmp((const char *)rest.data, "http://", 7) == 0 ? 7
                          : rest.size_bytes > 8 && strncasecmp((const char *)rest.data, "https://", 8) == 0
                              ? 8
                              : 0;
    if (scheme > 0) {
        rest.data += scheme;
        rest.size_bytes -= scheme;
        size_t end = 0;
        while (end < rest.size_bytes && rest.data[end] != '/' && rest.data[end] != '?')
            end++;
        const struct bytes authority = {rest.data, end};
        if (!authority_is_valid(authority))
            return REFUSE_400(ret, "the request target names no valid host");
        if (hosts == 1 && (host.size_bytes != authority.size_bytes ||
                           strncasecmp((const char *)host.data, (const char *)authority.data, end) != 0))
            return REFUSE_400(ret, "Host and the request target name different hosts");
        rest.data += end;
        rest.size_bytes -= end;
        if (rest.size_bytes == 0)
            rest = BYTES_LITERAL("/");
    } else if (bytes_is(rest, "*")) {
        if (!bytes_is(head->method, "OPTIONS"))
            return REFUSE_400(ret, "the request target is \"*\", which only OPTIONS may have");
    } else if (rest.data[0] != '/') {
        return REFUSE_400(ret, "the request target is neither a path that begins with / nor an http URL");
    }

    const uint8_t *question = memchr(rest.data, '?', rest.size_bytes);
    head->path = rest;
    head->query = BYTES_NONE;
    if (question != NULL) {
        head->path.size_bytes = (size_t)(question - rest.data);
        head->query = (struct bytes){question + 1, rest.size_bytes - head->path.size_bytes - 1};
    }
    if (head->path.size_bytes == 0) /* http://host?query */
        head->path = BYTES_LITERAL("/");
    return true;
}

static bool expectation_check(struct request_head *head, struct http_refusal *ret)
{
    struct bytes expect = BYTES_NONE;
    if (header_count(head, "expect", &expect) == 0 || is_http_1_0(head))
        return true;
    if (!bytes_is(expect, "100-continue"))
        return refuse(
            ret, 417,
            status_error(STATUS_FAILED_PRECONDITION, "the only expectation known here is 100-continue"));
    head->expects_continue = true;
    return true;
}

bool request_head_check(struct request_head *head, struct http_refusal *ret)
{
    return framing_check(head, ret) && target_parse(head, ret) && expectation_check(head, ret);
}

struct http_refusal request_body_too_large(size_t max_bytes)
{
    return (struct http_refusal){
        413, status_reason(REASON_APPEND_TOO_LARGE,
                           "the request body is larger than %zu bytes; split the request", max_bytes)};
}
