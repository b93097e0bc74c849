/*
 * The index at the start: opens what MANIFEST names and decides how much of the log need not be read.
 *
 * An index fits when it is this store's, each part's segment is there with the same first position, epoch, chain before
 * and after, and size, a segment follows the last of them, and the runs' chains are the parts'. Anything else, and
 * anything missing, cut or damaged, and the whole of it is dropped with one line in the log: it is made anew.
 *
 * Threads  One, while the store is opened.  Blocking  Yes.
 */
#pragma once

#include "store/embedded/log_scan.h"
#include "store/embedded/remembered_head.h"

struct embedded_store;

/*
 * Fills store->view (parts and runs, or nothing) and index_seed, adopts the segments that are not read, and says where
 * reading begins: at the first segment without a part, or at the remembered head's when that comes before;
 * first_position 0 = at the first of all. `anew`: there
 * was an index, but it turned out to be damaged. Only want of memory, and an unreadable log/, are errors.
 */
STATUS_MUST_CHECK struct status index_load(struct embedded_store *store,
                                           const struct remembered_head *remembered, bool anew,
                                           struct log_resume *ret);
