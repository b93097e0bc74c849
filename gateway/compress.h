/*
 * gzip (RFC 1952) of what goes to a client that accepts it.
 *
 * Level 1: most of the gain at the least cost, since an answer is made once and read once. A whole answer is compressed in
 * one go; a stream piece by piece, each flushed, so that the client can read everything that was written.
 *
 * A stream's state takes about 30 KB until gzip_free: its window is small, because there may be ten thousand of them.
 *
 * Threads   One at a time for each state; states know nothing of each other.
 * Blocking  Never waits; takes about 3 µs for each kilobyte, 5 in streams.
 */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* Smaller bodies gain nothing: they are one packet as they are. */
#define COMPRESS_LEAST_BYTES 1024U

/* Appends `body`, compressed. False when out of memory; `ret` then holds a part. */
bool gzip_whole(struct bytes body, struct buffer *ret);

struct gzip;

/* NULL when out of memory. */
struct gzip *gzip_new(void);
/* NULL is fine. */
void gzip_free(struct gzip *gzip);

/* Appends the next piece, all that was given included. False when out of memory: the stream cannot go on. */
bool gzip_add(struct gzip *gzip, struct bytes piece, struct buffer *ret);
/* Appends the end of the stream. False as above. */
bool gzip_end(struct gzip *gzip, struct buffer *ret);
