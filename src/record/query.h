/*
 * Which events a subscription, a read or an append condition means. Items are or-ed; within an item the
 * kinds are and-ed; of types, aggregate types, ids and prefixes any entry may match, of tags all must.
 * An item without any entry matches every event; so does a query without items.
 *
 * Ownership  Borrows all of it.  Threads  Any; never changes once built.
 */
#pragma once

#include "record/record.h"

struct bytes_list {
    const struct bytes *items;
    size_t count;
};

struct query_item {
    struct bytes_list types; /* exact names; when given, system events ('$…') match only if named */
    struct bytes_list tags;
    struct bytes_list aggregate_types;
    struct bytes_list aggregate_ids;
    struct bytes_list aggregate_id_prefixes;
    struct bytes correlation_id; /* empty = any */
};

#define QUERY_ITEMS_MAX 16U

struct event_query {
    const struct query_item *items;
    size_t count; /* 0 = everything */
};

bool query_matches(const struct event_query *query, const struct event_fields *fields);
bool query_item_matches(const struct query_item *item, const struct event_fields *fields);
