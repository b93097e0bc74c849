#include "view_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "store/event_index.h"
#include "totals_internal.h"

/* ---- layers ---- */

struct view_table *view_table_new(uint64_t seed, int64_t base, uint32_t segment, size_t expected_events)
{
    struct view_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    const struct event_index_options options = {seed, base, expected_events};
    table->references = 1;
    table->base = base;
    table->segment = segment;
    table->index = event_index_new(&options);
    if (table->index == NULL || locations_init(&table->locations, base).code != STATUS_OK) {
        view_table_unref(table);
        return NULL;
    }
    return table;
}

void view_table_rebase(struct view_table *table, int64_t base, uint32_t segment)
{
    assert(table->locations.count == 0);
    event_index_rebase(table->index, base);
    table->locations.base = base;
    table->base = base;
    table->segment = segment;
}

/* True for who gave up the last reference. */
static bool gives_up_last(_Atomic uint32_t *references)
{
    const uint32_t before = atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

static void take_one_more(_Atomic uint32_t *references)
{
    const uint32_t before = atomic_fetch_add_explicit(references, 1, memory_order_relaxed);
    assert(before > 0); /* who takes one has one, or a lock that keeps one alive */
}

struct view_table *view_table_ref(struct view_table *table)
{
    take_one_more(&table->references);
    return table;
}

void view_table_unref_resting(struct view_table *table, void (*rest)(void *context), void *context)
{
    if (table == NULL || !gives_up_last(&table->references))
        return;
    event_index_free_resting(table->index, rest, context);
    locations_done(&table->locations);
    free(table);
}

static void rest_never(void *context)
{
    (void)context;
}

void view_table_unref(struct view_table *table)
{
    view_table_unref_resting(table, rest_never, NULL);
}

struct view_part *view_part_new(struct part *part)
{
    struct view_part *layer = calloc(1, sizeof *layer);
    if (layer == NULL)
        return NULL;
    const struct part_facts *facts = part_facts(part);
    *layer = (struct view_part){
        .references = 1,
        .part = part,
        .first = facts->first_position,
        .last = facts->first_position + facts->count - 1,
    };
    return layer;
}

void view_part_unref(struct view_part *part)
{
    if (part == NULL || !gives_up_last(&part->references))
        return;
    part_close(part->part);
    free(part);
}

struct view_run *view_run_new(struct run *run)
{
    struct view_run *layer = calloc(1, sizeof *layer);
    if (layer == NULL)
        return NULL;
    *layer = (struct view_run){
        .references = 1,
        .run = run,
        .first = run_facts(run)->first_position,
        .last = run_facts(run)->last_position,
    };
    return layer;
}

struct view_run *view_run_ref(struct view_run *run)
{
    take_one_more(&run->references);
    return run;
}

bool view_run_is_alone(const struct view_run *run)
{
    return atomic_load_explicit(&run->references, memory_order_acquire) == 1;
}

void view_run_unref(struct view_run *run)
{
    if (run == NULL || !gives_up_last(&run->references))
        return;
    run_close(run->run);
    free(run);
}

/* ---- views ---- */

/* Of the sizes given, with nothing in it. */
static struct index_view *make(size_t parts, size_t runs, size_t tables)
{
    struct index_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return NULL;
    view->references = 1;
    view->parts = calloc(parts + 1, sizeof *view->parts);
    view->runs = calloc(runs + 1, sizeof *view->runs);
    view->tables = calloc(tables + 1, sizeof *view->tables);
    if (view->parts != NULL && view->runs != NULL && view->tables != NULL)
        return view;
    view_unref(view);
    return NULL;
}

struct index_view *view_ref(struct index_view *view)
{
    take_one_more(&view->references);
    return view;
}

void view_unref(struct index_view *view)
{
    if (view == NULL || !gives_up_last(&view->references))
        return;
    for (size_t i = 0; i < view->part_count; i++)
        view_part_unref(view->parts[i]);
    for (size_t i = 0; i < view->run_count; i++)
        view_run_unref(view->runs[i]);
    for (size_t i = 0; i < view->table_count; i++)
        view_table_unref(view->tables[i]);
    totals_unref(view->totals);
    free(view->parts);
    free(view->runs);
    free(view->tables);
    free(view);
}

static void add_part(struct index_view *view, struct view_part *part)
{
    take_one_more(&part->references);
    view->parts[view->part_count++] = part;
    view->built = part->last;
}

static void add_run(struct index_view *view, struct view_run *run)
{
    take_one_more(&run->references);
    view->runs[view->run_count++] = run;
}

static void add_table(struct index_view *view, struct view_table *table)
{
    take_one_more(&table->references);
    view->tables[view->table_count++] = table;
}

static void add_runs(struct index_view *view, const struct index_view *from, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        add_run(view, from->runs[i]);
}

static void add_parts_and_totals(struct index_view *view, const struct index_view *from)
{
    for (size_t i = 0; i < from->part_count; i++)
        add_part(view, from->parts[i]);
    view->totals = totals_ref(from->totals);
}

static void add_tables(struct index_view *view, const struct index_view *from, size_t first)
{
    for (size_t i = first; i < from->table_count; i++)
        add_table(view, from->tables[i]);
}

struct index_view *view_of_files(struct view_part *const *parts, size_t part_count,
                                 struct view_run *const *runs, size_t run_count, const struct totals *totals)
{
    struct index_view *view = make(part_count, run_count, 0);
    if (view == NULL)
        return NULL;
    for (size_t i = 0; i < part_count; i++)
        add_part(view, parts[i]);
    for (size_t i = 0; i < run_count; i++)
        add_run(view, runs[i]);
    view->totals = totals_ref(totals);
    return view;
}

struct index_view *view_with_table(const struct index_view *view, struct view_table *table)
{
    struct index_view *changed = make(view->part_count, view->run_count, view->table_count + 1);
    if (changed == NULL)
        return NULL;
    add_parts_and_totals(changed, view);
    add_runs(changed, view, 0, view->run_count);
    add_tables(changed, view, 0);
    add_table(changed, table);
    return changed;
}

struct index_view *view_with_files(const struct index_view *view, struct view_part *part,
                                   struct view_run *run, const struct totals *totals)
{
    assert(part->first == view->built + 1);
    assert(view->table_count > 0);
    assert(view->tables[0]->base == view->built);
    struct index_view *changed = make(view->part_count + 1, view->run_count + 1, view->table_count);
    if (changed == NULL)
        return NULL;
    for (size_t i = 0; i < view->part_count; i++)
        add_part(changed, view->parts[i]);
    add_part(changed, part);
    changed->totals = totals_ref(totals);
    add_runs(changed, view, 0, view->run_count);
    add_run(changed, run);
    add_tables(changed, view, 1);
    return changed;
}

struct index_view *view_with_merged(const struct index_view *view, size_t first, size_t count,
                                    struct view_run *run)
{
    assert(first + count <= view->run_count);
    struct index_view *changed = make(view->part_count, view->run_count, view->table_count);
    if (changed == NULL)
        return NULL;
    add_parts_and_totals(changed, view);
    add_runs(changed, view, 0, first);
    add_run(changed, run);
    add_runs(changed, view, first + count, view->run_count);
    add_tables(changed, view, 0);
    return changed;
}

size_t view_part_of(const struct index_view *view, int64_t position)
{
    size_t low = 0;
    size_t high = view->part_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (view->parts[middle]->last < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct view_table *view_table_of(const struct index_view *view, int64_t position)
{
    assert(position > view->built);
    size_t at = view->table_count;
    while (at > 0 && view->tables[at - 1]->base >= position)
        at--;
    assert(at > 0);
    return view->tables[at - 1];
}
