/*
 * The first events of aggregates in one part of the index, in order: of one aggregate type, or of all (a merge of the
 * types' lists).
 *
 * Ownership  The part is borrowed.  Threads  One.  Blocking  Yes.
 * Errors     UNAVAILABLE/STORE_FAILED (the index is damaged), RESOURCE_EXHAUSTED.
 */
#pragma once

#include "layer_list_internal.h"

struct creation_list;

struct creations {
    struct embedded_store *store;
    const struct view_part *part;
    struct creation_list *lists;
    size_t count;
    size_t capacity;
    bool failed; /* while collecting: out of memory */
};

/* Those behind `after`; `type` empty = all. To be closed also when it fails. */
STATUS_MUST_CHECK struct status creations_open(struct creations *creations, struct embedded_store *store,
                                               const struct view_part *part, struct bytes type,
                                               int64_t after);
void creations_close(struct creations *creations);
/* 0 at the end. */
STATUS_MUST_CHECK struct status creations_next(struct creations *creations, int64_t *ret_position);
