/*
 * Where a command writes much: the standard output, or a file that is there whole or not at all. A file is written as
 * NAME.tmp, synced and renamed; what stood under the name stays until then, and is only replaced if that is asked for.
 *
 * Ownership  output_done() frees; without output_finish() NAME.tmp stays, for a look. The path is borrowed until then.
 * Threads    One.
 * Blocking   Yes.
 */
#pragma once

#include "base/bytes.h"
#include "base/files.h"
#include "base/status.h"

#define OUTPUT_NAME_MAX_BYTES 1024U

struct output {
    const char *path;
    bool replace;
    struct files *files; /* the folder of the file; NULL = standard output */
    struct file *file;
    char name[OUTPUT_NAME_MAX_BYTES];      /* inside the folder */
    char temporary[OUTPUT_NAME_MAX_BYTES]; /* likewise */
    struct buffer pending;
    uint64_t written;
};

/*
 * `path` NULL or "-": the standard output.
 *   ALREADY_EXISTS    something has the name, and `replace` is false; output_finish() looks again
 *   INVALID_ARGUMENT  a name of something that is no file
 *   UNAVAILABLE       another export writes the same file
 */
STATUS_MUST_CHECK struct status output_open(const char *path, bool replace, struct output *ret);
STATUS_MUST_CHECK struct status output_add(struct output *output, struct bytes bytes);
/* Durable under its name when it returns. */
STATUS_MUST_CHECK struct status output_finish(struct output *output);
void output_done(struct output *output);

/*
 * The folder of a path (which must exist) as struct files, and the last part of the path.
 * NOT_FOUND when there is no such folder.
 */
STATUS_MUST_CHECK struct status cli_folder_of(const char *path, struct files **ret,
                                              char ret_name[OUTPUT_NAME_MAX_BYTES]);

/* A folder that must exist. */
STATUS_MUST_CHECK struct status cli_folder(const char *path, struct files **ret);

struct sha256;
/* 64 digits and the end of the line; cli_print_chain() with "chain: " before them. On stdout. */
void cli_print_hex(const struct sha256 *hash);
void cli_print_chain(const struct sha256 *chain);
