/*
 * What a batch has decided and may not be durable yet: heads of the aggregates it looked at, its accepted appends and
 * their event ids. Texts point into the batch's arena, so an overlay must not outlive it.
 */
#pragma once

#include "base/arena.h"
#include "store/decide.h"
#include "store/hash_table.h"

struct overlay_head {
    struct bytes id;
    struct aggregate_head now;    /* after all accepted appends so far */
    struct aggregate_head staged; /* after the events of append `staged_by` so far */
    size_t staged_by;             /* place of an append in the batch; SIZE_MAX = none */
};

struct overlay_id {
    struct bytes id;
    size_t accepted; /* place in `appends` */
};

struct overlay {
    struct hash_table by_aggregate;
    struct overlay_head *heads;
    size_t head_count;
    size_t head_capacity;
    struct hash_table by_id;
    struct overlay_id *ids;
    size_t id_count;
    size_t id_capacity;
    struct commit_append *appends; /* the accepted ones; the arena's */
    size_t append_count;
    struct store_head head; /* after them */
};

/* NULL when out of memory. `seed` is of its tables' hashes. */
struct overlay *overlay_seeded(uint64_t seed);
struct overlay_head *overlay_find_head(const struct overlay *overlay,
                                       struct bytes id); /* NULL = not looked at */
/* `id` must live in the arena. NULL when out of memory; the pointer is good until the next addition. */
struct overlay_head *overlay_add_head(struct overlay *overlay, struct bytes id,
                                      const struct aggregate_head *head);
/* The accepted append that holds the event id, or NULL. */
const struct commit_append *overlay_find_id(const struct overlay *overlay, struct bytes event_id);
/* Enters the last of `appends`; false when out of memory. */
bool overlay_add_ids(struct overlay *overlay, const struct commit_append *append);
/* The position of a record after `after` that the query matches; 0 = none. */
int64_t overlay_match(const struct overlay *overlay, const struct event_query *query, int64_t after);
