/*
 * Wraps any struct files and makes one call fail, so that a test can sweep a scenario over every call it makes.
 *
 *     for (unsigned fail_at = 1;; fail_at++) {
 *         struct memory_files disk = memory_files_empty();
 *         struct faulty_files files = faulty_files_over(&disk.files, fail_at, FAULT_IO);
 *         … run the scenario over &files.files …
 *         const bool hit = files.hit;
 *         memory_files_done(&disk);
 *         if (!hit)
 *             break;   // the scenario ran through: each of its calls has failed once
 *     }
 *
 * `fail_at` counts, from 1, the calls that the kind of fault fits (column "fits"): so a sweep of any kind has
 * no holes. 0 = never. close is never counted: it cannot fail.
 *
 * Ownership  The wrapped files outlive the wrapper, which outlives its handles; nothing to free.
 * Threads    Any, but then which call is the n-th is up to the scheduler.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"

/*      kind          fits                        what the call does */
#define FAULT_TABLE(X)                                                                                       \
    X(NONE, "none")               /* nothing fails */                                                        \
    X(IO, "I/O error")            /* all: DATA_LOSS, and nothing is done */                                  \
    X(IO_AFTER, "late I/O error") /* all: it is done, and DATA_LOSS is reported all the same */              \
    X(TORN_WRITE, "torn write")   /* write_at: a first part is written, then DATA_LOSS */                    \
    X(NO_SPACE, "no space left")  /* open that may create, write_at (a first part is written), allocate, */  \
                                  /* truncate, mkdir, rename: RESOURCE_EXHAUSTED */                          \
    X(SYNC_LOST, "failed sync")   /* sync, sync_dir: DATA_LOSS, and what was not synced is lost for ever */  \
    X(READ_CORRUPT, "corrupt read") /* read_at that reads something: OK, with one bit flipped */             \
    X(READ_SHORT, "short read")     /* read_at that reads something: OK, with half of the bytes */

enum fault_kind {
#define X(id, name) FAULT_##id,
    FAULT_TABLE(X)
#undef X
        FAULT_KIND_COUNT
};

const char *fault_kind_name(enum fault_kind kind);

struct faulty_files {
    struct files files; /* hand out its address; the struct must not move once it is in use */
    struct files *inner;
    enum fault_kind kind;
    unsigned fail_at;
    /* Set before use. Every later call that fits fails too: FAULT_IO and sticky is a disk that died. */
    bool sticky;
    /* Set before use, to memory_file_lose_unsynced over memory_files: called with the inner handle at SYNC_LOST. */
    void (*lose_unsynced)(struct file *inner);
    _Atomic unsigned call_count; /* all calls so far */
    _Atomic unsigned fit_count;  /* those that the kind fits */
    _Atomic bool hit;            /* the fault has happened */
};

struct faulty_files faulty_files_over(struct files *inner, unsigned fail_at, enum fault_kind kind);
