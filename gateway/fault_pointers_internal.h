/*
 * Where in a request's body the faulty fields stand: a fault's path such as "events[2].data.amount" as the JSON pointer
 * "#/events/2/data/amount" into what the client sent (RFC 9457 3.1.5, as its own example does).
 *
 * A path alone is ambiguous, since names within `data` may hold dots and brackets, and the contract's names have two
 * spellings. So it is looked up in the body; what is not found there exactly once has no pointer, nor has what was
 * given in path, query or headers.
 */
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "gateway/http/exchange.h"
#include "schema/schema.h"

/* One text for each fault, empty = none. NULL when there is no fault, no JSON body, a very large one, or no memory. */
const struct bytes *fault_pointers(struct arena *arena, const struct http_request *http,
                                   const struct schema_route *route, const struct field_faults *faults);
