#include "gateway/http/h1_parser.h"

#include <http_parser.h>
#include <string.h>
#include <strings.h>

#include "gateway/http/h1_parser_internal.h"

/* Room for "method SP … SP HTTP/1.1" around the longest target. */
#define REQUEST_LINE_EXTRA_BYTES 32U
#define EMPTY_LINES_MAX          2U /* RFC 9112 2.2: at least one before the request line should be ignored */

/* --- the head's lines --- */

/* `line` is without its LF. The first line of a request is no header. */
static enum h1_step line_check(struct bytes line, bool is_header, struct http_refusal *ret)
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
                                     const struct request_limits *limits, struct http_refusal *ret)
{
    const size_t line_bytes = input.size_bytes - head->line_at;
    if (head->line_count == 0 && line_bytes > 0) {
        const uint8_t first = input.data[head->line_at];
        if (!is_token_char(first) && first != '\r') /* a TLS hello, for one: do not wait for its end */
            return REFUSE_400(ret, "the request begins with the byte 0x%02x; this port speaks plain HTTP/1.1",
                              first);
        if (line_bytes > limits->target_max_bytes + REQUEST_LINE_EXTRA_BYTES) {
            *ret = request_target_too_long(limits->target_max_bytes);
            return H1_REFUSED;
        }
    }
    if (input.size_bytes > limits->header_max_bytes)
        return h1_refuse(ret, 431,
                         status_error(STATUS_INVALID_ARGUMENT,
                                      "the request's head is larger than %zu bytes; send fewer headers",
                                      limits->header_max_bytes));
    return H1_MORE;
}

enum h1_step h1_head_step(struct h1_head *head, struct bytes input, const struct request_limits *limits,
                          size_t *ret_size_bytes, struct http_refusal *ret_refusal)
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
    struct request_head *message;
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
    struct request_head *message = collector->message;
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
    struct request_head *message = collector->message;
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        length--;
    message->headers[message->header_count - 1].value = bytes_of(at, length);
    return 0;
}

/* --- persistence --- */

static struct bytes trim(struct bytes text)
{
    while (text.size_bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_of(text.data + 1, text.size_bytes - 1);
    while (text.size_bytes > 0 &&
           (text.data[text.size_bytes - 1] == ' ' || text.data[text.size_bytes - 1] == '\t'))
        text.size_bytes--;
    return text;
}

static bool text_is(struct bytes text, const char *wanted)
{
    return text.size_bytes == strlen(wanted) &&
           strncasecmp((const char *)text.data, wanted, text.size_bytes) == 0;
}

/* Is it an element of a list? Empty elements are none (RFC 9110 5.6.1.2). */
static bool list_has(struct bytes list, const char *wanted)
{
    while (list.size_bytes > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size_bytes);
        const size_t size = comma == NULL ? list.size_bytes : (size_t)(comma - list.data);
        if (text_is(trim(bytes_of(list.data, size)), wanted))
            return true;
        const size_t used = comma == NULL ? size : size + 1;
        list = bytes_of(list.data + used, list.size_bytes - used);
    }
    return false;
}

static bool connection_has(const struct request_head *head, const char *option)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (text_is(head->headers[i].name, "connection") && list_has(head->headers[i].value, option))
            return true;
    return false;
}

/*
 * RFC 9112 9.3: "close" before anything else. Not the library's own verdict: it misses options behind an empty element,
 * and takes Proxy-Connection, which is no header of HTTP, for Connection.
 */
static bool keeps_alive(const struct request_head *head)
{
    return !connection_has(head, "close") && (head->minor_version > 0 || connection_has(head, "keep-alive"));
}

/* --- all of a head --- */

/* "METHOD SP target SP HTTP/1.x", each separated by exactly one space. */
static enum h1_step request_line_parse(struct bytes head, const struct request_limits *limits,
                                       struct request_head *ret, struct http_refusal *ret_refusal)
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
    ret->major_version = 1;
    ret->minor_version = (unsigned)(version.data[7] - '0');

    ret->method = (struct bytes){begin, (size_t)(first - begin)};
    ret->target = (struct bytes){first + 1, (size_t)(last - first - 1)};
    return request_line_check(ret, limits, ret_refusal) ? H1_DONE : H1_REFUSED;
}

enum h1_step h1_head_parse(struct arena *arena, struct bytes head, const struct request_limits *limits,
                           struct request_head *ret, struct http_refusal *ret_refusal)
{
    *ret = (struct request_head){.headers = NULL};
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
    /* The library knows a list of methods; which ones a path has is for the router to say, with 405. */
    const char *behind = (const char *)ret->method.data + ret->method.size_bytes;
    const size_t behind_bytes = head.size_bytes - (size_t)(behind - (const char *)head.data);
    const size_t used = http_parser_execute(&parser, &settings, "GET", 3) == 3
                            ? http_parser_execute(&parser, &settings, behind, behind_bytes)
                            : 0;
    const enum http_errno error = HTTP_PARSER_ERRNO(&parser);
    if (error != HPE_OK || used != behind_bytes)
        return REFUSE_400(ret_refusal, "the request is malformed: %s", http_errno_description(error));
    ret->keep_alive = keeps_alive(ret);

    return request_head_check(ret, ret_refusal) ? H1_DONE : H1_REFUSED;
}
