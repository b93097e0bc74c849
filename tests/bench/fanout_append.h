/*
 * Appends at a steady rate, each at its time whether those before it were answered or not: one AppendStream over gRPC, or
 * pipelined XADDs to Redis. Remembers when each was handed to the socket and when its answer had come.
 *
 * Ownership  The caller's memory, and its arrays; it reads them after the thread's end.
 * Threads    fanout_append_run is a thread of its own; meanwhile nobody else touches the struct.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "load_events.h"

struct fanout_append {
    bool redis;
    const char *host; /* an address in numbers */
    uint16_t port;
    struct load_event_options event;
    long count;           /* appends */
    long events;          /* of one append */
    double appends_per_s; /* 0 = as fast as answers come, 256 without one */

    int64_t *sent_ns; /* `count` of each */
    int64_t *answered_ns;
    long sent;
    long answered;
    int64_t late_max_ns; /* how late the latest one was sent */
    char error[256];     /* "" = every append is recorded */
};

void *fanout_append_run(void *append);
