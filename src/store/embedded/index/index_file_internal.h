/*
 * The bytes of every index file: pages of 4 KiB, each with its number and a CRC-32C, written once in order, synced,
 * then read by pread for ever. A page that was cut, flipped, or is another file's never passes.
 *
 *   page  4088 bytes of data · number u32 · CRC-32C u32 over data and number, begun with the file's nonce
 *
 * Offsets in this header are logical: they count data bytes only. The first page is the header page of the file's kind;
 * its nonce (offset 8) is read before it is checked, so its own CRC begins with 0. It is written last, when the length is
 * known; until then, and until the sync and the rename behind it, the file is NAME.tmp.
 *
 *   header page   0  magic, 8 bytes: STRATAIP part, STRATAIR run, STRATAIM manifest
 *                 8  nonce u32
 *                12  format major u16 · minor u16
 *                16  bytes of a page u32 · number of pages u32; the file is exactly that long
 *                24  uuid of the store
 *                40  length u64: logical bytes, those of the header page among them; then zeros up to the page's end
 *                48  the kind's own facts
 *
 * Ownership  Whoever makes a writer or a reader; both close their file. `files` and the pace outlive them.
 * Threads    A writer or a stream: one. A reader: any number at once.
 * Blocking   Yes.
 * Errors     DATA_LOSS (REASON_DAMAGED): the bytes are not those that were written. FAILED_PRECONDITION: another store's or
 *            another major format. NOT_FOUND: no such file. RESOURCE_EXHAUSTED: no space, no memory. CANCELLED: the pace
 *            said so. Failures of struct files pass as they are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/files.h"

#define INDEX_PAGE_BYTES      4096U
#define INDEX_PAGE_DATA_BYTES 4088U
#define INDEX_MAGIC_BYTES     8U
#define INDEX_FACTS_AT        48U /* where the kind's own facts begin in the header page */
#define INDEX_FORMAT_MAJOR    1U
#define INDEX_FORMAT_MINOR    0U
#define INDEX_NAME_MAX_BYTES  64U /* of a file, with its NUL */

#define INDEX_PART_MAGIC     "STRATAIP"
#define INDEX_RUN_MAGIC      "STRATAIR"
#define INDEX_MANIFEST_MAGIC "STRATAIM"
#define INDEX_MANIFEST_NAME  "MANIFEST"

struct index_pace; /* index_part.h */
struct index_writer;
struct index_reader;

/* Where a file lies and whose it is; all borrowed. */
struct index_place {
    struct files *files;
    const char *folder;
    const char *name;
    const uint8_t *store_uuid; /* 16 bytes */
};

void index_part_name(int64_t first_position, char ret[INDEX_NAME_MAX_BYTES]);
void index_run_name(int64_t first_position, int64_t last_position, char ret[INDEX_NAME_MAX_BYTES]);

/* DATA_LOSS and REASON_DAMAGED. */
static inline STATUS_MUST_CHECK struct status index_damaged(const char *path, const char *what)
{
    return status_reason(REASON_DAMAGED, "%s: %s; the index must be built anew from the log", path, what);
}

/* ---- writing ---- */

/* Makes NAME.tmp, over an older one. `pace` may be NULL. */
STATUS_MUST_CHECK struct status index_writer_open(const struct index_place *place, uint32_t nonce,
                                                  const struct index_pace *pace, struct index_writer **ret);
/* NULL is fine. Removes NAME.tmp unless the writer was finished. */
void index_writer_free(struct index_writer *writer);
DEFINE_CLEANUP(struct index_writer, index_writer_free);

/* The logical offset of the byte that is added next; the first is INDEX_PAGE_DATA_BYTES. */
uint64_t index_writer_at(const struct index_writer *writer);
/* Of its pace; it also rests at the end of each page. */
void index_writer_rest(const struct index_writer *writer);
const struct index_pace *index_writer_pace(const struct index_writer *writer); /* as long as the writer */
STATUS_MUST_CHECK struct status index_writer_add(struct index_writer *writer, const void *data,
                                                 size_t size_bytes);
/* Room for `size_bytes` in the page that is being filled, counted as added, for the caller to fill; NULL = it does not fit. */
uint8_t *index_writer_room(struct index_writer *writer, size_t size_bytes);
STATUS_MUST_CHECK struct status index_writer_add_zeros(struct index_writer *writer, size_t size_bytes);
/*
 * Writes what is left and the header page, syncs, renames. `header` is a whole page of which the caller has filled
 * the facts; the rest is filled here. The folder is not synced.
 */
STATUS_MUST_CHECK struct status index_writer_finish(struct index_writer *writer, const char *magic,
                                                    uint8_t header[INDEX_PAGE_BYTES]);

/* ---- reading ---- */

/* Checks the header page, magic, version, store, and that the file is as long as it says. */
STATUS_MUST_CHECK struct status index_reader_open(const struct index_place *place, const char *magic,
                                                  uint8_t ret_header[INDEX_PAGE_BYTES],
                                                  struct index_reader **ret);
void index_reader_close(struct index_reader *reader); /* NULL is fine */
DEFINE_CLEANUP(struct index_reader, index_reader_close);

const char *index_reader_path(const struct index_reader *reader); /* for messages */
uint32_t index_reader_nonce(const struct index_reader *reader);
uint64_t index_reader_length(const struct index_reader *reader);     /* logical */
uint64_t index_reader_size_bytes(const struct index_reader *reader); /* on the disk */

/* Reads `size` logical bytes and checks every page that holds one of them; DAMAGED also when they are not all there. */
STATUS_MUST_CHECK struct status index_reader_read(const struct index_reader *reader, uint64_t at, void *ret,
                                                  size_t size);
/* The same without checking, in as few preads as may be. */
STATUS_MUST_CHECK struct status index_reader_read_unchecked(const struct index_reader *reader, uint64_t at,
                                                            void *ret, size_t size);
/* Reads and checks every page. */
STATUS_MUST_CHECK struct status index_reader_check(const struct index_reader *reader);

/* ---- reading forward in pieces ---- */

#define INDEX_STREAM_BYTES 65536U

/* A window over the logical bytes [at, end) of a file that moves forward. */
struct index_stream {
    const struct index_reader *reader;
    uint64_t start; /* of what is in `data` */
    uint64_t end;
    size_t have_bytes;
    uint8_t *data; /* INDEX_STREAM_BYTES, owned */
};

STATUS_MUST_CHECK struct status
index_stream_init(struct index_stream *stream, const struct index_reader *reader, uint64_t at, uint64_t end);
void index_stream_done(struct index_stream *stream); /* a zeroed one is fine */
/*
 * At least `want` ≤ INDEX_STREAM_BYTES bytes from `at`, or those that there are before the end; *ret stays valid until the
 * next call. Cheap when `at` never goes back.
 */
STATUS_MUST_CHECK struct status index_stream_at(struct index_stream *stream, uint64_t at, size_t want,
                                                const uint8_t **ret, size_t *ret_got);

static inline void index_put_u16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}
static inline uint32_t index_get_u16(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8;
}
