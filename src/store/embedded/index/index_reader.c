#include "index_file_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/embedded/index/index_part.h"

#define READ_PAGES  4U  /* at once, on the stack */
#define CHECK_PAGES 64U /* at once, when the whole file is checked */

struct index_reader {
    struct file *file;
    uint64_t length;
    uint32_t page_count;
    uint32_t nonce;
    char path[];
};

const char *index_reader_path(const struct index_reader *reader)
{
    return reader->path;
}

uint32_t index_reader_nonce(const struct index_reader *reader)
{
    return reader->nonce;
}

uint64_t index_reader_length(const struct index_reader *reader)
{
    return reader->length;
}

uint64_t index_reader_size_bytes(const struct index_reader *reader)
{
    return (uint64_t)reader->page_count * INDEX_PAGE_BYTES;
}

static bool page_fits(const uint8_t page[INDEX_PAGE_BYTES], uint32_t number, uint32_t nonce)
{
    return get_u32_le(page + INDEX_PAGE_DATA_BYTES) == number &&
           get_u32_le(page + INDEX_PAGE_BYTES - 4) == crc32c(nonce, bytes_of(page, INDEX_PAGE_BYTES - 4));
}

static struct status read_raw(const struct index_reader *reader, uint64_t offset, void *ret, size_t size)
{
    size_t got = 0;
    STATUS_TRY(file_read_at(reader->file, offset, ret, size, &got));
    return got == size ? status_ok() : index_damaged(reader->path, "the file ends too early");
}

static struct status header_check(const struct index_reader *reader, const struct index_place *place,
                                  const char *magic, const uint8_t header[INDEX_PAGE_BYTES])
{
    if (memcmp(header, magic, INDEX_MAGIC_BYTES) != 0)
        return index_damaged(reader->path, "it does not begin with its magic word");
    if (!page_fits(header, 0, 0))
        return index_damaged(reader->path, "the checksum of its header does not fit");
    if (index_get_u16(header + 12) != INDEX_FORMAT_MAJOR)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s has format version %u.%u and this program reads %u.x; the index must be built anew "
            "from the log",
            reader->path, index_get_u16(header + 12), index_get_u16(header + 14), INDEX_FORMAT_MAJOR);
    if (memcmp(header + 24, place->store_uuid, INDEX_UUID_BYTES) != 0)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s belongs to another store; the index must be built anew from the log",
                            reader->path);
    return status_ok();
}

static struct status size_check(struct index_reader *reader, const uint8_t header[INDEX_PAGE_BYTES])
{
    uint64_t size = 0;
    STATUS_TRY(file_size(reader->file, &size));
    reader->nonce = get_u32_le(header + 8);
    reader->page_count = get_u32_le(header + 20);
    reader->length = get_u64_le(header + 40);
    const uint64_t capacity = (uint64_t)reader->page_count * INDEX_PAGE_DATA_BYTES;
    if (get_u32_le(header + 16) != INDEX_PAGE_BYTES || reader->page_count == 0 || reader->length > capacity ||
        capacity - reader->length >= INDEX_PAGE_DATA_BYTES)
        return index_damaged(reader->path, "its header contradicts itself");
    if (size != index_reader_size_bytes(reader))
        return index_damaged(reader->path, "it is not as long as its header says");
    return status_ok();
}

