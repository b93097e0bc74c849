/*
 * The one writer in front of an engine: gathers waiting appends into a batch (group commit), asks for facts,
 * decides, commits, answers each. On a pipelined engine batch N+1 is decided while N syncs; nothing of N+1 is
 * written and none of its answers leaves before N's sync has returned. If that fails, N answers
 * OUTCOME_UNKNOWN, all of N+1 and everything later STORE_FAILED. On an engine that several processes write to, a batch is
 * decided again when another was first, and one of unknown fate ends only itself.
 *
 * A batch closes at 256 appends, 4,096 events or 4 MiB; a larger append goes alone.
 *
 * Ownership  Borrows store, clock, entropy; they outlive it.
 * Threads    writer_submit from any thread. on_done and on_commit come from the writer's or the engine's threads.
 * Blocking   writer_submit never; writer_stop waits until everything queued is answered.
 */
#pragma once

#include "store/append.h"
#include "store/event_store.h"

struct clock;
struct entropy;
struct writer;

struct writer_options {
    struct append_limits limits;
    size_t queue_max_appends; /* 0 = 8,192 */
    size_t queue_max_bytes;   /* 0 = 64 MiB */
    /* After a commit is durable and before its appends are answered; `head` is the new one. NULL = nobody. */
    void (*on_commit)(void *context, const struct store_head *head);
    void *on_commit_context;
};

struct writer_stats {
    int64_t appends; /* accepted */
    int64_t events;
    int64_t replays;
    int64_t conflicts; /* refused with ABORTED */
    int64_t refused;   /* all refusals */
    int64_t batches;
    int64_t queue_depth;       /* now */
    double appends_per_second; /* accepted, over the last minute; over the whole time where that is less */
};

STATUS_MUST_CHECK struct status writer_start(struct event_store *store, const struct writer_options *options,
                                             const struct clock *clock, const struct entropy *entropy,
                                             struct writer **ret);
/* Takes no more, answers all that is queued, ends the thread, frees. NULL is fine. */
void writer_stop(struct writer *writer);
DEFINE_CLEANUP(struct writer, writer_stop);

/* OK: on_done will be called exactly once. QUEUE_FULL, STORE_FAILED: it will not. */
STATUS_MUST_CHECK struct status writer_submit(struct writer *writer, struct append *append);

void writer_stats(struct writer *writer, struct writer_stats *ret);
