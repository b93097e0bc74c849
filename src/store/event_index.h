/*
 * Index of events in memory, a table: heads and positions of aggregates, event ids, terms (type, aggregate type,
 * correlation id, tag), times, counts. A projection of the log: an engine fills it from its records in position order and
 * loses nothing by losing it. About 100 bytes an event when ids are UUIDs (kept in 16 bytes) and most aggregates are new.
 *
 * A table holds the events base_position + 1 …: base 0 is a whole history, base > 0 a piece of one whose older events are
 * elsewhere. A piece answers of its own events only; what it cannot know is said below.
 *
 * Ownership  Copies every text that it keeps. Its memory goes back to the system in event_index_free().
 * Threads    Any; one adder at a time. A rwlock inside, which prefers a waiting adder; what one
 *            call adds becomes visible as a whole. No call is made under it. The walks take no lock: see there.
 * Blocking   Never, but for the lock.
 */
#pragma once

#include <pthread.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "record/record.h"
#include "store/event_store.h"

struct event_index;

struct event_index_options {
    uint64_t seed;         /* of the hashes, from entropy */
    int64_t base_position; /* of the last event before the table's first; 0 = a whole history */
    /* Up to so many events no hash table of ids or aggregates grows while an event is added. Costs address space, memory
     * only as it is used. 0 = begins small. */
    size_t expected_events;
};

/* `options` is copied. NULL when out of memory. */
struct event_index *event_index_new(const struct event_index_options *options);
void event_index_free(struct event_index *index); /* NULL is fine */
/* The same, and calls `rest` between the pieces, of a few hundred µs each: for who has time, beside others who have not. */
void event_index_free_resting(struct event_index *index, void (*rest)(void *context), void *context);
DEFINE_CLEANUP(struct event_index, event_index_free);

/*
 * Adds events that follow the last one: positions without a gap, visible together. `firsts[i]`: event i is the first of its
 * aggregate in the whole store; NULL = the table sees that itself, which only base 0 can. An aggregate may begin at any
 * version in a piece (at 0 or 1 when it is the store's first), and goes on without a gap. RESOURCE_EXHAUSTED when out of
 * memory, DATA_LOSS/DAMAGED when position, version, id or `firsts` does not fit what is there; a failure changes nothing.
 */
STATUS_MUST_CHECK struct status event_index_add(struct event_index *index, const struct event_fields *fields,
                                                const bool *firsts, size_t count);

/*
 * Takes back every event behind `last_position` (≥ base), as if it had never been added: for an engine that could not enter
 * the whole of a batch. Needs no memory; takes as long as there are terms and aggregates. The caller knows that nobody
 * was shown what goes.
 */
void event_index_cut(struct event_index *index, int64_t last_position);

/*
 * For a table that is made ahead, without events yet and the caller's alone. touch: a step of touching the memory that its
 * first events will lie all over, from *at = 0; false when all of it is. rebase: where it begins after all.
 */
bool event_index_touch(struct event_index *index, size_t *at);
void event_index_rebase(struct event_index *index, int64_t base_position);

int64_t event_index_base_position(const struct event_index *index); /* never changes, but for rebase */
int64_t event_index_last_position(struct event_index *index);       /* base when empty */
int64_t event_index_aggregate_count(struct event_index *index);     /* whose first event is here */
size_t event_index_memory_bytes(struct event_index *index);         /* in use, about */

/*
 * *ret zeroed with exists = false when no event of it is here; its type is copied into the arena. In a piece, type,
 * version and position are the whole truth, since nothing follows what is here; first_position and event_count are
 * 0 unless the aggregate's first event is here.
 */
STATUS_MUST_CHECK struct status event_index_head(struct event_index *index, struct bytes aggregate_id,
                                                 struct arena *arena, struct aggregate_head *ret);
#define EVENT_INDEX_PREFETCH_MAX 32U
/* The same for some ids side by side, at most EVENT_INDEX_PREFETCH_MAX; heads of one type may share its text. */
STATUS_MUST_CHECK struct status event_index_find_heads(struct event_index *index,
                                                       const struct bytes *aggregate_ids, size_t count,
                                                       struct arena *arena, struct aggregate_head *ret);
int64_t event_index_find_id(struct event_index *index, struct bytes event_id); /* 0 = none here */
/* The same for some ids side by side, at most EVENT_INDEX_PREFETCH_MAX. */
void event_index_find_ids(struct event_index *index, const struct bytes *event_ids, size_t count,
                          int64_t *ret_positions);
int64_t event_index_find_time(struct event_index *index,
                              int64_t time_us); /* greatest position ≤; 0 = none here */

/* ---- positions of a key ---- */

/*
 * The positions of one key as they stood when it was looked up, ascending, numbered from 0. Held by value, for paging by
 * number without another look-up; what is added later is not in it. Dies with the table. When positions of it were taken back
 * by event_index_cut(), it may be read only below what event_index_list_behind() says, until something is added again.
 */
