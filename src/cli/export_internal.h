/*
 * The two ways to get at all events: a running service over gRPC, or the folder of a store that no server holds. Either
 * hands over the stored bytes of each event in order; the caller makes lines or records of them.
 *
 * Threads   One.
 * Blocking  Yes.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct export_source {
    const char *address; /* used when `path` is NULL */
    const char *path;    /* folder that holds the store; NULL = ask the service */
    const char *store_id;
    int64_t from;    /* first position wanted, from 1 */
    int64_t to;      /* last one; 0 = the head when the export begins */
    bool from_start; /* every event from position 1 on is wanted, whatever `from` says */
    bool quiet;
};

struct export_sink {
    void *context;
    /* `store_uuid` NULL = not known. Before the first event. */
    struct status (*on_begin)(void *context, const uint8_t *store_uuid);
    /* `stored` is valid during the call: a packed Event without computed fields. */
    struct status (*on_event)(void *context, int64_t position, struct bytes stored);
};

/* OK only when every event of the range was handed over. FAILED_PRECONDITION when the store does not reach `to`. */
STATUS_MUST_CHECK struct status export_events(const struct export_source *source,
                                              const struct export_sink *sink);
