/*
 * The builder writes the index of full segments to files and merges files, in the background, and puts the outcome into
 * the view in the place of what it was made from. Nothing waits for it, unless tables pile up: then the next segment does.
 *
 * A failure (a full disk, mostly) is logged once and tried again each second: index files are no truth, and appends go on
 * while BUILDER_WAITING_MAX tables wait. A damaged index is made anew (index_renewal_internal.h) before anything else.
 *
 * Threads  One builds: the builder's, or whoever steps a store without threads, or recovery before there are any.
 * Locks    `lock` is a leaf. `manifest_lock` is held while MANIFEST is written or removed, and nothing is locked under it:
 *          the file is what it guards.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct embedded_store;

#define BUILDER_WAITING_MAX 3U /* frozen tables; with the open one they bound the index's memory */
#define BUILDER_MERGED_RUNS 4U
#define BUILDER_RETRY_MS    1000
/* After a new index could not be made: it means to read the log, so the wait doubles each time. */
#define RENEWAL_RETRY_MS      1000
#define RENEWAL_RETRY_MOST_MS 3600000

struct index_builder {
    pthread_mutex_t lock;   /* guards all down to `trouble` */
    pthread_cond_t wanted;  /* for the builder */
    pthread_cond_t changed; /* for who waits: an attempt ended */
    bool stopping;
    bool poked;
    uint32_t waiting;      /* frozen tables */
    uint64_t attempts;     /* ended, well or not */
    struct status trouble; /* of the last attempt */

    pthread_mutex_t manifest_lock;
    bool warned;             /* the builder's own, as the next four: its failure is logged */
    bool rests;              /* it runs in its thread (builder_rest_internal.h) */
    int64_t rested_at_us;    /* monotonic */
    int64_t renewal_at_us;   /* monotonic; when to try again to make a new index, … */
    int64_t renewal_wait_ms; /* … and how long that was waited for; 0 = not tried yet */
    bool started;
    pthread_t thread;
};

void builder_init(struct index_builder *builder);
void builder_done(struct index_builder *builder);

STATUS_MUST_CHECK struct status builder_start(struct embedded_store *store);
/* Ends a merge at once; full tables are still written. NULL-safe for a store whose builder was not started. */
void builder_stop(struct embedded_store *store);

bool builder_is_stopping(struct index_builder *builder);

/* The index was found to be damaged: a new one is made, after which all is well again. */
void builder_note_damaged(struct embedded_store *store);
/* A table was frozen, and the view has it. */
void builder_note_frozen(struct embedded_store *store);

/*
 * Before a segment begins: waits, or builds, until so few tables wait that one more may be frozen.
 *   UNAVAILABLE/STORE_FAILED  they cannot be written: no append that needs a new segment
 */
STATUS_MUST_CHECK struct status builder_make_room(struct embedded_store *store);

/* OK; RESOURCE_EXHAUSTED: full tables wait that cannot be written, and when too many do appends are refused. */
STATUS_MUST_CHECK struct status builder_health(struct embedded_store *store);

/* Builds and merges until nothing is left to do, or something fails (noted and logged). Without threads. */
void builder_step(struct embedded_store *store);
/* The same while the store is being opened: until at most `waiting` tables wait. */
STATUS_MUST_CHECK struct status builder_catch_up(struct embedded_store *store, uint32_t waiting);

/*
 * Says that the index is damaged and removes MANIFEST durably, which *ret tells about, so that no start takes its files for
 * good. False: somebody else was first.
 */
bool builder_end_index(struct embedded_store *store, struct status *ret);
/* "<store>/index" */
#define INDEX_FOLDER_BYTES 80U
void builder_folder(const struct embedded_store *store, char ret[INDEX_FOLDER_BYTES]);
