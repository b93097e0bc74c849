/*
 * Adopting records: stored events of another store become events of this one with their positions, times, ids and
 * bytes, so that equal histories have equal chains. For imports that keep positions and for moving between engines; the
 * same for every engine, over its facts and its commit.
 *
 * A batch is whole appends that follow the store's head. All of it is checked before anything is written: what a right
 * writer could not have written after this head is refused by name and leaves no trace. What lies above the store's
 * words is the caller's to check: that data and metadata are JSON, and what the domain says of them.
 *
 * Ownership  Borrows everything.
 * Threads    One, while no writer runs on the store.
 * Blocking   Until the batch is durable.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "store/event_store.h"

struct entropy;

/* A batch is one commit. Callers close one at these bounds; an append that is larger by itself may go alone. */
#define ADOPT_RECORDS_MAX 4096U
#define ADOPT_BYTES_MAX   ((size_t)4 * 1024 * 1024)

/*
 * Makes `count` records (header ‖ payload each, in order) durable behind the head; *ret_head is where the store then
 * stands. Messages begin with the position of the record at fault.
 *   ABORTED                       another process wrote meanwhile
 *   FAILED_PRECONDITION           the first is not at head + 1, a position is missing, times fall, versions or the
 *                                 aggregate's type do not fit, or an append is not whole
 *   ALREADY_EXISTS/EVENT_ID_USED  an event id is used
 *   DATA_LOSS/DAMAGED             a record is no event of this format, or its digest does not recompute
 *   INVALID_ARGUMENT              no record at all, or more than a batch may have
 *   RESOURCE_EXHAUSTED            out of memory
 *   others                        the engine's, also OUTCOME_UNKNOWN: open the store again and look at its head
 */
STATUS_MUST_CHECK struct status event_store_adopt(struct event_store *store, const struct bytes *records,
                                                  size_t count, const struct entropy *entropy,
                                                  struct store_head *ret_head);
