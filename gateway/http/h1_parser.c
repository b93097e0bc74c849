#include "gateway/http/h1_parser.h"

#include <http_parser.h>
#include <string.h>
#include <strings.h>

#include "gateway/http/h1_parser_internal.h"

/* Room for "method SP … SP HTTP/1.1" around the longest target. */
#define REQUEST_LINE_EXTRA_BYTES 32U
#define EMPTY_LINES_MAX          2U /* RFC 9112 2.2: at least one before the request line should be ignored */

static bool bytes_is(struct bytes a, const char *text)
{
    return a.size_bytes == strlen(text) && strncasecmp((const char *)a.data, text, a.size_bytes) == 0;
}

/* --- the head's lines --- */

/* `line` is without its LF. The first line of a request is no header. */
static enum h1_step line_check(struct bytes line, bool is_header, struct h1_refusal *ret)
{
    if (line.size_bytes == 0 || line.data[line.size_bytes - 1] != '\r')
        return REFUSE_400(ret, "a line of the request ends with LF alone; end it with CR LF");
    line.size_bytes--;
    for (size_t i = 0; i < line.size_bytes; i++)
        if (is_control(line.data[i]))
            return REFUSE_400(ret, "the request's head contains the control character 0x%02x; remove it",
                              line.data[i]);
    if (!is_header || line.size_bytes == 0)
        return H1_DONE;

    if (line.data[0] == ' ' || line.data[0] == '\t')
        return REFUSE_400(ret, "a header line begins with white space; send each header on one line");
    size_t name = 0;
    while (name < line.size_bytes && is_token_char(line.data[name]))
        name++;
    if (name == 0 || name == line.size_bytes || line.data[name] != ':')
        return REFUSE_400(ret, "a header line is not \"Name: value\", with nothing between name and colon");
    return H1_DONE;
}

static enum h1_step unfinished_check(const struct h1_head *head, struct bytes input,
                                     const struct h1_limits *limits, struct h1_refusal *ret)
{
    const size_t line_bytes = input.size_bytes - head->line_at;
    if (head->line_count == 0 && line_bytes > 0) {
        const uint8_t first = input.data[head->line_at];
        if (!is_token_char(first) && first != '\r') /* a TLS hello, for one: do not wait for its end */
            return REFUSE_400(ret, "the request begins with the byte 0x%02x; this port speaks plain HTTP/1.1",
                              first);
        if (line_bytes > limits->target_max_bytes + REQUEST_LINE_EXTRA_BYTES)
            return h1_refuse(ret, 414,
                             status_error(STATUS_INVALID_ARGUMENT,
                                          "the request target is longer than %zu bytes; shorten it",
                                          limits->target_max_bytes));
    }
    if (input.size_bytes > limits->header_max_bytes)
        return h1_refuse(ret, 431,
                         status_error(STATUS_INVALID_ARGUMENT,
                                      "the request's head is larger than %zu bytes; send fewer headers",
                                      limits->header_max_bytes));
    return H1_MORE;
}

enum h1_step h1_head_step(struct h1_head *head, struct bytes input, const struct h1_limits *limits,
                          size_t *ret_size_bytes, struct h1_refusal *ret_refusal)
{
    while (head->scanned_bytes < input.size_bytes) {
        const uint8_t *from = input.data + head->scanned_bytes;
        const uint8_t *lf = memchr(from, '\n', input.size_bytes - head->scanned_bytes);
        if (lf == NULL) {
            head->scanned_bytes = input.size_bytes;
            break;
        }
        const size_t end = (size_t)(lf - input.data);
        const struct bytes seen = {input.data, end};
        if (unfinished_check(head, seen, limits, ret_refusal) == H1_REFUSED)
            return H1_REFUSED;
        const struct bytes line = {input.data + head->line_at, end - head->line_at};
        if (line_check(line, head->line_count > 0, ret_refusal) == H1_REFUSED)
            return H1_REFUSED;
        head->scanned_bytes = end + 1;
        head->line_at = end + 1;
        if (line.size_bytes == 1) { /* CR only: an empty line */
            if (head->line_count > 0) {
                *ret_size_bytes = end + 1;
                return H1_DONE;
            }
            if (end + 1 > (size_t)2 * EMPTY_LINES_MAX)
                return REFUSE_400(ret_refusal, "the request begins with empty lines; remove them");
            continue;
        }
        head->line_count++;
        if (head->line_count > limits->header_max_count + 1)
            return h1_refuse(ret_refusal, 431,
                             status_error(STATUS_INVALID_ARGUMENT,
                                          "the request has more than %zu headers; send fewer",
                                          limits->header_max_count));
    }
    return unfinished_check(head, input, limits, ret_refusal);
}

