/*
 * A new index in the place of a damaged one, while the store goes on: the full segments that the damaged files cover are read
 * from the log once more, as a start without an index does, and their new files take the old ones' place in the view. Tables
 * in memory stay as they are. Until then whoever needs a damaged page is refused, and everybody else is answered as ever.
 *
 * Threads  The builder's.  Blocking  Yes: it reads the log.
 */
#pragma once

#include "base/status.h"

struct embedded_store;

/*
 * OK: the index is whole again. Otherwise it is damaged as before, and what was made of the new one stays for the next start:
 *   CANCELLED            the builder is stopping
 *   RESOURCE_EXHAUSTED   no space or memory
 *   DATA_LOSS            the log is damaged too, or the disk failed
 */
STATUS_MUST_CHECK struct status index_renew(struct embedded_store *store);
