/*
 * Looks up heads of aggregates and positions of event ids in a view, many at a time: hashes once, filters fetched ahead,
 * newest layer first. A hash only says where to look: the record there must have the very id.
 *
 * Ownership  Views and readers are borrowed; texts of heads come from the arena.
 * Threads    Any. The open table is asked apart, by who holds view_lock: lookup_*() leave it out.
 * Blocking   Yes, but lookup_*_in_table().
 * Errors     UNAVAILABLE/STORE_FAILED: the index is damaged. RESOURCE_EXHAUSTED.
 */
#pragma once

#include "store/event_store.h"
#include "view_reader_internal.h"

struct head_lookup {
    struct bytes id;
    bool done;                       /* `head` is the answer, or `unreadable` says why there is none */
    struct aggregate_head head;      /* first_position and event_count are not filled */
    const struct status *unreadable; /* the record that would tell is damaged; from the arena */
    /* For who knows a head as of some position: `cached`, with head and hash filled in. Then only what is behind
     * newer_than is looked for, and the head stays when there is nothing. */
    bool cached;
    bool from_open; /* the caller's own */
    int64_t newer_than;
    uint64_t hash; /* when not cached, the look-up's own */
};

struct id_lookup {
    struct bytes id;
    bool done;
    int64_t position;                /* 0 = none */
    const struct status *unreadable; /* as above */
    int64_t uuid7_ms;                /* the look-up's own, as the next */
    uint64_t hash;
};

/* In one table, those that are not done yet; done when it is there. The caller sees to it that the table does not change,
 * or holds view_lock. */
STATUS_MUST_CHECK struct status lookup_heads_in_table(const struct view_table *table,
                                                      struct head_lookup *lookups, size_t count,
                                                      struct arena *arena);
void lookup_ids_in_table(const struct view_table *table, struct id_lookup *lookups, size_t count);

/* In all frozen tables and runs of the reader's view; those that are not done yet. All are done afterwards. */
STATUS_MUST_CHECK struct status lookup_heads(struct view_reader *reader, struct head_lookup *lookups,
                                             size_t count, struct arena *arena);
STATUS_MUST_CHECK struct status lookup_ids(struct view_reader *reader, struct id_lookup *lookups,
                                           size_t count, struct arena *arena);

/*
 * Whether some layer, the open table excluded, has an entry of the aggregate's hash that ends with this version: without
 * reading records, so it may be another's. For a check of what was checked otherwise already.
 */
STATUS_MUST_CHECK struct status lookup_version(struct view_reader *reader, struct bytes id, int32_t version,
                                               bool *ret);

/* The first event of an aggregate that exists, looked for from the oldest layer on, the open table excluded; 0 = not there. */
STATUS_MUST_CHECK struct status lookup_first(struct view_reader *reader, struct bytes id,
                                             int64_t *ret_position, int32_t *ret_version);
