/*
 * Index of events in memory: heads and positions of aggregates, event ids, terms (type, aggregate type, correlation
 * id, tag), times, counts. A projection of the log: an engine fills it from its records in position order and loses
 * nothing by losing it. About 100 to 150 bytes an event.
 *
 * Ownership  Copies every text that it keeps.
 * Threads    Any; one adder at a time. A rwlock inside, which prefers a waiting adder; what one
 *            call adds becomes visible as a whole. No call is made under it.
 * Blocking   Never, but for the lock.
 */
#pragma once

#include <pthread.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "record/record.h"
#include "store/event_store.h"

struct event_index;

/* `seed` of the hashes, from entropy. NULL when out of memory. */
struct event_index *event_index_new(uint64_t seed);
void event_index_free(struct event_index *index); /* NULL is fine */
DEFINE_CLEANUP(struct event_index, event_index_free);

/*
 * Adds events that follow the last one: positions without a gap, visible together. RESOURCE_EXHAUSTED when out of memory,
 * DATA_LOSS/DAMAGED when position, version or id does not fit what is there; a failure changes nothing.
 */
STATUS_MUST_CHECK struct status event_index_add(struct event_index *index, const struct event_fields *fields,
                                                size_t count);

/*
 * Takes back every event behind `last_position`, as if it had never been added: for an engine that could not enter the
 * whole of a batch. Needs no memory; takes as long as there are terms and aggregates. The caller knows that nobody
 * was shown what goes.
 */
void event_index_cut(struct event_index *index, int64_t last_position);

int64_t event_index_last_position(struct event_index *index);
int64_t event_index_aggregate_count(struct event_index *index);

/* *ret zeroed with exists = false when unknown; its type is copied into the arena. */
STATUS_MUST_CHECK struct status event_index_head(struct event_index *index, struct bytes aggregate_id,
                                                 struct arena *arena, struct aggregate_head *ret);
int64_t event_index_find_id(struct event_index *index, struct bytes event_id); /* 0 = none */
int64_t event_index_find_time(struct event_index *index, int64_t time_us); /* greatest position ≤; 0 = none */

/*
 * The next positions that a query's key, versions and positions select, in its direction, strictly behind `from`
 * (0 = from its beginning). Fills at most `max`; 0 at the end.
 */
size_t event_index_positions(struct event_index *index, const struct read_query *query, int64_t from,
                             int64_t *ret_positions, size_t max);

/* Aggregates in order of their first event. The texts live in the arena. At most `max`; *ret_count says how many. */
struct indexed_aggregate {
    struct bytes id;
    struct aggregate_head head;
};
STATUS_MUST_CHECK struct status event_index_aggregates(struct event_index *index, struct bytes type,
                                                       int64_t after_first_position, struct arena *arena,
                                                       struct indexed_aggregate *ret, size_t max,
                                                       size_t *ret_count);

/*
 * The `aggregates` op of an engine: walks the same list in pieces, so that no lock is held while `sink` runs. Each piece is
 * looked up with the engine's own lock held for reading, so that no half of a commit shows.
 */
STATUS_MUST_CHECK struct status event_index_list(struct event_index *index, pthread_rwlock_t *engine_lock,
                                                 struct bytes type, int64_t after_first_position,
                                                 aggregate_sink sink, void *context);

/* Counts only; engine and size_bytes are left to the engine. */
STATUS_MUST_CHECK struct status event_index_stats(struct event_index *index, struct arena *arena,
                                                  struct event_store_stats *ret);

/* The read op of an engine over this index: walks the positions and fetches each record. */
typedef struct status (*record_fetch)(void *engine, int64_t position, record_sink sink, void *context,
                                      bool *ret_more);
STATUS_MUST_CHECK struct status event_index_read(struct event_index *index, const struct read_query *query,
                                                 record_fetch fetch, void *engine, record_sink sink,
                                                 void *context);
