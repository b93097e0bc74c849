/*
 * How many events of each type and aggregates of each type the parts of the index hold: kept by each view, since
 * summing them up for every question would read all parts.
 *
 * Ownership  Counted references; made by totals_new() and totals_with_part().
 * Threads    Any: totals never change.  Blocking  totals_with_part() reads the part.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "store/event_store.h"

struct part;
struct totals;

const struct totals *totals_new(uint64_t seed); /* all zero; `seed` of its hashes. NULL when out of memory */
const struct totals *totals_ref(const struct totals *totals);
void totals_unref(const struct totals *totals); /* NULL is fine */

/* The totals with one part more. */
STATUS_MUST_CHECK struct status totals_with_part(const struct totals *totals, const struct part *part,
                                                 const struct totals **ret);

/* Adds the totals and the counts of `count` tables (texts in the arena or in the totals, which the caller holds). */
STATUS_MUST_CHECK struct status totals_stats(const struct totals *totals,
                                             const struct event_store_stats *tables, size_t count,
                                             struct arena *arena, struct event_store_stats *ret);
