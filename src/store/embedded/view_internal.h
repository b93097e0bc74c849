/*
 * The layers of the index at one moment, oldest first: parts and runs (files, of full segments), then tables (memory, one
 * a segment whose files are not written yet; the last one is the open segment's).
 *
 *     position 1 …………………………………………… built │ ………………………………… head
 *     parts      [seg 0][seg 1][seg 2][seg 3]   │
 *     runs       [      0 – 2        ][seg 3]   │ tables [seg 4][seg 5, open]
 *
 * A view never changes; a new one takes its place. Who holds a reference may use all of it, also after files of it were
 * removed: their handles stay open until the last reference goes.
 *
 * Ownership  A view holds references to its layers, each of which goes with its last view.
 * Threads    Any; references are counted atomically. Only the open table grows (its own lock, the store's view_lock).
 * Blocking   Never, but for closing files with the last reference.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "locations_internal.h"
#include "store/embedded/index/index_part.h"
#include "store/embedded/index/index_run.h"

struct event_index;
struct totals;

/* The index of one segment in memory. */
struct view_table {
    _Atomic uint32_t references;
    struct event_index *index;
    struct locations locations;
    int64_t base; /* its first event is base + 1 */
    uint32_t segment;
    bool frozen;             /* its segment is full; set before the view that has it as such */
    struct part_facts facts; /* when frozen: what will be said of the segment */
};

/* Number i of a view belongs to segment number i of the log. */
struct view_part {
    _Atomic uint32_t references;
    struct part *part;
    int64_t first;
    int64_t last;
};

struct view_run {
    _Atomic uint32_t references;
    struct run *run;
    int64_t first;
    int64_t last;
};

struct index_view {
    _Atomic uint32_t references;
    struct view_part **parts;
    size_t part_count;
    struct view_run **runs; /* the same positions as the parts */
    size_t run_count;
    struct view_table **tables;
    size_t table_count;
    const struct totals *totals; /* of the parts; a reference of its own */
    int64_t built;               /* the last position of parts and runs */
};

/* Each with one reference, the caller's. On failure the file stays the caller's. NULL when out of memory. */
struct view_table *view_table_new(uint64_t seed, int64_t base, uint32_t segment, size_t expected_events);
struct view_part *view_part_new(struct part *part);
struct view_run *view_run_new(struct run *run);
/* For a table that was made ahead: of which segment it is after all. Nobody else has it yet. */
void view_table_rebase(struct view_table *table, int64_t base, uint32_t segment);
struct view_run *view_run_ref(struct view_run *run);
/* Whether the caller's reference is the only one. As no view has it, nobody can take another. */
bool view_run_is_alone(const struct view_run *run);
struct view_table *view_table_ref(struct view_table *table);
/* Gives the reference up; when it was the last, rests between the pieces that are freed. */
void view_table_unref_resting(struct view_table *table, void (*rest)(void *context), void *context);
void view_table_unref(struct view_table *table); /* NULL is fine, as for all below */
void view_part_unref(struct view_part *part);
void view_run_unref(struct view_run *run);
DEFINE_CLEANUP(struct view_table, view_table_unref);
DEFINE_CLEANUP(struct view_part, view_part_unref);
DEFINE_CLEANUP(struct view_run, view_run_unref);

/* A view of files alone, or of nothing. NULL when out of memory, as all below. */
struct index_view *view_of_files(struct view_part *const *parts, size_t part_count,
                                 struct view_run *const *runs, size_t run_count, const struct totals *totals);
struct index_view *view_ref(struct index_view *view);
void view_unref(struct index_view *view);
DEFINE_CLEANUP(struct index_view, view_unref);

/* Copies of `view` with one change; the layers get references of their own. */
struct index_view *view_with_table(const struct index_view *view, struct view_table *table);
/* The oldest table gave way to part and run. */
struct index_view *view_with_files(const struct index_view *view, struct view_part *part,
                                   struct view_run *run, const struct totals *totals);
/* Runs first … first + count - 1 gave way to one. */
struct index_view *view_with_merged(const struct index_view *view, size_t first, size_t count,
                                    struct view_run *run);

/* NULL when the view has none. */
static inline struct view_table *view_open_table(const struct index_view *view)
{
    return view->table_count == 0 ? NULL : view->tables[view->table_count - 1];
}
/* The part that has the position; part_count when none has. */
size_t view_part_of(const struct index_view *view, int64_t position);
/* position > view->built, and not behind the head that the caller knows. */
const struct view_table *view_table_of(const struct index_view *view, int64_t position);
