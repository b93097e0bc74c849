/*
 * What the builder does: a frozen table becomes a part and a run, runs become one, MANIFEST names them, the view has them.
 *
 * Files are durable before MANIFEST names them, and MANIFEST before the view has them; the files that it names no more go
 * afterwards. So a crash leaves files that no MANIFEST names, which the next start removes.
 *
 * Threads  The one that builds; work_waiting(): any.  Blocking  Yes.
 * Errors   RESOURCE_EXHAUSTED no space or memory; CANCELLED; DATA_LOSS the disk. Nothing has changed then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct embedded_store;

/* Frozen tables of the view. */
uint32_t work_waiting(struct embedded_store *store);
STATUS_MUST_CHECK struct status work_build_oldest(struct embedded_store *store);
/* The oldest BUILDER_MERGED_RUNS neighbours of one level: the number of the first; false when there are none. */
bool work_find_merge(struct embedded_store *store, size_t *ret_first);
/* `go_on` is asked between pieces, on this thread, with the store; it may build. False cancels. */
STATUS_MUST_CHECK struct status work_merge(struct embedded_store *store, size_t first,
                                           bool (*go_on)(void *store));
