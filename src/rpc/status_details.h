/*
 * A status as google.rpc.Status with ErrorInfo{reason, domain "strata", metadata}, BadRequest, QuotaFailure
 * and RetryInfo, packed (grpc-status-details-bin), and back.
 *
 * Threads   Any; nothing is kept.
 * Blocking  Never.
 */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#define STATUS_DOMAIN "strata"

/*
 * It travels as one header of a gRPC reply and clients take 8 KiB of headers: faults beyond the least size are counted
 * only. A client that takes more says how much, in bytes before base64, by this metadata; our gateway does, so that its
 * answers do not depend on where the core is.
 */
#define STATUS_DETAILS_METADATA   "strata-status-details-max"
#define STATUS_DETAILS_MAX_BYTES  3072U
#define STATUS_DETAILS_MOST_BYTES 40960U
#define STATUS_DETAILS_MOST_TEXT  "40960" /* the same, as our gateway says it */

/* ErrorInfo.metadata carries expected_version, current_version, aggregate_id and position when they apply. */
void status_details_encode(const struct status *status, size_t max_bytes, struct buffer *to);
/* Faults come from `arena`. DATA_LOSS when the bytes are not a google.rpc.Status. */
STATUS_MUST_CHECK struct status status_details_decode(struct bytes packed, struct arena *arena,
                                                      struct status *ret);
