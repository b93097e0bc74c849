#include "gateway/compress.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include <zlib.h>

#define LEVEL       1
#define GZIP_FORMAT 16 /* added to the window's bits: a gzip header and trailer around it */

/* Bits of the window and zlib's measure of the hash tables, chosen by memory: 128 KB for the length of a call, 24 KB. */
#define WHOLE_WINDOW  14
#define WHOLE_MEMORY  7
#define STREAM_WINDOW 12
#define STREAM_MEMORY 4

#define STEP_BYTES ((size_t)16 * 1024) /* how much room is made for the output at a time */

struct gzip {
    z_stream zlib;
};

/* zlib's counters are narrower than ours; no piece of an answer comes near. */
static bool run(z_stream *zlib, struct bytes input, int flush, struct buffer *ret)
{
    if (input.size_bytes > UINT_MAX)
        return false;
    zlib->next_in = (Bytef *)(uintptr_t)input.data; /* only read */
    zlib->avail_in = (uInt)input.size_bytes;
    int result = Z_OK;
    do {
        uint8_t room[STEP_BYTES];
        zlib->next_out = room;
        zlib->avail_out = sizeof room;
        result = deflate(zlib, flush);
        assert(result != Z_STREAM_ERROR);
        buffer_add(ret, room, sizeof room - zlib->avail_out);
    } while (zlib->avail_out == 0);
    assert(zlib->avail_in == 0);
    assert(flush != Z_FINISH || result == Z_STREAM_END);
    return !ret->failed;
}

bool gzip_whole(struct bytes body, struct buffer *ret)
{
    z_stream zlib = {.next_in = NULL};
    if (deflateInit2(&zlib, LEVEL, Z_DEFLATED, WHOLE_WINDOW + GZIP_FORMAT, WHOLE_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    const bool good = run(&zlib, body, Z_FINISH, ret);
    (void)deflateEnd(&zlib); /* tells that input was left, when it was not good */
    return good;
}

struct gzip *gzip_new(void)
{
    struct gzip *gzip = calloc(1, sizeof *gzip);
    if (gzip == NULL)
        return NULL;
    if (deflateInit2(&gzip->zlib, LEVEL, Z_DEFLATED, STREAM_WINDOW + GZIP_FORMAT, STREAM_MEMORY,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return gzip;
    free(gzip);
    return NULL;
}

void gzip_free(struct gzip *gzip)
{
    if (gzip == NULL)
        return;
    (void)deflateEnd(
        &gzip->zlib); /* tells that the stream was not ended, as streams that are cut off are not */
    free(gzip);
}

bool gzip_add(struct gzip *gzip, struct bytes piece, struct buffer *ret)
{
    /* A second flush without input between makes no progress, which zlib takes for a fault. */
    return piece.size_bytes == 0 || run(&gzip->zlib, piece, Z_SYNC_FLUSH, ret);
}

bool gzip_end(struct gzip *gzip, struct buffer *ret)
{
    return run(&gzip->zlib, BYTES_NONE, Z_FINISH, ret);
}
