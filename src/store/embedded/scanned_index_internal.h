/*
 * Enters what a scan reads at the start into tables of the index, one a segment, and checks what one table alone cannot
 * see: that ids come once and versions go on without a gap, across all layers.
 *
 * Threads  One, while the store is opened: its view, head and open table are nobody else's yet.
 * Blocking Yes; full tables are written to files when more than BUILDER_WAITING_MAX wait.
 * Errors   DATA_LOSS/DAMAGED: an event does not fit. UNAVAILABLE/STORE_FAILED: the index itself is damaged, begin anew
 *          without it (store->index_damaged). RESOURCE_EXHAUSTED.
 */
#pragma once

#include "store/embedded/log_scan.h"
#include "view_reader_internal.h"

struct scanned_index {
    struct embedded_store *store;
    struct arena *arena;       /* for answers of one event */
    struct index_view *view;   /* of the segment that is read */
    struct view_reader reader; /* while `view` is not NULL */
    bool entering;             /* the segment has no part yet */
};

STATUS_MUST_CHECK struct status scanned_index_init(struct scanned_index *index, struct embedded_store *store);
void scanned_index_done(struct scanned_index *index);

STATUS_MUST_CHECK struct status scanned_index_begin(struct scanned_index *index,
                                                    const struct scanned_segment *segment);
STATUS_MUST_CHECK struct status scanned_index_add(struct scanned_index *index,
                                                  const struct scanned_event *event);
/* The segment has ended, is adopted, and another follows; `end` is the history's after it. */
STATUS_MUST_CHECK struct status scanned_index_end(struct scanned_index *index,
                                                  const struct scanned_segment *segment,
                                                  const struct log_end *end);
/* All is read: the last segment's table is the open one. */
STATUS_MUST_CHECK struct status scanned_index_finish(struct scanned_index *index);

/* Aggregates in all layers. */
int64_t scanned_index_aggregate_count(const struct scanned_index *index);
