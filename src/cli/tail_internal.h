/*
 * Events in the order of their positions, from a point of the past to the head or on and on. Each is handed over
 * once: a connection that breaks is made again, and the stream goes on behind the last position that was seen.
 *
 * Ownership  Borrows its options.
 * Threads    The main thread. SIGINT and SIGTERM end it in order while it runs.
 * Blocking   Until its end.
 */
#pragma once

#include "cli/cli_internal.h"

enum tail_start {
    TAIL_LAST,  /* with the last `count_back` that match */
    TAIL_AFTER, /* behind `after` */
    TAIL_SINCE, /* with the first at or after `since_us` */
};

struct tail_options {
    bool follow;
    enum tail_start start;
    int64_t count_back;
    int64_t after;
    int64_t since_us;
    int64_t count;        /* end after so many; 0 = no such bound */
    int64_t reconnect_us; /* try for so long to be connected again; 0 = not at all */
    const struct cli_list *types;
    const struct cli_list *aggregate_types;
    const struct cli_list *aggregates;
    const struct cli_list *prefixes;
    const struct cli_list *tags;
    const char *correlation_id; /* NULL = any */
};

struct tail_sink {
    void *context;
    /* A packed Event, valid during the call. */
    struct status (*on_event)(void *context, struct bytes event);
    /* Nothing more is there at the moment: what was handed over may be shown. */
    struct status (*on_pause)(void *context);
};

/* OK at the end, after `count` events, and when a signal or a reader of standard output that left has ended it. */
STATUS_MUST_CHECK struct status tail_events(struct cli_run *run, const struct tail_options *options,
                                            const struct tail_sink *sink);
