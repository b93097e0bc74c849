/*
 * Every event of an embedded store that no server holds, in the order of positions, each checked before it is handed
 * over: for exports. Writes nothing.
 *
 * Ownership  Borrows everything.
 * Threads    One call by one thread; callbacks come from it.
 * Blocking   Yes: it reads the whole store.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/files.h"

struct clock;
struct entropy;

struct read_store_options {
    const char *store_id; /* NULL = "main" */
    /* Before the first event. */
    struct status (*on_begin)(void *context, const uint8_t store_uuid[16], uint64_t log_bytes);
    /* Gets each event, valid during the call; another status than OK ends the reading with it. */
    struct status (*on_record)(void *context, int64_t position, struct bytes record);
    void (*on_progress)(void *context, uint64_t bytes); /* after every frame */
    void *context;
};

/* Errors as verify_store(), and the callbacks'. */
STATUS_MUST_CHECK struct status read_store(struct files *files, const struct read_store_options *options,
                                           const struct clock *clock, const struct entropy *entropy);
