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

/* It travels as one header of a gRPC reply and clients take 8 KiB of
 * headers: faults beyond this are counted only. */
#define STATUS_DETAILS_MAX_BYTES 3072U

/* ErrorInfo.metadata carries expected_version and current_version when they apply. */
void status_details_encode(const struct status *status, struct buffer *to);
/* Faults come from `arena`. DATA_LOSS when the bytes are not a google.rpc.Status. */
STATUS_MUST_CHECK struct status status_details_decode(struct bytes packed, struct arena *arena,
                                                      struct status *ret);
