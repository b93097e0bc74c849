/*
 * RFC 9457: how every failure looks on HTTP.
 *
 *     {"type":"about:blank","title":"Conflict","status":409,"detail":"…","code":"ABORTED",
 *      "reason":"VERSION_CONFLICT","expected_version":3,"current_version":4,"aggregate_id":"a",
 *      "errors":[{"field":"events[0].type","message":"…","pointer":"#/events/0/type"}],"request_id":"…"}
 *
 * `reason`, versions, `aggregate_id`, `position` and `errors` stand there only when the status has them; `pointer` says where in the request's body
 * the field stands, when it stands there.
 *
 * Threads   Any.
 * Blocking  Never.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* Appends the problem. `http_status` 0 = status_http() of the status. */
void problem_write(struct buffer *to, const struct status *status, int http_status, struct bytes request_id);
/* The same with a pointer for each fault, empty = none; NULL = for none of them. */
void problem_write_at(struct buffer *to, const struct status *status, int http_status,
                      struct bytes request_id, const struct bytes *pointers);

const char *http_reason_phrase(int http_status); /* "Conflict"; "Unknown" for a number that has none */
