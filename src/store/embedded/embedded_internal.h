/*
 * The parts of the embedded store, and how its threads share them.
 *
 *   writer's thread   facts, commit (builds the frame)         ─┐ job
 *   sync thread       writes, syncs, publishes, answers, seals ◄┘
 *   housekeeping      prepares space and the next segment's table, remembers the head each second
 *   index builder     writes full tables to files, merges files, puts them into the view
 *   any               reads what is published
 *
 * Locks, in this order, never two of the same kind: work_lock → change_lock → view_lock → the leaves (the open table's
 * own, segment log's space.lock, state_db's lock, the builder's). No callback runs and no file is touched under
 * work_lock, change_lock or view_lock. view_lock prefers waiting writers, so no thread may take it for reading twice.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "builder_internal.h"
#include "head_cache_internal.h"
#include "known_ids_internal.h"
#include "place_cache_internal.h"
#include "segment_log_internal.h"
#include "state_db_internal.h"
#include "store/embedded/embedded_store.h"
#include "store/embedded/log_scan.h"
#include "store/event_index.h"
#include "view_internal.h"

struct log;

#define SEAL_AFTER_MS          5
#define REMEMBER_EVERY_MS      1000
#define SEGMENT_BYTES_DEFAULT  (256U * 1024U * 1024U)
#define SEGMENT_BYTES_LEAST    (2U * SEGMENT_HEADER_BYTES)
#define SEGMENT_BYTES_MOST     (1024U * 1024U * 1024U) /* offsets are 32 bits wide */
#define SEGMENT_EVENTS_DEFAULT 250000U
#define SPACE_STEP_BYTES       (16U * 1024U * 1024U)
#define HEAD_CACHE_DEFAULT     (96U * 1024U * 1024U)
#define PLACE_CACHE_DEFAULT    (32U * 1024U * 1024U)

struct commit_job {
    const struct commit_batch *batch; /* NULL = none */
    commit_done done;
    void *context;
    struct frame_header header;
    struct status refused; /* OK, or why nothing is to be written */
};

struct embedded_store {
    struct event_store store;
    struct files *files;
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;
    char id[STORE_ID_MAX_BYTES + 1];
    struct store_identity identity;
    struct embedded_options options; /* with defaults filled in; store_id points to `id` */
    struct file *lock_file;
    struct state_db *state;
    struct segment_log *segments;
    struct embedded_recovery recovery;
    uint64_t writer_epoch; /* counts the openings for writing */
    int64_t lost_position; /* what the head was, when its loss was accepted at this start; else 0 */

    pthread_rwlock_t view_lock; /* guards what is published: */
    struct index_view *view;    /* replaced by who holds change_lock too */
    struct store_head head;
    struct remembered_head mark; /* head, segment and end offset after the last frame; never clean */

    pthread_mutex_t change_lock;     /* held from looking at a view to putting another in its place */
    uint64_t index_seed;             /* of the hashes in runs; constant once opened */
    _Atomic bool index_damaged;      /* an index file is not what was written: a new index is being made */
    struct index_builder builder;    /* its own locks */
    _Atomic bool told_damage;        /* of the log, met where nobody had asked for the record */
    struct place_cache *page_places; /* its own locks */

    pthread_mutex_t work_lock; /* guards: */
    pthread_cond_t work_ready;
    struct commit_job job;
    bool stopping;              /* for the sync thread, which ends first … */
    bool housekeeping_stopping; /* … since it may wait for the other */
    struct status failed;       /* OK, or why nothing is appended any more */

    struct head_cache *heads; /* the writer's thread's, as the next */
    struct known_ids unknown; /* aggregates that the last facts did not find */
    struct known_ids created; /* of the batch that is being prepared */

    struct buffer places; /* of the batch's records in the frame: struct location each; as `frame` */
    struct buffer firsts; /* whether they are the first of their aggregates: bool each; as `frame` */
    struct buffer
        frame;   /* the writer's thread until the job is posted, then the sync thread's until it is done */
    bool sealed; /* the sync thread's, as the next three: the last frame is a seal, or there is none */
    uint64_t frame_epoch;    /* writer epoch of the last frame */
    struct view_table *open; /* the view's last */
    struct view_table *next; /* NULL, or the table of the segment that is about to begin: its one reference */
    _Atomic(struct view_table *) spare; /* NULL, or one made ahead: who takes it out has its one reference */
    struct view_table *preparing;       /* the housekeeping thread's: what becomes `spare`, … */
    size_t touched;                     /* … of which so much memory is touched */
    int64_t remembered_at_us;           /* likewise, monotonic */
    struct remembered_head remembered;  /* likewise: what state/ holds */
    bool warned_state;                  /* likewise */

    pthread_t sync_thread;
    pthread_t housekeeping_thread;
    bool threads_started;
};

