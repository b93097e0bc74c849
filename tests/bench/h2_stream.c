#include "h2_stream.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_socket.h"

#define PREFIX_BYTES 5U /* of a gRPC message: a flag and the length */
#define READ_BYTES   (256U * 1024U)
#define WINDOW_BYTES (4 * 1024 * 1024)

struct h2_stream {
    struct h2_stream_options options;
    int fd;
    nghttp2_session *session;
    int32_t id;
    struct load_bytes queued; /* messages that nghttp2 has not asked for yet */
    bool deferred;            /* it has asked, and there was nothing */
    bool last;                /* nothing follows what is queued */
    struct load_bytes output; /* frames that the socket has not taken */
    struct load_bytes input;  /* of a message that is not there whole */
    bool shut;
    size_t unconsumed_bytes; /* taken while shut: the server may not send more for them yet */
    bool ended;
    char error[256];
};

static void fail(struct h2_stream *stream, const char *text, size_t size_bytes)
{
    if (stream->error[0] == '\0')
        (void)snprintf(stream->error, sizeof stream->error, "%.*s", (int)size_bytes, text);
}

static void fail_text(struct h2_stream *stream, const char *text)
{
    fail(stream, text, strlen(text));
}

/* --- nghttp2's callbacks --- */

/* Windows follow what is consumed, by our word only. */
static void consume(struct h2_stream *stream, size_t size_bytes)
{
    stream->unconsumed_bytes += size_bytes;
    if (stream->shut)
        return;
    if (nghttp2_session_consume(stream->session, stream->id, stream->unconsumed_bytes) != 0)
        fail_text(stream, "the window cannot be opened");
    stream->unconsumed_bytes = 0;
}

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
    (void)session;
    (void)id;
    (void)source;
    struct h2_stream *stream = context;
    const size_t waiting = load_bytes_left(&stream->queued);
    const size_t given = waiting < size ? waiting : size;
    if (given == 0 && !stream->last) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (given > 0)
        memcpy(to, load_bytes_at(&stream->queued), given);
    load_bytes_take(&stream->queued, given);
    if (stream->last && given == waiting)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)given;
}

/* The length of the first message in `at`, with its prefix; 0 = not known yet. */
static size_t message_size(const uint8_t *at, size_t size)
{
    if (size < PREFIX_BYTES)
        return 0;
    return PREFIX_BYTES + ((size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | (size_t)at[4]);
}

/* Hands over the messages that are whole; returns how many bytes they were. */
static size_t take_messages(struct h2_stream *stream, const uint8_t *at, size_t size)
{
    size_t taken = 0;
    for (;;) {
        const size_t whole = message_size(at + taken, size - taken);
        if (whole == 0 || size - taken < whole)
            return taken;
        stream->options.on_message(stream->options.context, at + taken + PREFIX_BYTES, whole - PREFIX_BYTES);
        taken += whole;
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *context)
{
    (void)session;
    (void)flags;
    (void)id;
    struct h2_stream *stream = context;
    consume(stream, size);
    if (load_bytes_left(&stream->input) == 0) {
        const size_t taken = take_messages(stream, data, size);
        data += taken;
        size -= taken;
    }
    load_bytes_add(&stream->input, data, size);
    const size_t taken =
        take_messages(stream, load_bytes_at(&stream->input), load_bytes_left(&stream->input));
    load_bytes_take(&stream->input, taken);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
    (void)session;
    (void)frame;
    (void)flags;
    struct h2_stream *stream = context;
    static const char message[] = "grpc-message";
    static const char status[] = ":status";
    if (name_size == sizeof message - 1 && memcmp(name, message, name_size) == 0 && value_size > 0)
        fail(stream, (const char *)value, value_size);
    if (name_size == sizeof status - 1 && memcmp(name, status, name_size) == 0 &&
        (value_size != 3 || memcmp(value, "200", 3) != 0))
        fail_text(stream, "the answer is not 200");
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)session;
    (void)id;
    struct h2_stream *stream = context;
    stream->ended = true;
    if (error_code != NGHTTP2_NO_ERROR)
        fail_text(stream, nghttp2_http2_strerror(error_code));
    return 0;
}

/* --- life --- */

static nghttp2_session *session_make(struct h2_stream *stream)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    if (nghttp2_session_client_new2(&session, callbacks, stream, option) != 0)
        abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    const nghttp2_settings_entry wide = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES};
    const bool shut = stream->options.shut_window;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &wide, shut ? 0 : 1) != 0 ||
        (!shut && nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) != 0))
        abort();
    return session;
}

