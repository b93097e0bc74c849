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

/*
 * NULL when out of memory, also for the rooms that are asked for: with so many heads and ids it never grows. Hashes are
 * those of names with `seed`.
 */
struct overlay *overlay_new(uint64_t seed, size_t heads, size_t ids);
struct overlay_head *overlay_find_head(const struct overlay *overlay, struct bytes id,
                                       uint64_t hash); /* NULL = not looked at */
/* `id` must live in the arena and not be there yet. NULL when out of memory; the pointer is good until the next
 * addition. */
struct overlay_head *overlay_add_head(struct overlay *overlay, struct bytes id, uint64_t hash,
                                      const struct aggregate_head *head);
/* The accepted append that holds the event id, or NULL. */
const struct commit_append *overlay_find_id(const struct overlay *overlay, struct bytes event_id,
                                            uint64_t hash);
/* Enters an event id of the append that comes next in `appends`; false when out of memory. */
bool overlay_add_id(struct overlay *overlay, struct bytes event_id, uint64_t hash);
uint64_t overlay_hash_id(const struct overlay *overlay, struct bytes event_id);
/* The position of a record after `after` that the query matches; 0 = none. */
int64_t overlay_match(const struct overlay *overlay, const struct event_query *query, int64_t after);