struct indexed_list {
    uint32_t count;        /* 0 = none here */
    int32_t first_version; /* READ_BY_AGGREGATE: version of number 0; number i has first_version + i */
    uint32_t kind;         /* the table's own from here on */
    uint32_t place;
};

/* `by` is not READ_BY_POSITION. */
struct indexed_list event_index_list(struct event_index *index, enum read_by by, struct bytes key);
/* First events of aggregates of this type, of those whose first event is here. */
struct indexed_list event_index_list_created(struct event_index *index, struct bytes aggregate_type);
/* How many of the list's positions are ≤ position: the number of the first one behind it. */
uint32_t event_index_list_behind(struct event_index *index, const struct indexed_list *list,
                                 int64_t position);
/* Copies numbers from … from + count - 1; the caller stays inside list->count. */
void event_index_list_read(struct event_index *index, const struct indexed_list *list, uint32_t from,
                           int64_t *ret_positions, uint32_t count);

/*
 * The next positions that a query's key, versions and positions select, in its direction, strictly behind `from`
 * (0 = from its beginning). Fills at most `max`; 0 at the end.
 */
size_t event_index_positions(struct event_index *index, const struct read_query *query, int64_t from,
                             int64_t *ret_positions, size_t max);

/* The read op of an engine over this index: walks the positions and fetches each record. */
typedef struct status (*record_fetch)(void *engine, int64_t position, record_sink sink, void *context,
                                      bool *ret_more);
STATUS_MUST_CHECK struct status event_index_read(struct event_index *index, const struct read_query *query,
                                                 record_fetch fetch, void *engine, record_sink sink,
                                                 void *context);

/* ---- aggregates and counts ---- */

struct indexed_aggregate {
    struct bytes id;
    struct aggregate_head head;
};
/*
 * Aggregates whose first event is here, in the order of it; `type` empty = of all types. The texts live in the arena. At
 * most `max`; *ret_count says how many. A head may be older than the store's: later events may be in a later piece.
 */
STATUS_MUST_CHECK struct status event_index_aggregates(struct event_index *index, struct bytes type,
                                                       int64_t after_first_position, struct arena *arena,
                                                       struct indexed_aggregate *ret, size_t max,
                                                       size_t *ret_count);

/*
 * The `aggregates` op of an engine that has one table: walks the same list in pieces, so that no lock is held while `sink`
 * runs. Each piece is looked up with the engine's own lock held for reading, so that no half of a commit shows.
 */
STATUS_MUST_CHECK struct status event_index_each_aggregate(struct event_index *index,
                                                           pthread_rwlock_t *engine_lock, struct bytes type,
                                                           int64_t after_first_position, aggregate_sink sink,
                                                           void *context);

/* Counts of the table's own events and of the aggregates that begin here; the texts live in the arena. An aggregate type
 * none of whose aggregates begins here has count 0. engine and size_bytes are left to the engine. */
STATUS_MUST_CHECK struct status event_index_stats(struct event_index *index, struct arena *arena,
                                                  struct event_store_stats *ret);

/* ---- walks, for who writes the table out ---- */

/*
 * Only of a frozen table: every event_index_add() and event_index_cut() has returned, will never be called again, and the
 * caller has learnt that through a lock or a queue. Then any number of threads, without the lock; all calls
 * above go on working beside them.
 *
 * A text points into the table, or into `scratch` when the table keeps it packed: valid until the scratch is used again.
 */
#define INDEX_SCRATCH_BYTES 36U
struct index_scratch {
    char text[INDEX_SCRATCH_BYTES];
};

/* base < position ≤ last. */
struct bytes event_index_id_at(const struct event_index *index, int64_t position,
                               struct index_scratch *scratch);
int64_t event_index_time_at(const struct event_index *index, int64_t position);

struct indexed_key {
    struct bytes text;
    struct indexed_list list; /* never empty; its positions by event_index_list_copy() */
    int32_t last_version;     /* of an aggregate: of its last event here */
    bool begins_here;         /* of an aggregate: its first event is here */
};
/* The next key of a kind (READ_BY_AGGREGATE: in the order of their first event here; others in any), each once. Begin
 * with *cursor 0; false at the end. READ_BY_AGGREGATE_TYPE: see also event_index_list_created(). */
bool event_index_next_key(const struct event_index *index, enum read_by by, size_t *cursor,
                          struct index_scratch *scratch, struct indexed_key *ret);
/* As event_index_list_read(), without the lock. */
void event_index_list_copy(const struct event_index *index, const struct indexed_list *list, uint32_t from,
                           int64_t *ret_positions, uint32_t count);

struct index_counts {
    uint32_t event_count;     /* system events included */
    uint32_t system_count;    /* '$…' events */
    uint32_t aggregate_count; /* with an event here */
    uint32_t created_count;   /* whose first event is here */
};
struct index_counts event_index_counts(const struct event_index *index);
