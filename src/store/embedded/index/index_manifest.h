/*
 * index/MANIFEST: which files are the index. Written anew (MANIFEST.tmp, synced, renamed, folder synced) after the files
 * that it names are whole and synced; its folder's sync makes their names durable too. Files that it does not name are
 * leftovers. Pages as in every index file, and a CRC over all.
 *
 * Ownership  index_manifest_read() fills from the arena.
 * Threads    One caller at a time.  Blocking  Yes.
 * Errors     NOT_FOUND: there is none. DATA_LOSS/DAMAGED: cut or flipped. FAILED_PRECONDITION: another store's or a newer format.
 *            After any of them the index is built anew from the log.
 */
#pragma once

#include "base/arena.h"
#include "store/embedded/index/index_run.h"

struct index_manifest {
    uint64_t seed; /* of index_hash; random, made with the index */
    /* Both ascending and without a gap, from position 1, ending at the same position. */
    const struct part_range {
        int64_t first_position;
        int64_t last_position;
    } * parts, *runs;
    size_t part_count;
    size_t run_count;
};

STATUS_MUST_CHECK struct status index_manifest_read(struct files *files, const char *folder,
                                                    const uint8_t store_uuid[INDEX_UUID_BYTES],
                                                    struct arena *arena, struct index_manifest *ret);
STATUS_MUST_CHECK struct status index_manifest_write(struct files *files, const char *folder,
                                                     const uint8_t store_uuid[INDEX_UUID_BYTES],
                                                     const struct index_manifest *manifest);
/*
 * Removes every file of the folder that the manifest does not name; NULL: all, the MANIFEST first. NOT_FOUND: no such folder.
 */
STATUS_MUST_CHECK struct status index_remove_others(struct files *files, const char *folder,
                                                    const struct index_manifest *manifest);
