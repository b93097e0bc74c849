/*
 * An engine that a test holds by the hand: it passes everything on to another engine, but facts and commits wait
 * until the test lets them go, and a commit fails when the test says so.
 *
 * Ownership  Borrows the inner engine, which outlives it.
 * Threads    Any. A thread of its own answers commits, as a disk would.
 */
#pragma once

#include <pthread.h>

#include "store/event_store.h"

#define HELD_COMMITS_MAX 128

struct held_store {
    struct event_store store; /* first: hand out its address */
    struct event_store *inner;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    pthread_t thread;
    bool stopping;
    bool hold_facts;
    bool hold_commits;
    struct status facts_status;  /* of the next facts; OK = the inner engine's */
    struct status read_status;   /* of the next read; OK = the inner engine's */
    struct status commit_status; /* of the next commit; OK = the inner engine's */
    int commit_failures;         /* so many commits get commit_status */
    bool commit_anyway;          /* a failing commit reaches the inner engine nevertheless */
    size_t write_first;          /* so many appends of a failing commit reach the inner engine */
    int facts_begun;             /* calls so far */
    int commits_begun;
    int releases;
    int64_t now_us;                          /* what facts say of the time; 0 = nothing */
    size_t commit_appends[HELD_COMMITS_MAX]; /* how many appends each commit had */
    bool overlapped;                         /* facts were asked for while a commit was under way */
    int aheads;                              /* commits that were decided ahead */
    bool stood;                              /* the last commit took place */
    struct held_commit {
        const struct commit_batch *batch;
        commit_done done;
        void *context;
    } waiting[2]; /* the first one is under way */
    size_t waiting_count;
};

void held_store_init(struct held_store *held, struct event_store *inner);
void held_store_done(struct held_store *held);
/* From now on it answers facts_ahead(), as an engine that others write to may. */
void held_store_look_ahead(struct held_store *held);

void held_store_hold(struct held_store *held, bool facts, bool commits);
/* The next commit to be answered fails; `anyway` = but is written all the same. */
void held_store_fail_commit(struct held_store *held, struct status status, bool anyway);
/* The next `count` ones are refused before they are written. */
void held_store_fail_commits(struct held_store *held, struct status status, int count);
/* The next one is overtaken behind its first `count` appends. */
void held_store_overtake_behind(struct held_store *held, size_t count);
void held_store_fail_facts(struct held_store *held, struct status status); /* the next ones */
void held_store_fail_read(struct held_store *held, struct status status);  /* the next one */
/* Wait until so many calls have begun since the start. */
void held_store_await_facts(struct held_store *held, int count);
void held_store_await_commits(struct held_store *held, int count);
