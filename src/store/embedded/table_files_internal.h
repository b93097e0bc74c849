/*
 * Writes a frozen table as a part and a run of the index.
 *
 * Threads  Any; the table is frozen, the view that has it is held.  Blocking  Yes.
 * Errors   As index_part.h; nothing of worth is left behind then.
 */
#pragma once

#include "store/embedded/index/index_run.h"
#include "view_internal.h"

struct embedded_store;

STATUS_MUST_CHECK struct status table_write_part(const struct embedded_store *store,
                                                 const struct view_table *table, const char *folder,
                                                 const struct index_pace *pace);
STATUS_MUST_CHECK struct status table_write_run(const struct embedded_store *store,
                                                const struct view_table *table, const char *folder,
                                                const struct index_pace *pace);
