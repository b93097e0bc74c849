/*
 * A file of records (docs/export-format.md): what `export --records` writes and `import --keep` reads. Everything of
 * each event, salts and positions too, with checksums and, at its end, where the history then stood; a file without
 * that end is not whole.
 *
 * Ownership  writer and reader are the caller's, ended with their _done; both borrow what they write to or read from.
 * Threads    One.
 * Blocking   The callback and the file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crypto.h"
#include "base/files.h"
#include "base/status.h"

#define RECORDS_FILE_UUID_BYTES 16U

/* Where the history stands in front of a file's first record, and behind its last. */
struct records_point {
    int64_t position; /* of the last event; 0 = none */
    int64_t timestamp_us;
    struct sha256 chain;
};

struct records_header {
    uint8_t store_uuid[RECORDS_FILE_UUID_BYTES]; /* all zero: not known (read from a running service) */
    int64_t created_at_us;
    struct records_point before;
};

struct records_trailer {
    int64_t count; /* of records in the file */
    struct records_point after;
};

/* --- writing --- */

typedef struct status (*records_sink)(void *context, struct bytes bytes);

struct records_writer;

/*
 * Makes a writer of the records from `first_position` on. It is given every record from position 1 on all the same:
 * only so is the chain known.
 */
STATUS_MUST_CHECK struct status records_writer_new(const uint8_t store_uuid[RECORDS_FILE_UUID_BYTES],
                                                   int64_t created_at_us, int64_t first_position,
                                                   records_sink sink, void *context,
                                                   struct records_writer **ret);
void records_writer_free(struct records_writer *writer); /* NULL is fine */
DEFINE_CLEANUP(struct records_writer, records_writer_free);

/*
 * The next record. DATA_LOSS/DAMAGED when it is not well formed, does not follow the last or does not have the digest
 * in its header; FAILED_PRECONDITION when first_position is inside an append; else the sink's.
 */
STATUS_MUST_CHECK struct status records_writer_add(struct records_writer *writer, struct bytes record);

/* Writes the end. FAILED_PRECONDITION inside an append, and when first_position was not reached. */
STATUS_MUST_CHECK struct status records_writer_finish(struct records_writer *writer,
                                                      struct records_trailer *ret);

/* --- reading --- */

struct records_reader {
    struct file *file;
    const char *name; /* for messages */
    struct records_header header;
    struct records_trailer trailer; /* when records_reader_next has said that there is no more */
    uint64_t file_bytes;
    uint64_t offset; /* of what is read next */
    int64_t count;   /* of records read */
    struct buffer window;
    uint64_t window_start;
};

/* Reads the header. DATA_LOSS/DAMAGED for a file that is none or was altered, FAILED_PRECONDITION for a newer one. */
STATUS_MUST_CHECK struct status records_reader_open(struct file *file, const char *name,
                                                    struct records_reader *ret);
void records_reader_done(struct records_reader *reader);

/* The next record, valid until the next call; *ret_more = false at the end. DATA_LOSS/DAMAGED, naming file and offset,
 * for a file that was cut or altered. */
STATUS_MUST_CHECK struct status records_reader_next(struct records_reader *reader, struct bytes *ret,
                                                    bool *ret_more);

/*
 * Reads the whole file and checks all that can be checked without a store: every checksum and digest, that records
 * follow each other in whole appends, that data and metadata are JSON in Strata's form, and that they make the chain
 * that the trailer states. `on_progress` (NULL = nobody) hears how many bytes were read.
 */
STATUS_MUST_CHECK struct status records_file_check(struct file *file, const char *name,
                                                   void (*on_progress)(void *context, uint64_t bytes),
                                                   void *context, struct records_header *ret_header,
                                                   struct records_trailer *ret_trailer);
