#include "lines_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1024 * 1024)

struct status lines_open(const char *path, struct lines *ret)
{
    struct stat about;
    *ret = (struct lines){.fd = STDIN_FILENO, .text = buffer_make(0)};
    if (path != NULL && strcmp(path, "-") != 0)
        ret->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (ret->fd < 0)
        return status_error(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED_PRECONDITION,
                            "cannot read %s: %s", path, strerror(errno));
    if (fstat(ret->fd, &about) == 0 && S_ISREG(about.st_mode))
        ret->size_bytes = (uint64_t)about.st_size;
    return status_ok();
}

void lines_done(struct lines *lines)
{
    if (lines->fd > STDIN_FILENO)
        (void)close(lines->fd); /* only read from */
    buffer_done(&lines->text);
}

/* More text behind what is there; what was given out goes. */
static struct status read_more(struct lines *lines)
{
    struct buffer *text = &lines->text;
    if (lines->at > 0) {
        memmove(text->data, text->data + lines->at, text->size_bytes - lines->at);
        text->size_bytes -= lines->at;
        lines->at = 0;
    }
    uint8_t *memory = buffer_extend(text, READ_BYTES);
    STATUS_TRY(buffer_status(text));
    text->size_bytes -= READ_BYTES;
    ssize_t got = 0;
    do
        got = read(lines->fd, memory, READ_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return status_error(STATUS_DATA_LOSS, "reading failed after line %llu: %s",
                            (unsigned long long)lines->number, strerror(errno));
    lines->ended = got == 0;
    text->size_bytes += (size_t)got;
    return status_ok();
}

/* One line, empty or not. */
static struct status next_line(struct lines *lines, struct bytes *ret, bool *ret_more)
{
    size_t searched = 0;
    for (;;) {
        const struct bytes rest = bytes_of(lines->text.data + lines->at, lines->text.size_bytes - lines->at);
        const uint8_t *end = rest.size_bytes == searched
                                 ? NULL
                                 : memchr(rest.data + searched, '\n', rest.size_bytes - searched);
        const size_t size = end == NULL ? rest.size_bytes : (size_t)(end - rest.data);
        if (size > LINE_MAX_BYTES)
            return status_error(STATUS_INVALID_ARGUMENT, "line %llu is longer than %zu bytes",
                                (unsigned long long)lines->number + 1, LINE_MAX_BYTES);
        if (end != NULL || lines->ended) {
            const size_t used = size + (end != NULL);
            *ret_more = used > 0;
            *ret = bytes_of(rest.data, size);
            lines->at += used;
            lines->read_bytes += used;
            lines->number += used > 0;
            return status_ok();
        }
        searched = rest.size_bytes;
        STATUS_TRY(read_more(lines));
    }
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.size_bytes; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
            return false;
    return true;
}

struct status lines_next(struct lines *lines, struct bytes *ret, bool *ret_more)
{
    do
        STATUS_TRY(next_line(lines, ret, ret_more));
    while (*ret_more && is_blank(*ret));
    return status_ok();
}
