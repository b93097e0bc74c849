/*
 * Which index of the store serves a query best. The plan narrows what is read; what comes back must still be
 * matched against the whole query.
 *
 * Threads  Any; pure.
 */
#pragma once

#include "record/query.h"
#include "store/event_store.h"

/* Sets `by` and `key` of a read for all of `query`, the most selective index first; a query of several items
 * scans by position. The other fields of the read are the caller's. */
void read_plan_query(const struct event_query *query, struct read_query *ret);

/* The same for one item. */
void read_plan_item(const struct query_item *item, struct read_query *ret);