/* --- the head's parts --- */

struct collector {
    struct h1_message *message;
    size_t capacity;
};

static int on_url(http_parser *parser, const char *at, size_t length)
{
    struct collector *collector = parser->data;
    collector->message->target = bytes_of(at, length);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t length)
{
    struct collector *collector = parser->data;
    struct h1_message *message = collector->message;
    if (message->header_count == collector->capacity)
        return 1; /* a trailer cannot come: only the head is fed */
    message->headers[message->header_count].name = bytes_of(at, length);
    message->headers[message->header_count].value = BYTES_NONE;
    message->header_count++;
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t length)
{
    struct collector *collector = parser->data;
    struct h1_message *message = collector->message;
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        length--;
    message->headers[message->header_count - 1].value = bytes_of(at, length);
    return 0;
}

/* "METHOD SP target SP HTTP/1.x", each separated by exactly one space. */
static enum h1_step request_line_parse(struct bytes head, const struct h1_limits *limits,
                                       struct h1_message *ret, struct h1_refusal *ret_refusal)
{
    size_t start = 0;
    while (head.data[start] == '\r' || head.data[start] == '\n')
        start++;
    const uint8_t *begin = head.data + start;
    const uint8_t *end = memchr(begin, '\r', head.size_bytes - start);
    const uint8_t *first = memchr(begin, ' ', (size_t)(end - begin));
    const uint8_t *last = memrchr(begin, ' ', (size_t)(end - begin));
    if (first == NULL || first == last || last == first + 1)
        return REFUSE_400(ret_refusal, "the request line is not \"METHOD target HTTP/1.1\"");

    const struct bytes version = {last + 1, (size_t)(end - last - 1)};
    if (version.size_bytes != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.' ||
        version.data[5] < '0' || version.data[5] > '9' || version.data[7] < '0' || version.data[7] > '9')
        return REFUSE_400(ret_refusal, "the request line does not end with an HTTP version such as HTTP/1.1");
    if (version.data[5] != '1' || version.data[7] > '1')
        return h1_refuse(ret_refusal, 505,
                         status_error(STATUS_UNIMPLEMENTED,
                                      "HTTP version %c.%c is not spoken on this port; use HTTP/1.1",
                                      version.data[5], version.data[7]));
    ret->minor_version = (unsigned)(version.data[7] - '0');

    ret->method = (struct bytes){begin, (size_t)(first - begin)};
    for (size_t i = 0; i < ret->method.size_bytes; i++)
        if (!is_token_char(ret->method.data[i]))
            return REFUSE_400(ret_refusal, "the request method contains the byte 0x%02x",
                              ret->method.data[i]);
    ret->target = (struct bytes){first + 1, (size_t)(last - first - 1)};
    if (ret->target.size_bytes > limits->target_max_bytes)
        return h1_refuse(ret_refusal, 414,
                         status_error(STATUS_INVALID_ARGUMENT,
                                      "the request target is %zu bytes; at most %zu are allowed",
                                      ret->target.size_bytes, limits->target_max_bytes));
    for (size_t i = 0; i < ret->target.size_bytes; i++)
        if (ret->target.data[i] <= 0x20 || ret->target.data[i] >= 0x7f || ret->target.data[i] == '#')
            return REFUSE_400(ret_refusal, "the request target contains the byte 0x%02x; percent-encode it",
                              ret->target.data[i]);
    return H1_DONE;
}

static enum h1_step library_refusal(const http_parser *parser, const struct h1_message *message,
                                    struct h1_refusal *ret)
{
    const enum http_errno error = HTTP_PARSER_ERRNO(parser);
    if (error == HPE_INVALID_METHOD)
        return h1_refuse(ret, 501,
                         status_error(STATUS_UNIMPLEMENTED, "the method %.*s is not known here",
                                      message->method.size_bytes > 32 ? 32 : (int)message->method.size_bytes,
                                      (const char *)message->method.data));
    return REFUSE_400(ret, "the request is malformed: %s", http_errno_description(error));
}

/* Counts headers of this name and gives the first one's value. */
static size_t header_count(const struct h1_message *message, const char *name, struct bytes *ret_value)
{
    size_t count = 0;
    for (size_t i = 0; i < message->header_count; i++)
        if (bytes_is(message->headers[i].name, name) && count++ == 0)
            *ret_value = message->headers[i].value;
    return count;
}

