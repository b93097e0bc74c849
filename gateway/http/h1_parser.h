/*
 * HTTP/1.1 requests from bytes, strictly (RFC 9112): the one place that knows the parser library.
 *
 * A request is read in three steps over bytes that arrive in any pieces: h1_head_step finds
 * the end of the head and refuses its line discipline, h1_head_parse gives its parts,
 * h1_body_step takes the body out of its framing.
 *
 * http-parser alone is too lax for a server behind other people's proxies, where two readings of one request
 * are a hole (request smuggling). It accepts a line ended by LF alone, folded headers, and anything but CR in
 * a chunk extension. So lines are checked before it sees them, and chunks are decoded here.
 *
 * Refused with 400: LF or CR alone, control characters, folded headers, white space before a colon, a
 * repeated Content-Length or Host, no Host in HTTP/1.1, Content-Length together with Transfer-Encoding,
 * Transfer-Encoding in HTTP/1.0, a target or a Host with foreign characters, a Host that contradicts an
 * absolute target, wrong chunk sizes. 413, 414, 431: limits. 417: another expectation than 100-continue. 501:
 * CONNECT, a transfer coding other than chunked. 505: another
 * version than 1.0 and 1.1.
 *
 * Threads   One at a time for each state struct.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "gateway/http/request_head.h"

enum h1_step {
    H1_MORE,    /* nothing wrong so far; more bytes are needed */
    H1_DONE,    /* this part is complete */
    H1_REFUSED, /* *ret_refusal says how to answer; the connection cannot go on */
};

/* Progress over one head; all zero at its beginning. */
struct h1_head {
    size_t scanned_bytes;
    size_t line_at; /* where the unfinished line begins */
    size_t line_count;
};

/*
 * `input` holds everything from the request's first byte on, and each call at least as much as the one
 * before. H1_DONE: the head is the first *ret_size_bytes of it.
 */
enum h1_step h1_head_step(struct h1_head *head, struct bytes input, const struct request_limits *limits,
                          size_t *ret_size_bytes, struct http_refusal *ret_refusal);

/*
 * The parts of a head that h1_head_step found complete. They point into `head`, which
 * must outlive them. H1_DONE or H1_REFUSED.
 */
enum h1_step h1_head_parse(struct arena *arena, struct bytes head, const struct request_limits *limits,
                           struct request_head *ret, struct http_refusal *ret_refusal);

/* Progress over one body, made by h1_body_begin. */
struct h1_body {
    int state;
    bool chunked;
    uint64_t left_bytes; /* of the content or of the chunk */
    size_t digit_count;
    size_t overhead_bytes; /* chunk extensions and trailers */
    size_t line_bytes;
    size_t max_bytes;
    size_t overhead_max_bytes;
};

/* H1_DONE: there is no body. H1_REFUSED: 413 by its Content-Length. */
enum h1_step h1_body_begin(struct h1_body *body, const struct request_head *message,
                           const struct request_limits *limits, struct http_refusal *ret_refusal);

/* Appends content to `to`. *ret_used_bytes of `input` were taken; with H1_DONE the rest is the next request. */
enum h1_step h1_body_step(struct h1_body *body, struct bytes input, struct buffer *to, size_t *ret_used_bytes,
                          struct http_refusal *ret_refusal);