#define HEADER(name, value)                                                                                  \
    {                                                                                                        \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value), NGHTTP2_NV_FLAG_NONE         \
    }

static void submit(struct h2_stream *stream)
{
    const nghttp2_nv headers[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":path", stream->options.path),
        HEADER(":authority", "localhost"),
        HEADER("content-type", "application/grpc"),
        HEADER("te", "trailers"),
    };
    const nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = give_body};
    stream->id = nghttp2_submit_request(stream->session, NULL, headers, sizeof headers / sizeof headers[0],
                                        &body, NULL);
    if (stream->id < 0)
        abort();
}

struct h2_stream *h2_stream_open(const struct h2_stream_options *options, const char **ret_error)
{
    const int fd = load_socket_open(options->host, options->port, options->receive_bytes);
    struct h2_stream *stream = fd < 0 ? NULL : calloc(1, sizeof *stream);
    if (stream == NULL) {
        *ret_error = "cannot connect to the gRPC port";
        return NULL;
    }
    stream->options = *options;
    stream->fd = fd;
    stream->shut = options->shut_window;
    stream->session = session_make(stream);
    submit(stream);
    return stream;
}

void h2_stream_close(struct h2_stream *stream)
{
    if (stream == NULL)
        return;
    nghttp2_session_del(stream->session);
    (void)close(stream->fd);
    load_bytes_done(&stream->queued);
    load_bytes_done(&stream->output);
    load_bytes_done(&stream->input);
    free(stream);
}

/* --- sending --- */

static void resume(struct h2_stream *stream)
{
    if (!stream->deferred)
        return;
    stream->deferred = false;
    (void)nghttp2_session_resume_data(stream->session, stream->id); /* a stream that has ended takes none */
}

void h2_stream_send(struct h2_stream *stream, const uint8_t *message, size_t size_bytes)
{
    const uint8_t prefix[PREFIX_BYTES] = {0, (uint8_t)(size_bytes >> 24), (uint8_t)(size_bytes >> 16),
                                          (uint8_t)(size_bytes >> 8), (uint8_t)size_bytes};
    load_bytes_add(&stream->queued, prefix, sizeof prefix);
    load_bytes_add(&stream->queued, message, size_bytes);
    resume(stream);
}

void h2_stream_end(struct h2_stream *stream)
{
    stream->last = true;
    resume(stream);
}

bool h2_stream_flush(struct h2_stream *stream)
{
    for (;;) {
        if (load_bytes_left(&stream->output) == 0) {
            const uint8_t *frames = NULL;
            ssize_t size = 0;
            while ((size = nghttp2_session_mem_send(stream->session, &frames)) > 0)
                load_bytes_add(&stream->output, frames, (size_t)size);
            if (load_bytes_left(&stream->output) == 0)
                return size == 0;
        }
        if (!load_socket_send(stream->fd, &stream->output)) {
            fail_text(stream, "the connection broke");
            return false;
        }
        if (load_bytes_left(&stream->output) > 0)
            return true;
    }
}

bool h2_stream_wants_write(const struct h2_stream *stream)
{
    return load_bytes_left(&stream->output) > 0;
}

/* --- receiving --- */

bool h2_stream_read(struct h2_stream *stream)
{
    static _Thread_local uint8_t memory[READ_BYTES];
    const ssize_t size = recv(stream->fd, memory, sizeof memory, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (size <= 0) {
        fail_text(stream, "the server closed the connection");
        return false;
    }
    const ssize_t taken = nghttp2_session_mem_recv(stream->session, memory, (size_t)size);
    if (taken < 0) {
        fail_text(stream, nghttp2_strerror((int)taken));
        return false;
    }
    return h2_stream_flush(stream) && !stream->ended;
}

bool h2_stream_open_window(struct h2_stream *stream)
{
    stream->shut = false;
    consume(stream, 0);
    return h2_stream_flush(stream);
}

int h2_stream_fd(const struct h2_stream *stream)
{
    return stream->fd;
}

const char *h2_stream_error(const struct h2_stream *stream)
{
    return stream->error;
}