/* How the body is framed; two opinions about that are how requests are smuggled. */
static enum h1_step framing_check(struct h1_message *message, struct h1_refusal *ret)
{
    struct bytes length = BYTES_NONE, coding = BYTES_NONE;
    const size_t lengths = header_count(message, "content-length", &length);
    const size_t codings = header_count(message, "transfer-encoding", &coding);
    if (lengths > 0 && codings > 0)
        return REFUSE_400(ret, "Content-Length and Transfer-Encoding are both given; send one");
    if (lengths > 1)
        return REFUSE_400(ret, "Content-Length is given %zu times; send it once", lengths);
    if (codings > 0) {
        if (message->minor_version == 0)
            return REFUSE_400(ret, "Transfer-Encoding is not part of HTTP/1.0; send Content-Length");
        if (codings > 1 || !bytes_is(coding, "chunked"))
            return h1_refuse(
                ret, 501,
                status_error(STATUS_UNIMPLEMENTED, "a transfer coding other than chunked is not known here"));
        message->chunked = true;
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
        message->content_length = value;
    }
    return H1_DONE;
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
static enum h1_step target_parse(struct h1_message *message, struct h1_refusal *ret)
{
    struct bytes host = BYTES_NONE;
    const size_t hosts = header_count(message, "host", &host);
    if (hosts > 1)
        return REFUSE_400(ret, "Host is given %zu times; send it once", hosts);
    if (hosts == 0 && message->minor_version == 1)
        return REFUSE_400(ret, "Host is missing; HTTP/1.1 requires it");
    if (hosts == 1 && !authority_is_valid(host))
        return REFUSE_400(ret, "Host is not a host name or address with an optional port");

    struct bytes rest = message->target;
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
        if (!bytes_is(message->method, "OPTIONS"))
            return REFUSE_400(ret, "the request target is \"*\", which only OPTIONS may have");
    } else if (rest.data[0] != '/') {
        return REFUSE_400(ret, "the request target is neither a path that begins with / nor an http URL");
    }

    const uint8_t *question = memchr(rest.data, '?', rest.size_bytes);
    message->path = rest;
    message->query = BYTES_NONE;
    if (question != NULL) {
        message->path.size_bytes = (size_t)(question - rest.data);
        message->query = (struct bytes){question + 1, rest.size_bytes - message->path.size_bytes - 1};
    }
    if (message->path.size_bytes == 0) /* http://host?query */
        message->path = BYTES_LITERAL("/");
    return H1_DONE;
}

enum h1_step h1_head_parse(struct arena *arena, struct bytes head, const struct h1_limits *limits,
                           struct h1_message *ret, struct h1_refusal *ret_refusal)
{
    *ret = (struct h1_message){.headers = NULL};
    if (request_line_parse(head, limits, ret, ret_refusal) == H1_REFUSED)
        return H1_REFUSED;

    struct collector collector = {.message = ret, .capacity = 0};
    for (const uint8_t *at = head.data; at < head.data + head.size_bytes; at++)
        collector.capacity += *at == '\n';
    ret->headers = arena_array(arena, collector.capacity, sizeof *ret->headers);
    if (ret->headers == NULL)
        return h1_refuse(ret_refusal, 503,
                         status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the request"));

    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_url = on_url;
    settings.on_header_field = on_field;
    settings.on_header_value = on_value;
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &collector;
    const size_t used = http_parser_execute(&parser, &settings, (const char *)head.data, head.size_bytes);
    const enum http_errno error = HTTP_PARSER_ERRNO(&parser);
    if (error != HPE_OK || used != head.size_bytes)
        return library_refusal(&parser, ret, ret_refusal);
    ret->keep_alive = http_should_keep_alive(&parser) && !(parser.flags & F_CONNECTION_CLOSE);

    if (parser.method == HTTP_CONNECT || parser.method == HTTP_TRACE)
        return h1_refuse(ret_refusal, 501,
                         status_error(STATUS_UNIMPLEMENTED, "the method %s is not served here",
                                      http_method_str((enum http_method)parser.method)));
    if (framing_check(ret, ret_refusal) == H1_REFUSED || target_parse(ret, ret_refusal) == H1_REFUSED)
        return H1_REFUSED;

    struct bytes expect = BYTES_NONE;
    if (header_count(ret, "expect", &expect) > 0 && ret->minor_version == 1) {
        if (!bytes_is(expect, "100-continue"))
            return h1_refuse(
                ret_refusal, 417,
                status_error(STATUS_FAILED_PRECONDITION, "the only expectation known here is 100-continue"));
        ret->expects_continue = true;
    }
    return H1_DONE;
}
