/*
 * What a request's head must be, whatever protocol carried it: one reading of method, target, Host, framing and
 * expectation, so that a request that HTTP/1.1 refuses is not served over HTTP/2.
 *
 * A protocol fills method, target and headers, and calls the two checks. They fill the rest.
 *
 * Threads   Pure.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "gateway/http/exchange.h"

struct request_limits {
    size_t target_max_bytes;
    size_t header_max_bytes; /* request line and headers; also all trailers of one request */
    size_t header_max_count;
    size_t body_max_bytes;
};

/* How a request is answered that no handler sees. */
struct http_refusal {
    int http_status;
    struct status status;
};

struct request_head {
    struct bytes method, target, path, query;
    struct http_header *headers; /* in the arena; "host" is the authority of HTTP/2 */
    size_t header_count;
    unsigned major_version; /* 1 or 2 */
    unsigned minor_version; /* of HTTP/1: 0 or 1 */
    bool keep_alive;
    bool chunked;
    bool expects_continue;
    bool has_length;         /* a Content-Length was given */
    uint64_t content_length; /* 0 also when there is none */
};

/* Method and target, their characters and sizes; CONNECT is 501. False: *ret says how to answer. */
bool request_line_check(const struct request_head *head, const struct request_limits *limits,
                        struct http_refusal *ret);

/*
 * After request_line_check and once all headers are there: Content-Length and
 * Transfer-Encoding, Host and target, Expect. Fills path, query, chunked, content_length, expects_continue.
 */
bool request_head_check(struct request_head *head, struct http_refusal *ret);

struct http_refusal request_body_too_large(size_t max_bytes);  /* 413 */
struct http_refusal request_target_too_long(size_t max_bytes); /* 414 */
