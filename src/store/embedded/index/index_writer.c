#include "index_file_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/embedded/index/index_part.h"

#define PIECE_PAGES 64U /* written at once: 256 KiB */
#define PATH_BYTES  512U

struct index_writer {
    struct files *files;
    struct file *file; /* NULL once closed */
    struct index_pace pace;
    uint8_t store_uuid[INDEX_UUID_BYTES];
    uint32_t nonce;
    uint32_t first_page; /* number of pages[0] */
    uint32_t full_pages; /* of `pages` */
    uint32_t fill_bytes; /* data bytes in the page behind those */
    uint64_t unsynced_bytes;
    bool finished;
    char path[PATH_BYTES];
    char temporary[PATH_BYTES];
    uint8_t pages[PIECE_PAGES * INDEX_PAGE_BYTES];
};

void index_part_name(int64_t first_position, char ret[INDEX_NAME_MAX_BYTES])
{
    (void)snprintf(ret, INDEX_NAME_MAX_BYTES, "%020" PRId64 ".part", first_position);
}

void index_run_name(int64_t first_position, int64_t last_position, char ret[INDEX_NAME_MAX_BYTES])
{
    (void)snprintf(ret, INDEX_NAME_MAX_BYTES, "%020" PRId64 "-%020" PRId64 ".run", first_position,
                   last_position);
}

static struct status ask_pace(const struct index_writer *writer)
{
    if (writer->pace.go_on == NULL || writer->pace.go_on(writer->pace.context))
        return status_ok();
    return status_error(STATUS_CANCELLED, "writing %s was cancelled; it is written at another time",
                        writer->path);
}

static struct status set_paths(struct index_writer *writer, const struct index_place *place)
{
    const int size = snprintf(writer->path, PATH_BYTES, "%s/%s", place->folder, place->name);
    const int more = snprintf(writer->temporary, PATH_BYTES, "%s/%s.tmp", place->folder, place->name);
    if (size < 0 || more < 0 || more >= (int)PATH_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "the path %s/%s is longer than %u bytes; choose another",
                            place->folder, place->name, PATH_BYTES - 1);
    return status_ok();
}

struct status index_writer_open(const struct index_place *place, uint32_t nonce,
                                const struct index_pace *pace, struct index_writer **ret)
{
    CLEANUP(index_writer_free_at) struct index_writer *writer = malloc(sizeof *writer);
    if (writer == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to write %s/%s", place->folder,
                            place->name);
    writer->files = place->files;
    writer->file = NULL;
    writer->pace = (struct index_pace){0};
    if (pace != NULL)
        writer->pace = *pace;
    memcpy(writer->store_uuid, place->store_uuid, INDEX_UUID_BYTES);
    writer->nonce = nonce;
    writer->first_page = 1;
    writer->full_pages = 0;
    writer->fill_bytes = 0;
    writer->unsynced_bytes = 0;
    writer->finished = false;
    const struct status named = set_paths(writer, place);
    if (named.code != STATUS_OK) {
        writer->finished = true; /* nothing to remove */
        return named;
    }
    STATUS_TRY(ask_pace(writer));
    STATUS_TRY(files_open(writer->files, writer->temporary, FILE_WRITE | FILE_CREATE, &writer->file));
    STATUS_TRY(file_truncate(writer->file, 0));
    *ret = TAKE_PTR(writer);
    return status_ok();
}

void index_writer_free(struct index_writer *writer)
{
    if (writer == NULL)
        return;
    file_close(writer->file);
    if (!writer->finished) {
        const struct status removed = files_remove(writer->files, writer->temporary);
        (void)
            removed; /* the failure that led here is the one to report; index_remove_others() removes it later */
    }
    free(writer);
}

uint64_t index_writer_at(const struct index_writer *writer)
{
    return ((uint64_t)writer->first_page + writer->full_pages) * INDEX_PAGE_DATA_BYTES + writer->fill_bytes;
}

void index_writer_rest(const struct index_writer *writer)
{
    index_pace_rest(&writer->pace);
}

const struct index_pace *index_writer_pace(const struct index_writer *writer)
{
    return &writer->pace;
}

static void page_seal(uint8_t page[INDEX_PAGE_BYTES], uint32_t number, uint32_t nonce)
{
    put_u32_le(page + INDEX_PAGE_DATA_BYTES, number);
    put_u32_le(page + INDEX_PAGE_BYTES - 4, crc32c(nonce, bytes_of(page, INDEX_PAGE_BYTES - 4)));
}

