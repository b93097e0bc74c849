/*
 * `strata bench`: load on a running service, from as many threads as there are clients, each with a connection of
 * its own.
 *
 * Ownership  A worker belongs to its thread until that has ended.
 * Threads    What the workers share says so.
 * Blocking   For the duration asked for, and as long as the last calls take.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "cli/cli_internal.h"
#include "cli/histogram_internal.h"

#define BENCH_CLIENTS_MAX 256

struct bench_options {
    struct cli_common common;
    int64_t clients;
    int64_t batch;       /* events of a call */
    int64_t size_bytes;  /* of an event's data */
    int64_t duration_us; /* 0 = until `count` */
    int64_t count;       /* events, or calls of `get`; 0 = until the duration is over */
    int64_t rate;        /* subscribe: events a second */
    bool stream;
    bool allow_remote;
};

struct bench;

struct bench_worker {
    struct bench *bench;
    pthread_t thread;
    int index;
    struct client *client;
    struct arena *arena; /* reset by each call */
    struct histogram latency;
    int64_t calls; /* that were answered well */
    int64_t events;
    int64_t bytes;
    int64_t errors;
    struct status error; /* the first of them */
    void *own;           /* of the kind of bench */
};

/* One kind of load. All run on the worker's thread. */
struct bench_kind {
    const char *name;
    const char *latency_of; /* what is measured, for the report */
    /* Before the clock starts. May be NULL. */
    struct status (*begin)(struct bench_worker *worker);
    /* One call, or with `appends_beside` all of them. Counts itself with bench_done() or bench_failed(). */
    void (*call)(struct bench_worker *worker);
    void (*end)(struct bench_worker *worker); /* frees `own`; may be NULL */
    bool appends_beside; /* worker 0 is none of the clients: it appends what they wait for */
};

struct bench {
    struct cli_run *run;
    const struct bench_options *options;
    const struct bench_kind *kind;
    char name[64]; /* aggregates of this run begin so */
    char store[32];
    atomic_bool started;
    atomic_bool stopped;
    atomic_int ready;
    atomic_llong ends_at_us; /* monotonic */
    atomic_llong taken;      /* of options->count */
    atomic_int subscribed;   /* subscribe: clients that are live */
    atomic_llong appended;   /* subscribe: events that were acknowledged; -1 until the last of them is */
    int64_t elapsed_us;
    struct bench_worker *workers;
};

extern const struct bench_kind bench_append;
extern const struct bench_kind bench_get;
extern const struct bench_kind bench_read;
extern const struct bench_kind bench_subscribe;

int64_t bench_now_us(void); /* monotonic */
int64_t bench_worker_count(const struct bench *bench);
/* The next `share` of what is to be done is this caller's; false when there is no more or the time is over. */
bool bench_take(struct bench *bench, int64_t share);
void bench_done(struct bench_worker *worker, int64_t since_us, int64_t events, int64_t bytes);
void bench_failed(struct bench_worker *worker, struct status status);

/* An append of `batch` events as packed AppendEventsRequest; each event's data says when it was made. */
STATUS_MUST_CHECK struct status bench_append_request(struct bench_worker *worker, int64_t now_us,
                                                     struct bytes *ret);
/* When an event says that it was made; -1 when it does not. */
int64_t bench_made_at_us(struct bytes data);

/* Runs the workers and shows what came of it. */
STATUS_MUST_CHECK struct status bench_run(struct cli_run *run, const struct bench_kind *kind);
/* Shows it. */
STATUS_MUST_CHECK struct status bench_report(struct bench *bench);
