/* Events good and bad, of all built-in types, that make random histories worth folding and checking. */
#pragma once

#include "support/cmocka.h"

#include "base/arena.h"
#include "domain/domain.h"

/* The texts live in `arena`. Position, timestamp and version rise together; the aggregate is "x-1". */
struct event_fields random_event(struct arena *arena, uint64_t *random, const char *aggregate_type,
                                 int32_t version);
