/*
 * The frames of an nghttp2 session on their way into a socket: made as far as a bound, then sent as far as the kernel
 * takes them. What the kernel does not take stays, in order.
 *
 * Ownership  The session and the descriptor are the caller's.
 * Threads    The session's.
 * Blocking   Never: the descriptor is non-blocking.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct h2_output {
    struct buffer bytes; /* [at, size) waits */
    size_t at;
};

enum h2_flushed {
    H2_FLUSHED,      /* nothing waits */
    H2_FLUSH_WAITS,  /* the kernel is full: again when the socket is writable */
    H2_FLUSH_CLOSED, /* the other end is gone */
    H2_FLUSH_FAILED, /* a frame could not be made or kept: the session is of no use any more */
};

/* *ret_progress becomes true when anything left; it is not touched otherwise. */
enum h2_flushed h2_output_flush(struct h2_output *output, nghttp2_session *session, int fd,
                                bool *ret_progress);
bool h2_output_waits(const struct h2_output *output);
void h2_output_done(struct h2_output *output); /* frees; may be used again */