struct status index_reader_open(const struct index_place *place, const char *magic,
                                uint8_t ret_header[INDEX_PAGE_BYTES], struct index_reader **ret)
{
    const size_t path_bytes = strlen(place->folder) + strlen(place->name) + 2;
    CLEANUP(index_reader_close_at) struct index_reader *reader = calloc(1, sizeof *reader + path_bytes);
    if (reader == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to open %s/%s", place->folder, place->name);
    (void)snprintf(reader->path, path_bytes, "%s/%s", place->folder, place->name);
    STATUS_TRY(files_open(place->files, reader->path, FILE_READ, &reader->file));
    STATUS_TRY(read_raw(reader, 0, ret_header, INDEX_PAGE_BYTES));
    STATUS_TRY(header_check(reader, place, magic, ret_header));
    STATUS_TRY(size_check(reader, ret_header));
    *ret = TAKE_PTR(reader);
    return status_ok();
}

void index_reader_close(struct index_reader *reader)
{
    if (reader == NULL)
        return;
    file_close(reader->file);
    free(reader);
}

static struct status pages_read(const struct index_reader *reader, uint32_t first, uint32_t count,
                                uint8_t *ret)
{
    STATUS_TRY(read_raw(reader, (uint64_t)first * INDEX_PAGE_BYTES, ret, (size_t)count * INDEX_PAGE_BYTES));
    for (uint32_t i = 0; i < count; i++) {
        if (page_fits(ret + (size_t)i * INDEX_PAGE_BYTES, first + i, first + i == 0 ? 0 : reader->nonce))
            continue;
        char what[64];
        (void)snprintf(what, sizeof what, "page %" PRIu32 " is not what was written", first + i);
        return index_damaged(reader->path, what);
    }
    return status_ok();
}

static struct status range_check(const struct index_reader *reader, uint64_t at, size_t size)
{
    if (size <= reader->length && at <= reader->length - size)
        return status_ok();
    return index_damaged(reader->path, "it points behind its own end");
}

/* Copies logical bytes out of raw ones that begin `skip` bytes into a page. */
static void copy_out(const uint8_t *raw, size_t skip, uint8_t *ret, size_t size)
{
    while (size > 0) {
        const size_t room = INDEX_PAGE_DATA_BYTES - skip;
        const size_t piece = size < room ? size : room;
        memcpy(ret, raw, piece);
        ret += piece;
        size -= piece;
        raw += piece + (INDEX_PAGE_BYTES - INDEX_PAGE_DATA_BYTES);
        skip = 0;
    }
}

struct status index_reader_read(const struct index_reader *reader, uint64_t at, void *ret, size_t size)
{
    STATUS_TRY(range_check(reader, at, size));
    uint8_t pages[READ_PAGES * INDEX_PAGE_BYTES];
    uint8_t *to = ret;
    while (size > 0) {
        const uint32_t first = (uint32_t)(at / INDEX_PAGE_DATA_BYTES);
        const size_t skip = (size_t)(at % INDEX_PAGE_DATA_BYTES);
        const size_t most = (size_t)READ_PAGES * INDEX_PAGE_DATA_BYTES - skip;
        const size_t piece = size < most ? size : most;
        const uint32_t count = (uint32_t)((skip + piece + INDEX_PAGE_DATA_BYTES - 1) / INDEX_PAGE_DATA_BYTES);
        STATUS_TRY(pages_read(reader, first, count, pages));
        copy_out(pages + skip, skip, to, piece);
        to += piece;
        at += piece;
        size -= piece;
    }
    return status_ok();
}

struct status index_reader_read_unchecked(const struct index_reader *reader, uint64_t at, void *ret,
                                          size_t size)
{
    STATUS_TRY(range_check(reader, at, size));
    uint8_t raw[READ_PAGES * INDEX_PAGE_BYTES];
    uint8_t *to = ret;
    while (size > 0) {
        const uint64_t page = at / INDEX_PAGE_DATA_BYTES;
        const size_t skip = (size_t)(at % INDEX_PAGE_DATA_BYTES);
        const size_t most = (size_t)READ_PAGES * INDEX_PAGE_DATA_BYTES - skip;
        const size_t piece = size < most ? size : most;
        const size_t crossed = (skip + piece - 1) / INDEX_PAGE_DATA_BYTES;
        const size_t raw_bytes = piece + crossed * (INDEX_PAGE_BYTES - INDEX_PAGE_DATA_BYTES);
        STATUS_TRY(read_raw(reader, page * INDEX_PAGE_BYTES + skip, raw, raw_bytes));
        copy_out(raw, skip, to, piece);
        to += piece;
        at += piece;
        size -= piece;
    }
    return status_ok();
}

struct status index_reader_check(const struct index_reader *reader)
{
    struct buffer pages = buffer_make(0);
    uint8_t *room = buffer_extend(&pages, (size_t)CHECK_PAGES * INDEX_PAGE_BYTES);
    struct status status = buffer_status(&pages);
    for (uint32_t first = 0; room != NULL && first < reader->page_count && status.code == STATUS_OK;) {
        const uint32_t left = reader->page_count - first;
        const uint32_t count = left < CHECK_PAGES ? left : CHECK_PAGES;
        status = pages_read(reader, first, count, room);
        first += count;
    }
    buffer_done(&pages);
    return status;
}

struct status index_stream_init(struct index_stream *stream, const struct index_reader *reader, uint64_t at,
                                uint64_t end)
{
    *stream =
        (struct index_stream){.reader = reader, .start = at, .end = end, .data = malloc(INDEX_STREAM_BYTES)};
    if (stream->data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to read %s", reader->path);
    return status_ok();
}

void index_stream_done(struct index_stream *stream)
{
    free(stream->data);
    stream->data = NULL;
}

struct status index_stream_at(struct index_stream *stream, uint64_t at, size_t want, const uint8_t **ret,
                              size_t *ret_got)
{
    assert(want <= INDEX_STREAM_BYTES);
    if (at > stream->end)
        return index_damaged(stream->reader->path, "it points behind the end of a section");
    const uint64_t left = stream->end - at;
    if (want > left)
        want = (size_t)left;
    if (at < stream->start || at + want > stream->start + stream->have_bytes) {
        stream->have_bytes = 0; /* nothing to trust if the read fails */
        const size_t size = left < INDEX_STREAM_BYTES ? (size_t)left : INDEX_STREAM_BYTES;
        STATUS_TRY(index_reader_read(stream->reader, at, stream->data, size));
        stream->start = at;
        stream->have_bytes = size;
    }
    const size_t skip = (size_t)(at - stream->start);
    *ret = stream->data + skip;
    *ret_got = stream->have_bytes - skip;
    return status_ok();
}
