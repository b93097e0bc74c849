/*
 * The parts of the index. All of it stands in a few pools of numbers, without a pointer among them:
 *
 *   texts        every text once, packed                       bytes
 *   ids, times   of the events, by position - base - 1         where its id stands in texts; µs
 *   aggregates   in the order of their first event here
 *   terms        (kind, text) with its positions
 *   type_terms   places of the terms that name types: few, so that counting them needs no walk over all
 *   lists        chunks of lists of positions; positions are kept less base
 *
 * and three hash tables that lead from a text to its place. The tables never forget, so a value at or beyond the count of
 * its pool is what was taken back: there is nothing.
 *
 * event_index.c enters events and takes them back; event_index_reads.c, event_index_aggregates.c answer;
 * event_index_walks.c is for who writes the table out; event_index_pool.c, event_index_text.c and event_index_positions.c
 * are the parts that they share.
 * Everything here but the pools expects the lock to be held, or the table to be frozen.
 */
#pragma once

#include <pthread.h>

#include "store/event_index.h"
#include "store/hash_table.h"

/* ---- pools: event_index_pool.c ---- */

/* Items of one size in chunks that never move. Grows a chunk at a time, without copying. */
struct pool {
    uint8_t **chunks;
    size_t chunk_count;
    size_t chunk_capacity;
    size_t used; /* items */
    uint32_t item_bytes;
    uint32_t shift; /* a chunk has 1 << shift items */
};

struct pool pool_make(uint32_t item_bytes);
void pool_done(struct pool *pool);
bool pool_shrink(struct pool *pool); /* gives one chunk back, the last; false when there is none */
/* Room for `count` items side by side, zeroed unless used before; false when out of memory or beyond 32 bits. */
bool pool_take(struct pool *pool, size_t count, uint32_t *ret_place);

static inline void *pool_at(const struct pool *pool, size_t place)
{
    const size_t within = place & (((size_t)1 << pool->shift) - 1);
    return pool->chunks[place >> pool->shift] + within * pool->item_bytes;
}

/* ---- packed texts: event_index_text.c ---- */

#define TEXT_MAX_BYTES 65535U

bool text_add(struct pool *texts, struct bytes text, uint32_t *ret_place); /* false when out of memory */
bool text_is(const struct pool *texts, uint32_t place, struct bytes text);
/* Points into the pool, or into the scratch. */
struct bytes text_at(const struct pool *texts, uint32_t place, struct index_scratch *scratch);

/* ---- lists of positions: event_index_positions.c ---- */

/* Ascending numbers. One stands in the list itself; more in chunks of 2, 4, 8 …, each behind a link to the one before. */
struct positions {
    uint32_t count;
    uint32_t where; /* count 1: the number; more: its last chunk */
};

#define POSITION_LEVELS 31U
/* The chunks of a list, found once for many looks. Borrows the list. */
struct position_view {
    const uint32_t *chunks[POSITION_LEVELS];
    uint32_t count;
};

bool positions_add(struct pool *lists, struct positions *positions, uint32_t number);
struct position_view positions_view(const struct pool *lists, const struct positions *positions);
uint32_t position_view_at(const struct position_view *view, uint32_t i);
uint32_t position_view_behind(const struct position_view *view, uint32_t number); /* how many are ≤ number */
void positions_prefetch_last(const struct pool *lists, const struct positions *positions);
uint32_t positions_first(const struct pool *lists, const struct positions *positions);
uint32_t positions_last(const struct pool *lists, const struct positions *positions);
/* Forgets what is over `number`. */
void positions_cut(const struct pool *lists, struct positions *positions, uint32_t number);

/* ---- the table ---- */

#define TERM_CREATED ((uint32_t)READ_BY_TAG + 1U) /* first events of aggregates; the text is their type */

/* No positions: none yet, or its events were taken back. */
struct term {
    uint32_t text;
    uint32_t kind; /* enum read_by, or TERM_CREATED: that stands right behind its READ_BY_AGGREGATE_TYPE */
    struct positions positions;
};

struct aggregate {
    uint32_t text;
    uint32_t type_term : 31; /* among the terms: its aggregate type */
    uint32_t begins : 1;     /* its first event in the store is here */
    int32_t first_version;   /* of its first event here */
    struct positions positions;
};

struct event_index {
    pthread_rwlock_t lock; /* guards all below but base; a leaf */
    int64_t base;
    struct pool texts;
    struct pool ids;
    struct pool times_us; /* never falling */
    struct pool aggregates;
    struct pool terms;
    struct pool type_terms;
    struct pool lists;
    struct hash_table by_id;
    struct hash_table by_aggregate;
    struct hash_table by_term;
    uint32_t last_type;           /* the term that was found last: most events are of few types */
    uint32_t last_aggregate_type; /* as above; HASH_NONE = none */
    uint32_t system_count;
    uint32_t created_count;
};

static inline size_t index_event_count(const struct event_index *index)
{
    return index->ids.used;
}

static inline uint32_t index_id_text(const struct event_index *index, size_t event)
{
    return *(const uint32_t *)pool_at(&index->ids, event);
}

static inline int64_t index_time_us(const struct event_index *index, size_t event)
{
    return *(const int64_t *)pool_at(&index->times_us, event);
}

static inline struct aggregate *index_aggregate(const struct event_index *index, size_t place)
{
    return pool_at(&index->aggregates, place);
}

static inline struct term *index_term(const struct event_index *index, size_t place)
{
    return pool_at(&index->terms, place);
}

static inline int64_t index_last_version(const struct aggregate *aggregate)
{
    return (int64_t)aggregate->first_version + aggregate->positions.count - 1;
}

/* A position as the lists keep it, held inside what they can keep. */
static inline uint32_t index_number(const struct event_index *index, int64_t position)
{
    if (position <= index->base)
        return 0;
    return position - index->base >= UINT32_MAX ? UINT32_MAX : (uint32_t)(position - index->base);
}

struct status index_no_memory(void);
bool index_names_types(uint32_t kind);
/* The type's text points into the texts, which never move or go, or into the scratch. */
struct aggregate_head index_head_of(const struct event_index *index, const struct aggregate *aggregate,
                                    struct index_scratch *scratch);
uint64_t index_term_hash(const struct event_index *index, uint32_t kind, struct bytes text);
/* Places, HASH_NONE = unknown. `hash` is that of the id in its table. */
uint32_t index_find_aggregate(const struct event_index *index, struct bytes id, uint64_t hash);
/* Fetches the aggregates of at most EVENT_INDEX_PREFETCH_MAX hashes, with their texts and last positions. */
void index_prefetch_aggregates(const struct event_index *index, const uint64_t *hashes, size_t count);
uint32_t index_find_term(const struct event_index *index, uint32_t kind, struct bytes text);
uint32_t index_find_id(const struct event_index *index, struct bytes event_id, uint64_t hash);
/* What an indexed_list was taken of; it has grown since, perhaps. */
const struct positions *index_positions(const struct event_index *index, const struct indexed_list *list);
