/*
 * The positions that one layer of the index holds of a key (aggregate, type, aggregate type, correlation id, tag, or
 * creations of an aggregate type), numbered from 0: the same for tables, parts and runs.
 *
 * In tables and parts a key is its text: one list. A run knows hashes: it has any number of entries of one hash, ascending
 * by position, some of which may be of another text; the caller reads a record of each and compares (key_fits).
 *
 * Ownership  Held by value; the view outlives it.
 * Threads    Any.  Blocking  Yes.
 * Errors     UNAVAILABLE/STORE_FAILED: the index is not what was written (embedded_index_trouble).
 */
#pragma once

#include "store/event_index.h"
#include "store/event_store.h"
#include "view_internal.h"

struct embedded_store;

struct key {
    enum read_by by; /* not READ_BY_POSITION */
    bool created;    /* with READ_BY_AGGREGATE_TYPE: first events of aggregates of the type */
    struct bytes text;
    uint64_t hash; /* as in runs; of the kinds that are there */
};

struct layer_list {
    uint32_t count;
    int64_t first_version; /* READ_BY_AGGREGATE: number i has version first_version + i */
    bool uncertain;        /* from a run: may be of another text */
    /* One of these is the source. */
    const struct view_table *table;
    const struct view_part *part;
    const struct view_run *run;
    struct indexed_list in_table;
    struct posting_list in_file;
};

struct key key_of(const struct embedded_store *store, enum read_by by, struct bytes text);
/* Whether `by` is looked up in runs; else in parts. */
bool key_is_in_runs(enum read_by by);
/* Whether an event is one of the key's. */
bool key_fits(const struct key *key, const struct event_fields *fields);

struct layer_list layer_list_of_table(const struct view_table *table, const struct key *key);
STATUS_MUST_CHECK struct status layer_list_of_part(struct embedded_store *store, const struct view_part *part,
                                                   const struct key *key, struct layer_list *ret);
/* Of one entry of a run. */
struct layer_list layer_list_of_run(const struct view_run *run, const struct run_key *entry);

/* How many positions of the list are ≤ position. */
STATUS_MUST_CHECK struct status layer_list_behind(struct embedded_store *store, const struct layer_list *list,
                                                  int64_t position, uint32_t *ret);
/* Numbers from … from + count - 1. */
STATUS_MUST_CHECK struct status layer_list_read(struct embedded_store *store, const struct layer_list *list,
                                                uint32_t from, int64_t *ret, uint32_t count);

/*
 * What a run's entry carries beside its list: of an aggregate the version of its last event, else what kind of key it is.
 * So only keys of one kind can be taken for each other when their hashes are equal.
 */
uint32_t run_value_of(enum read_by by, int32_t last_version);

/*
 * The entries of one key's kind and hash in one run, walked from the oldest or from the newest.
 *
 *     struct run_entries entries = run_entries_of(run, key, newest_first);
 *     while (more) STATUS_TRY(run_entries_next(store, &entries, &entry, &more));
 */
#define RUN_ENTRIES_PIECE 8U
struct run_entries {
    const struct view_run *run;
    enum read_by by;
    uint64_t hash;
    bool newest_first;
    bool counted;
    uint32_t total; /* once counted; else unknown */
    uint32_t begun; /* entries handed out, in either direction */
    uint32_t piece_from;
    uint32_t piece_count;
    struct run_key piece[RUN_ENTRIES_PIECE];
};
struct run_entries run_entries_of(const struct view_run *run, const struct key *key, bool newest_first);
STATUS_MUST_CHECK struct status run_entries_next(struct embedded_store *store, struct run_entries *entries,
                                                 struct run_key *ret, bool *ret_more);