static struct status piece_write(struct index_writer *writer)
{
    STATUS_TRY(ask_pace(writer));
    const size_t size = (size_t)writer->full_pages * INDEX_PAGE_BYTES;
    STATUS_TRY(
        file_write_at(writer->file, (uint64_t)writer->first_page * INDEX_PAGE_BYTES, writer->pages, size));
    writer->first_page += writer->full_pages;
    writer->full_pages = 0;
    writer->unsynced_bytes += size;
    if (writer->pace.sync_every_bytes == 0 || writer->unsynced_bytes < writer->pace.sync_every_bytes)
        return status_ok();
    writer->unsynced_bytes = 0;
    return file_sync(writer->file);
}

static struct status page_end(struct index_writer *writer)
{
    const uint32_t number = writer->first_page + writer->full_pages;
    page_seal(writer->pages + (size_t)writer->full_pages * INDEX_PAGE_BYTES, number, writer->nonce);
    writer->full_pages++;
    writer->fill_bytes = 0;
    index_pace_rest(&writer->pace);
    if (number == UINT32_MAX - PIECE_PAGES)
        return status_error(STATUS_OUT_OF_RANGE, "%s would be larger than an index file can be",
                            writer->path);
    return writer->full_pages == PIECE_PAGES ? piece_write(writer) : status_ok();
}

/* What fills a page has to end it, which can fail: that is index_writer_add()'s. */
uint8_t *index_writer_room(struct index_writer *writer, size_t size_bytes)
{
    if (size_bytes >= INDEX_PAGE_DATA_BYTES - writer->fill_bytes)
        return NULL;
    uint8_t *room = writer->pages + (size_t)writer->full_pages * INDEX_PAGE_BYTES + writer->fill_bytes;
    writer->fill_bytes += (uint32_t)size_bytes;
    return room;
}

struct status index_writer_add(struct index_writer *writer, const void *data, size_t size_bytes)
{
    const uint8_t *from = data;
    while (size_bytes > 0) {
        const size_t room = INDEX_PAGE_DATA_BYTES - writer->fill_bytes;
        const size_t piece = size_bytes < room ? size_bytes : room;
        memcpy(writer->pages + (size_t)writer->full_pages * INDEX_PAGE_BYTES + writer->fill_bytes, from,
               piece);
        from += piece;
        size_bytes -= piece;
        writer->fill_bytes += (uint32_t)piece;
        if (writer->fill_bytes == INDEX_PAGE_DATA_BYTES)
            STATUS_TRY(page_end(writer));
    }
    return status_ok();
}

struct status index_writer_add_zeros(struct index_writer *writer, size_t size_bytes)
{
    static const uint8_t zeros[INDEX_PAGE_DATA_BYTES];
    while (size_bytes > 0) {
        const size_t piece = size_bytes < sizeof zeros ? size_bytes : sizeof zeros;
        STATUS_TRY(index_writer_add(writer, zeros, piece));
        size_bytes -= piece;
    }
    return status_ok();
}

static void header_complete(const struct index_writer *writer, const char *magic, uint64_t length,
                            uint8_t header[INDEX_PAGE_BYTES])
{
    memcpy(header, magic, INDEX_MAGIC_BYTES);
    put_u32_le(header + 8, writer->nonce);
    index_put_u16(header + 12, INDEX_FORMAT_MAJOR);
    index_put_u16(header + 14, INDEX_FORMAT_MINOR);
    put_u32_le(header + 16, INDEX_PAGE_BYTES);
    put_u32_le(header + 20, writer->first_page);
    memcpy(header + 24, writer->store_uuid, INDEX_UUID_BYTES);
    put_u64_le(header + 40, length);
    page_seal(header, 0, 0);
}

struct status index_writer_finish(struct index_writer *writer, const char *magic,
                                  uint8_t header[INDEX_PAGE_BYTES])
{
    assert(!writer->finished);
    const uint64_t length = index_writer_at(writer);
    if (writer->fill_bytes > 0)
        STATUS_TRY(index_writer_add_zeros(writer, INDEX_PAGE_DATA_BYTES - writer->fill_bytes));
    if (writer->full_pages > 0)
        STATUS_TRY(piece_write(writer));
    header_complete(writer, magic, length, header);
    STATUS_TRY(file_write_at(writer->file, 0, header, INDEX_PAGE_BYTES));
    STATUS_TRY(file_sync(writer->file));
    file_close(writer->file);
    writer->file = NULL;
    STATUS_TRY(files_rename(writer->files, writer->temporary, writer->path));
    writer->finished = true;
    return status_ok();
}
