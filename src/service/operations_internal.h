/*
 * The long-running operations of a service: which there are, running them, keeping them over a restart.
 *
 * Each is a value in the event store's state, key "operation/" and its id; the format stands in operation_record.c. All
 * are in memory too, so that a look at one costs no I/O. Where several processes share the store (operation_shared.c)
 * memory is out of date for those that others run: operations_refresh before a look.
 *
 * Threads   Any, but operations_resume, _stop and _free.
 * Blocking  operations_start, _cancel, _expire and _refresh use the store's state; _stop waits for the threads; looking
 *           never blocks.
 */
#pragma once

#include "service/operation_internal.h"

#define OPERATIONS_KEPT_MAX    1000U /* the oldest finished one goes for a new one */
#define OPERATIONS_KEPT_FOR_US INT64_C(86400000000)

struct operations;

/* Reads what earlier runs of the program recorded, of a store that is ours alone. What cannot be read is logged and left alone: no reason not to serve. */
STATUS_MUST_CHECK struct status operations_new(struct service *service, struct operations **ret);
/* Goes on with those that were running; where processes share the store, from here on with those of processes that have
 * died, also when the store can be reached only later. */
STATUS_MUST_CHECK struct status operations_resume(struct operations *operations);
/* Pauses those that run, so that the next start goes on with them, and waits for it. More than once is fine. */
void operations_stop(struct operations *operations);
void operations_free(struct operations *operations); /* NULL is fine; stops first */

/* *ret_id: UUID_TEXT_BYTES. FAILED_PRECONDITION/OPERATION_RUNNING when one of that kind runs, or several cancelled ones
 * are still coming to their ends. */
STATUS_MUST_CHECK struct status operations_start(struct operations *operations, enum operation_kind kind,
                                                 const Strata__V1__StartOperationRequest *request,
                                                 const struct operation_plan *plan, struct bytes started_by,
                                                 char *ret_id);
/* OK also for one that has ended. NOT_FOUND/OPERATION_UNKNOWN. A failure of the store's: cancelled, but perhaps not after
 * a restart; to be repeated. */
STATUS_MUST_CHECK struct status operations_cancel(struct operations *operations, const char *id);

/* Learns of what other processes have recorded, of one operation or (NULL) all; nothing to do where the store is ours
 * alone. */
STATUS_MUST_CHECK struct status operations_refresh(struct operations *operations, const char *id);
bool operations_are_shared(const struct operations *operations);

/* From the arena. *ret_revision (may be NULL) is another one after each change. NOT_FOUND/OPERATION_UNKNOWN. */
STATUS_MUST_CHECK struct status operations_get(struct operations *operations, const char *id,
                                               struct arena *arena, Strata__V1__Operation **ret,
                                               uint64_t *ret_revision);
/* At most `most` with ids below `before` ("" = from the newest), the newest first; *ret_more: there are others behind. */
STATUS_MUST_CHECK struct status operations_list(struct operations *operations, const char *before,
                                                size_t most, struct arena *arena,
                                                Strata__V1__Operation ***ret, size_t *ret_count,
                                                bool *ret_more);

/* Forgets those that ended more than OPERATIONS_KEPT_FOR_US ago. */
void operations_expire(struct operations *operations);

const char *operation_kind_name(enum operation_kind kind);
