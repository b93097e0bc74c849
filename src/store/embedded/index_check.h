/*
 * Compares the index with the log, for `strata verify`: every record's place, id, aggregate, version, types, correlation and
 * tags are found through it, it holds no types that the records lack, and every byte of its files is what was written.
 * A store works without an index and makes a new one by itself, so what is wrong here loses nothing.
 *
 *     index_check_open(…, &check)                 NOT_FOUND: there is no index
 *     for each event of a scan, in order:         index_check_event(check, event)
 *     index_check_end(check, &report)
 *
 * Events behind the index are passed over. A scan that does not begin at the first event checks the types only of segments
 * that it reads from their beginning.
 *
 * Ownership  The caller's; borrows files.
 * Threads    One.  Blocking  Yes.
 * Errors     DATA_LOSS/DAMAGED: the message names what is wrong, and that removing the folder index/ mends it.
 */
#pragma once

#include "base/cleanup.h"
#include "store/embedded/log_scan.h"

struct index_check;

struct index_check_report {
    int64_t events; /* compared */
    uint32_t part_count;
    uint32_t run_count;
    uint64_t bytes; /* of files */
};

/*
 *   NOT_FOUND                         no index
 *   DATA_LOSS, FAILED_PRECONDITION    it cannot be opened, or is another store's
 */
STATUS_MUST_CHECK struct status index_check_open(struct files *files, const char *store_id,
                                                 const struct store_identity *identity,
                                                 struct index_check **ret);
void index_check_free(struct index_check *check); /* NULL is fine */
DEFINE_CLEANUP(struct index_check, index_check_free);

STATUS_MUST_CHECK struct status index_check_event(struct index_check *check,
                                                  const struct scanned_event *event);
/* Reads every page of all files. */
STATUS_MUST_CHECK struct status index_check_end(struct index_check *check, struct index_check_report *ret);
