/*
 * The parts of the index: event_index.c enters events and takes them back, event_index_reads.c answers.
 * Everything here expects the lock to be held.
 */
#pragma once

#include <pthread.h>

#include "store/event_index.h"
#include "store/hash_table.h"

/* A list of positions that only grows. */
struct positions {
    int64_t *items;
    size_t count;
    size_t capacity;
};

/* Everything with one term; kind is enum read_by. No positions: its events were taken back. */
struct term {
    struct bytes text;
    enum read_by kind;
    struct positions positions;
    int64_t aggregate_count; /* of an aggregate type: how many are of it */
};

struct aggregate {
    struct bytes id;
    uint32_t type_term; /* among the terms: its aggregate type */
    bool created;       /* its first event has version 0 */
    struct positions positions;
};

/* The tables never forget, so a value at or beyond the count of its array is what was taken back: there is nothing. */
struct event_index {
    pthread_rwlock_t lock; /* guards all below; a leaf */
    struct arena *texts;
    struct hash_table by_aggregate; /* hash of the id → place in aggregates */
    struct aggregate *aggregates;   /* in order of their first event */
    size_t aggregate_count;
    size_t aggregate_capacity;
    struct hash_table by_term; /* hash of the text plus kind → place in terms */
    struct term *terms;
    size_t term_count;
    size_t term_capacity;
    struct hash_table by_id; /* hash of the event id → position - 1 */
    struct bytes *ids;       /* by position - 1 */
    int64_t *times_us;       /* by position - 1; never falling */
    size_t event_count;
    size_t event_capacity;
    int64_t system_count;
};

struct status index_no_memory(void);
struct aggregate *index_find_aggregate(const struct event_index *index, struct bytes id); /* NULL = unknown */
uint32_t index_find_term(const struct event_index *index, enum read_by kind, struct bytes text);
int64_t index_find_id(const struct event_index *index, struct bytes event_id); /* 0 = none */
int32_t index_last_version(const struct aggregate *aggregate);
/* The first place whose position is over `position`. */
size_t positions_behind(const struct positions *positions, int64_t position);
