/*
 * The event store in memory: all semantics, no durability. For tests, demonstrations and `store: memory`.
 */
#pragma once

#include "store/event_store.h"
#include "store/snapshot_store.h"

struct clock;

/* The clock is borrowed; it says when a lease ends. */
STATUS_MUST_CHECK struct status memory_store_open(const struct clock *clock, struct event_store **ret);

/* At most `max_entries` (0 = unlimited), least recently used out first. Serves as cache and as snapshot store. */
STATUS_MUST_CHECK struct status memory_snapshots_open(size_t max_entries, struct snapshot_store **ret);
