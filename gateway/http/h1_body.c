/* A body out of its framing: Content-Length or chunks. */
#include "gateway/http/h1_parser_internal.h"

#define CHUNK_DIGITS_MAX          16U
#define CHUNK_EXTENSION_MAX_BYTES 256U

/*
 * LENGTH is a body with Content-Length. The rest is chunked, RFC 9112 7.1:
 *
 *     SIZE ─";"─► EXTENSION ─CR─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─► SIZE …
 *       └──────────CR───────────────┘  └─ size 0 ─► TRAILER_BEGIN
 *
 *     TRAILER_BEGIN ─► TRAILER_NAME ─":"─► TRAILER ─CR─► TRAILER_LF ─► TRAILER_BEGIN …
 *       └─CR─► END_LF ─► done
 */
enum body_state {
    BODY_LENGTH,
    BODY_SIZE,
    BODY_EXTENSION,
    BODY_SIZE_LF,
    BODY_DATA,
    BODY_DATA_CR,
    BODY_DATA_LF,
    BODY_TRAILER_BEGIN,
    BODY_TRAILER_NAME,
    BODY_TRAILER,
    BODY_TRAILER_LF,
    BODY_END_LF,
};

static enum h1_step too_large(size_t max_bytes, struct http_refusal *ret)
{
    *ret = request_body_too_large(max_bytes);
    return H1_REFUSED;
}

enum h1_step h1_body_begin(struct h1_body *body, const struct request_head *message,
                           const struct request_limits *limits, struct http_refusal *ret_refusal)
{
    *body = (struct h1_body){
        .state = message->chunked ? BODY_SIZE : BODY_LENGTH,
        .chunked = message->chunked,
        .left_bytes = message->chunked ? 0 : message->content_length,
        .max_bytes = limits->body_max_bytes,
        .overhead_max_bytes = limits->header_max_bytes,
    };
    if (message->chunked)
        return H1_MORE;
    if (message->content_length > limits->body_max_bytes)
        return too_large(limits->body_max_bytes, ret_refusal);
    return message->content_length == 0 ? H1_DONE : H1_MORE;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One byte of a chunk's size line. */
static enum h1_step size_byte(struct h1_body *body, uint8_t c, struct http_refusal *ret)
{
    const int digit = hex_digit(c);
    if (digit >= 0) {
        body->digit_count++;
        body->left_bytes = body->left_bytes * 16 + (uint64_t)digit;
        if (body->digit_count > CHUNK_DIGITS_MAX)
            return REFUSE_400(ret, "a chunk size has more than %u digits", CHUNK_DIGITS_MAX);
        if (body->left_bytes > body->max_bytes)
            return too_large(body->max_bytes, ret);
        return H1_MORE;
    }
    if (body->digit_count == 0 || (c != '\r' && c != ';'))
        return REFUSE_400(ret, "a chunk size is not a hexadecimal number that CR LF or \";\" follows");
    body->state = c == '\r' ? BODY_SIZE_LF : BODY_EXTENSION;
    body->line_bytes = 0;
    return H1_MORE;
}

/* One byte of an extension or a trailer: both are read, bounded and dropped. */
static enum h1_step overhead_byte(struct h1_body *body, uint8_t c, enum body_state after_cr,
                                  struct http_refusal *ret)
{
    body->line_bytes++;
    if (++body->overhead_bytes > body->overhead_max_bytes ||
        (body->state == BODY_EXTENSION && body->line_bytes > CHUNK_EXTENSION_MAX_BYTES))
        return h1_refuse(ret, 431,
                         status_error(STATUS_INVALID_ARGUMENT,
                                      "chunk extensions and trailers are too large; leave them out"));
    if (c == '\r')
        body->state = (int)after_cr;
    else if (is_control(c))
        return REFUSE_400(ret, "the chunked body contains the control character 0x%02x outside its data", c);
    return H1_MORE;
}

static enum h1_step lf_byte(struct h1_body *body, uint8_t c, enum body_state next, struct http_refusal *ret)
{
    if (c != '\n')
        return REFUSE_400(ret, "CR without LF in the chunked body");
    body->state = (int)next;
    return H1_MORE;
}

static enum h1_step trailer_byte(struct h1_body *body, uint8_t c, struct http_refusal *ret)
{
    if (body->state == BODY_TRAILER_BEGIN) {
        body->line_bytes = 0;
        if (c == '\r') {
            body->state = BODY_END_LF;
            return H1_MORE;
        }
        body->state = BODY_TRAILER_NAME;
    }
    if (body->state == BODY_TRAILER_NAME) {
        if (c == ':' && body->line_bytes > 0)
            body->state = BODY_TRAILER;
        else if (!is_token_char(c))
            return REFUSE_400(ret, "a trailer line is not \"Name: value\"");
    }
    return overhead_byte(body, c, BODY_TRAILER_LF, ret);
}

static enum h1_step framing_byte(struct h1_body *body, uint8_t c, struct http_refusal *ret)
{
    switch ((enum body_state)body->state) {
    case BODY_SIZE:
        return size_byte(body, c, ret);
    case BODY_EXTENSION:
        return overhead_byte(body, c, BODY_SIZE_LF, ret);
    case BODY_SIZE_LF:
        return lf_byte(body, c, body->left_bytes == 0 ? BODY_TRAILER_BEGIN : BODY_DATA, ret);
    case BODY_DATA_CR:
        if (c != '\r')
            return REFUSE_400(ret, "a chunk is longer than its size says");
        body->state = BODY_DATA_LF;
        return H1_MORE;
    case BODY_DATA_LF:
        body->digit_count = 0;
        return lf_byte(body, c, BODY_SIZE, ret);
    case BODY_TRAILER_BEGIN:
    case BODY_TRAILER_NAME:
    case BODY_TRAILER:
        return trailer_byte(body, c, ret);
    case BODY_TRAILER_LF:
        return lf_byte(body, c, BODY_TRAILER_BEGIN, ret);
    case BODY_END_LF:
        return c == '\n' ? H1_DONE : REFUSE_400(ret, "CR without LF at the end of the chunked body");
    case BODY_LENGTH:
    case BODY_DATA:
        break;
    }
    return H1_MORE;
}

enum h1_step h1_body_step(struct h1_body *body, struct bytes input, struct buffer *to, size_t *ret_used_bytes,
                          struct http_refusal *ret_refusal)
{
    size_t at = 0;
    enum h1_step step = H1_MORE;
    while (at < input.size_bytes && step == H1_MORE) {
        if (body->state != BODY_LENGTH && body->state != BODY_DATA) {
            step = framing_byte(body, input.data[at++], ret_refusal);
            continue;
        }
        const size_t there = input.size_bytes - at;
        const size_t take = there < body->left_bytes ? there : (size_t)body->left_bytes;
        if (to->size_bytes + take > body->max_bytes) {
            step = too_large(body->max_bytes, ret_refusal);
            break;
        }
        buffer_add(to, input.data + at, take);
        if (to->failed) {
            step = h1_refuse(ret_refusal, 503,
                             status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the body"));
            break;
        }
        at += take;
        body->left_bytes -= take;
        if (body->left_bytes == 0) {
            if (body->state == BODY_LENGTH)
                step = H1_DONE;
            else
                body->state = BODY_DATA_CR;
        }
    }
    *ret_used_bytes = at;
    return step;
}
