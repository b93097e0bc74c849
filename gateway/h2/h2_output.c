#include "gateway/h2/h2_output.h"

#include <errno.h>
#include <sys/socket.h>

#define FRAMED_AHEAD_BYTES ((size_t)64 * 1024) /* of the kernel */
#define KEEP_BYTES         (2 * FRAMED_AHEAD_BYTES)

static size_t waiting_bytes(const struct h2_output *output)
{
    return output->bytes.size_bytes - output->at;
}

bool h2_output_waits(const struct h2_output *output)
{
    return waiting_bytes(output) > 0;
}

void h2_output_done(struct h2_output *output)
{
    buffer_done(&output->bytes);
    output->bytes = buffer_make(0);
    output->at = 0;
}

/* False: a frame could not be made, or kept. */
static bool frames_make(struct h2_output *output, nghttp2_session *session)
{
    while (waiting_bytes(output) < FRAMED_AHEAD_BYTES) {
        const uint8_t *frame = NULL;
        const ssize_t size = nghttp2_session_mem_send(session, &frame);
        if (size <= 0)
            return size == 0;
        buffer_add(&output->bytes, frame, (size_t)size);
        if (output->bytes.failed)
            return false;
    }
    return true;
}

static void all_sent(struct h2_output *output)
{
    if (output->bytes.capacity_bytes > KEEP_BYTES)
        h2_output_done(output);
    buffer_clear(&output->bytes);
    output->at = 0;
}

enum h2_flushed h2_output_flush(struct h2_output *output, nghttp2_session *session, int fd,
                                bool *ret_progress)
{
    for (;;) {
        if (!frames_make(output, session))
            return H2_FLUSH_FAILED;
        if (!h2_output_waits(output)) {
            all_sent(output);
            return H2_FLUSHED;
        }
        const ssize_t size = send(fd, output->bytes.data + output->at, waiting_bytes(output), MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? H2_FLUSH_WAITS : H2_FLUSH_CLOSED;
        *ret_progress = true;
        output->at += (size_t)size;
        if (!h2_output_waits(output))
            all_sent(output);
    }
}
