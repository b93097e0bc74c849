/*
 * What a crash leaves of the frame that was being written, behind the last good one: set aside and replaced by zeros, in
 * place, so that a start needs no more space than the few torn bytes, and none on a full disk.
 */
#pragma once

#include "base/files.h"
#include "store/embedded/log_scan.h"

struct log;

/*
 * Copies the torn bytes of the last segment to <name>.torn (.torn.2 …) and makes them zeros, durably: the end of the log
 * is clean afterwards and the file as long as before. A crash in between leaves a torn tail again. On a disk without space
 * for the copy the bytes are given up, with a warning: no answered event is in them.
 */
STATUS_MUST_CHECK struct status torn_tail_clear(struct files *files, const char *store_id,
                                                const struct scanned_segment *segment, struct log *log);
