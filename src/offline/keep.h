/*
 * `strata import --keep`: a file of records becomes an embedded store, or the end of one, with positions, times, ids and
 * bytes as they were. What the store has already must be equal and is skipped, so an import that was interrupted goes on
 * where it ended.
 *
 * The file is read twice: nothing of one that is cut or altered gets into a store.
 *
 * Ownership  Borrows everything.
 * Threads    One call by one thread; callbacks come from it.
 * Blocking   Yes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "offline/records_file.h"

struct clock;
struct entropy;

enum keep_phase { KEEP_CHECKING, KEEP_ADOPTING };

struct keep_options {
    const char *store_id; /* NULL = "main"; made when there is none */
    /* How many bytes of the file were done in this phase; NULL = nobody. */
    void (*on_progress)(void *context, enum keep_phase phase, uint64_t bytes);
    void *context;
};

struct keep_report {
    bool created;             /* the store was made */
    int64_t skipped;          /* records that the store had */
    int64_t adopted;          /* records that it has now */
    struct records_point end; /* where the store stands */
};

/*
 * On failure *ret says how far it came: whole batches stay.
 *   DATA_LOSS/DAMAGED             the file was cut or altered, or its records don't follow the rules of a store
 *   FAILED_PRECONDITION           the file begins behind the store's head, holds other events than the store, or is of a
 *                                 newer format
 *   ALREADY_EXISTS/EVENT_ID_USED  an id of the file is another event's
 *   UNAVAILABLE                   a process holds the store; names it
 *   others                        as embedded_store_open() and event_store_adopt()
 */
STATUS_MUST_CHECK struct status keep_records(struct files *files, const struct keep_options *options,
                                             struct file *records, const char *records_name,
                                             const struct clock *clock, const struct entropy *entropy,
                                             struct keep_report *ret);
