/* The writer's own parts, for its files. */
#pragma once

#include <pthread.h>

#include "store/append_rate.h"
#include "store/decide.h"
#include "store/writer.h"

#define BATCH_APPENDS_MAX 256U

/*
 * A batch goes through: filled and decided by the writer's thread → committed (the engine's thread reports) → answered →
 * free. Two exist: while one is committed the other is filled and decided.
 */
struct batch {
    struct writer *writer;
    struct arena *arena;
    struct append *appends[BATCH_APPENDS_MAX];
    size_t append_count;
    struct decide_names names;
    struct facts facts;
    struct decision decision;
    bool under_way; /* guarded by the writer's lock: handed to commit() and not yet answered */
    bool committed; /* guarded by the writer's lock: the commit took place */
    bool overtaken; /* guarded by the writer's lock: another process was first; nobody was answered */
    size_t written; /* of an overtaken one: so many of its accepted appends were written all the same */
};

struct writer {
    struct event_store *store;
    struct writer_options options;
    const struct clock *clock;
    const struct entropy *entropy;
    pthread_t thread;

    pthread_mutex_t lock;    /* guards all down to `rate`; a leaf: no callback is made under it */
    pthread_cond_t queued;   /* the queue was empty, or stopping, or a batch was overtaken */
    pthread_cond_t finished; /* a batch is no longer under way */
    struct append *first;
    struct append **last;
    size_t queue_appends;
    size_t queue_bytes;
    bool idle; /* the thread waits on `queued` */
    bool stopping;
    bool failed; /* a commit failed: read-only until the store is opened again */
    struct writer_stats stats;
    struct append_rate rate;

    /* The writer's thread only. */
    struct append *taken; /* from the queue, not yet in a batch */
    struct batch batches[2];
    struct decide_namer namer;
    unsigned rests; /* so many batches are not decided ahead: others were first lately */
};

/* What a writer that failed says. */
struct status writer_failed(void);

/* --- deciding (writer_decide.c) --- */
/* With `ahead` on facts_ahead(). */
STATUS_MUST_CHECK struct status batch_decide(struct writer *writer, struct batch *batch,
                                             const struct batch *in_flight, bool ahead);
/* Forgets what was decided. */
void batch_reuse(struct batch *batch);

/* --- answering (writer_answers.c) --- */
void batch_answer(struct batch *batch);
void batch_refuse(struct batch *batch, const struct status *status);
/* Of an overtaken batch: the appends that were written all the same. What is left wants to be decided again. */
void batch_answer_written(struct batch *batch);
/* Hands the batch to the engine, whose report answers it, unless it was overtaken. */
void batch_commit(struct batch *batch);
