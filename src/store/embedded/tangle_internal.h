/*
 * The lists of a tag in one run. Nearly always they are of one tag and lie one behind the other, one a merged segment. Should
 * another tag have the same hash, lists lie among each other, and an event that has both tags is in both: such lists are
 * walked together, each position once.
 *
 * Threads  One.  Blocking  Yes; memory is bounded by the number of lists.
 * Errors   UNAVAILABLE/STORE_FAILED (the index is damaged), RESOURCE_EXHAUSTED, the sink's.
 */
#pragma once

#include "layer_list_internal.h"

struct tangle_sink {
    void *context;
    /* A list that lies alone. */
    struct status (*list)(void *context, const struct layer_list *list);
    /* Ascending positions inside the query's bounds, of lists that do not; to be delivered in the query's direction. */
    struct status (*positions)(void *context, const int64_t *positions, size_t count);
    bool (*ended)(void *context);
};

STATUS_MUST_CHECK struct status tangle_walk(struct embedded_store *store, const struct view_run *run,
                                            const struct key *key, const struct read_query *query,
                                            const struct tangle_sink *sink);