static inline struct embedded_store *embedded_of(struct event_store *store)
{
    return (struct embedded_store *)store;
}

/* recovery.c: fills view, head, segments and recovery from index and log, repairs its tail. */
STATUS_MUST_CHECK struct status embedded_recover(struct embedded_store *store);

/* embedded_store.c: an empty log and an empty view, for recovery to fill. */
STATUS_MUST_CHECK struct status embedded_reset_parts(struct embedded_store *store);

/* data_loss.c: records that a loss was accepted, as an event; before the threads start. */
STATUS_MUST_CHECK struct status embedded_record_loss(struct embedded_store *store);

/* embedded_commit.c */
void embedded_commit(struct event_store *base, const struct commit_batch *batch, commit_done done,
                     void *context);
struct status embedded_health(struct event_store *base);
void embedded_seal(struct embedded_store *store); /* the last frame becomes a seal, if it can */
void *embedded_sync_loop(void *store);
void embedded_mark(
    struct embedded_store *store); /* after each frame; the caller holds view_lock or is alone */

/* embedded_publish.c: the sync thread's half of a commit, after the frame. */
/* Before the frame is written: a table with room for the batch, so that little can fail afterwards. */
STATUS_MUST_CHECK struct status embedded_make_table(struct embedded_store *store,
                                                    const struct commit_batch *batch, size_t frame_bytes);
/*
 * On the housekeeping thread: makes the next segment's table when the last one is nearly full, and touches its memory. Else
 * the system would have to give a page for nearly each event of the segment's first commits: 1 ms of each. One step of it;
 * true = there is more to do.
 */
bool embedded_prepare_table(struct embedded_store *store);
/* Enters a batch whose frame begins at `frame_offset`; whole or not at all. */
STATUS_MUST_CHECK struct status embedded_publish(struct embedded_store *store,
                                                 const struct commit_batch *batch, uint32_t segment,
                                                 uint64_t frame_offset);

/* embedded_housekeeping.c */
void *embedded_housekeeping_loop(void *store);
/* One round; true = the next one is due in a moment. */
bool embedded_housekeep(struct embedded_store *store);
/* Writes the published head to state/; `clean` at a clean stop. */
STATUS_MUST_CHECK struct status embedded_remember(struct embedded_store *store, bool clean);

/* embedded_index.c */
uint64_t embedded_index_hash(const struct embedded_store *store, enum index_key_kind kind, struct bytes text);
/* The view and the head that goes with it; the caller's reference. `ret_head` may be NULL. */
struct index_view *embedded_view_take(struct embedded_store *store, struct store_head *ret_head);
/* Takes over the caller's reference of `view`, which takes the place of the store's; change_lock is held. */
void embedded_view_put(struct embedded_store *store, struct index_view *view);
/*
 * What to answer when an index file could not be read: one that is not what was written ends the index (the builder makes
 * a new one from the log, nothing is lost), and who asked is told so: UNAVAILABLE/STORE_FAILED. Want of memory or handles
 * passes through.
 */
STATUS_MUST_CHECK struct status embedded_index_trouble(struct embedded_store *store,
                                                       const struct status *status);

/* embedded_facts.c */
struct status embedded_facts(struct event_store *base, const struct facts_request *request,
                             struct arena *arena, struct facts *ret);
/* Which records of the batch are the first of their aggregates, into store->firsts; on the writer's thread. */
STATUS_MUST_CHECK struct status embedded_find_firsts(struct embedded_store *store,
                                                     const struct commit_batch *batch);

/* embedded_reads.c */
struct status embedded_read(struct event_store *base, const struct read_query *query, record_sink sink,
                            void *context);

/* embedded_aggregates.c */
struct status embedded_aggregate(struct event_store *base, struct bytes id, struct arena *arena,
                                 struct aggregate_head *ret);
struct status embedded_aggregates(struct event_store *base, struct bytes type, int64_t after_first_position,
                                  aggregate_sink sink, void *context);

/* embedded_finds.c */
struct status embedded_head(struct event_store *base, struct store_head *ret);
struct status embedded_find_id(struct event_store *base, struct bytes event_id, int64_t *ret_position);
struct status embedded_find_time(struct event_store *base, int64_t time_us, int64_t *ret_position);
struct status embedded_stats(struct event_store *base, struct arena *arena, struct event_store_stats *ret);

/*
 * For tests that name every file call: a store without threads. commit() answers before it returns; what the
 * threads would do meanwhile happens in embedded_store_step().
 */
STATUS_MUST_CHECK struct status embedded_store_open_stepped(struct files *files,
                                                            const struct embedded_options *options,
                                                            const struct clock *clock,
                                                            const struct entropy *entropy, struct log *log,
                                                            struct event_store **ret);
void embedded_store_step(struct event_store *store);
